//! From both updates to media.

use parlor_voice::{Config, Disconnect, Encryption, Ending, Event, Input, Signal};
use parlor_voice_wire::{
    ProtocolVersion, Ssrc,
    discovery::{Request, Response},
    gateway::{ClientMessage, ClientSpeaking, Credential, SelectProtocol, SequenceAck, ServerMessage, SpeakingFlags},
    transport::RetiredModes,
};

use crate::scripted::{BOT, BOT_SSRC, Call, GUILD, LIVE_MODES, LOBBY, description, hello, millis, ready, server};

#[test]
fn it_asks_the_main_gateway_first() {
    let mut call = Call::new();
    let asked = Signal::UpdateVoiceState { channel: Some(LOBBY), self_mute: false, self_deaf: false };
    assert_eq!(call.heard().signals, [asked]);
}

/// Discord promises no order of the two updates.
#[test]
fn either_update_may_come_first() {
    for state_first in [true, false] {
        let mut call = Call::new();
        if state_first {
            call.voice_state(Some(LOBBY));
            assert_eq!(call.heard().opened(), None);
            call.voice_server(Some("voice.example:2087"));
        } else {
            call.voice_server(Some("voice.example:2087"));
            assert_eq!(call.heard().opened(), None);
            call.voice_state(Some(LOBBY));
        }
        let heard = call.heard();
        let Some(Signal::OpenSocket { url, .. }) = heard.signals.last() else { panic!("{heard:?}") };
        assert_eq!(url, "wss://voice.example:2087/?v=8", "the port is kept");
    }
}

#[test]
fn every_step_asks_for_the_next() {
    let mut call = Call::new();
    call.voice_state(Some(LOBBY));
    call.voice_server(Some("voice.example:443"));
    call.heard();
    call.open();
    let messages = call.heard().messages();
    let [ClientMessage::Identify(identify)] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((identify.server_id, identify.user_id), (GUILD, BOT));
    assert_eq!((identify.session_id.expose(), identify.token.expose()), ("session", "token"));
    assert_eq!(identify.max_dave_protocol_version, ProtocolVersion::V1);

    call.says(&hello());
    call.says(&ready(&LIVE_MODES));
    let heard = call.heard();
    assert_eq!(heard.datagrams, [(server(), Request { ssrc: BOT_SSRC }.write().to_vec())]);
    assert_eq!(heard.messages(), []);

    let mut response = Response { ssrc: BOT_SSRC, address: "203.0.113.9:4444".parse().expect("an address") }.write();
    call.input(Input::Datagram { from: server(), bytes: &mut response });
    let select = SelectProtocol::Udp {
        address: "203.0.113.9".to_owned(),
        port: 4444,
        mode: "aead_aes256_gcm_rtpsize".to_owned(),
    };
    assert_eq!(call.heard().messages(), [ClientMessage::SelectProtocol(select)]);

    call.says(&description("aead_aes256_gcm_rtpsize", ProtocolVersion::NONE));
    let heard = call.heard();
    let silent = ClientSpeaking { speaking: SpeakingFlags::SILENT, delay: 0, ssrc: BOT_SSRC };
    assert_eq!(heard.messages(), [ClientMessage::Speaking(silent)], "media comes only to who has spoken of itself");
    assert!(heard.events.contains(&Event::Connected { channel: LOBBY, ssrc: BOT_SSRC }));
    assert!(heard.events.contains(&Event::Encryption(Encryption::Transport)));
}

#[test]
fn discovery_is_repeated_until_it_is_answered() {
    let mut call = Call::new();
    call.voice_state(Some(LOBBY));
    call.voice_server(Some("voice.example:443"));
    call.open();
    call.says(&ready(&LIVE_MODES));
    call.heard();
    call.pass(millis(2_000));
    assert_eq!(call.heard().datagrams.len(), 4);
    let address = "203.0.113.9:4444".parse().expect("an address");
    let another = Response { ssrc: Ssrc::new(5), address }.write();
    call.input(Input::Datagram { from: server(), bytes: &mut another.clone() });
    let sound = Response { ssrc: BOT_SSRC, address }.write();
    let elsewhere = "192.0.2.66:50000".parse().expect("an address");
    call.input(Input::Datagram { from: elsewhere, bytes: &mut sound.clone() });
    assert_eq!(call.heard().messages(), [], "neither another source's answer nor another server's");
    call.input(Input::Datagram { from: server(), bytes: &mut sound.clone() });
    assert_eq!(call.heard().messages().len(), 1);
}

#[test]
fn a_server_that_does_not_answer_is_left() {
    let mut call = Call::new();
    call.voice_state(Some(LOBBY));
    call.voice_server(Some("voice.example:443"));
    call.open();
    call.says(&ready(&LIVE_MODES));
    call.heard();
    call.pass(millis(16_500));
    let heard = call.heard();
    assert!(heard.events.contains(&Event::Disconnected(Disconnect::NoAnswer)), "{:?}", heard.events);
    assert!(heard.signals.iter().any(|signal| matches!(signal, Signal::CloseSocket { .. })));
    let asked = heard.signals.iter().any(|signal| matches!(signal, Signal::UpdateVoiceState { channel: Some(_), .. }));
    assert!(asked, "the main gateway is asked again: {:?}", heard.signals);
}

#[test]
fn without_an_assignment_it_is_over() {
    let mut call = Call::new();
    call.pass(millis(29_999));
    assert_eq!(call.session.ending(), None);
    call.pass(millis(1));
    assert_eq!(call.session.ending(), Some(Ending::NotAssigned));
}

#[test]
fn retired_modes_are_used_only_where_they_are_accepted() {
    let offered = ["xsalsa20_poly1305_lite", "xsalsa20_poly1305"];
    for (accepted, chosen) in [(RetiredModes::Refused, None), (RetiredModes::Accepted, Some(offered[0]))] {
        let mut call = Call::with(Config { retired_modes: accepted, ..Config::new(GUILD, LOBBY, BOT) });
        call.voice_state(Some(LOBBY));
        call.voice_server(Some("voice.example:443"));
        call.open();
        call.heard();
        call.says(&ready(&offered));
        if let Some(chosen) = chosen {
            call.discover();
            let messages = call.heard().messages();
            let [ClientMessage::SelectProtocol(SelectProtocol::Udp { mode, .. })] = &messages[..] else {
                panic!("{messages:?}")
            };
            assert_eq!(mode, chosen);
        } else {
            assert_eq!(call.heard().events, [Event::Ended(Ending::NoMode)], "trying again mends nothing");
        }
    }
}

#[test]
fn heartbeats_carry_the_last_sequence_number() {
    let mut call = Call::new();
    call.voice_state(Some(LOBBY));
    call.voice_server(Some("voice.example:443"));
    call.open();
    call.says(&hello());
    call.heard();
    call.says(&ServerMessage::HeartbeatDemanded);
    let messages = call.heard().messages();
    let [ClientMessage::Heartbeat { seq_ack: SequenceAck::None, nonce }] = messages[..] else { panic!("{messages:?}") };
    call.says(&ServerMessage::HeartbeatAck { nonce });
    call.says_in_order(&ServerMessage::Other { op: 15 });
    call.pass(millis(1));
    call.says(&ServerMessage::HeartbeatDemanded);
    let messages = call.heard().messages();
    let [ClientMessage::Heartbeat { seq_ack: SequenceAck::Seen(sequence), .. }] = messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(sequence.get(), 0);
}

#[test]
fn credentials_do_not_show_themselves() {
    let mut call = Call::new();
    call.input(Input::VoiceState { channel: Some(LOBBY), session_id: Credential::new("hunter2") });
    call.input(Input::VoiceServer {
        endpoint: Some("voice.example:443".to_owned()),
        token: Credential::new("hunter2"),
    });
    call.open();
    let heard = call.heard();
    assert_eq!(heard.messages().len(), 1);
    assert!(!format!("{heard:?}").contains("hunter2"));
}
