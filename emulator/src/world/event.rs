//! Dispatches: what the world tells gateway sessions.

use std::sync::Arc;

use super::id::{GuildId, UserId};
use crate::gateway::Intents;

/// One event on its way to the sessions of some bots.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    /// What happened.
    pub kind: EventKind,
    /// For whom.
    pub audience: Audience,
    /// The payload's `d`, as JSON text: written once, shared by all sessions.
    pub body: Arc<str>,
    /// The same for sessions without MESSAGE_CONTENT that did not write the message themselves.
    pub redacted: Option<Redacted>,
}

/// A message body without its content.
#[derive(Clone, Debug)]
pub(crate) struct Redacted {
    /// The author, who sees the content all the same; none for a webhook's message.
    pub author: Option<UserId>,
    /// The payload's `d` with empty content.
    pub body: Arc<str>,
}

/// Whom a dispatch concerns.
#[derive(Clone, Debug)]
pub(crate) enum Audience {
    /// Sessions of these bots whose shard carries the guild and whose intents cover the event.
    Guild {
        /// The guild, which picks the shard.
        guild: GuildId,
        /// Bots that were members when it happened.
        bots: Vec<UserId>,
    },
    /// One gateway session, whatever its intents.
    Session(String),
}

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal needs $intents:expr;)*) => {
        /// A dispatch's type (Discord docs, Gateway Events).
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub(crate) enum EventKind {
            $($(#[$doc])* $variant,)*
        }

        impl EventKind {
            /// The payload's `t`.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The intent that a session must have declared; empty = none needed.
            pub(crate) const fn intent(self) -> Intents {
                match self { $(Self::$variant => $intents,)* }
            }
        }
    };
}

event_kinds! {
    /// A guild became available or was joined.
    GuildCreate = "GUILD_CREATE" needs Intents::GUILDS;
    /// A guild's own fields changed.
    GuildUpdate = "GUILD_UPDATE" needs Intents::GUILDS;
    /// A guild became unavailable, or the bot was removed from it.
    GuildDelete = "GUILD_DELETE" needs Intents::GUILDS;
    /// A role changed.
    GuildRoleUpdate = "GUILD_ROLE_UPDATE" needs Intents::GUILDS;
    /// A role appeared.
    GuildRoleCreate = "GUILD_ROLE_CREATE" needs Intents::GUILDS;
    /// A channel was created.
    ChannelCreate = "CHANNEL_CREATE" needs Intents::GUILDS;
    /// A channel was changed.
    ChannelUpdate = "CHANNEL_UPDATE" needs Intents::GUILDS;
    /// A channel was deleted.
    ChannelDelete = "CHANNEL_DELETE" needs Intents::GUILDS;
    /// A voice channel's status line changed.
    VoiceChannelStatusUpdate = "VOICE_CHANNEL_STATUS_UPDATE" needs Intents::GUILDS;
    /// Somebody came into an empty voice channel, or the last one left it.
    VoiceChannelStartTimeUpdate = "VOICE_CHANNEL_START_TIME_UPDATE" needs Intents::GUILDS;
    /// A member joined the guild.
    GuildMemberAdd = "GUILD_MEMBER_ADD" needs Intents::GUILD_MEMBERS;
    /// A member's nickname, roles or moderation flags changed.
    GuildMemberUpdate = "GUILD_MEMBER_UPDATE" needs Intents::GUILD_MEMBERS;
    /// An invite was created.
    InviteCreate = "INVITE_CREATE" needs Intents::GUILD_INVITES;
    /// An invite was deleted.
    InviteDelete = "INVITE_DELETE" needs Intents::GUILD_INVITES;
    /// A channel's webhooks changed.
    WebhooksUpdate = "WEBHOOKS_UPDATE" needs Intents::GUILD_WEBHOOKS;
    /// An audit log entry was written.
    GuildAuditLogEntryCreate = "GUILD_AUDIT_LOG_ENTRY_CREATE" needs Intents::GUILD_MODERATION;
    /// Someone joined, moved, left or changed a switch.
    VoiceStateUpdate = "VOICE_STATE_UPDATE" needs Intents::GUILD_VOICE_STATES;
    /// A bot's voice server is known.
    VoiceServerUpdate = "VOICE_SERVER_UPDATE" needs Intents::NONE;
    /// The answer to gateway op 8.
    GuildMembersChunk = "GUILD_MEMBERS_CHUNK" needs Intents::NONE;
    /// The answer to gateway op 43.
    ChannelInfo = "CHANNEL_INFO" needs Intents::NONE;
    /// A session began.
    Ready = "READY" needs Intents::NONE;
    /// A session was taken up again; the replay is complete.
    Resumed = "RESUMED" needs Intents::NONE;
    /// A message was written.
    MessageCreate = "MESSAGE_CREATE" needs Intents::GUILD_MESSAGES;
}
