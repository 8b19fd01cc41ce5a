//! Guilds, members, voice states and the audit log over REST.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::error::ApiError;
use super::form::{Form, read_snowflake};
use super::{Caller, Handled, Reply, Surroundings, guild_of, guild_with};
use crate::text::query_value;
use crate::world::{
    AuditAction, ChannelId, ChannelKind, GuildId, MemberEdit, Permissions, RoleId, UserId, VoiceError, wire,
};

pub(super) fn get(guild: GuildId, caller: &Caller<'_>, around: &Surroundings<'_>) -> Handled {
    let guild = guild_of(around.world, caller, guild)?;
    let mut body = wire::guild(guild);
    if query_value(caller.request.query, "with_counts").as_deref() == Some("true") {
        body["approximate_member_count"] = json!(guild.members.len());
        body["approximate_presence_count"] = json!(guild.members.len());
    }
    Ok(Reply::Ok(body))
}

pub(super) fn roles(guild: GuildId, caller: &Caller<'_>, around: &Surroundings<'_>) -> Handled {
    let guild = guild_of(around.world, caller, guild)?;
    Ok(Reply::Ok(guild.roles.values().map(wire::role).collect()))
}

pub(super) fn members(guild: GuildId, caller: &Caller<'_>, around: &Surroundings<'_>) -> Handled {
    let guild = guild_of(around.world, caller, guild)?;
    let number = |name| query_value(caller.request.query, name).and_then(|text| text.parse::<u64>().ok());
    let (after, limit) = (number("after").unwrap_or(0), number("limit").unwrap_or(1).clamp(1, 1_000));
    let page: Vec<Value> = guild
        .members
        .iter()
        .filter(|(id, _)| id.get() > after)
        .take(limit as usize)
        .filter_map(|(id, member)| Some(wire::member(member, around.world.known_user(*id)?)))
        .collect();
    Ok(Reply::Ok(Value::Array(page)))
}

pub(super) fn member(guild: GuildId, user: UserId, caller: &Caller<'_>, around: &Surroundings<'_>) -> Handled {
    let guild = guild_of(around.world, caller, guild)?;
    let known = around.world.known_user(user).ok_or(ApiError::UnknownUser)?;
    let member = guild.members.get(&user).ok_or(ApiError::UnknownMember)?;
    Ok(Reply::Ok(wire::member(member, known)))
}

/// PATCH /guilds/{guild.id}/members/{user.id}: nickname, roles, mute, deaf and the voice channel.
pub(super) fn edit_member(
    guild_id: GuildId,
    user: UserId,
    caller: &Caller<'_>,
    around: &mut Surroundings<'_>,
) -> Handled {
    let guild = guild_of(around.world, caller, guild_id)?;
    if !guild.members.contains_key(&user) {
        return Err(ApiError::UnknownMember.into());
    }
    let mut form = Form::parse(caller.request.body)?;
    let edit = MemberEdit {
        nick: form.nullable_text("nick", 0..=32).map(|nick| nick.filter(|nick| !nick.is_empty())),
        mute: form.switch("mute"),
        deaf: form.switch("deaf"),
        roles: form
            .raw("roles")
            .and_then(Value::as_array)
            .map(|roles| roles.iter().filter_map(read_snowflake).map(RoleId::new).collect::<BTreeSet<_>>()),
    };
    let destination = form.snowflake("channel_id").map(|channel| channel.map(ChannelId::new));
    form.finish()?;

    let own = guild.base_permissions(caller.bot);
    let needed = [
        (edit.nick.is_some() && user != caller.bot, Permissions::MANAGE_NICKNAMES),
        (edit.mute.is_some(), Permissions::MUTE_MEMBERS),
        (edit.deaf.is_some(), Permissions::DEAFEN_MEMBERS),
        (edit.roles.is_some(), Permissions::MANAGE_ROLES),
        (destination.is_some(), Permissions::MOVE_MEMBERS),
    ];
    if needed.iter().any(|(asked, permission)| *asked && !own.contains(*permission)) {
        return Err(ApiError::MissingPermissions.into());
    }
    let in_voice = guild.voice_states.contains_key(&user);
    if !in_voice && (edit.mute.is_some() || edit.deaf.is_some() || destination.is_some()) {
        return Err(ApiError::NotInVoice.into());
    }
    if let Some(Some(id)) = destination {
        let channel = guild.channels.get(&id).ok_or(ApiError::UnknownChannel)?;
        if !channel.is_room() {
            return Err(ApiError::WrongChannelType.into());
        }
        if !guild.permissions_in(caller.bot, channel).contains(Permissions::CONNECT) {
            return Err(ApiError::MissingPermissions.into());
        }
    }
    let touches_member = edit.nick.is_some() || edit.mute.is_some() || edit.deaf.is_some() || edit.roles.is_some();
    if touches_member {
        around.world.edit_member(guild_id, user, edit);
        audit(around, guild_id, caller, AuditAction::MemberUpdate, Some(user));
    }
    if let Some(destination) = destination {
        around.world.move_member(guild_id, user, destination).map_err(voice_refusal)?;
        let action = destination.map_or(AuditAction::MemberDisconnect, AuditAction::MemberMove);
        audit(around, guild_id, caller, action, None);
    }
    member(guild_id, user, caller, around)
}

pub(super) fn voice_state(guild: GuildId, user: UserId, caller: &Caller<'_>, around: &Surroundings<'_>) -> Handled {
    guild_of(around.world, caller, guild)?;
    around.world.voice_state_body(guild, user).map(Reply::Ok).ok_or_else(|| ApiError::UnknownVoiceState.into())
}

/// PATCH /guilds/{guild.id}/voice-states/{user.id}: who may speak on a stage.
pub(super) fn edit_voice_state(
    guild_id: GuildId,
    user: UserId,
    caller: &Caller<'_>,
    around: &mut Surroundings<'_>,
) -> Handled {
    let guild = guild_of(around.world, caller, guild_id)?;
    let state = guild.voice_states.get(&user).ok_or(ApiError::UnknownVoiceState)?;
    let channel = guild.channels.get(&state.channel_id).ok_or(ApiError::UnknownChannel)?;
    if !matches!(channel.kind, ChannelKind::Stage(_)) {
        return Err(ApiError::WrongChannelType.into());
    }
    let mut form = Form::parse(caller.request.body)?;
    let suppress = form.switch("suppress");
    form.finish()?;
    let Some(suppress) = suppress else { return Ok(Reply::NoContent) };
    let may = guild.permissions_in(caller.bot, channel);
    let steps_down = user == caller.bot && suppress;
    if !steps_down && !may.contains(Permissions::MUTE_MEMBERS) {
        return Err(ApiError::MissingPermissions.into());
    }
    around.world.set_suppressed(guild_id, user, suppress);
    Ok(Reply::NoContent)
}

/// GET /guilds/{guild.id}/audit-logs, newest first.
pub(super) fn audit_log(guild: GuildId, caller: &Caller<'_>, around: &Surroundings<'_>) -> Handled {
    guild_with(around.world, caller, guild, Permissions::VIEW_AUDIT_LOG)?;
    let number = |name| query_value(caller.request.query, name).and_then(|text| text.parse::<u64>().ok());
    let limit = number("limit").unwrap_or(50).clamp(1, 100) as usize;
    let (actor, action) = (number("user_id"), number("action_type"));
    let (before, after) = (number("before"), number("after"));
    let entries: Vec<_> = around
        .world
        .audit_log()
        .iter()
        .rev()
        .filter(|entry| entry.guild_id == guild)
        .filter(|entry| actor.is_none_or(|actor| entry.actor.get() == actor))
        .filter(|entry| action.is_none_or(|action| u64::from(entry.action.wire_type()) == action))
        .filter(|entry| before.is_none_or(|before| entry.id.get() < before))
        .filter(|entry| after.is_none_or(|after| entry.id.get() > after))
        .take(limit)
        .collect();
    let actors: BTreeSet<UserId> = entries.iter().map(|entry| entry.actor).collect();
    let users: Vec<Value> = actors.iter().filter_map(|id| around.world.known_user(*id)).map(wire::user).collect();
    Ok(Reply::Ok(json!({
        "audit_log_entries": entries.into_iter().map(wire::audit_entry).collect::<Vec<_>>(),
        "users": users,
        "application_commands": [],
        "auto_moderation_rules": [],
        "guild_scheduled_events": [],
        "integrations": [],
        "threads": [],
        "webhooks": [],
    })))
}

fn voice_refusal(error: VoiceError) -> ApiError {
    match error {
        VoiceError::UnknownGuild(_) => ApiError::UnknownGuild,
        VoiceError::UnknownChannel(_) => ApiError::UnknownChannel,
        VoiceError::NotARoom(_) => ApiError::WrongChannelType,
        VoiceError::Full { .. } | VoiceError::Forbidden { .. } => ApiError::MissingPermissions,
        VoiceError::NotInVoice(_) => ApiError::NotInVoice,
    }
}

fn audit(
    around: &mut Surroundings<'_>,
    guild: GuildId,
    caller: &Caller<'_>,
    action: AuditAction,
    target: Option<UserId>,
) {
    around.world.audit(guild, caller.bot, action, target.map(UserId::get), caller.reason.as_deref());
}
