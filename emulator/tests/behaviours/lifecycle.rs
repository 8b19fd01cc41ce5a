//! Starting and stopping, as a library and as a program.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use discord_emulator::{Config, Emulator, LOBBY};
use tokio::net::TcpListener;

use crate::bot::{Event, INTENTS, START_TIME, Socket, TOKEN};

#[tokio::test]
async fn stopping_breaks_connections_off_and_frees_the_port() {
    // A neighbouring test may be given a port as soon as it is free, so one refusal proves nothing; five do.
    for _ in 0..5 {
        let emulator = Emulator::start(Config::default()).await.unwrap();
        let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
        emulator.stop().await;
        assert!(matches!(socket.event().await, Event::Dropped));
        let Ok(listener) = TcpListener::bind(emulator.addr()).await else { continue };
        let second = Emulator::serve(listener, Config::default()).await.unwrap();
        assert_eq!(second.addr(), emulator.addr());
        Socket::connect(&second).await;
        return;
    }
    panic!("the port is never free after a stop");
}

#[tokio::test]
async fn the_last_handle_keeps_it_alive() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let ann = emulator.user("ann");
    drop(emulator);
    let ann = ann.joins(LOBBY);
    socket.dispatch("VOICE_STATE_UPDATE").await;
    socket.dispatch(START_TIME).await;
    drop(ann);
    assert!(matches!(socket.event().await, Event::Dropped));
}

#[tokio::test]
async fn a_script_that_panics_leaves_the_world_usable() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let script = emulator.clone();
    let outcome = tokio::task::spawn_blocking(move || script.user("ann").leaves()).await;
    assert!(outcome.is_err(), "ann is nowhere, so she cannot leave");
    emulator.user("ann").joins(LOBBY);
    assert_eq!(emulator.rooms()[&LOBBY].len(), 1);
}

#[tokio::test]
async fn the_program_says_where_it_is_and_stops_when_asked() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_discord-emulator"))
        .args(["--listen", "127.0.0.1:0", "--log", "off"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = BufReader::new(program.stderr.take().unwrap()).lines();
    let first = greeting.next().unwrap().unwrap();
    let rest_url = first.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let control = rest_url.replace("/api/v10", "/control");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(http.get(control).send().await.unwrap().text().await.unwrap().contains("curl"));
    let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", program.id())]).status().unwrap();
    assert!(asked.success());
    let exit = tokio::task::spawn_blocking(move || program.wait()).await.unwrap().unwrap();
    assert!(exit.success(), "{exit}");
}

#[test]
fn a_wrong_flag_is_explained() {
    let program = env!("CARGO_BIN_EXE_discord-emulator");
    let output = Command::new(program).args(["--log", "[[["]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("try info"));
    let help = Command::new(program).arg("--help").output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("discord.py"));
}
