//! What goes into the scheduler and what comes out of it, besides requests.

use std::time::{Duration, Instant};

use super::{answer::Heard, blocks::Denial, budget::InvalidRequestLimits, request::Ticket};

/// How much may go on at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Requests in any second; Discord allows a bot 50.
    pub per_second: usize,
    /// Unanswered requests that are younger than [`overdue`](Self::overdue): what one cause can cost at most.
    pub unanswered: usize,
    /// From this age on an unanswered request no longer keeps others from being sent.
    pub overdue: Duration,
    /// Unanswered requests of any age.
    pub unanswered_in_all: usize,
    /// Requests that wait.
    pub queue: usize,
    /// Requests of one tenant that wait.
    pub queue_per_tenant: usize,
    /// When invalid requests are too many.
    pub invalid: InvalidRequestLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_second: 45,
            unanswered: 3,
            overdue: Duration::from_secs(1),
            unanswered_in_all: 16,
            queue: 2_048,
            queue_per_tenant: 512,
            invalid: InvalidRequestLimits::default(),
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Send this request now, and report what came of it with [`Scheduler::answered`](super::Scheduler::answered).
    Send(Ticket),
    /// This request has ended.
    Refuse(Ticket, Unanswered),
    /// Nothing before this time, unless something is submitted, answered or cancelled.
    Wait(Instant),
    /// Nothing waits.
    Idle,
}

/// Why a request ends without an answer of Discord's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unanswered {
    /// A limit keeps it from being sent before its deadline. It has not been carried out.
    RateLimited {
        /// How long to wait before asking again.
        retry_after: Duration,
    },
    /// Sending is stopped, by Cloudflare or because too many requests were invalid. It has not been carried out.
    BreakerOpen {
        /// How long to wait before asking again.
        retry_after: Duration,
    },
    /// Discord does not accept the token. It has not been carried out.
    CredentialsRefused,
    /// Discord said no to the same question a moment ago, and was not asked again.
    Denied(Denial),
    /// Discord did not serve it, or there was no time to send it. A repeat is safe.
    Unavailable,
    /// It may have been carried out or not.
    OutcomeUnknown,
}

/// What came of a request that was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// An answer came.
    Answered(Heard),
    /// No connection could be made, so it was not sent.
    NotSent,
    /// The connection broke, or time ran out.
    NoAnswer,
}

/// What becomes of a request after its outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Then {
    /// The caller gets the answer.
    Deliver,
    /// It waits to be sent again.
    Again,
    /// The caller gets this.
    End(Unanswered),
}

/// Whether requests are sent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Breaker {
    /// They are.
    Closed,
    /// The global limit was hit; requests wait.
    Paused,
    /// Only essential ones, because too many were invalid.
    Shedding,
    /// One finds out whether a pause is over.
    Probing,
    /// None: Cloudflare stopped us, or too many were invalid.
    Open,
    /// None, for good: Discord does not accept the token.
    CredentialsRefused,
}

impl Breaker {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Closed, Self::Paused, Self::Shedding, Self::Probing, Self::Open, Self::CredentialsRefused];

    /// A name for a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Paused => "paused",
            Self::Shedding => "shedding",
            Self::Probing => "probing",
            Self::Open => "open",
            Self::CredentialsRefused => "credentials_refused",
        }
    }
}

/// How the scheduler stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that are unanswered.
    pub in_flight: usize,
    /// Invalid requests of the last ten minutes.
    pub invalid: u32,
    /// Whether requests are sent.
    pub breaker: Breaker,
}
