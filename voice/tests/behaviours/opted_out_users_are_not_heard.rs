//! Frames of somebody who does not want to be heard go nowhere, and are counted.

use parlor_voice::{Config, Event, Input, Outcome};
use parlor_voice_wire::{ProtocolVersion, Ssrc};

use crate::scripted::{ANN, ANN_SSRC, BOB, BOB_SSRC, BOT, Call, GUILD, LOBBY, millis, opus};

#[test]
fn from_the_beginning() {
    let config = Config { opted_out: [ANN].into(), ..Config::new(GUILD, LOBBY, BOT) };
    let mut call = Call::live_with(config, ProtocolVersion::NONE);
    call.heard();
    for number in [0, 1, 3] {
        call.comes(ANN_SSRC, number, &opus(1));
        call.comes(BOB_SSRC, number, &opus(2));
        call.pass(millis(20));
    }
    call.pass(millis(3_000));
    let heard = call.heard();
    assert!(heard.frames().iter().all(|frame| frame.user == BOB));
    let about_ann = |event: &&Event| matches!(event, Event::Gap { user: ANN, .. } | Event::Speaking { user: ANN, .. });
    assert_eq!(heard.events.iter().find(about_ann), None, "not even that they speak");
    let frames = call.session.counters().frames;
    assert_eq!((frames.get(Outcome::OptedOut), frames.get(Outcome::Delivered), frames.get(Outcome::Lost)), (3, 3, 2));
}

#[test]
fn from_now_on_and_what_waits_is_dropped() {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.heard();
    call.comes(ANN_SSRC, 0, &opus(0));
    call.input(Input::SetOptedOut { user: ANN, opted_out: true });
    call.comes(ANN_SSRC, 1, &opus(1));
    call.pass(millis(100));
    assert_eq!(call.heard().frames().len(), 0);
    call.input(Input::SetOptedOut { user: ANN, opted_out: false });
    call.comes(ANN_SSRC, 2, &opus(2));
    call.pass(millis(100));
    assert_eq!(call.heard().frames().len(), 1);
    let frames = call.session.counters().frames;
    assert_eq!((frames.get(Outcome::OptedOut), frames.get(Outcome::Delivered)), (2, 1));
}

#[test]
fn what_was_held_before_it_was_known_whose_it_is() {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.input(Input::SetOptedOut { user: ANN, opted_out: true });
    call.comes(Ssrc::new(5), 0, &opus(0));
    call.claims(Ssrc::new(5), ANN);
    call.pass(millis(100));
    assert_eq!(call.heard().frames().len(), 0);
    assert_eq!(call.session.counters().frames.get(Outcome::OptedOut), 1);
}
