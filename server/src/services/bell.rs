//! Wakes streams, connection by connection.
//!
//! A stream that waited for the hub by itself would be woken somewhere among all the others, and its connection would be
//! written to as soon as the first of its streams has something to say. Here all streams of one connection are woken before
//! the next connection's are, so that a connection writes what an event makes ready on its streams at once.
//!
//! Whoever hears nothing of the guilds in which something happened is left alone. What such a stream has not looked at grows
//! meanwhile, and it must not be taken for one that is slow: before half of what the log keeps is news to it, and whenever its
//! heartbeat is due, it looks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use parlor_gateway::GuildId;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use crate::hub::{Filter, Hub, Sequence, State};

/// The connection, and a number that tells its streams apart.
type Key = (Option<SocketAddr>, u64);

/// Who waits, sorted by connection.
type Places = BTreeMap<Key, Waits>;

/// Somebody who waits.
#[derive(Debug)]
struct Waits {
    stream: Arc<Stream>,
    /// What it hears of.
    filter: Arc<Filter>,
}

/// What a stream and the bell share.
#[derive(Debug, Default)]
struct Stream {
    waker: AtomicWaker,
    /// The log has nothing for it up to here that it has not looked at.
    seen: AtomicU64,
}

/// So many streams are woken before they run, or as many as their last connection has. What waking touches is touched again
/// when they run, and this much is still near then; the runtime's own queue holds 256.
const AT_ONCE: usize = 128;

/// What streams wait for.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: AtomicU64,
    places: Mutex<Places>,
    joined: AtomicU64,
}

/// What there is to tell.
#[derive(Debug, Eq, PartialEq)]
struct News {
    whom: Whom,
    /// Where it is about the log alone: up to here. Whoever has looked so far knows it.
    up_to: Option<Sequence>,
}

impl News {
    /// Something that is not in the log.
    const BESIDE_THE_LOG: Self = Self { whom: Whom::Everybody, up_to: None };
}

/// Who is to be woken.
#[derive(Debug, Eq, PartialEq)]
enum Whom {
    Everybody,
    /// Whoever hears of one of these guilds.
    Of(BTreeSet<GuildId>),
}

/// What the bell has rung for.
#[derive(Debug)]
struct Heard {
    head: Sequence,
    /// The position at which everybody was woken the last time.
    everybody: Sequence,
    /// [`State::upstream_turns`]: a stream may have looked while it was otherwise for a moment.
    turns: u64,
}

impl Heard {
    fn of(state: &State) -> Self {
        let head = state.log().head();
        Self { head, everybody: head, turns: state.upstream_turns() }
    }

    /// Who may have something to say about what is new in this state.
    fn news(&mut self, state: &State) -> News {
        let log = state.log();
        let (head, kept) = (log.head().0, log.head().next().0 - log.oldest().0);
        let turns = std::mem::replace(&mut self.turns, state.upstream_turns());
        let about_the_log = turns == self.turns;
        let new = log.after(self.head);
        self.head = log.head();
        let whom = match new {
            Some(new) if about_the_log && (head - self.everybody.0) * 2 < kept => {
                Whom::Of(new.map(|entry| entry.guild).collect())
            }
            _ => {
                self.everybody = self.head;
                Whom::Everybody
            }
        };
        News { whom, up_to: about_the_log.then_some(self.head) }
    }
}

impl Bell {
    /// Rings at every change of the hub, and when the server drains, until the hub is gone.
    pub(super) fn ring_for(
        self: Arc<Self>,
        hub: Arc<Hub>,
        draining: CancellationToken,
    ) -> impl Future<Output = ()> + Send {
        // Before any stream looks: whatever comes after that look is told.
        let mut changes = hub.changes();
        let mut heard = hub.with_state(Heard::of);
        async move {
            let mut drained = false;
            loop {
                let news = tokio::select! {
                    changed = changes.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        hub.with_state(|state| heard.news(state))
                    }
                    () = draining.cancelled(), if !drained => {
                        drained = true;
                        News::BESIDE_THE_LOG
                    }
                };
                self.ring(&news).await;
            }
        }
    }

    /// Wakes those who wait.
    async fn ring(&self, news: &News) {
        self.rung.fetch_add(1, SeqCst);
        let mut after = Bound::Unbounded;
        while let Some(last) = self.wake_some(news, after) {
            yield_now().await;
            after = Bound::Excluded(last);
        }
    }

    /// Wakes the next of those who wait. Returns the last that was looked at if there may be more.
    fn wake_some(&self, news: &News, after: Bound<Key>) -> Option<Key> {
        let (mut woken, mut last) = (0, None::<Key>);
        for (key, place) in self.places().range((after, Bound::Unbounded)) {
            // The streams of a connection are woken together.
            if woken >= AT_ONCE && last.is_some_and(|(connection, _)| connection != key.0) {
                return last;
            }
            last = Some(*key);
            let concerned = match &news.whom {
                Whom::Everybody => true,
                Whom::Of(guilds) => guilds.iter().any(|guild| place.filter.guild(*guild)),
            };
            // Somebody may have looked while others were told of what was before.
            if concerned && news.up_to.is_none_or(|head| place.stream.seen.load(SeqCst) < head.0) {
                place.stream.waker.wake();
                woken += 1;
            }
        }
        None
    }

    /// A place among the streams of a connection; streams that come from nowhere are of one.
    pub(super) fn join(self: &Arc<Self>, connection: Option<SocketAddr>, filter: Arc<Filter>) -> Place {
        let key = (connection, self.joined.fetch_add(1, SeqCst));
        let stream = Arc::default();
        self.places().insert(key, Waits { stream: Arc::clone(&stream), filter });
        Place { bell: Arc::clone(self), key, stream }
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
    stream: Arc<Stream>,
}

impl Place {
    /// How often the bell has rung.
    pub(super) fn rung(&self) -> u64 {
        self.bell.rung.load(SeqCst)
    }

    /// The stream has looked at the log, and there is nothing more for it up to here.
    pub(super) fn has_seen(&self, head: Sequence) {
        self.stream.seen.store(head.0, SeqCst);
    }

    /// Asks to be woken at the next ring that concerns it. `false` where it has rung since `rung`, for whomever.
    pub(super) fn wait(&self, rung: u64, waker: &Waker) -> bool {
        // Mostly a stream comes because it has rung, and then there is nothing to wait for.
        if self.rung() != rung {
            return false;
        }
        // Whoever rings counts first and then wakes, so either our waker is seen or we see the count.
        self.stream.waker.register(waker);
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
        time::{Duration, Instant, SystemTime},
    };

    use parlor_gateway::{Change, ChangeBody, Delivery, RoomId, ShardIndex, Touched, Update, UserId};
    use parlor_proto::v1::{self, UpstreamState};

    use super::*;
    use crate::{
        auth::GuildGrant,
        hub::{CursorKey, Entry, Epoch, Log, Retention, Writer},
        store::{Key, Recovered},
    };

    fn guild(number: u64) -> GuildId {
        GuildId::new(100_000_000_000_000_000 + number)
    }

    fn hears_of(guilds: impl IntoIterator<Item = u64>) -> Arc<Filter> {
        let guilds = guilds.into_iter().map(guild).collect();
        Arc::new(Filter::new(GuildGrant::All, guilds, BTreeSet::new(), []))
    }

    fn everything() -> Arc<Filter> {
        hears_of([])
    }

    /// A log that keeps so many entries, in which something happened in these guilds.
    fn state(keeps: usize, happened: &[u64]) -> State {
        let retention = Retention { age: Duration::ZERO, entries: keeps, bytes: usize::MAX };
        let mut log = Log::new(Epoch::new([1; 16]), CursorKey::new(&[2; 32]), retention);
        for number in happened {
            let body = ChangeBody::Event(v1::VoiceEvent::default());
            let change = Change { guild: guild(*number), rooms: Touched::All, body };
            let sequence = log.head().next();
            let entry = Entry::new(change, sequence, log.cursor(sequence), SystemTime::UNIX_EPOCH);
            log.append(vec![Arc::new(entry)], Instant::now());
        }
        State::new(log, parlor_gateway::Snapshot::default(), UpstreamState::Live, None)
    }

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

    #[tokio::test]
    async fn who_waits_is_woken_once() {
        let bell = Arc::new(Bell::default());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let places = [connection(1), connection(2), connection(2), None].map(|from| bell.join(from, everything()));
        for place in &places[1..] {
            assert!(place.wait(place.rung(), &waker));
            assert!(place.wait(place.rung(), &waker), "asking again changes nothing");
        }
        bell.ring(&News::BESIDE_THE_LOG).await;
        assert_eq!(count.0.load(SeqCst), 3, "who did not ask is left alone");
        bell.ring(&News::BESIDE_THE_LOG).await;
        assert_eq!(count.0.load(SeqCst), 3);
    }

    #[tokio::test]
    async fn a_ring_between_looking_and_asking_is_not_missed() {
        let bell = Arc::new(Bell::default());
        for whom in [Whom::Everybody, Whom::Of([guild(1)].into()), Whom::Of([guild(2)].into())] {
            let place = bell.join(connection(1), hears_of([1]));
            let rung = place.rung();
            bell.ring(&News { whom, up_to: None }).await;
            assert!(!place.wait(rung, Waker::noop()));
            assert!(place.wait(place.rung(), Waker::noop()));
        }
    }

    #[tokio::test]
    async fn who_hears_nothing_of_a_guild_sleeps_on() {
        let bell = Arc::new(Bell::default());
        let counts: Vec<_> = [hears_of([1]), hears_of([2]), hears_of([1, 2]), everything()]
            .map(|filter| (bell.join(connection(1), filter), Arc::new(Count::default())))
            .into();
        let woken = async |whom: Whom| -> Vec<usize> {
            for (place, count) in &counts {
                assert!(place.wait(place.rung(), &Waker::from(Arc::clone(count))));
            }
            bell.ring(&News { whom, up_to: Some(Sequence(1)) }).await;
            counts.iter().map(|(_, count)| count.0.swap(0, SeqCst)).collect()
        };
        assert_eq!(woken(Whom::Of([guild(1)].into())).await, [1, 0, 1, 1]);
        assert_eq!(woken(Whom::Of([guild(2)].into())).await, [0, 1, 1, 1]);
        assert_eq!(woken(Whom::Of([guild(3)].into())).await, [0, 0, 0, 1]);
        assert_eq!(woken(Whom::Everybody).await, [1, 1, 1, 1]);
    }

    #[test]
    fn nobody_sleeps_through_half_of_what_is_kept() {
        let mut happened = vec![1; 10];
        let mut heard = Heard::of(&state(10, &happened));
        let mut slept = 0;
        for _ in 0..50 {
            happened.push(1);
            match heard.news(&state(10, &happened)).whom {
                Whom::Everybody => slept = 0,
                Whom::Of(guilds) => {
                    assert_eq!(guilds, [guild(1)].into());
                    slept += 1;
                }
            }
            assert!(slept < 5, "what a stream that sleeps has not looked at would be gone before long");
        }
        // What the bell itself has not looked at is gone: it cannot tell whom that concerned.
        happened.extend([2; 20]);
        assert_eq!(heard.news(&state(10, &happened)), News { whom: Whom::Everybody, up_to: Some(Sequence(80)) });
    }

    #[tokio::test]
    async fn who_has_looked_meanwhile_is_not_woken_for_what_it_has_seen() {
        let bell = Arc::new(Bell::default());
        let (place, count) = (bell.join(connection(1), everything()), Arc::new(Count::default()));
        let woken = async |up_to: Option<u64>| {
            assert!(place.wait(place.rung(), &Waker::from(Arc::clone(&count))));
            bell.ring(&News { whom: Whom::Everybody, up_to: up_to.map(Sequence) }).await;
            count.0.swap(0, SeqCst)
        };
        assert_eq!(woken(Some(7)).await, 1);
        place.has_seen(Sequence(7));
        assert_eq!(woken(Some(7)).await, 0);
        assert_eq!(woken(Some(8)).await, 1);
        assert_eq!(woken(None).await, 1, "what is not in the log it cannot have seen there");
    }

    #[test]
    fn everybody_is_told_how_the_connection_to_discord_stands() {
        let happened = [1; 100];
        let mut heard = Heard::of(&state(100, &happened));
        let mut stalled = state(100, &happened);
        let nothing = News { whom: Whom::Of(BTreeSet::new()), up_to: Some(Sequence(100)) };
        assert_eq!(heard.news(&stalled), nothing);
        stalled.stall();
        assert_eq!(heard.news(&stalled), News::BESIDE_THE_LOG);
    }

    #[test]
    fn everybody_is_told_after_a_moment_in_which_it_stood_otherwise() {
        let retention = Retention { age: Duration::ZERO, entries: 1, bytes: usize::MAX };
        let log = Log::new(Epoch::new([1; 16]), CursorKey::new(&[2; 32]), retention);
        let mut writer = Writer::new(&Recovered::nothing(), Arc::clone(log.key()), Some(1));
        let mut state = writer.state(log);
        let (wall, shard) = (SystemTime::UNIX_EPOCH, ShardIndex(0));
        let connected = Update::SessionStarted { shard, self_user: UserId::new(1), guilds: vec![guild(1)] };
        writer.deliver(Delivery { shard, update: Some(connected), session: None, heard_at: wall }, wall);
        state.publish(writer.round(&state).expect("there is something to store"), Instant::now());

        let (mut heard, before) = (Heard::of(&state), state.upstream());
        state.stall();
        assert_ne!(state.upstream(), before, "a stream may look now, and say so");
        writer.act(wall, |draft| draft.keep(Key::Life(RoomId::new(1)), None));
        state.publish(writer.round(&state).expect("there is a row to store"), Instant::now());
        assert_eq!(state.upstream(), before);
        assert_eq!(heard.news(&state), News::BESIDE_THE_LOG);
    }

    #[tokio::test]
    async fn many_are_woken_one_part_after_the_other_and_no_connection_in_two() {
        let bell = Arc::new(Bell::default());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let streams = AT_ONCE / 2 + 1;
        let places: Vec<_> = (0..5)
            .flat_map(|port| std::iter::repeat_n(port, streams))
            .map(|port| bell.join(connection(port), everything()))
            .collect();
        places.iter().for_each(|place| assert!(place.wait(place.rung(), &waker)));
        let mut ring = std::pin::pin!(bell.ring(&News::BESIDE_THE_LOG));
        for woken in [2 * streams, 4 * streams, 5 * streams] {
            // It stops after each part, and not after the last.
            let is_over = futures_util::poll!(ring.as_mut()).is_ready();
            assert_eq!((count.0.load(SeqCst), is_over), (woken, woken == places.len()));
        }
    }

    #[test]
    fn no_stream_is_remembered_and_those_of_a_connection_stand_together() {
        let bell = Arc::new(Bell::default());
        let places = [1, 2, 1, 2].map(|port| bell.join(connection(port), everything()));
        let order: Vec<_> = bell.places().keys().map(|(connection, _)| *connection).collect();
        assert_eq!(order, [1, 1, 2, 2].map(connection));
        drop(places);
        assert!(bell.places().is_empty());
    }
}
