//! The bot itself, the gateway's address, and what Discord offers to all.

use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::{
    id::UserId,
    rest::{
        Caller, Rest, RestError,
        outgoing::Outgoing,
        schedule::{Resource, Route, Verb},
    },
};

const GATEWAY: Route = Route::new(Verb::Get, "/gateway/bot");
const CURRENT_USER: Route = Route::new(Verb::Get, "/users/@me");
const REGIONS: Route = Route::new(Verb::Get, "/voice/regions");

/// GET /gateway/bot: where the gateway is and how many sessions may be started.
#[derive(Clone, Debug)]
pub struct GatewayInfo {
    /// Without a trailing slash.
    pub url: String,
    /// How many shards Discord recommends.
    pub shards: u32,
    /// How many sessions may be started.
    pub session_starts: SessionStartLimit,
}

/// How many gateway sessions may be started (Discord docs, events/gateway, "Session Start Limit Object").
#[derive(Clone, Copy, Debug)]
pub struct SessionStartLimit {
    /// In all, per period.
    pub total: u32,
    /// How many are left of them.
    pub remaining: u32,
    /// When `remaining` is `total` again.
    pub reset_after: Duration,
    /// How many per five seconds.
    pub max_concurrency: u16,
}

/// The bot's own account.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct CurrentUser {
    /// Its id.
    pub id: UserId,
    /// Its name.
    #[serde(rename = "username")]
    pub name: String,
}

/// A place where Discord's voice servers stand (Discord docs, resources/voice, "Voice Region Object").
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct VoiceRegion {
    /// What a room's region is set to.
    pub id: String,
    /// For people.
    pub name: String,
    /// Whether it is the nearest to us.
    #[serde(default)]
    pub optimal: bool,
    /// Not to be chosen any more.
    #[serde(default)]
    pub deprecated: bool,
    /// Made for an event.
    #[serde(default)]
    pub custom: bool,
}

impl Rest {
    /// Where the gateway is. Safe to repeat.
    pub async fn gateway(&self, deadline: Instant) -> Result<GatewayInfo, RestError> {
        #[derive(Deserialize)]
        struct Body {
            url: String,
            shards: u32,
            session_start_limit: Limit,
        }
        #[derive(Deserialize)]
        struct Limit {
            total: u32,
            remaining: u32,
            reset_after: u64,
            max_concurrency: u16,
        }
        let request = self.builder.gateway().authed();
        let body: Body = self.ask(Outgoing::new(GATEWAY, Resource::None, request, &Caller::house(deadline))?).await?;
        let limit = body.session_start_limit;
        Ok(GatewayInfo {
            url: body.url.trim_end_matches('/').to_owned(),
            shards: body.shards.max(1),
            session_starts: SessionStartLimit {
                total: limit.total,
                remaining: limit.remaining,
                reset_after: Duration::from_millis(limit.reset_after),
                max_concurrency: limit.max_concurrency,
            },
        })
    }

    /// The bot's own account.
    pub async fn current_user(&self, caller: &Caller) -> Result<CurrentUser, RestError> {
        self.ask(Outgoing::new(CURRENT_USER, Resource::None, self.builder.current_user(), caller)?).await
    }

    /// Every region that a room may be in. Those that are deprecated are for rooms that are already there.
    pub async fn voice_regions(&self, caller: &Caller) -> Result<Vec<VoiceRegion>, RestError> {
        self.ask(Outgoing::new(REGIONS, Resource::None, self.builder.voice_regions(), caller)?).await
    }
}
