//! What a token lets its bearer do.

use std::{collections::BTreeSet, fmt};

/// A permission that a token's `scope` claim names.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// See rooms and guilds.
    RoomsRead,
    /// Create, change and end rooms.
    RoomsWrite,
    /// Invite guests.
    GuestsWrite,
    /// Subscribe to events.
    EventsRead,
    /// Move, mute and disconnect participants.
    ParticipantsWrite,
    /// Send messages.
    MessagesWrite,
    /// Create and delete webhooks.
    WebhooksWrite,
    /// Hear a room.
    VoiceListen,
    /// Speak in a room.
    VoiceSpeak,
    /// Act as the operator: end rooms that Parlor did not create.
    Ops,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 10] = [
        Self::RoomsRead,
        Self::RoomsWrite,
        Self::GuestsWrite,
        Self::EventsRead,
        Self::ParticipantsWrite,
        Self::MessagesWrite,
        Self::WebhooksWrite,
        Self::VoiceListen,
        Self::VoiceSpeak,
        Self::Ops,
    ];

    /// The name in the claim.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoomsRead => "rooms:read",
            Self::RoomsWrite => "rooms:write",
            Self::GuestsWrite => "guests:write",
            Self::EventsRead => "events:read",
            Self::ParticipantsWrite => "participants:write",
            Self::MessagesWrite => "messages:write",
            Self::WebhooksWrite => "webhooks:write",
            Self::VoiceListen => "voice:listen",
            Self::VoiceSpeak => "voice:speak",
            Self::Ops => "ops",
        }
    }

    /// The scope of this name, exactly.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The scopes of one token.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ScopeSet(BTreeSet<Scope>);

impl ScopeSet {
    /// Reads a `scope` claim: names separated by spaces (RFC 6749, section 3.3). Names that Parlor does not know are
    /// left out, so that an issuer may serve other services and later versions with one token; they grant nothing.
    pub fn from_claim(claim: &str) -> Self {
        Self(claim.split(' ').filter_map(Scope::from_name).collect())
    }

    /// Whether the scope is granted.
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_names_between_spaces() {
        let scopes = ScopeSet::from_claim("rooms:read  events:read later:thing rooms:write,ops OPS");
        assert_eq!(scopes, [Scope::RoomsRead, Scope::EventsRead].into_iter().collect());
        assert_eq!(ScopeSet::from_claim(""), ScopeSet::default());
    }

    #[test]
    fn each_name_reads_back() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_name(scope.as_str()), Some(scope));
        }
    }
}
