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
