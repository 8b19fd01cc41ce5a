//! VoiceEventService: the stream of who is in which room.
//!
//! tonic reads the request and begins the answer; its body is our own, because frames are bytes already (see
//! [`EventBody`]).

use std::{
    collections::BTreeSet,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::stream;
use http::Version;
use parlor_gateway::{GuildId, RoomId};
use parlor_proto::v1::{self, VoiceEventKind, subscribe_voice_events_request as request};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, ServerStreamingService},
};
use tonic_prost::ProstCodec;
use tower::Service;

use super::{
    bell::Bell,
    deadline,
    fields::Fields,
    streams::StreamLimits,
    wire::{EventBody, Reader, Timer, expired, piece},
};
use crate::{
    auth::{Clock, Principal, WatchEvents, principal_of},
    edge::CarriedBy,
    hub::{Filter, GapPolicy, Hub, OpenError, Order, Start},
    status::{Failure, Reason},
};

const PATH: &str = "/parlor.v1.VoiceEventService/SubscribeVoiceEvents";

/// A request names at most so many guilds, and so many rooms.
const MOST_NAMES: usize = 1_000;

/// The largest request that is read, in bytes.
const MAX_REQUEST: usize = 64 * 1024;

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
    shared: Arc<Shared>,
}

/// What all streams share.
pub(super) struct Shared {
    pub(super) hub: Arc<Hub>,
    pub(super) rules: StreamRules,
    pub(super) clock: Clock,
    bell: Arc<Bell>,
    /// Rings the bell, from the first stream on.
    ringing: OnceLock<AbortOnDropHandle<()>>,
}

impl EventService {
    /// A service over this hub.
    pub fn new(hub: Arc<Hub>, rules: StreamRules, clock: Clock) -> Self {
        let (bell, ringing) = (Arc::default(), OnceLock::new());
        Self { shared: Arc::new(Shared { hub, rules, clock, bell, ringing }) }
    }
}

impl Shared {
    fn subscribe(self: &Arc<Self>, request: &Request<v1::SubscribeVoiceEventsRequest>) -> Result<Reader, Status> {
        let principal = principal_of(request.extensions())?;
        let order = order(&principal, request.get_ref(), self.rules.heartbeat)?;
        if self.rules.draining.is_cancelled() {
            let failure = Failure::new(Reason::Draining, "this server is going away: connect again");
            return Err(failure.retry_after(self.rules.reconnect_spread.mul_f64(fastrand::f64())).into());
        }
        let seat = self.rules.limits.enter(&principal)?;
        let now = Instant::now();
        self.ringing.get_or_init(|| {
            let bell = Arc::clone(&self.bell);
            AbortOnDropHandle::new(tokio::spawn(bell.ring_for(Arc::clone(&self.hub), self.rules.draining.clone())))
        });
        let connection = request.extensions().get::<CarriedBy>().copied();
        let place = self.bell.join(connection.map(|connection| connection.peer), Arc::clone(&order.filter));
        let subscription = self.hub.subscribe(order, (self.clock)(), now).map_err(|error| match error {
            OpenError::CursorInvalid => {
                Failure::new(Reason::CursorInvalid, "the cursor was not made by this deployment")
                    .violation("cursor", "is not a cursor of this deployment")
            }
            OpenError::Gap(gap) => expired(gap),
        })?;
        let timer = Timer::new(subscription.next_beat());
        Ok(Reader {
            service: Arc::clone(self),
            subscription,
            piece: piece(connection.map_or(Version::HTTP_2, |connection| connection.version)),
            expires_at: principal.expires_at,
            deadline: deadline::timeout(request.metadata()).and_then(|timeout| now.checked_add(timeout)),
            old: now + self.rules.max_age.mul_f64(1.0 + 0.4 * fastrand::f64()),
            ending: None,
            place,
            waiting: None,
            timer,
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
    let filter = Arc::new(Filter::new(grant, guilds, rooms, kinds));
    Ok(Order { filter, start, gap_policy, heartbeat })
}

/// Opens the stream of a request that tonic has read, and leaves it for whoever makes the body.
struct Subscribe<'a> {
    shared: &'a Arc<Shared>,
    opened: &'a mut Option<Reader>,
}

impl ServerStreamingService<v1::SubscribeVoiceEventsRequest> for Subscribe<'_> {
    type Response = v1::SubscribeVoiceEventsResponse;
    type ResponseStream = stream::Empty<Result<v1::SubscribeVoiceEventsResponse, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<v1::SubscribeVoiceEventsRequest>) -> Self::Future {
        let opened = self.shared.subscribe(&request);
        std::future::ready(opened.map(|reader| {
            *self.opened = Some(reader);
            Response::new(stream::empty())
        }))
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
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let mut opened = None;
            let mut grpc = Grpc::new(ProstCodec::default()).apply_max_message_size_config(Some(MAX_REQUEST), None);
            let answer = grpc.server_streaming(Subscribe { shared: &shared, opened: &mut opened }, request).await;
            Ok(match opened {
                Some(reader) => answer.map(|_| Body::new(EventBody(Some(reader)))),
                // It says why not.
                None => answer,
            })
        })
    }
}
