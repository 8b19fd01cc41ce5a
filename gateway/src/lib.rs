//! Discord's side of Parlor.
//!
//! ```text
//! shard (IO) ──▶ translate ──▶ Update ──▶ Directory ──▶ Change (one log entry each)
//! rest (IO) ───────────────────▲
//! ```
//!
//! - [`shard`] holds the gateway connections: resume, identify, and a pause before every new connection.
//! - [`translate`] turns Discord's JSON into [`Update`]s; nothing of Discord's formats passes it.
//! - [`Directory`] is the pure state machine that knows who is in which room and says what changed.
//! - [`rest`] asks Discord for things, when Discord's limits allow it.
//! - [`voice`] is where voice sessions meet the shards: what the bot asks for, and what Discord says to it.
//!
//! twilight is named here and nowhere else.

mod directory;
pub mod id;
pub mod rest;
pub mod shard;
pub mod translate;
mod update;
pub mod voice;

pub use directory::{
    Change, ChangeBody, Directory, Guild, Knowledge, Leaves, Remembered, Row, RowKey, Snapshot, TOMBSTONE_AGE, Touched,
};
pub use id::{AuditEntryId, CategoryId, ChannelId, GuildId, MessageId, RoleId, RoomId, UserId, WebhookId};
pub use update::{
    Delivery, GuildSnapshot, Loss, News, Ownership, Policy, Profile, RoomFacts, RoomKind, SessionPlace, ShardIndex,
    Update, VideoQuality, VoiceFlags, VoiceSessionId, VoiceState,
};
