//! When to open a stream, from where on, when to give it up, and what its frames mean. Pure: time and chance come in.
//!
//! ```text
//!            ┌──────── lost, or refused in a way that may pass ────────┐
//!            ▼                                                         │
//!  new ─▶ Apart ─ the time has come, a stream is opened ─▶ Joined ──────┤
//!            └── refused for good ──▶ Ended ◀── refused for good ───────┘
//! ```

use std::time::{Duration, Instant};

use parlor_proto::v1::{self, subscribe_voice_events_response::Body};
use tonic::Code;

use crate::{
    CallError, Event, Lost, Picture, Position, Snapshot, Start, Watch,
    backoff::{delay, spread},
};

/// How long the server may take to answer a subscription.
const OPENING: Duration = Duration::from_secs(20);
/// The heartbeat that is counted with until the server has said its own (the contract's default).
const UNTOLD_HEARTBEAT: Duration = Duration::from_secs(15);
/// Heartbeats of silence after which a stream is dead (the contract, SubscribeVoiceEvents).
const BEATS: u32 = 3;
/// A stream that lasted for so long was a good one: the next attempt is as quick as the first.
const STEADY: Duration = Duration::from_secs(10);
/// No heartbeat and no wait that somebody names is taken to be longer than this.
const LONGEST_SAID: Duration = Duration::from_secs(600);

/// What to do now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Nothing, until this time.
    Wait(Instant),
    /// Open a stream; without an answer by this time it is lost.
    Open {
        /// Until when to wait for the answer.
        by: Instant,
        /// Whether the connection may be dead though nobody has noticed: take another one.
        anew: bool,
    },
    /// Read a frame; without one by this time the stream is lost.
    Read(Instant),
    /// Nothing ever again.
    Stop,
}

/// What a loss leads to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
pub(crate) enum Verdict {
    /// Another attempt; this is to be told.
    Again(Event),
    /// The end: repeating cannot mend it.
    Over(CallError),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// No stream; the next is opened at a time.
    Apart { until: Instant, anew: bool },
    /// A stream is open.
    Joined { since: Instant, heard: Instant, heartbeat: Duration },
    /// Over.
    Ended,
}

/// One subscriber over all its streams.
#[derive(Debug)]
pub(crate) struct Follower {
    watch: Watch,
    phase: Phase,
    /// Streams in a row that did not last, and attempts that led to none.
    failures: u32,
    /// Gaps in a row without a frame that fitted.
    gaps: u32,
    /// The position that the client holds, if it holds one.
    held: Option<Position>,
    filter_id: Option<String>,
    picture: Picture,
    /// Whether a whole snapshot has gone into the picture.
    whole: bool,
    /// The snapshot that is under way.
    parts: Snapshot,
}

impl Follower {
    pub(crate) fn new(watch: Watch, now: Instant) -> Self {
        let held = match &watch.start {
            Start::After(position) => Some(position.clone()),
            Start::Snapshot | Start::Latest => None,
        };
        Self {
            phase: Phase::Apart { until: now, anew: false },
            failures: 0,
            gaps: 0,
            filter_id: held.as_ref().and_then(|position| position.filter_id.clone()),
            picture: Picture::of_rooms(watch.rooms.iter().cloned())
                .after(held.as_ref().and_then(|position| position.sequence)),
            whole: false,
            parts: Snapshot::default(),
            held,
            watch,
        }
    }

    pub(crate) fn step(&self, now: Instant) -> Step {
        match self.phase {
            Phase::Apart { until, .. } if now < until => Step::Wait(until),
            Phase::Apart { anew, .. } => Step::Open { by: now + OPENING, anew },
            Phase::Joined { heard, heartbeat, .. } => Step::Read(heard + heartbeat * BEATS),
            Phase::Ended => Step::Stop,
        }
    }

    /// What to ask for.
    pub(crate) fn request(&self) -> v1::SubscribeVoiceEventsRequest {
        self.watch.request(self.held.as_ref())
    }

    /// Where to continue from, if anything has been told that can be continued.
    pub(crate) fn position(&self) -> Option<&Position> {
        self.held.as_ref()
    }

    /// Who is where, once a whole snapshot has been told.
    pub(crate) fn picture(&self) -> Option<&Picture> {
        self.whole.then_some(&self.picture)
    }

    /// A stream is open.
    pub(crate) fn opened(&mut self, now: Instant) {
        let heartbeat = self.watch.heartbeat.unwrap_or(UNTOLD_HEARTBEAT).min(LONGEST_SAID);
        self.phase = Phase::Joined { since: now, heard: now, heartbeat };
    }

    /// A frame came: what it has to tell, if anything yet.
    pub(crate) fn frame(
        &mut self,
        frame: &v1::SubscribeVoiceEventsResponse,
        chance: f64,
        now: Instant,
    ) -> Option<Event> {
        if let Phase::Joined { heard, heartbeat, .. } = &mut self.phase {
            *heard = now;
            if let Some(Body::Hello(hello)) = &frame.body {
                let promised = hello.heartbeat.and_then(|promised| Duration::try_from(promised).ok());
                // A promise of less than a second would be a mistake, and would make every pause a loss.
                *heartbeat = promised.unwrap_or(*heartbeat).clamp(Duration::from_secs(1), LONGEST_SAID);
            }
        }
        if let Err(broken) = self.picture.fold(frame) {
            self.gaps += 1;
            if self.gaps > 1 {
                // Continuing led to the same place. A snapshot needs no position.
                self.begin_anew();
            }
            return Some(self.retry(Lost::Gap(broken), None, chance, now));
        }
        if !frame.cursor.is_empty() {
            self.gaps = 0;
            self.held = Some(Position {
                cursor: frame.cursor.clone(),
                filter_id: self.filter_id.clone(),
                sequence: Some(frame.sequence),
            });
        }
        match frame.body.as_ref()? {
            Body::Hello(hello) => {
                self.filter_id = Some(hello.filter_id.clone()).filter(|id| !id.is_empty());
                Some(Event::Connected { resumed: hello.resumed, upstream: hello.upstream_state() })
            }
            Body::SnapshotBegin(_) => {
                self.begin_anew();
                None
            }
            Body::SnapshotItems(items) => {
                self.parts.guilds.extend_from_slice(&items.guilds);
                self.parts.rooms.extend_from_slice(&items.rooms);
                self.parts.participants.extend_from_slice(&items.participants);
                None
            }
            Body::SnapshotEnd(end) => {
                self.whole = true;
                let parts = std::mem::take(&mut self.parts);
                Some(Event::Snapshot(Snapshot { digest: end.digest.clone(), ..parts }))
            }
            Body::Event(event) => Some(Event::Changed(event.clone())),
            Body::Bookmark(bookmark) => Some(Event::Bookmark { upstream: bookmark.upstream_state() }),
            Body::Reset(reset) => Some(Event::Reset(reset.reason())),
            Body::Discontinuity(discontinuity) => Some(Event::Discontinuity(discontinuity.clone())),
            Body::Draining(draining) => {
                let after = draining.reconnect_after.and_then(|after| Duration::try_from(after).ok());
                self.failures = 0;
                Some(self.apart(Lost::Draining, after.map(|after| after.min(LONGEST_SAID)), chance, now))
            }
        }
    }

    /// The stream is gone, or none was opened.
    pub(crate) fn lost(&mut self, why: Lost, chance: f64, now: Instant) -> Verdict {
        let asked = match &why {
            Lost::Failed(error) if is_final(error.code) => {
                self.phase = Phase::Ended;
                return Verdict::Over(error.clone());
            }
            Lost::Failed(error) => error.retry_after,
            Lost::Draining | Lost::Ended | Lost::Silent(_) | Lost::Gap(_) => None,
        };
        // Whoever is told to wait waits for as long, and a little longer so that not all come back at once.
        let asked = asked.map(|asked| spread(asked.min(LONGEST_SAID), chance));
        Verdict::Again(self.retry(why, asked, chance, now))
    }

    /// How long the server has been silent.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        match self.phase {
            Phase::Joined { heard, .. } => now.duration_since(heard),
            Phase::Apart { .. } => OPENING,
            Phase::Ended => Duration::ZERO,
        }
    }

    /// Counts a failure and goes apart.
    fn retry(&mut self, why: Lost, asked: Option<Duration>, chance: f64, now: Instant) -> Event {
        if matches!(self.phase, Phase::Joined { since, .. } if now.duration_since(since) >= STEADY) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.apart(why, asked, chance, now)
    }

    fn apart(&mut self, why: Lost, asked: Option<Duration>, chance: f64, now: Instant) -> Event {
        let own = delay(self.failures, chance);
        let retry_in = asked.map_or(own, |asked| asked.max(own));
        let anew = matches!(why, Lost::Silent(_));
        self.phase = Phase::Apart { until: now + retry_in, anew };
        Event::Disconnected { why, retry_in }
    }

    /// What is held is void; whatever happens next, a snapshot is needed.
    fn begin_anew(&mut self) {
        self.watch.start = Start::Snapshot;
        self.held = None;
        self.whole = false;
        self.parts = Snapshot::default();
    }
}

/// Whether repeating cannot mend it: the request or the token has to change.
fn is_final(code: Code) -> bool {
    match code {
        Code::Unauthenticated
        | Code::PermissionDenied
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => true,
        // A stream that breaks off comes as UNKNOWN or INTERNAL from HTTP/2, as CANCELLED from proxies.
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => false,
    }
}

#[cfg(test)]
mod tests;
