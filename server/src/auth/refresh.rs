//! When to fetch the issuer's keys. Pure: a clock reading and a random number come in as arguments.

use std::time::{Duration, Instant};

/// The times by which keys are kept fresh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RefreshRules {
    /// How long keys are fresh where the issuer does not say.
    pub default_age: Duration,
    /// Shorter than this is not believed.
    pub min_age: Duration,
    /// Longer than this is not believed.
    pub max_age: Duration,
    /// How long after an attempt an unknown key id does not cause another.
    pub cooldown: Duration,
    /// The first wait after a failure; it doubles with each further one.
    pub first_retry: Duration,
    /// The longest wait after a failure.
    pub max_retry: Duration,
    /// How long keys are used without a fetch that succeeds.
    pub max_stale: Duration,
}

impl RefreshRules {
    /// For keys behind a URL.
    pub const URL: Self = Self {
        default_age: Duration::from_secs(10 * 60),
        min_age: Duration::from_secs(60),
        max_age: Duration::from_secs(60 * 60),
        cooldown: Duration::from_secs(30),
        first_retry: Duration::from_secs(1),
        max_retry: Duration::from_secs(60),
        max_stale: Duration::from_secs(24 * 60 * 60),
    };

    /// For keys in a file, where looking costs nothing.
    pub const FILE: Self = Self {
        default_age: Duration::from_secs(5),
        min_age: Duration::from_secs(5),
        max_age: Duration::from_secs(5),
        cooldown: Duration::from_secs(1),
        first_retry: Duration::from_secs(1),
        max_retry: Duration::from_secs(5),
        max_stale: Duration::from_secs(24 * 60 * 60),
    };
}

/// What to do about a token whose key id is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnknownKid {
    /// Fetch the keys, then look again.
    Refetch,
    /// The keys were fetched a moment ago: there is no such key.
    NoSuchKey,
    /// The keys could not be fetched a moment ago: nobody can tell.
    Unavailable,
}

/// How the last attempt ended.
#[derive(Clone, Copy, Debug)]
enum Last {
    Never,
    Succeeded { ended: Instant },
    Failed { ended: Instant, in_a_row: u32 },
}

/// When the next fetch is due and what may be said in the meantime.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    rules: RefreshRules,
    last: Last,
    last_success: Option<Instant>,
    due: Instant,
}

impl Schedule {
    /// A schedule whose first fetch is due at once.
    pub fn new(rules: RefreshRules, now: Instant) -> Self {
        Self { rules, last: Last::Never, last_success: None, due: now }
    }

    /// When the next fetch is due, whether or not anybody asks for it.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// How old the keys are; nothing before the first success.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.last_success.map(|at| now.saturating_duration_since(at))
    }

    /// Whether keys that were fetched may still be used.
    pub fn trusts_keys(&self, now: Instant) -> bool {
        self.age(now).is_some_and(|age| age <= self.rules.max_stale)
    }

    /// What to do about an unknown key id.
    pub fn unknown_kid(&self, now: Instant) -> UnknownKid {
        let cooling = |ended: Instant| now.saturating_duration_since(ended) < self.rules.cooldown;
        match self.last {
            Last::Succeeded { ended } if cooling(ended) => UnknownKid::NoSuchKey,
            Last::Failed { ended, .. } if cooling(ended) => UnknownKid::Unavailable,
            Last::Never | Last::Succeeded { .. } | Last::Failed { .. } => UnknownKid::Refetch,
        }
    }

    /// A fetch succeeded; the issuer may have said for how long its answer is fresh. The next one is due at 80 % of
    /// that, 5 % more or less as `random` (0 to 1) says.
    pub fn succeeded(&mut self, fresh_for: Option<Duration>, random: f64, now: Instant) {
        let age = fresh_for.unwrap_or(self.rules.default_age).clamp(self.rules.min_age, self.rules.max_age);
        self.last = Last::Succeeded { ended: now };
        self.last_success = Some(now);
        self.due = now + age.mul_f64(0.75 + random.clamp(0.0, 1.0) / 10.0);
    }

    /// A fetch failed. The next one is due after a wait that doubles each time, of which `random` (0 to 1) takes
    /// between half and all.
    pub fn failed(&mut self, random: f64, now: Instant) {
        let before = match self.last {
            Last::Failed { in_a_row, .. } => in_a_row,
            Last::Never | Last::Succeeded { .. } => 0,
        };
        let longest = self.rules.first_retry.saturating_mul(1 << before.min(16)).min(self.rules.max_retry);
        self.last = Last::Failed { ended: now, in_a_row: before.saturating_add(1) };
        self.due = now + longest.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn keys_are_fetched_again_at_four_fifths_of_their_age() {
        let start = Instant::now();
        let mut schedule = Schedule::new(RefreshRules::URL, start);
        assert_eq!(schedule.due(), start);
        for (said, random, due) in [
            (None, 0.5, 480 * SECOND),
            (Some(100 * SECOND), 0.0, 75 * SECOND),
            (Some(100 * SECOND), 1.0, 85 * SECOND),
            (Some(SECOND), 0.5, 48 * SECOND),
            (Some(90_000 * SECOND), 0.5, 2_880 * SECOND),
        ] {
            schedule.succeeded(said, random, start);
            assert_eq!(schedule.due().duration_since(start).as_secs_f64().round(), due.as_secs_f64(), "{said:?}");
        }
    }

    #[test]
    fn failures_back_off_and_a_success_forgets_them() {
        let start = Instant::now();
        let mut schedule = Schedule::new(RefreshRules::URL, start);
        let mut waits = Vec::new();
        for _ in 0..8 {
            schedule.failed(1.0, start);
            waits.push(schedule.due().duration_since(start).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        schedule.succeeded(None, 0.5, start);
        schedule.failed(0.0, start);
        assert_eq!(schedule.due().duration_since(start), SECOND / 2);
    }

    #[test]
    fn an_unknown_kid_causes_one_fetch_per_cooldown() {
        let start = Instant::now();
        let mut schedule = Schedule::new(RefreshRules::URL, start);
        assert_eq!(schedule.unknown_kid(start), UnknownKid::Refetch);
        schedule.failed(0.5, start);
        assert_eq!(schedule.unknown_kid(start + 29 * SECOND), UnknownKid::Unavailable);
        assert_eq!(schedule.unknown_kid(start + 30 * SECOND), UnknownKid::Refetch);
        schedule.succeeded(None, 0.5, start + 30 * SECOND);
        assert_eq!(schedule.unknown_kid(start + 59 * SECOND), UnknownKid::NoSuchKey);
        assert_eq!(schedule.unknown_kid(start + 60 * SECOND), UnknownKid::Refetch);
    }

    #[test]
    fn keys_are_kept_for_a_day_of_failures_and_no_longer() {
        let start = Instant::now();
        let mut schedule = Schedule::new(RefreshRules::URL, start);
        assert!(!schedule.trusts_keys(start));
        schedule.succeeded(None, 0.5, start);
        schedule.failed(0.5, start + 60 * SECOND);
        let day = 24 * 60 * 60 * SECOND;
        assert!(schedule.trusts_keys(start + day));
        assert!(!schedule.trusts_keys(start + day + SECOND));
    }
}
