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
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
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
pub(super) struct Calls(Arc<Mutex<Vec<Call>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Calls {
    fn execute(&self, call: F) {
        // Its own allocation: hyper's futures are large, and what follows moves them about.
        let answer = Box::pin(unconstrained(call));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Call { answer, unsent: None });
    }
}

impl Calls {
    /// Moves new calls to where they are run; says whether there are any.
    fn take(&self, into: &FuturesUnordered<Call>) -> bool {
        let mut new = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let any = !new.is_empty();
        new.drain(..).for_each(|call| into.push(call));
        any
    }

    /// Runs a connection and the calls that it gives to this executor, until the connection is over.
    pub(super) async fn run_with<C: Future>(&self, connection: C) -> C::Output {
        let mut connection = pin!(connection);
        let mut calls = FuturesUnordered::new();
        let (for_connection, for_calls) = (Doorbell::rung_already(), Doorbell::rung_already());
        let wakers = [&for_connection, &for_calls].map(|doorbell| Waker::from(Arc::clone(doorbell)));
        poll_fn(|context| {
            for_connection.attend(context);
            for_calls.attend(context);
            // A connection that reads a request has a call to poll, which may have an answer to write: two rounds.
            for _ in 0..2 {
                // h2 wakes a call while it takes the call's bytes, and after two of those the collection wants a pause.
                // Every call has its turn before the connection is written to, so that it is written to once.
                let mut turns = 2 * calls.len() + 2;
                while turns > 0 && for_calls.answer() {
                    turns -= 1;
                    let mut context = Context::from_waker(&wakers[1]);
                    while let Poll::Ready(Some(())) = Pin::new(&mut calls).poll_next(&mut context) {}
                }
                if for_connection.answer()
                    && let Poll::Ready(output) = connection.as_mut().poll(&mut Context::from_waker(&wakers[0]))
                {
                    return Poll::Ready(output);
                }
                if !self.take(&calls) {
                    break;
                }
                for_calls.rung.store(true, SeqCst);
            }
            for_connection.leave(context);
            for_calls.leave(context);
            Poll::Pending
        })
        .await
    }
}

/// Wakes the task of a connection, except while that is about to answer anyway.
#[derive(Debug)]
struct Doorbell {
    rung: AtomicBool,
    attended: AtomicBool,
    task: AtomicWaker,
}

impl Doorbell {
    fn rung_already() -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(true), attended: AtomicBool::new(false), task: AtomicWaker::new() })
    }

    /// The task is there.
    fn attend(&self, context: &Context<'_>) {
        self.task.register(context.waker());
        self.attended.store(true, SeqCst);
    }

    /// Whether it has rung since the last time.
    fn answer(&self) -> bool {
        self.rung.swap(false, SeqCst)
    }

    /// The task goes away, and comes back at once if it has left something undone.
    fn leave(&self, context: &Context<'_>) {
        self.attended.store(false, SeqCst);
        if self.rung.load(SeqCst) {
            context.waker().wake_by_ref();
        }
    }
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, SeqCst);
        if !self.attended.load(SeqCst) {
            self.task.wake();
        }
    }
}

thread_local! {
    /// Whether the call that this thread is polling has handed bytes out that HTTP/2 does not take yet.
    static HANDED_OUT: Cell<bool> = const { Cell::new(false) };
}

/// One call. It ends early, which resets its stream, where its client leaves it without window for [`STALL`].
struct Call {
    answer: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// How long the bytes that are handed out may still wait for window.
    unsent: Option<Pin<Box<Sleep>>>,
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
pub(super) struct Handed(pub(super) Body);

impl http_body::Body for Handed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let poll = Pin::new(&mut self.0).poll_frame(context);
        // hyper asks for more as soon as what it has is taken.
        HANDED_OUT.set(matches!(&poll, Poll::Ready(Some(Ok(frame))) if frame.is_data()));
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

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
            async move { calls.run_with(poll_fn(|context| peer.poll(context))).await }
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
            async move { calls.run_with(poll_fn(|context| peer.poll(context))).await }
        });
        done.notified().await;
        peer.over.store(true, SeqCst);
        peer.task.wake();
        running.await.expect("no panic");
    }
}
