//! Discord's buckets, as far as its answers have shown them (Discord docs, topics/rate-limits).

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    answer::BucketNews,
    request::{Resource, Route, Tenant},
    turns::Turns,
};

/// Added to every wait that Discord names, because its clock and ours do not tick together.
pub(super) const MARGIN: Duration = Duration::from_millis(50);

/// Requests of one bucket that may be unanswered at the same time: what a bucket that is emptier than it said costs.
const UNANSWERED: usize = 3;

/// What has not been used for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// How many buckets there may be before the old ones are looked for.
const MANY: usize = 1_024;

/// When something may be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ready {
    /// Now.
    Now,
    /// Not before.
    At(Instant),
    /// Once something in flight has been answered.
    AfterAnAnswer,
}

impl Ready {
    /// When both allow it.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, other) => other,
            (one, Self::Now) => one,
            (Self::At(one), Self::At(other)) => Self::At(one.max(other)),
            // The time is a bound that holds whatever the answer is.
            (Self::At(at), Self::AfterAnAnswer) | (Self::AfterAnAnswer, Self::At(at)) => Self::At(at),
            (Self::AfterAnAnswer, Self::AfterAnAnswer) => Self::AfterAnAnswer,
        }
    }
}

/// Names a bucket.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum BucketKey {
    /// Discord has not yet said which bucket the route has.
    Unlearned(Route, Resource),
    /// Every route with this hash, at one resource.
    Learned(Arc<str>, Resource),
}

/// Every bucket that was met.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// What Discord said last of a route at a resource.
    hashes: BTreeMap<(Route, Resource), Learned>,
    /// And of the route at any resource: likely true of the next one.
    routes: BTreeMap<Route, Arc<str>>,
    met: BTreeMap<BucketKey, Bucket>,
}

#[derive(Debug)]
struct Learned {
    hash: Arc<str>,
    at: Instant,
}

#[derive(Debug)]
struct Bucket {
    unanswered: usize,
    window: Window,
    /// A 429 said so, which outranks the window.
    closed_until: Option<Instant>,
    turns: Turns,
    used: Instant,
}

/// ```text
/// Unseen ──answer without headers──▶ Unmetered
///   │ answer with headers                │
///   ▼                                    ▼
/// Open { left, resets } ──resets passes──▶ Open { left: limit, resets: unsaid until an answer }
/// ```
#[derive(Debug)]
enum Window {
    /// No answer yet: one request finds out.
    Unseen,
    /// Discord answers without naming a bucket.
    Unmetered,
    /// So many requests are left until then.
    Open { limit: u32, left: u32, resets: Option<Instant>, length: Duration },
}

impl Buckets {
    /// The bucket that a request counts against, as far as is known.
    pub(super) fn key(&self, route: Route, resource: Resource) -> BucketKey {
        let learned = |hash: &Arc<str>| BucketKey::Learned(Arc::clone(hash), resource);
        if let Some(here) = self.hashes.get(&(route, resource)) {
            return learned(&here.hash);
        }
        let unlearned = BucketKey::Unlearned(route, resource);
        match self.routes.get(&route) {
            // What has been met here without a name counts until its name is known.
            Some(hash) if !self.met.contains_key(&unlearned) => learned(hash),
            Some(_) | None => unlearned,
        }
    }

    /// When the bucket lets another request through.
    pub(super) fn ready(&self, key: &BucketKey, now: Instant) -> Ready {
        self.met.get(key).map_or(Ready::Now, |bucket| bucket.ready(now))
    }

    /// When the bucket lets through a request before which `ahead` others go, as far as can be foreseen.
    pub(super) fn foreseen(&self, key: &BucketKey, ahead: usize, now: Instant) -> Instant {
        self.met.get(key).map_or(now, |bucket| bucket.foreseen(ahead, now))
    }

    /// When every bucket that was met lets through a request before which `ahead` others go.
    pub(super) fn latest(&self, ahead: usize, now: Instant) -> Instant {
        self.met.values().map(|bucket| bucket.foreseen(ahead, now)).fold(now, Instant::max)
    }

    /// When the tenant's turn in the bucket begins.
    pub(super) fn turn(&self, key: &BucketKey, tenant: &Tenant) -> u64 {
        self.met.get(key).map_or(0, |bucket| bucket.turns.start(tenant))
    }

    /// A request of the tenant is sent.
    pub(super) fn send(&mut self, key: &BucketKey, tenant: &Tenant, now: Instant) {
        if self.met.len() >= MANY {
            self.forget(now);
        }
        let bucket = self.met.entry(key.clone()).or_insert_with(|| Bucket::new(now));
        bucket.roll(now);
        bucket.unanswered += 1;
        bucket.used = now;
        bucket.turns.serve(tenant);
        if let Window::Open { left, .. } = &mut bucket.window {
            *left = left.saturating_sub(1);
        }
    }

    /// A request that was sent under this key has ended, with or without an answer.
    pub(super) fn end(&mut self, key: &BucketKey) {
        if let Some(bucket) = self.met.get_mut(key) {
            bucket.unanswered = bucket.unanswered.saturating_sub(1);
        }
    }

    /// An answer named its bucket.
    pub(super) fn learn(&mut self, route: Route, resource: Resource, news: &BucketNews, now: Instant) {
        let before = self.key(route, resource);
        let hash: Arc<str> = match &before {
            BucketKey::Learned(known, _) if **known == *news.hash => Arc::clone(known),
            BucketKey::Learned(..) | BucketKey::Unlearned(..) => news.hash.as_str().into(),
        };
        let key = BucketKey::Learned(Arc::clone(&hash), resource);
        self.hashes.insert((route, resource), Learned { hash: Arc::clone(&hash), at: now });
        self.routes.insert(route, hash);
        if before != key
            && let Some(bucket) = self.met.get_mut(&before)
        {
            let (turns, closed_until) = (std::mem::take(&mut bucket.turns), bucket.closed_until);
            let renamed = self.met.entry(key.clone()).or_insert_with(|| Bucket { turns, ..Bucket::new(now) });
            renamed.closed_until = renamed.closed_until.max(closed_until);
        }
        self.met.entry(key).or_insert_with(|| Bucket::new(now)).learn(news, now);
    }

    /// An answer that tells of success named no bucket.
    pub(super) fn learn_unmetered(&mut self, key: &BucketKey) {
        if let Some(bucket) = self.met.get_mut(key)
            && matches!(bucket.window, Window::Unseen)
        {
            bucket.window = Window::Unmetered;
        }
    }

    /// A 429 closed the bucket.
    pub(super) fn close(&mut self, key: &BucketKey, until: Instant, now: Instant) {
        let bucket = self.met.entry(key.clone()).or_insert_with(|| Bucket::new(now));
        bucket.closed_until = Some(bucket.closed_until.map_or(until, |before| before.max(until)));
    }

    fn forget(&mut self, now: Instant) {
        let old = |used: Instant| now.saturating_duration_since(used) >= FORGOTTEN_AFTER;
        self.met.retain(|_, bucket| {
            bucket.unanswered > 0 || !old(bucket.used) || bucket.closed_until.is_some_and(|until| until > now)
        });
        self.hashes.retain(|_, learned| !old(learned.at));
    }
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { unanswered: 0, window: Window::Unseen, closed_until: None, turns: Turns::default(), used: now }
    }

    fn ready(&self, now: Instant) -> Ready {
        if let Some(until) = self.closed_until.filter(|until| *until > now) {
            return Ready::At(until);
        }
        let free = |most: usize| if self.unanswered < most { Ready::Now } else { Ready::AfterAnAnswer };
        match self.window {
            Window::Unseen => free(1),
            Window::Unmetered => free(UNANSWERED),
            Window::Open { resets: Some(resets), left: 0, .. } if resets > now => Ready::At(resets),
            // The window is over, or not known to have an end: what is in flight counts against the next one.
            Window::Open { resets: Some(resets), limit, .. } if resets <= now => free(UNANSWERED.min(most(limit))),
            Window::Open { left: 0, .. } => free(1),
            Window::Open { .. } => free(UNANSWERED),
        }
    }

    fn foreseen(&self, ahead: usize, now: Instant) -> Instant {
        let open = self.closed_until.map_or(now, |until| until.max(now));
        let Window::Open { limit, left, resets, length } = self.window else { return open };
        let (left, next) = match resets {
            Some(resets) if resets > open => (left, resets),
            Some(_) | None => (limit, open + length),
        };
        let (ahead, left, limit) = (as_count(ahead), left, limit.max(1));
        match ahead.checked_sub(left) {
            None => open,
            Some(beyond) => next + length * (beyond / limit),
        }
    }

    fn roll(&mut self, now: Instant) {
        if self.closed_until.is_some_and(|until| until <= now) {
            self.closed_until = None;
        }
        if let Window::Open { limit, left, resets, .. } = &mut self.window
            && resets.is_some_and(|resets| resets <= now)
        {
            *left = limit.saturating_sub(as_count(self.unanswered));
            *resets = None;
        }
    }

    fn learn(&mut self, news: &BucketNews, now: Instant) {
        self.roll(now);
        self.used = now;
        let ends = now + news.reset_after + MARGIN;
        // Those in flight are not yet in what the answer counts.
        let reported = news.remaining.saturating_sub(as_count(self.unanswered));
        let (left, length) = match self.window {
            // The answer is of the next window already, which began before ours was over.
            Window::Open { resets: Some(resets), length, .. } if ends > resets + length.mul_f64(0.75) => {
                (reported, length.max(news.reset_after))
            }
            // Answers overtake each other: within a window only the smaller number is safe.
            Window::Open { left, length, .. } => (left.min(news.remaining), length.max(news.reset_after)),
            Window::Unseen | Window::Unmetered => (reported, news.reset_after),
        };
        self.window = Window::Open { limit: news.limit, left, resets: Some(ends), length };
    }
}

/// How many requests of a fresh window may be unanswered.
fn most(limit: u32) -> usize {
    usize::try_from(limit.max(1)).unwrap_or(usize::MAX)
}

fn as_count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
