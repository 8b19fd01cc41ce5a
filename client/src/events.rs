//! The event stream: frame by frame, and as one stream that mends itself.

use std::time::Instant;

use parlor_proto::v1::SubscribeVoiceEventsResponse;
use tokio::time::{sleep_until, timeout_at};
use tonic::Streaming;

use crate::{
    CallError, Event, Lost, Parlor, Picture, Position, Watch,
    follow::{Follower, Step, Verdict},
};

/// One open subscription, frame by frame. [`Events`] is what most programs want.
#[derive(Debug)]
pub struct Frames {
    stream: Streaming<SubscribeVoiceEventsResponse>,
}

impl Frames {
    pub(crate) fn new(stream: Streaming<SubscribeVoiceEventsResponse>) -> Self {
        Self { stream }
    }

    /// The next frame; `None` where the server ended the stream without an error.
    ///
    /// After an error, subscribe again with the last cursor: `CallError::code` says whether that makes sense.
    pub async fn next(&mut self) -> Result<Option<SubscribeVoiceEventsResponse>, CallError> {
        Ok(self.stream.message().await?)
    }
}

/// A stream of events that mends itself: when a connection ends, another one continues where it ended, and each frame is
/// checked to follow the one before.
///
/// Made by [`Parlor::events`]. What it tells, from a snapshot on, is the truth at every moment; where that cannot be kept,
/// [`Event::Reset`] or [`Event::Discontinuity`] says so. Nothing is told twice, whatever breaks.
#[derive(Debug)]
pub struct Events {
    parlor: Parlor,
    follower: Follower,
    frames: Option<Frames>,
    last: Option<SubscribeVoiceEventsResponse>,
}

impl Events {
    pub(crate) async fn open(parlor: Parlor, watch: Watch) -> Result<Self, CallError> {
        let mut follower = Follower::new(watch, Instant::now());
        let frames = parlor.subscribe(follower.request()).await?;
        follower.opened(Instant::now());
        Ok(Self { parlor, follower, frames: Some(frames), last: None })
    }

    /// What comes next. It waits for as long as it takes, over lost connections and servers that are away.
    ///
    /// Safe to cancel: nothing is lost where the future is dropped, in a `select!` for example.
    ///
    /// # Errors
    /// Only what repeating cannot mend: UNAUTHENTICATED (the token has expired: connect with a new one and start after
    /// [`position`](Self::position)), PERMISSION_DENIED, INVALID_ARGUMENT, OUT_OF_RANGE where [`Gap::Fail`](crate::Gap)
    /// was asked for, and their like. After that, `None`.
    pub async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            match (self.follower.step(Instant::now()), &mut self.frames) {
                (Step::Stop, _) => return Ok(None),
                (Step::Wait(until), _) => {
                    self.frames = None;
                    sleep_until(until.into()).await;
                }
                (Step::Read(by), Some(frames)) => match timeout_at(by.into(), frames.next()).await {
                    Ok(Ok(Some(frame))) => {
                        let told = self.follower.frame(&frame, fastrand::f64(), Instant::now());
                        self.last = Some(frame);
                        if told.is_some() {
                            return Ok(told);
                        }
                    }
                    Ok(Ok(None)) => return self.lost(Lost::Ended),
                    Ok(Err(error)) => return self.lost(Lost::Failed(error)),
                    Err(_) => return self.lost(Lost::Silent(self.follower.silence(Instant::now()))),
                },
                (Step::Open { by, anew }, _) => {
                    if anew {
                        self.parlor = self.parlor.renewed();
                    }
                    match timeout_at(by.into(), self.parlor.subscribe(self.follower.request())).await {
                        Ok(Ok(frames)) => {
                            self.frames = Some(frames);
                            self.follower.opened(Instant::now());
                        }
                        Ok(Err(error)) => return self.lost(Lost::Failed(error)),
                        Err(_) => return self.lost(Lost::Silent(self.follower.silence(Instant::now()))),
                    }
                }
                (Step::Read(_), None) => return self.lost(Lost::Ended),
            }
        }
    }

    /// The position after the last event: store it once you have acted on that event, and begin the next stream with
    /// [`Start::After`](crate::Start::After). `None` before the first event that marks one, and while a snapshot is under
    /// way.
    pub fn position(&self) -> Option<&Position> {
        self.follower.position()
    }

    /// Who is in which room, as of the last event. `None` until a snapshot has been told: a stream that began at a
    /// stored position knows only what has changed since.
    pub fn picture(&self) -> Option<&Picture> {
        self.follower.picture()
    }

    /// The frame that the last event was made from, for what the event leaves out, such as its sequence.
    pub fn frame(&self) -> Option<&SubscribeVoiceEventsResponse> {
        self.last.as_ref()
    }

    fn lost(&mut self, why: Lost) -> Result<Option<Event>, CallError> {
        self.frames = None;
        self.last = None;
        match self.follower.lost(why, fastrand::f64(), Instant::now()) {
            Verdict::Again(event) => Ok(Some(event)),
            Verdict::Over(error) => Err(error),
        }
    }
}
