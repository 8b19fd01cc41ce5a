//! Keys and forged tokens for tests.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

use super::{dev, jwks::KeySet, jwks::SigningAlgorithm, verifier::TokenRules, verifier::TokenType};

pub(super) const ISSUER: &str = "https://issuer.example";
pub(super) const AUDIENCE: &str = "parlor";
pub(super) const KID: &str = "key-1";
/// The second that tests play in.
pub(super) const NOW: u64 = 1_800_000_000;

pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// A private key and its JWK.
pub(super) struct Pair {
    pub(super) algorithm: Algorithm,
    pub(super) private: EncodingKey,
    pub(super) jwk: Value,
    pub(super) pem: String,
}

impl Pair {
    fn new(algorithm: Algorithm, private: EncodingKey, pem: String) -> Self {
        let jwk = Jwk::from_encoding_key(&private, algorithm).expect("a public half");
        let jwk = serde_json::to_value(jwk).expect("a JWK is JSON");
        Self { algorithm, private, jwk: with(jwk, "kid", json!(KID)), pem }
    }

    pub(super) fn key_set(&self) -> KeySet {
        key_set(&[&self.jwk])
    }

    /// A token with this header and these claims, signed with this key whatever the header says.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// The same from text, to send JSON that no library writes.
    pub(super) fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &self.private, self.algorithm).expect("a signature");
        format!("{signed}.{signature}")
    }
}

/// Generating an RSA key takes a second in a debug build, so a process has two: the issuer's and a forger's.
pub(super) fn rsa() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(new_rsa)
}

pub(super) fn forger() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(new_rsa)
}

fn new_rsa() -> Pair {
    let pem = dev::generate_pem().expect("a key");
    Pair::new(Algorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes()).expect("our own PEM"), pem)
}

pub(super) fn p256() -> Pair {
    let pem = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    Pair::new(Algorithm::ES256, EncodingKey::from_ec_pem(pem.as_bytes()).expect("a P-256 key"), pem)
}

pub(super) fn ed25519() -> Pair {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
    let pem = pair.serialize_pem();
    let private = EncodingKey::from_ed_pem(pem.as_bytes()).expect("an Ed25519 key");
    Pair { algorithm: Algorithm::EdDSA, private, jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": KID}), pem }
}

pub(super) fn key_set(jwks: &[&Value]) -> KeySet {
    KeySet::from_json(json!({ "keys": jwks }).to_string().as_bytes()).expect("a key set")
}

pub(super) fn header() -> Value {
    json!({"alg": "RS256", "typ": "at+jwt", "kid": KID})
}

pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "ann",
        "aud": AUDIENCE,
        "exp": NOW + 3_600,
        "iat": NOW - 10,
        "guilds": ["100000000000000001"],
        "scope": "rooms:read rooms:write",
    })
}

/// The object with one member changed or added.
pub(super) fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// The object with one member less.
pub(super) fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().expect("an object").remove(name);
    object
}

pub(super) fn rules(algorithms: impl IntoIterator<Item = SigningAlgorithm>) -> TokenRules {
    TokenRules {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        algorithms: algorithms.into_iter().collect(),
        types: [TokenType::AccessToken, TokenType::Jwt].into(),
        leeway: Duration::from_secs(30),
        max_lifetime: Duration::from_secs(24 * 60 * 60),
    }
}
