//! A source's user is never guessed.

use parlor_voice::{Event, Outcome};
use parlor_voice_wire::{
    ProtocolVersion, Ssrc, UserId,
    gateway::{ClientDisconnect, ServerMessage, Video},
};

use crate::scripted::{ANN, ANN_SSRC, BOB, Call, millis, opus};

const UNKNOWN: Ssrc = Ssrc::new(77);

fn live() -> Call {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.heard();
    call
}

fn heard(call: &mut Call) -> Vec<(UserId, u8)> {
    call.heard().frames().iter().map(|frame| (frame.user, frame.opus[1])).collect()
}

#[test]
fn frames_of_an_unknown_source_are_held_until_it_is_claimed() {
    let mut call = live();
    for number in 0..3 {
        call.comes(UNKNOWN, number, &opus(number as u8));
        call.pass(millis(20));
    }
    call.pass(millis(1_000));
    assert_eq!(heard(&mut call), []);
    call.claims(UNKNOWN, BOB);
    call.pass(millis(0));
    assert_eq!(heard(&mut call), [(BOB, 0), (BOB, 1), (BOB, 2)], "late, but whole");
    call.comes(UNKNOWN, 3, &opus(3));
    call.pass(millis(60));
    assert_eq!(heard(&mut call), [(BOB, 3)], "and what follows is as timely as ever");
}

#[test]
fn an_announcement_of_video_names_the_audio_too() {
    let mut call = live();
    call.comes(UNKNOWN, 0, &opus(0));
    call.says_in_order(&ServerMessage::Video(Video { user_id: BOB, audio_ssrc: UNKNOWN, video_ssrc: Ssrc::new(0) }));
    call.pass(millis(60));
    assert_eq!(heard(&mut call), [(BOB, 0)]);
}

#[test]
fn nobody_waits_for_ever() {
    let mut call = live();
    call.comes(UNKNOWN, 0, &opus(0));
    call.pass(millis(1_500));
    call.comes(UNKNOWN, 75, &opus(75));
    call.pass(millis(600));
    call.claims(UNKNOWN, BOB);
    call.pass(millis(3_000));
    assert_eq!(heard(&mut call), [(BOB, 75)]);
    let frames = call.session.counters().frames;
    assert_eq!(frames.get(Outcome::Held), 1);
    assert_eq!(frames.get(Outcome::Lost), 74, "what was between them is known to have been sent");
}

#[test]
fn what_is_held_is_bounded() {
    let mut call = live();
    for number in 0..1_000 {
        call.comes(UNKNOWN, number, &opus(number as u8));
    }
    assert_eq!(call.session.counters().frames.get(Outcome::Held), 850);
}

#[test]
fn a_source_of_somebody_who_left_is_nobodys() {
    let mut call = live();
    call.comes(ANN_SSRC, 0, &opus(0));
    call.says_in_order(&ServerMessage::ClientDisconnect(ClientDisconnect { user_id: ANN }));
    let events = call.heard().events;
    assert!(matches!(&events[..], [.., Event::Frame(frame), Event::UserLeft(ANN)] if frame.user == ANN), "{events:?}");
    call.comes(ANN_SSRC, 1, &opus(1));
    call.pass(millis(100));
    assert_eq!(heard(&mut call), []);
    call.claims(ANN_SSRC, BOB);
    call.pass(millis(100));
    assert_eq!(heard(&mut call), [(BOB, 1)]);
}
