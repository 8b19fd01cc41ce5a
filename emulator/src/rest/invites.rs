//! Invites over REST (Discord docs, Resources § Invite and § Channel).

use std::time::Duration;

use serde_json::{Value, json};

use super::access::{channel_with, guild_of};
use super::error::ApiError;
use super::form::Form;
use super::{Caller, Desk, Handled, Reply};
use crate::world::{AuditAction, ChannelId, GuildId, Invite, InviteCode, InviteTerms, Permissions, changes, wire};

/// The longest age in seconds. The documentation says 604,800; Discord's own OpenAPI description says this.
const MAX_AGE_SECONDS: i64 = 5_184_000;
/// Fields of an invite that the audit log follows; `channel_id` stands for the invite's channel.
const AUDITED: [&str; 7] = ["code", "channel_id", "inviter_id", "max_uses", "uses", "max_age", "temporary"];

/// GET /channels/{channel.id}/invites.
pub(super) fn of_channel(channel: ChannelId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let (guild, _) = channel_with(desk.world, caller, channel, Permissions::MANAGE_CHANNELS)?;
    let invites = desk.world.invites(guild.id).filter(|invite| invite.channel_id == channel);
    Ok(Reply::Ok(invites.map(|invite| wire::invite(desk.world, invite)).collect()))
}

/// GET /guilds/{guild.id}/invites. Who may only read the audit log sees no metadata.
pub(super) fn of_guild(guild: GuildId, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let may = guild_of(desk.world, caller, guild)?.base_permissions(caller.bot);
    if !may.contains(Permissions::MANAGE_GUILD) && !may.contains(Permissions::VIEW_AUDIT_LOG) {
        return Err(ApiError::MissingPermissions.into());
    }
    let shown = |invite: &Invite| {
        let full = wire::invite(desk.world, invite);
        if may.contains(Permissions::MANAGE_GUILD) { full } else { without_metadata(full) }
    };
    Ok(Reply::Ok(desk.world.invites(guild).map(shown).collect()))
}

/// POST /channels/{channel.id}/invites.
pub(super) fn create(channel: ChannelId, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let (guild, _) = channel_with(desk.world, caller, channel, Permissions::CREATE_INSTANT_INVITE)?;
    let guild_id = guild.id;
    let mut form = Form::parse(caller.request.body)?;
    let default = InviteTerms::default();
    let max_age = form.number("max_age", 0..=MAX_AGE_SECONDS).map(i64::unsigned_abs);
    let max_uses = form.number("max_uses", 0..=100).and_then(|uses| u32::try_from(uses).ok());
    let terms = InviteTerms {
        max_age: max_age.map_or(default.max_age, Duration::from_secs),
        max_uses: max_uses.unwrap_or(default.max_uses),
        temporary: form.switch("temporary").unwrap_or(default.temporary),
    };
    let unique = form.switch("unique").unwrap_or(false);
    form.finish()?;
    let known: Vec<InviteCode> = desk.world.invites(guild_id).map(|invite| invite.code.clone()).collect();
    let code = desk.world.create_invite(channel, caller.bot, terms, unique).map_err(ApiError::from)?;
    let invite = desk.world.invite(&code).ok_or(ApiError::UnknownInvite)?;
    let shown = wire::invite(desk.world, invite);
    if !known.contains(&code) {
        let noted = changes(&Value::Null, &audited(invite), &AUDITED);
        desk.audit(caller, guild_id, AuditAction::InviteCreate, None, noted);
    }
    Ok(Reply::Ok(shown))
}

/// GET /invites/{invite.code}: whoever knows the code may look.
pub(super) fn get(code: &str, caller: &Caller<'_>, desk: &Desk<'_>) -> Handled {
    let invite = desk.world.invite(&InviteCode::new(code)).ok_or(ApiError::UnknownInvite)?;
    let mut form = Form::query(caller.request.query);
    let with_counts = form.switch("with_counts");
    form.finish()?;
    let mut shown = without_metadata(wire::invite(desk.world, invite));
    if with_counts == Some(true) {
        let members = desk.world.guild(invite.guild_id).map_or(0, |guild| guild.members.len());
        shown["approximate_member_count"] = json!(members);
        shown["approximate_presence_count"] = json!(members);
    }
    Ok(Reply::Ok(shown))
}

/// DELETE /invites/{invite.code}, with MANAGE_CHANNELS in its channel or MANAGE_GUILD.
pub(super) fn delete(code: &str, caller: &Caller<'_>, desk: &mut Desk<'_>) -> Handled {
    let code = InviteCode::new(code);
    let invite = desk.world.invite(&code).ok_or(ApiError::UnknownInvite)?;
    let guild = guild_of(desk.world, caller, invite.guild_id)
        .map_err(|error| if error == ApiError::UnknownGuild { ApiError::MissingAccess } else { error })?;
    if !guild.base_permissions(caller.bot).contains(Permissions::MANAGE_GUILD) {
        channel_with(desk.world, caller, invite.channel_id, Permissions::MANAGE_CHANNELS)?;
    }
    let shown = without_metadata(wire::invite(desk.world, invite));
    let gone = desk.world.delete_invite(&code).map_err(ApiError::from)?;
    let noted = changes(&audited(&gone), &Value::Null, &AUDITED);
    desk.audit(caller, gone.guild_id, AuditAction::InviteDelete, None, noted);
    Ok(Reply::Ok(shown))
}

/// What is left of an invite for those who do not manage it.
fn without_metadata(mut invite: Value) -> Value {
    if let Some(fields) = invite.as_object_mut() {
        for name in ["uses", "max_uses", "max_age", "temporary", "created_at"] {
            fields.remove(name);
        }
    }
    invite
}

fn audited(invite: &Invite) -> Value {
    let mut body = wire::invite_metadata(invite);
    body["code"] = json!(invite.code);
    body["channel_id"] = json!(invite.channel_id);
    body["inviter_id"] = json!(invite.inviter);
    body
}
