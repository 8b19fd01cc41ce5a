//! Permission bits and the arithmetic over roles and overwrites (Discord docs, Topics § Permissions).

use std::collections::BTreeSet;
use std::ops::BitOr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::id::{RoleId, UserId};

/// A set of permission bits. On the wire it is a decimal string.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Permissions(u64);

impl Permissions {
    /// No permission at all.
    pub const NONE: Self = Self(0);
    /// Everything, including what does not exist yet.
    pub const ALL: Self = Self(u64::MAX >> 1);
    /// Create invites.
    pub const CREATE_INSTANT_INVITE: Self = Self(1 << 0);
    /// Passes every check and every overwrite.
    pub const ADMINISTRATOR: Self = Self(1 << 3);
    /// Create, edit and delete channels.
    pub const MANAGE_CHANNELS: Self = Self(1 << 4);
    /// Edit the guild.
    pub const MANAGE_GUILD: Self = Self(1 << 5);
    /// Read the audit log.
    pub const VIEW_AUDIT_LOG: Self = Self(1 << 7);
    /// See a channel.
    pub const VIEW_CHANNEL: Self = Self(1 << 10);
    /// Write messages.
    pub const SEND_MESSAGES: Self = Self(1 << 11);
    /// Have messages read aloud.
    pub const SEND_TTS_MESSAGES: Self = Self(1 << 12);
    /// Write messages with embeds.
    pub const EMBED_LINKS: Self = Self(1 << 14);
    /// Read earlier messages.
    pub const READ_MESSAGE_HISTORY: Self = Self(1 << 16);
    /// Join voice and stage channels.
    pub const CONNECT: Self = Self(1 << 20);
    /// Speak in voice channels.
    pub const SPEAK: Self = Self(1 << 21);
    /// Mute other members.
    pub const MUTE_MEMBERS: Self = Self(1 << 22);
    /// Deafen other members.
    pub const DEAFEN_MEMBERS: Self = Self(1 << 23);
    /// Move members between voice channels, and join full ones.
    pub const MOVE_MEMBERS: Self = Self(1 << 24);
    /// Change other members' nicknames.
    pub const MANAGE_NICKNAMES: Self = Self(1 << 27);
    /// Edit roles and permission overwrites.
    pub const MANAGE_ROLES: Self = Self(1 << 28);
    /// Create, edit and delete webhooks.
    pub const MANAGE_WEBHOOKS: Self = Self(1 << 29);
    /// Ask to speak on a stage.
    pub const REQUEST_TO_SPEAK: Self = Self(1 << 32);
    /// Set the status line of a voice channel.
    pub const SET_VOICE_CHANNEL_STATUS: Self = Self(1 << 48);
    /// What `@everyone` may do in a fresh guild here.
    pub const EVERYONE: Self = Self(
        Self::CREATE_INSTANT_INVITE.0
            | Self::VIEW_CHANNEL.0
            | Self::SEND_MESSAGES.0
            | Self::EMBED_LINKS.0
            | Self::READ_MESSAGE_HISTORY.0
            | Self::CONNECT.0
            | Self::SPEAK.0
            | Self::REQUEST_TO_SPEAK.0,
    );

    /// What nobody has where they may not write (Discord docs, Permissions § Implicit Permissions): those two, besides
    /// MENTION_EVERYONE and ATTACH_FILES.
    pub(crate) const NEEDS_SEND_MESSAGES: Self =
        Self(Self::SEND_TTS_MESSAGES.0 | Self::EMBED_LINKS.0 | (1 << 15) | (1 << 17));

    /// What nobody has in a room to which they may not connect.
    pub(crate) const NEEDS_CONNECT: Self = Self(
        Self::MANAGE_CHANNELS.0
            | Self::MANAGE_ROLES.0
            | Self::SPEAK.0
            | Self::MUTE_MEMBERS.0
            | Self::DEAFEN_MEMBERS.0
            | Self::MOVE_MEMBERS.0
            | Self::SET_VOICE_CHANNEL_STATUS.0,
    );

    /// From the raw bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The raw bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether every bit of `wanted` is set.
    pub const fn contains(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Whether no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits in which the two sets differ.
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    /// This set without the bits of `taken`.
    pub const fn without(self, taken: Self) -> Self {
        Self(self.0 & !taken.0)
    }
}

impl BitOr for Permissions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Text(String),
            Number(u64),
        }
        match Wire::deserialize(deserializer)? {
            Wire::Text(text) => text.parse().map(Self).map_err(D::Error::custom),
            Wire::Number(bits) => Ok(Self(bits)),
        }
    }
}

/// Whom a permission overwrite concerns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OverwriteTarget {
    /// Wire type 0; the guild's own id means everyone.
    Role(RoleId),
    /// Wire type 1.
    Member(UserId),
}

/// A channel's exception to the permissions that roles give.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Overwrite {
    /// Whom it concerns.
    pub target: OverwriteTarget,
    /// Bits granted.
    pub allow: Permissions,
    /// Bits taken away.
    pub deny: Permissions,
}

/// A member's permissions in a channel, from what their roles give (`base`) and the channel's overwrites:
/// everyone's first, then all roles' together, then the member's own.
pub(crate) fn in_channel(
    base: Permissions,
    everyone: RoleId,
    user: UserId,
    roles: &BTreeSet<RoleId>,
    overwrites: &[Overwrite],
) -> Permissions {
    if base.contains(Permissions::ADMINISTRATOR) {
        return Permissions::ALL;
    }
    let apply = |permissions: Permissions, concerns: &dyn Fn(OverwriteTarget) -> bool| {
        let (allow, deny) = overwrites
            .iter()
            .filter(|overwrite| concerns(overwrite.target))
            .fold((Permissions::NONE, Permissions::NONE), |(allow, deny), overwrite| {
                (allow | overwrite.allow, deny | overwrite.deny)
            });
        permissions.without(deny) | allow
    };
    let after_everyone = apply(base, &|target| target == OverwriteTarget::Role(everyone));
    let after_roles = apply(
        after_everyone,
        &|target| matches!(target, OverwriteTarget::Role(role) if role != everyone && roles.contains(&role)),
    );
    apply(after_roles, &|target| target == OverwriteTarget::Member(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overwrites_apply_everyone_then_roles_then_member() {
        let (everyone, role, user) = (RoleId::new(1), RoleId::new(2), UserId::new(3));
        let roles = BTreeSet::from([role]);
        let base = Permissions::VIEW_CHANNEL | Permissions::CONNECT;
        let hide =
            Overwrite { target: OverwriteTarget::Role(everyone), allow: Permissions::NONE, deny: Permissions::CONNECT };
        let role_back =
            Overwrite { target: OverwriteTarget::Role(role), allow: Permissions::CONNECT, deny: Permissions::NONE };
        let member_out =
            Overwrite { target: OverwriteTarget::Member(user), allow: Permissions::NONE, deny: Permissions::CONNECT };
        let may_connect = |overwrites: &[Overwrite]| {
            in_channel(base, everyone, user, &roles, overwrites).contains(Permissions::CONNECT)
        };
        assert!(!may_connect(&[hide]));
        assert!(may_connect(&[role_back, hide]));
        assert!(!may_connect(&[member_out, role_back, hide]));
        let admin = in_channel(Permissions::ADMINISTRATOR, everyone, user, &roles, &[member_out]);
        assert!(admin.contains(Permissions::CONNECT));
    }
}
