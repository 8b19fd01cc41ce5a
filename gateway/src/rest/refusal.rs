//! What Discord's refusals mean (Discord docs, topics/opcodes-and-status-codes, "JSON Error Codes").

use std::time::Duration;

use super::{error::FieldError, permission::Permission};

/// Why Discord refused. A code that is not in [`CODES`] is sorted by its family or its HTTP status, so every answer has
/// its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The channel does not exist.
    UnknownChannel,
    /// The guild does not exist, or the bot is not in it.
    UnknownGuild,
    /// The user does not exist, or is no member of the guild.
    UnknownUser,
    /// The message does not exist.
    UnknownMessage,
    /// The channel has no such overwrite.
    UnknownOverwrite,
    /// The guild has no such role.
    UnknownRole,
    /// The invite does not exist.
    UnknownInvite,
    /// The webhook does not exist, or its token is another. A webhook that is gone never comes back.
    UnknownWebhook,
    /// The user is not in voice.
    UnknownVoiceState,
    /// Something else does not exist.
    UnknownThing,
    /// The bot lacks a permission.
    MissingPermissions {
        /// What the request needs; at least one of them is missing. Empty where nothing is known to be needed.
        needs: &'static [Permission],
    },
    /// The bot does not see it.
    MissingAccess {
        /// What the request needs; View Channel is likely what is missing.
        needs: &'static [Permission],
    },
    /// The owner of the bot has to enable two-factor authentication.
    TwoFactorRequired,
    /// 500 channels stand in the guild.
    TooManyChannels,
    /// 50 channels stand in the category.
    CategoryFull,
    /// The channel has 15 webhooks.
    TooManyWebhooks,
    /// The guild has 1,000 webhooks.
    TooManyGuildWebhooks,
    /// The guild has 1,000 invites.
    TooManyInvites,
    /// The channel has 1,000 overwrites.
    TooManyOverwrites,
    /// The guild's channels take too much room, whatever their number.
    ChannelsTooLarge,
    /// Another maximum is reached.
    QuotaUsedUp,
    /// More than the guild's tier allows.
    BitrateTooHigh,
    /// The guild needs more boosts.
    BoostsNeeded,
    /// A name holds words that Discord does not allow.
    WordsNotAllowed,
    /// The guild's filters do not let the message pass.
    MessageBlocked,
    /// A message has to say something.
    EmptyMessage,
    /// Fields are wrong.
    InvalidForm {
        /// Which, as far as Discord says.
        fields: Vec<FieldError>,
    },
    /// Not on a channel of this type.
    WrongChannelType,
    /// Community guilds need the channel as it is.
    CommunityChannel,
    /// The user is not in voice.
    NotInVoice,
    /// The user is banned from the guild.
    UserBanned,
    /// Too many of such requests.
    WriteLimited {
        /// How long to wait, where Discord says so.
        retry_after: Option<Duration>,
    },
    /// Discord has switched it off for a while, or is overloaded.
    TemporarilyDisabled,
    /// Discord does not accept the bot's token.
    Unauthorized,
    /// The edge before the API does not like how the request looks.
    EdgeRefused,
    /// Anything else.
    Other,
}

/// What an answer says beside status and code, and what is known of the request.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The fields that Discord names as wrong.
    pub fields: Vec<FieldError>,
    /// What the request needs the bot to be allowed.
    pub needs: &'static [Permission],
    /// How long Discord asks to wait.
    pub retry_after: Option<Duration>,
}

/// Declares what Discord's codes mean, each once.
macro_rules! codes {
    ($($code:literal $words:literal => $meaning:ident $({ $part:ident })?;)+) => {
        /// Every code that a request of ours may meet, and what it says.
        pub const CODES: &[(u64, &str)] = &[$(($code, $words),)+];

        fn by_code(code: u64, said: &Said) -> Option<Refusal> {
            match code {
                $($code => Some(Refusal::$meaning $({ $part: said.$part.clone() })?),)+
                _ => None,
            }
        }
    };
}

codes! {
    10_003 "There is no such channel." => UnknownChannel;
    10_004 "There is no such guild." => UnknownGuild;
    10_006 "There is no such invite." => UnknownInvite;
    10_007 "The guild has no such member." => UnknownUser;
    10_008 "There is no such message." => UnknownMessage;
    10_009 "The channel has no such permission overwrite." => UnknownOverwrite;
    10_011 "The guild has no such role." => UnknownRole;
    10_013 "There is no such user." => UnknownUser;
    10_015 "There is no such webhook." => UnknownWebhook;
    10_065 "The user has no voice state: they are in no room." => UnknownVoiceState;
    20_016 "The channel's slow mode does not let the message pass yet." => WriteLimited { retry_after };
    20_022 "Announcements cannot be edited that often." => WriteLimited { retry_after };
    20_028 "The channel is written to too often." => WriteLimited { retry_after };
    20_029 "The guild is written to too often." => WriteLimited { retry_after };
    20_031 "A name or topic holds words that are not allowed." => WordsNotAllowed;
    20_035 "The guild's boost level is too low." => BoostsNeeded;
    30_007 "The channel has 15 webhooks." => TooManyWebhooks;
    30_013 "The guild has 500 channels." => TooManyChannels;
    30_016 "The guild has 1,000 invites." => TooManyInvites;
    30_037 "Bans were fetched too often." => WriteLimited { retry_after };
    30_040 "Members were pruned too often." => WriteLimited { retry_after };
    30_042 "The guild's widget was changed too often." => WriteLimited { retry_after };
    30_046 "Old messages were edited too often." => WriteLimited { retry_after };
    30_052 "The bitrate is too high for the channel." => BitrateTooHigh;
    30_058 "The guild has 1,000 webhooks." => TooManyGuildWebhooks;
    30_060 "The channel has 1,000 permission overwrites." => TooManyOverwrites;
    30_061 "The guild's channels are too large." => ChannelsTooLarge;
    40_001 "The token is not valid." => Unauthorized;
    40_003 "Direct messages are opened too fast." => WriteLimited { retry_after };
    40_004 "Sending messages is switched off for a while." => TemporarilyDisabled;
    40_006 "The feature is switched off for a while." => TemporarilyDisabled;
    40_007 "The user is banned from the guild." => UserBanned;
    40_032 "The user is not connected to voice." => NotInVoice;
    40_058 "A forum takes no messages but in its posts." => WrongChannelType;
    40_062 "The resource is being rate limited." => WriteLimited { retry_after };
    40_067 "A post in this forum needs a tag." => WrongChannelType;
    40_333 "The edge before the API blocks the request." => EdgeRefused;
    50_001 "The bot does not see it." => MissingAccess { needs };
    50_003 "That cannot be done in a direct message." => WrongChannelType;
    50_006 "A message has to say something." => EmptyMessage;
    50_008 "The channel takes no messages." => WrongChannelType;
    50_013 "The bot lacks a permission." => MissingPermissions { needs };
    50_014 "The token is not valid." => Unauthorized;
    50_024 "That cannot be done to a channel of this type." => WrongChannelType;
    50_027 "The webhook's token is another." => UnknownWebhook;
    50_028 "That is not a role of the guild." => UnknownRole;
    50_035 "Fields of the request are wrong." => InvalidForm { fields };
    50_055 "That is not a guild of the bot's." => UnknownGuild;
    50_074 "Community guilds need the channel." => CommunityChannel;
    50_086 "A community guild's channels of its own are for text." => CommunityChannel;
    50_101 "The guild needs more boosts." => BoostsNeeded;
    50_109 "The body is no JSON." => InvalidForm { fields };
    60_003 "The bot's owner needs two-factor authentication." => TwoFactorRequired;
    110_000 "The index is not there yet." => TemporarilyDisabled;
    110_001 "The application is not there yet." => TemporarilyDisabled;
    130_000 "The API is overloaded." => TemporarilyDisabled;
    160_006 "The guild has as many active threads as it may." => QuotaUsedUp;
    160_007 "The guild has as many active announcement threads as it may." => QuotaUsedUp;
    200_000 "Automatic moderation blocked the message." => MessageBlocked;
    200_001 "Automatic moderation blocked the title." => MessageBlocked;
    220_001 "A webhook in a forum needs a thread to post in." => WrongChannelType;
    220_003 "Webhooks make threads in forums alone." => WrongChannelType;
    220_004 "The webhook cannot post in a forum." => WrongChannelType;
    240_000 "The filter of harmful links blocked the message." => MessageBlocked;
}

/// What Discord calls a category with 50 channels in it, which has no code of its own.
const CATEGORY_FULL: &str = "CHANNEL_PARENT_MAX_CHANNELS";

impl Refusal {
    /// What an answer means.
    pub fn of(status: u16, code: u64, said: Said) -> Self {
        if code == 50_035 && said.fields.iter().any(|field| field.code == CATEGORY_FULL) {
            return Self::CategoryFull;
        }
        by_code(code, &said).unwrap_or_else(|| match code {
            10_001..20_000 => Self::UnknownThing,
            30_001..40_000 => Self::QuotaUsedUp,
            _ => Self::by_status(status, said),
        })
    }

    fn by_status(status: u16, said: Said) -> Self {
        match status {
            400 if !said.fields.is_empty() => Self::InvalidForm { fields: said.fields },
            403 => Self::MissingPermissions { needs: said.needs },
            404 => Self::UnknownThing,
            429 => Self::WriteLimited { retry_after: said.retry_after },
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NEEDS: &[Permission] = &[Permission::ManageChannels];

    #[test]
    fn each_code_stands_in_the_table_once() {
        let numbers: BTreeSet<u64> = CODES.iter().map(|(code, _)| *code).collect();
        assert_eq!(numbers.len(), CODES.len());
        for (code, words) in CODES {
            assert!(words.ends_with('.'), "{code}");
            let meant = Refusal::of(418, *code, Said::default());
            assert_ne!(meant, Refusal::Other, "{code}");
        }
    }

    #[test]
    fn each_code_has_its_meaning_and_an_unknown_one_that_of_its_status() {
        let wait = Some(Duration::from_secs(3));
        let of = |status, code| Refusal::of(status, code, Said { needs: NEEDS, retry_after: wait, ..Said::default() });
        for (status, code, meaning) in [
            (404, 10_003, Refusal::UnknownChannel),
            (404, 10_004, Refusal::UnknownGuild),
            (404, 10_008, Refusal::UnknownMessage),
            (404, 10_009, Refusal::UnknownOverwrite),
            (404, 10_011, Refusal::UnknownRole),
            (404, 10_013, Refusal::UnknownUser),
            (404, 10_015, Refusal::UnknownWebhook),
            (401, 50_027, Refusal::UnknownWebhook),
            (404, 10_087, Refusal::UnknownThing),
            (400, 30_007, Refusal::TooManyWebhooks),
            (400, 30_013, Refusal::TooManyChannels),
            (400, 30_016, Refusal::TooManyInvites),
            (400, 30_058, Refusal::TooManyGuildWebhooks),
            (400, 30_060, Refusal::TooManyOverwrites),
            (400, 30_061, Refusal::ChannelsTooLarge),
            (400, 30_005, Refusal::QuotaUsedUp),
            (403, 50_001, Refusal::MissingAccess { needs: NEEDS }),
            (403, 50_013, Refusal::MissingPermissions { needs: NEEDS }),
            (400, 50_024, Refusal::WrongChannelType),
            (400, 50_035, Refusal::InvalidForm { fields: Vec::new() }),
            (400, 50_074, Refusal::CommunityChannel),
            (400, 40_032, Refusal::NotInVoice),
            (403, 40_333, Refusal::EdgeRefused),
            (429, 20_028, Refusal::WriteLimited { retry_after: wait }),
            (429, 20_029, Refusal::WriteLimited { retry_after: wait }),
            (403, 999_999, Refusal::MissingPermissions { needs: NEEDS }),
            (404, 0, Refusal::UnknownThing),
            (400, 40_009, Refusal::Other),
            (405, 0, Refusal::Other),
        ] {
            assert_eq!(of(status, code), meaning, "{status} {code}");
        }
    }

    #[test]
    fn a_full_category_is_told_from_a_wrong_one() {
        let field = |code: &str| FieldError {
            field: "parent_id".to_owned(),
            code: code.to_owned(),
            message: "Maximum number of channels in category reached (50)".to_owned(),
        };
        let said = |code| Said { fields: vec![field(code)], ..Said::default() };
        assert_eq!(Refusal::of(400, 50_035, said("CHANNEL_PARENT_MAX_CHANNELS")), Refusal::CategoryFull);
        let wrong = said("CHANNEL_PARENT_INVALID");
        assert_eq!(Refusal::of(400, 50_035, wrong.clone()), Refusal::InvalidForm { fields: wrong.fields });
    }
}
