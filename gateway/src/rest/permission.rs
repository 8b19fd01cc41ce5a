//! What a bot has to be allowed to do (Discord docs, topics/permissions).

use std::fmt;

/// Declares permissions with their bit and their name at Discord.
macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $wire:literal;)+) => {
        /// A permission that a request of ours may need.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Permission {
            $($(#[$doc])* $name,)+
        }

        impl Permission {
            /// Every permission that a request of ours may need.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Discord's name of it, in UPPER_SNAKE.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $wire,)+
                }
            }

            /// Its bit in Discord's permission numbers.
            pub const fn bit(self) -> u64 {
                match self {
                    $(Self::$name => 1 << $bit,)+
                }
            }
        }
    };
}

permissions! {
    /// Make invites.
    CreateInstantInvite = 0, "CREATE_INSTANT_INVITE";
    /// Make, change and delete channels.
    ManageChannels = 4, "MANAGE_CHANNELS";
    /// See who did what.
    ViewAuditLog = 7, "VIEW_AUDIT_LOG";
    /// See a channel.
    ViewChannel = 10, "VIEW_CHANNEL";
    /// Write messages.
    SendMessages = 11, "SEND_MESSAGES";
    /// Join a voice channel.
    Connect = 20, "CONNECT";
    /// Mute members for everybody.
    MuteMembers = 22, "MUTE_MEMBERS";
    /// Deafen members.
    DeafenMembers = 23, "DEAFEN_MEMBERS";
    /// Move members between voice channels, and out of them.
    MoveMembers = 24, "MOVE_MEMBERS";
    /// Change permission overwrites.
    ManageRoles = 28, "MANAGE_ROLES";
    /// Make and delete webhooks.
    ManageWebhooks = 29, "MANAGE_WEBHOOKS";
    /// Raise one's hand in the audience of a stage.
    RequestToSpeak = 32, "REQUEST_TO_SPEAK";
    /// Set a voice channel's status.
    SetVoiceChannelStatus = 48, "SET_VOICE_CHANNEL_STATUS";
}

/// A set of permissions, as the number whose bits they are. Holds bits that have no name here, too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PermissionSet(u64);

impl PermissionSet {
    /// The set of these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether the permission is in it.
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | permission.bit()))
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
