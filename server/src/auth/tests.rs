//! What the verifier has to refuse: one test per kind of trick, each beginning from a token that is accepted.

use std::{
    collections::BTreeSet,
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rsa::KeyPair,
    signature::KeyPair as _,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey};
use parlor_gateway::GuildId;
use serde_json::{Value, json};

use super::{testing::*, *};

fn verify(token: &str) -> Result<Principal, TokenError> {
    Verifier::new(rules([SigningAlgorithm::Rs256])).verify(token, &rsa().key_set(), now())
}

fn verify_claims(claims: &Value) -> Result<Principal, TokenError> {
    verify(&rsa().sign(&header(), claims))
}

fn verify_header(header: &Value) -> Result<Principal, TokenError> {
    verify(&rsa().sign(header, &claims()))
}

#[test]
fn a_good_token_tells_who_where_what_and_until_when() {
    let ann = verify_claims(&claims()).expect("a good token");
    assert_eq!(ann.subject.as_str(), "ann");
    assert_eq!(ann.guilds, GuildGrant::Only(BTreeSet::from([GuildId::new(100_000_000_000_000_001)])));
    assert_eq!(ann.scopes, [Scope::RoomsRead, Scope::RoomsWrite].into_iter().collect());
    assert_eq!(ann.expires_at, UNIX_EPOCH + Duration::from_secs(NOW + 3_630));
    assert!(!ann.has_expired(UNIX_EPOCH + Duration::from_secs(NOW + 3_629)));
    assert!(ann.has_expired(UNIX_EPOCH + Duration::from_secs(NOW + 3_630)));
}

#[test]
fn the_other_algorithms_work_once_they_are_allowed() {
    for (pair, algorithm) in [(p256(), SigningAlgorithm::Es256), (ed25519(), SigningAlgorithm::EdDsa)] {
        let name = serde_json::to_value(algorithm).expect("a name");
        let token = pair.sign(&with(header(), "alg", name), &claims());
        let allowed = Verifier::new(rules([SigningAlgorithm::Rs256, algorithm]));
        assert!(allowed.verify(&token, &pair.key_set(), now()).is_ok(), "{algorithm:?}");
        assert_eq!(allowed.verify(&token, &rsa().key_set(), now()).err(), Some(TokenError::KeyAlgorithmDiffers));
        let default = Verifier::new(rules([SigningAlgorithm::Rs256]));
        assert_eq!(default.verify(&token, &pair.key_set(), now()).err(), Some(TokenError::AlgorithmNotAllowed));
    }
}

/// J01, J17
#[test]
fn only_three_parts_within_8_kib_are_looked_at() {
    let good = rsa().sign(&header(), &claims());
    let (signed, signature) = good.rsplit_once('.').expect("two dots");
    let long = rsa().sign(&header(), &with(claims(), "padding", json!("x".repeat(8_192))));
    let jwe = format!("{good}.x.y");
    for token in ["", ".", "..", "a.b", signed, &format!("{good}."), &format!(".{good}"), &jwe, &long] {
        assert_eq!(verify(token).err(), Some(TokenError::Malformed), "{token}");
    }
    assert_eq!(verify(&format!("{signed}.")).err(), Some(TokenError::SignatureInvalid));
    assert_eq!(verify(&format!("{signed}.{signature}A")).err(), Some(TokenError::SignatureInvalid));
    // Padding and the other alphabet are not base64url.
    assert_eq!(verify(&format!("{good}=")).err(), Some(TokenError::SignatureInvalid));
    let odd = format!("{}.{}.{signature}", STANDARD.encode(header().to_string()) + "=", "e30");
    assert_eq!(verify(&odd).err(), Some(TokenError::Malformed));
}

/// J01: the longest token that is looked at has 8,192 bytes.
#[test]
fn the_longest_token_is_8_kib() {
    let of_length = |bytes: usize| {
        let mut padding = 5_000;
        loop {
            let token = rsa().sign(&header(), &with(claims(), "padding", json!("x".repeat(padding))));
            match token.len() {
                length if length == bytes => return Some(token),
                length if length > bytes => return None,
                _ => padding += 1,
            }
        }
    };
    // Base64 skips every fourth length, so one of two neighbours exists.
    let longest = of_length(8_192).or_else(|| of_length(8_191)).expect("a token of that length");
    assert!(verify(&longest).is_ok());
    let longer = of_length(8_193).or_else(|| of_length(8_194)).expect("a token of that length");
    assert_eq!(verify(&longer).err(), Some(TokenError::Malformed));
}

/// J02
#[test]
fn the_algorithm_is_not_the_tokens_choice() {
    for alg in ["none", "None", "nOnE", "NONE", "", "HS256", "RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256"] {
        assert_eq!(
            verify_header(&with(header(), "alg", json!(alg))).err(),
            Some(TokenError::AlgorithmNotAllowed),
            "{alg}"
        );
    }
    let unsigned = |alg: &str| {
        let header = URL_SAFE_NO_PAD.encode(with(header(), "alg", json!(alg)).to_string());
        format!("{header}.{}.", URL_SAFE_NO_PAD.encode(claims().to_string()))
    };
    for alg in ["none", "None", "nOnE"] {
        assert_eq!(verify(&unsigned(alg)).err(), Some(TokenError::AlgorithmNotAllowed), "{alg}");
    }
    assert_eq!(verify(&unsigned("RS256")).err(), Some(TokenError::SignatureInvalid));
}

/// J02: the issuer's public key, in every form that a library might take for an HMAC secret (CVE-2026-48526 and kin).
#[test]
fn the_public_key_is_no_secret() {
    let der = base64::engine::general_purpose::STANDARD
        .decode(rsa().pem.lines().filter(|line| !line.starts_with('-')).collect::<String>())
        .expect("the body of a PEM");
    let key = KeyPair::from_pkcs8(&der).expect("our own key");
    let spki: PublicKeyX509Der<'_> = key.public_key().as_der().expect("a public key");
    let pem = |label: &str, der: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)).into_bytes()
    };
    let jwk = rsa().jwk.to_string().into_bytes();
    let modulus = URL_SAFE_NO_PAD.decode(rsa().jwk["n"].as_str().expect("n")).expect("base64url");
    let secrets = [
        pem("PUBLIC KEY", spki.as_ref()),
        pem("RSA PUBLIC KEY", key.public_key().as_ref()),
        spki.as_ref().to_vec(),
        key.public_key().as_ref().to_vec(),
        jwk,
        modulus,
        Vec::new(),
    ];
    for secret in secrets {
        for alg in ["HS256", "RS256"] {
            let header = with(header(), "alg", json!(alg)).to_string();
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()));
            let mac = EncodingKey::from_secret(&secret);
            let mac = jsonwebtoken::crypto::sign(signed.as_bytes(), &mac, Algorithm::HS256).expect("a MAC");
            let refused = verify(&format!("{signed}.{mac}")).expect_err("a forgery");
            assert!(matches!(refused, TokenError::AlgorithmNotAllowed | TokenError::SignatureInvalid), "{refused:?}");
        }
    }
}

/// J02, J03: a signature by another hash, and claims or header changed after signing.
#[test]
fn the_signature_is_over_header_and_claims_with_sha_256() {
    let token = rsa().sign(&header(), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let more = URL_SAFE_NO_PAD.encode(with(claims(), "scope", json!("ops")).to_string());
    let typ = URL_SAFE_NO_PAD.encode(with(header(), "typ", json!("JWT")).to_string());
    for forged in [[parts[0], &more, parts[2]], [&typ, parts[1], parts[2]]] {
        assert_eq!(verify(&forged.join(".")).err(), Some(TokenError::SignatureInvalid));
    }
    let signed = format!("{}.{}", parts[0], parts[1]);
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &rsa().private, algorithm).expect("a signature");
        assert_eq!(verify(&format!("{signed}.{signature}")).err(), Some(TokenError::SignatureInvalid), "{algorithm:?}");
    }
    assert_eq!(verify(&forger().sign(&header(), &claims())).err(), Some(TokenError::SignatureInvalid));
}

/// J05, J17
#[test]
fn extensions_are_refused_whatever_they_are() {
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("crit", Value::Null),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ] {
        assert_eq!(verify_header(&with(header(), name, value)).err(), Some(TokenError::Extension), "{name}");
    }
}

/// J06
#[test]
fn a_token_does_not_bring_its_key() {
    let jwk = forger().jwk.clone();
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("http://127.0.0.1:1/jwks.json")),
        ("x5u", json!("http://127.0.0.1:1/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        let forged = forger().sign(&with(header(), name, value.clone()), &claims());
        assert_eq!(verify(&forged).err(), Some(TokenError::SignatureInvalid), "{name}");
        // Ours may carry them; they are not looked at.
        assert!(verify_header(&with(header(), name, value)).is_ok(), "{name}");
    }
}

/// J07
#[test]
fn the_key_id_is_required_and_plain() {
    assert_eq!(verify_header(&without(header(), "kid")).err(), Some(TokenError::KidMalformed));
    let long = "k".repeat(129);
    for kid in ["", "../../dev/null", "' OR 1=1 --", "key 1", "schlüssel", "key-1\n", &long] {
        assert_eq!(verify_header(&with(header(), "kid", json!(kid))).err(), Some(TokenError::KidMalformed), "{kid}");
    }
    assert_eq!(verify_header(&with(header(), "kid", json!("k".repeat(128)))).err(), Some(TokenError::KidUnknown));
    for kid in [json!(1), json!(["key-1"])] {
        assert_eq!(verify_header(&with(header(), "kid", kid)).err(), Some(TokenError::HeaderMalformed));
    }
}

/// J08
#[test]
fn only_access_tokens_are_taken() {
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt"] {
        assert!(verify_header(&with(header(), "typ", json!(typ))).is_ok(), "{typ}");
    }
    assert_eq!(verify_header(&without(header(), "typ")).err(), Some(TokenError::TypeNotAllowed));
    for typ in ["logout+jwt", "id_token", "secevent+jwt", "", "at+jwt "] {
        assert_eq!(verify_header(&with(header(), "typ", json!(typ))).err(), Some(TokenError::TypeNotAllowed), "{typ}");
    }
    let mut strict = rules([SigningAlgorithm::Rs256]);
    strict.types = [TokenType::AccessToken].into();
    let id_token = rsa().sign(&with(header(), "typ", json!("JWT")), &claims());
    let verdict = Verifier::new(strict).verify(&id_token, &rsa().key_set(), now());
    assert_eq!(verdict.err(), Some(TokenError::TypeNotAllowed));
}

/// J09, J10, J11
#[test]
fn times_are_numbers_and_hold() {
    for (name, value, verdict) in [
        ("exp", json!(NOW - 31), Some(TokenError::Expired)),
        ("exp", json!(NOW - 30), Some(TokenError::Expired)),
        ("exp", json!(NOW - 29), None),
        ("exp", json!(0), Some(TokenError::Expired)),
        ("exp", json!(NOW + 86_390), None),
        ("exp", json!(NOW + 86_391), Some(TokenError::LivesTooLong)),
        ("exp", json!(253_402_300_799_u64), Some(TokenError::LivesTooLong)),
        ("exp", json!((NOW + 60).to_string()), Some(TokenError::ClaimsMalformed)),
        ("exp", json!(1e308), Some(TokenError::ClaimsMalformed)),
        ("exp", json!(u64::MAX), Some(TokenError::ClaimsMalformed)),
        ("exp", json!(-1), Some(TokenError::ClaimsMalformed)),
        ("exp", Value::Null, Some(TokenError::ClaimsMalformed)),
        ("exp", json!([NOW + 60]), Some(TokenError::ClaimsMalformed)),
        ("exp", json!(true), Some(TokenError::ClaimsMalformed)),
        ("exp", json!(1_800_000_000.5), None),
        ("nbf", json!(NOW + 30), None),
        ("nbf", json!(NOW + 31), Some(TokenError::NotYetValid)),
        ("nbf", json!(NOW.to_string()), Some(TokenError::ClaimsMalformed)),
        ("nbf", Value::Null, Some(TokenError::ClaimsMalformed)),
        ("iat", json!(NOW + 30), None),
        ("iat", json!(NOW + 31), Some(TokenError::IssuedInFuture)),
        ("iat", json!((NOW - 10).to_string()), Some(TokenError::ClaimsMalformed)),
        ("iat", json!(NOW - 86_400), Some(TokenError::LivesTooLong)),
    ] {
        assert_eq!(verify_claims(&with(claims(), name, value.clone())).err(), verdict, "{name} {value}");
    }
    assert_eq!(verify_claims(&without(claims(), "exp")).err(), Some(TokenError::ClaimsMalformed));
    let undated = without(claims(), "iat");
    assert!(verify_claims(&undated).is_ok());
    assert_eq!(verify_claims(&with(undated, "exp", json!(NOW + 86_431))).err(), Some(TokenError::LivesTooLong));
}

/// J12, J13, J14
#[test]
fn issuer_audience_and_subject_are_required_and_exact() {
    for name in ["iss", "aud", "sub"] {
        assert_eq!(verify_claims(&without(claims(), name)).err(), Some(TokenError::ClaimsMalformed), "{name}");
        for value in [Value::Null, json!(1), json!({})] {
            assert_eq!(verify_claims(&with(claims(), name, value)).err(), Some(TokenError::ClaimsMalformed), "{name}");
        }
    }
    for issuer in ["https://issuer.example/", "https://ISSUER.example", "http://issuer.example", ""] {
        assert_eq!(
            verify_claims(&with(claims(), "iss", json!(issuer))).err(),
            Some(TokenError::IssuerDiffers),
            "{issuer}"
        );
    }
    assert_eq!(verify_claims(&with(claims(), "iss", json!([ISSUER]))).err(), Some(TokenError::ClaimsMalformed));
    for audience in [json!("other"), json!("Parlor"), json!(["other"]), json!([])] {
        assert_eq!(verify_claims(&with(claims(), "aud", audience)).err(), Some(TokenError::AudienceDiffers));
    }
    assert!(verify_claims(&with(claims(), "aud", json!(["other", AUDIENCE]))).is_ok());
    for subject in ["", "ann\nadmin", &"a".repeat(256)] {
        assert_eq!(
            verify_claims(&with(claims(), "sub", json!(subject))).err(),
            Some(TokenError::SubjectOdd),
            "{subject}"
        );
    }
    assert!(verify_claims(&with(claims(), "sub", json!("ä".repeat(255)))).is_ok());
}

/// J15
#[test]
fn guilds_are_ids_or_exactly_one_star() {
    let all = verify_claims(&with(claims(), "guilds", json!(["*"]))).expect("a star");
    assert_eq!(all.guilds, GuildGrant::All);
    for none in [with(claims(), "guilds", json!([])), without(claims(), "guilds")] {
        assert_eq!(verify_claims(&none).expect("no guild").guilds, GuildGrant::Only(BTreeSet::new()));
    }
    for guilds in [
        json!(["12*"]),
        json!(["100000000000000001*"]),
        json!(["*", "100000000000000001"]),
        json!(["*", "*"]),
        json!(["**"]),
        json!([" *"]),
        json!([100_000_000_000_000_001_u64]),
        json!(["100000000000000001", 1]),
        json!(["1000000000000001"]),
        json!(["-10000000000000001"]),
        json!(["100000000000000000000001"]),
        json!("*"),
        json!("100000000000000001"),
        json!({"100000000000000001": true}),
        Value::Null,
    ] {
        let verdict = verify_claims(&with(claims(), "guilds", guilds.clone()));
        assert_eq!(verdict.err(), Some(TokenError::ClaimsMalformed), "{guilds}");
    }
    for scope in [json!(["rooms:read"]), json!(1), Value::Null] {
        assert_eq!(verify_claims(&with(claims(), "scope", scope)).err(), Some(TokenError::ClaimsMalformed));
    }
    let scopeless = verify_claims(&without(claims(), "scope")).expect("no scope");
    assert_eq!(scopeless.scopes, ScopeSet::default());
}

/// J16
#[test]
fn what_comes_twice_is_refused() {
    let twice = |json: &Value, extra: &str| format!("{},{extra}}}", json.to_string().trim_end_matches('}'));
    let claims_twice = [r#""guilds":["*"]"#, r#""scope":"ops""#, r#""sub":"root""#, r#""exp":1"#, r#""iss":"x""#];
    for extra in claims_twice {
        let token = rsa().sign_text(&header().to_string(), &twice(&claims(), extra));
        assert_eq!(verify(&token).err(), Some(TokenError::ClaimsMalformed), "{extra}");
    }
    for extra in [r#""alg":"none""#, r#""kid":"key-1""#, r#""typ":"JWT""#, r#""crit":[],"crit":[]"#] {
        let token = rsa().sign_text(&twice(&header(), extra), &claims().to_string());
        assert_eq!(verify(&token).err(), Some(TokenError::HeaderMalformed), "{extra}");
    }
}

/// J03, J04, J07 and the rest of what a key set may hold.
#[test]
fn keys_that_cannot_be_trusted_are_skipped_and_counted() {
    let rsa = || rsa().jwk.clone();
    let modulus = |bytes: usize| json!(URL_SAFE_NO_PAD.encode(vec![0xC5; bytes]));
    let named = |jwk: Value, kid: &str| with(jwk, "kid", json!(kid));
    let cases = [
        ("for encryption", with(rsa(), "use", json!("enc"))),
        ("for other operations", with(rsa(), "key_ops", json!(["encrypt"]))),
        ("another algorithm", with(rsa(), "alg", json!("RS384"))),
        ("another family's algorithm", with(rsa(), "alg", json!("ES256"))),
        ("an algorithm that is no text", with(rsa(), "alg", json!(256))),
        ("1,024 bits", with(rsa(), "n", modulus(128))),
        ("16,384 bits", with(rsa(), "n", modulus(2_048))),
        (
            "2,040 bits behind a zero",
            with(rsa(), "n", json!(URL_SAFE_NO_PAD.encode([&[0][..], &[0xC5; 255]].concat()))),
        ),
        ("exponent 1", with(rsa(), "e", json!("AQ"))),
        ("an even exponent", with(rsa(), "e", json!("AQAA"))),
        ("private", with(rsa(), "d", json!("AQAB"))),
        ("a secret", json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"})),
        ("a curve that is not known", with(p256().jwk, "crv", json!("P-384"))),
        ("half a point", with(p256().jwk, "y", json!("AQAB"))),
        ("no id", without(rsa(), "kid")),
        ("an odd id", named(rsa(), "../key")),
        ("no key", json!("key")),
    ];
    for (what, jwk) in &cases {
        let set = key_set(&[jwk, &named(rsa(), "good")]);
        assert_eq!((set.len(), set.skipped()), (1, 1), "{what}");
        assert!(set.get("good").is_some(), "{what}");
    }
    let twice = key_set(&[&rsa(), &with(forger().jwk.clone(), "kid", json!(KID))]);
    assert_eq!((twice.len(), twice.skipped()), (1, 1));
    assert!(
        Verifier::new(rules([SigningAlgorithm::Rs256]))
            .verify(&super::testing::rsa().sign(&header(), &claims()), &twice, now())
            .is_ok()
    );

    let many = vec![&cases[0].1; 65];
    let json = json!({ "keys": many }).to_string();
    assert!(matches!(KeySet::from_json(json.as_bytes()), Err(JwksError::TooManyKeys)));
    for text in ["", "[]", "{}", r#"{"keys": {}}"#] {
        assert!(matches!(KeySet::from_json(text.as_bytes()), Err(JwksError::Malformed(_))), "{text}");
    }
}
