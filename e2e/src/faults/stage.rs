//! What one fault is played on: an emulated Discord with traffic, the real server over its store, and clients who follow.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use discord_emulator::{Emulator, Fault, GatewayLimits, LOBBY, OTHER_GUILD, PARLOR_DEV};
use parlor_client::v1::VoiceEventKind;
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    crowd::{Address, Crowd, Habits, Pace},
    proxy::{Door, Proxy},
    traffic::Traffic,
};
use crate::{
    Archive,
    parlord::{self, Log, Parlord, Run},
    validator::{Face, Finding, Ground, Promise, Recording, Report, Subject, truth, validate},
};

/// The bot token, which must be in no log line.
const BOT_TOKEN: &str = "canary-bot-token.never.shown";

/// How long everybody may take to hold the truth once a fault is over: the longest pause between two gateway connections is
/// a minute, and what is waited for may take two.
const CONVERGE: Duration = Duration::from_secs(100);

/// How a stage is set.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) gateway: GatewayLimits,
    /// Settings of the server.
    pub(super) settings: Vec<(&'static str, String)>,
    /// Faults that stand before the server starts.
    pub(super) from_the_start: Vec<Fault>,
    /// People in the traffic.
    pub(super) people: usize,
    /// About how long between two happenings.
    pub(super) pause: Duration,
    /// Whether the gateway is reached through a proxy.
    pub(super) proxied: bool,
    /// Whether the server is sent payloads that it has to skip.
    pub(super) strange: bool,
}

impl Default for Plan {
    fn default() -> Self {
        let gateway = GatewayLimits { heartbeat_interval: Duration::from_secs(5), ..GatewayLimits::default() };
        let pause = Duration::from_millis(8);
        Self {
            gateway,
            settings: Vec::new(),
            from_the_start: Vec::new(),
            people: 24,
            pause,
            proxied: false,
            strange: false,
        }
    }
}

impl Plan {
    /// With a proxy before the gateway.
    pub(super) fn proxied() -> Self {
        Self { proxied: true, ..Self::default() }
    }

    /// With a setting of the server.
    pub(super) fn set(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((key, value.into()));
        self
    }
}

/// A stage.
pub(super) struct Stage {
    pub(super) emulator: Emulator,
    pub(super) traffic: Traffic,
    pub(super) crowd: Crowd,
    pub(super) archive: Archive,
    pub(super) address: Address,
    pub(super) log: Log,
    pub(super) rng: fastrand::Rng,
    /// Whether durations are those of the fault list, or shorter ones.
    pub(super) long: bool,
    /// A figure that the fault wants in its line.
    pub(super) remark: String,
    strange: bool,
    proxy: Option<Proxy>,
    run: Run,
    program: PathBuf,
    server: Option<Parlord>,
    restarts: u32,
    rss_peak_kib: u64,
    home: TempDir,
}

/// What a stage came to.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) report: Report,
    pub(super) stats: discord_emulator::Stats,
    pub(super) recovery: Duration,
    pub(super) rss_peak_kib: u64,
    pub(super) complaints: Vec<String>,
}

impl Stage {
    /// Sets it up: the server serves, everybody holds the truth, traffic flows.
    pub(super) async fn set(plan: Plan, program: PathBuf, seed: u64, long: bool) -> Result<Self, String> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let door = Door::open().await.map_err(|error| error.to_string())?;
        let mut config = discord_emulator::Config { gateway: plan.gateway.clone(), ..Default::default() };
        if plan.proxied {
            config.gateway_url = Some(format!("ws://{}", door.addr()));
        }
        let emulator = Emulator::start(config).await.map_err(|error| error.to_string())?;
        let proxy = plan.proxied.then(|| door.lead_to(emulator.addr(), rng.u64(..)));
        emulator.world(discord_emulator::World::keep_journal);
        plan.from_the_start.iter().for_each(|fault| emulator.inject(fault.clone()));
        let run = Run { settings: settings(&plan, &emulator), store: home.path().to_owned(), file_limit_kib: None };
        let traffic = Traffic::new(&emulator, plan.people, plan.pause, rng.fork());
        let mut stage = Self {
            emulator,
            traffic,
            crowd: Crowd::new(),
            archive: Archive::default(),
            address: watch::Sender::new(None),
            log: Log::default(),
            long,
            remark: String::new(),
            strange: plan.strange,
            proxy,
            run,
            program,
            server: None,
            restarts: 0,
            rss_peak_kib: 0,
            home,
            rng,
        };
        stage.start_server().await?;
        stage.until_health("discord-gateway", true).await?;
        for habits in usual_crowd() {
            let rng = stage.rng.fork();
            stage.crowd.join(habits, &stage.archive, &stage.address, rng);
        }
        stage.converged(Pace::Any).await?;
        stage.traffic.flow(true);
        stage.goes_on(Duration::from_millis(300)).await;
        Ok(stage)
    }

    /// This long, or for short profiles that long.
    pub(super) fn lasting(&self, long: Duration, short: Duration) -> Duration {
        if self.long { long } else { short }
    }

    /// Lets the world go on for a while.
    pub(super) async fn goes_on(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// Waits until the emulator's counts satisfy a condition.
    pub(super) async fn until_discord(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&discord_emulator::Stats) -> bool,
    ) -> Result<(), String> {
        match timeout(limit, self.emulator.wait_for(condition)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("{what} did not happen within {limit:?}: {:?}", self.emulator.stats())),
        }
    }

    /// Waits until gRPC health says of a name that it is well, or that it is not.
    pub(super) async fn until_health(&mut self, name: &str, well: bool) -> Result<(), String> {
        let ops = self.server()?.ops;
        let endpoint = Endpoint::from_shared(format!("http://{ops}")).map_err(|error| error.to_string())?;
        let mut client = HealthClient::new(endpoint.connect().await.map_err(|error| error.to_string())?);
        let request = HealthCheckRequest { service: name.to_owned() };
        let mut states = client.watch(request).await.map_err(|error| error.to_string())?.into_inner();
        let changed = async {
            loop {
                match states.message().await {
                    Ok(Some(state)) if (state.status() == ServingStatus::Serving) == well => return Ok(()),
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return Err(format!("health of {name} is not told any more")),
                }
            }
        };
        let what = if well { "well" } else { "unwell" };
        timeout(CONVERGE, changed).await.unwrap_or_else(|_| Err(format!("{name} is not {what} after {CONVERGE:?}")))
    }

    /// Waits until a number at /metrics, `None` where it is not there yet, satisfies a condition.
    pub(super) async fn until_metric(
        &mut self,
        name: &str,
        limit: Duration,
        condition: impl Fn(Option<f64>) -> bool,
    ) -> Result<(), String> {
        let server = self.server()?;
        let changed = async {
            while !condition(server.metric(name).await) {
                // The page is work for the server, whose speed others may be looking at.
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        };
        if timeout(limit, changed).await.is_ok() {
            return Ok(());
        }
        let now = server.metric(name).await;
        Err(format!("{name} is {now:?} after {limit:?}"))
    }

    /// The proxy before the gateway.
    pub(super) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("the fault's plan asks for a proxy")
    }

    /// The server that runs.
    pub(super) fn server(&mut self) -> Result<&mut Parlord, String> {
        self.server.as_mut().ok_or_else(|| "there is no server".to_owned())
    }

    /// What the next server is run with.
    pub(super) fn run(&mut self) -> &mut Run {
        &mut self.run
    }

    /// The directory with the server's files.
    pub(super) fn store(&self) -> PathBuf {
        self.home.path().join("store")
    }

    /// Starts the server, over the same store.
    pub(super) async fn start_server(&mut self) -> Result<(), String> {
        let server = Parlord::start(&self.program, &self.run, &self.log).await?;
        self.address.send_replace(Some(server.api));
        self.server = Some(server);
        self.restarts += 1;
        Ok(())
    }

    /// Takes the server away, to end it in some way.
    pub(super) fn take_server(&mut self) -> Result<Parlord, String> {
        self.note_memory();
        self.address.send_replace(None);
        self.server.take().ok_or_else(|| "there is no server".to_owned())
    }

    /// Notes how much memory the server takes now.
    pub(super) fn note_memory(&mut self) {
        let now = self.server.as_ref().and_then(Parlord::resident_kib).unwrap_or(0);
        self.rss_peak_kib = self.rss_peak_kib.max(now);
    }

    /// How everything stands in Discord.
    fn truth(&self) -> BTreeMap<Subject, Face> {
        self.emulator.world(|world| truth(world))
    }

    /// Waits until everybody holds the truth, or everybody who reads as fast as they are told. Traffic has to stand still.
    async fn converged(&self, whose: Pace) -> Result<(), String> {
        self.crowd.converge(whose, || self.truth(), CONVERGE).await
    }

    /// The end of a fault: it is over, so everything has to be well again. Everybody goes, and what was recorded is judged.
    pub(super) async fn end(mut self, slack: Duration, mut complaints: Vec<String>) -> Played {
        self.traffic.flow(false);
        let over = Instant::now();
        let mut held = self.converged(Pace::Prompt).await;
        let recovery = over.elapsed();
        if held.is_ok() {
            // Not only was the truth reached: it goes on to be told.
            self.traffic.flow(true);
            self.goes_on(Duration::from_millis(300)).await;
            self.traffic.flow(false);
            held = self.converged(Pace::Any).await;
        }
        self.note_memory();
        complaints.extend(held.err());
        // The truth may be told over a connection that the server does not know to be well.
        complaints.extend(self.until_health("discord-gateway", true).await.err());
        self.crowd.leave().await;
        let stats = self.emulator.stats();
        let recordings = self.archive.recordings();
        let journal = self.emulator.world(|world| world.journal().to_vec());
        let ground = Ground { journal, settled: Some(self.truth()), slack };
        let mut report = validate(&recordings, &ground);
        self.look_at_the_server(&recordings, &mut report, &mut complaints).await;
        if let Ok(server) = self.take_server() {
            match server.terminate().await {
                Ok(status) if status.success() => {}
                Ok(status) => complaints.push(format!("after SIGTERM parlord ended with {status}")),
                Err(error) => complaints.push(error),
            }
        }
        self.look_for_secrets(&mut report);
        self.emulator.stop().await;
        Played { report, stats, recovery, rss_peak_kib: self.rss_peak_kib, complaints }
    }

    /// The server's own numbers, once everybody has gone.
    async fn look_at_the_server(
        &mut self,
        recordings: &[Recording],
        report: &mut Report,
        complaints: &mut Vec<String>,
    ) {
        let restarts = self.restarts;
        let Some(server) = &mut self.server else { return };
        if server.has_ended() {
            complaints.push(format!("parlord has ended by itself: {:?}", self.log.tail(3)));
            return;
        }
        let quiet = async {
            while server.metric("parlor_streams").await != Some(0.0) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(Duration::from_secs(30), quiet).await.is_err() {
            let open = server.metric("parlor_streams").await;
            report.find(Promise::Counted, "server", format!("{open:?} streams are open, and everybody has gone"));
        }
        if let Some(panics) = server.metric("parlor_panics_total").await.filter(|panics| *panics > 0.0) {
            report.find(Promise::Counted, "server", format!("{panics} panics"));
        }
        let skipped = server.metric("parlor_gateway_skipped_total").await.filter(|skipped| *skipped > 0.0);
        if let Some(skipped) = skipped.filter(|_| !self.strange) {
            report.find(Promise::Counted, "server", format!("{skipped} payloads of a sound Discord were skipped"));
        }
        let resets = server.metric("parlor_resets_total").await.unwrap_or(0.0);
        let lived_throughout = restarts == 1 && !recordings.is_empty();
        // A reset that was on its way to somebody who left is counted and not recorded.
        if lived_throughout && resets < report.resets as f64 {
            report.find(
                Promise::Counted,
                "server",
                format!("{resets} resets are counted, {} were seen", report.resets),
            );
        }
    }

    fn look_for_secrets(&self, report: &mut Report) {
        let of_tokens = self.crowd.tokens().into_iter().filter_map(|token| Some(token.rsplit_once('.')?.1.to_owned()));
        if self.log.contains(BOT_TOKEN) {
            report.findings.push(secret("the bot's token"));
        }
        if of_tokens.into_iter().any(|signature| self.log.contains(&signature)) {
            report.findings.push(secret("a caller's token"));
        }
    }
}

fn secret(what: &str) -> Finding {
    let detail = format!("{what} stands in a log line");
    Finding { promise: Promise::NoSecret, client: "server".to_owned(), detail }
}

/// Settings of the server of a stage. Limits that are about many callers are raised: here all of them are one address.
fn settings(plan: &Plan, emulator: &Emulator) -> Vec<(String, String)> {
    let raised = [
        ("limits.connections", "20000".to_owned()),
        ("limits.connections_per_ip", "20000".to_owned()),
        ("limits.calls_per_connection", "2000".to_owned()),
        ("limits.active_calls_per_connection", "2000".to_owned()),
        ("limits.active_calls", "20000".to_owned()),
        ("limits.streams_per_subject", "20000".to_owned()),
        ("limits.streams", "20000".to_owned()),
    ];
    let chosen = plan.settings.iter().map(|(key, value)| (*key, value.clone()));
    let own = raised.into_iter().chain(chosen).map(|(key, value)| (key.to_owned(), value));
    parlord::settings(emulator, BOT_TOKEN).into_iter().chain(own).collect()
}

/// Clients of different habits.
fn usual_crowd() -> Vec<Habits> {
    let eager = Habits::eager;
    let mut one_guild = eager("one guild asked for");
    one_guild.request.guild_ids = vec![PARLOR_DEV.to_string()];
    let mut granted = eager("one guild granted");
    granted.granted = vec![OTHER_GUILD.to_string()];
    let mut one_room = eager("one room");
    one_room.request.channel_ids = vec![LOBBY.to_string()];
    let mut moves = eager("moves and leavings");
    moves.request.kinds = vec![VoiceEventKind::ParticipantMoved.into(), VoiceEventKind::ParticipantLeft.into()];
    let slow = Habits { thinks: Duration::from_millis(60), stores_every: 3, ..eager("slow") };
    let careless = Habits { stores_every: 25, ..eager("stores seldom") };
    vec![eager("eager"), eager("eager too"), one_guild, granted, one_room, moves, slow, careless]
}
