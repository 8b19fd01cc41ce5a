//! From opened packets to frames: whose they are, whether they can be read, and in which order they come.
//!
//! A source's user is what the voice gateway says, never a guess. Frames of a source that nobody has claimed are held, and so are
//! frames that no key opens yet; both for a bounded time, in a bounded number. When a source changes hands, frames of its
//! former user may still be under way: whose key opens a frame decides, in the time that frames are held.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use parlor_voice_wire::{
    Ssrc, UserId, opus,
    rtp::{Header, RtpTimestamp, SequenceNumber},
};

use super::stream::{Placed, Played, Protection, Stream, Waiting};
use crate::{
    counters::{Backlog, Counters, Outcome},
    dave::{Dave, E2eeGroup, Opened},
    output::{Event, Frame},
};

/// Frames held of one source at most: what [`Config::hold`](crate::Config::hold) lets in at 50 a second, and half again.
const MOST_HELD: usize = 150;
/// Sources at most. A channel holds 99 users, or more on stages where few may speak.
const MOST_SOURCES: usize = 256;
/// Sources that are gone and remembered at most.
const MOST_PAST: usize = 1_024;
/// Without a frame for so long, somebody who spoke does not any more.
const SPEECH_PAUSE: Duration = Duration::from_millis(250);

/// Everything that is received.
#[derive(Debug)]
pub(crate) struct Receiver {
    delay: Duration,
    hold: Duration,
    sources: BTreeMap<Ssrc, Source>,
    /// Streams whose source is gone and that have frames left.
    ending: Vec<(Ssrc, UserId, Stream)>,
    past: Past,
}

/// Where the positions of sources that are gone ended: when one is heard again, they go on after that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past(BTreeMap<Ssrc, u64>);

#[derive(Debug)]
struct Source {
    user: Option<UserId>,
    stream: Stream,
    held: VecDeque<Held>,
    former: Option<Former>,
    talk: Talk,
}

/// Who had a source before.
#[derive(Debug)]
struct Former {
    user: UserId,
    stream: Stream,
    until: Instant,
}

/// A frame that cannot be delivered yet.
#[derive(Debug)]
struct Held {
    sequence: SequenceNumber,
    timestamp: RtpTimestamp,
    payload: Vec<u8>,
    arrived: Instant,
    /// Whether it should have been readable when it came.
    expected: bool,
}

/// Whether a user makes sound, as heard.
#[derive(Clone, Copy, Debug)]
enum Talk {
    Silent,
    Speaking { last: Instant, silences: u8 },
}

/// What a received frame is judged by.
pub(crate) struct Judges<'a, G> {
    pub(crate) dave: &'a mut Dave<G>,
    pub(crate) opted_out: &'a BTreeSet<UserId>,
    /// Whether the voice gateway is there: without it, sources and keys may have changed.
    pub(crate) informed: bool,
    pub(crate) counters: &'a mut Counters,
}

impl Held {
    fn given_up(&self) -> Outcome {
        if self.expected { Outcome::Undecryptable } else { Outcome::Held }
    }
}

impl Past {
    fn of(&self, ssrc: Ssrc) -> u64 {
        self.0.get(&ssrc).copied().unwrap_or_default()
    }

    fn note(&mut self, ssrc: Ssrc, source: &Source) {
        if self.0.len() >= MOST_PAST {
            self.0.pop_first();
        }
        let former = source.former.as_ref().map_or(0, |former| former.stream.past());
        self.0.insert(ssrc, source.stream.past().max(former));
    }
}

impl Source {
    fn new(delay: Duration, past: u64) -> Self {
        Self { user: None, stream: Stream::new(delay, past), held: VecDeque::new(), former: None, talk: Talk::Silent }
    }

    /// Tries to put a frame where it belongs; gives it back if it has to be held.
    fn accept<G: E2eeGroup>(&mut self, mut held: Held, judges: &mut Judges<'_, G>, now: Instant) -> Option<Held> {
        let Some(user) = self.user else { return Some(held) };
        let (sequence, timestamp, arrived) = (held.sequence, held.timestamp, held.arrived);
        let counts = &mut judges.counters.frames;
        if judges.opted_out.contains(&user) && self.former.is_none() {
            match self.stream.settle(sequence, timestamp, arrived, counts) {
                Placed::Waiting => counts.add(Outcome::OptedOut, 1),
                Placed::Late => {}
                Placed::Duplicate => judges.counters.duplicates += 1,
            }
            return None;
        }
        let expected = match judges.dave.open(user, &held.payload, now) {
            Opened::Sealed(opus) => {
                put(
                    &mut self.stream,
                    user,
                    sequence,
                    timestamp,
                    Waiting { opus, protection: Protection::Sealed, arrived },
                    judges,
                );
                return None;
            }
            // Silence says nothing about who sent it: where keys decide, it does not begin a stream anew.
            Opened::Clear if judges.dave.is_grouped() && self.stream.would_begin_anew(sequence) => false,
            Opened::Clear => {
                let opus = std::mem::take(&mut held.payload);
                let grouped = judges.dave.group().is_some();
                let protection = if grouped { Protection::Passthrough } else { Protection::Clear };
                put(&mut self.stream, user, sequence, timestamp, Waiting { opus, protection, arrived }, judges);
                return None;
            }
            Opened::NotYet { expected } => expected,
        };
        if let Some(former) = &mut self.former
            && let Opened::Sealed(opus) = judges.dave.open(former.user, &held.payload, now)
        {
            let frame = Waiting { opus, protection: Protection::Sealed, arrived };
            put(&mut former.stream, former.user, sequence, timestamp, frame, judges);
            return None;
        }
        // What it is held for is what was known when it came.
        held.expected &= expected && judges.informed && self.former.is_none();
        Some(held)
    }

    fn retry<G: E2eeGroup>(&mut self, judges: &mut Judges<'_, G>, now: Instant) {
        for held in std::mem::take(&mut self.held) {
            if let Some(held) = self.accept(held, judges, now) {
                self.held.push_back(held);
            }
        }
    }

    fn give_up(&mut self, held: &Held, counters: &mut Counters) {
        self.count(held, held.given_up(), counters);
    }

    fn count(&mut self, held: &Held, outcome: Outcome, counters: &mut Counters) {
        counters.frames.add(outcome, 1);
        let empty = self.stream.is_empty();
        self.stream.give_up(held.sequence, held.timestamp, held.arrived);
        if empty {
            self.held.iter().for_each(|held| self.stream.came(held.sequence, held.arrived));
        }
    }

    /// Whether a frame is held that may fill the gap that is to be told next.
    fn is_blocked(&self) -> bool {
        let Some(gap) = self.stream.gap() else { return false };
        let places = |held: &Held| self.stream.position(held.sequence).is_some_and(|position| gap.contains(&position));
        self.held.iter().any(places)
    }

    /// Everything is delivered or counted now.
    fn flush(&mut self, counters: &mut Counters) {
        // These were not held for their whole time: what they waited for may have been under way.
        while let Some(held) = self.held.pop_front() {
            self.count(&held, Outcome::Held, counters);
        }
        self.stream.flush(&mut counters.frames);
    }
}

/// Puts a frame into the stream of whom it is from, unless they do not want to be heard.
fn put<G>(
    stream: &mut Stream,
    user: UserId,
    sequence: SequenceNumber,
    timestamp: RtpTimestamp,
    frame: Waiting,
    judges: &mut Judges<'_, G>,
) {
    let counts = &mut judges.counters.frames;
    let placed = if judges.opted_out.contains(&user) {
        let placed = stream.settle(sequence, timestamp, frame.arrived, counts);
        if placed == Placed::Waiting {
            counts.add(Outcome::OptedOut, 1);
        }
        placed
    } else {
        stream.put(sequence, timestamp, frame, counts)
    };
    if placed == Placed::Duplicate {
        judges.counters.duplicates += 1;
    }
}

impl Receiver {
    pub(crate) fn new(delay: Duration, hold: Duration, past: Past) -> Self {
        Self { delay, hold, sources: BTreeMap::new(), ending: Vec::new(), past }
    }

    /// What another receiver has to know of the sources of this one, which is flushed.
    pub(crate) fn take_past(&mut self) -> Past {
        std::mem::take(&mut self.past)
    }

    /// A packet that was authentic.
    pub(crate) fn packet<G: E2eeGroup>(
        &mut self,
        header: &Header,
        payload: &[u8],
        judges: &mut Judges<'_, G>,
        now: Instant,
    ) {
        if !self.sources.contains_key(&header.ssrc) && self.sources.len() >= MOST_SOURCES {
            judges.counters.frames.add(Outcome::Held, 1);
            return;
        }
        let source =
            self.sources.entry(header.ssrc).or_insert_with(|| Source::new(self.delay, self.past.of(header.ssrc)));
        let (sequence, timestamp) = (header.sequence, header.timestamp);
        let is_held = source.held.iter().any(|held| held.sequence == sequence && held.timestamp == timestamp);
        let seen_before = source.former.as_ref().is_some_and(|former| former.stream.saw(sequence, timestamp));
        if is_held || seen_before || source.stream.saw(sequence, timestamp) {
            judges.counters.duplicates += 1;
            return;
        }
        let held = Held { sequence, timestamp, payload: payload.to_vec(), arrived: now, expected: true };
        let unknown = source.user.is_none();
        let empty = source.stream.is_empty();
        let Some(held) = source.accept(held, judges, now) else {
            if empty {
                source.held.iter().for_each(|held| source.stream.came(held.sequence, held.arrived));
            }
            return;
        };
        source.held.push_back(Held { expected: held.expected && !unknown, ..held });
        if source.held.len() > MOST_HELD
            && let Some(oldest) = source.held.pop_front()
        {
            source.give_up(&oldest, judges.counters);
        }
    }

    /// The voice gateway says whose a source is.
    pub(crate) fn claim<G: E2eeGroup>(&mut self, ssrc: Ssrc, user: UserId, judges: &mut Judges<'_, G>, now: Instant) {
        if !self.sources.contains_key(&ssrc) && self.sources.len() >= MOST_SOURCES {
            return;
        }
        let source = self.sources.entry(ssrc).or_insert_with(|| Source::new(self.delay, self.past.of(ssrc)));
        if source.user == Some(user) {
            return;
        }
        if let Some(before) = source.user.replace(user) {
            let next = Stream::new(self.delay, source.stream.past());
            let stream = std::mem::replace(&mut source.stream, next);
            let former = Former { user: before, stream, until: now + self.hold };
            if let Some(Former { user, mut stream, .. }) = source.former.replace(former) {
                stream.flush(&mut judges.counters.frames);
                self.ending.push((ssrc, user, stream));
            }
            source.talk = Talk::Silent;
        }
        source.retry(judges, now);
    }

    /// A user left: their sources are nobody's. What came of them goes out.
    pub(crate) fn left(&mut self, user: UserId, counters: &mut Counters) {
        let gone: Vec<Ssrc> =
            self.sources.iter().filter(|(_, source)| source.user == Some(user)).map(|(ssrc, _)| *ssrc).collect();
        for ssrc in gone {
            let Some(mut source) = self.sources.remove(&ssrc) else { continue };
            source.flush(counters);
            self.past.note(ssrc, &source);
            self.ending.push((ssrc, user, source.stream));
            if let Some(Former { user, mut stream, .. }) = source.former {
                stream.flush(&mut counters.frames);
                self.ending.push((ssrc, user, stream));
            }
        }
    }

    /// Keys or users changed: what is held is tried again.
    pub(crate) fn retry<G: E2eeGroup>(&mut self, judges: &mut Judges<'_, G>, now: Instant) {
        self.sources.values_mut().for_each(|source| source.retry(judges, now));
    }

    /// A user wants to be heard no more: what waits of theirs is dropped.
    pub(crate) fn opt_out(&mut self, user: UserId, counters: &mut Counters) {
        let streams = self.sources.values_mut().flat_map(|source| {
            let current = (source.user == Some(user)).then_some(&mut source.stream);
            current
                .into_iter()
                .chain(source.former.iter_mut().filter(|former| former.user == user).map(|f| &mut f.stream))
        });
        let ending = self.ending.iter_mut().filter(|(_, of, _)| *of == user).map(|(_, _, stream)| stream);
        let dropped: u64 = streams.chain(ending).map(Stream::drop_waiting).sum();
        counters.frames.add(Outcome::OptedOut, dropped);
    }

    /// Everything goes out: the connection is over.
    pub(crate) fn flush(&mut self, counters: &mut Counters) {
        for (ssrc, mut source) in std::mem::take(&mut self.sources) {
            source.flush(counters);
            self.past.note(ssrc, &source);
            if let Some(user) = source.user {
                self.ending.push((ssrc, user, source.stream));
            }
            if let Some(Former { user, mut stream, .. }) = source.former {
                stream.flush(&mut counters.frames);
                self.ending.push((ssrc, user, stream));
            }
        }
    }

    /// Delivers, gives up and counts what is due.
    pub(crate) fn run<G: E2eeGroup>(&mut self, judges: &mut Judges<'_, G>, now: Instant, mut tell: impl FnMut(Event)) {
        let Judges { opted_out, counters, .. } = judges;
        for (ssrc, source) in &mut self.sources {
            while source.held.front().is_some_and(|held| now >= held.arrived + self.hold) {
                let Some(oldest) = source.held.pop_front() else { break };
                source.give_up(&oldest, counters);
            }
            if let Some(former) = source.former.take_if(|former| now >= former.until) {
                let Former { user, mut stream, .. } = former;
                stream.flush(&mut counters.frames);
                self.ending.push((*ssrc, user, stream));
            }
            let blocked = source.is_blocked();
            if let Some(former) = &mut source.former {
                while let Some(played) = former.stream.play(false, &mut counters.frames, now) {
                    deliver(*ssrc, former.user, played, opted_out, counters, &mut tell);
                }
            }
            let Some(user) = source.user else { continue };
            let mut blocked = blocked;
            while let Some(played) = source.stream.play(blocked, &mut counters.frames, now) {
                if let Played::Frame { frame, .. } = &played {
                    source.talk.heard(user, &frame.opus, now, &mut tell);
                }
                deliver(*ssrc, user, played, opted_out, counters, &mut tell);
                // The next gap is another.
                blocked = source.is_blocked();
            }
            source.held.iter().for_each(|held| source.stream.came(held.sequence, held.arrived));
            source.talk.run(user, now, &mut tell);
        }
        for (ssrc, user, mut stream) in self.ending.drain(..) {
            while let Some(played) = stream.play(false, &mut counters.frames, now) {
                deliver(ssrc, user, played, opted_out, counters, &mut tell);
            }
        }
    }

    /// What is kept.
    pub(crate) fn backlog(&self) -> Backlog {
        let former = self.sources.values().filter_map(|source| source.former.as_ref()).map(|former| &former.stream);
        let streams = self.sources.values().map(|source| &source.stream).chain(former);
        let streams = streams.chain(self.ending.iter().map(|(_, _, stream)| stream));
        let held = self.sources.values().map(|source| source.held.len()).sum();
        let mut backlog = Backlog { held, sources: self.sources.len(), ..Backlog::default() };
        for (waiting, remembered) in streams.map(Stream::backlog) {
            backlog.waiting += waiting;
            backlog.remembered += remembered;
        }
        backlog
    }

    /// When [`run`](Self::run) has to be called at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        let of_sources = self.sources.values().flat_map(|source| {
            let held = source.held.front().map(|held| held.arrived + self.hold);
            let stream = source.stream.due(source.is_blocked()).filter(|_| source.user.is_some());
            let former = source
                .former
                .as_ref()
                .map(|former| former.stream.due(false).map_or(former.until, |due| due.min(former.until)));
            [held, stream, former, source.talk.due()]
        });
        of_sources.flatten().min()
    }
}

fn deliver(
    ssrc: Ssrc,
    user: UserId,
    played: Played,
    opted_out: &BTreeSet<UserId>,
    counters: &mut Counters,
    tell: &mut impl FnMut(Event),
) {
    match played {
        Played::Frame { position, media_time, frame: Waiting { opus, protection, arrived } } => {
            let (outcome, sealed) = match protection {
                Protection::Sealed => (Outcome::Delivered, true),
                Protection::Clear => (Outcome::Delivered, false),
                Protection::Passthrough => (Outcome::Passthrough, false),
            };
            counters.frames.add(outcome, 1);
            tell(Event::Frame(Frame { user, ssrc, position, media_time, received: arrived, sealed, opus }));
        }
        Played::Gap { frames } if !opted_out.contains(&user) => tell(Event::Gap { user, ssrc, frames }),
        Played::Gap { .. } => {}
    }
}

impl Talk {
    fn heard(&mut self, user: UserId, packet: &[u8], now: Instant, tell: &mut impl FnMut(Event)) {
        let silent = packet == opus::SILENCE;
        *self = match *self {
            Self::Silent if silent => Self::Silent,
            Self::Silent => {
                tell(Event::Speaking { user, speaking: true });
                Self::Speaking { last: now, silences: 0 }
            }
            Self::Speaking { silences, .. } if silent && silences + 1 >= opus::TRAILING_SILENCE => {
                tell(Event::Speaking { user, speaking: false });
                Self::Silent
            }
            Self::Speaking { silences, .. } => {
                Self::Speaking { last: now, silences: if silent { silences + 1 } else { 0 } }
            }
        };
    }

    fn run(&mut self, user: UserId, now: Instant, tell: &mut impl FnMut(Event)) {
        if self.due().is_some_and(|due| now >= due) {
            tell(Event::Speaking { user, speaking: false });
            *self = Self::Silent;
        }
    }

    fn due(&self) -> Option<Instant> {
        match self {
            Self::Silent => None,
            Self::Speaking { last, .. } => Some(*last + SPEECH_PAUSE),
        }
    }
}
