//! The claims of a token whose signature has been verified.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parlor_gateway::GuildId;
use serde::{Deserialize, Deserializer, de};

use super::principal::GuildGrant;

/// 9999-12-31T23:59:59Z: a later time is a mistake or a trick.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The claims that count here. Others are ignored; one that comes twice, or has another type than RFC 7519 gives it, is
/// an error.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Audience,
    pub(super) exp: NumericDate,
    #[serde(default, deserialize_with = "some")]
    pub(super) nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "some")]
    pub(super) iat: Option<NumericDate>,
    /// Missing: no guild.
    #[serde(default)]
    pub(super) guilds: Guilds,
    /// Missing: no scope.
    #[serde(default)]
    pub(super) scope: String,
}

/// A claim that is present has a value: `null` is not the same as missing.
fn some<'de, D: Deserializer<'de>>(value: D) -> Result<Option<NumericDate>, D::Error> {
    NumericDate::deserialize(value).map(Some)
}

/// `aud`: one audience or several (RFC 7519, section 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    pub(super) fn contains(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

/// Seconds since 1970, fractions allowed (RFC 7519, section 2).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct NumericDate(pub(super) SystemTime);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seconds;

        impl de::Visitor<'_> for Seconds {
            type Value = f64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970, as a number")
            }

            #[expect(clippy::cast_precision_loss, reason = "exact below 2^53, and larger numbers are refused")]
            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<f64, E> {
                Ok(seconds as f64)
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<f64, E> {
                Ok(seconds)
            }
        }

        let seconds = deserializer.deserialize_any(Seconds)?;
        if !(0.0..=LAST_SECOND).contains(&seconds) {
            return Err(de::Error::custom("a time outside 1970 to 9999"));
        }
        Ok(Self(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
    }
}

/// `guilds`: ids as strings, or exactly `["*"]`. Numbers, patterns and a star among ids are errors.
pub(super) struct Guilds(pub(super) GuildGrant);

impl Default for Guilds {
    fn default() -> Self {
        Self(GuildGrant::Only(BTreeSet::new()))
    }
}

impl<'de> Deserialize<'de> for Guilds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        if names == ["*"] {
            return Ok(Self(GuildGrant::All));
        }
        let ids: Result<BTreeSet<GuildId>, _> = names.iter().map(|name| name.parse()).collect();
        ids.map(|ids| Self(GuildGrant::Only(ids))).map_err(|_| de::Error::custom("a guild that is not an id"))
    }
}
