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

use slab::Slab;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What streams wait for.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: AtomicU64,
    groups: Mutex<BTreeMap<Option<SocketAddr>, Arc<Group>>>,
}

/// The streams of one connection, by their places. A stream has a waker here while it waits.
#[derive(Debug, Default)]
struct Group(Mutex<Slab<Option<Waker>>>);

impl Group {
    fn places(&self) -> MutexGuard<'_, Slab<Option<Waker>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    /// Wakes everybody.
    fn ring(&self) {
        self.rung.fetch_add(1, SeqCst);
        let mut woken = Vec::new();
        for group in self.groups().values() {
            woken.extend(group.places().iter_mut().filter_map(|(_, waker)| waker.take()));
            // Outside of the lock, which a woken stream takes at once.
            woken.drain(..).for_each(Waker::wake);
        }
    }

    /// A place among the streams of a connection; streams that come from nowhere share one.
    pub(super) fn join(self: &Arc<Self>, connection: Option<SocketAddr>) -> Place {
        let mut groups = self.groups();
        let group = Arc::clone(groups.entry(connection).or_default());
        let number = group.places().insert(None);
        Place { bell: Arc::clone(self), connection, group, number }
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<Option<SocketAddr>, Arc<Group>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's place.
#[derive(Debug)]
pub(super) struct Place {
    bell: Arc<Bell>,
    connection: Option<SocketAddr>,
    group: Arc<Group>,
    number: usize,
}

impl Place {
    /// How often the bell has rung.
    pub(super) fn rung(&self) -> u64 {
        self.bell.rung.load(SeqCst)
    }

    /// Asks to be woken at the next ring. `false`, and nothing asked, where it has rung since `rung`.
    pub(super) fn wait(&self, rung: u64, waker: &Waker) -> bool {
        let mut places = self.group.places();
        // Whoever rings counts first and then looks for wakers, so either we see the count or our waker is seen.
        if self.rung() != rung {
            return false;
        }
        match &mut places[self.number] {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut groups = self.bell.groups();
        let mut places = self.group.places();
        places.remove(self.number);
        if places.is_empty() {
            groups.remove(&self.connection);
        }
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
    fn no_connection_is_remembered_after_its_last_stream() {
        let bell = Arc::new(Bell::default());
        let (first, second) = (bell.join(connection(1)), bell.join(connection(1)));
        drop(first);
        assert_eq!(bell.groups().len(), 1);
        drop(second);
        assert!(bell.groups().is_empty());
    }
}
