//! The audit log: what tells a room that we made from one that somebody else made (Discord docs, resources/audit-log).

use serde::Deserialize;
use twilight_model::guild::audit_log::AuditLogEventType;

use super::{guild_id, user_id};
use crate::{
    id::{AuditEntryId, ChannelId, GuildId, UserId},
    rest::{
        Caller, Rest, RestError,
        outgoing::Outgoing,
        permission::Permission,
        schedule::{Resource, Route, Verb},
    },
};

const LIST: Route = Route::new(Verb::Get, "/guilds/{guild}/audit-logs");
const NEEDS: &[Permission] = &[Permission::ViewAuditLog];

/// What was done to a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuditAction {
    /// 10: it was made.
    ChannelCreate,
    /// 11: it was changed.
    ChannelUpdate,
    /// 12: it was deleted.
    ChannelDelete,
}

/// Which entries to list, newest first.
#[derive(Clone, Copy, Debug)]
pub struct AuditQuery {
    /// What was done.
    pub action: AuditAction,
    /// Only by this user.
    pub by: Option<UserId>,
    /// Only older entries than this one.
    pub before: Option<AuditEntryId>,
    /// How many at most, 1 to 100.
    pub limit: u16,
}

/// Somebody did something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditEntry {
    /// Its id, which tells when.
    pub id: AuditEntryId,
    /// What was done.
    pub action: AuditAction,
    /// To which channel.
    pub channel: ChannelId,
    /// By whom.
    pub by: Option<UserId>,
    /// Why, in the words of who did it.
    pub reason: Option<String>,
}

impl Rest {
    /// What was done to a guild's channels. Safe to repeat. Needs View Audit Log.
    pub async fn audit_log(
        &self,
        guild: GuildId,
        query: &AuditQuery,
        caller: &Caller,
    ) -> Result<Vec<AuditEntry>, RestError> {
        #[derive(Deserialize)]
        struct Body {
            audit_log_entries: Vec<Wire>,
        }
        let body: Body = self.ask(self.audit_log_request(guild, query, caller)?).await?;
        Ok(body.audit_log_entries.into_iter().filter_map(Wire::entry).collect())
    }

    pub(super) fn audit_log_request(
        &self,
        guild: GuildId,
        query: &AuditQuery,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let action = match query.action {
            AuditAction::ChannelCreate => AuditLogEventType::ChannelCreate,
            AuditAction::ChannelUpdate => AuditLogEventType::ChannelUpdate,
            AuditAction::ChannelDelete => AuditLogEventType::ChannelDelete,
        };
        let mut request = self.builder.audit_log(guild_id(guild)).action_type(action).limit(query.limit);
        if let Some(user) = query.by {
            request = request.user_id(user_id(user));
        }
        if let Some(entry) = query.before {
            request = request.before(entry.get());
        }
        Ok(Outgoing::new(LIST, Resource::Guild(guild), request, caller)?.needing(NEEDS))
    }
}

#[derive(Deserialize)]
struct Wire {
    id: AuditEntryId,
    action_type: u16,
    target_id: Option<ChannelId>,
    user_id: Option<UserId>,
    reason: Option<String>,
}

impl Wire {
    /// The entry, if it is about a channel.
    fn entry(self) -> Option<AuditEntry> {
        let action = match self.action_type {
            10 => AuditAction::ChannelCreate,
            11 => AuditAction::ChannelUpdate,
            12 => AuditAction::ChannelDelete,
            _ => return None,
        };
        Some(AuditEntry { id: self.id, action, channel: self.target_id?, by: self.user_id, reason: self.reason })
    }
}
