//! One guild: its rooms, who is in them, and how a new word about either becomes changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parlor_proto::v1::{self, voice_event::Kind};

use super::{
    change::{Emitter, Touched},
    leaves::Leaves,
    room::{Ended, Participant, Room, Stay},
};
use crate::{
    id::{GuildId, RoomId, UserId},
    update::{GuildSnapshot, Ownership, Profile, RoomFacts, VoiceState},
};

/// How long a room that has ended is remembered, so that late readers and repeated EndRoom calls learn of it.
pub const TOMBSTONE_AGE: Duration = Duration::from_secs(15 * 60);

/// How many ended rooms of one guild are remembered at most: the age limit alone does not bound a create-end loop.
const TOMBSTONES: usize = 1_000;

/// How far Parlor's picture of a guild can be trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Knowledge {
    /// Discord named the guild but has not described it yet.
    Awaited,
    /// What is known is what Discord tells.
    Live,
    /// Known once; a new session has to describe it anew.
    Stale {
        /// Until when it was complete.
        since: SystemTime,
        /// What ended that.
        reason: v1::discontinuity::Reason,
    },
    /// Discord cannot serve the guild at the moment.
    Outage {
        /// Until when it was complete; `None` if it never was.
        since: Option<SystemTime>,
        /// What ended that.
        reason: v1::discontinuity::Reason,
    },
}

impl Knowledge {
    /// What it becomes where a session begins that is not the last one, which was complete until `since`.
    pub(super) fn in_new_session(self, since: SystemTime) -> Self {
        match self {
            Self::Live => Self::Stale { since, reason: v1::discontinuity::Reason::SessionLost },
            Self::Outage { since: Some(since), reason } => Self::Stale { since, reason },
            Self::Awaited | Self::Outage { since: None, .. } => Self::Awaited,
            stale @ Self::Stale { .. } => stale,
        }
    }

    /// From when on something may have happened unseen, and why; `None` where nothing can have.
    pub(super) fn gap(self) -> Option<(SystemTime, v1::discontinuity::Reason)> {
        match self {
            Self::Stale { since, reason } | Self::Outage { since: Some(since), reason } => Some((since, reason)),
            Self::Awaited | Self::Live | Self::Outage { since: None, .. } => None,
        }
    }
}

/// A guild as Parlor knows it.
#[derive(Clone, Debug)]
pub struct Guild {
    pub(super) id: GuildId,
    pub(super) name: String,
    pub(super) bitrate_limit: Option<u32>,
    pub(super) knowledge: Knowledge,
    pub(super) rooms: Leaves<RoomId, Arc<Room>>,
    /// By user, because a user is in at most one room of a guild. Somebody may be in a room that is not known (yet):
    /// such a participant is kept and not shown.
    pub(super) participants: Leaves<UserId, Arc<Participant>>,
    pub(super) ended: Leaves<RoomId, Arc<Ended>>,
}

impl Guild {
    pub(super) fn awaited(id: GuildId) -> Self {
        Self {
            id,
            name: String::new(),
            bitrate_limit: None,
            knowledge: Knowledge::Awaited,
            rooms: Leaves::default(),
            participants: Leaves::default(),
            ended: Leaves::default(),
        }
    }

    /// The guild for the API.
    pub fn to_proto(&self) -> v1::Guild {
        v1::Guild {
            guild_id: self.id.to_string(),
            display_name: self.name.clone(),
            available: self.knowledge == Knowledge::Live,
            room_count: i32::try_from(self.rooms.len()).unwrap_or(i32::MAX),
        }
    }

    /// What is shown of the guild itself: its name, and whether what is known of it is what Discord tells.
    pub(super) fn face(&self) -> (&str, bool) {
        (&self.name, self.knowledge == Knowledge::Live)
    }

    /// The ids of all rooms that have not ended.
    pub fn room_ids(&self) -> impl Iterator<Item = RoomId> {
        self.rooms.keys().copied()
    }

    /// Whether the room is there and has not ended.
    pub fn has_room(&self, room: RoomId) -> bool {
        self.rooms.contains_key(&room)
    }

    /// Whether Parlor created the room; `None` for a room that is not there or has ended.
    pub fn is_managed(&self, room: RoomId) -> Option<bool> {
        self.rooms.get(&room).map(|room| room.owned.is_some())
    }

    /// What Parlor notes of a room that it made and that has not ended.
    pub fn ownership(&self, room: RoomId) -> Option<&Ownership> {
        self.rooms.get(&room)?.owned.as_deref()
    }

    /// A room that has not ended, as Discord describes it.
    pub fn facts(&self, room: RoomId) -> Option<&RoomFacts> {
        self.rooms.get(&room).map(|room| &room.facts)
    }

    /// Every room that has not ended, as Discord describes it, by id.
    pub fn all_facts(&self) -> impl Iterator<Item = &RoomFacts> {
        self.rooms.values().map(|room| &room.facts)
    }

    /// Whether the room's deletion has begun.
    pub fn is_ending(&self, room: RoomId) -> bool {
        self.rooms.get(&room).is_some_and(|room| room.ending.is_some())
    }

    /// The rooms whose deletion has begun and not been told to be done.
    pub fn ending(&self) -> impl Iterator<Item = (RoomId, v1::room_ended::Reason)> {
        self.rooms.iter().filter_map(|(id, room)| Some((*id, room.ending?)))
    }

    /// The highest bitrate of its rooms, in bits per second; `None` where Discord has not said.
    pub fn bitrate_limit(&self) -> Option<u32> {
        self.bitrate_limit
    }

    /// How many people are in the room, bots left out.
    pub fn people_in(&self, room: RoomId) -> usize {
        let people =
            self.participants.values().filter(|participant| !participant.profile.is_bot && !participant.is_self);
        people.filter(|participant| participant.room == room).count()
    }

    /// A room for the API, be it one that ended a short while ago.
    pub fn room(&self, room: RoomId) -> Option<v1::Room> {
        match self.rooms.get(&room) {
            Some(known) => Some(known.to_proto(self.count_in(room))),
            None => self.ended.get(&room).map(|ended| ended.room.clone()),
        }
    }

    /// Every room for the API: those that are there by id, then those that ended a short while ago.
    pub fn rooms(&self) -> impl Iterator<Item = (RoomId, v1::Room)> {
        let inside = self.head_counts();
        let live = self.rooms.iter().map(move |(id, room)| (*id, room.to_proto(count(&inside, *id))));
        live.chain(self.ended_after(None))
    }

    /// How many are in each room that anybody is in.
    pub fn head_counts(&self) -> BTreeMap<RoomId, usize> {
        let mut inside: BTreeMap<RoomId, usize> = BTreeMap::new();
        for participant in self.participants.values() {
            *inside.entry(participant.room).or_default() += 1;
        }
        inside
    }

    /// The rooms that have not ended with higher ids than one, by id; `None` for all. `inside`: [`Guild::head_counts`].
    pub fn rooms_after<'a>(
        &'a self,
        after: Option<RoomId>,
        inside: &'a BTreeMap<RoomId, usize>,
    ) -> impl Iterator<Item = (RoomId, v1::Room)> + 'a {
        let rooms = self.rooms.after(after);
        rooms.map(|(id, room)| (*id, room.to_proto(count(inside, *id))))
    }

    /// The rooms that ended a short while ago with higher ids than one, by id; `None` for all.
    pub fn ended_after(&self, after: Option<RoomId>) -> impl Iterator<Item = (RoomId, v1::Room)> {
        self.ended.after(after).map(|(id, ended)| (*id, ended.room.clone()))
    }

    /// Everybody who is in a known room, by user id.
    pub fn participants(&self) -> impl Iterator<Item = (RoomId, UserId, v1::Participant)> {
        self.participants_after(None)
    }

    /// Everybody in a known room whose id is higher than one, by id; `None` for all.
    pub fn participants_after(&self, after: Option<UserId>) -> impl Iterator<Item = (RoomId, UserId, v1::Participant)> {
        let participants = self.participants.after(after);
        participants.filter(|(_, participant)| self.rooms.contains_key(&participant.room)).map(|(user, participant)| {
            (participant.room, *user, participant.to_proto(self.id, *user, participant.room))
        })
    }

    /// Somebody, if they are in a known room.
    pub fn participant(&self, user: UserId) -> Option<(RoomId, v1::Participant)> {
        let participant = self.participants.get(&user).filter(|one| self.rooms.contains_key(&one.room))?;
        Some((participant.room, participant.to_proto(self.id, user, participant.room)))
    }

    fn count_in(&self, room: RoomId) -> usize {
        self.participants.values().filter(|participant| participant.room == room).count()
    }

    /// A room exists like this. `owned`: what Parlor notes of it, where the caller knows that Parlor made it.
    pub(super) fn put_room(&mut self, mut facts: RoomFacts, owned: Option<Ownership>, emit: &mut Emitter) {
        let id = facts.room;
        if let Some(known) = self.rooms.get(&id) {
            facts.status = facts.status.or_else(|| known.facts.status.clone());
            if known.facts == facts && owned.as_ref().is_none_or(|owned| Some(owned) == known.owned.as_deref()) {
                return;
            }
            let inside = self.count_in(id);
            let before = known.to_proto(inside);
            let known = Arc::make_mut(self.rooms.get_mut(&id).expect("it is there"));
            known.facts = facts;
            known.owned = owned.map(Arc::new).or_else(|| known.owned.take());
            let room = known.to_proto(inside);
            // Held against what is shown: numbers that are larger than the contract can say look alike.
            if room != before {
                emit.event(self.id, Touched::One(id), Kind::RoomUpdated(v1::RoomUpdated { room: Some(room) }));
            }
            return;
        }
        // A snapshot that was made before the room's creation may have ended it here; its owner has not changed.
        let was_owned = self.ended.remove(&id).and_then(|ended| Ownership::shown(&ended.room));
        let room = Room { facts, owned: owned.or(was_owned).map(Arc::new), ending: None };
        emit.event(self.id, Touched::One(id), Kind::RoomCreated(v1::RoomCreated { room: Some(room.to_proto(0)) }));
        self.rooms.insert(id, Arc::new(room));
        for (user, participant) in self.participants.iter().filter(|(_, participant)| participant.room == id) {
            let participant = Some(participant.to_proto(self.id, *user, id));
            emit.event(self.id, Touched::One(id), Kind::ParticipantJoined(v1::ParticipantJoined { participant }));
        }
    }

    /// Discord has answered that it made this room for Parlor. Where the gateway has told of it before, its word stands:
    /// it is as new as the answer, or newer.
    pub(super) fn put_own_room(&mut self, answered: RoomFacts, owned: Ownership, emit: &mut Emitter) {
        let facts = self.rooms.get(&answered.room).map_or(answered, |known| known.facts.clone());
        self.put_room(facts, Some(owned), emit);
    }

    /// The room's status line is this now.
    pub(super) fn put_status(&mut self, room: RoomId, status: Option<String>, emit: &mut Emitter) {
        let status = Some(status.unwrap_or_default());
        if let Some(known) = self.rooms.get(&room)
            && known.facts.status != status
        {
            let facts = RoomFacts { status, ..known.facts.clone() };
            self.put_room(facts, None, emit);
        }
    }

    /// Notes that Parlor is about to delete the room, or has given that up, so that Discord's word of the deletion
    /// is not taken for somebody else's.
    pub(super) fn set_ending(&mut self, room: RoomId, ending: Option<v1::room_ended::Reason>) {
        if let Some(known) = self.rooms.get_mut(&room) {
            Arc::make_mut(known).ending = ending;
        }
    }

    /// A room is gone; whoever was in it has left voice.
    pub(super) fn drop_room(&mut self, id: RoomId, reason: v1::room_ended::Reason, emit: &mut Emitter) {
        let Some(room) = self.rooms.get(&id) else { return };
        let reason = room.ending.unwrap_or(reason);
        let inside: Vec<UserId> =
            self.participants.iter().filter(|(_, participant)| participant.room == id).map(|(user, _)| *user).collect();
        for user in inside {
            self.drop_user(user, emit);
        }
        let Some(room) = self.rooms.remove(&id) else { return };
        let room = room.to_ended(emit.now);
        let ended = v1::RoomEnded { room: Some(room.clone()), reason: reason.into() };
        emit.event(self.id, Touched::One(id), Kind::RoomEnded(ended));
        self.ended.insert(id, Arc::new(Ended { room, at: emit.now }));
        self.forget_tombstones(emit.now);
    }

    fn forget_tombstones(&mut self, now: SystemTime) {
        // One that is younger than now is of before somebody set the clock back.
        self.ended.retain(|_, ended| now.duration_since(ended.at).unwrap_or_default() < TOMBSTONE_AGE);
        while self.ended.len() > TOMBSTONES {
            let oldest = self.ended.iter().min_by_key(|(id, ended)| (ended.at, **id)).map(|(id, _)| *id);
            self.ended.remove(&oldest.expect("the map is not empty: it is longer than its limit"));
        }
    }

    /// Somebody is here now, like this.
    pub(super) fn put_voice(&mut self, state: VoiceState, self_user: Option<UserId>, emit: &mut Emitter) {
        let user = state.user;
        let Some(room) = state.room else {
            self.drop_user(user, emit);
            return;
        };
        let known = self.participants.get(&user).cloned();
        let was_shown = known.as_ref().map(|known| known.room).filter(|room| self.rooms.contains_key(room));
        let stayed = known.as_ref().is_some_and(|known| known.room == room);
        let participant = Participant {
            room,
            stay: Stay::of(&state.session),
            flags: state.flags,
            profile: state.profile.or_else(|| known.as_ref().map(|known| known.profile.clone())).unwrap_or_default(),
            is_self: self_user == Some(user),
            joined_at: known.as_ref().filter(|_| stayed).map_or(emit.now, |known| known.joined_at),
        };
        let unchanged = known.as_ref().is_some_and(|known| known.shows_the_same(&participant));
        if unchanged && known.as_ref().is_some_and(|known| known.stay == participant.stay) {
            return;
        }
        let shown = participant.to_proto(self.id, user, room);
        self.participants.insert(user, Arc::new(participant));

        match (was_shown, self.rooms.contains_key(&room)) {
            (Some(_), true) if unchanged => {}
            (Some(from), true) if from == room => emit.event(
                self.id,
                Touched::One(room),
                Kind::ParticipantUpdated(v1::ParticipantUpdated { participant: Some(shown) }),
            ),
            (Some(from), true) => emit.event(
                self.id,
                Touched::Both { from, to: room },
                Kind::ParticipantMoved(v1::ParticipantMoved { participant: Some(shown), from_room_id: from.to_text() }),
            ),
            (None, true) => emit.event(
                self.id,
                Touched::One(room),
                Kind::ParticipantJoined(v1::ParticipantJoined { participant: Some(shown) }),
            ),
            (Some(from), false) => {
                let left = known.map(|known| known.to_proto(self.id, user, from));
                emit.event(
                    self.id,
                    Touched::One(from),
                    Kind::ParticipantLeft(v1::ParticipantLeft { participant: left }),
                );
            }
            (None, false) => {}
        }
    }

    /// Somebody is in no room.
    pub(super) fn drop_user(&mut self, user: UserId, emit: &mut Emitter) {
        let Some(known) = self.participants.remove(&user) else { return };
        if self.rooms.contains_key(&known.room) {
            let participant = Some(known.to_proto(self.id, user, known.room));
            emit.event(self.id, Touched::One(known.room), Kind::ParticipantLeft(v1::ParticipantLeft { participant }));
        }
    }

    /// Somebody is to be shown differently.
    pub(super) fn put_profile(&mut self, user: UserId, profile: Profile, emit: &mut Emitter) {
        let Some(known) = self.participants.get_mut(&user) else { return };
        if known.profile == profile {
            return;
        }
        let known = Arc::make_mut(known);
        known.profile = profile;
        let room = known.room;
        if self.rooms.contains_key(&room) {
            let participant = Some(known.to_proto(self.id, user, room));
            emit.event(self.id, Touched::One(room), Kind::ParticipantUpdated(v1::ParticipantUpdated { participant }));
        }
    }

    /// Makes the guild what the snapshot says, telling only the difference. Rooms come first and go last, so that
    /// nobody is ever told to be in a room that is not there.
    pub(super) fn reconcile(&mut self, snapshot: GuildSnapshot, self_user: Option<UserId>, emit: &mut Emitter) {
        let rooms_now: BTreeSet<RoomId> = snapshot.rooms.iter().map(|room| room.room).collect();
        let users_now: BTreeSet<UserId> = snapshot.voice_states.iter().map(|state| state.user).collect();
        self.name = snapshot.name;
        self.bitrate_limit = snapshot.bitrate_limit.or(self.bitrate_limit);
        // Somebody who was never shown, because their room was not known, is shown only where the snapshot has them.
        let Self { participants, rooms, .. } = self;
        participants.retain(|_, participant| rooms.contains_key(&participant.room));
        for room in snapshot.rooms {
            self.put_room(room, None, emit);
        }
        let gone: Vec<UserId> = self.participants.keys().copied().filter(|user| !users_now.contains(user)).collect();
        for user in gone {
            self.drop_user(user, emit);
        }
        // Who is said to be in a room that is gone is shown when it is back: not before it is told to have ended.
        let (here, elsewhere): (Vec<_>, Vec<_>) = snapshot
            .voice_states
            .into_iter()
            .partition(|state| state.room.is_none_or(|room| rooms_now.contains(&room)));
        for state in here {
            // Another voice session in the same room: they left and came back unseen.
            let returned = self
                .participants
                .get(&state.user)
                .is_some_and(|known| Some(known.room) == state.room && known.stay != Stay::of(&state.session));
            if returned {
                self.drop_user(state.user, emit);
            }
            self.put_voice(state, self_user, emit);
        }
        let ended: Vec<RoomId> = self.rooms.keys().copied().filter(|room| !rooms_now.contains(room)).collect();
        for room in ended {
            self.drop_room(room, v1::room_ended::Reason::ExternalDelete, emit);
        }
        for state in elsewhere {
            self.put_voice(state, self_user, emit);
        }
        self.knowledge = Knowledge::Live;
    }

    /// Ends everything: the bot is no longer in the guild.
    pub(super) fn dissolve(&mut self, emit: &mut Emitter) {
        for room in self.room_ids().collect::<Vec<_>>() {
            self.drop_room(room, v1::room_ended::Reason::BotRemoved, emit);
        }
    }
}

fn count(inside: &BTreeMap<RoomId, usize>, room: RoomId) -> usize {
    inside.get(&room).copied().unwrap_or_default()
}
