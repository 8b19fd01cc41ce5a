//! Faults of the voice server.

use std::collections::BTreeSet;
use std::time::Duration;

use discord_emulator::{Emulator, Fault, LOBBY, PARLOR_DEV, VoiceTrouble};
use parlor_voice_wire::Ssrc;
use parlor_voice_wire::discovery::{Request, Response};
use parlor_voice_wire::opus::SILENCE;
use parlor_voice_wire::rtp::SequenceNumber;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use crate::bot::{INTENTS, Socket, TOKEN};
use crate::caller::{Caller, Came, plain};

/// Ann speaks and Bob listens.
async fn call() -> (Emulator, Caller, Caller) {
    let emulator = plain().await;
    emulator.user("ann").joins(LOBBY);
    emulator.user("bob").joins(LOBBY);
    let (mut ann, mut bob) = (Caller::join(&emulator, "ann").await, Caller::join(&emulator, "bob").await);
    ann.speaks().await;
    ann.heartbeat(1).await;
    bob.speaks().await;
    bob.heartbeat(1).await;
    (emulator, ann, bob)
}

#[tokio::test]
async fn packets_get_lost_and_are_counted() {
    let (emulator, mut ann, mut bob) = call().await;
    emulator.inject(VoiceTrouble::Lose { percent: 50 });
    for number in 0..100 {
        ann.sends(&[number]).await;
    }
    let stats = emulator.wait_for(|stats| stats.voice.packets_in == 100).await.voice;
    assert_eq!(stats.lost + stats.packets_out, 100);
    assert!((30..=70).contains(&stats.lost), "{}", stats.lost);
    for _ in 0..stats.packets_out {
        bob.hears().await;
    }
    emulator.clear_faults();
    emulator.inject(Fault::from(VoiceTrouble::LoseSent { percent: 100 }).only(ann.ticket.user_id));
    ann.sends(b"gone").await;
    emulator.wait_for(|after| after.voice.lost == stats.lost + 1).await;
    emulator.clear_faults();
    ann.sends(b"here").await;
    assert_eq!(bob.hears().await.payload, b"here");
}

#[tokio::test]
async fn packets_come_twice_late_and_in_another_order() {
    let (emulator, mut ann, mut bob) = call().await;
    let heard = async |bob: &mut Caller, count| {
        let mut payloads = Vec::new();
        for _ in 0..count {
            payloads.push(bob.hears().await.payload[0]);
        }
        payloads
    };
    emulator.inject(VoiceTrouble::Duplicate { percent: 100 });
    ann.sends(&[1]).await;
    assert_eq!(heard(&mut bob, 2).await, [1, 1]);
    emulator.clear_faults();

    emulator.inject(VoiceTrouble::Reorder { percent: 100 });
    ann.sends(&[2]).await;
    emulator.wait_for(|stats| stats.voice.reordered == 1).await;
    emulator.clear_faults();
    ann.sends(&[3]).await;
    assert_eq!(heard(&mut bob, 2).await.into_iter().collect::<BTreeSet<_>>(), [2, 3].into());
    assert_eq!(emulator.stats().voice.reordered, 1);

    emulator.inject(VoiceTrouble::Delay { percent: 100, millis: 600_000 });
    ann.sends(&[4]).await;
    emulator.wait_for(|stats| stats.voice.delayed == 1).await;
    emulator.clear_faults();
    ann.sends(&[5]).await;
    assert_eq!(heard(&mut bob, 1).await, [5]);
    for client in [&mut ann, &mut bob] {
        emulator.advance(Duration::from_secs(10));
        client.heartbeat(2).await;
    }
    emulator.inject(VoiceTrouble::Delay { percent: 100, millis: 1 });
    ann.sends(&[6]).await;
    assert_eq!(heard(&mut bob, 1).await, [6], "soon, without anybody's help");
}

#[tokio::test]
async fn packets_are_dressed_up_and_corrupted() {
    let (emulator, mut ann, mut bob) = call().await;
    emulator.inject(VoiceTrouble::Pad { percent: 100, bytes: 9 });
    emulator.inject(VoiceTrouble::Extend { percent: 100 });
    emulator.inject(VoiceTrouble::Mix { percent: 100 });
    ann.sends(b"opus").await;
    let heard = bob.hears().await;
    assert!(heard.header.padded && heard.header.extended && heard.header.contributing.len() == 1);
    assert_eq!((heard.payload.as_slice(), heard.elements.len()), (&b"opus"[..], 4));
    assert_eq!(heard.header.sequence, SequenceNumber::new(100));
    emulator.clear_faults();
    emulator.inject(VoiceTrouble::Corrupt { percent: 100 });
    ann.sends(b"opus").await;
    assert_ne!(bob.hears().await.payload, b"opus");
    emulator.clear_faults();
    emulator.inject(VoiceTrouble::FillSilence);
    emulator.user("ann").gets_muted(true);
    ann.sends(b"opus").await;
    assert_eq!(bob.hears().await.payload, SILENCE);
}

#[tokio::test]
async fn sources_are_swapped_and_used_again() {
    let (emulator, mut ann, mut bob) = call().await;
    ann.heartbeat(2).await;
    ann.aside.clear();
    bob.aside.clear();
    emulator.inject(VoiceTrouble::SwapSources);
    assert_eq!(bob.op(5).await["ssrc"], bob.ssrc, "Ann is heard as Bob was");
    assert_eq!(ann.op(5).await["ssrc"], ann.ssrc);
    ann.sends(b"swapped").await;
    assert_eq!(bob.hears().await.header.ssrc.get(), bob.ssrc);

    emulator.inject(VoiceTrouble::ReuseSources);
    let before = ann.ssrc;
    emulator.user("ann").leaves();
    ann.close_code().await;
    emulator.user("cleo").joins(LOBBY);
    assert_eq!(Caller::join(&emulator, "cleo").await.ssrc, before);
}

#[tokio::test]
async fn messages_come_late_and_in_another_order() {
    let (emulator, mut ann, mut bob) = call().await;
    bob.aside.clear();
    emulator.inject(VoiceTrouble::LateSpeaking { millis: 5_000 });
    ann.speaks().await;
    ann.heartbeat(2).await;
    bob.heartbeat(2).await;
    assert!(bob.aside.is_empty(), "{:?}", bob.aside);
    emulator.advance(Duration::from_secs(5));
    assert_eq!(bob.op(5).await["ssrc"], ann.ssrc);
    emulator.clear_faults();

    emulator.inject(VoiceTrouble::ReorderMessages { percent: 100 });
    emulator.user("cleo").joins(LOBBY);
    let _cleo = Caller::join(&emulator, "cleo").await;
    let mut ops = Vec::new();
    let mut numbers = Vec::new();
    while ops.len() < 2 {
        let Came::Text(message) = bob.take().await else { panic!("text") };
        ops.push(message["op"].as_u64().unwrap());
        numbers.push(message["seq"].as_u64().unwrap());
    }
    assert_eq!(ops, [18, 11], "flags of somebody who is not there yet");
    assert_eq!(numbers[1], numbers[0] + 1, "the server numbers in the order in which it says it");
}

#[tokio::test]
async fn every_close_code_comes_on_command() {
    let resumable = [1_000, 1_001, 3_999, 4_000, 4_013, 4_015, 4_999];
    let over =
        [4_001, 4_002, 4_003, 4_004, 4_005, 4_006, 4_009, 4_011, 4_012, 4_014, 4_016, 4_017, 4_020, 4_021, 4_022];
    for (code, left) in resumable.map(|code| (code, 2)).into_iter().chain(over.map(|code| (code, 1))) {
        let (emulator, mut ann, mut bob) = call().await;
        emulator.inject(Fault::from(VoiceTrouble::Close { code }).only(ann.ticket.user_id));
        assert_eq!(ann.close_code().await, code);
        bob.heartbeat(2).await;
        let voice = emulator.stats().voice;
        assert_eq!((voice.sessions_open, voice.closes), (left, [(code, 1)].into()), "{code}");
    }
    let (emulator, mut ann, _bob) = call().await;
    emulator.inject(VoiceTrouble::RefuseResumes);
    emulator.inject(VoiceTrouble::RefuseIdentifies { code: 4011 });
    emulator.inject(VoiceTrouble::DropConnections);
    while !matches!(ann.take().await, Came::Dropped) {}
    let ticket = ann.ticket.clone();
    let mut again = Caller::dial(&emulator, &ticket, 8).await;
    let resume = json!({"server_id": PARLOR_DEV, "session_id": ticket.session_id, "token": ticket.token});
    again.send(7, resume).await;
    assert_eq!(again.close_code().await, 4006);
    let mut again = Caller::dial(&emulator, &ticket, 8).await;
    again.identify(1).await;
    assert_eq!(again.close_code().await, 4011);
}

#[tokio::test]
async fn discovery_gets_lost_until_it_is_repeated_often_enough() {
    let emulator = plain().await;
    let ticket = emulator.user("ann").joins(LOBBY).voice_ticket();
    let mut ann = Caller::dial(&emulator, &ticket, 8).await;
    ann.identify(1).await;
    ann.take_ready().await;
    let server = emulator.media_addr();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let request = Request { ssrc: Ssrc::new(ann.ssrc) }.write();
    emulator.inject(Fault::from(VoiceTrouble::LoseDiscovery { percent: 100 }).only(ticket.user_id));
    for times in 1..=3 {
        udp.send_to(&request, server).await.unwrap();
        let voice = emulator.wait_for(|stats| stats.voice.lost == times).await.voice;
        assert_eq!(voice.discoveries, 0);
    }
    emulator.clear_faults();
    udp.send_to(&request, server).await.unwrap();
    let mut bytes = [0; 2_048];
    let (length, _) = udp.recv_from(&mut bytes).await.unwrap();
    assert_eq!(Response::read(&bytes[..length]).unwrap().address, udp.local_addr().unwrap());

    // Others are spared.
    emulator.inject(Fault::from(VoiceTrouble::LoseDiscovery { percent: 100 }).only(ticket.user_id));
    emulator.user("bob").joins(LOBBY);
    Caller::join(&emulator, "bob").await;
}

#[tokio::test]
async fn heartbeats_are_not_acknowledged_and_count_all_the_same() {
    let (emulator, mut ann, mut bob) = call().await;
    let before = emulator.stats().voice.heartbeats;
    emulator.inject(Fault::from(VoiceTrouble::HoldHeartbeatAcks).only(ann.ticket.user_id));
    ann.send(3, json!({"t": 5, "seq_ack": -1})).await;
    emulator.wait_for(|stats| stats.voice.heartbeats == before + 1).await;
    assert_eq!(bob.heartbeat(6).await, json!({"t": 6}), "others are spared");
    // Who sends them is not silent.
    for _ in 0..3 {
        emulator.advance(Duration::from_secs(15));
        ann.send(3, json!({"t": 7, "seq_ack": -1})).await;
        bob.heartbeat(8).await;
    }
    emulator.clear_faults();
    assert_eq!(ann.heartbeat(9).await, json!({"t": 9}), "what was held back never comes");
}

#[tokio::test]
async fn a_voice_server_moves_and_goes_away() {
    let emulator = plain().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    emulator.inject(Fault::ReverseDispatches);
    socket.op4(PARLOR_DEV, Some(LOBBY)).await;
    let server = socket.dispatch("VOICE_SERVER_UPDATE").await;
    let state = socket.dispatch("VOICE_STATE_UPDATE").await;
    emulator.clear_faults();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut ticket = discord_emulator::VoiceTicket {
        endpoint: text(&server["endpoint"]),
        guild_id: PARLOR_DEV,
        channel_id: LOBBY,
        user_id: emulator.bot(TOKEN).unwrap(),
        session_id: text(&state["session_id"]),
        token: text(&server["token"]),
    };
    for (trouble, endpoint) in
        [(VoiceTrouble::MoveServer, json!(emulator.voice_addr())), (VoiceTrouble::RemoveServer, Value::Null)]
    {
        let mut bot = Caller::dial(&emulator, &ticket, 8).await;
        bot.identify(1).await;
        bot.take_ready().await;
        emulator.inject(trouble);
        let update = socket.dispatch("VOICE_SERVER_UPDATE").await;
        assert_eq!(update["endpoint"], endpoint);
        assert_eq!(bot.close_code().await, 4022);
        ticket.token = text(&update["token"]);
    }
    emulator.inject(VoiceTrouble::MoveServer);
    assert_eq!(socket.dispatch("VOICE_SERVER_UPDATE").await["endpoint"], json!(emulator.voice_addr()));
}

#[tokio::test]
async fn a_person_with_curl_can_make_trouble_and_lend_a_voice() {
    let (emulator, mut ann, mut bob) = call().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |path: &str, body: &str| {
        let url = format!("{}{path}", emulator.control_url());
        let reply = http.request(Method::POST, url).body(body.to_owned()).send().await.unwrap();
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    };
    let fault = r#"{"fault":"voice","trouble":{"kind":"pad","percent":100,"bytes":4}}"#;
    assert_eq!(post("/faults", fault).await.0, 200);
    ann.sends(b"x").await;
    assert!(bob.hears().await.header.padded);
    let misspelt = r#"{"fault":"voice","trouble":{"kind":"lose","percents":100}}"#;
    assert_eq!(post("/faults", misspelt).await.0, 400);

    emulator.user("cleo").joins(LOBBY);
    let (status, ticket) = post("/users/cleo/voice", "").await;
    assert_eq!((status, &ticket["endpoint"]), (200, &json!(emulator.voice_addr())));
    let mut cleos = emulator.user("cleo").voice_ticket();
    assert_ne!(ticket["token"], cleos.token, "each ticket is a new one");
    cleos.token = ticket["token"].as_str().unwrap().to_owned();
    let mut cleo = Caller::dial(&emulator, &cleos, 8).await;
    cleo.identify(1).await;
    assert_eq!(cleo.close_code().await, 4004);
    assert_eq!(post("/users/dan/voice", "").await.0, 409);
}
