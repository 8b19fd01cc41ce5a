//! Rooms that Parlor has asked Discord for and whose answer is still out.
//!
//! Discord tells of a new channel twice, on the gateway and in the answer, in either order. The gateway's word does not
//! say who asked. So while an answer is out, new rooms of the same guild and name wait for it; everything that Discord
//! says of them meanwhile waits behind them, in order.

use std::collections::BTreeMap;

use super::guild::Guild;
use crate::{
    id::{GuildId, RoomId},
    update::{News, RoomFacts},
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
    waiting: BTreeMap<RoomId, Vec<News>>,
}

impl Holds {
    pub(super) fn expect(&mut self, guild: GuildId, name: &str) {
        self.by_name.entry((guild, name.to_owned())).or_default().outstanding += 1;
    }

    /// An answer came. Returns what may be applied now: the news of that room, and once no answer is out any more
    /// that of every room which waited in vain.
    pub(super) fn settle(&mut self, guild: GuildId, name: &str, created: Option<RoomId>) -> Vec<News> {
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

    pub(super) fn has_news_waiting(&self) -> bool {
        self.by_name.values().any(|hold| !hold.waiting.is_empty())
    }

    /// A snapshot of the guild tells what has become of the rooms that wait: it is newer than what was said of them.
    pub(super) fn describe(&mut self, guild: GuildId, rooms: &[RoomFacts]) {
        for (_, hold) in self.by_name.iter_mut().filter(|((of, _), _)| *of == guild) {
            for (room, waiting) in &mut hold.waiting {
                let described = rooms.iter().find(|facts| facts.room == *room);
                *waiting = vec![described.map_or(News::RoomGone(*room), |facts| News::Room(facts.clone()))];
            }
        }
    }

    /// Keeps a room of a snapshot back if it waits already, or if an answer for its name is out.
    pub(super) fn catch_described(&mut self, facts: &RoomFacts) -> bool {
        self.by_name.values().any(|hold| hold.waiting.contains_key(&facts.room)) || self.catch_room(facts)
    }

    fn catch_room(&mut self, facts: &RoomFacts) -> bool {
        if self.by_name.is_empty() {
            return false;
        }
        let hold = self.by_name.get_mut(&(facts.guild, facts.name.clone()));
        hold.map(|hold| hold.waiting.entry(facts.room).or_default().push(News::Room(facts.clone()))).is_some()
    }

    /// Keeps news back if it concerns a room that waits or has to; otherwise returns it.
    pub(super) fn catch(&mut self, guild: &Guild, news: News) -> Option<News> {
        let (room, new_room) = match &news {
            News::Room(facts) => (facts.room, Some(facts).filter(|facts| !guild.has_room(facts.room))),
            News::RoomGone(room) | News::RoomStatus(room, _) => (*room, None),
            News::Voice(_) | News::Member(..) | News::MemberLeft(_) => return Some(news),
        };
        if let Some(waiting) = self.by_name.values_mut().find_map(|hold| hold.waiting.get_mut(&room)) {
            waiting.push(news);
            return None;
        }
        let is_kept = new_room.is_some_and(|facts| self.catch_room(facts));
        (!is_kept).then_some(news)
    }
}
