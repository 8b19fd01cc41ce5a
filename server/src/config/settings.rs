//! The settings as they are written, with their defaults. One struct per section.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::units::{HttpsUrl, WssUrl, number, optional_number, seconds};
use crate::auth::{SigningAlgorithm, TokenType};

/// Every section.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) server: ServerSettings,
    pub(super) limits: LimitsConfig,
    pub(super) rates: RatesConfig,
    pub(super) ops: OpsConfig,
    pub(super) auth: AuthSettings,
    pub(super) discord: DiscordSettings,
    pub(super) events: EventsConfig,
    pub(super) voice: VoiceConfig,
    pub(super) store: StoreConfig,
    pub(super) log: LogConfig,
}

/// The keys whose values are never shown.
pub(super) const SECRETS: [&str; 1] = ["discord.token"];

/// The keys without a default whose values are numbers. Of the others without one, all are text.
pub(super) const OPTIONAL_NUMBERS: [&str; 1] = ["discord.shards"];

/// `[server]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerSettings {
    pub(super) listen: SocketAddr,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) tls_min_version: TlsVersion,
    pub(super) allowed_origins: Vec<String>,
    pub(super) reflection: bool,
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<0, 60, _>")]
    pub(super) drain_grace: Duration,
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<1, 600, _>")]
    pub(super) drain_limit: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            tls_cert: None,
            tls_key: None,
            tls_min_version: TlsVersion::V13,
            allowed_origins: Vec::new(),
            reflection: false,
            drain_grace: Duration::from_secs(5),
            drain_limit: Duration::from_secs(25),
        }
    }
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3 alone.
    #[serde(rename = "1.3")]
    V13,
}

/// `[limits]`: how much of everything one peer, one connection and all together may use.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Open connections.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub connections: u32,
    /// Open connections of one address (IPv6: of one /64).
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub connections_per_ip: u32,
    /// How long a TLS handshake may take.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<1, 60, _>")]
    pub tls_handshake: Duration,
    /// How long a new connection may be silent.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<1, 600, _>")]
    pub first_byte: Duration,
    /// How long a connection may be without a byte in either direction.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<10, 86_400, _>")]
    pub idle: Duration,
    /// After how long a client is asked to connect anew.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<60, 86_400, _>")]
    pub connection_age: Duration,
    /// How often a connection is pinged.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<5, 3_600, _>")]
    pub keepalive_interval: Duration,
    /// How long the answer to a ping may take.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<1, 600, _>")]
    pub keepalive_timeout: Duration,
    /// Concurrent calls of one connection that are accepted (HTTP/2 `SETTINGS_MAX_CONCURRENT_STREAMS`).
    #[serde(deserialize_with = "number::<1, 100_000, _>")]
    pub calls_per_connection: u32,
    /// Calls of one connection that are answered at the same time; the others wait.
    #[serde(deserialize_with = "number::<1, 100_000, _>")]
    pub active_calls_per_connection: u32,
    /// Calls that are answered at the same time; more are refused. Open streams do not count.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub active_calls: u32,
    /// Malformed calls after which a connection is closed.
    #[serde(deserialize_with = "number::<1, 100_000, _>")]
    pub malformed_calls: u32,
    /// The largest list of headers, in bytes.
    #[serde(deserialize_with = "number::<4_096, 1_048_576, _>")]
    pub header_bytes: u32,
    /// The largest request message, in bytes.
    #[serde(deserialize_with = "number::<1_024, 16_777_216, _>")]
    pub message_bytes: u32,
    /// Open event streams.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub streams: u32,
    /// Open event streams of one subject.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub streams_per_subject: u32,
    /// Open rooms that one subject has had created.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub rooms_per_subject: u32,
    /// The least age at which an event stream ends, so that clients spread over servers again; it ends before 1.4 times
    /// this.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<60, 86_400, _>")]
    pub stream_age: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_ip: 256,
            tls_handshake: Duration::from_secs(5),
            first_byte: Duration::from_secs(10),
            idle: Duration::from_secs(5 * 60),
            connection_age: Duration::from_secs(30 * 60),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            calls_per_connection: 200,
            active_calls_per_connection: 64,
            active_calls: 2_048,
            malformed_calls: 256,
            header_bytes: 16 * 1024,
            message_bytes: 64 * 1024,
            streams: 10_000,
            streams_per_subject: 16,
            rooms_per_subject: 100,
            stream_age: Duration::from_secs(25 * 60),
        }
    }
}

/// `[rates]`: how often callers may call. Of each rate, `burst` may come at once.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RatesConfig {
    /// Calls of one subject that show something.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub reads_per_second: u32,
    /// At once.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub reads_burst: u32,
    /// Calls of one subject that change something.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub changes_per_second: u32,
    /// At once.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub changes_burst: u32,
    /// Calls that change something in one guild, whoever makes them.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub guild_changes_per_second: u32,
    /// At once.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub guild_changes_burst: u32,
    /// Event streams that one subject opens.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub streams_per_second: u32,
    /// At once.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub streams_burst: u32,
    /// Calls of one address (IPv6: of one /64) whose token is missing or refused.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub refused_tokens_per_minute: u32,
    /// At once.
    #[serde(deserialize_with = "number::<1, 1_000_000, _>")]
    pub refused_tokens_burst: u32,
    /// How many subjects, guilds or addresses are told apart at a time, for each of these rates.
    #[serde(deserialize_with = "number::<1, 10_000_000, _>")]
    pub keys: u32,
}

impl Default for RatesConfig {
    fn default() -> Self {
        Self {
            reads_per_second: 50,
            reads_burst: 100,
            changes_per_second: 2,
            changes_burst: 10,
            guild_changes_per_second: 1,
            guild_changes_burst: 5,
            streams_per_second: 1,
            streams_burst: 10,
            refused_tokens_per_minute: 10,
            refused_tokens_burst: 20,
            keys: 100_000,
        }
    }
}

/// `[ops]`: the listener for the operator.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OpsConfig {
    /// Where /metrics, /healthz, /readyz and gRPC health are served, without authentication.
    pub listen: SocketAddr,
}

impl Default for OpsConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

/// `[auth]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthSettings {
    pub(super) issuer: Option<String>,
    pub(super) audience: String,
    pub(super) jwks_file: Option<PathBuf>,
    pub(super) jwks_url: Option<HttpsUrl>,
    pub(super) algorithms: BTreeSet<SigningAlgorithm>,
    pub(super) token_types: BTreeSet<TokenType>,
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<0, 300, _>")]
    pub(super) leeway: Duration,
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<60, 86_400, _>")]
    pub(super) max_lifetime: Duration,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: "parlor".to_owned(),
            jwks_file: None,
            jwks_url: None,
            algorithms: BTreeSet::from([SigningAlgorithm::Rs256]),
            token_types: BTreeSet::from([TokenType::AccessToken, TokenType::Jwt]),
            leeway: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// `[discord]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiscordSettings {
    pub(super) token: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) api_url: HttpsUrl,
    /// Where it is not set, Discord is asked.
    pub(super) gateway_url: Option<WssUrl>,
    /// Certificates in PEM that voice servers are known by; those of the system where it is not set.
    pub(super) voice_ca_file: Option<PathBuf>,
    /// Where it is not set, as many as Discord recommends.
    #[serde(deserialize_with = "optional_number::<1, 65_536, _>")]
    pub(super) shards: Option<u32>,
    /// Requests to Discord's REST API in a second, over all routes.
    #[serde(deserialize_with = "number::<1, 10_000, _>")]
    pub(super) requests_per_second: u32,
    /// Invalid requests in ten minutes from which on nothing is sent.
    #[serde(deserialize_with = "number::<10, 9_500, _>")]
    pub(super) invalid_requests: u32,
}

impl Default for DiscordSettings {
    fn default() -> Self {
        Self {
            token: None,
            token_file: None,
            api_url: "https://discord.com/api/v10".parse().expect("the default is a URL"),
            gateway_url: None,
            voice_ca_file: None,
            shards: None,
            requests_per_second: 45,
            invalid_requests: 5_000,
        }
    }
}

/// `[events]`: the log that subscriptions read.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EventsConfig {
    /// Entries that are kept at least.
    #[serde(deserialize_with = "number::<1, 10_000_000, _>")]
    pub retention_entries: u32,
    /// How long an entry is kept at least.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<0, 604_800, _>")]
    pub retention_time: Duration,
    /// What all entries may take, in bytes; older ones go first, whatever the other two say.
    #[serde(deserialize_with = "number::<65_536, 2_147_483_648, _>")]
    pub retention_bytes: u32,
    /// The longest silence of a stream whose request does not say, 5 s to 60 s.
    #[serde(serialize_with = "humantime_serde::serialize", deserialize_with = "seconds::<5, 60, _>")]
    pub heartbeat: Duration,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            retention_entries: 10_000,
            retention_time: Duration::from_secs(15 * 60),
            retention_bytes: 16 * 1024 * 1024,
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// `[voice]`: sessions in rooms.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VoiceConfig {
    /// Sessions at a time.
    #[serde(deserialize_with = "number::<1, 100_000, _>")]
    pub sessions: u32,
    /// What a room's text is told when somebody begins to listen, where the session asks for it: up to 2,000 characters.
    pub announcement: String,
    /// Whether encryption modes that Discord refuses since November 2024 (`xsalsa20_poly1305` and its kin) may be used with
    /// voice servers that offer nothing newer.
    pub retired_modes: bool,
}

impl Default for VoiceConfig {
    fn default() -> Self {
        let announcement = "🎧 This room is being listened to through Parlor.".to_owned();
        Self { sessions: 100, announcement, retired_modes: false }
    }
}

/// `[store]`: what outlives the process.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Where the event log and what belongs to it is kept.
    pub kind: StoreKind,
    /// The directory, which is made where it is missing.
    pub dir: PathBuf,
}

/// Whether the event log outlives the process.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// On disk: cursors resume over restarts.
    Disk,
    /// In memory alone: after a restart every client starts over.
    Memory,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { kind: StoreKind::Disk, dir: PathBuf::from(".parlor") }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// How it looks.
    pub format: LogFormat,
    /// Which lines: directives as `tracing-subscriber`'s `EnvFilter` reads them, such as `info,parlor_gateway=debug`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Auto, filter: "info".to_owned() }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}
