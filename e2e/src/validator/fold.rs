//! Who is in which room, folded from frames. Written anew rather than taken from the client: one mistake cannot hide in both.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use discord_emulator::{Availability, Presence, RoomFace, World};
use parlor_client::v1::{self, room::State, subscribe_voice_events_response::Body, voice_event::Kind};

use super::recording::{Frame, Sight};

/// Guilds and rooms by id, and people by guild and user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    /// By id: the name, and whether it is available.
    pub(super) guilds: BTreeMap<String, (String, bool)>,
    pub(super) rooms: BTreeMap<String, v1::Room>,
    pub(super) people: BTreeMap<(String, String), v1::Participant>,
}

/// What can be said of a room or of somebody from both sides: how it stands, in one line.
pub type Face = String;

/// What a [`Face`] is of.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Subject {
    /// A room.
    Room {
        /// Its guild.
        guild: String,
        /// Its id.
        room: String,
    },
    /// Somebody in a guild's voice.
    Person {
        /// The guild.
        guild: String,
        /// Their id.
        user: String,
    },
}

impl Subject {
    /// The guild that it belongs to.
    pub fn guild(&self) -> &str {
        match self {
            Self::Room { guild, .. } | Self::Person { guild, .. } => guild,
        }
    }
}

impl Fold {
    /// Puts in what a part of a snapshot holds.
    pub fn put_items(&mut self, items: &v1::SnapshotItems) {
        items.guilds.iter().for_each(|guild| self.put_guild(guild));
        items.rooms.iter().for_each(|room| self.put_room(room));
        for participant in &items.participants {
            self.people.insert(key(participant), participant.clone());
        }
    }

    /// Takes in whatever a frame says. What contradicts itself is found by the judge.
    pub fn take(&mut self, frame: &Frame) {
        match &frame.body {
            Some(Body::Reset(_) | Body::SnapshotBegin(_)) => *self = Self::default(),
            Some(Body::SnapshotItems(items)) => self.put_items(items),
            Some(Body::Event(event)) => drop(self.apply(event)),
            Some(
                Body::Hello(_) | Body::SnapshotEnd(_) | Body::Bookmark(_) | Body::Discontinuity(_) | Body::Draining(_),
            )
            | None => {}
        }
    }

    /// Applies an event. What contradicts what is held is given back in words; the event counts all the same.
    pub fn apply(&mut self, event: &v1::VoiceEvent) -> Result<(), String> {
        match event.kind.as_ref().ok_or("an event without a kind")? {
            Kind::RoomCreated(it) => {
                let room = it.room.as_ref().ok_or("no room")?;
                let known = self.rooms.contains_key(&room.room_id);
                self.put_room(room);
                (!known).then_some(()).ok_or_else(|| format!("room {} is created twice", room.room_id))
            }
            Kind::RoomUpdated(it) => {
                let room = it.room.as_ref().ok_or("no room")?;
                let known = self.rooms.contains_key(&room.room_id);
                self.put_room(room);
                known.then_some(()).ok_or_else(|| format!("room {} changes and does not exist", room.room_id))
            }
            Kind::RoomEnded(it) => {
                let room = it.room.as_ref().ok_or("no room")?;
                let inside = self.people.values().any(|each| each.room_id == room.room_id);
                let known = self.rooms.remove(&room.room_id).is_some();
                if inside {
                    return Err(format!("room {} ends with somebody in it", room.room_id));
                }
                known.then_some(()).ok_or_else(|| format!("room {} ends and does not exist", room.room_id))
            }
            Kind::ParticipantJoined(it) => self.enter(it.participant.as_ref(), None),
            Kind::ParticipantMoved(it) => self.enter(it.participant.as_ref(), Some(&it.from_room_id)),
            Kind::ParticipantUpdated(it) => {
                let room = it.participant.as_ref().map(|participant| participant.room_id.clone()).unwrap_or_default();
                self.enter(it.participant.as_ref(), Some(&room))
            }
            Kind::GuildUpdated(it) => {
                let guild = it.guild.as_ref().ok_or("no guild")?;
                let id = &guild.guild_id;
                if it.left {
                    let known = self.guilds.remove(id).is_some();
                    return known.then_some(()).ok_or_else(|| format!("guild {id} is left and was never told of"));
                }
                let changes = self.guilds.get(id) != Some(&(guild.display_name.clone(), guild.available));
                self.put_guild(guild);
                changes.then_some(()).ok_or_else(|| format!("guild {id} changes to what it was"))
            }
            Kind::ParticipantLeft(it) => {
                let participant = it.participant.as_ref().ok_or("no participant")?;
                let was = self.people.remove(&key(participant)).map(|known| known.room_id);
                (was.as_deref() == Some(&participant.room_id))
                    .then_some(())
                    .ok_or_else(|| format!("{} leaves {} and was in {was:?}", participant.user_id, participant.room_id))
            }
        }
    }

    /// Somebody is somewhere now, who was in `from` before.
    fn enter(&mut self, participant: Option<&v1::Participant>, from: Option<&str>) -> Result<(), String> {
        let participant = participant.ok_or("no participant")?;
        let was = self.people.insert(key(participant), participant.clone()).map(|known| known.room_id);
        let (user, room) = (&participant.user_id, &participant.room_id);
        if was.as_deref() != from {
            return Err(format!("{user} comes to {room} from {from:?} and was in {was:?}"));
        }
        self.rooms.contains_key(room).then_some(()).ok_or_else(|| format!("{user} is in {room}, which does not exist"))
    }

    fn put_guild(&mut self, guild: &v1::Guild) {
        // How many rooms there are is told by the rooms themselves.
        self.guilds.insert(guild.guild_id.clone(), (guild.display_name.clone(), guild.available));
    }

    fn put_room(&mut self, room: &v1::Room) {
        if room.state() == State::Ended {
            self.rooms.remove(&room.room_id);
        } else {
            // How many are inside is told by the people themselves, and that an end is under way is no event.
            let mut known = v1::Room { participant_count: 0, ..room.clone() };
            known.set_state(State::Active);
            self.rooms.insert(room.room_id.clone(), known);
        }
    }

    /// What somebody sees of it who sees so much.
    #[must_use]
    pub fn seen_by(&self, sight: &Sight) -> Self {
        let guilds = self.guilds.iter().filter(|(id, _)| sight.guild(id));
        let rooms = self.rooms.iter().filter(|(id, room)| sight.guild(&room.guild_id) && sight.room(id));
        let people = self.people.iter().filter(|((guild, _), each)| sight.guild(guild) && sight.room(&each.room_id));
        Self {
            guilds: guilds.map(|(id, face)| (id.clone(), face.clone())).collect(),
            rooms: rooms.map(|(id, room)| (id.clone(), room.clone())).collect(),
            people: people.map(|(key, each)| (key.clone(), each.clone())).collect(),
        }
    }

    /// How one thing stands; `None` = it is not there.
    pub(super) fn face(&self, subject: &Subject) -> Option<Face> {
        match subject {
            Subject::Room { room, .. } => self.rooms.get(room).map(shown),
            Subject::Person { guild, user } => self.people.get(&(guild.clone(), user.clone())).map(standing),
        }
    }

    /// How everything stands.
    pub fn faces(&self) -> BTreeMap<Subject, Face> {
        let rooms = self
            .rooms
            .values()
            .map(|room| (Subject::Room { guild: room.guild_id.clone(), room: room.room_id.clone() }, shown(room)));
        let people = self.people.iter().map(|((guild, user), each)| {
            (Subject::Person { guild: guild.clone(), user: user.clone() }, standing(each))
        });
        rooms.chain(people).collect()
    }

    /// The digest as `SnapshotEnd.digest` defines it.
    pub fn digest(&self) -> String {
        let rooms = self.rooms.keys().map(|room| format!("room/{room}"));
        let people = self.people.iter().map(|((_, user), each)| format!("participant/{}/{user}", each.room_id));
        let mixed = rooms.chain(people).fold(0_u64, |mixed, item| {
            let hash = digest(&SHA256, item.as_bytes());
            mixed ^ u64::from_be_bytes(hash.as_ref()[..8].try_into().expect("a SHA-256 has 32 bytes"))
        });
        format!("{mixed:016x}")
    }
}

/// How everything stands in the emulated Discord. Guilds in an outage are left out: nobody is told of them.
pub fn truth(world: &World) -> BTreeMap<Subject, Face> {
    let mut faces = BTreeMap::new();
    for guild in world.guilds().filter(|guild| guild.availability == Availability::Available) {
        let id = guild.id.to_string();
        for channel in guild.channels.values() {
            if let Some(face) = channel.face() {
                let subject = Subject::Room { guild: id.clone(), room: channel.id.to_string() };
                faces.insert(subject, of_room(&face));
            }
        }
        for user in guild.voice_states.keys() {
            if let Some(presence) = world.presence(guild.id, *user) {
                let subject = Subject::Person { guild: id.clone(), user: user.to_string() };
                faces.insert(subject, of_presence(&presence));
            }
        }
    }
    faces
}

/// The part of the truth that somebody sees. People are told of with the rooms that they are in.
pub fn seen(truth: &BTreeMap<Subject, Face>, sight: &Sight) -> BTreeMap<Subject, Face> {
    let rooms: BTreeSet<&str> = sight.rooms.iter().map(String::as_str).collect();
    let visible = |subject: &Subject, face: &Face| match subject {
        Subject::Room { guild, room } => sight.guild(guild) && sight.room(room),
        Subject::Person { guild, .. } => {
            let room = face.split(' ').next().unwrap_or_default();
            sight.guild(guild) && (rooms.is_empty() || rooms.contains(room))
        }
    };
    truth.iter().filter(|(subject, face)| visible(subject, face)).map(|(s, f)| (s.clone(), f.clone())).collect()
}

fn shown(room: &v1::Room) -> Face {
    room_face(&room.display_name, room.user_limit.cast_unsigned(), room.bitrate_bps.cast_unsigned())
}

fn standing(each: &v1::Participant) -> Face {
    let own = [each.mute, each.deaf, each.self_mute, each.self_deaf, each.camera, each.stream, each.suppress];
    person_face(&each.room_id, own)
}

/// A room of the emulated Discord, in a line.
pub(super) fn of_room(face: &RoomFace) -> Face {
    room_face(&face.name, face.user_limit, face.bitrate)
}

/// Somebody in the emulated Discord, in a line.
pub(super) fn of_presence(now: &Presence) -> Face {
    let own = [now.mute, now.deaf, now.self_mute, now.self_deaf, now.self_video, now.self_stream, now.suppress];
    person_face(&now.room.to_string(), own)
}

fn room_face(name: &str, limit: u32, bitrate: u32) -> Face {
    format!("{limit} {bitrate} {name}")
}

fn person_face(room: &str, switches: [bool; 7]) -> Face {
    let switches: String = switches.iter().map(|on| if *on { '1' } else { '0' }).collect();
    format!("{room} {switches}")
}

fn key(participant: &v1::Participant) -> (String, String) {
    (participant.guild_id.clone(), participant.user_id.clone())
}
