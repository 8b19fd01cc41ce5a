//! What Parlor should know, and what it should say, by the simplest means: take in what was delivered, and compare whole
//! pictures.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parlor_gateway::{
    Delivery, GuildId, GuildSnapshot, Loss, News, RoomFacts, RoomId, RowKey, SessionPlace, Update, UserId, VoiceState,
};
use parlor_proto::v1::{UpstreamState, discontinuity::Reason as Cause, room_ended::Reason};

use crate::{
    fact::{Face, Fact, Picture, Room, Window},
    world::{Look, Person},
};

/// How long an ended room is shown as ended (voice_events.proto: "a short while"; the house says 15 minutes).
const TOMBSTONE_AGE: Duration = Duration::from_secs(15 * 60);

/// Something that the hub is asked to take in.
#[derive(Clone, Debug)]
pub enum Command {
    /// From the gateway.
    Deliver(Delivery),
    /// A room of this name is about to be asked for.
    Expect(GuildId, String),
    /// What came of it.
    Settle(GuildId, String, Option<RoomFacts>),
    /// A room is about to be deleted.
    BeginEnd(GuildId, RoomId),
    /// It is not deleted after all.
    AbandonEnd(GuildId, RoomId),
    /// It is deleted.
    EndRoom(GuildId, RoomId),
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Link {
    #[default]
    Down,
    Resuming,
    Live,
}

#[derive(Clone, Debug, Default)]
struct Guild {
    name: String,
    rooms: BTreeMap<RoomId, (String, bool)>,
    people: BTreeMap<UserId, Person>,
    /// Rooms that ended, whether they were ours, and when.
    ended: BTreeMap<RoomId, (bool, SystemTime)>,
    ending: BTreeSet<RoomId>,
    described: bool,
    /// Whether a damage has taken what the store held of the guild itself, and nothing has been written since.
    headless: bool,
    /// Why something may have happened unseen since the guild was last known completely.
    gap: Option<(Cause, SystemTime)>,
    /// What was said of it since a new session listed it, until that session describes it.
    waiting: Option<Vec<News>>,
    /// A description that was older than what was made of it, until something else is heard.
    outdated: Option<GuildSnapshot>,
}

#[derive(Clone, Debug)]
struct Hold {
    guild: GuildId,
    name: String,
    answers_out: usize,
    waiting: BTreeMap<RoomId, Vec<News>>,
}

/// What Parlor should know.
#[derive(Clone, Debug, Default)]
pub struct Known {
    guilds: BTreeMap<GuildId, Guild>,
    holds: Vec<Hold>,
    link: Link,
    place: Option<SessionPlace>,
    /// When Discord was last heard.
    heard_at: Option<SystemTime>,
    /// The same, as of the last moment at which nothing waited: what a new process counts from.
    complete_at: Option<SystemTime>,
    /// From when on something may be missing, while the connection is down.
    down_since: Option<SystemTime>,
}

impl Known {
    /// Takes something in. Returns what is to be said: groups in order, the facts of a group in any order.
    pub fn take(&mut self, command: Command, wall: SystemTime) -> Vec<Vec<Fact>> {
        match command {
            Command::Deliver(delivery) => {
                self.place = delivery.session;
                self.heard_at = Some(delivery.heard_at);
                delivery.update.map(|update| self.update(update, wall)).unwrap_or_default()
            }
            Command::Expect(guild, name) => {
                match self.holds.iter_mut().find(|hold| (hold.guild, &hold.name) == (guild, &name)) {
                    Some(hold) => hold.answers_out += 1,
                    None => self.holds.push(Hold { guild, name, answers_out: 1, waiting: BTreeMap::new() }),
                }
                Vec::new()
            }
            Command::Settle(guild, name, created) => self.settle(guild, &name, created, wall),
            Command::BeginEnd(guild, room) => {
                if let Some(known) = self.guilds.get_mut(&guild).filter(|known| known.rooms.contains_key(&room)) {
                    known.ending.insert(room);
                }
                Vec::new()
            }
            Command::AbandonEnd(guild, room) => {
                if let Some(known) = self.guilds.get_mut(&guild) {
                    known.ending.remove(&room);
                }
                Vec::new()
            }
            Command::EndRoom(guild, room) => self.within(guild, News::RoomGone(room), Reason::Api, wall),
        }
    }

    fn update(&mut self, update: Update, wall: SystemTime) -> Vec<Vec<Fact>> {
        match update {
            Update::SessionStarted { guilds, .. } => {
                self.link = Link::Live;
                let since = self.down_since.take().unwrap_or(wall);
                let gone: Vec<GuildId> = self.guilds.keys().copied().filter(|guild| !guilds.contains(guild)).collect();
                for (_, known) in
                    self.guilds.iter_mut().filter(|(guild, known)| gone.contains(guild) && known.described)
                {
                    known.gap.get_or_insert((Cause::SessionLost, since));
                }
                let mut told: Vec<Vec<Fact>> = gone.into_iter().flat_map(|guild| self.leave(guild, wall)).collect();
                for guild in guilds {
                    told.extend(self.turns(guild, |known| {
                        if known.described {
                            known.gap.get_or_insert((Cause::SessionLost, since));
                        }
                        known.waiting = Some(Vec::new());
                        known.outdated = None;
                    }));
                }
                told
            }
            Update::SessionResumed(_) => {
                self.link = Link::Live;
                self.down_since = None;
                Vec::new()
            }
            Update::ConnectionLost { loss, last_heard, .. } => {
                if self.link == Link::Live {
                    self.down_since = Some(last_heard);
                }
                self.link = match loss {
                    Loss::SessionKept if self.link != Link::Down => Link::Resuming,
                    Loss::SessionKept | Loss::SessionLost | Loss::Refused => Link::Down,
                };
                Vec::new()
            }
            Update::Guild(snapshot) => self.described(snapshot, wall),
            Update::GuildUnavailable(guild) => self.turns(guild, |known| {
                if known.described {
                    known.gap.get_or_insert((Cause::GuildOutage, wall));
                }
                known.waiting = None;
                known.outdated = None;
                known.headless = false;
            }),
            Update::GuildLeft(guild) => self.leave(guild, wall),
            Update::GuildChanged { guild, name, .. } if self.guilds.contains_key(&guild) => {
                self.turns(guild, |known| {
                    known.headless &= known.name == name;
                    known.name = name;
                })
            }
            Update::GuildChanged { .. } => Vec::new(),
            Update::Within(guild, news) => {
                if let Some(known) = self.guilds.get_mut(&guild) {
                    if let Some(waiting) = &mut known.waiting {
                        waiting.push(news);
                        return Vec::new();
                    }
                    known.outdated = None;
                }
                self.within(guild, news, Reason::ExternalDelete, wall)
            }
        }
    }

    /// Something becomes of a guild itself: it is told where that shows, or where the guild is new.
    fn turns(&mut self, id: GuildId, turn: impl FnOnce(&mut Guild)) -> Vec<Vec<Fact>> {
        let before = self.guilds.get(&id).map(Guild::face);
        let known = self.guilds.entry(id).or_default();
        turn(known);
        let now = Some(known.face());
        if before == now { Vec::new() } else { vec![vec![Fact::Guild(id, now)]] }
    }

    fn leave(&mut self, guild: GuildId, wall: SystemTime) -> Vec<Vec<Fact>> {
        let Some(before) = self.guilds.remove(&guild) else { return Vec::new() };
        let mut told = vec![before.difference(&Guild::default(), guild, Reason::BotRemoved, false)];
        told.push(vec![Fact::Guild(guild, None)]);
        told.extend(before.gap.map(|gap| vec![missing(guild, gap, wall)]));
        told
    }

    fn described(&mut self, snapshot: GuildSnapshot, wall: SystemTime) -> Vec<Vec<Fact>> {
        let id = snapshot.guild;
        let known = self.guilds.remove(&id);
        let shown = known.as_ref().map(Guild::face);
        let before = known.unwrap_or_default();
        let mut after = before.clone();
        let mut there = BTreeSet::new();
        let waiting = after.waiting.take().unwrap_or_default();
        if waiting.is_empty() && after.outdated.as_ref() == Some(&snapshot) {
            self.guilds.insert(id, after);
            return Vec::new();
        }
        after.outdated = Some(snapshot.clone()).filter(|_| !waiting.is_empty());
        // Nobody can tell whether the snapshot is older or newer than what was said since the session began: each last word holds.
        let mut rooms: BTreeMap<RoomId, RoomFacts> = snapshot.rooms.into_iter().map(|room| (room.room, room)).collect();
        for news in &waiting {
            match news {
                News::Room(facts) => drop(rooms.insert(facts.room, facts.clone())),
                News::RoomGone(room) => drop(rooms.remove(room)),
                News::RoomStatus(..) | News::Voice(_) | News::Member(..) | News::MemberLeft(_) => {}
            }
        }
        // What is held back was said before.
        for hold in self.holds.iter_mut().filter(|hold| hold.guild == id) {
            for (room, waiting) in &mut hold.waiting {
                *waiting = vec![News::RoomGone(*room)];
            }
        }
        for room in rooms.into_values() {
            there.insert(room.room);
            if !before.rooms.contains_key(&room.room) && self.hold_back(&room) {
                continue;
            }
            after.apply(News::Room(room), wall);
        }
        for room in before.rooms.keys().filter(|room| !there.contains(room)) {
            after.apply(News::RoomGone(*room), wall);
        }
        after.people.clear();
        for state in snapshot.voice_states {
            after.apply(News::Voice(state), wall);
        }
        for news in waiting {
            match news {
                News::RoomGone(room) => after.people.retain(|_, person| person.room != room),
                News::Voice(_) | News::Member(..) | News::MemberLeft(_) => after.apply(news, wall),
                News::Room(_) | News::RoomStatus(..) => {}
            }
        }
        let gap = after.gap.take();
        after.described = true;
        after.headless = false;
        after.name = snapshot.name;
        let mut told = vec![before.difference(&after, id, Reason::ExternalDelete, true)];
        let face = vec![Fact::Guild(id, Some(after.face()))];
        match shown {
            // A guild comes before its rooms, and is available again after what was found.
            None => told.insert(0, face),
            Some(shown) if shown != after.face() => told.push(face),
            Some(_) => {}
        }
        told.extend(gap.map(|gap| vec![missing(id, gap, wall)]));
        after.ending.retain(|room| after.rooms.contains_key(room));
        self.guilds.insert(id, after);
        told
    }

    fn within(&mut self, guild: GuildId, news: News, reason: Reason, wall: SystemTime) -> Vec<Vec<Fact>> {
        let Some(known) = self.guilds.get(&guild) else { return Vec::new() };
        let room = match &news {
            News::Room(facts) => Some(facts.room),
            News::RoomGone(room) | News::RoomStatus(room, _) => Some(*room),
            News::Voice(_) | News::Member(..) | News::MemberLeft(_) => None,
        };
        let held = self.holds.iter_mut().find_map(|hold| hold.waiting.get_mut(&room?));
        if let Some(waiting) = held {
            waiting.push(news);
            return Vec::new();
        }
        if let News::Room(facts) = &news
            && !known.rooms.contains_key(&facts.room)
            && self.hold_back(facts)
        {
            return Vec::new();
        }
        let known = self.guilds.get_mut(&guild).expect("looked at above");
        let before = known.clone();
        known.apply(news, wall);
        let told = vec![before.difference(known, guild, reason, false)];
        known.ending.retain(|room| known.rooms.contains_key(room));
        told
    }

    fn hold_back(&mut self, facts: &RoomFacts) -> bool {
        let mut holds = self.holds.iter_mut();
        let waits = holds.find(|hold| hold.waiting.contains_key(&facts.room));
        let hold = match waits {
            Some(hold) => Some(hold),
            None => self.holds.iter_mut().find(|hold| (hold.guild, &hold.name) == (facts.guild, &facts.name)),
        };
        let Some(hold) = hold else { return false };
        let news = News::Room(facts.clone());
        match hold.waiting.get_mut(&facts.room) {
            Some(waiting) => *waiting = vec![news],
            None => drop(hold.waiting.insert(facts.room, vec![news])),
        }
        true
    }

    fn settle(&mut self, guild: GuildId, name: &str, created: Option<RoomFacts>, wall: SystemTime) -> Vec<Vec<Fact>> {
        let mut told = Vec::new();
        let room = created.as_ref().map(|facts| facts.room);
        if let (Some(facts), Some(known)) = (created, self.guilds.get_mut(&guild)) {
            let before = known.clone();
            // Whatever the gateway has said of it is newer than the answer.
            if !known.rooms.contains_key(&facts.room) {
                known.apply(News::Room(facts.clone()), wall);
            }
            if let Some((_, managed)) = known.rooms.get_mut(&facts.room) {
                *managed = true;
            }
            told.push(before.difference(known, guild, Reason::Api, false));
        }
        let Some(at) = self.holds.iter().position(|hold| hold.guild == guild && hold.name == name) else { return told };
        let hold = &mut self.holds[at];
        hold.answers_out -= 1;
        let mut released = room.and_then(|room| hold.waiting.remove(&room)).unwrap_or_default();
        if hold.answers_out == 0 {
            released.extend(self.holds.remove(at).waiting.into_values().flatten());
        }
        for news in released {
            told.extend(self.within(guild, news, Reason::ExternalDelete, wall));
        }
        told
    }

    /// Everything so far is stored together.
    pub fn round_ends(&mut self) {
        if self.complete_at.is_none() || !self.waits() {
            self.complete_at = self.heard_at;
        }
    }

    /// Where a new process should resume.
    pub fn resumable(&self) -> Option<SessionPlace> {
        self.place.clone().filter(|_| !self.waits())
    }

    fn waits(&self) -> bool {
        self.guilds.values().any(|known| known.waiting.as_ref().is_some_and(|news| !news.is_empty()))
            || self.holds.iter().any(|hold| !hold.waiting.is_empty())
    }

    /// What is left of it after a restart.
    pub fn restart(&mut self) {
        self.place = self.resumable();
        self.link = if self.place.is_some() { Link::Resuming } else { Link::Down };
        self.heard_at = self.complete_at;
        self.down_since = self.complete_at;
        self.holds.clear();
        for known in self.guilds.values_mut() {
            known.ending.retain(|room| known.rooms.contains_key(room));
            known.waiting.iter_mut().for_each(Vec::clear);
            known.outdated = None;
        }
    }

    /// What is left of it where a store has lost rows.
    pub fn damage(&mut self, mut survives: impl FnMut(RowKey) -> bool) {
        self.place = None;
        for (id, known) in &mut self.guilds {
            known.rooms.retain(|room, _| survives(RowKey::Room(*id, *room)));
            known.people.retain(|user, _| survives(RowKey::Participant(*id, *user)));
            known.ended.retain(|room, _| survives(RowKey::Ended(*id, *room)));
            known.headless |= !survives(RowKey::Guild(*id));
            if known.headless {
                known.described = false;
                known.name.clear();
                known.gap = None;
                known.waiting = Some(Vec::new());
            }
        }
        self.guilds.retain(|_, known| {
            !(known.headless && known.rooms.is_empty() && known.people.is_empty() && known.ended.is_empty())
        });
        self.restart();
    }

    /// How well it agrees with Discord.
    pub fn upstream(&self) -> UpstreamState {
        match self.link {
            Link::Down => UpstreamState::Stale,
            Link::Resuming => UpstreamState::Resuming,
            Link::Live if self.guilds.values().any(|known| known.waiting.is_some()) => UpstreamState::Reconciling,
            Link::Live => UpstreamState::Live,
        }
    }

    /// Everything that is shown.
    pub fn picture(&self) -> Picture {
        let mut picture = Picture::default();
        for (id, known) in &self.guilds {
            picture.guilds.insert(*id, known.face());
            let rooms = known.rooms.keys().map(|room| (*room, known.room(*id, *room)));
            picture.rooms.extend(rooms);
            picture.people.extend(known.shown().map(|(user, person)| ((*id, user), person.seen(user))));
        }
        picture
    }

    /// The guilds that are shown, each with the rooms that are shown as ended.
    pub fn guilds(&self) -> BTreeMap<GuildId, BTreeSet<RoomId>> {
        self.guilds.iter().map(|(id, known)| (*id, known.ended.keys().copied().collect())).collect()
    }
}

impl Guild {
    /// What it shows of itself.
    fn face(&self) -> Face {
        (self.name.clone(), self.described && self.gap.is_none())
    }

    fn apply(&mut self, news: News, wall: SystemTime) {
        match news {
            News::Room(facts) => {
                let managed = self.rooms.get(&facts.room).map(|(_, managed)| *managed);
                let managed = managed.or_else(|| self.ended.remove(&facts.room).map(|(managed, _)| managed));
                self.rooms.insert(facts.room, (facts.name, managed.unwrap_or_default()));
            }
            // The model's world has no status lines.
            News::RoomStatus(..) => {}
            News::RoomGone(room) => {
                if let Some((_, managed)) = self.rooms.remove(&room) {
                    self.people.retain(|_, person| person.room != room);
                    self.ended.insert(room, (managed, wall));
                    let young = |at| wall.duration_since(at).unwrap_or_default() < TOMBSTONE_AGE;
                    self.ended.retain(|_, (_, at)| young(*at));
                }
            }
            News::Voice(VoiceState { user, room: None, .. }) | News::MemberLeft(user) => {
                self.people.remove(&user);
            }
            News::Voice(VoiceState { user, room: Some(room), session, flags, profile, .. }) => {
                let name = profile.map_or(0, |profile| name_of(&profile.display_name));
                let look = Look { muted: flags.self_mute, name };
                let stay = session.0.parse().expect("the world's sessions are numbers");
                self.people.insert(user, Person { room, look, stay });
            }
            News::Member(user, profile) => {
                if let Some(person) = self.people.get_mut(&user) {
                    person.look.name = name_of(&profile.display_name);
                }
            }
        }
    }

    /// Whoever is in a room that is known.
    fn shown(&self) -> impl Iterator<Item = (UserId, Person)> {
        let shown = self.people.iter().filter(|(_, person)| self.rooms.contains_key(&person.room));
        shown.map(|(user, person)| (*user, *person))
    }

    fn room(&self, id: GuildId, room: RoomId) -> Room {
        let (name, managed) = &self.rooms[&room];
        Room { guild: id, name: name.clone(), managed: *managed }
    }

    /// What is to be said where this becomes that. `described`: somebody in the same room by another stay has left and
    /// come back unseen.
    fn difference(&self, after: &Self, id: GuildId, reason: Reason, described: bool) -> Vec<Fact> {
        let mut facts = Vec::new();
        for room in self.rooms.keys().chain(after.rooms.keys()).collect::<BTreeSet<_>>() {
            match (self.rooms.get(room), after.rooms.get(room)) {
                (None, Some(_)) => facts.push(Fact::Created(*room, after.room(id, *room))),
                (Some(was), Some(is)) if was != is => facts.push(Fact::Updated(*room, after.room(id, *room))),
                (Some(_), None) => {
                    let reason = if self.ending.contains(room) { Reason::Api } else { reason };
                    facts.push(Fact::Ended(id, *room, reason));
                }
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
        let (before, now): (BTreeMap<_, _>, BTreeMap<_, _>) = (self.shown().collect(), after.shown().collect());
        for user in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
            let who = (id, *user);
            match (before.get(user), now.get(user)) {
                (None, Some(is)) => facts.push(Fact::Joined(who, is.seen(*user))),
                (Some(was), None) => facts.push(Fact::Left(who, was.room)),
                (Some(was), Some(is)) if was.room != is.room => {
                    facts.push(Fact::Moved(who, was.room, is.seen(*user)));
                }
                (Some(was), Some(is)) if described && was.stay != is.stay => {
                    facts.extend([Fact::Left(who, was.room), Fact::Joined(who, is.seen(*user))]);
                }
                (Some(was), Some(is)) if was.look != is.look => facts.push(Fact::Changed(who, is.seen(*user))),
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
        facts
    }
}

/// What may be missing until now.
fn missing(guild: GuildId, (cause, from): (Cause, SystemTime), now: SystemTime) -> Fact {
    let seconds =
        |at: SystemTime| i64::try_from(at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs()).expect("soon");
    Fact::Gap(guild, cause, Window { from: seconds(from), to: seconds(now) })
}

fn name_of(shown: &str) -> u8 {
    shown.split_once('/').and_then(|(name, _)| name.parse().ok()).expect("the world's names begin with a number")
}
