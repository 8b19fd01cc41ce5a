//! What Parlor asks of Discord on a caller's behalf, and what Discord's refusals mean to the caller.

mod names;
mod refusals;

use std::{sync::Arc, time::SystemTime};

use parlor_gateway::{
    CategoryId, ChannelId, GuildId, MessageId, RoomFacts, RoomId, UserId, WebhookId,
    rest::{
        AuditAction, AuditEntry, AuditQuery, Caller, Channel, MemberChange, NewInvite, NewMessage, NewRoom, NewWebhook,
        Overwrite, PostedMessage, Refusal, Rest, RestError, RoomChange, Webhook, WebhookPost,
    },
};

use secrecy::SecretString;

pub use self::refusals::{Translation, translations};
use self::{
    names::Names,
    refusals::{failure, named, not_repeatable},
};
use super::rooms::{Access, RoomSpec};
use crate::{
    auth::{
        ChangeParticipants, CreateRoom, EndRoom, ForceEndRoom, ForceUpdateRoom, Permit, ReadRooms, SendMessage,
        UpdateRoom, UseWebhooks,
    },
    rooms::{Answers, Due, Intent, Invitation},
    status::{Failure, Reason},
};

/// How many entries of the audit log are on a page: the most that Discord gives at once.
const LOG_ENTRIES: u16 = 100;

/// How many pages a look goes through at most: more rooms than a guild can hold are made and ended in a while.
const LOG_PAGES: u32 = 20;

/// Discord's REST API behind permits: nothing is asked of Discord without the proof that the caller may have it.
#[derive(Clone)]
pub struct DiscordRooms {
    rest: Arc<Rest>,
}

/// What an audit log says.
struct Log {
    entries: Vec<AuditEntry>,
    /// Whether it is too long to be read as far back as was wanted.
    is_cut: bool,
}

/// Proof that something may be done in a guild.
pub(super) trait Mandate {
    /// The guild.
    fn guild(&self) -> GuildId;
}

/// Proof that a room may be made.
pub(super) enum CreatePermit {
    /// A caller may.
    Asked(Permit<CreateRoom>),
    /// A caller was allowed to, in a call that was broken off.
    Begun(GuildId),
}

impl CreatePermit {
    /// The proof that the store holds.
    pub(super) fn begun(intent: &Intent) -> Self {
        Self::Begun(intent.guild)
    }
}

impl Mandate for CreatePermit {
    fn guild(&self) -> GuildId {
        match self {
            Self::Asked(permit) => permit.guild(),
            Self::Begun(guild) => *guild,
        }
    }
}

/// Proof that a room may be changed.
pub(super) enum UpdatePermit {
    /// One of our own.
    Managed(Permit<UpdateRoom>),
    /// Anybody's.
    Forced(Permit<ForceUpdateRoom>),
}

impl Mandate for UpdatePermit {
    fn guild(&self) -> GuildId {
        match self {
            Self::Managed(permit) => permit.guild(),
            Self::Forced(permit) => permit.guild(),
        }
    }
}

/// Proof that a room may be ended.
pub(super) enum EndPermit {
    /// One of our own.
    Managed(Permit<EndRoom>),
    /// Anybody's.
    Forced(Permit<ForceEndRoom>),
    /// One of our own, whose policy says so.
    Policy(Due),
    /// One whose end had begun when the process ended.
    Begun(GuildId),
    /// One that was made a moment ago, by a call that fails.
    Unfinished(GuildId),
}

impl Mandate for EndPermit {
    fn guild(&self) -> GuildId {
        match self {
            Self::Managed(permit) => permit.guild(),
            Self::Forced(permit) => permit.guild(),
            Self::Policy(due) => due.guild,
            Self::Begun(guild) | Self::Unfinished(guild) => *guild,
        }
    }
}

/// Whether Discord still had the channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deleted {
    Now,
    Before,
}

/// A room was not made, as far as is known.
#[derive(Debug)]
pub(super) enum NotMade {
    /// It was not.
    Failed(Failure),
    /// Nobody knows.
    Unknown,
}

impl DiscordRooms {
    /// Over this REST client.
    pub fn new(rest: Arc<Rest>) -> Self {
        Self { rest }
    }

    pub(super) async fn create(
        &self,
        permit: &CreatePermit,
        spec: &RoomSpec,
        bot: Option<UserId>,
        reason: &str,
        caller: &Caller,
    ) -> Result<RoomFacts, NotMade> {
        let guild = permit.guild();
        let names = if matches!(spec.access, Access::Private(_)) { Names::PRIVATE_ROOM } else { Names::ROOM };
        let room = NewRoom {
            guild,
            name: spec.name.clone(),
            kind: spec.kind,
            category: spec.category,
            user_limit: spec.user_limit,
            bitrate: spec.bitrate,
            rtc_region: spec.region.clone(),
            video_quality: spec.video_quality,
            overwrites: spec.access.overwrites(guild, bot),
        };
        let channel = self.rest.create_room(&room, reason, caller).await;
        let facts = channel.and_then(|channel| channel.room(guild).ok_or(RestError::UnreadableAnswer));
        facts.map_err(|error| match error {
            RestError::OutcomeUnknown | RestError::UnreadableAnswer => NotMade::Unknown,
            RestError::Refused { .. }
            | RestError::RateLimited { .. }
            | RestError::BreakerOpen { .. }
            | RestError::Unavailable
            | RestError::CredentialsRefused => NotMade::Failed(named(names, error)),
        })
    }

    /// The bot's own user.
    pub(super) async fn bot(&self, caller: &Caller) -> Result<UserId, Failure> {
        self.rest.current_user(caller).await.map(|user| user.id).map_err(failure)
    }

    /// What Discord says of a guild's rooms, and then of who made them, people too: a room that comes to be in between is
    /// in the log alone, where its maker stands, and not among the rooms, where it would look like anybody's. The log is
    /// read back to `since`.
    pub(super) async fn look(
        &self,
        permit: &CreatePermit,
        since: SystemTime,
        caller: &Caller,
    ) -> Result<Answers, Failure> {
        let guild = permit.guild();
        let channels = self.rest.list_channels(guild, caller).await.map_err(failure)?;
        let rooms = channels.iter().filter_map(|channel| channel.room(guild)).collect();
        match self.log(guild, AuditAction::ChannelCreate, None, since, caller).await {
            Ok(Log { entries, is_cut }) => Ok(Answers { log: Some(entries), log_is_cut: is_cut, rooms }),
            Err(RestError::Refused {
                refusal: Refusal::MissingPermissions { .. } | Refusal::MissingAccess { .. },
                ..
            }) => Ok(Answers { log: None, log_is_cut: false, rooms }),
            Err(error) => Err(failure(error)),
        }
    }

    /// Whether Parlor itself has deleted the room again, with this mark, since then.
    pub(super) async fn has_unmade(
        &self,
        permit: &CreatePermit,
        bot: UserId,
        room: RoomId,
        mark: &str,
        since: SystemTime,
        caller: &Caller,
    ) -> Result<bool, Failure> {
        let log = self.log(permit.guild(), AuditAction::ChannelDelete, Some(bot), since, caller).await;
        let Log { entries, is_cut } = log.map_err(failure)?;
        let is_marked = |reason: &Option<String>| reason.as_ref().is_some_and(|reason| reason.contains(mark));
        if entries.iter().any(|entry| RoomId::new(entry.channel.get()) == room && is_marked(&entry.reason)) {
            return Ok(true);
        }
        if is_cut {
            Err(Failure::new(Reason::DiscordUnavailable, "the audit log is too long to be read"))
        } else {
            Ok(false)
        }
    }

    /// Which channels the bot made since then, by the audit log, as far back as that is read.
    pub(super) async fn made_by(
        &self,
        guild: GuildId,
        bot: UserId,
        since: SystemTime,
        caller: &Caller,
    ) -> Result<Vec<AuditEntry>, Failure> {
        let log = self.log(guild, AuditAction::ChannelCreate, Some(bot), since, caller).await;
        log.map(|log| log.entries).map_err(failure)
    }

    /// A guild's audit log, newest first, back to `since` or a little further.
    async fn log(
        &self,
        guild: GuildId,
        action: AuditAction,
        by: Option<UserId>,
        since: SystemTime,
        caller: &Caller,
    ) -> Result<Log, RestError> {
        let mut log = Log { entries: Vec::new(), is_cut: false };
        let mut query = AuditQuery { action, by, before: None, limit: LOG_ENTRIES };
        for _ in 0..LOG_PAGES {
            let page = self.rest.audit_log(guild, &query, caller).await?;
            let is_last = page.len() < usize::from(LOG_ENTRIES);
            let oldest = page.last().map(|entry| entry.id);
            log.entries.extend(page);
            let Some(oldest) = oldest.filter(|oldest| !is_last && oldest.created_at() >= since) else { return Ok(log) };
            query.before = Some(oldest);
        }
        log.is_cut = true;
        Ok(log)
    }

    pub(super) async fn change(
        &self,
        permit: &UpdatePermit,
        room: RoomId,
        change: &RoomChange,
        is_private: bool,
        reason: &str,
        caller: &Caller,
    ) -> Result<RoomFacts, Failure> {
        let guild = permit.guild();
        let names = if is_private { Names::PRIVATE_ROOM } else { Names::ROOM };
        let changed = self.rest.change_room(guild, room, change, reason, caller).await;
        let channel = changed.map_err(|error| named(names, error))?;
        channel.room(guild).ok_or_else(|| failure(RestError::UnreadableAnswer))
    }

    /// Who may do what in a category; nothing particular in one that is gone, because Discord takes its rooms out of it.
    pub(super) async fn overwrites_of(
        &self,
        permit: &UpdatePermit,
        category: CategoryId,
        caller: &Caller,
    ) -> Result<Vec<Overwrite>, Failure> {
        match self.rest.get_channel(permit.guild(), category.into(), caller).await {
            Ok(found) if found.guild == Some(permit.guild()) => Ok(found.overwrites),
            Ok(_) | Err(RestError::Refused { refusal: Refusal::UnknownChannel, .. }) => Ok(Vec::new()),
            Err(error) => Err(failure(error)),
        }
    }

    pub(super) async fn set_status(
        &self,
        permit: &impl Mandate,
        room: RoomId,
        status: Option<&str>,
        reason: &str,
        caller: &Caller,
    ) -> Result<(), Failure> {
        self.rest.set_status(permit.guild(), room, status, reason, caller).await.map_err(failure)
    }

    pub(super) async fn invite(
        &self,
        permit: &CreatePermit,
        room: RoomId,
        invitation: Invitation,
        reuse: bool,
        reason: &str,
        caller: &Caller,
    ) -> Result<String, Failure> {
        let Invitation { max_age, max_uses, temporary } = invitation;
        let invite = NewInvite { max_age, max_uses, temporary, reuse };
        let made = self.rest.create_invite(permit.guild(), room.into(), &invite, reason, caller).await;
        made.map(|invite| invite.code).map_err(|error| named(Names::INVITE, error))
    }

    pub(super) async fn end(
        &self,
        permit: &EndPermit,
        room: RoomId,
        reason: &str,
        caller: &Caller,
    ) -> Result<Deleted, Failure> {
        match self.rest.delete_room(permit.guild(), room, reason, caller).await {
            Ok(()) => Ok(Deleted::Now),
            // What was wanted is so.
            Err(RestError::Refused { refusal: Refusal::UnknownChannel, .. }) => Ok(Deleted::Before),
            Err(error) => Err(failure(error)),
        }
    }

    pub(super) async fn channels(&self, permit: &Permit<ReadRooms>, caller: &Caller) -> Result<Vec<Channel>, Failure> {
        self.rest.list_channels(permit.guild(), caller).await.map_err(failure)
    }

    /// Whether the channel is in the guild.
    pub(super) async fn has_channel(
        &self,
        permit: &Permit<SendMessage>,
        channel: ChannelId,
        caller: &Caller,
    ) -> Result<bool, Failure> {
        match self.rest.get_channel(permit.guild(), channel, caller).await {
            Ok(found) => Ok(found.guild == Some(permit.guild())),
            Err(RestError::Refused {
                refusal: Refusal::UnknownChannel | Refusal::UnknownThing | Refusal::MissingAccess { .. },
                ..
            }) => Ok(false),
            Err(error) => Err(failure(error)),
        }
    }

    pub(super) async fn send(
        &self,
        permit: &Permit<SendMessage>,
        channel: ChannelId,
        message: &NewMessage,
        caller: &Caller,
    ) -> Result<MessageId, Failure> {
        let sent = self.rest.send_message(permit.guild(), channel, message, caller).await;
        sent.map(|message| message.id).map_err(|error| in_channel(channel, named(Names::MESSAGE, error)))
    }
}

/// What voice sessions ask of Discord's REST API.
#[derive(Clone)]
pub struct DiscordVoice {
    rest: Arc<Rest>,
}

impl DiscordVoice {
    /// Over this REST client.
    pub fn new(rest: Arc<Rest>) -> Self {
        Self { rest }
    }

    /// The bot.
    pub(super) async fn bot(&self, caller: &Caller) -> Result<UserId, Failure> {
        self.rest.current_user(caller).await.map(|user| user.id).map_err(failure)
    }
}

/// Discord's members behind permits.
#[derive(Clone)]
pub struct DiscordMembers {
    rest: Arc<Rest>,
}

impl DiscordMembers {
    /// Over this REST client.
    pub fn new(rest: Arc<Rest>) -> Self {
        Self { rest }
    }

    pub(super) async fn change(
        &self,
        permit: &Permit<ChangeParticipants>,
        user: UserId,
        change: MemberChange,
        reason: &str,
        caller: &Caller,
    ) -> Result<(), Failure> {
        let changed = self.rest.change_member(permit.guild(), user, change, reason, caller).await;
        changed.map_err(|error| named(Names::MEMBER, error))
    }
}

/// Discord's webhooks behind permits. What is of another guild than the permit's is nobody's business: whoever calls
/// these compares.
#[derive(Clone)]
pub struct DiscordWebhooks {
    rest: Arc<Rest>,
}

impl DiscordWebhooks {
    /// Over this REST client.
    pub fn new(rest: Arc<Rest>) -> Self {
        Self { rest }
    }

    /// The guild that a channel is in; `None` where Discord shows the bot no such channel in a guild.
    pub(super) async fn guild_of(
        &self,
        permit: &Permit<UseWebhooks>,
        channel: ChannelId,
        caller: &Caller,
    ) -> Result<Option<GuildId>, Failure> {
        match self.rest.get_channel(permit.guild(), channel, caller).await {
            Ok(found) => Ok(found.guild),
            Err(RestError::Refused {
                refusal: Refusal::UnknownChannel | Refusal::UnknownThing | Refusal::MissingAccess { .. },
                ..
            }) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    pub(super) async fn create(
        &self,
        permit: &Permit<UseWebhooks>,
        webhook: &NewWebhook,
        reason: &str,
        caller: &Caller,
    ) -> Result<Webhook, Failure> {
        let made = self.rest.create_webhook(permit.guild(), webhook, reason, caller).await;
        made.map_err(|error| in_channel(webhook.channel, not_repeatable(Names::WEBHOOK, error)))
    }

    pub(super) async fn list(
        &self,
        permit: &Permit<UseWebhooks>,
        channel: Option<ChannelId>,
        caller: &Caller,
    ) -> Result<Vec<Webhook>, Failure> {
        match channel {
            Some(channel) => {
                let answer = self.rest.list_webhooks(permit.guild(), channel, caller).await;
                answer.map_err(|error| in_channel(channel, failure(error)))
            }
            None => self.rest.list_guild_webhooks(permit.guild(), caller).await.map_err(failure),
        }
    }

    pub(super) async fn get(
        &self,
        permit: &Permit<UseWebhooks>,
        webhook: WebhookId,
        caller: &Caller,
    ) -> Result<Webhook, Failure> {
        self.rest.get_webhook(permit.guild(), webhook, caller).await.map_err(failure)
    }

    pub(super) async fn delete(
        &self,
        permit: &Permit<UseWebhooks>,
        webhook: WebhookId,
        reason: &str,
        caller: &Caller,
    ) -> Result<(), Failure> {
        self.rest.delete_webhook(permit.guild(), webhook, reason, caller).await.map_err(failure)
    }

    pub(super) async fn execute(
        &self,
        _permit: &Permit<UseWebhooks>,
        webhook: WebhookId,
        token: &SecretString,
        post: &WebhookPost,
        caller: &Caller,
    ) -> Result<PostedMessage, Failure> {
        let written = self.rest.execute_webhook(webhook, token, post, caller).await;
        written.map_err(|error| not_repeatable(Names::POST, error))
    }
}

/// The failure of a call that names a channel of any kind, where Discord says that there is none.
fn in_channel(channel: ChannelId, failure: Failure) -> Failure {
    if failure.reason() != Reason::RoomUnknown {
        return failure;
    }
    Failure::new(Reason::ChannelUnknown, "there is no such channel in the guild")
        .with("channel_id", channel.to_string())
}
