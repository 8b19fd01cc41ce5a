//! What Parlor asks of Discord on a caller's behalf, and what Discord's refusals mean to the caller.

use std::{sync::Arc, time::Instant};

use parlor_gateway::{
    CategoryId, GuildId, RoomFacts, RoomId, RoomKind,
    rest::{FieldError, NewRoom, Rest, RestError},
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
        let room = NewRoom { guild: permit.guild(), name, kind, category, user_limit, bitrate };
        self.rest.create_room(&room, reason, deadline).await.map_err(|error| {
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
        _permit: &EndPermit,
        room: RoomId,
        reason: &str,
        deadline: Instant,
    ) -> Result<Deleted, Failure> {
        match self.rest.delete_room(room, reason, deadline).await {
            Ok(()) => Ok(Deleted::Now),
            // 10003 Unknown Channel: what was wanted is so.
            Err(RestError::Refused { code: 10_003, .. }) => Ok(Deleted::Before),
            Err(error) => Err(failure(error)),
        }
    }
}

/// The one place where Discord's refusals become Parlor's (Discord docs, topics/opcodes-and-status-codes, "JSON").
fn failure(error: RestError) -> Failure {
    match error {
        RestError::Refused { status, code, fields, .. } => refused(status, code, fields),
        RestError::RateLimited { retry_after } => {
            Failure::new(Reason::DiscordRateLimited, "Discord limits the rate of such requests")
                .retry_after(retry_after)
        }
        RestError::Unavailable | RestError::OutcomeUnknown | RestError::UnreadableAnswer => {
            Failure::new(Reason::DiscordUnavailable, "Discord does not answer as it should; try again")
                .retry_after(std::time::Duration::from_secs(1))
        }
        RestError::CredentialsRefused => {
            Failure::new(Reason::UpstreamCredentials, "Discord does not accept the bot token: the operator has to act")
        }
    }
}

fn refused(status: u16, code: u64, fields: Vec<FieldError>) -> Failure {
    let failure = match code {
        50_035 => Failure::bad_request(fields.into_iter().map(|field| (our_name(&field.field), field.message))),
        20_031 => {
            Failure::bad_request([("display_name".to_owned(), "holds words that Discord does not allow".to_owned())])
        }
        10_003 => Failure::new(Reason::RoomUnknown, "Discord does not know the room"),
        10_004 => Failure::new(Reason::GuildUnknown, "Discord does not know the guild, or the bot is not in it"),
        50_001 | 50_013 => Failure::new(
            Reason::BotPermissionMissing,
            "the bot lacks a permission on Discord: give its role Manage Channels, View Channel and Connect",
        )
        .with("permission", "MANAGE_CHANNELS"),
        30_013 | 30_060 | 30_061 => {
            Failure::new(Reason::DiscordQuota, "a limit of Discord is reached, such as 500 channels in a guild")
        }
        20_028 | 20_029 | 40_062 => {
            Failure::new(Reason::DiscordRateLimited, "Discord limits the rate of such requests")
        }
        _ => Failure::new(Reason::DiscordRefused, "Discord refused the request"),
    };
    failure.with("discord_status", status.to_string()).with("discord_code", code.to_string())
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
        refused(400, code, Vec::new()).reason()
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
