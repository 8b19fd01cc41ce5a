//! What can go wrong with REST requests: every sort of 429, 5xx, late answers, broken connections.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Injection;
use crate::world::{Timestamp, UserId};

/// A trouble that REST requests run into, and which of them. In JSON:
///
/// ```json
/// {"fault": "rest", "trouble": {"kind": "rate_limit", "limit": "global", "retry_after_millis": 1500}, "times": 3}
/// ```
///
/// ```
/// use discord_emulator::{RestFault, RestTrouble, Work};
/// use std::time::Duration;
///
/// // Every second channel that is created within ten seconds is created, but nobody hears of it.
/// let lost = RestFault::new(RestTrouble::Cut { work: Work::Done })
///     .on("POST /guilds/{guild.id}/channels")
///     .every(2)
///     .lasting(Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RestFault {
    /// What happens.
    pub trouble: RestTrouble,
    /// Only on this route, e.g. `POST /guilds/{guild.id}/channels`.
    #[serde(default)]
    pub route: Option<String>,
    /// How many requests it strikes; none = until it ends otherwise.
    #[serde(default)]
    pub times: Option<u32>,
    /// How long it stands from its injection on, by the emulator's clock; none = until it is cleared or used up.
    #[serde(default, rename = "lasting_millis", with = "optional_millis")]
    pub lasting: Option<Duration>,
    /// It strikes one of so many requests that fit, beginning with the first; default 1.
    #[serde(default = "each")]
    pub every: NonZeroU32,
}

/// What happens to a REST request.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RestTrouble {
    /// 429, with the headers and the body of that limit. Nothing is carried out. All but the shared ones count as
    /// invalid requests, as at Discord.
    RateLimit {
        /// Which limit.
        limit: RateLimit,
        /// What `retry_after` says; `Retry-After` says it in whole seconds, rounded up.
        #[serde(rename = "retry_after_millis", with = "millis")]
        retry_after: Duration,
    },
    /// 429 by Cloudflare: a page of HTML, none of Discord's headers. Nothing is carried out.
    CloudflareBan {
        /// What `Retry-After` says; none = there is no such header.
        #[serde(default, rename = "retry_after_millis", with = "optional_millis")]
        retry_after: Option<Duration>,
    },
    /// A server's error.
    ServerError {
        /// 500 to 599.
        status: u16,
        /// What comes with it.
        #[serde(default)]
        body: ErrorBody,
        /// Whether the request was carried out all the same.
        #[serde(default)]
        work: Work,
    },
    /// The connection breaks off without an answer.
    Cut {
        /// Whether that was before the request was carried out or afterwards.
        #[serde(default)]
        work: Work,
    },
    /// The request is carried out at once, and its answer comes late.
    Slow {
        /// How late.
        #[serde(rename = "millis", with = "millis")]
        by: Duration,
    },
    /// 401, as for a token that Discord has reset. Nothing is carried out.
    Unauthorized,
}

/// The limits that a 429 can be about (Discord docs, Topics § Rate Limits).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimit {
    /// Scope user: the route's bucket is empty, and its headers say so.
    Bucket,
    /// Scope global: all requests of the bot.
    Global,
    /// Scope shared: the resource is busy, whoever asks.
    Shared,
    /// Scope user, but the headers say that requests remain: the limit on one field, as on names and topics.
    Hidden,
    /// Scope shared, code 20028: writing in the channel.
    ChannelWrites,
    /// Scope shared, code 20029: writing in the guild.
    GuildWrites,
}

/// Whether a request in trouble is carried out.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// It is not.
    #[default]
    Skipped,
    /// It is; only the answer is lost.
    Done,
}

/// What a server's error says in its body.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorBody {
    /// Nothing.
    #[default]
    Empty,
    /// `{"message", "code": 0}`, as Discord's own servers write it.
    Json,
    /// A page, as a proxy before them writes it.
    Html,
}

impl RestFault {
    /// A trouble for every request, until it is cleared.
    pub const fn new(trouble: RestTrouble) -> Self {
        Self { trouble, route: None, times: None, lasting: None, every: NonZeroU32::MIN }
    }

    /// A trouble for the next request.
    pub fn once(trouble: RestTrouble) -> Self {
        Self::new(trouble).times(1)
    }

    /// Only on this route.
    #[must_use]
    pub fn on(self, route: &str) -> Self {
        Self { route: Some(route.to_owned()), ..self }
    }

    /// Only so often.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Only so long, by the emulator's clock.
    #[must_use]
    pub fn lasting(self, span: Duration) -> Self {
        Self { lasting: Some(span), ..self }
    }

    /// Only one of `every` requests that fit, beginning with the first. 0 counts as 1.
    #[must_use]
    pub fn every(self, every: u32) -> Self {
        Self { every: NonZeroU32::new(every).unwrap_or(NonZeroU32::MIN), ..self }
    }
}

/// Rest faults that stand.
#[derive(Debug, Default)]
pub(super) struct StandingTroubles(Vec<Standing>);

#[derive(Debug)]
struct Standing {
    fault: RestFault,
    bot: Option<UserId>,
    since: Timestamp,
    /// Requests that fitted, struck or not.
    fitted: u32,
}

impl StandingTroubles {
    pub(super) fn add(&mut self, fault: RestFault, bot: Option<UserId>, now: Timestamp) {
        self.0.push(Standing { fault, bot, since: now, fitted: 0 });
    }

    /// What still stands, with what is left of it.
    pub(super) fn all(&self) -> impl Iterator<Item = Injection> {
        self.0.iter().map(|each| Injection { fault: super::Fault::Rest(each.fault.clone()), bot: each.bot })
    }

    /// The trouble that a request runs into: that of the first fault that fits and strikes.
    pub(super) fn strike(&mut self, bot: Option<UserId>, route: &str, now: Timestamp) -> Option<RestTrouble> {
        self.0.retain(|each| !each.is_over(now));
        let trouble = self.0.iter_mut().find_map(|each| each.strike(bot, route));
        self.0.retain(|each| !each.is_over(now));
        trouble
    }
}

impl Standing {
    fn strike(&mut self, bot: Option<UserId>, route: &str) -> Option<RestTrouble> {
        let fits =
            (self.bot.is_none() || self.bot == bot) && self.fault.route.as_ref().is_none_or(|only| only == route);
        if !fits {
            return None;
        }
        let turn = self.fitted % self.fault.every;
        self.fitted = self.fitted.wrapping_add(1);
        if turn != 0 {
            return None;
        }
        self.fault.times = self.fault.times.map(|left| left.saturating_sub(1));
        Some(self.fault.trouble)
    }

    /// Whether it has struck as often as it should, or its time is over.
    fn is_over(&self, now: Timestamp) -> bool {
        self.fault.times == Some(0) || self.fault.lasting.is_some_and(|span| now.since(self.since) >= span)
    }
}

impl RestTrouble {
    /// Whether the request is carried out.
    pub(crate) const fn work(self) -> Work {
        match self {
            Self::ServerError { work, .. } | Self::Cut { work } => work,
            Self::Slow { .. } => Work::Done,
            Self::RateLimit { .. } | Self::CloudflareBan { .. } | Self::Unauthorized => Work::Skipped,
        }
    }
}

impl From<RestFault> for Injection {
    fn from(fault: RestFault) -> Self {
        super::Fault::Rest(fault).into()
    }
}

const fn each() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// A span as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        u64::try_from(span.as_millis()).unwrap_or(u64::MAX).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// A span as whole milliseconds, or nothing.
mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}
