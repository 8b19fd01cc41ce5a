//! The one append-only log of changes, and how long it remembers.
//!
//! All guilds share one dense sequence; a subscription is a filter over it. Everything that is kept is in memory: the
//! store holds the same for the next process, and no reader ever waits for the disk.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parlor_gateway::{Change, ChangeBody, GuildId, Touched};
use parlor_proto::v1::{self, VoiceEventKind, subscribe_voice_events_response::Body, voice_event::Kind};

use super::{
    frame::{Framed, encode_shared},
    position::{CursorKey, Epoch, Position, Sequence},
};

/// One entry, encoded once for every stream that will send it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its number.
    pub sequence: Sequence,
    /// The guild that a caller has to be granted.
    pub guild: GuildId,
    /// The rooms that a filter is held against.
    pub rooms: Touched,
    /// The kind that a filter is held against; `None` for a discontinuity, which no such filter hides.
    pub kind: Option<VoiceEventKind>,
    /// What it says.
    pub framed: Framed,
    /// When it was stored, by the wall clock: how old it is after a restart.
    pub stored_at: SystemTime,
}

impl Entry {
    /// The entry that a change becomes.
    pub(crate) fn new(change: Change, sequence: Sequence, cursor: String, wall: SystemTime) -> Self {
        let (kind, body) = match change.body {
            ChangeBody::Event(event) => (Some(kind_of(&event)), Body::Event(event)),
            ChangeBody::Discontinuity(entry) => (None, Body::Discontinuity(entry)),
        };
        let framed = Framed::new(&encode_shared(cursor, sequence, body), sequence);
        Self { sequence, guild: change.guild, rooms: change.rooms, kind, framed, stored_at: wall }
    }
}

/// How much the log remembers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    /// An entry younger than this is kept.
    pub age: Duration,
    /// So many of the newest entries are kept, however old.
    pub entries: usize,
    /// Beyond so many bytes the oldest entries go, whatever the other two say.
    pub bytes: usize,
}

/// What a resume finds at a position.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Everything after it can be replayed.
    Retained,
    /// The entry after it is gone.
    Compacted,
    /// The log does not reach so far.
    Ahead,
    /// It belongs to another log.
    OtherEpoch,
}

/// The log.
#[derive(Debug)]
pub struct Log {
    epoch: Epoch,
    key: Arc<CursorKey>,
    retention: Retention,
    head: Sequence,
    bytes: usize,
    /// With the moment at which each was appended: how old an entry is must not depend on what somebody does to the
    /// wall clock.
    entries: VecDeque<(Instant, Arc<Entry>)>,
}

impl Log {
    /// An empty log.
    pub fn new(epoch: Epoch, key: CursorKey, retention: Retention) -> Self {
        Self { epoch, key: Arc::new(key), retention, head: Sequence(0), bytes: 0, entries: VecDeque::new() }
    }

    /// A log that goes on after these entries, the last of which is the head.
    pub fn going_on(
        mut self,
        head: Sequence,
        entries: impl IntoIterator<Item = Entry>,
        wall: SystemTime,
        now: Instant,
    ) -> Self {
        for entry in entries {
            let age = wall.duration_since(entry.stored_at).unwrap_or_default();
            self.push(Arc::new(entry), now.checked_sub(age).unwrap_or(now));
        }
        self.head = head;
        self.compact(now);
        self
    }

    /// Which log this is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The newest entry's number.
    pub fn head(&self) -> Sequence {
        self.head
    }

    /// The oldest entry that can be replayed; one past the head where there is none.
    pub fn oldest(&self) -> Sequence {
        self.entries.front().map_or(self.head.next(), |(_, entry)| entry.sequence)
    }

    /// The cursor of a place in this log.
    pub fn cursor(&self, sequence: Sequence) -> String {
        self.key.seal(Position { epoch: self.epoch, sequence })
    }

    /// Reads cursors.
    pub fn key(&self) -> &Arc<CursorKey> {
        &self.key
    }

    /// What a resume from this position would find.
    pub fn standing(&self, position: Position) -> Standing {
        if position.epoch != self.epoch {
            Standing::OtherEpoch
        } else if position.sequence > self.head {
            Standing::Ahead
        } else if position.sequence.next() < self.oldest() {
            Standing::Compacted
        } else {
            Standing::Retained
        }
    }

    /// Appends entries, and forgets what is due.
    pub fn append(&mut self, entries: Vec<Arc<Entry>>, now: Instant) {
        for entry in entries {
            self.push(entry, now);
        }
        self.compact(now);
    }

    fn push(&mut self, entry: Arc<Entry>, at: Instant) {
        debug_assert!(self.entries.is_empty() || entry.sequence == self.head.next(), "the log is dense");
        self.head = entry.sequence;
        self.bytes += entry.framed.len();
        self.entries.push_back((at, entry));
    }

    fn compact(&mut self, now: Instant) {
        while let Some((appended, oldest)) = self.entries.front() {
            let aged = self.entries.len() > self.retention.entries
                && now.saturating_duration_since(*appended) >= self.retention.age;
            if !aged && self.bytes <= self.retention.bytes {
                return;
            }
            self.bytes -= oldest.framed.len();
            self.entries.pop_front();
        }
    }

    /// The entries after a position, oldest first. `None` if some of them are gone.
    pub fn after(&self, position: Sequence) -> Option<impl Iterator<Item = &Arc<Entry>>> {
        if position.next() < self.oldest() {
            return None;
        }
        let skip = usize::try_from(position.0 + 1 - self.oldest().0).expect("no more than the entries in memory");
        Some(self.entries.range(skip.min(self.entries.len())..).map(|(_, entry)| entry))
    }
}

fn kind_of(event: &v1::VoiceEvent) -> VoiceEventKind {
    match event.kind.as_ref() {
        Some(Kind::RoomCreated(_)) => VoiceEventKind::RoomCreated,
        Some(Kind::RoomUpdated(_)) => VoiceEventKind::RoomUpdated,
        Some(Kind::RoomEnded(_)) => VoiceEventKind::RoomEnded,
        Some(Kind::ParticipantJoined(_)) => VoiceEventKind::ParticipantJoined,
        Some(Kind::ParticipantLeft(_)) => VoiceEventKind::ParticipantLeft,
        Some(Kind::ParticipantMoved(_)) => VoiceEventKind::ParticipantMoved,
        Some(Kind::ParticipantUpdated(_)) => VoiceEventKind::ParticipantUpdated,
        Some(Kind::GuildUpdated(_)) => VoiceEventKind::GuildUpdated,
        None => VoiceEventKind::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(log: &mut Log, now: Instant) {
        let guild = GuildId::new(100_000_000_000_000_001);
        let change = Change { guild, rooms: Touched::All, body: ChangeBody::Event(v1::VoiceEvent::default()) };
        let sequence = log.head().next();
        let entry = Entry::new(change, sequence, log.cursor(sequence), SystemTime::UNIX_EPOCH);
        log.append(vec![Arc::new(entry)], now);
    }

    fn log(retention: Retention) -> Log {
        Log::new(Epoch::new([1; 16]), CursorKey::new(&[2; 32]), retention)
    }

    fn numbers(log: &Log, position: u64) -> Option<Vec<u64>> {
        log.after(Sequence(position)).map(|entries| entries.map(|entry| entry.sequence.0).collect())
    }

    #[test]
    fn an_entry_goes_when_it_is_both_old_and_not_among_the_newest() {
        let mut log = log(Retention { age: Duration::from_secs(60), entries: 2, bytes: usize::MAX });
        let start = Instant::now();
        for second in 0..5 {
            append(&mut log, start + Duration::from_secs(second));
        }
        assert_eq!(log.oldest(), Sequence(1), "all are young");
        append(&mut log, start + Duration::from_secs(62));
        assert_eq!(numbers(&log, 3), Some(vec![4, 5, 6]));
        assert_eq!(numbers(&log, 2), None);
        append(&mut log, start + Duration::from_secs(1_000));
        assert_eq!(numbers(&log, 5), Some(vec![6, 7]), "two are kept however old");
    }

    #[test]
    fn bytes_have_the_last_word() {
        let mut log = log(Retention { age: Duration::MAX, entries: usize::MAX, bytes: 200 });
        for _ in 0..100 {
            append(&mut log, Instant::now());
        }
        let kept: usize = log.entries.iter().map(|(_, entry)| entry.framed.len()).sum();
        assert!((1..=200).contains(&kept), "{kept}");
        assert_eq!(kept, log.bytes);
    }

    #[test]
    fn every_boundary_of_a_resume_is_told_apart() {
        let mut log = log(Retention { age: Duration::ZERO, entries: 3, bytes: usize::MAX });
        for _ in 0..10 {
            append(&mut log, Instant::now());
        }
        let standing = |sequence| log.standing(Position { epoch: Epoch::new([1; 16]), sequence: Sequence(sequence) });
        assert_eq!((log.oldest(), log.head()), (Sequence(8), Sequence(10)));
        assert_eq!(standing(6), Standing::Compacted);
        assert_eq!(standing(7), Standing::Retained);
        assert_eq!(standing(8), Standing::Retained);
        assert_eq!(standing(10), Standing::Retained);
        assert_eq!(standing(11), Standing::Ahead);
        let other = Position { epoch: Epoch::new([9; 16]), sequence: Sequence(9) };
        assert_eq!(log.standing(other), Standing::OtherEpoch);
        assert_eq!(numbers(&log, 10), Some(Vec::new()));
    }

    #[test]
    fn an_empty_log_resumes_at_its_start() {
        let log = log(Retention { age: Duration::ZERO, entries: 3, bytes: 0 });
        let start = Position { epoch: log.epoch(), sequence: Sequence(0) };
        assert_eq!(log.standing(start), Standing::Retained);
        assert_eq!(numbers(&log, 0), Some(Vec::new()));
    }
}
