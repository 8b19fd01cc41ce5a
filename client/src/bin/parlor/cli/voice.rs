//! The command line of `parlor voice`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueHint};

use super::time;

#[derive(Debug, Subcommand)]
pub(crate) enum Voice {
    /// Bring the bot into a room and keep it there until Ctrl-C (scope voice:listen or voice:speak)
    #[command(
        after_help = "The bot is in a room for as long as somebody holds a lease of it. This command holds one and gives it back when it
ends; where others hold leases too, the bot stays. With --detach the lease is left behind for as long as --lease says,
and its id is printed: `parlor voice leave` gives it back before.

Examples:
  parlor voice join 1100000000000000012
  parlor voice join 1100000000000000012 --rejoin        also after the server was restarted
  lease=$(parlor voice join 1100000000000000012 --detach --lease 1h | cut -f4)"
    )]
    Join(Join),
    /// Give a lease back; the bot leaves the room with the last one (scope voice:listen or voice:speak)
    #[command(after_help = "A session that is over already is no error.

Examples:
  parlor voice leave 1100000000000000012 --lease \"$lease\"
  parlor voice leave 1100000000000000012 --force        whoever else holds a lease")]
    Leave(Leave),
    /// Show who is in the room and who speaks, and how well they are heard, until Ctrl-C (scope voice:listen or voice:speak)
    #[command(
        after_help = "Shows a session that is there, and neither makes one nor keeps it. On a terminal the picture is drawn anew as it changes;
elsewhere every change is a line. With --output json each line is one event:
  {\"event\":\"speaking\",\"time\":\"…\",\"user\":\"…\",\"speaking\":true}

Examples:
  parlor voice watch 1100000000000000012
  parlor voice watch 1100000000000000012 --output json | grep '\"event\":\"quality\"'"
    )]
    Watch(WatchVoice),
    /// Play a file into a room: Ogg Opus or WAV (scope voice:speak)
    #[command(
        after_help = "The packets of an Ogg Opus file (20 ms each, as opusenc and ffmpeg write them) go to the room as they are, unless others
speak through the bot at the same time. A WAV file has 48,000 samples a second. Anything else:
  ffmpeg -i song.mp3 -c:a libopus -b:a 64k song.opus

Ctrl-C stops playing, and the bot leaves.

Examples:
  parlor voice play 1100000000000000012 jingle.opus
  parlor voice play 1100000000000000012 music.opus --volume 30 --repeat"
    )]
    Play(Play),
    /// Record a room, one file for each speaker, until Ctrl-C (scope voice:listen)
    #[command(
        after_help = "Each file is named by its speaker's user id, and all begin at the same moment: laid under each other in any editor, they are
in time. Silence stands where nobody spoke and where packets were lost. A file can be played at any moment, even after
kill -9: at most the last seconds are missing. Who does not want to be heard (opted out) is not recorded.

Tell people that they are recorded; --announce writes it into the room's text.

Examples:
  parlor voice record 1100000000000000012 standup              standup/1100000000000000101.opus and so on
  parlor voice record 1100000000000000012 standup --wav --time 30m
  ffmpeg $(printf -- '-i %s ' standup/*.opus) -filter_complex amix=inputs=2 together.opus"
    )]
    Record(Record),
}

#[derive(Args, Debug)]
pub(crate) struct Join {
    /// The room
    pub(crate) room: String,
    /// Print the lease and end; the bot stays until the lease is over
    #[arg(long)]
    pub(crate) detach: bool,
    /// How long the lease lasts without this command, 5s to 1h
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub(crate) lease: Duration,
    /// Have the bot taken back into the room after the server was restarted, if a person is still there
    #[arg(long)]
    pub(crate) rejoin: bool,
    /// Tell the room's text when somebody begins to listen
    #[arg(long)]
    pub(crate) announce: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Leave {
    /// The room, or the session's id
    pub(crate) room: String,
    /// The lease to give back
    #[arg(long, value_name = "UUID", required_unless_present = "force")]
    pub(crate) lease: Option<String>,
    /// End the session whoever holds leases (scope ops)
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct WatchVoice {
    /// The room, or the session's id
    pub(crate) room: String,
    /// How often the connection's quality is shown, 1s to 60s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(crate) interval: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct Play {
    /// The room
    pub(crate) room: String,
    /// The file: Ogg Opus or WAV
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// How loud, in percent: 0 to 200
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(i32).range(0..=200))]
    pub(crate) volume: i32,
    /// While a source of a higher priority makes sound, this one is turned down: 0 to 100
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=100))]
    pub(crate) priority: i32,
    /// Play it over and over, until Ctrl-C
    #[arg(long)]
    pub(crate) repeat: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Record {
    /// The room
    pub(crate) room: String,
    /// Where the files go: a directory that is empty, or not there yet
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,
    /// Write WAV (16 bits, 48 kHz, stereo) instead of Ogg Opus: 690 MB an hour and speaker
    #[arg(long)]
    pub(crate) wav: bool,
    /// Only this user; may be given more than once
    #[arg(long = "user", value_name = "ID")]
    pub(crate) users: Vec<String>,
    /// End after so long
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) time: Option<Duration>,
    /// Tell the room's text that somebody listens
    #[arg(long)]
    pub(crate) announce: bool,
}
