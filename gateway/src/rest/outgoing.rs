//! A request, ready to be scheduled and sent.

use std::{collections::BTreeSet, fmt, time::Instant};

use http::{HeaderMap, HeaderValue};
use twilight_http::request::{Request, TryIntoRequest};

use super::{
    error::RestError,
    permission::Permission,
    schedule::{About, Field, Lane, Meta, Resource, Route, Tenant, Urgency},
};
use crate::id::{ChannelId, GuildId, UserId};

/// Says in the audit log why something was done: percent-encoded UTF-8 (Discord docs, resources/audit-log).
const AUDIT_LOG_REASON: &str = "x-audit-log-reason";

/// On whose behalf something is asked, and for how long it is worth asking.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose turn it takes.
    pub tenant: Tenant,
    /// Nothing is sent at or after this time.
    pub deadline: Instant,
    /// How urgent it is; `None` for what the request says of itself.
    pub urgency: Option<Urgency>,
}

impl Caller {
    /// Somebody who waits for the answer until the deadline.
    pub fn new(tenant: Tenant, deadline: Instant) -> Self {
        Self { tenant, deadline, urgency: None }
    }

    /// Parlor itself, which cannot go on without.
    pub fn house(deadline: Instant) -> Self {
        Self { tenant: Tenant::house(), deadline, urgency: Some(Urgency::Change) }
    }

    /// Parlor itself, tidying up.
    pub fn sweeper(deadline: Instant) -> Self {
        Self { tenant: Tenant::house(), deadline, urgency: Some(Urgency::Sweep) }
    }
}

/// A request: what the scheduler has to know of it, and what is sent.
pub(super) struct Outgoing {
    pub(super) meta: Meta,
    /// Below the API's URL, with the query. May hold a webhook's token, so it is never shown.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl Outgoing {
    /// A request that twilight built.
    ///
    /// # Errors
    /// It is against Discord's limits, as far as twilight knows them.
    pub(super) fn new(
        route: Route,
        resource: Resource,
        request: impl TryIntoRequest,
        caller: &Caller,
    ) -> Result<Self, RestError> {
        let request = request.try_into_request().map_err(|wrong| RestError::invalid(wrong.to_string()))?;
        Ok(Self::of(route, resource, &request, caller))
    }

    /// A request that was built without a builder of its own.
    pub(super) fn of(route: Route, resource: Resource, request: &Request, caller: &Caller) -> Self {
        debug_assert_eq!(request.method().name(), route.verb.as_str(), "{route} is another method");
        let (guild, lane) = match resource {
            Resource::Guild(guild) => (Some(guild), None),
            Resource::Channel(channel) => (None, route.verb.writes().then_some(Lane::Channel(channel))),
            Resource::Webhook(webhook) => (None, route.verb.writes().then_some(Lane::Webhook(webhook))),
            Resource::None => (None, None),
        };
        let own = if route.verb.writes() { Urgency::Change } else { Urgency::Read };
        let meta = Meta {
            route,
            resource,
            guild,
            lane,
            fields: BTreeSet::new(),
            needs: &[],
            about: About::default(),
            authorized: request.use_authorization_token(),
            tenant: caller.tenant.clone(),
            urgency: caller.urgency.unwrap_or(own),
            deadline: caller.deadline,
        };
        let mut headers = request.headers().cloned().unwrap_or_default();
        // twilight writes a header for a reason that says nothing, too.
        if headers.get(AUDIT_LOG_REASON).is_some_and(HeaderValue::is_empty) {
            headers.remove(AUDIT_LOG_REASON);
        }
        Self { meta, path: request.path().to_owned(), headers, body: request.body().map(<[u8]>::to_vec) }
    }

    /// It happens in this guild.
    pub(super) fn within(mut self, guild: GuildId) -> Self {
        self.meta.guild = Some(guild);
        self
    }

    /// The bot has to be allowed this.
    pub(super) fn needing(mut self, needs: &'static [Permission]) -> Self {
        self.meta.needs = needs;
        self
    }

    /// It keeps its order among these.
    pub(super) fn in_lane(mut self, lane: Lane) -> Self {
        self.meta.lane = Some(lane);
        self
    }

    /// It changes fields that have limits of their own.
    pub(super) fn changing(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.meta.fields.extend(fields);
        self
    }

    /// The rank of this user matters to whether it is permitted.
    pub(super) fn about_user(mut self, user: UserId) -> Self {
        self.meta.about.user = Some(user);
        self
    }

    /// The overwrites of this channel matter to whether it is permitted.
    pub(super) fn about_channel(mut self, channel: Option<ChannelId>) -> Self {
        self.meta.about.channel = channel;
        self
    }

    /// It ends something, unless its caller has said how urgent it is.
    pub(super) fn ending(mut self, caller: &Caller) -> Self {
        self.meta.urgency = caller.urgency.unwrap_or(Urgency::End);
        self
    }

    /// The audit log shall say why, in 1 to 512 characters. For requests that twilight has no builder for.
    ///
    /// # Errors
    /// The reason is longer.
    pub(super) fn reasoned(mut self, reason: &str) -> Result<Self, RestError> {
        if reason.chars().count() > 512 {
            return Err(RestError::invalid("the audit log reason is longer than 512 characters".to_owned()));
        }
        if !reason.is_empty() {
            let value = HeaderValue::from_str(&percent_encoded(reason)).expect("percent-encoding leaves plain ASCII");
            self.headers.insert(AUDIT_LOG_REASON, value);
        }
        Ok(self)
    }
}

/// Everything but the unreserved characters of RFC 3986, section 2.3, as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
