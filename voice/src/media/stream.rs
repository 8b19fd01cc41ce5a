//! One source's frames, put into order and delivered in their turn.
//!
//! ```text
//!   first              next (its turn)                                newest
//!     │  played, missing │ slots: frames that wait, and what is settled │
//!     ▼                  ▼                                              ▼
//!  ───■──■──□──■──■──■───■──■──□──□──■──────────────────────────────────■───▶ position
//! ```
//! A frame is due a fixed delay after it would have come at the earliest, which is measured: the smallest transit of the last
//! seconds. So the delay neither grows nor drifts with the sender's clock.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use parlor_voice_wire::{
    opus,
    rtp::{RtpTimestamp, SequenceNumber},
};

use crate::counters::{FrameCounts, Outcome};

/// A packet that is further ahead than this begins the stream anew (RFC 3550, appendix A.1, `MAX_DROPOUT`).
const LONGEST_JUMP: i16 = 3_000;
/// How far ahead a packet may be that nobody could open: half again of what a speaker says while one is held.
const LONGEST_JUMP_OF_UNKNOWN: i16 = 150;
/// Positions that are left free before the first, for packets that it overtook.
const ROOM_BEFORE: u64 = LONGEST_RETURN as u64;
/// A packet that is further behind than this begins the stream anew. RFC 3550, appendix A.1, has 100 (`MAX_MISORDER`); frames
/// that were held come back from further behind.
const LONGEST_RETURN: i16 = 300;
/// How long after its turn a missing frame may still be late rather than lost.
const LATE_WINDOW: Duration = Duration::from_secs(2);
/// Transits are compared within one or two of these.
const TRANSIT_WINDOW: Duration = Duration::from_secs(5);
/// After so long without a packet, the sender's clock may have stood still: transits are compared anew.
const PAUSE: Duration = Duration::from_millis(200);
/// What has been seen is remembered for so many positions.
const REMEMBERED: u64 = 512;

/// A frame that waits for its turn.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) opus: Vec<u8>,
    pub(crate) protection: Protection,
    pub(crate) arrived: Instant,
}

/// How a frame came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protection {
    /// Sealed by its sender.
    Sealed,
    /// In the clear, in a call that is.
    Clear,
    /// In the clear, in a call that is end-to-end encrypted or was.
    Passthrough,
}

#[derive(Debug)]
enum Slot {
    Frame(Waiting),
    /// Received and already counted as something else than delivered.
    Settled,
}

/// What comes out, in order.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Played {
    Frame { position: u64, media_time: Duration, frame: Waiting },
    Gap { frames: u32 },
}

/// What became of a frame that was put in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Placed {
    /// It has its place.
    Waiting,
    /// Its turn is over. It is counted.
    Late,
    /// It was there before.
    Duplicate,
}

/// Where a stream is.
#[derive(Debug)]
struct Track {
    /// The first position.
    first: u64,
    /// The position whose turn is next.
    next: u64,
    /// The furthest position, with its numbers on the wire.
    newest: u64,
    newest_sequence: SequenceNumber,
    newest_timestamp: RtpTimestamp,
    /// The time of `newest` on the sender's clock, in samples since the first frame.
    newest_media: i64,
    clock: TransitClock,
    last_arrival: Instant,
    slots: BTreeMap<u64, (i64, Slot)>,
    /// Gaps that have been told, with when.
    missing: BTreeMap<u64, Instant>,
    /// Sequence and timestamp of what was seen, by position.
    seen: VecDeque<(u64, RtpTimestamp)>,
}

/// The frames of one source.
#[derive(Debug)]
pub(crate) struct Stream {
    delay: Duration,
    /// Whether a frame was played: before the first, there is no gap to conceal.
    begun: bool,
    /// Where positions go on after the stream has begun anew.
    next_first: u64,
    track: Option<Track>,
    out: VecDeque<Played>,
}

/// The smallest transit of the last seconds: arrival minus media time.
#[derive(Debug)]
struct TransitClock {
    origin: Instant,
    window_began: Instant,
    smallest: i64,
    smallest_before: i64,
}

impl TransitClock {
    fn new(media: i64, arrived: Instant) -> Self {
        let transit = -nanos(media);
        Self { origin: arrived, window_began: arrived, smallest: transit, smallest_before: transit }
    }

    fn observe(&mut self, media: i64, arrived: Instant) {
        let transit = arrived.saturating_duration_since(self.origin).as_nanos() as i64 - nanos(media);
        if arrived.saturating_duration_since(self.window_began) > TRANSIT_WINDOW {
            self.smallest_before = self.smallest;
            self.smallest = transit;
            self.window_began = arrived;
        }
        self.smallest = self.smallest.min(transit);
    }

    /// When media of this time would have come at the earliest.
    fn earliest(&self, media: i64) -> Instant {
        let since_origin = self.smallest.min(self.smallest_before) + nanos(media);
        self.origin + Duration::from_nanos(since_origin.max(0) as u64)
    }
}

fn nanos(samples: i64) -> i64 {
    samples * 1_000_000_000 / i64::from(opus::SAMPLE_RATE)
}

impl Stream {
    /// A stream without frames, which are due `delay` after they would have come at the earliest. Its positions come after
    /// `past`: those of streams of the same source before it.
    pub(crate) fn new(delay: Duration, past: u64) -> Self {
        Self { delay, begun: false, next_first: past, track: None, out: VecDeque::new() }
    }

    /// The position after the furthest.
    pub(crate) fn past(&self) -> u64 {
        self.track.as_ref().map_or(self.next_first, |track| track.newest + 1)
    }

    /// Whether exactly this packet has been put in before.
    pub(crate) fn saw(&self, sequence: SequenceNumber, timestamp: RtpTimestamp) -> bool {
        let Some(track) = &self.track else { return false };
        let Some(position) = track.position(sequence) else { return false };
        track.seen.iter().rev().any(|seen| *seen == (position, timestamp))
    }

    /// Whether this packet would begin the stream anew, although there is one.
    pub(crate) fn would_begin_anew(&self, sequence: SequenceNumber) -> bool {
        self.track.as_ref().is_some_and(|track| track.jumps(sequence))
    }

    /// Where a packet stands, if near what was put in.
    pub(crate) fn position(&self, sequence: SequenceNumber) -> Option<u64> {
        self.track.as_ref().filter(|track| !track.jumps(sequence)).and_then(|track| track.position(sequence))
    }

    /// The positions before the first that waits, if a frame which may still be opened should be waited for there. It
    /// should not once a later one was opened with its sender's key: keys come in order, so its key will not come.
    pub(crate) fn gap(&self) -> Option<std::ops::Range<u64>> {
        let track = self.track.as_ref()?;
        let (position, _) = track.slots.first_key_value()?;
        let sealed = |slot: &Slot| matches!(slot, Slot::Frame(frame) if frame.protection == Protection::Sealed);
        let opened = track.slots.values().any(|(_, slot)| sealed(slot));
        (track.next < *position && !opened).then_some(track.next..*position)
    }

    /// A packet came and could not be opened yet: it is not missing, and what is between it and the first is.
    pub(crate) fn came(&mut self, sequence: SequenceNumber, arrived: Instant) {
        if let Some(track) = self.track.as_mut().filter(|track| !track.jumps(sequence))
            && let Some(position) = track.position(sequence)
        {
            track.reach_back(position, arrived);
            track.missing.remove(&position);
        }
    }

    /// Whether there is a stream at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.track.is_none()
    }

    /// Puts a frame in.
    pub(crate) fn put(
        &mut self,
        sequence: SequenceNumber,
        timestamp: RtpTimestamp,
        frame: Waiting,
        counts: &mut FrameCounts,
    ) -> Placed {
        let arrived = frame.arrived;
        self.place(sequence, timestamp, Slot::Frame(frame), arrived, counts)
    }

    /// Puts in that a frame came and has been counted, or is to be counted by the caller unless it is late.
    pub(crate) fn settle(
        &mut self,
        sequence: SequenceNumber,
        timestamp: RtpTimestamp,
        arrived: Instant,
        counts: &mut FrameCounts,
    ) -> Placed {
        self.place(sequence, timestamp, Slot::Settled, arrived, counts)
    }

    /// A frame that was counted is not missing any more, if it was. Nobody knows who it was from: one whose number is far ahead
    /// may be another's, of before or after the source changed hands, and says nothing about this stream.
    pub(crate) fn give_up(&mut self, sequence: SequenceNumber, timestamp: RtpTimestamp, arrived: Instant) {
        match &mut self.track {
            None => self.begin(sequence, timestamp, Slot::Settled, arrived),
            Some(track) if track.jumps(sequence) || sequence.since(track.newest_sequence) > LONGEST_JUMP_OF_UNKNOWN => {
            }
            Some(track) => {
                let Some(position) = track.position(sequence) else { return };
                track.reach_back(position, arrived);
                if position >= track.next {
                    let media = track.media(timestamp);
                    track.slots.entry(position).or_insert((media, Slot::Settled));
                    track.advance(position, sequence, timestamp);
                    track.remember(position, timestamp);
                } else {
                    track.missing.remove(&position);
                    track.remember(position, timestamp);
                }
            }
        }
    }

    fn begin(&mut self, sequence: SequenceNumber, timestamp: RtpTimestamp, slot: Slot, arrived: Instant) {
        let first = self.next_first + ROOM_BEFORE;
        let mut track = Track {
            first,
            next: first,
            newest: first,
            newest_sequence: sequence,
            newest_timestamp: timestamp,
            newest_media: 0,
            clock: TransitClock::new(0, arrived),
            last_arrival: arrived,
            slots: BTreeMap::from([(first, (0, slot))]),
            missing: BTreeMap::new(),
            seen: VecDeque::new(),
        };
        track.remember(first, timestamp);
        self.track = Some(track);
    }

    fn place(
        &mut self,
        sequence: SequenceNumber,
        timestamp: RtpTimestamp,
        slot: Slot,
        arrived: Instant,
        counts: &mut FrameCounts,
    ) -> Placed {
        if self.would_begin_anew(sequence) {
            self.flush(counts);
        }
        let Some(track) = &mut self.track else {
            self.begin(sequence, timestamp, slot, arrived);
            return Placed::Waiting;
        };
        let Some(position) = track.position(sequence) else {
            // Before the first position of all: a frame that the first one overtook by more than there is room for.
            counts.add(Outcome::Late, 1);
            return Placed::Late;
        };
        if position < track.next {
            // Nothing was played yet, so there is still a turn before the first.
            let begins = track.next == track.first && position < track.first;
            if !begins {
                let missing = track.missing.remove(&position).is_some();
                if !missing && track.seen.iter().any(|seen| *seen == (position, timestamp)) {
                    return Placed::Duplicate;
                }
                track.reach_back(position, arrived);
                track.remember(position, timestamp);
                counts.add(Outcome::Late, 1);
                return Placed::Late;
            }
            track.reach_back(position, arrived);
        } else if track.slots.contains_key(&position) {
            return Placed::Duplicate;
        }
        let media = track.media(timestamp);
        if track.slots.is_empty() && arrived.saturating_duration_since(track.last_arrival) > PAUSE {
            track.clock = TransitClock::new(media, arrived);
        } else {
            track.clock.observe(media, arrived);
        }
        track.last_arrival = track.last_arrival.max(arrived);
        track.slots.insert(position, (media, slot));
        track.remember(position, timestamp);
        track.advance(position, sequence, timestamp);
        Placed::Waiting
    }

    /// What is due. `blocked` says that a frame is held which may fill the gap that stands next.
    pub(crate) fn play(&mut self, blocked: bool, counts: &mut FrameCounts, now: Instant) -> Option<Played> {
        loop {
            let played = self.play_any(blocked, counts, now)?;
            self.begun |= matches!(played, Played::Frame { .. });
            if self.begun {
                return Some(played);
            }
        }
    }

    fn play_any(&mut self, blocked: bool, counts: &mut FrameCounts, now: Instant) -> Option<Played> {
        if let Some(played) = self.out.pop_front() {
            return Some(played);
        }
        let track = self.track.as_mut()?;
        while let Some(entry) = track.missing.first_entry()
            && now >= *entry.get() + LATE_WINDOW
        {
            entry.remove();
            counts.add(Outcome::Lost, 1);
        }
        let (position, media, settled) = {
            let (position, (media, slot)) = track.slots.first_key_value()?;
            (*position, *media, matches!(slot, Slot::Settled))
        };
        let due = settled || now >= track.clock.earliest(media) + self.delay;
        if position > track.next {
            if blocked || now < track.clock.earliest(media) + self.delay {
                return None;
            }
            let frames = position - track.next;
            track.missing.extend((track.next..position).map(|missing| (missing, now)));
            track.next = position;
            return Some(Played::Gap { frames: frames as u32 });
        }
        if !due {
            return None;
        }
        let (_, (media, slot)) = track.slots.pop_first()?;
        track.next = position + 1;
        Some(played(position, media, slot))
    }

    /// When [`play`](Self::play) has to be called at the latest.
    pub(crate) fn due(&self, blocked: bool) -> Option<Instant> {
        let track = self.track.as_ref()?;
        let lost = track.missing.first_key_value().map(|(_, told)| *told + LATE_WINDOW);
        let first = track.slots.first_key_value().and_then(|(position, (media, slot))| {
            let gap = *position > track.next;
            let due = track.clock.earliest(*media) + self.delay;
            match slot {
                Slot::Settled if !gap => Some(track.last_arrival),
                Slot::Settled | Slot::Frame(_) if gap && blocked => None,
                Slot::Settled | Slot::Frame(_) => Some(due),
            }
        });
        let out = self.out.front().map(|_| track.last_arrival);
        [lost, first, out].into_iter().flatten().min()
    }

    /// Everything that waits goes out, and everything that is missing is lost.
    pub(crate) fn flush(&mut self, counts: &mut FrameCounts) {
        let Some(track) = self.track.take() else { return };
        counts.add(Outcome::Lost, track.missing.len() as u64);
        let mut next = track.next;
        for (position, (media, slot)) in track.slots {
            if position > next {
                counts.add(Outcome::Lost, position - next);
                self.out.push_back(Played::Gap { frames: (position - next) as u32 });
            }
            next = position + 1;
            self.out.push_back(played(position, media, slot));
        }
        self.next_first = track.newest + 1;
    }

    /// How many frames wait, and of how many numbers are kept.
    pub(crate) fn backlog(&self) -> (usize, usize) {
        let track = self.track.as_ref();
        let waiting = self.out.len() + track.map_or(0, |track| track.slots.len());
        (waiting, track.map_or(0, |track| track.missing.len() + track.seen.len()))
    }

    /// Forgets frames that wait; returns how many.
    pub(crate) fn drop_waiting(&mut self) -> u64 {
        let out = self.out.len();
        self.out.retain(|played| !matches!(played, Played::Frame { .. }));
        let mut dropped = (out - self.out.len()) as u64;
        for (_, slot) in self.track.iter_mut().flat_map(|track| track.slots.values_mut()) {
            if matches!(slot, Slot::Frame(_)) {
                *slot = Slot::Settled;
                dropped += 1;
            }
        }
        dropped
    }
}

fn played(position: u64, media: i64, slot: Slot) -> Played {
    let media_time = Duration::from_nanos(nanos(media.max(0)) as u64);
    match slot {
        Slot::Frame(frame) => Played::Frame { position, media_time, frame },
        Slot::Settled => Played::Gap { frames: 1 },
    }
}

impl Track {
    fn jumps(&self, sequence: SequenceNumber) -> bool {
        let ahead = sequence.since(self.newest_sequence);
        !(-LONGEST_RETURN..=LONGEST_JUMP).contains(&ahead)
    }

    /// The position of a packet that does not jump; none before position 0.
    fn position(&self, sequence: SequenceNumber) -> Option<u64> {
        self.newest.checked_add_signed(i64::from(sequence.since(self.newest_sequence)))
    }

    /// A position before the first is the first. Where nothing was played its turn is next; else what is between is missing.
    fn reach_back(&mut self, position: u64, now: Instant) {
        if position >= self.first {
            return;
        }
        if self.next == self.first {
            self.next = position;
        } else {
            self.missing.extend((position + 1..self.first).map(|missing| (missing, now)));
        }
        self.first = position;
    }

    /// A packet's time on the sender's clock.
    fn media(&self, timestamp: RtpTimestamp) -> i64 {
        self.newest_media + i64::from(timestamp.since(self.newest_timestamp))
    }

    fn advance(&mut self, position: u64, sequence: SequenceNumber, timestamp: RtpTimestamp) {
        if position > self.newest {
            self.newest_media = self.media(timestamp);
            (self.newest, self.newest_sequence, self.newest_timestamp) = (position, sequence, timestamp);
        }
    }

    fn remember(&mut self, position: u64, timestamp: RtpTimestamp) {
        if self.seen.len() as u64 == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back((position, timestamp));
    }
}
