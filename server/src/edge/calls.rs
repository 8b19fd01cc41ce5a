//! The calls of one connection, in the task of the connection.
//!
//! hyper gives each HTTP/2 call to an executor, which is usually the runtime: then a call's message takes two tasks, the
//! call's and the connection's, and a hundred streams are a hundred tasks that each wake the connection. Here the
//! connection's task holds them itself. What an event makes ready on all streams of a connection is written at once, and
//! one stream costs one small allocation less.

use std::{
    cell::Cell,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use futures_util::{Stream as _, stream::FuturesUnordered, task::AtomicWaker};
use http_body::{Frame, SizeHint};
use metrics::counter;
use tokio::{
    task::unconstrained,
    time::{Sleep, sleep},
};
use tonic::{Status, body::Body};
use tracing::{debug, error};

use super::guard::STALL;
use crate::telemetry::names;

/// The executor that hyper gives calls to: they wait here until the connection's task takes them.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Shared>);

/// What wakes the connection's task, and what it finds. All in one place, because a delivery that has to fetch ten things from
/// far memory takes longer than one that fetches five.
#[derive(Default)]
struct Shared {
    /// Who is to be looked after, and whether the task is there anyway: see the constants below.
    due: AtomicU8,
    task: AtomicWaker,
    untaken: Mutex<Vec<Call>>,
}

/// The connection.
const CONNECTION: u8 = 1;
/// The first call.
const FIRST: u8 = 2;
/// Any of the others.
const OTHERS: u8 = 4;
/// The task is there, and looks at all of them before it goes.
const ATTENDED: u8 = 8;

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Calls {
    fn execute(&self, call: F) {
        self.0.untaken().push(Call::new(unconstrained(call)));
    }
}

impl Calls {
    /// Has the connection looked after.
    pub(super) fn ring_for_connection(&self) {
        self.0.ring(CONNECTION);
    }

    /// Runs a connection and the calls that it gives to this executor, until the connection is over. `beside` is looked
    /// after as a call is.
    pub(super) async fn run_with<C: Future>(&self, connection: C, beside: Answer) -> C::Output {
        let shared = &*self.0;
        let _emptied = Emptied(shared);
        let mut connection = pin!(connection);
        let mut running = Running::default();
        running.others.push(Call { answer: beside, unsent: None });
        let for_connection = Waker::from(Arc::clone(&self.0));
        let for_first = Waker::from(Arc::new(FirstOf(Arc::clone(&self.0))));
        let for_others = Waker::from(Arc::new(OthersOf(Arc::clone(&self.0))));
        shared.due.fetch_or(CONNECTION | OTHERS, SeqCst);
        poll_fn(|context| {
            shared.task.register(context.waker());
            shared.due.fetch_or(ATTENDED, SeqCst);
            // A connection that reads a request has a call to poll, which may have an answer to write: two rounds.
            for _ in 0..2 {
                // h2 wakes a call while it takes the call's bytes, and after two of those the collection wants a pause.
                // Every call has its turn before the connection is written to, so that it is written to once.
                let mut turns = 2 * running.others.len() + 2;
                while turns > 0 && shared.is_due(FIRST | OTHERS) {
                    turns -= 1;
                    if shared.take(FIRST) {
                        running.poll_first(&mut Context::from_waker(&for_first));
                    }
                    if shared.take(OTHERS) {
                        running.poll_others(&mut Context::from_waker(&for_others));
                    }
                }
                if !shared.take(CONNECTION) {
                    break;
                }
                let poll = connection.as_mut().poll(&mut Context::from_waker(&for_connection));
                if let Poll::Ready(output) = poll {
                    return Poll::Ready(output);
                }
                let new = std::mem::take(&mut *shared.untaken());
                if new.is_empty() {
                    break;
                }
                for call in new {
                    shared.due.fetch_or(running.add(call), SeqCst);
                }
            }
            if shared.due.fetch_and(!ATTENDED, SeqCst) != ATTENDED {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }
}

impl Shared {
    /// The calls that nobody has taken yet.
    fn untaken(&self) -> MutexGuard<'_, Vec<Call>> {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, whom: u8) {
        // Where anything is due already, the task is there or has been woken.
        if self.due.fetch_or(whom, SeqCst) == 0 {
            self.task.wake();
        }
    }

    fn is_due(&self, whom: u8) -> bool {
        self.due.load(SeqCst) & whom != 0
    }

    /// Whether it is due; then it is looked after now.
    fn take(&self, whom: u8) -> bool {
        self.is_due(whom) && self.due.fetch_and(!whom, SeqCst) & whom != 0
    }
}

/// Lets go of calls that nobody takes any more: hyper's hold the executor, which holds them.
struct Emptied<'a>(&'a Shared);

impl Drop for Emptied<'_> {
    fn drop(&mut self) {
        let left = std::mem::take(&mut *self.0.untaken());
        drop(left);
    }
}

/// Wakes the task for its connection.
impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.ring(CONNECTION);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring(CONNECTION);
    }
}

/// Wakes the task for its first call.
struct FirstOf(Arc<Shared>);

impl Wake for FirstOf {
    fn wake(self: Arc<Self>) {
        self.0.ring(FIRST);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.ring(FIRST);
    }
}

/// Wakes the task for another call.
struct OthersOf(Arc<Shared>);

impl Wake for OthersOf {
    fn wake(self: Arc<Self>) {
        self.0.ring(OTHERS);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.ring(OTHERS);
    }
}

/// The calls that are under way. Many connections have one stream and nothing else, which needs no collection.
#[derive(Default)]
struct Running {
    first: Option<Call>,
    others: FuturesUnordered<Call>,
}

impl Running {
    /// Returns where it was put, because it is due there.
    fn add(&mut self, call: Call) -> u8 {
        if self.first.is_none() {
            self.first = Some(call);
            FIRST
        } else {
            self.others.push(call);
            OTHERS
        }
    }

    fn poll_first(&mut self, context: &mut Context<'_>) {
        let Some(first) = &mut self.first else { return };
        AT_FIRST.set(true);
        if Pin::new(first).poll(context).is_ready() {
            self.first = None;
        }
        AT_FIRST.set(false);
    }

    fn poll_others(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some(())) = Pin::new(&mut self.others).poll_next(context) {}
    }
}

thread_local! {
    /// Whether the call that this thread is polling has handed bytes out that HTTP/2 does not take yet.
    static HANDED_OUT: Cell<bool> = const { Cell::new(false) };
    /// Whether that call is the first of its connection.
    static AT_FIRST: Cell<bool> = const { Cell::new(false) };
}

/// What a call does.
pub(super) type Answer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One call. It ends early, which resets its stream, where its client leaves it without window for [`STALL`].
struct Call {
    answer: Answer,
    /// How long the bytes that are handed out may still wait for window.
    unsent: Option<Pin<Box<Sleep>>>,
}

impl Call {
    fn new(answer: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { answer: Box::pin(answer), unsent: None }
    }
}

impl Future for Call {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        HANDED_OUT.set(this.unsent.is_some());
        // What is dropped after a panic is never looked at again; the other calls of the connection go on.
        match catch_unwind(AssertUnwindSafe(|| this.answer.as_mut().poll(context))) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => return Poll::Ready(()),
            Err(_) => {
                error!("a call panicked outside of its handler");
                counter!(names::PANICS).increment(1);
                return Poll::Ready(());
            }
        }
        if !HANDED_OUT.get() {
            this.unsent = None;
            return Poll::Pending;
        }
        let unsent = this.unsent.get_or_insert_with(|| Box::pin(sleep(STALL)));
        if unsent.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        debug!("a client does not read: its stream is reset");
        counter!(names::STREAMS_STALLED).increment(1);
        Poll::Ready(())
    }
}

/// A body that says when it has handed bytes out, and when they were taken.
pub(super) struct Handed {
    body: Body,
    calls: Calls,
}

impl Handed {
    /// The body of a call of this connection.
    pub(super) fn new(body: Body, calls: Calls) -> Self {
        Self { body, calls }
    }
}

impl http_body::Body for Handed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if AT_FIRST.get() {
            // h2 wakes a call that gives it bytes, while it does. Whatever woke this one until now, it is being looked at.
            self.calls.0.take(FIRST);
        }
        let poll = Pin::new(&mut self.body).poll_frame(context);
        // hyper asks for more as soon as what it has is taken.
        HANDED_OUT.set(matches!(&poll, Poll::Ready(Some(Ok(frame))) if frame.is_data()));
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicBool, AtomicUsize},
    };

    use hyper::rt::Executor as _;
    use tokio::sync::Notify;

    use super::*;

    /// A connection that counts how often it is looked after; calls write to it by waking it, as h2's do.
    #[derive(Default)]
    struct Peer {
        looks: AtomicUsize,
        task: AtomicWaker,
        over: AtomicBool,
    }

    impl Peer {
        fn poll(&self, context: &Context<'_>) -> Poll<()> {
            self.looks.fetch_add(1, SeqCst);
            self.task.register(context.waker());
            if self.over.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    #[tokio::test]
    async fn what_many_calls_write_at_once_is_one_look_at_the_connection() {
        let (calls, peer, event) = (Calls::default(), Arc::new(Peer::default()), Arc::new(Notify::new()));
        for _ in 0..100 {
            let (peer, event) = (Arc::clone(&peer), Arc::clone(&event));
            calls.execute(async move {
                for _ in 0..3 {
                    event.notified().await;
                    // As h2 does while it takes bytes.
                    let this_call = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
                    this_call.wake();
                    peer.task.wake();
                }
            });
        }
        let running = tokio::spawn({
            let (calls, peer) = (calls.clone(), Arc::clone(&peer));
            async move { calls.run_with(poll_fn(|context| peer.poll(context)), Box::pin(pending())).await }
        });
        // The runtime has one thread: whatever is woken has run when this comes back.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        for _ in 0..3 {
            let before = peer.looks.load(SeqCst);
            event.notify_waiters();
            tokio::task::yield_now().await;
            assert_eq!(peer.looks.load(SeqCst), before + 1);
        }
        peer.over.store(true, SeqCst);
        peer.task.wake();
        running.await.expect("no panic");
    }

    /// A body that has so many frames, and then wants to be asked again so many times.
    #[derive(Default)]
    struct Source {
        frames: AtomicUsize,
        pauses: AtomicUsize,
        task: AtomicWaker,
    }

    struct Tap(Arc<Source>);

    impl http_body::Body for Tap {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.task.register(context.waker());
            let take = |from: &AtomicUsize| from.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            if take(&self.0.frames) {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))));
            }
            if take(&self.0.pauses) {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_wake_from_before_the_body_was_asked_is_no_reason_to_look_and_one_from_after_is() {
        use http_body::Body as _;

        let (calls, peer) = (Calls::default(), Arc::new(Peer::default()));
        let (source, looks) = (Arc::new(Source::default()), Arc::new(AtomicUsize::new(0)));
        calls.execute({
            let mut body = Handed::new(Body::new(Tap(Arc::clone(&source))), calls.clone());
            let (peer, looks) = (Arc::clone(&peer), Arc::clone(&looks));
            poll_fn(move |context| {
                looks.fetch_add(1, SeqCst);
                while let Poll::Ready(Some(_)) = Pin::new(&mut body).poll_frame(context) {
                    // As h2 does while it takes bytes.
                    context.waker().wake_by_ref();
                    peer.task.wake();
                }
                Poll::Pending
            })
        });
        let running = tokio::spawn({
            let (calls, peer) = (calls.clone(), Arc::clone(&peer));
            async move { calls.run_with(poll_fn(|context| peer.poll(context)), Box::pin(pending())).await }
        });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        for (frames, pauses, expected) in [(1, 0, 1), (3, 0, 1), (0, 1, 2), (1, 2, 3)] {
            let before = looks.load(SeqCst);
            source.frames.store(frames, SeqCst);
            source.pauses.store(pauses, SeqCst);
            source.task.wake();
            tokio::task::yield_now().await;
            assert_eq!(looks.load(SeqCst) - before, expected, "{frames} frames and {pauses} pauses");
        }
        peer.over.store(true, SeqCst);
        peer.task.wake();
        running.await.expect("no panic");
    }

    #[tokio::test]
    async fn nothing_outlives_a_connection() {
        let (calls, held) = (Calls::default(), Arc::new(()));
        for polls in [0, 1] {
            // The connection gives a call to the executor as the last thing that it does, or one look before.
            let connection = {
                let (calls, held, mut left) = (calls.clone(), Arc::clone(&held), polls);
                poll_fn(move |context| {
                    calls.execute({
                        let (calls, held) = (calls.clone(), Arc::clone(&held));
                        async move {
                            pending::<()>().await;
                            drop((calls, held));
                        }
                    });
                    context.waker().wake_by_ref();
                    if left == 0 {
                        Poll::Ready(())
                    } else {
                        left -= 1;
                        Poll::Pending
                    }
                })
            };
            calls.run_with(connection, Box::pin(pending())).await;
        }
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(Arc::strong_count(&calls.0), 1);
    }

    #[tokio::test]
    async fn a_call_that_panics_leaves_the_others() {
        let (calls, peer, done) = (Calls::default(), Arc::new(Peer::default()), Arc::new(Notify::new()));
        calls.execute(async { panic!("of a call, on purpose") });
        calls.execute({
            let done = Arc::clone(&done);
            async move { done.notify_one() }
        });
        let running = tokio::spawn({
            let peer = Arc::clone(&peer);
            async move { calls.run_with(poll_fn(|context| peer.poll(context)), Box::pin(pending())).await }
        });
        done.notified().await;
        peer.over.store(true, SeqCst);
        peer.task.wake();
        running.await.expect("no panic");
    }
}
