//! Rate limits (Discord docs, Topics § Rate Limits): buckets, the global limit, the hidden limit on renaming,
//! and the ban for who keeps sending invalid requests.

use std::collections::BTreeMap;
use std::time::Duration;

use super::route::Route;
use crate::config::{Limit, RestLimits};
use crate::world::{ChannelId, GuildId, Timestamp, UserId, fnv1a};

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

    /// Counts one more; `Err` holds how long to wait.
    fn admit(&mut self, limit: Limit, now: Timestamp) -> Result<(), Duration> {
        self.roll(limit, now);
        if self.used >= limit.requests {
            return Err(self.left(limit, now));
        }
        self.used += 1;
        Ok(())
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
    /// The bucket is empty.
    Bucket {
        /// What the headers say; `None` where buckets are off.
        state: Option<BucketState>,
        /// How long to wait.
        retry_after: Duration,
    },
    /// 50 per second over all routes.
    Global {
        /// How long to wait.
        retry_after: Duration,
    },
    /// A limit that all users share, of which the bucket's own state is silent. It counts against nobody.
    Shared {
        /// Which.
        resource: Shared,
        /// How long to wait.
        retry_after: Duration,
    },
    /// A limit on one field, of which the bucket's own state is silent: the headers say that requests remain.
    Hidden {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Too many invalid requests: Cloudflare answers in Discord's place.
    Banned {
        /// How long to wait, if Cloudflare says it.
        retry_after: Option<Duration>,
    },
}

/// What is shared, and who says so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shared {
    /// Discord does not say.
    Resource,
    /// Writing in a channel: code 20028.
    ChannelWrites,
    /// Writing in a guild: code 20029.
    GuildWrites,
}

/// All windows.
#[derive(Debug)]
pub(crate) struct RateLimits {
    config: RestLimits,
    /// By bot, bucket and top-level resource.
    buckets: BTreeMap<(Option<UserId>, String, u64), Window>,
    global: BTreeMap<Option<UserId>, Window>,
    renames: BTreeMap<ChannelId, Window>,
    channel_writes: BTreeMap<ChannelId, Window>,
    guild_writes: BTreeMap<GuildId, Window>,
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
            channel_writes: BTreeMap::new(),
            guild_writes: BTreeMap::new(),
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

    /// The bucket that a route's requests count against; routes of one group share one.
    pub(crate) fn bucket_of<'r>(&'r self, route: &'r str) -> &'r str {
        self.config.groups.get(route).map_or(route, String::as_str)
    }

    /// Counts one request of a bot (none = without token, counted together) against its bucket and, unless it shows
    /// a webhook's token, against the global limit.
    pub(crate) fn admit(
        &mut self,
        bot: Option<UserId>,
        route: &Route<'_>,
        now: Timestamp,
    ) -> Result<Option<BucketState>, Refusal> {
        let fresh = Window { since: now, used: 0 };
        if let (Some(limit), false) = (self.config.global, route.call.has_webhook_token()) {
            let window = self.global.entry(bot).or_insert(fresh);
            window.admit(limit, now).map_err(|retry_after| Refusal::Global { retry_after })?;
        }
        let limits = &self.config.routes;
        let Some(limit) = limits.get(route.template).copied().or(self.config.bucket) else { return Ok(None) };
        let bucket = self.bucket_of(route.template).to_owned();
        let hash = format!("{:016x}", fnv1a(bucket.as_bytes()));
        let window = self.buckets.entry((bot, bucket, route.resource)).or_insert(fresh);
        let admitted = window.admit(limit, now);
        let state = BucketState {
            limit: limit.requests,
            remaining: limit.requests.saturating_sub(window.used),
            reset: window.since + limit.per,
            reset_after: window.left(limit, now),
            hash,
        };
        match admitted {
            Ok(()) => Ok(Some(state)),
            Err(retry_after) => Err(Refusal::Bucket { state: Some(state), retry_after }),
        }
    }

    /// Counts a change of a channel's name or topic.
    pub(crate) fn admit_rename(&mut self, channel: ChannelId, now: Timestamp) -> Result<(), Refusal> {
        let Some(limit) = self.config.rename else { return Ok(()) };
        let window = self.renames.entry(channel).or_insert(Window { since: now, used: 0 });
        window.admit(limit, now).map_err(|retry_after| Refusal::Hidden { retry_after })
    }

    /// Counts a message in a channel, whoever writes it.
    pub(crate) fn admit_channel_write(&mut self, channel: ChannelId, now: Timestamp) -> Result<(), Refusal> {
        let Some(limit) = self.config.channel_writes else { return Ok(()) };
        let window = self.channel_writes.entry(channel).or_insert(Window { since: now, used: 0 });
        let resource = Shared::ChannelWrites;
        window.admit(limit, now).map_err(|retry_after| Refusal::Shared { resource, retry_after })
    }

    /// Counts a change to a guild's channels, whoever makes it.
    pub(crate) fn admit_guild_write(&mut self, guild: GuildId, now: Timestamp) -> Result<(), Refusal> {
        let Some(limit) = self.config.guild_writes else { return Ok(()) };
        let window = self.guild_writes.entry(guild).or_insert(Window { since: now, used: 0 });
        let resource = Shared::GuildWrites;
        window.admit(limit, now).map_err(|retry_after| Refusal::Shared { resource, retry_after })
    }

    /// An invalid request was answered (401, 403, 429, or a webhook's 404); enough of them and the address is banned.
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
    use super::super::route::Call;
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_700_000_000_000);
    fn route(resource: u64) -> Route<'static> {
        let channel = ChannelId::new(resource);
        Route { template: "PATCH /channels/{channel.id}", resource, call: Call::EditChannel(channel) }
    }

    #[test]
    fn buckets_count_per_resource_and_open_again() {
        let config = RestLimits { bucket: Some(Limit::new(2, 5)), ..RestLimits::unlimited() };
        let mut limits = RateLimits::new(config);
        let mut ask = |resource, now| limits.admit(None, &route(resource), now);
        assert_eq!(ask(1, NOW).unwrap().unwrap().remaining, 1);
        let later = NOW + Duration::from_secs(1);
        assert_eq!(ask(1, later).unwrap().unwrap().remaining, 0);
        let Err(Refusal::Bucket { retry_after, .. }) = ask(1, later) else { panic!("the bucket is empty") };
        assert_eq!(retry_after, Duration::from_secs(4));
        assert!(ask(2, later).is_ok(), "another channel has a bucket of its own");
        assert!(ask(1, later + retry_after).is_ok());
    }

    #[test]
    fn routes_of_one_group_share_a_bucket() {
        let groups = ["PATCH /channels/{channel.id}", "DELETE /channels/{channel.id}"];
        let groups = groups.map(|route| (route.to_owned(), "channel".to_owned())).into();
        let config = RestLimits { bucket: Some(Limit::new(2, 5)), groups, ..RestLimits::unlimited() };
        let mut limits = RateLimits::new(config);
        let edit = limits.admit(None, &route(1), NOW).unwrap().unwrap();
        let delete = Route { template: "DELETE /channels/{channel.id}", ..route(1) };
        let delete = limits.admit(None, &delete, NOW).unwrap().unwrap();
        assert_eq!((edit.hash, edit.remaining), (delete.hash, delete.remaining + 1));
    }

    #[test]
    fn the_global_limit_counts_all_routes_of_a_bot() {
        let config = RestLimits { global: Some(Limit::new(50, 1)), ..RestLimits::unlimited() };
        let mut limits = RateLimits::new(config);
        let (one, two) = (Some(UserId::new(1)), Some(UserId::new(2)));
        for resource in 0..50 {
            assert!(limits.admit(one, &route(resource), NOW).is_ok());
        }
        let other = Route { template: "GET /users/@me", resource: 0, call: Call::CurrentUser };
        assert!(matches!(limits.admit(one, &other, NOW), Err(Refusal::Global { .. })));
        assert!(limits.admit(two, &other, NOW).is_ok());
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
