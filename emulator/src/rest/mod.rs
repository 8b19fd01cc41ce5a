//! Discord's REST API as a function: a request and the time go in, an answer comes out, the world changes.

mod account;
mod channels;
mod error;
mod form;
mod guilds;
mod limits;
mod messages;
mod route;

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use serde_json::{Value, json};

use crate::config::RestLimits;
use crate::faults::{RestAnswer, StandingFaults};
use crate::gateway::Gateway;
use crate::stats::Stats;
use crate::text::percent_decode;
use crate::world::{Availability, BotToken, Channel, ChannelId, Guild, GuildId, Permissions, Timestamp, UserId, World};

use error::ApiError;
use limits::{BucketState, RateLimits, Refusal};
use route::{Call, Route};

/// One HTTP request, borrowed from the shell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// What the shell does with a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Send this.
    Reply(Response<String>),
    /// End the connection without an answer.
    HangUp,
}

/// Everything that REST may look at and change besides its limits.
pub(crate) struct Surroundings<'a> {
    pub world: &'a mut World,
    pub gateway: &'a Gateway,
    pub gateway_url: &'a str,
    pub faults: &'a mut StandingFaults,
    pub stats: &'a mut Stats,
}

/// The REST API's own state: its limits.
#[derive(Debug)]
pub(crate) struct Rest {
    limits: RateLimits,
}

/// A request whose sender is known.
struct Caller<'a> {
    bot: UserId,
    reason: Option<String>,
    request: &'a Request<'a>,
}

/// What a handler answers when nothing is wrong.
enum Reply {
    /// 200 with a body.
    Ok(Value),
    /// 201 with a body.
    Created(Value),
    /// 204.
    NoContent,
}

/// Why a handler does not answer as asked.
enum Refused {
    /// An error of the API.
    Api(ApiError),
    /// The hidden limit on names and topics.
    RenamedTooOften(Duration),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<crate::world::ChannelError> for Refused {
    fn from(error: crate::world::ChannelError) -> Self {
        Self::Api(error.into())
    }
}

type Handled = Result<Reply, Refused>;

impl Rest {
    pub(crate) fn new(limits: RestLimits) -> Self {
        Self { limits: RateLimits::new(limits) }
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, request: &Request<'_>, around: &mut Surroundings<'_>, now: Timestamp) -> Answer {
        let answer = self.decide(request, around, now);
        if let Answer::Reply(reply) = &answer {
            *around.stats.rest_statuses.entry(reply.status().as_u16()).or_default() += 1;
        }
        answer
    }

    fn decide(&mut self, request: &Request<'_>, around: &mut Surroundings<'_>, now: Timestamp) -> Answer {
        if let Err(ban) = self.limits.check_ban(now) {
            return Answer::Reply(self.limited(ban, now));
        }
        if self.limits.config().require_user_agent && !has_bot_user_agent(request.headers) {
            return Answer::Reply(self.refused(ApiError::BadUserAgent, None, now));
        }
        let route = match Route::parse(request.method, request.path) {
            Ok(route) => route,
            Err(error) => return Answer::Reply(self.refused(error, None, now)),
        };
        *around.stats.rest.entry(route.template.to_owned()).or_default() += 1;
        let bot = request
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bot "))
            .and_then(BotToken::parse)
            .and_then(|token| around.world.log_in(&token));
        let scripted = around.faults.rest_answer(bot, route.template);
        if let Some((answer, false)) = scripted {
            return scripted_answer(&answer);
        }
        let bucket = match self.limits.admit(bot, route.template, route.resource, now) {
            Ok(bucket) => bucket,
            Err(refusal) => return Answer::Reply(self.limited(refusal, now)),
        };
        let outcome = match bot {
            Some(bot) => {
                let caller = Caller { bot, reason: audit_reason(request.headers), request };
                self.handle(route.call, &caller, around, now)
            }
            None if route.call == Call::Gateway => account::gateway(around),
            None => Err(ApiError::Unauthorized.into()),
        };
        if let Some((answer, true)) = scripted {
            return scripted_answer(&answer);
        }
        Answer::Reply(match outcome {
            Ok(reply) => respond(reply, bucket.as_ref()),
            Err(Refused::Api(error)) => self.refused(error, bucket.as_ref(), now),
            Err(Refused::RenamedTooOften(retry_after)) => {
                self.limits.count_invalid(now);
                limited_by_bucket(bucket.as_ref(), retry_after)
            }
        })
    }

    fn handle(&mut self, call: Call, caller: &Caller<'_>, around: &mut Surroundings<'_>, now: Timestamp) -> Handled {
        match call {
            Call::Gateway => account::gateway(around),
            Call::GatewayBot => account::gateway_bot(caller, around, now),
            Call::Application => account::application(caller, around),
            Call::CurrentUser => account::current_user(caller, around),
            Call::CurrentUserGuilds => account::current_user_guilds(caller, around),
            Call::User(user) => account::user(user, around),
            Call::VoiceRegions => Ok(Reply::Ok(account::voice_regions())),
            Call::Guild(guild) => guilds::get(guild, caller, around),
            Call::Roles(guild) => guilds::roles(guild, caller, around),
            Call::Members(guild) => guilds::members(guild, caller, around),
            Call::Member(guild, who) => guilds::member(guild, who.or(caller.bot), caller, around),
            Call::EditMember(guild, who) => guilds::edit_member(guild, who.or(caller.bot), caller, around),
            Call::VoiceState(guild, who) => guilds::voice_state(guild, who.or(caller.bot), caller, around),
            Call::EditVoiceState(guild, who) => guilds::edit_voice_state(guild, who.or(caller.bot), caller, around),
            Call::AuditLog(guild) => guilds::audit_log(guild, caller, around),
            Call::ActiveThreads(guild) => {
                guild_of(around.world, caller, guild)?;
                Ok(Reply::Ok(json!({"threads": [], "members": []})))
            }
            Call::GuildChannels(guild) => channels::list(guild, caller, around),
            Call::CreateChannel(guild) => channels::create(guild, caller, around),
            Call::MoveChannels(guild) => channels::change_positions(guild, caller, around),
            Call::Channel(channel) => channels::get(channel, caller, around),
            Call::EditChannel(channel) => channels::edit(channel, caller, around, &mut self.limits, now),
            Call::DeleteChannel(channel) => channels::delete(channel, caller, around),
            Call::PutOverwrite(channel, target) => channels::put_overwrite(channel, target, caller, around),
            Call::DeleteOverwrite(channel, target) => channels::delete_overwrite(channel, target, caller, around),
            Call::VoiceStatus(channel) => channels::set_voice_status(channel, caller, around),
            Call::Messages(channel) => messages::list(channel, caller, around),
            Call::PostMessage(channel) => messages::post(channel, caller, around),
            Call::Typing(channel) => {
                channel_with(around.world, caller, channel, Permissions::SEND_MESSAGES)?;
                Ok(Reply::NoContent)
            }
            Call::EmptyList => Ok(Reply::Ok(json!([]))),
        }
    }

    fn refused(&mut self, error: ApiError, bucket: Option<&BucketState>, now: Timestamp) -> Response<String> {
        let (status, body) = error.into_answer();
        if matches!(status, 401 | 403) {
            self.limits.count_invalid(now);
        }
        let mut response = json_response(status, &body);
        write_bucket(response.headers_mut(), bucket);
        response
    }

    fn limited(&mut self, refusal: Refusal, now: Timestamp) -> Response<String> {
        match refusal {
            Refusal::Banned { retry_after } => banned(retry_after),
            Refusal::Bucket { state, retry_after } => {
                self.limits.count_invalid(now);
                limited_by_bucket(Some(&state), retry_after)
            }
            Refusal::Global { retry_after } => {
                self.limits.count_invalid(now);
                let mut response = too_many(retry_after, true);
                put(response.headers_mut(), "x-ratelimit-global", "true");
                put(response.headers_mut(), "x-ratelimit-scope", "global");
                response
            }
        }
    }
}

/// The guild, if the caller is in it and it can be reached.
fn guild_of<'w>(world: &'w World, caller: &Caller<'_>, id: GuildId) -> Result<&'w Guild, ApiError> {
    let guild = world.guild(id).filter(|guild| guild.members.contains_key(&caller.bot));
    let guild = guild.ok_or(ApiError::UnknownGuild)?;
    match guild.availability {
        Availability::Available => Ok(guild),
        Availability::Unavailable => Err(ApiError::GuildUnavailable),
    }
}

/// The guild, if the caller holds `wanted` by roles there.
fn guild_with<'w>(
    world: &'w World,
    caller: &Caller<'_>,
    id: GuildId,
    wanted: Permissions,
) -> Result<&'w Guild, ApiError> {
    let guild = guild_of(world, caller, id)?;
    if guild.base_permissions(caller.bot).contains(wanted) { Ok(guild) } else { Err(ApiError::MissingPermissions) }
}

/// The channel and its guild, if the caller sees it and holds `wanted` there.
fn channel_with<'w>(
    world: &'w World,
    caller: &Caller<'_>,
    id: ChannelId,
    wanted: Permissions,
) -> Result<(&'w Guild, &'w Channel), ApiError> {
    let channel = world.channel(id).ok_or(ApiError::UnknownChannel)?;
    let guild = guild_of(world, caller, channel.guild_id).map_err(|error| {
        // A channel of a foreign guild exists, but not for this bot.
        if error == ApiError::UnknownGuild { ApiError::MissingAccess } else { error }
    })?;
    let may = guild.permissions_in(caller.bot, channel);
    if !may.contains(Permissions::VIEW_CHANNEL) {
        Err(ApiError::MissingAccess)
    } else if may.contains(wanted) {
        Ok((guild, channel))
    } else {
        Err(ApiError::MissingPermissions)
    }
}

/// `DiscordBot (url, version)`, as the API reference demands.
fn has_bot_user_agent(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).is_some_and(|agent| agent.starts_with("DiscordBot ("))
}

/// `X-Audit-Log-Reason`: percent-encoded UTF-8, at most 512 characters.
fn audit_reason(headers: &HeaderMap) -> Option<String> {
    let raw = headers.get("x-audit-log-reason")?;
    let reason: String = percent_decode(raw.as_bytes(), false).chars().take(512).collect();
    (!reason.is_empty()).then_some(reason)
}

fn respond(reply: Reply, bucket: Option<&BucketState>) -> Response<String> {
    let mut response = match reply {
        Reply::Ok(body) => json_response(200, &body),
        Reply::Created(body) => json_response(201, &body),
        Reply::NoContent => plain_response(204, String::new()),
    };
    write_bucket(response.headers_mut(), bucket);
    response
}

fn plain_response(status: u16, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    // discord.py takes a 429 without this header for one of Cloudflare's.
    response.headers_mut().insert(VIA, HeaderValue::from_static("1.1 google"));
    response
}

fn json_response(status: u16, body: &Value) -> Response<String> {
    let mut response = plain_response(status, body.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn write_bucket(headers: &mut HeaderMap, bucket: Option<&BucketState>) {
    let Some(bucket) = bucket else { return };
    put(headers, "x-ratelimit-limit", &bucket.limit.to_string());
    put(headers, "x-ratelimit-remaining", &bucket.remaining.to_string());
    put(headers, "x-ratelimit-reset", &format!("{:.3}", bucket.reset.unix_millis() as f64 / 1_000.0));
    put(headers, "x-ratelimit-reset-after", &format!("{:.3}", bucket.reset_after.as_secs_f64()));
    put(headers, "x-ratelimit-bucket", &bucket.hash);
}

fn limited_by_bucket(bucket: Option<&BucketState>, retry_after: Duration) -> Response<String> {
    let mut response = too_many(retry_after, false);
    write_bucket(response.headers_mut(), bucket);
    put(response.headers_mut(), "x-ratelimit-scope", "user");
    response
}

fn too_many(retry_after: Duration, global: bool) -> Response<String> {
    let body = json!({
        "message": "You are being rate limited.",
        "retry_after": retry_after.as_millis() as f64 / 1_000.0,
        "global": global,
    });
    let mut response = json_response(429, &body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(retry_after)));
    response
}

/// Cloudflare's answer to a banned address: HTML, and no word of Discord's own headers.
fn banned(retry_after: Option<Duration>) -> Response<String> {
    let page = "<!doctype html><html><head><title>Access denied | discord.com used Cloudflare to restrict access\
                </title></head><body>error code: 1015</body></html>\n";
    let mut response = Response::new(page.to_owned());
    *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    put(response.headers_mut(), "server", "cloudflare");
    if let Some(retry_after) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(retry_after)));
    }
    response
}

fn whole_seconds(span: Duration) -> u64 {
    span.as_millis().div_ceil(1_000) as u64
}

fn scripted_answer(scripted: &RestAnswer) -> Answer {
    if scripted.status == 0 {
        return Answer::HangUp;
    }
    let mut response = plain_response(scripted.status, scripted.body.clone());
    for (name, value) in &scripted.headers {
        put(response.headers_mut(), name, value);
    }
    Answer::Reply(response)
}

/// Sets a header; names and values that are no header are left out.
fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}
