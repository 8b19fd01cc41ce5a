//! `parlor webhooks` on the command line.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Webhooks {
    /// Make a webhook in a channel (scope webhooks:write)
    #[command(after_help = "Examples:
  parlor webhooks create Builds --guild 1100000000000000001 --channel 1100000000000000011
  id=$(parlor webhooks create Builds --guild 1100000000000000001 --channel 1100000000000000011 | cut -f1)")]
    Create {
        /// Its name, 1 to 80 characters
        name: String,
        /// The guild
        #[arg(long, value_name = "ID")]
        guild: String,
        /// The channel that it writes into: a text channel, or a room for the text chat in it
        #[arg(long, value_name = "ID")]
        channel: String,
        /// A UUID that makes the call safe to repeat: the same one never makes a second webhook [default: a new one]
        #[arg(long, value_name = "UUID")]
        request_id: Option<String>,
        /// Why, for the guild's audit log: up to 460 characters
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Show the webhooks of a guild (scope webhooks:write)
    #[command(
        visible_alias = "ls",
        after_help = "Example:
  parlor webhooks list --guild 1100000000000000001 --output json"
    )]
    List {
        /// The guild
        #[arg(long, value_name = "ID")]
        guild: String,
        /// Only webhooks of this channel
        #[arg(long, value_name = "ID")]
        channel: Option<String>,
    },
    /// Delete a webhook, whoever made it (scope webhooks:write)
    #[command(after_help = "A webhook that Parlor has deleted already is no error.

Example:
  parlor webhooks delete 1100000000000000200 --guild 1100000000000000001")]
    Delete {
        /// The webhook's id
        webhook: String,
        /// The guild
        #[arg(long, value_name = "ID")]
        guild: String,
        /// Why, for the guild's audit log: up to 460 characters
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// A UUID for your own bookkeeping [default: a new one]
        #[arg(long, value_name = "UUID")]
        request_id: Option<String>,
    },
    /// Write a message through a webhook (scope webhooks:write)
    #[command(after_help = "Nobody is notified but those whom --mention names.

Examples:
  parlor webhooks execute 1100000000000000200 \"Build 7 is green\" --guild 1100000000000000001
  parlor webhooks execute 1100000000000000200 \"<@1100000000000000101> your turn\" --guild 1100000000000000001 \\
    --mention 1100000000000000101 --name Referee")]
    Execute(Execute),
}

#[derive(Args, Debug)]
pub(crate) struct Execute {
    /// The webhook's id
    pub(crate) webhook: String,
    /// The text, 1 to 2,000 characters
    pub(crate) content: String,
    /// The guild
    #[arg(long, value_name = "ID")]
    pub(crate) guild: String,
    /// The name that the message comes under [default: the webhook's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The picture that the message comes with, an https URL [default: the webhook's]
    #[arg(long, value_name = "URL")]
    pub(crate) avatar_url: Option<String>,
    /// Notify this user where the text mentions them; may be given more than once
    #[arg(long = "mention", value_name = "ID")]
    pub(crate) mentions: Vec<String>,
    /// A UUID that makes the call safe to repeat: the same one never writes a second message [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<String>,
}
