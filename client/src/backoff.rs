//! How long to wait before another attempt.

use std::time::Duration;

/// Before the second attempt, at most.
const FIRST: Duration = Duration::from_millis(250);
/// Before any attempt, at most.
const LONGEST: Duration = Duration::from_secs(15);

/// The pause after so many failures in a row: doubling from 250 ms to 15 s, of which `chance`, in 0..1, takes off up to
/// half, so that the clients of a server that has failed do not all come back at once. No pause after none.
pub(crate) fn delay(failures: u32, chance: f64) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    FIRST.saturating_mul(1 << doublings.min(16)).min(LONGEST).mul_f64(1.0 - chance / 2.0)
}

/// A wait that the server has asked for, and up to a fifth of it more.
pub(crate) fn spread(asked: Duration, chance: f64) -> Duration {
    asked.saturating_add(asked.mul_f64(chance / 5.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let pauses: Vec<_> = (0..9).map(|failures| delay(failures, 0.0).as_millis()).collect();
        assert_eq!(pauses, [0, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        assert_eq!(delay(u32::MAX, 0.0), LONGEST);
    }

    #[test]
    fn chance_takes_off_up_to_half_and_never_goes_below_what_was_asked() {
        assert_eq!(delay(3, 1.0), Duration::from_millis(500));
        assert_eq!(spread(Duration::from_secs(10), 0.0), Duration::from_secs(10));
        assert_eq!(spread(Duration::from_secs(10), 1.0), Duration::from_secs(12));
    }
}
