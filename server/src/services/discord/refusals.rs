//! The one place where what Discord refuses becomes what Parlor refuses, each code of Discord's once.
//!
//! What a code means stands in `rest/refusal.rs` of the gateway; what the caller is told of it stands here.
//! docs/reference/errors.md is written from both.

use std::time::Duration;

use parlor_gateway::rest::{CODES, FieldError, Refusal, RestError, Said};

use super::names::{Names, our_name};
use crate::status::{Failure, Reason};

/// After how long to try again where Discord limits something and does not say for how long.
const UNSAID: Duration = Duration::from_secs(60);

/// A failure of a request whose fields have the same names here and there.
pub(super) fn failure(error: RestError) -> Failure {
    named(Names::SAME, error)
}

/// The failure of what must not be done twice.
pub(super) fn not_repeatable(names: Names, error: RestError) -> Failure {
    if matches!(error, RestError::OutcomeUnknown | RestError::UnreadableAnswer) {
        let message = "no answer tells whether Discord has done it";
        Failure::new(Reason::CreateOutcomeUnknown, message)
    } else {
        named(names, error)
    }
}

/// What a request's failure means to the caller, who knows its fields by these names.
pub(super) fn named(names: Names, error: RestError) -> Failure {
    match error {
        RestError::Refused { refusal, status, code, .. } => {
            let failure = refused(names, refusal).with("discord_status", status.to_string());
            failure.with("discord_code", code.to_string())
        }
        RestError::RateLimited { retry_after } => limited(retry_after),
        RestError::BreakerOpen { retry_after } => {
            Failure::new(Reason::DiscordUnavailable, "Discord has told Parlor to stop asking for a while")
                .retry_after(retry_after)
        }
        RestError::Unavailable | RestError::OutcomeUnknown | RestError::UnreadableAnswer => {
            Failure::new(Reason::DiscordUnavailable, "Discord does not answer as it should; try again")
                .retry_after(Duration::from_secs(1))
        }
        RestError::CredentialsRefused => credentials(),
    }
}

fn refused(names: Names, refusal: Refusal) -> Failure {
    match refusal {
        Refusal::InvalidForm { fields } => Failure::bad_request(
            fields.into_iter().map(|FieldError { field, message, .. }| (our_name(names, &field), message)),
        ),
        Refusal::EmptyMessage => {
            Failure::bad_request([("content".to_owned(), "is required and may not be blank".to_owned())])
        }
        Refusal::WordsNotAllowed => {
            Failure::bad_request([("display_name".to_owned(), "holds words that Discord does not allow".to_owned())])
        }
        Refusal::UnknownChannel => Failure::new(Reason::RoomUnknown, "Discord does not know the room"),
        Refusal::UnknownGuild => {
            Failure::new(Reason::GuildUnknown, "Discord does not know the guild, or the bot is not in it")
        }
        Refusal::UnknownUser => Failure::new(Reason::ParticipantUnknown, "the guild has no such member"),
        Refusal::UnknownWebhook => Failure::new(Reason::WebhookUnknown, "Discord does not know the webhook"),
        Refusal::UnknownMessage => missing("message"),
        Refusal::UnknownOverwrite => missing("permission overwrite"),
        Refusal::UnknownRole => missing("role"),
        Refusal::UnknownInvite => missing("invite"),
        Refusal::UnknownThing => missing("thing that the request names"),
        Refusal::MissingPermissions { needs } | Refusal::MissingAccess { needs } => {
            let named: Vec<&str> = needs.iter().map(|permission| permission.as_str()).collect();
            let named = named.join(",");
            let message = format!("the bot lacks a permission on Discord, one of: {named}");
            let failure = Failure::new(Reason::BotPermissionMissing, message).with("permission", named);
            let mend = "give it to the bot's role, in the guild or in the channel";
            needs.iter().fold(failure, |failure, need| failure.precondition("BOT_PERMISSION", need.as_str(), mend))
        }
        Refusal::NotInVoice | Refusal::UnknownVoiceState => Failure::new(
            Reason::ParticipantNotInVoice,
            "the member is in no room of the guild",
        )
        .precondition("IN_VOICE", "member", "they have to be in a room"),
        Refusal::TooManyChannels => full("guild", "500 channels in a guild"),
        Refusal::CategoryFull => full("category", "50 channels in a category"),
        Refusal::TooManyWebhooks => full("channel", "15 webhooks in a channel"),
        Refusal::TooManyGuildWebhooks => full("guild", "1,000 webhooks in a guild"),
        Refusal::TooManyInvites => full("guild", "1,000 invites in a guild"),
        Refusal::TooManyOverwrites => full("channel", "1,000 permission overwrites in a channel"),
        Refusal::ChannelsTooLarge => full("guild", "the room that a guild's channels may take together"),
        Refusal::QuotaUsedUp => full("guild", "a maximum of Discord's, which discord_code names"),
        Refusal::WriteLimited { retry_after } => limited(retry_after.unwrap_or(UNSAID)),
        Refusal::TemporarilyDisabled => {
            Failure::new(Reason::DiscordUnavailable, "Discord is overloaded or has switched this off; try again later")
                .retry_after(Duration::from_secs(5))
        }
        Refusal::Unauthorized => credentials(),
        Refusal::EdgeRefused => {
            Failure::new(Reason::UpstreamCredentials, "Discord's edge refuses Parlor: the operator has to act")
        }
        Refusal::BitrateTooHigh => unmet("BITRATE", "guild", "a lower bitrate, or more boosts of the guild"),
        Refusal::BoostsNeeded => unmet("BOOST_LEVEL", "guild", "the guild needs more boosts"),
        Refusal::MessageBlocked => unmet("MESSAGE_FILTER", "guild", "the guild's filters let no such text pass"),
        Refusal::WrongChannelType => unmet("CHANNEL_KIND", "channel", "the channel has to be of another kind"),
        Refusal::CommunityChannel => unmet("COMMUNITY_CHANNEL", "channel", "a community guild needs this channel"),
        Refusal::UserBanned => unmet("NOT_BANNED", "user", "the user is banned from the guild"),
        Refusal::TwoFactorRequired => {
            unmet("TWO_FACTOR", "bot", "the bot's owner has to switch two-factor authentication on")
        }
        Refusal::Other => Failure::new(Reason::DiscordRefused, "Discord refused the request"),
    }
}

/// Something that the request names does not exist.
fn missing(what: &'static str) -> Failure {
    Failure::new(Reason::DiscordNotFound, format!("Discord knows no such {what}")).with("missing", what)
}

/// A maximum that waiting does not lift.
fn full(whose: &'static str, maximum: &'static str) -> Failure {
    Failure::new(Reason::DiscordQuota, format!("a limit of Discord is reached: {maximum}")).quota(whose, maximum)
}

/// Something has to be otherwise first.
fn unmet(kind: &'static str, subject: &'static str, mend: &'static str) -> Failure {
    Failure::new(Reason::DiscordRefused, format!("Discord refused the request: {mend}"))
        .precondition(kind, subject, mend)
}

/// A limit that waiting lifts.
fn limited(retry_after: Duration) -> Failure {
    Failure::new(Reason::DiscordRateLimited, "Discord limits the rate of such requests")
        .retry_after(retry_after)
        .quota("discord", "how often Discord takes such requests from the bot")
}

fn credentials() -> Failure {
    Failure::new(Reason::UpstreamCredentials, "Discord does not accept the bot token: the operator has to act")
}

/// What becomes of one of Discord's codes, for the reference.
#[derive(Clone, Debug)]
pub struct Translation {
    /// Discord's code, or what stands for many.
    pub code: String,
    /// What it says.
    pub words: &'static str,
    /// What the caller is told.
    pub failure: Failure,
}

/// What becomes of each of Discord's codes: those that have a meaning of their own, then the families.
pub fn translations() -> Vec<Translation> {
    let of = |code: String, words, status, number, said| Translation {
        code,
        words,
        failure: refused(Names::SAME, Refusal::of(status, number, said)),
    };
    let said = |code| {
        let fields = if code == 50_035 || code == 50_109 { vec![field("…", "")] } else { Vec::new() };
        Said { fields, ..Said::default() }
    };
    let own = CODES.iter().map(|(code, words)| of(code.to_string(), words, 400, *code, said(*code)));
    let full = Said { fields: vec![field("parent_id", "CHANNEL_PARENT_MAX_CHANNELS")], ..Said::default() };
    let families = [
        of("50035 of a category".to_owned(), "50 channels stand in the category.", 400, 50_035, full),
        of("other 10001 to 19999".to_owned(), "Something does not exist.", 404, 10_001, Said::default()),
        of("other 30001 to 39999".to_owned(), "A maximum is reached.", 400, 30_001, Said::default()),
        of("others with status 400 and fields".to_owned(), "Fields are wrong.", 400, 0, said(50_035)),
        of("others with status 403".to_owned(), "The bot may not.", 403, 0, Said::default()),
        of("others with status 404".to_owned(), "Something does not exist.", 404, 0, Said::default()),
        of("others with status 429".to_owned(), "Too many requests.", 429, 0, Said::default()),
        of("all others".to_owned(), "Something else.", 400, 0, Said::default()),
    ];
    own.chain(families).collect()
}

fn field(field: &str, code: &str) -> FieldError {
    FieldError { field: field.to_owned(), code: code.to_owned(), message: "is wrong".to_owned() }
}

#[cfg(test)]
mod tests {
    use parlor_gateway::rest::permission::Permission;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    /// What a caller is told of a code.
    fn told(status: u16, code: u64) -> Failure {
        let said = Said { needs: &[Permission::ManageChannels], ..Said::default() };
        named(
            Names::SAME,
            RestError::Refused { refusal: Refusal::of(status, code, said), status, code, message: String::new() },
        )
    }

    #[test]
    fn what_is_used_up_is_said_precisely_and_without_a_delay() {
        for (code, subject, maximum) in [
            (30_013, "guild", "500 channels"),
            (30_007, "channel", "15 webhooks"),
            (30_058, "guild", "1,000 webhooks"),
            (30_016, "guild", "1,000 invites"),
            (30_060, "channel", "1,000 permission overwrites"),
            (30_061, "guild", "channels may take"),
            (30_005, "guild", "discord_code"),
        ] {
            let status = told(400, code).into_status();
            let details = status.get_error_details();
            let quota = &details.quota_failure().expect("a quota").violations[0];
            assert_eq!((status.code(), quota.subject.as_str()), (Code::ResourceExhausted, subject), "{code}");
            assert!(quota.description.contains(maximum) && status.message().contains(maximum), "{code}: {status}");
            assert!(details.retry_info().is_none(), "{code}: waiting does not help");
        }
        let full = Said { fields: vec![field("parent_id", "CHANNEL_PARENT_MAX_CHANNELS")], ..Said::default() };
        let status = refused(Names::SAME, Refusal::of(400, 50_035, full)).into_status();
        let quota = status.get_error_details().quota_failure().expect("a quota").violations[0].clone();
        assert_eq!((quota.subject.as_str(), quota.description.as_str()), ("category", "50 channels in a category"));
    }

    #[test]
    fn what_has_to_be_otherwise_first_is_a_precondition() {
        for (code, kind) in [
            (20_035, "BOOST_LEVEL"),
            (30_052, "BITRATE"),
            (40_007, "NOT_BANNED"),
            (40_032, "IN_VOICE"),
            (50_001, "BOT_PERMISSION"),
            (50_013, "BOT_PERMISSION"),
            (50_024, "CHANNEL_KIND"),
            (50_074, "COMMUNITY_CHANNEL"),
            (50_101, "BOOST_LEVEL"),
            (60_003, "TWO_FACTOR"),
            (200_000, "MESSAGE_FILTER"),
            (240_000, "MESSAGE_FILTER"),
        ] {
            let status = told(400, code).into_status();
            let unmet = status.get_error_details().precondition_failure().expect("a precondition").violations.clone();
            assert_eq!((status.code(), unmet[0].r#type.as_str()), (Code::FailedPrecondition, kind), "{code}");
            assert!(!unmet[0].subject.is_empty() && !unmet[0].description.is_empty(), "{code}");
        }
    }

    #[test]
    fn what_does_not_exist_is_not_found_and_what_is_too_often_says_how_long_to_wait() {
        for (code, reason) in [
            (10_003, Reason::RoomUnknown),
            (10_004, Reason::GuildUnknown),
            (10_007, Reason::ParticipantUnknown),
            (10_008, Reason::DiscordNotFound),
            (10_009, Reason::DiscordNotFound),
            (10_011, Reason::DiscordNotFound),
            (10_013, Reason::ParticipantUnknown),
            (10_015, Reason::WebhookUnknown),
        ] {
            assert_eq!((told(404, code).reason(), reason.code()), (reason, Code::NotFound), "{code}");
        }
        for code in [20_016, 20_022, 20_028, 20_029, 30_046, 40_062] {
            let failure = told(400, code);
            assert_eq!((failure.reason(), failure.delay()), (Reason::DiscordRateLimited, Some(UNSAID)), "{code}");
        }
        let said = Said { retry_after: Some(Duration::from_secs(7)), ..Said::default() };
        let failure = refused(Names::SAME, Refusal::of(429, 20_016, said));
        assert_eq!(failure.delay(), Some(Duration::from_secs(7)));
    }

    /// Every code that Discord's documentation lists ("JSON Error Codes", as of August 2026).
    const DOCUMENTED: &str = include_str!("documented_codes.txt");

    #[test]
    #[expect(clippy::print_stdout, reason = "the figure is for people")]
    fn every_code_of_discords_becomes_a_failure_that_says_what_to_do() {
        let (mut codes, mut own, mut family, mut unmapped) = (0, 0, 0, Vec::new());
        for code in DOCUMENTED.split_whitespace().map(|code| code.parse::<u64>().expect("a number")) {
            codes += 1;
            let is_own = CODES.iter().any(|(known, _)| *known == code);
            own += u32::from(is_own);
            let reason = told(400, code).reason();
            let wanted = match code {
                10_001..20_000 => !is_own && reason != Reason::DiscordNotFound,
                30_001..40_000 => reason.code() != Code::ResourceExhausted && code != 30_052,
                // What no request of Parlor's is about: stickers, polls, applications and such.
                _ => {
                    reason == Reason::Internal
                        || is_own
                            && told(400, code).reason() == told(400, 0).reason()
                            && told(400, code).into_status().get_error_details().precondition_failure().is_none()
                }
            };
            if wanted {
                unmapped.push(code);
            }
            family += u32::from(!is_own && matches!(code, 10_001..20_000 | 30_001..40_000));
        }
        println!(
            "discord codes={codes} own={own} by_family={family} by_status={} unmapped={}",
            codes - own - family,
            unmapped.len()
        );
        assert_eq!((codes, unmapped.as_slice()), (240, &[][..]));
        assert_eq!(told(400, 999_999).reason(), Reason::DiscordRefused, "a code of the future");
        for (code, _) in CODES {
            assert!(DOCUMENTED.split_whitespace().any(|known| known == code.to_string()), "{code} is made up");
        }
    }
}
