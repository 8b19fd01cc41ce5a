//! The command line of parlord.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};
use parlor_server::config::{SettingsFile, Sources};

/// Discord voice rooms as a gRPC service.
///
/// Settings come from parlord.toml, then from the environment (PARLOR_SECTION__KEY), then from flags; the later wins.
/// parlord.example.toml explains every key.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  parlord dev                         try Parlor on this machine, without Discord
  parlord config check                is everything set that serving needs?
  PARLOR_DISCORD__TOKEN_FILE=/run/secrets/bot parlord serve

Exit codes: 0 done, 1 failed, 2 the command line or the configuration is wrong."
)]
pub(crate) struct Cli {
    /// The TOML file with settings [default: parlord.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where callers connect: gRPC and grpc-web [default: 127.0.0.1:50051]
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,

    /// Where the operator connects: metrics, probes, gRPC health [default: 127.0.0.1:9464]
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    ops_listen: Option<SocketAddr>,

    /// What to log, such as info,parlor_gateway=debug [default: info]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,

    /// The directory for what outlives the process [default: .parlor]
    #[arg(long, global = true, value_name = "DIR")]
    store_dir: Option<PathBuf>,

    /// Keep the event log on "disk", or in "memory" alone so that clients start over after a restart [default: disk]
    #[arg(long, global = true, value_name = "KIND")]
    store: Option<String>,

    /// Let callers ask for the contract by gRPC reflection (always on at the ops listener and in dev)
    #[arg(long, global = true)]
    reflection: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve, connected to Discord
    Serve,
    /// Serve against an emulated Discord on loopback; prints what to type next
    ///
    /// A configured bot token is neither read nor used. Everything is on 127.0.0.1.
    #[cfg(feature = "dev")]
    Dev {
        /// Where the emulated Discord listens
        #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:50080")]
        emulator_listen: SocketAddr,
        /// The grpcurl that the printed commands call
        #[arg(long, value_name = "PROGRAM", default_value = "grpcurl")]
        grpcurl: String,
    },
    /// Remove what the store holds about a person; parlord must not be running
    ///
    /// Who was in which room is kept within the retention, and in the last known state. Afterwards the event log begins
    /// anew: every client starts over with a snapshot.
    Purge {
        /// The person's id on Discord
        #[arg(long, value_name = "ID")]
        user: parlor_gateway::UserId,
    },
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether everything is set that serving needs, and everything that is wrong
    Check,
    /// Print every setting with where it came from; secrets are left out
    Print,
}

impl Cli {
    pub(crate) fn sources(&self) -> Sources {
        let file = match &self.config {
            Some(path) => SettingsFile::Named(path.clone()),
            None => SettingsFile::IfPresent(PathBuf::from("parlord.toml")),
        };
        let flags = [
            ("server.listen", self.listen.map(|address| address.to_string())),
            ("server.reflection", self.reflection.then(|| "true".to_owned())),
            ("ops.listen", self.ops_listen.map(|address| address.to_string())),
            ("store.dir", self.store_dir.as_ref().map(|path| path.display().to_string())),
            ("store.kind", self.store.clone()),
            ("log.filter", self.log.clone()),
        ];
        let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        Sources { file, environment: std::env::vars().collect(), flags }
    }
}
