//! Close codes of the gateway (Discord docs, Opcodes and Status Codes § Gateway Close Event Codes).

/// Why the emulator closes a gateway connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CloseReason {
    /// 4000, also for a connection whose session another one took up.
    UnknownError,
    /// 4001.
    UnknownOpcode,
    /// 4002, also for payloads above the size limit.
    DecodeError,
    /// 4003.
    NotAuthenticated,
    /// 4004.
    AuthenticationFailed,
    /// 4005.
    AlreadyAuthenticated,
    /// 4007.
    InvalidSeq,
    /// 4008.
    RateLimited,
    /// 4009.
    SessionTimedOut,
    /// 4010.
    InvalidShard,
    /// 4012.
    InvalidApiVersion,
    /// 4013.
    InvalidIntents,
    /// 4014.
    DisallowedIntents,
    /// Whatever a fault asks for.
    Scripted(u16),
}

impl CloseReason {
    /// The number in the close frame.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::UnknownError => 4000,
            Self::UnknownOpcode => 4001,
            Self::DecodeError => 4002,
            Self::NotAuthenticated => 4003,
            Self::AuthenticationFailed => 4004,
            Self::AlreadyAuthenticated => 4005,
            Self::InvalidSeq => 4007,
            Self::RateLimited => 4008,
            Self::SessionTimedOut => 4009,
            Self::InvalidShard => 4010,
            Self::InvalidApiVersion => 4012,
            Self::InvalidIntents => 4013,
            Self::DisallowedIntents => 4014,
            Self::Scripted(code) => code,
        }
    }

    /// The text in the close frame, as Discord words it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::UnknownError => "Unknown error.",
            Self::UnknownOpcode => "Unknown opcode.",
            Self::DecodeError => "Error while decoding payload.",
            Self::NotAuthenticated => "Not authenticated.",
            Self::AuthenticationFailed => "Authentication failed.",
            Self::AlreadyAuthenticated => "Already authenticated.",
            Self::InvalidSeq => "Invalid seq.",
            Self::RateLimited => "Rate limited.",
            Self::SessionTimedOut => "Session timed out.",
            Self::InvalidShard => "Invalid shard.",
            Self::InvalidApiVersion => "Invalid API version.",
            Self::InvalidIntents => "Invalid intent(s).",
            Self::DisallowedIntents => "Disallowed intent(s).",
            Self::Scripted(_) => "",
        }
    }

    /// Whether the session is over with the connection: the client must IDENTIFY anew, or give up.
    pub(crate) const fn ends_session(self) -> bool {
        match self {
            Self::AuthenticationFailed
            | Self::InvalidSeq
            | Self::SessionTimedOut
            | Self::InvalidShard
            | Self::InvalidApiVersion
            | Self::InvalidIntents
            | Self::DisallowedIntents => true,
            Self::UnknownError
            | Self::UnknownOpcode
            | Self::DecodeError
            | Self::NotAuthenticated
            | Self::AlreadyAuthenticated
            | Self::RateLimited => false,
            Self::Scripted(code) => matches!(code, 1000 | 1001 | 4004 | 4007 | 4009..=4014),
        }
    }
}
