//! Who watches a session.

use std::sync::Arc;

use parlor_proto::v1::{self, watch_session_response::Event};
use tokio::sync::mpsc;

use super::session::Session;

/// How many messages wait for one watcher.
const QUEUE: usize = 128;

/// Everybody who watches.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    watchers: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    queue: mpsc::Sender<v1::WatchSessionResponse>,
    /// Something did not fit: it is shown the whole session next.
    missed: bool,
}

impl Watchers {
    /// Tells everybody. `whole` is what the session looks like after it, for those who have missed something.
    pub(super) fn tell(&mut self, told: &v1::WatchSessionResponse, whole: impl Fn() -> v1::VoiceSession) {
        self.watchers.retain_mut(|watcher| {
            let next = if watcher.missed { whole_session(told.event_time, whole()) } else { told.clone() };
            match watcher.queue.try_send(next) {
                Ok(()) => watcher.missed = false,
                Err(mpsc::error::TrySendError::Full(_)) => watcher.missed = true,
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
            }
            true
        });
    }

    /// Shows the session to those who have missed something and read again.
    pub(super) fn catch_up(&mut self, time: prost_types::Timestamp, whole: impl Fn() -> v1::VoiceSession) {
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.missed) {
            watcher.missed = watcher.queue.try_send(whole_session(Some(time), whole())).is_err();
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&mut self) {
        self.watchers.clear();
    }
}

fn whole_session(time: Option<prost_types::Timestamp>, session: v1::VoiceSession) -> v1::WatchSessionResponse {
    v1::WatchSessionResponse { event_time: time, event: Some(Event::Session(session)) }
}

/// One caller's eye.
#[derive(Debug)]
pub struct Watching {
    queue: mpsc::Receiver<v1::WatchSessionResponse>,
}

impl Watching {
    /// Begins to watch a session: first comes what it looks like now.
    pub fn begin(session: &Arc<Session>) -> Self {
        let (queue, see) = mpsc::channel(QUEUE);
        let mut shared = session.shared();
        let first = whole_session(Some(session.wall().into()), session.show_locked(&shared));
        queue.try_send(first).expect("the queue is new");
        if !shared.picture.is_over() {
            shared.watchers.watchers.push(Watcher { queue, missed: false });
        }
        drop(shared);
        Self { queue: see }
    }

    /// What happens next. None once the session is over.
    pub async fn next(&mut self) -> Option<v1::WatchSessionResponse> {
        self.queue.recv().await
    }
}
