//! A voice client whose WebSocket breaks comes back and misses nothing.

use std::time::Duration;

use discord_emulator::{Emulator, LOBBY, VoiceTicket};
use serde_json::{Value, json};

use crate::caller::{Caller, plain};

async fn call() -> (Emulator, Caller, Caller) {
    let emulator = plain().await;
    emulator.user("ann").joins(LOBBY);
    emulator.user("bob").joins(LOBBY);
    let (ann, bob) = (Caller::join(&emulator, "ann").await, Caller::join(&emulator, "bob").await);
    (emulator, ann, bob)
}

async fn resume(emulator: &Emulator, ticket: &VoiceTicket, version: u8, seq_ack: Value) -> Caller {
    let mut caller = Caller::dial(emulator, ticket, version).await;
    let VoiceTicket { guild_id, session_id, token, .. } = ticket;
    let mut d = json!({"server_id": guild_id, "session_id": session_id, "token": token});
    if !seq_ack.is_null() {
        d["seq_ack"] = seq_ack;
    }
    caller.send(7, d).await;
    caller
}

#[tokio::test]
async fn what_was_missed_comes_after_resumed_and_media_goes_on_meanwhile() {
    let (emulator, mut ann, mut bob) = call().await;
    ann.heartbeat(1).await;
    let ssrc = ann.ssrc;
    let (ticket, media) = ann.hang_up();
    emulator.wait_for(|stats| stats.voice.open == 1).await;
    bob.speaks().await;
    bob.heartbeat(1).await;
    bob.sends(b"meanwhile").await;
    let mut media = media.unwrap();
    assert_eq!(media.hears().await.payload, b"meanwhile");

    let mut ann = resume(&emulator, &ticket, 8, json!(2)).await;
    assert_eq!(ann.op(9).await, Value::Null);
    assert!(ann.aside.is_empty(), "Resumed comes first: {:?}", ann.aside);
    let replayed = ann.message(5).await;
    assert_eq!((&replayed["seq"], &replayed["d"]["ssrc"]), (&json!(3), &json!(bob.ssrc)));
    assert!(ann.aside.is_empty(), "nothing comes twice: {:?}", ann.aside);
    (ann.media, ann.ssrc) = (Some(media), ssrc);
    ann.speaks().await;
    ann.heartbeat(1).await;
    ann.sends(b"with the old key").await;
    assert_eq!(bob.hears().await.payload, b"with the old key");
    assert_eq!(emulator.stats().voice.replayed, 1);
}

#[tokio::test]
async fn a_client_that_is_back_before_its_old_connection_is_known_to_be_gone_takes_over() {
    let (emulator, mut ann, _bob) = call().await;
    ann.heartbeat(1).await;
    let mut again = resume(&emulator, &ann.ticket.clone(), 8, json!(-1)).await;
    again.op(9).await;
    assert_eq!(again.message(11).await["seq"], 0);
    assert!(matches!(ann.next().await, crate::caller::Came::Dropped));
}

#[tokio::test]
async fn older_clients_resume_without_a_replay() {
    let (emulator, ann, mut bob) = call().await;
    let (ticket, _media) = ann.hang_up();
    emulator.wait_for(|stats| stats.voice.open == 1).await;
    bob.speaks().await;
    bob.heartbeat(1).await;
    let mut ann = resume(&emulator, &ticket, 4, Value::Null).await;
    ann.op(9).await;
    ann.heartbeat(1).await;
    assert!(ann.aside.is_empty(), "{:?}", ann.aside);
}

#[tokio::test]
async fn what_cannot_be_resumed_is_refused() {
    let (emulator, ann, _bob) = call().await;
    let (ticket, _media) = ann.hang_up();
    emulator.wait_for(|stats| stats.voice.open == 1).await;
    let mut wrong = ticket.clone();
    wrong.token.push('x');
    assert_eq!(resume(&emulator, &wrong, 8, json!(0)).await.close_code().await, 4004);
    assert_eq!(resume(&emulator, &ticket, 8, json!(500)).await.close_code().await, 4006, "never sent");
    emulator.advance(Duration::from_secs(15));
    assert_eq!(emulator.stats().voice.sessions_open, 2);
    emulator.advance(Duration::from_secs(46));
    assert_eq!(resume(&emulator, &ticket, 8, json!(0)).await.close_code().await, 4006, "too late");
    assert_eq!(emulator.stats().voice.resumes_refused, 3);
}
