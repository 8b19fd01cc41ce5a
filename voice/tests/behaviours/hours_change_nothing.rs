//! Four people speak for hours, two of them without a pause, on clocks that run fast and slow: what is heard at the end is as
//! fresh, as even and as well aligned as at the beginning, and the session holds no more.
//!
//! `PARLOR_VOICE_MINUTES=<number>` simulates so many minutes; ten if it is not set.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parlor_voice::{Backlog, Event, Input, Outcome, Output, Session, Signal, SocketId};
use parlor_voice_wire::{
    ProtocolVersion, Ssrc, UserId,
    gateway::{ClientMessage, ServerMessage, Version},
    rtp::{Header, RtpTimestamp, SequenceNumber},
    transport::{Content, Sealer},
};

use crate::{
    fake_group::{FakeGroup, mix},
    scripted::{Call, millis, server},
    told,
};

const FRAME_NANOS: i64 = 20_000_000;
const FRAME_SAMPLES: u32 = 960;
/// The shortest way to the session, and what comes on top at random.
const TRANSIT: Duration = Duration::from_millis(20);
const JITTER_MICROS: u64 = 30_000;
/// How long a session lets a frame wait (`Config::playout_delay`).
const DELAY: Duration = Duration::from_millis(60);
/// One in so many datagrams is lost, and as many come twice.
const SELDOM: u64 = 100;

/// How somebody speaks.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// How much slow their clock is, in parts per million.
    slow: i64,
    /// So many frames, then a pause of so many.
    spurt: Option<(u64, u64)>,
    /// Whether the clock of their media stands while they pause.
    clock_stands: bool,
}

const MANNERS: [Manner; 4] = [
    Manner { slow: 50, spurt: None, clock_stands: false },
    Manner { slow: -50, spurt: None, clock_stands: false },
    Manner { slow: 50, spurt: Some((700, 133)), clock_stands: false },
    Manner { slow: -50, spurt: Some((450, 51)), clock_stands: true },
];

/// Somebody who speaks.
struct Speaker {
    manner: Manner,
    user: UserId,
    ssrc: Ssrc,
    /// Frames of their clock since the beginning, spoken or not.
    turn: u64,
    sequence: SequenceNumber,
    timestamp: RtpTimestamp,
    sent: u64,
    lost: u64,
    delivered: u64,
    /// The sum of delays, and how many, by minute.
    delays: Vec<(Duration, u32)>,
    longest: Duration,
    shortest: Duration,
}

impl Speaker {
    /// When their next turn is, since the beginning.
    fn next(&self) -> Duration {
        let frame = FRAME_NANOS + FRAME_NANOS * self.manner.slow / 1_000_000;
        Duration::from_nanos(self.turn * frame as u64)
    }

    fn mean(&self, minute: usize) -> Duration {
        let (sum, frames) = self.delays[minute];
        sum / frames
    }
}

struct Hours {
    session: Session<FakeGroup>,
    socket: SocketId,
    sealer: Sealer,
    start: Instant,
    now: Instant,
    seed: u64,
    speakers: Vec<Speaker>,
    /// Datagrams under way, by when they arrive.
    way: BTreeMap<(Duration, u64), Vec<u8>>,
    sent: u64,
    most: Backlog,
}

impl Hours {
    fn new(seed: u64) -> Self {
        let mut call = Call::live(ProtocolVersion::NONE);
        let speaker = |(number, manner): (usize, &Manner)| {
            let (user, ssrc) = (UserId::new(201 + number as u64), Ssrc::new(2_001 + number as u32));
            call.claims(ssrc, user);
            Speaker {
                manner: *manner,
                user,
                ssrc,
                turn: 0,
                // Both wrap soon.
                sequence: SequenceNumber::new(65_000),
                timestamp: RtpTimestamp::new(u32::MAX - 1_000_000),
                sent: 0,
                lost: 0,
                delivered: 0,
                delays: Vec::new(),
                longest: Duration::ZERO,
                shortest: Duration::MAX,
            }
        };
        let speakers = MANNERS.iter().enumerate().map(speaker).collect();
        call.heard();
        let Call { session, now, socket, sealer, .. } = call;
        let socket = socket.expect("a socket");
        let (way, most) = (BTreeMap::new(), Backlog::default());
        Self { session, socket, sealer, start: now, now, seed, speakers, way, sent: 0, most }
    }

    fn chance(&self, what: u64) -> u64 {
        mix(&[self.seed, self.sent, what])
    }

    /// Everybody speaks until then, and what they said arrives.
    fn run(&mut self, end: Duration) {
        loop {
            let speaker = (0..self.speakers.len()).min_by_key(|at| self.speakers[*at].next()).expect("four");
            let spoken = self.speakers[speaker].next();
            self.arrive(spoken);
            if spoken >= end {
                break;
            }
            self.speak(speaker, spoken, end);
        }
        let rest = end + Duration::from_secs(5);
        self.arrive(rest);
        self.pass(rest);
    }

    /// Whatever is under way arrives, until then.
    fn arrive(&mut self, until: Duration) {
        while let Some(entry) = self.way.first_entry().filter(|entry| entry.key().0 <= until) {
            let ((at, _), mut datagram) = entry.remove_entry();
            self.pass(at);
            self.session.handle_input(Input::Datagram { from: server(), bytes: &mut datagram }, self.now);
            let backlog = self.session.backlog();
            self.most.waiting = self.most.waiting.max(backlog.waiting);
            self.most.held = self.most.held.max(backlog.held);
            self.most.remembered = self.most.remembered.max(backlog.remembered);
            self.most.sources = self.most.sources.max(backlog.sources);
        }
    }

    fn speak(&mut self, at: usize, spoken: Duration, end: Duration) {
        let speaker = &mut self.speakers[at];
        let turn = speaker.turn;
        speaker.turn += 1;
        let pauses = speaker.manner.spurt.is_some_and(|(spurt, pause)| turn % (spurt + pause) >= spurt);
        if pauses {
            if !speaker.manner.clock_stands {
                speaker.timestamp = speaker.timestamp.plus(FRAME_SAMPLES);
            }
            return;
        }
        let header = Header::opus(speaker.sequence, speaker.timestamp, speaker.ssrc);
        speaker.sequence = speaker.sequence.plus(1);
        speaker.timestamp = speaker.timestamp.plus(FRAME_SAMPLES);
        speaker.sent += 1;
        self.sent += 1;
        // Neither the first nor the last frames: what is missing before or after is nobody's loss.
        let between = speaker.sent > 100 && spoken + Duration::from_secs(2) < end;
        let fate = self.chance(1) % SELDOM;
        if between && fate == 0 {
            self.speakers[at].lost += 1;
            return;
        }
        let mut payload = vec![0xFC];
        payload.extend((spoken.as_nanos() as u64).to_be_bytes());
        for copy in 0..if fate == 1 { 2 } else { 1 } {
            let mut datagram = Vec::new();
            self.sealer.seal_rtp(&header, Content::payload(&payload), &mut datagram).expect("has nonces");
            let jitter = Duration::from_micros(self.chance(2 + copy) % JITTER_MICROS);
            self.way.insert((spoken + TRANSIT + jitter, self.sent * 2 + copy), datagram);
        }
    }

    /// Lets time pass, timeout by timeout.
    fn pass(&mut self, until: Duration) {
        let until = self.start + until;
        while let Some(due) = self.drain().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.session.handle_input(Input::Timeout, self.now);
        }
        self.now = self.now.max(until);
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.session.poll_output() {
                Output::Event(Event::Frame(frame)) => {
                    let nanos = frame.opus[1..].try_into().expect("when it was spoken");
                    let spoken = Duration::from_nanos(u64::from_be_bytes(nanos));
                    let delay = self.now.saturating_duration_since(self.start + spoken);
                    let speaker = self.speakers.iter_mut().find(|speaker| speaker.ssrc == frame.ssrc).expect("one");
                    assert_eq!(speaker.user, frame.user);
                    speaker.delivered += 1;
                    let minute = (spoken.as_secs() / 60) as usize;
                    speaker.delays.resize(speaker.delays.len().max(minute + 1), (Duration::ZERO, 0));
                    speaker.delays[minute].0 += delay;
                    speaker.delays[minute].1 += 1;
                    // The first seconds are there to measure.
                    if spoken > Duration::from_secs(15) {
                        speaker.longest = speaker.longest.max(delay);
                        speaker.shortest = speaker.shortest.min(delay);
                    }
                }
                Output::Signal(Signal::SendText { text, .. }) => {
                    if let ClientMessage::Heartbeat { nonce, .. } = ClientMessage::read(&text).expect("a message") {
                        let answer = ServerMessage::HeartbeatAck { nonce }.write(None, Version::V8);
                        self.session.handle_input(Input::Text(self.socket, &answer), self.now);
                    }
                }
                Output::Event(Event::Interrupted(_) | Event::Disconnected(_) | Event::Ended(_)) | Output::Over => {
                    panic!("the session does not last")
                }
                Output::Event(_) | Output::Transmit(_) | Output::Signal(_) => {}
                Output::Timeout(at, _) => return Some(at),
            }
        }
    }
}

#[test]
fn hours_change_neither_delay_nor_alignment_nor_what_is_held() {
    let minutes = told("PARLOR_VOICE_MINUTES").unwrap_or(10);
    let seed = told("PARLOR_VOICE_SEED").unwrap_or(1);
    assert!(minutes >= 3, "the first minute is held against the last");
    let mut hours = Hours::new(seed);
    hours.run(Duration::from_secs(minutes * 60));

    let last = minutes as usize - 1;
    let (earliest, tolerance) = (TRANSIT + DELAY, millis(5));
    for speaker in &hours.speakers {
        let shown = format!(
            "seed {seed}, {:?}: {} sent, {} lost, {} delivered, {:?}..{:?}, mean {:?} at first and {:?} at last",
            speaker.manner,
            speaker.sent,
            speaker.lost,
            speaker.delivered,
            speaker.shortest,
            speaker.longest,
            speaker.mean(0),
            speaker.mean(last),
        );
        assert!(speaker.lost > 0, "nothing was lost: {shown}");
        assert_eq!(speaker.delivered, speaker.sent - speaker.lost, "{shown}");
        assert!(speaker.mean(0).abs_diff(speaker.mean(last)) <= tolerance, "the delay has grown or shrunk: {shown}");
        // After a pause a clock is measured anew, from whatever comes first: late by its jitter at most.
        let jitter = Duration::from_micros(JITTER_MICROS);
        let latest = earliest + tolerance + if speaker.manner.spurt.is_some() { jitter } else { Duration::ZERO };
        assert!(speaker.shortest >= earliest - tolerance && speaker.longest <= latest, "{shown}");
    }
    let without_pause = hours.speakers.iter().filter(|speaker| speaker.manner.spurt.is_none());
    let at_last: Vec<Duration> = without_pause.map(|speaker| speaker.mean(last)).collect();
    assert!(at_last[0].abs_diff(at_last[1]) <= tolerance, "seed {seed}: two tracks have drifted apart: {at_last:?}");

    let frames = hours.session.counters().frames;
    let lost: u64 = hours.speakers.iter().map(|speaker| speaker.lost).sum();
    assert_eq!((frames.total(), frames.get(Outcome::Lost)), (hours.sent, lost), "seed {seed}");
    assert!(hours.session.counters().duplicates > 0, "seed {seed}: nothing came twice");

    // Ninety milliseconds of four people wait at most, and a little more while one has overtaken another.
    let Backlog { waiting, held, remembered, sources } = hours.most;
    assert!((1..=24).contains(&waiting) && held == 0, "seed {seed}: {:?}", hours.most);
    assert!(remembered <= 4 * 640 && sources <= 6, "seed {seed}: {:?}", hours.most);
    let left = hours.session.backlog();
    assert_eq!((left.waiting, left.held), (0, 0), "seed {seed}: {left:?}");
}
