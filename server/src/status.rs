//! Errors on the wire: canonical code, `google.rpc.ErrorInfo` and, where they help, `RetryInfo` and `BadRequest`.
//!
//! A [`Failure`] is built from a [`Reason`], which fixes the gRPC code, and a message for people. Its message never
//! holds a token, a URL with a secret or another error's text. However much is put into one, what goes out stays
//! below [`MAX_WIRE_BYTES`], because a response's header list is limited to 16 KiB by most peers.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use parlor_proto::{ERROR_DOMAIN, v1};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, QuotaViolation, StatusExt as _};

/// The most that message and details of one error take in trailers, in bytes after percent- and base64-encoding.
pub const MAX_WIRE_BYTES: usize = 3_800;

/// More violations than this are not looked at: nobody mends them one by one.
const MAX_VIOLATIONS: usize = 64;
/// The longest text of one part (message, description or metadata value), in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// Declares the reasons, each with its meaning, its name on the wire, its gRPC code and what the caller can do about it.
/// docs/reference/errors.md is written from this.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $code:ident, $remedy:literal;)+) => {
        /// Why a call failed, as `google.rpc.ErrorInfo.reason` says it. Each reason belongs to one gRPC code.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name on the wire, in UPPER_SNAKE.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The gRPC code that the reason goes with.
            pub const fn code(self) -> Code {
                match self {
                    $(Self::$variant => Code::$code,)+
                }
            }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),+).trim_ascii_start(),)+
                }
            }

            /// What the caller can do about it.
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$variant => $remedy,)+
                }
            }
        }
    };
}

reasons! {
    /// The call carries no bearer token.
    TokenMissing = "TOKEN_MISSING", Unauthenticated,
        "Send `authorization: Bearer <JWT>` with every call.";
    /// The token is not one that this deployment accepts.
    TokenInvalid = "TOKEN_INVALID", Unauthenticated,
        "Get a token of the issuer that this deployment trusts; `parlor doctor` shows what yours says.";
    /// The token was good once.
    TokenExpired = "TOKEN_EXPIRED", Unauthenticated,
        "Get a new token, and open streams anew with it.";
    /// The key that the token names cannot be fetched at the moment.
    TokenKeysUnavailable = "TOKEN_KEYS_UNAVAILABLE", Unavailable,
        "Repeat after the delay in `RetryInfo`; the operator looks at the issuer's key set.";
    /// The token lacks a scope; metadata `scope` names it.
    ScopeMissing = "SCOPE_MISSING", PermissionDenied,
        "Ask your issuer for the scope that the metadata names.";
    /// The token does not cover the guild.
    GuildNotGranted = "GUILD_NOT_GRANTED", PermissionDenied,
        "Ask your issuer to name the guild in the `guilds` claim.";
    /// Fields of the request are wrong; `BadRequest` lists them all.
    InvalidArgument = "INVALID_ARGUMENT", InvalidArgument,
        "Mend every field that `BadRequest` lists; a repeat without a change fails again.";
    /// The `request_id` was used before with other fields.
    RequestIdReused = "REQUEST_ID_REUSED", InvalidArgument,
        "Use a new UUID for another request.";
    /// A cursor that this deployment never made.
    CursorInvalid = "CURSOR_INVALID", InvalidArgument,
        "Subscribe without a cursor.";
    /// The cursor's position is no longer kept.
    CursorExpired = "CURSOR_EXPIRED", OutOfRange,
        "Subscribe without a cursor, and take the snapshot for the truth.";
    /// The bot does not serve the guild.
    GuildUnknown = "GUILD_UNKNOWN", NotFound,
        "Invite the bot into the guild; `ListGuilds` says where it is.";
    /// Parlor has never seen the room.
    RoomUnknown = "ROOM_UNKNOWN", NotFound,
        "Look at `ListRooms`; the room may have ended.";
    /// There is no such channel in the guild, or the bot does not see it.
    ChannelUnknown = "CHANNEL_UNKNOWN", NotFound,
        "Check `channel_id`, and that the bot sees the channel.";
    /// The room has ended.
    RoomEnded = "ROOM_ENDED", FailedPrecondition,
        "Create another one; nothing about a room that has ended can be changed.";
    /// Parlor did not create the room.
    RoomNotManaged = "ROOM_NOT_MANAGED", FailedPrecondition,
        "Leave the room alone, or set `force` with scope `ops`.";
    /// The bot lacks a permission on Discord.
    BotPermissionMissing = "BOT_PERMISSION_MISSING", FailedPrecondition,
        "Give the bot's role the permissions that `PreconditionFailure` names; `parlor doctor` says what it lacks where.";
    /// Discord refused the request for a reason of its own.
    DiscordRefused = "DISCORD_REFUSED", FailedPrecondition,
        "Look at `PreconditionFailure`, or else at `discord_code` in the metadata; a repeat without a change fails again.";
    /// Discord does not know something that the request names, such as a role; metadata `missing` says what.
    DiscordNotFound = "DISCORD_NOT_FOUND", NotFound,
        "Check the ids in the request; what was named may have been deleted.";
    /// A limit of Discord is used up that waiting does not lift.
    DiscordQuota = "DISCORD_QUOTA", ResourceExhausted,
        "Remove what is no longer needed, as `QuotaFailure` says; waiting does not help.";
    /// Discord asks for patience.
    DiscordRateLimited = "DISCORD_RATE_LIMITED", ResourceExhausted,
        "Repeat after the delay in `RetryInfo`.";
    /// Discord does not answer.
    DiscordUnavailable = "DISCORD_UNAVAILABLE", Unavailable,
        "Repeat after the delay in `RetryInfo`, with the same `request_id`.";
    /// Discord may or may not have created the room or the webhook, or taken the message.
    CreateOutcomeUnknown = "CREATE_OUTCOME_UNKNOWN", Unknown,
        "Repeat with the same `request_id`, which never does it twice; for a webhook, look whether it was done.";
    /// Discord refuses the bot's own credentials.
    UpstreamCredentials = "UPSTREAM_CREDENTIALS", Internal,
        "Nothing: the operator has to replace the bot token.";
    /// What happens cannot be stored at the moment.
    StoreUnavailable = "STORE_UNAVAILABLE", Unavailable,
        "Repeat after the delay in `RetryInfo`; the operator looks at the disk.";
    /// The guild has no such member.
    ParticipantUnknown = "PARTICIPANT_UNKNOWN", NotFound,
        "Check `guild_id` and `user_id`; the user may have left the guild.";
    /// The member is in no room of the guild.
    ParticipantNotInVoice = "PARTICIPANT_NOT_IN_VOICE", FailedPrecondition,
        "Wait until they have joined a room: `SubscribeVoiceEvents` tells.";
    /// The room that was named is of another guild; nobody is moved between guilds.
    RoomInOtherGuild = "ROOM_IN_OTHER_GUILD", FailedPrecondition,
        "Name a room of the same guild.";
    /// The room has as many participants as its `user_limit` says.
    RoomFull = "ROOM_FULL", FailedPrecondition,
        "Choose another room, wait until somebody leaves, or set `ignore_user_limit`.";
    /// There is no such voice session, or it is over.
    VoiceSessionUnknown = "VOICE_SESSION_UNKNOWN", NotFound,
        "Connect again; `WatchSession` and the last message of a stream say why a session ended.";
    /// The bot is in another room of the guild; metadata `room_id` names it.
    VoiceSessionElsewhere = "VOICE_SESSION_ELSEWHERE", FailedPrecondition,
        "Use that session, or wait until it is over: a bot is in one room of a guild at a time.";
    /// Discord did not let the bot into the room; metadata `ending` says how, and `close_code` with which code.
    VoiceRefused = "VOICE_REFUSED", FailedPrecondition,
        "Look whether the room is full and whether the bot may connect to it.";
    /// The server carries as many voice sessions as it may.
    VoiceSessionQuota = "VOICE_SESSION_QUOTA", ResourceExhausted,
        "Disconnect sessions that are no longer needed; the operator may raise `voice.sessions`.";
    /// The voice session has as many sources as it takes.
    VoiceSourceQuota = "VOICE_SOURCE_QUOTA", ResourceExhausted,
        "End a stream that speaks; what it said may be mixed on your side.";
    /// There is no such webhook in the guild.
    WebhookUnknown = "WEBHOOK_UNKNOWN", NotFound,
        "Look at `ListWebhooks`; one that is gone never comes back.";
    /// Another application made the webhook, or Discord alone executes webhooks of its kind.
    WebhookNotExecutable = "WEBHOOK_NOT_EXECUTABLE", FailedPrecondition,
        "Choose one that `ListWebhooks` shows as `executable`, or make one.";
    /// The caller, the guild or the address has used up what it may at the moment; metadata `rule` says which.
    RateLimited = "RATE_LIMITED", ResourceExhausted,
        "Repeat after the delay in `RetryInfo`, and spread calls out.";
    /// The subject has as many open rooms as it may.
    RoomQuota = "ROOM_QUOTA", ResourceExhausted,
        "End rooms that are no longer needed; waiting does not help.";
    /// The server has as much to do as it can.
    Overloaded = "OVERLOADED", ResourceExhausted,
        "Repeat after the delay in `RetryInfo`.";
    /// The caller holds as many streams as it may.
    TooManyStreams = "TOO_MANY_STREAMS", ResourceExhausted,
        "Close a stream, or watch several guilds over one.";
    /// The server is going away.
    Draining = "DRAINING", Unavailable,
        "Connect again after the delay in `RetryInfo`; streams resume from their cursor.";
    /// The call's deadline is over.
    DeadlineExceeded = "DEADLINE_EXCEEDED", DeadlineExceeded,
        "Give the call more time, or repeat it with the same `request_id`.";
    /// A mistake of ours.
    Internal = "INTERNAL", Internal,
        "Report it with the time of the call.";
}

/// A failed call, on its way to a [`Status`].
#[derive(Clone, Debug)]
pub struct Failure {
    reason: Reason,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    details: Box<Details>,
}

/// What comes in any number.
#[derive(Clone, Debug, Default)]
struct Details {
    metadata: Vec<(&'static str, String)>,
    violations: Vec<FieldViolation>,
    preconditions: Vec<PreconditionViolation>,
    quotas: Vec<QuotaViolation>,
}

impl Failure {
    /// A failure with a message for people, in plain English.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, message: message.into(), retry_after: None, details: Box::default() }
    }

    /// A request with wrong fields: INVALID_ARGUMENT with every `(field, description)` in one `BadRequest`.
    pub fn bad_request(violations: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut failure = Self::new(Reason::InvalidArgument, "the request has wrong fields");
        for (field, description) in violations {
            failure = failure.violation(field, description);
        }
        failure
    }

    /// Adds an entry to `ErrorInfo.metadata`.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.details.metadata.push((key, value.into()));
        self
    }

    /// Adds a wrong field: its path in the request and what is wrong with it.
    #[must_use]
    pub fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.details.violations.push(FieldViolation::new(field, description));
        self
    }

    /// Adds a condition that does not hold: its kind in UPPER_SNAKE, what it is about and how to bring it about.
    #[must_use]
    pub fn precondition(mut self, kind: &str, subject: impl Into<String>, description: &str) -> Self {
        self.details.preconditions.push(PreconditionViolation::new(kind, subject, description));
        self
    }

    /// Adds a limit that is reached: whose it is (never a secret), and what it says.
    #[must_use]
    pub fn quota(mut self, subject: impl Into<String>, description: impl Into<String>) -> Self {
        self.details.quotas.push(QuotaViolation::new(subject, description));
        self
    }

    /// Says after how long a repeat makes sense.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Why the call failed.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// After how long a repeat makes sense, if waiting helps.
    pub fn delay(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The wrong fields, each with what is wrong with it.
    pub fn violations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.details.violations.iter().map(|one| (one.field.as_str(), one.description.as_str()))
    }

    /// The details beside `ErrorInfo`, as a reference names them: `PreconditionFailure TWO_FACTOR`, `RetryInfo`.
    pub fn named_details(&self) -> Vec<String> {
        let Details { violations, preconditions, quotas, .. } = &*self.details;
        let wrong = (!violations.is_empty()).then(|| "BadRequest".to_owned());
        let unmet = preconditions.iter().map(|unmet| format!("PreconditionFailure {}", unmet.r#type));
        let full = quotas.iter().map(|quota| format!("QuotaFailure: {}", quota.description));
        let wait = self.retry_after.map(|_| "RetryInfo".to_owned());
        wrong.into_iter().chain(unmet).chain(full).chain(wait).collect()
    }

    /// The failure of one item of a batch.
    pub fn into_item(self) -> v1::ItemFailure {
        let violations = self.details.violations.iter().take(MAX_VIOLATIONS);
        v1::ItemFailure {
            code: self.reason.code().into(),
            reason: self.reason.as_str().to_owned(),
            message: shortened(&self.message),
            metadata: self.details.metadata.iter().map(|(key, value)| ((*key).to_owned(), shortened(value))).collect(),
            field_violations: violations
                .map(|one| v1::item_failure::FieldViolation {
                    field: shortened(&one.field),
                    description: shortened(&one.description),
                })
                .collect(),
            retry_after: self.retry_after.and_then(|delay| delay.try_into().ok()),
        }
    }

    /// The status to answer with. Parts that would make it larger than [`MAX_WIRE_BYTES`] are left off, violations first.
    pub fn into_status(mut self) -> Status {
        self.details.violations.truncate(MAX_VIOLATIONS);
        loop {
            let status = self.status();
            if wire_bytes(&status) <= MAX_WIRE_BYTES {
                return status;
            }
            if self.details.violations.pop().is_none() && self.details.metadata.pop().is_none() {
                return status;
            }
        }
    }

    fn status(&self) -> Status {
        let mut details = ErrorDetails::new();
        let metadata: HashMap<String, String> =
            self.details.metadata.iter().map(|(key, value)| ((*key).to_owned(), shortened(value))).collect();
        details.set_error_info(self.reason.as_str(), ERROR_DOMAIN, metadata);
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        for violation in &self.details.violations {
            details.add_bad_request_violation(shortened(&violation.field), shortened(&violation.description));
        }
        for PreconditionViolation { r#type, subject, description } in &self.details.preconditions {
            details.add_precondition_failure_violation(shortened(r#type), shortened(subject), shortened(description));
        }
        for quota in &self.details.quotas {
            details.add_quota_failure_violation(shortened(&quota.subject), shortened(&quota.description));
        }
        Status::with_error_details(self.reason.code(), shortened(&self.message), details)
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        failure.into_status()
    }
}

/// The first [`MAX_TEXT_BYTES`] of a text, cut between characters.
fn shortened(text: &str) -> String {
    let ends = text.char_indices().map(|(start, c)| start + c.len_utf8());
    text[..ends.take_while(|end| *end <= MAX_TEXT_BYTES).last().unwrap_or(0)].to_owned()
}

/// What message and details take in trailers: `grpc-message` is percent-encoded, the details are base64.
fn wire_bytes(status: &Status) -> usize {
    let message: usize = status.message().bytes().map(|byte| if byte.is_ascii_alphanumeric() { 1 } else { 3 }).sum();
    message + status.details().len().div_ceil(3) * 4
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn a_failure_carries_reason_domain_metadata_and_delay() {
        let status = Failure::new(Reason::ScopeMissing, "the token lacks a scope")
            .with("scope", "rooms:write")
            .retry_after(Duration::from_millis(1_500))
            .into_status();
        assert_eq!(status.code(), Code::PermissionDenied);
        let details = status.get_error_details();
        let error = details.error_info().expect("an ErrorInfo");
        assert_eq!((error.reason.as_str(), error.domain.as_str()), ("SCOPE_MISSING", "parlor"));
        assert_eq!(error.metadata.get("scope").map(String::as_str), Some("rooms:write"));
        assert_eq!(details.retry_info().and_then(|retry| retry.retry_delay), Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn every_violation_is_listed() {
        let wrong = [("guild_id", "is required"), ("display_name", "is longer than 100 characters")];
        let status = Failure::bad_request(wrong.map(|(field, text)| (field.to_owned(), text.to_owned()))).into_status();
        assert_eq!(status.code(), Code::InvalidArgument);
        let listed = status.get_details_bad_request().expect("a BadRequest").field_violations;
        assert_eq!(listed.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), ["guild_id", "display_name"]);
    }

    #[test]
    fn no_failure_outgrows_the_header_list() {
        let huge = "ä\u{0}%".repeat(4_000);
        let mut failure = Failure::new(Reason::InvalidArgument, huge.clone());
        for _ in 0..2_000 {
            failure = failure.violation(huge.clone(), huge.clone()).with("scope", huge.clone());
        }
        let status = failure.into_status();
        let headers = status.into_http::<tonic::body::Body>().into_parts().0.headers;
        let sent: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        assert!(sent < 4_096, "{sent} bytes");
    }

    #[test]
    fn every_reason_says_what_it_means_and_what_to_do() {
        for reason in Reason::ALL {
            for text in [reason.meaning(), reason.remedy()] {
                assert!(text.ends_with('.') && text.starts_with(char::is_uppercase), "{}: {text}", reason.as_str());
            }
        }
    }

    /// A caller can read in the contract about every reason that the server can send.
    #[test]
    fn the_contract_names_every_reason() {
        let contract = [
            include_str!("../../proto/parlor/v1/participants.proto"),
            include_str!("../../proto/parlor/v1/rooms.proto"),
            include_str!("../../proto/parlor/v1/voice_events.proto"),
            include_str!("../../proto/parlor/v1/voice_sessions.proto"),
            include_str!("../../proto/parlor/v1/webhooks.proto"),
        ]
        .concat();
        let comments: String = contract.lines().filter_map(|line| line.trim().strip_prefix("//")).collect();
        let words: BTreeSet<&str> =
            comments.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).filter(|word| word.len() > 4).collect();
        for reason in Reason::ALL {
            assert!(words.contains(reason.as_str()), "{} is not in the contract", reason.as_str());
        }
    }
}
