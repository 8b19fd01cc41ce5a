//! Calls as they come out of HTTP: plain gRPC and grpc-web, binary and text, through every layer of the edge.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use parlor_proto::v1::room_service_server::RoomServiceServer;
use parlor_server::{
    auth::{Authenticator, Keys},
    config::{AllowedOrigins, LimitsConfig},
    edge::{self, EdgeService},
    telemetry::GrpcMetricsLayer,
};
use tokio::runtime::Runtime;
use tonic::{Status, body::Body, service::Routes};
use tower::ServiceExt as _;

use crate::{input, keys, scene};

/// Frames of one answer that are looked at: a stream of events has no end of its own.
const FRAMES: usize = 32;

thread_local! {
    static RUNTIME: Runtime = scene::runtime();
    static EDGE: EdgeService = RUNTIME.with(|runtime| runtime.block_on(async { edge() }));
}

fn edge() -> EdgeService {
    let authenticator = Authenticator::new(keys::verifier(), Keys::fixed(keys::key_set()), Arc::new(keys::now));
    let origins = AllowedOrigins::Only(BTreeSet::from(["https://app.example".parse().expect("an origin")]));
    // The rooms' hub is empty, so that no call gets as far as asking Discord.
    let rooms = RoomServiceServer::new(scene::rooms(scene::empty_hub())).max_decoding_message_size(64 * 1024);
    let routes = Routes::new(rooms).add_service(scene::events(scene::full_hub()));
    edge::service(
        routes,
        Arc::new(authenticator),
        origins,
        &LimitsConfig::default(),
        &scene::rates(),
        GrpcMetricsLayer::new(),
    )
}

/// Requests to the edge. One without `authorization` gets a sound token, and `authorization: none` gets none. Every
/// request is answered, never with a mistake of ours; an answer to grpc-web is whole frames with the status last; and
/// nobody without a sound token gets anything from a service of Parlor's.
pub fn grpc_web_body(data: &[u8]) {
    let edge = EDGE.with(Clone::clone);
    for request in input::requests(data).take(4) {
        RUNTIME.with(|runtime| runtime.block_on(call(edge.clone(), request)));
    }
}

/// What came back.
#[derive(Debug)]
struct Answer {
    http: StatusCode,
    headers: HeaderMap,
    data: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    is_whole: bool,
}

async fn call(edge: EdgeService, request: Request<Vec<u8>>) {
    let (mut head, body) = request.into_parts();
    match head.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes) {
        None => {
            let value = format!("Bearer {}", keys::token_for_everything());
            head.headers.insert(header::AUTHORIZATION, value.parse().expect("a token fits a header"));
        }
        Some(b"none") => {
            head.headers.remove(header::AUTHORIZATION);
        }
        Some(_) => {}
    }
    let is_ours = head.uri.path().starts_with("/parlor.v1.");
    let is_known = head.headers.get_all(header::AUTHORIZATION).iter().count() == 1
        && head.headers[header::AUTHORIZATION].to_str().is_ok_and(|value| {
            value.split_once(' ').is_some_and(|(_, token)| token.trim_start() == keys::token_for_everything())
        });
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("").to_owned();
    let request = Request::from_parts(head, Body::new(Full::new(Bytes::from(body))));
    let answer = ask(edge, request).await;

    assert!(answer.http.as_u16() < 500, "{answer:?}");
    if let Some(status) = Status::from_header_map(&answer.headers)
        && !status.details().is_empty()
    {
        scene::refused(&status);
    }
    let status = grpc_status(&answer, &kind);
    if let Some(status) = status {
        assert!(status <= 16, "gRPC has no status {status}");
    }
    if is_ours && !is_known && kind.starts_with("application/grpc") {
        // 16 is UNAUTHENTICATED; what never became a call is refused by HTTP.
        assert!(status == Some(16) || answer.http.is_client_error() || answer.http == 204, "served nobody: {answer:?}");
        assert!(answer.data.iter().all(Bytes::is_empty), "told nobody something: {answer:?}");
    }
}

async fn ask(edge: EdgeService, request: Request<Body>) -> Answer {
    let answer = edge.oneshot(request).await.unwrap_or_else(|never| match never {});
    let (head, mut body) = answer.into_parts();
    let mut answer =
        Answer { http: head.status, headers: head.headers, data: Vec::new(), trailers: None, is_whole: false };
    for _ in 0..FRAMES {
        // No time: what is not ready now waits for something to happen in a room.
        let Ok(frame) = tokio::time::timeout(Duration::ZERO, body.frame()).await else { break };
        match frame {
            None => {
                answer.is_whole = true;
                break;
            }
            Some(frame) => match frame.expect("our own answer").into_data() {
                Ok(data) => answer.data.push(data),
                Err(frame) => answer.trailers = frame.into_trailers().ok(),
            },
        }
    }
    answer
}

/// The status of the call, wherever the answer carries it. Panics where a whole answer to a call has none, or where an
/// answer to grpc-web is not whole frames.
fn grpc_status(answer: &Answer, asked: &str) -> Option<u16> {
    let number = |headers: &HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
    let early = number(&answer.headers).or_else(|| number(answer.trailers.as_ref()?));
    let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    if early.is_some() || !kind.starts_with("application/grpc-web") {
        return early;
    }
    assert!(asked.starts_with("application/grpc-web"), "grpc-web for somebody who did not ask for it");
    let decode = |data: &Bytes| match kind.starts_with("application/grpc-web-text") {
        true => BASE64_STANDARD.decode(data).expect("an answer in base64"),
        false => data.to_vec(),
    };
    let bytes: Vec<u8> = answer.data.iter().flat_map(decode).collect();
    let mut rest = bytes.as_slice();
    let mut last = None;
    while let Some((head, after)) = rest.split_first_chunk::<5>() {
        assert_eq!(last, None, "a frame after the trailers");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (body, others) = after.split_at_checked(length).expect("a frame that is whole");
        if head[0] & 0x80 != 0 {
            let text = std::str::from_utf8(body).expect("trailers are text");
            let line = text.lines().find_map(|line| line.strip_prefix("grpc-status:")).expect("trailers with a status");
            last = Some(line.trim().parse().expect("a status is a number"));
        }
        rest = others;
    }
    assert!(rest.is_empty(), "half a frame");
    assert!(last.is_some() || !answer.is_whole, "an answer without a status: {answer:?}");
    last
}
