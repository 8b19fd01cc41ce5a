//! What stops some requests and not others: limits on fields and on writes, and what Discord has just forbidden.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    answer::LimitKind,
    request::{About, Field, Meta, Resource, Route},
};
use crate::{
    id::{ChannelId, GuildId},
    rest::permission::Permission,
};

/// How long what Discord has forbidden is not asked again. Somebody may have changed the bot's role meanwhile.
const FORBIDDEN_FOR: Duration = Duration::from_secs(60);

/// How long a webhook that is gone is not asked again: it never comes back (Discord docs, resources/webhook).
const GONE_FOR: Duration = Duration::from_secs(24 * 3_600);

/// How many blocks there may be before those that are over are looked for.
const MANY: usize = 1_024;

/// How many there may be at all. A block beyond it is not remembered: Discord will say it again.
const MOST: usize = 8_192;

/// What is blocked.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Blocked {
    /// A field of a route at a resource; all of the route there where no field is named.
    Field(Route, Resource, Option<Field>),
    /// Everything that changes a channel.
    ChannelWrites(ChannelId),
    /// Everything that changes something in a guild.
    GuildWrites(GuildId),
}

/// What Discord has forbidden.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Forbidden {
    route: Route,
    resource: Resource,
    about: About,
    needs: &'static [Permission],
}

/// What Discord answered when it forbade something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Denial {
    /// The HTTP status.
    pub status: u16,
    /// Discord's JSON error code.
    pub code: u64,
}

#[derive(Debug, Default)]
pub(super) struct Blocks {
    until: BTreeMap<Blocked, Instant>,
    denials: BTreeMap<Forbidden, (Denial, Instant)>,
}

impl Blocks {
    /// Until when the request is blocked, if it is.
    pub(super) fn until(&self, meta: &Meta, now: Instant) -> Option<Instant> {
        let fields = meta.fields.iter().map(|field| Some(*field)).chain([None]);
        let fields = fields.map(|field| Blocked::Field(meta.route, meta.resource, field));
        let channel = meta.written_channel().map(Blocked::ChannelWrites);
        let guild = meta.written_guild().map(Blocked::GuildWrites);
        let found = fields.chain(channel).chain(guild).filter_map(|key| self.until.get(&key).copied());
        found.filter(|until| *until > now).max()
    }

    /// When nothing that is blocked now is blocked any more.
    pub(super) fn latest(&self, now: Instant) -> Instant {
        self.until.values().copied().fold(now, Instant::max)
    }

    /// A limit was hit that is not a bucket's.
    pub(super) fn block(&mut self, meta: &Meta, kind: LimitKind, until: Instant, now: Instant) {
        let whole = || vec![Blocked::Field(meta.route, meta.resource, None)];
        let keys = match kind {
            LimitKind::ChannelWrites => meta.written_channel().map(|id| vec![Blocked::ChannelWrites(id)]),
            LimitKind::GuildWrites => meta.written_guild().map(|id| vec![Blocked::GuildWrites(id)]),
            LimitKind::SubLimit if !meta.fields.is_empty() => {
                Some(meta.fields.iter().map(|field| Blocked::Field(meta.route, meta.resource, Some(*field))).collect())
            }
            LimitKind::SubLimit | LimitKind::Bucket | LimitKind::Shared | LimitKind::Global | LimitKind::Cloudflare => {
                None
            }
        };
        if self.until.len() >= MANY {
            self.until.retain(|_, until| *until > now);
        }
        for key in keys.unwrap_or_else(whole) {
            if self.until.len() < MOST || self.until.contains_key(&key) {
                let entry = self.until.entry(key).or_insert(until);
                *entry = until.max(*entry);
            }
        }
    }

    /// What Discord said when it was last asked the same, if that is not long ago.
    pub(super) fn denial(&self, meta: &Meta, now: Instant) -> Option<Denial> {
        self.denials.get(&forbidden(meta)).filter(|(_, until)| *until > now).map(|(denial, _)| *denial)
    }

    /// Discord answered that it will not.
    pub(super) fn hear(&mut self, meta: &Meta, status: u16, code: u64, now: Instant) {
        let gone = status == 404 && matches!(meta.resource, Resource::Webhook(_));
        let time = match status {
            401 | 403 => FORBIDDEN_FOR,
            404 if gone => GONE_FOR,
            _ => return,
        };
        if self.denials.len() >= MANY {
            self.denials.retain(|_, (_, until)| *until > now);
        }
        if self.denials.len() < MOST {
            self.denials.insert(forbidden(meta), (Denial { status, code }, now + time));
        }
    }
}

fn forbidden(meta: &Meta) -> Forbidden {
    Forbidden { route: meta.route, resource: meta.resource, about: meta.about, needs: meta.needs }
}

impl Meta {
    fn written_channel(&self) -> Option<ChannelId> {
        match self.resource {
            Resource::Channel(channel) if self.route.verb.writes() => Some(channel),
            Resource::Channel(_) | Resource::Guild(_) | Resource::Webhook(_) | Resource::None => None,
        }
    }

    fn written_guild(&self) -> Option<GuildId> {
        self.guild.filter(|_| self.route.verb.writes())
    }
}
