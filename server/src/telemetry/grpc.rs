//! Counts calls by method and code.
//!
//! Labels come from the descriptor sets that the server is built with, never from the wire: a path that names no method
//! of ours counts as `unknown`, so nobody can make up series.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use metrics::{Counter, Histogram, counter, histogram};
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::names;

/// The label of everything that is no method of ours.
const UNKNOWN: &str = "unknown";
/// The codes with their names as the Go libraries write them; the index is the number (gRPC, "Status codes").
const CODES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Cancelled, "Canceled"),
    (Code::Unknown, "Unknown"),
    (Code::InvalidArgument, "InvalidArgument"),
    (Code::DeadlineExceeded, "DeadlineExceeded"),
    (Code::NotFound, "NotFound"),
    (Code::AlreadyExists, "AlreadyExists"),
    (Code::PermissionDenied, "PermissionDenied"),
    (Code::ResourceExhausted, "ResourceExhausted"),
    (Code::FailedPrecondition, "FailedPrecondition"),
    (Code::Aborted, "Aborted"),
    (Code::OutOfRange, "OutOfRange"),
    (Code::Unimplemented, "Unimplemented"),
    (Code::Internal, "Internal"),
    (Code::Unavailable, "Unavailable"),
    (Code::DataLoss, "DataLoss"),
    (Code::Unauthenticated, "Unauthenticated"),
];

/// Counts calls. Make it after [`Metrics::install`](super::Metrics::install): it registers its series at once, at zero.
#[derive(Clone)]
pub struct GrpcMetricsLayer {
    methods: Arc<Methods>,
}

struct Methods {
    known: BTreeMap<String, Arc<Method>>,
    unknown: Arc<Method>,
}

/// The series of one method.
struct Method {
    started: Counter,
    handled: [Counter; CODES.len()],
    durations: [Histogram; CODES.len()],
}

impl GrpcMetricsLayer {
    /// A layer for the methods of Parlor's contract, of health and of reflection.
    ///
    /// # Panics
    /// A descriptor set that was compiled in does not decode.
    pub fn new() -> Self {
        let sets = [
            parlor_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut known = BTreeMap::new();
        for set in sets {
            let set = FileDescriptorSet::decode(set).expect("the descriptor sets are compiled in");
            for file in set.file {
                for service in &file.service {
                    let full_name = format!("{}.{}", file.package(), service.name());
                    for method in &service.method {
                        let path = format!("/{full_name}/{}", method.name());
                        known.insert(path, Arc::new(Method::new(kind(method), &full_name, method.name())));
                    }
                }
            }
        }
        let unknown = Arc::new(Method::new(UNKNOWN, UNKNOWN, UNKNOWN));
        Self { methods: Arc::new(Methods { known, unknown }) }
    }
}

impl Default for GrpcMetricsLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for GrpcMetricsLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcMetricsLayer").field("methods", &self.methods.known.len()).finish()
    }
}

/// The `grpc_type` of a method.
fn kind(method: &MethodDescriptorProto) -> &'static str {
    match (method.client_streaming(), method.server_streaming()) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "bidi_stream",
    }
}

impl Method {
    fn new(kind: &'static str, service: &str, method: &str) -> Self {
        let labels =
            [("grpc_type", kind.to_owned()), ("grpc_service", service.to_owned()), ("grpc_method", method.to_owned())];
        let started = counter!(names::GRPC_STARTED, &labels);
        started.increment(0);
        let handled = CODES.map(|(_, code)| {
            let [kind, service, method] = labels.clone();
            let handled = counter!(names::GRPC_HANDLED, &[kind, service, method, ("grpc_code", code.to_owned())]);
            handled.increment(0);
            handled
        });
        let rpc_method = if service == UNKNOWN { "_OTHER".to_owned() } else { format!("{service}/{method}") };
        let durations = CODES.map(|(_, code)| {
            let labels = [("rpc_method", rpc_method.clone()), ("rpc_status_code", code.to_owned())];
            histogram!(names::RPC_DURATION, &labels)
        });
        Self { started, handled, durations }
    }
}

impl<S> Layer<S> for GrpcMetricsLayer {
    type Service = GrpcMetricsService<S>;

    fn layer(&self, inner: S) -> GrpcMetricsService<S> {
        GrpcMetricsService { inner, methods: Arc::clone(&self.methods) }
    }
}

/// The service of [`GrpcMetricsLayer`].
#[derive(Clone)]
pub struct GrpcMetricsService<S> {
    inner: S,
    methods: Arc<Methods>,
}

impl<S, B> Service<Request<B>> for GrpcMetricsService<S>
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
        let method = self.methods.known.get(request.uri().path()).unwrap_or(&self.methods.unknown);
        method.started.increment(1);
        let mut call = Call { method: Arc::clone(method), since: Instant::now(), code: Code::Cancelled };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            call.read(response.headers());
            Ok(response.map(|body| Body::new(CountedBody { body, call })))
        })
    }
}

/// A call that is counted when it ends, however it does: one that is dropped before it says a code was cancelled.
struct Call {
    method: Arc<Method>,
    since: Instant,
    code: Code,
}

impl Call {
    fn read(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(Status::GRPC_STATUS) {
            self.code = Code::from_bytes(status.as_bytes());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let index = CODES.iter().position(|(code, _)| *code == self.code).expect("every code is in the table");
        self.method.handled[index].increment(1);
        self.method.durations[index].record(self.since.elapsed());
    }
}

/// A body that looks for the code in its trailers.
struct CountedBody {
    body: Body,
    call: Call,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let poll = Pin::new(&mut self.body).poll_frame(context);
        match &poll {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.call.read(trailers);
                }
            }
            Poll::Ready(Some(Err(status))) => self.call.code = status.code(),
            Poll::Ready(None) | Poll::Pending => {}
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt as _, service_fn};

    use super::{super::recorder, *};
    use crate::telemetry::Metrics;

    fn answer(request: &Request<Body>) -> Response<Body> {
        match request.uri().path() {
            "/parlor.v1.RoomService/GetRoom" => Status::not_found("gone").into_http(),
            "/parlor.v1.RoomService/ListRooms" => {
                let mut trailers = HeaderMap::new();
                Status::new(Code::Ok, "").add_header(&mut trailers).expect("a status without text");
                let frames = [Ok::<_, Status>(Frame::data(Bytes::from_static(b"x"))), Ok(Frame::trailers(trailers))];
                Response::new(Body::new(http_body_util::StreamBody::new(futures_util::stream::iter(frames))))
            }
            _ => Response::new(Body::new(http_body_util::StreamBody::new(futures_util::stream::pending::<
                Result<Frame<Bytes>, Status>,
            >()))),
        }
    }

    #[test]
    fn calls_are_counted_by_method_and_code() {
        use http_body_util::BodyExt as _;
        let recorder = recorder::builder().build_recorder();
        let metrics = Metrics::of(&recorder);
        metrics::with_local_recorder(&recorder, || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let inner = service_fn(|request: Request<Body>| async move { Ok::<_, Infallible>(answer(&request)) });
                let service = GrpcMetricsLayer::new().layer(inner);
                let call = |path: &str| {
                    let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
                    service.clone().oneshot(request)
                };
                drop(call("/parlor.v1.RoomService/GetRoom").await);
                let listed = call("/parlor.v1.RoomService/ListRooms").await.expect("infallible");
                listed.into_body().collect().await.expect("a body");
                drop(call("/parlor.v1.VoiceEventService/SubscribeVoiceEvents").await);
                drop(call("/parlor.v1.RoomService/made_up_by_the_caller").await);
            });
        });
        let text = metrics.render();
        for line in [
            r#"grpc_server_started_total{grpc_type="unary",grpc_service="parlor.v1.RoomService",grpc_method="GetRoom"} 1"#,
            r#"grpc_server_handled_total{grpc_type="unary",grpc_service="parlor.v1.RoomService",grpc_method="GetRoom",grpc_code="NotFound"} 1"#,
            r#"grpc_server_handled_total{grpc_type="unary",grpc_service="parlor.v1.RoomService",grpc_method="ListRooms",grpc_code="OK"} 1"#,
            r#"grpc_server_handled_total{grpc_type="unary",grpc_service="parlor.v1.RoomService",grpc_method="EndRoom",grpc_code="Internal"} 0"#,
            r#"grpc_server_handled_total{grpc_type="server_stream",grpc_service="parlor.v1.VoiceEventService",grpc_method="SubscribeVoiceEvents",grpc_code="Canceled"} 1"#,
            r#"grpc_server_handled_total{grpc_type="unknown",grpc_service="unknown",grpc_method="unknown",grpc_code="Canceled"} 1"#,
            r#"rpc_server_call_duration_seconds_count{rpc_method="parlor.v1.RoomService/GetRoom",rpc_status_code="NotFound"} 1"#,
        ] {
            assert!(text.lines().any(|rendered| rendered == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("made_up"), "a label came from the wire");
    }
}
