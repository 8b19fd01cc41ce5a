//! What the bytes of the store mean. Every value ends with a CRC-32 of itself, so that what a damaged file still holds
//! can be told from what it does not.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parlor_gateway::{GuildId, Remembered, RoomId, RowKey, SessionPlace, ShardIndex, Touched, UserId};
use parlor_proto::v1::VoiceEventKind;
use prost::Message;
use prost_types::Timestamp;

use crate::{
    hub::{Entry, Framed, Sequence},
    rooms::CallKey,
};

/// What a row is about.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Key {
    /// A piece of the directory.
    Directory(RowKey),
    /// A gateway connection.
    Shard(ShardIndex),
    /// A call that is safe to repeat, and what came of it.
    Call(CallKey),
    /// The timers of a room that Parlor made.
    Life(RoomId),
    /// Somebody who does not want to be heard in a guild.
    Consent(GuildId, UserId),
    /// The voice session of a guild that is to be taken up again.
    Voice(GuildId),
}

impl Key {
    /// The key as bytes: the kind, then what it is made of.
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Directory(key) => [vec![1], key.to_bytes()].concat(),
            Self::Shard(shard) => [vec![2], shard.0.to_be_bytes().to_vec()].concat(),
            Self::Call(call) => [vec![3], call.as_bytes().to_vec()].concat(),
            Self::Life(room) => [vec![4], room.get().to_be_bytes().to_vec()].concat(),
            Self::Consent(guild, user) => {
                [vec![5], guild.get().to_be_bytes().to_vec(), user.get().to_be_bytes().to_vec()].concat()
            }
            Self::Voice(guild) => [vec![6], guild.get().to_be_bytes().to_vec()].concat(),
        }
    }

    /// Reads [`Key::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (1, key) => RowKey::from_bytes(key).map(Self::Directory),
            (2, shard) => Some(Self::Shard(ShardIndex(u32::from_be_bytes(shard.try_into().ok()?)))),
            (3, call) => Some(Self::Call(CallKey::new(call.try_into().ok()?))),
            (4, room) => Some(Self::Life(RoomId::new(u64::from_be_bytes(room.try_into().ok()?)))),
            (5, both) => {
                let (guild, user) = both.split_first_chunk::<8>()?;
                let user = UserId::new(u64::from_be_bytes(user.try_into().ok()?));
                Some(Self::Consent(GuildId::new(u64::from_be_bytes(*guild)), user))
            }
            (6, guild) => Some(Self::Voice(GuildId::new(u64::from_be_bytes(guild.try_into().ok()?)))),
            _ => None,
        }
    }
}

/// How a gateway connection stood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShardRecord {
    /// Where a resume goes on; `None` where there is nothing to resume, or where news was still waiting that a resume
    /// would not bring again.
    pub session: Option<SessionPlace>,
    /// When Discord was last heard.
    pub heard_at: SystemTime,
}

impl ShardRecord {
    /// The record as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let session = self.session.clone().map(|place| SessionRow {
            session_id: place.session_id,
            sequence: place.sequence,
            resume_url: place.resume_url,
        });
        ShardRow { session, heard_at: Some(self.heard_at.into()) }.encode_to_vec()
    }

    /// Reads [`ShardRecord::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ShardRow { session, heard_at } = ShardRow::decode(bytes).ok()?;
        let session = session.map(|row| SessionPlace {
            session_id: row.session_id,
            sequence: row.sequence,
            resume_url: row.resume_url,
        });
        Some(Self { session, heard_at: SystemTime::try_from(heard_at?).ok()? })
    }

    /// The same with nothing to resume.
    #[must_use]
    pub fn without_session(self) -> Self {
        Self { session: None, ..self }
    }

    /// What the directory has to know of it.
    pub fn remembered(&self) -> Remembered {
        Remembered { resumable: self.session.is_some(), heard_at: self.heard_at }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ShardRow {
    #[prost(message, optional, tag = "1")]
    session: Option<SessionRow>,
    #[prost(message, optional, tag = "2")]
    heard_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SessionRow {
    #[prost(string, tag = "1")]
    session_id: String,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(string, optional, tag = "3")]
    resume_url: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EntryRow {
    #[prost(fixed64, tag = "1")]
    guild: u64,
    /// None of them: every room of the guild. Two: from, to.
    #[prost(fixed64, repeated, tag = "2")]
    rooms: Vec<u64>,
    #[prost(enumeration = "VoiceEventKind", optional, tag = "3")]
    kind: Option<i32>,
    #[prost(uint64, tag = "4")]
    stored_at_millis: u64,
    #[prost(bytes = "bytes", tag = "5")]
    shared: Bytes,
}

/// An entry as the log's table holds it.
pub(super) fn entry_to_bytes(entry: &Entry) -> Vec<u8> {
    let rooms = match entry.rooms {
        Touched::All => Vec::new(),
        Touched::One(room) => vec![room.get()],
        Touched::Both { from, to } => vec![from.get(), to.get()],
    };
    let since = entry.stored_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    EntryRow {
        guild: entry.guild.get(),
        rooms,
        kind: entry.kind.map(Into::into),
        stored_at_millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        shared: entry.framed.shared(),
    }
    .encode_to_vec()
}

/// Reads [`entry_to_bytes`]; `None` for anything else.
pub(super) fn entry_from_bytes(sequence: Sequence, bytes: &[u8]) -> Option<Entry> {
    let row = EntryRow::decode(bytes).ok()?;
    let rooms = match row.rooms.as_slice() {
        [] => Touched::All,
        [room] => Touched::One(RoomId::new(*room)),
        [from, to] => Touched::Both { from: RoomId::new(*from), to: RoomId::new(*to) },
        _ => return None,
    };
    let kind = match row.kind {
        Some(kind) => Some(VoiceEventKind::try_from(kind).ok()?),
        None => None,
    };
    let stored_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(row.stored_at_millis))?;
    Some(Entry {
        sequence,
        guild: GuildId::new(row.guild),
        rooms,
        kind,
        framed: Framed::new(&row.shared, sequence),
        stored_at,
    })
}

/// A value with its checksum.
pub(super) fn seal(mut value: Vec<u8>) -> Vec<u8> {
    let sum = crc32fast::hash(&value);
    value.extend(sum.to_be_bytes());
    value
}

/// Takes a value out of [`seal`]; `None` if a bit of it has changed.
pub(super) fn open(sealed: &[u8]) -> Option<&[u8]> {
    let (value, sum) = sealed.split_last_chunk::<4>()?;
    (crc32fast::hash(value) == u32::from_be_bytes(*sum)).then_some(value)
}
