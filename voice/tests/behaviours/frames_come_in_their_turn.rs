//! Order, gaps, and what is counted.

use parlor_voice::{Event, FrameCounts, Outcome};
use parlor_voice_wire::{
    ProtocolVersion,
    gateway::{ClientDisconnect, ServerMessage},
    opus::SILENCE,
};
use proptest::prelude::*;

use crate::scripted::{ANN, ANN_SSRC, BOB, Call, millis, opus};

fn live() -> Call {
    let mut call = Call::live(ProtocolVersion::NONE);
    call.heard();
    call
}

fn counted(call: &Call) -> Vec<(Outcome, u64)> {
    let frames: &FrameCounts = &call.session.counters().frames;
    Outcome::ALL.into_iter().map(|outcome| (outcome, frames.get(outcome))).filter(|(_, count)| *count > 0).collect()
}

/// The numbers of frames, and how many were missing in between.
fn told(events: &[Event]) -> Vec<Result<u8, u32>> {
    let tell = |event: &Event| {
        if let Event::Frame(frame) = event {
            assert_eq!((frame.user, frame.ssrc), (ANN, ANN_SSRC));
            return Some(Ok(frame.opus[1]));
        }
        if let Event::Gap { user: ANN, frames, .. } = event { Some(Err(*frames)) } else { None }
    };
    events.iter().filter_map(tell).collect()
}

/// Whoever tells frames apart by their source and position may do so as long as the session lasts.
#[test]
fn positions_of_a_source_never_go_back() {
    let mut call = live();
    let (mut last, mut begin) = (0, 0_u16);
    let mut speaks = |call: &mut Call, user| {
        begin += 1_000;
        for number in begin..begin + 3 {
            call.comes(ANN_SSRC, number, &opus(number as u8));
            call.pass(millis(20));
        }
        call.pass(millis(200));
        let heard = call.heard();
        let positions: Vec<u64> = heard.frames().iter().map(|frame| frame.position).collect();
        assert!(heard.frames().iter().all(|frame| frame.user == user));
        assert_eq!(positions, [positions[0], positions[0] + 1, positions[0] + 2]);
        assert!(positions[0] > last, "{positions:?} after {last}");
        last = positions[2];
    };
    speaks(&mut call, ANN);
    // It changes hands, and is given back.
    for user in [BOB, ANN] {
        call.claims(ANN_SSRC, user);
        speaks(&mut call, user);
    }
    // Its user leaves and gets it again.
    call.says_in_order(&ServerMessage::ClientDisconnect(ClientDisconnect { user_id: ANN }));
    call.claims(ANN_SSRC, ANN);
    speaks(&mut call, ANN);
    // The connection is another.
    call.connects("voice.example:444", ProtocolVersion::NONE);
    speaks(&mut call, ANN);
}

#[test]
fn a_frame_that_was_overtaken_still_comes_in_its_turn() {
    let mut call = live();
    for number in [0, 2, 1, 3] {
        call.comes(ANN_SSRC, number, &opus(number as u8));
        call.pass(millis(20));
    }
    call.pass(millis(200));
    assert_eq!(told(&call.heard().events), [Ok(0), Ok(1), Ok(2), Ok(3)]);
    assert_eq!(counted(&call), [(Outcome::Delivered, 4)]);
}

#[test]
fn even_the_first_may_be_overtaken() {
    let mut call = live();
    for number in [1, 0, 2] {
        call.comes(ANN_SSRC, number, &opus(number as u8));
        call.pass(millis(20));
    }
    call.pass(millis(200));
    assert_eq!(told(&call.heard().events), [Ok(0), Ok(1), Ok(2)]);
}

#[test]
fn a_gap_is_told_in_its_turn_and_counted_when_nothing_can_fill_it() {
    let mut call = live();
    for number in [0, 1, 4] {
        call.comes(ANN_SSRC, number, &opus(number as u8));
        call.pass(millis(20));
    }
    call.pass(millis(200));
    assert_eq!(told(&call.heard().events), [Ok(0), Ok(1), Err(2), Ok(4)]);
    call.comes(ANN_SSRC, 2, &opus(2));
    call.pass(millis(3_000));
    assert_eq!(told(&call.heard().events), [], "its turn is over");
    assert_eq!(counted(&call), [(Outcome::Delivered, 3), (Outcome::Late, 1), (Outcome::Lost, 1)]);
}

#[test]
fn a_datagram_that_comes_twice_is_one_frame() {
    let mut call = live();
    let mut datagram = call.datagram(ANN_SSRC, 0, &opus(0));
    for pause in [0, 20, 500, 5_000] {
        let mut again = datagram.clone();
        call.input(parlor_voice::Input::Datagram { from: crate::scripted::server(), bytes: &mut again });
        call.pass(millis(pause));
    }
    assert_eq!(told(&call.heard().events), [Ok(0)]);
    assert_eq!((counted(&call), call.session.counters().duplicates), (vec![(Outcome::Delivered, 1)], 3));
    datagram[20] ^= 1;
    call.input(parlor_voice::Input::Datagram { from: crate::scripted::server(), bytes: &mut datagram });
    assert_eq!(call.session.counters().rejected, 1, "and one that was changed is none");
}

#[test]
fn a_frame_waits_its_delay_and_no_longer() {
    let mut call = live();
    call.comes(ANN_SSRC, 0, &opus(0));
    call.pass(millis(59));
    assert_eq!(told(&call.heard().events), []);
    call.pass(millis(1));
    assert_eq!(told(&call.heard().events), [Ok(0)]);
}

/// Discord's clients may stop their media clock while they are silent: after a pause nothing is late.
#[test]
fn after_a_pause_turns_are_counted_anew() {
    let mut call = live();
    call.comes(ANN_SSRC, 0, &opus(0));
    call.pass(millis(3_000));
    call.heard();
    call.comes(ANN_SSRC, 1, &opus(1));
    call.pass(millis(59));
    assert_eq!(told(&call.heard().events), [], "it waits for what it may have overtaken");
    call.pass(millis(1));
    assert_eq!(told(&call.heard().events), [Ok(1)]);
}

/// A sender whose clock runs one part in a thousand fast or slow, for ten minutes.
#[test]
fn a_clock_that_drifts_does_not_move_the_delay() {
    for per_mille in [-1_i64, 1] {
        let mut call = live();
        let start = call.now;
        let mut worst = (millis(1_000), millis(0));
        for number in 0..30_000_i64 {
            let sent = start + std::time::Duration::from_micros((number * 20 * (1_000 + per_mille)) as u64);
            call.pass(sent.saturating_duration_since(call.now));
            call.comes(ANN_SSRC, number as u16, &opus(number as u8));
            let heard = call.heard();
            call.answers_heartbeats(&heard);
            let waits = heard.frames().into_iter().map(|frame| call.now.saturating_duration_since(frame.received));
            // The first seconds are there to measure.
            for waited in waits.filter(|_| number > 1_000) {
                worst = (worst.0.min(waited), worst.1.max(waited));
            }
        }
        assert!(worst.0 >= millis(40) && worst.1 <= millis(90), "{per_mille}: {worst:?}");
        assert_eq!(call.session.counters().frames.get(Outcome::Lost), 0);
    }
}

#[test]
fn speaking_is_what_is_heard_and_ends_with_silence_or_with_nothing() {
    let spoken = |events: Vec<Event>| -> Vec<bool> {
        let speaking = |event| if let Event::Speaking { user: ANN, speaking } = event { Some(speaking) } else { None };
        events.into_iter().filter_map(speaking).collect()
    };
    let mut call = live();
    let mut number = 0;
    for payload in [opus(1), SILENCE.to_vec(), opus(2)].into_iter().chain((0..5).map(|_| SILENCE.to_vec())) {
        call.comes(ANN_SSRC, number, &payload);
        call.pass(millis(20));
        number += 1;
    }
    call.pass(millis(70));
    assert_eq!(spoken(call.heard().events), [true, false]);
    call.comes(ANN_SSRC, number, &opus(3));
    call.pass(millis(60));
    assert_eq!(spoken(call.heard().events), [true]);
    call.pass(millis(250));
    assert_eq!(spoken(call.heard().events), [false]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost, doubled or overtaken between the first frame and the last: order holds and every frame is counted
    /// once.
    #[test]
    fn every_frame_has_one_outcome(first: u16, fates in proptest::collection::vec((0..20_u8, 0..8_u64), 1..300)) {
        let mut call = live();
        let start = call.now;
        let last = fates.len() + 1;
        let mut arrivals = vec![(0, 0), (last as u64 * 20, last)];
        for (at, (fate, delay)) in fates.iter().enumerate() {
            let (number, sent) = (at + 1, (at as u64 + 1) * 20);
            match fate {
                0 | 1 => {}
                2 => arrivals.extend([(sent, number), (sent + delay * 30, number)]),
                _ => arrivals.push((sent + delay * delay * 5, number)),
            }
        }
        arrivals.sort_unstable();
        for (at, number) in arrivals {
            call.pass((start + millis(at)).saturating_duration_since(call.now));
            call.comes(ANN_SSRC, first.wrapping_add(number as u16), &opus(number as u8));
        }
        call.pass(millis(5_000));
        let heard = call.heard();
        let positions: Vec<u64> = heard.frames().iter().map(|frame| frame.position).collect();
        prop_assert!(positions.is_sorted_by(|one, next| one < next));
        prop_assert_eq!(call.session.counters().frames.total(), last as u64 + 1);
        prop_assert_eq!(positions.len() as u64, call.session.counters().frames.get(Outcome::Delivered));
    }
}
