//! Parlor itself: the hub, the event service and everything that stands between it and a socket, without Discord.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Result;
use parlor_gateway::{Delivery, ShardIndex, Update};
use parlor_server::{
    auth::{
        Authenticator, GuildGrant, Keys, Scope, Verifier,
        dev::{DevIssuer, TokenRequest},
    },
    config::{AllowedOrigins, LimitsConfig, RatesConfig},
    edge::{self, Acceptor},
    hub::{CursorKey, Hub, Retention, Settings},
    rates::Rates,
    services::{EventService, StreamLimits, StreamRules},
    store::Disk,
    telemetry::{GrpcMetricsLayer, Metrics},
};
use tokio::net::TcpListener;
use tonic::service::Routes;

use super::{Announcement, LOOPBACK, obey_async};
use crate::feed;

/// With the event service, and events from the control socket.
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
    // The durable store, as a deployment has it.
    let directory = tempfile::tempdir()?;
    let (store, recovered) = Disk::open(directory.path(), SystemTime::now())?;
    let settings = Settings {
        key: CursorKey::new(&[7; 32]),
        retention: Retention { age: Duration::from_secs(900), entries: 10_000, bytes: 16 * 1024 * 1024 },
        shards: Some(1),
    };
    let hub = Arc::new(Hub::start(recovered, store, settings, SystemTime::now(), Instant::now()));
    for update in feed::opening() {
        hub.deliver(delivery(update), SystemTime::now()).await?;
    }
    // It is done in order, so what came before can be seen once this is.
    hub.act(SystemTime::now(), |_| ()).await?;
    // The limits of a deployment, except those on how much one caller may have: here one caller is everybody.
    let limits = LimitsConfig { connections_per_ip: 20_000, streams_per_subject: 20_000, ..LimitsConfig::default() };
    let rates = RatesConfig { streams_per_second: 1_000_000, streams_burst: 1_000_000, ..RatesConfig::default() };
    let rules = StreamRules {
        limits: StreamLimits::new(20_000, 20_000),
        heartbeat: Duration::from_secs(15),
        max_age: limits.stream_age,
        reconnect_spread: Duration::from_secs(3),
        draining: Default::default(),
    };
    let routes = Routes::new(EventService::new(Arc::clone(&hub), rules, clock));
    let origins = AllowedOrigins::Only(BTreeSet::new());
    let service =
        edge::service(routes, authenticator, origins, &limits, &Arc::new(Rates::new(&rates)), GrpcMetricsLayer::new());
    Announcement { events: events.local_addr()?.port(), control: control.local_addr()?.port(), token }.print()?;
    let incoming = Acceptor::new(events, limits.clone(), None).incoming();
    tokio::spawn(edge::server_builder(&limits).serve_with_incoming_shutdown(service, incoming, pending()));
    let mut number = 0;
    obey_async(control, async || {
        hub.deliver(delivery(feed::update(number)), SystemTime::now()).await?;
        number += 1;
        Ok(())
    })
    .await
}

/// An update as the only shard passes it on.
pub(super) fn delivery(update: Update) -> Delivery {
    let heard_at = SystemTime::now();
    Delivery { shard: ShardIndex(0), update: Some(update), session: None, heard_at }
}
