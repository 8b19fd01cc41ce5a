//! Who may do what in one channel (Discord docs, resources/channel, "Overwrite Object").

use serde::Deserialize;
use twilight_http::request::AuditLogReason as _;
use twilight_model::{
    channel::permission_overwrite as model,
    guild::Permissions,
    http::permission_overwrite::{PermissionOverwrite, PermissionOverwriteType},
    id::Id,
};

use super::{channel_id, user_id};
use crate::{
    id::{ChannelId, GuildId, RoleId, UserId},
    rest::{
        Caller, Rest, RestError,
        outgoing::Outgoing,
        permission::{Permission, PermissionSet},
        schedule::{Resource, Route, Verb},
    },
};

const PUT: Route = Route::new(Verb::Put, "/channels/{channel}/permissions/{overwrite}");
const DELETE: Route = Route::new(Verb::Delete, "/channels/{channel}/permissions/{overwrite}");
const NEEDS: &[Permission] = &[Permission::ManageRoles];

/// What a role or a member may do in a channel, and what not, whatever they may do elsewhere.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "Wire")]
pub struct Overwrite {
    /// Whom it is about.
    pub target: OverwriteTarget,
    /// What they may do. The bot can only give what it has.
    pub allow: PermissionSet,
    /// What they may not do.
    pub deny: PermissionSet,
}

/// Whom an overwrite is about.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum OverwriteTarget {
    /// Everybody with a role. The role that everybody has carries the guild's id.
    Role(RoleId),
    /// One member.
    Member(UserId),
}

impl Rest {
    /// Sets an overwrite of a channel. Safe to repeat. Needs Manage Roles.
    pub async fn put_overwrite(
        &self,
        guild: GuildId,
        channel: ChannelId,
        overwrite: &Overwrite,
        reason: &str,
        caller: &Caller,
    ) -> Result<(), RestError> {
        self.tell(self.put_overwrite_request(guild, channel, overwrite, reason, caller)?).await
    }

    pub(super) fn put_overwrite_request(
        &self,
        guild: GuildId,
        channel: ChannelId,
        overwrite: &Overwrite,
        reason: &str,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let wire = PermissionOverwrite::from(overwrite);
        let request = self.builder.update_channel_permission(channel_id(channel), &wire).reason(reason);
        Ok(Outgoing::new(PUT, Resource::Channel(channel), request, caller)?.within(guild).needing(NEEDS))
    }

    /// Removes an overwrite of a channel. Safe to repeat. Needs Manage Roles.
    pub async fn delete_overwrite(
        &self,
        guild: GuildId,
        channel: ChannelId,
        target: OverwriteTarget,
        reason: &str,
        caller: &Caller,
    ) -> Result<(), RestError> {
        self.tell(self.delete_overwrite_request(guild, channel, target, reason, caller)?).await
    }

    pub(super) fn delete_overwrite_request(
        &self,
        guild: GuildId,
        channel: ChannelId,
        target: OverwriteTarget,
        reason: &str,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let request = self.builder.delete_channel_permission(channel_id(channel));
        let request = match target {
            OverwriteTarget::Role(role) => request.role(Id::new(role.get())),
            OverwriteTarget::Member(user) => request.member(user_id(user)),
        };
        let request = request.reason(reason);
        Ok(Outgoing::new(DELETE, Resource::Channel(channel), request, caller)?.within(guild).needing(NEEDS))
    }
}

/// Within a channel.
impl From<&Overwrite> for model::PermissionOverwrite {
    fn from(overwrite: &Overwrite) -> Self {
        let (id, kind) = match overwrite.target {
            OverwriteTarget::Role(role) => (role.get(), model::PermissionOverwriteType::Role),
            OverwriteTarget::Member(user) => (user.get(), model::PermissionOverwriteType::Member),
        };
        Self { allow: named(overwrite.allow), deny: named(overwrite.deny), id: Id::new(id), kind }
    }
}

/// By itself.
impl From<&Overwrite> for PermissionOverwrite {
    fn from(overwrite: &Overwrite) -> Self {
        let (id, kind) = match overwrite.target {
            OverwriteTarget::Role(role) => (role.get(), PermissionOverwriteType::Role),
            OverwriteTarget::Member(user) => (user.get(), PermissionOverwriteType::Member),
        };
        Self { allow: Some(named(overwrite.allow)), deny: Some(named(overwrite.deny)), id: Id::new(id), kind }
    }
}

/// Every bit stays: Discord has permissions that twilight does not name.
fn named(set: PermissionSet) -> Permissions {
    Permissions::from_bits_retain(set.bits())
}

#[derive(Deserialize)]
struct Wire {
    id: UserId,
    #[serde(rename = "type")]
    kind: u8,
    allow: String,
    deny: String,
}

impl TryFrom<Wire> for Overwrite {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        let target = match wire.kind {
            0 => OverwriteTarget::Role(RoleId::new(wire.id.get())),
            1 => OverwriteTarget::Member(wire.id),
            _ => return Err("an overwrite is about a role or a member"),
        };
        let set = |bits: &str| bits.parse().map(PermissionSet::from_bits).map_err(|_| "a permission set is a number");
        Ok(Self { target, allow: set(&wire.allow)?, deny: set(&wire.deny)? })
    }
}
