//! The key and the time that every token of a corpus is judged by. Both are fixed, so a corpus stays valid.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parlor_server::auth::{KeySet, SigningAlgorithm, TokenRules, TokenType, Verifier};
use serde_json::json;

/// `iss` of the tokens that are accepted.
pub const ISSUER: &str = "https://issuer.example";
/// `aud` of the tokens that are accepted.
pub const AUDIENCE: &str = "parlor";
/// `kid` of the one key.
pub const KID: &str = "key-1";
/// The second since 1970 in which tokens are looked at.
pub const NOW: u64 = 1_800_000_000;
/// How far the issuer's clock may be off.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// The key of voice transport: 0 to 31.
pub const TRANSPORT: [u8; 32] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
    31,
];

// Ed25519 signs the same text with the same bytes, so "accepts only what was signed" can be checked by signing again.
static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a seed"));

/// The time of day.
pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// The signature over a text, in base64url.
pub fn signature(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(KEY.sign(text.as_bytes()))
}

/// A compact JWS of this header and these claims, which need not be JSON.
pub fn signed(header: &[u8], claims: &[u8]) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    format!("{text}.{}", signature(&text))
}

/// The header that a sound token has.
pub fn header() -> String {
    json!({"alg": "EdDSA", "typ": "at+jwt", "kid": KID}).to_string()
}

/// A token that may do everything everywhere.
pub fn token_for_everything() -> String {
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": NOW + 3_600, "iat": NOW - 10, "guilds": ["*"],
        "scope": "rooms:read rooms:write events:read ops",
    });
    signed(header().as_bytes(), claims.to_string().as_bytes())
}

/// The public half.
pub fn key_set() -> KeySet {
    let x = URL_SAFE_NO_PAD.encode(KEY.public_key());
    let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": KID, "use": "sig", "x": x}]});
    KeySet::from_json(jwks.to_string().as_bytes()).expect("a key set")
}

/// A verifier of these tokens. It also takes RS256, so that a token may try one algorithm with the other's key.
pub fn verifier() -> Verifier {
    Verifier::new(TokenRules {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        algorithms: [SigningAlgorithm::EdDsa, SigningAlgorithm::Rs256].into(),
        types: [TokenType::AccessToken, TokenType::Jwt].into(),
        leeway: LEEWAY,
        max_lifetime: Duration::from_secs(24 * 60 * 60),
    })
}
