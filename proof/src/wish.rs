//! What a subscriber wants to hear, and may.

use std::collections::BTreeSet;

use parlor_gateway::{GuildId, RoomId};
use parlor_proto::v1::VoiceEventKind;
use parlor_server::{auth::GuildGrant, hub::Filter};

use crate::{
    fact::{Fact, Picture},
    world::{guild_id, room_id},
};

/// A filter, as the reference reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wish {
    /// The guilds that the token covers; `None` for all.
    granted: Option<BTreeSet<GuildId>>,
    /// The guilds that are asked for; empty for all that are granted.
    guilds: BTreeSet<GuildId>,
    /// Empty for all.
    rooms: BTreeSet<RoomId>,
    /// Empty for all.
    kinds: Vec<VoiceEventKind>,
}

/// How many there are to choose from.
pub const WISHES: u8 = 8;

impl Wish {
    /// One of them.
    pub fn number(wish: u8) -> Self {
        let all = Self { granted: None, guilds: BTreeSet::new(), rooms: BTreeSet::new(), kinds: Vec::new() };
        match wish {
            0 => all,
            1 => Self { granted: Some([guild_id(0)].into()), ..all },
            2 => Self { guilds: [guild_id(1), guild_id(2)].into(), ..all },
            3 => Self { rooms: [room_id(0, 0, 1), room_id(0, 2, 1), room_id(1, 0, 1)].into(), ..all },
            4 => Self { kinds: vec![VoiceEventKind::ParticipantMoved, VoiceEventKind::RoomEnded], ..all },
            5 => Self { granted: Some([guild_id(0), guild_id(2)].into()), rooms: [room_id(0, 1, 1)].into(), ..all },
            6 => Self { granted: Some([guild_id(1)].into()), guilds: [guild_id(0), guild_id(1)].into(), ..all },
            _ => Self { rooms: [room_id(0, 0, 1)].into(), kinds: vec![VoiceEventKind::ParticipantLeft], ..all },
        }
    }

    /// The same for the server.
    pub fn filter(&self) -> Filter {
        let grant = self.granted.clone().map_or(GuildGrant::All, GuildGrant::Only);
        Filter::new(grant, self.guilds.clone(), self.rooms.clone(), self.kinds.iter().copied())
    }

    /// Whether anything of a guild may be heard.
    pub fn guild(&self, guild: GuildId) -> bool {
        self.granted.as_ref().is_none_or(|granted| granted.contains(&guild))
            && (self.guilds.is_empty() || self.guilds.contains(&guild))
    }

    /// Whether a room is wanted.
    pub fn room(&self, room: RoomId) -> bool {
        self.rooms.is_empty() || self.rooms.contains(&room)
    }

    /// Whether an entry is to be sent.
    pub fn fact(&self, fact: &Fact) -> bool {
        let touched = fact.rooms();
        self.guild(fact.guild())
            && (touched.is_empty() || touched.iter().any(|room| self.room(*room)))
            && (self.kinds.is_empty() || fact.kind().is_none_or(|kind| self.kinds.contains(&kind)))
    }

    /// Whether every entry is heard, so that each must fit those before.
    pub fn hears_of_every_room(&self) -> bool {
        self.rooms.is_empty() && self.hears_every_kind()
    }

    /// Whether no kind is left out, so that what is held is the truth.
    pub fn hears_every_kind(&self) -> bool {
        self.kinds.is_empty()
    }

    /// What may be seen of a picture.
    pub fn view(&self, picture: &Picture) -> Picture {
        picture.only(|guild| self.guild(guild), |room| self.room(room))
    }
}
