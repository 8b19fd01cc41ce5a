//! Requests of callers, as messages and as fields.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::{BufMut as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use parlor_proto::v1::{
    self, StartAt, room_service_server::RoomService as _, subscribe_voice_events_request::Start,
    subscribe_voice_events_response::Body as Frame,
};
use parlor_server::{
    hub::Hub,
    services::{EventService, Rooms},
};
use prost::Message as _;
use tokio::runtime::Runtime;
use tonic::{Code, Request, Status, body::Body};
use tower::ServiceExt as _;

use crate::scene;

thread_local! {
    static RUNTIME: Runtime = scene::runtime();
    static ROOMS_OF_NOBODY: Arc<Rooms> = rooms(scene::empty_hub);
    static ROOMS: Arc<Rooms> = rooms(scene::full_hub);
    static EVENTS: EventService = scene::events(scene::full_hub());
}

fn rooms(hub: fn() -> Arc<Hub>) -> Arc<Rooms> {
    RUNTIME.with(|runtime| runtime.block_on(async { Arc::new(scene::rooms(hub())) }))
}

/// Puts the caller beside a message.
fn from_caller<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(scene::caller());
    request
}

/// Any bytes as a `CreateRoomRequest`: the fields that are refused are exactly those that the contract forbids, and what
/// is sound in every field gets as far as the guild, which the bot is not in.
pub fn create_room_request(data: &[u8]) {
    let Ok(request) = v1::CreateRoomRequest::decode(data) else { return };
    let rooms = ROOMS_OF_NOBODY.with(Arc::clone);
    let answer = RUNTIME.with(|runtime| runtime.block_on(rooms.create_room(from_caller(request.clone()))));
    let (reason, fields) = scene::refused(&answer.expect_err("nobody is there to create a room"));
    let (wrong, unclear) = wrong_fields(&request);
    // Of a list, a message or a map, the whole: `policy.max_duration` is of `policy`.
    let fields: BTreeSet<&str> = fields
        .iter()
        .map(|field| field.split(['.', '[']).next().unwrap_or(field))
        .filter(|field| !unclear.contains(field))
        .collect();
    assert_eq!(fields, wrong, "other fields than the contract says are refused: {request:?}");
    match reason.as_str() {
        "INVALID_ARGUMENT" => {}
        "GUILD_UNKNOWN" => assert!(wrong.is_empty()),
        other => panic!("{other} from an empty server: {request:?}"),
    }
}

/// The fields that the comments of `rooms.proto` forbid, and those of which they leave the form open.
fn wrong_fields(request: &v1::CreateRoomRequest) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let mut wrong = BTreeSet::new();
    let mut forbid = |field: &'static str, is_wrong: bool| {
        if is_wrong {
            wrong.insert(field);
        }
    };
    let stage = request.kind == v1::RoomKind::Stage as i32;
    let characters = request.display_name.chars().count();
    let blank = request.display_name.chars().all(char::is_whitespace);
    let (most_people, most_bits) = if stage { (10_000, 64_000) } else { (99, 384_000) };
    let unusual = request.bitrate_bps != 0 && !(8_000..=most_bits).contains(&request.bitrate_bps);
    forbid("guild_id", !is_id(&request.guild_id));
    forbid("display_name", blank || characters > 100 || request.display_name.contains(char::is_control));
    forbid("kind", !(0..=2).contains(&request.kind));
    forbid("category_id", !request.category_id.is_empty() && !is_id(&request.category_id));
    forbid("user_limit", !(0..=most_people).contains(&request.user_limit));
    forbid("bitrate_bps", unusual);
    forbid(
        "region",
        request.region.len() > 100
            || !request.region.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
    );
    forbid("video_quality", !(0..=2).contains(&request.video_quality));
    forbid("status", request.status.chars().count() > 500 || (stage && !request.status.is_empty()));
    forbid("labels", request.labels.len() > 16 || request.labels.iter().any(|(key, value)| wrong_label(key, value)));
    forbid("policy", request.policy.as_ref().is_some_and(wrong_policy));
    forbid("invite", request.invite.as_ref().is_some_and(wrong_invite));
    if let Some(private) = &request.private {
        let ids = private.user_ids.iter().chain(&private.role_ids);
        let crowded = private.user_ids.len() + private.role_ids.len() > 90;
        forbid("private", crowded || !request.permission_overwrites.is_empty() || ids.clone().any(|id| !is_id(id)));
    } else {
        let overwrites = &request.permission_overwrites;
        forbid("permission_overwrites", overwrites.len() > 100 || overwrites.iter().any(wrong_overwrite));
    }
    forbid("audit_log_reason", request.audit_log_reason.chars().count() > 460);
    let digits = request.request_id.bytes().filter(u8::is_ascii_hexdigit).count();
    let hyphenated = request.request_id.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && digits == 32;
    // Besides the form with hyphens there are three that RFC 9562 does not name and libraries read all the same.
    let unclear = !request.request_id.is_empty() && !hyphenated && digits >= 32;
    forbid("request_id", !request.request_id.is_empty() && !hyphenated && !unclear);
    // The contract names some of Discord's permissions as examples, so which other names there are is open.
    let names =
        request.permission_overwrites.iter().flat_map(|overwrite| overwrite.allow.iter().chain(&overwrite.deny));
    let named = names.into_iter().any(|name| !["VIEW_CHANNEL", "CONNECT", "SPEAK"].contains(&name.as_str()));
    let named = named && !wrong.contains("permission_overwrites") && request.private.is_none();
    (wrong, unclear.then_some("request_id").into_iter().chain(named.then_some("permission_overwrites")).collect())
}

/// Any bytes as an `UpdateRoomRequest`: of the fields that its mask names exactly those are refused that the contract
/// forbids, and what is sound gets as far as the room, which is not there.
pub fn update_room_request(data: &[u8]) {
    let Ok(request) = v1::UpdateRoomRequest::decode(data) else { return };
    let rooms = ROOMS_OF_NOBODY.with(Arc::clone);
    let answer = RUNTIME.with(|runtime| runtime.block_on(rooms.update_room(from_caller(request.clone()))));
    let (reason, fields) = scene::refused(&answer.expect_err("there is no room to change"));
    let same = v1::CreateRoomRequest {
        guild_id: request.room_id.clone(),
        display_name: request.display_name.clone(),
        category_id: request.category_id.clone(),
        user_limit: request.user_limit,
        bitrate_bps: request.bitrate_bps,
        region: request.region.clone(),
        video_quality: request.video_quality,
        status: request.status.clone(),
        labels: request.labels.clone(),
        policy: request.policy,
        request_id: request.request_id.clone(),
        audit_log_reason: request.audit_log_reason.clone(),
        permission_overwrites: request.permission_overwrites.clone(),
        ..Default::default()
    };
    let (as_new, unclear) = wrong_fields(&same);
    let private = v1::CreateRoomRequest { private: request.private.clone(), ..Default::default() };
    let private = wrong_fields(&private).0.contains("private");
    let paths = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let always = ["request_id", "audit_log_reason"];
    let names = |field: &str| paths.iter().any(|path| path == field);
    let both = names("permission_overwrites") && names("private");
    let read = |field: &&str| always.contains(field) || (names(field) && !(both && *field == "permission_overwrites"));
    let mut wrong: BTreeSet<&str> = as_new.iter().copied().filter(read).collect();
    if private && names("private") {
        wrong.insert("private");
    }
    if as_new.contains("guild_id") {
        wrong.insert("room_id");
    }
    let settable = |path: &String| MASKABLE.contains(&path.as_str());
    if paths.is_empty() || both || !paths.iter().all(settable) {
        wrong.insert("update_mask");
    }
    let fields: BTreeSet<&str> = fields
        .iter()
        .map(|field| field.split(['.', '[']).next().unwrap_or(field))
        .filter(|field| !unclear.contains(field))
        .collect();
    // Of very many violations not all fit into the answer.
    let many = paths.len() > 16
        || request.permission_overwrites.len() > 8
        || request.private.as_ref().is_some_and(|private| private.user_ids.len() + private.role_ids.len() > 8);
    assert!(many || fields == wrong, "{fields:?} and not {wrong:?} for {request:?}");
    assert!(reason == "INVALID_ARGUMENT" || (reason == "ROOM_UNKNOWN" && wrong.is_empty()), "{reason}: {request:?}");
}

/// What UpdateRoom's mask may name.
const MASKABLE: [&str; 11] = [
    "display_name",
    "category_id",
    "user_limit",
    "bitrate_bps",
    "region",
    "video_quality",
    "status",
    "labels",
    "policy",
    "permission_overwrites",
    "private",
];

fn wrong_label(key: &str, value: &str) -> bool {
    let key_is_good = (1..=63).contains(&key.len())
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ['.', '_', '/', '-'].contains(&c));
    !key_is_good || value.chars().count() > 128 || value.contains(char::is_control)
}

fn wrong_policy(policy: &v1::RoomPolicy) -> bool {
    [policy.empty_timeout, policy.departure_timeout, policy.max_duration].into_iter().flatten().any(|time| {
        let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        nanos != 0 && !((1_000_000_000..=2_592_000_000_000_000).contains(&nanos) && nanos % 1_000_000 == 0)
    })
}

fn wrong_invite(invite: &v1::InviteOptions) -> bool {
    let age = invite.max_age.unwrap_or_default();
    let nanos = i128::from(age.seconds) * 1_000_000_000 + i128::from(age.nanos);
    !(0..=604_800_000_000_000).contains(&nanos) || nanos % 1_000_000_000 != 0 || !(0..=100).contains(&invite.max_uses)
}

fn wrong_overwrite(overwrite: &v1::PermissionOverwrite) -> bool {
    let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let both = overwrite.allow.iter().any(|name| overwrite.deny.contains(name));
    !is_id(&overwrite.id)
        || !(1..=2).contains(&overwrite.kind)
        || both
        || !overwrite.allow.iter().chain(&overwrite.deny).all(is_name)
}

fn is_id(text: &str) -> bool {
    (17..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()
}

/// Any bytes as the body of SubscribeVoiceEvents: they are refused as the contract says, or answered with a Hello.
pub fn subscribe_request(data: &[u8]) {
    let decoded = v1::SubscribeVoiceEventsRequest::decode(data);
    let events = EVENTS.with(Clone::clone);
    match (RUNTIME.with(|runtime| runtime.block_on(subscribe(events, data))), decoded) {
        (Err(status), Err(_)) => {
            assert!(matches!(status.code(), Code::Internal | Code::InvalidArgument), "{status:?} for no message");
        }
        (Ok(_), Err(error)) => panic!("answered what is no message: {error}"),
        (Ok(frame), Ok(request)) => {
            assert_eq!(wrong_parts(&request).1, 0, "accepted {request:?}");
            let Some(Frame::Hello(hello)) = frame.body else { panic!("{frame:?} before the Hello") };
            assert!(!hello.resumed || matches!(request.start, Some(Start::Cursor(_))), "resumed from nowhere");
            let heartbeat = hello.heartbeat.expect("a heartbeat");
            assert!((5..=60).contains(&heartbeat.seconds), "a heartbeat of {heartbeat:?}");
        }
        (Err(status), Ok(request)) => {
            let ((reason, fields), (wrong, count)) = (scene::refused(&status), wrong_parts(&request));
            match reason.as_str() {
                "CURSOR_INVALID" | "CURSOR_EXPIRED" => {
                    assert_eq!(count, 0, "the cursor was looked at before the fields: {request:?}");
                    assert!(matches!(&request.start, Some(Start::Cursor(cursor)) if !cursor.is_empty()));
                }
                "INVALID_ARGUMENT" => {
                    // `kinds[2]` is a value of `kinds`.
                    let bare = |field: &String| field.split('[').next().unwrap_or_default().to_owned();
                    let fields: BTreeSet<String> = fields.iter().map(bare).collect();
                    let fields: BTreeSet<&str> = fields.iter().map(String::as_str).collect();
                    assert!(count > 0 && fields.is_subset(&wrong), "{fields:?} for {request:?}");
                    // Of very many violations not all fit into the answer.
                    assert!(count > 16 || fields == wrong, "{fields:?} and not {wrong:?} for {request:?}");
                }
                other => panic!("{other} for {request:?}"),
            }
        }
    }
}

/// The fields that the comments of `voice_events.proto` forbid, and how many values of theirs.
fn wrong_parts(request: &v1::SubscribeVoiceEventsRequest) -> (BTreeSet<&'static str>, usize) {
    let ids = |ids: &[String]| ids.iter().filter(|id| !is_id(id)).count() + usize::from(ids.len() > 1_000);
    let start = match request.start {
        Some(Start::StartAt(at)) => StartAt::try_from(at).is_err(),
        Some(Start::Cursor(_)) | None => false,
    };
    let heartbeat = request.heartbeat.is_some_and(|span| {
        let nanos = i128::from(span.seconds) * 1_000_000_000 + i128::from(span.nanos);
        !(5_000_000_000..=60_000_000_000).contains(&nanos)
    });
    let wrong = [
        ("guild_ids", ids(&request.guild_ids)),
        ("channel_ids", ids(&request.channel_ids)),
        ("kinds", request.kinds.iter().filter(|kind| !(1..=7).contains(*kind)).count()),
        ("start_at", usize::from(start)),
        ("gap_policy", usize::from(!(0..=2).contains(&request.gap_policy))),
        ("heartbeat", usize::from(heartbeat)),
    ];
    let fields = wrong.iter().filter(|(_, count)| *count > 0).map(|(field, _)| *field).collect();
    (fields, wrong.iter().map(|(_, count)| count).sum())
}

/// Sends a message to the service and reads the first frame of the answer.
async fn subscribe(events: EventService, message: &[u8]) -> Result<v1::SubscribeVoiceEventsResponse, Status> {
    let mut framed = Vec::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("an input is short"));
    framed.put_slice(message);
    let mut request = http::Request::post("/parlor.v1.VoiceEventService/SubscribeVoiceEvents")
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .body(Body::new(Full::new(Bytes::from(framed))))
        .expect("a request");
    request.extensions_mut().insert(scene::caller());
    let answer = events.oneshot(request).await.unwrap_or_else(|never| match never {});
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return Err(status);
    }
    let first = answer.into_body().frame().await.expect("a stream that says something").expect("a frame");
    let data = first.into_data().expect("data before the end");
    // Several frames may come in one piece.
    let (head, frames) = data.split_first_chunk::<5>().expect("a frame has a head");
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    Ok(v1::SubscribeVoiceEventsResponse::decode(&frames[..length]).expect("our own frame"))
}

/// A page token of ListRooms. Bytes after a `^` change the bits of a token that the server made; anything else is a token
/// as it stands. A token is taken if and only if it is of the same question, and then the page goes on after its key.
pub fn page_token(data: &[u8]) {
    let made = list(String::new()).expect("a first page").next_page_token;
    let made = BASE64_URL_SAFE_NO_PAD.decode(made).expect("a token that the server made");
    let token = match data.strip_prefix(b"^") {
        Some(changes) => {
            let changes = changes.iter().copied().chain(std::iter::repeat(0));
            BASE64_URL_SAFE_NO_PAD
                .encode(made.iter().zip(changes).map(|(byte, change)| byte ^ change).collect::<Vec<_>>())
        }
        None => crate::input::text(data),
    };
    let key = |bytes: &[u8]| {
        let words: Vec<u64> =
            bytes.chunks(8).map(|word| u64::from_be_bytes(word.try_into().expect("8 bytes"))).collect();
        (words[1], words[2])
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&token).ok().filter(|bytes| bytes.len() == 24 && bytes[..8] == made[..8]);
    match (list(token.clone()), bytes) {
        (Ok(page), None) => {
            assert!(token.is_empty(), "took a token that is none: {page:?}");
        }
        (Ok(page), Some(bytes)) => {
            let id = |text: &str| text.parse::<u64>().expect("an id");
            let keys: Vec<(u64, u64)> = page.rooms.iter().map(|room| (id(&room.guild_id), id(&room.room_id))).collect();
            assert!(keys.iter().all(|room| *room > key(&bytes)), "the page does not go on");
            assert!(keys.is_sorted() && keys.len() <= 2);
        }
        (Err(status), None) => {
            let expected = ("INVALID_ARGUMENT".to_owned(), BTreeSet::from(["page_token".to_owned()]));
            assert_eq!(scene::refused(&status), expected);
        }
        (Err(status), Some(_)) => panic!("refused its own token: {status:?}"),
    }
}

fn list(page_token: String) -> Result<v1::ListRoomsResponse, Status> {
    let request = v1::ListRoomsRequest { page_token, page_size: 2, ..v1::ListRoomsRequest::default() };
    let rooms = ROOMS.with(Arc::clone);
    let answer = RUNTIME.with(|runtime| runtime.block_on(rooms.list_rooms(from_caller(request))));
    answer.map(tonic::Response::into_inner)
}
