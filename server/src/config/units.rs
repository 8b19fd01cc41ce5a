//! Values that are right once they are read: bounded numbers and times, URLs, origins.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use reqwest::Url;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A value has the wrong shape.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum UnitError {
    /// Not an absolute URL without user name, password and fragment.
    #[error("not an absolute URL without user name, password and fragment")]
    NotAUrl,
    /// The scheme would send secrets in the clear.
    #[error("the scheme must be {secure}, or {plain} on a loopback address")]
    Scheme {
        /// The scheme that is always accepted.
        secure: &'static str,
        /// The scheme that is accepted on loopback.
        plain: &'static str,
    },
    /// Not an origin as browsers send it.
    #[error("not an origin: expected scheme://host or scheme://host:port, without a path")]
    NotAnOrigin,
}

/// Reads an absolute URL of a scheme that keeps secrets, or of its plain sister on loopback.
fn endpoint(text: &str, secure: &'static str, plain: &'static str) -> Result<Url, UnitError> {
    let url = Url::parse(text).map_err(|_| UnitError::NotAUrl)?;
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    if !has_host || !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(UnitError::NotAUrl);
    }
    if url.scheme() == secure || (url.scheme() == plain && is_loopback(&url)) {
        Ok(url)
    } else {
        Err(UnitError::Scheme { secure, plain })
    }
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// Declares a URL type for one pair of schemes.
macro_rules! endpoint_url {
    ($(#[$doc:meta])* $name:ident, $secure:literal, $plain:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub struct $name(Url);

        impl $name {
            /// The URL as text; one without a path ends in `/`.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = UnitError;

            fn from_str(text: &str) -> Result<Self, UnitError> {
                endpoint(text, $secure, $plain).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

endpoint_url! {
    /// An `https` URL, or `http` on a loopback address.
    HttpsUrl, "https", "http"
}
endpoint_url! {
    /// A `wss` URL, or `ws` on a loopback address.
    WssUrl, "wss", "ws"
}

/// An origin as a browser sends it (RFC 6454, section 6.2): scheme, host and, where it is not the scheme's own, port.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Origin(String);

impl Origin {
    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let url = Url::parse(text).map_err(|_| UnitError::NotAnOrigin)?;
        let is_web = matches!(url.scheme(), "http" | "https");
        // What a browser sends is what the parser makes of it; anything else would never match.
        if is_web && url.origin().ascii_serialization() == text {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnitError::NotAnOrigin)
        }
    }
}

/// A time such as `15s` or `10m`, from `MIN` to `MAX` seconds.
pub(super) fn seconds<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let time: Duration = humantime_serde::deserialize(deserializer)?;
    if (Duration::from_secs(MIN)..=Duration::from_secs(MAX)).contains(&time) {
        Ok(time)
    } else {
        let shown = |seconds| humantime_serde::re::humantime::format_duration(Duration::from_secs(seconds)).to_string();
        Err(de::Error::custom(format_args!("expected a time from {} to {}", shown(MIN), shown(MAX))))
    }
}

/// A number from `MIN` to `MAX`.
pub(super) fn number<'de, const MIN: u32, const MAX: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    if (MIN..=MAX).contains(&number) {
        Ok(number)
    } else {
        Err(de::Error::custom(format_args!("expected a number from {MIN} to {MAX}")))
    }
}

/// A number from `MIN` to `MAX`, or nothing.
pub(super) fn optional_number<'de, const MIN: u32, const MAX: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    #[derive(serde::Deserialize)]
    struct Bounded<const MIN: u32, const MAX: u32>(#[serde(deserialize_with = "number::<MIN, MAX, _>")] u32);
    let number = Option::<Bounded<MIN, MAX>>::deserialize(deserializer)?;
    Ok(number.map(|Bounded(number)| number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_travel_encrypted_or_on_loopback() {
        for good in
            ["https://discord.com/api/v10", "http://127.0.0.1:50080/api/v10", "http://[::1]:1", "http://localhost"]
        {
            assert!(good.parse::<HttpsUrl>().is_ok(), "{good}");
        }
        let scheme = UnitError::Scheme { secure: "https", plain: "http" };
        for (bad, error) in [
            ("http://discord.com", scheme),
            ("http://127.0.0.1.evil.example", scheme),
            ("http://10.0.0.1", scheme),
            ("ftp://localhost", scheme),
            ("https://user:pass@discord.com", UnitError::NotAUrl),
            ("/api", UnitError::NotAUrl),
        ] {
            assert_eq!(bad.parse::<HttpsUrl>(), Err(error), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_what_browsers_send() {
        for good in ["https://app.example", "http://localhost:5173"] {
            assert_eq!(good.parse::<Origin>().map(|origin| origin.0), Ok(good.to_owned()));
        }
        for bad in
            ["*", "null", "app.example", "https://app.example/", "https://app.example:443", "HTTPS://app.example"]
        {
            assert_eq!(bad.parse::<Origin>(), Err(UnitError::NotAnOrigin), "{bad}");
        }
    }
}
