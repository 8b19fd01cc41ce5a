//! When which request may be sent: Discord's limits as a state machine without clock, sockets or tasks.
//!
//! ```text
//! submit ──▶ waiting ──poll: Send──▶ in flight ──answered──▶ Deliver
//!   │           │  ▲                     │  └──────────────▶ End(why)
//!   │           │  └───────Again─────────┘
//!   └─▶ refused └──poll: Refuse(why)
//! ```
//!
//! Anything that a request waits for is known as a time, or is an answer to a request in flight. A request that would
//! have to wait beyond its deadline is refused as soon as that is known, and none is sent at or after its deadline.
//!
//! What the rules are: Discord docs, topics/rate-limits. What limits one bad surprise: at most
//! [`Limits::unanswered`] young requests are in flight, so no cause costs more invalid requests than that.

mod answer;
mod blocks;
mod bucket;
mod budget;
mod foresight;
mod gate;
mod request;
mod step;
mod survey;
mod turns;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

pub(in crate::rest) use self::answer::seconds;
pub use self::{
    answer::{BucketNews, Heard, LimitKind, Limited, asked_wait, hear},
    blocks::Denial,
    budget::InvalidRequestLimits,
    request::{About, Field, Lane, Meta, Resource, Route, Tenant, Ticket, Urgency, Verb},
    step::{Breaker, Limits, Outcome, Standing, Step, Then, Unanswered},
};
use self::{
    blocks::Blocks,
    bucket::{BucketKey, Buckets, MARGIN},
    budget::Budget,
    gate::{Gate, Pause},
    turns::Turns,
};

/// How often one request meets a 429 at most.
const LIMITED_ATTEMPTS: u32 = 2;

/// How often one request is sent at most when Discord fails.
const FAILED_ATTEMPTS: u32 = 3;

/// The shortest and the longest pause before a request is sent again that Discord failed to serve.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Decides which request is sent when.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    random: fastrand::Rng,
    next: u64,
    waiting: BTreeMap<Ticket, Waiting>,
    in_flight: BTreeMap<Ticket, InFlight>,
    lanes: BTreeMap<Lane, BTreeSet<Ticket>>,
    buckets: Buckets,
    blocks: Blocks,
    turns: Turns,
    gate: Gate,
    budget: Budget,
    /// When the last requests were sent, as many as may be in a second.
    sent: VecDeque<Instant>,
    review: Review,
}

/// Whether everybody who waits can still be sent in time, by what is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Review {
    /// Nothing has changed since it was found that they can.
    Done,
    /// Something came in, or an answer taught something.
    Due,
}

#[derive(Debug)]
struct Waiting {
    meta: Meta,
    since: Instant,
    not_before: Instant,
    attempts: Attempts,
}

#[derive(Debug)]
struct InFlight {
    meta: Meta,
    since: Instant,
    sent: Instant,
    bucket: BucketKey,
    attempts: Attempts,
    caller: Caller,
}

#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    limited: u32,
    failed: u32,
}

/// Whether somebody still waits for the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Caller {
    Waits,
    Gone,
}

impl Scheduler {
    /// A scheduler that knows nothing of Discord yet. The same seed makes the same pauses.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            random: fastrand::Rng::with_seed(seed),
            next: 0,
            waiting: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            lanes: BTreeMap::new(),
            buckets: Buckets::default(),
            blocks: Blocks::default(),
            turns: Turns::default(),
            gate: Gate::Open,
            budget: Budget::default(),
            sent: VecDeque::new(),
            review: Review::Done,
        }
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// It cannot be expected to be sent before its deadline, or need not be sent to know what Discord will say.
    pub fn submit(&mut self, meta: Meta, now: Instant) -> Result<Ticket, Unanswered> {
        self.roll(now);
        if matches!(self.gate, Gate::CredentialsRefused) {
            return Err(Unanswered::CredentialsRefused);
        }
        if let Some(denial) = self.blocks.denial(&meta, now) {
            return Err(Unanswered::Denied(denial));
        }
        if self.all_sent(now) >= meta.deadline {
            let foreseen = self.foreseen(&meta, now);
            if foreseen >= meta.deadline {
                return Err(self.too_late(&meta, foreseen, now));
            }
        }
        let of_tenant = self.waiting.values().filter(|waiting| waiting.meta.tenant == meta.tenant).count();
        if self.waiting.len() >= self.limits.queue || of_tenant >= self.limits.queue_per_tenant {
            let foreseen = self.foreseen(&meta, now);
            let retry_after = foreseen.saturating_duration_since(now).max(Duration::from_secs(1));
            return Err(Unanswered::RateLimited { retry_after });
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        if let Some(lane) = meta.lane {
            self.lanes.entry(lane).or_default().insert(ticket);
        }
        self.waiting.insert(ticket, Waiting { meta, since: now, not_before: now, attempts: Attempts::default() });
        self.review = Review::Due;
        Ok(ticket)
    }

    /// Says what to do next. To be asked again until it says [`Step::Wait`] or [`Step::Idle`].
    ///
    /// It looks at every request that waits, of which there are at most [`Limits::queue`].
    pub fn poll(&mut self, now: Instant) -> Step {
        self.roll(now);
        if self.waiting.is_empty() {
            return Step::Idle;
        }
        if matches!(self.gate, Gate::CredentialsRefused)
            && let Some(ticket) = self.waiting.keys().next().copied()
        {
            self.forget_waiting(ticket);
            return Step::Refuse(ticket, Unanswered::CredentialsRefused);
        }
        if self.review == Review::Due {
            if let Some((ticket, why)) = self.doomed(now) {
                self.forget_waiting(ticket);
                return Step::Refuse(ticket, why);
            }
            self.review = Review::Done;
        }
        match self.survey(now) {
            Step::Send(ticket) => {
                self.send(ticket, now);
                Step::Send(ticket)
            }
            Step::Refuse(ticket, why) => {
                self.forget_waiting(ticket);
                Step::Refuse(ticket, why)
            }
            step @ (Step::Wait(_) | Step::Idle) => step,
        }
    }

    /// Takes in what came of a request that was sent, and says what becomes of it.
    pub fn answered(&mut self, ticket: Ticket, outcome: &Outcome, now: Instant) -> Then {
        self.roll(now);
        let Some(mut sent) = self.in_flight.remove(&ticket) else { return Then::End(Unanswered::Unavailable) };
        self.buckets.end(&sent.bucket);
        self.review = Review::Due;
        let spoke = match outcome {
            Outcome::Answered(heard) => {
                self.learn(&sent, heard, now);
                !matches!(heard.limited, Some(Limited { kind: LimitKind::Global | LimitKind::Cloudflare, .. }))
            }
            Outcome::NotSent | Outcome::NoAnswer => false,
        };
        self.gate.end(ticket, spoke);
        let then = match outcome {
            Outcome::Answered(heard) => self.after_answer(&mut sent, heard),
            Outcome::NotSent => self.after_failure(&mut sent, Unanswered::Unavailable, None),
            Outcome::NoAnswer => {
                let why = unknown(&sent.meta);
                self.after_failure(&mut sent, why, None)
            }
        };
        let again = match then {
            Again::Wait(wait, why) => now.checked_add(wait).filter(|at| *at < sent.meta.deadline).ok_or(why),
            Again::Deliver => {
                self.leave_lane(sent.meta.lane, ticket);
                return Then::Deliver;
            }
            Again::End(why) => Err(why),
        };
        match again {
            Ok(not_before) if sent.caller == Caller::Waits => {
                let InFlight { meta, since, attempts, .. } = sent;
                self.waiting.insert(ticket, Waiting { meta, since, not_before, attempts });
                Then::Again
            }
            Ok(_) => {
                self.leave_lane(sent.meta.lane, ticket);
                Then::End(Unanswered::Unavailable)
            }
            Err(why) => {
                self.leave_lane(sent.meta.lane, ticket);
                Then::End(why)
            }
        }
    }

    /// Nobody waits for the request any more. One that is in flight is still to be reported, because its answer says how
    /// Discord's limits stand; it is not sent again.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.forget_waiting(ticket);
        if let Some(sent) = self.in_flight.get_mut(&ticket) {
            sent.caller = Caller::Gone;
        }
    }

    /// How long a request has waited before it was sent last; `None` once it is no longer in flight.
    pub fn waited(&self, ticket: Ticket) -> Option<Duration> {
        self.in_flight.get(&ticket).map(|sent| sent.sent.saturating_duration_since(sent.since))
    }

    /// How everything stands.
    pub fn standing(&mut self, now: Instant) -> Standing {
        self.roll(now);
        let invalid = self.budget.used();
        let limits = &self.limits.invalid;
        let spent = if invalid >= limits.stop {
            Breaker::Open
        } else if invalid >= limits.shed {
            Breaker::Shedding
        } else {
            Breaker::Closed
        };
        let breaker = match &self.gate {
            Gate::Open => spent,
            Gate::Paused { why: Pause::Global, .. } => spent.max(Breaker::Paused),
            Gate::Paused { why: Pause::Cloudflare, .. } => Breaker::Open,
            Gate::Probing { .. } => spent.max(Breaker::Probing),
            Gate::CredentialsRefused => Breaker::CredentialsRefused,
        };
        Standing { waiting: self.waiting.len(), in_flight: self.in_flight.len(), invalid, breaker }
    }

    fn roll(&mut self, now: Instant) {
        self.gate.roll(now);
        self.budget.roll(now);
    }

    fn send(&mut self, ticket: Ticket, now: Instant) {
        let Some(Waiting { meta, since, attempts, .. }) = self.waiting.remove(&ticket) else { return };
        let bucket = self.buckets.key(meta.route, meta.resource);
        self.buckets.send(&bucket, &meta.tenant, now);
        self.turns.serve(&meta.tenant);
        self.gate.send(ticket);
        self.sent.push_back(now);
        while self.sent.len() > self.limits.per_second {
            self.sent.pop_front();
        }
        self.in_flight.insert(ticket, InFlight { meta, since, sent: now, bucket, attempts, caller: Caller::Waits });
    }

    /// What an answer says about limits, whatever it says to the caller.
    fn learn(&mut self, sent: &InFlight, heard: &Heard, now: Instant) {
        let meta = &sent.meta;
        match &heard.bucket {
            Some(news) => self.buckets.learn(meta.route, meta.resource, news, now),
            None if (200..300).contains(&heard.status) => self.buckets.learn_unmetered(&sent.bucket),
            None => {}
        }
        let shared = matches!(heard.limited, Some(Limited { kind: LimitKind::Shared, .. }));
        if matches!(heard.status, 401 | 403 | 429) && !shared {
            self.budget.count(now);
        }
        let Some(Limited { kind, wait }) = heard.limited else {
            return self.blocks.hear(meta, heard.status, heard.code, now);
        };
        let until = now + wait + MARGIN;
        match kind {
            LimitKind::Bucket | LimitKind::Shared => {
                let bucket = self.buckets.key(meta.route, meta.resource);
                self.buckets.close(&bucket, until, now);
            }
            LimitKind::SubLimit | LimitKind::ChannelWrites | LimitKind::GuildWrites => {
                self.blocks.block(meta, kind, until, now);
            }
            LimitKind::Global => self.gate.pause(Pause::Global, until),
            LimitKind::Cloudflare => self.gate.pause(Pause::Cloudflare, until),
        }
    }

    fn after_answer(&mut self, sent: &mut InFlight, heard: &Heard) -> Again {
        if let Some(Limited { kind, wait }) = heard.limited {
            sent.attempts.limited += 1;
            let retry_after = wait + MARGIN;
            let why = match kind {
                LimitKind::Cloudflare => Unanswered::BreakerOpen { retry_after },
                LimitKind::Bucket
                | LimitKind::Shared
                | LimitKind::SubLimit
                | LimitKind::ChannelWrites
                | LimitKind::GuildWrites
                | LimitKind::Global => Unanswered::RateLimited { retry_after },
            };
            let tired = sent.attempts.limited >= LIMITED_ATTEMPTS;
            return if tired { Again::End(why) } else { Again::Wait(retry_after, why) };
        }
        match heard.status {
            // Code 50027 speaks of a webhook's token, and so does every 401 to a request that bore no other.
            401 if sent.meta.authorized && heard.code != 50_027 => {
                self.gate = Gate::CredentialsRefused;
                Again::End(Unanswered::CredentialsRefused)
            }
            500..=599 => {
                let why = unknown(&sent.meta);
                self.after_failure(sent, why, heard.retry_after)
            }
            _ => Again::Deliver,
        }
    }

    /// Discord did not serve a request: whether it is sent again.
    fn after_failure(&mut self, sent: &mut InFlight, why: Unanswered, asked: Option<Duration>) -> Again {
        sent.attempts.failed += 1;
        if why == Unanswered::OutcomeUnknown || sent.attempts.failed >= FAILED_ATTEMPTS {
            return Again::End(why);
        }
        let (shortest, longest) = PAUSES;
        let most = (shortest * 5_u32.pow(sent.attempts.failed)).min(longest);
        let pause = shortest + (most - shortest).mul_f64(self.random.f64());
        Again::Wait(asked.map_or(pause, |asked| pause.max(asked + MARGIN)), why)
    }

    fn forget_waiting(&mut self, ticket: Ticket) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            self.leave_lane(waiting.meta.lane, ticket);
        }
    }

    fn leave_lane(&mut self, lane: Option<Lane>, ticket: Ticket) {
        if let Some(lane) = lane
            && let Some(tickets) = self.lanes.get_mut(&lane)
        {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.lanes.remove(&lane);
            }
        }
    }
}

/// Whether a request is sent again.
enum Again {
    /// The caller gets the answer.
    Deliver,
    /// After so long; and what the caller gets if that is too long.
    Wait(Duration, Unanswered),
    /// It is not.
    End(Unanswered),
}

/// What is known of a request that left and was not served.
fn unknown(meta: &Meta) -> Unanswered {
    if meta.route.verb.is_repeatable() { Unanswered::Unavailable } else { Unanswered::OutcomeUnknown }
}
