//! Who calls.

use std::{collections::BTreeSet, fmt, time::SystemTime};

use parlor_gateway::GuildId;

use super::{
    error::Denied,
    permit::{Action, Permit},
    scope::{Scope, ScopeSet},
};

/// Who a token speaks for: its `sub` claim, 1 to 255 characters without control characters.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Subject(String);

impl Subject {
    /// The subject of a claim, unless it is empty, too long or holds control characters.
    pub fn new(claim: &str) -> Option<Self> {
        let shaped = (1..=255).contains(&claim.chars().count()) && !claim.chars().any(char::is_control);
        shaped.then(|| Self(claim.to_owned()))
    }

    /// The claim.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The guilds that a token covers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GuildGrant {
    /// Every guild that the bot serves: the claim was exactly `["*"]`.
    All,
    /// These guilds.
    Only(BTreeSet<GuildId>),
}

impl GuildGrant {
    /// Whether the guild is covered.
    pub fn covers(&self, guild: GuildId) -> bool {
        match self {
            Self::All => true,
            Self::Only(guilds) => guilds.contains(&guild),
        }
    }
}

/// A caller whose token was verified, with everything the token says that matters here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Principal {
    /// Who it is.
    pub subject: Subject,
    /// Where they may act.
    pub guilds: GuildGrant,
    /// What they may do.
    pub scopes: ScopeSet,
    /// When the token stops being accepted: `exp`, and the leeway for clocks that differ. Streams end then too.
    pub expires_at: SystemTime,
}

impl Principal {
    /// Proof that the caller may do `A` in the guild.
    ///
    /// # Errors
    /// A scope that `A` needs is missing, or the token does not cover the guild; the scope is looked at first, so a
    /// caller without it learns nothing about guilds.
    pub fn permit<A: Action>(&self, guild: GuildId) -> Result<Permit<A>, Denied> {
        if self.covered::<A>()?.covers(guild) { Ok(Permit::prove(guild)) } else { Err(Denied::GuildNotGranted(guild)) }
    }

    /// The guilds in which the caller may do `A`: for calls that range over guilds, as lists and streams do.
    ///
    /// # Errors
    /// A scope that `A` needs is missing.
    pub fn covered<A: Action>(&self) -> Result<&GuildGrant, Denied> {
        let missing = |scope: &Scope| !self.scopes.contains(*scope);
        match A::SCOPES.iter().copied().find(missing) {
            Some(scope) => Err(Denied::ScopeMissing(scope)),
            None => Ok(&self.guilds),
        }
    }

    /// Whether the token is over: nothing is answered to it from then on.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        now >= self.expires_at
    }
}
