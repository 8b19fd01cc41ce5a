//! The scheduler against a Discord of its own, on virtual time.

mod discord;
mod rules;
mod storm;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::*;
use crate::id::{ChannelId, GuildId};

const CREATE: Route = Route::new(Verb::Post, "/guilds/{guild}/channels");
const RENAME: Route = Route::new(Verb::Patch, "/channels/{channel}");
const DELETE: Route = Route::new(Verb::Delete, "/channels/{channel}");
const READ: Route = Route::new(Verb::Get, "/guilds/{guild}/channels");

/// A request of a tenant, due in a minute.
fn meta(route: Route, resource: Resource, tenant: &str, now: Instant) -> Meta {
    let lane = match resource {
        Resource::Channel(channel) if route.verb.writes() => Some(Lane::Channel(channel)),
        Resource::Channel(_) | Resource::Guild(_) | Resource::Webhook(_) | Resource::None => None,
    };
    let urgency = match route.verb {
        Verb::Delete => Urgency::End,
        Verb::Get => Urgency::Read,
        Verb::Post | Verb::Put | Verb::Patch => Urgency::Change,
    };
    Meta {
        route,
        resource,
        guild: Some(GUILD),
        lane,
        fields: BTreeSet::new(),
        needs: &[],
        about: About::default(),
        authorized: true,
        tenant: Tenant::new(tenant),
        urgency,
        deadline: now + Duration::from_secs(60),
    }
}

const GUILD: GuildId = GuildId::new(1);

fn channel(number: u64) -> Resource {
    Resource::Channel(ChannelId::new(number))
}

fn answer(status: u16) -> Outcome {
    Outcome::Answered(Heard { status, code: 0, bucket: None, limited: None, retry_after: None })
}

fn limited(kind: LimitKind, wait: Duration) -> Outcome {
    Outcome::Answered(Heard {
        status: 429,
        code: 0,
        bucket: None,
        limited: Some(Limited { kind, wait }),
        retry_after: None,
    })
}

/// An answer with the state of a bucket.
fn counted(status: u16, hash: &str, remaining: u32, reset_after: Duration) -> Outcome {
    let bucket = BucketNews { hash: hash.to_owned(), limit: 5, remaining, reset_after };
    Outcome::Answered(Heard { status, code: 0, bucket: Some(bucket), limited: None, retry_after: None })
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Everything that may be sent now.
fn sends(scheduler: &mut Scheduler, now: Instant) -> Vec<Ticket> {
    let mut sent = Vec::new();
    loop {
        match scheduler.poll(now) {
            Step::Send(ticket) => sent.push(ticket),
            Step::Refuse(ticket, why) => panic!("{ticket:?} is refused: {why:?}"),
            Step::Wait(_) | Step::Idle => return sent,
        }
    }
}

/// Waits by tenant, for figures of fairness.
type Waits = BTreeMap<String, Vec<Duration>>;

fn mean(waits: &[Duration]) -> f64 {
    waits.iter().map(Duration::as_secs_f64).sum::<f64>() / waits.len() as f64
}
