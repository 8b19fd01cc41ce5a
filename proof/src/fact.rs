//! What an event says, in few words; and the picture that somebody holds who believes every one of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use parlor_gateway::{GuildId, RoomId, UserId};
use parlor_proto::v1::{self, VoiceEventKind, subscribe_voice_events_response::Body, voice_event::Kind};

use crate::Broken;

/// A room as it is shown.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Room {
    /// Its guild.
    pub guild: GuildId,
    /// Its name.
    pub name: String,
    /// Whether Parlor made it.
    pub managed: bool,
}

/// Somebody as they are shown.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Seen {
    /// Where they are.
    pub room: RoomId,
    /// Whether they have muted themselves.
    pub muted: bool,
    /// What they are called.
    pub name: String,
    /// Since when, in seconds; 0 where that is not compared.
    pub joined_at: i64,
}

/// What a guild itself shows: its name, and whether it is available.
pub type Face = (String, bool);

/// Somebody in a guild.
pub type Who = (GuildId, UserId);

/// When something may have happened unseen, in seconds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Window {
    /// From then,
    pub from: i64,
    /// until then.
    pub to: i64,
}

/// One entry of the log.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the names are those of the contract")]
pub enum Fact {
    Created(RoomId, Room),
    Updated(RoomId, Room),
    Ended(GuildId, RoomId, v1::room_ended::Reason),
    Joined(Who, Seen),
    Left(Who, RoomId),
    Moved(Who, RoomId, Seen),
    Changed(Who, Seen),
    /// How a guild is now; `None` where it is gone.
    Guild(GuildId, Option<Face>),
    Gap(GuildId, v1::discontinuity::Reason, Window),
}

impl Fact {
    /// Reads what an entry says.
    ///
    /// # Errors
    /// Where it says something that the contract does not know.
    pub fn read(body: Option<&Body>) -> Result<Self, Broken> {
        let odd = || Broken::new("an entry that says nothing of what the contract knows");
        match body.ok_or_else(odd)? {
            Body::Discontinuity(gap) => {
                let seconds = |stamp: Option<prost_types::Timestamp>| stamp.map_or(0, |stamp| stamp.seconds);
                let window = Window { from: seconds(gap.from), to: seconds(gap.to) };
                Ok(Self::Gap(id(&gap.guild_id)?, gap.reason(), window))
            }
            Body::Event(event) => {
                let fact = match event.kind.as_ref().ok_or_else(odd)? {
                    Kind::RoomCreated(it) => room(it.room.as_ref()).map(|(id, room)| Self::Created(id, room))?,
                    Kind::RoomUpdated(it) => room(it.room.as_ref()).map(|(id, room)| Self::Updated(id, room))?,
                    Kind::RoomEnded(it) => {
                        room(it.room.as_ref()).map(|(id, room)| Self::Ended(room.guild, id, it.reason()))?
                    }
                    Kind::ParticipantJoined(it) => {
                        seen(it.participant.as_ref()).map(|(who, seen)| Self::Joined(who, seen))?
                    }
                    Kind::ParticipantLeft(it) => {
                        seen(it.participant.as_ref()).map(|(who, seen)| Self::Left(who, seen.room))?
                    }
                    Kind::ParticipantMoved(it) => {
                        let (who, seen) = seen(it.participant.as_ref())?;
                        Self::Moved(who, id(&it.from_room_id)?, seen)
                    }
                    Kind::ParticipantUpdated(it) => {
                        seen(it.participant.as_ref()).map(|(who, seen)| Self::Changed(who, seen))?
                    }
                    Kind::GuildUpdated(it) => {
                        let (id, face) = guild(it.guild.as_ref().ok_or_else(odd)?)?;
                        Self::Guild(id, Some(face).filter(|_| !it.left))
                    }
                };
                if id::<GuildId>(&event.guild_id)? == fact.guild() { Ok(fact) } else { Err(odd()) }
            }
            Body::Hello(_)
            | Body::SnapshotBegin(_)
            | Body::SnapshotItems(_)
            | Body::SnapshotEnd(_)
            | Body::Bookmark(_)
            | Body::Reset(_)
            | Body::Draining(_) => Err(odd()),
        }
    }

    /// The guild that it happened in.
    pub fn guild(&self) -> GuildId {
        match self {
            Self::Created(_, room) | Self::Updated(_, room) => room.guild,
            Self::Ended(guild, ..) | Self::Gap(guild, ..) | Self::Guild(guild, _) => *guild,
            Self::Joined((guild, _), _)
            | Self::Left((guild, _), _)
            | Self::Moved((guild, _), ..)
            | Self::Changed((guild, _), _) => *guild,
        }
    }

    /// The rooms that it touches; none for all of the guild.
    pub fn rooms(&self) -> Vec<RoomId> {
        match self {
            Self::Created(room, _) | Self::Updated(room, _) | Self::Ended(_, room, _) | Self::Left(_, room) => {
                vec![*room]
            }
            Self::Joined(_, seen) | Self::Changed(_, seen) => vec![seen.room],
            Self::Moved(_, from, seen) => vec![*from, seen.room],
            Self::Gap(..) | Self::Guild(..) => Vec::new(),
        }
    }

    /// The kind that a filter may ask for; `None` for what no such filter hides.
    pub fn kind(&self) -> Option<VoiceEventKind> {
        match self {
            Self::Created(..) => Some(VoiceEventKind::RoomCreated),
            Self::Updated(..) => Some(VoiceEventKind::RoomUpdated),
            Self::Ended(..) => Some(VoiceEventKind::RoomEnded),
            Self::Joined(..) => Some(VoiceEventKind::ParticipantJoined),
            Self::Left(..) => Some(VoiceEventKind::ParticipantLeft),
            Self::Moved(..) => Some(VoiceEventKind::ParticipantMoved),
            Self::Changed(..) => Some(VoiceEventKind::ParticipantUpdated),
            Self::Guild(..) => Some(VoiceEventKind::GuildUpdated),
            Self::Gap(..) => None,
        }
    }

    /// Without the time, which the reference does not predict.
    #[must_use]
    pub fn timeless(mut self) -> Self {
        match &mut self {
            Self::Joined(_, seen) | Self::Moved(_, _, seen) | Self::Changed(_, seen) => seen.joined_at = 0,
            Self::Created(..)
            | Self::Updated(..)
            | Self::Ended(..)
            | Self::Left(..)
            | Self::Guild(..)
            | Self::Gap(..) => {}
        }
        self
    }
}

/// Who is in which room.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Picture {
    /// The guilds.
    pub guilds: BTreeMap<GuildId, Face>,
    /// The rooms that have not ended.
    pub rooms: BTreeMap<RoomId, Room>,
    /// Everybody in a room.
    pub people: BTreeMap<Who, Seen>,
}

impl Picture {
    /// Believes a fact. `strict`: it must fit what is held, as it does for somebody who hears of everything.
    ///
    /// # Errors
    /// Where it does not fit.
    pub fn fold(&mut self, fact: &Fact, strict: bool) -> Result<(), Broken> {
        let fits = match fact {
            Fact::Created(id, room) => {
                self.rooms.insert(*id, room.clone()).is_none() && self.guilds.contains_key(&room.guild)
            }
            Fact::Updated(id, room) => self.rooms.insert(*id, room.clone()).is_some(),
            Fact::Ended(_, id, _) => {
                self.rooms.remove(id).is_some() && self.people.values().all(|seen| seen.room != *id)
            }
            Fact::Joined(who, seen) => {
                self.people.insert(*who, seen.clone()).is_none() && self.rooms.contains_key(&seen.room)
            }
            Fact::Left(who, room) => self.people.remove(who).is_some_and(|seen| seen.room == *room),
            Fact::Moved(who, from, seen) => {
                self.people.insert(*who, seen.clone()).is_some_and(|before| before.room == *from)
                    && self.rooms.contains_key(&seen.room)
                    && *from != seen.room
            }
            Fact::Changed(who, seen) => {
                let before = self.people.insert(*who, seen.clone());
                before.is_some_and(|before| before.room == seen.room && before != *seen)
            }
            Fact::Guild(id, Some(face)) => self.guilds.insert(*id, face.clone()).as_ref() != Some(face),
            Fact::Guild(id, None) => {
                self.guilds.remove(id).is_some() && self.rooms.values().all(|room| room.guild != *id)
            }
            Fact::Gap(..) => true,
        };
        if fits || !strict { Ok(()) } else { Err(Broken::new(format!("{fact:?} does not fit what was told before"))) }
    }

    /// Puts in what a part of a snapshot holds. Ended rooms are returned.
    ///
    /// # Errors
    /// Where something comes twice, or somebody is in a room that is not there.
    pub fn put(&mut self, items: &v1::SnapshotItems) -> Result<BTreeSet<RoomId>, Broken> {
        let mut ended = BTreeSet::new();
        for shown in &items.guilds {
            let (id, face) = guild(shown)?;
            self.guilds.insert(id, face);
        }
        for shown in &items.rooms {
            let (id, it) = room(Some(shown))?;
            let fresh = match shown.state() {
                v1::room::State::Ended => ended.insert(id),
                v1::room::State::Active
                | v1::room::State::Creating
                | v1::room::State::Ending
                | v1::room::State::Unspecified => self.rooms.insert(id, it).is_none(),
            };
            if !fresh {
                return Err(Broken::new(format!("room {id} is in the snapshot twice")));
            }
        }
        for shown in &items.participants {
            let (who, it) = seen(Some(shown))?;
            if !self.rooms.contains_key(&it.room) || self.people.insert(who, it).is_some() {
                return Err(Broken::new(format!("{who:?} is in the snapshot twice, or in a room that is not there")));
            }
        }
        Ok(ended)
    }

    /// What somebody may see of it who hears of these guilds and rooms.
    #[must_use]
    pub fn only(&self, guild: impl Fn(GuildId) -> bool, room: impl Fn(RoomId) -> bool) -> Self {
        let guilds = self.guilds.iter().filter(|(id, _)| guild(**id));
        let rooms = self.rooms.iter().filter(|(id, it)| guild(it.guild) && room(**id));
        let people = self.people.iter().filter(|((id, _), it)| guild(*id) && room(it.room));
        Self {
            guilds: guilds.map(|(id, it)| (*id, it.clone())).collect(),
            rooms: rooms.map(|(id, it)| (*id, it.clone())).collect(),
            people: people.map(|(who, it)| (*who, it.clone())).collect(),
        }
    }

    /// Without times.
    #[must_use]
    pub fn timeless(mut self) -> Self {
        self.people.values_mut().for_each(|seen| seen.joined_at = 0);
        self
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, (name, available)) in &self.guilds {
            write!(f, "({id} {name}{}) ", if *available { "" } else { " away" })?;
        }
        for (id, room) in &self.rooms {
            write!(f, "[{id} {}{}] ", room.name, if room.managed { " ours" } else { "" })?;
        }
        for ((guild, user), seen) in &self.people {
            write!(f, "{guild}/{user}→{}{}@{} ", seen.room, if seen.muted { " muted" } else { "" }, seen.joined_at)?;
        }
        Ok(())
    }
}

fn id<T: FromStr>(text: &str) -> Result<T, Broken> {
    text.parse().map_err(|_| Broken::new(format!("`{text}` is not an id")))
}

fn guild(shown: &v1::Guild) -> Result<(GuildId, Face), Broken> {
    Ok((id(&shown.guild_id)?, (shown.display_name.clone(), shown.available)))
}

fn room(shown: Option<&v1::Room>) -> Result<(RoomId, Room), Broken> {
    let shown = shown.ok_or_else(|| Broken::new("a room is missing"))?;
    let room = Room { guild: id(&shown.guild_id)?, name: shown.display_name.clone(), managed: shown.managed };
    Ok((id(&shown.room_id)?, room))
}

fn seen(shown: Option<&v1::Participant>) -> Result<(Who, Seen), Broken> {
    let shown = shown.ok_or_else(|| Broken::new("a participant is missing"))?;
    let seen = Seen {
        room: id(&shown.room_id)?,
        muted: shown.self_mute,
        name: shown.display_name.clone(),
        joined_at: shown.joined_at.map_or(0, |at| at.seconds),
    };
    Ok(((id(&shown.guild_id)?, id(&shown.user_id)?), seen))
}
