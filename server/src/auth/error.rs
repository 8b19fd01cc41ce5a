//! Why a caller is turned away, and how that reads on the wire.

use std::time::Duration;

use parlor_gateway::GuildId;
use thiserror::Error;
use tonic::Status;

use super::scope::Scope;
use crate::status::{Failure, Reason};

/// After how long a caller should ask again while keys cannot be fetched.
const KEYS_RETRY: Duration = Duration::from_secs(5);

/// What is wrong with a token. For logs: the caller is told no more than [`AuthError`] says, so that a forger learns
/// nothing from trying. No variant holds text from the token.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum TokenError {
    /// Not three base64url parts within 8 KiB.
    #[error("the token is not a compact JWS of at most 8 KiB")]
    Malformed,
    /// The header is not JSON of the expected shape.
    #[error("the header does not parse")]
    HeaderMalformed,
    /// The header asks for an extension: `crit`, `zip` or `b64`.
    #[error("the header asks for an extension")]
    Extension,
    /// The algorithm is not one that the configuration allows.
    #[error("the algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// `typ` is missing or not one that the configuration allows.
    #[error("the type is not allowed")]
    TypeNotAllowed,
    /// `kid` is missing, too long or has other characters than it may.
    #[error("the key id is missing or odd")]
    KidMalformed,
    /// No key of this id is known.
    #[error("no key of this id is known")]
    KidUnknown,
    /// The key of this id is for another algorithm.
    #[error("the key is for another algorithm")]
    KeyAlgorithmDiffers,
    /// The signature is not the key's.
    #[error("the signature does not verify")]
    SignatureInvalid,
    /// The claims are not JSON of the expected shape, or one that is required is missing.
    #[error("the claims do not parse")]
    ClaimsMalformed,
    /// `iss` is not the configured issuer.
    #[error("the issuer is another")]
    IssuerDiffers,
    /// `aud` does not hold the configured audience.
    #[error("the audience is another")]
    AudienceDiffers,
    /// `sub` is empty, too long or has control characters.
    #[error("the subject is empty or odd")]
    SubjectOdd,
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` is in the future.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// It lives for longer than is allowed.
    #[error("the token lives too long")]
    LivesTooLong,
}

/// Why a call was not authenticated.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum AuthError {
    /// There is no `authorization`.
    #[error("no bearer token was sent")]
    Missing,
    /// `authorization` comes more than once, is no `Bearer` token or has characters that no token has.
    #[error("authorization is not one bearer token")]
    HeaderMalformed,
    /// The token was good once.
    #[error("the token has expired")]
    Expired,
    /// The token is refused.
    #[error("the token is refused")]
    Refused(#[source] TokenError),
    /// The token names a key that cannot be fetched now; it may be good.
    #[error("the issuer's keys cannot be fetched")]
    KeysUnavailable,
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> Self {
        if error == TokenError::Expired { Self::Expired } else { Self::Refused(error) }
    }
}

/// Why an authenticated caller may not do something.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Denied {
    /// The token lacks this scope.
    #[error("scope {0} is missing")]
    ScopeMissing(Scope),
    /// The token does not cover this guild.
    #[error("guild {0} is not granted")]
    GuildNotGranted(GuildId),
}

impl From<AuthError> for Status {
    fn from(error: AuthError) -> Self {
        turned_away(Turned::Unauthenticated(error)).into_status()
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        turned_away(Turned::Denied(denied))
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        Failure::from(denied).into_status()
    }
}

#[derive(Clone, Copy)]
enum Turned {
    Unauthenticated(AuthError),
    Denied(Denied),
}

/// The one place where a refusal becomes an answer.
fn turned_away(turned: Turned) -> Failure {
    match turned {
        Turned::Unauthenticated(AuthError::Missing) => {
            Failure::new(Reason::TokenMissing, "send a token: authorization: Bearer <JWT>")
        }
        Turned::Unauthenticated(AuthError::Expired) => Failure::new(Reason::TokenExpired, "the token has expired"),
        Turned::Unauthenticated(AuthError::HeaderMalformed | AuthError::Refused(_)) => {
            Failure::new(Reason::TokenInvalid, "the token is not accepted")
        }
        Turned::Unauthenticated(AuthError::KeysUnavailable) => {
            Failure::new(Reason::TokenKeysUnavailable, "the keys to verify the token cannot be fetched at the moment")
                .retry_after(KEYS_RETRY)
        }
        Turned::Denied(Denied::ScopeMissing(scope)) => {
            Failure::new(Reason::ScopeMissing, "the token lacks a scope").with("scope", scope.as_str())
        }
        Turned::Denied(Denied::GuildNotGranted(guild)) => {
            Failure::new(Reason::GuildNotGranted, "the token does not cover the guild, or it does not exist")
                .with("guild_id", guild.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn all_invalid_tokens_read_the_same() {
        let refused = [AuthError::HeaderMalformed, TokenError::SignatureInvalid.into(), TokenError::KidUnknown.into()];
        for error in refused {
            let (status, reference) = (Status::from(error), Status::from(AuthError::HeaderMalformed));
            assert_eq!((status.code(), status.message()), (Code::Unauthenticated, reference.message()), "{error:?}");
            assert_eq!(status.details(), reference.details(), "{error:?}");
        }
    }

    #[test]
    fn a_refusal_names_what_the_caller_can_mend() {
        let reason_of = |status: &Status| status.get_details_error_info().expect("an ErrorInfo").reason;
        assert_eq!(reason_of(&AuthError::Missing.into()), "TOKEN_MISSING");
        assert_eq!(reason_of(&TokenError::Expired.into_status()), "TOKEN_EXPIRED");
        let keys = Status::from(AuthError::KeysUnavailable);
        assert_eq!((keys.code(), reason_of(&keys).as_str()), (Code::Unavailable, "TOKEN_KEYS_UNAVAILABLE"));
        assert!(keys.get_details_retry_info().is_some());
        let scope = Status::from(Denied::ScopeMissing(Scope::RoomsWrite));
        assert_eq!(scope.code(), Code::PermissionDenied);
        let metadata = scope.get_details_error_info().expect("an ErrorInfo").metadata;
        assert_eq!(metadata.get("scope").map(String::as_str), Some("rooms:write"));
    }

    impl TokenError {
        fn into_status(self) -> Status {
            AuthError::from(self).into()
        }
    }
}
