//! Channels over REST (Discord docs, Resources § Channel and § Guild).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::error::{ApiError, FormErrors};
use super::form::{Form, read_snowflake};
use super::limits::RateLimits;
use super::{Caller, Handled, Refused, Reply, Surroundings, account, channel_with, guild_of, guild_with};
use crate::world::{
    AuditAction, Channel, ChannelEdit, ChannelId, ChannelKind, Guild, GuildId, NewChannel, Overwrite, OverwriteTarget,
    Permissions, RoleId, Timestamp, UserId, VoiceSettings, wire,
};

/// Discord docs, Channel Object: `rate_limit_per_user`.
const MAX_SLOWMODE_SECONDS: i64 = 21_600;
/// The highest bitrate of a stage channel at any boost level.
const MAX_STAGE_BITRATE: u32 = 64_000;
/// Overwrites in one request.
const MAX_OVERWRITES: usize = 100;

pub(super) fn list(guild: GuildId, caller: &Caller<'_>, around: &Surroundings<'_>) -> Handled {
    let guild = guild_of(around.world, caller, guild)?;
    Ok(Reply::Ok(guild.channels.values().map(wire::channel).collect()))
}

pub(super) fn get(channel: ChannelId, caller: &Caller<'_>, around: &Surroundings<'_>) -> Handled {
    let (_, channel) = channel_with(around.world, caller, channel, Permissions::VIEW_CHANNEL)?;
    Ok(Reply::Ok(wire::channel(channel)))
}

pub(super) fn create(guild_id: GuildId, caller: &Caller<'_>, around: &mut Surroundings<'_>) -> Handled {
    let guild = guild_with(around.world, caller, guild_id, Permissions::MANAGE_CHANNELS)?;
    let mut form = Form::parse(caller.request.body)?;
    form.require("name");
    let kind = match form.choice("type", &[0, 2, 4, 13]) {
        Some(2) => ChannelKind::Voice(VoiceSettings::default()),
        Some(4) => ChannelKind::Category,
        Some(13) => ChannelKind::Stage(VoiceSettings::default()),
        Some(_) | None => ChannelKind::Text { topic: None },
    };
    let edit = read_edit(&mut form, &kind, guild);
    let wanted = form.has("permission_overwrites").then(|| edit.overwrites.clone().unwrap_or_default());
    form.finish()?;
    if let Some(overwrites) = wanted {
        check_grants(guild.base_permissions(caller.bot), &overwrites)?;
    }
    let mut blank = Channel {
        id: ChannelId::new(1),
        guild_id,
        name: String::new(),
        kind,
        position: 0,
        parent_id: None,
        overwrites: Vec::new(),
        nsfw: false,
        rate_limit_per_user: 0,
        last_message_id: None,
    };
    let position = edit.position;
    edit.apply(&mut blank);
    let id = around.world.create_channel(
        guild_id,
        NewChannel {
            name: blank.name,
            kind: blank.kind,
            position,
            parent_id: blank.parent_id,
            overwrites: blank.overwrites,
            nsfw: blank.nsfw,
            rate_limit_per_user: blank.rate_limit_per_user,
        },
    )?;
    audit(around, guild_id, caller, AuditAction::ChannelCreate, id);
    let channel = around.world.channel(id).ok_or(ApiError::UnknownChannel)?;
    Ok(Reply::Created(wire::channel(channel)))
}

pub(super) fn edit(
    id: ChannelId,
    caller: &Caller<'_>,
    around: &mut Surroundings<'_>,
    limits: &mut RateLimits,
    now: Timestamp,
) -> Handled {
    let (guild, channel) = channel_with(around.world, caller, id, Permissions::MANAGE_CHANNELS)?;
    let mut form = Form::parse(caller.request.body)?;
    // Only text and announcement channels change their type, which the emulator does not offer.
    if form.choice("type", &[i64::from(channel.kind.wire_type())]).is_none() && form.has("type") {
        form.finish()?;
    }
    let edit = read_edit(&mut form, &channel.kind, guild);
    form.finish()?;
    if let Some(overwrites) = &edit.overwrites {
        check_grants(guild.permissions_in(caller.bot, channel), overwrites)?;
    }
    let old_topic = match &channel.kind {
        ChannelKind::Text { topic } => topic.clone(),
        ChannelKind::Voice(_) | ChannelKind::Category | ChannelKind::Stage(_) => None,
    };
    let renamed = edit.name.as_ref().is_some_and(|name| *name != channel.name);
    let retold = edit.topic.as_ref().is_some_and(|topic| *topic != old_topic);
    if renamed || retold {
        limits.admit_rename(id, now).map_err(Refused::RenamedTooOften)?;
    }
    let guild_id = guild.id;
    around.world.edit_channel(id, edit)?;
    audit(around, guild_id, caller, AuditAction::ChannelUpdate, id);
    let channel = around.world.channel(id).ok_or(ApiError::UnknownChannel)?;
    Ok(Reply::Ok(wire::channel(channel)))
}

pub(super) fn delete(id: ChannelId, caller: &Caller<'_>, around: &mut Surroundings<'_>) -> Handled {
    let (guild, _) = channel_with(around.world, caller, id, Permissions::MANAGE_CHANNELS)?;
    if guild.rules_channel_id == Some(id) {
        return Err(ApiError::RulesChannelStays.into());
    }
    let gone = around.world.delete_channel(id)?;
    audit(around, gone.guild_id, caller, AuditAction::ChannelDelete, id);
    Ok(Reply::Ok(wire::channel(&gone)))
}

/// PATCH /guilds/{guild.id}/channels: positions and, for one channel at a time, the parent.
pub(super) fn change_positions(guild_id: GuildId, caller: &Caller<'_>, around: &mut Surroundings<'_>) -> Handled {
    let guild = guild_with(around.world, caller, guild_id, Permissions::MANAGE_CHANNELS)?;
    let moves: Vec<Map<String, Value>> =
        serde_json::from_slice(caller.request.body).map_err(|_| ApiError::InvalidJson)?;
    let mut edits = Vec::new();
    for each in &moves {
        let id = each.get("id").and_then(read_snowflake).map(ChannelId::new);
        let id = id.ok_or_else(|| FormErrors::one(&["id"], "BASE_TYPE_REQUIRED", "This field is required"))?;
        let channel = guild.channels.get(&id).ok_or(ApiError::UnknownChannel)?;
        let position = each.get("position").and_then(Value::as_i64).and_then(|at| i32::try_from(at).ok());
        let parent = each.get("parent_id").map(|value| read_snowflake(value).map(ChannelId::new));
        let parent_id = parent.filter(|parent| *parent != channel.parent_id);
        edits.push((id, ChannelEdit { position, parent_id, ..ChannelEdit::default() }));
    }
    if edits.iter().filter(|(_, edit)| edit.parent_id.is_some()).count() > 1 {
        return Err(ApiError::OneParentAtATime.into());
    }
    for (id, edit) in edits {
        around.world.edit_channel(id, edit)?;
    }
    Ok(Reply::NoContent)
}

pub(super) fn put_overwrite(id: ChannelId, target: u64, caller: &Caller<'_>, around: &mut Surroundings<'_>) -> Handled {
    let (guild, channel) = channel_with(around.world, caller, id, Permissions::MANAGE_ROLES)?;
    let mut form = Form::parse(caller.request.body)?;
    form.require("type");
    let kind = form.choice("type", &[0, 1]);
    let (allow, deny) = (read_bits(form.raw("allow")), read_bits(form.raw("deny")));
    if allow.is_none() || deny.is_none() {
        form.refuse(&["allow"], "NUMBER_TYPE_COERCE", "Value is not int.");
    }
    form.finish()?;
    let target = overwrite_target(target, kind == Some(1));
    let new = Overwrite { target, allow: allow.unwrap_or_default(), deny: deny.unwrap_or_default() };
    check_grants(guild.permissions_in(caller.bot, channel), &[new])?;
    let mut overwrites = channel.overwrites.clone();
    let action = match overwrites.iter_mut().find(|old| old.target == target) {
        Some(old) => {
            *old = new;
            AuditAction::OverwriteUpdate(target)
        }
        None => {
            overwrites.push(new);
            AuditAction::OverwriteCreate(target)
        }
    };
    let guild_id = guild.id;
    around.world.edit_channel(id, ChannelEdit { overwrites: Some(overwrites), ..ChannelEdit::default() })?;
    audit(around, guild_id, caller, action, id);
    Ok(Reply::NoContent)
}

pub(super) fn delete_overwrite(
    id: ChannelId,
    target: u64,
    caller: &Caller<'_>,
    around: &mut Surroundings<'_>,
) -> Handled {
    let (guild, channel) = channel_with(around.world, caller, id, Permissions::MANAGE_ROLES)?;
    let mut overwrites = channel.overwrites.clone();
    let index = overwrites.iter().position(|overwrite| match overwrite.target {
        OverwriteTarget::Role(role) => role.get() == target,
        OverwriteTarget::Member(user) => user.get() == target,
    });
    let gone = overwrites.remove(index.ok_or(ApiError::UnknownOverwrite)?);
    let guild_id = guild.id;
    around.world.edit_channel(id, ChannelEdit { overwrites: Some(overwrites), ..ChannelEdit::default() })?;
    audit(around, guild_id, caller, AuditAction::OverwriteDelete(gone.target), id);
    Ok(Reply::NoContent)
}

/// PUT /channels/{channel.id}/voice-status.
pub(super) fn set_voice_status(id: ChannelId, caller: &Caller<'_>, around: &mut Surroundings<'_>) -> Handled {
    let (guild, channel) = channel_with(around.world, caller, id, Permissions::SET_VOICE_CHANNEL_STATUS)?;
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
    let action = if status.is_some() { AuditAction::VoiceStatusUpdate } else { AuditAction::VoiceStatusDelete };
    around.world.set_voice_status(id, status.as_deref());
    audit(around, guild_id, caller, action, id);
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
    let overwrites = read_overwrites(form);
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

fn read_overwrites(form: &mut Form) -> Option<Vec<Overwrite>> {
    let list = form.raw("permission_overwrites")?.clone();
    let Value::Array(list) = list else {
        form.refuse(&["permission_overwrites"], "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
        return None;
    };
    if list.len() > MAX_OVERWRITES {
        let message = format!("Must be {MAX_OVERWRITES} or fewer in length.");
        form.refuse(&["permission_overwrites"], "BASE_TYPE_MAX_LENGTH", &message);
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut overwrites = Vec::new();
    for (index, each) in list.iter().enumerate() {
        let index = index.to_string();
        let Some(id) = each.get("id").and_then(read_snowflake) else {
            form.refuse(&["permission_overwrites", &index, "id"], "BASE_TYPE_REQUIRED", "This field is required");
            continue;
        };
        let (allow, deny) = (read_bits(each.get("allow")), read_bits(each.get("deny")));
        let (Some(allow), Some(deny)) = (allow, deny) else {
            form.refuse(&["permission_overwrites", &index, "allow"], "NUMBER_TYPE_COERCE", "Value is not int.");
            continue;
        };
        let is_member = each.get("type").is_some_and(|kind| kind == 1 || kind == "1" || kind == "member");
        if seen.insert(id) {
            overwrites.push(Overwrite { target: overwrite_target(id, is_member), allow, deny });
        }
    }
    Some(overwrites)
}

/// Permission bits as a string, a number or nothing at all (= 0).
fn read_bits(value: Option<&Value>) -> Option<Permissions> {
    match value {
        None | Some(Value::Null) => Some(Permissions::NONE),
        Some(value) => serde_json::from_value(value.clone()).ok(),
    }
}

const fn overwrite_target(id: u64, is_member: bool) -> OverwriteTarget {
    if is_member { OverwriteTarget::Member(UserId::new(id)) } else { OverwriteTarget::Role(RoleId::new(id)) }
}

/// Overwrites need MANAGE_ROLES, and nobody hands out what they do not have.
fn check_grants(own: Permissions, overwrites: &[Overwrite]) -> Result<(), ApiError> {
    let within = overwrites.iter().all(|overwrite| own.contains(overwrite.allow | overwrite.deny));
    if overwrites.is_empty() || (within && own.contains(Permissions::MANAGE_ROLES)) {
        Ok(())
    } else {
        Err(ApiError::MissingPermissions)
    }
}

fn audit(around: &mut Surroundings<'_>, guild: GuildId, caller: &Caller<'_>, action: AuditAction, target: ChannelId) {
    around.world.audit(guild, caller.bot, action, Some(target.get()), caller.reason.as_deref());
}
