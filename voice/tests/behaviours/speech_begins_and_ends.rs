//! What the bot says: announced before, silence after, numbers that fit.

use parlor_voice::Input;
use parlor_voice_wire::{
    ProtocolVersion,
    gateway::{ClientMessage, SpeakingFlags},
    opus::SILENCE,
};

use crate::scripted::{Call, Heard, media, millis, opus};

fn announced(heard: &Heard) -> Vec<SpeakingFlags> {
    let flags = |message| if let ClientMessage::Speaking(speaking) = message { Some(speaking.speaking) } else { None };
    heard.messages().into_iter().filter_map(flags).collect()
}

#[test]
fn it_is_announced_and_five_frames_of_silence_end_it() {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.heard();
    for number in 0..3 {
        call.input(Input::Send(&opus(number)));
        call.pass(millis(20));
    }
    call.input(Input::FinishSpeaking);
    call.pass(millis(200));
    let heard = call.heard();
    assert_eq!(announced(&heard), [SpeakingFlags::VOICE, SpeakingFlags::SILENT]);
    let sent = media(&heard);
    let payloads: Vec<_> = sent.iter().map(|(_, _, payload)| payload.clone()).collect();
    let mut expected: Vec<_> = (0..3).map(opus).collect();
    expected.extend((0..5).map(|_| SILENCE.to_vec()));
    assert_eq!(payloads, expected);
    for pair in sent.windows(2) {
        assert_eq!((pair[1].0.since(pair[0].0), pair[1].1.since(pair[0].1)), (1, 960));
    }
    assert_eq!(call.session.counters().sent, 8);
}

#[test]
fn what_nobody_is_let_hear_is_not_sent() {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.input(Input::SetSuppressed(true));
    call.heard();
    assert!(!call.session.can_send());
    call.input(Input::Send(&opus(0)));
    call.pass(millis(200));
    let heard = call.heard();
    assert_eq!((media(&heard).len(), announced(&heard)), (0, Vec::new()));
    assert_eq!((call.session.counters().sent, call.session.counters().unsent), (0, 1));
    call.input(Input::SetSuppressed(false));
    assert!(call.session.can_send());
    call.input(Input::Send(&opus(1)));
    assert_eq!(media(&call.heard()).len(), 1);
    assert_eq!((call.session.counters().sent, call.session.counters().unsent), (1, 1));
}

#[test]
fn it_ends_by_itself_when_nothing_comes() {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.heard();
    call.input(Input::Send(&opus(0)));
    call.pass(millis(99));
    assert_eq!(media(&call.heard()).len(), 1);
    call.pass(millis(200));
    let heard = call.heard();
    assert_eq!((media(&heard).len(), announced(&heard)), (5, vec![SpeakingFlags::SILENT]));
}

#[test]
fn a_pause_moves_the_timestamp_but_not_the_sequence() {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.heard();
    call.input(Input::Send(&opus(0)));
    call.input(Input::FinishSpeaking);
    call.pass(millis(2_000));
    call.input(Input::Send(&opus(1)));
    let sent = media(&call.heard());
    let (first, last) = (&sent[0], sent.last().expect("a packet"));
    assert_eq!(last.0.since(first.0), 6);
    let samples = last.1.since(first.1);
    assert!((94_000..98_000).contains(&samples), "2 s are 96,000 samples: {samples}");
}

#[test]
fn speech_that_goes_on_needs_no_second_announcement() {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.heard();
    call.input(Input::Send(&opus(0)));
    call.input(Input::FinishSpeaking);
    call.pass(millis(30));
    call.input(Input::Send(&opus(1)));
    assert_eq!(announced(&call.heard()), [SpeakingFlags::VOICE]);
}

#[test]
fn what_cannot_be_sent_is_counted() {
    let mut call = Call::new();
    assert!(!call.session.can_send());
    call.input(Input::Send(&opus(0)));
    assert_eq!(call.session.counters().unsent, 1, "no connection");
    let mut call = Call::live(ProtocolVersion::V1);
    assert!(!call.session.can_send());
    call.heard();
    call.input(Input::Send(&opus(0)));
    assert_eq!((media(&call.heard()).len(), call.session.counters().unsent), (0, 1), "no key: nothing in the clear");
    let mut call = Call::live(ProtocolVersion::NONE);
    assert!(call.session.can_send());
    call.input(Input::Send(&[]));
    assert_eq!(call.session.counters().unsent, 1, "not Opus");
}
