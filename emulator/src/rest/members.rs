//! Members and where they are in voice, over REST (Discord docs, Resources § Guild and § Voice).

use std::collections::BTreeSet;

use serde_json::Value;

use super::access::guild_of;
use super::error::ApiError;
use super::form::{Form, read_snowflake};
use super::{Caller, Desk, Handled, Reply};
use crate::world::{
    AuditAction, Channel, ChannelId, ChannelKind, Guild, GuildId, MemberEdit, Permissions, RoleId, UserId, changes,
    wire,
};

pub(super) fn list(guild: GuildId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let guild = guild_of(desk.world, caller, guild)?;
    let mut form = Form::query(caller.request.query);
    let after = form.number("after", 0..=i64::MAX).map_or(0, i64::unsigned_abs);
    let limit = form.number("limit", 1..=1_000).unwrap_or(1);
    form.finish()?;
    let page: Vec<Value> = guild
        .members
        .iter()
        .filter(|(id, _)| id.get() > after)
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .filter_map(|(id, member)| Some(wire::member(member, desk.world.known_user(*id)?)))
        .collect();
    Ok(Reply::Ok(Value::Array(page)))
}

pub(super) fn get(guild: GuildId, user: UserId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let guild = guild_of(desk.world, caller, guild)?;
    let known = desk.world.known_user(user).ok_or(ApiError::UnknownUser)?;
    let member = guild.members.get(&user).ok_or(ApiError::UnknownMember)?;
    Ok(Reply::Ok(wire::member(member, known)))
}

/// PATCH /guilds/{guild.id}/members/{user.id}: nickname, roles, mute, deaf and the voice channel.
pub(super) fn edit(guild_id: GuildId, user: UserId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let guild = guild_of(desk.world, caller, guild_id)?;
    let known = desk.world.known_user(user).ok_or(ApiError::UnknownUser)?.clone();
    let before = guild.members.get(&user).ok_or(ApiError::UnknownMember)?.clone();
    let mut form = Form::parse(caller.request.body)?;
    let edit = MemberEdit {
        nick: form.nullable_text("nick", 0..=32).map(|nick| nick.filter(|nick| !nick.is_empty())),
        mute: form.switch("mute"),
        deaf: form.switch("deaf"),
        roles: read_roles(&mut form),
    };
    let destination = form.snowflake("channel_id").map(|channel| channel.map(ChannelId::new));
    form.finish()?;
    check(guild, user, &edit, destination, caller)?;

    let touches_member = edit.nick.is_some() || edit.mute.is_some() || edit.deaf.is_some() || edit.roles.is_some();
    if touches_member {
        desk.world.edit_member(guild_id, user, edit);
        let after = desk.world.guild(guild_id).and_then(|guild| guild.members.get(&user));
        let after = after.ok_or(ApiError::UnknownMember)?;
        let noted =
            changes(&wire::member(&before, &known), &wire::member(after, &known), &["nick", "mute", "deaf", "roles"]);
        if !noted.is_empty() {
            desk.audit(caller, guild_id, AuditAction::MemberUpdate, Some(user.get()), noted);
        }
    }
    if let Some(destination) = destination {
        desk.world.move_member(guild_id, user, destination).map_err(ApiError::from)?;
        let action = destination.map_or(AuditAction::MemberDisconnect, AuditAction::MemberMove);
        desk.audit(caller, guild_id, action, None, Vec::new());
    }
    get(guild_id, user, caller, desk)
}

/// What an edit needs: permissions of the guild, or of the voice channel where the member is; and a member in voice.
fn check(
    guild: &Guild,
    user: UserId,
    edit: &MemberEdit,
    destination: Option<Option<ChannelId>>,
    caller: &Caller<'_>,
) -> Result<(), ApiError> {
    let in_guild = guild.base_permissions(caller.bot);
    let room = guild.voice_states.get(&user).and_then(|state| guild.channels.get(&state.channel_id));
    let in_room = room.map_or(in_guild, |room| guild.permissions_in(caller.bot, room));
    let needed = [
        (edit.nick.is_some() && user != caller.bot, in_guild, Permissions::MANAGE_NICKNAMES),
        (edit.roles.is_some(), in_guild, Permissions::MANAGE_ROLES),
        (edit.mute.is_some(), in_room, Permissions::MUTE_MEMBERS),
        (edit.deaf.is_some(), in_room, Permissions::DEAFEN_MEMBERS),
        (destination.is_some(), in_room, Permissions::MOVE_MEMBERS),
    ];
    if needed.iter().any(|(asked, may, permission)| *asked && !may.contains(*permission)) {
        return Err(ApiError::MissingPermissions);
    }
    if room.is_none() && (edit.mute.is_some() || edit.deaf.is_some() || destination.is_some()) {
        return Err(ApiError::NotInVoice);
    }
    match destination {
        Some(Some(id)) => check_destination(guild, guild.channels.get(&id), caller),
        Some(None) | None => Ok(()),
    }
}

/// Whoever moves members somewhere could go there themselves.
fn check_destination(guild: &Guild, channel: Option<&Channel>, caller: &Caller<'_>) -> Result<(), ApiError> {
    let channel = channel.ok_or(ApiError::UnknownChannel)?;
    if !channel.is_room() {
        return Err(ApiError::WrongChannelType);
    }
    let may = guild.permissions_in(caller.bot, channel);
    if may.contains(Permissions::CONNECT | Permissions::MOVE_MEMBERS) {
        Ok(())
    } else {
        Err(ApiError::MissingPermissions)
    }
}

fn read_roles(form: &mut Form) -> Option<BTreeSet<RoleId>> {
    let Value::Array(list) = form.raw("roles")?.clone() else {
        form.refuse(&["roles"], "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
        return None;
    };
    let mut roles = BTreeSet::new();
    for (index, each) in list.iter().enumerate() {
        match read_snowflake(each) {
            Some(role) => {
                roles.insert(RoleId::new(role));
            }
            None => {
                form.refuse(&["roles", &index.to_string()], "NUMBER_TYPE_COERCE", "Value is not snowflake.");
            }
        }
    }
    Some(roles)
}

/// GET /guilds/{guild.id}/voice-states/{user.id}: only where the bot may go itself.
pub(super) fn voice_state(guild: GuildId, user: UserId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let home = guild_of(desk.world, caller, guild)?;
    let state = home.voice_states.get(&user).ok_or(ApiError::UnknownVoiceState)?;
    let channel = home.channels.get(&state.channel_id).ok_or(ApiError::UnknownChannel)?;
    if user != caller.bot && !home.permissions_in(caller.bot, channel).contains(Permissions::CONNECT) {
        return Err(ApiError::MissingAccess.into());
    }
    desk.world.voice_state_body(guild, user).map(Reply::Ok).ok_or_else(|| ApiError::UnknownVoiceState.into())
}

/// PATCH /guilds/{guild.id}/voice-states/{user.id}: who may speak on a stage. With `@me` bots let themselves speak, which
/// needs MUTE_MEMBERS, or ask to (`request_to_speak_timestamp`), which needs REQUEST_TO_SPEAK; both may be taken back by anybody.
pub(super) fn edit_voice_state(guild_id: GuildId, user: UserId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let guild = guild_of(desk.world, caller, guild_id)?;
    let state = guild.voice_states.get(&user).ok_or(ApiError::UnknownVoiceState)?;
    let channel = guild.channels.get(&state.channel_id).ok_or(ApiError::UnknownChannel)?;
    if !matches!(channel.kind, ChannelKind::Stage(_)) {
        return Err(ApiError::WrongChannelType.into());
    }
    let mut form = Form::parse(caller.request.body)?;
    let suppress = form.switch("suppress");
    let asks = form.nullable_text("request_to_speak_timestamp", 1..=64).filter(|_| user == caller.bot);
    let named = form.snowflake("channel_id");
    form.finish()?;
    if named.flatten().is_some_and(|named| named != state.channel_id.get()) {
        return Err(ApiError::UnknownVoiceState.into());
    }
    let may = guild.permissions_in(caller.bot, channel);
    let steps_down = user == caller.bot && suppress == Some(true);
    if suppress.is_some() && !steps_down && !may.contains(Permissions::MUTE_MEMBERS) {
        return Err(ApiError::MissingPermissions.into());
    }
    if matches!(asks, Some(Some(_))) && !may.contains(Permissions::REQUEST_TO_SPEAK) {
        return Err(ApiError::MissingPermissions.into());
    }
    if let Some(time) = asks {
        desk.world.ask_to_speak(guild_id, user, time);
    }
    if let Some(suppress) = suppress {
        desk.world.set_suppressed(guild_id, user, suppress);
    }
    Ok(Reply::NoContent)
}
