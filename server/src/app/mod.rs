//! The composition root: from a configuration and listeners to a running server, and back down.
//!
//! Listeners, the clock and the metrics are parameters, so that tests bind what they like.

mod gateway;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_gateway::{
    rest::{InvalidRequestLimits, Limits, Rest, RestSetupError},
    voice::Switchboard,
};
use parlor_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{
        participant_service_server::ParticipantServiceServer, room_service_server::RoomServiceServer,
        voice_session_service_server::VoiceSessionServiceServer, webhook_service_server::WebhookServiceServer,
    },
};
use parlor_voice::wire::transport::RetiredModes;
use thiserror::Error;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::{info, warn};

use crate::{
    auth::{Authenticator, Clock, FetchError, KeySource, Keys, Verifier},
    config::{Config, ServeRequirements, StoreKind},
    edge::{self, Acceptor, TlsError},
    hub::{self, CursorKey, Hub, Retention},
    rates::Rates,
    rooms::{CallKey, CallRecord},
    services::{
        DiscordMembers, DiscordRooms, DiscordVoice, DiscordWebhooks, EventService, Journal, Participants, RoomQuota,
        Rooms, StreamLimits, StreamRules, VoiceParts, VoiceSessions, Webhooks,
    },
    store::{self, Disk, OpenError, Recovered, SecretError, Volatile},
    telemetry::{GrpcMetricsLayer, Health, Metrics, OpsPages, Readiness, ops_router},
    voice::{self, Consent, Consents, SessionRecord, Sessions, Threads, VoiceTlsError},
};

/// How often callers are forgotten who have not called for a while.
const FORGETTING: Duration = Duration::from_secs(60);

/// How long voice sessions take to end, at most.
const VOICE_ENDS: Duration = Duration::from_secs(2);

/// How long clients of a draining server take to come back, at most.
const RECONNECT_SPREAD: Duration = Duration::from_secs(3);

/// The server could not start. Each variant says what to change.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error("cannot listen on {address}: is another server running there? Set {key} to another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting it came from.
        key: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the TLS certificate or key")]
    Tls(#[from] TlsError),
    /// The issuer's keys cannot be fetched at all.
    #[error("cannot set up the client for the issuer's keys")]
    Keys(#[from] FetchError),
    /// No REST client for Discord.
    #[error("cannot set up the client for Discord")]
    Discord(#[from] RestSetupError),
    /// The store's directory cannot be used.
    #[error("cannot use the store's directory")]
    Secret(#[from] SecretError),
    /// The certificates of voice servers cannot be used.
    #[error("cannot set up the client for voice servers")]
    Voice(#[from] VoiceTlsError),
    /// The operating system gives no threads.
    #[error("cannot start the threads of voice")]
    Threads(#[source] io::Error),
    /// The store cannot be opened.
    #[error("cannot open the store")]
    Store(#[from] OpenError),
}

/// Where the server listens.
#[derive(Debug)]
pub struct Listeners {
    /// For callers.
    pub api: TcpListener,
    /// For the operator.
    pub ops: TcpListener,
}

impl Listeners {
    /// Binds the configured addresses.
    ///
    /// # Errors
    /// [`StartError::Listen`], with the setting to change.
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let bind = async |address: SocketAddr, key| {
            TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, key, source })
        };
        Ok(Self {
            api: bind(config.server.listen, "server.listen").await?,
            ops: bind(config.ops.listen, "ops.listen").await?,
        })
    }
}

/// What a server is made of besides its configuration.
pub struct Parts {
    /// What serving needs and has no default.
    pub requirements: ServeRequirements,
    /// Where it listens.
    pub listeners: Listeners,
    /// Where metrics go.
    pub metrics: Metrics,
    /// The time of day.
    pub clock: Clock,
    /// Public keys to publish, where the server signs tokens of its own.
    pub jwks: Option<String>,
}

/// A running server.
pub struct Server {
    api: SocketAddr,
    ops: SocketAddr,
    stop: CancellationToken,
    done: JoinHandle<()>,
}

impl Server {
    /// Starts a server. It answers as soon as this returns; /readyz says when it can verify tokens.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config, parts: Parts) -> Result<Self, StartError> {
        let Parts { requirements, listeners, metrics, clock, jwks } = parts;
        let ServeRequirements { token_rules, key_source, bot_token } = requirements;
        let stop = CancellationToken::new();
        let last = CancellationToken::new();

        let tls = config.server.tls.as_ref().map(edge::tls_config).transpose()?;
        let keys = watch_keys(key_source, &last)?;
        let authenticator = Arc::new(Authenticator::new(Verifier::new(token_rules), keys, Arc::clone(&clock)));
        let limits = Limits {
            per_second: usize_of(config.discord.requests_per_second),
            invalid: InvalidRequestLimits::stopping_at(config.discord.invalid_requests),
            ..Limits::default()
        };
        let rest = Arc::new(Rest::with_limits(config.discord.api_url.as_str(), &bot_token, limits)?);
        let Opened { hub, calls, consents, voices } = open_hub(&config, &clock)?;
        let hub = Arc::new(hub);
        let switchboard = Arc::<Switchboard>::default();
        let sessions = Sessions::new(voice::Settings {
            switchboard: Arc::clone(&switchboard),
            tls: voice::tls_client(config.discord.voice_ca_file.as_ref())?,
            consents: Arc::new(consents),
            hub: Arc::clone(&hub),
            clock: Arc::clone(&clock),
            most: usize_of(config.voice.sessions),
            threads: Threads::start().map_err(StartError::Threads)?,
            rest: Arc::clone(&rest),
            announcement: config.voice.announcement.clone(),
            retired_modes: if config.voice.retired_modes { RetiredModes::Accepted } else { RetiredModes::Refused },
        });

        let (health, health_service) = Health::new().await;
        let streams_end = CancellationToken::new();
        let rules = StreamRules {
            limits: StreamLimits::new(usize_of(config.limits.streams), usize_of(config.limits.streams_per_subject)),
            heartbeat: config.events.heartbeat,
            max_age: config.limits.stream_age,
            reconnect_spread: RECONNECT_SPREAD,
            draining: streams_end.clone(),
        };
        let rates = Arc::new(Rates::new(&config.rates));
        let quota = RoomQuota::new(usize_of(config.limits.rooms_per_subject));
        let journal = Journal::new(Arc::clone(&hub), calls, Arc::clone(&clock));
        let discord = DiscordRooms::new(Arc::clone(&rest));
        let rooms =
            Rooms::new(Arc::clone(&hub), discord, journal.clone(), Arc::clone(&rates), quota, Arc::clone(&clock));
        // Before the gateway can tell of a room that a call of the last process has made.
        rooms.keep(&last).await;
        let rooms = RoomServiceServer::new(rooms).max_decoding_message_size(usize_of(config.limits.message_bytes));
        let participants = Participants::new(
            Arc::clone(&hub),
            DiscordMembers::new(Arc::clone(&rest)),
            journal.clone(),
            Arc::clone(&rates),
            Arc::clone(&sessions),
            Arc::clone(&clock),
        );
        let participants = ParticipantServiceServer::new(participants)
            .max_decoding_message_size(usize_of(config.limits.message_bytes));
        let webhooks = Webhooks::new(
            Arc::clone(&hub),
            DiscordWebhooks::new(Arc::clone(&rest)),
            journal,
            Arc::clone(&rates),
            clock.clone(),
        );
        let webhooks =
            WebhookServiceServer::new(webhooks).max_decoding_message_size(usize_of(config.limits.message_bytes));
        let voice_sessions = VoiceSessions::new(VoiceParts {
            sessions: Arc::clone(&sessions),
            hub: Arc::clone(&hub),
            discord: DiscordVoice::new(Arc::clone(&rest)),
            rates: Arc::clone(&rates),
            limits: rules.limits.clone(),
            draining: streams_end.clone(),
            clock: Arc::clone(&clock),
        });
        let voice_sessions = VoiceSessionServiceServer::new(voice_sessions)
            .max_decoding_message_size(usize_of(config.limits.message_bytes));
        let events = EventService::new(Arc::clone(&hub), rules, Arc::clone(&clock));

        let mut routes = Routes::new(rooms)
            .add_service(participants)
            .add_service(webhooks)
            .add_service(voice_sessions)
            .add_service(events)
            .add_service(health_service.clone());
        if config.server.reflection {
            routes = with_reflection(routes);
        }
        let origins = config.server.allowed_origins.clone();
        let service =
            edge::service(routes, Arc::clone(&authenticator), origins, &config.limits, &rates, GrpcMetricsLayer::new());

        let (readiness, ready) = watch::channel(Readiness::Starting("the issuer's keys"));
        let ops_grpc = with_reflection(Routes::new(health_service));
        let ops_pages = OpsPages { metrics: metrics.clone(), readiness: ready, jwks, grpc: ops_grpc };
        let addresses = (address_of(&listeners.api), address_of(&listeners.ops));

        let serving_ends = CancellationToken::new();
        let incoming = Acceptor::new(listeners.api, config.limits.clone(), tls).incoming();
        let api = tokio::spawn(edge::server_builder(&config.limits).serve_with_incoming_shutdown(
            service,
            incoming,
            serving_ends.clone().cancelled_owned(),
        ));
        let ops =
            axum::serve(listeners.ops, ops_router(ops_pages)).with_graceful_shutdown(last.clone().cancelled_owned());
        let ops = tokio::spawn(async move { ops.await });
        tokio::spawn(metrics.keep(last.clone()));
        tokio::spawn(last.clone().run_until_cancelled_owned(forget(rates)));
        tokio::spawn(last.clone().run_until_cancelled_owned(voice::rejoin(Arc::clone(&sessions), voices)));

        tokio::spawn(last.clone().run_until_cancelled_owned(gateway::report_rest(rest.accepted(), health.clone())));
        let gateway_ends = CancellationToken::new();
        let gateway = tokio::spawn(gateway::run(
            gateway::Link {
                token: bot_token,
                url: config.discord.gateway_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
                shards: config.discord.shards,
                rest,
                hub: Arc::clone(&hub),
                keep_sessions: config.store.kind == StoreKind::Disk,
                clock,
                voice: switchboard,
            },
            gateway_ends.clone(),
        ));
        tokio::spawn(last.clone().run_until_cancelled_owned(gateway::report(Arc::clone(&hub), health.clone())));
        tokio::spawn(stop.clone().run_until_cancelled_owned({
            let (health, readiness) = (health.clone(), readiness.clone());
            async move {
                health.live(true).await;
                authenticator.ready().await;
                readiness.send_replace(Readiness::Ready);
                health.ready(true).await;
            }
        }));

        let drain = Drain {
            grace: config.server.drain_grace,
            limit: config.server.drain_limit,
            health,
            readiness,
            streams_end,
            serving_ends,
            gateway_ends,
            sessions,
            hub,
            last,
        };
        let stopped = stop.clone();
        let done = tokio::spawn(async move {
            stopped.cancelled().await;
            drain.run(api, gateway, ops).await;
        });
        Ok(Self { api: addresses.0, ops: addresses.1, stop, done })
    }

    /// Where callers connect.
    pub fn api_addr(&self) -> SocketAddr {
        self.api
    }

    /// Where the operator connects.
    pub fn ops_addr(&self) -> SocketAddr {
        self.ops
    }

    /// Stops the server as SIGTERM does: readiness goes first, then streams with a last frame, then everything else.
    /// Returns when nothing is left, after the drain limit at the latest.
    pub async fn stop(self) {
        self.stop.cancel();
        // The task neither panics nor is aborted; if it were, nothing would be left either.
        let _ = self.done.await;
    }
}

/// What the store held.
struct Opened {
    hub: Hub,
    calls: BTreeMap<CallKey, CallRecord>,
    consents: Consents,
    /// Voice sessions that are to be taken up again.
    voices: Vec<SessionRecord>,
}

/// Opens the store, and a hub that goes on from what it held. Beside it, the calls and consents that the store knows of.
fn open_hub(config: &Config, clock: &Clock) -> Result<Opened, StartError> {
    let secret = store::cursor_secret(&config.store.dir)?;
    let settings = hub::Settings {
        key: CursorKey::new(&secret),
        retention: Retention {
            age: config.events.retention_time,
            entries: usize_of(config.events.retention_entries),
            bytes: usize_of(config.events.retention_bytes),
        },
        shards: config.discord.shards,
    };
    let (wall, now) = (clock(), Instant::now());
    Ok(match config.store.kind {
        StoreKind::Memory => Opened {
            hub: Hub::start(Recovered::nothing(), Volatile, settings, wall, now),
            calls: BTreeMap::new(),
            consents: Consents::default(),
            voices: Vec::new(),
        },
        StoreKind::Disk => {
            let (disk, recovered) = Disk::open(&config.store.dir, wall)?;
            let calls = recovered.calls().filter_map(|(key, bytes)| Some((key, CallRecord::from_bytes(bytes)?)));
            let calls = calls.collect();
            let consents = recovered.consents().map(|(who, bytes)| (who, Consent::from_bytes(bytes)));
            let consents = Consents::new(consents);
            let voices = recovered.voices().filter_map(|(guild, bytes)| SessionRecord::from_bytes(guild, bytes));
            let voices = voices.collect();
            Opened { hub: Hub::start(recovered, disk, settings, wall, now), calls, consents, voices }
        }
    })
}

/// Forgets callers whose buckets are full, for as long as the server runs.
async fn forget(rates: Arc<Rates>) {
    loop {
        tokio::time::sleep(FORGETTING).await;
        rates.forget();
    }
}

fn watch_keys(source: KeySource, cancel: &CancellationToken) -> Result<Keys, FetchError> {
    Keys::watch(source, cancel.clone())
}

/// Adds gRPC reflection in both of its versions: grpcurl and older tools ask for v1alpha.
fn with_reflection(routes: Routes) -> Routes {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Without these, grpcurl and buf curl show the details of errors as bytes.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().expect("our descriptors are whole: build.rs compiled them");
    let v1alpha = builder().build_v1alpha().expect("our descriptors are whole: build.rs compiled them");
    routes.add_service(v1).add_service(v1alpha)
}

fn address_of(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound listener has an address")
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).expect("this is not a 16-bit machine")
}

/// How a server goes away (reliability before speed, but never without end).
struct Drain {
    grace: Duration,
    limit: Duration,
    health: Health,
    readiness: watch::Sender<Readiness>,
    streams_end: CancellationToken,
    serving_ends: CancellationToken,
    gateway_ends: CancellationToken,
    sessions: Arc<Sessions>,
    hub: Arc<Hub>,
    last: CancellationToken,
}

impl Drain {
    async fn run<A, G, O>(self, mut api: JoinHandle<A>, gateway: JoinHandle<G>, ops: JoinHandle<O>) {
        let deadline = Instant::now() + self.limit;
        info!(grace = ?self.grace, limit = ?self.limit, "draining");
        self.readiness.send_replace(Readiness::Draining);
        self.health.draining().await;
        // Load balancers look at health every few seconds; until they have, calls still come and are answered.
        tokio::time::sleep(self.grace).await;
        // Streams end by themselves now, each with a last frame; then the connections close.
        self.streams_end.cancel();
        self.serving_ends.cancel();
        if tokio::time::timeout_at(deadline.into(), &mut api).await.is_err() {
            warn!("calls were still open at the drain limit and are cut");
            api.abort();
        }
        // While the gateway is there to say that the bot leaves.
        if tokio::time::timeout(VOICE_ENDS, self.sessions.drain()).await.is_err() {
            warn!("voice sessions did not end in time");
        }
        self.gateway_ends.cancel();
        if tokio::time::timeout(Duration::from_secs(2), gateway).await.is_err() {
            warn!("the gateway connection did not close in time");
        }
        // After this the store's file is free for the next process.
        let hub = self.hub;
        if tokio::task::spawn_blocking(move || hub.close()).await.is_err() {
            warn!("the store did not close");
        }
        self.last.cancel();
        // The pages are only read by the operator's probes; what they lose now they have already seen.
        let _ = tokio::time::timeout(Duration::from_secs(1), ops).await;
        info!("stopped");
    }
}

/// What tonic's server needs to see of our service: it never fails.
const _: fn() = || {
    fn assert_infallible<S: tower::Service<http::Request<tonic::body::Body>, Error = Infallible>>() {}
    assert_infallible::<edge::EdgeService>();
};
