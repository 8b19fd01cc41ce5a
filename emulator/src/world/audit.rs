//! The audit log: who changed what, and the reason they gave.

use super::World;
use super::event::EventKind;
use super::id::{AuditEntryId, ChannelId, GuildId, UserId};
use super::permissions::OverwriteTarget;
use super::wire;

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
    /// The channel or member concerned, as a raw snowflake.
    pub target: Option<u64>,
    /// `X-Audit-Log-Reason`, decoded.
    pub reason: Option<String>,
}

/// What an entry says was done (Discord docs, Audit Log § Audit Log Events).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
    /// 192.
    VoiceStatusUpdate,
    /// 193.
    VoiceStatusDelete,
}

impl AuditAction {
    /// Discord's number for the action.
    pub const fn wire_type(self) -> u8 {
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
            Self::VoiceStatusUpdate => 192,
            Self::VoiceStatusDelete => 193,
        }
    }
}

impl World {
    /// All audit log entries, oldest first.
    pub fn audit_log(&self) -> &[AuditEntry] {
        &self.audit_log
    }

    /// Writes an entry and tells the bots that moderate the guild.
    pub(crate) fn audit(
        &mut self,
        guild: GuildId,
        actor: UserId,
        action: AuditAction,
        target: Option<u64>,
        reason: Option<&str>,
    ) {
        let entry = AuditEntry {
            id: AuditEntryId::new(self.mint()),
            guild_id: guild,
            actor,
            action,
            target,
            reason: reason.map(str::to_owned),
        };
        let mut body = wire::audit_entry(&entry);
        body["guild_id"] = serde_json::json!(guild);
        self.audit_log.push(entry);
        self.tell_guild(guild, EventKind::GuildAuditLogEntryCreate, &body);
    }
}
