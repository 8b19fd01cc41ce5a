//! What Discord's refusals mean (Discord docs, topics/opcodes-and-status-codes, "JSON Error Codes").

use super::{error::FieldError, permission::Permission};

/// Why Discord refused. A code that is not listed is sorted by its HTTP status, so every answer has its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// 10003.
    UnknownChannel,
    /// 10004, 50055: it does not exist, or the bot is not in it.
    UnknownGuild,
    /// 10007, 10013.
    UnknownUser,
    /// 10008.
    UnknownMessage,
    /// 10009.
    UnknownOverwrite,
    /// 10011, 50028.
    UnknownRole,
    /// 10006.
    UnknownInvite,
    /// 10015, 50027: it does not exist, or its token is another. A webhook that is gone never comes back.
    UnknownWebhook,
    /// 10065: the user is not in voice.
    UnknownVoiceState,
    /// Something else does not exist: any other code from 10001 on, or status 404.
    UnknownThing,
    /// 50013: the bot lacks a permission.
    MissingPermissions {
        /// What the request needs; at least one of them is missing. Empty where nothing is known to be needed.
        needs: &'static [Permission],
    },
    /// 50001: the bot does not see it.
    MissingAccess {
        /// What the request needs; View Channel is likely what is missing.
        needs: &'static [Permission],
    },
    /// 60003: the owner of the bot has to enable two-factor authentication.
    TwoFactorRequired,
    /// 30013: 500 in a guild.
    TooManyChannels,
    /// 50 channels stand in the category.
    CategoryFull,
    /// 30007: 15 in a channel; 30058: 1,000 in a guild.
    TooManyWebhooks,
    /// 30016: 1,000 in a guild.
    TooManyInvites,
    /// 30060: 1,000 of a channel.
    TooManyOverwrites,
    /// 30061: the guild's channels take too much room; any other maximum from 30001 on.
    QuotaUsedUp,
    /// 30052: more than the guild's tier allows.
    BitrateTooHigh,
    /// 20035, 50101: the guild needs more boosts.
    BoostsNeeded,
    /// 20031.
    WordsNotAllowed,
    /// 200000, 240000: the guild's filters do not let the message pass.
    MessageBlocked,
    /// 50035, 50109, 50006: fields are wrong.
    InvalidForm {
        /// Which, as far as Discord says.
        fields: Vec<FieldError>,
    },
    /// 50024, 50003, 50008, 40058: not on a channel of this type.
    WrongChannelType,
    /// 50074: community guilds need the channel.
    CommunityChannel,
    /// 40032: the user is not in voice.
    NotInVoice,
    /// 40007.
    UserBanned,
    /// 20016, 20022, 20028, 20029, 30046, 40062: too many of such requests.
    WriteLimited,
    /// 40004, 40006, 130000: Discord has switched it off for a while, or is overloaded.
    TemporarilyDisabled,
    /// 40333: the edge before the API does not like how the request looks.
    EdgeRefused,
    /// Anything else.
    Other,
}

impl Refusal {
    /// What an answer means to a request that needs these permissions.
    pub fn of(status: u16, code: u64, fields: Vec<FieldError>, needs: &'static [Permission]) -> Self {
        match code {
            10_003 => Self::UnknownChannel,
            10_004 | 50_055 => Self::UnknownGuild,
            10_006 => Self::UnknownInvite,
            10_007 | 10_013 => Self::UnknownUser,
            10_008 => Self::UnknownMessage,
            10_009 => Self::UnknownOverwrite,
            10_011 | 50_028 => Self::UnknownRole,
            10_015 | 50_027 => Self::UnknownWebhook,
            10_065 => Self::UnknownVoiceState,
            10_001..20_000 => Self::UnknownThing,
            20_016 | 20_022 | 20_028 | 20_029 | 30_046 | 40_062 => Self::WriteLimited,
            20_031 => Self::WordsNotAllowed,
            20_035 | 50_101 => Self::BoostsNeeded,
            30_007 | 30_058 => Self::TooManyWebhooks,
            30_013 => Self::TooManyChannels,
            30_016 => Self::TooManyInvites,
            30_052 => Self::BitrateTooHigh,
            30_060 => Self::TooManyOverwrites,
            30_001..40_000 => Self::QuotaUsedUp,
            40_004 | 40_006 | 130_000 => Self::TemporarilyDisabled,
            40_007 => Self::UserBanned,
            40_032 => Self::NotInVoice,
            40_333 => Self::EdgeRefused,
            50_001 => Self::MissingAccess { needs },
            50_003 | 50_008 | 50_024 | 40_058 => Self::WrongChannelType,
            50_013 => Self::MissingPermissions { needs },
            50_035 if fields.iter().any(|field| field.code == "CHANNEL_PARENT_MAX_CHANNELS") => Self::CategoryFull,
            50_006 | 50_035 | 50_109 => Self::InvalidForm { fields },
            50_074 => Self::CommunityChannel,
            60_003 => Self::TwoFactorRequired,
            200_000 | 240_000 => Self::MessageBlocked,
            _ => Self::by_status(status, fields, needs),
        }
    }

    fn by_status(status: u16, fields: Vec<FieldError>, needs: &'static [Permission]) -> Self {
        match status {
            400 if !fields.is_empty() => Self::InvalidForm { fields },
            403 => Self::MissingPermissions { needs },
            404 => Self::UnknownThing,
            429 => Self::WriteLimited,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: &[Permission] = &[Permission::ManageChannels];

    #[test]
    fn each_code_has_its_meaning_and_an_unknown_one_that_of_its_status() {
        let of = |status, code| Refusal::of(status, code, Vec::new(), NEEDS);
        for (status, code, meaning) in [
            (404, 10_003, Refusal::UnknownChannel),
            (404, 10_004, Refusal::UnknownGuild),
            (404, 10_008, Refusal::UnknownMessage),
            (404, 10_013, Refusal::UnknownUser),
            (404, 10_015, Refusal::UnknownWebhook),
            (401, 50_027, Refusal::UnknownWebhook),
            (404, 10_087, Refusal::UnknownThing),
            (400, 30_007, Refusal::TooManyWebhooks),
            (400, 30_013, Refusal::TooManyChannels),
            (400, 30_016, Refusal::TooManyInvites),
            (400, 30_058, Refusal::TooManyWebhooks),
            (400, 30_060, Refusal::TooManyOverwrites),
            (400, 30_061, Refusal::QuotaUsedUp),
            (403, 50_001, Refusal::MissingAccess { needs: NEEDS }),
            (403, 50_013, Refusal::MissingPermissions { needs: NEEDS }),
            (400, 50_024, Refusal::WrongChannelType),
            (400, 50_035, Refusal::InvalidForm { fields: Vec::new() }),
            (400, 50_074, Refusal::CommunityChannel),
            (400, 40_032, Refusal::NotInVoice),
            (403, 40_333, Refusal::EdgeRefused),
            (429, 20_028, Refusal::WriteLimited),
            (429, 20_029, Refusal::WriteLimited),
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
        let full = vec![field("CHANNEL_PARENT_MAX_CHANNELS")];
        assert_eq!(Refusal::of(400, 50_035, full, NEEDS), Refusal::CategoryFull);
        let wrong = vec![field("CHANNEL_PARENT_INVALID")];
        assert_eq!(Refusal::of(400, 50_035, wrong.clone(), NEEDS), Refusal::InvalidForm { fields: wrong });
    }
}
