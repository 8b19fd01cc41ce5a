//! The command line of parlor.

mod participants;
mod rooms;
mod voice;
mod webhooks;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use jiff::SignedDuration;
use parlor_client::v1;

pub(crate) use self::{
    participants::{Change, Participants},
    rooms::{Batch, Channels, Create, Policy, RoomKind, Rooms, Update, VideoQuality, overwrite},
    voice::{Join, Leave, Play, Record, Voice, WatchVoice},
    webhooks::{Execute, Webhooks},
};
use crate::token::Scope;

const ENVIRONMENT: &str = "Environment:
  PARLOR_ADDR        where Parlor is, as --addr
  PARLOR_TOKEN       the token of your calls, a JWT; wins over PARLOR_TOKEN_FILE
  PARLOR_TOKEN_FILE  a file that holds it, as --token-file
  PARLOR_CA          the certificate authority to trust, as --ca
  PARLOR_DISCORD__API_URL
                     where doctor asks Discord, as parlord does: https://discord.com/api/v10
  NO_COLOR           set to anything: no colours, as --color never

Exit codes:
  0  done
  1  failed
  2  the command line or a request's fields are wrong
  3  not available now: no connection, no answer in time, or told to wait; try again
  4  there is no such room or guild
  5  denied: the token is missing, over, not valid, or does not cover this

Results go to standard output, everything else to standard error. Where standard output is no terminal, tables become
lines with tabs between fields and no header; --output json is the format to program against.

Examples:
  export PARLOR_TOKEN=$(parlor token)         with `parlord dev` in this directory
  parlor rooms create Standup --guild 1100000000000000001
  parlor rooms list
  parlor events watch
  parlor voice record 1100000000000000012 standup
  parlor doctor";

/// Discord voice rooms from the command line: make them, end them, and see who is in which.
#[derive(Debug, Parser)]
#[command(name = "parlor", version, after_help = ENVIRONMENT, subcommand_required = true, arg_required_else_help = true)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Where Parlor is: host:port, or https://host:port for TLS
    #[arg(long, global = true, env = "PARLOR_ADDR", value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    #[arg(help_heading = "Connection", value_hint = ValueHint::Hostname)]
    pub(crate) addr: String,

    /// A file that holds the token (there is no flag for the token itself: others could read it in the list of processes)
    #[arg(long, global = true, env = "PARLOR_TOKEN_FILE", value_name = "FILE", help_heading = "Connection")]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,

    /// A certificate authority to trust instead of the system's, PEM
    #[arg(long, global = true, env = "PARLOR_CA", value_name = "FILE", help_heading = "Connection")]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) ca: Option<PathBuf>,

    /// How to print results
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    #[arg(help_heading = "Output")]
    pub(crate) output: Output,

    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN", help_heading = "Output")]
    pub(crate) color: Color,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs: one JSON object, or one a line from streams
    Json,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, show, list, change and end rooms
    #[command(subcommand)]
    Rooms(Rooms),
    /// Show who is in which room; move, disconnect, mute and deafen them
    #[command(subcommand)]
    Participants(Participants),
    /// Be in a room with the bot: hear it, record it, play into it
    #[command(subcommand)]
    Voice(Voice),
    /// Make, show, delete and execute Discord's webhooks
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Show a guild's channels and post into them
    #[command(subcommand)]
    Channels(Channels),
    /// Show the guilds that Parlor serves
    #[command(subcommand)]
    Guilds(Guilds),
    /// Follow who is in which room
    #[command(subcommand)]
    Events(Events),
    /// Make a token for development, signed with the key of `parlord dev`
    Token(Token),
    /// Check address, certificate, clock, token and, with a bot token, Discord; say how to mend what is wrong
    Doctor(Doctor),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  parlor completions bash > ~/.local/share/bash-completion/completions/parlor
  parlor completions zsh > ~/.zfunc/_parlor        (with ~/.zfunc in $fpath)
  parlor completions fish > ~/.config/fish/completions/parlor.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write one for each command into a directory
    #[command(after_help = "Examples:
  parlor man | man -l -
  parlor man ~/.local/share/man/man1")]
    Man {
        /// Where to write parlor.1, parlor-rooms.1 and so on; without it, parlor.1 goes to standard output
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Guilds {
    /// Show the guilds that the bot serves and the token covers (scope rooms:read)
    #[command(
        visible_alias = "ls",
        after_help = "Example:
  parlor guilds list --output json"
    )]
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// Print who is where, then every change, until Ctrl-C (scope events:read)
    #[command(
        after_help = "A connection that breaks is mended, and nothing is missing afterwards: what is said about it goes to standard error.

With --cursor-file the position is stored after each line, so that the next run continues where this one ended. Where
the process is killed, at most the line that it was printing comes twice, and none is lost.

With --output json each line is one frame, as e2e/clients/README.md describes them:
  {\"frame\":\"event\",\"sequence\":8,\"prev\":7,\"cursor\":\"…\",\"kind\":\"participant_joined\",\"origin\":\"gateway\",\"guild\":\"…\",\"room\":\"…\",\"user\":\"…\",\"from\":\"\"}

Examples:
  parlor events watch
  parlor events watch --guild 1100000000000000001 --kind participant-joined --kind participant-left
  parlor events watch --output json --cursor-file position | ./act-on-each-line
  parlor events watch --latest --count 1          wait for the next thing to happen"
    )]
    Watch(Watch),
}

#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// Only this guild; may be given more than once
    #[arg(long = "guild", value_name = "ID")]
    pub(crate) guilds: Vec<String>,
    /// Only this room; may be given more than once
    #[arg(long = "room", value_name = "ID")]
    pub(crate) rooms: Vec<String>,
    /// Only this kind of event; may be given more than once
    #[arg(long = "kind", value_enum, value_name = "KIND")]
    pub(crate) kinds: Vec<Kind>,
    /// Continue after this position: a cursor, or the line of a cursor file
    #[arg(long, value_name = "CURSOR", conflicts_with = "cursor_file")]
    pub(crate) cursor: Option<String>,
    /// Continue after the position in this file, if it is there, and keep it up to date
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) cursor_file: Option<PathBuf>,
    /// Without a position: begin with what happens from now on, not with who is where
    #[arg(long, conflicts_with = "cursor")]
    pub(crate) latest: bool,
    /// Fail where the position cannot be continued, instead of telling everything anew
    #[arg(long)]
    pub(crate) fail_on_gap: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// The longest silence of the server, 5s to 60s [default: the server's]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) heartbeat: Option<Duration>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    RoomCreated,
    RoomUpdated,
    RoomEnded,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantMoved,
    ParticipantUpdated,
    GuildUpdated,
}

impl From<Kind> for v1::VoiceEventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::RoomCreated => Self::RoomCreated,
            Kind::RoomUpdated => Self::RoomUpdated,
            Kind::RoomEnded => Self::RoomEnded,
            Kind::ParticipantJoined => Self::ParticipantJoined,
            Kind::ParticipantLeft => Self::ParticipantLeft,
            Kind::ParticipantMoved => Self::ParticipantMoved,
            Kind::ParticipantUpdated => Self::ParticipantUpdated,
            Kind::GuildUpdated => Self::GuildUpdated,
        }
    }
}

/// A token that a `parlord dev` of this directory accepts, and no other server.
#[derive(Args, Debug)]
#[command(
    after_help = "The key is made by `parlord dev` (`make dev`). A server in production takes the tokens of its own issuer.

Examples:
  export PARLOR_TOKEN=$(parlor token)
  parlor token --sub ann --guild 1100000000000000001 --scope \"rooms:read events:read\" --lifetime 1h"
)]
pub(crate) struct Token {
    /// Whose token: the claim `sub`
    #[arg(long, value_name = "NAME", default_value = "dev")]
    pub(crate) sub: String,
    /// A guild that it covers, or * for all; may be given more than once
    #[arg(long = "guild", value_name = "ID", default_value = "*")]
    pub(crate) guilds: Vec<String>,
    /// What it allows, with spaces between [default: everything]
    #[arg(long, value_name = "SCOPES", value_parser = Scope::parse_list)]
    pub(crate) scope: Option<crate::token::Scopes>,
    /// For how long, up to 24h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = time)]
    pub(crate) lifetime: Duration,
    /// The directory of the key
    #[arg(long, value_name = "DIR", default_value = ".parlor/dev", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
}

/// Checks what can be checked from here, in the order in which it has to work, and says how to mend what is wrong.
///
/// parlord's own settings are checked by `parlord config check`, where parlord runs.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 where a check failed; a warning (!) is none.

Examples:
  parlor doctor
  parlor doctor --addr https://parlor.example --jwks-url https://login.example/.well-known/jwks.json
  parlor doctor --bot-token-file /run/secrets/bot-token     also asks Discord, and prints the invite URL
  parlor doctor --bot-token-file token --api-url http://127.0.0.1:50080/api/v10     against the emulated Discord")]
pub(crate) struct Doctor {
    /// The issuer's key set; it should hold the key that signed the token
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) jwks_url: Option<String>,
    /// A file that holds the bot's token; or set DISCORD_TOKEN
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) bot_token_file: Option<PathBuf>,
    /// Discord's API; the variable is parlord's own
    #[arg(long, env = "PARLOR_DISCORD__API_URL", value_name = "URL", default_value = "https://discord.com/api/v10")]
    #[arg(value_hint = ValueHint::Url)]
    pub(crate) api_url: String,
    /// Leave Parlor out: ask Discord alone, before there is a server
    #[arg(long)]
    pub(crate) discord_only: bool,
    /// parlord's settings, to be checked with its ports [default: parlord.toml, if it is here]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

/// A time such as `90s`, `15m` or `1h 30m`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let span: SignedDuration = text.parse().map_err(|_| "a time is written as 90s, 15m or 1h 30m".to_owned())?;
    Duration::try_from(span).map_err(|_| "a time cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_written_with_units() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert!(time("90").is_err() && time("-5s").is_err() && time("soon").is_err());
    }
}
