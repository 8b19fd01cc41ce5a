//! The numbers that name things on the wire, one type per kind of thing.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

struct SnowflakeVisitor;

impl de::Visitor<'_> for SnowflakeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id, as a string of digits or an integer")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<u64, E> {
        value.parse().map_err(|_| E::custom("not an id"))
    }
}

macro_rules! snowflake {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// A snowflake: written as a string, read from a string or an integer, because some clients send integers.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(u64);

        impl $name {
            /// The id with this value.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The number behind the id.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(SnowflakeVisitor).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }
    };
}

snowflake! {
    /// A guild; in calls outside guilds, the channel that stands in its place.
    GuildId
}
snowflake! {
    /// A voice channel. As 8 bytes big endian it is also the id of the channel's MLS group.
    ChannelId
}
snowflake! {
    /// A user or bot. As 8 bytes big endian it is also the identity in a user's MLS credential.
    UserId
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// The thing with this number.
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The number itself.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A source of RTP packets (RFC 3550, section 3): one stream of one user, for as long as the server says so.
    Ssrc(u32)
}
number! {
    /// A change of keys or of protocol that everybody in a call makes together. [`TransitionId::INITIAL`] takes effect at once
    /// (DAVE protocol, "dave_protocol_prepare_transition (21)").
    TransitionId(u16)
}
number! {
    /// A version of the DAVE protocol; [`ProtocolVersion::NONE`] is a call without end-to-end encryption.
    ProtocolVersion(u16)
}

impl TransitionId {
    /// The (re)initialisation of a group: nobody is ready for it and nobody executes it, it is simply so.
    pub const INITIAL: Self = Self(0);
}

impl ProtocolVersion {
    /// Transport encryption alone.
    pub const NONE: Self = Self(0);
    /// The only version that there is (DAVE protocol 1.1).
    pub const V1: Self = Self(1);
}
