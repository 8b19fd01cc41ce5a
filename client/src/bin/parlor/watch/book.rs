//! Names for ids: what a person wants to read instead.

use std::collections::BTreeMap;

use parlor_client::{Snapshot, v1};

/// Names of guilds and rooms, and people as they last were. It forgets no room, because events speak of ended ones too.
#[derive(Debug, Default)]
pub(crate) struct Book {
    guilds: BTreeMap<String, String>,
    rooms: BTreeMap<String, String>,
    people: BTreeMap<(String, String), v1::Participant>,
}

impl Book {
    /// Takes over a snapshot.
    pub(crate) fn replace(&mut self, snapshot: &Snapshot) {
        self.guilds.extend(snapshot.guilds.iter().map(|guild| (guild.guild_id.clone(), guild.display_name.clone())));
        snapshot.rooms.iter().for_each(|room| self.learn_room(room));
        self.people = snapshot.participants.iter().map(|person| (key(person), person.clone())).collect();
    }

    pub(crate) fn learn_room(&mut self, room: &v1::Room) {
        self.rooms.insert(room.room_id.clone(), room.display_name.clone());
    }

    /// Takes over what a guild is called, and gives back what it was called.
    pub(crate) fn learn_guild(&mut self, guild: &v1::Guild) -> Option<String> {
        self.guilds.insert(guild.guild_id.clone(), guild.display_name.clone())
    }

    /// Takes over how somebody is now, and gives back how they were.
    pub(crate) fn learn_person(&mut self, person: &v1::Participant) -> Option<v1::Participant> {
        self.people.insert(key(person), person.clone())
    }

    pub(crate) fn forget_person(&mut self, person: &v1::Participant) {
        self.people.remove(&key(person));
    }

    /// The name of a room; its id where the name is not known.
    pub(crate) fn room<'a>(&'a self, id: &'a str) -> &'a str {
        self.rooms.get(id).map_or(id, String::as_str)
    }

    /// The name of a guild, where there is more than one to tell apart.
    pub(crate) fn guild<'a>(&'a self, id: &'a str) -> Option<&'a str> {
        (self.guilds.len() > 1).then(|| self.guilds.get(id).map_or(id, String::as_str))
    }
}

/// The name to show of somebody.
pub(crate) fn name(person: &v1::Participant) -> &str {
    if person.display_name.is_empty() { &person.user_id } else { &person.display_name }
}

fn key(person: &v1::Participant) -> (String, String) {
    (person.guild_id.clone(), person.user_id.clone())
}
