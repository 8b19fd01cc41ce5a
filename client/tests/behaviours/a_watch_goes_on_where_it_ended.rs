//! `parlor events watch` over broken connections, restarts, kills and Ctrl-C.

use discord_emulator::{GAMES, LOBBY};
use parlor_e2e::House;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    door::Door,
    program::{Running, parlor, path, run},
};

fn through(door: &Door, house: &House, arguments: &[&str]) -> Command {
    let mut command = parlor(house, arguments);
    command.env("PARLOR_ADDR", door.address());
    command
}

fn is(kind: &str) -> impl Fn(&Value) -> bool {
    move |frame: &Value| frame["frame"] == kind || frame["kind"] == kind
}

/// Entries rise and each follows what was before it, as far as one epoch goes.
fn check_chain(frames: &[Value]) {
    let mut held = None;
    for frame in frames {
        match frame["frame"].as_str().unwrap() {
            "event" | "discontinuity" | "bookmark" | "draining" => {
                assert!(held.is_none_or(|held| frame["prev"] == held), "something is missing before {frame}");
                held = Some(frame["sequence"].as_u64().unwrap());
            }
            "snapshot_end" => held = frame["sequence"].as_u64(),
            "reset" => held = None,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_with_names() {
    let house = House::start().await;
    house.emulator.user("bob").joins(GAMES);
    house.watch().await.until(|picture| picture.participants(&GAMES.to_string()).count() == 1).await;
    let mut watch = Running::start(parlor(&house, &["events", "watch"]));
    assert_eq!(watch.line().await.unwrap(), "2 guilds, 3 rooms, 1 person in voice");
    assert_eq!(watch.line().await.unwrap(), "Parlor Dev");
    assert_eq!(watch.line().await.unwrap(), "  Games: Bob");
    assert_eq!(watch.line().await.unwrap(), "  1 empty room");
    house.emulator.user("ann").joins(LOBBY).mutes(true).moves(GAMES).leaves();
    for (sign, words) in [
        ("+", "Ann joined Lobby  (Parlor Dev)"),
        ("~", "Ann muted themselves  (Parlor Dev)"),
        (">", "Ann moved from Lobby to Games  (Parlor Dev)"),
        ("-", "Ann left Games  (Parlor Dev)"),
    ] {
        let line = watch.until(words).await;
        let (time, rest) = line.split_once("  ").unwrap();
        assert_eq!((time.len(), rest), (8, format!("{sign} {words}").as_str()), "{line}");
    }
    watch.signal("INT").await;
    assert_eq!((watch.end().await, watch.talk().await), (Some(0), String::new()), "Ctrl-C is how a watch ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_mended_and_nothing_is_missing() {
    let house = House::start().await;
    let door = Door::to(house.api()).await;
    let mut watch = Running::start(through(&door, &house, &["events", "watch", "-o", "json"]));
    let mut frames = watch.frames_until(is("snapshot_end")).await;
    for round in 0..3 {
        house.emulator.user("ann").joins(LOBBY);
        frames.extend(watch.frames_until(is("participant_joined")).await);
        door.slam().await;
        // While nobody listens.
        house.emulator.user("ann").moves(GAMES).leaves();
        let resumed = watch.frames_until(is("participant_left")).await;
        let hello = resumed.iter().find(|frame| frame["frame"] == "hello").expect("a new stream");
        assert_eq!(hello["resumed"], true, "round {round}");
        frames.extend(resumed);
    }
    check_chain(&frames);
    let events = frames.iter().filter(|frame| frame["frame"] == "event").count();
    assert_eq!(events, 9, "each once: {frames:#?}");
    watch.signal("TERM").await;
    assert_eq!(watch.end().await, Some(0));
    let talk = watch.talk().await;
    assert!(talk.contains("trying again in") && talk.contains("connected again: nothing is missing"), "{talk}");
}

/// Whether the log survives the server or not, the watcher ends up with the truth and is told where it begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_restarted_is_found_again() {
    let mut house = House::start().await;
    let door = Door::to(house.api()).await;
    let mut watch = Running::start(through(&door, &house, &["events", "watch", "-o", "json"]));
    let mut frames = watch.frames_until(is("snapshot_end")).await;
    house.emulator.user("ann").joins(LOBBY);
    frames.extend(watch.frames_until(is("participant_joined")).await);
    house.restart_server().await;
    door.leads_to(house.api());
    house.emulator.user("bob").joins(GAMES);
    let bob = house.emulator.user("bob").id().to_string();
    let sees_bob = |frame: &Value| frame.to_string().contains(&bob);
    frames.extend(watch.frames_until(sees_bob).await);
    assert!(frames.iter().any(is("draining")), "the old server said goodbye: {frames:#?}");
    check_chain(&frames);
    watch.signal("INT").await;
    assert_eq!(watch.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_a_cursor_file_remembers() {
    let house = House::start().await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("position");
    let arguments = ["events", "watch", "-o", "json", "--cursor-file", path(&file)];
    let ann = house.emulator.user("ann").id().to_string();
    let by_ann = |kind: &'static str| {
        let ann = ann.clone();
        move |frame: &Value| frame["kind"] == kind && frame["user"] == ann.as_str()
    };
    let mut seen = Vec::new();
    for round in 0..4 {
        let mut watch = Running::start(parlor(&house, &arguments));
        if round == 0 {
            seen.extend(watch.frames_until(is("snapshot_end")).await);
        }
        house.emulator.user("ann").joins(LOBBY);
        seen.extend(watch.frames_until(by_ann("participant_joined")).await);
        house.emulator.user("ann").leaves();
        let left = watch.frames_until(by_ann("participant_left")).await;
        // The file is written after the line; the kill comes after both.
        let cursor = left.last().unwrap()["cursor"].as_str().unwrap().to_owned();
        seen.extend(left);
        parlor_e2e::soon("the position", async {
            while !std::fs::read_to_string(&file).unwrap_or_default().starts_with(&cursor) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        watch.signal("KILL").await;
        assert_eq!(watch.end().await, None, "by the signal");
        // While it is dead.
        house.emulator.user("bob").joins(GAMES).leaves();
    }
    let mut last = Running::start(parlor(
        &house,
        &["events", "watch", "-o", "json", "--count", "2", "--cursor-file", path(&file)],
    ));
    seen.extend(last.frames_until(is("participant_left")).await);
    assert_eq!(last.end().await, Some(0), "two events were asked for");
    check_chain(&seen);
    let entries: Vec<_> =
        seen.iter().filter(|frame| frame["frame"] == "event").map(|frame| &frame["sequence"]).collect();
    assert_eq!(entries.len(), 4 * 4, "each join and each leave, once: {entries:?}");
    assert_eq!(seen.iter().filter(|frame| frame["frame"] == "snapshot_begin").count(), 1);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside the file");
}

/// Names are known though the stream begins without a snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_now_on_knows_the_names() {
    let house = House::start().await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("position");
    let arguments = ["events", "watch", "--latest", "--count", "1", "--cursor-file", path(&file)];
    let mut watch = Running::start(parlor(&house, &arguments));
    parlor_e2e::soon("the first position", async {
        while !file.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    house.emulator.user("ann").joins(LOBBY);
    assert!(watch.line().await.unwrap().ends_with("+ Ann joined Lobby  (Parlor Dev)"));
    assert_eq!(watch.end().await, Some(0));
    house.emulator.user("ann").leaves();
    let again = run(parlor(&house, &arguments)).await;
    assert!(again.stdout.ends_with("- Ann left Lobby  (Parlor Dev)\n"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_another_server_is_refused_with_the_files_name() {
    let house = House::start().await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("position");
    std::fs::write(&file, "forged\n").unwrap();
    let ran = run(parlor(&house, &["events", "watch", "--cursor-file", path(&file)])).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr.contains("CURSOR_INVALID") && ran.stderr.contains(&format!("delete {}", path(&file))),
        "{ran:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "forged\n", "it is left to its owner");
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_and_rooms_choose() {
    let house = House::start().await;
    let games = GAMES.to_string();
    let arguments = ["events", "watch", "-o", "json", "--room", &games, "--kind", "participant-left", "--count", "1"];
    let mut watch = Running::start(parlor(&house, &arguments));
    watch.frames_until(is("snapshot_end")).await;
    house.emulator.user("ann").joins(LOBBY).leaves().joins(GAMES).leaves();
    let frames = watch.frames_until(is("event")).await;
    let left = frames.last().unwrap();
    assert_eq!((&left["kind"], &left["room"]), (&"participant_left".into(), &games.into()), "{left}");
    assert_eq!(watch.end().await, Some(0));
}
