//! The binary: an emulated Discord on a port of your choice.

use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use discord_emulator::{Config, DavePolicy, Emulator, GatewayLimits, RestLimits, VoiceConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A Discord on loopback: REST, gateway, voice and people to script, for real client libraries.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    /// Where to listen. REST is below /api, the gateway at /, the control API below /control.
    #[arg(long, default_value = "127.0.0.1:50080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the voice gateway listens, with TLS.
    #[arg(long, default_value = "127.0.0.1:50443", value_name = "ADDRESS")]
    voice_listen: SocketAddr,
    /// Where media goes, over UDP.
    #[arg(long, default_value = "127.0.0.1:50100", value_name = "ADDRESS")]
    voice_media: SocketAddrV4,
    /// The voice server that bots are sent to, as host:port; without this flag it is this one.
    #[arg(long, value_name = "HOST:PORT")]
    voice_endpoint: Option<String>,
    /// Where to write the certificate of the authority that voice clients have to trust, made anew at each start.
    #[arg(long, value_name = "FILE")]
    voice_ca_file: Option<PathBuf>,
    /// Whether calls are end-to-end encrypted.
    #[arg(long, value_enum, default_value_t = Dave::Required)]
    dave: Dave,
    /// A bot token that logs in; repeat it for more. Without this flag every token does.
    #[arg(long, value_name = "TOKEN")]
    token: Vec<String>,
    /// How strict limits are.
    #[arg(long, value_enum, default_value_t = Limits::Lenient)]
    limits: Limits,
    /// What to log, e.g. info or discord_emulator=debug. Logs go to stderr.
    #[arg(long, default_value = "info", value_name = "FILTER")]
    log: String,
}

/// How strict limits are.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Limits {
    /// REST as at Discord; identifying is not limited.
    Lenient,
    /// As at Discord, with one IDENTIFY per 5 seconds and 1,000 per day.
    Discord,
    /// No limits: for load tests.
    Off,
}

/// Whether calls are end-to-end encrypted.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Dave {
    /// Every call is; clients that cannot are refused (4017), as at Discord.
    Required,
    /// A call is while everybody in it can be.
    Optional,
    /// None is.
    Off,
}

const EXAMPLES: &str = "\
Examples:
  discord-emulator                        then follow the lines it prints
  discord-emulator --listen 127.0.0.1:0   on a free port
  curl 127.0.0.1:50080/control            everything that can be made to happen

Voice clients have to trust its certificate:
  discord-emulator --voice-ca-file ca.pem then NODE_EXTRA_CA_CERTS=ca.pem (Node.js), SSL_CERT_FILE=ca.pem (Python, songbird)

Point a bot at it (any token logs in):
  discord.js   new Client({ intents: [1, 128], rest: { api: 'http://127.0.0.1:50080/api' } })
  discord.py   discord.http.Route.BASE = 'http://127.0.0.1:50080/api/v10'
               discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL('ws://127.0.0.1:50080/')
  twilight     Client::builder().proxy(\"127.0.0.1:50080\".into(), true)
               ConfigBuilder::new(token, intents).proxy_url(\"ws://127.0.0.1:50080\".into())";

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("discord-emulator: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log)
        .with_context(|| format!("--log {:?} is no filter: try info or discord_emulator=debug", arguments.log))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    let (gateway, rest) = match arguments.limits {
        Limits::Lenient => (GatewayLimits::default(), RestLimits::default()),
        Limits::Discord => (GatewayLimits::of_discord(), RestLimits::default()),
        Limits::Off => (GatewayLimits::default(), RestLimits::unlimited()),
    };
    let tokens = (!arguments.token.is_empty()).then_some(arguments.token);
    let voice = VoiceConfig {
        listen: arguments.voice_listen,
        media: arguments.voice_media,
        endpoint: arguments.voice_endpoint,
        dave: match arguments.dave {
            Dave::Required => DavePolicy::Required,
            Dave::Optional => DavePolicy::Optional,
            Dave::Off => DavePolicy::Off,
        },
        ..VoiceConfig::default()
    };
    let (voice_listen, voice_media) = (voice.listen, voice.media);
    let config = Config { tokens, voice, gateway, rest, ..Config::default() };
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}: is another emulator running there?", arguments.listen))?;
    let emulator = Emulator::serve(listener, config).await.with_context(|| {
        format!("cannot start: the voice server needs TCP {voice_listen} and UDP {voice_media} for itself")
    })?;
    if let Some(file) = &arguments.voice_ca_file {
        std::fs::write(file, emulator.voice_authority())
            .with_context(|| format!("cannot write --voice-ca-file {}", file.display()))?;
    }
    tell(&greeting(&emulator));
    until_asked_to_stop().await?;
    emulator.stop().await;
    Ok(())
}

fn greeting(emulator: &Emulator) -> String {
    let addr = emulator.addr();
    format!(
        "Discord is at {rest} and {gateway}\n\
         Guild \"Parlor Dev\" is {guild}; its voice channels are Lobby ({lobby}) and Games ({games}).\n\
         Type next, in another terminal:\n  \
           curl {addr}/control                                what can be made to happen\n  \
           curl -d Lobby {addr}/control/users/ann/join        ann joins the Lobby\n  \
           curl {addr}/control/world                          who is where\n\
         Ctrl-C stops it.",
        rest = emulator.rest_url(),
        gateway = emulator.gateway_url(),
        guild = discord_emulator::PARLOR_DEV,
        lobby = discord_emulator::LOBBY,
        games = discord_emulator::GAMES,
    )
}

async fn until_asked_to_stop() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a program talks to the person who started it")]
fn tell(text: &str) {
    eprintln!("{text}");
}
