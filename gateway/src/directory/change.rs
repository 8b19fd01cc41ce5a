//! What the directory says has changed: one entry of the event log each.

use std::time::SystemTime;

use parlor_proto::v1;

use super::guild::Guild;
use crate::id::{GuildId, RoomId};

/// One change of state, or the word that some may be missing. It becomes one entry of the event log.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The guild that it belongs to: what a caller's grants are held against.
    pub guild: GuildId,
    /// The rooms that it touches: what a subscription's filter is held against.
    pub rooms: Touched,
    /// What to tell.
    pub body: ChangeBody,
}

/// Which rooms a change touches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Touched {
    /// Every room of the guild.
    All,
    /// One.
    One(RoomId),
    /// Two, by a move.
    Both {
        /// Where somebody came from.
        from: RoomId,
        /// Where they are now.
        to: RoomId,
    },
}

impl Touched {
    /// Whether any of the rooms touched satisfies the filter.
    pub fn any(&self, mut filter: impl FnMut(RoomId) -> bool) -> bool {
        match *self {
            Self::All => true,
            Self::One(room) => filter(room),
            Self::Both { from, to } => filter(from) || filter(to),
        }
    }
}

/// What a change tells.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every change is an event, so a box would save nothing")]
pub enum ChangeBody {
    /// Something happened.
    Event(v1::VoiceEvent),
    /// Something may have happened unseen.
    Discontinuity(v1::Discontinuity),
}

/// Where changes go while one update is applied: the same time and origin for all of them.
pub(super) struct Emitter {
    pub(super) now: SystemTime,
    pub(super) origin: v1::Origin,
    changes: Vec<Change>,
}

impl Emitter {
    pub(super) fn new(origin: v1::Origin, now: SystemTime) -> Self {
        Self { now, origin, changes: Vec::new() }
    }

    pub(super) fn event(&mut self, guild: GuildId, rooms: Touched, kind: v1::voice_event::Kind) {
        let event = v1::VoiceEvent {
            event_time: Some(self.now.into()),
            origin: self.origin.into(),
            guild_id: guild.to_text(),
            kind: Some(kind),
        };
        if self.changes.is_empty() {
            // Most updates make one change, and a list that expects more is too large for what an allocator keeps at hand.
            self.changes.reserve_exact(1);
        }
        self.changes.push(Change { guild, rooms, body: ChangeBody::Event(event) });
    }

    /// A guild is like this now.
    pub(super) fn guild(&mut self, guild: &Guild) {
        let it = v1::GuildUpdated { guild: Some(guild.to_proto()), left: false };
        self.event(guild.id, Touched::All, v1::voice_event::Kind::GuildUpdated(it));
    }

    /// A guild is no longer ours.
    pub(super) fn guild_left(&mut self, guild: &Guild) {
        let last = v1::Guild { available: false, ..guild.to_proto() };
        let it = v1::GuildUpdated { guild: Some(last), left: true };
        self.event(guild.id, Touched::All, v1::voice_event::Kind::GuildUpdated(it));
    }

    pub(super) fn discontinuity(&mut self, guild: GuildId, from: SystemTime, reason: v1::discontinuity::Reason) {
        let entry = v1::Discontinuity {
            guild_id: guild.to_text(),
            from: Some(from.into()),
            to: Some(self.now.into()),
            reason: reason.into(),
        };
        self.changes.push(Change { guild, rooms: Touched::All, body: ChangeBody::Discontinuity(entry) });
    }

    pub(super) fn finish(self) -> Vec<Change> {
        self.changes
    }
}
