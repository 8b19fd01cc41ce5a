//! Why the server closes a connection.

use std::fmt;

/// A close code of the voice gateway (Discord docs, Opcodes and Status Codes, "Voice Close Event Codes").
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum CloseCode {
    /// 4001: an opcode that does not exist.
    UnknownOpcode,
    /// 4002: a message that could not be read.
    DecodeFailed,
    /// 4003: a message before Identify.
    NotAuthenticated,
    /// 4004: the token is wrong.
    AuthenticationFailed,
    /// 4005: Identify came twice.
    AlreadyAuthenticated,
    /// 4006: the session does not exist any more.
    SessionNoLongerValid,
    /// 4009: the session was gone for too long.
    SessionTimeout,
    /// 4011: the voice server is not there.
    ServerNotFound,
    /// 4012: the protocol of Select Protocol does not exist.
    UnknownProtocol,
    /// 4013: a part of the voice server crashed. Not in Discord's documentation.
    WorkerCrashed,
    /// 4014: the client was disconnected: kicked, moved, or its main gateway session ended.
    Disconnected,
    /// 4015: the voice server crashed.
    ServerCrashed,
    /// 4016: the mode of Select Protocol does not exist.
    UnknownEncryptionMode,
    /// 4017: the call is end-to-end encrypted and the client cannot be.
    E2eeRequired,
    /// 4020: a message with wrong content.
    BadRequest,
    /// 4021: too many messages.
    RateLimited,
    /// 4022: the call ended for all: the channel was deleted, or the voice server changed.
    CallTerminated,
    /// Any other: the WebSocket's own codes, or one that came after this list.
    Other(u16),
}

impl CloseCode {
    /// Every code that has a name.
    pub const NAMED: [Self; 17] = [
        Self::UnknownOpcode,
        Self::DecodeFailed,
        Self::NotAuthenticated,
        Self::AuthenticationFailed,
        Self::AlreadyAuthenticated,
        Self::SessionNoLongerValid,
        Self::SessionTimeout,
        Self::ServerNotFound,
        Self::UnknownProtocol,
        Self::WorkerCrashed,
        Self::Disconnected,
        Self::ServerCrashed,
        Self::UnknownEncryptionMode,
        Self::E2eeRequired,
        Self::BadRequest,
        Self::RateLimited,
        Self::CallTerminated,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::UnknownOpcode => 4001,
            Self::DecodeFailed => 4002,
            Self::NotAuthenticated => 4003,
            Self::AuthenticationFailed => 4004,
            Self::AlreadyAuthenticated => 4005,
            Self::SessionNoLongerValid => 4006,
            Self::SessionTimeout => 4009,
            Self::ServerNotFound => 4011,
            Self::UnknownProtocol => 4012,
            Self::WorkerCrashed => 4013,
            Self::Disconnected => 4014,
            Self::ServerCrashed => 4015,
            Self::UnknownEncryptionMode => 4016,
            Self::E2eeRequired => 4017,
            Self::BadRequest => 4020,
            Self::RateLimited => 4021,
            Self::CallTerminated => 4022,
            Self::Other(number) => number,
        }
    }

    /// The code with this number.
    pub fn from_number(number: u16) -> Self {
        Self::NAMED.into_iter().find(|code| code.number() == number).unwrap_or(Self::Other(number))
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}
