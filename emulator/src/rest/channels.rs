//! Channels over REST (Discord docs, Resources § Channel and § Guild).

use serde_json::{Map, Value};

use super::access::{Grant, channel_with, guild_of, guild_with};
use super::error::{ApiError, FormErrors};
use super::form::{Form, read_snowflake};
use super::{Caller, Desk, Handled, Refused, Reply, account, overwrites};
use crate::world::{
    AuditAction, Channel, ChannelEdit, ChannelId, ChannelKind, Guild, GuildId, NewChannel, Permissions, VoiceSettings,
    changes, wire,
};

/// Discord docs, Channel Object: `rate_limit_per_user`.
const MAX_SLOWMODE_SECONDS: i64 = 21_600;
/// The highest bitrate of a stage channel at any boost level.
const MAX_STAGE_BITRATE: u32 = 64_000;
/// Fields of a channel that the audit log follows; overwrites have entries of their own once the channel is there.
const AUDITED: [&str; 9] = [
    "name",
    "type",
    "topic",
    "bitrate",
    "user_limit",
    "nsfw",
    "rate_limit_per_user",
    "rtc_region",
    "video_quality_mode",
];

pub(super) fn list(guild: GuildId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let guild = guild_of(desk.world, caller, guild)?;
    Ok(Reply::Ok(guild.channels.values().map(wire::channel).collect()))
}

pub(super) fn get(channel: ChannelId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let (_, channel) = channel_with(desk.world, caller, channel, Permissions::VIEW_CHANNEL)?;
    Ok(Reply::Ok(wire::channel(channel)))
}

pub(super) fn create(guild_id: GuildId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let guild = guild_of(desk.world, caller, guild_id)?;
    let mut form = Form::parse(caller.request.body)?;
    form.require("name");
    let kind = match form.choice("type", &[0, 2, 4, 13]) {
        Some(2) => ChannelKind::Voice(VoiceSettings::default()),
        Some(4) => ChannelKind::Category,
        Some(13) => ChannelKind::Stage(VoiceSettings::default()),
        Some(_) | None => ChannelKind::Text { topic: None },
    };
    let mut edit = read_edit(&mut form, &kind, guild);
    let parent = edit.parent_id.flatten().and_then(|parent| guild.channels.get(&parent));
    check_place(guild, parent, caller)?;
    form.finish()?;
    // Who names no overwrites gets those of the category (Discord docs, Permissions § Permission Syncing).
    if form.raw("permission_overwrites").is_none() {
        edit.overwrites = parent.map(|parent| parent.overwrites.clone());
    } else if let Some(wanted) = &edit.overwrites {
        Grant::InNewChannel(guild).check(caller.bot, &[], wanted)?;
    }
    desk.limits.admit_guild_write(guild_id, desk.world.now()).map_err(Refused::Limited)?;
    let id = desk.world.create_channel(guild_id, filled(edit, kind))?;
    let shown = wire::channel(desk.world.channel(id).ok_or(ApiError::UnknownChannel)?);
    let fields = [&AUDITED[..], &["permission_overwrites"]].concat();
    let noted = changes(&Value::Null, &shown, &fields);
    desk.audit(caller, guild_id, AuditAction::ChannelCreate, Some(id.get()), noted);
    Ok(Reply::Created(shown))
}

/// A new channel needs MANAGE_CHANNELS where it will stand: in the guild, or in the category above it.
fn check_place(guild: &Guild, parent: Option<&Channel>, caller: &Caller<'_>) -> Result<(), ApiError> {
    let may = match parent {
        Some(parent) => guild.permissions_in(caller.bot, parent),
        None => guild.base_permissions(caller.bot),
    };
    if may.contains(Permissions::MANAGE_CHANNELS) { Ok(()) } else { Err(ApiError::MissingPermissions) }
}

/// A new channel with the settings of a form.
fn filled(edit: ChannelEdit, kind: ChannelKind) -> NewChannel {
    let position = edit.position;
    let mut blank = Channel {
        id: ChannelId::new(1),
        guild_id: GuildId::new(1),
        name: String::new(),
        kind,
        position: 0,
        parent_id: None,
        overwrites: Vec::new(),
        nsfw: false,
        rate_limit_per_user: 0,
        last_message_id: None,
    };
    edit.apply(&mut blank);
    NewChannel {
        name: blank.name,
        kind: blank.kind,
        position,
        parent_id: blank.parent_id,
        overwrites: blank.overwrites,
        nsfw: blank.nsfw,
        rate_limit_per_user: blank.rate_limit_per_user,
    }
}

pub(super) fn edit(id: ChannelId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let (guild, channel) = channel_with(desk.world, caller, id, Permissions::MANAGE_CHANNELS)?;
    let mut form = Form::parse(caller.request.body)?;
    // Only text and announcement channels change their type, which the emulator does not offer.
    if form.choice("type", &[i64::from(channel.kind.wire_type())]).is_none() && form.has("type") {
        form.finish()?;
    }
    let edit = read_edit(&mut form, &channel.kind, guild);
    form.finish()?;
    if let Some(wanted) = &edit.overwrites {
        if !guild.permissions_in(caller.bot, channel).contains(Permissions::MANAGE_ROLES) {
            return Err(ApiError::MissingPermissions.into());
        }
        Grant::InChannel(guild, channel).check(caller.bot, &channel.overwrites, wanted)?;
    }
    let moved = edit.parent_id.filter(|parent| *parent != channel.parent_id);
    if let Some(parent) = moved {
        check_place(guild, parent.and_then(|parent| guild.channels.get(&parent)), caller)?;
    }
    let old_topic = match &channel.kind {
        ChannelKind::Text { topic } => topic.clone(),
        ChannelKind::Voice(_) | ChannelKind::Category | ChannelKind::Stage(_) => None,
    };
    let renamed = edit.name.as_ref().is_some_and(|name| *name != channel.name);
    let retold = edit.topic.as_ref().is_some_and(|topic| *topic != old_topic);
    let (guild_id, before) = (guild.id, channel.clone());
    let now = desk.world.now();
    if renamed || retold {
        desk.limits.admit_rename(id, now).map_err(Refused::Limited)?;
    }
    desk.limits.admit_guild_write(guild_id, now).map_err(Refused::Limited)?;
    desk.world.edit_channel(id, edit)?;
    let after = desk.world.channel(id).ok_or(ApiError::UnknownChannel)?.clone();
    let shown = wire::channel(&after);
    let noted = changes(&wire::channel(&before), &shown, &AUDITED);
    if !noted.is_empty() {
        desk.audit(caller, guild_id, AuditAction::ChannelUpdate, Some(id.get()), noted);
    }
    overwrites::audit_differences(desk, caller, &before, &after);
    Ok(Reply::Ok(shown))
}

pub(super) fn delete(id: ChannelId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let (guild, _) = channel_with(desk.world, caller, id, Permissions::MANAGE_CHANNELS)?;
    if guild.rules_channel_id == Some(id) {
        return Err(ApiError::RulesChannelStays.into());
    }
    let guild_id = guild.id;
    desk.limits.admit_guild_write(guild_id, desk.world.now()).map_err(Refused::Limited)?;
    let gone = wire::channel(&desk.world.delete_channel(id)?);
    let fields = [&AUDITED[..], &["permission_overwrites"]].concat();
    let noted = changes(&gone, &Value::Null, &fields);
    desk.audit(caller, guild_id, AuditAction::ChannelDelete, Some(id.get()), noted);
    Ok(Reply::Ok(gone))
}

/// PATCH /guilds/{guild.id}/channels: positions and, for one channel at a time, the parent.
pub(super) fn change_positions(guild_id: GuildId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let guild = guild_with(desk.world, caller, guild_id, Permissions::MANAGE_CHANNELS)?;
    let moves: Vec<Map<String, Value>> =
        serde_json::from_slice(caller.request.body).map_err(|_| ApiError::InvalidJson)?;
    let mut edits = Vec::new();
    for (index, each) in moves.iter().enumerate() {
        let id = each.get("id").and_then(read_snowflake).map(ChannelId::new);
        let path = [&index.to_string(), "id"];
        let id = id.ok_or_else(|| FormErrors::one(&path, "BASE_TYPE_REQUIRED", "This field is required"))?;
        let channel = guild.channels.get(&id).ok_or(ApiError::UnknownChannel)?;
        let position = each.get("position").and_then(Value::as_i64).and_then(|at| i32::try_from(at).ok());
        let parent = each.get("parent_id").map(|value| read_snowflake(value).map(ChannelId::new));
        let parent_id = parent.filter(|parent| *parent != channel.parent_id);
        let mut edit = ChannelEdit { position, parent_id, ..ChannelEdit::default() };
        if let Some(parent) = parent_id {
            let parent = parent.and_then(|parent| guild.channels.get(&parent));
            // Whoever moves a channel manages it and the place that it goes to; otherwise Discord says 50001.
            let own = guild.permissions_in(caller.bot, channel);
            if !own.contains(Permissions::MANAGE_CHANNELS) || check_place(guild, parent, caller).is_err() {
                return Err(ApiError::MissingAccess.into());
            }
            if each.get("lock_permissions").and_then(Value::as_bool) == Some(true) {
                if !own.contains(Permissions::MANAGE_ROLES) {
                    return Err(ApiError::MissingPermissions.into());
                }
                edit.overwrites = parent.map(|parent| parent.overwrites.clone());
            }
        }
        edits.push((id, edit));
    }
    if edits.iter().filter(|(_, edit)| edit.parent_id.is_some()).count() > 1 {
        return Err(ApiError::OneParentAtATime.into());
    }
    desk.limits.admit_guild_write(guild_id, desk.world.now()).map_err(Refused::Limited)?;
    for (id, edit) in edits {
        desk.world.edit_channel(id, edit)?;
    }
    Ok(Reply::NoContent)
}

/// PUT /channels/{channel.id}/voice-status.
pub(super) fn set_voice_status(id: ChannelId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let (guild, channel) = channel_with(desk.world, caller, id, Permissions::SET_VOICE_CHANNEL_STATUS)?;
    if !channel.is_room() {
        return Err(ApiError::WrongChannelType.into());
    }
    let present = guild.voice_states.get(&caller.bot).is_some_and(|state| state.channel_id == id);
    if !present && !guild.permissions_in(caller.bot, channel).contains(Permissions::MANAGE_CHANNELS) {
        return Err(ApiError::MissingPermissions.into());
    }
    let mut form = Form::parse(caller.request.body)?;
    let status = form.nullable_text("status", 0..=500);
    form.finish()?;
    let guild_id = guild.id;
    let status = status.flatten().filter(|status| !status.is_empty());
    desk.world.set_voice_status(id, status.as_deref());
    let action = status.map_or(AuditAction::VoiceStatusDelete, AuditAction::VoiceStatusUpdate);
    desk.audit(caller, guild_id, action, Some(id.get()), Vec::new());
    Ok(Reply::NoContent)
}

/// The settings in a create or edit body; what is wrong with them is noted in the form.
fn read_edit(form: &mut Form, kind: &ChannelKind, guild: &Guild) -> ChannelEdit {
    let name = form.text("name", 1..=100);
    let position = form.number("position", 0..=i64::from(i32::MAX)).and_then(|at| i32::try_from(at).ok());
    let parent_id = form.snowflake("parent_id").map(|parent| parent.map(ChannelId::new));
    let slowmode = form.number("rate_limit_per_user", 0..=MAX_SLOWMODE_SECONDS);
    let rate_limit_per_user = slowmode.and_then(|seconds| u32::try_from(seconds).ok());
    let nsfw = form.switch("nsfw");
    let overwrites = overwrites::read(form);
    let mut edit =
        ChannelEdit { name, position, parent_id, overwrites, nsfw, rate_limit_per_user, ..ChannelEdit::default() };
    let (max_bitrate, max_users) = match kind {
        ChannelKind::Text { .. } => {
            edit.topic = form.nullable_text("topic", 0..=1_024);
            return edit;
        }
        ChannelKind::Category => return edit,
        ChannelKind::Voice(_) => (guild.max_bitrate(), 99),
        ChannelKind::Stage(_) => (MAX_STAGE_BITRATE, 10_000),
    };
    edit.bitrate = form.number("bitrate", 8_000..=i64::from(max_bitrate)).and_then(|bits| u32::try_from(bits).ok());
    edit.user_limit = form.number("user_limit", 0..=max_users).and_then(|users| u32::try_from(users).ok());
    edit.video_quality_mode = form.choice("video_quality_mode", &[1, 2]).and_then(|mode| u8::try_from(mode).ok());
    edit.rtc_region = form.nullable_text("rtc_region", 1..=100);
    if let Some(Some(region)) = &edit.rtc_region
        && !account::REGIONS.contains(&region.as_str())
    {
        let message = format!("Value must be one of ('{}').", account::REGIONS.join("', '"));
        form.refuse(&["rtc_region"], "BASE_TYPE_CHOICES", &message);
    }
    edit
}
