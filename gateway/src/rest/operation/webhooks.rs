//! Discord's own webhooks (Discord docs, resources/webhook).

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use twilight_http::request::AuditLogReason as _;

use super::{
    channel_id, guild_id,
    messages::{PostedMessage, mentions},
    secret, webhook_id,
};
use crate::{
    id::{ChannelId, GuildId, UserId, WebhookId},
    rest::{
        Caller, Rest, RestError,
        outgoing::Outgoing,
        permission::Permission,
        schedule::{Resource, Route, Verb},
    },
};

const CREATE: Route = Route::new(Verb::Post, "/channels/{channel}/webhooks");
const LIST: Route = Route::new(Verb::Get, "/channels/{channel}/webhooks");
const LIST_OF_GUILD: Route = Route::new(Verb::Get, "/guilds/{guild}/webhooks");
const GET: Route = Route::new(Verb::Get, "/webhooks/{webhook}");
const DELETE: Route = Route::new(Verb::Delete, "/webhooks/{webhook}");
const EXECUTE: Route = Route::new(Verb::Post, "/webhooks/{webhook}/{token}");
const NEEDS: &[Permission] = &[Permission::ManageWebhooks];

/// A webhook to make.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Where it posts.
    pub channel: ChannelId,
    /// 1 to 80 characters, without "clyde" and "discord".
    pub name: String,
}

/// A webhook.
#[derive(Clone, Debug, Deserialize)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Who executes it: 1 whoever has the token, 2 Discord, 3 the application that it belongs to.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Its guild.
    #[serde(rename = "guild_id")]
    pub guild: Option<GuildId>,
    /// Where it posts.
    #[serde(rename = "channel_id")]
    pub channel: Option<ChannelId>,
    /// Who made it; Discord does not always say.
    #[serde(rename = "user", default, deserialize_with = "creator")]
    pub creator: Option<UserId>,
    /// Its name.
    pub name: Option<String>,
    /// What lets anybody post by it. Not for webhooks that another application made.
    #[serde(default, deserialize_with = "secret")]
    pub token: Option<SecretString>,
}

/// Reads the id out of a user.
fn creator<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<UserId>, D::Error> {
    #[derive(Deserialize)]
    struct User {
        id: UserId,
    }
    let user: Option<User> = Deserialize::deserialize(deserializer)?;
    Ok(user.map(|user| user.id))
}

/// Something to post by a webhook.
#[derive(Clone, Debug)]
pub struct WebhookPost {
    /// 1 to 2,000 characters.
    pub content: String,
    /// As whom it is shown; `None` for the webhook's name.
    pub username: Option<String>,
    /// With which picture; `None` for the webhook's.
    pub avatar_url: Option<String>,
    /// Whom it may notify, if the content names them.
    pub notifies: Vec<UserId>,
}

impl Rest {
    /// Makes a webhook. Not safe to repeat. Needs Manage Webhooks.
    pub async fn create_webhook(
        &self,
        guild: GuildId,
        webhook: &NewWebhook,
        reason: &str,
        caller: &Caller,
    ) -> Result<Webhook, RestError> {
        self.ask(self.create_webhook_request(guild, webhook, reason, caller)?).await
    }

    pub(super) fn create_webhook_request(
        &self,
        guild: GuildId,
        webhook: &NewWebhook,
        reason: &str,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let request = self.builder.create_webhook(channel_id(webhook.channel), &webhook.name).reason(reason);
        Ok(Outgoing::new(CREATE, Resource::Channel(webhook.channel), request, caller)?.within(guild).needing(NEEDS))
    }

    /// The webhooks of a channel. Safe to repeat. Needs Manage Webhooks.
    pub async fn list_webhooks(
        &self,
        guild: GuildId,
        channel: ChannelId,
        caller: &Caller,
    ) -> Result<Vec<Webhook>, RestError> {
        let request = self.builder.channel_webhooks(channel_id(channel));
        self.ask(Outgoing::new(LIST, Resource::Channel(channel), request, caller)?.within(guild).needing(NEEDS)).await
    }

    /// The webhooks of all channels of a guild. Safe to repeat. Needs Manage Webhooks.
    pub async fn list_guild_webhooks(&self, guild: GuildId, caller: &Caller) -> Result<Vec<Webhook>, RestError> {
        self.ask(self.list_guild_webhooks_request(guild, caller)?).await
    }

    pub(super) fn list_guild_webhooks_request(&self, guild: GuildId, caller: &Caller) -> Result<Outgoing, RestError> {
        let request = self.builder.guild_webhooks(guild_id(guild));
        Ok(Outgoing::new(LIST_OF_GUILD, Resource::Guild(guild), request, caller)?.needing(NEEDS))
    }

    /// A webhook, which may be of another guild than the one that it is asked for in. Safe to repeat. Needs Manage
    /// Webhooks.
    pub async fn get_webhook(&self, guild: GuildId, webhook: WebhookId, caller: &Caller) -> Result<Webhook, RestError> {
        self.ask(self.get_webhook_request(guild, webhook, caller)?).await
    }

    pub(super) fn get_webhook_request(
        &self,
        guild: GuildId,
        webhook: WebhookId,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let request = self.builder.webhook(webhook_id(webhook));
        Ok(Outgoing::new(GET, Resource::Webhook(webhook), request, caller)?.within(guild).needing(NEEDS))
    }

    /// Deletes a webhook. Safe to repeat. Needs Manage Webhooks.
    pub async fn delete_webhook(
        &self,
        guild: GuildId,
        webhook: WebhookId,
        reason: &str,
        caller: &Caller,
    ) -> Result<(), RestError> {
        self.tell(self.delete_webhook_request(guild, webhook, reason, caller)?).await
    }

    pub(super) fn delete_webhook_request(
        &self,
        guild: GuildId,
        webhook: WebhookId,
        reason: &str,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let request = self.builder.delete_webhook(webhook_id(webhook)).reason(reason);
        Ok(Outgoing::new(DELETE, Resource::Webhook(webhook), request, caller)?
            .within(guild)
            .needing(NEEDS)
            .ending(caller))
    }

    /// Posts by a webhook, and waits until the message is there. Not safe to repeat. Needs nothing but the token.
    pub async fn execute_webhook(
        &self,
        webhook: WebhookId,
        token: &SecretString,
        post: &WebhookPost,
        caller: &Caller,
    ) -> Result<PostedMessage, RestError> {
        self.ask(self.execute_webhook_request(webhook, token, post, caller)?).await
    }

    pub(super) fn execute_webhook_request(
        &self,
        webhook: WebhookId,
        token: &SecretString,
        post: &WebhookPost,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let token = token.expose_secret();
        // The token stands in the path, where anything else could lead elsewhere.
        let shaped = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if token.is_empty() || token == "." || token == ".." || !token.bytes().all(shaped) {
            return Err(RestError::invalid("the webhook's token holds characters that no token has".to_owned()));
        }
        let mentions = mentions(&post.notifies);
        let request = self.builder.execute_webhook(webhook_id(webhook), token).content(&post.content);
        let mut request = request.allowed_mentions(Some(&mentions));
        if let Some(username) = &post.username {
            request = request.username(username);
        }
        if let Some(avatar_url) = &post.avatar_url {
            request = request.avatar_url(avatar_url);
        }
        Outgoing::new(EXECUTE, Resource::Webhook(webhook), request.wait(), caller)
    }
}
