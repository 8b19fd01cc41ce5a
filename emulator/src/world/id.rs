//! Snowflakes: Discord's 64-bit ids, which carry the time at which they were minted.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::time::Timestamp;

/// 2015-01-01T00:00:00Z in Unix milliseconds (Discord docs, Reference § Snowflakes).
const DISCORD_EPOCH_MILLIS: u64 = 1_420_070_400_000;
/// Worker, process and increment take the low 22 bits; the milliseconds stand above them.
const TIMESTAMP_SHIFT: u32 = 22;

/// A snowflake minted at `now`; `counter` tells ids of one millisecond apart (its low 22 bits count).
pub(crate) fn mint(counter: u64, now: Timestamp) -> u64 {
    let millis = now.unix_millis().saturating_sub(DISCORD_EPOCH_MILLIS);
    (millis << TIMESTAMP_SHIFT) | (counter & ((1 << TIMESTAMP_SHIFT) - 1))
}

/// A text was no snowflake.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is no snowflake: write the 64-bit id in decimal digits")]
pub struct ParseIdError {
    text: String,
    #[source]
    source: ParseIntError,
}

struct SnowflakeVisitor;

impl Visitor<'_> for SnowflakeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a snowflake as a string or as an integer")
    }

    fn visit_u64<E>(self, raw: u64) -> Result<u64, E> {
        Ok(raw)
    }

    fn visit_i64<E: serde::de::Error>(self, raw: i64) -> Result<u64, E> {
        u64::try_from(raw).map_err(E::custom)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! snowflake {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a raw snowflake.
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The raw 64 bits.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// When the id was minted, read from its upper 42 bits.
            pub const fn created_at(self) -> Timestamp {
                Timestamp::from_unix_millis((self.0 >> TIMESTAMP_SHIFT) + DISCORD_EPOCH_MILLIS)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.parse().map(Self).map_err(|source| ParseIdError { text: text.to_owned(), source })
            }
        }

        impl Serialize for $name {
            /// A string, because JavaScript loses integers above 2^53.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            /// Strings and integers alike: some libraries send ids as JSON numbers.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = deserializer.deserialize_any(SnowflakeVisitor)?;
                if raw == 0 {
                    return Err(D::Error::custom("a snowflake is never 0"));
                }
                Ok(Self(raw))
            }
        }
    };
}

snowflake!(
    /// A guild ("server").
    GuildId
);
snowflake!(
    /// A channel of any type.
    ChannelId
);
snowflake!(
    /// A user: a person or a bot. A bot's application has the same id.
    UserId
);
snowflake!(
    /// A role. A guild's `@everyone` role has the guild's id.
    RoleId
);
snowflake!(
    /// A message.
    MessageId
);
snowflake!(
    /// An entry of a guild's audit log.
    AuditEntryId
);
snowflake!(
    /// A webhook.
    WebhookId
);

impl GuildId {
    /// The id of the `@everyone` role, which is the guild's own.
    pub const fn everyone(self) -> RoleId {
        RoleId(self.0)
    }

    /// The shard that carries this guild's events (Discord docs, Gateway § Sharding). `shards` is at least 1.
    pub const fn shard(self, shards: u32) -> u32 {
        ((self.0 >> TIMESTAMP_SHIFT) % shards as u64) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_snowflake_tells_its_time() {
        let now = Timestamp::from_unix_millis(1_700_000_000_123);
        assert_eq!(ChannelId::new(mint(7, now)).created_at(), now);
        assert_ne!(mint(7, now), mint(8, now));
    }

    #[test]
    fn integers_above_2_to_the_53_keep_every_digit() {
        let read: Vec<GuildId> = serde_json::from_str(r#"[1100000000000000001, "1100000000000000001"]"#).unwrap();
        assert_eq!(read, [GuildId::new(1_100_000_000_000_000_001); 2]);
        assert_eq!(serde_json::to_string(&read[0]).unwrap(), r#""1100000000000000001""#);
        assert!(serde_json::from_str::<GuildId>("-4").is_err());
        assert!(serde_json::from_str::<GuildId>("1.5").is_err());
    }
}
