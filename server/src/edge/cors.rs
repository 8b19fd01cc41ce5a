//! Which web pages may call (Fetch standard, "CORS protocol").
//!
//! The token travels in `authorization` and there are no cookies, so credentials are never allowed and there is nothing
//! to forge across sites. A page of an unknown origin gets no CORS header at all: the browser keeps the answer from it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::config::{AllowedOrigins, Origin};

const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");
const ALLOW_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, x-grpc-web, x-user-agent, grpc-timeout, traceparent, tracestate",
);
const EXPOSE_HEADERS: HeaderValue =
    HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin, parlor-cursor");
/// Two hours, in seconds; Chromium believes no longer time.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const NOSNIFF: (HeaderName, HeaderValue) = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

/// Answers preflights and marks answers for the pages that may read them. Belongs outside of the gRPC-Web layer.
#[derive(Clone, Debug)]
pub struct CorsLayer {
    origins: Arc<AllowedOrigins>,
}

impl CorsLayer {
    /// A layer for these origins.
    pub fn new(origins: AllowedOrigins) -> Self {
        Self { origins: Arc::new(origins) }
    }
}

impl<S> Layer<S> for CorsLayer {
    type Service = CorsService<S>;

    fn layer(&self, inner: S) -> CorsService<S> {
        CorsService { inner, origins: Arc::clone(&self.origins) }
    }
}

/// The service of [`CorsLayer`].
#[derive(Clone, Debug)]
pub struct CorsService<S> {
    inner: S,
    origins: Arc<AllowedOrigins>,
}

impl<S, B> Service<Request<B>> for CorsService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let origin = request.headers().get(header::ORIGIN).filter(|origin| allows(&self.origins, origin)).cloned();
        if is_preflight(&request) {
            return Box::pin(async move { Ok(preflight(origin)) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            mark(response.headers_mut(), origin);
            Ok(response)
        })
    }
}

fn allows(origins: &AllowedOrigins, origin: &HeaderValue) -> bool {
    match origins {
        AllowedOrigins::Any => true,
        AllowedOrigins::Only(allowed) => {
            origin.to_str().is_ok_and(|origin| allowed.iter().map(Origin::as_str).any(|one| one == origin))
        }
    }
}

/// A CORS preflight, and not another OPTIONS (Fetch standard, "CORS-preflight request").
fn is_preflight<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(origin: Option<HeaderValue>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if origin.is_some() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    mark(headers, origin);
    headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
    response
}

/// The headers of every answer. `Vary` comes with or without an allowed origin, since a cache must not give one page
/// the answer to another.
fn mark(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(NOSNIFF.0, NOSNIFF.1);
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, convert::Infallible};

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const APP: &str = "https://app.example";

    async fn answer(
        origins: AllowedOrigins,
        method: Method,
        headers: &[(&'static str, &'static str)],
    ) -> Response<Body> {
        let inner = service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        CorsLayer::new(origins).layer(inner).oneshot(request).await.expect("infallible")
    }

    fn only_app() -> AllowedOrigins {
        AllowedOrigins::Only(BTreeSet::from([APP.parse().expect("an origin")]))
    }

    fn cors_headers(response: &Response<Body>) -> Vec<&str> {
        response.headers().keys().map(HeaderName::as_str).filter(|name| name.starts_with("access-control-")).collect()
    }

    #[tokio::test]
    async fn an_unknown_origin_gets_no_cors_header() {
        for origin in ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null", "*"] {
            for method in [Method::POST, Method::OPTIONS] {
                let headers = [("origin", origin), ("access-control-request-method", "POST")];
                let response = answer(only_app(), method, &headers).await;
                assert_eq!(cors_headers(&response), [""; 0], "{origin}");
                assert_eq!(response.headers()[header::VARY], "origin");
            }
        }
    }

    #[tokio::test]
    async fn a_known_origin_may_call_and_read() {
        let preflight =
            answer(only_app(), Method::OPTIONS, &[("origin", APP), ("access-control-request-method", "POST")]).await;
        assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
        assert_eq!(preflight.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
        assert_eq!(preflight.headers()[header::ACCESS_CONTROL_MAX_AGE], "7200");
        assert!(!preflight.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        let call = answer(only_app(), Method::POST, &[("origin", APP)]).await;
        assert_eq!(call.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
        let exposed = call.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().expect("text");
        assert!(exposed.contains("grpc-status-details-bin"), "{exposed}");
        assert_eq!(call.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }

    #[tokio::test]
    async fn development_lets_every_page_call() {
        let call = answer(AllowedOrigins::Any, Method::POST, &[("origin", "http://localhost:1")]).await;
        assert_eq!(call.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:1");
    }

    #[tokio::test]
    async fn an_options_that_is_no_preflight_is_a_call() {
        let call = answer(only_app(), Method::OPTIONS, &[("origin", APP)]).await;
        assert_eq!(call.status(), StatusCode::OK);
    }
}
