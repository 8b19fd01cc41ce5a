//! From a token to a [`Principal`].

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    claims::{Claims, NumericDate},
    error::TokenError,
    header::CompactJws,
    json::object,
    jwks::{KeySet, SigningAlgorithm},
    principal::{Principal, Subject},
    scope::ScopeSet,
};

/// The `typ` of a token (RFC 8725, section 3.11): explicit, so that an ID token is not taken for an access token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum TokenType {
    /// `at+jwt`, an OAuth access token (RFC 9068).
    #[serde(rename = "at+jwt")]
    AccessToken,
    /// `JWT`, which says no more than that it is one.
    #[serde(rename = "JWT")]
    Jwt,
}

impl TokenType {
    /// The type of a header's `typ`: a media type, so case does not matter and `application/` may be left off (RFC
    /// 7515, section 4.1.9).
    fn from_header(typ: &str) -> Option<Self> {
        let lower = typ.to_ascii_lowercase();
        match lower.strip_prefix("application/").unwrap_or(&lower) {
            "at+jwt" => Some(Self::AccessToken),
            "jwt" => Some(Self::Jwt),
            _ => None,
        }
    }
}

/// What a deployment asks of tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenRules {
    /// `iss`, compared character by character.
    pub issuer: String,
    /// What `aud` has to hold.
    pub audience: String,
    /// The algorithms that may sign; never taken from a token.
    pub algorithms: BTreeSet<SigningAlgorithm>,
    /// The types that are accepted.
    pub types: BTreeSet<TokenType>,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
    /// How long a token may live.
    pub max_lifetime: Duration,
}

/// A token that is good, and the times that say for how long.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) principal: Arc<Principal>,
    times: Times,
}

/// When a token may be used.
#[derive(Clone, Copy, Debug)]
struct Times {
    expires: NumericDate,
    not_before: Option<NumericDate>,
    issued: Option<NumericDate>,
}

impl Verified {
    /// `exp`, without leeway.
    pub(super) fn expires(&self) -> SystemTime {
        let NumericDate(expires) = self.times.expires;
        expires
    }
}

/// Checks tokens. Pure: keys and time are arguments.
#[derive(Clone, Debug)]
pub struct Verifier {
    rules: TokenRules,
}

impl Verifier {
    /// A verifier by these rules.
    pub fn new(rules: TokenRules) -> Self {
        Self { rules }
    }

    /// Checks everything about a token: shape, algorithm, key, signature, type and claims, in an order in which nothing
    /// that a forger can choose is looked at more than necessary.
    ///
    /// # Errors
    /// The first thing that is wrong. [`TokenError::KidUnknown`] may mend itself with newer keys.
    pub fn verify(&self, token: &str, keys: &KeySet, now: SystemTime) -> Result<Principal, TokenError> {
        self.examine(token, keys, now).map(|verified| Arc::unwrap_or_clone(verified.principal))
    }

    /// The same, with what has to be looked at again when the token comes again.
    pub(super) fn examine(&self, token: &str, keys: &KeySet, now: SystemTime) -> Result<Verified, TokenError> {
        let jws = CompactJws::cut(token)?;
        let header = jws.header()?;
        if header.asks_for_extension() {
            return Err(TokenError::Extension);
        }
        let algorithm = SigningAlgorithm::from_name(&header.alg)
            .filter(|algorithm| self.rules.algorithms.contains(algorithm))
            .ok_or(TokenError::AlgorithmNotAllowed)?;
        let allowed_type = header.typ.as_deref().and_then(TokenType::from_header);
        if !allowed_type.is_some_and(|typ| self.rules.types.contains(&typ)) {
            return Err(TokenError::TypeNotAllowed);
        }
        let key = keys.get(header.kid()?).ok_or(TokenError::KidUnknown)?;
        if key.algorithm() != algorithm {
            return Err(TokenError::KeyAlgorithmDiffers);
        }
        if !key.verifies(jws.signed, jws.signature) {
            return Err(TokenError::SignatureInvalid);
        }
        let claims: Claims = object(&jws.claims_json()?).map_err(|_| TokenError::ClaimsMalformed)?;
        self.principal(claims, now)
    }

    /// Whether the times of a token that is good otherwise allow it now.
    pub(super) fn still_accepts(&self, verified: &Verified, now: SystemTime) -> bool {
        self.valid_until(&verified.times, now).is_ok()
    }

    fn principal(&self, claims: Claims, now: SystemTime) -> Result<Verified, TokenError> {
        if claims.iss != self.rules.issuer {
            return Err(TokenError::IssuerDiffers);
        }
        if !claims.aud.contains(&self.rules.audience) {
            return Err(TokenError::AudienceDiffers);
        }
        let subject = Subject::new(&claims.sub).ok_or(TokenError::SubjectOdd)?;
        let times = Times { expires: claims.exp, not_before: claims.nbf, issued: claims.iat };
        let expires_at = self.valid_until(&times, now)?;
        let scopes = ScopeSet::from_claim(&claims.scope);
        let principal = Arc::new(Principal { subject, guilds: claims.guilds.0, scopes, expires_at });
        Ok(Verified { principal, times })
    }

    /// Until when the token is accepted: `exp` and the leeway.
    fn valid_until(&self, times: &Times, now: SystemTime) -> Result<SystemTime, TokenError> {
        let NumericDate(expires) = times.expires;
        let (leeway, latest_start) = (self.rules.leeway, now + self.rules.leeway);
        if now >= expires + leeway {
            return Err(TokenError::Expired);
        }
        if times.not_before.is_some_and(|NumericDate(not_before)| not_before > latest_start) {
            return Err(TokenError::NotYetValid);
        }
        if times.issued.is_some_and(|NumericDate(issued)| issued > latest_start) {
            return Err(TokenError::IssuedInFuture);
        }
        let lives_from = times.issued.map_or(latest_start, |NumericDate(issued)| issued);
        if expires > lives_from + self.rules.max_lifetime {
            return Err(TokenError::LivesTooLong);
        }
        Ok(expires + leeway)
    }
}
