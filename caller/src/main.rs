//! parlor-caller: somebody who speaks in a room of the emulated Discord.
//!
//! A bot of its own beside Parlor's, on the voice core and nothing else of Parlor's: gateway ([`gateway`]), call ([`call`]),
//! sound ([`sound`]). It calls on loopback alone.

#![allow(missing_docs, reason = "a program: its documentation is --help")]

mod call;
mod gateway;
mod sound;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Parser};
use tokio::signal::unix::{SignalKind, signal};

use self::{call::Call, gateway::Gateway, sound::Sound};

/// Somebody who joins a room of the emulated Discord (`make dev`) and speaks there.
#[derive(Debug, Parser)]
#[command(name = "parlor-caller", version, group = ArgGroup::new("sound").args(["tone", "wav"]))]
#[command(after_help = "Nothing is called but the emulated Discord on this machine. Ctrl-C hangs up.

Examples:
  parlor-caller Lobby                               440 Hz, until Ctrl-C
  parlor-caller Lobby --tone 660 --seconds 10 --as bob
  parlor-caller Lobby --wav hello.wav               48,000 samples a second; once, or for --seconds")]
struct Cli {
    /// The room: its name, or its id
    room: String,
    /// A tone of so many hertz
    #[arg(long, value_name = "HERTZ", default_value_t = 440, value_parser = clap::value_parser!(u32).range(20..=20_000))]
    tone: u32,
    /// A WAV file: 48,000 samples a second, 16 bits, one channel or two
    #[arg(long, value_name = "FILE")]
    wav: Option<PathBuf>,
    /// For so long; a tone otherwise goes on until Ctrl-C, and a file to its end
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Who calls: each name is another bot
    #[arg(long = "as", value_name = "NAME", default_value = "caller")]
    name: String,
    /// The emulated Discord
    #[arg(long, env = "CALLER_DISCORD", value_name = "ADDRESS", default_value = "127.0.0.1:50080")]
    discord: SocketAddr,
    /// The authority of the emulated voice server, PEM
    #[arg(long, env = "CALLER_CA", value_name = "FILE", default_value = ".parlor/dev/ca.pem")]
    ca: PathBuf,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the operating system gives what a runtime needs");
    match runtime.block_on(run(Cli::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be reading.
            let _ = writeln!(io::stderr(), "parlor-caller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    if !cli.discord.ip().is_loopback() {
        bail!("{} is not on this machine; only the emulated Discord is called", cli.discord);
    }
    let sound = match &cli.wav {
        Some(path) => {
            Sound::wav(path, cli.seconds.is_some()).with_context(|| format!("cannot speak {}", path.display()))?
        }
        None => Sound::tone(cli.tone),
    };
    let tls = call::trust(&cli.ca)
        .with_context(|| format!("cannot read {}: is `make dev` running here?", cli.ca.display()))?;
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(stop);
    let joining = async {
        let gateway = Gateway::log_in(cli.discord, &format!("caller.{}", cli.name)).await?;
        let place = gateway.find(&cli.room)?;
        anyhow::Ok(Call::begin(gateway, place, tls))
    };
    let mut call = tokio::select! {
        joined = joining => joined?,
        () = &mut stop => return Ok(()),
    };
    say(&format!("{} is on the way into {}", cli.name, cli.room))?;
    let begun = || say(&format!("{} speaks in {}", cli.name, cli.room));
    let spoken = tokio::select! {
        spoken = call.speak(sound, cli.seconds.map(Duration::from_secs), begun) => spoken,
        () = stop => Ok(()),
    };
    spoken?;
    call.hang_up().await
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}
