//! What a command ends with when it does not succeed: an exit code, words, and what to do next.

use std::{collections::BTreeMap, error::Error, io};

use parlor_client::{CallError, ConnectError};
use serde::Serialize;
use tonic::Code;

/// How a process ends. The codes are part of the contract with scripts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    Unavailable = 3,
    NotFound = 4,
    Denied = 5,
}

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure(Box<Parts>);

#[derive(Debug)]
struct Parts {
    exit: Exit,
    /// The canonical code of gRPC, where the server answered.
    code: Option<&'static str>,
    reason: Option<String>,
    metadata: BTreeMap<String, String>,
    message: String,
    /// More lines under the message: causes, fields.
    details: Vec<String>,
    /// What to do next.
    next: Option<String>,
    /// Whoever reads the output has gone away: nothing is to be said.
    quiet: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            exit,
            code: None,
            reason: None,
            metadata: BTreeMap::new(),
            message: message.into(),
            details: Vec::new(),
            next: None,
            quiet: false,
        }))
    }

    pub(crate) fn exit(&self) -> Exit {
        self.0.exit
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.0.next = Some(next.into());
        self
    }

    /// Adds what an error says, and what it says was its cause.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            // Libraries repeat their cause's words in their own.
            if !self.0.details.iter().any(|said| said.contains(&text)) {
                self.0.details.push(text);
            }
            cause = error.source();
        }
        self
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.0.quiet
    }

    /// The failure as lines for people.
    pub(crate) fn text(&self) -> Text<'_> {
        Text {
            message: &self.0.message,
            reason: self.0.reason.as_deref(),
            details: &self.0.details,
            next: self.0.next.as_deref(),
        }
    }

    /// The failure as one JSON object.
    pub(crate) fn json(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Body<'a> {
            code: &'a str,
            reason: &'a str,
            metadata: &'a BTreeMap<String, String>,
            message: String,
            next: &'a str,
        }
        #[derive(Serialize)]
        struct Line<'a> {
            error: Body<'a>,
        }
        let mut message = self.0.message.clone();
        for detail in &self.0.details {
            message.push_str(": ");
            message.push_str(detail);
        }
        Line {
            error: Body {
                code: self.0.code.unwrap_or_default(),
                reason: self.0.reason.as_deref().unwrap_or_default(),
                metadata: &self.0.metadata,
                message,
                next: self.0.next.as_deref().unwrap_or_default(),
            },
        }
    }
}

/// The parts of a failure, for the terminal to set.
pub(crate) struct Text<'a> {
    pub(crate) message: &'a str,
    pub(crate) reason: Option<&'a str>,
    pub(crate) details: &'a [String],
    pub(crate) next: Option<&'a str>,
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match &error {
            ConnectError::Address(_) => Self::new(Exit::Usage, error.to_string()),
            ConnectError::Authority(cause) => {
                Self::new(Exit::Usage, error.to_string()).because(cause).next("check the file of --ca or PARLOR_CA")
            }
            ConnectError::Token => Self::new(Exit::Usage, "the token holds characters that no token has")
                .next("check PARLOR_TOKEN or the token file: it is one line, without quotes"),
            ConnectError::Unreachable { source, .. } => {
                let failure = Self::new(Exit::Unavailable, error.to_string()).because(source);
                let next = match () {
                    () if failure.says("UnknownIssuer") => {
                        "name the certificate authority that signed the server's certificate: --ca FILE"
                    }
                    () if failure.says("certificate") => "`parlor doctor` says what is wrong with the certificate",
                    () => {
                        "is parlord running there? Name another address with --addr or PARLOR_ADDR; \
                         to try Parlor on this machine: parlord dev"
                    }
                };
                failure.next(next)
            }
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let wrong = error.wrong_fields.iter();
        let details = wrong.map(|(field, what)| format!("{}: {what}", named(field))).collect();
        Self(Box::new(Parts {
            exit: exit_of(&error),
            code: Some(canonical(error.code)),
            next: next_of(&error),
            metadata: error.metadata,
            reason: error.reason,
            message: error.message,
            details,
            quiet: false,
        }))
    }
}

impl From<io::Error> for Failure {
    /// For writing results: who reads them may have gone away, which is no failure of ours.
    fn from(error: io::Error) -> Self {
        let mut failure = Self::new(Exit::Failed, "cannot write the output").because(&error);
        failure.0.quiet = error.kind() == io::ErrorKind::BrokenPipe;
        failure
    }
}

impl Failure {
    fn says(&self, word: &str) -> bool {
        self.0.details.iter().any(|detail| detail.contains(word))
    }
}

/// The one place where calls become exit codes.
fn exit_of(error: &CallError) -> Exit {
    match error.code {
        Code::NotFound => Exit::NotFound,
        Code::Unauthenticated | Code::PermissionDenied => Exit::Denied,
        Code::InvalidArgument => Exit::Usage,
        Code::Unavailable | Code::DeadlineExceeded => Exit::Unavailable,
        // A limit that time lifts, unlike one that it does not.
        Code::ResourceExhausted if error.retry_after.is_some() => Exit::Unavailable,
        Code::ResourceExhausted
        | Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => Exit::Failed,
    }
}

/// What to do about a refusal, by its reason.
fn next_of(error: &CallError) -> Option<String> {
    let fixed = |text: &str| Some(text.to_owned());
    match error.reason.as_deref().unwrap_or_default() {
        "TOKEN_MISSING" => fixed(GET_A_TOKEN),
        "TOKEN_INVALID" => fixed("`parlor doctor` shows what the token says; is it for this server?"),
        "TOKEN_EXPIRED" => fixed("get a new token; in development: export PARLOR_TOKEN=$(parlor token)"),
        "SCOPE_MISSING" => {
            let scope = error.metadata.get("scope").map_or("that is missing", String::as_str);
            Some(format!("ask the issuer of your token for the scope {scope}; in development: parlor token --scope …"))
        }
        "GUILD_NOT_GRANTED" => {
            fixed("the token's `guilds` claim has to name the guild; `parlor doctor` shows the claim")
        }
        "GUILD_UNKNOWN" => {
            fixed("`parlor guilds list` shows the guilds that the bot is in; `parlor doctor` prints its invite URL")
        }
        "ROOM_UNKNOWN" => fixed("`parlor rooms list` shows the rooms that there are"),
        "ROOM_NOT_MANAGED" => fixed("--force changes or ends it all the same, for which the token needs scope ops"),
        "ROOM_ENDED" => fixed("nothing is left to change; make another: parlor rooms create NAME --guild ID"),
        "REQUEST_ID_REUSED" => {
            fixed("another command needs another --request-id; without it there is a new one each time")
        }
        "PARTICIPANT_UNKNOWN" => fixed("check the user's id and --guild; they may have left the guild"),
        "PARTICIPANT_NOT_IN_VOICE" => fixed("`parlor participants list` shows who is in a room"),
        "ROOM_IN_OTHER_GUILD" => fixed("nobody is moved between guilds; `parlor rooms list` shows the guild's rooms"),
        "ROOM_FULL" => fixed("choose another room, or add --ignore-user-limit"),
        "CHANNEL_UNKNOWN" => fixed("check --channel and --guild, and that the bot sees the channel"),
        "WEBHOOK_UNKNOWN" => fixed("`parlor webhooks list` shows the webhooks of a guild"),
        "WEBHOOK_NOT_EXECUTABLE" => fixed("make one of your own: parlor webhooks create NAME --guild ID --channel ID"),
        "ROOM_QUOTA" => fixed("end rooms that are no longer needed: parlor rooms end ROOM"),
        "DISCORD_QUOTA" => fixed("remove what is no longer needed on Discord: waiting does not lift this limit"),
        "BOT_PERMISSION_MISSING" => {
            fixed("`parlor doctor --bot-token-file FILE` says what the bot lacks in which guild")
        }
        "CURSOR_INVALID" => fixed("the position is of another server: begin without it"),
        "CURSOR_EXPIRED" => fixed("begin without the position, or leave out --fail-on-gap to be told everything anew"),
        "VOICE_SESSION_UNKNOWN" => fixed("the session is over: parlor voice join ROOM"),
        "VOICE_SESSION_ELSEWHERE" => {
            let room = error.metadata.get("room_id").map_or("ROOM", String::as_str);
            Some(format!("end that session first, or wait until nobody holds it: parlor voice leave {room} --force"))
        }
        "VOICE_REFUSED" => fixed("the bot needs View Channel, Connect and Speak in the room, and a free place there"),
        "VOICE_SESSION_QUOTA" => fixed("wait until another session ends; the operator sets voice.sessions"),
        "VOICE_SOURCE_QUOTA" => fixed("wait until somebody stops playing"),
        "CREATE_OUTCOME_UNKNOWN" => {
            fixed("repeat the command with the same --request-id: it never makes a second room")
        }
        "UPSTREAM_CREDENTIALS" => {
            fixed("the operator has to replace the bot's token; `parlor doctor --bot-token-file FILE` checks one")
        }
        "DISCORD_UNAVAILABLE" => fixed("try again; `parlor doctor` says how Parlor's connection to Discord stands"),
        "STORE_UNAVAILABLE" => fixed("try again; the operator has to look at the server's disk"),
        _ => match (error.retry_after, error.code) {
            (Some(after), _) => Some(format!("try again in {} s", after.as_secs_f64().ceil())),
            (None, Code::Unavailable | Code::DeadlineExceeded) => fixed("try again; `parlor doctor` says what works"),
            (None, Code::Unimplemented) => fixed("the server is older than this program, or not Parlor"),
            (None, _) => None,
        },
    }
}

/// Where tokens come from.
pub(crate) const GET_A_TOKEN: &str =
    "set PARLOR_TOKEN to a token of your issuer; in development: export PARLOR_TOKEN=$(parlor token)";

/// The flag or argument that a field of a request came from.
fn named(field: &str) -> &str {
    match field.split('[').next().unwrap_or(field) {
        "private.user_ids" => "--private",
        "private.role_ids" => "--private-role",
        "policy.empty_timeout" => "--empty-timeout",
        "policy.departure_timeout" => "--departure-timeout",
        "policy.max_duration" => "--max-duration",
        "invite.max_age" => "--invite-max-age",
        "invite.max_uses" => "--invite-max-uses",
        "permission_overwrites" => "--overwrite",
        "private" => "--private and --private-role",
        "region" => "--region",
        "video_quality" => "--video-quality",
        "status" => "--status",
        "labels" => "--label",
        "notify_user_ids" => "--notify",
        "guild_id" | "guild_ids" => "--guild",
        "channel_ids" => "--room",
        "kinds" => "--kind",
        "room_id" | "to_room_id" => "ROOM",
        "user_id" => "USER",
        "webhook_id" => "WEBHOOK",
        "channel_id" => "--channel",
        "content" => "CONTENT",
        "avatar_url" => "--avatar-url",
        "mention_user_ids" => "--mention",
        "display_name" => "NAME",
        "kind" => "--kind",
        "category_id" => "--category",
        "user_limit" => "--user-limit",
        "bitrate_bps" => "--bitrate",
        "request_id" => "--request-id",
        "audit_log_reason" => "--reason",
        "lease_id" | "lease_duration" => "--lease",
        "quality_interval" => "--interval",
        "listen.user_ids" => "--user",
        "heartbeat" => "--heartbeat",
        "cursor" => "the position",
        _ => field,
    }
}

/// The canonical name of a code, as `NOT_FOUND`.
pub(crate) fn canonical(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Status;

    use super::*;

    fn error(code: Code, reason: &str) -> CallError {
        CallError { reason: Some(reason.to_owned()), ..CallError::from(Status::new(code, "words")) }
    }

    #[test]
    fn each_class_has_its_code() {
        let exit = |code| exit_of(&error(code, "X"));
        assert_eq!(exit(Code::NotFound), Exit::NotFound);
        assert_eq!(exit(Code::Unauthenticated), Exit::Denied);
        assert_eq!(exit(Code::PermissionDenied), Exit::Denied);
        assert_eq!(exit(Code::InvalidArgument), Exit::Usage);
        assert_eq!(exit(Code::Unavailable), Exit::Unavailable);
        assert_eq!(exit(Code::DeadlineExceeded), Exit::Unavailable);
        assert_eq!(exit(Code::FailedPrecondition), Exit::Failed);
        assert_eq!(exit(Code::ResourceExhausted), Exit::Failed, "a quota does not pass");
        let limited = CallError { retry_after: Some(Duration::from_secs(1)), ..error(Code::ResourceExhausted, "X") };
        assert_eq!(exit_of(&limited), Exit::Unavailable);
    }

    #[test]
    fn refusals_say_what_to_do_next() {
        let mut missing = error(Code::PermissionDenied, "SCOPE_MISSING");
        missing.metadata.insert("scope".to_owned(), "rooms:write".to_owned());
        assert!(next_of(&missing).expect("advice").contains("scope rooms:write;"));
        let wait = CallError {
            retry_after: Some(Duration::from_millis(1_200)),
            ..error(Code::ResourceExhausted, "OVERLOADED")
        };
        assert_eq!(next_of(&wait).expect("advice"), "try again in 2 s");
    }

    #[test]
    fn a_reader_that_has_gone_away_is_nothing_to_talk_about() {
        assert!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).is_quiet());
        assert!(!Failure::from(io::Error::from(io::ErrorKind::StorageFull)).is_quiet());
    }

    #[test]
    fn fields_are_named_as_they_were_written() {
        let wrong = CallError {
            wrong_fields: vec![("guild_ids[3]".into(), "is not an id".into()), ("new_field".into(), "is odd".into())],
            ..error(Code::InvalidArgument, "INVALID_ARGUMENT")
        };
        assert_eq!(Failure::from(wrong).text().details, ["--guild: is not an id", "new_field: is odd"]);
        let policy = CallError {
            wrong_fields: vec![("policy.max_duration".into(), "is 0".into())],
            ..error(Code::InvalidArgument, "INVALID_ARGUMENT")
        };
        assert_eq!(Failure::from(policy).text().details, ["--max-duration: is 0"]);
    }
}
