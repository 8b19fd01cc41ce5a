//! A token cut into its parts, and its header.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{error::TokenError, json::object};

/// The longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// The longest `kid`, in bytes.
const MAX_KID_BYTES: usize = 128;

/// A compact JWS (RFC 7515, section 7.1), cut but not yet believed.
pub(super) struct CompactJws<'a> {
    /// What the signature is over: header and claims as they were sent.
    pub(super) signed: &'a str,
    /// The signature, in base64url.
    pub(super) signature: &'a str,
    header: &'a str,
    claims: &'a str,
}

impl<'a> CompactJws<'a> {
    /// Cuts a token at its dots. A token of five parts is a JWE, which is refused like any other number.
    pub(super) fn cut(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if claims.contains('.') || header.is_empty() || claims.is_empty() {
            return Err(TokenError::Malformed);
        }
        Ok(Self { signed, signature, header, claims })
    }

    /// The header, not yet believed.
    pub(super) fn header(&self) -> Result<Header, TokenError> {
        let json = URL_SAFE_NO_PAD.decode(self.header).map_err(|_| TokenError::Malformed)?;
        object(&json).map_err(|_| TokenError::HeaderMalformed)
    }

    /// The bytes of the claims. Parse them only once the signature is verified.
    pub(super) fn claims_json(&self) -> Result<Vec<u8>, TokenError> {
        URL_SAFE_NO_PAD.decode(self.claims).map_err(|_| TokenError::Malformed)
    }
}

/// The fields of a JOSE header that count here. A field that comes twice is an error. `jwk`, `jku`, `x5u` and `x5c` are
/// deliberately absent: a token does not say which key proves it (RFC 8725, section 3.10).
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default)]
    pub(super) typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, deserialize_with = "is_present")]
    crit: bool,
    #[serde(default, deserialize_with = "is_present")]
    zip: bool,
    #[serde(default, deserialize_with = "is_present")]
    b64: bool,
}

impl Header {
    /// Whether the header asks for something that Parlor would have to understand, whatever it is (RFC 7515, section
    /// 4.1.11; RFC 7797).
    pub(super) fn asks_for_extension(&self) -> bool {
        self.crit || self.zip || self.b64
    }

    /// The key id, if it has the shape of one.
    pub(super) fn kid(&self) -> Result<&str, TokenError> {
        self.kid.as_deref().filter(|kid| is_kid(kid)).ok_or(TokenError::KidMalformed)
    }
}

/// Whether a text may be a key id: 1 to 128 characters that mean nothing to a path, a query or a log.
pub(super) fn is_kid(text: &str) -> bool {
    (1..=MAX_KID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~=-".contains(&byte))
}

fn is_present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}
