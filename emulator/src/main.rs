//! The binary: an emulated Discord on a port of your choice.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use discord_emulator::{Config, Emulator, GatewayLimits, RestLimits};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A Discord on loopback: REST, gateway and people to script, for real client libraries.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    /// Where to listen. REST is below /api, the gateway at /, the control API below /control.
    #[arg(long, default_value = "127.0.0.1:50080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The voice server that bots are sent to, as host:port.
    #[arg(long, default_value = "127.0.0.1:50443", value_name = "HOST:PORT")]
    voice_endpoint: String,
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

const EXAMPLES: &str = "\
Examples:
  discord-emulator                        then follow the lines it prints
  discord-emulator --listen 127.0.0.1:0   on a free port
  curl 127.0.0.1:50080/control            everything that can be made to happen

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
    let config = Config { tokens, voice_endpoint: arguments.voice_endpoint, gateway, rest, ..Config::default() };
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}: is another emulator running there?", arguments.listen))?;
    let emulator = Emulator::serve(listener, config).await.context("cannot start")?;
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
