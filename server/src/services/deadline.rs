//! How much time a call has.

use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;

/// More time than this is not given to a unary call.
const LONGEST: Duration = Duration::from_secs(60);

/// What is kept back for the answer to travel.
const ANSWER_SHARE: f64 = 0.1;

/// The time that the runtime's timers go by.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// When a unary call has to be done: the caller's `grpc-timeout` less a tenth, or `default` from now.
pub(super) fn unary(metadata: &MetadataMap, default: Duration, now: Instant) -> Instant {
    let asked = timeout(metadata).map(|timeout| timeout.mul_f64(1.0 - ANSWER_SHARE));
    now + asked.unwrap_or(default).min(LONGEST)
}

/// The caller's `grpc-timeout` (gRPC over HTTP/2, "Timeout": at most eight digits and a unit).
pub(super) fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", text.parse().expect("ASCII"));
        timeout(&metadata)
    }

    #[test]
    fn every_unit_is_read_and_nothing_else() {
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        for wrong in ["", "S", "1", "-1S", "1x", "999999999S", "1.5S"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_call_never_gets_more_than_a_minute() {
        let now = Instant::now();
        let mut metadata = MetadataMap::new();
        assert_eq!(unary(&metadata, Duration::from_secs(10), now), now + Duration::from_secs(10));
        metadata.insert("grpc-timeout", "1H".parse().expect("ASCII"));
        assert_eq!(unary(&metadata, Duration::from_secs(10), now), now + LONGEST);
    }
}
