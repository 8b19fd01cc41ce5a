//! Discord's REST API as a function: a request and the time go in, an answer comes out, the world changes.

mod access;
mod account;
mod answer;
mod channels;
mod error;
mod form;
mod guilds;
mod invites;
mod limits;
mod members;
mod messages;
mod overwrites;
mod patience;
mod route;
mod webhooks;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Response};
use serde_json::{Value, json};

use crate::config::RestLimits;
use crate::faults::{RateLimit, RestTrouble, StandingFaults, Twist, Work};
use crate::gateway::Gateway;
use crate::stats::Stats;
use crate::world::{BotToken, Permissions, Timestamp, UserId, World};

pub use answer::Answer;

use access::{audit_reason, channel_with, guild_of, has_bot_user_agent};
use error::ApiError;
use limits::{BucketState, RateLimits, Refusal, Shared};
use patience::Patience;
use route::{Call, OpenCall, Route};

/// One HTTP request, borrowed from the shell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
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
    patience: Patience,
}

/// What handlers look at and change.
struct Desk<'a> {
    world: &'a mut World,
    gateway: &'a Gateway,
    gateway_url: &'a str,
    limits: &'a mut RateLimits,
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
    /// A limit that only shows once it is known what the request changes.
    Limited(Refusal),
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
        Self { limits: RateLimits::new(limits), patience: Patience::default() }
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, request: &Request<'_>, around: &mut Surroundings<'_>, now: Timestamp) -> Answer {
        let answer = self.decide(request, around, now);
        if let Answer::Reply(reply) | Answer::Late(reply, _) = &answer {
            *around.stats.rest_statuses.entry(reply.status().as_u16()).or_default() += 1;
        }
        answer
    }

    fn decide(&mut self, request: &Request<'_>, around: &mut Surroundings<'_>, now: Timestamp) -> Answer {
        if let Err(ban) = self.limits.check_ban(now) {
            *around.stats.invalid.entry(cause(&ban).to_owned()).or_default() += 1;
            return Answer::Reply(answer::limited(&ban, None));
        }
        let route = Route::parse(request.method, request.path);
        // Programs of every sort write through webhooks, with whatever they call themselves.
        let by_token = route.as_ref().is_ok_and(|route| route.call.has_webhook_token());
        if self.limits.config().require_user_agent && !by_token && !has_bot_user_agent(request.headers) {
            return Answer::Reply(self.refused(ApiError::BadUserAgent, None, None, around, now));
        }
        let route = match route {
            Ok(route) => route,
            Err(error) => return Answer::Reply(self.refused(error, None, None, around, now)),
        };
        *around.stats.rest.entry(route.template.to_owned()).or_default() += 1;
        let bot = request
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bot "))
            .and_then(BotToken::parse)
            .and_then(|token| around.world.log_in(&token));
        if self.patience.is_tried(bot, &route, now) {
            *around.stats.too_early.entry(route.template.to_owned()).or_default() += 1;
        }
        let bucket = match self.limits.admit(bot, &route, now) {
            Ok(bucket) => bucket,
            Err(refusal) => return Answer::Reply(self.limited(&refusal, None, bot, &route, around, now)),
        };
        let bucket = bucket.as_ref();
        let twist = around.faults.twist(bot, route.template, now);
        if let Some(twist) = twist.as_ref().filter(|twist| twist.work() == Work::Skipped) {
            return self.twisted(twist, None, bucket, bot, &route, around, now);
        }
        let outcome = self.serve(route.call, bot, request, around, now);
        let response = match outcome {
            Ok(reply) => answer::success(reply, bucket),
            Err(Refused::Api(error)) => self.refused(error, Some(route.call), bucket, around, now),
            Err(Refused::Limited(refusal)) => self.limited(&refusal, bucket, bot, &route, around, now),
        };
        match &twist {
            Some(twist) => self.twisted(twist, Some(response), bucket, bot, &route, around, now),
            None => Answer::Reply(response),
        }
    }

    /// Carries a request out.
    fn serve(
        &mut self,
        call: Call<'_>,
        bot: Option<UserId>,
        request: &Request<'_>,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) -> Handled {
        let limits = &mut self.limits;
        let (gateway, gateway_url) = (around.gateway, around.gateway_url);
        let mut desk = Desk { world: &mut *around.world, gateway, gateway_url, limits };
        if let Call::Open(call) = call {
            return serve_anybody(call, request, &mut desk);
        }
        let bot = bot.ok_or(ApiError::Unauthorized)?;
        let caller = Caller { bot, reason: audit_reason(request.headers)?, request };
        serve_bot(call, &caller, &mut desk, now)
    }

    /// What a fault makes of a request: before it is carried out (no `response`) or afterwards.
    #[expect(clippy::too_many_arguments, reason = "a fault may concern everything about a request")]
    fn twisted(
        &mut self,
        twist: &Twist,
        response: Option<Response<String>>,
        bucket: Option<&BucketState>,
        bot: Option<UserId>,
        route: &Route<'_>,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) -> Answer {
        let trouble = match twist {
            Twist::Scripted(scripted, _) => return answer::scripted(scripted),
            Twist::Trouble(trouble) => *trouble,
        };
        match trouble {
            RestTrouble::RateLimit { limit, retry_after } => {
                let refusal = match limit {
                    RateLimit::Bucket => {
                        let reset = now + retry_after;
                        let emptied = |state: &BucketState| BucketState {
                            remaining: 0,
                            reset,
                            reset_after: retry_after,
                            ..state.clone()
                        };
                        Refusal::Bucket { state: bucket.map(emptied), retry_after }
                    }
                    RateLimit::Global => Refusal::Global { retry_after },
                    RateLimit::Hidden => Refusal::Hidden { retry_after },
                    RateLimit::Shared => Refusal::Shared { resource: Shared::Resource, retry_after },
                    RateLimit::ChannelWrites => Refusal::Shared { resource: Shared::ChannelWrites, retry_after },
                    RateLimit::GuildWrites => Refusal::Shared { resource: Shared::GuildWrites, retry_after },
                };
                Answer::Reply(self.limited(&refusal, bucket, bot, route, around, now))
            }
            RestTrouble::CloudflareBan { retry_after } => {
                let refusal = Refusal::Banned { retry_after };
                Answer::Reply(self.limited(&refusal, bucket, bot, route, around, now))
            }
            RestTrouble::Unauthorized => {
                Answer::Reply(self.refused(ApiError::Unauthorized, Some(route.call), bucket, around, now))
            }
            RestTrouble::ServerError { status, body, .. } => Answer::Reply(answer::server_error(status, body)),
            RestTrouble::Cut { .. } => Answer::HangUp,
            RestTrouble::Slow { by } => response.map_or(Answer::HangUp, |response| Answer::Late(response, by)),
        }
    }

    fn refused(
        &mut self,
        error: ApiError,
        call: Option<Call<'_>>,
        bucket: Option<&BucketState>,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) -> Response<String> {
        let (status, code) = error.cause();
        // A webhook that is gone must not be used again (Discord docs, Rate Limits § Invalid Request Limit).
        let forsaken = status == 404 && call.is_some_and(Call::is_webhook);
        if matches!(status, 401 | 403) || forsaken {
            self.limits.count_invalid(now);
            *around.stats.invalid.entry(format!("{status} {code}")).or_default() += 1;
        }
        let (status, body) = error.into_answer();
        answer::error(status, &body, bucket)
    }

    fn limited(
        &mut self,
        refusal: &Refusal,
        bucket: Option<&BucketState>,
        bot: Option<UserId>,
        route: &Route<'_>,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) -> Response<String> {
        self.patience.tell(refusal, bot, route, now);
        if !matches!(refusal, Refusal::Shared { .. }) {
            self.limits.count_invalid(now);
            *around.stats.invalid.entry(cause(refusal).to_owned()).or_default() += 1;
        }
        answer::limited(refusal, bucket)
    }
}

/// A limit's name in [`Stats::invalid`].
const fn cause(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Bucket { .. } => "429 bucket",
        Refusal::Global { .. } => "429 global",
        Refusal::Hidden { .. } => "429 hidden",
        Refusal::Shared { .. } => "429 shared",
        Refusal::Banned { .. } => "429 cloudflare",
    }
}

/// What needs no bot: the gateway's address, and webhooks for those who know the token.
fn serve_anybody(call: OpenCall<'_>, request: &Request<'_>, desk: &mut Desk<'_>) -> Handled {
    match call {
        OpenCall::Gateway => account::gateway(desk),
        OpenCall::Webhook(webhook, token) => webhooks::get_with_token(webhook, token, desk),
        OpenCall::EditWebhook(webhook, token) => webhooks::edit_with_token(webhook, token, request, desk),
        OpenCall::DeleteWebhook(webhook, token) => webhooks::delete_with_token(webhook, token, desk),
        OpenCall::ExecuteWebhook(webhook, token) => webhooks::execute(webhook, token, request, desk),
    }
}

/// What a bot asks for.
fn serve_bot(call: Call<'_>, caller: &Caller<'_>, desk: &mut Desk<'_>, now: Timestamp) -> Handled {
    match call {
        Call::GatewayBot => account::gateway_bot(caller, desk, now),
        Call::Application => account::application(caller, desk),
        Call::CurrentUser => account::current_user(caller, desk),
        Call::CurrentUserGuilds => account::current_user_guilds(caller, desk),
        Call::User(user) => account::user(user, desk),
        Call::VoiceRegions => Ok(Reply::Ok(account::voice_regions())),
        Call::Guild(guild) => guilds::get(guild, caller, desk),
        Call::Roles(guild) => guilds::roles(guild, caller, desk),
        Call::Members(guild) => members::list(guild, caller, desk),
        Call::Member(guild, who) => members::get(guild, who.or(caller.bot), caller, desk),
        Call::EditMember(guild, who) => members::edit(guild, who.or(caller.bot), caller, desk),
        Call::VoiceState(guild, who) => members::voice_state(guild, who.or(caller.bot), caller, desk),
        Call::EditVoiceState(guild, who) => members::edit_voice_state(guild, who.or(caller.bot), caller, desk),
        Call::AuditLog(guild) => guilds::audit_log(guild, caller, desk),
        Call::ActiveThreads(guild) => {
            guild_of(desk.world, caller, guild)?;
            Ok(Reply::Ok(json!({"threads": [], "members": []})))
        }
        Call::GuildChannels(guild) => channels::list(guild, caller, desk),
        Call::CreateChannel(guild) => channels::create(guild, caller, desk),
        Call::MoveChannels(guild) => channels::change_positions(guild, caller, desk),
        Call::Channel(channel) => channels::get(channel, caller, desk),
        Call::EditChannel(channel) => channels::edit(channel, caller, desk),
        Call::DeleteChannel(channel) => channels::delete(channel, caller, desk),
        Call::PutOverwrite(channel, target) => overwrites::put(channel, target, caller, desk),
        Call::DeleteOverwrite(channel, target) => overwrites::delete(channel, target, caller, desk),
        Call::VoiceStatus(channel) => channels::set_voice_status(channel, caller, desk),
        Call::Messages(channel) => messages::list(channel, caller, desk),
        Call::PostMessage(channel) => messages::post(channel, caller, desk),
        Call::Typing(channel) => {
            channel_with(desk.world, caller, channel, Permissions::SEND_MESSAGES)?;
            Ok(Reply::NoContent)
        }
        Call::GuildInvites(guild) => invites::of_guild(guild, caller, desk),
        Call::ChannelInvites(channel) => invites::of_channel(channel, caller, desk),
        Call::CreateInvite(channel) => invites::create(channel, caller, desk),
        Call::Invite(code) => invites::get(code, caller, desk),
        Call::DeleteInvite(code) => invites::delete(code, caller, desk),
        Call::GuildWebhooks(guild) => webhooks::of_guild(guild, caller, desk),
        Call::ChannelWebhooks(channel) => webhooks::of_channel(channel, caller, desk),
        Call::CreateWebhook(channel) => webhooks::create(channel, caller, desk),
        Call::Webhook(webhook) => webhooks::get(webhook, caller, desk),
        Call::EditWebhook(webhook) => webhooks::edit(webhook, caller, desk),
        Call::DeleteWebhook(webhook) => webhooks::delete(webhook, caller, desk),
        Call::Open(call) => serve_anybody(call, caller.request, desk),
        Call::EmptyList => Ok(Reply::Ok(json!([]))),
    }
}
