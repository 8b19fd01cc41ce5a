//! The issuer's public keys, from a JSON Web Key Set (RFC 7517).

use std::collections::{BTreeMap, btree_map::Entry};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{header::is_kid, json::object};

/// More keys than this make a set unusable: an issuer has a handful.
const MAX_KEYS: usize = 64;
/// The sizes of an RSA modulus that are accepted, in bits (RFC 8725, section 3.5; the upper end bounds the work).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Members that only a private or secret key has (RFC 7518, section 6). Whoever publishes one has published the key.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A signature algorithm that a deployment may allow (RFC 7518, section 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2,048 to 8,192 bits.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl SigningAlgorithm {
    /// The algorithm of this name, exactly: names are case-sensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    fn library(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// A key set cannot be used at all.
#[derive(Debug, Error)]
pub enum JwksError {
    /// It is not `{"keys": […]}`.
    #[error("not a JSON Web Key Set")]
    Malformed(#[source] serde_json::Error),
    /// It holds more than 64 keys.
    #[error("more than {MAX_KEYS} keys")]
    TooManyKeys,
}

/// A public key that is good for exactly one algorithm.
#[derive(Clone, Debug)]
pub struct VerificationKey {
    algorithm: SigningAlgorithm,
    key: DecodingKey,
}

impl VerificationKey {
    /// The one algorithm that the key is for.
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// Whether the signature (in base64url) over the text is the key's.
    pub fn verifies(&self, signed: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.key, self.algorithm.library()).unwrap_or(false)
    }

    /// Reads one key of a set; nothing if it is not a public signing key of an algorithm that Parlor knows.
    fn from_jwk(jwk: &Map<String, Value>) -> Option<(String, Self)> {
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        let kid = member("kid").filter(|kid| is_kid(kid))?.to_owned();
        let is_private = PRIVATE_MEMBERS.iter().any(|name| jwk.contains_key(*name));
        if is_private || !is_for_signatures(jwk) {
            return None;
        }
        let (algorithm, key) = match (member("kty")?, member("crv")) {
            ("RSA", _) => (SigningAlgorithm::Rs256, rsa_key(member("n")?, member("e")?)?),
            ("EC", Some("P-256")) => (SigningAlgorithm::Es256, p256_key(member("x")?, member("y")?)?),
            ("OKP", Some("Ed25519")) => (SigningAlgorithm::EdDsa, ed25519_key(member("x")?)?),
            _ => return None,
        };
        // One key, one algorithm: a key that says another one is not used with the one its type suggests.
        let said =
            jwk.get("alg").is_none_or(|alg| alg.as_str().and_then(SigningAlgorithm::from_name) == Some(algorithm));
        said.then_some((kid, Self { algorithm, key }))
    }
}

/// `use` is absent or `sig`, and `key_ops` is absent or holds `verify`.
fn is_for_signatures(jwk: &Map<String, Value>) -> bool {
    let usage = jwk.get("use").is_none_or(|usage| usage == "sig");
    let operations = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
    });
    usage && operations
}

fn rsa_key(n: &str, e: &str) -> Option<DecodingKey> {
    let (n, e) = (unsigned(n)?, unsigned(e)?);
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    let exponent_is_sound = e.last()? % 2 == 1 && e != [1] && e.len() <= 4;
    (RSA_BITS.contains(&bits) && exponent_is_sound).then(|| DecodingKey::from_rsa_raw_components(&n, &e))
}

fn p256_key(x: &str, y: &str) -> Option<DecodingKey> {
    let are_coordinates = coordinate(x)? && coordinate(y)?;
    are_coordinates.then(|| DecodingKey::from_ec_components(x, y).ok()).flatten()
}

fn ed25519_key(x: &str) -> Option<DecodingKey> {
    coordinate(x)?.then(|| DecodingKey::from_ed_components(x).ok()).flatten()
}

/// Whether this is the 32 bytes of a coordinate, in base64url; nothing if it is not base64url.
fn coordinate(text: &str) -> Option<bool> {
    URL_SAFE_NO_PAD.decode(text).ok().map(|bytes| bytes.len() == 32)
}

/// A big-endian integer in base64url, without leading zeros.
fn unsigned(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes[zeros..].to_vec())
}

/// The keys of one issuer, by key id.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: BTreeMap<String, VerificationKey>,
    skipped: usize,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys are read one by one: one that cannot be used (private, for encryption, too short,
    /// of an unknown type, without an id, or with the id of one before it) is skipped and counted.
    ///
    /// # Errors
    /// The text is no key set, or it holds more than 64 keys.
    pub fn from_json(json: &[u8]) -> Result<Self, JwksError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }

        let document: Document = object(json).map_err(JwksError::Malformed)?;
        if document.keys.len() > MAX_KEYS {
            return Err(JwksError::TooManyKeys);
        }
        let mut set = Self::default();
        for jwk in &document.keys {
            let Some((kid, key)) = jwk.as_object().and_then(VerificationKey::from_jwk) else {
                set.skipped += 1;
                continue;
            };
            match set.keys.entry(kid) {
                Entry::Vacant(place) => {
                    place.insert(key);
                }
                Entry::Occupied(_) => set.skipped += 1,
            }
        }
        Ok(set)
    }

    /// The key of this id.
    pub fn get(&self, kid: &str) -> Option<&VerificationKey> {
        self.keys.get(kid)
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys of the document were left out.
    pub fn skipped(&self) -> usize {
        self.skipped
    }
}
