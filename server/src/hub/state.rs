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
    /// When the next room ends by itself.
    deadline: Option<Instant>,
    /// Whether the store does not take what there is to write.
    stalled: bool,
}

impl State {
    /// A picture at the head of this log.
    pub fn new(log: Log, snapshot: Snapshot, upstream: UpstreamState, deadline: Option<Instant>) -> Self {
        Self { log, snapshot, upstream, deadline, stalled: false }
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
        news || before != self.upstream()
    }

    /// Says that the store does not take what there is to write. Returns whether that is news.
    pub fn stall(&mut self) -> bool {
        !std::mem::replace(&mut self.stalled, true)
    }
}
