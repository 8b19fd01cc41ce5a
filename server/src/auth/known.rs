//! Tokens that were verified a moment ago: a signature is checked once a minute, and the times of a token at every use.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use aws_lc_rs::{
    hmac::{HMAC_SHA256, Key, sign},
    rand,
};

use super::{
    jwks::KeySet,
    principal::Principal,
    verifier::{Verified, Verifier},
};

/// How long a token is not verified again. Not beyond its `exp` either.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// How many tokens are remembered at most, in two halves: when one is full, the other is forgotten.
pub(super) const MOST: usize = 4_096;

/// Tokens that were good, by a keyed hash of all their characters: nobody who sees the memory finds a token in it, and
/// nobody who can choose tokens can choose where they come to lie. What was refused is not remembered.
pub(super) struct KnownTokens {
    key: Key,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The keys that verified them. With other keys nothing is known.
    keys: Option<Arc<KeySet>>,
    young: HashMap<Digest, Known>,
    old: HashMap<Digest, Known>,
}

type Digest = [u8; 32];

struct Known {
    verified: Verified,
    since: SystemTime,
}

impl KnownTokens {
    pub(super) fn new() -> Self {
        let mut secret = Digest::default();
        rand::fill(&mut secret).expect("the system has randomness");
        Self { key: Key::new(HMAC_SHA256, &secret), state: Mutex::default() }
    }

    /// Who the token speaks for, if these keys have verified it within the last minute and it is still accepted.
    pub(super) fn find(
        &self,
        token: &str,
        keys: &Arc<KeySet>,
        verifier: &Verifier,
        now: SystemTime,
    ) -> Option<Arc<Principal>> {
        let digest = self.digest(token);
        let mut state = self.state();
        state.go_by(keys);
        let known = state.young.get(&digest).or_else(|| state.old.get(&digest))?;
        let is_fresh = now.duration_since(known.since).is_ok_and(|age| age < KEPT_FOR);
        let is_current = is_fresh && now < known.verified.expires() && verifier.still_accepts(&known.verified, now);
        is_current.then(|| Arc::clone(&known.verified.principal))
    }

    /// Remembers a token that these keys have verified now.
    pub(super) fn keep(&self, token: &str, verified: Verified, keys: &Arc<KeySet>, now: SystemTime) {
        let digest = self.digest(token);
        let mut state = self.state();
        state.go_by(keys);
        if state.young.len() >= MOST / 2 {
            state.old = std::mem::take(&mut state.young);
        }
        state.young.insert(digest, Known { verified, since: now });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let state = self.state();
        state.young.len() + state.old.len()
    }

    fn digest(&self, token: &str) -> Digest {
        let tag = sign(&self.key, token.as_bytes());
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets what other keys have verified.
    fn go_by(&mut self, keys: &Arc<KeySet>) {
        if !self.keys.as_ref().is_some_and(|known| Arc::ptr_eq(known, keys)) {
            *self = Self { keys: Some(Arc::clone(keys)), ..Self::default() };
        }
    }
}

impl fmt::Debug for KnownTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::{SigningAlgorithm, testing::*};

    fn verifier() -> Verifier {
        Verifier::new(rules([SigningAlgorithm::Rs256]))
    }

    fn after(seconds: u64) -> SystemTime {
        now() + Duration::from_secs(seconds)
    }

    /// Tokens that know this one, since now.
    fn knowing(token: &str) -> (KnownTokens, Arc<KeySet>) {
        let (known, keys) = (KnownTokens::new(), Arc::new(rsa().key_set()));
        known.keep(token, verifier().examine(token, &keys, now()).expect("good"), &keys, now());
        (known, keys)
    }

    #[test]
    fn a_known_token_tells_what_its_first_verification_told_and_for_a_minute() {
        let token = rsa().sign(&header(), &claims());
        let (known, keys) = knowing(&token);
        let principal = verifier().verify(&token, &keys, now()).expect("good");
        for second in [0, 59] {
            let found = known.find(&token, &keys, &verifier(), after(second));
            assert_eq!(found.as_deref(), Some(&principal), "after {second} s");
        }
        assert_eq!(known.find(&token, &keys, &verifier(), after(60)), None, "it is verified again");
        let earlier = now() - Duration::from_secs(1);
        assert_eq!(known.find(&token, &keys, &verifier(), earlier), None, "a clock that was set back");
    }

    #[test]
    fn a_token_that_differs_in_one_character_is_not_known() {
        let token = rsa().sign(&header(), &claims());
        let (known, keys) = knowing(&token);
        for place in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            assert_eq!(known.find(&other, &keys, &verifier(), now()), None, "at {place}");
        }
        assert_eq!(known.find(&token[..token.len() - 1], &keys, &verifier(), now()), None);
        assert!(known.find(&token, &keys, &verifier(), now()).is_some());
    }

    #[test]
    fn neither_exp_nor_nbf_is_outlived() {
        let short = rsa().sign(&header(), &with(claims(), "exp", json!(NOW + 20)));
        let (known, keys) = knowing(&short);
        assert!(known.find(&short, &keys, &verifier(), after(19)).is_some());
        assert_eq!(known.find(&short, &keys, &verifier(), after(20)), None, "the leeway is the verifier's to give");

        // A clock that was ahead when the token came, and was set right since, but not behind that time.
        let young = rsa().sign(&header(), &with(claims(), "nbf", json!(NOW + 35)));
        let keys = Arc::new(rsa().key_set());
        let known = KnownTokens::new();
        let verified = verifier().examine(&young, &keys, after(10)).expect("within the leeway");
        known.keep(&young, verified, &keys, now());
        assert!(known.find(&young, &keys, &verifier(), after(5)).is_some());
        assert_eq!(known.find(&young, &keys, &verifier(), after(4)), None, "not valid yet");
    }

    #[test]
    fn other_keys_know_nothing() {
        let token = rsa().sign(&header(), &claims());
        let (known, keys) = knowing(&token);
        let without_it = Arc::new(key_set(&[&with(rsa().jwk.clone(), "kid", json!("key-2"))]));
        assert_eq!(known.find(&token, &without_it, &verifier(), now()), None);
        assert_eq!((known.len(), known.find(&token, &keys, &verifier(), now())), (0, None), "it was forgotten");
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let token = rsa().sign(&header(), &claims());
        let keys = Arc::new(rsa().key_set());
        let verified = verifier().examine(&token, &keys, now()).expect("good");
        let known = KnownTokens::new();
        for number in 0..3 * MOST {
            known.keep(&number.to_string(), verified.clone(), &keys, now());
            assert!(known.len() <= MOST, "{} after {number}", known.len());
        }
        let last = (3 * MOST - 1).to_string();
        assert!(known.find(&last, &keys, &verifier(), now()).is_some());
        assert_eq!(known.find("0", &keys, &verifier(), now()), None);
    }
}
