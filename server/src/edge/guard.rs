//! A connection that does not stay silent.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// For so long a peer may take nothing of what is written to it.
pub(super) const STALL: Duration = Duration::from_secs(30);

/// An IO that ends with [`io::ErrorKind::TimedOut`] where nothing is heard after it opened, where what is written stays
/// with us for [`STALL`], or where nothing moves in either direction for too long. A peer that answers HTTP/2 pings is not silent; one that does not is found by those.
#[derive(Debug)]
pub(super) struct Guarded<IO> {
    io: IO,
    idle: Duration,
    heard: bool,
    deadline: Pin<Box<Sleep>>,
    /// When it is over. It is far away from everything else that an event's delivery touches, so it is left alone until then.
    due: Instant,
    /// Whom it tells; `None` where nobody yet.
    tells: Option<Waker>,
    // Moving the deadline costs a walk through the timer wheel; most bytes come soon after others.
    last_moved: Instant,
    /// Since when a write waits for the peer.
    stuck: Option<Instant>,
}

impl<IO> Guarded<IO> {
    pub(super) fn new(io: IO, first_byte: Duration, idle: Duration) -> Self {
        let deadline = Box::pin(sleep(first_byte));
        let due = deadline.deadline();
        Self { io, idle, heard: false, deadline, due, tells: None, last_moved: Instant::now(), stuck: None }
    }

    fn moved(&mut self) {
        self.last_moved = Instant::now();
    }

    fn set(&mut self, due: Instant) {
        self.deadline.as_mut().reset(due);
        self.due = due;
        self.tells = None;
    }

    /// An error once the time is over.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let told = self.tells.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if told && Instant::now() < self.due {
            return Poll::Pending;
        }
        self.tells = Some(context.waker().clone());
        while self.deadline.as_mut().poll(context).is_ready() {
            let next = (self.last_moved + self.idle)
                .min(self.stuck.map_or(self.last_moved + self.idle, |since| since + STALL));
            if !self.heard || next <= Instant::now() {
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the peer is silent"));
            }
            self.set(next);
            self.tells = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.io).poll_read(context, buffer) {
            Poll::Pending => this.poll_silence(context).map(Err),
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    this.heard = true;
                    this.moved();
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> Guarded<IO> {
    /// What a write came to: progress moves the deadline, waiting is bounded by it.
    fn written(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match poll {
            Poll::Pending => {
                let overdue = *self.stuck.get_or_insert_with(Instant::now) + STALL;
                if self.heard && overdue < self.due {
                    self.set(overdue);
                }
                self.poll_silence(context).map(Err)
            }
            Poll::Ready(result) => {
                if result.as_ref().is_ok_and(|count| *count > 0) {
                    self.moved();
                    self.stuck = None;
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.io).poll_write(context, bytes);
        this.written(context, poll)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const FIRST: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(300);

    async fn silence_after(io: &mut (impl AsyncRead + Unpin)) -> Duration {
        let start = Instant::now();
        let mut byte = [0];
        let error = io.read(&mut byte).await.expect_err("nothing was sent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        start.elapsed()
    }

    /// The timer wheel counts whole milliseconds.
    fn about(time: Duration) -> std::ops::RangeInclusive<Duration> {
        time..=time + Duration::from_millis(2)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_speaks_is_closed() {
        let (_peer, io) = duplex(64);
        let mut io = Guarded::new(io, FIRST, IDLE);
        assert!(about(FIRST).contains(&silence_after(&mut io).await));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_to_a_silent_peer_does_not_count() {
        let (_peer, io) = duplex(64);
        let mut io = Guarded::new(io, FIRST, IDLE);
        io.write_all(b"settings").await.expect("there is room");
        assert!(about(FIRST).contains(&silence_after(&mut io).await));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_in_either_direction_keep_a_connection() {
        let (mut peer, io) = duplex(64);
        let mut io = Guarded::new(io, FIRST, IDLE);
        for _ in 0..3 {
            peer.write_all(b"x").await.expect("there is room");
            io.read_exact(&mut [0]).await.expect("a byte");
            tokio::time::advance(IDLE / 2).await;
            io.write_all(b"y").await.expect("there is room");
            tokio::time::advance(IDLE * 3 / 4).await;
        }
        let rest = silence_after(&mut io).await;
        assert!(about(IDLE / 4).contains(&rest), "{rest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_closed() {
        let (mut peer, io) = duplex(8);
        let mut io = Guarded::new(io, FIRST, IDLE);
        peer.write_all(b"x").await.expect("there is room");
        io.read_exact(&mut [0]).await.expect("a byte");
        let start = Instant::now();
        let error = io.write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(about(STALL).contains(&start.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_kept() {
        let (mut peer, io) = duplex(8);
        let mut io = Guarded::new(io, FIRST, IDLE);
        peer.write_all(b"x").await.expect("there is room");
        io.read_exact(&mut [0]).await.expect("a byte");
        let reading = tokio::spawn(async move {
            for _ in 0..8 {
                sleep(STALL * 3 / 4).await;
                peer.read_exact(&mut [0; 8]).await.expect("there is more");
            }
            peer
        });
        io.write_all(&[0; 64]).await.expect("it reads");
        drop(reading.await.expect("no panic"));
    }
}
