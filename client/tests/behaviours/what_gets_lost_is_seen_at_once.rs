//! While frames get lost, whoever watches or records sees how many: on a terminal, in a pipe, and as JSON.

use discord_emulator::{LOBBY, VoiceTrouble};
use parlor_e2e::{House, root, sound_file::caller};
use serde_json::Value;
use tokio::process::Command;

use crate::program::{Running, parlor, path};

/// Runs a program on a terminal, whose picture it prints.
const ON_A_TERMINAL: &str = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))";

fn on_a_terminal(command: &Command) -> Command {
    let inner = command.as_std();
    let mut outer = Command::new(root().join(".deps/venv/bin/python"));
    outer.args(["-c", ON_A_TERMINAL]).arg(inner.get_program()).args(inner.get_args()).kill_on_drop(true);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// How many frames of how many are lost, where a line says that some are.
fn lost_in_words(line: &str) -> Option<(u64, u64)> {
    let (lost, rest) = line.split_once("lost ")?.1.split_once(" of ")?;
    let all: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((lost.parse().ok()?, all.parse().ok()?)).filter(|(lost, _)| *lost > 0)
}

/// Reads until a line says that frames are lost.
async fn sees_loss(running: &mut Running) -> (u64, u64) {
    loop {
        let line = running.until("").await;
        if let Some(lost) = lost_in_words(&line) {
            return lost;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_and_recorders_see_it_while_it_happens() {
    let house = House::start().await;
    let room = LOBBY.to_string();
    let folder = tempfile::tempdir().unwrap();
    let record = |place: &str| {
        let tape = folder.path().join(place);
        parlor(&house, &["voice", "record", &room, path(&tape)])
    };
    // The bot is there for as long as one of them records.
    let mut recording = Running::start(on_a_terminal(&record("live")));
    recording.until("recording into").await;
    let watch = ["voice", "watch", &room, "--interval", "1s"];
    let mut watching = Running::start(on_a_terminal(&parlor(&house, &watch)));
    watching.until("room").await;
    let mut reading = Running::start(parlor(&house, &watch));
    reading.until("here:").await;
    let mut counting = Running::start(parlor(&house, &[&watch[..], &["-o", "json"]].concat()));
    counting.until("{").await;

    let _speaking = caller(&house, "Lobby", &[]).await;
    house.emulator.inject(VoiceTrouble::Lose { percent: 20 });
    let told = [sees_loss(&mut recording).await, sees_loss(&mut watching).await, sees_loss(&mut reading).await];
    let lost = |frame: &Value| frame["speakers"][0]["frames_lost"].as_u64().unwrap_or_default();
    let frames = counting.frames_until(|frame| lost(frame) > 0).await;
    let really = house.emulator.stats().voice.lost;
    for (lost, all) in told {
        assert!(lost <= really && lost < all, "{told:?} of {really}");
    }
    assert!(lost(frames.last().unwrap()) <= really, "{frames:?}");
}
