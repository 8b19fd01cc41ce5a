//! The writing half of the hub: takes in what Discord tells and what Parlor does, and makes of it what is to be stored
//! and then shown. Pure: time comes in, and whoever drives it commits.
//!
//! ```text
//! deliver, act … ─▶ pending ─ round() ─▶ Round ─ store.commit ─▶ State::publish
//! ```

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use parlor_gateway::{Change, ChangeBody, Delivery, Directory, GuildId, RoomId, SessionPlace, ShardIndex, Snapshot};
use parlor_proto::v1::UpstreamState;

use super::{
    Placed,
    log::{Entry, Log},
    position::{CursorKey, Epoch, Position, Sequence},
    state::State,
};
use crate::{
    rooms::Lifecycles,
    store::{Batch, Key, Recovered, ShardRecord},
};

/// One step of the hub: what is stored together, and shown together afterwards.
#[derive(Clone, Debug)]
pub struct Round {
    /// What to store.
    pub batch: Batch,
    pub(super) snapshot: Snapshot,
    pub(super) upstream: UpstreamState,
    pub(super) deadline: Option<Instant>,
}

/// The only one who changes the directory and who numbers entries.
#[derive(Debug)]
pub struct Writer {
    directory: Directory,
    pending: Pending,
    lifecycles: Lifecycles,
    /// The time of day of the newest command.
    wall: SystemTime,
    /// The directory as it was at the end of the last round.
    before: Snapshot,
    told: UpstreamState,
    rows: Vec<(Key, Option<Vec<u8>>)>,
    shards: BTreeMap<ShardIndex, ShardRecord>,
    /// What the store holds of the shards.
    stored_shards: BTreeMap<ShardIndex, ShardRecord>,
}

/// Entries that are numbered and not stored yet.
#[derive(Debug)]
struct Pending {
    epoch: Epoch,
    key: Arc<CursorKey>,
    head: Sequence,
    entries: Vec<Arc<Entry>>,
}

impl Pending {
    fn cursor(&self) -> String {
        self.key.seal(Position { epoch: self.epoch, sequence: self.head })
    }

    fn stamp(&mut self, changes: Vec<Change>, wall: SystemTime) {
        for change in changes {
            if let ChangeBody::Discontinuity(entry) = &change.body {
                metrics::counter!("parlor_discontinuity_total", "reason" => entry.reason().as_str_name()).increment(1);
            }
            self.head = self.head.next();
            let cursor = self.cursor();
            self.entries.push(Arc::new(Entry::new(change, self.head, cursor, wall)));
        }
    }
}

/// What an action of Parlor's own may touch. All of it is stored in one step.
pub struct Draft<'a> {
    /// The directory.
    pub directory: &'a mut Directory,
    /// The rooms that end by themselves.
    pub lifecycles: &'a mut Lifecycles,
    /// The time of day.
    pub wall: SystemTime,
    pending: &'a mut Pending,
    rows: &'a mut Vec<(Key, Option<Vec<u8>>)>,
}

impl Draft<'_> {
    /// Adds changes to the log.
    pub fn tell(&mut self, changes: Vec<Change>) {
        self.lifecycles.observe(&changes);
        self.pending.stamp(changes, self.wall);
    }

    /// Keeps a value under a key of the store, or forgets it.
    pub fn keep(&mut self, key: Key, value: Option<Vec<u8>>) {
        self.rows.push((key, value));
    }

    /// A room as it is after what was told so far, with a cursor at which it is so.
    pub fn placed(&self, guild: GuildId, room: RoomId) -> Placed {
        let room = self.directory.guild(guild).and_then(|guild| guild.room(room));
        Placed { room, cursor: self.pending.cursor() }
    }
}

impl Writer {
    /// A writer that goes on from what a store held.
    ///
    /// Rows that cannot be read are treated as a damage: no session is resumed, so that Discord describes every guild
    /// anew.
    pub fn new(recovered: &Recovered, key: Arc<CursorKey>, shards: Option<u32>) -> Self {
        let mut rows = Vec::new();
        let mut known = BTreeMap::new();
        let mut whole = recovered.continuity != crate::store::Continuity::Damaged;
        for (name, value) in &recovered.rows {
            match name {
                Key::Directory(name) => rows.push((*name, value.clone())),
                // Whoever keeps calls reads them, and voice its own; what was noted of a room's life follows below.
                Key::Call(_) | Key::Life(_) | Key::Consent(..) | Key::Voice(_) => {}
                Key::Shard(shard) => match ShardRecord::from_bytes(value) {
                    Some(record) => drop(known.insert(*shard, record)),
                    None => whole = false,
                },
            }
        }
        let stored_shards = u32::try_from(known.len()).expect("shards are numbered with 32 bits");
        let shards = shards.unwrap_or(stored_shards).max(1);
        // Among more shards, or fewer, a shard's session is about other guilds.
        whole &= known.is_empty() || stored_shards == shards;
        let restore = |known: &BTreeMap<ShardIndex, ShardRecord>| {
            let links = known.iter().map(|(shard, record)| (*shard, record.remembered())).collect();
            Directory::restore(rows.clone(), &links, shards)
        };
        // As the store holds them: what is forgotten here has to be forgotten there too.
        let stored = known.clone();
        let forget_sessions = |known: &mut BTreeMap<ShardIndex, ShardRecord>| {
            known.values_mut().for_each(|record| record.session = None);
        };
        if !whole {
            forget_sessions(&mut known);
        }
        let (mut directory, unreadable) = restore(&known);
        if unreadable > 0 {
            forget_sessions(&mut known);
            (directory, _) = restore(&known);
        }
        let before = directory.snapshot();
        let pending = Pending { epoch: recovered.epoch, key, head: recovered.head, entries: Vec::new() };
        Self {
            told: directory.upstream(),
            directory,
            pending,
            lifecycles: Lifecycles::default(),
            wall: SystemTime::UNIX_EPOCH,
            before,
            rows: Vec::new(),
            stored_shards: stored,
            shards: known,
        }
    }

    /// Takes up the timers of the rooms that end by themselves.
    pub fn resume_lifecycles(&mut self, recovered: &Recovered, wall: SystemTime, now: Instant) {
        self.lifecycles = Lifecycles::restore(&self.directory, recovered.lives(), wall, now);
    }

    /// What everybody sees at the start: nothing is pending yet.
    pub fn state(&self, log: Log) -> State {
        State::new(log, self.before.clone(), self.told, self.lifecycles.next_deadline())
    }

    /// The sessions that may be resumed.
    pub fn sessions(&self) -> BTreeMap<ShardIndex, SessionPlace> {
        self.shards.iter().filter_map(|(shard, record)| Some((*shard, record.session.clone()?))).collect()
    }

    /// How many shards the store knows of.
    pub fn stored_shards(&self) -> u32 {
        u32::try_from(self.shards.len()).expect("shards are numbered with 32 bits")
    }

    /// Takes in what a shard passes on.
    pub fn deliver(&mut self, delivery: Delivery, wall: SystemTime) {
        let Delivery { shard, update, session, heard_at } = delivery;
        self.wall = wall;
        if let Some(update) = update {
            let changes = self.directory.apply(update, wall);
            self.lifecycles.observe(&changes);
            self.pending.stamp(changes, wall);
        }
        self.shards.insert(shard, ShardRecord { session, heard_at });
    }

    /// Does something of Parlor's own.
    pub fn act<T>(&mut self, wall: SystemTime, act: impl FnOnce(&mut Draft<'_>) -> T) -> T {
        self.wall = wall;
        let Self { directory, lifecycles, pending, rows, .. } = self;
        act(&mut Draft { directory, lifecycles, wall, pending, rows })
    }

    /// Starts and stops the timers of the rooms that were touched since the last time.
    pub fn keep_time(&mut self, now: Instant) {
        let rows = self.lifecycles.take_in(&self.directory, self.wall, now);
        self.rows.extend(rows.into_iter().map(|(room, value)| (Key::Life(room), value)));
    }

    /// Closes a round: everything since the last one. `None` if there is nothing to store and nothing to show.
    pub fn round(&mut self, state: &State) -> Option<Round> {
        let snapshot = self.directory.snapshot();
        let mut rows = std::mem::take(&mut self.rows);
        rows.extend(snapshot.rows_since(&self.before).into_iter().map(|row| (Key::Directory(row.key), row.value)));
        self.before = snapshot.clone();
        self.shard_rows(&mut rows);
        let upstream = self.directory.upstream();
        let entries = std::mem::take(&mut self.pending.entries);
        let deadline = self.lifecycles.next_deadline();
        if entries.is_empty() && rows.is_empty() && upstream == self.told && deadline == state.deadline() {
            return None;
        }
        self.told = upstream;
        Some(Round { batch: Batch { entries, forget_before: state.log.oldest(), rows }, snapshot, upstream, deadline })
    }

    fn shard_rows(&mut self, rows: &mut Vec<(Key, Option<Vec<u8>>)>) {
        let waiting = self.directory.has_news_waiting();
        for (shard, record) in &self.shards {
            let stored = self.stored_shards.get(shard);
            let record = if waiting {
                // What waits would be lost with the process, so it counts as not heard.
                let heard_at = stored.map_or(record.heard_at, |stored| stored.heard_at);
                ShardRecord { session: None, heard_at }
            } else {
                record.clone()
            };
            if stored != Some(&record) {
                rows.push((Key::Shard(*shard), Some(record.to_bytes())));
                self.stored_shards.insert(*shard, record);
            }
        }
    }
}
