//! Errors on the wire: canonical code, `google.rpc.ErrorInfo` and, where they help, `RetryInfo` and `BadRequest`.
//!
//! A [`Failure`] is built from a [`Reason`], which fixes the gRPC code, and a message for people. Its message never
//! holds a token, a URL with a secret or another error's text. However much is put into one, what goes out stays
//! below [`MAX_WIRE_BYTES`], because a response's header list is limited to 16 KiB by most peers.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use parlor_proto::{ERROR_DOMAIN, v1};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// The most that message and details of one error take in trailers, in bytes after percent- and base64-encoding.
pub const MAX_WIRE_BYTES: usize = 3_800;

/// More violations than this are not looked at: nobody mends them one by one.
const MAX_VIOLATIONS: usize = 64;
/// The longest text of one part (message, description or metadata value), in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// Declares the reasons, each with its name on the wire and its gRPC code.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $code:ident;)+) => {
        /// Why a call failed, as `google.rpc.ErrorInfo.reason` says it. Each reason belongs to one gRPC code.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
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
        }
    };
}

reasons! {
    /// The call carries no bearer token.
    TokenMissing = "TOKEN_MISSING", Unauthenticated;
    /// The token is not one that this deployment accepts.
    TokenInvalid = "TOKEN_INVALID", Unauthenticated;
    /// The token was good once.
    TokenExpired = "TOKEN_EXPIRED", Unauthenticated;
    /// The key that the token names cannot be fetched at the moment.
    TokenKeysUnavailable = "TOKEN_KEYS_UNAVAILABLE", Unavailable;
    /// The token lacks a scope; metadata `scope` names it.
    ScopeMissing = "SCOPE_MISSING", PermissionDenied;
    /// The token does not cover the guild.
    GuildNotGranted = "GUILD_NOT_GRANTED", PermissionDenied;
    /// Fields of the request are wrong; `BadRequest` lists them all.
    InvalidArgument = "INVALID_ARGUMENT", InvalidArgument;
    /// The `request_id` was used before with other fields.
    RequestIdReused = "REQUEST_ID_REUSED", InvalidArgument;
    /// A cursor that this deployment never made.
    CursorInvalid = "CURSOR_INVALID", InvalidArgument;
    /// The cursor's position is no longer kept.
    CursorExpired = "CURSOR_EXPIRED", OutOfRange;
    /// The bot does not serve the guild.
    GuildUnknown = "GUILD_UNKNOWN", NotFound;
    /// Parlor has never seen the room.
    RoomUnknown = "ROOM_UNKNOWN", NotFound;
    /// There is no such channel in a guild that the token covers.
    ChannelUnknown = "CHANNEL_UNKNOWN", NotFound;
    /// The room has ended.
    RoomEnded = "ROOM_ENDED", FailedPrecondition;
    /// Parlor did not create the room.
    RoomNotManaged = "ROOM_NOT_MANAGED", FailedPrecondition;
    /// The bot lacks a permission on Discord.
    BotPermissionMissing = "BOT_PERMISSION_MISSING", FailedPrecondition;
    /// Discord refused the request for a reason of its own.
    DiscordRefused = "DISCORD_REFUSED", FailedPrecondition;
    /// A limit of Discord is used up that waiting does not lift.
    DiscordQuota = "DISCORD_QUOTA", ResourceExhausted;
    /// Discord asks for patience.
    DiscordRateLimited = "DISCORD_RATE_LIMITED", ResourceExhausted;
    /// Discord does not answer.
    DiscordUnavailable = "DISCORD_UNAVAILABLE", Unavailable;
    /// Discord may or may not have created the room.
    CreateOutcomeUnknown = "CREATE_OUTCOME_UNKNOWN", Unknown;
    /// Discord refuses the bot's own credentials.
    UpstreamCredentials = "UPSTREAM_CREDENTIALS", Internal;
    /// What happens cannot be stored at the moment.
    StoreUnavailable = "STORE_UNAVAILABLE", Unavailable;
    /// The server has as much to do as it can.
    Overloaded = "OVERLOADED", ResourceExhausted;
    /// The caller holds as many streams as it may.
    TooManyStreams = "TOO_MANY_STREAMS", ResourceExhausted;
    /// The server is going away.
    Draining = "DRAINING", Unavailable;
    /// The call's deadline is over.
    DeadlineExceeded = "DEADLINE_EXCEEDED", DeadlineExceeded;
    /// A mistake of ours.
    Internal = "INTERNAL", Internal;
}

/// A failed call, on its way to a [`Status`].
#[derive(Clone, Debug)]
pub struct Failure {
    reason: Reason,
    message: Cow<'static, str>,
    metadata: Vec<(&'static str, String)>,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
}

impl Failure {
    /// A failure with a message for people, in plain English.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, message: message.into(), metadata: Vec::new(), violations: Vec::new(), retry_after: None }
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
        self.metadata.push((key, value.into()));
        self
    }

    /// Adds a wrong field: its path in the request and what is wrong with it.
    #[must_use]
    pub fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.violations.push(FieldViolation::new(field, description));
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

    /// The wrong fields, each with what is wrong with it.
    pub fn violations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.violations.iter().map(|one| (one.field.as_str(), one.description.as_str()))
    }

    /// The failure of one item of a batch.
    pub fn into_item(self) -> v1::ItemFailure {
        let violations = self.violations.iter().take(MAX_VIOLATIONS);
        v1::ItemFailure {
            code: self.reason.code().into(),
            reason: self.reason.as_str().to_owned(),
            message: shortened(&self.message),
            metadata: self.metadata.iter().map(|(key, value)| ((*key).to_owned(), shortened(value))).collect(),
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
        self.violations.truncate(MAX_VIOLATIONS);
        loop {
            let status = self.status();
            if wire_bytes(&status) <= MAX_WIRE_BYTES {
                return status;
            }
            if self.violations.pop().is_none() && self.metadata.pop().is_none() {
                return status;
            }
        }
    }

    fn status(&self) -> Status {
        let mut details = ErrorDetails::new();
        let metadata: HashMap<String, String> =
            self.metadata.iter().map(|(key, value)| ((*key).to_owned(), shortened(value))).collect();
        details.set_error_info(self.reason.as_str(), ERROR_DOMAIN, metadata);
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        for violation in &self.violations {
            details.add_bad_request_violation(shortened(&violation.field), shortened(&violation.description));
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

    /// A caller can read in the contract about every reason that the server can send.
    #[test]
    fn the_contract_names_every_reason() {
        let contract = [
            include_str!("../../proto/parlor/v1/rooms.proto"),
            include_str!("../../proto/parlor/v1/voice_events.proto"),
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
