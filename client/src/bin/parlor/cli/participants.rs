//! `parlor participants` on the command line.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Participants {
    /// Show who is in which room (scope rooms:read)
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  parlor participants list
  parlor participants list --room 1100000000000000012 | cut -f1        ids of those in one room"
    )]
    List {
        /// Only participants of this guild
        #[arg(long, value_name = "ID")]
        guild: Option<String>,
        /// Only participants of this room
        #[arg(long, value_name = "ID")]
        room: Option<String>,
    },
    /// Move somebody who is in voice into another room of the guild (scope participants:write)
    #[command(after_help = "Example:
  parlor participants move 1100000000000000101 1100000000000000013 --guild 1100000000000000001 --reason \"next round\"")]
    Move {
        /// The user's id
        user: String,
        /// The room to move them into
        room: String,
        /// Also where the room has as many people as its user limit says
        #[arg(long)]
        ignore_user_limit: bool,
        #[command(flatten)]
        change: Change,
    },
    /// Take somebody out of voice; they may join again (scope participants:write)
    #[command(after_help = "Somebody who is in no room is no error.

Example:
  parlor participants disconnect 1100000000000000101 --guild 1100000000000000001")]
    Disconnect {
        /// The user's id
        user: String,
        #[command(flatten)]
        change: Change,
    },
    /// Mute somebody for everybody in the guild's voice, or end that (scope participants:write)
    #[command(after_help = "Examples:
  parlor participants mute 1100000000000000101 --guild 1100000000000000001 --reason \"background noise\"
  parlor participants mute 1100000000000000101 --guild 1100000000000000001 --off")]
    Mute {
        /// The user's id
        user: String,
        /// Let them be heard again
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        change: Change,
    },
    /// Let somebody hear nobody in the guild's voice, or end that (scope participants:write)
    #[command(after_help = "Examples:
  parlor participants deafen 1100000000000000101 --guild 1100000000000000001
  parlor participants deafen 1100000000000000101 --guild 1100000000000000001 --off")]
    Deafen {
        /// The user's id
        user: String,
        /// Let them hear again
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        change: Change,
    },
}

/// What every command that changes somebody takes.
#[derive(Args, Debug)]
pub(crate) struct Change {
    /// The guild
    #[arg(long, value_name = "ID")]
    pub(crate) guild: String,
    /// A UUID that makes the call safe to repeat: the same one changes nothing twice [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<String>,
    /// Why, for the guild's audit log: up to 460 characters
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}
