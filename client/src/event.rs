//! What a resuming stream says.

use std::{fmt, time::Duration};

use parlor_proto::v1::{self, UpstreamState};

use crate::{BrokenChain, CallError};

/// What a resuming stream says. A loop that keeps a picture of who is where needs `Snapshot` and `Changed`; the others
/// tell how far that picture can be trusted.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "nearly every event is a change, so a box would save nothing")]
pub enum Event {
    /// A connection is open, the first or another one.
    Connected {
        /// Whether it continues from the position that was held. If not, a snapshot follows, or only news were asked for.
        resumed: bool,
        /// How Parlor's own connection to Discord stands.
        upstream: UpstreamState,
    },
    /// Everything as it is now: what is not in it does not exist. The first thing told, unless a position was continued,
    /// and told again after every `Reset`.
    Snapshot(Snapshot),
    /// Something changed. `kind` is empty where a newer server says something that this client was not built for.
    Changed(v1::VoiceEvent),
    /// Discord's own session could not be resumed: changes between two times may never be told, though what is told
    /// from here on is exact again.
    Discontinuity(v1::Discontinuity),
    /// Everything up to here was told. A sign of life, and a position worth storing.
    Bookmark {
        /// How Parlor's own connection to Discord stands.
        upstream: UpstreamState,
    },
    /// The position could not be continued: what was known is void. A snapshot follows.
    Reset(v1::reset::Reason),
    /// The connection is gone; another one will be opened, and nothing will be missing.
    Disconnected {
        /// What happened.
        why: Lost,
        /// When the next attempt will be made.
        retry_in: Duration,
    },
}

/// Everything that a subscription covers, as of one position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The guilds.
    pub guilds: Vec<v1::Guild>,
    /// The rooms. Those that ended a short while ago are among them, in state ENDED.
    pub rooms: Vec<v1::Room>,
    /// Who is in them.
    pub participants: Vec<v1::Participant>,
    /// The server's digest of rooms and participants; the contract says how it is made.
    pub digest: String,
}

/// Why a connection is gone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Lost {
    /// The server is going away and said so.
    Draining,
    /// The server ended the stream without a word.
    Ended,
    /// The call failed, in a way that may pass.
    Failed(CallError),
    /// The server was silent for so long, though it had promised not to be.
    Silent(Duration),
    /// Something was missing between two frames. The stream continues from before it.
    Gap(BrokenChain),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining => f.write_str("the server is going away"),
            Self::Ended => f.write_str("the server ended the stream"),
            Self::Failed(error) => error.fmt(f),
            Self::Silent(silence) => write!(f, "the server was silent for {} s", silence.as_secs()),
            Self::Gap(gap) => gap.fmt(f),
        }
    }
}
