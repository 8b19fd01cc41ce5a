//! The audit log: who changed what, and the reason they gave (Discord docs, Resources § Audit Log).

use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use super::event::EventKind;
use super::id::{AuditEntryId, ChannelId, GuildId, UserId};
use super::permissions::{OverwriteTarget, Permissions};
use super::wire;

/// How long Discord keeps an entry.
pub(crate) const AUDIT_LOG_AGE: Duration = Duration::from_secs(45 * 24 * 60 * 60);

/// One entry of a guild's audit log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditEntryId,
    /// The guild.
    pub guild_id: GuildId,
    /// Who did it.
    pub actor: UserId,
    /// What they did.
    pub action: AuditAction,
    /// The channel, member or webhook concerned, as a raw snowflake.
    pub target: Option<u64>,
    /// Which fields were changed.
    pub changes: Vec<AuditChange>,
    /// `X-Audit-Log-Reason`, decoded.
    pub reason: Option<String>,
}

/// One changed field; values as they stand in the object's JSON.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditChange {
    /// The field's name.
    pub key: &'static str,
    /// What it was; none = null, or there was nothing.
    pub old: Option<Value>,
    /// What it is; none = null, or there is nothing any more.
    pub new: Option<Value>,
}

/// What an entry says was done (Discord docs, Audit Log § Audit Log Events).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuditAction {
    /// 10.
    ChannelCreate,
    /// 11.
    ChannelUpdate,
    /// 12.
    ChannelDelete,
    /// 13.
    OverwriteCreate(OverwriteTarget),
    /// 14.
    OverwriteUpdate(OverwriteTarget),
    /// 15.
    OverwriteDelete(OverwriteTarget),
    /// 24.
    MemberUpdate,
    /// 26, with where to.
    MemberMove(ChannelId),
    /// 27.
    MemberDisconnect,
    /// 40.
    InviteCreate,
    /// 42.
    InviteDelete,
    /// 50.
    WebhookCreate,
    /// 51.
    WebhookUpdate,
    /// 52.
    WebhookDelete,
    /// 192, with the new status line.
    VoiceStatusUpdate(String),
    /// 193.
    VoiceStatusDelete,
}

/// Something done that the audit log notes.
#[derive(Debug)]
pub(crate) struct Deed<'a> {
    pub guild: GuildId,
    pub actor: UserId,
    pub action: AuditAction,
    pub target: Option<u64>,
    pub changes: Vec<AuditChange>,
    pub reason: Option<&'a str>,
}

impl AuditAction {
    /// Discord's number for the action.
    pub const fn wire_type(&self) -> u8 {
        match self {
            Self::ChannelCreate => 10,
            Self::ChannelUpdate => 11,
            Self::ChannelDelete => 12,
            Self::OverwriteCreate(_) => 13,
            Self::OverwriteUpdate(_) => 14,
            Self::OverwriteDelete(_) => 15,
            Self::MemberUpdate => 24,
            Self::MemberMove(_) => 26,
            Self::MemberDisconnect => 27,
            Self::InviteCreate => 40,
            Self::InviteDelete => 42,
            Self::WebhookCreate => 50,
            Self::WebhookUpdate => 51,
            Self::WebhookDelete => 52,
            Self::VoiceStatusUpdate(_) => 192,
            Self::VoiceStatusDelete => 193,
        }
    }
}

impl World {
    /// All audit log entries, oldest first, also those that are too old for Discord to show.
    pub fn audit_log(&self) -> &[AuditEntry] {
        &self.audit_log
    }

    /// Writes an entry and tells the bots that may read the log.
    pub(crate) fn audit(&mut self, deed: Deed<'_>) {
        let guild = deed.guild;
        let entry = AuditEntry {
            id: AuditEntryId::new(self.mint()),
            guild_id: guild,
            actor: deed.actor,
            action: deed.action,
            target: deed.target,
            changes: deed.changes,
            reason: deed.reason.map(str::to_owned),
        };
        let mut body = wire::audit_entry(&entry);
        body["guild_id"] = json!(guild);
        self.audit_log.push(entry);
        self.tell_some(guild, EventKind::GuildAuditLogEntryCreate, &body, |guild, bot| {
            guild.base_permissions(bot).contains(Permissions::VIEW_AUDIT_LOG)
        });
    }
}

/// The fields in which two JSON objects differ; null counts as nothing.
pub(crate) fn changes(before: &Value, after: &Value, keys: &[&'static str]) -> Vec<AuditChange> {
    let field = |object: &Value, key: &str| object.get(key).filter(|value| !value.is_null()).cloned();
    keys.iter()
        .map(|key| AuditChange { key, old: field(before, key), new: field(after, key) })
        .filter(|change| change.old != change.new)
        .collect()
}
