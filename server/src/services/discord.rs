//! What Parlor asks of Discord on a caller's behalf, and what Discord's refusals mean to the caller.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_gateway::{
    CategoryId, GuildId, RoomFacts, RoomId, RoomKind,
    rest::{Caller, FieldError, NewRoom, Refusal, Rest, RestError, Tenant},
};

use crate::{
    auth::{CreateRoom, EndRoom, ForceEndRoom, Permit},
    status::{Failure, Reason},
};

/// Discord's REST API behind permits: nothing is asked of Discord without the proof that the caller may have it.
#[derive(Clone)]
pub struct DiscordRooms {
    rest: Arc<Rest>,
}

/// A room to make, wherever the permit allows.
#[derive(Clone, Debug)]
pub(super) struct RoomSpec {
    pub(super) name: String,
    pub(super) kind: RoomKind,
    pub(super) category: Option<CategoryId>,
    pub(super) user_limit: u16,
    pub(super) bitrate: Option<u32>,
}

/// Proof that a room may be ended.
pub(super) enum EndPermit {
    /// One of our own.
    Managed(Permit<EndRoom>),
    /// Anybody's.
    Forced(Permit<ForceEndRoom>),
}

impl EndPermit {
    /// The guild whose room may be ended.
    pub(super) fn guild(&self) -> GuildId {
        match self {
            Self::Managed(permit) => permit.guild(),
            Self::Forced(permit) => permit.guild(),
        }
    }
}

/// Whether Discord still had the channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deleted {
    Now,
    Before,
}

impl DiscordRooms {
    /// Over this REST client.
    pub fn new(rest: Arc<Rest>) -> Self {
        Self { rest }
    }

    pub(super) async fn create(
        &self,
        permit: &Permit<CreateRoom>,
        spec: RoomSpec,
        reason: &str,
        deadline: Instant,
    ) -> Result<RoomFacts, Failure> {
        let RoomSpec { name, kind, category, user_limit, bitrate } = spec;
        let room = NewRoom {
            guild: permit.guild(),
            name,
            kind,
            category,
            user_limit,
            bitrate,
            rtc_region: None,
            video_quality: None,
            topic: None,
            overwrites: Vec::new(),
        };
        let channel = self.rest.create_room(&room, reason, &caller(permit.guild(), deadline)).await;
        let facts = channel.and_then(|channel| channel.room(room.guild).ok_or(RestError::UnreadableAnswer));
        facts.map_err(|error| {
            if matches!(error, RestError::OutcomeUnknown | RestError::UnreadableAnswer) {
                let message = "no answer tells whether Discord has made the room: a repeat with this request_id makes no second one";
                Failure::new(Reason::CreateOutcomeUnknown, message)
            } else {
                failure(error)
            }
        })
    }

    pub(super) async fn end(
        &self,
        permit: &EndPermit,
        room: RoomId,
        reason: &str,
        deadline: Instant,
    ) -> Result<Deleted, Failure> {
        let guild = permit.guild();
        match self.rest.delete_room(guild, room, reason, &caller(guild, deadline)).await {
            Ok(()) => Ok(Deleted::Now),
            // What was wanted is so.
            Err(RestError::Refused { refusal: Refusal::UnknownChannel, .. }) => Ok(Deleted::Before),
            Err(error) => Err(failure(error)),
        }
    }
}

/// Callers take turns by guild.
fn caller(guild: GuildId, deadline: Instant) -> Caller {
    Caller::new(Tenant::new(&guild.to_string()), deadline)
}

/// The one place where Discord's refusals become Parlor's (Discord docs, topics/opcodes-and-status-codes, "JSON").
fn failure(error: RestError) -> Failure {
    match error {
        RestError::Refused { refusal, status, code, .. } => {
            let failure = refused(refusal).with("discord_status", status.to_string());
            failure.with("discord_code", code.to_string())
        }
        RestError::RateLimited { retry_after } => {
            Failure::new(Reason::DiscordRateLimited, "Discord limits the rate of such requests")
                .retry_after(retry_after)
        }
        RestError::BreakerOpen { retry_after } => {
            Failure::new(Reason::DiscordUnavailable, "Discord has told Parlor to stop asking for a while")
                .retry_after(retry_after)
        }
        RestError::Unavailable | RestError::OutcomeUnknown | RestError::UnreadableAnswer => {
            Failure::new(Reason::DiscordUnavailable, "Discord does not answer as it should; try again")
                .retry_after(Duration::from_secs(1))
        }
        RestError::CredentialsRefused => {
            Failure::new(Reason::UpstreamCredentials, "Discord does not accept the bot token: the operator has to act")
        }
    }
}

fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::InvalidForm { fields } => Failure::bad_request(
            fields.into_iter().map(|FieldError { field, message, .. }| (our_name(&field), message)),
        ),
        Refusal::WordsNotAllowed => {
            Failure::bad_request([("display_name".to_owned(), "holds words that Discord does not allow".to_owned())])
        }
        Refusal::UnknownChannel => Failure::new(Reason::RoomUnknown, "Discord does not know the room"),
        Refusal::UnknownGuild => {
            Failure::new(Reason::GuildUnknown, "Discord does not know the guild, or the bot is not in it")
        }
        Refusal::MissingPermissions { needs } | Refusal::MissingAccess { needs } => {
            let named: Vec<&str> = needs.iter().map(|permission| permission.as_str()).collect();
            Failure::new(
                Reason::BotPermissionMissing,
                "the bot lacks a permission on Discord: give its role Manage Channels, View Channel and Connect",
            )
            .with("permission", named.join(","))
        }
        Refusal::TooManyChannels
        | Refusal::CategoryFull
        | Refusal::TooManyWebhooks
        | Refusal::TooManyInvites
        | Refusal::TooManyOverwrites
        | Refusal::QuotaUsedUp => {
            Failure::new(Reason::DiscordQuota, "a limit of Discord is reached, such as 500 channels in a guild")
        }
        Refusal::WriteLimited => Failure::new(Reason::DiscordRateLimited, "Discord limits the rate of such requests"),
        Refusal::TemporarilyDisabled => {
            Failure::new(Reason::DiscordUnavailable, "Discord is overloaded or has switched this off; try again later")
                .retry_after(Duration::from_secs(5))
        }
        Refusal::EdgeRefused => {
            Failure::new(Reason::UpstreamCredentials, "Discord's edge refuses Parlor: the operator has to act")
        }
        Refusal::UnknownUser
        | Refusal::UnknownMessage
        | Refusal::UnknownOverwrite
        | Refusal::UnknownRole
        | Refusal::UnknownInvite
        | Refusal::UnknownWebhook
        | Refusal::UnknownVoiceState
        | Refusal::UnknownThing
        | Refusal::TwoFactorRequired
        | Refusal::BitrateTooHigh
        | Refusal::BoostsNeeded
        | Refusal::MessageBlocked
        | Refusal::WrongChannelType
        | Refusal::CommunityChannel
        | Refusal::NotInVoice
        | Refusal::UserBanned
        | Refusal::Other => Failure::new(Reason::DiscordRefused, "Discord refused the request"),
    }
}

/// What Parlor calls a field of Discord's.
fn our_name(field: &str) -> String {
    let (first, rest) = field.split_once('.').map_or((field, None), |(first, rest)| (first, Some(rest)));
    let ours = match first {
        "name" => "display_name",
        "bitrate" => "bitrate_bps",
        "parent_id" => "category_id",
        "type" => "kind",
        other => other,
    };
    rest.map_or_else(|| ours.to_owned(), |rest| format!("{ours}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason_of(code: u64) -> Reason {
        refused(Refusal::of(400, code, Vec::new(), &[])).reason()
    }

    #[test]
    fn discords_codes_become_ours() {
        assert_eq!(reason_of(50_013), Reason::BotPermissionMissing);
        assert_eq!(reason_of(30_013), Reason::DiscordQuota);
        assert_eq!(reason_of(10_004), Reason::GuildUnknown);
        assert_eq!(reason_of(50_035), Reason::InvalidArgument);
        assert_eq!(reason_of(999_999), Reason::DiscordRefused, "a code of the future");
    }

    #[test]
    fn wrong_fields_come_back_under_our_names() {
        assert_eq!(our_name("name"), "display_name");
        assert_eq!(our_name("bitrate"), "bitrate_bps");
        assert_eq!(our_name("permission_overwrites.0.type"), "permission_overwrites.0.type");
    }
}
