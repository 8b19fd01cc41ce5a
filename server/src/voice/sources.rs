//! Who speaks in a session.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_voice::audio::{Played, Queue, SourceFrame, SourceId, Talker, Volume};
use tokio::sync::Notify;

use super::session::Session;

/// Sources of one session at most.
pub const MOST_SOURCES: usize = 16;

/// What becomes of frames that come faster than they are played.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overflow {
    /// Their caller waits.
    Wait,
    /// The oldest are dropped.
    Drop,
}

impl Overflow {
    /// How much waits at most.
    const fn most(self) -> Duration {
        match self {
            Self::Wait => Duration::from_secs(1),
            Self::Drop => Duration::from_millis(200),
        }
    }
}

/// How a source speaks.
#[derive(Clone, Copy, Debug)]
pub struct Speech {
    /// How loud.
    pub volume: Volume,
    /// While one of a higher priority speaks, it is turned down.
    pub priority: u8,
    /// What becomes of too much.
    pub overflow: Overflow,
}

/// What became of a source's frames.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SourceReport {
    /// Played.
    pub played: u64,
    /// Dropped, because too many waited.
    pub dropped: u64,
    /// Of those that were played: not sent.
    pub unsent: u64,
    /// Waiting.
    pub waiting: usize,
}

/// Everybody who speaks.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: BTreeMap<SourceId, Source>,
    opened: u64,
}

#[derive(Debug)]
struct Source {
    speech: Speech,
    queue: Queue,
    unsent: u64,
    /// A frame was taken of which it is not known yet whether it was sent.
    in_flight: bool,
    /// A frame was played, or the session is over.
    moved: Arc<Notify>,
}

/// What all sources have to say at one turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) talkers: Vec<Talker>,
    /// Whether anybody has more, now or in a moment.
    pub(super) goes_on: bool,
}

impl Sources {
    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether anybody has something to say.
    pub(super) fn are_waiting(&self) -> bool {
        self.sources.values().any(|source| source.queue.waiting() > 0)
    }

    /// Takes what everybody says at this turn. What became of it has to be told to [`settle`](Self::settle).
    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        let mut turn = Turn::default();
        for (id, source) in &mut self.sources {
            match source.queue.play(now) {
                Played::Frame(frame) => {
                    let Speech { volume, priority, .. } = source.speech;
                    turn.talkers.push(Talker { source: *id, volume, priority, frame });
                    turn.goes_on = true;
                    source.in_flight = true;
                }
                Played::Later => turn.goes_on = true,
                Played::Nothing => {}
            }
        }
        turn
    }

    /// It is known whether what these said was sent. A report counts it as played only now, lest it look as if it was heard.
    pub(super) fn settle(&mut self, talked: &[SourceId], is_sent: bool) {
        for id in talked {
            if let Some(source) = self.sources.get_mut(id) {
                source.in_flight = false;
                source.unsent += u64::from(!is_sent);
                source.moved.notify_one();
            }
        }
    }

    /// Nobody is played any more.
    pub(super) fn close(&mut self) {
        self.sources.values().for_each(|source| source.moved.notify_one());
    }
}

/// One caller's voice. While it lives, it may speak.
#[derive(Debug)]
pub struct Speaking {
    session: Arc<Session>,
    id: SourceId,
    overflow: Overflow,
    moved: Arc<Notify>,
}

/// There are as many sources as a session takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooManySources;

impl Speaking {
    /// Begins to speak in a session.
    ///
    /// # Errors
    /// [`TooManySources`].
    pub fn begin(session: &Arc<Session>, speech: Speech) -> Result<Self, TooManySources> {
        let mut shared = session.shared();
        let sources = &mut shared.sources;
        if sources.sources.len() >= MOST_SOURCES {
            return Err(TooManySources);
        }
        sources.opened += 1;
        let (id, moved) = (SourceId(sources.opened), Arc::<Notify>::default());
        let queue = Queue::new(speech.overflow.most());
        sources.sources.insert(id, Source { speech, queue, unsent: 0, in_flight: false, moved: Arc::clone(&moved) });
        drop(shared);
        Ok(Self { session: Arc::clone(session), id, overflow: speech.overflow, moved })
    }

    /// Gives a frame. Where the source waits, this does until there is room; nothing more is taken once the session is over.
    pub async fn give(&self, frame: SourceFrame) {
        while self.overflow == Overflow::Wait && self.with(|source| !source.queue.has_room()) == Some(true) {
            if self.session.is_over() {
                return;
            }
            self.moved.notified().await;
        }
        self.with(|source| source.queue.push(frame, Instant::now()));
        self.session.wake();
    }

    /// Speaks otherwise from now on.
    pub fn change(&self, volume: Option<Volume>, priority: Option<u8>) {
        self.with(|source| {
            source.speech.volume = volume.unwrap_or(source.speech.volume);
            source.speech.priority = priority.unwrap_or(source.speech.priority);
        });
    }

    /// Nothing more comes for now.
    pub fn finish(&self) {
        self.with(|source| source.queue.finish());
        self.session.wake();
    }

    /// Finishes, and waits until everything was played, or the session is over.
    pub async fn finished(&self) {
        self.finish();
        while self.report().waiting > 0 && !self.session.is_over() {
            self.moved.notified().await;
        }
    }

    /// What became of its frames so far.
    pub fn report(&self) -> SourceReport {
        let report = self.with(|source| {
            let (counts, in_flight) = (source.queue.counts(), source.in_flight);
            SourceReport {
                played: counts.played - u64::from(in_flight),
                dropped: counts.dropped,
                unsent: source.unsent,
                waiting: source.queue.waiting() + usize::from(in_flight),
            }
        });
        report.unwrap_or_default()
    }

    fn with<T>(&self, look: impl FnOnce(&mut Source) -> T) -> Option<T> {
        self.session.shared().sources.sources.get_mut(&self.id).map(look)
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        self.session.shared().sources.sources.remove(&self.id);
        self.session.wake();
    }
}
