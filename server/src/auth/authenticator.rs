//! Authentication of one call.

use std::{fmt, sync::Arc, time::SystemTime};

use http::HeaderMap;

use super::{
    bearer::bearer_token,
    error::{AuthError, TokenError},
    jwks::KeySet,
    known::KnownTokens,
    principal::Principal,
    source::{Keys, Reliance},
    verifier::Verifier,
};

/// Where the time of day comes from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Turns the headers of a call into the caller.
#[derive(Clone)]
pub struct Authenticator {
    verifier: Verifier,
    keys: Keys,
    clock: Clock,
    known: Arc<KnownTokens>,
}

impl Authenticator {
    /// An authenticator by the verifier's rules. `clock` is [`SystemTime::now`] outside tests.
    pub fn new(verifier: Verifier, keys: Keys, clock: Clock) -> Self {
        Self { verifier, keys, clock, known: Arc::new(KnownTokens::new()) }
    }

    /// Who calls. The signature of a token that comes again within a minute is not checked again.
    ///
    /// # Errors
    /// There is no token, or it is refused, or its key cannot be fetched now. A key id that is not known yet may wait
    /// for one fetch of the keys, 5 s at most.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Principal>, AuthError> {
        let token = bearer_token(headers)?;
        let keys = self.keys.current();
        if let Some(principal) = self.known.find(token, &keys, &self.verifier, self.now()) {
            return Ok(principal);
        }
        match self.verify(token, &keys) {
            Err(TokenError::KidUnknown) => {}
            verdict => return Ok(verdict?),
        }
        let (keys, reliance) = self.keys.after_unknown_kid().await;
        match (self.verify(token, &keys), reliance) {
            (Err(TokenError::KidUnknown), Reliance::Unreachable) => Err(AuthError::KeysUnavailable),
            (verdict, _) => Ok(verdict?),
        }
    }

    fn verify(&self, token: &str, keys: &Arc<KeySet>) -> Result<Arc<Principal>, TokenError> {
        let now = self.now();
        let verified = self.verifier.examine(token, keys, now)?;
        let principal = Arc::clone(&verified.principal);
        self.known.keep(token, verified, keys, now);
        Ok(principal)
    }

    /// Waits until tokens can be verified.
    pub async fn ready(&self) {
        self.keys.loaded().await;
    }

    /// The time of day, by the clock that tokens are judged by.
    pub fn now(&self) -> SystemTime {
        (self.clock)()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}
