//! Parlor itself: the hub, the event service and everything that stands between it and a socket, without Discord.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Result;
use parlor_gateway::Directory;
use parlor_server::{
    auth::{
        Authenticator, GuildGrant, Keys, Scope, Verifier,
        dev::{DevIssuer, TokenRequest},
    },
    config::{AllowedOrigins, LimitsConfig},
    edge::{self, Acceptor},
    hub::{CursorKey, Epoch, Hub, Log, Retention, State},
    services::{EventService, StreamLimits, StreamRules},
    telemetry::{GrpcMetricsLayer, Metrics},
};
use tokio::net::TcpListener;
use tonic::service::Routes;

use super::{Announcement, LOOPBACK, obey_async};
use crate::feed;

pub(super) async fn serve() -> Result<()> {
    let (events, control) = (TcpListener::bind(LOOPBACK).await?, TcpListener::bind(LOOPBACK).await?);
    // The metrics count as they do in production.
    let _metrics = Metrics::install()?;
    let keys = tempfile::tempdir()?;
    let issuer = DevIssuer::open(keys.path())?;
    let token = issuer.mint(
        &TokenRequest {
            subject: "bench".to_owned(),
            guilds: GuildGrant::All,
            scopes: BTreeSet::from([Scope::EventsRead]),
            lifetime: Duration::from_secs(3_600),
        },
        SystemTime::now(),
    )?;
    let clock: parlor_server::auth::Clock = Arc::new(SystemTime::now);
    let authenticator =
        Arc::new(Authenticator::new(Verifier::new(issuer.rules()), Keys::fixed(issuer.key_set()), Arc::clone(&clock)));
    let hub = Arc::new(Hub::new(State::new(
        Directory::new(1),
        Log::new(
            Epoch::new([7; 16]),
            CursorKey::new(&[7; 32]),
            Retention { age: Duration::from_secs(900), entries: 10_000, bytes: 16 * 1024 * 1024 },
        ),
    )));
    for update in feed::opening() {
        hub.apply(update, SystemTime::now(), Instant::now());
    }
    // The limits of a deployment, except those on how much one caller may have: here one caller is everybody.
    let limits = LimitsConfig { connections_per_ip: 10_000, streams_per_subject: 10_000, ..LimitsConfig::default() };
    let rules = StreamRules {
        limits: StreamLimits::new(10_000, 10_000),
        heartbeat: Duration::from_secs(15),
        max_age: limits.stream_age,
        reconnect_spread: Duration::from_secs(3),
        draining: Default::default(),
    };
    let routes = Routes::new(EventService::new(Arc::clone(&hub), rules, clock));
    let origins = AllowedOrigins::Only(BTreeSet::new());
    let service = edge::service(routes, authenticator, origins, &limits, GrpcMetricsLayer::new());
    Announcement { events: events.local_addr()?.port(), control: control.local_addr()?.port(), token }.print()?;
    let incoming = Acceptor::new(events, limits.clone(), None).incoming();
    tokio::spawn(edge::server_builder(&limits).serve_with_incoming_shutdown(service, incoming, pending()));
    let mut number = 0;
    obey_async(control, || {
        hub.apply(feed::update(number), SystemTime::now(), Instant::now());
        number += 1;
    })
    .await
}
