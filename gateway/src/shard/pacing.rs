//! How long to wait before the next connection.
//!
//! twilight 0.18 waits only after a connection that could not be made; after one that opened and then closed it connects
//! anew at once, which was measured at hundreds of connections a second. So a pause comes after *every* close.

use std::time::{Duration, Instant};

/// The first pauses are short: a plain drop is live again within seconds.
const QUICK_TRIES: u32 = 3;
const QUICK_CEILING: Duration = Duration::from_secs(1);
const CEILING: Duration = Duration::from_secs(60);

/// A connection that stayed up for so long is proof that what went wrong before is over.
const PROOF: Duration = Duration::from_secs(60);

/// A pure count of failures; chance and time come in as arguments.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    closes: u32,
    active_since: Option<Instant>,
}

impl Pacing {
    /// The session is up: READY or RESUMED came.
    pub(super) fn active(&mut self, now: Instant) {
        self.active_since.get_or_insert(now);
    }

    /// The connection closed, for whatever reason. Returns how long to wait: full jitter below a ceiling that doubles,
    /// with `chance` in 0..1.
    pub(super) fn closed(&mut self, chance: f64, now: Instant) -> Duration {
        let proven = self.active_since.take().is_some_and(|since| now.duration_since(since) >= PROOF);
        if proven {
            self.closes = 0;
        }
        let doubled = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(self.closes));
        let ceiling = if self.closes < QUICK_TRIES { QUICK_CEILING } else { doubled.min(CEILING) };
        self.closes = self.closes.saturating_add(1);
        ceiling.mul_f64(chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_accept_then_close_is_a_trickle() {
        let mut pacing = Pacing::default();
        let start = Instant::now();
        let mut now = start;
        let mut connects = 0;
        while now.duration_since(start) < Duration::from_secs(3_600) {
            pacing.active(now);
            now += pacing.closed(0.5, now) + Duration::from_millis(1);
            connects += 1;
        }
        assert!((100..150).contains(&connects), "{connects} connections in an hour");
    }

    #[test]
    fn the_first_three_pauses_stay_below_a_second_and_none_above_a_minute() {
        let mut pacing = Pacing::default();
        let now = Instant::now();
        let pauses: Vec<_> = (0..10).map(|_| pacing.closed(1.0, now).as_secs()).collect();
        assert_eq!(pauses, [1, 1, 1, 8, 16, 32, 60, 60, 60, 60]);
    }

    #[test]
    fn a_minute_of_being_up_is_proof_and_a_second_is_not() {
        let mut pacing = Pacing::default();
        let now = Instant::now();
        for _ in 0..6 {
            pacing.closed(1.0, now);
        }
        pacing.active(now);
        assert_eq!(pacing.closed(1.0, now + Duration::from_secs(1)).as_secs(), 60);
        pacing.active(now);
        assert_eq!(pacing.closed(1.0, now + PROOF).as_secs(), 1);
    }
}
