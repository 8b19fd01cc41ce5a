//! Gateway intents (Discord docs, Gateway § Gateway Intents).

use std::ops::BitOr;

use serde::{Deserialize, Serialize};

/// The groups of events that a session asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Intents(u64);

impl Intents {
    /// No events that need an intent.
    pub const NONE: Self = Self(0);
    /// Guilds, roles and channels.
    pub const GUILDS: Self = Self(1 << 0);
    /// Members; privileged.
    pub const GUILD_MEMBERS: Self = Self(1 << 1);
    /// Audit log entries and bans.
    pub const GUILD_MODERATION: Self = Self(1 << 2);
    /// Webhooks.
    pub const GUILD_WEBHOOKS: Self = Self(1 << 5);
    /// Invites.
    pub const GUILD_INVITES: Self = Self(1 << 6);
    /// Voice states.
    pub const GUILD_VOICE_STATES: Self = Self(1 << 7);
    /// Presences; privileged.
    pub const GUILD_PRESENCES: Self = Self(1 << 8);
    /// Messages in guilds.
    pub const GUILD_MESSAGES: Self = Self(1 << 9);
    /// The content of messages; privileged.
    pub const MESSAGE_CONTENT: Self = Self(1 << 15);
    /// Those that a bot must be granted first.
    pub const PRIVILEGED: Self = Self((1 << 1) | (1 << 8) | (1 << 15));
    /// Every bit that Discord has given a meaning: 0 to 16, 20, 21, 24 and 25.
    const KNOWN: u64 = ((1 << 17) - 1) | (1 << 20) | (1 << 21) | (1 << 24) | (1 << 25);

    /// From the number in IDENTIFY; `None` when a bit without a meaning is set (close code 4013).
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits & !Self::KNOWN == 0 { Some(Self(bits)) } else { None }
    }

    /// The number as clients send it.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `wanted` were declared.
    pub const fn contains(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Whether some of `others` were declared.
    pub const fn intersects(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// These without `others`.
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

impl BitOr for Intents {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
