//! `parlord dev` prints commands, and every one of them works as printed.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use crate::parlord::{Dev, parlord, run};

/// A shell that finds grpcurl where `make deps` puts it.
fn shell(script: &str) -> Command {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.deps/venv/bin");
    let mut command = Command::new("sh");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    command.args(["-c", script]).env("PATH", path).stderr(Stdio::inherit());
    command
}

#[test]
fn every_command_that_is_printed_works() {
    let dev = Dev::start(&[]);
    let commands = dev.commands();
    let find = |words: &[&str]| {
        let found = commands.iter().find(|command| words.iter().all(|word| command.contains(word)));
        found.unwrap_or_else(|| panic!("no command has {words:?}: {commands:#?}")).clone()
    };
    let token = find(&["export PARLOR_TOKEN="]);
    let watch = format!("{token}\nexec {}", find(&["grpcurl", "SubscribeVoiceEvents"]));
    let mut watcher = shell(&watch).stdout(Stdio::piped()).spawn().unwrap();
    let mut frames = BufReader::new(watcher.stdout.take().unwrap()).lines();
    let mut until = |wanted: &str| {
        let found = frames.by_ref().any(|line| line.unwrap().contains(wanted));
        assert!(found, "the stream ended before {wanted}");
    };
    until("snapshotEnd");

    let made = run(shell(&format!("{token}\n{}", find(&["grpcurl", "CreateRoom"]))));
    assert!(made.1.contains("\"managed\": true"), "{made:?}");
    until("roomCreated");
    for (command, event) in [
        (find(&["curl", "/join"]), "participantJoined"),
        (find(&["curl", "/move"]), "participantMoved"),
        (find(&["curl", "/leave"]), "participantLeft"),
    ] {
        let (code, ..) = run(shell(&command.replace("curl ", "curl --fail --silent ")));
        assert_eq!(code, Some(0), "{command}");
        until(event);
    }
    watcher.kill().unwrap();
    watcher.wait().unwrap();
    assert_eq!(dev.interrupt(), Some(0));
}

/// A bot token that is configured for production has no business in development.
#[test]
fn a_configured_bot_token_is_neither_used_nor_shown() {
    let dev = Dev::start(&[
        ("PARLOR_DISCORD__TOKEN", "real.bot.token"),
        ("PARLOR_DISCORD__API_URL", "https://discord.com/api/v10"),
    ]);
    let discord =
        dev.printed_after("emulated Discord").split("/api").next().unwrap().trim_start_matches("http://").to_owned();
    let world = crate::parlord::page(&discord, "/control/world");
    assert!(world.contains("Parlor Dev"), "{world}");
    let log = dev.log_with("connecting to the gateway");
    for text in [&world, &dev.printed, &log] {
        assert!(!text.contains("real.bot.token"));
    }
    assert!(log.contains("ws://127.0.0.1"), "the gateway is the emulator's");
}

#[test]
fn the_emulator_stays_on_loopback() {
    let home = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run(parlord(home.path(), &["dev", "--emulator-listen", "0.0.0.0:0"]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("has to stay on loopback"), "{stderr}");
}
