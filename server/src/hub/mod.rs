//! The hub: one picture, one log, and everybody who listens.
//!
//! ```text
//! gateway ─ deliver ─┐
//!                    ├─▶ Writer (pure) ─ round ─▶ store.commit ─▶ State ─ read ─▶ Subscription (pure) × many
//! services ─── act ──┘        one thread, as many commands as wait in one commit
//! ```
//!
//! Each change is stamped with the next sequence and stored together with where Discord's session stands, and only then
//! can anybody see it. A subscriber is a position in the log and never a queue, so a slow one costs nobody anything.

mod filter;
mod frame;
mod log;
mod position;
mod snapshot;
mod state;
mod subscription;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use parlor_gateway::{Delivery, GuildId, RoomId, SessionPlace, ShardIndex, Snapshot};
use parlor_proto::v1::{self, UpstreamState};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};

pub use self::{
    filter::Filter,
    frame::{Frame, Framed},
    log::{Entry, Log, Retention, Standing},
    position::{CursorKey, Epoch, InvalidCursor, Position, Sequence},
    snapshot::Digest,
    state::State,
    subscription::{Gap, GapPolicy, OpenError, Order, Start, Subscription},
    writer::{Draft, Round, Writer},
};
use crate::store::{Recovered, Store};

/// How many commands may wait for the writer.
const QUEUE: usize = 1_024;

/// How many commands are stored in one step at most.
const ROUND: usize = 512;

/// The pause before a store that has failed is tried again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What happens is no longer written down: the process is ending, or the store takes nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("nothing more is stored")]
pub struct Closed;

type Reply = Box<dyn FnOnce() + Send>;

enum Command {
    Deliver(Box<Delivery>, SystemTime),
    Act(Box<dyn FnOnce(&mut Writer) -> Reply + Send>),
    Close,
}

/// What the writer's thread shares with everybody.
struct Shared {
    state: RwLock<State>,
    /// Tells subscribers to look again. The number only counts; the log is the truth.
    changed: watch::Sender<u64>,
    /// The same for those who go by timers, which move without anything to tell.
    rounds: watch::Sender<u64>,
    closing: AtomicBool,
}

/// The one place where state changes and where it is read.
pub struct Hub {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    sessions: BTreeMap<ShardIndex, SessionPlace>,
    stored_shards: u32,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Hub {
    /// Starts a hub that goes on from what the store held.
    pub fn start(recovered: Recovered, store: impl Store, settings: Settings, wall: SystemTime, now: Instant) -> Self {
        let (hub, scribe, waiting) = Self::with_scribe(recovered, store, settings, wall, now);
        let thread = thread::Builder::new().name("hub".to_owned()).spawn(move || scribe.run(waiting));
        let thread = Mutex::new(Some(thread.expect("the operating system gives threads")));
        Self { thread, ..hub }
    }

    /// The same with a task of the current runtime in the thread's place, which goes by the runtime's time: for a store
    /// that makes nobody wait. It ends with the runtime.
    pub fn start_as_task(
        recovered: Recovered,
        store: impl Store,
        settings: Settings,
        wall: SystemTime,
        now: Instant,
    ) -> Self {
        let (hub, scribe, waiting) = Self::with_scribe(recovered, store, settings, wall, now);
        tokio::spawn(scribe.run_as_task(waiting));
        hub
    }

    fn with_scribe(
        recovered: Recovered,
        store: impl Store,
        settings: Settings,
        wall: SystemTime,
        now: Instant,
    ) -> (Self, Scribe, mpsc::Receiver<Command>) {
        let Settings { key, retention, shards } = settings;
        let log = Log::new(recovered.epoch, key, retention);
        let mut writer = Writer::new(&recovered, Arc::clone(log.key()), shards);
        writer.resume_lifecycles(&recovered, wall, now);
        let log = log.going_on(recovered.head, recovered.entries, wall, now);
        info!(
            epoch = %log.epoch(),
            oldest = log.oldest().0,
            head = log.head().0,
            continuity = ?recovered.continuity,
            "event log"
        );
        let (sessions, stored_shards) = (writer.sessions(), writer.stored_shards());
        let shared = Arc::new(Shared {
            state: RwLock::new(writer.state(log)),
            changed: watch::Sender::new(0),
            rounds: watch::Sender::new(0),
            closing: AtomicBool::new(false),
        });
        let (commands, waiting) = mpsc::channel(QUEUE);
        let scribe = Scribe { shared: Arc::clone(&shared), writer, store: Box::new(store) };
        (Self { commands, shared, sessions, stored_shards, thread: Mutex::default() }, scribe, waiting)
    }

    /// Discord's sessions that the store knows of, to be resumed.
    pub fn sessions(&self) -> &BTreeMap<ShardIndex, SessionPlace> {
        &self.sessions
    }

    /// How many shards there were when those sessions began.
    pub fn stored_shards(&self) -> u32 {
        self.stored_shards
    }

    /// Takes in what a shard passes on. Waits where the store is slower than Discord.
    ///
    /// # Errors
    /// [`Closed`] at the end of the process.
    pub async fn deliver(&self, delivery: Delivery, wall: SystemTime) -> Result<(), Closed> {
        self.commands.send(Command::Deliver(Box::new(delivery), wall)).await.map_err(|_| Closed)
    }

    /// Does something of Parlor's own, and waits until it is stored and everybody can see it.
    ///
    /// # Errors
    /// [`Closed`] at the end of the process.
    pub async fn act<T: Send + 'static>(
        &self,
        wall: SystemTime,
        act: impl FnOnce(&mut Draft<'_>) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        let (tell, answer) = oneshot::channel();
        let act = move |writer: &mut Writer| -> Reply {
            let outcome = writer.act(wall, act);
            // Whoever asked may have gone.
            Box::new(move || drop(tell.send(outcome)))
        };
        self.commands.send(Command::Act(Box::new(act))).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }

    /// The gateway is about to be connected to with so many shards.
    ///
    /// # Errors
    /// [`Closed`] at the end of the process.
    pub async fn run_shards(&self, shards: u32, wall: SystemTime) -> Result<(), Closed> {
        self.act(wall, move |draft| draft.directory.run_shards(shards)).await
    }

    /// Every guild as it is now, and the position at which it is so.
    pub fn snapshot(&self) -> Snapshot {
        self.read().snapshot().clone()
    }

    /// A room as it is now, with a cursor at which it is so.
    pub fn placed(&self, guild: GuildId, room: Option<RoomId>) -> Placed {
        let state = self.read();
        let room = room.and_then(|room| state.snapshot().guilds.get(&guild)?.room(room));
        Placed { room, cursor: state.log.cursor(state.log.head()) }
    }

    /// When the next room ends by itself, if any does.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.read().deadline()
    }

    /// How well what is shown agrees with Discord.
    pub fn upstream(&self) -> UpstreamState {
        self.read().upstream()
    }

    /// Whether what happens can be stored. Where it cannot, nothing should be begun.
    pub fn is_writable(&self) -> bool {
        self.read().is_writable()
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Tells of every round from now on, also of those that only move timers.
    pub fn rounds(&self) -> watch::Receiver<u64> {
        self.shared.rounds.subscribe()
    }

    /// Opens a subscription.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn subscribe(&self, order: Order, wall: SystemTime, now: Instant) -> Result<Subscription, OpenError> {
        Subscription::open(order, &self.read(), wall, now)
    }

    /// Looks at the state. Nothing slow may happen inside: the writer waits meanwhile.
    pub fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.read())
    }

    /// Stores what has been taken in so far, and nothing from then on. Returns when the store is closed.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().expect("nothing panics while it holds this lock").take();
        if let Some(thread) = thread {
            // Where it has ended by itself there is nobody left to tell.
            let _ = self.commands.blocking_send(Command::Close);
            // A panic there has ended the process.
            let _ = thread.join();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.shared.state.read().unwrap_or_else(|_| half_changed())
    }
}

/// What a hub is made with.
#[derive(Debug)]
pub struct Settings {
    /// Seals cursors.
    pub key: CursorKey,
    /// How much the log remembers.
    pub retention: Retention,
    /// How many shards there are, where that is set.
    pub shards: Option<u32>,
}

/// A room and a cursor from which nothing that happens to it is missed.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The room; `None` if it is not known.
    pub room: Option<v1::Room>,
    /// The newest position at the same moment.
    pub cursor: String,
}

/// The writer's thread: it does what a disk makes slow, and nothing else waits for the disk.
struct Scribe {
    shared: Arc<Shared>,
    writer: Writer,
    store: Box<dyn Store>,
}

/// Whether another round follows.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Rounds {
    More,
    Last,
}

impl Scribe {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let _guard = EndsTheProcessIfItPanics;
        while let Some(first) = commands.blocking_recv() {
            if self.take_round(first, &mut commands) == Rounds::Last {
                return;
            }
        }
    }

    async fn run_as_task(mut self, mut commands: mpsc::Receiver<Command>) {
        let _guard = EndsTheProcessIfItPanics;
        while let Some(first) = commands.recv().await {
            if self.take_round(first, &mut commands) == Rounds::Last {
                return;
            }
        }
    }

    /// Does what waits, stores it, and answers.
    fn take_round(&mut self, first: Command, commands: &mut mpsc::Receiver<Command>) -> Rounds {
        let mut replies: Vec<Reply> = Vec::new();
        let mut more = Rounds::More;
        let waiting = std::iter::from_fn(|| commands.try_recv().ok());
        for command in std::iter::once(first).chain(waiting).take(ROUND) {
            match command {
                Command::Deliver(delivery, wall) => self.writer.deliver(*delivery, wall),
                Command::Act(act) => replies.push(act(&mut self.writer)),
                Command::Close => {
                    more = Rounds::Last;
                    break;
                }
            }
        }
        if self.commit() {
            replies.into_iter().for_each(|reply| reply());
        }
        // Otherwise the replies are dropped with what they wait for, and whoever waits hears that.
        more
    }

    /// Stores and shows what has been taken in. Says whether it was stored: only a process that is ending gives up.
    fn commit(&mut self) -> bool {
        self.writer.keep_time(now());
        let round = self.writer.round(&self.shared.state.read().unwrap_or_else(|_| half_changed()));
        let Some(round) = round else { return true };
        let mut pause = RETRY.0;
        let began = Instant::now();
        while let Err(error) = self.store.commit(&round.batch) {
            metrics::gauge!("parlor_store_up").set(0.0);
            if self.shared.state.write().unwrap_or_else(|_| half_changed()).stall() {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                error!(%error, cause, "the store does not take what there is to write; trying until it does");
                self.tell();
            }
            if self.shared.closing.load(Ordering::Relaxed) {
                return false;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(RETRY.1);
        }
        metrics::histogram!("parlor_store_commit_seconds").record(began.elapsed());
        let mut state = self.shared.state.write().unwrap_or_else(|_| half_changed());
        let was_stalled = !state.is_writable();
        let news = state.publish(round, now());
        metrics::gauge!("parlor_log_head").set(state.log.head().0 as f64);
        metrics::gauge!("parlor_log_oldest").set(state.log.oldest().0 as f64);
        metrics::gauge!("parlor_store_up").set(1.0);
        drop(state);
        if was_stalled {
            info!("the store takes what there is to write again; nothing was lost");
        }
        if news || was_stalled {
            self.tell();
        }
        self.shared.rounds.send_modify(|count| *count = count.wrapping_add(1));
        true
    }

    fn tell(&self) {
        self.shared.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// The time that the runtime's timers go by; in a thread of its own the system's.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A bug left the writer or what it shows half changed. Serving from that would be the lie that this service exists to
/// prevent; whoever supervises the process starts it anew, and the store and Discord tell how things stand.
struct EndsTheProcessIfItPanics;

impl Drop for EndsTheProcessIfItPanics {
    fn drop(&mut self) {
        if thread::panicking() {
            half_changed()
        }
    }
}

fn half_changed() -> ! {
    error!("the hub's state was left half changed by a panic: ending the process");
    std::process::abort()
}
