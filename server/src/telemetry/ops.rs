//! The pages of the ops listener. They need no token, so the listener belongs where only the operator can reach it.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::watch;
use tonic::service::Routes;

use super::recorder::Metrics;

/// Whether calls can be answered, as /readyz says it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Readiness {
    /// Not yet, because of this (a part of the server, in a few words).
    Starting(&'static str),
    /// Yes.
    Ready,
    /// No longer.
    Draining,
}

/// What the ops listener shows.
#[derive(Debug)]
pub struct OpsPages {
    /// /metrics
    pub metrics: Metrics,
    /// /readyz
    pub readiness: watch::Receiver<Readiness>,
    /// /.well-known/jwks.json, where the server signs tokens of its own.
    pub jwks: Option<String>,
    /// gRPC on the same listener: health and reflection.
    pub grpc: Routes,
}

/// The router of the ops listener. /healthz says 200 for as long as the process answers at all.
pub fn ops_router(pages: OpsPages) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(pages.readiness))
        .route("/metrics", get(metrics).with_state(pages.metrics));
    if let Some(jwks) = pages.jwks {
        let page = async || ([(header::CONTENT_TYPE, "application/jwk-set+json")], jwks);
        router = router.route("/.well-known/jwks.json", get(page));
    }
    router.merge(pages.grpc.prepare().into_axum_router())
}

async fn readyz(State(readiness): State<watch::Receiver<Readiness>>) -> Response {
    match &*readiness.borrow() {
        Readiness::Starting(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("starting: {what}\n")).into_response(),
        Readiness::Ready => "ready\n".into_response(),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

async fn metrics(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::{super::recorder, *};
    use crate::telemetry::Health;

    struct Ops {
        router: Router,
        readiness: watch::Sender<Readiness>,
    }

    async fn ops(jwks: Option<&str>) -> Ops {
        let (readiness, ready) = watch::channel(Readiness::Starting("token keys"));
        let (_, health) = Health::new().await;
        let metrics = Metrics::of(&recorder::builder().build_recorder());
        let pages = OpsPages { metrics, readiness: ready, jwks: jwks.map(str::to_owned), grpc: Routes::new(health) };
        Ops { router: ops_router(pages), readiness }
    }

    async fn get_page(ops: &Ops, path: &str) -> (StatusCode, String) {
        let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        let response = ops.router.clone().oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn readiness_is_told_and_health_does_not_depend_on_it() {
        let ops = ops(None).await;
        let (starting, why) = get_page(&ops, "/readyz").await;
        assert_eq!((starting, why.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "starting: token keys\n"));
        assert_eq!(get_page(&ops, "/healthz").await.0, StatusCode::OK);
        ops.readiness.send_replace(Readiness::Ready);
        assert_eq!(get_page(&ops, "/readyz").await.0, StatusCode::OK);
        ops.readiness.send_replace(Readiness::Draining);
        assert_eq!(get_page(&ops, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get_page(&ops, "/metrics").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn keys_are_published_where_there_are_some() {
        let keys = get_page(&ops(Some("{}")).await, "/.well-known/jwks.json").await;
        assert_eq!(keys, (StatusCode::OK, "{}".to_owned()));
        let none = get_page(&ops(None).await, "/.well-known/jwks.json").await;
        assert_ne!(none.1, "{}");
    }

    #[tokio::test]
    async fn health_is_served_beside_the_pages() {
        let ops = ops(None).await;
        let request = Request::builder()
            .method("POST")
            .uri("/grpc.health.v1.Health/Check")
            .header(header::CONTENT_TYPE, "application/grpc")
            .body(Body::from(vec![0; 5]))
            .expect("a request");
        let response = ops.router.oneshot(request).await.expect("infallible");
        let trailers = response.into_body().collect().await.expect("a body").trailers().cloned().expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
    }
}
