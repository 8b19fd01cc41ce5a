//! Who calls, and what they may do.
//!
//! A bearer token becomes a [`Principal`] through the [`Verifier`], which is pure: the keys and the time are
//! arguments. A principal gives [`Permit`]s, the typed proofs that acting code demands. [`AuthLayer`] stands before
//! every call except health and reflection; [`Keys`] keeps the issuer's keys fresh behind it.
//!
//! The rules are those of RFC 8725 (JSON Web Token best current practices), with the algorithm fixed by configuration,
//! `kid` required, and nothing that a token carries about its own keys ever read.

mod authenticator;
mod bearer;
mod claims;
mod error;
mod header;
mod json;
mod jwks;
mod known;
mod layer;
mod permit;
mod principal;
mod refresh;
mod scope;
mod source;
mod verifier;

#[cfg(any(feature = "dev", test))]
pub mod dev;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use authenticator::{Authenticator, Clock};
pub use bearer::bearer_token;
pub use error::{AuthError, Denied, TokenError};
pub use jwks::{JwksError, KeySet, SigningAlgorithm, VerificationKey};
pub use layer::{AuthLayer, AuthService, principal_of};
pub use permit::{
    Action, ChangeParticipants, CreateRoom, EndRoom, ForceDisconnect, ForceEndRoom, ForceUpdateRoom, Listen, Permit,
    ReadRooms, SendMessage, Speak, UpdateRoom, UseWebhooks, WatchEvents,
};
pub use principal::{GuildGrant, Principal, Subject};
pub use refresh::{RefreshRules, Schedule, UnknownKid};
pub use scope::{Scope, ScopeSet};
pub use source::{FetchError, Fetched, KeySource, Keys};
pub use verifier::{TokenRules, TokenType, Verifier};
