//! A record of what happened in the world, in order: what a test holds against what somebody was told of it.

use super::World;
use super::channel::Channel;
use super::id::{ChannelId, GuildId, UserId};
use super::time::Timestamp;

/// One change of the world, as it was when it had happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub guild: GuildId,
    /// What is so now.
    pub what: Happening,
}

/// What a [`Transition`] is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Happening {
    /// Somebody's voice state.
    Voice {
        /// Whose.
        user: UserId,
        /// It; `None` = out of voice.
        now: Option<Presence>,
    },
    /// A voice or stage channel.
    Room {
        /// Which.
        room: ChannelId,
        /// It; `None` = deleted.
        now: Option<RoomFace>,
    },
    /// Dispatches of this moment and guild were never sent, because of [`Fault::SwallowDispatches`](crate::Fault).
    Unsent,
}

/// What others see of somebody in voice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Presence {
    /// Where they are.
    pub room: ChannelId,
    /// Muted by a moderator.
    pub mute: bool,
    /// Deafened by a moderator.
    pub deaf: bool,
    /// Muted themselves.
    pub self_mute: bool,
    /// Deafened themselves.
    pub self_deaf: bool,
    /// Camera on.
    pub self_video: bool,
    /// Sharing the screen.
    pub self_stream: bool,
    /// In the audience of a stage, or without SPEAK.
    pub suppress: bool,
}

/// What a room looks like from outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoomFace {
    /// Its name.
    pub name: String,
    /// How many fit in; 0 = no limit.
    pub user_limit: u32,
    /// Bits per second.
    pub bitrate: u32,
}

impl World {
    /// Begins a [`journal`](Self::journal), which grows from now on without a bound.
    pub fn keep_journal(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// Every change since [`keep_journal`](Self::keep_journal), in order; empty where none is kept.
    pub fn journal(&self) -> &[Transition] {
        self.journal.as_deref().unwrap_or_default()
    }

    /// What others see of somebody in a guild's voice.
    pub fn presence(&self, guild: GuildId, user: UserId) -> Option<Presence> {
        let home = self.guild(guild)?;
        let (state, member) = (home.voice_states.get(&user)?, home.members.get(&user)?);
        Some(Presence {
            room: state.channel_id,
            mute: member.mute,
            deaf: member.deaf,
            self_mute: state.switches.self_mute,
            self_deaf: state.switches.self_deaf,
            self_video: state.switches.self_video,
            self_stream: state.switches.self_stream,
            suppress: state.suppress,
        })
    }

    pub(super) fn note_voice(&mut self, guild: GuildId, user: UserId) {
        if self.journal.is_some() {
            let now = self.presence(guild, user);
            self.note(guild, Happening::Voice { user, now });
        }
    }

    /// A channel is like this now, or is gone. Only those that people can join are noted.
    pub(super) fn note_channel(&mut self, channel: &Channel, exists: bool) {
        if let (true, Some(face)) = (self.journal.is_some(), channel.face()) {
            let now = exists.then_some(face);
            self.note(channel.guild_id, Happening::Room { room: channel.id, now });
        }
    }

    pub(crate) fn note_unsent(&mut self, guild: GuildId) {
        self.note(guild, Happening::Unsent);
    }

    fn note(&mut self, guild: GuildId, what: Happening) {
        let at = self.now;
        if let Some(journal) = &mut self.journal {
            journal.push(Transition { at, guild, what });
        }
    }
}

impl Channel {
    /// What it looks like from outside; `None` where nobody can join it.
    pub fn face(&self) -> Option<RoomFace> {
        let voice = self.kind.voice()?;
        Some(RoomFace { name: self.name.clone(), user_limit: voice.user_limit, bitrate: voice.bitrate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{GAMES, LOBBY, PARLOR_DEV, Terms};

    #[test]
    fn what_happens_is_kept_in_order_from_when_it_is_asked_for() {
        let config = crate::Config::default();
        let (bot_permissions, voice_endpoint) = (config.bot_permissions, String::new());
        let terms = Terms { bot_permissions, voice_endpoint, tokens: None };
        let mut world = World::new(terms, Timestamp::from_unix_millis(5));
        world.user("ann").joins(LOBBY);
        assert_eq!(world.journal(), []);
        world.keep_journal();
        let ann = world.user("ann").moves(GAMES).mutes(true).id();
        world.delete_channel(GAMES).unwrap();
        let rooms: Vec<_> = world
            .journal()
            .iter()
            .map(|transition| match &transition.what {
                Happening::Voice { user, now } if *user == ann => now.map(|now| (now.room, now.self_mute)),
                Happening::Room { now: None, .. } => Some((LOBBY, false)),
                other @ (Happening::Voice { .. } | Happening::Room { .. } | Happening::Unsent) => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(rooms, [Some((GAMES, false)), Some((GAMES, true)), None, Some((LOBBY, false))]);
        assert!(world.journal().iter().all(|each| each.guild == PARLOR_DEV && each.at.unix_millis() == 5));
    }
}
