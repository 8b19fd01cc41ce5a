//! Each close code, and what it means for the session.

use std::time::Duration;

use discord_emulator::{Config, Emulator, GatewayLimits, Intents};
use serde_json::{Value, json};

use crate::bot::{INTENTS, Socket, TOKEN, identify_payload};

async fn emulator() -> Emulator {
    Emulator::start(Config::default()).await.unwrap()
}

/// The code that answers one payload on a fresh connection.
async fn answer_to(payload: Value) -> u16 {
    let emulator = emulator().await;
    let mut socket = Socket::connect(&emulator).await;
    socket.send(&payload).await;
    socket.close_code().await
}

#[tokio::test]
async fn unknown_opcodes_get_4001() {
    assert_eq!(answer_to(json!({"op": 99, "d": null})).await, 4001);
}

#[tokio::test]
async fn payloads_that_do_not_decode_get_4002() {
    let emulator = emulator().await;
    let mut socket = Socket::connect(&emulator).await;
    socket.send_text("{not json").await;
    assert_eq!(socket.close_code().await, 4002);
    let mut socket = Socket::connect(&emulator).await;
    socket.send_binary(&[131, 116, 0]).await;
    assert_eq!(socket.close_code().await, 4002, "erlang's format is not spoken");
}

#[tokio::test]
async fn payloads_above_4096_bytes_get_4002_and_4096_are_read() {
    let emulator = emulator().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let frame = r#"{"op":3,"d":""}"#;
    let fitting = frame.replace(r#""""#, &format!(r#""{}""#, "x".repeat(4_096 - frame.len())));
    assert_eq!(fitting.len(), 4_096);
    socket.send_text(&fitting).await;
    socket.heartbeat().await;
    socket.send_text(&format!("{fitting} ")).await;
    assert_eq!(socket.close_code().await, 4002);
}

#[tokio::test]
async fn commands_before_identify_get_4003() {
    assert_eq!(answer_to(json!({"op": 4, "d": {"guild_id": "1", "channel_id": null}})).await, 4003);
}

#[tokio::test]
async fn tokens_that_do_not_log_in_get_4004() {
    assert_eq!(answer_to(identify_payload("", INTENTS)).await, 4004);
    let config = Config { tokens: Some(vec!["right".into()]), ..Config::default() };
    let emulator = Emulator::start(config).await.unwrap();
    let mut socket = Socket::connect(&emulator).await;
    socket.send(&identify_payload("wrong", INTENTS)).await;
    assert_eq!(socket.close_code().await, 4004);
    Socket::log_in(&emulator, "right", INTENTS).await;
}

#[tokio::test]
async fn a_second_identify_gets_4005_and_the_session_lives_on() {
    let emulator = emulator().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    socket.send(&identify_payload(TOKEN, INTENTS)).await;
    assert_eq!(socket.close_code().await, 4005);
    let mut again = Socket::connect(&emulator).await;
    again.seq = socket.seq;
    again.resume(TOKEN, &socket.session_id, socket.seq).await;
    again.dispatch("RESUMED").await;
}

#[tokio::test]
async fn a_sequence_number_from_the_future_gets_4007_and_ends_the_session() {
    let emulator = emulator().await;
    let (socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let (session, seq) = (socket.session_id.clone(), socket.seq);
    socket.hang_up(&emulator).await;
    let mut ahead = Socket::connect(&emulator).await;
    ahead.resume(TOKEN, &session, seq + 1).await;
    assert_eq!(ahead.close_code().await, 4007);
    assert_eq!(emulator.stats().sessions_open, 0);
}

#[tokio::test]
async fn the_121st_payload_in_a_minute_gets_4008() {
    let emulator = emulator().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    for _ in 1..120 {
        socket.heartbeat().await;
    }
    socket.send(&json!({"op": 1, "d": null})).await;
    assert_eq!(socket.close_code().await, 4008);
}

#[tokio::test]
async fn the_send_limit_opens_again_after_a_minute() {
    let emulator = emulator().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    for _ in 1..120 {
        socket.heartbeat().await;
    }
    emulator.advance(Duration::from_secs(60));
    socket.heartbeat().await;
}

#[tokio::test]
async fn a_client_without_heartbeats_gets_4009_and_loses_its_session() {
    let emulator = emulator().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    emulator.advance(Duration::from_secs(62));
    assert_eq!(socket.close_code().await, 4009);
    assert_eq!(emulator.stats().sessions_open, 0);
}

#[tokio::test]
async fn shards_that_cannot_be_get_4010() {
    for shard in [json!([1, 1]), json!([0, 0])] {
        let mut payload = identify_payload(TOKEN, INTENTS);
        payload["d"]["shard"] = shard;
        assert_eq!(answer_to(payload).await, 4010);
    }
}

#[tokio::test]
async fn api_versions_that_are_gone_get_4012() {
    let emulator = emulator().await;
    let mut socket = Socket::dial(&emulator, "v=5&encoding=json").await;
    assert_eq!(socket.close_code().await, 4012);
}

#[tokio::test]
async fn intents_without_a_meaning_get_4013() {
    assert_eq!(answer_to(identify_payload(TOKEN, 1 << 18)).await, 4013);
    let mut without = identify_payload(TOKEN, 0);
    without["d"].as_object_mut().unwrap().remove("intents");
    assert_eq!(answer_to(without).await, 4013);
}

#[tokio::test]
async fn privileged_intents_that_were_not_granted_get_4014() {
    let gateway = GatewayLimits { privileged_intents: Intents::GUILD_MEMBERS, ..GatewayLimits::default() };
    let emulator = Emulator::start(Config { gateway, ..Config::default() }).await.unwrap();
    Socket::log_in(&emulator, TOKEN, Intents::GUILDS.bits() | Intents::GUILD_MEMBERS.bits()).await;
    let mut socket = Socket::connect(&emulator).await;
    socket.send(&identify_payload(TOKEN, Intents::MESSAGE_CONTENT.bits())).await;
    assert_eq!(socket.close_code().await, 4014);
}
