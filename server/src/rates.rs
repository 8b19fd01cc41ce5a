//! How often callers may call: one bucket (GCRA) for each rule and key.
//!
//! | rule | key | where it is asked |
//! |---|---|---|
//! | reads, changes, streams | the token's subject | [edge](crate::edge), before the service |
//! | changes of a guild | the guild | the service, once it knows the guild and that Discord has to be asked |
//! | refused tokens | the address, IPv6 by /64 | [edge](crate::edge), after the token was refused |
//!
//! Memory is bounded: whoever comes when every place is taken shares one bucket with all others who do.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::{BuildHasher as _, Hash},
    net::IpAddr,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{StateStore, keyed::ShrinkableKeyedStateStore},
};
use metrics::counter;
use parlor_gateway::GuildId;

use crate::{
    auth::Subject,
    config::RatesConfig,
    status::{Failure, Reason},
    telemetry::names,
};

/// What a bucket is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// Calls of one subject that show something.
    Reads,
    /// Calls of one subject that change something.
    Changes,
    /// Calls that change something in one guild, whoever makes them.
    GuildChanges,
    /// Streams that one subject opens.
    Streams,
    /// Tokens from one address that were refused.
    RefusedTokens,
}

impl Rule {
    /// The rule's name in metrics and in errors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Changes => "changes",
            Self::GuildChanges => "guild_changes",
            Self::Streams => "streams",
            Self::RefusedTokens => "refused_tokens",
        }
    }

    /// What is counted, and of whom, in words.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Reads => ("calls that read", "subject"),
            Self::Changes => ("calls that change something", "subject"),
            Self::GuildChanges => ("calls that change something in the guild", "guild"),
            Self::Streams => ("streams opened", "subject"),
            Self::RefusedTokens => ("calls without a good token", "address"),
        }
    }

    /// The rule for the calls of a subject, by the method's name. What is not known to read counts as a change.
    pub fn of_method(path: &str) -> Self {
        let method = path.rsplit('/').next().unwrap_or_default();
        let begins = |words: &[&str]| words.iter().any(|word| method.starts_with(word));
        if begins(&["Get", "List"]) {
            Self::Reads
        } else if begins(&["Subscribe", "Watch"]) || ["StreamAudio", "SendAudio", "ReceiveAudio"].contains(&method) {
            Self::Streams
        } else {
            Self::Changes
        }
    }
}

/// How long a change may wait for its turn in its guild.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Not at all: whoever asked hears at once.
    None,
    /// As one of many of a batch, until then.
    Until(Instant),
}

/// Every bucket of the server.
pub struct Rates<C: Clock = MonotonicClock> {
    reads: Buckets<C>,
    changes: Buckets<C>,
    guild_changes: Buckets<C>,
    streams: Buckets<C>,
    refused_tokens: Buckets<C>,
    hasher: RandomState,
}

impl Rates {
    /// Buckets as configured, all of them full.
    pub fn new(config: &RatesConfig) -> Self {
        Self::on(MonotonicClock, config)
    }
}

impl<C: Clock + Clone> Rates<C> {
    /// The same on a clock of one's own.
    pub fn on(clock: C, config: &RatesConfig) -> Self {
        let most = usize::try_from(config.keys).expect("this is not a 16-bit machine");
        let a_second = |rule, rate, burst| Buckets::new(rule, Pace::second(rate, burst), most, clock.clone());
        Self {
            reads: a_second(Rule::Reads, config.reads_per_second, config.reads_burst),
            changes: a_second(Rule::Changes, config.changes_per_second, config.changes_burst),
            guild_changes: a_second(Rule::GuildChanges, config.guild_changes_per_second, config.guild_changes_burst),
            streams: a_second(Rule::Streams, config.streams_per_second, config.streams_burst),
            refused_tokens: Buckets::new(
                Rule::RefusedTokens,
                Pace::minute(config.refused_tokens_per_minute, config.refused_tokens_burst),
                most,
                clock,
            ),
            hasher: RandomState::new(),
        }
    }

    /// Counts a call of a subject, by the path of its method.
    ///
    /// # Errors
    /// RATE_LIMITED: the subject has made as many as it may.
    pub fn call(&self, subject: &Subject, path: &str) -> Result<(), Failure> {
        let buckets = match Rule::of_method(path) {
            Rule::Reads => &self.reads,
            Rule::Streams => &self.streams,
            Rule::Changes | Rule::GuildChanges | Rule::RefusedTokens => &self.changes,
        };
        buckets.take(self.key(subject), 1)
    }

    /// Counts so many changes in a guild.
    ///
    /// # Errors
    /// RATE_LIMITED: as many were made there as may be. Nothing is counted then.
    pub fn change_guild(&self, guild: GuildId, changes: u32) -> Result<(), Failure> {
        let taken = self.guild_changes.take(self.key(guild), changes);
        taken.map_err(|failure| failure.with("guild_id", guild.to_string()))
    }

    /// The same for one change, which waits for its turn as long as it may.
    ///
    /// # Errors
    /// RATE_LIMITED: the turn would come too late.
    pub async fn turn_in_guild(&self, guild: GuildId, patience: Patience) -> Result<(), Failure> {
        loop {
            let Err(failure) = self.change_guild(guild, 1) else { return Ok(()) };
            let turn = failure.delay().map(|delay| tokio::time::Instant::now().into_std() + delay);
            match (turn, patience) {
                (Some(turn), Patience::Until(end)) if turn < end => tokio::time::sleep_until(turn.into()).await,
                (Some(_) | None, Patience::None | Patience::Until(_)) => return Err(failure),
            }
        }
    }

    /// Counts a token of this address that was refused.
    ///
    /// # Errors
    /// RATE_LIMITED: as many were refused as may be; the caller is told this instead.
    pub fn refused_token(&self, network: IpAddr) -> Result<(), Failure> {
        self.refused_tokens.take(self.key(network), 1)
    }

    /// Forgets whoever has a full bucket. Call it about once a minute.
    pub fn forget(&self) {
        for buckets in [&self.reads, &self.changes, &self.guild_changes, &self.streams, &self.refused_tokens] {
            buckets.limiter.retain_recent();
        }
    }

    /// Names are up to a kilobyte long; a keyed hash takes their place.
    fn key(&self, name: impl Hash) -> u64 {
        self.hasher.hash_one(name)
    }
}

impl<C: Clock> fmt::Debug for Rates<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("reads", &self.reads.limiter.len()).finish_non_exhaustive()
    }
}

/// So many in a time, and so many at once.
#[derive(Clone, Copy)]
struct Pace {
    quota: Quota,
    rate: u32,
    per: &'static str,
}

impl Pace {
    fn second(rate: u32, burst: u32) -> Self {
        Self { quota: Quota::per_second(at_least_one(rate)).allow_burst(at_least_one(burst)), rate, per: "second" }
    }

    fn minute(rate: u32, burst: u32) -> Self {
        Self { quota: Quota::per_minute(at_least_one(rate)).allow_burst(at_least_one(burst)), rate, per: "minute" }
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

type Limiter<C> = RateLimiter<u64, Places, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The buckets of one rule.
struct Buckets<C: Clock> {
    rule: Rule,
    pace: Pace,
    limiter: Limiter<C>,
}

impl<C: Clock> Buckets<C> {
    fn new(rule: Rule, pace: Pace, most: usize, clock: C) -> Self {
        let places = Places { most, taken: Mutex::default(), shared: Mutex::default() };
        Self { rule, pace, limiter: RateLimiter::new(pace.quota, places, clock) }
    }

    fn take(&self, key: u64, count: u32) -> Result<(), Failure> {
        let wait = match self.limiter.check_key_n(&key, at_least_one(count)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(refused)) => Some(refused.wait_time_from(self.limiter.clock().now())),
            // More at once than the bucket ever holds.
            Err(_) => None,
        };
        counter!(names::RATE_LIMITED, "rule" => self.rule.as_str()).increment(1);
        Err(self.refusal(wait))
    }

    fn refusal(&self, wait: Option<Duration>) -> Failure {
        let (what, of) = self.rule.words();
        let (rate, per, burst) = (self.pace.rate, self.pace.per, self.pace.quota.burst_size());
        let limit = format!("{rate} {what} a {per}, {burst} at once");
        let failure = Failure::new(Reason::RateLimited, format!("more than may be: {limit}"))
            .with("rule", self.rule.as_str())
            .quota(of, limit);
        match wait {
            // RetryInfo is read in milliseconds by many: none is told to come a moment too early.
            Some(wait) => failure.retry_after(Duration::from_millis(wait.as_millis() as u64 + 1)),
            None => failure,
        }
    }
}

/// Where the buckets are kept.
struct Places {
    most: usize,
    taken: Mutex<HashMap<u64, Nanos>>,
    /// For all who come when every place is taken.
    shared: Mutex<Option<Nanos>>,
}

impl StateStore for Places {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let known = taken.get(key).copied();
        if known.is_none() && taken.len() >= self.most {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            let (outcome, next) = measure(*shared)?;
            *shared = Some(next);
            return Ok(outcome);
        }
        let (outcome, next) = measure(known)?;
        taken.insert(*key, next);
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<u64> for Places {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, last| *last > drop_below);
    }

    fn len(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;
    use tonic_types::StatusExt as _;

    use super::*;

    fn rates(config: &RatesConfig) -> (FakeRelativeClock, Rates<FakeRelativeClock>) {
        let clock = FakeRelativeClock::default();
        (clock.clone(), Rates::on(clock, config))
    }

    fn subject(name: &str) -> Subject {
        Subject::new(name).expect("a subject")
    }

    const CREATE: &str = "/parlor.v1.RoomService/CreateRoom";
    const GET: &str = "/parlor.v1.RoomService/GetRoom";

    #[test]
    fn every_method_has_its_rule() {
        for (method, rule) in [
            (GET, Rule::Reads),
            ("/parlor.v1.ParticipantService/ListParticipants", Rule::Reads),
            (CREATE, Rule::Changes),
            ("/parlor.v1.ParticipantService/SetParticipantMute", Rule::Changes),
            ("/parlor.v1.VoiceEventService/SubscribeVoiceEvents", Rule::Streams),
            ("/parlor.v1.VoiceSessionService/Connect", Rule::Changes),
            ("/parlor.v1.VoiceSessionService/WatchSession", Rule::Streams),
            ("/parlor.v1.VoiceSessionService/SendAudio", Rule::Streams),
            ("/", Rule::Changes),
        ] {
            assert_eq!(Rule::of_method(method), rule, "{method}");
        }
    }

    #[test]
    fn a_refusal_says_which_limit_it_was_and_when_it_is_lifted() {
        let (clock, rates) = rates(&RatesConfig::default());
        let ann = subject("ann");
        for _ in 0..10 {
            rates.call(&ann, CREATE).expect("within the burst");
        }
        let refused = rates.call(&ann, CREATE).expect_err("the burst is used up");
        assert_eq!(refused.reason(), Reason::RateLimited);
        let details = refused.into_status().get_error_details();
        assert_eq!(details.error_info().expect("an ErrorInfo").metadata["rule"], "changes");
        let quota = &details.quota_failure().expect("a QuotaFailure").violations[0];
        assert_eq!(
            (quota.subject.as_str(), quota.description.as_str()),
            ("subject", "2 calls that change something a second, 10 at once")
        );
        let wait = details.retry_info().and_then(|retry| retry.retry_delay).expect("a delay");
        assert_eq!(wait, Duration::from_millis(501));
        rates.call(&ann, GET).expect("reading has a bucket of its own");
        rates.call(&subject("bob"), CREATE).expect("so has everybody else");
        clock.advance(wait);
        rates.call(&ann, CREATE).expect("after the delay");
    }

    #[test]
    fn a_guild_is_changed_by_all_together_and_a_batch_at_once_or_not_at_all() {
        let (_, rates) = rates(&RatesConfig::default());
        let guild = GuildId::new(100_000_000_000_000_001);
        rates.change_guild(guild, 3).expect("three of five");
        assert!(rates.change_guild(guild, 3).is_err());
        rates.change_guild(guild, 2).expect("nothing was counted");
        assert!(rates.change_guild(guild, 1).is_err());
        let never = rates.change_guild(GuildId::new(100_000_000_000_000_002), 6).expect_err("more than the burst");
        assert!(never.into_status().get_details_retry_info().is_none(), "waiting does not help");
    }

    #[test]
    fn memory_is_bounded_and_the_overflow_shares_a_bucket() {
        let config = RatesConfig { keys: 2, refused_tokens_burst: 2, ..RatesConfig::default() };
        let (clock, rates) = rates(&config);
        let from = |last: u8| rates.refused_token(IpAddr::from([192, 0, 2, last]));
        from(1).expect("a place");
        from(2).expect("the last place");
        from(3).expect("the shared bucket");
        from(4).expect("the shared bucket");
        assert!(from(5).is_err(), "it is empty");
        from(1).expect("a place of its own");
        assert_eq!(rates.refused_tokens.limiter.len(), 2);
        clock.advance(Duration::from_secs(60));
        rates.forget();
        assert!(rates.refused_tokens.limiter.is_empty(), "full buckets need no place");
        from(5).expect("a place");
    }

    proptest! {
        /// Whatever the times of the calls, no stretch of time has more than the burst and the rate together.
        #[test]
        fn no_stretch_of_time_has_more_than_it_may(
            pauses in prop::collection::vec(0_u64..1_500, 1..200),
            rate in 1_u32..20,
            burst in 1_u32..20,
        ) {
            let config = RatesConfig { changes_per_second: rate, changes_burst: burst, ..RatesConfig::default() };
            let (clock, rates) = rates(&config);
            let ann = subject("ann");
            let (mut now, mut passed) = (Duration::ZERO, Vec::new());
            for pause in pauses {
                let pause = Duration::from_millis(pause);
                clock.advance(pause);
                now += pause;
                match rates.call(&ann, CREATE) {
                    Ok(()) => passed.push(now),
                    Err(refused) => {
                        let wait = refused.into_status().get_details_retry_info().and_then(|retry| retry.retry_delay);
                        let longest = Duration::from_secs(1) / rate + Duration::from_millis(2);
                        prop_assert!(wait.expect("a delay") <= longest, "{wait:?} is longer than one takes");
                    }
                }
            }
            for (index, first) in passed.iter().enumerate() {
                for (more, last) in passed[index..].iter().enumerate() {
                    let most = f64::from(burst) + (*last - *first).as_secs_f64() * f64::from(rate) + 1e-6;
                    prop_assert!((more + 1) as f64 <= most, "{} calls from {first:?} to {last:?}", more + 1);
                }
            }
        }
    }
}
