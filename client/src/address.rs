//! Where Parlor is.

use std::{fmt, str::FromStr};

use http::uri::Authority;

use crate::ConnectError;

/// The port that parlord listens on where nothing else is configured.
const DEFAULT_PORT: u16 = 50051;

/// Where Parlor is: `host:port`, `host` (port 50051), `http://host:port` or `https://host:port`.
///
/// Without a scheme the connection is plain text. With one and without a port, the port is the scheme's own, 80 or 443.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    tls: bool,
    host: String,
    port: u16,
}

impl Address {
    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host's name or address, IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is this machine, so that nobody can read along.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Address {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ConnectError::Address(text.to_owned());
        let (tls, rest, port) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest, 443)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest, 80)
        } else {
            (false, text, DEFAULT_PORT)
        };
        let authority: Authority = rest.strip_suffix('/').unwrap_or(rest).parse().map_err(|_| wrong())?;
        // `user@host` would be sent nowhere, and `host:` and `host:70000` parse as an authority without a port.
        let names_port = authority.as_str().len() > authority.host().len();
        if authority.as_str().contains('@')
            || authority.host().is_empty()
            || (names_port && authority.port_u16().is_none())
        {
            return Err(wrong());
        }
        Ok(Self { tls, host: authority.host().to_owned(), port: authority.port_u16().unwrap_or(port) })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        for (written, meant) in [
            ("127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("parlor", "http://parlor:50051"),
            ("http://parlor.example", "http://parlor.example:80"),
            ("https://parlor.example/", "https://parlor.example:443"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(written.parse::<Address>().expect(written).to_string(), meant);
        }
    }

    #[test]
    fn what_is_no_address_is_given_back() {
        for wrong in
            ["", "http://", "ftp://parlor:1", "parlor:70000", "parlor:", "ann@parlor:1", "https://parlor/rooms"]
        {
            let error = wrong.parse::<Address>().expect_err(wrong);
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
    }

    #[test]
    fn loopback_is_this_machine() {
        let is_loopback = |text: &str| text.parse::<Address>().expect(text).is_loopback();
        assert!(is_loopback("localhost:1") && is_loopback("127.0.0.1:1") && is_loopback("[::1]:1"));
        assert!(!is_loopback("10.0.0.1:1") && !is_loopback("localhost.example:1"));
    }
}
