//! What the voice gateway closes connections for.

use std::time::Duration;

use discord_emulator::{Config, DavePolicy, Emulator, GAMES, LOBBY, NewChannel, PARLOR_DEV, VoiceConfig};
use serde_json::json;

use crate::caller::Caller;

async fn ann() -> (Emulator, Caller) {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let ticket = emulator.user("ann").joins(LOBBY).voice_ticket();
    let ann = Caller::dial(&emulator, &ticket, 8).await;
    (emulator, ann)
}

#[tokio::test]
async fn who_shows_the_wrong_thing_is_told_which() {
    let (emulator, _) = ann().await;
    let ticket = emulator.user("ann").voice_ticket();
    let older = emulator.user("bob").joins(LOBBY).voice_ticket();
    emulator.user("bob").voice_ticket();
    let mut somewhere = ticket.clone();
    somewhere.guild_id = discord_emulator::GuildId::new(5);
    let mut nobody = ticket.clone();
    nobody.session_id.push('x');
    let mut gone = ticket.clone();
    gone.user_id = discord_emulator::CLEO;
    for (wrong, code) in [(older, 4004), (nobody, 4006), (gone, 4006), (somewhere, 4011)] {
        let mut caller = Caller::dial(&emulator, &wrong, 8).await;
        caller.identify(1).await;
        assert_eq!(caller.close_code().await, code);
    }
    assert_eq!(emulator.stats().voice.identifies_refused, 4);
}

#[tokio::test]
async fn a_session_is_identified_once() {
    let (emulator, mut ann) = ann().await;
    ann.identify(1).await;
    ann.take_ready().await;
    let mut twin = Caller::dial(&emulator, &ann.ticket.clone(), 8).await;
    twin.identify(1).await;
    assert_eq!(twin.close_code().await, 4006, "only Resume takes a session up");
    ann.identify(1).await;
    assert_eq!(ann.close_code().await, 4005);
}

#[tokio::test]
async fn order_and_shape_matter() {
    let greeted = [
        (r#"{"op":5,"d":{"speaking":1,"delay":0,"ssrc":1}}"#, 4003),
        (r#"{"op":99,"d":{}}"#, 4001),
        (r#"{"op":2,"d":{}}"#, 4001),
        ("{", 4002),
        (r#"{"op":0,"d":{}}"#, 4020),
        (r#"{"op":3,"d":"soon"}"#, 4020),
    ];
    for (text, code) in greeted {
        let (_emulator, mut ann) = ann().await;
        ann.send_text(text).await;
        assert_eq!(ann.close_code().await, code, "{text}");
    }
    let webrtc = json!({"protocol": "webrtc", "data": "sdp"});
    let unknown = json!({"protocol": "udp", "data": {"address": "127.0.0.1", "port": 9, "mode": "rot13"}});
    let retired = json!({"protocol": "udp", "data": {"address": "127.0.0.1", "port": 9, "mode": "xsalsa20_poly1305"}});
    for (select, code) in [(webrtc, 4012), (unknown, 4016), (retired, 4016)] {
        let (_emulator, mut ann) = ann().await;
        ann.identify(1).await;
        ann.take_ready().await;
        ann.send(12, json!({"video_ssrc": 0})).await;
        ann.send(1, select).await;
        assert_eq!(ann.close_code().await, code);
    }
}

#[tokio::test]
async fn versions_that_were_switched_off_are_refused() {
    let (emulator, ann) = ann().await;
    for version in [1, 3] {
        assert_eq!(Caller::dial(&emulator, &ann.ticket, version).await.close_code().await, 4012);
    }
    for version in [4, 7, 8, 9] {
        let mut caller = Caller::dial(&emulator, &ann.ticket, version).await;
        caller.heartbeat(1).await;
    }
}

#[tokio::test]
async fn who_cannot_encrypt_is_refused_where_everybody_must_but_not_on_a_stage() {
    let voice = VoiceConfig { dave: DavePolicy::Required, ..VoiceConfig::default() };
    let emulator = Emulator::start(Config { voice, ..Config::default() }).await.unwrap();
    let ticket = emulator.user("ann").joins(LOBBY).voice_ticket();
    let mut ann = Caller::dial(&emulator, &ticket, 8).await;
    ann.identify(0).await;
    assert_eq!(ann.close_code().await, 4017);
    let stage = emulator.world(|world| world.create_channel(PARLOR_DEV, NewChannel::stage("talk")).unwrap());
    let ticket = emulator.user("ann").moves(stage).voice_ticket();
    let mut ann = Caller::dial(&emulator, &ticket, 8).await;
    ann.identify(0).await;
    ann.take_ready().await;
}

#[tokio::test]
async fn silence_ends_the_session() {
    let (emulator, mut ann) = ann().await;
    ann.identify(1).await;
    ann.take_ready().await;
    emulator.advance(Duration::from_secs(30));
    assert_eq!(ann.close_code().await, 4009);
    emulator.wait_for(|stats| stats.voice.sessions_open == 0).await;
}

#[tokio::test]
async fn moves_and_kicks_disconnect_and_the_end_of_the_call_ends_it_for_all() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    emulator.user("ann").joins(LOBBY);
    let mut ann = Caller::join(&emulator, "ann").await;
    emulator.user("ann").moves(GAMES);
    assert_eq!(ann.close_code().await, 4014);

    let mut ann = Caller::join(&emulator, "ann").await;
    let id = ann.ticket.user_id;
    emulator.world(|world| world.move_member(PARLOR_DEV, id, None)).unwrap();
    assert_eq!(ann.close_code().await, 4014);

    emulator.user("ann").joins(GAMES);
    let mut ann = Caller::join(&emulator, "ann").await;
    emulator.world(|world| world.reallocate_voice_server(PARLOR_DEV, id, None)).unwrap();
    assert_eq!(ann.close_code().await, 4022);

    let mut ann = Caller::join(&emulator, "ann").await;
    emulator.world(|world| world.delete_channel(GAMES)).unwrap();
    assert_eq!(ann.close_code().await, 4022);
}
