//! The command line of `parlor rooms` and `parlor channels`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use parlor_client::v1::{self, permission_overwrite::Kind};

use super::time;

#[derive(Debug, Subcommand)]
pub(crate) enum Rooms {
    /// Make a voice or stage channel (scope rooms:write)
    #[command(after_help = "Examples:
  parlor rooms create Standup --guild 1100000000000000001
  parlor rooms create \"Town hall\" --guild 1100000000000000001 --kind stage --reason \"all hands\"
  parlor rooms create Pairing --guild 1100000000000000001 --private 1100000000000000101 --invite
  parlor rooms create Standup --guild 1100000000000000001 --label team=blue --departure-timeout 10m --max-duration 2h
  id=$(parlor rooms create Standup --guild 1100000000000000001 | cut -f1)")]
    Create(Box<Create>),
    /// Show one room (scope rooms:read)
    #[command(after_help = "Example:
  parlor rooms get 1100000000000000012 --output json")]
    Get {
        /// The room's id, which is the channel's
        room: String,
    },
    /// Show every room that the token covers (scope rooms:read)
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  parlor rooms list --guild 1100000000000000001
  parlor rooms list --label team=blue --label kind=standup
  parlor rooms list --managed | cut -f1        ids of the rooms that Parlor made"
    )]
    List {
        /// Only rooms of this guild
        #[arg(long, value_name = "ID")]
        guild: Option<String>,
        /// Only rooms that Parlor made
        #[arg(long)]
        managed: bool,
        /// Only rooms with this label; may be given more than once, and then all have to fit
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
    },
    /// Change what is named of a room, and nothing else (scope rooms:write)
    #[command(after_help = "Discord lets a room's name be changed twice in ten minutes.

Examples:
  parlor rooms update 1100000000000000012 --name \"Stand up\" --user-limit 10
  parlor rooms update 1100000000000000012 --status \"\"            takes the status line away
  parlor rooms update 1100000000000000012 --label team=red       replaces all labels
  parlor rooms update 1100000000000000012 --private 1100000000000000101      closes it to everybody else
  parlor rooms update 1100000000000000012 --overwrite role:1100000000000000001:-SPEAK,+STREAM
  parlor rooms update 1100000000000000012 --no-policy            it never ends by itself any more")]
    Update(Box<Update>),
    /// Delete a room's channel; whoever is in it is disconnected (scope rooms:write)
    #[command(after_help = "A room that has ended already is no error.

Examples:
  parlor rooms end 1100000000000000012
  parlor rooms end 1100000000000000012 --force --reason \"moved elsewhere\"")]
    End {
        /// The room's id
        room: String,
        /// Also where Parlor did not make it (scope ops)
        #[arg(long)]
        force: bool,
        /// Why, for the guild's audit log: up to 460 characters
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// A UUID with which a repeat gets the first answer [default: a new one]
        #[arg(long, value_name = "UUID")]
        request_id: Option<String>,
    },
    /// Make or end many rooms, as a file or standard input says (scope rooms:write)
    #[command(after_help = "Rooms to make are one JSON object a line:
  {\"name\":\"Table 1\",\"guild\":\"1100000000000000001\",\"category\":\"…\",\"kind\":\"stage\",\"user_limit\":4,\"bitrate_bps\":64000,
   \"region\":\"…\",\"video_quality\":\"full\",\"status\":\"…\",\"private\":[\"user id\"],\"private_roles\":[\"role id\"],
   \"overwrites\":[\"role:ID:-SPEAK,+STREAM\"],\"labels\":{\"key\":\"value\"},\"empty_timeout\":\"10m\",
   \"departure_timeout\":\"10m\",\"max_duration\":\"2h\"}
of which only name and guild are needed. Rooms to end are one id a line; what follows the id is left alone, so that the
output of `parlor rooms list` can be piped in.

One line comes out for each line that goes in, in its order; on a terminal it is a table at the end. Exit code 1 where any of
them failed. With --request-id the whole command is safe to repeat: it makes no room twice.

Examples:
  parlor rooms batch create tables.jsonl --request-id \"$(uuidgen)\"
  parlor rooms list --label event=quiz | parlor rooms batch end")]
    Batch {
        /// What to do
        what: Batch,
        /// The file; - or none for standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// A UUID that makes the command safe to repeat with the same lines [default: a new one]
        #[arg(long, value_name = "UUID")]
        request_id: Option<String>,
        /// End also rooms that Parlor did not make (scope ops)
        #[arg(long)]
        force: bool,
        /// Why, for the guild's audit log: up to 460 characters
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Batch {
    /// Make rooms
    Create,
    /// End rooms
    End,
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The room's name, 1 to 100 characters
    pub(crate) name: String,
    /// The guild to make it in
    #[arg(long, value_name = "ID")]
    pub(crate) guild: String,
    /// What sort of channel
    #[arg(long, value_enum, default_value_t = RoomKind::Voice)]
    pub(crate) kind: RoomKind,
    /// The category to put it in
    #[arg(long, value_name = "ID")]
    pub(crate) category: Option<String>,
    /// How many people may be in it at once: 0 for no limit, to 99 (stage: 10,000)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) user_limit: i32,
    /// The audio bitrate in bits per second, 8000 to 384000; 0 for Discord's default
    #[arg(long, value_name = "BPS", default_value_t = 0)]
    pub(crate) bitrate: i32,
    /// The voice region to fix it to, such as rotterdam [default: Discord chooses]
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// How cameras are sent
    #[arg(long, value_enum, default_value_t = VideoQuality::Auto)]
    pub(crate) video_quality: VideoQuality,
    /// A line to show with the name, up to 500 characters
    #[arg(long, value_name = "TEXT")]
    pub(crate) status: Option<String>,
    /// Only this user may see and join, besides the bot; may be given more than once
    #[arg(long = "private", value_name = "USER")]
    pub(crate) private: Vec<String>,
    /// Only members of this role may see and join, besides the bot; may be given more than once
    #[arg(long = "private-role", value_name = "ROLE")]
    pub(crate) private_roles: Vec<String>,
    /// What a role or a member may do here, and what not; may be given more than once
    #[arg(long = "overwrite", value_name = OVERWRITE, value_parser = overwrite)]
    #[arg(conflicts_with_all = ["private", "private_roles"])]
    pub(crate) overwrites: Vec<v1::PermissionOverwrite>,
    /// A label of your own; may be given more than once
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// Make an invite too, and print its address
    #[arg(long)]
    pub(crate) invite: bool,
    /// How long the invite can be used, up to 7d [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = time, requires = "invite")]
    pub(crate) invite_max_age: Option<Duration>,
    /// How often the invite can be used, up to 100; 0 for any number
    #[arg(long, value_name = "N", default_value_t = 0, requires = "invite")]
    pub(crate) invite_max_uses: i32,
    /// A UUID that makes the call safe to repeat: the same one never makes a second room [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<String>,
    /// Why, for the guild's audit log: up to 460 characters
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// When a room ends by itself.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// End it if nobody has joined for so long, 1s to 30d
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) empty_timeout: Option<Duration>,
    /// End it so long after the last one has left, 1s to 30d
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) departure_timeout: Option<Duration>,
    /// End it so long after it was made, whoever is in it, 1s to 30d
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) max_duration: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The room's id
    pub(crate) room: String,
    /// Its name, 1 to 100 characters
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The category to put it in; \"\" for none
    #[arg(long, value_name = "ID")]
    pub(crate) category: Option<String>,
    /// How many people may be in it at once: 0 for no limit
    #[arg(long, value_name = "N")]
    pub(crate) user_limit: Option<i32>,
    /// The audio bitrate in bits per second; 0 for Discord's default
    #[arg(long, value_name = "BPS")]
    pub(crate) bitrate: Option<i32>,
    /// The voice region to fix it to; \"\" to let Discord choose
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// How cameras are sent
    #[arg(long, value_enum)]
    pub(crate) video_quality: Option<VideoQuality>,
    /// The line to show with the name; \"\" for none
    #[arg(long, value_name = "TEXT")]
    pub(crate) status: Option<String>,
    /// Only this user may see and join from now on, besides the bot; may be given more than once
    #[arg(long = "private", value_name = "USER")]
    pub(crate) private: Vec<String>,
    /// Only members of this role may from now on, besides the bot; may be given more than once
    #[arg(long = "private-role", value_name = "ROLE")]
    pub(crate) private_roles: Vec<String>,
    /// What a role or a member may do here, and what not; may be given more than once. Those that are not given go
    #[arg(long = "overwrite", value_name = OVERWRITE, value_parser = overwrite)]
    #[arg(conflicts_with_all = ["private", "private_roles"])]
    pub(crate) overwrites: Vec<v1::PermissionOverwrite>,
    /// Let everybody in whom its category lets in, and give it the category's permissions
    #[arg(long, conflicts_with_all = ["private", "private_roles", "overwrites"])]
    pub(crate) no_private: bool,
    /// A label of your own; may be given more than once. Labels that are not given go
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Take all labels away
    #[arg(long, conflicts_with = "labels")]
    pub(crate) no_labels: bool,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// Let it never end by itself
    #[arg(long, conflicts_with_all = ["empty_timeout", "departure_timeout", "max_duration"])]
    pub(crate) no_policy: bool,
    /// Also where Parlor did not make it (scope ops)
    #[arg(long)]
    pub(crate) force: bool,
    /// A UUID that makes the call safe to repeat [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<String>,
    /// Why, for the guild's audit log: up to 460 characters
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoomKind {
    /// Everybody may speak
    Voice,
    /// Speakers before an audience
    Stage,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum VideoQuality {
    /// As suits the connection
    Auto,
    /// 720p
    Full,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Channels {
    /// Show the channels of a guild, whatever their kind (scope rooms:read)
    #[command(
        visible_alias = "ls",
        after_help = "Example:
  parlor channels list --guild 1100000000000000001 | grep category"
    )]
    List {
        /// The guild
        #[arg(long, value_name = "ID")]
        guild: String,
    },
    /// Post text into a room's chat or a text channel (scope messages:write)
    #[command(after_help = "Nobody is notified by what the text mentions, unless --notify names them.

Examples:
  parlor channels send 1100000000000000012 \"The room closes in five minutes\"
  parlor channels send 1100000000000000011 \"Hello <@1100000000000000101>\" --guild 1100000000000000001 --notify 1100000000000000101")]
    Send {
        /// The channel's id
        channel: String,
        /// The text, 1 to 2,000 characters
        text: String,
        /// The guild of the channel, where that is no room
        #[arg(long, value_name = "ID")]
        guild: Option<String>,
        /// A user whom a mention in the text may notify; may be given more than once
        #[arg(long, value_name = "USER")]
        notify: Vec<String>,
        /// A UUID that makes the call safe to repeat [default: a new one]
        #[arg(long, value_name = "UUID")]
        request_id: Option<String>,
    },
}

/// How an overwrite is written.
const OVERWRITE: &str = "role|member:ID:+NAME,-NAME";

/// Reads `role:1100000000000000001:-SPEAK,+STREAM`; what the names mean the server knows.
pub(crate) fn overwrite(text: &str) -> Result<v1::PermissionOverwrite, String> {
    let wrong = || format!("an overwrite is {OVERWRITE}, such as role:1100000000000000001:-SPEAK,+STREAM");
    let mut parts = text.splitn(3, ':');
    let (Some(kind), Some(id), Some(names)) = (parts.next(), parts.next(), parts.next()) else { return Err(wrong()) };
    let kind = match kind {
        "role" => Kind::Role,
        "member" => Kind::Member,
        _ => return Err(wrong()),
    };
    let mut read = v1::PermissionOverwrite { id: id.to_owned(), ..Default::default() };
    read.set_kind(kind);
    for name in names.split(',') {
        match (name.strip_prefix('+'), name.strip_prefix('-')) {
            (Some(name), _) => read.allow.push(name.to_owned()),
            (None, Some(name)) => read.deny.push(name.to_owned()),
            (None, None) => return Err(wrong()),
        }
    }
    Ok(read)
}

/// Reads `key=value`.
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overwrites_are_read_with_their_signs() {
        let read = overwrite("member:7:+SPEAK,-STREAM,+CONNECT").expect("one");
        assert_eq!((read.id.as_str(), read.kind()), ("7", Kind::Member));
        assert_eq!((read.allow, read.deny), (vec!["SPEAK".into(), "CONNECT".into()], vec!["STREAM".into()]));
        for wrong in ["7:+SPEAK", "guild:7:+SPEAK", "role:7:SPEAK", "role:7", "role:7:"] {
            assert!(overwrite(wrong).is_err(), "{wrong}");
        }
    }
}
