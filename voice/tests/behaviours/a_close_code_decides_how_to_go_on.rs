//! Resume, wait for a server, ask anew, or stop.

use parlor_voice::{Disconnect, Ending, Event, Signal};
use parlor_voice_wire::{
    ProtocolVersion,
    gateway::{ClientMessage, CloseCode, SequenceAck, ServerMessage},
};

use crate::scripted::{ANN, ANN_SSRC, Call, LOBBY, hello, millis, opus};

fn live() -> Call {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.heard();
    call
}

fn asks(signals: &[Signal]) -> bool {
    signals.iter().any(|signal| matches!(signal, Signal::UpdateVoiceState { channel: Some(LOBBY), .. }))
}

#[test]
fn what_leaves_the_session_is_resumed_and_media_goes_on() {
    for code in [None, Some(1000), Some(1006), Some(4013), Some(4015)] {
        let mut call = live();
        call.closes(code);
        let interrupted = Event::Interrupted(code.map(CloseCode::from_number));
        assert_eq!(call.heard().events, [interrupted], "{code:?}");

        call.comes(ANN_SSRC, 0, &opus(1));
        call.pass(millis(1_001));
        let heard = call.heard();
        assert_eq!(heard.frames().len(), 1, "{code:?}: heard without the voice gateway");
        assert!(heard.opened().is_some() && !asks(&heard.signals));

        call.open();
        let messages = call.heard().messages();
        let [ClientMessage::Resume(resume)] = &messages[..] else { panic!("{messages:?}") };
        assert!(matches!(resume.seq_ack, SequenceAck::Seen(last) if last.get() == 2), "the last of three");
        call.says(&hello());
        call.says(&ServerMessage::Resumed);
        assert!(call.heard().events.contains(&Event::Resumed));
        call.comes(ANN_SSRC, 1, &opus(2));
        call.pass(millis(100));
        let heard = call.heard();
        assert_eq!(heard.frames()[0].user, ANN, "who is who is still known");
    }
}

#[test]
fn what_ends_the_session_is_asked_for_anew() {
    for code in [4001, 4002, 4003, 4004, 4005, 4006, 4009, 4011, 4020] {
        let mut call = live();
        call.closes(Some(code));
        let closed = Disconnect::Closed(Some(CloseCode::from_number(code)));
        assert!(call.heard().events.contains(&Event::Disconnected(closed)), "{code}");
        call.pass(millis(1_001));
        let heard = call.heard();
        assert!(asks(&heard.signals) && heard.opened().is_none(), "{code}: {:?}", heard.signals);
        call.voice_server(Some("voice.example:443"));
        assert!(call.heard().opened().is_some(), "{code}: the voice state is still good");
    }
}

#[test]
fn what_discord_took_away_is_waited_for() {
    for code in [4014, 4022] {
        let mut call = live();
        call.closes(Some(code));
        call.pass(millis(20_000));
        let heard = call.heard();
        assert_eq!(heard.signals, [], "{code}: neither asks nor opens");
        call.voice_server(Some("voice.example:444"));
        assert!(call.heard().opened().is_some(), "{code}");

        let mut call = live();
        call.closes(Some(code));
        call.pass(millis(30_000));
        assert_eq!(call.session.ending(), Some(Ending::NotAssigned), "{code}: nothing came");
    }
}

#[test]
fn what_trying_again_does_not_mend_is_the_end() {
    for code in [4012, 4016, 4017, 4021] {
        let mut call = live();
        call.closes(Some(code));
        assert_eq!(call.session.ending(), Some(Ending::Refused(CloseCode::from_number(code))));
    }
}

/// A client that resumes four times in a row without an answer has lost its session.
#[test]
fn resuming_in_vain_is_given_up() {
    let mut call = live();
    for attempt in 0..4 {
        call.closes(None);
        call.pass(millis(8_000));
        assert!(call.heard().opened().is_some(), "attempt {attempt}");
        call.open();
    }
    call.closes(None);
    assert!(call.heard().events.contains(&Event::Disconnected(Disconnect::Closed(None))));
}

#[test]
fn a_socket_that_does_not_answer_heartbeats_is_left_and_resumed() {
    let mut call = live();
    call.pass(millis(3 * 13_750));
    let heard = call.heard();
    let beats = heard.messages().iter().filter(|message| matches!(message, ClientMessage::Heartbeat { .. })).count();
    assert_eq!(beats, 2);
    let code = |signal: &Signal| if let Signal::CloseSocket { code, .. } = signal { Some(*code) } else { None };
    let closed = heard.signals.iter().find_map(code);
    assert!(closed.is_some_and(|code| code != 1000), "1000 would end the session");
    assert!(heard.opened().is_some() && heard.events.contains(&Event::Interrupted(None)));
}

/// Attempts are paced, and they end.
#[test]
fn a_server_that_refuses_for_ever_is_given_up() {
    let mut call = live();
    let mut attempts = 0;
    while call.session.ending().is_none() && attempts < 50 {
        attempts += 1;
        call.closes(Some(4006));
        call.pass(millis(31_000));
        call.heard();
        if call.session.ending().is_none() {
            call.voice_server(Some("voice.example:443"));
            call.open();
        }
    }
    assert_eq!((call.session.ending(), attempts), (Some(Ending::GaveUp), 7));
}

/// What an old socket says is nothing to the new one.
#[test]
fn an_old_socket_is_not_listened_to() {
    let mut call = live();
    let old = call.socket;
    call.voice_server(Some("voice.example:444"));
    let new = call.socket;
    assert_ne!(old, new);
    call.socket = old;
    call.heard();
    call.closes(Some(4017));
    assert_eq!((call.session.ending(), call.heard().events.len()), (None, 0));
}
