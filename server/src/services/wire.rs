//! An event stream as the body of an HTTP answer.
//!
//! The frames are bytes already, so nothing encodes them again: what is ready is put together as gRPC has it and handed to
//! HTTP. The same body serves native gRPC and gRPC-Web.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Version};
use tokio::time::{Sleep, sleep_until};
use tonic::{Status, metadata::MetadataValue};

use super::{bell::Place, events::Shared, streams::Seat};
use crate::{
    auth::AuthError,
    hub::{Gap, Subscription},
    status::{Failure, Reason},
};

/// Trailer with the position that the client holds when a stream ends.
const CURSOR_TRAILER: &str = "parlor-cursor";

/// What is ready goes out in pieces of at most so many bytes, unless one message is longer.
///
/// h2 copies what is shorter than 1 KiB and writes it together with what other streams of the connection have; it writes a
/// longer piece by itself. HTTP/1.1 has a connection for one stream, and a piece is a chunk.
pub(super) const fn piece(version: Version) -> usize {
    match version {
        Version::HTTP_2 | Version::HTTP_3 => 1_000,
        _ => LONG_PIECE,
    }
}

/// A piece of a stream that has much to catch up with, in bytes: a frame of HTTP/2. It is written by itself, and that is less
/// work than many short ones are.
const LONG_PIECE: usize = 16 * 1024;

/// So many frames are much.
const MUCH: usize = 32;

/// Wakes a stream when something is due, or earlier. Most streams are woken by events long before, so it is left alone where
/// that is possible: the runtime's timers are far away from everything else that a delivery touches.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// When it goes off.
    at: Instant,
    /// Who is told; `None` where nobody is yet.
    tells: Option<Waker>,
}

impl Timer {
    pub(super) fn new(at: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(at.into())), at, tells: None }
    }

    /// Goes off at `due`, or earlier if it was to.
    fn set(&mut self, due: Instant, now: Instant) {
        if due < self.at || self.at <= now {
            self.sleep.as_mut().reset(due.into());
            self.at = due;
            self.tells = None;
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let told = self.tells.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if told && Instant::now() < self.at {
            return Poll::Pending;
        }
        self.tells = Some(context.waker().clone());
        self.sleep.as_mut().poll(context)
    }
}

/// One open stream.
pub(super) struct Reader {
    pub(super) service: Arc<Shared>,
    pub(super) subscription: Subscription,
    /// See [`piece`].
    pub(super) piece: usize,
    /// When the token is over.
    pub(super) expires_at: SystemTime,
    /// The caller's own.
    pub(super) deadline: Option<Instant>,
    /// When the stream is asked to move on.
    pub(super) old: Instant,
    /// Set once the last frame has been sent: what the stream ends with.
    pub(super) ending: Option<Box<Failure>>,
    pub(super) place: Place,
    /// How often the bell had rung when there was nothing to say, until something is due.
    pub(super) waiting: Option<u64>,
    pub(super) timer: Timer,
    pub(super) _seat: Seat,
}

impl Reader {
    /// The next frames; the stream's end, if it has one, is an error.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        // A stream is looked at more often than it is woken: h2 does so after every piece.
        if let Some(rung) = self.waiting
            && self.place.wait(rung, context.waker())
        {
            ready!(self.timer.poll(context));
        }
        loop {
            self.waiting = None;
            if let Some(ending) = self.ending.take() {
                return Poll::Ready(Err(self.with_cursor((*ending).into())));
            }
            // Before every piece, ready or not: nothing is sent to a token that is over.
            let wall = (self.service.clock)();
            if wall >= self.expires_at {
                return Poll::Ready(Err(self.with_cursor(AuthError::Expired.into())));
            }
            if let Some(piece) = self.ready_piece() {
                return Poll::Ready(Ok(piece));
            }
            let now = Instant::now();
            if self.deadline.is_some_and(|deadline| now >= deadline) {
                let over = Failure::new(Reason::DeadlineExceeded, "the call's deadline is over");
                return Poll::Ready(Err(self.with_cursor(over.into())));
            }
            // Before anything is looked at that the bell rings for.
            let (rung, chance) = (self.place.rung(), fastrand::f64());
            if self.service.rules.draining.is_cancelled() || now >= self.old {
                return Poll::Ready(Ok(self.drain()));
            }
            let advanced = self.service.hub.with_state(|state| {
                self.subscription.advance(state, chance, wall, now)?;
                let at_the_end = self.subscription.is_at_the_end_of(state);
                if at_the_end {
                    self.place.has_seen(state.log().head());
                }
                Ok(at_the_end)
            });
            let at_the_end = match advanced {
                Ok(at_the_end) => at_the_end,
                Err(gap) => return Poll::Ready(Err(self.with_cursor(expired(gap).into()))),
            };
            let piece = self.ready_piece();
            // Whoever asks again after this piece need not look again.
            let done = at_the_end && self.subscription.ready_len() == 0;
            if done {
                let expiry = self.expires_at.duration_since(wall).unwrap_or_default();
                let due = [Some(self.subscription.next_beat()), Some(self.old), self.deadline, now.checked_add(expiry)];
                self.timer.set(due.into_iter().flatten().min().expect("a heartbeat is always due"), now);
                self.waiting = Some(rung);
            }
            if let Some(piece) = piece {
                return Poll::Ready(Ok(piece));
            }
            if done {
                if self.place.wait(rung, context.waker()) {
                    ready!(self.timer.poll(context));
                }
            } else if self.subscription.has_more() {
                // It may be a long way through what is not for this stream: others of the connection have their turn.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// What is ready, in a piece as long as is good.
    fn ready_piece(&mut self) -> Option<Bytes> {
        let most = if self.subscription.ready_len() >= MUCH { LONG_PIECE } else { self.piece };
        self.subscription.ready_piece(most)
    }

    fn drain(&mut self) -> Bytes {
        let reconnect_after = self.service.rules.reconnect_spread.mul_f64(fastrand::f64());
        let ending = Failure::new(Reason::Draining, "this server is going away: connect again and resume");
        self.ending = Some(Box::new(ending.retry_after(reconnect_after)));
        self.service.hub.with_state(|state| self.subscription.draining(state, reconnect_after)).to_wire()
    }

    fn with_cursor(&self, mut status: Status) -> Status {
        let cursor = self.service.hub.with_state(|state| self.subscription.cursor(state));
        if let Some(cursor) = cursor.and_then(|cursor| MetadataValue::try_from(cursor).ok()) {
            status.metadata_mut().insert(CURSOR_TRAILER, cursor);
        }
        status
    }
}

/// The log does not reach back to where the client would go on.
pub(super) fn expired(gap: Gap) -> Failure {
    Failure::new(Reason::CursorExpired, "the cursor cannot be continued: subscribe without one")
        .with("oldest_sequence", gap.oldest.0.to_string())
        .with("head_sequence", gap.head.0.to_string())
}

/// The body: empty once the trailers are out.
pub(super) struct EventBody(pub(super) Option<Reader>);

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let Some(reader) = &mut self.0 else { return Poll::Ready(None) };
        let frame = match ready!(reader.poll_next(context)) {
            Ok(piece) => Ok(http_body::Frame::data(piece)),
            Err(status) => {
                self.0 = None;
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers).map(|()| http_body::Frame::trailers(trailers))
            }
        };
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
