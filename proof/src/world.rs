//! The world: which guilds there are, their rooms and who is in them. Discord's truth.

use std::collections::BTreeMap;

use parlor_gateway::{
    GuildId, GuildSnapshot, News, Profile, RoomFacts, RoomId, RoomKind, Update, UserId, VideoQuality, VoiceFlags,
    VoiceSessionId, VoiceState,
};

use crate::fact::Seen;

/// How many guilds there are.
pub const GUILDS: u8 = 3;

/// How many rooms a guild has at most at one time. A room that is made again in the same slot is another room.
pub const SLOTS: u8 = 3;

/// How many people there are. Everybody may be in every guild.
pub const PEOPLE: u8 = 4;

/// How somebody looks to others.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Look {
    /// Whether they have muted themselves.
    pub muted: bool,
    /// Which of their names they wear.
    pub name: u8,
}

/// Somebody in voice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Person {
    /// Where.
    pub room: RoomId,
    /// How.
    pub look: Look,
    /// Which stay in voice: it changes when they leave and come back.
    pub stay: u32,
}

impl Person {
    /// How they are shown.
    pub fn seen(&self, user: UserId) -> Seen {
        let Look { muted, name } = self.look;
        Seen { room: self.room, muted, name: format!("{name}/{user}"), joined_at: 0 }
    }
}

/// A guild as it is.
#[derive(Clone, Debug, Default)]
pub struct Guild {
    /// How often it has been given another name.
    pub renames: u32,
    /// Whether the bot is in it.
    pub member: bool,
    /// Whether Discord cannot serve it at the moment.
    pub outage: bool,
    /// Rooms with their names.
    pub rooms: BTreeMap<RoomId, String>,
    /// Who is in voice.
    pub people: BTreeMap<UserId, Person>,
    generations: [u64; SLOTS as usize],
}

/// Everything.
#[derive(Clone, Debug)]
pub struct World {
    /// The guilds, by number.
    pub guilds: Vec<Guild>,
    stays: u32,
}

/// The id of a guild.
pub fn guild_id(guild: u8) -> GuildId {
    GuildId::new(100_000_000_000_000_000 + u64::from(guild))
}

/// The number of a guild.
pub fn guild_number(guild: GuildId) -> u8 {
    u8::try_from(guild.get() - 100_000_000_000_000_000).expect("one of the world's guilds")
}

/// The id of the room that stands in a slot for the so-manieth time, from 1.
pub fn room_id(guild: u8, slot: u8, generation: u64) -> RoomId {
    RoomId::new(200_000_000_000_000_000 + u64::from(guild) * 1_000_000 + u64::from(slot) * 10_000 + generation)
}

/// The id of a user.
pub fn user_id(user: u8) -> UserId {
    UserId::new(300_000_000_000_000_000 + u64::from(user))
}

/// What a room of this name is to Discord.
pub fn facts(guild: GuildId, room: RoomId, name: &str) -> RoomFacts {
    RoomFacts {
        room,
        guild,
        name: name.to_owned(),
        kind: RoomKind::Voice,
        category: None,
        user_limit: 0,
        bitrate: 64_000,
        region: None,
        video_quality: VideoQuality::Auto,
        status: None,
    }
}

/// The name that somebody shows.
pub fn profile(user: UserId, name: u8) -> Profile {
    Profile { display_name: format!("{name}/{user}"), ..Profile::default() }
}

fn voice(guild: GuildId, user: UserId, person: Option<Person>) -> VoiceState {
    let look = person.map_or(Look { muted: false, name: 0 }, |person| person.look);
    VoiceState {
        guild,
        user,
        room: person.map(|person| person.room),
        session: VoiceSessionId(person.map(|person| person.stay.to_string()).unwrap_or_default()),
        flags: VoiceFlags { self_mute: look.muted, ..VoiceFlags::default() },
        profile: person.map(|_| profile(user, look.name)),
    }
}

impl Default for World {
    /// Two guilds that the bot is in, one with two rooms and one with one; nobody is in voice.
    fn default() -> Self {
        let mut world = Self { guilds: vec![Guild::default(); GUILDS.into()], stays: 0 };
        for (guild, slot) in [(0, 0), (0, 1), (1, 0)] {
            world.guilds[usize::from(guild)].member = true;
            world.room(guild, slot, "lobby");
        }
        world
    }
}

impl World {
    /// The room that stands in a slot.
    pub fn room_in(&self, guild: u8, slot: u8) -> Option<RoomId> {
        let it = &self.guilds[usize::from(guild)];
        let room = room_id(guild, slot, it.generations[usize::from(slot)]);
        it.rooms.contains_key(&room).then_some(room)
    }

    /// Makes a room, or gives it another name.
    pub fn room(&mut self, guild: u8, slot: u8, name: &str) -> Vec<Update> {
        let known = self.room_in(guild, slot);
        let it = &mut self.guilds[usize::from(guild)];
        let room = known.unwrap_or_else(|| {
            it.generations[usize::from(slot)] += 1;
            room_id(guild, slot, it.generations[usize::from(slot)])
        });
        it.rooms.insert(room, name.to_owned());
        vec![Update::Within(guild_id(guild), News::Room(facts(guild_id(guild), room, name)))]
    }

    /// Deletes a room. Whoever was in it is told to have left afterwards.
    pub fn delete(&mut self, guild: u8, room: RoomId) -> Vec<Update> {
        let it = &mut self.guilds[usize::from(guild)];
        if it.rooms.remove(&room).is_none() {
            return Vec::new();
        }
        let id = guild_id(guild);
        let inside: Vec<UserId> =
            it.people.iter().filter(|(_, person)| person.room == room).map(|(user, _)| *user).collect();
        let mut updates = vec![Update::Within(id, News::RoomGone(room))];
        for user in inside {
            it.people.remove(&user);
            updates.push(Update::Within(id, News::Voice(voice(id, user, None))));
        }
        updates
    }

    /// Somebody goes to a room, or out of voice.
    pub fn go(&mut self, guild: u8, user: u8, slot: Option<u8>) -> Vec<Update> {
        let room = slot.map(|slot| self.room_in(guild, slot));
        if room == Some(None) {
            return Vec::new();
        }
        let (id, user) = (guild_id(guild), user_id(user));
        let it = &mut self.guilds[usize::from(guild)];
        let known = it.people.get(&user).copied();
        let person = room.flatten().map(|room| match known {
            Some(known) => Person { room, ..known },
            None => {
                self.stays += 1;
                Person { room, look: Look { muted: false, name: 0 }, stay: self.stays }
            }
        });
        match person {
            Some(person) => it.people.insert(user, person),
            None => it.people.remove(&user),
        };
        vec![Update::Within(id, News::Voice(voice(id, user, person)))]
    }

    /// Somebody leaves voice and comes back to the same room.
    pub fn come_back(&mut self, guild: u8, user: u8) -> Vec<Update> {
        let (id, user) = (guild_id(guild), user_id(user));
        let Some(person) = self.guilds[usize::from(guild)].people.get_mut(&user) else { return Vec::new() };
        self.stays += 1;
        person.stay = self.stays;
        let told = |person| Update::Within(id, News::Voice(voice(id, user, person)));
        vec![told(None), told(Some(*person))]
    }

    /// Somebody mutes or unmutes themselves.
    pub fn mute(&mut self, guild: u8, user: u8, muted: bool) -> Vec<Update> {
        let (id, user) = (guild_id(guild), user_id(user));
        let Some(person) = self.guilds[usize::from(guild)].people.get_mut(&user) else { return Vec::new() };
        person.look.muted = muted;
        vec![Update::Within(id, News::Voice(voice(id, user, Some(*person))))]
    }

    /// Somebody in voice takes another name.
    pub fn rename(&mut self, guild: u8, user: u8, name: u8) -> Vec<Update> {
        let (id, user) = (guild_id(guild), user_id(user));
        let Some(person) = self.guilds[usize::from(guild)].people.get_mut(&user) else { return Vec::new() };
        person.look.name = name;
        vec![Update::Within(id, News::Member(user, profile(user, name)))]
    }

    /// Somebody leaves the guild itself.
    pub fn kick(&mut self, guild: u8, user: u8) -> Vec<Update> {
        let (id, user) = (guild_id(guild), user_id(user));
        self.guilds[usize::from(guild)].people.remove(&user);
        vec![Update::Within(id, News::MemberLeft(user))]
    }

    /// What a guild is called.
    pub fn name(&self, guild: u8) -> String {
        format!("guild {guild}, name {}", self.guilds[usize::from(guild)].renames % 3)
    }

    /// A guild takes another name.
    pub fn rename_guild(&mut self, guild: u8) -> Vec<Update> {
        self.guilds[usize::from(guild)].renames += 1;
        vec![Update::GuildChanged { guild: guild_id(guild), name: self.name(guild), bitrate_limit: None }]
    }

    /// The whole of a guild as it is now, as Discord describes it.
    pub fn described(&self, guild: u8) -> Update {
        let (id, it) = (guild_id(guild), &self.guilds[usize::from(guild)]);
        if it.outage {
            return Update::GuildUnavailable(id);
        }
        Update::Guild(GuildSnapshot {
            guild: id,
            name: self.name(guild),
            bitrate_limit: None,
            rooms: it.rooms.iter().map(|(room, name)| facts(id, *room, name)).collect(),
            voice_states: it.people.iter().map(|(user, person)| voice(id, *user, Some(*person))).collect(),
        })
    }
}
