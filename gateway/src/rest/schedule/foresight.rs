//! When a request would be sent, as far as can be foreseen, so that one that has no time for it hears so at once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    Scheduler, Waiting,
    bucket::{BucketKey, Ready},
    gate::{Gate, Pause},
    request::{Lane, Meta, Tenant, Ticket},
    step::Unanswered,
    survey::{AGEING, TOP},
};

/// The shortest wait that is named to somebody whose turn did not come.
const SHORTEST: Duration = Duration::from_secs(1);

/// How urgent something can be.
const LEVELS: usize = TOP as usize + 1;

/// Requests that wait for the same thing, by tenant.
#[derive(Default)]
struct Line<'a>(BTreeMap<&'a Tenant, Queued>);

#[derive(Default)]
struct Queued {
    /// When the tenant's next turn begins.
    turn: u64,
    /// By how urgent they are now, in the order in which they came.
    all: [Vec<Ticket>; LEVELS],
    /// How many of them have been passed in going through the line from its beginning.
    passed: [usize; LEVELS],
}

/// Whoever wants to know how many go before.
#[derive(Clone, Copy)]
struct Asking<'a> {
    tenant: &'a Tenant,
    rise: Rise,
    /// Nothing for one that comes now, behind everybody.
    ticket: Option<Ticket>,
}

/// How urgent a request is now, and at its deadline at most.
#[derive(Clone, Copy)]
struct Rise {
    now: usize,
    last: usize,
}

impl Queued {
    /// How many of the tenant's own go before: that came before and are no less urgent.
    fn own(&self, asking: &Asking<'_>) -> usize {
        let levels = asking.rise.now..=asking.rise.last;
        match asking.ticket {
            Some(_) => self.passed[levels].iter().sum(),
            None => self.all[levels].iter().map(Vec::len).sum(),
        }
    }

    /// How many of another tenant's go before one whose turn begins then: those whose turn begins earlier, and one that begins
    /// at the same time and came first.
    fn others(&self, asking: &Asking<'_>, begins: u64) -> u64 {
        let levels = &self.all[asking.rise.now..=asking.rise.last];
        let mut queue = levels.iter().rev().flatten();
        let Some(earlier) = begins.checked_sub(self.turn) else { return 0 };
        let count = count(levels.iter().map(Vec::len).sum());
        let tie = usize::try_from(earlier).ok().and_then(|earlier| queue.nth(earlier));
        let is_first = tie.is_some_and(|tie| asking.ticket.is_none_or(|ticket| *tie < ticket));
        count.min(earlier) + u64::from(is_first)
    }
}

impl<'a> Line<'a> {
    fn join(&mut self, ticket: Ticket, tenant: &'a Tenant, urgency: usize, turn: impl FnOnce() -> u64) {
        let queued = self.0.entry(tenant).or_insert_with(|| Queued { turn: turn(), ..Queued::default() });
        queued.all[urgency].push(ticket);
    }

    fn pass(&mut self, tenant: &Tenant, urgency: usize) {
        if let Some(queued) = self.0.get_mut(tenant) {
            queued.passed[urgency] += 1;
        }
    }

    /// How many go before one at least: all that are more urgent than it can become in time, and of those that are no less
    /// urgent the tenant's own that came before, and of every other tenant as many as have their turn before.
    fn ahead(&self, asking: Asking<'_>, turn: impl FnOnce() -> u64) -> usize {
        let mine = self.0.get(asking.tenant);
        let own = mine.map_or(0, |queued| queued.own(&asking));
        let begins = mine.map_or_else(turn, |queued| queued.turn) + count(own);
        let others = self.0.iter().filter(|(other, _)| **other != asking.tenant);
        let others: u64 = others.map(|(_, queued)| queued.others(&asking, begins)).sum();
        let above = |queued: &Queued| queued.all[asking.rise.last + 1..].iter().map(Vec::len).sum::<usize>();
        let above: usize = self.0.values().map(above).sum();
        above + own + usize::try_from(others).unwrap_or(usize::MAX)
    }
}

impl Scheduler {
    /// When a request that comes now would be sent: never later than the truth where everybody else stays as they are, and
    /// exact where nothing is in the way.
    pub(super) fn foreseen(&self, meta: &Meta, now: Instant) -> Instant {
        let key = self.buckets.key(meta.route, meta.resource);
        let (mut in_bucket, mut in_all) = (Line::default(), Line::default());
        let urgencies = self.urgencies(now);
        for (ticket, waiting) in &self.waiting {
            let bucket = self.buckets.key(waiting.meta.route, waiting.meta.resource);
            let line = (bucket == key).then_some(&mut in_bucket);
            self.join((*ticket, waiting), &bucket, line, &mut in_all, &urgencies, now);
        }
        let rise = Rise::of(meta.urgency.rank(), Duration::ZERO, meta.deadline.saturating_duration_since(now));
        let asking = Asking { tenant: &meta.tenant, rise, ticket: None };
        let in_bucket = in_bucket.ahead(asking, || self.buckets.turn(&key, &meta.tenant));
        let in_all = in_all.ahead(asking, || self.turns.start(&meta.tenant));
        let lane = meta.lane.and_then(|lane| self.lanes.get(&lane)).into_iter().flatten();
        self.foreseen_behind(meta, &key, (in_bucket, in_all), lane, now)
    }

    /// When everything that waits is sent, however much of it stands in one queue, by what is known now: a look that costs
    /// little, because nearly always there is time.
    pub(super) fn all_sent(&self, now: Instant) -> Instant {
        let waiting = self.waiting.len();
        let paused = match self.gate.ready() {
            Ready::At(at) => at.max(now),
            Ready::Now | Ready::AfterAnAnswer => now,
        };
        let rate = u32::try_from(waiting / self.limits.per_second.max(1)).unwrap_or(u32::MAX);
        let limits = &self.limits.invalid;
        let spent = self.budget.below(limits.shed.min(limits.stop)).unwrap_or(now);
        let begun = self.waiting.values().map(|waiting| waiting.not_before);
        [paused + Duration::from_secs(1) * rate, self.buckets.latest(waiting, now), self.blocks.latest(now), spent]
            .into_iter()
            .chain(begun)
            .fold(now, Instant::max)
    }

    /// The first of those that wait who is not sent before its deadline, by what is known now.
    pub(super) fn doomed(&self, now: Instant) -> Option<(Ticket, Unanswered)> {
        let soonest = self.waiting.values().map(|waiting| waiting.meta.deadline).min()?;
        if self.all_sent(now) < soonest {
            return None;
        }
        let urgencies = self.urgencies(now);
        let (mut lines, mut in_all) = (BTreeMap::<BucketKey, Line<'_>>::new(), Line::default());
        let mut keys = Vec::with_capacity(self.waiting.len());
        for (ticket, waiting) in &self.waiting {
            let bucket = self.buckets.key(waiting.meta.route, waiting.meta.resource);
            let line = lines.entry(bucket.clone()).or_default();
            let is_in_all = self.join((*ticket, waiting), &bucket, Some(line), &mut in_all, &urgencies, now);
            keys.push((bucket, is_in_all));
        }
        for ((ticket, waiting), (bucket, is_in_all)) in self.waiting.iter().zip(keys) {
            let meta = &waiting.meta;
            let Some(line) = lines.get_mut(&bucket) else { continue };
            let rise = waiting.rise(&urgencies, now);
            let asking = Asking { tenant: &meta.tenant, rise, ticket: Some(*ticket) };
            let behind = line.ahead(asking, || 0);
            let behind_all = in_all.ahead(asking, || self.turns.start(&meta.tenant));
            line.pass(&meta.tenant, rise.now);
            if is_in_all {
                in_all.pass(&meta.tenant, rise.now);
            }
            let lane = meta.lane.and_then(|lane| self.lanes.get(&lane)).into_iter().flatten();
            let lane = lane.take_while(|before| *before < ticket);
            let at = self.foreseen_behind(meta, &bucket, (behind, behind_all), lane, now).max(waiting.not_before);
            // One whose deadline is there is not foreseen but over.
            if at >= meta.deadline && meta.deadline > now {
                return Some((*ticket, self.too_late(meta, at, now)));
            }
        }
        None
    }

    /// Puts a request into the lines that it waits in. Whom its own bucket holds back takes nobody's turn among all; returns
    /// whether it does.
    fn join<'a>(
        &'a self,
        (ticket, waiting): (Ticket, &'a Waiting),
        bucket: &BucketKey,
        line: Option<&mut Line<'a>>,
        in_all: &mut Line<'a>,
        urgencies: &BTreeMap<Lane, u64>,
        now: Instant,
    ) -> bool {
        let tenant = &waiting.meta.tenant;
        let urgency = waiting.rise(urgencies, now).now;
        if let Some(line) = line {
            line.join(ticket, tenant, urgency, || self.buckets.turn(bucket, tenant));
        }
        let takes_turns = !matches!(self.own_ready(waiting, bucket, now), Ready::At(_));
        if takes_turns {
            in_all.join(ticket, tenant, urgency, || self.turns.start(tenant));
        }
        takes_turns
    }

    /// When a request is sent before which so many go in its bucket and among all, and these in its lane.
    fn foreseen_behind<'a>(
        &self,
        meta: &Meta,
        bucket: &BucketKey,
        (in_bucket, in_all): (usize, usize),
        lane: impl Iterator<Item = &'a Ticket>,
        now: Instant,
    ) -> Instant {
        let at = |ready: Ready| match ready {
            Ready::At(at) => at.max(now),
            Ready::Now | Ready::AfterAnAnswer => now,
        };
        let rate = u32::try_from(in_all / self.limits.per_second.max(1)).unwrap_or(u32::MAX);
        let lane = lane.filter_map(|ticket| {
            let before = self.waiting.get(ticket)?;
            let bucket = self.buckets.key(before.meta.route, before.meta.resource);
            Some(at(self.own_ready(before, &bucket, now)))
        });
        [
            at(self.gate.ready()) + Duration::from_secs(1) * rate,
            self.buckets.foreseen(bucket, in_bucket, now),
            self.blocks.until(meta, now).unwrap_or(now),
            self.spent_until(meta).unwrap_or(now),
        ]
        .into_iter()
        .chain(lane)
        .fold(now, Instant::max)
    }

    /// What to say of a request that cannot be sent before `at`, which is past its deadline.
    pub(super) fn too_late(&self, meta: &Meta, at: Instant, now: Instant) -> Unanswered {
        let retry_after = at.saturating_duration_since(now);
        let stopped = match &self.gate {
            Gate::Paused { why: Pause::Cloudflare, until } => Some(*until),
            Gate::Open | Gate::Paused { why: Pause::Global, .. } | Gate::Probing { .. } | Gate::CredentialsRefused => {
                None
            }
        };
        if stopped.max(self.spent_until(meta)).is_some_and(|until| until >= meta.deadline) {
            Unanswered::BreakerOpen { retry_after }
        } else {
            Unanswered::RateLimited { retry_after }
        }
    }

    /// What to say of a request whose deadline is there: Discord failed it or does not answer, or its turn did not come.
    pub(super) fn out_of_time(&self, waiting: &Waiting, now: Instant) -> Unanswered {
        let is_silent = self.in_flight.values().any(|sent| sent.sent + self.limits.overdue <= now);
        if waiting.attempts.failed > 0 || is_silent {
            return Unanswered::Unavailable;
        }
        let at = self.foreseen(&waiting.meta, now);
        Unanswered::RateLimited { retry_after: at.saturating_duration_since(now).max(SHORTEST) }
    }
}

impl Rise {
    /// From this rank on, after having waited for so long and with so much time left.
    fn of(rank: u64, waited: Duration, left: Duration) -> Self {
        let after = |waited: Duration| {
            let raised = (rank + waited.as_secs() / AGEING.as_secs()).min(TOP);
            usize::try_from(raised).unwrap_or(usize::MAX)
        };
        Self { now: after(waited), last: after(waited + left) }
    }
}

impl Waiting {
    /// How urgent it is, with what its lane lends it.
    fn rise(&self, urgencies: &BTreeMap<Lane, u64>, now: Instant) -> Rise {
        let waited = now.saturating_duration_since(self.since);
        let own = Rise::of(self.meta.urgency.rank(), waited, self.meta.deadline.saturating_duration_since(now));
        let lent = self.meta.lane.and_then(|lane| urgencies.get(&lane)).copied().unwrap_or(0);
        let lent = usize::try_from(lent).unwrap_or(usize::MAX);
        Rise { now: own.now.max(lent), last: own.last.max(lent) }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
