//! Parlor's room service with everything that stands between it and a socket, the durable store included. Discord is a
//! function in the same process that answers at once: the REST client's HTTP is left out, its schedule is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::Result;
use http::{HeaderMap, Method, Request, StatusCode};
use parlor_gateway::rest::{
    Limits, Rest,
    transport::{Answer, Broken, Exchange, Transport},
};
use parlor_proto::v1::room_service_server::RoomServiceServer;
use parlor_server::{
    auth::{
        Authenticator, Clock, GuildGrant, Keys, Scope, Verifier,
        dev::{DevIssuer, TokenRequest},
    },
    config::{AllowedOrigins, LimitsConfig, RatesConfig},
    edge::{self, Acceptor},
    hub::{CursorKey, Hub, Retention, Settings},
    rates::Rates,
    services::{DiscordRooms, Journal, RoomQuota, Rooms},
    store::Disk,
    telemetry::{GrpcMetricsLayer, Metrics},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::service::Routes;

use super::{Announcement, LOOPBACK, obey_async, parlor::delivery};
use crate::feed;

/// A snowflake of 2027, so that rooms are new.
const FIRST_ROOM: u64 = 1_593_540_383_357_272_328;

/// Answers at once, and keeps nothing.
struct Canned(AtomicU64);

impl Transport for Canned {
    fn exchange(&self, request: Request<Vec<u8>>, _: Duration) -> Exchange<'_> {
        let answer = |status, body: &Value| Answer {
            status,
            headers: HeaderMap::new(),
            body: Some(body.to_string().into_bytes()),
        };
        let answer = if request.method() == Method::POST {
            let asked: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let id = self.0.fetch_add(1, Ordering::Relaxed).to_string();
            let guild = feed::GUILD.to_string();
            Ok(answer(
                StatusCode::CREATED,
                &json!({"id": id, "guild_id": guild, "type": 2, "name": asked["name"], "bitrate": 64_000,
                    "user_limit": 0, "position": 0, "parent_id": null, "permission_overwrites": [], "rtc_region": null}),
            ))
        } else if request.method() == Method::DELETE {
            Ok(answer(StatusCode::OK, &json!({})))
        } else {
            Err(Broken::NotSent)
        };
        Box::pin(std::future::ready(answer))
    }
}

pub(super) async fn serve() -> Result<()> {
    let (calls, control) = (TcpListener::bind(LOOPBACK).await?, TcpListener::bind(LOOPBACK).await?);
    let _metrics = Metrics::install()?;
    let keys = tempfile::tempdir()?;
    let issuer = DevIssuer::open(keys.path())?;
    let token = issuer.mint(
        &TokenRequest {
            subject: "bench".to_owned(),
            guilds: GuildGrant::All,
            scopes: BTreeSet::from([Scope::RoomsRead, Scope::RoomsWrite]),
            lifetime: Duration::from_secs(3_600),
        },
        SystemTime::now(),
    )?;
    let clock: Clock = Arc::new(SystemTime::now);
    let known = Keys::fixed(issuer.key_set());
    let authenticator = Arc::new(Authenticator::new(Verifier::new(issuer.rules()), known, Arc::clone(&clock)));
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
    hub.act(SystemTime::now(), |_| ()).await?;
    // Discord's rates would be all that is measured.
    let limits = Limits { per_second: 1_000_000, ..Limits::default() };
    let discord = Arc::new(Canned(AtomicU64::new(FIRST_ROOM)));
    let rest = Rest::over(discord, "http://discord.invalid/api/v10", &"token".into(), limits)?;
    let journal = Journal::new(Arc::clone(&hub), BTreeMap::new(), Arc::clone(&clock));
    let without_end = 1_000_000;
    let rates = Arc::new(Rates::new(&RatesConfig {
        changes_per_second: without_end,
        changes_burst: without_end,
        guild_changes_per_second: without_end,
        guild_changes_burst: without_end,
        ..RatesConfig::default()
    }));
    let (discord, quota) = (DiscordRooms::new(Arc::new(rest)), RoomQuota::new(10_000));
    let rooms = Rooms::new(hub, discord, journal, Arc::clone(&rates), quota, clock);
    let limits = LimitsConfig::default();
    let origins = AllowedOrigins::Only(BTreeSet::new());
    let routes = Routes::new(RoomServiceServer::new(rooms));
    let service = edge::service(routes, authenticator, origins, &limits, &rates, GrpcMetricsLayer::new());
    Announcement { events: calls.local_addr()?.port(), control: control.local_addr()?.port(), token }.print()?;
    let incoming = Acceptor::new(calls, limits.clone(), None).incoming();
    tokio::spawn(edge::server_builder(&limits).serve_with_incoming_shutdown(service, incoming, pending()));
    obey_async(control, async || Ok(())).await
}
