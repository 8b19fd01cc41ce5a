//! Sends what the scheduler says, when it says, and tells it what came of it.
//!
//! One task polls the scheduler for as long as anything waits; each request in flight is a task of its own, so that its
//! answer is heard even when its caller has left.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use http::{HeaderValue, Request};
use tokio::sync::{Notify, oneshot, watch};
use tracing::{debug, error, info, warn};

use super::{
    USER_AGENT,
    error::{RestError, refusal},
    outgoing::Outgoing,
    schedule::{Breaker, Limits, Outcome, Scheduler, Standing, Step, Then, Ticket, Unanswered, hear},
    transport::{Answer, Broken, Transport},
};

/// How long one request may take at most, from the first byte sent to the last one read.
const REQUEST: Duration = Duration::from_secs(15);

/// The body of an answer that tells of success.
type Reply = Result<Vec<u8>, RestError>;

/// Where requests are handed in.
pub(super) struct Desk {
    transport: Arc<dyn Transport>,
    /// With the version, without a trailing slash: `https://discord.com/api/v10`.
    api_url: String,
    authorization: HeaderValue,
    state: Mutex<State>,
    /// Something was handed in, answered or taken back.
    news: Notify,
    /// Whether Discord accepts the token, as far as is known.
    accepted: watch::Sender<bool>,
    warn_from: u32,
}

struct State {
    scheduler: Scheduler,
    pending: BTreeMap<Ticket, Pending>,
    driver: Driver,
    shown: Option<Standing>,
}

struct Pending {
    outgoing: Arc<Outgoing>,
    reply: oneshot::Sender<Reply>,
}

/// Whether a task polls the scheduler.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Driver {
    Runs,
    Rests,
}

/// Takes a request back when its caller leaves.
struct Place<'a> {
    desk: &'a Desk,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        if state.pending.remove(&self.ticket).is_some() {
            state.scheduler.cancel(self.ticket);
            drop(state);
            self.desk.news.notify_one();
        }
    }
}

impl Desk {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        api_url: &str,
        authorization: HeaderValue,
        limits: Limits,
    ) -> Self {
        let scheduler = Scheduler::new(limits, fastrand::u64(..));
        let state = State { scheduler, pending: BTreeMap::new(), driver: Driver::Rests, shown: None };
        Self {
            transport,
            api_url: api_url.trim_end_matches('/').to_owned(),
            authorization,
            state: Mutex::new(state),
            news: Notify::new(),
            accepted: watch::Sender::new(true),
            warn_from: limits.invalid.warn,
        }
    }

    /// Sends a request when it may be sent, and returns the body of Discord's answer.
    pub(super) async fn send(self: &Arc<Self>, outgoing: Outgoing) -> Reply {
        let needs = outgoing.meta.needs;
        let (reply, answer) = oneshot::channel();
        let ticket = {
            let mut state = self.state();
            let submitted = state.scheduler.submit(outgoing.meta.clone(), now());
            let ticket = submitted.map_err(|why| refused(why, needs))?;
            state.pending.insert(ticket, Pending { outgoing: Arc::new(outgoing), reply });
            self.drive(&mut state);
            ticket
        };
        let _place = Place { desk: self, ticket };
        // The sender is dropped unanswered only when the runtime goes down.
        answer.await.unwrap_or(Err(RestError::OutcomeUnknown))
    }

    pub(super) fn accepted(&self) -> watch::Receiver<bool> {
        self.accepted.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    /// Sees to it that the scheduler is polled.
    fn drive(self: &Arc<Self>, state: &mut State) {
        self.show(state);
        match state.driver {
            Driver::Runs => self.news.notify_one(),
            Driver::Rests => {
                state.driver = Driver::Runs;
                tokio::spawn(Arc::clone(self).run());
            }
        }
    }

    /// Polls the scheduler until nothing waits.
    async fn run(self: Arc<Self>) {
        while let Some(until) = self.poll() {
            tokio::select! {
                () = self.news.notified() => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    /// Does everything that is due; returns until when there is nothing to do, or `None` when nothing waits.
    fn poll(self: &Arc<Self>) -> Option<Instant> {
        let mut state = self.state();
        loop {
            match state.scheduler.poll(now()) {
                Step::Send(ticket) => {
                    let waited = state.scheduler.waited(ticket).unwrap_or_default();
                    metrics::histogram!("parlor_discord_wait_seconds").record(waited);
                    match state.pending.get(&ticket).map(|pending| Arc::clone(&pending.outgoing)) {
                        Some(outgoing) => {
                            tokio::spawn(Arc::clone(self).transmit(ticket, outgoing));
                        }
                        None => {
                            state.scheduler.answered(ticket, &Outcome::NotSent, now());
                        }
                    }
                }
                Step::Refuse(ticket, why) => state.end(ticket, why),
                Step::Wait(until) => {
                    self.show(&mut state);
                    return Some(until);
                }
                Step::Idle => {
                    state.driver = Driver::Rests;
                    self.show(&mut state);
                    return None;
                }
            }
        }
    }

    /// Sends a request once, and tells the scheduler and the caller what came of it.
    async fn transmit(self: Arc<Self>, ticket: Ticket, outgoing: Arc<Outgoing>) {
        let (outcome, reply) = self.exchange(&outgoing).await;
        let status = if let Outcome::Answered(heard) = &outcome { heard.status } else { 0 };
        let route = outgoing.meta.route.to_string();
        if let Outcome::Answered(heard) = &outcome
            && let Some(limited) = heard.limited
        {
            warn!(route, kind = ?limited.kind, wait = ?limited.wait, "Discord limits the rate");
        }
        metrics::counter!("parlor_discord_requests_total", "route" => route, "status" => status.to_string())
            .increment(1);
        let mut state = self.state();
        match state.scheduler.answered(ticket, &outcome, now()) {
            Then::Deliver => {
                if let Some(pending) = state.pending.remove(&ticket) {
                    // A caller who has left takes no answer.
                    let _ = pending.reply.send(reply);
                }
            }
            Then::Again => {}
            Then::End(why) => state.end(ticket, why),
        }
        self.drive(&mut state);
    }

    /// The exchange itself: for the scheduler, and for the caller if it is delivered.
    async fn exchange(&self, outgoing: &Outgoing) -> (Outcome, Reply) {
        let meta = &outgoing.meta;
        let Some(request) = self.request(outgoing) else {
            return (Outcome::NotSent, Err(RestError::Unavailable));
        };
        let left = meta.deadline.saturating_duration_since(now());
        let answer = match self.transport.exchange(request, left.min(REQUEST)).await {
            Ok(answer) => answer,
            Err(Broken::NotSent) => {
                warn!(api_url = self.api_url, "cannot reach Discord's API");
                return (Outcome::NotSent, Err(RestError::Unavailable));
            }
            Err(Broken::NoAnswer) => return (Outcome::NoAnswer, Err(RestError::OutcomeUnknown)),
        };
        let Answer { status, headers, body } = answer;
        let status = status.as_u16();
        let Some(body) = body else {
            return (Outcome::Answered(hear(status, &headers, b"")), Err(RestError::UnreadableAnswer));
        };
        let heard = hear(status, &headers, &body);
        let reply = if (200..300).contains(&status) {
            Ok(body)
        } else {
            let refusal = refusal(status, &body, meta.needs);
            debug!(status, error = ?refusal, "Discord refused");
            Err(refusal)
        };
        (Outcome::Answered(heard), reply)
    }

    /// What is sent; `None` where it is no URL that would come of it.
    fn request(&self, outgoing: &Outgoing) -> Option<Request<Vec<u8>>> {
        let verb = outgoing.meta.route.verb.as_str();
        let request = Request::builder().method(verb).uri(format!("{}/{}", self.api_url, outgoing.path));
        let mut request = request.body(outgoing.body.clone().unwrap_or_default()).ok()?;
        *request.headers_mut() = outgoing.headers.clone();
        request.headers_mut().insert(http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if outgoing.meta.authorized {
            request.headers_mut().insert(http::header::AUTHORIZATION, self.authorization.clone());
        }
        if outgoing.body.is_some() {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(http::header::CONTENT_TYPE, json);
        }
        Some(request)
    }

    /// Shows how the scheduler stands, in metrics, and in the log where somebody should look.
    fn show(&self, state: &mut State) {
        let standing = state.scheduler.standing(now());
        let before = state.shown.replace(standing);
        if before == Some(standing) {
            return;
        }
        metrics::gauge!("parlor_discord_waiting").set(as_gauge(standing.waiting));
        metrics::gauge!("parlor_discord_in_flight").set(as_gauge(standing.in_flight));
        metrics::gauge!("parlor_discord_invalid_requests_10m").set(f64::from(standing.invalid));
        let (invalid_before, breaker_before) =
            before.map_or((0, Breaker::Closed), |before| (before.invalid, before.breaker));
        if standing.invalid >= self.warn_from && invalid_before < self.warn_from {
            warn!(
                invalid = standing.invalid,
                "many requests to Discord are invalid: ten thousand in ten minutes end in a ban"
            );
        }
        if before.is_none() || breaker_before != standing.breaker {
            for each in Breaker::ALL {
                let value = if each == standing.breaker { 1.0 } else { 0.0 };
                metrics::gauge!("parlor_discord_breaker", "state" => each.as_str()).set(value);
            }
        }
        if breaker_before != standing.breaker {
            let breaker = standing.breaker.as_str();
            match standing.breaker {
                Breaker::Closed | Breaker::Probing | Breaker::Paused => info!(breaker, "requests to Discord"),
                Breaker::Shedding | Breaker::Open => warn!(breaker, "requests to Discord"),
                Breaker::CredentialsRefused => {
                    self.accepted.send_replace(false);
                    error!(breaker, "Discord does not accept the bot token (401): no further request is sent");
                }
            }
        }
    }
}

impl State {
    /// A request ends without an answer of Discord's.
    fn end(&mut self, ticket: Ticket, why: Unanswered) {
        if let Some(pending) = self.pending.remove(&ticket) {
            let _ = pending.reply.send(Err(refused(why, pending.outgoing.meta.needs)));
        }
    }
}

/// What the scheduler's word means to the caller, counted.
fn refused(why: Unanswered, needs: &'static [super::permission::Permission]) -> RestError {
    let reason = match why {
        Unanswered::RateLimited { .. } => "rate_limited",
        Unanswered::BreakerOpen { .. } => "breaker_open",
        Unanswered::CredentialsRefused => "credentials_refused",
        Unanswered::Denied(_) => "denied",
        Unanswered::Unavailable => "unavailable",
        Unanswered::OutcomeUnknown => "outcome_unknown",
    };
    metrics::counter!("parlor_discord_unanswered_total", "reason" => reason).increment(1);
    RestError::unanswered(why, needs)
}

/// The time that the runtime's timers go by.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn as_gauge(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
