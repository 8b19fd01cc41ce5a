//! Which entries a stream may and wants to hear of.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use parlor_gateway::{GuildId, RoomId};
use parlor_proto::v1::VoiceEventKind;

use super::log::Entry;
use crate::auth::GuildGrant;

/// The effective filter of a stream: what the token covers, narrowed by what the request asks for.
#[derive(Clone, Debug)]
pub struct Filter {
    grant: GuildGrant,
    /// What the request asks for, if it narrows at all; most do not, and there is a filter in each of thousands of streams.
    wanted: Option<Box<Wanted>>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Wanted {
    /// Empty for every guild of the grant.
    guilds: BTreeSet<GuildId>,
    /// Empty for every room.
    rooms: BTreeSet<RoomId>,
    /// Empty for every kind.
    kinds: BTreeSet<i32>,
}

impl Filter {
    /// A filter. Empty sets do not narrow.
    pub fn new(
        grant: GuildGrant,
        guilds: BTreeSet<GuildId>,
        rooms: BTreeSet<RoomId>,
        kinds: impl IntoIterator<Item = VoiceEventKind>,
    ) -> Self {
        let wanted = Wanted { guilds, rooms, kinds: kinds.into_iter().map(i32::from).collect() };
        Self { grant, wanted: (wanted != Wanted::default()).then(|| Box::new(wanted)) }
    }

    /// Whether the stream hears of the guild at all.
    pub fn guild(&self, guild: GuildId) -> bool {
        let is_wanted = |wanted: &Wanted| wanted.guilds.is_empty() || wanted.guilds.contains(&guild);
        self.grant.covers(guild) && self.wanted.as_deref().is_none_or(is_wanted)
    }

    /// Whether the stream hears of the room, given its guild.
    pub fn room(&self, room: RoomId) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.rooms.is_empty() || wanted.rooms.contains(&room))
    }

    /// Whether the stream is sent the entry.
    pub fn entry(&self, entry: &Entry) -> bool {
        self.guild(entry.guild)
            && self.wanted.as_ref().is_none_or(|wanted| {
                let of_kind = |kind| wanted.kinds.is_empty() || wanted.kinds.contains(&i32::from(kind));
                entry.rooms.any(|room| self.room(room)) && entry.kind.is_none_or(of_kind)
            })
    }

    /// A name for this filter: equal filters have equal names. 16 hexadecimal digits.
    pub fn id(&self) -> String {
        let grant = match &self.grant {
            GuildGrant::All => "*".to_owned(),
            GuildGrant::Only(guilds) => format!("{guilds:?}"),
        };
        let Wanted { guilds, rooms, kinds } = self.wanted.as_deref().cloned().unwrap_or_default();
        let text = format!("{grant}|{guilds:?}|{rooms:?}|{kinds:?}");
        digest(&SHA256, text.as_bytes()).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guild(number: u64) -> GuildId {
        GuildId::new(100_000_000_000_000_000 + number)
    }

    #[test]
    fn a_request_cannot_widen_the_grant() {
        let granted = GuildGrant::Only([guild(1)].into());
        let filter = Filter::new(granted, [guild(1), guild(2)].into(), BTreeSet::new(), []);
        assert!(filter.guild(guild(1)));
        assert!(!filter.guild(guild(2)));
    }

    #[test]
    fn filters_are_named_by_what_they_let_through() {
        let all = || Filter::new(GuildGrant::All, BTreeSet::new(), BTreeSet::new(), []);
        let one = Filter::new(GuildGrant::All, [guild(1)].into(), BTreeSet::new(), []);
        let granted = Filter::new(GuildGrant::Only([guild(1)].into()), BTreeSet::new(), BTreeSet::new(), []);
        let moves = Filter::new(GuildGrant::All, BTreeSet::new(), BTreeSet::new(), [VoiceEventKind::ParticipantMoved]);
        assert_eq!(all().id(), all().id());
        let ids: BTreeSet<_> = [all(), one, granted, moves].iter().map(Filter::id).collect();
        assert_eq!(ids.len(), 4);
    }
}
