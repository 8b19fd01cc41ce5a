//! Webhooks over REST (Discord docs, Resources § Webhook).

use serde_json::Value;

use super::access::{channel_with, guild_with, webhook_with};
use super::error::ApiError;
use super::form::Form;
use super::messages::{self, Draft};
use super::{Caller, Desk, Handled, Refused, Reply, Request};
use crate::world::{AuditAction, Author, ChannelId, GuildId, Permissions, Webhook, WebhookId, World, changes, wire};

/// What a webhook's name must not contain, in any letter case.
const RESERVED: [&str; 2] = ["clyde", "discord"];
/// Fields of a webhook that the audit log follows.
const AUDITED: [&str; 3] = ["name", "channel_id", "type"];

/// GET /channels/{channel.id}/webhooks.
pub(super) fn of_channel(channel: ChannelId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let (guild, _) = channel_with(desk.world, caller, channel, Permissions::MANAGE_WEBHOOKS)?;
    let webhooks = desk.world.webhooks(guild.id).filter(|webhook| webhook.channel_id == channel);
    Ok(Reply::Ok(webhooks.map(|webhook| managed(desk.world, webhook, caller)).collect()))
}

/// GET /guilds/{guild.id}/webhooks.
pub(super) fn of_guild(guild: GuildId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    guild_with(desk.world, caller, guild, Permissions::MANAGE_WEBHOOKS)?;
    let webhooks = desk.world.webhooks(guild);
    Ok(Reply::Ok(webhooks.map(|webhook| managed(desk.world, webhook, caller)).collect()))
}

/// POST /channels/{channel.id}/webhooks.
pub(super) fn create(channel: ChannelId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let (guild, _) = channel_with(desk.world, caller, channel, Permissions::MANAGE_WEBHOOKS)?;
    let guild_id = guild.id;
    let mut form = Form::parse(caller.request.body)?;
    form.require("name");
    let name = read_name(&mut form, "name");
    form.finish()?;
    let id = desk.world.create_webhook(channel, caller.bot, &name.unwrap_or_default()).map_err(ApiError::from)?;
    let shown = managed(desk.world, desk.world.webhook(id).ok_or(ApiError::UnknownWebhook)?, caller);
    let noted = changes(&Value::Null, &shown, &AUDITED);
    desk.audit(caller, guild_id, AuditAction::WebhookCreate, Some(id.get()), noted);
    Ok(Reply::Ok(shown))
}

/// GET /webhooks/{webhook.id}: for its application, and for whoever manages webhooks in the channel.
pub(super) fn get(id: WebhookId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let webhook = desk.world.webhook(id).ok_or(ApiError::UnknownWebhook)?;
    if webhook.application != Some(caller.bot) {
        webhook_with(desk.world, caller, id)?;
    }
    Ok(Reply::Ok(managed(desk.world, webhook, caller)))
}

/// PATCH /webhooks/{webhook.id}.
pub(super) fn edit(id: WebhookId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let before = webhook_with(desk.world, caller, id)?.clone();
    let mut form = Form::parse(caller.request.body)?;
    let name = read_name(&mut form, "name");
    let channel = form.snowflake("channel_id").flatten().map(ChannelId::new);
    form.finish()?;
    if let Some(channel) = channel {
        channel_with(desk.world, caller, channel, Permissions::MANAGE_WEBHOOKS)?;
    }
    desk.world.edit_webhook(id, name.as_deref(), channel).map_err(ApiError::from)?;
    let after = desk.world.webhook(id).ok_or(ApiError::UnknownWebhook)?;
    let shown = managed(desk.world, after, caller);
    let noted = changes(&wire::webhook_for_anybody(&before), &shown, &AUDITED);
    if !noted.is_empty() {
        desk.audit(caller, before.guild_id, AuditAction::WebhookUpdate, Some(id.get()), noted);
    }
    Ok(Reply::Ok(shown))
}

/// DELETE /webhooks/{webhook.id}.
pub(super) fn delete(id: WebhookId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    webhook_with(desk.world, caller, id)?;
    let gone = desk.world.delete_webhook(id).map_err(ApiError::from)?;
    let noted = changes(&wire::webhook_for_anybody(&gone), &Value::Null, &AUDITED);
    desk.audit(caller, gone.guild_id, AuditAction::WebhookDelete, Some(id.get()), noted);
    Ok(Reply::NoContent)
}

/// GET /webhooks/{webhook.id}/{webhook.token}.
pub(super) fn get_with_token(id: WebhookId, token: &str, desk: &Desk<'_>) -> Handled {
    Ok(Reply::Ok(wire::webhook_for_anybody(opened(desk.world, id, token)?)))
}

/// PATCH /webhooks/{webhook.id}/{webhook.token}: the name alone.
pub(super) fn edit_with_token(id: WebhookId, token: &str, request: &Request<'_>, desk: &mut Desk<'_>) -> Handled {
    opened(desk.world, id, token)?;
    let mut form = Form::parse(request.body)?;
    let name = read_name(&mut form, "name");
    form.finish()?;
    desk.world.edit_webhook(id, name.as_deref(), None).map_err(ApiError::from)?;
    get_with_token(id, token, desk)
}

/// DELETE /webhooks/{webhook.id}/{webhook.token}.
pub(super) fn delete_with_token(id: WebhookId, token: &str, desk: &mut Desk<'_>) -> Handled {
    opened(desk.world, id, token)?;
    desk.world.delete_webhook(id).map_err(ApiError::from)?;
    Ok(Reply::NoContent)
}

/// POST /webhooks/{webhook.id}/{webhook.token}: the message with `wait`, nothing without.
pub(super) fn execute(id: WebhookId, token: &str, request: &Request<'_>, desk: &mut Desk<'_>) -> Handled {
    let webhook = opened(desk.world, id, token)?.clone();
    let mut query = Form::query(request.query);
    let wait = query.switch("wait").unwrap_or(false);
    query.finish()?;
    let mut form = Form::parse(request.body)?;
    let name = read_name(&mut form, "username");
    let author = Author::Webhook { id, name: name.unwrap_or(webhook.name), application: webhook.application };
    let draft = Draft::read(&mut form)?;
    desk.limits.admit_channel_write(webhook.channel_id, desk.world.now()).map_err(Refused::Limited)?;
    let message = desk.world.post_message(webhook.channel_id, draft.by(author)).ok_or(ApiError::NotATextChannel)?;
    if wait { messages::shown(webhook.channel_id, message, desk) } else { Ok(Reply::NoContent) }
}

/// The webhook, if this is its token.
fn opened<'w>(world: &'w World, id: WebhookId, token: &str) -> Result<&'w Webhook, ApiError> {
    let webhook = world.webhook(id).ok_or(ApiError::UnknownWebhook)?;
    if webhook.opens_with(token) { Ok(webhook) } else { Err(ApiError::WrongWebhookToken) }
}

/// A webhook as its managers see it; the token is shown to the application that made it, as at Discord.
fn managed(world: &World, webhook: &Webhook, caller: &Caller<'_>) -> Value {
    let mut shown = wire::webhook(world, webhook);
    if webhook.application.is_some_and(|application| application != caller.bot)
        && let Some(fields) = shown.as_object_mut()
    {
        fields.remove("token");
    }
    shown
}

/// A name of 1 to 80 characters that does not pass for Discord's own.
fn read_name(form: &mut Form, field: &str) -> Option<String> {
    let name = form.text(field, 1..=80)?;
    let lower = name.to_lowercase();
    for word in RESERVED.iter().filter(|word| lower.contains(*word)) {
        let message = format!("Username cannot contain \"{word}\"");
        form.refuse(&[field], "USERNAME_INVALID_CONTAINS", &message);
    }
    Some(name)
}
