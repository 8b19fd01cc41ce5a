//! The emulated Discord and the server against it, in this process, on ports that the system picks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use discord_emulator::Emulator;
use parlor_client::Parlor;
use parlor_server::{
    app::{Listeners, Parts, Server},
    config::{Config, Mode, SettingsFile, Sources, load},
    telemetry::Metrics,
};
use tempfile::{NamedTempFile, TempDir};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    Archive, Issuer, Token, Watcher, soon,
    validator::{self, Face, Ground, Subject, validate},
    wire::{Door, Tap},
};

/// The bot token of every house; a test looks for it where it must not be.
const BOT_TOKEN: &str = "canary-bot-token.never.shown";

/// How long news may be under way between the emulated Discord and the server of a test.
const SLACK: Duration = Duration::from_secs(2);

/// The rates of calls that are allowed without end, unless a test is about them.
pub(crate) const PATIENT: [&str; 8] = [
    "rates.reads_per_second",
    "rates.reads_burst",
    "rates.changes_per_second",
    "rates.changes_burst",
    "rates.guild_changes_per_second",
    "rates.guild_changes_burst",
    "rates.streams_per_second",
    "rates.streams_burst",
];

/// What a house is built from.
#[derive(Clone, Default)]
pub struct Setup {
    /// The emulator's settings.
    pub discord: discord_emulator::Config,
    /// Settings of the server: key and value, as flags give them.
    pub settings: Vec<(&'static str, String)>,
    /// What is changed about them once they have been read, beyond what they may say.
    pub adjust: Option<fn(&mut Config)>,
}

impl Setup {
    /// Adds a setting of the server.
    #[must_use]
    pub fn set(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((key, value.into()));
        self
    }

    /// Changes the server's settings once they have been read: to what nobody may set, for what no test can wait for.
    #[must_use]
    pub fn adjusted(mut self, adjust: fn(&mut Config)) -> Self {
        self.adjust = Some(adjust);
        self
    }

    /// Builds the house and waits until the gateway is live.
    pub async fn start(self) -> House {
        let emulator = Emulator::start(self.discord.clone()).await.expect("a free port");
        emulator.world(discord_emulator::World::keep_journal);
        let store = tempfile::tempdir().expect("a directory");
        let (ahead, archive) = (Arc::default(), Archive::default());
        let authority = NamedTempFile::new().expect("a file");
        std::fs::write(authority.path(), emulator.voice_authority()).expect("it is written");
        let mut house = House {
            emulator,
            authority,
            server: None,
            tap: None,
            door: None,
            store,
            setup: self,
            ahead,
            addresses: None,
            archive,
        };
        house.start_server().await;
        house
    }
}

/// An emulated Discord with a server against it. When it goes, it judges what its subscribers were sent.
pub struct House {
    /// Discord.
    pub emulator: Emulator,
    /// By what the emulated voice server is known.
    authority: NamedTempFile,
    server: Option<Server>,
    /// What clients reach the server through; `None` where they speak TLS, which nobody can read along.
    tap: Option<Tap>,
    /// Where the next tap lets clients in: where the last one did.
    door: Option<Door>,
    store: TempDir,
    setup: Setup,
    /// How far the server's clock is ahead, in seconds.
    ahead: Arc<AtomicI64>,
    addresses: Option<(SocketAddr, SocketAddr)>,
    archive: Archive,
}

impl Drop for House {
    /// Judges what every subscriber was sent.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let journal = self.emulator.world(|world| world.journal().to_vec());
        let ground = Ground { journal, settled: None, slack: SLACK };
        let troubles = self.archive.troubles();
        assert!(troubles.is_empty(), "something that nobody has judged passed on the wire: {troubles:#?}");
        let report = validate(&self.archive.recordings(), &ground);
        assert!(report.findings.is_empty(), "the streams are not what was promised: {report}\n{:#?}", report.findings);
    }
}

impl House {
    /// A house with default settings.
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// Stops the server and starts another one over the same store. The gateway need not be live again.
    pub async fn restart_server(&mut self) {
        self.stop_server().await;
        self.start_server().await;
    }

    /// Stops the server as SIGTERM does.
    pub async fn stop_server(&mut self) {
        if let Some(tap) = self.tap.take() {
            self.door = Some(tap.close().await);
        }
        if let Some(server) = self.server.take() {
            soon("the server's end", server.stop()).await;
        }
    }

    async fn start_server(&mut self) {
        let mut config = self.config();
        if let Some(adjust) = self.setup.adjust {
            adjust(&mut config);
        }
        let server = start_server(config, Arc::clone(&self.ahead)).await;
        let mut api = server.api_addr();
        if !self.setup.settings.iter().any(|(key, _)| *key == "server.tls_cert") {
            let door = self.door.take().unwrap_or_else(Door::anywhere);
            let tap = Tap::before(api, door, self.archive.clone());
            api = tap.address();
            self.tap = Some(tap);
        }
        self.addresses = Some((api, server.ops_addr()));
        self.server = Some(server);
        self.until_live().await;
    }

    fn config(&self) -> Config {
        self.config_of(BOT_TOKEN, self.store.path())
    }

    fn config_of(&self, bot_token: &str, store: &std::path::Path) -> Config {
        let text = |path: &std::path::Path| path.display().to_string();
        let issuer = Issuer::get();
        let mut flags = vec![
            ("server.listen", "127.0.0.1:0".to_owned()),
            ("server.drain_grace", "0s".to_owned()),
            ("server.reflection", "true".to_owned()),
            ("ops.listen", "127.0.0.1:0".to_owned()),
            ("auth.issuer", parlor_server::auth::dev::DEV_ISSUER.to_owned()),
            ("auth.jwks_file", text(&issuer.jwks_file())),
            ("discord.api_url", self.emulator.rest_url()),
            ("discord.token", bot_token.to_owned()),
            ("discord.voice_ca_file", text(self.authority.path())),
            ("store.dir", text(store)),
        ];
        // Tests call as fast as they can, all of them as the same subject.
        flags.extend(PATIENT.map(|key| (key, "1000000".to_owned())));
        flags.extend(self.setup.settings.clone());
        let sources = Sources { file: SettingsFile::Absent, environment: Vec::new(), flags };
        load(&sources, Mode::Serve).expect("a good configuration").config
    }

    /// Where the server keeps what outlives it.
    pub fn store_dir(&self) -> &std::path::Path {
        self.store.path()
    }

    /// The authority of the emulated voice server, PEM.
    pub fn voice_authority(&self) -> &std::path::Path {
        self.authority.path()
    }

    /// Puts the server's clock forward.
    pub fn advance_the_clock(&self, time: Duration) {
        self.shift_the_clock(i64::try_from(time.as_secs()).expect("a time that a test can mean"));
    }

    /// Lets the server's clock jump by so many seconds, forth or back.
    pub fn shift_the_clock(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Another server in the same Discord, with a bot of its own.
    pub async fn neighbour(&self, bot_token: &'static str) -> Neighbour {
        let store = tempfile::tempdir().expect("a directory");
        let server = start_server(self.config_of(bot_token, store.path()), Arc::clone(&self.ahead)).await;
        until_health(server.ops_addr(), "discord-gateway", ServingStatus::Serving).await;
        Neighbour { server, _store: store }
    }

    /// Waits until the server's gateway connection is live.
    pub async fn until_live(&self) {
        self.until_health("discord-gateway", ServingStatus::Serving).await;
    }

    /// Waits until gRPC health says this of a name.
    pub async fn until_health(&self, name: &str, wanted: ServingStatus) {
        until_health(self.ops(), name, wanted).await;
    }

    /// What gRPC health says of a name now.
    pub async fn health(&self, name: &str) -> ServingStatus {
        let mut client = health_client(self.ops()).await;
        let request = HealthCheckRequest { service: name.to_owned() };
        client.check(request).await.expect("a known name").into_inner().status()
    }

    /// The page at /metrics. Its numbers are of all houses of this process.
    pub async fn metrics(&self) -> String {
        let page = reqwest::get(format!("http://{}/metrics", self.ops())).await.expect("the ops listener answers");
        page.text().await.expect("text")
    }

    /// Where callers connect, `host:port`.
    pub fn api(&self) -> SocketAddr {
        self.addresses.expect("it was started").0
    }

    /// Where the operator connects, `host:port`.
    pub fn ops(&self) -> SocketAddr {
        self.addresses.expect("it was started").1
    }

    /// A token for everything.
    pub fn token(&self) -> String {
        Issuer::get().sign(&Token::default())
    }

    /// The bot token that must be seen nowhere.
    pub fn bot_token(&self) -> &'static str {
        BOT_TOKEN
    }

    /// The Rust client, with a token for everything.
    pub async fn parlor(&self) -> Parlor {
        self.parlor_with(&self.token()).await
    }

    /// The Rust client with another token.
    pub async fn parlor_with(&self, token: &str) -> Parlor {
        Parlor::connect(&format!("http://{}", self.api()), token).await.expect("the server answers")
    }

    /// A Rust subscriber to everything, past its first snapshot.
    pub async fn watch(&self) -> Watcher {
        self.watch_as(&Token::default()).await
    }

    /// A Rust subscriber to everything that a token covers, past its first snapshot.
    pub async fn watch_as(&self, token: &Token) -> Watcher {
        let all = token.guilds == ["*"];
        let granted = (!all).then(|| token.guilds.iter().cloned().collect());
        let parlor = self.parlor_with(&Issuer::get().sign(token)).await;
        let mut watcher = Watcher::subscribe(self, &parlor, Default::default(), granted).await;
        watcher.until(|picture| !picture.is_partial()).await;
        watcher
    }

    /// What its subscribers are sent.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// How everything stands in the emulated Discord, guilds in an outage left out.
    pub(crate) fn world(&self) -> BTreeMap<Subject, Face> {
        self.emulator.world(|world| validator::truth(world))
    }

    /// What a subscriber to everything has to see: everybody in each room, empty rooms included.
    pub fn truth(&self) -> BTreeMap<String, BTreeSet<String>> {
        let names = |ids: BTreeSet<discord_emulator::UserId>| ids.iter().map(ToString::to_string).collect();
        self.emulator.rooms().into_iter().map(|(room, inside)| (room.to_string(), names(inside))).collect()
    }
}

/// A server beside that of a house. It is not judged.
pub struct Neighbour {
    server: Server,
    _store: TempDir,
}

impl Neighbour {
    /// The Rust client, with a token for everything.
    pub async fn parlor(&self) -> Parlor {
        let token = Issuer::get().sign(&Token::default());
        Parlor::connect(&format!("http://{}", self.server.api_addr()), &token).await.expect("the server answers")
    }

    /// Stops the server as SIGTERM does.
    pub async fn stop(self) {
        soon("the server's end", self.server.stop()).await;
    }
}

async fn health_client(ops: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{ops}")).expect("an address");
    HealthClient::new(endpoint.connect().await.expect("the ops listener answers"))
}

async fn until_health(ops: SocketAddr, name: &str, wanted: ServingStatus) {
    let mut client = health_client(ops).await;
    let request = HealthCheckRequest { service: name.to_owned() };
    let mut states = client.watch(request).await.expect("a known name").into_inner();
    soon("a change of health", async {
        while states.message().await.expect("the server lives").expect("health is told").status() != wanted {}
    })
    .await;
}

async fn start_server(config: Config, ahead: Arc<AtomicI64>) -> Server {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    // Two tests may come here first; the provider is the same whoever wins.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let metrics = METRICS.get_or_init(|| Metrics::install().expect("the first recorder of this process")).clone();
    let requirements = config.serve_requirements().expect("everything is set");
    let listeners = Listeners::bind(&config).await.expect("free ports");
    let clock = Arc::new(move || {
        let ahead = ahead.load(Ordering::Relaxed);
        let by = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
    });
    let parts = Parts { requirements, listeners, metrics, clock, jwks: None };
    Server::start(config, parts).await.expect("the server starts")
}
