//! The hub: one picture, one log, and everybody who listens.
//!
//! Updates go in by [`Hub::apply`]; each change that they make is stamped with the next sequence and appended to the log,
//! and only then can anybody see it. A subscriber is a position in that log and never a queue, so a slow one costs
//! nobody anything.

mod filter;
mod frame;
mod log;
mod position;
mod snapshot;
mod subscription;
#[cfg(test)]
mod tests;

use std::{
    sync::{Mutex, MutexGuard},
    time::{Instant, SystemTime},
};

use parlor_gateway::{Change, Directory, GuildId, RoomFacts, RoomId, Snapshot, Update};
use parlor_proto::v1::{self, UpstreamState};
use tokio::sync::watch;

pub use self::{
    filter::Filter,
    frame::{Frame, FrameCodec},
    log::{Entry, Log, Retention, Standing},
    position::{CursorKey, Epoch, InvalidCursor, Position, Sequence},
    snapshot::Digest,
    subscription::{Gap, GapPolicy, OpenError, Order, Start, Subscription},
};

/// What the hub's lock guards.
#[derive(Debug)]
pub struct State {
    directory: Directory,
    log: Log,
}

impl State {
    /// A picture and the log of its changes.
    pub fn new(directory: Directory, log: Log) -> Self {
        Self { directory, log }
    }

    /// How our own connection to Discord stands.
    pub fn upstream(&self) -> UpstreamState {
        self.directory.upstream()
    }

    fn commit(&mut self, changes: Vec<Change>, now: Instant) {
        for change in changes {
            if let parlor_gateway::ChangeBody::Discontinuity(entry) = &change.body {
                metrics::counter!("parlor_discontinuity_total", "reason" => entry.reason().as_str_name()).increment(1);
            }
            self.log.append(change, now);
        }
    }
}

/// The one place where state changes and where it is read.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    /// Tells subscribers to look again. The number only counts; the log is the truth.
    changed: watch::Sender<u64>,
}

impl Hub {
    /// A hub over this state.
    pub fn new(state: State) -> Self {
        Self { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    /// Takes in news from Discord's gateway.
    pub fn apply(&self, update: Update, wall: SystemTime, now: Instant) {
        self.change(now, |directory| directory.apply(update, wall));
    }

    /// The gateway is about to be connected to with so many shards.
    pub fn run_shards(&self, shards: u32) {
        self.lock().directory.run_shards(shards);
    }

    /// See [`Directory::expect_room`].
    pub fn expect_room(&self, guild: GuildId, name: &str) {
        self.lock().directory.expect_room(guild, name);
    }

    /// See [`Directory::settle_room`].
    pub fn settle_room(
        &self,
        guild: GuildId,
        name: &str,
        created: Option<RoomFacts>,
        wall: SystemTime,
        now: Instant,
    ) -> Placed {
        let room = created.as_ref().map(|facts| facts.room);
        self.change(now, |directory| directory.settle_room(guild, name, created, wall));
        self.placed(guild, room)
    }

    /// See [`Directory::begin_end`].
    pub fn begin_end(&self, guild: GuildId, room: RoomId) {
        self.lock().directory.begin_end(guild, room);
    }

    /// See [`Directory::abandon_end`].
    pub fn abandon_end(&self, guild: GuildId, room: RoomId) {
        self.lock().directory.abandon_end(guild, room);
    }

    /// See [`Directory::end_room`].
    pub fn end_room(&self, guild: GuildId, room: RoomId, wall: SystemTime, now: Instant) -> Placed {
        self.change(now, |directory| directory.end_room(guild, room, wall));
        self.placed(guild, Some(room))
    }

    /// Every guild as it is now, and the position at which it is so.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().directory.snapshot()
    }

    /// A room as it is now, with a cursor at which it is so.
    pub fn placed(&self, guild: GuildId, room: Option<RoomId>) -> Placed {
        let state = self.lock();
        let snapshot = state.directory.snapshot();
        let room = room.and_then(|room| snapshot.guilds.get(&guild)?.room(room));
        Placed { room, cursor: state.log.cursor(state.log.head()) }
    }

    /// How our own connection to Discord stands.
    pub fn upstream(&self) -> UpstreamState {
        self.lock().upstream()
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Opens a subscription.
    pub fn subscribe(&self, order: Order, wall: SystemTime, now: Instant) -> Result<Subscription, OpenError> {
        Subscription::open(order, &self.lock(), wall, now)
    }

    /// Looks at the state under the lock. Nothing slow may happen inside.
    pub fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    fn change(&self, now: Instant, change: impl FnOnce(&mut Directory) -> Vec<Change>) {
        let mut state = self.lock();
        let upstream = state.upstream();
        let changes = change(&mut state.directory);
        let news = !changes.is_empty();
        state.commit(changes, now);
        let news = news || upstream != state.upstream();
        metrics::gauge!("parlor_log_head").set(state.log.head().0 as f64);
        metrics::gauge!("parlor_log_oldest").set(state.log.oldest().0 as f64);
        drop(state);
        if news {
            self.changed.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|_| {
            // A bug left directory and log half changed. Serving from them would be the lie that this service exists to
            // prevent; whoever supervises the process starts it anew, and state is rebuilt from Discord.
            tracing::error!("the hub's state was left half changed by a panic: ending the process");
            std::process::abort()
        })
    }
}

/// A room and a cursor from which nothing that happens to it is missed.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The room; `None` if it is not known.
    pub room: Option<v1::Room>,
    /// The newest position at the same moment.
    pub cursor: String,
}
