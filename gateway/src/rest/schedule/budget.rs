//! How many invalid requests Discord has seen from us: ten thousand in ten minutes end in a ban of the address (Discord
//! docs, topics/rate-limits, "Invalid Request Limit").

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What Discord counts over.
const WINDOW: Duration = Duration::from_secs(600);

/// Counted together, so that the count takes a bounded room; what it forgets, it forgets this much too late.
const SLOT: Duration = Duration::from_secs(10);

/// From how many invalid requests in ten minutes on something is done about them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidRequestLimits {
    /// Somebody should look.
    pub warn: u32,
    /// Only essential requests are sent.
    pub shed: u32,
    /// Nothing is sent.
    pub stop: u32,
}

impl InvalidRequestLimits {
    /// Nothing is sent from so many on, from two fifths of them only what is essential, and from a tenth somebody should
    /// look.
    pub const fn stopping_at(stop: u32) -> Self {
        let tenth = stop.div_ceil(10);
        Self { warn: tenth, shed: if tenth * 4 < stop { tenth * 4 } else { stop }, stop }
    }
}

impl Default for InvalidRequestLimits {
    /// Nothing is sent from half of what Discord tolerates.
    fn default() -> Self {
        Self::stopping_at(5_000)
    }
}

/// The invalid requests of the last ten minutes.
#[derive(Debug, Default)]
pub(super) struct Budget {
    slots: VecDeque<(Instant, u32)>,
}

impl Budget {
    /// One more.
    pub(super) fn count(&mut self, now: Instant) {
        self.roll(now);
        match self.slots.back_mut().filter(|(since, _)| now.saturating_duration_since(*since) < SLOT) {
            Some((_, count)) => *count += 1,
            None => self.slots.push_back((now, 1)),
        }
    }

    /// How many there are.
    pub(super) fn used(&self) -> u32 {
        self.slots.iter().map(|(_, count)| count).sum()
    }

    /// When there will be fewer than `most`, if there are not now.
    pub(super) fn below(&self, most: u32) -> Option<Instant> {
        let mut used = self.used();
        let mut until = None;
        for (since, count) in &self.slots {
            if used < most {
                break;
            }
            used -= count;
            until = Some(*since + WINDOW + SLOT);
        }
        until
    }

    /// Forgets what is over.
    pub(super) fn roll(&mut self, now: Instant) {
        while self.slots.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= WINDOW + SLOT) {
            self.slots.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_essential_stops_before_everything_does() {
        assert_eq!(InvalidRequestLimits::default(), InvalidRequestLimits { warn: 500, shed: 2_000, stop: 5_000 });
        assert_eq!(InvalidRequestLimits::stopping_at(1), InvalidRequestLimits { warn: 1, shed: 1, stop: 1 });
    }

    #[test]
    fn invalid_requests_are_counted_for_ten_minutes() {
        let start = Instant::now();
        let mut budget = Budget::default();
        for second in 0..100 {
            budget.count(start + Duration::from_secs(second));
        }
        assert_eq!(budget.used(), 100);
        assert_eq!(budget.below(101), None);
        let below = budget.below(95).expect("there are more");
        budget.roll(below);
        assert!(budget.used() < 95);
        budget.roll(start + Duration::from_secs(100) + WINDOW + SLOT);
        assert_eq!(budget.used(), 0);
    }
}
