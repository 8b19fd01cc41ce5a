//! Sends what the scheduler says, when it says, and tells it what came of it.
//!
//! One task polls the scheduler for as long as anything waits; each request in flight is a task of its own, so that its
//! answer is heard even when its caller has left.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use http::HeaderValue;
use tokio::sync::{Notify, oneshot};
use tracing::{debug, error, info, warn};

use super::{
    error::{RestError, refusal},
    outgoing::Outgoing,
    schedule::{Breaker, Limits, Outcome, Scheduler, Standing, Step, Then, Ticket, Unanswered, hear},
};

/// How long one request may take at most, from the first byte sent to the last one read.
const REQUEST: Duration = Duration::from_secs(15);

/// Discord's answers are small; a guild's channel list is the largest.
const MAX_ANSWER: usize = 4 << 20;

/// The body of an answer that tells of success.
type Reply = Result<Vec<u8>, RestError>;

/// Where requests are handed in.
pub(super) struct Desk {
    http: reqwest::Client,
    /// With the version, without a trailing slash: `https://discord.com/api/v10`.
    api_url: String,
    authorization: HeaderValue,
    state: Mutex<State>,
    /// Something was handed in, answered or taken back.
    news: Notify,
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
    pub(super) fn new(http: reqwest::Client, api_url: &str, authorization: HeaderValue, limits: Limits) -> Self {
        let scheduler = Scheduler::new(limits, fastrand::u64(..));
        let state = State { scheduler, pending: BTreeMap::new(), driver: Driver::Rests, shown: None };
        Self {
            http,
            api_url: api_url.trim_end_matches('/').to_owned(),
            authorization,
            state: Mutex::new(state),
            news: Notify::new(),
            warn_from: limits.invalid.warn,
        }
    }

    /// Sends a request when it may be sent, and returns the body of Discord's answer.
    pub(super) async fn send(self: &Arc<Self>, outgoing: Outgoing) -> Reply {
        let needs = outgoing.meta.needs;
        let (reply, answer) = oneshot::channel();
        let ticket = {
            let mut state = self.state();
            let submitted = state.scheduler.submit(outgoing.meta.clone(), Instant::now());
            let ticket = submitted.map_err(|why| refused(why, needs))?;
            state.pending.insert(ticket, Pending { outgoing: Arc::new(outgoing), reply });
            self.drive(&mut state);
            ticket
        };
        let _place = Place { desk: self, ticket };
        // The sender is dropped unanswered only when the runtime goes down.
        answer.await.unwrap_or(Err(RestError::OutcomeUnknown))
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
            match state.scheduler.poll(Instant::now()) {
                Step::Send(ticket) => {
                    let waited = state.scheduler.waited(ticket).unwrap_or_default();
                    metrics::histogram!("parlor_discord_wait_seconds").record(waited);
                    match state.pending.get(&ticket).map(|pending| Arc::clone(&pending.outgoing)) {
                        Some(outgoing) => {
                            tokio::spawn(Arc::clone(self).transmit(ticket, outgoing));
                        }
                        None => {
                            state.scheduler.answered(ticket, &Outcome::NotSent, Instant::now());
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
        match state.scheduler.answered(ticket, &outcome, Instant::now()) {
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
        let left = meta.deadline.saturating_duration_since(Instant::now());
        let method = http::Method::from_bytes(meta.route.verb.as_str().as_bytes()).expect("a method of HTTP's");
        let mut request = self
            .http
            .request(method, format!("{}/{}", self.api_url, outgoing.path))
            .headers(outgoing.headers.clone())
            .timeout(left.min(REQUEST));
        if meta.authorized {
            request = request.header(http::header::AUTHORIZATION, self.authorization.clone());
        }
        if let Some(body) = &outgoing.body {
            request = request.header(http::header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(failure) if failure.is_connect() => {
                warn!(api_url = self.api_url, "cannot reach Discord's API");
                return (Outcome::NotSent, Err(RestError::Unavailable));
            }
            Err(_) => return (Outcome::NoAnswer, Err(RestError::OutcomeUnknown)),
        };
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = match read_limited(answer).await {
            Ok(body) => body,
            Err(RestError::UnreadableAnswer) => {
                let heard = hear(status, &headers, b"");
                return (Outcome::Answered(heard), Err(RestError::UnreadableAnswer));
            }
            Err(failure) => return (Outcome::NoAnswer, Err(failure)),
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

    /// Shows how the scheduler stands, in metrics, and in the log where somebody should look.
    fn show(&self, state: &mut State) {
        let standing = state.scheduler.standing(Instant::now());
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

async fn read_limited(mut answer: reqwest::Response) -> Result<Vec<u8>, RestError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| RestError::OutcomeUnknown)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(RestError::UnreadableAnswer);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn as_gauge(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
