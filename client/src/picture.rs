//! Who is in which room, folded from the frames of a subscription.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parlor_proto::v1::{
    self, SubscribeVoiceEventsResponse, room::State, subscribe_voice_events_response::Body, voice_event::Kind,
};
use thiserror::Error;

/// The stream skipped something: subscribe again with [`Picture::cursor`].
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the stream went on from {found} where this client is at {expected}")]
pub struct BrokenChain {
    /// The position that this client holds.
    pub expected: u64,
    /// The position that the frame follows.
    pub found: u64,
}

/// Who is in which room. Fold every frame into it, in order, and it is the truth as of its [`cursor`](Self::cursor).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    guilds: BTreeMap<String, v1::Guild>,
    rooms: BTreeMap<String, v1::Room>,
    /// By guild and user: somebody is in at most one room of a guild.
    participants: BTreeMap<(String, String), v1::Participant>,
    cursor: String,
    sequence: Option<u64>,
    in_snapshot: bool,
    /// The rooms that the subscription asked for; empty for all.
    asked: Arc<BTreeSet<String>>,
}

impl Picture {
    /// An empty picture, to be folded from a subscription that asks for these rooms alone. Whoever leaves them is out of
    /// the picture: where they go on to is not told.
    pub fn of_rooms(rooms: impl IntoIterator<Item = String>) -> Self {
        Self { asked: Arc::new(rooms.into_iter().collect()), ..Self::default() }
    }

    /// The next frame has to follow this position.
    pub(crate) fn after(self, sequence: Option<u64>) -> Self {
        Self { sequence, ..self }
    }

    /// Folds a frame in, after checking that nothing is missing before it.
    pub fn fold(&mut self, frame: &SubscribeVoiceEventsResponse) -> Result<(), BrokenChain> {
        let marks_position = !frame.cursor.is_empty();
        if let (true, false, Some(expected)) = (marks_position, self.in_snapshot, self.sequence)
            && frame.prev_sequence != expected
        {
            return Err(BrokenChain { expected, found: frame.prev_sequence });
        }
        match &frame.body {
            Some(Body::SnapshotBegin(_)) => {
                *self = Self { in_snapshot: true, asked: Arc::clone(&self.asked), ..Self::default() };
            }
            Some(Body::SnapshotItems(items)) => {
                self.guilds.extend(items.guilds.iter().map(|guild| (guild.guild_id.clone(), guild.clone())));
                items.rooms.iter().for_each(|room| self.put_room(room));
                items.participants.iter().for_each(|participant| self.put_participant(participant));
            }
            Some(Body::SnapshotEnd(_)) => self.in_snapshot = false,
            Some(Body::Event(event)) => {
                if let Some(kind) = &event.kind {
                    self.apply(kind);
                }
            }
            // A newer server may say what this client was not built for; it has its place in the chain all the same.
            None => {}
            Some(Body::Hello(_) | Body::Bookmark(_) | Body::Reset(_) | Body::Discontinuity(_) | Body::Draining(_)) => {}
        }
        if marks_position {
            self.cursor.clone_from(&frame.cursor);
            self.sequence = Some(frame.sequence);
        }
        Ok(())
    }

    /// Whether a snapshot is still under way, so that what is known is not whole.
    pub fn is_partial(&self) -> bool {
        self.in_snapshot || self.sequence.is_none()
    }

    /// Where to continue from: give it to the next subscription. Empty before the first whole snapshot.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The number of the position; `None` before the first whole snapshot.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// The guilds, by id.
    pub fn guilds(&self) -> impl Iterator<Item = &v1::Guild> {
        self.guilds.values()
    }

    /// The rooms that have not ended, by id.
    pub fn rooms(&self) -> impl Iterator<Item = &v1::Room> {
        self.rooms.values()
    }

    /// Who is in a room, by user id.
    pub fn participants(&self, room_id: &str) -> impl Iterator<Item = &v1::Participant> {
        self.participants.values().filter(move |participant| participant.room_id == room_id)
    }

    fn apply(&mut self, kind: &Kind) {
        match kind {
            Kind::RoomCreated(v1::RoomCreated { room: Some(room) })
            | Kind::RoomUpdated(v1::RoomUpdated { room: Some(room) })
            | Kind::RoomEnded(v1::RoomEnded { room: Some(room), .. }) => self.put_room(room),
            Kind::ParticipantJoined(v1::ParticipantJoined { participant: Some(participant) })
            | Kind::ParticipantMoved(v1::ParticipantMoved { participant: Some(participant), .. })
            | Kind::ParticipantUpdated(v1::ParticipantUpdated { participant: Some(participant) }) => {
                self.put_participant(participant);
            }
            Kind::ParticipantLeft(v1::ParticipantLeft { participant: Some(participant) }) => {
                self.participants.remove(&key(participant));
            }
            Kind::GuildUpdated(v1::GuildUpdated { guild: Some(guild), left }) => {
                if *left {
                    self.guilds.remove(&guild.guild_id);
                } else {
                    self.guilds.insert(guild.guild_id.clone(), guild.clone());
                }
            }
            // A server that leaves out what an event is about is not one of ours.
            Kind::RoomCreated(_)
            | Kind::RoomUpdated(_)
            | Kind::RoomEnded(_)
            | Kind::ParticipantJoined(_)
            | Kind::ParticipantMoved(_)
            | Kind::ParticipantUpdated(_)
            | Kind::ParticipantLeft(_)
            | Kind::GuildUpdated(_) => {}
        }
    }

    fn put_room(&mut self, room: &v1::Room) {
        if room.state() == State::Ended {
            self.rooms.remove(&room.room_id);
        } else {
            self.rooms.insert(room.room_id.clone(), room.clone());
        }
    }

    fn put_participant(&mut self, participant: &v1::Participant) {
        if !self.asked.is_empty() && !self.asked.contains(&participant.room_id) {
            // Gone to where this subscription does not look; nobody would say when they leave from there.
            self.participants.remove(&key(participant));
            return;
        }
        self.participants.insert(key(participant), participant.clone());
    }
}

fn key(participant: &v1::Participant) -> (String, String) {
    (participant.guild_id.clone(), participant.user_id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(prev: u64, sequence: u64, body: Body) -> SubscribeVoiceEventsResponse {
        let cursor = format!("cursor {sequence}");
        SubscribeVoiceEventsResponse { cursor, sequence, prev_sequence: prev, body: Some(body) }
    }

    fn joined(user: &str, room: &str) -> Body {
        let participant =
            v1::Participant { user_id: user.into(), room_id: room.into(), guild_id: "g".into(), ..Default::default() };
        let kind = Kind::ParticipantJoined(v1::ParticipantJoined { participant: Some(participant) });
        Body::Event(v1::VoiceEvent { kind: Some(kind), ..Default::default() })
    }

    #[test]
    fn a_frame_that_does_not_follow_is_refused_and_changes_nothing() {
        let mut picture = Picture::default();
        picture.fold(&at(4, 4, Body::Bookmark(v1::Bookmark::default()))).expect("the first");
        picture.fold(&at(4, 7, joined("ann", "lobby"))).expect("what lies between was not for us");
        let before = picture.clone();
        let broken = picture.fold(&at(8, 9, joined("bob", "lobby")));
        assert_eq!(broken, Err(BrokenChain { expected: 7, found: 8 }));
        assert_eq!(picture, before);
        assert_eq!(picture.participants("lobby").count(), 1);
    }

    #[test]
    fn a_frame_of_a_kind_that_is_not_known_has_its_place_in_the_chain() {
        let mut picture = Picture::default().after(Some(4));
        let unknown = SubscribeVoiceEventsResponse { body: None, ..at(4, 5, Body::Bookmark(v1::Bookmark::default())) };
        picture.fold(&unknown).expect("follows");
        picture.fold(&at(5, 6, joined("ann", "lobby"))).expect("follows what was not understood");
        assert_eq!(picture.sequence(), Some(6));
    }

    #[test]
    fn whoever_leaves_the_rooms_that_were_asked_for_is_no_ghost() {
        let somebody = |room: &str| {
            let (user_id, guild_id) = ("ann".to_owned(), "g".to_owned());
            Some(v1::Participant { user_id, guild_id, room_id: room.to_owned(), ..Default::default() })
        };
        let moved = |from: &str, to: &str| {
            let it = v1::ParticipantMoved { participant: somebody(to), from_room_id: from.to_owned() };
            let kind = Some(Kind::ParticipantMoved(it));
            Body::Event(v1::VoiceEvent { kind, ..Default::default() })
        };
        let mut picture = Picture::of_rooms(["lobby".to_owned()]);
        picture.fold(&at(0, 1, joined("ann", "lobby"))).expect("follows");
        picture.fold(&at(1, 2, moved("lobby", "games"))).expect("follows");
        assert_eq!(["lobby", "games"].map(|room| picture.participants(room).count()), [0, 0]);
        picture.fold(&at(2, 6, moved("games", "lobby"))).expect("follows");
        assert_eq!(["lobby", "games"].map(|room| picture.participants(room).count()), [1, 0]);
    }

    #[test]
    fn a_guild_is_what_was_last_told_of_it() {
        let told = |name: &str, left: bool| {
            let guild = v1::Guild { guild_id: "g".into(), display_name: name.into(), ..Default::default() };
            let kind = Some(Kind::GuildUpdated(v1::GuildUpdated { guild: Some(guild), left }));
            Body::Event(v1::VoiceEvent { kind, ..Default::default() })
        };
        let names = |picture: &Picture| picture.guilds().map(|guild| guild.display_name.clone()).collect::<Vec<_>>();
        let mut picture = Picture::default();
        picture.fold(&at(0, 1, told("Guild", false))).expect("follows");
        picture.fold(&at(1, 2, told("Renamed", false))).expect("follows");
        assert_eq!(names(&picture), ["Renamed"]);
        picture.fold(&at(2, 3, told("Renamed", true))).expect("follows");
        assert_eq!(names(&picture), [""; 0]);
    }

    #[test]
    fn a_snapshot_replaces_what_was_there() {
        let mut picture = Picture::default();
        picture.fold(&at(0, 1, joined("ann", "lobby"))).expect("follows");
        let begin = Body::SnapshotBegin(v1::SnapshotBegin { at_sequence: 9 });
        picture.fold(&SubscribeVoiceEventsResponse { body: Some(begin), ..Default::default() }).expect("no position");
        assert!(picture.is_partial());
        picture.fold(&at(9, 9, Body::SnapshotEnd(v1::SnapshotEnd::default()))).expect("the chain starts here");
        assert!(!picture.is_partial());
        assert_eq!((picture.participants("lobby").count(), picture.sequence()), (0, Some(9)));
    }
}
