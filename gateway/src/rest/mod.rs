//! Discord's REST API: twilight's typed request builders over our own transport.
//!
//! twilight-http 0.18 resends at once, ignoring Retry-After, on global, Cloudflare and sub-limit 429s; fifty requests a
//! second at a stuck call end in Discord's ban. So only its builders are used. What is sent here obeys Retry-After,
//! never repeats a POST whose outcome is unknown, and stops for good at a 401.

mod error;
pub mod permission;
pub mod schedule;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;
use tracing::{debug, error, warn};
use twilight_http::request::{AuditLogReason as _, Request, TryIntoRequest};
use twilight_model::{
    channel::ChannelType,
    id::{Id, marker},
};

use self::error::ErrorBody;
pub use self::error::{FieldError, RestError};
use crate::{
    id::{CategoryId, GuildId, RoomId},
    translate::wire,
    update::{RoomFacts, RoomKind},
};

/// How Parlor names itself; without this form Discord's edge refuses (Discord reference, "User Agent").
const USER_AGENT: &str = concat!("DiscordBot (https://parlor.example, ", env!("CARGO_PKG_VERSION"), ")");

/// How often one request is sent at most. Each further time follows a 429 that said how long to wait.
const ATTEMPTS: usize = 2;

/// Added to every wait that Discord names, because its clock and ours do not tick together.
const MARGIN: Duration = Duration::from_millis(50);

/// Discord's answers are small; a guild's channel list is the largest.
const MAX_ANSWER: usize = 4 << 20;

/// The room to ask Discord for. Its fields have been checked against Discord's limits.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// The guild.
    pub guild: GuildId,
    /// 1 to 100 characters.
    pub name: String,
    /// Voice or stage.
    pub kind: RoomKind,
    /// The category to stand in.
    pub category: Option<CategoryId>,
    /// 0 for no limit, to 99; for a stage to 10,000.
    pub user_limit: u16,
    /// 8,000 to 384,000 bits per second; `None` for Discord's default.
    pub bitrate: Option<u32>,
}

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

/// The REST client could not be set up.
#[derive(Debug, Error)]
pub enum RestSetupError {
    /// The token cannot stand in an HTTP header.
    #[error("the bot token holds characters that no token has")]
    TokenShape,
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// A client of Discord's REST API for one bot.
pub struct Rest {
    http: reqwest::Client,
    /// With the version, without a trailing slash: `https://discord.com/api/v10`.
    api_url: String,
    authorization: HeaderValue,
    /// Builds requests; it never sends any.
    builder: twilight_http::Client,
    credentials_refused: AtomicBool,
}

impl Rest {
    /// A client that asks the API at `api_url` (`https://discord.com/api/v10`) with the bot's token.
    pub fn new(api_url: &str, token: &SecretString) -> Result<Self, RestSetupError> {
        let bare = token.expose_secret().trim().trim_start_matches("Bot ").to_owned();
        let mut authorization =
            HeaderValue::from_str(&format!("Bot {bare}")).map_err(|_| RestSetupError::TokenShape)?;
        authorization.set_sensitive(true);
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(15))
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()
            .map_err(RestSetupError::Client)?;
        let builder = twilight_http::Client::builder().ratelimiter(None).build();
        Ok(Self {
            http,
            api_url: api_url.trim_end_matches('/').to_owned(),
            authorization,
            builder,
            credentials_refused: AtomicBool::new(false),
        })
    }

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
        let body: Body = self.ask(self.builder.gateway().authed(), deadline).await?;
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

    /// Makes a channel. Not safe to repeat after [`RestError::OutcomeUnknown`].
    pub async fn create_room(
        &self,
        room: &NewRoom,
        audit_log_reason: &str,
        deadline: Instant,
    ) -> Result<RoomFacts, RestError> {
        let guild: Id<marker::GuildMarker> = Id::new(room.guild.get());
        let kind = match room.kind {
            RoomKind::Voice => ChannelType::GuildVoice,
            RoomKind::Stage => ChannelType::GuildStageVoice,
        };
        let mut request = self
            .builder
            .create_guild_channel(guild, &room.name)
            .kind(kind)
            .user_limit(room.user_limit)
            .reason(audit_log_reason);
        if let Some(category) = room.category {
            request = request.parent_id(Id::new(category.get()));
        }
        if let Some(bitrate) = room.bitrate {
            request = request.bitrate(bitrate);
        }
        let channel: wire::Channel = self.ask(request, deadline).await?;
        channel.into_room(room.guild).ok_or(RestError::UnreadableAnswer)
    }

    /// Deletes a channel. Safe to repeat.
    pub async fn delete_room(&self, room: RoomId, audit_log_reason: &str, deadline: Instant) -> Result<(), RestError> {
        let channel: Id<marker::ChannelMarker> = Id::new(room.get());
        let request = self.builder.delete_channel(channel).reason(audit_log_reason);
        self.ask::<serde::de::IgnoredAny>(request, deadline).await.map(|_| ())
    }

    /// Sends a request that twilight built, within the deadline, and reads the answer.
    async fn ask<T: DeserializeOwned>(&self, request: impl TryIntoRequest, deadline: Instant) -> Result<T, RestError> {
        let request = request.try_into_request().map_err(|refusal| RestError::Refused {
            status: 400,
            code: 50_035,
            message: refusal.to_string(),
            fields: Vec::new(),
        })?;
        for attempt in 1..=ATTEMPTS {
            if self.credentials_refused.load(Ordering::Relaxed) {
                return Err(RestError::CredentialsRefused);
            }
            let wait = match self.send(&request, deadline).await? {
                Answer::Body(body) => return serde_json::from_slice(&body).map_err(|_| RestError::UnreadableAnswer),
                Answer::Wait(wait) => wait + MARGIN,
            };
            let in_time = Instant::now().checked_add(wait).is_some_and(|until| until < deadline);
            if attempt == ATTEMPTS || !in_time {
                return Err(RestError::RateLimited { retry_after: wait });
            }
            debug!(?wait, "Discord limits the rate");
            tokio::time::sleep(wait).await;
        }
        unreachable!("the last attempt returns")
    }

    /// Sends the request once.
    async fn send(&self, request: &Request, deadline: Instant) -> Result<Answer, RestError> {
        let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
            return Err(RestError::Unavailable);
        };
        let method =
            http::Method::from_bytes(request.method().name().as_bytes()).expect("twilight's methods are HTTP's");
        let mut outgoing = self
            .http
            .request(method.clone(), format!("{}/{}", self.api_url, request.path()))
            .header(http::header::AUTHORIZATION, self.authorization.clone())
            .timeout(left.min(Duration::from_secs(15)));
        if let Some(headers) = request.headers() {
            outgoing = outgoing.headers(headers.clone());
        }
        if let Some(body) = request.body() {
            outgoing = outgoing.header(http::header::CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        let answer = outgoing.send().await;
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        let route = format!("{method} {}", route_of(request.path()));
        metrics::counter!("parlor_discord_requests_total", "route" => route, "status" => status.to_string())
            .increment(1);
        let answer = answer.map_err(|failure| self.unanswered(&failure))?;
        let headers = answer.headers().clone();
        let body = read_limited(answer).await?;
        match status {
            200..=299 => Ok(Answer::Body(body)),
            401 => {
                error!("Discord does not accept the bot token (401): no further request is sent");
                self.credentials_refused.store(true, Ordering::Relaxed);
                Err(RestError::CredentialsRefused)
            }
            429 => {
                let wait = asked_wait(&headers, &body);
                warn!(?wait, "Discord limits the rate (429)");
                Ok(Answer::Wait(wait))
            }
            500..=599 if method == http::Method::POST => Err(RestError::OutcomeUnknown),
            500..=599 => Err(RestError::Unavailable),
            _ => {
                let refusal = refusal(status, &body);
                debug!(status, error = ?refusal, "Discord refused");
                Err(refusal)
            }
        }
    }

    /// What a request without an answer means: if it never left, a repeat is safe.
    fn unanswered(&self, failure: &reqwest::Error) -> RestError {
        if failure.is_connect() {
            warn!(api_url = self.api_url, "cannot reach Discord's API");
            RestError::Unavailable
        } else {
            RestError::OutcomeUnknown
        }
    }
}

enum Answer {
    Body(Vec<u8>),
    Wait(Duration),
}

/// The body of a 429 (Discord docs, topics/rate-limits). Cloudflare's has none of this.
#[derive(Deserialize)]
struct RateLimitBody {
    retry_after: f64,
}

/// What the answer to a request that Discord refused says: [`RestError::Refused`], or [`RestError::UnreadableAnswer`]
/// where the body is not what Discord's reference shows ("Error Messages").
pub fn refusal(status: u16, body: &[u8]) -> RestError {
    let Ok(body) = serde_json::from_slice::<ErrorBody>(body) else { return RestError::UnreadableAnswer };
    let fields = body.fields();
    RestError::Refused { status, code: body.code, message: body.message, fields }
}

/// How long a 429 asks to wait, by its header or its body, whichever says longer (Discord docs, topics/rate-limits). An
/// edge that says nothing of how long is not to be asked again by a program: 15 minutes.
pub fn asked_wait(headers: &HeaderMap, body: &[u8]) -> Duration {
    let named = serde_json::from_slice::<RateLimitBody>(body).ok().map(|body| body.retry_after);
    let named = named.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    retry_after(headers).into_iter().chain(named).max().unwrap_or(Duration::from_secs(15 * 60))
}

/// The path with its ids left out, which is one of few: ids are never a metric's label.
fn route_of(path: &str) -> String {
    let (path, _query) = path.split_once('?').unwrap_or((path, ""));
    let part = |part: &str| if part.bytes().any(|byte| byte.is_ascii_digit()) { "{id}" } else { part }.to_owned();
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_becomes_a_label() {
        assert_eq!(route_of("guilds/100000000000000001/channels"), "guilds/{id}/channels");
        assert_eq!(route_of("channels/100000000000000001?x=1"), "channels/{id}");
        assert_eq!(route_of("gateway/bot"), "gateway/bot");
    }

    #[test]
    fn the_longer_of_two_waits_counts_and_none_is_beyond_all_time() {
        let mut headers = HeaderMap::new();
        let quarter_of_an_hour = Duration::from_secs(15 * 60);
        assert_eq!(asked_wait(&headers, b"error code: 1015"), quarter_of_an_hour);
        assert_eq!(asked_wait(&headers, br#"{"retry_after":1.5}"#), Duration::from_millis(1_500));
        assert_eq!(asked_wait(&headers, br#"{"retry_after":1e300}"#), quarter_of_an_hour);
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("2"));
        assert_eq!(asked_wait(&headers, br#"{"retry_after":1.5}"#), Duration::from_secs(2));
        assert_eq!(asked_wait(&headers, br#"{"retry_after":-1}"#), Duration::from_secs(2));
    }
}
