//! Which of the waiting requests goes next.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    InFlight, Scheduler, Waiting,
    bucket::{BucketKey, Ready},
    request::{Lane, Meta, Tenant, Ticket, Urgency},
    step::{Step, Unanswered},
};

/// Waiting so long raises a request by one [`Urgency`].
pub(super) const AGEING: Duration = Duration::from_secs(2);

/// What is most urgent.
pub(super) const TOP: u64 = Urgency::End.rank();

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
                return Step::Refuse(*ticket, self.out_of_time(waiting, now));
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
    pub(super) fn own_ready(&self, waiting: &Waiting, bucket: &BucketKey, now: Instant) -> Ready {
        let at = |at: Option<Instant>| at.filter(|at| *at > now).map_or(Ready::Now, Ready::At);
        let meta = &waiting.meta;
        at(Some(waiting.not_before))
            .and(at(self.blocks.until(meta, now)))
            .and(at(self.spent_until(meta)))
            .and(self.buckets.ready(bucket, now))
    }

    /// Until when the request is held back because too many were invalid.
    pub(super) fn spent_until(&self, meta: &Meta) -> Option<Instant> {
        let limits = &self.limits.invalid;
        self.budget.below(if meta.urgency.is_essential() { limits.stop } else { limits.shed.min(limits.stop) })
    }

    /// The most urgent of each lane: what stands before it in the lane is as urgent.
    pub(super) fn urgencies(&self, now: Instant) -> BTreeMap<Lane, u64> {
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
}

impl Waiting {
    /// How urgent it is by now.
    fn urgency(&self, now: Instant) -> u64 {
        let raised = now.saturating_duration_since(self.since).as_secs() / AGEING.as_secs();
        // At the top all are equal, and go by turns.
        (self.meta.urgency.rank() + raised).min(TOP)
    }
}

impl Candidate<'_> {
    /// Within one bucket.
    fn goes_before(&self, other: &Self) -> bool {
        let key = |one: &Self| (std::cmp::Reverse(one.urgency), one.bucket_turn, one.ticket);
        key(self) < key(other)
    }
}
