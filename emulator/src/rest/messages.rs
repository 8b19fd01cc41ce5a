//! Messages over REST (Discord docs, Resources § Message).

use serde_json::{Value, json};

use super::error::ApiError;
use super::form::Form;
use super::{Caller, Handled, Reply, Surroundings, channel_with};
use crate::text::query_value;
use crate::world::{ChannelId, ChannelKind, Message, Permissions, wire};

/// GET /channels/{channel.id}/messages, newest first.
pub(super) fn list(id: ChannelId, caller: &Caller<'_>, around: &Surroundings<'_>) -> Handled {
    let (guild, channel) = channel_with(around.world, caller, id, Permissions::VIEW_CHANNEL)?;
    if matches!(channel.kind, ChannelKind::Category) {
        return Err(ApiError::NotATextChannel.into());
    }
    // Who may not read the history sees an empty one.
    if !guild.permissions_in(caller.bot, channel).contains(Permissions::READ_MESSAGE_HISTORY) {
        return Ok(Reply::Ok(json!([])));
    }
    let number = |name| query_value(caller.request.query, name).and_then(|text| text.parse::<u64>().ok());
    let (before, after) = (number("before"), number("after"));
    let limit = number("limit").unwrap_or(50).clamp(1, 100) as usize;
    let in_range: Vec<&Message> = around
        .world
        .messages(id)
        .iter()
        .filter(|message| before.is_none_or(|before| message.id.get() < before))
        .filter(|message| after.is_none_or(|after| message.id.get() > after))
        .collect();
    // `after` pages upwards from there, everything else downwards from the newest.
    let start = if after.is_some() { 0 } else { in_range.len().saturating_sub(limit) };
    let page: Vec<Value> = in_range[start..]
        .iter()
        .take(limit)
        .rev()
        .filter_map(|message| Some(wire::message(message, around.world.known_user(message.author)?)))
        .collect();
    Ok(Reply::Ok(Value::Array(page)))
}

/// POST /channels/{channel.id}/messages.
pub(super) fn post(id: ChannelId, caller: &Caller<'_>, around: &mut Surroundings<'_>) -> Handled {
    let (_, channel) = channel_with(around.world, caller, id, Permissions::SEND_MESSAGES)?;
    if matches!(channel.kind, ChannelKind::Category) {
        return Err(ApiError::NotATextChannel.into());
    }
    let mut form = Form::parse(caller.request.body)?;
    let content = form.text("content", 0..=2_000).unwrap_or_default();
    let tts = form.switch("tts").unwrap_or(false);
    let embeds = form.raw("embeds").and_then(Value::as_array).cloned().unwrap_or_default();
    if embeds.len() > 10 {
        form.refuse(&["embeds"], "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.");
    }
    form.finish()?;
    if content.trim().is_empty() && embeds.is_empty() {
        return Err(ApiError::EmptyMessage.into());
    }
    let message = around.world.post_message(id, caller.bot, &content, tts, embeds);
    let message = message.ok_or(ApiError::NotATextChannel)?;
    let stored = around.world.messages(id).iter().find(|stored| stored.id == message);
    let author = around.world.known_user(caller.bot).ok_or(ApiError::UnknownUser)?;
    stored.map(|stored| Reply::Ok(wire::message(stored, author))).ok_or_else(|| ApiError::UnknownChannel.into())
}
