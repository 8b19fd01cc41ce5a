//! From settings, which may contradict each other, to a [`Config`], which cannot.

use std::{collections::BTreeSet, fs, io, net::SocketAddr, path::Path, path::PathBuf, time::Duration};

use secrecy::SecretString;
use thiserror::Error;

use super::{
    load::{Mode, Problem},
    settings::{
        AuthSettings, DiscordSettings, EventsConfig, LimitsConfig, LogConfig, OpsConfig, RatesConfig, ServerSettings,
        Settings, StoreConfig, TlsVersion, VoiceConfig,
    },
    units::{HttpsUrl, Origin, WssUrl},
};
use crate::auth::{KeySource, SigningAlgorithm, TokenRules, TokenType};

/// The configuration of `parlord`.
#[derive(Debug)]
pub struct Config {
    /// The listener for callers.
    pub server: ServerConfig,
    /// What callers may use.
    pub limits: LimitsConfig,
    /// How often callers may call.
    pub rates: RatesConfig,
    /// The listener for the operator.
    pub ops: OpsConfig,
    /// Who may call.
    pub auth: AuthConfig,
    /// The bot.
    pub discord: DiscordConfig,
    /// The event log.
    pub events: EventsConfig,
    /// Voice sessions.
    pub voice: VoiceConfig,
    /// What outlives the process.
    pub store: StoreConfig,
    /// The log lines.
    pub log: LogConfig,
}

/// `[server]`
#[derive(Debug)]
pub struct ServerConfig {
    /// Where callers connect.
    pub listen: SocketAddr,
    /// Certificate and key; none for plain text.
    pub tls: Option<TlsFiles>,
    /// The web pages that may call.
    pub allowed_origins: AllowedOrigins,
    /// Whether callers may ask for the contract by gRPC reflection.
    pub reflection: bool,
    /// How long to go on as before after the signal to stop, so that load balancers notice.
    pub drain_grace: Duration,
    /// How long stopping may take in all.
    pub drain_limit: Duration,
}

/// A certificate and its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// The chain, PEM, leaf first.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// The origins of web pages that may call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AllowedOrigins {
    /// Every one: only in development.
    Any,
    /// These; none is the page's own origin alone.
    Only(BTreeSet<Origin>),
}

/// `[auth]`
#[derive(Clone, Debug)]
pub struct AuthConfig {
    issuer: Option<String>,
    audience: String,
    keys: Option<KeySource>,
    algorithms: BTreeSet<SigningAlgorithm>,
    token_types: BTreeSet<TokenType>,
    leeway: Duration,
    max_lifetime: Duration,
}

/// `[discord]`
#[derive(Debug)]
pub struct DiscordConfig {
    token: Option<SecretString>,
    /// Where Discord's REST API is, version included.
    pub api_url: HttpsUrl,
    /// Where Discord's gateway is; where it is not set, Discord is asked.
    pub gateway_url: Option<WssUrl>,
    /// Certificates that voice servers are known by; those of the system where it is not set.
    pub voice_ca_file: Option<PathBuf>,
    /// How many shards to run; as many as Discord recommends where it is not set.
    pub shards: Option<u32>,
    /// How often Discord's REST API is asked in a second at most, over all routes.
    pub requests_per_second: u32,
    /// From how many invalid requests in ten minutes on nothing is sent.
    pub invalid_requests: u32,
}

/// What serving needs and has no default.
#[derive(Clone, Debug)]
pub struct ServeRequirements {
    /// What tokens have to satisfy.
    pub token_rules: TokenRules,
    /// Where the issuer's keys are.
    pub key_source: KeySource,
    /// The bot's token.
    pub bot_token: SecretString,
}

/// Settings that serving needs are not there.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("these settings are missing:{}", .0.iter().map(|one| format!("\n  {one}")).collect::<String>())]
pub struct MissingSettings(pub Vec<&'static str>);

impl Config {
    /// What serving needs besides defaults.
    ///
    /// # Errors
    /// All that is missing, with how to set it.
    pub fn serve_requirements(&self) -> Result<ServeRequirements, MissingSettings> {
        let (auth, token) = (&self.auth, &self.discord.token);
        let (Some(issuer), Some(keys), Some(token)) = (&auth.issuer, &auth.keys, token) else {
            let needed = [
                (auth.issuer.is_none(), "auth.issuer: the `iss` of your tokens (PARLOR_AUTH__ISSUER)"),
                (
                    auth.keys.is_none(),
                    "auth.jwks_url or auth.jwks_file: where your issuer's keys are (PARLOR_AUTH__JWKS_URL, PARLOR_AUTH__JWKS_FILE)",
                ),
                (
                    token.is_none(),
                    "discord.token_file or discord.token: the bot's token (PARLOR_DISCORD__TOKEN_FILE, PARLOR_DISCORD__TOKEN)",
                ),
            ];
            let missing = needed.into_iter().filter_map(|(is_missing, setting)| is_missing.then_some(setting));
            return Err(MissingSettings(missing.collect()));
        };
        let token_rules = TokenRules {
            issuer: issuer.clone(),
            audience: auth.audience.clone(),
            algorithms: auth.algorithms.clone(),
            types: auth.token_types.clone(),
            leeway: auth.leeway,
            max_lifetime: auth.max_lifetime,
        };
        Ok(ServeRequirements { token_rules, key_source: keys.clone(), bot_token: token.clone() })
    }
}

/// Collects what is wrong with a key, with its source.
struct Report<'a> {
    source_of: &'a dyn Fn(&str) -> String,
    problems: &'a mut Vec<Problem>,
}

impl Report<'_> {
    fn add(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem { key: key.to_owned(), source: (self.source_of)(key), message: message.into() });
    }
}

/// Reads what no single value tells: pairs that belong together, and files. Where something is wrong the problem is
/// added and a harmless value stands in, so that the next mistake is found too.
pub(super) fn resolve(
    settings: Settings,
    mode: Mode,
    source_of: &dyn Fn(&str) -> String,
    problems: &mut Vec<Problem>,
) -> Config {
    let mut report = Report { source_of, problems };
    Config {
        server: server(settings.server, mode, &mut report),
        limits: settings.limits,
        rates: settings.rates,
        ops: settings.ops,
        auth: auth(settings.auth, &mut report),
        discord: discord(settings.discord, &mut report),
        events: settings.events,
        voice: voice(settings.voice, &mut report),
        store: settings.store,
        log: log(settings.log, &mut report),
    }
}

fn server(settings: ServerSettings, mode: Mode, report: &mut Report<'_>) -> ServerConfig {
    let tls = match (settings.tls_cert, settings.tls_key) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key, min_version: settings.tls_min_version }),
        (Some(_), None) => {
            report.add("server.tls_cert", "server.tls_key is missing: a certificate needs its key");
            None
        }
        (None, Some(_)) => {
            report.add("server.tls_key", "server.tls_cert is missing: a key needs its certificate");
            None
        }
        (None, None) => None,
    };
    if settings.drain_grace >= settings.drain_limit {
        report.add("server.drain_grace", "has to be shorter than server.drain_limit");
    }
    ServerConfig {
        listen: settings.listen,
        tls,
        allowed_origins: allowed_origins(&settings.allowed_origins, mode, report),
        reflection: settings.reflection,
        drain_grace: settings.drain_grace,
        drain_limit: settings.drain_limit,
    }
}

fn allowed_origins(origins: &[String], mode: Mode, report: &mut Report<'_>) -> AllowedOrigins {
    const KEY: &str = "server.allowed_origins";
    if origins == ["*"] && mode == Mode::Dev {
        return AllowedOrigins::Any;
    }
    let mut allowed = BTreeSet::new();
    for text in origins {
        match text.parse::<Origin>() {
            Ok(origin) => {
                allowed.insert(origin);
            }
            Err(_) if text == "*" => report.add(KEY, "`*` lets every web page call: name the origins"),
            Err(error) => report.add(KEY, format!("`{text}` is {error}")),
        }
    }
    AllowedOrigins::Only(allowed)
}

fn auth(settings: AuthSettings, report: &mut Report<'_>) -> AuthConfig {
    let keys = match (settings.jwks_file, settings.jwks_url) {
        (Some(_), Some(_)) => {
            report.add("auth.jwks_file", "auth.jwks_url is set too: keys come from one place");
            None
        }
        (Some(path), None) => Some(KeySource::File(path)),
        (None, Some(url)) => Some(KeySource::Url(url)),
        (None, None) => None,
    };
    for (key, is_empty) in [
        ("auth.algorithms", settings.algorithms.is_empty()),
        ("auth.token_types", settings.token_types.is_empty()),
        ("auth.audience", settings.audience.is_empty()),
        ("auth.issuer", settings.issuer.as_ref().is_some_and(String::is_empty)),
    ] {
        if is_empty {
            report.add(key, "is empty: no token could be accepted");
        }
    }
    AuthConfig {
        issuer: settings.issuer,
        audience: settings.audience,
        keys,
        algorithms: settings.algorithms,
        token_types: settings.token_types,
        leeway: settings.leeway,
        max_lifetime: settings.max_lifetime,
    }
}

fn discord(settings: DiscordSettings, report: &mut Report<'_>) -> DiscordConfig {
    let token = match (settings.token, settings.token_file) {
        (Some(_), Some(_)) => {
            report.add("discord.token", "discord.token_file is set too: the token comes from one place");
            None
        }
        (Some(token), None) => one_word("discord.token", &token, report),
        (None, Some(path)) => match read_secret(&path) {
            Ok(token) => one_word("discord.token_file", &token, report),
            Err(error) => {
                report.add("discord.token_file", format!("`{}`: {error}", path.display()));
                None
            }
        },
        (None, None) => None,
    };
    DiscordConfig {
        token,
        api_url: settings.api_url,
        gateway_url: settings.gateway_url,
        voice_ca_file: settings.voice_ca_file,
        shards: settings.shards,
        requests_per_second: settings.requests_per_second,
        invalid_requests: settings.invalid_requests,
    }
}

/// A token is printable ASCII without spaces: anything else cannot be sent, and is a mistake in copying.
fn one_word(key: &str, text: &str, report: &mut Report<'_>) -> Option<SecretString> {
    let word = text.trim();
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(SecretString::from(word));
    }
    report.add(key, "holds no token: expected one word");
    None
}

/// Why a file with a secret is not used.
#[derive(Debug, Error)]
enum SecretFileError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[cfg(unix)]
    #[error("others can read it (mode {0:o}): chmod 600")]
    Exposed(u32),
}

fn read_secret(path: &Path) -> Result<String, SecretFileError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretFileError::Exposed(mode));
        }
    }
    Ok(fs::read_to_string(path)?)
}

/// The longest message that Discord takes (Discord docs, resources/message).
const LONGEST_MESSAGE: usize = 2_000;

fn voice(settings: VoiceConfig, report: &mut Report<'_>) -> VoiceConfig {
    let length = settings.announcement.chars().count();
    if settings.announcement.trim().is_empty() || length > LONGEST_MESSAGE {
        report.add("voice.announcement", format!("has {length} characters; it needs 1 to {LONGEST_MESSAGE}"));
    }
    settings
}

fn log(settings: LogConfig, report: &mut Report<'_>) -> LogConfig {
    if let Err(error) = settings.filter.parse::<tracing_subscriber::EnvFilter>() {
        report.add("log.filter", error.to_string());
    }
    settings
}
