//! Discord's ids, one type per kind of thing.
//!
//! Discord sends ids as decimal strings, and some clients as integers; both are read. In Parlor's own API an id is
//! always a string, because JavaScript loses integers above 2^53.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// The first second of 2015: what a snowflake counts milliseconds from (Discord reference, "Snowflakes").
pub const DISCORD_EPOCH: Duration = Duration::from_millis(1_420_070_400_000);

/// A string is not an id: an id has 17 to 20 decimal digits and fits 64 bits.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("not an id: expected 17 to 20 decimal digits")]
pub struct InvalidId;

/// Reads the digits of a snowflake, strictly.
fn parse_snowflake(digits: &str) -> Result<u64, InvalidId> {
    let shaped = (17..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !shaped {
        return Err(InvalidId);
    }
    digits.parse().map_err(|_| InvalidId)
}

/// When the thing that a snowflake names was created (Discord reference, "Snowflakes": bits 63 to 22 are
/// milliseconds since [`DISCORD_EPOCH`]).
fn created_at(snowflake: u64) -> SystemTime {
    UNIX_EPOCH + DISCORD_EPOCH + Duration::from_millis(snowflake >> 22)
}

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
        value.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(u64);

        impl $name {
            /// The id with this value, as Discord sent it.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The number behind the id.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The id as the API has it. The same as `to_string`, and several times quicker.
            pub fn to_text(self) -> String {
                self.0.to_string()
            }

            /// When the thing was created, to the millisecond: a snowflake tells.
            pub fn created_at(self) -> SystemTime {
                created_at(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Reads an id from outside: 17 to 20 decimal digits and nothing else.
            fn from_str(digits: &str) -> Result<Self, InvalidId> {
                parse_snowflake(digits).map(Self)
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

id! {
    /// A guild: what users call a server.
    GuildId
}
id! {
    /// A room, which is a voice or stage channel: the same id.
    RoomId
}
id! {
    /// A category that rooms stand in, itself a channel.
    CategoryId
}
id! {
    /// A channel of any kind.
    ChannelId
}
id! {
    /// A user or bot.
    UserId
}
id! {
    /// A role of a guild. The one that everybody has carries the guild's own id.
    RoleId
}
id! {
    /// A message.
    MessageId
}
id! {
    /// An entry of a guild's audit log.
    AuditEntryId
}
id! {
    /// A webhook of Discord's own.
    WebhookId
}

impl From<RoomId> for ChannelId {
    fn from(room: RoomId) -> Self {
        Self(room.0)
    }
}

impl From<CategoryId> for ChannelId {
    fn from(category: CategoryId) -> Self {
        Self(category.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_outside_has_17_to_20_digits() {
        assert_eq!("175928847299117063".parse(), Ok(GuildId::new(175_928_847_299_117_063)));
        for wrong in [
            "",
            "1",
            "12*",
            "*",
            "-75928847299117063",
            "+75928847299117063",
            "99999999999999999999",
            "１７５９２８８４７２９９１１７０６３",
        ] {
            assert_eq!(wrong.parse::<GuildId>(), Err(InvalidId), "{wrong}");
        }
    }

    #[test]
    fn discord_may_send_strings_or_integers() {
        let from_string: UserId = serde_json::from_str("\"175928847299117063\"").expect("a string");
        let from_integer: UserId = serde_json::from_str("175928847299117063").expect("an integer above 2^53");
        assert_eq!(from_string, from_integer);
        assert_eq!(serde_json::to_string(&from_string).expect("writes"), "\"175928847299117063\"");
    }

    #[test]
    fn a_snowflake_tells_when_it_was_made() {
        // The example of Discord's reference: 175928847299117063 is 2016-04-30 11:18:25.796 UTC.
        let since_1970 = RoomId::new(175_928_847_299_117_063).created_at().duration_since(UNIX_EPOCH);
        assert_eq!(since_1970.expect("after 1970"), Duration::from_millis(1_462_015_105_796));
    }
}
