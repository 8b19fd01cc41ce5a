//! RESUME: what is replayed, and when it is refused.

use std::time::Duration;

use discord_emulator::{ANN, Config, Emulator, Fault, GAMES, LOBBY, PARLOR_DEV};
use serde_json::json;

use crate::bot::{INTENTS, Socket, TOKEN};

/// A bot that was logged in and hung up: its session id and last sequence number.
async fn absent_bot() -> (Emulator, String, u64) {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let (session, seq) = (socket.session_id.clone(), socket.seq);
    socket.hang_up(&emulator).await;
    (emulator, session, seq)
}

async fn resumes(emulator: &Emulator, token: &str, session: &str, seq: u64) -> Socket {
    let mut socket = Socket::connect(emulator).await;
    socket.seq = seq;
    socket.resume(token, session, seq).await;
    socket
}

/// Op 9 `d: false`.
async fn is_refused(mut socket: Socket) {
    let answer = socket.payload().await;
    assert_eq!((&answer["op"], &answer["d"]), (&json!(9), &json!(false)), "{answer}");
}

#[tokio::test]
async fn what_was_missed_is_replayed_in_order_and_then_resumed() {
    let (emulator, session, seq) = absent_bot().await;
    emulator.user("ann").joins(LOBBY).moves(GAMES).leaves();
    let mut socket = resumes(&emulator, TOKEN, &session, seq).await;
    for channel in [json!(LOBBY), json!(GAMES), json!(null)] {
        let state = socket.dispatch("VOICE_STATE_UPDATE").await;
        assert_eq!((&state["user_id"], &state["channel_id"]), (&json!(ANN), &channel));
    }
    socket.dispatch("RESUMED").await;
    emulator.user("ann").joins(LOBBY);
    socket.dispatch("VOICE_STATE_UPDATE").await;
    assert_eq!(emulator.stats().replayed, 3 + 4, "three states, and four times since when a channel is occupied");
}

#[tokio::test]
async fn a_thousand_missed_events_are_replayed_and_one_more_is_too_many() {
    for (missed, resumable) in [(1_000, true), (1_001, false)] {
        let (emulator, session, seq) = absent_bot().await;
        emulator.world(|world| {
            // Two events: her state, and since when the channel is occupied.
            world.user("ann").joins(LOBBY);
            for turn in 2..missed {
                world.user("ann").mutes(turn % 2 == 0);
            }
        });
        let mut socket = resumes(&emulator, TOKEN, &session, seq).await;
        if resumable {
            for _ in 1..missed {
                socket.dispatch("VOICE_STATE_UPDATE").await;
            }
            socket.dispatch("RESUMED").await;
        } else {
            is_refused(socket).await;
        }
    }
}

#[tokio::test]
async fn a_session_waits_180_seconds() {
    let (emulator, session, seq) = absent_bot().await;
    emulator.advance(Duration::from_secs(179));
    let socket = resumes(&emulator, TOKEN, &session, seq).await;
    socket.hang_up(&emulator).await;
    emulator.advance(Duration::from_secs(181));
    assert_eq!(emulator.stats().sessions_open, 0);
    is_refused(resumes(&emulator, TOKEN, &session, seq).await).await;
}

#[tokio::test]
async fn closing_with_1000_or_1001_ends_the_session_and_4000_does_not() {
    for (code, lives) in [(1000, 0), (1001, 0), (4000, 1)] {
        let emulator = Emulator::start(Config::default()).await.unwrap();
        let (socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
        socket.close(&emulator, code).await;
        assert_eq!(emulator.stats().sessions_open, lives, "after {code}");
    }
}

#[tokio::test]
async fn unknown_sessions_and_foreign_tokens_are_refused() {
    let (emulator, session, seq) = absent_bot().await;
    is_refused(resumes(&emulator, TOKEN, "no-such-session", seq).await).await;
    is_refused(resumes(&emulator, "another-bot", &session, seq).await).await;
    let mut rightful = resumes(&emulator, TOKEN, &session, seq).await;
    rightful.dispatch("RESUMED").await;
}

#[tokio::test]
async fn a_refused_client_identifies_on_the_same_connection() {
    let (emulator, _, seq) = absent_bot().await;
    let mut socket = resumes(&emulator, TOKEN, "no-such-session", seq).await;
    assert_eq!(socket.payload().await["op"], 9);
    socket.seq = 0;
    assert_eq!(socket.identify(TOKEN, INTENTS).await.len(), 2);
}

#[tokio::test]
async fn killed_sessions_are_refused_at_the_next_resume() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    emulator.inject(Fault::KillSessions);
    emulator.user("ann").joins(LOBBY);
    socket.dispatch("VOICE_STATE_UPDATE").await;
    let (session, seq) = (socket.session_id.clone(), socket.seq);
    socket.hang_up(&emulator).await;
    is_refused(resumes(&emulator, TOKEN, &session, seq).await).await;
}

#[tokio::test]
async fn a_second_connection_takes_the_session_over() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (mut old, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let mut new = resumes(&emulator, TOKEN, &old.session_id, old.seq).await;
    new.dispatch("RESUMED").await;
    assert_eq!(old.close_code().await, 4000);
    emulator.world(|world| world.set_premium_tier(PARLOR_DEV, 1));
    new.dispatch("GUILD_UPDATE").await;
}
