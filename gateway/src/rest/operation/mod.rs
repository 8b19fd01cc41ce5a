//! What Parlor asks of Discord: one function for each route, with plain types in and out.
//!
//! Each function builds its request in one place and sends it in another, so that tests read what would be sent.
//! Every function documents what the bot needs; [`Refusal::MissingPermissions`](super::Refusal::MissingPermissions)
//! names it again.

mod account;
mod audit_log;
mod invites;
mod members;
mod messages;
mod overwrites;
mod rooms;
mod webhooks;

#[cfg(test)]
mod tests;

use secrecy::SecretString;
use twilight_model::id::{Id, marker};

pub use self::{
    account::{CurrentUser, GatewayInfo, SessionStartLimit, VoiceRegion},
    audit_log::{AuditAction, AuditEntry, AuditQuery},
    invites::{Invite, NewInvite},
    members::{MemberChange, VoiceMove},
    messages::{NewMessage, PostedMessage},
    overwrites::{Overwrite, OverwriteTarget},
    rooms::{Channel, ChannelKind, NewRoom, RoomChange},
    webhooks::{NewWebhook, Webhook, WebhookPost},
};
use crate::id::{ChannelId, GuildId, UserId, WebhookId};

/// Ids as twilight has them. Discord has no id 0, which twilight cannot hold.
fn guild_id(guild: GuildId) -> Id<marker::GuildMarker> {
    Id::new(guild.get())
}

fn channel_id(channel: ChannelId) -> Id<marker::ChannelMarker> {
    Id::new(channel.get())
}

fn user_id(user: UserId) -> Id<marker::UserMarker> {
    Id::new(user.get())
}

fn webhook_id(webhook: WebhookId) -> Id<marker::WebhookMarker> {
    Id::new(webhook.get())
}

/// Reads a secret.
fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let text: Option<String> = serde::Deserialize::deserialize(deserializer)?;
    Ok(text.map(SecretString::from))
}
