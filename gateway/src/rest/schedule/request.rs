//! A request as the scheduler sees it: everything that decides when it may be sent, and nothing of what it says.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Instant};

use crate::{
    id::{ChannelId, GuildId, UserId, WebhookId},
    rest::permission::Permission,
};

/// Names a request from [`submit`](super::Scheduler::submit) to its end. Later requests have greater tickets.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub(super) u64);

/// What decides when a request may be sent.
#[derive(Clone, Debug)]
pub struct Meta {
    /// What is asked for.
    pub route: Route,
    /// The top-level resource in the path, which splits the route's bucket (Discord docs, topics/rate-limits).
    pub resource: Resource,
    /// The guild that it happens in: some limits are a whole guild's.
    pub guild: Option<GuildId>,
    /// Requests of one lane are sent one after the other, in the order in which they were submitted.
    pub lane: Option<Lane>,
    /// The fields in it that Discord limits apart from the route.
    pub fields: BTreeSet<Field>,
    /// What the bot has to be allowed to do. Never empty where Discord answers 403 to a bot that is not.
    pub needs: &'static [Permission],
    /// Who or what else decides whether Discord permits it.
    pub about: About,
    /// Whether the bot's token goes with it; without it a 401 says nothing about the token.
    pub authorized: bool,
    /// On whose behalf it is sent.
    pub tenant: Tenant,
    /// How urgent it is.
    pub urgency: Urgency,
    /// It is not sent at or after this time.
    pub deadline: Instant,
}

/// HTTP's methods, as far as Discord's API has them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verb {
    /// Reads.
    Get,
    /// Makes something, a second one if it is sent twice.
    Post,
    /// Sets something.
    Put,
    /// Changes something to what the request says.
    Patch,
    /// Removes something.
    Delete,
}

impl Verb {
    /// As HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether sending it twice does what sending it once does.
    pub const fn is_repeatable(self) -> bool {
        !matches!(self, Self::Post)
    }

    /// Whether it changes something at Discord.
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Get)
    }
}

/// A route of Discord's API: the method, and the path with its ids left out. One of few, so it may be a metric's label.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// `/guilds/{guild}/channels`.
    pub path: &'static str,
}

impl Route {
    /// The route of this method and path.
    pub const fn new(verb: Verb, path: &'static str) -> Self {
        Self { verb, path }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.as_str(), self.path)
    }
}

/// What a path begins with (Discord docs, topics/rate-limits, "top-level resources").
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Resource {
    /// None of the three.
    None,
    /// A guild.
    Guild(GuildId),
    /// A channel.
    Channel(ChannelId),
    /// A webhook.
    Webhook(WebhookId),
}

/// What keeps its order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Lane {
    /// Everything that changes one channel.
    Channel(ChannelId),
    /// Everything that changes one member.
    Member(GuildId, UserId),
    /// Everything that one webhook posts.
    Webhook(WebhookId),
}

/// A field that Discord limits apart from its route: of a channel's name, two changes in ten minutes. The headers of the
/// route say nothing of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Field {
    /// A channel's name.
    Name,
}

/// What a permission depends on besides route and top-level resource.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct About {
    /// The member, because roles have ranks.
    pub user: Option<UserId>,
    /// The category or the room to move to, because channels have overwrites.
    pub channel: Option<ChannelId>,
}

/// On whose behalf requests are sent. Each tenant gets its turn, however much the others ask for.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
pub struct Tenant(pub(super) Arc<str>);

impl Tenant {
    /// The tenant of this name, such as the subject of a token. It is never shown.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Parlor itself.
    pub fn house() -> Self {
        // A subject is never empty, so none is taken for the house.
        Self::new("")
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Tenant(house)" } else { "Tenant(…)" })
    }
}

/// What goes first where something has to wait, least urgent first. Waiting raises a request, so nothing starves.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Urgency {
    /// Nobody waits for it.
    Sweep,
    /// Somebody looks.
    Read,
    /// Somebody wants something made or changed.
    Change,
    /// Something has to end: it costs as long as it is there.
    End,
}

impl Urgency {
    /// From 0, the least urgent, upwards.
    pub(super) const fn rank(self) -> u64 {
        match self {
            Self::Sweep => 0,
            Self::Read => 1,
            Self::Change => 2,
            Self::End => 3,
        }
    }

    /// Whether it is still sent when invalid requests have used up part of what Discord tolerates.
    pub const fn is_essential(self) -> bool {
        match self {
            Self::Sweep | Self::Read => false,
            Self::Change | Self::End => true,
        }
    }
}
