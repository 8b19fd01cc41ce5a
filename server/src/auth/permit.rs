//! Proof of permission, as a type.
//!
//! Code that acts on a guild takes a [`Permit`] of its own action, so that a call site which forgot to ask does not
//! compile. Only [`Principal::permit`](super::Principal::permit) makes one.

use std::{fmt, marker::PhantomData};

use parlor_gateway::GuildId;

use super::scope::Scope;

/// Something that a caller does in a guild.
pub trait Action {
    /// The scopes that the token must hold, all of them.
    const SCOPES: &'static [Scope];
}

/// Declares actions with the scopes they need.
macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $($scope:ident),+;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}

            impl Action for $name {
                const SCOPES: &'static [Scope] = &[$(Scope::$scope),+];
            }
        )+
    };
}

actions! {
    /// See a guild and its rooms.
    ReadRooms: RoomsRead;
    /// Create a room.
    CreateRoom: RoomsWrite;
    /// End a room that Parlor created.
    EndRoom: RoomsWrite;
    /// End a room that Parlor did not create.
    ForceEndRoom: RoomsWrite, Ops;
    /// Change a room that Parlor created.
    UpdateRoom: RoomsWrite;
    /// Change a room that Parlor did not create.
    ForceUpdateRoom: RoomsWrite, Ops;
    /// Post into channels.
    SendMessage: MessagesWrite;
    /// Hear of what happens.
    WatchEvents: EventsRead;
    /// Move, disconnect, mute and deafen participants.
    ChangeParticipants: ParticipantsWrite;
    /// Hear voice sessions.
    Listen: VoiceListen;
    /// Speak in voice sessions.
    Speak: VoiceSpeak;
    /// End a voice session that others keep, too.
    ForceDisconnect: Ops;
    /// Make, list, delete and execute webhooks.
    UseWebhooks: WebhooksWrite;
}

/// Proof that a caller may do `A` in one guild.
pub struct Permit<A> {
    guild: GuildId,
    // A permit proves something about `A` without holding one: `fn() -> A` keeps it `Send` and `Sync`.
    action: PhantomData<fn() -> A>,
}

impl<A: Action> Permit<A> {
    pub(super) fn prove(guild: GuildId) -> Self {
        Self { guild, action: PhantomData }
    }

    /// The guild that the permission is for.
    pub fn guild(&self) -> GuildId {
        self.guild
    }
}

impl<A> Clone for Permit<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Permit<A> {}

impl<A> fmt::Debug for Permit<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("guild", &self.guild).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::UNIX_EPOCH};

    use super::*;
    use crate::auth::{Denied, GuildGrant, Principal, ScopeSet, Subject};

    const HOME: GuildId = GuildId::new(100_000_000_000_000_001);
    const AWAY: GuildId = GuildId::new(100_000_000_000_000_002);

    fn principal(guilds: GuildGrant, scopes: &str) -> Principal {
        Principal {
            subject: Subject::new("ann").expect("a subject"),
            guilds,
            scopes: ScopeSet::from_claim(scopes),
            expires_at: UNIX_EPOCH,
        }
    }

    #[test]
    fn a_permit_needs_guild_and_scope() {
        let ann = principal(GuildGrant::Only(BTreeSet::from([HOME])), "rooms:write");
        assert_eq!(ann.permit::<CreateRoom>(HOME).map(|permit| permit.guild()).ok(), Some(HOME));
        assert_eq!(ann.permit::<CreateRoom>(AWAY).err(), Some(Denied::GuildNotGranted(AWAY)));
        assert_eq!(ann.permit::<ReadRooms>(AWAY).err(), Some(Denied::ScopeMissing(Scope::RoomsRead)));
        assert_eq!(ann.permit::<ForceEndRoom>(HOME).err(), Some(Denied::ScopeMissing(Scope::Ops)));
    }

    #[test]
    fn a_grant_of_all_covers_every_guild_but_gives_no_scope() {
        let ops = principal(GuildGrant::All, "ops rooms:write");
        assert!(ops.permit::<ForceEndRoom>(AWAY).is_ok());
        assert_eq!(ops.covered::<WatchEvents>().err(), Some(Denied::ScopeMissing(Scope::EventsRead)));
    }

    #[test]
    fn a_permit_crosses_threads() {
        fn assert_send_sync<T: Send + Sync>() {}
        assert_send_sync::<Permit<CreateRoom>>();
    }
}
