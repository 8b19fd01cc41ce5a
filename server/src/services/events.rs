//! VoiceEventService: the stream of who is in which room.
//!
//! The service is written against tonic's lower layer instead of the generated trait, because frames are bytes already:
//! see [`FrameCodec`].

use std::{
    collections::BTreeSet,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{Stream, stream};
use parlor_gateway::{GuildId, RoomId};
use parlor_proto::v1::{self, VoiceEventKind, subscribe_voice_events_request as request};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    body::Body,
    metadata::MetadataValue,
    server::{Grpc, NamedService, ServerStreamingService},
};
use tower::Service;

use super::{
    deadline,
    fields::Fields,
    streams::{Seat, StreamLimits},
};
use crate::{
    auth::{AuthError, Clock, Principal, WatchEvents, principal_of},
    hub::{Filter, Frame, FrameCodec, Gap, GapPolicy, Hub, OpenError, Order, Start, Subscription},
    status::{Failure, Reason},
};

const PATH: &str = "/parlor.v1.VoiceEventService/SubscribeVoiceEvents";

/// A request names at most so many guilds, and so many rooms.
const MOST_NAMES: usize = 1_000;

/// The largest request that is read, in bytes.
const MAX_REQUEST: usize = 64 * 1024;

/// Trailer with the position that the client holds when a stream ends.
const CURSOR_TRAILER: &str = "parlor-cursor";

/// What every stream goes by.
#[derive(Clone, Debug)]
pub struct StreamRules {
    /// How many streams may be open.
    pub limits: StreamLimits,
    /// The longest silence where the client does not say.
    pub heartbeat: Duration,
    /// A stream ends, with `Draining`, at an age between this and 1.4 times this, so that long-lived clients spread over
    /// servers again.
    pub max_age: Duration,
    /// Clients of a draining server come back within this time, spread evenly.
    pub reconnect_spread: Duration,
    /// Cancelled when the server begins to end its streams.
    pub draining: CancellationToken,
}

/// The service.
#[derive(Clone)]
pub struct EventService {
    hub: Arc<Hub>,
    rules: StreamRules,
    clock: Clock,
}

impl EventService {
    /// A service over this hub.
    pub fn new(hub: Arc<Hub>, rules: StreamRules, clock: Clock) -> Self {
        Self { hub, rules, clock }
    }

    fn subscribe(&self, request: &Request<v1::SubscribeVoiceEventsRequest>) -> Result<Reader, Status> {
        let principal = principal_of(request.extensions())?;
        let order = order(&principal, request.get_ref(), self.rules.heartbeat)?;
        if self.rules.draining.is_cancelled() {
            let failure = Failure::new(Reason::Draining, "this server is going away: connect again");
            return Err(failure.retry_after(self.rules.reconnect_spread.mul_f64(fastrand::f64())).into());
        }
        let seat = self.rules.limits.enter(&principal.subject)?;
        let now = Instant::now();
        let changes = self.hub.changes();
        let subscription = self.hub.subscribe(order, (self.clock)(), now).map_err(|error| match error {
            OpenError::CursorInvalid => {
                Failure::new(Reason::CursorInvalid, "the cursor was not made by this deployment")
                    .violation("cursor", "is not a cursor of this deployment")
            }
            OpenError::Gap(gap) => expired(gap),
        })?;
        Ok(Reader {
            hub: Arc::clone(&self.hub),
            rules: self.rules.clone(),
            clock: Arc::clone(&self.clock),
            subscription,
            changes,
            principal,
            deadline: deadline::timeout(request.metadata()).and_then(|timeout| now.checked_add(timeout)),
            old: now + self.rules.max_age.mul_f64(1.0 + 0.4 * fastrand::f64()),
            ending: None,
            _seat: seat,
        })
    }
}

/// Reads the request into an order, within what the token allows.
fn order(
    principal: &Principal,
    request: &v1::SubscribeVoiceEventsRequest,
    heartbeat: Duration,
) -> Result<Order, Status> {
    let grant = principal.covered::<WatchEvents>()?.clone();
    let mut fields = Fields::default();
    let mut guilds: BTreeSet<GuildId> = BTreeSet::new();
    let mut rooms: BTreeSet<RoomId> = BTreeSet::new();
    for (field, names) in [("guild_ids", &request.guild_ids), ("channel_ids", &request.channel_ids)] {
        if names.len() > MOST_NAMES {
            fields.wrong(field, format!("names {}; at most {MOST_NAMES} are taken", names.len()));
        }
    }
    for (index, id) in request.guild_ids.iter().enumerate().take(MOST_NAMES) {
        guilds.extend(fields.id::<GuildId>(&format!("guild_ids[{index}]"), id));
    }
    for (index, id) in request.channel_ids.iter().enumerate().take(MOST_NAMES) {
        rooms.extend(fields.id::<RoomId>(&format!("channel_ids[{index}]"), id));
    }
    let mut kinds = Vec::new();
    for (index, kind) in request.kinds.iter().enumerate() {
        match VoiceEventKind::try_from(*kind) {
            Ok(VoiceEventKind::Unspecified) | Err(_) => {
                fields.wrong(&format!("kinds[{index}]"), format!("{kind} is not a kind of event"));
            }
            Ok(kind) => kinds.push(kind),
        }
    }
    let start = match &request.start {
        None => Start::Snapshot,
        Some(request::Start::Cursor(cursor)) if cursor.is_empty() => Start::Snapshot,
        Some(request::Start::Cursor(cursor)) => {
            let filter_id = Some(request.filter_id.clone()).filter(|id| !id.is_empty());
            Start::Cursor { cursor: cursor.clone(), filter_id }
        }
        Some(request::Start::StartAt(at)) => match v1::StartAt::try_from(*at) {
            Ok(v1::StartAt::Latest) => Start::Latest,
            Ok(v1::StartAt::Unspecified | v1::StartAt::Snapshot) => Start::Snapshot,
            Err(_) => {
                fields.wrong("start_at", format!("{at} is not a StartAt"));
                Start::Snapshot
            }
        },
    };
    let gap_policy = match v1::GapPolicy::try_from(request.gap_policy) {
        Ok(v1::GapPolicy::Unspecified | v1::GapPolicy::Reset) => GapPolicy::Reset,
        Ok(v1::GapPolicy::Fail) => GapPolicy::Fail,
        Err(_) => {
            fields.wrong("gap_policy", format!("{} is not a GapPolicy", request.gap_policy));
            GapPolicy::Reset
        }
    };
    let heartbeat = match request.heartbeat.map(Duration::try_from) {
        None => heartbeat,
        Some(Ok(asked)) if (Duration::from_secs(5)..=Duration::from_secs(60)).contains(&asked) => asked,
        Some(_) => {
            fields.wrong("heartbeat", "goes from 5 s to 60 s");
            heartbeat
        }
    };
    fields.finish()?;
    for guild in &guilds {
        principal.permit::<WatchEvents>(*guild)?;
    }
    Ok(Order { filter: Filter::new(grant, guilds, rooms, kinds), start, gap_policy, heartbeat })
}

fn expired(gap: Gap) -> Failure {
    Failure::new(Reason::CursorExpired, "the cursor cannot be continued: subscribe without one")
        .with("oldest_sequence", gap.oldest.0.to_string())
        .with("head_sequence", gap.head.0.to_string())
}

/// One open stream.
struct Reader {
    hub: Arc<Hub>,
    rules: StreamRules,
    clock: Clock,
    subscription: Subscription,
    changes: watch::Receiver<u64>,
    principal: Arc<Principal>,
    /// The caller's own.
    deadline: Option<Instant>,
    /// When the stream is asked to move on.
    old: Instant,
    /// Set once the last frame has been sent: what the stream ends with.
    ending: Option<Failure>,
    _seat: Seat,
}

impl Reader {
    /// The next frame; the stream's end, if it has one, is an error.
    async fn next(&mut self) -> Result<Frame, Status> {
        loop {
            if let Some(ending) = self.ending.take() {
                return Err(self.with_cursor(ending.into()));
            }
            // Before every frame, ready or not: nothing is sent to a token that is over.
            if self.principal.has_expired((self.clock)()) {
                return Err(self.with_cursor(AuthError::Expired.into()));
            }
            if let Some(frame) = self.subscription.ready() {
                return Ok(frame);
            }
            let now = Instant::now();
            if self.deadline.is_some_and(|deadline| now >= deadline) {
                return Err(
                    self.with_cursor(Failure::new(Reason::DeadlineExceeded, "the call's deadline is over").into())
                );
            }
            if self.rules.draining.is_cancelled() || now >= self.old {
                return Ok(self.drain());
            }
            self.changes.mark_unchanged();
            let (wall, chance) = ((self.clock)(), fastrand::f64());
            let advanced = self.hub.with_state(|state| self.subscription.advance(state, chance, wall, now));
            if let Err(gap) = advanced {
                return Err(self.with_cursor(expired(gap).into()));
            }
            if let Some(frame) = self.subscription.ready() {
                return Ok(frame);
            }
            if !self.subscription.is_mid_snapshot() {
                self.wait().await;
            }
        }
    }

    /// Until something may have to be said.
    async fn wait(&mut self) {
        let expiry = self.principal.expires_at.duration_since((self.clock)()).unwrap_or_default();
        let now = Instant::now();
        let until = [Some(self.subscription.next_beat()), Some(self.old), self.deadline, now.checked_add(expiry)];
        let until = until.into_iter().flatten().min().expect("a heartbeat is always due");
        tokio::select! {
            _ = self.changes.changed() => {}
            () = self.rules.draining.cancelled() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    fn drain(&mut self) -> Frame {
        let reconnect_after = self.rules.reconnect_spread.mul_f64(fastrand::f64());
        let ending = Failure::new(Reason::Draining, "this server is going away: connect again and resume");
        self.ending = Some(ending.retry_after(reconnect_after));
        self.hub.with_state(|state| self.subscription.draining(state, reconnect_after))
    }

    fn with_cursor(&self, mut status: Status) -> Status {
        let cursor = self.hub.with_state(|state| self.subscription.cursor(state));
        if let Some(cursor) = cursor.and_then(|cursor| MetadataValue::try_from(cursor).ok()) {
            status.metadata_mut().insert(CURSOR_TRAILER, cursor);
        }
        status
    }

    fn into_stream(self) -> impl Stream<Item = Result<Frame, Status>> {
        stream::unfold(Some(self), |reader| async {
            let mut reader = reader?;
            match reader.next().await {
                Ok(frame) => Some((Ok(frame), Some(reader))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }
}

struct Subscribe(EventService);

impl ServerStreamingService<v1::SubscribeVoiceEventsRequest> for Subscribe {
    type Response = Frame;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<v1::SubscribeVoiceEventsRequest>) -> Self::Future {
        let opened = self.0.subscribe(&request);
        std::future::ready(opened.map(|reader| Response::new(Box::pin(reader.into_stream()) as Self::ResponseStream)))
    }
}

impl NamedService for EventService {
    const NAME: &'static str = "parlor.v1.VoiceEventService";
}

impl Service<http::Request<Body>> for EventService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != PATH {
            let unknown = Status::unimplemented("this service has no such method");
            return Box::pin(std::future::ready(Ok(unknown.into_http())));
        }
        let subscribe = Subscribe(self.clone());
        Box::pin(async move {
            let mut grpc = Grpc::new(FrameCodec).apply_max_message_size_config(Some(MAX_REQUEST), None);
            Ok(grpc.server_streaming(subscribe, request).await)
        })
    }
}
