//! A person whom a test plays: `emulator.user("ann").joins(LOBBY)`.

use super::Emulator;
use crate::world::{Actor, ChannelId, UserId, VoiceTicket};

/// A person of the emulated Discord. The verbs chain, and each one's dispatches are on their way when it returns.
///
/// # Panics
/// As [`Actor`] does: a verb that Discord would refuse is a mistake in the script.
#[derive(Clone, Debug)]
pub struct Person {
    emulator: Emulator,
    name: String,
}

impl Person {
    pub(super) fn new(emulator: Emulator, name: &str) -> Self {
        Self { emulator, name: name.to_owned() }
    }

    /// The person's id.
    pub fn id(&self) -> UserId {
        self.emulator.world(|world| world.user(&self.name).id())
    }

    /// Joins a voice or stage channel.
    #[track_caller]
    pub fn joins(self, channel: ChannelId) -> Self {
        self.acts(|actor| actor.joins(channel))
    }

    /// Moves to another channel; needs a person who is in one.
    #[track_caller]
    pub fn moves(self, channel: ChannelId) -> Self {
        self.acts(|actor| actor.moves(channel))
    }

    /// Leaves voice.
    #[track_caller]
    pub fn leaves(self) -> Self {
        self.acts(|actor| actor.leaves())
    }

    /// Mutes or unmutes themselves.
    #[track_caller]
    pub fn mutes(self, on: bool) -> Self {
        self.acts(|actor| actor.mutes(on))
    }

    /// Deafens or undeafens themselves.
    #[track_caller]
    pub fn deafens(self, on: bool) -> Self {
        self.acts(|actor| actor.deafens(on))
    }

    /// Turns the camera on or off.
    #[track_caller]
    pub fn films(self, on: bool) -> Self {
        self.acts(|actor| actor.films(on))
    }

    /// Starts or stops sharing the screen.
    #[track_caller]
    pub fn streams(self, on: bool) -> Self {
        self.acts(|actor| actor.streams(on))
    }

    /// Is muted or unmuted by a moderator.
    #[track_caller]
    pub fn gets_muted(self, on: bool) -> Self {
        self.acts(|actor| actor.gets_muted(on))
    }

    /// Is deafened or undeafened by a moderator.
    #[track_caller]
    pub fn gets_deafened(self, on: bool) -> Self {
        self.acts(|actor| actor.gets_deafened(on))
    }

    /// What a voice client needs to speak for them from now on; they must be in a voice channel.
    #[track_caller]
    pub fn voice_ticket(&self) -> VoiceTicket {
        let id = self.id();
        match self.emulator.world(|world| world.voice_ticket(id)) {
            Ok(ticket) => ticket,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    #[track_caller]
    fn acts(self, verb: impl FnOnce(Actor<'_>) -> Actor<'_>) -> Self {
        self.emulator.world(|world| {
            verb(world.user(&self.name));
        });
        self
    }
}
