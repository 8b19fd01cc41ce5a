//! Two clients in a call: who is told of whom, and who hears what.

use discord_emulator::{Config, Emulator, GAMES, LOBBY, NewChannel, PARLOR_DEV, VoiceConfig, VoiceTicket};
use parlor_voice_wire::discovery::Ping;
use parlor_voice_wire::opus::SILENCE;
use parlor_voice_wire::rtcp::Packet;
use parlor_voice_wire::transport::{Content, Extension, Mode};
use parlor_voice_wire::{Ssrc, rtp};
use serde_json::{Value, json};

use crate::bot::{INTENTS, Socket, TOKEN};
use crate::caller::{Caller, LIVE, plain};

#[tokio::test]
async fn a_bot_gets_in_with_what_the_gateway_told_it() {
    let emulator = plain().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    socket.op4(PARLOR_DEV, Some(LOBBY)).await;
    let state = socket.dispatch("VOICE_STATE_UPDATE").await;
    let server = socket.dispatch("VOICE_SERVER_UPDATE").await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ticket = VoiceTicket {
        endpoint: text(&server["endpoint"]),
        guild_id: PARLOR_DEV,
        channel_id: LOBBY,
        user_id: emulator.bot(TOKEN).unwrap(),
        session_id: text(&state["session_id"]),
        token: text(&server["token"]),
    };
    assert_eq!(ticket.endpoint, emulator.voice_addr().to_string());
    let mut bot = Caller::join_as(&emulator, &ticket, 8, Mode::Aes256GcmRtpsize).await;
    assert_eq!(bot.ready["modes"], json!(["aead_aes256_gcm_rtpsize", "aead_xchacha20_poly1305_rtpsize"]));
    // To ask again changes switches and nothing else.
    socket.op4(PARLOR_DEV, Some(LOBBY)).await;
    socket.dispatch("VOICE_STATE_UPDATE").await;
    socket.heartbeat().await;
    bot.heartbeat(1).await;
}

#[tokio::test]
async fn everybody_is_told_who_is_there_and_hears_them() {
    for version in [4, 8] {
        for (anns, bobs) in [(LIVE[0], LIVE[1]), (LIVE[1], LIVE[0])] {
            let emulator = plain().await;
            let anns_ticket = emulator.user("ann").joins(LOBBY).voice_ticket();
            let bobs_ticket = emulator.user("bob").joins(LOBBY).voice_ticket();
            let mut ann = Caller::join_as(&emulator, &anns_ticket, version, anns).await;
            ann.speaks().await;
            assert_eq!(ann.heartbeat(77).await, if version == 4 { json!(77) } else { json!({"t": 77}) });
            let mut bob = Caller::join_as(&emulator, &bobs_ticket, version, bobs).await;
            assert_eq!(ann.op(11).await, json!({"user_ids": [bobs_ticket.user_id]}));
            assert_eq!(bob.op(11).await, json!({"user_ids": [anns_ticket.user_id]}));
            let announced = bob.op(5).await;
            assert_eq!(announced, json!({"user_id": anns_ticket.user_id, "ssrc": ann.ssrc, "speaking": 1}));

            ann.sends(b"from ann").await;
            let heard = bob.hears().await;
            assert_eq!((heard.payload.as_slice(), heard.header.ssrc), (&b"from ann"[..], Ssrc::new(ann.ssrc)));
            bob.speaks().await;
            assert_eq!(ann.op(5).await["ssrc"], bob.ssrc);
            bob.sends(&SILENCE).await;
            assert_eq!(ann.hears().await.payload, SILENCE);

            emulator.user("bob").leaves();
            assert_eq!(bob.close_code().await, 4014);
            assert_eq!(ann.op(13).await, json!({"user_id": bobs_ticket.user_id}));
        }
    }
}

#[tokio::test]
async fn numbers_begin_at_zero_and_have_no_holes() {
    let emulator = plain().await;
    emulator.user("ann").joins(LOBBY);
    emulator.user("bob").joins(LOBBY);
    let mut ann = Caller::join(&emulator, "ann").await;
    let mut bob = Caller::join(&emulator, "bob").await;
    bob.speaks().await;
    let mut numbers = Vec::new();
    for op in [11, 18, 20, 5] {
        numbers.push(ann.message(op).await["seq"].as_u64().unwrap());
    }
    assert_eq!(numbers, [0, 1, 2, 3]);
}

#[tokio::test]
async fn what_a_packet_carries_beside_its_payload_stays_behind() {
    let emulator = plain().await;
    emulator.user("ann").joins(LOBBY);
    emulator.user("bob").joins(LOBBY);
    let (mut ann, mut bob) = (Caller::join(&emulator, "ann").await, Caller::join(&emulator, "bob").await);
    ann.speaks().await;
    ann.heartbeat(1).await;
    let ssrc = Ssrc::new(ann.ssrc);
    let extension = Some(Extension { profile: rtp::ONE_BYTE_PROFILE, elements: &[0x10, 0x7F, 0, 0] });
    ann.media().sends(ssrc, Content { extension, payload: b"opus", padding: 5 }).await;
    let heard = bob.hears().await;
    assert_eq!((heard.payload.as_slice(), heard.elements.len()), (&b"opus"[..], 0));
    assert!(!heard.header.extended && !heard.header.padded);
}

#[tokio::test]
async fn who_is_silenced_or_deafened_neither_reaches_nor_hears() {
    let emulator = plain().await;
    for name in ["ann", "bob", "cleo"] {
        emulator.user(name).joins(LOBBY);
    }
    let (mut ann, mut bob) = (Caller::join(&emulator, "ann").await, Caller::join(&emulator, "bob").await);
    let mut cleo = Caller::join(&emulator, "cleo").await;
    ann.speaks().await;
    ann.heartbeat(1).await;
    emulator.user("ann").gets_muted(true);
    ann.sends(b"muted").await;
    emulator.wait_for(|stats| stats.voice.silenced == 1).await;
    emulator.user("ann").gets_muted(false);
    emulator.user("bob").deafens(true);
    ann.sends(b"one").await;
    assert_eq!(cleo.hears().await.payload, b"one");
    emulator.user("bob").deafens(false);
    ann.sends(b"two").await;
    assert_eq!(cleo.hears().await.payload, b"two");
    assert_eq!(bob.hears().await.payload, b"two", "what was said to deaf ears is not told later");

    let stage = emulator.world(|world| world.create_channel(PARLOR_DEV, NewChannel::stage("talk")).unwrap());
    emulator.user("ann").moves(stage);
    let mut ann = Caller::join(&emulator, "ann").await;
    ann.speaks().await;
    ann.heartbeat(1).await;
    ann.sends(b"from the audience").await;
    emulator.wait_for(|stats| stats.voice.silenced == 2).await;
}

#[tokio::test]
async fn calls_do_not_hear_each_other() {
    let emulator = plain().await;
    emulator.user("ann").joins(LOBBY);
    emulator.user("bob").joins(GAMES);
    emulator.user("cleo").joins(LOBBY);
    let (mut ann, mut bob) = (Caller::join(&emulator, "ann").await, Caller::join(&emulator, "bob").await);
    let mut cleo = Caller::join(&emulator, "cleo").await;
    ann.speaks().await;
    ann.heartbeat(1).await;
    ann.sends(b"lobby").await;
    assert_eq!(cleo.hears().await.payload, b"lobby");
    assert_eq!(emulator.stats().voice.packets_out, 1);
    bob.heartbeat(1).await;
    assert!(bob.aside.is_empty(), "{:?}", bob.aside);
}

#[tokio::test]
async fn packets_that_nobody_announced_are_dropped_and_then_refused() {
    let emulator = plain().await;
    emulator.user("ann").joins(LOBBY);
    let mut ann = Caller::join(&emulator, "ann").await;
    ann.sends(b"early").await;
    emulator.wait_for(|stats| stats.voice.unannounced == 1).await;
    emulator.advance(std::time::Duration::from_secs(2));
    ann.sends(b"still not announced").await;
    assert_eq!(ann.close_code().await, 4020);
}

#[tokio::test]
async fn pings_and_sender_reports_are_answered_and_nothing_else_is() {
    let emulator = plain().await;
    emulator.user("ann").joins(LOBBY);
    let mut ann = Caller::join(&emulator, "ann").await;
    ann.speaks().await;
    ann.heartbeat(1).await;
    ann.sends(&SILENCE).await;
    emulator.wait_for(|stats| stats.voice.packets_in == 1).await;
    let ssrc = Ssrc::new(ann.ssrc);
    let media = ann.media();
    media.udp.send(&[1, 2, 3, 4]).await.unwrap();
    media.udp.send(&Ping { number: 9 }.write()).await.unwrap();
    assert_eq!(Ping::read_answer(&media.datagram().await), Some(Ping { number: 9 }));
    let ntp_time = 0x1234_5678_9ABC_DEF0;
    let report = Packet::SenderReport { ssrc, ntp_time, rtp_time: 0, packets: 1, bytes: 3, blocks: Vec::new() };
    let (mut plain, mut sealed) = (Vec::new(), Vec::new());
    report.write(&mut plain);
    media.sealer.seal_rtcp(&plain, &mut sealed).unwrap();
    media.udp.send(&sealed).await.unwrap();
    let mut answer = media.datagram().await;
    let packets = Packet::read_all(media.opener.open_rtcp(&mut answer).unwrap()).unwrap();
    let [Packet::ReceiverReport { blocks, .. }] = packets.as_slice() else { panic!("{packets:?}") };
    assert_eq!((blocks[0].ssrc, blocks[0].lost, blocks[0].last_report), (ssrc, 0, 0x5678_9ABC));
}

#[tokio::test]
async fn retired_modes_are_used_only_where_they_are_offered() {
    let mode = Mode::XSalsa20Poly1305;
    let voice = VoiceConfig { modes: vec![mode], ..VoiceConfig::default() };
    let emulator = Emulator::start(Config { voice, ..Config::default() }).await.unwrap();
    let anns = emulator.user("ann").joins(LOBBY).voice_ticket();
    let bobs = emulator.user("bob").joins(LOBBY).voice_ticket();
    let mut ann = Caller::join_as(&emulator, &anns, 8, mode).await;
    let mut bob = Caller::join_as(&emulator, &bobs, 8, mode).await;
    ann.speaks().await;
    ann.heartbeat(1).await;
    ann.sends(b"old").await;
    assert_eq!(bob.hears().await.payload, b"old");
}
