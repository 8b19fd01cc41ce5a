//! As many calls at a time as the server can do; the others are told to come back.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use metrics::counter;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::{
    status::{Failure, Reason},
    telemetry::names,
};

/// When a refused caller should try again: longer than most calls take.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Probes are answered however busy the server is: a busy server is alive.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Refuses calls beyond a number. A call counts until its answer begins, so an open stream does not; those have a limit
/// of their own.
#[derive(Clone, Debug)]
pub struct AdmissionLayer {
    places: Arc<Semaphore>,
}

impl AdmissionLayer {
    /// A layer that lets this many calls through at a time.
    pub fn new(active_calls: u32) -> Self {
        Self { places: Arc::new(Semaphore::new(active_calls as usize)) }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = AdmissionService<S>;

    fn layer(&self, inner: S) -> AdmissionService<S> {
        AdmissionService { inner, places: Arc::clone(&self.places) }
    }
}

/// The service of [`AdmissionLayer`].
#[derive(Clone, Debug)]
pub struct AdmissionService<S> {
    inner: S,
    places: Arc<Semaphore>,
}

impl<S, B> Service<Request<B>> for AdmissionService<S>
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
        if request.uri().path().starts_with(HEALTH) {
            return Box::pin(self.inner.call(request));
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            counter!(names::RATE_LIMITED, "rule" => "active_calls").increment(1);
            let failure = Failure::new(Reason::Overloaded, "the server is busy").retry_after(RETRY_AFTER);
            return Box::pin(async move { Ok(failure.into_status().into_http()) });
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await;
            drop(place);
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::sync::Notify;
    use tonic::{Code, Status};
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    fn call(path: &str) -> Request<Body> {
        Request::builder().uri(path).body(Body::empty()).expect("a request")
    }

    #[tokio::test]
    async fn calls_beyond_the_number_are_refused_and_probes_are_not() {
        let finish = Arc::new(Notify::new());
        let begun = Arc::new(Notify::new());
        let inner = {
            let (finish, begun) = (Arc::clone(&finish), Arc::clone(&begun));
            service_fn(move |request: Request<Body>| {
                let (finish, begun) = (Arc::clone(&finish), Arc::clone(&begun));
                async move {
                    if request.uri().path() == "/slow" {
                        begun.notify_one();
                        finish.notified().await;
                    }
                    Ok::<_, Infallible>(Response::new(Body::empty()))
                }
            })
        };
        let service = AdmissionLayer::new(1).layer(inner);
        let first = tokio::spawn(service.clone().oneshot(call("/slow")));
        begun.notified().await;

        let refused = service.clone().oneshot(call("/quick")).await.expect("infallible");
        let status = Status::from_header_map(refused.headers()).expect("a status");
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(details.error_info().map(|error| error.reason.as_str()), Some("OVERLOADED"));
        assert_eq!(details.retry_info().and_then(|retry| retry.retry_delay), Some(RETRY_AFTER));
        let probe = service.clone().oneshot(call("/grpc.health.v1.Health/Check")).await.expect("infallible");
        assert!(Status::from_header_map(probe.headers()).is_none());

        finish.notify_one();
        first.await.expect("no panic").expect("infallible");
        let next = service.oneshot(call("/quick")).await.expect("infallible");
        assert!(Status::from_header_map(next.headers()).is_none());
    }
}
