//! A small Discord that limits as the real one does, and fails as it is told to.

use super::*;

/// Requests of a bucket per window.
pub(super) const LIMIT: u32 = 5;
/// How long a window is.
pub(super) const WINDOW: Duration = Duration::from_secs(5);
/// Name changes of one channel per ten minutes.
const RENAMES: u32 = 2;
const RENAMES_WINDOW: Duration = Duration::from_secs(600);
/// Requests in one second.
const GLOBAL: u32 = 50;

/// The guild where the bot may make nothing.
pub(super) const FORBIDDEN: u64 = 7;

/// What an invalid answer was caused by.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Cause {
    Bucket(Route, Resource, u32),
    Rename(Resource, u32),
    Writes(Resource, u32),
    Global(u32),
    Cloudflare(u32),
    /// By minutes, because a minute later it may be tried again.
    Forbidden(Route, Resource, u64),
}

/// How much goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Of a thousand requests, so many meet a failure of one kind.
    pub(super) failures: u64,
    /// Whether whole episodes of 429 come, and others use the same buckets.
    pub(super) storms: bool,
}

/// So many in so long a time, counted from the first.
#[derive(Debug)]
struct Count {
    since: Instant,
    used: u32,
    /// Of the window, among all windows of this count.
    number: u32,
}

impl Count {
    fn roll(&mut self, length: Duration, now: Instant) {
        if now >= self.since + length {
            *self = Self { since: now, used: 0, number: self.number + 1 };
        }
    }
}

/// Everything stops, from now on, until then.
#[derive(Clone, Copy, Debug)]
struct Episode {
    number: u32,
    until: Instant,
    kind: LimitKind,
}

pub(super) struct Discord {
    random: fastrand::Rng,
    weather: Weather,
    start: Instant,
    buckets: BTreeMap<(Route, Resource), Count>,
    renames: BTreeMap<Resource, Count>,
    writes: BTreeMap<Resource, Count>,
    all: Count,
    episode: Option<Episode>,
    episodes: u32,
    /// Invalid answers by what caused them.
    pub(super) invalid: BTreeMap<Cause, u32>,
    /// 429s that nobody is to blame for.
    pub(super) shared: u32,
}

impl Discord {
    pub(super) fn new(weather: Weather, seed: u64, start: Instant) -> Self {
        let all = Count { since: start, used: 0, number: 0 };
        Self {
            random: fastrand::Rng::with_seed(seed),
            weather,
            start,
            buckets: BTreeMap::new(),
            renames: BTreeMap::new(),
            writes: BTreeMap::new(),
            all,
            episode: None,
            episodes: 0,
            invalid: BTreeMap::new(),
            shared: 0,
        }
    }

    /// Answers a request that arrives now.
    pub(super) fn answer(&mut self, meta: &Meta, now: Instant) -> Outcome {
        if let Some(episode) = self.episode(now) {
            let (number, kind) = (episode.number, episode.kind);
            let cause = if kind == LimitKind::Global { Cause::Global(number) } else { Cause::Cloudflare(number) };
            return self.refuse(cause, kind, episode.until - now, None);
        }
        if let Some(failure) = self.failure() {
            return failure;
        }
        self.all.roll(seconds(1), now);
        self.all.used += 1;
        if self.all.used > GLOBAL {
            let left = self.all.since + seconds(1) - now;
            return self.refuse(Cause::Global(u32::MAX), LimitKind::Global, left, None);
        }
        let (count, news) = self.count(meta, now);
        if let Some(wait) = count {
            if self.random.u8(0..4) == 0 && self.weather.storms {
                self.shared += 1;
                return limited(LimitKind::Shared, wait);
            }
            let number = self.buckets[&(meta.route, meta.resource)].number;
            return self.refuse(Cause::Bucket(meta.route, meta.resource, number), LimitKind::Bucket, wait, Some(news));
        }
        if meta.resource == Resource::Guild(GuildId::new(FORBIDDEN)) && meta.route.verb.writes() {
            let minute = (now - self.start).as_secs() / 60;
            *self.invalid.entry(Cause::Forbidden(meta.route, meta.resource, minute)).or_default() += 1;
            return Outcome::Answered(Heard { code: 50_013, ..heard(403, None, Some(news)) });
        }
        if meta.fields.contains(&Field::Name)
            && let Some((wait, number)) = over(&mut self.renames, meta.resource, RENAMES, RENAMES_WINDOW, now)
        {
            return self.refuse(Cause::Rename(meta.resource, number), LimitKind::SubLimit, wait, Some(news));
        }
        // Anything may be written twelve times in twenty seconds to one channel.
        if self.weather.storms
            && matches!(meta.resource, Resource::Channel(_))
            && let Some((wait, number)) = over(&mut self.writes, meta.resource, 12, seconds(20), now)
        {
            return self.refuse(Cause::Writes(meta.resource, number), LimitKind::ChannelWrites, wait, Some(news));
        }
        Outcome::Answered(heard(200, None, Some(news)))
    }

    /// Counts against the bucket: how long to wait if it is empty, and what the headers say.
    fn count(&mut self, meta: &Meta, now: Instant) -> (Option<Duration>, BucketNews) {
        let fresh = Count { since: now, used: 0, number: 0 };
        let bucket = self.buckets.entry((meta.route, meta.resource)).or_insert(fresh);
        bucket.roll(WINDOW, now);
        if self.weather.storms && self.random.u8(0..20) == 0 {
            // Somebody else with the same token.
            bucket.used = LIMIT;
        }
        let empty = bucket.used >= LIMIT;
        bucket.used = (bucket.used + 1).min(LIMIT);
        let reset_after = bucket.since + WINDOW - now;
        let news =
            BucketNews { hash: meta.route.to_string(), limit: LIMIT, remaining: LIMIT - bucket.used, reset_after };
        (empty.then_some(reset_after), news)
    }

    fn refuse(&mut self, cause: Cause, kind: LimitKind, wait: Duration, news: Option<BucketNews>) -> Outcome {
        *self.invalid.entry(cause).or_default() += 1;
        Outcome::Answered(heard(429, Some(Limited { kind, wait }), news))
    }

    fn failure(&mut self) -> Option<Outcome> {
        match self.random.u64(0..1_000) / self.weather.failures.max(1) {
            _ if self.weather.failures == 0 => None,
            0 => Some(answer(502)),
            1 => Some(Outcome::NoAnswer),
            2 => Some(Outcome::NotSent),
            _ => None,
        }
    }

    /// The episode that is on, or begins.
    fn episode(&mut self, now: Instant) -> Option<Episode> {
        self.episode = self.episode.filter(|episode| episode.until > now);
        if self.episode.is_none() && self.weather.storms && self.random.u8(0..100) == 0 {
            self.episodes += 1;
            let kind = if self.random.bool() { LimitKind::Global } else { LimitKind::Cloudflare };
            let until = now + Duration::from_millis(self.random.u64(200..4_000));
            self.episode = Some(Episode { number: self.episodes, until, kind });
        }
        self.episode
    }
}

/// Counts; says how long to wait, and in which window, once there are more than `most`.
fn over(
    counts: &mut BTreeMap<Resource, Count>,
    resource: Resource,
    most: u32,
    window: Duration,
    now: Instant,
) -> Option<(Duration, u32)> {
    let count = counts.entry(resource).or_insert(Count { since: now, used: 0, number: 0 });
    count.roll(window, now);
    count.used += 1;
    (count.used > most).then(|| (count.since + window - now, count.number))
}

fn heard(status: u16, limited: Option<Limited>, bucket: Option<BucketNews>) -> Heard {
    Heard { status, code: 0, bucket, limited, retry_after: limited.map(|limited| limited.wait) }
}
