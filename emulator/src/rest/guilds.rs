//! Guilds, their roles, and the audit log over REST.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::access::{guild_of, guild_with};
use super::form::Form;
use super::{Caller, Desk, Handled, Reply};
use crate::world::{AUDIT_LOG_AGE, AuditEntry, AuditEntryId, GuildId, Permissions, UserId, wire};

pub(super) fn get(guild: GuildId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let guild = guild_of(desk.world, caller, guild)?;
    let mut form = Form::query(caller.request.query);
    let with_counts = form.switch("with_counts");
    form.finish()?;
    let mut body = wire::guild(guild);
    if with_counts == Some(true) {
        body["approximate_member_count"] = json!(guild.members.len());
        body["approximate_presence_count"] = json!(guild.members.len());
    }
    Ok(Reply::Ok(body))
}

pub(super) fn roles(guild: GuildId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let guild = guild_of(desk.world, caller, guild)?;
    Ok(Reply::Ok(guild.roles.values().map(wire::role).collect()))
}

/// GET /guilds/{guild.id}/audit-logs: downwards from `before` or from now, or upwards from `after`.
pub(super) fn audit_log(guild: GuildId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    guild_with(desk.world, caller, guild, Permissions::VIEW_AUDIT_LOG)?;
    let mut form = Form::query(caller.request.query);
    let actor = form.snowflake("user_id").flatten().map(UserId::new);
    let action = form.number("action_type", 0..=i64::from(u16::MAX)).and_then(|kind| u8::try_from(kind).ok());
    let some_action = form.has("action_type");
    let before = form.snowflake("before").flatten().map(AuditEntryId::new);
    // `after=0` means from the oldest on, and is no snowflake.
    let after = form.number("after", 0..=i64::MAX).map(|after| AuditEntryId::new(after.unsigned_abs()));
    let limit = form.number("limit", 1..=100).unwrap_or(50);
    form.finish()?;
    let now = desk.world.now();
    let found = desk
        .world
        .audit_log()
        .iter()
        .filter(|entry| entry.guild_id == guild && now.since(entry.id.created_at()) < AUDIT_LOG_AGE)
        .filter(|entry| actor.is_none_or(|actor| entry.actor == actor))
        .filter(|entry| !some_action || Some(entry.action.wire_type()) == action)
        .filter(|entry| before.is_none_or(|before| entry.id < before))
        .filter(|entry| after.is_none_or(|after| entry.id > after));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let entries: Vec<&AuditEntry> =
        if after.is_some() { found.take(limit).collect() } else { found.rev().take(limit).collect() };
    let actors: BTreeSet<UserId> = entries.iter().map(|entry| entry.actor).collect();
    let targets: BTreeSet<u64> = entries.iter().filter_map(|entry| entry.target).collect();
    let users: BTreeSet<UserId> = actors.into_iter().chain(targets.iter().map(|id| UserId::new(*id))).collect();
    let users: Vec<Value> = users.iter().filter_map(|id| desk.world.known_user(*id)).map(wire::user).collect();
    let webhooks: Vec<Value> = desk
        .world
        .webhooks(guild)
        .filter(|webhook| targets.contains(&webhook.id.get()))
        .map(|webhook| wire::webhook(desk.world, webhook))
        .collect();
    Ok(Reply::Ok(json!({
        "audit_log_entries": entries.into_iter().map(wire::audit_entry).collect::<Vec<_>>(),
        "users": users,
        "application_commands": [],
        "auto_moderation_rules": [],
        "guild_scheduled_events": [],
        "integrations": [],
        "threads": [],
        "webhooks": webhooks,
    })))
}
