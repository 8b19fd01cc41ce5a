//! CreateRoom over grpcurl, Python, Rust, grpc-web and C++ makes a channel that discord.js sees; EndRoom takes it away.

use discord_emulator::PARLOR_DEV;
use parlor_client::v1;
use parlor_e2e::{House, Process, check_promises, grpcurl};
use serde_json::{Value, json};

async fn bot(house: &House) -> Process {
    Process::bot(house, "node/discord_bot.mjs", "a.discord.js.bot").await
}

async fn sees(bot: &mut Process, event: &str, room: &str) {
    bot.until(|line| line["event"] == event && line["channel"] == room).await;
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_makes_and_ends_a_room() {
    let house = House::start().await;
    let mut bot = bot(&house).await;
    let request = json!({"guild_id": PARLOR_DEV.to_string(), "display_name": "By grpcurl", "user_limit": 5});
    let made = grpcurl(&house, &house.token(), &request, "parlor.v1.RoomService/CreateRoom").await.expect("made");
    assert_eq!((&made["room"]["displayName"], &made["room"]["managed"]), (&json!("By grpcurl"), &json!(true)));
    let room = text(&made["room"]["roomId"]);
    sees(&mut bot, "channelCreate", &room).await;
    let end = json!({"room_id": room, "audit_log_reason": "done"});
    let ended = grpcurl(&house, &house.token(), &end, "parlor.v1.RoomService/EndRoom").await.expect("ended");
    assert_eq!(ended["room"]["state"], "STATE_ENDED");
    sees(&mut bot, "channelDelete", &room).await;
    bot.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_makes_and_ends_a_room() {
    let house = House::start().await;
    let mut bot = bot(&house).await;
    let mut watcher = house.watch().await;
    let parlor = house.parlor().await;
    let room = parlor
        .create_room(v1::CreateRoomRequest {
            guild_id: PARLOR_DEV.to_string(),
            display_name: "By Rust".to_owned(),
            ..Default::default()
        })
        .await
        .expect("made");
    assert_eq!(parlor.get_room(&room.room_id).await.expect("there"), room);
    sees(&mut bot, "channelCreate", &room.room_id).await;
    watcher.until_it_sees_the_truth(&house).await;
    let end = v1::EndRoomRequest { room_id: room.room_id.clone(), ..Default::default() };
    let ended = parlor.end_room(end.clone()).await.expect("ended");
    assert!(!ended.already_gone);
    sees(&mut bot, "channelDelete", &room.room_id).await;
    assert!(parlor.end_room(end).await.expect("ended twice").already_gone);
    watcher.until_it_sees_the_truth(&house).await;
    check_promises(watcher.seen());
    bot.finish().await;
}

/// The room programs of Python and of Node over grpc-web take the same commands and print the same lines.
async fn a_program_makes_and_ends_a_room(program: &str) {
    let house = House::start().await;
    let mut bot = bot(&house).await;
    let guild = PARLOR_DEV.to_string();
    let run = async |arguments: &[&str]| {
        let lines = Process::client(&house, program, arguments).finish().await;
        lines.last().expect("a line").clone()
    };
    let made = run(&["create", "--guild", &guild, "--name", "By a program"]).await;
    let room = text(&made["room"]["room"]);
    sees(&mut bot, "channelCreate", &room).await;
    let listed = run(&["list", "--guild", &guild]).await;
    assert!(
        listed["rooms"].as_array().expect("a list").iter().any(|listed| listed["room"] == room.as_str()),
        "{listed}"
    );
    let ended = run(&["end", "--room", &room]).await;
    assert_eq!((&ended["already_gone"], &ended["room"]["state"]), (&json!(false), &json!("ended")), "{ended}");
    sees(&mut bot, "channelDelete", &room).await;
    bot.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_makes_and_ends_a_room() {
    a_program_makes_and_ends_a_room("python/rooms.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_makes_and_ends_a_room() {
    a_program_makes_and_ends_a_room("node/rooms.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cpp_makes_a_room_and_receives_its_first_event() {
    let house = House::start().await;
    let mut bot = bot(&house).await;
    let mut program = Process::client(&house, "cpp/rooms_and_events", &[&PARLOR_DEV.to_string(), "By C++"]);
    let made = program.until(|line| line.get("room").is_some()).await;
    let room = text(&made["room"]["room"]);
    sees(&mut bot, "channelCreate", &room).await;
    house.emulator.user("ann").joins(room.parse().expect("an id"));
    let event = program.until(|line| line["frame"] == "event").await;
    assert_eq!((&event["kind"], &event["room"]), (&json!("participant_joined"), &json!(room)));
    program.finish().await;
    bot.finish().await;
}

/// What CreateRoom answers is a place from which nothing of the room is missed.
#[tokio::test(flavor = "multi_thread")]
async fn the_cursor_of_a_new_room_misses_nothing_of_it() {
    let house = House::start().await;
    let guild = PARLOR_DEV.to_string();
    for (rooms, subscribe) in [("python/rooms.py", "node/subscribe.mjs"), ("node/rooms.mjs", "python/subscribe.py")] {
        let made = Process::client(&house, rooms, &["create", "--guild", &guild, "--name", "Watched"]).finish().await;
        let made = made.last().expect("a line");
        let room = text(&made["room"]["room"]);
        house.emulator.user("ann").joins(room.parse().expect("an id"));
        let arguments = ["--room", &room, "--cursor", &text(&made["cursor"]), "--count", "1"];
        let lines = Process::client(&house, subscribe, &arguments).finish().await;
        let frames: Vec<_> = lines.iter().map(|line| line["frame"].as_str().unwrap_or("end")).collect();
        assert_eq!(frames, ["hello", "event", "end"], "{lines:?}");
        assert_eq!(lines[1]["kind"], "participant_joined");
        house.emulator.user("ann").leaves();
    }
}

/// The same request twice makes one room, also when both are under way at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_makes_one_room() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let request = v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: "Once".to_owned(),
        request_id: "0c3c0c3c-0c3c-4c3c-8c3c-0c3c0c3c0c3c".to_owned(),
        ..Default::default()
    };
    let (first, second) = tokio::join!(parlor.create_room(request.clone()), parlor.create_room(request.clone()));
    let first = first.expect("made");
    assert_eq!(first.room_id, second.expect("the same").room_id);
    assert_eq!(parlor.create_room(request.clone()).await.expect("still the same").room_id, first.room_id);
    let named = house.emulator.world(|world| world.channels_named("Once").count());
    assert_eq!(named, 1);
    let other = v1::CreateRoomRequest { display_name: "Twice".to_owned(), ..request };
    let refused = parlor.create_room(other).await.expect_err("another room under the same id");
    assert_eq!(refused.reason.as_deref(), Some("REQUEST_ID_REUSED"));
}
