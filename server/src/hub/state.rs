//! What everybody may see: the picture at one position of the log, and the log up to there.

use std::time::Instant;

use parlor_gateway::Snapshot;
use parlor_proto::v1::UpstreamState;

use super::{log::Log, writer::Round};

/// The committed state of the hub.
#[derive(Debug)]
pub struct State {
    pub(super) log: Log,
    snapshot: Snapshot,
    upstream: UpstreamState,
    /// How often what is said of it has changed.
    turns: u64,
    /// When the next room ends by itself.
    deadline: Option<Instant>,
    /// Whether the store does not take what there is to write.
    stalled: bool,
}

impl State {
    /// A picture at the head of this log.
    pub fn new(log: Log, snapshot: Snapshot, upstream: UpstreamState, deadline: Option<Instant>) -> Self {
        Self { log, snapshot, upstream, turns: 0, deadline, stalled: false }
    }

    /// The entries up to here.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Every guild, as of the log's head.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How well the picture agrees with Discord. While the store does not take what Discord tells, it is stale.
    pub fn upstream(&self) -> UpstreamState {
        if self.stalled && self.upstream != UpstreamState::Failed { UpstreamState::Stale } else { self.upstream }
    }

    /// How often that has changed: it may be what it was and have been something else meanwhile.
    pub fn upstream_turns(&self) -> u64 {
        self.turns
    }

    /// When the next room ends by itself, if any does.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the store takes what there is to write.
    pub fn is_writable(&self) -> bool {
        !self.stalled
    }

    /// Shows what has been committed. Says whether a subscriber could have something to say about it.
    pub fn publish(&mut self, round: Round, now: Instant) -> bool {
        let before = self.upstream();
        let news = !round.batch.entries.is_empty();
        self.log.append(round.batch.entries, now);
        self.snapshot = round.snapshot;
        self.upstream = round.upstream;
        self.deadline = round.deadline;
        self.stalled = false;
        let turned = before != self.upstream();
        self.turns += u64::from(turned);
        news || turned
    }

    /// Says that the store does not take what there is to write. Returns whether that is news.
    pub fn stall(&mut self) -> bool {
        let before = self.upstream();
        let is_new = !std::mem::replace(&mut self.stalled, true);
        self.turns += u64::from(before != self.upstream());
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        hub::{CursorKey, Epoch, Retention},
        store::Batch,
    };

    #[test]
    fn a_moment_in_which_the_connection_stood_otherwise_is_not_forgotten() {
        let retention = Retention { age: Duration::ZERO, entries: 1, bytes: usize::MAX };
        let log = Log::new(Epoch::new([1; 16]), CursorKey::new(&[2; 32]), retention);
        let mut state = State::new(log, Snapshot::default(), UpstreamState::Live, None);
        let round = || Round {
            batch: Batch::default(),
            snapshot: Snapshot::default(),
            upstream: UpstreamState::Live,
            deadline: None,
        };
        assert!(!state.publish(round(), Instant::now()));
        assert_eq!((state.upstream(), state.upstream_turns()), (UpstreamState::Live, 0));
        assert!(state.stall());
        assert!(!state.stall());
        assert_eq!((state.upstream(), state.upstream_turns()), (UpstreamState::Stale, 1));
        assert!(state.publish(round(), Instant::now()));
        assert_eq!((state.upstream(), state.upstream_turns()), (UpstreamState::Live, 2));
    }
}
