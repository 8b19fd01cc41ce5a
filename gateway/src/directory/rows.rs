//! The directory as rows of a store: what has to be known after a restart to tell the difference that it made.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parlor_proto::v1;
use prost::Message;
use prost_types::Timestamp;

use super::{
    Directory, Link, Snapshot,
    early::Early,
    guild::{Guild, Knowledge},
    hold::Holds,
    leaves::Leaves,
    room::{Ended, Participant, Room, Stay},
};
use crate::{
    id::{CategoryId, GuildId, RoomId, UserId},
    update::{Ownership, Policy, Profile, RoomFacts, RoomKind, ShardIndex, VideoQuality, VoiceFlags},
};

/// What a row is about.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RowKey {
    /// Our own user.
    SelfUser,
    /// A guild, without what is in it.
    Guild(GuildId),
    /// A room that is there.
    Room(GuildId, RoomId),
    /// Somebody who is in voice.
    Participant(GuildId, UserId),
    /// A room that ended a short while ago.
    Ended(GuildId, RoomId),
}

impl RowKey {
    /// The key as bytes: the kind, then the ids, big-endian.
    pub fn to_bytes(self) -> Vec<u8> {
        let (kind, ids) = match self {
            Self::SelfUser => (0, [None, None]),
            Self::Guild(guild) => (1, [Some(guild.get()), None]),
            Self::Room(guild, room) => (2, [Some(guild.get()), Some(room.get())]),
            Self::Participant(guild, user) => (3, [Some(guild.get()), Some(user.get())]),
            Self::Ended(guild, room) => (4, [Some(guild.get()), Some(room.get())]),
        };
        let mut bytes = vec![kind];
        ids.into_iter().flatten().for_each(|id| bytes.extend(id.to_be_bytes()));
        bytes
    }

    /// Reads [`RowKey::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, ids) = bytes.split_first()?;
        let ids: Vec<u64> =
            ids.chunks(8).map(|id| id.try_into().map(u64::from_be_bytes).ok()).collect::<Option<_>>()?;
        match (kind, ids.as_slice()) {
            (0, []) => Some(Self::SelfUser),
            (1, [guild]) => Some(Self::Guild(GuildId::new(*guild))),
            (2, [guild, room]) => Some(Self::Room(GuildId::new(*guild), RoomId::new(*room))),
            (3, [guild, user]) => Some(Self::Participant(GuildId::new(*guild), UserId::new(*user))),
            (4, [guild, room]) => Some(Self::Ended(GuildId::new(*guild), RoomId::new(*room))),
            _ => None,
        }
    }

    /// A value of format 1 under this key, in format 2: a room that was `managed` has an owner, who was not noted.
    /// `None` where it cannot be read.
    pub fn value_from_format_1(self, value: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Room(..) => {
                let owned = RoomRowBefore2::decode(value).ok()?.managed.then(OwnershipRow::default);
                Some(RoomRow { owned, ..RoomRow::decode(value).ok()? }.encode_to_vec())
            }
            Self::SelfUser | Self::Guild(_) | Self::Participant(..) | Self::Ended(..) => Some(value.to_vec()),
        }
    }

    /// What is left of a row where nothing may be held of a person; `None` for nothing. A room stays without its creator
    /// and without the labels that hold the person's id.
    pub fn without(self, user: UserId, value: &[u8]) -> Option<Vec<u8>> {
        let id = user.to_string();
        let strip = |creator: &mut String, labels: &mut BTreeMap<String, String>| {
            if creator.contains(&id) {
                creator.clear();
            }
            labels.retain(|_, value| !value.contains(&id));
        };
        match self {
            Self::Participant(_, about) => (about != user).then(|| value.to_vec()),
            Self::Room(..) => {
                let mut row = RoomRow::decode(value).ok()?;
                if let Some(owned) = &mut row.owned {
                    strip(&mut owned.creator, &mut owned.labels);
                }
                Some(row.encode_to_vec())
            }
            Self::Ended(..) => {
                let mut row = EndedRow::decode(value).ok()?;
                if let Some(room) = &mut row.room {
                    strip(&mut room.created_by, &mut room.labels);
                }
                Some(row.encode_to_vec())
            }
            Self::SelfUser | Self::Guild(_) => Some(value.to_vec()),
        }
    }
}

/// One row: what to remember under the key, or that there is nothing any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// What it is about.
    pub key: RowKey,
    /// A protobuf message of this module; `None` to forget it.
    pub value: Option<Vec<u8>>,
}

/// What a store knows of a shard's connection from before a restart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Remembered {
    /// Whether there is a session that may be resumed.
    pub resumable: bool,
    /// When Discord was last heard.
    pub heard_at: SystemTime,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SelfUserRow {
    #[prost(fixed64, tag = "1")]
    user: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GuildRow {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    knowledge: u32,
    #[prost(message, optional, tag = "3")]
    since: Option<Timestamp>,
    #[prost(int32, tag = "4")]
    reason: i32,
    #[prost(uint32, optional, tag = "5")]
    bitrate_limit: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoomRow {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    stage: bool,
    #[prost(fixed64, optional, tag = "3")]
    category: Option<u64>,
    #[prost(uint32, tag = "4")]
    user_limit: u32,
    #[prost(uint32, tag = "5")]
    bitrate: u32,
    // Tag 6 was `managed`, a bool, until format 2.
    #[prost(message, optional, tag = "7")]
    owned: Option<OwnershipRow>,
    #[prost(string, optional, tag = "8")]
    region: Option<String>,
    #[prost(bool, tag = "9")]
    full_video: bool,
    #[prost(string, optional, tag = "10")]
    status: Option<String>,
    /// A `RoomEnded.Reason`; 0 where the room is not being deleted.
    #[prost(int32, tag = "11")]
    ending: i32,
}

/// What Parlor notes of a room that it made. Its bytes stand in the rows of others too.
#[derive(Clone, PartialEq, prost::Message)]
struct OwnershipRow {
    #[prost(string, tag = "1")]
    creator: String,
    #[prost(btree_map = "string, string", tag = "2")]
    labels: BTreeMap<String, String>,
    #[prost(message, optional, tag = "3")]
    policy: Option<v1::RoomPolicy>,
}

/// What a room's row held of its owner in format 1.
#[derive(Clone, PartialEq, prost::Message)]
struct RoomRowBefore2 {
    #[prost(bool, tag = "6")]
    managed: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ParticipantRow {
    #[prost(fixed64, tag = "1")]
    room: u64,
    #[prost(fixed64, tag = "2")]
    stay: u64,
    /// One bit per flag, in the order of [`VoiceFlags`].
    #[prost(uint32, tag = "3")]
    flags: u32,
    #[prost(string, tag = "4")]
    display_name: String,
    #[prost(string, optional, tag = "5")]
    avatar_url: Option<String>,
    #[prost(bool, tag = "6")]
    is_bot: bool,
    #[prost(bool, tag = "7")]
    is_self: bool,
    #[prost(message, optional, tag = "8")]
    joined_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EndedRow {
    #[prost(message, optional, tag = "1")]
    room: Option<v1::Room>,
    #[prost(message, optional, tag = "2")]
    at: Option<Timestamp>,
}

impl Snapshot {
    /// What a store has to write so that it holds this snapshot, if it holds an earlier one. Whatever the two share
    /// is not looked at.
    pub fn rows_since(&self, earlier: &Self) -> Vec<Row> {
        let mut rows = Vec::new();
        if self.self_user != earlier.self_user {
            let value = self.self_user.map(|user| SelfUserRow { user: user.get() }.encode_to_vec());
            rows.push(Row { key: RowKey::SelfUser, value });
        }
        self.guilds.differences(&earlier.guilds, Arc::ptr_eq, |id, now, before| {
            guild_rows(id, now.map(Arc::as_ref), before.map(Arc::as_ref), &mut rows);
        });
        rows
    }
}

fn guild_rows(id: GuildId, now: Option<&Guild>, before: Option<&Guild>, rows: &mut Vec<Row>) {
    let head = |guild: &Guild| {
        let (knowledge, since, reason) = match guild.knowledge {
            Knowledge::Awaited => (0, None, v1::discontinuity::Reason::Unspecified),
            Knowledge::Live => (1, None, v1::discontinuity::Reason::Unspecified),
            Knowledge::Stale { since, reason } => (2, Some(since), reason),
            Knowledge::Outage { since, reason } => (3, since, reason),
        };
        GuildRow {
            name: guild.name.clone(),
            knowledge,
            since: since.map(Into::into),
            reason: reason.into(),
            bitrate_limit: guild.bitrate_limit,
        }
    };
    let head_now = now.map(head);
    if head_now != before.map(head) {
        rows.push(Row { key: RowKey::Guild(id), value: head_now.map(|row| row.encode_to_vec()) });
    }
    let (rooms_now, rooms_before) = (now.map(|guild| &guild.rooms), before.map(|guild| &guild.rooms));
    differences(rooms_now, rooms_before, |room, value| {
        rows.push(Row { key: RowKey::Room(id, room), value: value.map(Room::to_row) });
    });
    let (inside_now, inside_before) = (now.map(|guild| &guild.participants), before.map(|guild| &guild.participants));
    differences(inside_now, inside_before, |user, value| {
        rows.push(Row { key: RowKey::Participant(id, user), value: value.map(Participant::to_row) });
    });
    let (ended_now, ended_before) = (now.map(|guild| &guild.ended), before.map(|guild| &guild.ended));
    differences(ended_now, ended_before, |room, value| {
        rows.push(Row { key: RowKey::Ended(id, room), value: value.map(Ended::to_row) });
    });
}

/// Calls `tell` for everything that is not the same in both.
fn differences<K: Copy + Ord, V>(
    now: Option<&Leaves<K, Arc<V>>>,
    before: Option<&Leaves<K, Arc<V>>>,
    mut tell: impl FnMut(K, Option<&V>),
) {
    let nothing = Leaves::default();
    let (now, before) = (now.unwrap_or(&nothing), before.unwrap_or(&nothing));
    now.differences(before, Arc::ptr_eq, |key, value, _| tell(key, value.map(Arc::as_ref)));
}

impl Directory {
    /// A directory as it was before a restart, which every shard may or may not have to have repaired.
    ///
    /// Rows that cannot be read are left out; their number is returned beside the directory. Where it is not 0, only
    /// new sessions lead back to the truth, so the caller must not say that any is resumable.
    pub fn restore(
        rows: impl IntoIterator<Item = (RowKey, Vec<u8>)>,
        links: &BTreeMap<ShardIndex, Remembered>,
        shards: u32,
    ) -> (Self, usize) {
        let mut directory = Self {
            self_user: None,
            links: BTreeMap::new(),
            guilds: Leaves::default(),
            early: BTreeMap::new(),
            outdated: BTreeMap::new(),
            holds: Holds::default(),
        };
        let mut unreadable = 0;
        for (key, value) in rows {
            if directory.put_row(key, &value).is_none() {
                unreadable += 1;
            }
        }
        for (shard, Remembered { resumable, heard_at }) in links {
            let link =
                if *resumable { Link::Resuming { since: *heard_at } } else { Link::Down { since: Some(*heard_at) } };
            directory.links.insert(*shard, link);
        }
        directory.run_shards(shards.max(1));
        for (id, guild) in directory.guilds.iter() {
            // Still to be described by Discord: what it says of them meanwhile waits, as before the restart.
            if matches!(guild.knowledge, Knowledge::Awaited | Knowledge::Stale { .. }) {
                directory.early.insert(*id, Early::default());
            }
        }
        (directory, unreadable)
    }

    fn put_row(&mut self, key: RowKey, value: &[u8]) -> Option<()> {
        match key {
            RowKey::SelfUser => self.self_user = Some(UserId::new(SelfUserRow::decode(value).ok()?.user)),
            RowKey::Guild(id) => {
                let row = GuildRow::decode(value).ok()?;
                let since = match row.since {
                    Some(stamp) => Some(time(stamp)?),
                    None => None,
                };
                let reason = v1::discontinuity::Reason::try_from(row.reason).ok()?;
                let guild = self.guild_mut(id);
                guild.knowledge = match (row.knowledge, since) {
                    (0, _) => Knowledge::Awaited,
                    (1, _) => Knowledge::Live,
                    (2, Some(since)) => Knowledge::Stale { since, reason },
                    (3, since) => Knowledge::Outage { since, reason },
                    _ => return None,
                };
                guild.name = row.name;
                guild.bitrate_limit = row.bitrate_limit;
            }
            RowKey::Room(id, room) => {
                let value = Room::from_row(id, room, RoomRow::decode(value).ok()?);
                self.guild_mut(id).rooms.insert(room, Arc::new(value));
            }
            RowKey::Participant(id, user) => {
                let value = Participant::from_row(ParticipantRow::decode(value).ok()?)?;
                self.guild_mut(id).participants.insert(user, Arc::new(value));
            }
            RowKey::Ended(id, room) => {
                let EndedRow { room: Some(shown), at: Some(at) } = EndedRow::decode(value).ok()? else { return None };
                self.guild_mut(id).ended.insert(room, Arc::new(Ended { room: shown, at: time(at)? }));
            }
        }
        Some(())
    }

    fn guild_mut(&mut self, id: GuildId) -> &mut Guild {
        Arc::make_mut(self.guilds.get_or_insert_with(id, || Arc::new(Guild::awaited(id))))
    }
}

fn time(stamp: Timestamp) -> Option<SystemTime> {
    let time = SystemTime::try_from(stamp).ok()?;
    (time >= UNIX_EPOCH).then_some(time)
}

impl Room {
    fn to_row(&self) -> Vec<u8> {
        RoomRow {
            name: self.facts.name.clone(),
            stage: self.facts.kind == RoomKind::Stage,
            category: self.facts.category.map(CategoryId::get),
            user_limit: self.facts.user_limit,
            bitrate: self.facts.bitrate,
            owned: self.owned.as_deref().map(Ownership::to_row),
            region: self.facts.region.clone(),
            full_video: self.facts.video_quality == VideoQuality::Full,
            status: self.facts.status.clone(),
            ending: self.ending.map(Into::into).unwrap_or_default(),
        }
        .encode_to_vec()
    }

    fn from_row(guild: GuildId, room: RoomId, row: RoomRow) -> Self {
        let facts = RoomFacts {
            room,
            guild,
            name: row.name,
            kind: if row.stage { RoomKind::Stage } else { RoomKind::Voice },
            category: row.category.map(CategoryId::new),
            user_limit: row.user_limit,
            bitrate: row.bitrate,
            region: row.region,
            video_quality: if row.full_video { VideoQuality::Full } else { VideoQuality::Auto },
            status: row.status,
        };
        let ending = v1::room_ended::Reason::try_from(row.ending).ok();
        Self {
            facts,
            owned: row.owned.map(|owned| Arc::new(Ownership::from_row(owned))),
            ending: ending.filter(|reason| *reason != v1::room_ended::Reason::Unspecified),
        }
    }
}

impl Ownership {
    fn to_row(&self) -> OwnershipRow {
        OwnershipRow { creator: self.creator.clone(), labels: self.labels.clone(), policy: self.policy.to_proto() }
    }

    fn from_row(row: OwnershipRow) -> Self {
        let policy = row.policy.as_ref().map(Policy::from_proto).unwrap_or_default();
        Self { creator: row.creator, labels: row.labels, policy }
    }

    /// As bytes for a store.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_row().encode_to_vec()
    }

    /// Reads [`Ownership::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        OwnershipRow::decode(bytes).ok().map(Self::from_row)
    }
}

impl Ended {
    fn to_row(&self) -> Vec<u8> {
        EndedRow { room: Some(self.room.clone()), at: Some(self.at.into()) }.encode_to_vec()
    }
}

impl Participant {
    fn to_row(&self) -> Vec<u8> {
        let VoiceFlags { mute, deaf, self_mute, self_deaf, camera, stream, suppress } = self.flags;
        let flags = [mute, deaf, self_mute, self_deaf, camera, stream, suppress];
        let flags = flags.iter().rev().fold(0, |bits, flag| bits << 1 | u32::from(*flag));
        ParticipantRow {
            room: self.room.get(),
            stay: self.stay.0,
            flags,
            display_name: self.profile.display_name.clone(),
            avatar_url: self.profile.avatar_url.clone(),
            is_bot: self.profile.is_bot,
            is_self: self.is_self,
            joined_at: Some(self.joined_at.into()),
        }
        .encode_to_vec()
    }

    fn from_row(row: ParticipantRow) -> Option<Self> {
        let flag = |bit: u32| row.flags >> bit & 1 == 1;
        Some(Self {
            room: RoomId::new(row.room),
            stay: Stay(row.stay),
            flags: VoiceFlags {
                mute: flag(0),
                deaf: flag(1),
                self_mute: flag(2),
                self_deaf: flag(3),
                camera: flag(4),
                stream: flag(5),
                suppress: flag(6),
            },
            profile: Profile { display_name: row.display_name, avatar_url: row.avatar_url, is_bot: row.is_bot },
            is_self: row.is_self,
            joined_at: time(row.joined_at?)?,
        })
    }
}
