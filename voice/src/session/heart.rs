//! Heartbeats of one voice gateway connection.

use std::time::{Duration, Instant};

/// So many heartbeats without an answer, and the connection is dead.
const MOST_UNANSWERED: u32 = 2;

/// ```text
/// Stopped ─Hello─▶ Beating ─two beats unanswered─▶ the connection is given up
/// ```
#[derive(Debug)]
pub(super) enum Heart {
    /// Hello has not come.
    Stopped,
    Beating {
        interval: Duration,
        next: Instant,
        unanswered: u32,
        last: Option<u64>,
    },
}

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Beat {
    /// Send a heartbeat with this number.
    Send(u64),
    /// The other side does not answer.
    Dead,
}

impl Heart {
    /// Hello came. The first beat comes after a part of the interval, `chance` in 0..1, so that many sessions do not beat at
    /// once.
    pub(super) fn start(interval: Duration, chance: f64, now: Instant) -> Self {
        Self::Beating { interval, next: now + interval.mul_f64(chance), unanswered: 0, last: None }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Stopped => None,
            Self::Beating { next, .. } => Some(*next),
        }
    }

    /// What is due now; `number` is for a heartbeat that is sent.
    pub(super) fn beat(&mut self, number: u64, now: Instant) -> Option<Beat> {
        let Self::Beating { interval, next, unanswered, last } = self else { return None };
        if now < *next {
            return None;
        }
        if *unanswered >= MOST_UNANSWERED {
            return Some(Beat::Dead);
        }
        *next = now + *interval;
        *unanswered += 1;
        *last = Some(number);
        Some(Beat::Send(number))
    }

    /// The server wants a heartbeat at once.
    pub(super) fn demand(&mut self, now: Instant) {
        if let Self::Beating { next, .. } = self {
            *next = now;
        }
    }

    /// An answer came. One to an older heartbeat, or to none, proves nothing.
    pub(super) fn answered(&mut self, number: u64) {
        if let Self::Beating { unanswered, last, .. } = self
            && *last == Some(number)
        {
            *unanswered = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn a_connection_that_answers_lives() {
        let start = Instant::now();
        let mut heart = Heart::start(INTERVAL, 0.5, start);
        assert_eq!(heart.beat(1, start + Duration::from_secs(4)), None);
        for beat in 0..10 {
            let now = start + Duration::from_secs(5 + 10 * beat);
            assert_eq!(heart.due(), Some(now));
            assert_eq!(heart.beat(beat, now), Some(Beat::Send(beat)));
            heart.answered(beat);
        }
    }

    #[test]
    fn two_beats_without_their_answer_are_death() {
        let start = Instant::now();
        let mut heart = Heart::start(INTERVAL, 0.0, start);
        assert_eq!(heart.beat(1, start), Some(Beat::Send(1)));
        assert_eq!(heart.beat(2, start + INTERVAL), Some(Beat::Send(2)));
        heart.answered(1);
        assert_eq!(heart.beat(3, start + 2 * INTERVAL), Some(Beat::Dead));
    }

    #[test]
    fn a_demand_is_met_at_once() {
        let start = Instant::now();
        let mut heart = Heart::start(INTERVAL, 1.0, start);
        heart.demand(start);
        assert_eq!(heart.beat(1, start), Some(Beat::Send(1)));
        assert_eq!(Heart::Stopped.beat(1, start), None);
    }
}
