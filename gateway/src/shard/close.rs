//! What a closed connection leaves behind.

use crate::update::Loss;

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    /// It could not be made.
    NotMade,
    /// It broke off without a close frame.
    Dropped,
    /// Discord closed it with this code.
    Closed(u16),
    /// Discord asked us to connect anew (op 7).
    ReconnectAsked,
    /// Discord declared the session void (op 9).
    SessionVoid {
        /// Whether it may still be resumed.
        resumable: bool,
    },
    /// What came could not be decompressed, so nothing after it can be either.
    Garbled,
    /// The directory's queue was full. What did not fit comes again with the resume.
    Overflow,
}

impl Ending {
    /// What remains of the session (Discord docs, topics/opcodes-and-status-codes, "Gateway Close Event Codes").
    pub(super) fn loss(self) -> Loss {
        match self {
            Self::Closed(4004 | 4010..=4014) => Loss::Refused,
            Self::Closed(1000 | 1001 | 4007 | 4009) | Self::SessionVoid { resumable: false } => Loss::SessionLost,
            Self::Closed(_)
            | Self::NotMade
            | Self::Dropped
            | Self::ReconnectAsked
            | Self::SessionVoid { resumable: true }
            | Self::Garbled
            | Self::Overflow => Loss::SessionKept,
        }
    }

    /// For a metric label: a fixed set of words.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::NotMade => "not_made",
            Self::Dropped => "dropped",
            Self::ReconnectAsked => "op7",
            Self::SessionVoid { resumable: true } => "op9_resumable",
            Self::SessionVoid { resumable: false } => "op9",
            Self::Garbled => "garbled",
            Self::Overflow => "overflow",
            Self::Closed(code) => match code {
                1000 => "1000",
                1001 => "1001",
                4000 => "4000",
                4001 => "4001",
                4002 => "4002",
                4003 => "4003",
                4004 => "4004",
                4005 => "4005",
                4007 => "4007",
                4008 => "4008",
                4009 => "4009",
                4010 => "4010",
                4011 => "4011",
                4012 => "4012",
                4013 => "4013",
                4014 => "4014",
                _ => "other",
            },
        }
    }
}

/// What to tell the operator about a close code that repeating cannot mend.
pub(super) fn advice(code: u16) -> &'static str {
    match code {
        4004 => "Discord does not accept the bot token: set a new one (PARLOR_DISCORD__TOKEN or discord.token_file)",
        4010 => "invalid shard: the shard count does not fit the bot",
        4011 => "the bot is in too many guilds for one shard: set discord.shards",
        4012 => "Discord no longer speaks this gateway version: upgrade Parlor",
        4013 => "Discord does not know the intents that were asked for: upgrade Parlor",
        4014 => "the intents that were asked for are not enabled for this bot: enable them in the developer portal",
        _ => "Discord refused the connection",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_is_told_apart() {
        for fatal in [4004, 4010, 4011, 4012, 4013, 4014] {
            assert_eq!(Ending::Closed(fatal).loss(), Loss::Refused, "{fatal}");
        }
        for new_session in [1000, 1001, 4007, 4009] {
            assert_eq!(Ending::Closed(new_session).loss(), Loss::SessionLost, "{new_session}");
        }
        for resume in [1006, 1011, 4000, 4001, 4002, 4003, 4005, 4008, 4999] {
            assert_eq!(Ending::Closed(resume).loss(), Loss::SessionKept, "{resume}");
        }
    }
}
