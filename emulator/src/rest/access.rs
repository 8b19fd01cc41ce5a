//! Who may do what: the checks that stand before every deed (Discord docs, Topics § Permissions).

use http::HeaderMap;
use http::header::USER_AGENT;

use super::error::{ApiError, FormErrors};
use super::{Caller, Desk};
use crate::text::percent_decode;
use crate::world::{
    AuditAction, AuditChange, Availability, Channel, ChannelId, Deed, Guild, GuildId, Overwrite, OverwriteTarget,
    Permissions, UserId, Webhook, WebhookId, World,
};

/// Characters of an audit-log reason, decoded (Discord docs, Audit Log § Audit Log Entry Object).
const MAX_REASON: usize = 512;

/// The guild, if the caller is in it and it can be reached.
pub(super) fn guild_of<'w>(world: &'w World, caller: &Caller<'_>, id: GuildId) -> Result<&'w Guild, ApiError> {
    let guild = world.guild(id).filter(|guild| guild.members.contains_key(&caller.bot));
    let guild = guild.ok_or(ApiError::UnknownGuild)?;
    match guild.availability {
        Availability::Available => Ok(guild),
        Availability::Unavailable => Err(ApiError::GuildUnavailable),
    }
}

/// The guild, if the caller holds `wanted` by roles there.
pub(super) fn guild_with<'w>(
    world: &'w World,
    caller: &Caller<'_>,
    id: GuildId,
    wanted: Permissions,
) -> Result<&'w Guild, ApiError> {
    let guild = guild_of(world, caller, id)?;
    if guild.base_permissions(caller.bot).contains(wanted) { Ok(guild) } else { Err(ApiError::MissingPermissions) }
}

/// The channel and its guild, if the caller sees it and holds `wanted` there.
pub(super) fn channel_with<'w>(
    world: &'w World,
    caller: &Caller<'_>,
    id: ChannelId,
    wanted: Permissions,
) -> Result<(&'w Guild, &'w Channel), ApiError> {
    let channel = world.channel(id).ok_or(ApiError::UnknownChannel)?;
    let guild = guild_of(world, caller, channel.guild_id).map_err(|error| {
        // A channel of a foreign guild exists, but not for this bot.
        if error == ApiError::UnknownGuild { ApiError::MissingAccess } else { error }
    })?;
    let may = guild.permissions_in(caller.bot, channel);
    if !may.contains(Permissions::VIEW_CHANNEL) {
        Err(ApiError::MissingAccess)
    } else if may.contains(wanted) {
        Ok((guild, channel))
    } else {
        Err(ApiError::MissingPermissions)
    }
}

/// The webhook, if the caller manages webhooks in its channel.
pub(super) fn webhook_with<'w>(world: &'w World, caller: &Caller<'_>, id: WebhookId) -> Result<&'w Webhook, ApiError> {
    let webhook = world.webhook(id).ok_or(ApiError::UnknownWebhook)?;
    channel_with(world, caller, webhook.channel_id, Permissions::MANAGE_WEBHOOKS)?;
    Ok(webhook)
}

/// What a caller may hand out or take away by overwrites.
#[derive(Clone, Copy, Debug)]
pub(super) enum Grant<'w> {
    /// In a channel that is being made: what they have in the guild, and MANAGE_ROLES for administrators alone.
    InNewChannel(&'w Guild),
    /// In this channel: what they have in the guild or in the category above, or everything, if an overwrite of the
    /// channel gives them MANAGE_ROLES.
    InChannel(&'w Guild, &'w Channel),
}

impl Grant<'_> {
    /// Checks the bits of each overwrite that is new, gone or changed (Discord docs, Modify Channel, Edit Channel
    /// Permissions, Create Guild Channel). Those that stay concern nobody.
    pub(super) fn check(self, caller: UserId, before: &[Overwrite], after: &[Overwrite]) -> Result<(), ApiError> {
        let touched = touched(before, after);
        let allowed = match self {
            Self::InNewChannel(guild) => {
                let base = guild.base_permissions(caller);
                let is_administrator = base.contains(Permissions::ADMINISTRATOR);
                if is_administrator { base } else { base.without(Permissions::MANAGE_ROLES) }
            }
            Self::InChannel(guild, channel) => {
                if gives_manage_roles(guild, channel, caller) {
                    Permissions::ALL
                } else {
                    let above = channel.parent_id.and_then(|parent| guild.channels.get(&parent));
                    let in_category = above.map(|above| guild.permissions_in(caller, above)).unwrap_or_default();
                    guild.base_permissions(caller) | in_category
                }
            }
        };
        if allowed.contains(touched) { Ok(()) } else { Err(ApiError::MissingPermissions) }
    }
}

/// All bits in which two lists of overwrites differ.
fn touched(before: &[Overwrite], after: &[Overwrite]) -> Permissions {
    let nothing = |target| Overwrite { target, allow: Permissions::NONE, deny: Permissions::NONE };
    let find = |list: &[Overwrite], target: OverwriteTarget| {
        list.iter().find(|each| each.target == target).copied().unwrap_or_else(|| nothing(target))
    };
    before.iter().chain(after).fold(Permissions::NONE, |sum, each| {
        let (old, new) = (find(before, each.target), find(after, each.target));
        sum | old.allow.difference(new.allow) | old.deny.difference(new.deny)
    })
}

fn gives_manage_roles(guild: &Guild, channel: &Channel, user: UserId) -> bool {
    let Some(member) = guild.members.get(&user) else { return false };
    channel.overwrites.iter().any(|overwrite| {
        let concerns = match overwrite.target {
            OverwriteTarget::Member(id) => id == user,
            OverwriteTarget::Role(role) => member.roles.contains(&role),
        };
        concerns && overwrite.allow.contains(Permissions::MANAGE_ROLES)
    })
}

/// `DiscordBot (url, version)`, as the API reference demands.
pub(super) fn has_bot_user_agent(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).is_some_and(|agent| agent.starts_with("DiscordBot ("))
}

/// `X-Audit-Log-Reason`: percent-encoded UTF-8, at most 512 characters once decoded. A longer one is refused; Discord
/// does not document how it names the field.
pub(super) fn audit_reason(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(raw) = headers.get("x-audit-log-reason") else { return Ok(None) };
    let reason = percent_decode(raw.as_bytes(), false);
    if reason.chars().count() > MAX_REASON {
        let message = format!("Must be {MAX_REASON} or fewer in length.");
        return Err(FormErrors::one(&["reason"], "BASE_TYPE_MAX_LENGTH", &message));
    }
    Ok((!reason.is_empty()).then_some(reason))
}

impl Desk<'_> {
    /// The world's audit log notes something done by the caller.
    pub(super) fn audit(
        &mut self,
        caller: &Caller<'_>,
        guild: GuildId,
        action: AuditAction,
        target: Option<u64>,
        changes: Vec<AuditChange>,
    ) {
        let reason = caller.reason.as_deref();
        self.world.audit(Deed { guild, actor: caller.bot, action, target, changes, reason });
    }
}
