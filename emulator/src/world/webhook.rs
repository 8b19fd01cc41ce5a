//! Webhooks: addresses at which anybody who knows the token may write (Discord docs, Resources § Webhook).

use std::fmt;

use serde_json::json;

use super::World;
use super::event::EventKind;
use super::id::{ChannelId, GuildId, UserId, WebhookId};

/// Webhooks that one channel may have.
pub(crate) const MAX_WEBHOOKS_PER_CHANNEL: usize = 15;
/// Webhooks that one guild may have.
pub(crate) const MAX_WEBHOOKS_PER_GUILD: usize = 1_000;

/// An incoming webhook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Its guild.
    pub guild_id: GuildId,
    /// The channel that it writes to.
    pub channel_id: ChannelId,
    /// The name under which it writes, 1 to 80 characters.
    pub name: String,
    /// Who made it.
    pub creator: UserId,
    /// The application that made it; none when a person did.
    pub application: Option<UserId>,
    /// What opens it.
    pub token: WebhookToken,
}

impl Webhook {
    /// Whether this token is the webhook's.
    pub fn opens_with(&self, token: &str) -> bool {
        self.token.0 == token
    }
}

/// A webhook's token, which is all that one needs to write. It never shows in `Debug`.
#[derive(Clone, Eq, PartialEq)]
pub struct WebhookToken(String);

impl WebhookToken {
    /// The token as it stands in URLs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WebhookToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookToken(…)")
    }
}

/// Why a webhook was not made or changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WebhookError {
    /// No such channel, or not in the webhook's guild.
    #[error("there is no channel {0} here")]
    UnknownChannel(ChannelId),
    /// No such webhook.
    #[error("there is no webhook {0}")]
    UnknownWebhook(WebhookId),
    /// Nobody writes in a category.
    #[error("channel {0} is a category, in which nobody writes")]
    Category(ChannelId),
    /// The channel has its 15 webhooks.
    #[error("channel {0} already has {MAX_WEBHOOKS_PER_CHANNEL} webhooks")]
    ChannelFull(ChannelId),
    /// The guild has its 1,000 webhooks.
    #[error("the guild already has {MAX_WEBHOOKS_PER_GUILD} webhooks")]
    GuildFull,
}

impl World {
    /// A webhook by id.
    pub fn webhook(&self, id: WebhookId) -> Option<&Webhook> {
        self.webhooks.get(&id)
    }

    /// A guild's webhooks, oldest first.
    pub fn webhooks(&self, guild: GuildId) -> impl Iterator<Item = &Webhook> {
        self.webhooks.values().filter(move |webhook| webhook.guild_id == guild)
    }

    /// Makes a webhook that writes to a channel.
    ///
    /// # Errors
    /// The channel is missing, a category, or has too many webhooks, or its guild has.
    pub fn create_webhook(
        &mut self,
        channel: ChannelId,
        creator: UserId,
        name: &str,
    ) -> Result<WebhookId, WebhookError> {
        let guild_id = self.check_webhook_place(channel)?;
        if self.webhooks(guild_id).count() >= MAX_WEBHOOKS_PER_GUILD {
            return Err(WebhookError::GuildFull);
        }
        let id = WebhookId::new(self.mint());
        // Discord's tokens have 68 characters; these have 64.
        let token = WebhookToken(format!("{}{}", self.mint_opaque(), self.mint_opaque()));
        let application = self.bots.contains_key(&creator).then_some(creator);
        let name = name.to_owned();
        self.webhooks.insert(id, Webhook { id, guild_id, channel_id: channel, name, creator, application, token });
        self.tell_webhooks(guild_id, channel);
        Ok(id)
    }

    /// Renames a webhook, or has it write to another channel of its guild.
    ///
    /// # Errors
    /// There is no such webhook, or the channel cannot have it.
    pub fn edit_webhook(
        &mut self,
        id: WebhookId,
        name: Option<&str>,
        channel: Option<ChannelId>,
    ) -> Result<(), WebhookError> {
        let before = self.webhooks.get(&id).ok_or(WebhookError::UnknownWebhook(id))?.clone();
        let mut after = before.clone();
        if let Some(name) = name {
            name.clone_into(&mut after.name);
        }
        if let Some(channel) = channel
            && channel != before.channel_id
        {
            if self.check_webhook_place(channel)? != before.guild_id {
                return Err(WebhookError::UnknownChannel(channel));
            }
            after.channel_id = channel;
        }
        if after == before {
            return Ok(());
        }
        let (guild, to) = (after.guild_id, after.channel_id);
        self.webhooks.insert(id, after);
        if to != before.channel_id {
            self.tell_webhooks(guild, before.channel_id);
        }
        self.tell_webhooks(guild, to);
        Ok(())
    }

    /// Deletes a webhook: its address answers nobody any more.
    ///
    /// # Errors
    /// There is no such webhook.
    pub fn delete_webhook(&mut self, id: WebhookId) -> Result<Webhook, WebhookError> {
        let gone = self.webhooks.remove(&id).ok_or(WebhookError::UnknownWebhook(id))?;
        self.tell_webhooks(gone.guild_id, gone.channel_id);
        Ok(gone)
    }

    /// The webhooks of a channel that is gone go with it, without a word.
    pub(super) fn forget_webhooks_of(&mut self, channel: ChannelId) {
        self.webhooks.retain(|_, webhook| webhook.channel_id != channel);
    }

    fn check_webhook_place(&self, channel: ChannelId) -> Result<GuildId, WebhookError> {
        let place = self.channel(channel).ok_or(WebhookError::UnknownChannel(channel))?;
        if matches!(place.kind, super::ChannelKind::Category) {
            return Err(WebhookError::Category(channel));
        }
        let there = self.webhooks(place.guild_id).filter(|webhook| webhook.channel_id == channel).count();
        if there >= MAX_WEBHOOKS_PER_CHANNEL { Err(WebhookError::ChannelFull(channel)) } else { Ok(place.guild_id) }
    }

    fn tell_webhooks(&mut self, guild: GuildId, channel: ChannelId) {
        self.tell_guild(guild, EventKind::WebhooksUpdate, &json!({"guild_id": guild, "channel_id": channel}));
    }
}
