//! Wakes streams, connection by connection.
//!
//! A stream that waited for the hub by itself would be woken somewhere among all the others, and its connection would be
//! written to as soon as the first of its streams has something to say. Here all streams of one connection are woken before
//! the next connection's are, so that a connection writes what an event makes ready on its streams at once.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Who waits: sorted by connection, and a number tells the streams of one apart.
type Places = BTreeMap<(Option<SocketAddr>, u64), Arc<AtomicWaker>>;

/// What streams wait for.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: AtomicU64,
    places: Mutex<Places>,
    joined: AtomicU64,
}

impl Bell {
    /// Rings at every change of the hub, and when the server drains, until the hub is gone.
    pub(super) async fn ring_for(self: Arc<Self>, mut changes: watch::Receiver<u64>, draining: CancellationToken) {
        let mut drained = false;
        loop {
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = draining.cancelled(), if !drained => drained = true,
            }
            self.ring();
        }
    }

    /// Wakes everybody who waits.
    fn ring(&self) {
        self.rung.fetch_add(1, SeqCst);
        self.places().values().for_each(|place| place.wake());
    }

    /// A place among the streams of a connection; streams that come from nowhere are of one.
    pub(super) fn join(self: &Arc<Self>, connection: Option<SocketAddr>) -> Place {
        let key = (connection, self.joined.fetch_add(1, SeqCst));
        let waker = Arc::default();
        self.places().insert(key, Arc::clone(&waker));
        Place { bell: Arc::clone(self), key, waker }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's place.
#[derive(Debug)]
pub(super) struct Place {
    bell: Arc<Bell>,
    key: (Option<SocketAddr>, u64),
    waker: Arc<AtomicWaker>,
}

impl Place {
    /// How often the bell has rung.
    pub(super) fn rung(&self) -> u64 {
        self.bell.rung.load(SeqCst)
    }

    /// Asks to be woken at the next ring. `false` where it has rung since `rung`.
    pub(super) fn wait(&self, rung: u64, waker: &Waker) -> bool {
        // Whoever rings counts first and then wakes, so either our waker is seen or we see the count.
        self.waker.register(waker);
        self.rung() == rung
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.bell.places().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::AtomicUsize,
        task::{Wake, Waker},
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn connection(port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    #[test]
    fn who_waits_is_woken_once() {
        let bell = Arc::new(Bell::default());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let places = [bell.join(connection(1)), bell.join(connection(2)), bell.join(connection(2)), bell.join(None)];
        for place in &places[1..] {
            assert!(place.wait(place.rung(), &waker));
            assert!(place.wait(place.rung(), &waker), "asking again changes nothing");
        }
        bell.ring();
        assert_eq!(count.0.load(SeqCst), 3, "who did not ask is left alone");
        bell.ring();
        assert_eq!(count.0.load(SeqCst), 3);
    }

    #[test]
    fn a_ring_between_looking_and_asking_is_not_missed() {
        let bell = Arc::new(Bell::default());
        let place = bell.join(connection(1));
        let rung = place.rung();
        bell.ring();
        assert!(!place.wait(rung, Waker::noop()));
        assert!(place.wait(place.rung(), Waker::noop()));
    }

    #[test]
    fn no_stream_is_remembered_and_those_of_a_connection_stand_together() {
        let bell = Arc::new(Bell::default());
        let places = [1, 2, 1, 2].map(|port| bell.join(connection(port)));
        let order: Vec<_> = bell.places().keys().map(|(connection, _)| *connection).collect();
        assert_eq!(order, [1, 1, 2, 2].map(connection));
        drop(places);
        assert!(bell.places().is_empty());
    }
}
