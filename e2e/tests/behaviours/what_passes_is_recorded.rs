//! Every event stream that passes between a client and the server of a house is recorded, whatever the client is.

use discord_emulator::LOBBY;
use parlor_client::v1::{self, subscribe_voice_events_request::Start, subscribe_voice_events_response::Body};
use parlor_e2e::{
    House, Issuer, Process, Token,
    validator::{Detail, From, Recording, Step},
};

/// The recordings that were made on the wire.
fn on_the_wire(house: &House) -> Vec<Recording> {
    let all = house.archive().recordings().into_iter();
    all.filter(|recording| recording.name.starts_with("on the wire")).collect()
}

/// What a recording holds, in words; what comes in parts, once.
fn told(recording: &Recording) -> Vec<&'static str> {
    let bodies = recording.steps.iter().filter_map(|step| match step {
        Step::Opened { .. } => Some("opened"),
        Step::Frame { frame, .. } => match frame.body.as_ref()? {
            Body::Hello(_) => Some("hello"),
            Body::SnapshotBegin(_) => Some("begin"),
            Body::SnapshotItems(_) => Some("items"),
            Body::SnapshotEnd(_) => Some("end"),
            Body::Event(_) => Some("event"),
            Body::Bookmark(_) | Body::Reset(_) | Body::Discontinuity(_) | Body::Draining(_) => None,
        },
        Step::Refused { .. } | Step::Ended { .. } | Step::Settled { .. } => None,
    });
    let mut told: Vec<_> = bodies.collect();
    told.dedup();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_and_grpc_web_are_recorded_from_the_first_frame_on() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    let mut python = Process::client(&house, "python/subscribe.py", &[]);
    let mut node = Process::client(&house, "node/subscribe.mjs", &[]);
    for subscriber in [&mut python, &mut node] {
        subscriber.until(|line| line["frame"] == "snapshot_end").await;
    }
    house.emulator.user("ann").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;
    for subscriber in [&mut python, &mut node] {
        subscriber.until(|line| line["frame"] == "event").await;
    }
    let recordings = on_the_wire(&house);
    let agents: Vec<&str> = recordings.iter().map(|recording| recording.name.as_str()).collect();
    assert_eq!(recordings.len(), 3, "{agents:?}");
    for recording in &recordings {
        assert_eq!(recording.detail, Detail::Whole);
        assert_eq!(told(recording), ["opened", "hello", "begin", "items", "end", "event"], "{}", recording.name);
    }
}

/// What a token covers, what is asked for and where it begins are read from the request.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_read_as_its_server_reads_it() {
    let house = House::start().await;
    let guild = discord_emulator::PARLOR_DEV.to_string();
    let token = Issuer::get().sign(&Token { guilds: vec![guild.clone()], ..Token::default() });
    let parlor = house.parlor_with(&token).await;
    let mut wide = parlor.subscribe(v1::SubscribeVoiceEventsRequest::default()).await.unwrap();
    let (mut cursor, mut filter_id) = (String::new(), String::new());
    while cursor.is_empty() {
        let frame = wide.next().await.unwrap().expect("the stream goes on");
        if let Some(Body::Hello(hello)) = &frame.body {
            filter_id.clone_from(&hello.filter_id);
        }
        cursor = frame.cursor;
    }
    let request = v1::SubscribeVoiceEventsRequest {
        channel_ids: vec![LOBBY.to_string()],
        start: Some(Start::Cursor(cursor.clone())),
        filter_id: filter_id.clone(),
        ..Default::default()
    };
    let mut narrow = parlor.subscribe(request).await.unwrap();
    narrow.next().await.unwrap().expect("the stream goes on");
    let reset = narrow.next().await.unwrap().expect("the stream goes on");
    assert!(matches!(reset.body, Some(Body::Reset(_))), "another filter: {reset:?}");
    let recordings = on_the_wire(&house);
    let [_, narrow] = recordings.as_slice() else { panic!("{} recordings", recordings.len()) };
    assert_eq!(narrow.sight.granted, Some([guild].into()));
    assert_eq!(narrow.sight.rooms, [LOBBY.to_string()].into());
    assert_eq!(narrow.filter_id, filter_id);
    assert!(matches!(&narrow.steps[0], Step::Opened { from: From::Cursor(from), .. } if *from == cursor));
}
