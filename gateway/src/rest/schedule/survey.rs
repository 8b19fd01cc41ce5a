//! Which of the waiting requests goes next, and when one that comes now would.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    InFlight, Scheduler, Waiting,
    bucket::{BucketKey, Ready},
    gate::{Gate, Pause},
    request::{Lane, Meta, Tenant, Ticket, Urgency},
    step::{Step, Unanswered},
};

/// Waiting so long raises a request by one [`Urgency`].
const AGEING: Duration = Duration::from_secs(2);

/// Something that may be sent now, as it compares to others: the greatest goes first.
struct Candidate<'a> {
    ticket: Ticket,
    urgency: u64,
    tenant: &'a Tenant,
    bucket_turn: u64,
}

impl Scheduler {
    /// Looks at everything that waits: what has to be refused, else what goes first, else until when nothing happens.
    pub(super) fn survey(&self, now: Instant) -> Step {
        let (room, freed) = self.room_in_flight(now);
        let common = self.gate.ready().and(self.rate(now)).and(room);
        let urgencies = self.urgencies(now);
        let mut wake = freed;
        let mut best: BTreeMap<BucketKey, Candidate<'_>> = BTreeMap::new();
        for (ticket, waiting) in &self.waiting {
            let meta = &waiting.meta;
            if let Some(denial) = self.blocks.denial(meta, now) {
                return Step::Refuse(*ticket, Unanswered::Denied(denial));
            }
            if meta.deadline <= now {
                return Step::Refuse(*ticket, Unanswered::Unavailable);
            }
            let bucket = self.buckets.key(meta.route, meta.resource);
            let ready = common.and(self.own_ready(waiting, &bucket, now));
            wake = Some(wake.map_or(meta.deadline, |wake| wake.min(meta.deadline)));
            match ready {
                Ready::At(at) if at >= meta.deadline => return Step::Refuse(*ticket, self.too_late(meta, at, now)),
                Ready::At(at) => wake = wake.map(|wake| wake.min(at)),
                Ready::AfterAnAnswer => {}
                Ready::Now if !self.is_first_in_lane(meta.lane, *ticket) => {}
                Ready::Now => {
                    let bucket_turn = self.buckets.turn(&bucket, &meta.tenant);
                    let urgency = meta.lane.and_then(|lane| urgencies.get(&lane).copied());
                    let urgency = urgency.unwrap_or_else(|| waiting.urgency(now));
                    let candidate = Candidate { ticket: *ticket, urgency, tenant: &meta.tenant, bucket_turn };
                    match best.get_mut(&bucket) {
                        Some(before) if before.goes_before(&candidate) => {}
                        Some(before) => *before = candidate,
                        None => {
                            best.insert(bucket, candidate);
                        }
                    }
                }
            }
        }
        // Every bucket has named whose turn it is; among buckets it is the tenants' turn over all of them.
        let first =
            best.values().min_by_key(|one| (std::cmp::Reverse(one.urgency), self.turns.start(one.tenant), one.ticket));
        match (first, wake) {
            (Some(first), _) => Step::Send(first.ticket),
            (None, Some(at)) => Step::Wait(at),
            (None, None) => Step::Idle,
        }
    }

    /// When the request itself may be sent, whatever else is in flight.
    fn own_ready(&self, waiting: &Waiting, bucket: &BucketKey, now: Instant) -> Ready {
        let at = |at: Option<Instant>| at.filter(|at| *at > now).map_or(Ready::Now, Ready::At);
        let meta = &waiting.meta;
        at(Some(waiting.not_before))
            .and(at(self.blocks.until(meta, now)))
            .and(at(self.spent_until(meta)))
            .and(self.buckets.ready(bucket, now))
    }

    /// Until when the request is held back because too many were invalid.
    fn spent_until(&self, meta: &Meta) -> Option<Instant> {
        let limits = &self.limits.invalid;
        self.budget.below(if meta.urgency.is_essential() { limits.stop } else { limits.shed.min(limits.stop) })
    }

    /// The most urgent of each lane: what stands before it in the lane is as urgent.
    fn urgencies(&self, now: Instant) -> BTreeMap<Lane, u64> {
        let mut urgencies = BTreeMap::new();
        for waiting in self.waiting.values() {
            if let Some(lane) = waiting.meta.lane {
                let urgency = urgencies.entry(lane).or_insert(0);
                *urgency = waiting.urgency(now).max(*urgency);
            }
        }
        urgencies
    }

    fn is_first_in_lane(&self, lane: Option<Lane>, ticket: Ticket) -> bool {
        let first = lane.and_then(|lane| self.lanes.get(&lane)?.first());
        first.is_none_or(|first| *first == ticket)
    }

    /// When the rate over all routes allows another request.
    fn rate(&self, now: Instant) -> Ready {
        let oldest = self.sent.front().filter(|_| self.sent.len() >= self.limits.per_second);
        let free = oldest.map(|oldest| *oldest + Duration::from_secs(1));
        free.filter(|free| *free > now).map_or(Ready::Now, Ready::At)
    }

    /// Whether another request may be in flight, and if not, when one more of those that are becomes overdue.
    fn room_in_flight(&self, now: Instant) -> (Ready, Option<Instant>) {
        let overdue = |sent: &InFlight| sent.sent + self.limits.overdue;
        let young = self.in_flight.values().map(overdue).filter(|at| *at > now);
        if self.in_flight.len() >= self.limits.unanswered_in_all {
            (Ready::AfterAnAnswer, None)
        } else if young.clone().count() >= self.limits.unanswered {
            (Ready::AfterAnAnswer, young.min())
        } else {
            (Ready::Now, None)
        }
    }

    /// When the request would be sent, as far as can be foreseen: never later than the truth where everybody else stays as
    /// they are, and exact where nothing is in the way.
    pub(super) fn foreseen(&self, meta: &Meta, now: Instant) -> Instant {
        let bucket = self.buckets.key(meta.route, meta.resource);
        let at = |ready: Ready| match ready {
            Ready::At(at) => at.max(now),
            Ready::Now | Ready::AfterAnAnswer => now,
        };
        let in_bucket = self.ahead(meta, |other| self.buckets.key(other.route, other.resource) == bucket);
        let in_all = self.ahead(meta, |_| true);
        let rate = u32::try_from(in_all / self.limits.per_second.max(1)).unwrap_or(u32::MAX);
        let gate = at(self.gate.ready());
        let lane = meta.lane.and_then(|lane| self.lanes.get(&lane)).into_iter().flatten();
        let lane = lane.filter_map(|ticket| {
            let before = self.waiting.get(ticket)?;
            let bucket = self.buckets.key(before.meta.route, before.meta.resource);
            Some(at(self.own_ready(before, &bucket, now)))
        });
        [
            gate + Duration::from_secs(1) * rate,
            self.buckets.foreseen(&bucket, in_bucket, now),
            self.blocks.until(meta, now).unwrap_or(now),
            self.spent_until(meta).unwrap_or(now),
        ]
        .into_iter()
        .chain(lane)
        .fold(now, Instant::max)
    }

    /// How many of the waiting requests go before one of this tenant and urgency that comes last: all of its own, and as
    /// many of every other tenant, if they have as many.
    fn ahead(&self, meta: &Meta, counts: impl Fn(&Meta) -> bool) -> usize {
        let mut queued: BTreeMap<&Tenant, usize> = BTreeMap::new();
        for waiting in self.waiting.values() {
            if waiting.meta.urgency >= meta.urgency && counts(&waiting.meta) {
                *queued.entry(&waiting.meta.tenant).or_default() += 1;
            }
        }
        let own = queued.remove(&meta.tenant).unwrap_or(0);
        own + queued.values().map(|others| (*others).min(own)).sum::<usize>()
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
}

impl Waiting {
    /// How urgent it is by now.
    fn urgency(&self, now: Instant) -> u64 {
        let own = match self.meta.urgency {
            Urgency::Sweep => 0,
            Urgency::Read => 1,
            Urgency::Change => 2,
            Urgency::End => 3,
        };
        let raised = now.saturating_duration_since(self.since).as_secs() / AGEING.as_secs();
        // At the top all are equal, and go by turns.
        (own + raised).min(3)
    }
}

impl Candidate<'_> {
    /// Within one bucket.
    fn goes_before(&self, other: &Self) -> bool {
        let key = |one: &Self| (std::cmp::Reverse(one.urgency), one.bucket_turn, one.ticket);
        key(self) < key(other)
    }
}
