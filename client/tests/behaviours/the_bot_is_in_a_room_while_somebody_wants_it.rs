//! `parlor voice join`, `leave` and `watch`.

use discord_emulator::LOBBY;
use parlor_e2e::{House, sound_file::caller};

use crate::program::{Running, parlor, run};

/// Waits until the bot is in the lobby, or is not.
async fn until_there(house: &House, there: bool) {
    let bot = house.emulator.bot(house.bot_token()).unwrap();
    let is_there = || house.emulator.rooms()[&LOBBY].contains(&bot);
    parlor_e2e::soon("the bot's coming or going", async {
        while is_there() != there {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Ctrl-C, for a caller.
fn hang_up(caller: &tokio::process::Child) {
    let script = format!("kill -INT {}", caller.id().expect("it speaks"));
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_joins_until_ctrl_c_and_shows_who_is_there() {
    let house = House::start().await;
    let room = LOBBY.to_string();
    let mut joined = Running::start(parlor(&house, &["voice", "join", &room]));
    let first = joined.until(&room).await;
    assert!(first.contains("connected") && first.contains("nobody else"), "{first}");
    let mut watching = Running::start(parlor(&house, &["voice", "watch", &room, "--interval", "1s", "-o", "json"]));
    watching.frames_until(|line| line["event"] == "session" && line["state"] == "connected").await;
    let speaking = caller(&house, "Lobby", &["--tone", "600"]).await;
    let user = house.emulator.bot("caller.caller").unwrap().to_string();
    watching
        .frames_until(|line| line["event"] == "speaking" && line["user"] == user.as_str() && line["speaking"] == true)
        .await;
    watching
        .frames_until(|line| {
            let heard = &line["speakers"][0];
            line["event"] == "quality" && heard["user"] == user.as_str() && heard["frames_delivered"].as_u64() > Some(0)
        })
        .await;
    joined.until(" speaks").await;
    hang_up(&speaking);
    joined.until(" left").await;
    joined.signal("INT").await;
    assert_eq!(joined.end().await, Some(0));
    let lines = watching.frames_until(|line| line["event"] == "state" && line["state"] == "ended").await;
    assert_eq!(lines.last().unwrap()["ending"], "released");
    assert_eq!(watching.end().await, Some(0));
    until_there(&house, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_for_as_long_as_the_lease_that_was_left() {
    let house = House::start().await;
    let room = LOBBY.to_string();
    let joined = run(parlor(&house, &["voice", "join", &room, "--detach", "--lease", "1h"])).await;
    let row = joined.row();
    assert_eq!((row[1], row[2]), (room.as_str(), "connected"), "{joined:?}");
    until_there(&house, true).await;
    // Somebody else comes and goes; it stays.
    let new = tempfile::tempdir().unwrap();
    let tape = new.path().join("tape").display().to_string();
    assert_eq!(run(parlor(&house, &["voice", "record", &room, &tape, "--time", "100ms"])).await.code, Some(0));
    until_there(&house, true).await;

    let neither = run(parlor(&house, &["voice", "leave", &room])).await;
    assert_eq!(neither.code, Some(2), "{neither:?}");
    let left = run(parlor(&house, &["voice", "leave", &room, "--lease", row[3], "-o", "json"])).await.json();
    assert_eq!((&left["already_gone"], &left["session_ended"]), (&false.into(), &true.into()), "{left}");
    until_there(&house, false).await;
    let again = run(parlor(&house, &["voice", "leave", &room, "--lease", row[3]])).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let nothing = run(parlor(&house, &["voice", "watch", &room])).await;
    assert_eq!(nothing.code, Some(4), "{nothing:?}");
    assert!(nothing.stderr.contains("parlor voice join"), "{nothing:?}");
    let nowhere = run(parlor(&house, &["voice", "join", "1100000000000000999"])).await;
    assert_eq!(nowhere.code, Some(4), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_when_it_is_forced() {
    let house = House::start().await;
    let room = LOBBY.to_string();
    let mut joined = Running::start(parlor(&house, &["voice", "join", &room]));
    joined.until("connected").await;
    assert_eq!(run(parlor(&house, &["voice", "leave", &room, "--force"])).await.code, Some(0));
    joined.until("the session is over").await;
    assert_eq!(joined.end().await, Some(1));
    assert!(joined.talk().await.contains("--force"));
}
