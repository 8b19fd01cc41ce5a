//! Who hears a session, each with a bounded queue of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use parlor_gateway::UserId;
use parlor_voice::audio::Channels;
use tokio::sync::mpsc;

use super::session::Session;
use crate::telemetry::names;

/// How many frames wait for one caller: five seconds of one speaker, one of five.
const QUEUE: usize = 256;

/// How frames are given.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Format {
    /// As they came.
    Opus,
    /// As samples of 16 bits, little endian.
    Pcm(Channels),
}

/// What a caller wants to hear.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// How.
    pub format: Format,
    /// Whom; empty for everybody.
    pub users: BTreeSet<UserId>,
}

/// A frame as all callers of one format hear it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) user: UserId,
    pub(super) ssrc: u32,
    pub(super) position: u64,
    pub(super) media_time: Duration,
    pub(super) received: SystemTime,
    pub(super) lost_before: u32,
    pub(super) sealed: bool,
    pub(super) concealed: bool,
    pub(super) audio: Bytes,
}

/// A frame as one caller hears it.
#[derive(Clone, Debug)]
pub struct Heard {
    said: Arc<Said>,
    /// Frames of the source that never came, right before this one.
    pub lost_before: u32,
    /// Frames that this caller was too slow to take, since the one before.
    pub dropped_before: u32,
}

impl Heard {
    /// Who sent it.
    pub fn user(&self) -> UserId {
        self.said.user
    }

    /// The source.
    pub fn ssrc(&self) -> u32 {
        self.said.ssrc
    }

    /// Its place among the source's frames.
    pub fn position(&self) -> u64 {
        self.said.position
    }

    /// When it was taken, since the source's first frame.
    pub fn media_time(&self) -> Duration {
        self.said.media_time
    }

    /// When it came.
    pub fn received(&self) -> SystemTime {
        self.said.received
    }

    /// Whether it was end-to-end encrypted.
    pub fn is_sealed(&self) -> bool {
        self.said.sealed
    }

    /// Whether it never came and was made up.
    pub fn is_concealed(&self) -> bool {
        self.said.concealed
    }

    /// The audio.
    pub fn audio(&self) -> Bytes {
        self.said.audio.clone()
    }
}

/// Everybody who hears a session.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    listeners: BTreeMap<u64, Listener>,
    opened: u64,
}

#[derive(Debug)]
struct Listener {
    wanted: Wanted,
    queue: mpsc::Sender<Heard>,
    counts: Arc<Counts>,
    /// Since the last frame that fitted.
    dropped: u32,
    /// What frames that did not fit would have told, by source.
    lost: BTreeMap<u32, u32>,
}

#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    dropped: AtomicU64,
}

impl Listeners {
    pub(super) fn len(&self) -> usize {
        self.listeners.len()
    }

    /// Every format that somebody wants this user in.
    pub(super) fn formats(&self, user: UserId) -> BTreeSet<Format> {
        self.listeners.values().filter(|one| one.wants(user)).map(|one| one.wanted.format).collect()
    }

    /// Gives a frame to everybody who wants it in this format.
    pub(super) fn give(&mut self, format: Format, said: &Arc<Said>) {
        for listener in self.listeners.values_mut() {
            if listener.wanted.format == format && listener.wants(said.user) {
                listener.give(said);
            }
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&mut self) {
        self.listeners.clear();
    }
}

impl Listener {
    fn wants(&self, user: UserId) -> bool {
        self.wanted.users.is_empty() || self.wanted.users.contains(&user)
    }

    fn give(&mut self, said: &Arc<Said>) {
        let lost = self.lost.remove(&said.ssrc).unwrap_or_default().saturating_add(said.lost_before);
        let heard = Heard { said: Arc::clone(said), lost_before: lost, dropped_before: self.dropped };
        if self.queue.try_send(heard).is_ok() {
            self.dropped = 0;
            self.counts.delivered.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.dropped = self.dropped.saturating_add(1);
        if lost > 0 {
            self.lost.insert(said.ssrc, lost);
        }
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!(names::VOICE_LISTENER_DROPPED).increment(1);
    }
}

/// One caller's ear. While it lives, frames come.
#[derive(Debug)]
pub struct Hearing {
    session: Arc<Session>,
    number: u64,
    queue: mpsc::Receiver<Heard>,
    counts: Arc<Counts>,
}

impl Hearing {
    /// Begins to hear a session.
    pub fn begin(session: &Arc<Session>, wanted: Wanted) -> Self {
        let (queue, hear) = mpsc::channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let mut shared = session.shared();
        let listeners = &mut shared.listeners;
        listeners.opened += 1;
        let number = listeners.opened;
        let listener = Listener { wanted, queue, counts: Arc::clone(&counts), dropped: 0, lost: BTreeMap::new() };
        // A session that is over gives nothing, and its listeners hear that.
        if !shared.picture.is_over() {
            shared.listeners.listeners.insert(number, listener);
        }
        drop(shared);
        Self { session: Arc::clone(session), number, queue: hear, counts }
    }

    /// The next frame. None once the session is over.
    pub async fn next(&mut self) -> Option<Heard> {
        self.queue.recv().await
    }

    /// Frames that were given, and frames that did not fit.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.delivered.load(Ordering::Relaxed), self.counts.dropped.load(Ordering::Relaxed))
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.session.shared().listeners.listeners.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(user: u64, position: u64, lost_before: u32) -> Arc<Said> {
        Arc::new(Said {
            user: UserId::new(user),
            ssrc: 7,
            position,
            media_time: Duration::ZERO,
            received: SystemTime::UNIX_EPOCH,
            lost_before,
            sealed: false,
            concealed: false,
            audio: Bytes::from_static(b"opus"),
        })
    }

    fn listener(listeners: &mut Listeners, number: u64, users: &[u64]) -> mpsc::Receiver<Heard> {
        let (queue, hear) = mpsc::channel(2);
        let users = users.iter().copied().map(UserId::new).collect();
        let wanted = Wanted { format: Format::Opus, users };
        let listener = Listener { wanted, queue, counts: Arc::default(), dropped: 0, lost: BTreeMap::new() };
        listeners.listeners.insert(number, listener);
        hear
    }

    #[test]
    fn a_slow_one_loses_its_own_frames_and_is_told_how_many() {
        let mut listeners = Listeners::default();
        let (mut slow, mut quick) = (listener(&mut listeners, 1, &[]), listener(&mut listeners, 2, &[]));
        for position in 0..5 {
            listeners.give(Format::Opus, &said(1, position, u32::from(position == 3)));
            assert_eq!(quick.try_recv().expect("it reads").dropped_before, 0);
        }
        let read: Vec<_> = std::iter::from_fn(|| slow.try_recv().ok()).map(|heard| heard.position()).collect();
        assert_eq!(read, [0, 1]);
        listeners.give(Format::Opus, &said(1, 5, 1));
        let next = slow.try_recv().expect("there is room again");
        assert_eq!((next.dropped_before, next.lost_before), (3, 2), "also what dropped frames would have told");
        listeners.give(Format::Opus, &said(1, 6, 0));
        assert_eq!(slow.try_recv().expect("room").dropped_before, 0);
    }

    #[test]
    fn one_hears_whom_one_wants() {
        let mut listeners = Listeners::default();
        let mut hear = listener(&mut listeners, 1, &[2]);
        listeners.give(Format::Opus, &said(1, 0, 0));
        listeners.give(Format::Opus, &said(2, 0, 0));
        listeners.give(Format::Pcm(Channels::Mono), &said(2, 1, 0));
        assert_eq!(hear.try_recv().expect("the second").user(), UserId::new(2));
        assert!(hear.try_recv().is_err());
        assert!(listeners.formats(UserId::new(1)).is_empty());
    }
}
