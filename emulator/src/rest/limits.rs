//! Rate limits (Discord docs, Topics § Rate Limits): buckets, the global limit, the hidden limit on renaming,
//! and the ban for who keeps sending invalid requests.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Limit, RestLimits};
use crate::world::{ChannelId, Timestamp, UserId, fnv1a};

/// How many requests a window has seen.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Timestamp,
    used: u32,
}

impl Window {
    /// Opens anew if its time is over.
    fn roll(&mut self, limit: Limit, now: Timestamp) {
        if now.since(self.since) >= limit.per {
            *self = Self { since: now, used: 0 };
        }
    }

    fn left(&self, limit: Limit, now: Timestamp) -> Duration {
        (self.since + limit.per).since(now)
    }
}

/// What the headers of an answer say about its bucket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BucketState {
    pub limit: u32,
    pub remaining: u32,
    pub reset: Timestamp,
    pub reset_after: Duration,
    pub hash: String,
}

/// Why a request is limited.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The bucket is empty; or the hidden limit struck, about which the bucket's own state is silent.
    Bucket { state: BucketState, retry_after: Duration },
    /// 50 per second over all routes.
    Global { retry_after: Duration },
    /// Too many invalid requests: Cloudflare answers in Discord's place.
    Banned { retry_after: Option<Duration> },
}

/// All windows.
#[derive(Debug)]
pub(crate) struct RateLimits {
    config: RestLimits,
    buckets: BTreeMap<(Option<UserId>, &'static str, u64), Window>,
    global: BTreeMap<Option<UserId>, Window>,
    renames: BTreeMap<ChannelId, Window>,
    invalid: Window,
    banned_until: Option<Timestamp>,
}

impl RateLimits {
    pub(crate) fn new(config: RestLimits) -> Self {
        Self {
            config,
            buckets: BTreeMap::new(),
            global: BTreeMap::new(),
            renames: BTreeMap::new(),
            invalid: Window { since: Timestamp::default(), used: 0 },
            banned_until: None,
        }
    }

    pub(crate) const fn config(&self) -> &RestLimits {
        &self.config
    }

    /// Whether the caller's address is banned now.
    pub(crate) fn check_ban(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.banned_until {
            Some(until) if until > now => {
                let retry_after = self.config.ban_tells_retry_after.then(|| until.since(now));
                Err(Refusal::Banned { retry_after })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Counts one request of a bot (none = without token, counted together) against its bucket and the global limit.
    pub(crate) fn admit(
        &mut self,
        bot: Option<UserId>,
        route: &'static str,
        resource: u64,
        now: Timestamp,
    ) -> Result<Option<BucketState>, Refusal> {
        if let Some(limit) = self.config.global {
            let window = self.global.entry(bot).or_insert(Window { since: now, used: 0 });
            window.roll(limit, now);
            if window.used >= limit.requests {
                return Err(Refusal::Global { retry_after: window.left(limit, now) });
            }
            window.used += 1;
        }
        let Some(limit) = self.config.routes.get(route).copied().or(self.config.bucket) else { return Ok(None) };
        let window = self.buckets.entry((bot, route, resource)).or_insert(Window { since: now, used: 0 });
        window.roll(limit, now);
        let admitted = window.used < limit.requests;
        if admitted {
            window.used += 1;
        }
        let state = BucketState {
            limit: limit.requests,
            remaining: limit.requests - window.used,
            reset: window.since + limit.per,
            reset_after: window.left(limit, now),
            hash: format!("{:016x}", fnv1a(route.as_bytes())),
        };
        if admitted {
            Ok(Some(state))
        } else {
            let retry_after = state.reset_after;
            Err(Refusal::Bucket { state, retry_after })
        }
    }

    /// Counts a change of a channel's name or topic. `Err` holds how long to wait.
    pub(crate) fn admit_rename(&mut self, channel: ChannelId, now: Timestamp) -> Result<(), Duration> {
        let Some(limit) = self.config.rename else { return Ok(()) };
        let window = self.renames.entry(channel).or_insert(Window { since: now, used: 0 });
        window.roll(limit, now);
        if window.used >= limit.requests {
            return Err(window.left(limit, now));
        }
        window.used += 1;
        Ok(())
    }

    /// An answer 401, 403 or 429 went out; enough of them and the address is banned.
    pub(crate) fn count_invalid(&mut self, now: Timestamp) {
        let Some(limit) = self.config.invalid else { return };
        self.invalid.roll(limit, now);
        self.invalid.used += 1;
        if self.invalid.used >= limit.requests {
            self.banned_until = Some(now + self.config.ban);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_700_000_000_000);
    const ROUTE: &str = "PATCH /channels/{channel.id}";

    #[test]
    fn buckets_count_per_resource_and_open_again() {
        let config = RestLimits { bucket: Some(Limit::new(2, 5)), ..RestLimits::unlimited() };
        let mut limits = RateLimits::new(config);
        let mut ask = |resource, now| limits.admit(None, ROUTE, resource, now);
        assert_eq!(ask(1, NOW).unwrap().unwrap().remaining, 1);
        let later = NOW + Duration::from_secs(1);
        assert_eq!(ask(1, later).unwrap().unwrap().remaining, 0);
        let Err(Refusal::Bucket { retry_after, .. }) = ask(1, later) else { panic!("the bucket is empty") };
        assert_eq!(retry_after, Duration::from_secs(4));
        assert!(ask(2, later).is_ok(), "another channel has a bucket of its own");
        assert!(ask(1, later + retry_after).is_ok());
    }

    #[test]
    fn the_global_limit_counts_all_routes_of_a_bot() {
        let config = RestLimits { global: Some(Limit::new(50, 1)), ..RestLimits::unlimited() };
        let mut limits = RateLimits::new(config);
        let (one, two) = (Some(UserId::new(1)), Some(UserId::new(2)));
        for resource in 0..50 {
            assert!(limits.admit(one, ROUTE, resource, NOW).is_ok());
        }
        assert!(matches!(limits.admit(one, "GET /users/@me", 0, NOW), Err(Refusal::Global { .. })));
        assert!(limits.admit(two, ROUTE, 0, NOW).is_ok());
    }

    #[test]
    fn invalid_requests_end_in_a_ban() {
        let config = RestLimits {
            invalid: Some(Limit::new(3, 600)),
            ban: Duration::from_secs(60),
            ban_tells_retry_after: true,
            ..RestLimits::unlimited()
        };
        let mut limits = RateLimits::new(config);
        for _ in 0..2 {
            limits.count_invalid(NOW);
        }
        assert!(limits.check_ban(NOW).is_ok());
        limits.count_invalid(NOW);
        assert_eq!(limits.check_ban(NOW), Err(Refusal::Banned { retry_after: Some(Duration::from_secs(60)) }));
        assert!(limits.check_ban(NOW + Duration::from_secs(60)).is_ok());
    }
}
