//! What the store holds of a call that is safe to repeat.
//!
//! ```text
//!   (nothing) ── before Discord is asked ─▶ Creating ── the channel is there ─▶ Furnishing ─▶ Answered
//!                                           │                                                   ▲
//!                                           └─ nothing else was asked for ──────────────────────┘
//! ```
//!
//!   (nothing) ── before Discord is asked ─▶ Asked ─▶ Answered     where Discord cannot be asked what it has done
//!
//! Calls other than those are Answered or not there: to do them again does no harm.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use parlor_gateway::{CategoryId, GuildId, Ownership, RoomId, RoomKind};
use prost::Message;
use prost_types::Timestamp;
use uuid::Uuid;

use crate::auth::Subject;

/// Which call: a hash of subject and request id, so that a key names nobody.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CallKey([u8; 32]);

impl CallKey {
    /// The key with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key of a subject's call with this request id.
    pub fn of(subject: &Subject, request_id: Uuid) -> Self {
        Self(hash(&[request_id.as_bytes(), subject.as_str().as_bytes()]))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What was asked for: a hash of the method and of every field but the request id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestHash([u8; 32]);

impl RequestHash {
    /// The hash of a request whose `request_id` is empty.
    pub fn of(method: &str, request: &impl Message) -> Self {
        Self(hash(&[
            &[u8::try_from(method.len()).expect("methods have short names")],
            method.as_bytes(),
            &request.encode_to_vec(),
        ]))
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    digest(&SHA256, &parts.concat()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A call, and what has come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// What was asked for.
    pub request: RequestHash,
    /// When.
    pub at: SystemTime,
    /// How far it has come.
    pub progress: Progress,
}

/// How far a call has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Discord may or may not have been asked for the channel.
    Creating(Intent),
    /// The channel is there; its status or invite may not be.
    Furnishing {
        /// What was asked for.
        intent: Intent,
        /// The room.
        room: RoomId,
        /// A position at which it exists.
        cursor: String,
    },
    /// Discord may or may not have been asked for something that cannot be looked for.
    Asked,
    /// The answer, as it went over the wire.
    Answered(Bytes),
}

/// A channel to make: what it takes to recognise it, and what is to be noted of it then.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The request's id, which the audit log's reason carries.
    pub request_id: Uuid,
    /// The guild.
    pub guild: GuildId,
    /// The name.
    pub name: String,
    /// Voice or stage.
    pub kind: RoomKind,
    /// The category.
    pub category: Option<CategoryId>,
    /// 0 for no limit.
    pub user_limit: u32,
    /// Bits per second.
    pub bitrate: u32,
    /// What is to be noted of it.
    pub ownership: Ownership,
    /// The status line that it is to get.
    pub status: Option<String>,
    /// The invite that was asked for.
    pub invite: Option<Invitation>,
    /// When Discord was first asked, or a moment before.
    pub asked_at: SystemTime,
}

impl Intent {
    /// Whether the channel alone is not all that was asked for.
    pub fn has_furniture(&self) -> bool {
        self.status.is_some() || self.invite.is_some()
    }
}

/// An invite to make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Invitation {
    /// How long it can be used, in whole seconds; zero for ever.
    pub max_age: Duration,
    /// How often; 0 for any number.
    pub max_uses: u16,
    /// Whether membership ends with the stay.
    pub temporary: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CallRow {
    #[prost(bytes = "vec", tag = "1")]
    request: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    intent: Option<IntentRow>,
    #[prost(fixed64, optional, tag = "4")]
    room: Option<u64>,
    #[prost(string, tag = "5")]
    cursor: String,
    #[prost(bytes = "bytes", optional, tag = "6")]
    answer: Option<Bytes>,
    #[prost(bool, tag = "7")]
    asked: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct IntentRow {
    #[prost(bytes = "vec", tag = "1")]
    request_id: Vec<u8>,
    #[prost(fixed64, tag = "2")]
    guild: u64,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(bool, tag = "4")]
    stage: bool,
    #[prost(fixed64, optional, tag = "5")]
    category: Option<u64>,
    #[prost(uint32, tag = "6")]
    user_limit: u32,
    #[prost(uint32, tag = "7")]
    bitrate: u32,
    #[prost(bytes = "vec", tag = "8")]
    ownership: Vec<u8>,
    #[prost(string, optional, tag = "9")]
    status: Option<String>,
    #[prost(message, optional, tag = "10")]
    invite: Option<InvitationRow>,
    #[prost(message, optional, tag = "11")]
    asked_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InvitationRow {
    #[prost(uint64, tag = "1")]
    max_age_seconds: u64,
    #[prost(uint32, tag = "2")]
    max_uses: u32,
    #[prost(bool, tag = "3")]
    temporary: bool,
}

impl CallRecord {
    /// The record as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (intent, room, cursor, answer) = match &self.progress {
            Progress::Creating(intent) => (Some(intent.to_row()), None, String::new(), None),
            Progress::Furnishing { intent, room, cursor } => {
                (Some(intent.to_row()), Some(room.get()), cursor.clone(), None)
            }
            Progress::Asked => (None, None, String::new(), None),
            Progress::Answered(answer) => (None, None, String::new(), Some(answer.clone())),
        };
        let (request, at) = (self.request.0.to_vec(), Some(self.at.into()));
        let asked = self.progress == Progress::Asked;
        CallRow { request, at, intent, room, cursor, answer, asked }.encode_to_vec()
    }

    /// Reads [`CallRecord::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let CallRow { request, at, intent, room, cursor, answer, asked } = CallRow::decode(bytes).ok()?;
        let progress = match (intent, room, answer) {
            (None, None, None) if asked => Progress::Asked,
            (None, None, Some(answer)) => Progress::Answered(answer),
            (Some(intent), None, None) => Progress::Creating(Intent::from_row(intent)?),
            (Some(intent), Some(room), None) => {
                Progress::Furnishing { intent: Intent::from_row(intent)?, room: RoomId::new(room), cursor }
            }
            _ => return None,
        };
        Some(Self { request: RequestHash(request.try_into().ok()?), at: time(at?)?, progress })
    }

    /// Whether the record holds this text: whoever is named in it is named in the store.
    pub fn holds(bytes: &[u8], text: &str) -> bool {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Intent {
    fn to_row(&self) -> IntentRow {
        IntentRow {
            request_id: self.request_id.as_bytes().to_vec(),
            guild: self.guild.get(),
            name: self.name.clone(),
            stage: self.kind == RoomKind::Stage,
            category: self.category.map(CategoryId::get),
            user_limit: self.user_limit,
            bitrate: self.bitrate,
            ownership: self.ownership.to_bytes(),
            status: self.status.clone(),
            invite: self.invite.map(|invite| InvitationRow {
                max_age_seconds: invite.max_age.as_secs(),
                max_uses: invite.max_uses.into(),
                temporary: invite.temporary,
            }),
            asked_at: Some(self.asked_at.into()),
        }
    }

    fn from_row(row: IntentRow) -> Option<Self> {
        let invite = match row.invite {
            Some(row) => Some(Invitation {
                max_age: Duration::from_secs(row.max_age_seconds),
                max_uses: row.max_uses.try_into().ok()?,
                temporary: row.temporary,
            }),
            None => None,
        };
        Some(Self {
            request_id: Uuid::from_slice(&row.request_id).ok()?,
            guild: GuildId::new(row.guild),
            name: row.name,
            kind: if row.stage { RoomKind::Stage } else { RoomKind::Voice },
            category: row.category.map(CategoryId::new),
            user_limit: row.user_limit,
            bitrate: row.bitrate,
            ownership: Ownership::from_bytes(&row.ownership)?,
            status: row.status,
            invite,
            asked_at: time(row.asked_at?)?,
        })
    }
}

fn time(stamp: Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(stamp).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    pub(crate) fn intent() -> Intent {
        Intent {
            request_id: Uuid::from_u128(7),
            guild: GuildId::new(100_000_000_000_000_001),
            name: "Standup".to_owned(),
            kind: RoomKind::Voice,
            category: Some(CategoryId::new(100_000_000_000_000_009)),
            user_limit: 5,
            bitrate: 64_000,
            ownership: Ownership { creator: "ann".to_owned(), ..Ownership::default() },
            status: Some("chess".to_owned()),
            invite: Some(Invitation { max_age: Duration::from_secs(60), max_uses: 3, temporary: true }),
            asked_at: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        }
    }

    #[test]
    fn each_stage_reads_back() {
        let at = UNIX_EPOCH + Duration::from_millis(1_800_000_000_250);
        let request = RequestHash::of("CreateRoom", &String::from("fields"));
        for progress in [
            Progress::Creating(intent()),
            Progress::Furnishing { intent: intent(), room: RoomId::new(7), cursor: "c".to_owned() },
            Progress::Asked,
            Progress::Answered(Bytes::from_static(b"answer")),
            Progress::Answered(Bytes::new()),
        ] {
            let record = CallRecord { request, at, progress };
            assert_eq!(CallRecord::from_bytes(&record.to_bytes()), Some(record));
        }
    }

    #[test]
    fn keys_and_hashes_tell_everything_apart() {
        let (ann, bob) = (Subject::new("ann").expect("a subject"), Subject::new("bob").expect("a subject"));
        let key = CallKey::of(&ann, Uuid::from_u128(1));
        assert_eq!(key, CallKey::of(&ann, Uuid::from_u128(1)));
        assert_ne!(key, CallKey::of(&ann, Uuid::from_u128(2)));
        assert_ne!(key, CallKey::of(&bob, Uuid::from_u128(1)));
        let request = |method: &str, fields: &str| RequestHash::of(method, &fields.to_owned());
        assert_ne!(request("CreateRoom", "a"), request("CreateRoom", "b"));
        assert_ne!(request("CreateRoom", "a"), request("EndRoom", "a"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            let _ = CallRecord::from_bytes(&bytes);
            let _ = CallRecord::holds(&bytes, "300000000000000001");
        }
    }
}
