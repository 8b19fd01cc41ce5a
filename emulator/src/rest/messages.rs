//! Messages over REST (Discord docs, Resources § Message).

use serde_json::{Value, json};

use super::access::channel_with;
use super::error::ApiError;
use super::form::{Form, read_snowflake};
use super::{Caller, Desk, Handled, Refused, Reply};
use crate::world::{Author, ChannelId, ChannelKind, Message, MessageId, NewMessage, Permissions, wire};

/// The longest nonce that is a text.
const MAX_NONCE: usize = 25;

/// GET /channels/{channel.id}/messages, newest first.
pub(super) fn list(id: ChannelId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let (guild, channel) = channel_with(desk.world, caller, id, Permissions::VIEW_CHANNEL)?;
    if matches!(channel.kind, ChannelKind::Category) {
        return Err(ApiError::NotATextChannel.into());
    }
    let mut form = Form::query(caller.request.query);
    let before = form.number("before", 0..=i64::MAX).map(i64::unsigned_abs);
    let after = form.number("after", 0..=i64::MAX).map(i64::unsigned_abs);
    let limit = form.number("limit", 1..=100).unwrap_or(50);
    form.finish()?;
    // Who may not read the history sees an empty one.
    if !guild.permissions_in(caller.bot, channel).contains(Permissions::READ_MESSAGE_HISTORY) {
        return Ok(Reply::Ok(json!([])));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let in_range: Vec<&Message> = desk
        .world
        .messages(id)
        .iter()
        .filter(|message| before.is_none_or(|before| message.id.get() < before))
        .filter(|message| after.is_none_or(|after| message.id.get() > after))
        .collect();
    // `after` pages upwards from there, everything else downwards from the newest.
    let start = if after.is_some() { 0 } else { in_range.len().saturating_sub(limit) };
    let page = in_range[start..].iter().take(limit).rev();
    Ok(Reply::Ok(page.filter_map(|message| wire::message(desk.world, message)).collect()))
}

/// POST /channels/{channel.id}/messages.
pub(super) fn post(id: ChannelId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let (guild, channel) = channel_with(desk.world, caller, id, Permissions::SEND_MESSAGES)?;
    if matches!(channel.kind, ChannelKind::Category) {
        return Err(ApiError::NotATextChannel.into());
    }
    let may = guild.permissions_in(caller.bot, channel);
    let mut form = Form::parse(caller.request.body)?;
    let once = form.switch("enforce_nonce").unwrap_or(false);
    let draft = Draft::read(&mut form)?;
    let needed = [(draft.tts, Permissions::SEND_TTS_MESSAGES), (!draft.embeds.is_empty(), Permissions::EMBED_LINKS)];
    if needed.iter().any(|(asked, permission)| *asked && !may.contains(*permission)) {
        return Err(ApiError::MissingPermissions.into());
    }
    let author = Author::User(caller.bot);
    // With `enforce_nonce` a repeat is answered with the first message, and writes none.
    if once
        && let Some(nonce) = &draft.nonce
        && let Some(first) = desk.world.message_with_nonce(id, &author, nonce)
    {
        return shown(id, first, desk);
    }
    desk.limits.admit_channel_write(id, desk.world.now()).map_err(Refused::Limited)?;
    let message = desk.world.post_message(id, draft.by(author)).ok_or(ApiError::NotATextChannel)?;
    shown(id, message, desk)
}

/// A message that was just written, or was there already.
pub(super) fn shown(channel: ChannelId, message: MessageId, desk: &Desk<'_>) -> Handled {
    let stored = desk.world.messages(channel).iter().find(|stored| stored.id == message);
    let body = stored.and_then(|stored| wire::message(desk.world, stored));
    body.map(Reply::Ok).ok_or_else(|| ApiError::UnknownChannel.into())
}

/// What a form says that should be written.
pub(super) struct Draft {
    content: String,
    tts: bool,
    embeds: Vec<Value>,
    nonce: Option<Value>,
}

impl Draft {
    /// Reads a message's form to its end.
    pub(super) fn read(form: &mut Form) -> Result<Self, ApiError> {
        let content = form.text("content", 0..=2_000).unwrap_or_default();
        let tts = form.switch("tts").unwrap_or(false);
        let embeds = form.objects("embeds", 10).unwrap_or_default();
        let nonce = form.raw("nonce").cloned();
        if let Some(nonce) = &nonce {
            match nonce.as_str() {
                Some(text) if text.chars().count() <= MAX_NONCE => {}
                None if nonce.is_u64() => {}
                Some(_) | None => {
                    let message = format!("Must be {MAX_NONCE} or fewer in length.");
                    form.refuse(&["nonce"], "BASE_TYPE_MAX_LENGTH", &message);
                }
            }
        }
        check_mentions(form);
        form.finish()?;
        if content.trim().is_empty() && embeds.is_empty() {
            return Err(ApiError::EmptyMessage);
        }
        Ok(Self { content, tts, embeds, nonce })
    }

    /// The message, once it is known who writes it.
    pub(super) fn by(self, author: Author) -> NewMessage {
        let Self { content, tts, embeds, nonce } = self;
        NewMessage { author, content, tts, embeds, nonce }
    }
}

/// How many users a message may name as those to notify (Discord docs, resources/message, "Allowed Mentions Object").
const MAX_NOTIFIED: usize = 100;

fn check_mentions(form: &mut Form) {
    let Some(users) = form.raw("allowed_mentions").and_then(|mentions| mentions.get("users")).cloned() else { return };
    let users = users.as_array().cloned().unwrap_or_default();
    if users.len() > MAX_NOTIFIED {
        let message = format!("Must be {MAX_NOTIFIED} or fewer in length.");
        form.refuse(&["allowed_mentions", "users"], "BASE_TYPE_MAX_LENGTH", &message);
    }
    for (index, user) in users.iter().enumerate().filter(|(_, user)| read_snowflake(user).is_none()) {
        let message = format!("Value {user} is not snowflake.");
        form.refuse(&["allowed_mentions", "users", &index.to_string()], "NUMBER_TYPE_COERCE", &message);
    }
}
