//! Moves, other voice servers, none at all, kicks, and leaving.

use parlor_voice::{Disconnect, Ending, Event, Input, Signal};
use parlor_voice_wire::{ChannelId, ProtocolVersion};

use crate::scripted::{ANN_SSRC, Call, LOBBY, millis, opus};

const STAGE: ChannelId = ChannelId::new(11);

fn live() -> Call {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.heard();
    call
}

#[test]
fn another_server_is_joined_at_once() {
    let mut call = live();
    call.voice_server(Some("elsewhere.example:443"));
    let heard = call.heard();
    assert_eq!(heard.events, [Event::Disconnected(Disconnect::ServerChanged)]);
    let [Signal::CloseSocket { code: 1000, .. }, Signal::OpenSocket { url, .. }] = &heard.signals[..] else {
        panic!("{:?}", heard.signals)
    };
    assert!(url.starts_with("wss://elsewhere.example:443/"));
}

#[test]
fn a_server_that_is_gone_is_left_until_there_is_another() {
    let mut call = live();
    call.voice_server(None);
    let heard = call.heard();
    assert_eq!(heard.events, [Event::Disconnected(Disconnect::ServerChanged)]);
    assert!(matches!(heard.signals[..], [Signal::CloseSocket { .. }]), "{:?}", heard.signals);
    call.pass(millis(10_000));
    assert_eq!(call.heard().signals, []);
    call.voice_server(Some("voice.example:443"));
    assert!(call.heard().opened().is_some());
}

#[test]
fn a_move_takes_the_session_along_in_either_order() {
    for state_first in [true, false] {
        let mut call = live();
        if state_first {
            call.voice_state(Some(STAGE));
            assert!(call.heard().events.contains(&Event::Disconnected(Disconnect::Moved)));
            call.voice_server(Some("voice.example:443"));
        } else {
            call.input(Input::VoiceServer {
                endpoint: Some("voice.example:443".to_owned()),
                token: parlor_voice_wire::gateway::Credential::new("another"),
            });
            call.voice_state(Some(STAGE));
        }
        assert!(call.heard().opened().is_some());
        assert_eq!(call.session.channel(), STAGE);
    }
}

/// The voice gateway closes with 4014 and the voice state says nowhere; which comes first is open.
#[test]
fn a_kick_is_the_end() {
    let mut call = live();
    call.closes(Some(4014));
    call.voice_state(None);
    assert_eq!(call.session.ending(), Some(Ending::Kicked));

    let mut call = live();
    call.voice_state(None);
    assert_eq!(call.session.ending(), Some(Ending::Kicked));
    assert!(call.heard().signals.iter().all(|signal| !matches!(signal, Signal::UpdateVoiceState { .. })));
}

/// What an earlier session's end says reaches the one after it.
#[test]
fn an_earlier_sessions_end_is_not_a_kick() {
    let mut call = Call::new();
    call.voice_state(None);
    assert_eq!(call.session.ending(), None);
    call.voice_state(Some(LOBBY));
    call.voice_server(Some("voice.example:443"));
    assert!(call.heard().opened().is_some());
}

/// Asked for a channel that it thinks the bot is in, Discord may say nothing at all.
#[test]
fn silence_about_a_repeated_request_is_answered_by_leaving_first() {
    let mut call = live();
    call.closes(Some(4006));
    call.pass(millis(7_000));
    let signals = call.heard().signals;
    let asked =
        |signal: &Signal| if let Signal::UpdateVoiceState { channel, .. } = signal { Some(*channel) } else { None };
    let channels: Vec<_> = signals.iter().filter_map(asked).collect();
    assert_eq!(channels, [Some(LOBBY), None, Some(LOBBY)]);
    call.voice_state(None);
    assert_eq!(call.session.ending(), None, "the answer to having left");
    call.voice_state(Some(LOBBY));
    call.voice_server(Some("voice.example:443"));
    assert!(call.heard().opened().is_some());
}

#[test]
fn leaving_delivers_what_came_and_says_so() {
    let mut call = live();
    call.comes(ANN_SSRC, 0, &opus(1));
    call.heard();
    call.input(Input::Leave);
    let heard = call.heard();
    assert_eq!(heard.frames().len(), 1, "it was still waiting for its turn");
    assert_eq!(heard.events.last(), Some(&Event::Ended(Ending::Left)));
    let [Signal::CloseSocket { code: 1000, .. }, Signal::UpdateVoiceState { channel: None, .. }] = heard.signals[..]
    else {
        panic!("{:?}", heard.signals)
    };
}

#[test]
fn a_wish_to_move_is_passed_on() {
    let mut call = live();
    call.input(Input::MoveTo(STAGE));
    let signals = call.heard().signals;
    assert!(matches!(signals[..], [Signal::UpdateVoiceState { channel: Some(STAGE), .. }]), "{signals:?}");
    assert_eq!(call.session.channel(), LOBBY, "until Discord says so");
}
