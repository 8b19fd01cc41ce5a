//! When rooms end by themselves: one timer per room that Parlor made and that has a policy.
//!
//! ```text
//!                  somebody joins              the last one leaves
//!   NeverJoined ───────────────────▶ Occupied ◀───────────────────▶ EmptySince
//!   │ empty_timeout                  │          somebody joins       │ departure_timeout
//!   └────────────────────────────────┴── max_duration ───────────────┴──▶ due
//! ```
//!
//! The store holds times of day, because nothing else outlives a process. While the process lives its timers follow the
//! monotonic clock, so that a corrected time of day neither ends a room early nor keeps it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use parlor_gateway::{Change, ChangeBody, Directory, GuildId, Policy, RoomId};
use parlor_proto::v1::{self, voice_event::Kind};
use prost::Message;
use prost_types::Timestamp;

/// A room that is seen for the first time so soon after its creation counts as new: Discord's clock and ours differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Why a room ends by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// Nobody ever joined.
    EmptyTimeout,
    /// Nobody came back.
    DepartureTimeout,
    /// Its time is over.
    MaxDuration,
}

impl Cause {
    /// The cause as events say it.
    pub fn reason(self) -> v1::room_ended::Reason {
        match self {
            Self::EmptyTimeout => v1::room_ended::Reason::EmptyTimeout,
            Self::DepartureTimeout => v1::room_ended::Reason::DepartureTimeout,
            Self::MaxDuration => v1::room_ended::Reason::MaxDuration,
        }
    }

    /// The policy's field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyTimeout => "empty_timeout",
            Self::DepartureTimeout => "departure_timeout",
            Self::MaxDuration => "max_duration",
        }
    }
}

/// A room that is to end now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Due {
    /// Its guild.
    pub guild: GuildId,
    /// The room.
    pub room: RoomId,
    /// Why.
    pub cause: Cause,
}

/// The rooms that Parlor made, each with its timer.
#[derive(Debug, Default)]
pub struct Lifecycles {
    lives: BTreeMap<RoomId, Life>,
    /// When each room has to be looked at: the first is the next.
    deadlines: BTreeSet<(Instant, RoomId)>,
    /// What changes have told and [`Lifecycles::take_in`] has not taken in.
    touched: BTreeMap<RoomId, Touch>,
}

#[derive(Clone, Copy, Debug)]
struct Touch {
    guild: GuildId,
    /// Whether somebody joined, who may have left again.
    joined: bool,
}

#[derive(Debug)]
struct Life {
    guild: GuildId,
    policy: Policy,
    began: Moment,
    stay: Stay,
    /// Not before this, after a failure to end it.
    postponed: Option<Instant>,
    /// Whether it is being ended, so that its timer stands still.
    ending: bool,
    /// What the store holds.
    row: Vec<u8>,
}

/// Whether people are in the room.
#[derive(Clone, Copy, Debug)]
enum Stay {
    NeverJoined,
    Occupied,
    EmptySince(Moment),
}

/// A moment on both clocks. `age` is how long ago it was at `seen`, because it may be older than the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: SystemTime,
    seen: Instant,
    age: Duration,
}

impl Moment {
    fn now(wall: SystemTime, now: Instant) -> Self {
        Self { wall, seen: now, age: Duration::ZERO }
    }

    /// A moment of the past, as the time of day tells. One that lies in the future, because somebody has put the clock
    /// back, is now.
    fn remembered(then: SystemTime, wall: SystemTime, now: Instant) -> Self {
        Self { wall: then, seen: now, age: wall.duration_since(then).unwrap_or_default() }
    }

    /// So long after the moment. What lies before this process counts as its beginning; how long before decides between
    /// several, so it is told too.
    fn after(self, time: Duration) -> (Instant, Reverse<Duration>) {
        (self.seen + time.saturating_sub(self.age), Reverse(self.age.saturating_sub(time)))
    }
}

/// What the store holds of a life.
#[derive(Clone, PartialEq, prost::Message)]
struct LifeRow {
    #[prost(message, optional, tag = "1")]
    began: Option<Timestamp>,
    /// Whether anybody ever joined.
    #[prost(bool, tag = "2")]
    joined: bool,
    /// When the last one left; absent while somebody is there.
    #[prost(message, optional, tag = "3")]
    empty_since: Option<Timestamp>,
}

impl Lifecycles {
    /// The timers as they were before a restart.
    pub fn restore<'a>(
        directory: &Directory,
        rows: impl Iterator<Item = (RoomId, &'a [u8])>,
        wall: SystemTime,
        now: Instant,
    ) -> Self {
        let rows: BTreeMap<RoomId, &[u8]> = rows.collect();
        let mut lifecycles = Self::default();
        for (guild, known) in directory.snapshot().guilds {
            for room in known.room_ids() {
                let Some(ownership) = known.ownership(room) else { continue };
                let row = rows.get(&room).copied().unwrap_or_default();
                // A row that cannot be read says as much as none: the timers begin when the room did.
                let read = LifeRow::decode(row).unwrap_or_default();
                let time = |stamp: Option<Timestamp>| stamp.and_then(|stamp| SystemTime::try_from(stamp).ok());
                let began = time(read.began).unwrap_or_else(|| room.created_at());
                let stay = match (known.people_in(room), read.joined, time(read.empty_since)) {
                    (1.., _, _) => Stay::Occupied,
                    (0, true, Some(since)) => Stay::EmptySince(Moment::remembered(since, wall, now)),
                    (0, true, None) => Stay::EmptySince(Moment::now(wall, now)),
                    (0, false, _) => Stay::NeverJoined,
                };
                let life = Life {
                    guild,
                    policy: ownership.policy,
                    began: Moment::remembered(began, wall, now),
                    stay,
                    postponed: None,
                    ending: false,
                    row: row.to_vec(),
                };
                lifecycles.schedule(room, &life);
                lifecycles.lives.insert(room, life);
            }
        }
        lifecycles
    }

    /// Notes which rooms changes are about. What they mean is looked at in [`Lifecycles::take_in`].
    pub fn observe(&mut self, changes: &[Change]) {
        for change in changes {
            let ChangeBody::Event(v1::VoiceEvent { kind: Some(kind), .. }) = &change.body else { continue };
            let person = |participant: &Option<v1::Participant>| {
                participant.as_ref().is_some_and(|participant| !participant.is_bot && !participant.is_self)
            };
            let managed = |room: &Option<v1::Room>| room.as_ref().is_some_and(|room| room.managed);
            let (ours, joined) = match kind {
                Kind::RoomCreated(it) => (managed(&it.room), false),
                Kind::RoomUpdated(it) => (managed(&it.room), false),
                Kind::RoomEnded(it) => (managed(&it.room), false),
                Kind::ParticipantJoined(it) => (false, person(&it.participant)),
                // Only where they went matters as a join; a look at both rooms tells the rest.
                Kind::ParticipantMoved(it) => (false, person(&it.participant)),
                Kind::ParticipantLeft(_) | Kind::ParticipantUpdated(_) | Kind::GuildUpdated(_) => (false, false),
            };
            let (from, to) = match change.rooms {
                parlor_gateway::Touched::All => (None, None),
                parlor_gateway::Touched::One(room) => (None, Some(room)),
                parlor_gateway::Touched::Both { from, to } => (Some(from), Some(to)),
            };
            for (room, joined) in from.map(|room| (room, false)).into_iter().chain(to.map(|room| (room, joined))) {
                if ours || self.lives.contains_key(&room) || self.touched.contains_key(&room) {
                    let touch = self.touched.entry(room).or_insert(Touch { guild: change.guild, joined: false });
                    touch.joined |= joined;
                }
            }
        }
    }

    /// Starts and stops timers by what was observed since the last time. Returns what the store has to hold of the rooms.
    pub fn take_in(&mut self, directory: &Directory, wall: SystemTime, now: Instant) -> Vec<(RoomId, Option<Vec<u8>>)> {
        let mut rows = Vec::new();
        for (room, touch) in std::mem::take(&mut self.touched) {
            self.unschedule(room);
            let known = directory.guild(touch.guild);
            let Some((guild, ownership)) = known.and_then(|guild| Some((guild, guild.ownership(room)?))) else {
                if self.lives.remove(&room).is_some() {
                    rows.push((room, None));
                }
                continue;
            };
            let mut life = self.lives.remove(&room).unwrap_or_else(|| Life::new(touch.guild, room, wall, now));
            life.policy = ownership.policy;
            life.stay = match (guild.people_in(room), life.stay, touch.joined) {
                (1.., _, _) => Stay::Occupied,
                (0, Stay::Occupied, _) | (0, _, true) => Stay::EmptySince(Moment::now(wall, now)),
                (0, stay, false) => stay,
            };
            let row = life.to_row();
            if row != life.row {
                life.row.clone_from(&row);
                rows.push((room, Some(row)));
            }
            self.schedule(room, &life);
            self.lives.insert(room, life);
        }
        rows
    }

    /// When a room has to be looked at next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The rooms that are to end now; each is told once, until it is postponed. Where Discord's word of a guild is not
    /// current, nobody knows who is in its rooms, so only what does not depend on that is told.
    pub fn due(&mut self, directory: &Directory, now: Instant) -> Vec<Due> {
        let passed: Vec<RoomId> =
            self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, room)| *room).collect();
        let mut due = Vec::new();
        for room in passed {
            let Some(life) = self.lives.get_mut(&room) else { continue };
            let current = directory.is_current(life.guild);
            let told = |cause: Cause| current || cause == Cause::MaxDuration;
            let passed = life.timers().filter(|((at, _), cause)| *at <= now && told(*cause));
            let Some((_, cause)) = passed.min_by_key(|(at, _)| *at) else { continue };
            if directory.guild(life.guild).is_some_and(|guild| guild.is_ending(room)) {
                continue;
            }
            life.ending = true;
            due.push(Due { guild: life.guild, room, cause });
            self.unschedule(room);
        }
        due
    }

    /// A room that was due could not be ended: it is due again then.
    pub fn postpone(&mut self, room: RoomId, until: Instant) {
        self.unschedule(room);
        if let Some(mut life) = self.lives.remove(&room) {
            life.ending = false;
            life.postponed = Some(until);
            self.schedule(room, &life);
            self.lives.insert(room, life);
        }
    }

    fn schedule(&mut self, room: RoomId, life: &Life) {
        if let Some(deadline) = life.deadline() {
            self.deadlines.insert((deadline, room));
        }
    }

    fn unschedule(&mut self, room: RoomId) {
        if let Some(deadline) = self.lives.get(&room).and_then(Life::any_deadline) {
            self.deadlines.remove(&(deadline, room));
        }
    }
}

impl Life {
    fn new(guild: GuildId, room: RoomId, wall: SystemTime, now: Instant) -> Self {
        let created = Moment::remembered(room.created_at(), wall, now);
        let began = if created.age < CLOCKS_DIFFER { Moment::now(wall, now) } else { created };
        let (policy, stay) = (Policy::default(), Stay::NeverJoined);
        Self { guild, policy, began, stay, postponed: None, ending: false, row: Vec::new() }
    }

    /// What ends the room, and when.
    fn timers(&self) -> impl Iterator<Item = ((Instant, Reverse<Duration>), Cause)> {
        let Policy { empty_timeout, departure_timeout, max_duration } = self.policy;
        let empty = match self.stay {
            Stay::NeverJoined => empty_timeout.map(|time| (self.began.after(time), Cause::EmptyTimeout)),
            Stay::EmptySince(since) => departure_timeout.map(|time| (since.after(time), Cause::DepartureTimeout)),
            Stay::Occupied => None,
        };
        let over = max_duration.map(|time| (self.began.after(time), Cause::MaxDuration));
        empty.into_iter().chain(over)
    }

    fn deadline(&self) -> Option<Instant> {
        if self.ending { None } else { self.any_deadline() }
    }

    fn any_deadline(&self) -> Option<Instant> {
        let (first, _) = self.timers().map(|(at, _)| at).min()?;
        Some(self.postponed.map_or(first, |until| first.max(until)))
    }

    fn to_row(&self) -> Vec<u8> {
        let (joined, empty_since) = match self.stay {
            Stay::NeverJoined => (false, None),
            Stay::Occupied => (true, None),
            Stay::EmptySince(since) => (true, Some(since.wall.into())),
        };
        LifeRow { began: Some(self.began.wall.into()), joined, empty_since }.encode_to_vec()
    }
}

#[cfg(test)]
mod tests;
