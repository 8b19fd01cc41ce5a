//! A person on the stage: `world.user("ann").joins(LOBBY)`.

use super::World;
use super::guild_rules::MemberEdit;
use super::id::{ChannelId, UserId};
use super::voice::{Switches, VoiceError};

/// A person who does things in voice. The verbs chain.
///
/// # Panics
/// A verb that Discord would not let happen (joining a full room, leaving while in none) is a mistake in the
/// script, so it panics and says why. [`World::join`] and its neighbours return an error instead.
#[derive(Debug)]
pub struct Actor<'w> {
    world: &'w mut World,
    id: UserId,
}

impl World {
    /// The person with this name, created on first use.
    pub fn user(&mut self, name: &str) -> Actor<'_> {
        let id = self.person(name);
        Actor { world: self, id }
    }
}

impl Actor<'_> {
    /// The person's id.
    pub const fn id(&self) -> UserId {
        self.id
    }

    /// Joins a voice or stage channel.
    #[track_caller]
    pub fn joins(self, channel: ChannelId) -> Self {
        let outcome = self.world.join(self.id, channel);
        self.after(outcome)
    }

    /// Moves to another channel; needs a person who is in one.
    #[track_caller]
    pub fn moves(self, channel: ChannelId) -> Self {
        let outcome = match self.world.guild_of_voice(self.id) {
            Some(_) => self.world.join(self.id, channel),
            None => Err(VoiceError::NotInVoice(self.id)),
        };
        self.after(outcome)
    }

    /// Leaves voice.
    #[track_caller]
    pub fn leaves(self) -> Self {
        let outcome = self.world.leave(self.id);
        self.after(outcome)
    }

    /// Mutes or unmutes themselves.
    #[track_caller]
    pub fn mutes(self, on: bool) -> Self {
        self.switches(|switches| switches.self_mute = on)
    }

    /// Deafens or undeafens themselves.
    #[track_caller]
    pub fn deafens(self, on: bool) -> Self {
        self.switches(|switches| switches.self_deaf = on)
    }

    /// Turns the camera on or off.
    #[track_caller]
    pub fn films(self, on: bool) -> Self {
        self.switches(|switches| switches.self_video = on)
    }

    /// Starts or stops sharing the screen.
    #[track_caller]
    pub fn streams(self, on: bool) -> Self {
        self.switches(|switches| switches.self_stream = on)
    }

    /// Is muted or unmuted by a moderator.
    #[track_caller]
    pub fn gets_muted(self, on: bool) -> Self {
        self.gets_edited(MemberEdit { mute: Some(on), ..MemberEdit::default() })
    }

    /// Is deafened or undeafened by a moderator.
    #[track_caller]
    pub fn gets_deafened(self, on: bool) -> Self {
        self.gets_edited(MemberEdit { deaf: Some(on), ..MemberEdit::default() })
    }

    #[track_caller]
    fn switches(self, flip: impl FnOnce(&mut Switches)) -> Self {
        let outcome = self.world.switch(self.id, flip);
        self.after(outcome)
    }

    #[track_caller]
    fn gets_edited(self, edit: MemberEdit) -> Self {
        match self.world.guild_of_voice(self.id) {
            Some(guild) => {
                self.world.edit_member(guild, self.id, edit);
                self
            }
            None => {
                let id = self.id;
                self.after(Err(VoiceError::NotInVoice(id)))
            }
        }
    }

    #[track_caller]
    fn after(self, outcome: Result<(), VoiceError>) -> Self {
        match outcome {
            Ok(()) => self,
            Err(refusal) => {
                let name = self.world.known_user(self.id).map_or("?", |user| &user.name).to_owned();
                panic!("the script asks too much of {name}: {refusal}")
            }
        }
    }
}
