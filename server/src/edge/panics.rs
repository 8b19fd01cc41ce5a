//! A panic ends the call that it happened in, and nothing else.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use metrics::counter;
use tonic::{Status, body::Body};
use tower::{Layer, Service};
use tracing::error;

use crate::{
    status::{Failure, Reason},
    telemetry::names,
};

/// Answers INTERNAL where a handler, or a stream it returned, panics.
#[derive(Clone, Copy, Debug, Default)]
pub struct PanicLayer;

impl<S> Layer<S> for PanicLayer {
    type Service = PanicService<S>;

    fn layer(&self, inner: S) -> PanicService<S> {
        PanicService { inner }
    }
}

/// The service of [`PanicLayer`].
#[derive(Clone, Debug)]
pub struct PanicService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for PanicService<S>
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
        // A handler that panicked is dropped and never looked at again, so nobody sees what it left half done; what it
        // shares with others is behind locks that say when they were poisoned.
        let answer = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        Box::pin(async move {
            let outcome = match answer {
                Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            match outcome {
                Ok(response) => Ok(response?.map(|body| Body::new(CaughtBody(Some(body))))),
                Err(panic) => Ok(internal(panic.as_ref()).into_http()),
            }
        })
    }
}

/// What the caller hears of a panic: nothing about it. What was panicked with goes to the log.
fn internal(panic: &(dyn Any + Send)) -> Status {
    let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    error!(message = message.unwrap_or("not a text"), "a call panicked");
    counter!(names::PANICS).increment(1);
    Failure::new(Reason::Internal, "an error inside the server").into_status()
}

/// A body whose panics become trailers.
struct CaughtBody(Option<Body>);

impl http_body::Body for CaughtBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(context))) {
            Ok(poll) => poll,
            Err(panic) => {
                self.0 = None;
                let mut trailers = http::HeaderMap::new();
                let written = internal(panic.as_ref()).add_header(&mut trailers);
                Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    async fn answer(path: &str) -> Response<Body> {
        let inner = service_fn(|request: Request<Body>| async move {
            assert_ne!(request.uri().path(), "/handler", "the secret of the handler");
            let frames = stream::iter(0..3).map(|number| {
                assert_ne!(number, 1, "the secret of the stream");
                Ok::<_, Status>(Frame::data(Bytes::from_static(b"frame")))
            });
            Ok::<_, Infallible>(Response::new(Body::new(StreamBody::new(frames))))
        });
        let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        PanicLayer.layer(inner).oneshot(request).await.expect("infallible")
    }

    #[tokio::test]
    async fn a_panicking_handler_is_internal_without_a_word_of_why() {
        let response = answer("/handler").await;
        let status = Status::from_header_map(response.headers()).expect("a status");
        assert_eq!(status.code(), Code::Internal);
        assert!(!format!("{:?}", response.headers()).contains("secret"));
    }

    #[tokio::test]
    async fn a_panicking_stream_ends_with_trailers() {
        let collected = answer("/stream").await.into_body().collect().await.expect("trailers, not an error");
        let status = Status::from_header_map(collected.trailers().expect("trailers")).expect("a status");
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(collected.to_bytes(), "frame");
    }

    use futures_util::StreamExt as _;
}
