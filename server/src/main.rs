//! parlord: Discord voice rooms as a gRPC service.
//!
//! Parses the command line, reads the configuration, runs what was asked for and maps errors to exit codes: 0 done,
//! 1 failed, 2 the command line or the configuration is wrong.

// A command talks to its user on the standard streams.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the command's own output")]

mod cli;

use std::{error::Error, process::ExitCode, sync::Arc, time::SystemTime};

use clap::Parser as _;
use parlor_gateway::UserId;
use parlor_server::{
    app::{Listeners, Parts, Server},
    config::{Loaded, Mode, Problems, load},
    store::{self, Purged},
    telemetry::{Metrics, init_logging},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::cli::{Cli, Command, ConfigCommand};

const FAILED: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // twilight, reqwest and our own TLS take the process's provider; two of them in one tree would be a panic.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing has installed a provider before main");
    let runtime = tokio::runtime::Runtime::new().expect("the operating system gives threads");
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit { code, error }) => {
            eprintln!("parlord: {error}");
            let mut cause = error.source();
            while let Some(source) = cause {
                eprintln!("  because: {source}");
                cause = source.source();
            }
            ExitCode::from(code)
        }
    }
}

/// Why the process ends unsuccessfully.
struct Exit {
    code: u8,
    error: Box<dyn Error + Send + Sync>,
}

impl Exit {
    fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { code: FAILED, error: error.into() }
    }

    fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { code: USAGE, error: error.into() }
    }
}

async fn run(cli: Cli) -> Result<(), Exit> {
    match &cli.command {
        Command::Serve => serve(&cli).await,
        #[cfg(feature = "dev")]
        Command::Dev { emulator_listen, grpcurl } => dev(&cli, *emulator_listen, grpcurl).await,
        Command::Purge { user } => purge(&cli, *user),
        Command::Config { command } => config(&cli, command),
    }
}

fn read(cli: &Cli, mode: Mode) -> Result<Loaded, Exit> {
    load(&cli.sources(), mode).map_err(|problems: Problems| Exit::usage(problems))
}

async fn serve(cli: &Cli) -> Result<(), Exit> {
    let config = read(cli, Mode::Serve)?.config;
    let requirements = config.serve_requirements().map_err(|missing| {
        Exit::usage(format!(
            "{missing}\nTo try Parlor without Discord: parlord dev. To see what is set: parlord config print"
        ))
    })?;
    init_logging(&config.log).map_err(Exit::usage)?;
    let signals = Signals::new();
    let parts = Parts {
        requirements,
        listeners: Listeners::bind(&config).await.map_err(Exit::failed)?,
        metrics: Metrics::install().map_err(Exit::failed)?,
        clock: Arc::new(SystemTime::now),
        jwks: None,
    };
    let server = Server::start(config, parts).await.map_err(Exit::failed)?;
    tracing::info!(api = %server.api_addr(), ops = %server.ops_addr(), "serving");
    signals.until_told_to_stop(server).await
}

#[cfg(feature = "dev")]
async fn dev(cli: &Cli, emulator_listen: std::net::SocketAddr, grpcurl: &str) -> Result<(), Exit> {
    use parlor_server::dev;

    let config = read(cli, Mode::Dev)?.config;
    init_logging(&config.log).map_err(Exit::usage)?;
    let signals = Signals::new();
    let metrics = Metrics::install().map_err(Exit::failed)?;
    let dev = dev::start(config, emulator_listen, metrics).await.map_err(Exit::failed)?;
    println!("{}", dev.what_to_type_next(grpcurl));
    let (server, _emulator) = dev.into_parts();
    signals.until_told_to_stop(server).await
}

fn purge(cli: &Cli, user: UserId) -> Result<(), Exit> {
    let directory = read(cli, Mode::Serve)?.config.store.dir;
    let Purged { rows, entries, damaged_files } =
        store::purge(&directory, user, SystemTime::now()).map_err(Exit::failed)?;
    println!("removed what {} held about {user}:", directory.display());
    println!(
        "  {rows} rows of the last known state, {entries} entries of the event log, {damaged_files} damaged files"
    );
    println!("The event log begins anew: every client starts over with a snapshot.");
    Ok(())
}

fn config(cli: &Cli, command: &ConfigCommand) -> Result<(), Exit> {
    let loaded = read(cli, Mode::Serve)?;
    match command {
        ConfigCommand::Check => {
            loaded.config.serve_requirements().map_err(Exit::usage)?;
            println!("the configuration is complete");
        }
        ConfigCommand::Print => {
            for setting in loaded.settings {
                let value = setting.value.unwrap_or_else(|| "(not set)".to_owned());
                println!("{} = {value}  # {}", setting.key, setting.source);
            }
        }
    }
    Ok(())
}

/// SIGTERM and SIGINT, caught from before the first listener on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Self {
        let catch = |kind| signal(kind).expect("the runtime handles signals");
        Self { terminate: catch(SignalKind::terminate()), interrupt: catch(SignalKind::interrupt()) }
    }

    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.interrupt.recv() => 130,
        }
    }

    /// Runs until a signal, then drains; a second signal ends the process at once.
    async fn until_told_to_stop(mut self, server: Server) -> Result<(), Exit> {
        self.next().await;
        eprintln!("parlord: draining; once more to stop at once");
        tokio::select! {
            () = server.stop() => Ok(()),
            code = self.next() => Err(Exit { code, error: "stopped before it was drained".into() }),
        }
    }
}
