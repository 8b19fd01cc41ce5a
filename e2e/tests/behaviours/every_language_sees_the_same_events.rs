//! discord.js and discord.py, unmodified, create a channel, join, move and leave; a Rust, a Python and a Node subscriber
//! see the same events in the same order.

use discord_emulator::{LOBBY, PARLOR_DEV};
use parlor_client::v1::{self, subscribe_voice_events_response::Body, voice_event::Kind};
use parlor_e2e::{House, Process, Watcher, check_promises};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_language_sees_the_same_events() {
    let house = House::start().await;
    let guild = PARLOR_DEV.to_string();
    let (mut js, mut py) = tokio::join!(
        Process::bot(&house, "node/discord_bot.mjs", "a.discord.js.bot"),
        Process::bot(&house, "python/discord_bot.py", "a.discord.py.bot"),
    );

    let mut rust = house.watch().await;
    let mut python = Process::client(&house, "python/subscribe.py", &["--guild", &guild]);
    let mut node = Process::client(&house, "node/subscribe.mjs", &["--guild", &guild]);
    for subscriber in [&mut python, &mut node] {
        subscriber.until(|line| line["frame"] == "snapshot_end").await;
    }

    let made = js.ask(json!({"do": "create_channel", "guild": guild, "name": "By discord.js"})).await;
    let room = made["channel"].as_str().expect("an id").to_owned();
    py.until(|line| line["event"] == "channelCreate" && line["channel"] == room.as_str()).await;
    for bot in [&mut js, &mut py] {
        let moved = |to: &str| {
            let to = to.to_owned();
            move |line: &Value| line["event"] == "voiceStateUpdate" && line["to"] == to.as_str()
        };
        bot.ask(json!({"do": "join", "guild": guild, "channel": LOBBY.to_string()})).await;
        bot.until(moved(&LOBBY.to_string())).await;
        bot.ask(json!({"do": "move", "guild": guild, "channel": room})).await;
        bot.until(moved(&room)).await;
    }
    py.ask(json!({"do": "leave", "guild": guild})).await;
    py.until(|line| line["event"] == "voiceStateUpdate" && line["to"] == "").await;
    // The other bot is still inside: it leaves because its room ends.
    js.ask(json!({"do": "delete_channel", "channel": room})).await;

    let ended = |line: &Value| line["kind"] == "room_ended" && line["room"] == room.as_str();
    let seen_by_rust = read_rust(&mut rust, &room).await;
    let seen_by_python = read(&mut python, ended).await;
    let seen_by_node = read(&mut node, ended).await;
    let kinds: Vec<&str> = seen_by_rust.iter().map(|event| event[1].as_str().expect("text")).collect();
    let of_a_bot = ["participant_joined", "participant_moved"];
    let expected =
        [&["room_created"][..], &of_a_bot, &of_a_bot, &["participant_left", "participant_left", "room_ended"]].concat();
    assert_eq!(kinds, expected);
    assert_eq!(seen_by_python, seen_by_rust);
    assert_eq!(seen_by_node, seen_by_rust);
    check_promises(rust.seen());
    rust.until_it_sees_the_truth(&house).await;
    for program in [js, py, python, node] {
        program.finish().await;
    }
}

/// Sequence, kind, room, user and the room before, of every event up to one.
async fn read(subscriber: &mut Process, last: impl Fn(&Value) -> bool) -> Vec<Vec<Value>> {
    let mut seen = Vec::new();
    loop {
        let line = subscriber.line().await.expect("the stream goes on");
        if line["frame"] == "event" {
            seen.push(["sequence", "kind", "room", "user", "from"].map(|field| line[field].clone()).to_vec());
        }
        if last(&line) {
            return seen;
        }
    }
}

async fn read_rust(watcher: &mut Watcher, room: &str) -> Vec<Vec<Value>> {
    let is_end = |body: &Body| {
        let Body::Event(v1::VoiceEvent { kind: Some(Kind::RoomEnded(ended)), .. }) = body else { return false };
        ended.room.as_ref().is_some_and(|ended| ended.room_id == room)
    };
    watcher.until_frame(is_end).await;
    watcher.seen().iter().filter_map(in_short).collect()
}

fn in_short(frame: &v1::SubscribeVoiceEventsResponse) -> Option<Vec<Value>> {
    let Some(Body::Event(event)) = &frame.body else { return None };
    let of_room = |kind: &'static str, room: &Option<v1::Room>| {
        (kind, room.clone().unwrap().room_id, String::new(), String::new())
    };
    let of_user = |kind: &'static str, who: &Option<v1::Participant>, from: &str| {
        let who = who.clone().unwrap();
        (kind, who.room_id, who.user_id, from.to_owned())
    };
    let (kind, room, user, from) = match event.kind.as_ref().unwrap() {
        Kind::RoomCreated(it) => of_room("room_created", &it.room),
        Kind::RoomUpdated(it) => of_room("room_updated", &it.room),
        Kind::RoomEnded(it) => of_room("room_ended", &it.room),
        Kind::ParticipantJoined(it) => of_user("participant_joined", &it.participant, ""),
        Kind::ParticipantLeft(it) => of_user("participant_left", &it.participant, ""),
        Kind::ParticipantMoved(it) => of_user("participant_moved", &it.participant, &it.from_room_id),
        Kind::ParticipantUpdated(it) => of_user("participant_updated", &it.participant, ""),
        Kind::GuildUpdated(_) => ("guild_updated", String::new(), String::new(), String::new()),
    };
    Some(vec![json!(frame.sequence), json!(kind), json!(room), json!(user), json!(from)])
}
