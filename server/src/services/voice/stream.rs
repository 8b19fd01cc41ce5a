//! What all streams of voice have in common: they end with their token and with the server.

use std::{sync::Arc, time::Duration};

use futures_util::stream;
use parlor_proto::v1::{self, watch_session_response::Event};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Answers, VoiceParts};
use crate::{
    auth::{AuthError, Clock, Principal},
    services::streams::Seat,
    status::{Failure, Reason},
    voice::{LeaseHold, Session, Watching},
};

/// How often a stream says how it stands: proxies close what is silent for a minute.
pub(super) const STATUS: Duration = Duration::from_secs(15);

/// How often the time of day is looked at at least: it may jump.
const LOOK: Duration = Duration::from_secs(30);

/// What a stream may not outlive.
pub(super) struct Guard {
    principal: Arc<Principal>,
    draining: CancellationToken,
    clock: Clock,
    _seat: Seat,
}

/// The server is going away.
pub(super) fn draining() -> Failure {
    Failure::new(Reason::Draining, "this server is going away: connect again").retry_after(Duration::from_secs(1))
}

impl Guard {
    pub(super) fn enter(parts: &VoiceParts, principal: Arc<Principal>) -> Result<Self, Status> {
        if parts.draining.is_cancelled() {
            return Err(draining().into());
        }
        let seat = parts.limits.enter(&principal)?;
        let (draining, clock) = (parts.draining.clone(), Arc::clone(&parts.clock));
        Ok(Self { principal, draining, clock, _seat: seat })
    }

    /// That the token is still good: asked before everything that is sent.
    pub(super) fn check(&self) -> Result<(), Status> {
        if self.principal.has_expired((self.clock)()) { Err(AuthError::Expired.into()) } else { Ok(()) }
    }

    /// Waits until the stream has to end, and says why.
    pub(super) async fn over(&self) -> Status {
        loop {
            if let Err(expired) = self.check() {
                return expired;
            }
            let left = self.principal.expires_at.duration_since((self.clock)()).unwrap_or_default();
            tokio::select! {
                () = self.draining.cancelled() => return draining().into(),
                () = sleep(left.min(LOOK)) => {}
            }
        }
    }
}

/// Ticks from one period on, and never makes up for what it missed.
pub(super) fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// A watcher's stream.
struct Watch {
    session: Arc<Session>,
    watching: Watching,
    quality: Interval,
    guard: Guard,
    _hold: Option<LeaseHold>,
}

impl Watch {
    /// The next message; none at the end.
    async fn next(&mut self) -> Option<Result<v1::WatchSessionResponse, Status>> {
        let next = tokio::select! {
            status = self.guard.over() => return Some(Err(status)),
            next = self.watching.next() => next?,
            _ = self.quality.tick() => {
                let event = Some(Event::Quality(self.session.quality()));
                v1::WatchSessionResponse { event_time: Some((self.guard.clock)().into()), event }
            }
        };
        Some(self.guard.check().map(|()| next))
    }
}

/// What happens to a session, as a stream.
pub(super) fn watch(
    session: Arc<Session>,
    watching: Watching,
    quality: Duration,
    guard: Guard,
    hold: Option<LeaseHold>,
) -> Answers<v1::WatchSessionResponse> {
    let watch = Watch { session, watching, quality: every(quality), guard, _hold: hold };
    Box::pin(until_an_error(watch, async |watch| watch.next().await))
}

/// A stream of what `next` gives, which ends with its first error.
pub(super) fn until_an_error<S, T>(
    state: S,
    next: impl AsyncFnMut(&mut S) -> Option<Result<T, Status>>,
) -> impl futures_util::Stream<Item = Result<T, Status>> {
    stream::unfold((Some(state), next), async |(state, mut next)| {
        let mut state = state?;
        let item = next(&mut state).await?;
        let state = item.is_ok().then_some(state);
        Some((item, (state, next)))
    })
}
