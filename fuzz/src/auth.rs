//! Tokens, key sets and the header that tokens come in.

use std::{
    collections::BTreeSet,
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use parlor_gateway::GuildId;
use parlor_server::auth::{
    AuthError, GuildGrant, KeySet, Principal, Scope, SigningAlgorithm, TokenError, Verifier, bearer_token,
};
use serde_json::Value;

use crate::{input, keys};

static KEYS: LazyLock<KeySet> = LazyLock::new(keys::key_set);
static VERIFIER: LazyLock<Verifier> = LazyLock::new(keys::verifier);

/// Members that no public key has (RFC 7518, section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Any text as a token: what is accepted is, byte for byte, what our key signs, and says what the principal says.
pub fn token(data: &[u8]) {
    let token = input::text(data);
    let Ok(principal) = VERIFIER.verify(&token, &KEYS, keys::now()) else { return };
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("accepted a token of {} parts", parts.len()) };
    assert_eq!(signature, keys::signature(&format!("{header}.{claims}")), "accepted another signature than ours");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("accepted claims that are not base64url");
    says_the_same(&claims, &principal);
}

/// A header, a line break and claims, signed with our key: what is accepted says what the principal says, and nothing is
/// refused for its signature.
pub fn token_claims(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (header, claims) = match data.split_at(at) {
        // A header that is left out is a sound one, so that mutations of claims alone get that far.
        ([], claims) => (keys::header().into_bytes(), claims.strip_prefix(b"\n").unwrap_or(claims)),
        (header, claims) => (header.to_vec(), &claims[1..]),
    };
    match VERIFIER.verify(&keys::signed(&header, claims), &KEYS, keys::now()) {
        Ok(principal) => says_the_same(claims, &principal),
        Err(error) => assert_ne!(error, TokenError::SignatureInvalid, "refused our own signature"),
    }
}

/// Reads accepted claims a second time, by the letter of the contract.
fn says_the_same(claims: &[u8], principal: &Principal) {
    let Some(claims) = input::json(claims) else { return };
    assert!(claims.is_object(), "accepted claims that are no object");
    assert_eq!(claims["iss"], keys::ISSUER);
    assert!(
        claims["aud"] == keys::AUDIENCE
            || claims["aud"].as_array().is_some_and(|several| several.iter().any(|one| one == keys::AUDIENCE)),
        "accepted another audience"
    );
    let subject = claims["sub"].as_str().expect("accepted without a subject");
    assert_eq!(principal.subject.as_str(), subject);
    assert!((1..=255).contains(&subject.chars().count()) && !subject.contains(char::is_control));

    let expires = claims["exp"].as_f64().expect("accepted without an end");
    let (now, leeway) = (Duration::from_secs(keys::NOW).as_secs_f64(), keys::LEEWAY.as_secs_f64());
    assert!(expires + leeway > now, "accepted after its end");
    assert!(expires <= now + leeway + 86_400.0, "accepted for more than a day");
    let accepted_until = principal.expires_at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!((accepted_until - expires - leeway).abs() < 0.001, "another end than the token's");
    for begin in ["nbf", "iat"] {
        match claims.get(begin) {
            None => {}
            Some(begin) => assert!(begin.as_f64().expect("a time") <= now + leeway, "accepted before its time"),
        }
    }

    let named: BTreeSet<&str> = claims
        .get("guilds")
        .map(|guilds| guilds.as_array().expect("accepted guilds that are no list"))
        .into_iter()
        .flatten()
        .map(|guild| guild.as_str().expect("accepted a guild that is no text"))
        .collect();
    match &principal.guilds {
        GuildGrant::All => assert_eq!(named, BTreeSet::from(["*"])),
        GuildGrant::Only(granted) => {
            let read: BTreeSet<GuildId> =
                named.iter().map(|name| name.parse().expect("granted a guild by no id")).collect();
            assert_eq!(*granted, read);
        }
    }
    let scopes: BTreeSet<&str> = claims.get("scope").and_then(Value::as_str).unwrap_or("").split(' ').collect();
    for scope in Scope::ALL {
        assert_eq!(principal.scopes.contains(scope), scopes.contains(scope.as_str()), "{scope}");
    }
}

/// Any bytes as a key set: bounded, nothing lost from the count, and no private or foreign key among what is usable.
pub fn jwks(data: &[u8]) {
    let Ok(set) = KeySet::from_json(data) else { return };
    let Some(document) = input::json(data) else { return };
    let keys = document["keys"].as_array().expect("accepted what holds no keys");
    assert!(keys.len() <= 64, "accepted {} keys", keys.len());
    assert_eq!(set.len() + set.skipped(), keys.len(), "keys went missing");

    let kid_of = |key: &Value| key.get("kid").and_then(Value::as_str).map(str::to_owned);
    let kids: BTreeSet<String> = keys.iter().filter_map(kid_of).collect();
    let mut usable = 0;
    for kid in &kids {
        let Some(known) = set.get(kid) else { continue };
        usable += 1;
        assert!(kid.len() <= 128 && kid.bytes().all(|byte| byte.is_ascii_graphic()), "a strange key id is usable");
        let kty = match known.algorithm() {
            SigningAlgorithm::Rs256 => "RSA",
            SigningAlgorithm::Es256 => "EC",
            SigningAlgorithm::EdDsa => "OKP",
        };
        let public = |key: &Value| {
            let bare = key.as_object().is_some_and(|key| PRIVATE.iter().all(|member| !key.contains_key(*member)));
            bare && key["kty"] == kty && key.get("use").is_none_or(|usage| usage == "sig")
        };
        let origin = keys.iter().any(|key| kid_of(key).as_ref() == Some(kid) && public(key));
        assert!(origin, "a key is usable that no public signing key of the document gives");
        assert!(!known.verifies("text", ""), "no signature is a signature");
    }
    assert_eq!(usable, set.len(), "a key is usable under an id that the document does not name");
}

/// Lines as values of `authorization`: a token comes out of exactly one well-formed value, and is its tail.
pub fn bearer_header(data: &[u8]) {
    let values = data.split(|byte| *byte == b'\n').take(8).filter_map(|value| HeaderValue::from_bytes(value).ok());
    let headers: HeaderMap = values.map(|value| (header::AUTHORIZATION, value)).collect();
    match bearer_token(&headers) {
        Ok(token) => {
            assert_eq!(headers.len(), 1, "a token out of several headers");
            let value = headers[header::AUTHORIZATION].to_str().expect("a token out of bytes that are not ASCII");
            let (scheme, rest) = value.split_at_checked("bearer ".len()).expect("a token without a scheme");
            assert!(scheme.eq_ignore_ascii_case("bearer "), "another scheme");
            assert_eq!(rest.trim_start_matches(' '), token);
            assert!(!token.is_empty() && !token.contains(|c: char| c.is_whitespace() || c == ','));
        }
        Err(error) => {
            assert!(
                matches!(error, AuthError::Missing | AuthError::HeaderMalformed),
                "{error:?} before any key was seen"
            );
            assert_eq!(error == AuthError::Missing, headers.is_empty());
        }
    }
}
