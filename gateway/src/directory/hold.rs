//! Rooms that Parlor has asked Discord for and whose answer is still out.
//!
//! Discord tells of a new channel twice, on the gateway and in the answer, in either order. The gateway's word does not
//! say who asked. So while an answer is out, new rooms of the same guild and name wait for it; everything that Discord
//! says of them meanwhile waits behind them, in order.

use std::collections::BTreeMap;

use super::guild::Guild;
use crate::{
    id::{GuildId, RoomId},
    update::{RoomFacts, Update},
};

#[derive(Debug, Default)]
pub(super) struct Holds {
    by_name: BTreeMap<(GuildId, String), Hold>,
}

#[derive(Debug, Default)]
struct Hold {
    /// How many answers are out for this name.
    outstanding: usize,
    /// The rooms that wait, with what was said of each.
    waiting: BTreeMap<RoomId, Vec<Update>>,
}

impl Holds {
    pub(super) fn expect(&mut self, guild: GuildId, name: &str) {
        self.by_name.entry((guild, name.to_owned())).or_default().outstanding += 1;
    }

    /// An answer came. Returns what may be applied now: the updates of that room, and once no answer is out any more
    /// those of every room that waited in vain.
    pub(super) fn settle(&mut self, guild: GuildId, name: &str, created: Option<RoomId>) -> Vec<Update> {
        let key = (guild, name.to_owned());
        let Some(hold) = self.by_name.get_mut(&key) else { return Vec::new() };
        hold.outstanding -= 1;
        let mut released = created.and_then(|room| hold.waiting.remove(&room)).unwrap_or_default();
        if hold.outstanding == 0 {
            let rest = self.by_name.remove(&key).expect("it was there a moment ago");
            released.extend(rest.waiting.into_values().flatten());
        }
        released
    }

    /// Keeps a room of a snapshot back if an answer for its name is out.
    pub(super) fn catch_room(&mut self, facts: &RoomFacts) -> bool {
        let hold = self.by_name.get_mut(&(facts.guild, facts.name.clone()));
        hold.map(|hold| hold.waiting.entry(facts.room).or_default().push(Update::Room(facts.clone()))).is_some()
    }

    /// Keeps an update back if it concerns a room that waits or has to; otherwise returns it.
    pub(super) fn catch(&mut self, guild: &Guild, update: Update) -> Option<Update> {
        if self.by_name.is_empty() {
            return Some(update);
        }
        let room = match &update {
            Update::Room(facts) => facts.room,
            Update::RoomGone { room, .. } => *room,
            _ => return Some(update),
        };
        if let Some(waiting) = self.by_name.values_mut().find_map(|hold| hold.waiting.get_mut(&room)) {
            waiting.push(update);
            return None;
        }
        match update {
            Update::Room(facts) if !guild.has_room(room) && self.catch_room(&facts) => None,
            update => Some(update),
        }
    }
}
