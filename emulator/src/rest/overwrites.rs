//! Permission overwrites over REST (Discord docs, Resources § Channel, Edit Channel Permissions).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::access::{Grant, channel_with};
use super::error::ApiError;
use super::form::{Form, read_snowflake};
use super::{Caller, Desk, Handled, Refused, Reply};
use crate::world::{
    AuditAction, AuditChange, Channel, ChannelEdit, ChannelId, Overwrite, OverwriteTarget, Permissions, RoleId, UserId,
    changes,
};

/// Overwrites in one request.
const MAX_IN_REQUEST: usize = 100;
/// Overwrites of one channel.
const MAX_IN_CHANNEL: usize = 1_000;

pub(super) fn put(id: ChannelId, target: u64, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let (_, channel) = channel_with(desk.world, caller, id, Permissions::MANAGE_ROLES)?;
    let mut form = Form::parse(caller.request.body)?;
    form.require("type");
    let kind = form.choice("type", &[0, 1]);
    let allow = bits(&mut form, "allow");
    let deny = bits(&mut form, "deny");
    form.finish()?;
    let new = Overwrite { target: as_target(target, kind == Some(1)), allow, deny };
    let mut overwrites = channel.overwrites.clone();
    match overwrites.iter().position(|old| old.target == new.target) {
        Some(index) => overwrites[index] = new,
        None if overwrites.len() >= MAX_IN_CHANNEL => return Err(ApiError::TooManyOverwrites.into()),
        None => overwrites.push(new),
    }
    replace(id, overwrites, caller, desk)
}

pub(super) fn delete(id: ChannelId, target: u64, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let (_, channel) = channel_with(desk.world, caller, id, Permissions::MANAGE_ROLES)?;
    let mut overwrites = channel.overwrites.clone();
    let index = overwrites.iter().position(|overwrite| raw_id(overwrite.target) == target);
    overwrites.remove(index.ok_or(ApiError::UnknownOverwrite)?);
    replace(id, overwrites, caller, desk)
}

fn replace(id: ChannelId, wanted: Vec<Overwrite>, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let (guild, before) = channel_with(desk.world, caller, id, Permissions::MANAGE_ROLES)?;
    Grant::InChannel(guild, before).check(caller.bot, &before.overwrites, &wanted)?;
    let (guild_id, before) = (guild.id, before.clone());
    desk.limits.admit_guild_write(guild_id, desk.world.now()).map_err(Refused::Limited)?;
    desk.world.edit_channel(id, ChannelEdit { overwrites: Some(wanted), ..ChannelEdit::default() })?;
    let after = desk.world.channel(id).ok_or(ApiError::UnknownChannel)?.clone();
    audit_differences(desk, caller, &before, &after);
    Ok(Reply::NoContent)
}

/// One entry of the audit log for each overwrite that came, went or changed.
pub(super) fn audit_differences(desk: &mut Desk<'_>, caller: &Caller<'_>, before: &Channel, after: &Channel) {
    let find = |channel: &Channel, target| channel.overwrites.iter().find(|each| each.target == target).copied();
    let mut targets: Vec<OverwriteTarget> = Vec::new();
    for each in before.overwrites.iter().chain(&after.overwrites) {
        if !targets.contains(&each.target) {
            targets.push(each.target);
        }
    }
    for target in targets {
        let (old, new) = (find(before, target), find(after, target));
        let action = match (old, new) {
            (old, new) if old == new => continue,
            (None, _) => AuditAction::OverwriteCreate(target),
            (_, None) => AuditAction::OverwriteDelete(target),
            (Some(_), Some(_)) => AuditAction::OverwriteUpdate(target),
        };
        desk.audit(caller, after.guild_id, action, Some(after.id.get()), bit_changes(old, new));
    }
}

fn bit_changes(old: Option<Overwrite>, new: Option<Overwrite>) -> Vec<AuditChange> {
    let shown = |each: Option<Overwrite>| match each {
        Some(overwrite) => json!({
            "id": raw_id(overwrite.target).to_string(),
            "type": u8::from(matches!(overwrite.target, OverwriteTarget::Member(_))),
            "allow": overwrite.allow,
            "deny": overwrite.deny,
        }),
        None => Value::Null,
    };
    changes(&shown(old), &shown(new), &["id", "type", "allow", "deny"])
}

/// `permission_overwrites` of a channel's form; what is wrong with them is noted there.
pub(super) fn read(form: &mut Form) -> Option<Vec<Overwrite>> {
    if form.has("permission_overwrites") && form.raw("permission_overwrites").is_none() {
        return Some(Vec::new());
    }
    let list = form.objects("permission_overwrites", MAX_IN_REQUEST)?;
    let mut seen = BTreeSet::new();
    let mut overwrites = Vec::new();
    for (index, each) in list.iter().enumerate() {
        let index = index.to_string();
        let mut refuse = |field: &str, code: &str, message: &str| {
            form.refuse(&["permission_overwrites", &index, field], code, message);
        };
        let id = match each.get("id") {
            None | Some(Value::Null) => {
                refuse("id", "BASE_TYPE_REQUIRED", "This field is required");
                continue;
            }
            Some(sent) => read_snowflake(sent),
        };
        let Some(id) = id else {
            refuse("id", "NUMBER_TYPE_COERCE", "Value is not snowflake.");
            continue;
        };
        let kind = match each.get("type") {
            None | Some(Value::Null) => Some(false),
            Some(kind) if kind == 0 || kind == "0" || kind == "role" => Some(false),
            Some(kind) if kind == 1 || kind == "1" || kind == "member" => Some(true),
            Some(_) => None,
        };
        if kind.is_none() {
            refuse("type", "BASE_TYPE_CHOICES", "Value must be one of {0, 1}.");
        }
        let mut sides = [Permissions::NONE; 2];
        for (side, field) in sides.iter_mut().zip(["allow", "deny"]) {
            match read_bits(each.get(field)) {
                Some(bits) => *side = bits,
                None => refuse(field, "NUMBER_TYPE_COERCE", "Value is not int."),
            }
        }
        if seen.insert(id) {
            let [allow, deny] = sides;
            overwrites.push(Overwrite { target: as_target(id, kind == Some(true)), allow, deny });
        }
    }
    Some(overwrites)
}

fn bits(form: &mut Form, name: &str) -> Permissions {
    let read = read_bits(form.raw(name));
    if read.is_none() {
        form.refuse(&[name], "NUMBER_TYPE_COERCE", "Value is not int.");
    }
    read.unwrap_or_default()
}

/// Permission bits as a string, a number or nothing at all (= 0).
fn read_bits(value: Option<&Value>) -> Option<Permissions> {
    match value {
        None | Some(Value::Null) => Some(Permissions::NONE),
        Some(value) => serde_json::from_value(value.clone()).ok(),
    }
}

const fn as_target(id: u64, is_member: bool) -> OverwriteTarget {
    if is_member { OverwriteTarget::Member(UserId::new(id)) } else { OverwriteTarget::Role(RoleId::new(id)) }
}

const fn raw_id(target: OverwriteTarget) -> u64 {
    match target {
        OverwriteTarget::Role(role) => role.get(),
        OverwriteTarget::Member(user) => user.get(),
    }
}
