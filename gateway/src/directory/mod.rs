//! The one picture of who is in which room: a pure state machine fed with [`Update`]s.
//!
//! Discord promises each dispatch "never, exactly once, or up to N times", so events are never passed on: state is
//! kept, and an event is the difference that an update makes to it. A repeated dispatch makes none.
//!
//! ```text
//!              SessionStarted            Guild(snapshot): tell the difference
//!   (unknown) ───────────────▶ Awaited ──────────────────────────────────────▶ Live
//!                                                                              │  ▲
//!                    SessionStarted after a loss ─▶ Stale ── Guild(snapshot) ──┼──┘ + Discontinuity
//!                    GuildUnavailable ────────────▶ Outage ─ Guild(snapshot) ──┘
//! ```
//!
//! A guild that is left, or that a new session does not list, ends: with a Discontinuity too where it was not Live.

mod change;
mod early;
mod guild;
mod hold;
mod leaves;
mod room;
mod rows;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

use parlor_proto::v1::{self, UpstreamState, discontinuity::Reason as Cause};

use self::{change::Emitter, early::Early, hold::Holds};
pub use self::{
    change::{Change, ChangeBody, Touched},
    guild::{Guild, Knowledge, TOMBSTONE_AGE},
    leaves::Leaves,
    rows::{Remembered, Row, RowKey},
};
use crate::{
    id::{GuildId, RoomId, UserId},
    update::{GuildSnapshot, Loss, News, Ownership, RoomFacts, ShardIndex, Update},
};

/// How a shard's connection stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    /// Not connected, and nothing to resume.
    Down { since: Option<SystemTime> },
    /// Not connected; the session may be resumed.
    Resuming { since: SystemTime },
    /// Connected.
    Live,
    /// Discord refused us for good.
    Refused { since: SystemTime },
}

impl Link {
    /// From when on changes may be missing.
    fn since(self) -> Option<SystemTime> {
        match self {
            Self::Down { since } => since,
            Self::Resuming { since } | Self::Refused { since } => Some(since),
            Self::Live => None,
        }
    }
}

/// Every guild, at one moment. Cheap to take and to keep: guilds are shared until they change.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The guilds by id.
    pub guilds: Leaves<GuildId, Arc<Guild>>,
    self_user: Option<UserId>,
}

impl Snapshot {
    /// Our own user, once Discord has said who that is.
    pub fn self_user(&self) -> Option<UserId> {
        self.self_user
    }

    /// The guild that a room is or was in.
    pub fn guild_of(&self, room: RoomId) -> Option<(GuildId, &Arc<Guild>)> {
        self.guilds.iter().find(|(_, guild)| guild.room(room).is_some()).map(|(id, guild)| (*id, guild))
    }
}

/// Rooms and voice states of every guild that the bot serves. Its user holds it behind one lock and is the only writer.
#[derive(Debug)]
pub struct Directory {
    self_user: Option<UserId>,
    links: BTreeMap<ShardIndex, Link>,
    guilds: Leaves<GuildId, Arc<Guild>>,
    /// News of guilds whose snapshot a new session still owes us.
    early: BTreeMap<GuildId, Early>,
    /// Snapshots that such news was put into, until something else is heard of the guild: Discord may send one again, and
    /// then it is older than what was made of it.
    outdated: BTreeMap<GuildId, GuildSnapshot>,
    holds: Holds,
}

impl Directory {
    /// An empty directory for so many shards, none of which is connected.
    pub fn new(shards: u32) -> Self {
        let mut directory = Self {
            self_user: None,
            links: BTreeMap::new(),
            guilds: Leaves::default(),
            early: BTreeMap::new(),
            outdated: BTreeMap::new(),
            holds: Holds::default(),
        };
        directory.run_shards(shards.max(1));
        directory
    }

    /// Discord has said how many shards there are. Those that are known keep their state. Where the number is another than
    /// before, guilds change shards, and one that is down may have missed what another would have told: it counts from the
    /// earliest moment of any.
    pub fn run_shards(&mut self, shards: u32) {
        let shards = shards.max(1);
        let earliest = self.links.values().filter_map(|link| link.since()).min();
        if u32::try_from(self.links.len()) != Ok(shards) {
            for link in self.links.values_mut().filter(|link| matches!(link, Link::Down { .. } | Link::Resuming { .. }))
            {
                *link = Link::Down { since: earliest };
            }
        }
        self.links.retain(|index, _| index.0 < shards);
        for index in 0..shards {
            self.links.entry(ShardIndex(index)).or_insert(Link::Down { since: earliest });
        }
    }

    /// Every guild as it is now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { guilds: self.guilds.clone(), self_user: self.self_user }
    }

    /// A guild as it is now.
    pub fn guild(&self, guild: GuildId) -> Option<&Guild> {
        self.guilds.get(&guild).map(Arc::as_ref)
    }

    /// How well what is known agrees with Discord, over all shards: the worst of them.
    pub fn upstream(&self) -> UpstreamState {
        let any = |wanted: fn(&Link) -> bool| self.links.values().any(wanted);
        if any(|link| matches!(link, Link::Refused { .. })) {
            UpstreamState::Failed
        } else if any(|link| matches!(link, Link::Down { .. })) {
            UpstreamState::Stale
        } else if any(|link| matches!(link, Link::Resuming { .. })) {
            UpstreamState::Resuming
        } else if self
            .guilds
            .values()
            .any(|guild| matches!(guild.knowledge, Knowledge::Awaited | Knowledge::Stale { .. }))
        {
            UpstreamState::Reconciling
        } else {
            UpstreamState::Live
        }
    }

    /// Whether some news that was taken in has not changed anything yet, because it waits for a guild's snapshot or for
    /// the answer to a request. It would be lost with the process, so until it is applied a resume must not skip it.
    pub fn has_news_waiting(&self) -> bool {
        self.early.values().any(|early| !early.is_empty()) || self.holds.has_news_waiting()
    }

    /// Takes in one piece of news from the gateway and says what changed by it.
    pub fn apply(&mut self, update: Update, now: SystemTime) -> Vec<Change> {
        match update {
            Update::SessionStarted { shard, self_user, guilds } => self.session_started(shard, self_user, &guilds, now),
            Update::SessionResumed(shard) => {
                self.links.insert(shard, Link::Live);
                Vec::new()
            }
            Update::ConnectionLost { shard, loss, last_heard } => {
                self.connection_lost(shard, loss, last_heard);
                Vec::new()
            }
            Update::Guild(snapshot) => self.guild_described(snapshot, now),
            Update::GuildUnavailable(guild) => self.guild_unavailable(guild, now),
            Update::GuildLeft(guild) => self.guild_left(guild, v1::Origin::Gateway, now),
            Update::GuildChanged { guild, name, bitrate_limit } => {
                if !self.guilds.contains_key(&guild) {
                    return Vec::new();
                }
                self.change_guild(guild, now, |known| {
                    known.name = name;
                    known.bitrate_limit = bitrate_limit.or(known.bitrate_limit);
                })
            }
            Update::Within(guild, news) => match self.early.get_mut(&guild) {
                Some(early) => {
                    early.push(news);
                    Vec::new()
                }
                None => {
                    self.outdated.remove(&guild);
                    self.within_guild(guild, news, v1::Origin::Gateway, now)
                }
            },
        }
    }

    /// Parlor is about to ask Discord for a room of this name. Until [`Directory::settle_room`], Discord's own word of a
    /// new room with that name waits, so that the room appears once and as ours.
    pub fn expect_room(&mut self, guild: GuildId, name: &str) {
        self.holds.expect(guild, name);
    }

    /// What became of [`Directory::expect_room`]: the room that Discord answered with and what is to be noted of it, or
    /// nothing.
    pub fn settle_room(
        &mut self,
        guild: GuildId,
        name: &str,
        created: Option<(RoomFacts, Ownership)>,
        now: SystemTime,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let created_id = created.as_ref().map(|(facts, _)| facts.room);
        if let Some((facts, ownership)) = created {
            let mut emit = Emitter::new(v1::Origin::Api, now);
            if let Some(known) = self.guilds.get_mut(&guild) {
                Arc::make_mut(known).put_own_room(facts, ownership, &mut emit);
            }
            changes.extend(emit.finish());
        }
        for news in self.holds.settle(guild, name, created_id) {
            changes.extend(self.within_guild(guild, news, v1::Origin::Gateway, now));
        }
        changes
    }

    /// Discord answered that a room is like this. `ownership`: what is to be noted of it, where that changes.
    pub fn change_room(
        &mut self,
        guild: GuildId,
        facts: RoomFacts,
        ownership: Option<Ownership>,
        now: SystemTime,
    ) -> Vec<Change> {
        let mut emit = Emitter::new(v1::Origin::Api, now);
        if let Some(known) = self.guilds.get_mut(&guild) {
            Arc::make_mut(known).put_room(facts, ownership, &mut emit);
        }
        emit.finish()
    }

    /// Discord answered that a room's status line is this.
    pub fn set_status(&mut self, guild: GuildId, room: RoomId, status: Option<String>, now: SystemTime) -> Vec<Change> {
        self.within_guild(guild, News::RoomStatus(room, status), v1::Origin::Api, now)
    }

    /// Whether what is known of the guild is what Discord tells at this moment.
    pub fn is_current(&self, guild: GuildId) -> bool {
        let live = self.guilds.get(&guild).is_some_and(|guild| guild.knowledge == Knowledge::Live);
        live && self.links.get(&self.shard_of(guild)) == Some(&Link::Live)
    }

    /// Parlor is about to delete the room for this reason: a deletion that Discord tells of from now on is ours.
    pub fn begin_end(&mut self, guild: GuildId, room: RoomId, reason: v1::room_ended::Reason) {
        self.set_ending(guild, room, Some(reason));
    }

    /// Discord did not delete the room after all.
    pub fn abandon_end(&mut self, guild: GuildId, room: RoomId) {
        self.set_ending(guild, room, None);
    }

    fn set_ending(&mut self, guild: GuildId, room: RoomId, ending: Option<v1::room_ended::Reason>) {
        if let Some(known) = self.guilds.get_mut(&guild) {
            Arc::make_mut(known).set_ending(room, ending);
        }
    }

    /// Discord answered that the room is deleted, or that it was gone before.
    pub fn end_room(&mut self, guild: GuildId, room: RoomId, now: SystemTime) -> Vec<Change> {
        self.within_guild(guild, News::RoomGone(room), v1::Origin::Api, now)
    }

    fn session_started(
        &mut self,
        shard: ShardIndex,
        self_user: UserId,
        listed: &[GuildId],
        now: SystemTime,
    ) -> Vec<Change> {
        let since = self.links.insert(shard, Link::Live).and_then(Link::since).unwrap_or(now);
        self.self_user = Some(self_user);
        let listed: BTreeSet<GuildId> = listed.iter().copied().collect();
        let missing: Vec<GuildId> = self
            .guilds
            .keys()
            .copied()
            .filter(|guild| self.shard_of(*guild) == shard && !listed.contains(guild))
            .collect();
        let mut changes = Vec::new();
        for guild in missing {
            if let Some(known) = self.guilds.get_mut(&guild) {
                Arc::make_mut(known).knowledge = known.knowledge.in_new_session(since);
            }
            changes.extend(self.guild_left(guild, v1::Origin::Reconcile, now));
        }
        for guild in listed {
            changes.extend(self.change_guild(guild, now, |known| {
                known.knowledge = known.knowledge.in_new_session(since);
            }));
            self.early.insert(guild, Early::default());
            self.outdated.remove(&guild);
        }
        changes
    }

    /// Changes what is known of a guild itself, and tells of it where that shows. One that was not known is told of.
    fn change_guild(&mut self, id: GuildId, now: SystemTime, change: impl FnOnce(&mut Guild)) -> Vec<Change> {
        let is_new = !self.guilds.contains_key(&id);
        let known = Arc::make_mut(self.guilds.get_or_insert_with(id, || Arc::new(Guild::awaited(id))));
        let (name, available) = known.face();
        let before = (name.to_owned(), available);
        change(known);
        let mut emit = Emitter::new(v1::Origin::Gateway, now);
        if is_new || known.face() != (before.0.as_str(), before.1) {
            emit.guild(known);
        }
        emit.finish()
    }

    fn connection_lost(&mut self, shard: ShardIndex, loss: Loss, last_heard: SystemTime) {
        // A second failure does not move the moment from which on changes may be missing.
        let since = match self.links.get(&shard) {
            Some(Link::Down { since: Some(since) } | Link::Resuming { since } | Link::Refused { since }) => {
                Some(*since)
            }
            Some(Link::Live) => Some(last_heard),
            Some(Link::Down { since: None }) | None => None,
        };
        let link = match (loss, since) {
            (Loss::Refused, since) => Link::Refused { since: since.unwrap_or(last_heard) },
            (Loss::SessionKept, Some(since)) => Link::Resuming { since },
            (Loss::SessionKept | Loss::SessionLost, since) => Link::Down { since },
        };
        self.links.insert(shard, link);
    }

    fn guild_described(&mut self, mut snapshot: GuildSnapshot, now: SystemTime) -> Vec<Change> {
        let id = snapshot.guild;
        let early = self.early.remove(&id).unwrap_or_default();
        if self.outdated.get(&id) == Some(&snapshot) && early.is_empty() {
            return Vec::new();
        }
        self.outdated.remove(&id);
        if !early.is_empty() {
            self.outdated.insert(id, snapshot.clone());
            early.fold_into(&mut snapshot);
        }
        let holds = &mut self.holds;
        let known = self.guilds.get(&id);
        holds.describe(id, &snapshot.rooms);
        snapshot
            .rooms
            .retain(|room| known.is_some_and(|guild| guild.has_room(room.room)) || !holds.catch_described(room));

        let newly_joined = known.is_none();
        let origin = if newly_joined { v1::Origin::Gateway } else { v1::Origin::Reconcile };
        let mut emit = Emitter::new(origin, now);
        let guild = Arc::make_mut(self.guilds.get_or_insert_with(id, || Arc::new(Guild::awaited(id))));
        let before = guild.knowledge;
        if newly_joined {
            // A guild comes before its rooms.
            guild.name.clone_from(&snapshot.name);
            guild.knowledge = Knowledge::Live;
            emit.guild(guild);
        }
        let (name, available) = guild.face();
        let shown = (name.to_owned(), available);
        guild.reconcile(snapshot, self.self_user, &mut emit);
        // What is shown is what Discord tells only after the difference.
        if guild.face() != (shown.0.as_str(), shown.1) {
            emit.guild(guild);
        }
        if let Some((since, reason)) = before.gap() {
            emit.discontinuity(id, since, reason);
        }
        emit.finish()
    }

    fn guild_unavailable(&mut self, guild: GuildId, now: SystemTime) -> Vec<Change> {
        self.early.remove(&guild);
        self.outdated.remove(&guild);
        self.change_guild(guild, now, |known| {
            known.knowledge = match known.knowledge {
                Knowledge::Awaited => Knowledge::Outage { since: None, reason: Cause::GuildOutage },
                Knowledge::Live => Knowledge::Outage { since: Some(now), reason: Cause::GuildOutage },
                Knowledge::Stale { since, reason } => Knowledge::Outage { since: Some(since), reason },
                outage @ Knowledge::Outage { .. } => outage,
            };
        })
    }

    fn guild_left(&mut self, guild: GuildId, origin: v1::Origin, now: SystemTime) -> Vec<Change> {
        self.early.remove(&guild);
        self.outdated.remove(&guild);
        let mut emit = Emitter::new(origin, now);
        if let Some(mut known) = self.guilds.remove(&guild) {
            Arc::make_mut(&mut known).dissolve(&mut emit);
            emit.guild_left(&known);
            // Nobody will ever describe it again: what happened unseen in its last hours is declared now or never.
            if let Some((since, cause)) = known.knowledge.gap() {
                emit.discontinuity(guild, since, cause);
            }
        }
        emit.finish()
    }

    /// Applies what happened inside a guild. News of a guild that is not ours is dropped: its snapshot will tell.
    fn within_guild(&mut self, id: GuildId, news: News, origin: v1::Origin, now: SystemTime) -> Vec<Change> {
        let Some(guild) = self.guilds.get_mut(&id) else { return Vec::new() };
        let Some(news) = self.holds.catch(guild, news) else { return Vec::new() };
        let guild = Arc::make_mut(guild);
        let mut emit = Emitter::new(origin, now);
        match news {
            News::Room(facts) => guild.put_room(facts, None, &mut emit),
            News::RoomGone(room) => {
                let reason = match origin {
                    v1::Origin::Api => v1::room_ended::Reason::Api,
                    v1::Origin::Unspecified | v1::Origin::Gateway | v1::Origin::Ingest | v1::Origin::Reconcile => {
                        v1::room_ended::Reason::ExternalDelete
                    }
                };
                guild.drop_room(room, reason, &mut emit);
            }
            News::RoomStatus(room, status) => guild.put_status(room, status, &mut emit),
            News::Voice(state) => guild.put_voice(state, self.self_user, &mut emit),
            News::Member(user, profile) => guild.put_profile(user, profile, &mut emit),
            News::MemberLeft(user) => guild.drop_user(user, &mut emit),
        }
        emit.finish()
    }

    /// The shard that a guild is on (Discord docs, events/gateway, "Sharding").
    fn shard_of(&self, guild: GuildId) -> ShardIndex {
        let shards = u64::try_from(self.links.len()).expect("a count fits 64 bits");
        ShardIndex(
            u32::try_from((guild.get() >> 22) % shards).expect("less than the number of shards, which is 32 bits"),
        )
    }
}
