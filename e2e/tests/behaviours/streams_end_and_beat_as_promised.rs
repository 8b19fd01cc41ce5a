//! What the contract says of a stream's life, on the wire: that it beats, with what it ends and where, and what a reader is told
//! that was too slow.

use std::{str::FromStr as _, time::Duration};

use discord_emulator::{GAMES, LOBBY, OTHER_GUILD};
use parlor_client::v1::{
    self, reset, subscribe_voice_events_request as request, subscribe_voice_events_response::Body,
    voice_event_service_client::VoiceEventServiceClient,
};
use parlor_e2e::{House, Issuer, Setup, Token, Watcher, soon};
use parlor_server::config::Config;
use tonic::{
    Code, Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::Endpoint,
};

type Frame = v1::SubscribeVoiceEventsResponse;

/// Opens a stream with generated code alone: nothing on the way reads ahead, or reads a trailer in our place.
async fn open(house: &House, request: v1::SubscribeVoiceEventsRequest, deadline: Option<Duration>) -> Streaming<Frame> {
    let address = format!("http://{}", house.api());
    // As small as a window gets: what nobody reads is not taken off the server's hands.
    let endpoint = Endpoint::from_str(&address).expect("an address").initial_stream_window_size(65_535);
    let mut client = VoiceEventServiceClient::new(endpoint.connect().await.expect("the server answers"));
    let mut request = Request::new(request);
    let bearer: MetadataValue<Ascii> = format!("Bearer {}", house.token()).parse().expect("a header");
    request.metadata_mut().insert("authorization", bearer);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    client.subscribe_voice_events(request).await.expect("it opens").into_inner()
}

fn latest() -> v1::SubscribeVoiceEventsRequest {
    let start = request::Start::StartAt(v1::StartAt::Latest.into());
    v1::SubscribeVoiceEventsRequest { start: Some(start), ..Default::default() }
}

/// Reads to the end: the last frame, and what the stream ended with.
async fn ending(mut stream: Streaming<Frame>) -> (Option<Frame>, Status) {
    let mut last = None;
    let reading = async {
        loop {
            match stream.message().await {
                Ok(Some(frame)) => last = Some(frame),
                Ok(None) => panic!("it ends without a word"),
                Err(status) => return status,
            }
        }
    };
    let status = soon("the stream's end", reading).await;
    (last, status)
}

/// The position that a stream ended with, as its trailer says.
fn trailer(status: &Status) -> &str {
    status.metadata().get("parlor-cursor").expect("the trailer").to_str().expect("a cursor")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_token_comes_with_the_position() {
    let house = House::start().await;
    let mut stream = open(&house, latest(), None).await;
    house.emulator.user("ann").joins(LOBBY);
    let held = loop {
        let frame = soon("a frame", stream.message()).await.expect("it goes on").expect("it goes on");
        if matches!(frame.body, Some(Body::Event(_))) {
            break frame.cursor;
        }
    };
    house.advance_the_clock(Duration::from_secs(2 * 3_600));
    house.emulator.user("bob").joins(LOBBY);
    let (last, status) = ending(stream).await;
    assert_eq!(last, None, "nothing is sent to a token that is over");
    assert_eq!((status.code(), trailer(&status)), (Code::Unauthenticated, held.as_str()));

    // From there on nothing is missing.
    let later = parlor_e2e::seconds_now() + 2 * 3_600;
    let fresh = Issuer::get().sign(&Token { iat: later, exp: later + 60, ..Token::default() });
    let start = Some(request::Start::Cursor(trailer(&status).to_owned()));
    let parlor = house.parlor_with(&fresh).await;
    let mut watcher =
        Watcher::subscribe(&house, &parlor, v1::SubscribeVoiceEventsRequest { start, ..Default::default() }, None)
            .await;
    watcher.until_frame(|body| matches!(body, Body::Event(_))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_stream_and_says_where() {
    let house = House::start().await;
    let stream = open(&house, latest(), Some(Duration::from_secs(2))).await;
    house.emulator.user("ann").joins(LOBBY);
    let (last, status) = ending(stream).await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let last = last.expect("a bookmark, and what happened meanwhile");
    assert_eq!(trailer(&status), last.cursor);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_grows_old_is_asked_to_move_on() {
    // No setting makes it so short, and no test waits for longer.
    let impatient = |config: &mut Config| config.limits.stream_age = Duration::from_millis(500);
    let house = Setup::default().adjusted(impatient).start().await;
    let (last, status) = ending(open(&house, latest(), None).await).await;
    let last = last.expect("a last frame");
    let Some(Body::Draining(draining)) = &last.body else { panic!("{last:?}") };
    assert!(draining.reconnect_after.is_some());
    assert_eq!((status.code(), trailer(&status)), (Code::Unavailable, last.cursor.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_beats() {
    let house = House::start().await;
    let heartbeat = prost_types::Duration { seconds: 5, nanos: 0 };
    // Of a guild in which nothing happens, while much does in another.
    let quiet = v1::SubscribeVoiceEventsRequest {
        guild_ids: vec![OTHER_GUILD.to_string()],
        heartbeat: Some(heartbeat),
        ..latest()
    };
    let mut stream = open(&house, quiet, None).await;
    let mut watcher = house.watch().await;
    let mut next = async || soon("a frame", stream.message()).await.expect("it goes on").expect("it goes on");
    let Some(Body::Hello(hello)) = next().await.body else { panic!("Hello is the first frame") };
    assert_eq!(hello.heartbeat, Some(heartbeat));
    let mut before = next().await;
    for round in 0..2 {
        house.emulator.user("ann").joins(if round == 0 { LOBBY } else { GAMES });
        watcher.until_it_sees_the_truth(&house).await;
        let beat = next().await;
        assert!(matches!(beat.body, Some(Body::Bookmark(_))), "{beat:?}");
        assert_eq!(beat.prev_sequence, before.sequence, "the chain goes on");
        assert!(beat.sequence > before.sequence, "it covers what happened elsewhere");
        before = beat;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_too_slow_is_told_and_begins_anew() {
    let small = Setup::default().set("events.retention_entries", "100").set("events.retention_time", "0s");
    let house = small.start().await;
    let mut stream = open(&house, latest(), None).await;
    let mut watcher = house.watch().await;
    // More than the windows and the server's buffer hold: about 300 bytes each.
    for round in 0..1_000 {
        house.emulator.user("ann").joins(if round % 2 == 0 { LOBBY } else { GAMES });
        if round % 20 == 0 {
            watcher.until_it_sees_the_truth(&house).await;
        }
    }
    watcher.until_it_sees_the_truth(&house).await;
    let mut told = Vec::new();
    let reset = loop {
        let frame = soon("a frame", stream.message()).await.expect("it goes on").expect("it goes on");
        let body = frame.body.expect("a body");
        if let Body::Reset(reset) = body {
            break reset;
        }
        told.push(body);
    };
    assert_eq!(reset.reason(), reset::Reason::SlowConsumer);
    assert!(told.len() < 1_000, "{} frames were sent before it", told.len());
    let snapshot = soon("a frame", stream.message()).await.expect("it goes on").expect("it goes on");
    assert!(matches!(snapshot.body, Some(Body::SnapshotBegin(_))), "at once: {snapshot:?}");
}
