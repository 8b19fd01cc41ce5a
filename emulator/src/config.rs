//! What can be set before an emulator starts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::gateway::Intents;
use crate::voice::VoiceConfig;
use crate::world::Permissions;

/// An emulator's settings. [`Config::default`] suits tests: every token logs in, and limits that would only
/// make a test wait are off.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bot tokens that log in; `None` = every non-empty one.
    pub tokens: Option<Vec<String>>,
    /// What a bot's role grants in each guild.
    pub bot_permissions: Permissions,
    /// The voice server.
    pub voice: VoiceConfig,
    /// The gateway's URL as clients are told it, without a trailing slash; `None` = where the emulator listens.
    pub gateway_url: Option<String>,
    /// Limits of the gateway.
    pub gateway: GatewayLimits,
    /// Limits of REST.
    pub rest: RestLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tokens: None,
            bot_permissions: Permissions::ALL.without(Permissions::ADMINISTRATOR),
            voice: VoiceConfig::default(),
            gateway_url: None,
            gateway: GatewayLimits::default(),
            rest: RestLimits::default(),
        }
    }
}

/// Limits of the gateway (Discord docs, Gateway).
#[derive(Clone, Debug)]
pub struct GatewayLimits {
    /// How often clients must send a heartbeat; 41.25 s. A connection silent for 1.5 times as long is closed (4009).
    pub heartbeat_interval: Duration,
    /// Payloads that a connection may send per [`sends_window`](Self::sends_window); 120.
    pub sends: u32,
    /// 60 s.
    pub sends_window: Duration,
    /// Longest payload that a client may send; 4,096 bytes.
    pub payload_bytes: usize,
    /// Dispatches kept for a RESUME; 1,000.
    pub replay_events: usize,
    /// How long they are kept, and how long a session lives without a connection; 180 s.
    pub replay_age: Duration,
    /// IDENTIFYs per bot and day; above it Discord resets the token. 1,000 at Discord.
    pub identifies_per_day: u32,
    /// IDENTIFYs per 5 s, by `shard_id % max_concurrency`; 1 at Discord. [`Self::UNLIMITED`] = no limit.
    pub max_concurrency: u32,
    /// Shards that GET /gateway/bot recommends.
    pub shards: u32,
    /// Privileged intents that bots were granted; others are refused (4014).
    pub privileged_intents: Intents,
}

impl GatewayLimits {
    /// The number that switches a limit off. Clients see it as a very large one.
    pub const UNLIMITED: u32 = 10_000;

    /// Discord's own numbers, identify limits included.
    pub fn of_discord() -> Self {
        Self { identifies_per_day: 1_000, max_concurrency: 1, ..Self::default() }
    }
}

impl Default for GatewayLimits {
    /// Discord's numbers, but identifying is not limited.
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(41_250),
            sends: 120,
            sends_window: Duration::from_secs(60),
            payload_bytes: 4_096,
            replay_events: 1_000,
            replay_age: Duration::from_secs(180),
            identifies_per_day: Self::UNLIMITED,
            max_concurrency: Self::UNLIMITED,
            shards: 1,
            privileged_intents: Intents::PRIVILEGED,
        }
    }
}

/// So many requests in so long a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    /// Requests.
    pub requests: u32,
    /// The window's length.
    pub per: Duration,
}

impl Limit {
    /// `requests` per `seconds`.
    pub const fn new(requests: u32, seconds: u64) -> Self {
        Self { requests, per: Duration::from_secs(seconds) }
    }
}

/// Limits of REST (Discord docs, Topics § Rate Limits). Discord does not publish the buckets' sizes.
#[derive(Clone, Debug)]
pub struct RestLimits {
    /// Per bot, over all routes; 50 per second. `None` = no limit.
    pub global: Option<Limit>,
    /// Per bucket and top-level resource, for routes not named in [`routes`](Self::routes). `None` = no buckets.
    pub bucket: Option<Limit>,
    /// Buckets of single routes, e.g. `PATCH /channels/{channel.id}`.
    pub routes: BTreeMap<String, Limit>,
    /// Routes that share a bucket: from the route to the bucket's name, any word. Others have one each.
    pub groups: BTreeMap<String, String>,
    /// Messages per channel, whoever writes them (code 20028, scope shared). Discord does not publish the number.
    pub channel_writes: Option<Limit>,
    /// Changes to a guild's channels, whoever makes them (code 20029, scope shared). Discord does not publish the number.
    pub guild_writes: Option<Limit>,
    /// Name and topic changes per channel: 2 per 10 minutes, of which the headers say nothing.
    pub rename: Option<Limit>,
    /// Answers 401, 403, 429 (scope shared aside) and 404 of webhooks before the IP is banned: 10,000 per 10 minutes.
    pub invalid: Option<Limit>,
    /// How long a ban lasts.
    pub ban: Duration,
    /// Whether a ban's answer has a Retry-After header.
    pub ban_tells_retry_after: bool,
    /// Whether requests without `User-Agent: DiscordBot (url, version)` are refused, as Discord does. Those with a
    /// webhook's token never are.
    pub require_user_agent: bool,
}

impl RestLimits {
    /// Nothing is limited; answers still carry bucket headers with large numbers.
    pub fn unlimited() -> Self {
        Self {
            global: None,
            bucket: Some(Limit::new(1_000_000, 1)),
            routes: BTreeMap::new(),
            groups: BTreeMap::new(),
            channel_writes: None,
            guild_writes: None,
            rename: None,
            invalid: None,
            ban: Duration::ZERO,
            ban_tells_retry_after: false,
            require_user_agent: true,
        }
    }
}

impl Default for RestLimits {
    /// Discord's published numbers, and buckets of a plausible size.
    fn default() -> Self {
        Self {
            global: Some(Limit::new(50, 1)),
            bucket: Some(Limit::new(50, 5)),
            routes: BTreeMap::from([
                ("POST /channels/{channel.id}/messages".to_owned(), Limit::new(5, 5)),
                ("PATCH /guilds/{guild.id}/members/{user.id}".to_owned(), Limit::new(10, 10)),
            ]),
            groups: ["PUT", "DELETE"]
                .map(|method| format!("{method} /channels/{{channel.id}}/permissions/{{overwrite.id}}"))
                .map(|route| (route, "overwrites".to_owned()))
                .into(),
            channel_writes: None,
            guild_writes: None,
            rename: Some(Limit::new(2, 600)),
            invalid: Some(Limit::new(10_000, 600)),
            ban: Duration::from_secs(24 * 60 * 60),
            ban_tells_retry_after: true,
            require_user_agent: true,
        }
    }
}
