//! The one append-only log of changes, and how long it remembers.
//!
//! All guilds share one dense sequence; a subscription is a filter over it. This is the part in memory, which is the
//! whole of it until the durable store lies under it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parlor_gateway::{Change, ChangeBody, GuildId, Touched};
use parlor_proto::v1::{self, VoiceEventKind, subscribe_voice_events_response::Body, voice_event::Kind};

use super::{
    frame::encode_shared,
    position::{CursorKey, Epoch, Position, Sequence},
};

/// One entry, encoded once for every stream that will send it.
#[derive(Debug)]
pub struct Entry {
    /// Its number.
    pub sequence: Sequence,
    /// The guild that a caller has to be granted.
    pub guild: GuildId,
    /// The rooms that a filter is held against.
    pub rooms: Touched,
    /// The kind that a filter is held against; `None` for a discontinuity, which no such filter hides.
    pub kind: Option<VoiceEventKind>,
    /// The frame without `prev_sequence`.
    pub shared: Bytes,
    committed: Instant,
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
    key: CursorKey,
    retention: Retention,
    head: Sequence,
    bytes: usize,
    entries: VecDeque<Arc<Entry>>,
}

impl Log {
    /// An empty log.
    pub fn new(epoch: Epoch, key: CursorKey, retention: Retention) -> Self {
        Self { epoch, key, retention, head: Sequence(0), bytes: 0, entries: VecDeque::new() }
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
        self.entries.front().map_or(self.head.next(), |entry| entry.sequence)
    }

    /// The cursor of a place in this log.
    pub fn cursor(&self, sequence: Sequence) -> String {
        self.key.seal(Position { epoch: self.epoch, sequence })
    }

    /// Reads cursors.
    pub fn key(&self) -> &CursorKey {
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

    /// Appends a change, and forgets what is due.
    pub fn append(&mut self, change: Change, now: Instant) {
        self.head = self.head.next();
        let cursor = self.cursor(self.head);
        let (kind, body) = match change.body {
            ChangeBody::Event(event) => (Some(kind_of(&event)), Body::Event(event)),
            ChangeBody::Discontinuity(entry) => (None, Body::Discontinuity(entry)),
        };
        let shared = encode_shared(cursor, self.head, body);
        self.bytes += shared.len();
        let Change { guild, rooms, .. } = change;
        self.entries.push_back(Arc::new(Entry { sequence: self.head, guild, rooms, kind, shared, committed: now }));
        self.compact(now);
    }

    fn compact(&mut self, now: Instant) {
        while let Some(oldest) = self.entries.front() {
            let aged = self.entries.len() > self.retention.entries
                && now.saturating_duration_since(oldest.committed) >= self.retention.age;
            if !aged && self.bytes <= self.retention.bytes {
                return;
            }
            self.bytes -= oldest.shared.len();
            self.entries.pop_front();
        }
    }

    /// The entries after a position, oldest first. `None` if some of them are gone.
    pub fn after(&self, position: Sequence) -> Option<impl Iterator<Item = &Arc<Entry>>> {
        if position.next() < self.oldest() {
            return None;
        }
        let skip = usize::try_from(position.0 + 1 - self.oldest().0).expect("no more than the entries in memory");
        Some(self.entries.range(skip.min(self.entries.len())..))
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
        None => VoiceEventKind::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Change {
        let guild = GuildId::new(100_000_000_000_000_001);
        Change { guild, rooms: Touched::All, body: ChangeBody::Event(v1::VoiceEvent::default()) }
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
            log.append(change(), start + Duration::from_secs(second));
        }
        assert_eq!(log.oldest(), Sequence(1), "all are young");
        log.append(change(), start + Duration::from_secs(62));
        assert_eq!(numbers(&log, 3), Some(vec![4, 5, 6]));
        assert_eq!(numbers(&log, 2), None);
        log.append(change(), start + Duration::from_secs(1_000));
        assert_eq!(numbers(&log, 5), Some(vec![6, 7]), "two are kept however old");
    }

    #[test]
    fn bytes_have_the_last_word() {
        let mut log = log(Retention { age: Duration::MAX, entries: usize::MAX, bytes: 200 });
        for _ in 0..100 {
            log.append(change(), Instant::now());
        }
        let kept: usize = log.entries.iter().map(|entry| entry.shared.len()).sum();
        assert!((1..=200).contains(&kept), "{kept}");
        assert_eq!(kept, log.bytes);
    }

    #[test]
    fn every_boundary_of_a_resume_is_told_apart() {
        let mut log = log(Retention { age: Duration::ZERO, entries: 3, bytes: usize::MAX });
        for _ in 0..10 {
            log.append(change(), Instant::now());
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
