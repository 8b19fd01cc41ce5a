//! A second, simple reading of the event stream: a client that folds changes and objects to every one that breaks a rule.

use std::collections::BTreeMap;

use parlor_gateway::{Change, ChangeBody, Directory, GuildId, RoomId, Touched};
use parlor_proto::v1::{self, room::State, voice_event::Kind};

/// Rooms and people as the changes tell them.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// Name, and whether it is available.
    guilds: BTreeMap<GuildId, (String, bool)>,
    rooms: BTreeMap<(GuildId, String), v1::Room>,
    /// By user: somebody is in at most one room of a guild.
    people: BTreeMap<(GuildId, String), v1::Participant>,
}

impl Fold {
    /// Folds one change in. Panics where it does not fit what was told before.
    pub(crate) fn fold(&mut self, change: &Change) {
        let event = match &change.body {
            ChangeBody::Event(event) => event,
            ChangeBody::Discontinuity(entry) => {
                assert_eq!(entry.guild_id, change.guild.to_string());
                let moment = |at: &Option<prost_types::Timestamp>| at.map(|at| (at.seconds, at.nanos)).expect("a time");
                assert!(moment(&entry.from) <= moment(&entry.to), "a gap that ends before it begins: {entry:?}");
                return;
            }
        };
        assert_eq!(event.guild_id, change.guild.to_string(), "another guild inside than outside");
        let kind = event.kind.as_ref().expect("an event of no kind");
        self.apply(change.guild, kind);
        assert_eq!(change.rooms, touched(kind), "filters would hide {kind:?}");
    }

    fn apply(&mut self, guild: GuildId, kind: &Kind) {
        match kind {
            Kind::RoomCreated(it) => {
                let room = of_guild(guild, it.room.as_ref());
                assert_eq!(room.state(), State::Active);
                assert!(self.guilds.contains_key(&guild), "a room of a guild that was not told of");
                let before = self.rooms.insert((guild, room.room_id.clone()), room.clone());
                assert_eq!(before, None, "created a second time");
            }
            Kind::RoomUpdated(it) => {
                let room = of_guild(guild, it.room.as_ref());
                let before = self.rooms.insert((guild, room.room_id.clone()), room.clone());
                let before = before.expect("updated before it was created");
                assert_ne!(uncounted(before), uncounted(room.clone()), "an update that changes nothing");
            }
            Kind::RoomEnded(it) => {
                let room = of_guild(guild, it.room.as_ref());
                assert!(room.state() == State::Ended && room.ended_at.is_some(), "{room:?}");
                self.rooms.remove(&(guild, room.room_id.clone())).expect("ended before it was created");
                let inside = self.people.range((guild, String::new())..).take_while(|((of, _), _)| *of == guild);
                let left_behind = inside.filter(|(_, person)| person.room_id == room.room_id).count();
                assert_eq!(left_behind, 0, "ended before everybody had left");
            }
            Kind::ParticipantJoined(it) => {
                let person = self.somebody(guild, it.participant.as_ref());
                let before = self.people.insert((guild, person.user_id.clone()), person);
                assert_eq!(before, None, "joined while in a room");
            }
            Kind::ParticipantLeft(it) => {
                let person = self.somebody(guild, it.participant.as_ref());
                let before = self.people.remove(&(guild, person.user_id)).expect("left without having joined");
                assert_eq!(before.room_id, person.room_id, "left another room");
            }
            Kind::ParticipantMoved(it) => {
                let person = self.somebody(guild, it.participant.as_ref());
                let to = person.room_id.clone();
                let before = self.people.insert((guild, person.user_id.clone()), person);
                let before = before.expect("moved without having joined");
                assert_eq!(before.room_id, it.from_room_id, "moved out of another room");
                assert_ne!(before.room_id, to, "moved to where they were");
            }
            Kind::ParticipantUpdated(it) => {
                let person = self.somebody(guild, it.participant.as_ref());
                let before = self.people.insert((guild, person.user_id.clone()), person.clone());
                let before = before.expect("updated without having joined");
                assert_eq!(before.room_id, person.room_id, "an update that moves");
                assert_ne!(before, person, "an update that changes nothing");
            }
            Kind::GuildUpdated(it) => {
                let shown = it.guild.as_ref().expect("an event about no guild");
                assert_eq!(shown.guild_id, guild.to_string());
                if it.left {
                    self.guilds.remove(&guild).expect("left before it came");
                    assert!(self.rooms.keys().all(|(of, _)| *of != guild), "left before its rooms had ended");
                } else {
                    let now = (shown.display_name.clone(), shown.available);
                    let before = self.guilds.insert(guild, now.clone());
                    assert_ne!(before, Some(now), "an update that changes nothing");
                }
            }
        }
    }

    /// The participant of an event: of this guild, and in a room that is there.
    fn somebody(&self, guild: GuildId, participant: Option<&v1::Participant>) -> v1::Participant {
        let participant = participant.expect("an event about nobody");
        assert_eq!(participant.guild_id, guild.to_string());
        let room = (guild, participant.room_id.clone());
        assert!(self.rooms.contains_key(&room), "in room {} that is not there", participant.room_id);
        participant.clone()
    }

    /// Panics where the changes told another picture than the directory holds.
    pub(crate) fn agrees_with(&self, directory: &Directory) {
        let mut rooms = BTreeMap::new();
        let mut people = BTreeMap::new();
        let mut guilds = BTreeMap::new();
        for (id, guild) in directory.snapshot().guilds {
            let shown = guild.to_proto();
            guilds.insert(id, (shown.display_name, shown.available));
            let live = guild.room_ids().map(|room| guild.room(room).expect("a room that is listed is there"));
            rooms.extend(live.map(|room| ((id, room.room_id.clone()), uncounted(room))));
            people.extend(guild.participants().map(|(_, user, shown)| ((id, user.to_string()), shown)));
        }
        let told: BTreeMap<_, _> =
            self.rooms.iter().map(|(key, room)| (key.clone(), uncounted(room.clone()))).collect();
        assert_eq!(self.guilds, guilds, "guilds were told otherwise than they are");
        assert_eq!(told, rooms, "rooms were told otherwise than they are");
        assert_eq!(self.people, people, "people were told otherwise than they are");
    }
}

fn of_guild(guild: GuildId, room: Option<&v1::Room>) -> &v1::Room {
    let room = room.expect("an event about no room");
    assert_eq!(room.guild_id, guild.to_string());
    room
}

/// Who comes and goes is told by events of their own, not by the room's.
fn uncounted(room: v1::Room) -> v1::Room {
    v1::Room { participant_count: 0, ..room }
}

/// The rooms that an event is about.
fn touched(kind: &Kind) -> Touched {
    let id = |room: &str| RoomId::new(room.parse().expect("an id"));
    let room = |room: &Option<v1::Room>| Touched::One(id(&room.as_ref().expect("a room").room_id));
    let place = |person: &Option<v1::Participant>| id(&person.as_ref().expect("somebody").room_id);
    match kind {
        Kind::RoomCreated(it) => room(&it.room),
        Kind::RoomUpdated(it) => room(&it.room),
        Kind::RoomEnded(it) => room(&it.room),
        Kind::ParticipantJoined(it) => Touched::One(place(&it.participant)),
        Kind::ParticipantLeft(it) => Touched::One(place(&it.participant)),
        Kind::ParticipantMoved(it) => Touched::Both { from: id(&it.from_room_id), to: place(&it.participant) },
        Kind::ParticipantUpdated(it) => Touched::One(place(&it.participant)),
        Kind::GuildUpdated(_) => Touched::All,
    }
}
