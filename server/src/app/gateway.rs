//! The gateway's place in the server: where it is, what it tells, and how it is shown to be.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_gateway::{
    Delivery, Loss, ShardIndex, Update,
    rest::{GatewayInfo, Rest, RestError},
    shard::{self, GatewayConfig},
    voice::Switchboard,
};
use parlor_proto::v1::UpstreamState;
use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{auth::Clock, hub::Hub, telemetry::Health};

/// How long one question for the gateway's address may take.
const ASK: Duration = Duration::from_secs(10);

/// The longest pause between two such questions.
const PAUSE: Duration = Duration::from_secs(60);

/// What the gateway task needs.
pub(super) struct Link {
    pub(super) token: SecretString,
    /// The gateway's address; where it is not configured Discord is asked.
    pub(super) url: Option<String>,
    /// How many shards to run; Discord's recommendation where it is not configured.
    pub(super) shards: Option<u32>,
    pub(super) rest: Arc<Rest>,
    pub(super) hub: Arc<Hub>,
    /// Whether Discord's sessions outlive the process.
    pub(super) keep_sessions: bool,
    pub(super) clock: Clock,
    /// Where voice sessions ask, and hear.
    pub(super) voice: Arc<Switchboard>,
}

/// Connects to the gateway and feeds the hub until told to stop, or until Discord refuses for good.
pub(super) async fn run(link: Link, stop: CancellationToken) {
    let Link { token, url, shards, rest, hub, keep_sessions, clock, voice } = link;
    // What cannot be told to the hub is told to nobody: the process is ending.
    let refused = async || {
        let (shard, last_heard) = (ShardIndex(0), clock());
        let update = Some(Update::ConnectionLost { shard, loss: Loss::Refused, last_heard });
        let _ = hub.deliver(Delivery { shard, update, session: None, heard_at: last_heard }, clock()).await;
    };
    let info = match stop.run_until_cancelled(ask(&rest)).await {
        None => return,
        Some(Err(CredentialsRefused)) => return refused().await,
        Some(Ok(info)) => info,
    };
    metrics::gauge!("parlor_identify_remaining").set(f64::from(info.session_starts.remaining));
    let shards = shards.unwrap_or(info.shards);
    let config = GatewayConfig {
        token,
        url: url.unwrap_or(info.url),
        shards,
        session_starts: info.session_starts,
        // Among more shards, or fewer, a shard's session is about other guilds.
        resume: if hub.stored_shards() == shards { hub.sessions().clone() } else { BTreeMap::new() },
        keep_sessions,
        voice,
    };
    info!(
        url = config.url,
        shards = config.shards,
        session_starts = config.session_starts.remaining,
        resuming = config.resume.len(),
        "connecting to the gateway"
    );
    if hub.run_shards(config.shards, clock()).await.is_err() {
        return;
    }
    let (deliveries, mut news) = mpsc::channel(shard::QUEUE);
    let feed = async {
        while let Some(delivery) = news.recv().await {
            if hub.deliver(delivery, clock()).await.is_err() {
                return;
            }
        }
    };
    // A refusal has been logged and told to the hub by the shard that met it. The server goes on with what is known.
    let (_, ()) = tokio::join!(shard::run(config, deliveries, stop.clone()), feed);
}

/// Discord does not accept the bot token.
struct CredentialsRefused;

/// Asks Discord where its gateway is, until it says.
async fn ask(rest: &Rest) -> Result<GatewayInfo, CredentialsRefused> {
    let mut pause = Duration::from_secs(1);
    loop {
        match rest.gateway(Instant::now() + ASK).await {
            Ok(info) => return Ok(info),
            Err(RestError::CredentialsRefused) => return Err(CredentialsRefused),
            Err(error) => {
                let jittered = pause.mul_f64(0.5 + 0.5 * fastrand::f64());
                let wait = if let RestError::RateLimited { retry_after } = error { retry_after } else { jittered };
                warn!(%error, ?wait, "Discord does not say where its gateway is; asking again");
                tokio::time::sleep(wait).await;
                pause = (pause * 2).min(PAUSE);
            }
        }
    }
}

/// Shows in health whether requests to Discord are sent, for as long as it is polled.
pub(super) async fn report_rest(mut accepted: watch::Receiver<bool>, health: Health) {
    loop {
        let up = *accepted.borrow_and_update();
        health.rest_up(up).await;
        if accepted.changed().await.is_err() {
            return;
        }
    }
}

/// Shows how the gateway connection stands, in health and metrics, for as long as it is polled.
pub(super) async fn report(hub: Arc<Hub>, health: Health) {
    let mut changes = hub.changes();
    let mut shown = None;
    loop {
        changes.mark_unchanged();
        let state = hub.upstream();
        if shown != Some(state) {
            shown = Some(state);
            info!(state = state.as_str_name(), "gateway");
            for each in STATES {
                let value = if each == state { 1.0 } else { 0.0 };
                metrics::gauge!("parlor_gateway_state", "state" => each.as_str_name()).set(value);
            }
            health.gateway_up(state == UpstreamState::Live).await;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

const STATES: [UpstreamState; 5] = [
    UpstreamState::Live,
    UpstreamState::Resuming,
    UpstreamState::Reconciling,
    UpstreamState::Stale,
    UpstreamState::Failed,
];
