//! From method and path to what is asked for.

use http::Method;

use super::error::{ApiError, FormErrors};
use crate::world::{ChannelId, GuildId, UserId, WebhookId};

/// A request's target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Route<'a> {
    /// Method and path template: the bucket, the key of [`Stats::rest`](crate::Stats::rest) and of faults.
    pub template: &'static str,
    /// The top-level resource in the path (guild, channel or webhook) that splits the bucket; 0 = none.
    pub resource: u64,
    /// What is asked for.
    pub call: Call<'a>,
}

/// What REST can be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call<'a> {
    /// What needs no bot.
    Open(OpenCall<'a>),
    GatewayBot,
    Application,
    CurrentUser,
    CurrentUserGuilds,
    User(UserId),
    VoiceRegions,
    Guild(GuildId),
    GuildChannels(GuildId),
    CreateChannel(GuildId),
    MoveChannels(GuildId),
    Roles(GuildId),
    Members(GuildId),
    Member(GuildId, Who),
    EditMember(GuildId, Who),
    VoiceState(GuildId, Who),
    EditVoiceState(GuildId, Who),
    AuditLog(GuildId),
    GuildInvites(GuildId),
    GuildWebhooks(GuildId),
    ActiveThreads(GuildId),
    Channel(ChannelId),
    EditChannel(ChannelId),
    DeleteChannel(ChannelId),
    Messages(ChannelId),
    PostMessage(ChannelId),
    Typing(ChannelId),
    PutOverwrite(ChannelId, u64),
    DeleteOverwrite(ChannelId, u64),
    VoiceStatus(ChannelId),
    ChannelInvites(ChannelId),
    CreateInvite(ChannelId),
    Invite(&'a str),
    DeleteInvite(&'a str),
    ChannelWebhooks(ChannelId),
    CreateWebhook(ChannelId),
    Webhook(WebhookId),
    EditWebhook(WebhookId),
    DeleteWebhook(WebhookId),
    /// A list that Discord has and the emulator keeps empty.
    EmptyList,
}

/// What anybody can ask for: the gateway's address, and of a webhook whatever its token opens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OpenCall<'a> {
    Gateway,
    Webhook(WebhookId, &'a str),
    EditWebhook(WebhookId, &'a str),
    DeleteWebhook(WebhookId, &'a str),
    ExecuteWebhook(WebhookId, &'a str),
}

/// A user in a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Who {
    /// `@me`.
    Myself,
    /// By id.
    User(UserId),
}

impl Call<'_> {
    /// Whether a webhook's token stands for the bot's: such requests do not count against the bot's global limit.
    pub(crate) const fn has_webhook_token(self) -> bool {
        matches!(self, Self::Open(call) if !matches!(call, OpenCall::Gateway))
    }

    /// Whether it is about a webhook: one that is gone must not be asked again.
    pub(crate) const fn is_webhook(self) -> bool {
        self.has_webhook_token() || matches!(self, Self::Webhook(_) | Self::EditWebhook(_) | Self::DeleteWebhook(_))
    }
}

impl<'a> Route<'a> {
    /// Reads a path below `/api`, with or without a version.
    pub(crate) fn parse(method: &Method, path: &'a str) -> Result<Self, ApiError> {
        let below = path.strip_prefix("/api").ok_or(ApiError::NotFound)?;
        let mut steps: Vec<&'a str> = below.split('/').filter(|step| !step.is_empty()).collect();
        if let Some(version) = steps.first().and_then(|step| step.strip_prefix('v'))
            && version.bytes().all(|byte| byte.is_ascii_digit())
        {
            if !matches!(version, "9" | "10") {
                return Err(ApiError::InvalidApiVersion);
            }
            steps.remove(0);
        }
        let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        match Self::find(method, &steps)? {
            Some(route) => Ok(route),
            None if methods.iter().any(|other| matches!(Self::find(other, &steps), Ok(Some(_)))) => {
                Err(ApiError::MethodNotAllowed)
            }
            None => Err(ApiError::NotFound),
        }
    }

    fn find(method: &Method, steps: &[&'a str]) -> Result<Option<Self>, ApiError> {
        let plain = |template, call| Ok(Some(Self { template, resource: 0, call }));
        let get = *method == Method::GET;
        match *steps {
            ["gateway"] if get => plain("GET /gateway", Call::Open(OpenCall::Gateway)),
            ["gateway", "bot"] if get => plain("GET /gateway/bot", Call::GatewayBot),
            ["oauth2", "applications", "@me"] if get => plain("GET /oauth2/applications/@me", Call::Application),
            ["applications", "@me"] if get => plain("GET /applications/@me", Call::Application),
            ["applications", _, ..] if get => plain("GET /applications/{application.id}/…", Call::EmptyList),
            ["users", "@me"] if get => plain("GET /users/@me", Call::CurrentUser),
            ["users", "@me", "guilds"] if get => plain("GET /users/@me/guilds", Call::CurrentUserGuilds),
            ["users", "@me", _] if get => plain("GET /users/@me/…", Call::EmptyList),
            ["users", id] if get => plain("GET /users/{user.id}", Call::User(UserId::new(read("user_id", id)?))),
            ["voice", "regions"] if get => plain("GET /voice/regions", Call::VoiceRegions),
            ["sticker-packs" | "soundboard-default-sounds"] if get => plain("GET /…", Call::EmptyList),
            ["guilds", id, ref rest @ ..] => Self::in_guild(method, GuildId::new(read("guild_id", id)?), rest),
            ["channels", id, ref rest @ ..] => Self::in_channel(method, ChannelId::new(read("channel_id", id)?), rest),
            ["webhooks", id, ref rest @ ..] => Self::of_webhook(method, WebhookId::new(read("webhook_id", id)?), rest),
            ["invites", code] if get => plain("GET /invites/{invite.code}", Call::Invite(code)),
            ["invites", code] if *method == Method::DELETE => {
                plain("DELETE /invites/{invite.code}", Call::DeleteInvite(code))
            }
            _ => Ok(None),
        }
    }

    fn in_guild(method: &Method, guild: GuildId, steps: &[&'a str]) -> Result<Option<Self>, ApiError> {
        let (template, call) = match (method.as_str(), steps) {
            ("GET", []) => ("GET /guilds/{guild.id}", Call::Guild(guild)),
            ("GET", ["channels"]) => ("GET /guilds/{guild.id}/channels", Call::GuildChannels(guild)),
            ("POST", ["channels"]) => ("POST /guilds/{guild.id}/channels", Call::CreateChannel(guild)),
            ("PATCH", ["channels"]) => ("PATCH /guilds/{guild.id}/channels", Call::MoveChannels(guild)),
            ("GET", ["roles"]) => ("GET /guilds/{guild.id}/roles", Call::Roles(guild)),
            ("GET", ["members"]) => ("GET /guilds/{guild.id}/members", Call::Members(guild)),
            ("GET", ["members", who]) => {
                ("GET /guilds/{guild.id}/members/{user.id}", Call::Member(guild, Who::read(who)?))
            }
            ("PATCH", ["members", who]) => {
                ("PATCH /guilds/{guild.id}/members/{user.id}", Call::EditMember(guild, Who::read(who)?))
            }
            ("GET", ["voice-states", who]) => {
                ("GET /guilds/{guild.id}/voice-states/{user.id}", Call::VoiceState(guild, Who::read(who)?))
            }
            ("PATCH", ["voice-states", who]) => {
                ("PATCH /guilds/{guild.id}/voice-states/{user.id}", Call::EditVoiceState(guild, Who::read(who)?))
            }
            ("GET", ["audit-logs"]) => ("GET /guilds/{guild.id}/audit-logs", Call::AuditLog(guild)),
            ("GET", ["invites"]) => ("GET /guilds/{guild.id}/invites", Call::GuildInvites(guild)),
            ("GET", ["webhooks"]) => ("GET /guilds/{guild.id}/webhooks", Call::GuildWebhooks(guild)),
            ("GET", ["regions"]) => ("GET /guilds/{guild.id}/regions", Call::VoiceRegions),
            ("GET", ["threads", "active"]) => ("GET /guilds/{guild.id}/threads/active", Call::ActiveThreads(guild)),
            (
                "GET",
                [
                    "emojis" | "stickers" | "bans" | "integrations" | "scheduled-events" | "templates"
                    | "soundboard-sounds",
                ],
            ) => ("GET /guilds/{guild.id}/…", Call::EmptyList),
            _ => return Ok(None),
        };
        Ok(Some(Self { template, resource: guild.get(), call }))
    }

    fn in_channel(method: &Method, channel: ChannelId, steps: &[&'a str]) -> Result<Option<Self>, ApiError> {
        let (template, call) = match (method.as_str(), steps) {
            ("GET", []) => ("GET /channels/{channel.id}", Call::Channel(channel)),
            ("PATCH", []) => ("PATCH /channels/{channel.id}", Call::EditChannel(channel)),
            ("DELETE", []) => ("DELETE /channels/{channel.id}", Call::DeleteChannel(channel)),
            ("GET", ["messages"]) => ("GET /channels/{channel.id}/messages", Call::Messages(channel)),
            ("POST", ["messages"]) => ("POST /channels/{channel.id}/messages", Call::PostMessage(channel)),
            ("POST", ["typing"]) => ("POST /channels/{channel.id}/typing", Call::Typing(channel)),
            ("PUT", ["permissions", id]) => (
                "PUT /channels/{channel.id}/permissions/{overwrite.id}",
                Call::PutOverwrite(channel, read("overwrite_id", id)?),
            ),
            ("DELETE", ["permissions", id]) => (
                "DELETE /channels/{channel.id}/permissions/{overwrite.id}",
                Call::DeleteOverwrite(channel, read("overwrite_id", id)?),
            ),
            ("PUT", ["voice-status"]) => ("PUT /channels/{channel.id}/voice-status", Call::VoiceStatus(channel)),
            ("GET", ["invites"]) => ("GET /channels/{channel.id}/invites", Call::ChannelInvites(channel)),
            ("POST", ["invites"]) => ("POST /channels/{channel.id}/invites", Call::CreateInvite(channel)),
            ("GET", ["webhooks"]) => ("GET /channels/{channel.id}/webhooks", Call::ChannelWebhooks(channel)),
            ("POST", ["webhooks"]) => ("POST /channels/{channel.id}/webhooks", Call::CreateWebhook(channel)),
            ("GET", ["pins"]) => ("GET /channels/{channel.id}/…", Call::EmptyList),
            _ => return Ok(None),
        };
        Ok(Some(Self { template, resource: channel.get(), call }))
    }

    fn of_webhook(method: &Method, webhook: WebhookId, steps: &[&'a str]) -> Result<Option<Self>, ApiError> {
        let (template, call) = match (method.as_str(), steps) {
            ("GET", []) => ("GET /webhooks/{webhook.id}", Call::Webhook(webhook)),
            ("PATCH", []) => ("PATCH /webhooks/{webhook.id}", Call::EditWebhook(webhook)),
            ("DELETE", []) => ("DELETE /webhooks/{webhook.id}", Call::DeleteWebhook(webhook)),
            ("GET", [token]) => {
                ("GET /webhooks/{webhook.id}/{webhook.token}", Call::Open(OpenCall::Webhook(webhook, token)))
            }
            ("PATCH", [token]) => {
                ("PATCH /webhooks/{webhook.id}/{webhook.token}", Call::Open(OpenCall::EditWebhook(webhook, token)))
            }
            ("DELETE", [token]) => {
                ("DELETE /webhooks/{webhook.id}/{webhook.token}", Call::Open(OpenCall::DeleteWebhook(webhook, token)))
            }
            ("POST", [token]) => {
                ("POST /webhooks/{webhook.id}/{webhook.token}", Call::Open(OpenCall::ExecuteWebhook(webhook, token)))
            }
            _ => return Ok(None),
        };
        Ok(Some(Self { template, resource: webhook.get(), call }))
    }
}

impl Who {
    fn read(step: &str) -> Result<Self, ApiError> {
        if step == "@me" { Ok(Self::Myself) } else { read("user_id", step).map(|id| Self::User(UserId::new(id))) }
    }

    /// The user meant, when `bot` asks.
    pub(crate) const fn or(self, bot: UserId) -> UserId {
        match self {
            Self::Myself => bot,
            Self::User(user) => user,
        }
    }
}

fn read(field: &str, step: &str) -> Result<u64, ApiError> {
    step.parse()
        .ok()
        .filter(|id| *id != 0)
        .ok_or_else(|| FormErrors::one(&[field], "NUMBER_TYPE_COERCE", &format!("Value \"{step}\" is not snowflake.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_9_and_10_and_none_lead_to_the_same_route() {
        for path in ["/api/v10/guilds/5/channels", "/api/v9/guilds/5/channels", "/api/guilds/5/channels"] {
            let route = Route::parse(&Method::POST, path).unwrap();
            assert_eq!((route.call, route.resource), (Call::CreateChannel(GuildId::new(5)), 5));
        }
        assert_eq!(Route::parse(&Method::GET, "/api/v5/gateway"), Err(ApiError::InvalidApiVersion));
        assert_eq!(Route::parse(&Method::GET, "/api/v10/nowhere"), Err(ApiError::NotFound));
        assert_eq!(Route::parse(&Method::PUT, "/api/v10/guilds/5"), Err(ApiError::MethodNotAllowed));
        assert!(matches!(Route::parse(&Method::GET, "/api/v10/guilds/five"), Err(ApiError::InvalidForm(_))));
    }
}
