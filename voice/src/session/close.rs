//! What a closed voice gateway connection asks for.

use parlor_voice_wire::gateway::CloseCode;

/// How to go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// The session is still there: resume it on another socket.
    Resume,
    /// The session is gone: ask the main gateway for the channel again.
    Renew,
    /// Discord took the session away and says what comes next: wait for a voice server, or for being told to be nowhere.
    Wait,
    /// Trying again does not mend it.
    Refused(CloseCode),
}

/// What a close code means; none is a connection that broke off (Discord docs, Opcodes and Status Codes, "Voice Close Event
/// Codes").
pub(super) fn fate(code: Option<u16>) -> Fate {
    let Some(number) = code else { return Fate::Resume };
    match CloseCode::from_number(number) {
        CloseCode::WorkerCrashed | CloseCode::ServerCrashed => Fate::Resume,
        CloseCode::Disconnected | CloseCode::CallTerminated => Fate::Wait,
        code @ (CloseCode::UnknownProtocol
        | CloseCode::UnknownEncryptionMode
        | CloseCode::E2eeRequired
        | CloseCode::RateLimited) => Fate::Refused(code),
        CloseCode::UnknownOpcode
        | CloseCode::DecodeFailed
        | CloseCode::NotAuthenticated
        | CloseCode::AuthenticationFailed
        | CloseCode::AlreadyAuthenticated
        | CloseCode::SessionNoLongerValid
        | CloseCode::SessionTimeout
        | CloseCode::ServerNotFound
        | CloseCode::BadRequest => Fate::Renew,
        CloseCode::Other(1000..4000) => Fate::Resume,
        CloseCode::Other(_) => Fate::Renew,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_is_told_apart() {
        for resumed in [None, Some(1000), Some(1001), Some(1006), Some(3999), Some(4013), Some(4015)] {
            assert_eq!(fate(resumed), Fate::Resume, "{resumed:?}");
        }
        for renewed in [4000, 4001, 4002, 4003, 4004, 4005, 4006, 4009, 4011, 4020, 4999] {
            assert_eq!(fate(Some(renewed)), Fate::Renew, "{renewed}");
        }
        for awaited in [4014, 4022] {
            assert_eq!(fate(Some(awaited)), Fate::Wait, "{awaited}");
        }
        for refused in [4012, 4016, 4017, 4021] {
            assert_eq!(fate(Some(refused)), Fate::Refused(CloseCode::from_number(refused)), "{refused}");
        }
    }
}
