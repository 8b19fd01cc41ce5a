//! What a session wants done, and what it tells.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use parlor_voice_wire::{
    ChannelId, Ssrc, UserId,
    gateway::{CloseCode, SpeakingFlags},
};

use crate::input::SocketId;

/// What [`poll_output`](crate::Session::poll_output) returns.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit(Transmit),
    /// Do something on a gateway.
    Signal(Signal),
    /// Something to know.
    Event(Event),
    /// Nothing more for now: wait for an input, until then at most.
    Timeout(Instant, TimeoutReason),
    /// Nothing more ever: the session is over.
    Over,
}

/// A datagram to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// To where.
    pub destination: SocketAddr,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// What is to be done on a gateway. Text and bytes do not show themselves: they hold credentials and keys.
#[derive(Clone, Eq, PartialEq)]
pub enum Signal {
    /// Tell the main gateway where the bot wants to be (op 4, Update Voice State).
    UpdateVoiceState {
        /// The channel; none to leave.
        channel: Option<ChannelId>,
        /// Shown as muted.
        self_mute: bool,
        /// Shown as deaf.
        self_deaf: bool,
    },
    /// Open a websocket.
    OpenSocket {
        /// Its name from now on.
        socket: SocketId,
        /// `wss://host:port/?v=8`.
        url: String,
    },
    /// Send a text frame.
    SendText {
        /// Where.
        socket: SocketId,
        /// What.
        text: String,
    },
    /// Send a binary frame.
    SendBinary {
        /// Where.
        socket: SocketId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close a websocket. Nothing of it is listened to any more.
    CloseSocket {
        /// Which.
        socket: SocketId,
        /// With which code: 1000 ends the session there, others leave it to be resumed.
        code: u16,
    },
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpdateVoiceState { channel, self_mute, self_deaf } => f
                .debug_struct("UpdateVoiceState")
                .field("channel", channel)
                .field("self_mute", self_mute)
                .field("self_deaf", self_deaf)
                .finish(),
            Self::OpenSocket { socket, url } => {
                f.debug_struct("OpenSocket").field("socket", socket).field("url", url).finish()
            }
            Self::SendText { socket, text } => {
                f.debug_struct("SendText").field("socket", socket).field("len", &text.len()).finish()
            }
            Self::SendBinary { socket, bytes } => {
                f.debug_struct("SendBinary").field("socket", socket).field("len", &bytes.len()).finish()
            }
            Self::CloseSocket { socket, code } => {
                f.debug_struct("CloseSocket").field("socket", socket).field("code", code).finish()
            }
        }
    }
}

/// Something to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    // ─── the session ───
    /// Media flows.
    Connected {
        /// Where.
        channel: ChannelId,
        /// The bot's own source.
        ssrc: Ssrc,
    },
    /// The voice gateway is lost and will be resumed. Media still flows.
    Interrupted(Option<CloseCode>),
    /// The voice gateway is back, and nothing of it was missed.
    Resumed,
    /// Media does not flow; the session waits or tries.
    Disconnected(Disconnect),
    /// The session is over.
    Ended(Ending),

    // ─── who is there ───
    /// Users are in the channel: everybody at first, then each who joins.
    UsersJoined(Vec<UserId>),
    /// A user left.
    UserLeft(UserId),
    /// A user's source is known.
    Source {
        /// Whose.
        user: UserId,
        /// The source.
        ssrc: Ssrc,
        /// What they said that they do.
        flags: SpeakingFlags,
    },
    /// A user began or ended to make sound, as heard.
    Speaking {
        /// Who.
        user: UserId,
        /// Whether they do.
        speaking: bool,
    },

    // ─── media ───
    /// A frame in its turn.
    Frame(Frame),
    /// Frames that will not come in their turn: conceal them.
    Gap {
        /// Whose.
        user: UserId,
        /// Of which source.
        ssrc: Ssrc,
        /// How many.
        frames: u32,
    },

    // ─── end-to-end encryption ───
    /// What protects the call changed.
    Encryption(Encryption),
}

/// A frame of one user's audio.
#[derive(Clone, Eq, PartialEq)]
pub struct Frame {
    /// Who sent it. Where it was end-to-end encrypted, their key says so; else the voice server does.
    pub user: UserId,
    /// The source.
    pub ssrc: Ssrc,
    /// Its position in the source's stream. Rises by one with each frame, and does not wrap.
    pub position: u64,
    /// When it was taken, since the first frame of the source, on the sender's clock. Some clients stop that clock while they
    /// are silent.
    pub media_time: Duration,
    /// When it came.
    pub received: Instant,
    /// Whether it was end-to-end encrypted.
    pub sealed: bool,
    /// The Opus packet.
    pub opus: Vec<u8>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("user", &self.user)
            .field("ssrc", &self.ssrc)
            .field("position", &self.position)
            .field("len", &self.opus.len())
            .finish_non_exhaustive()
    }
}

/// What protects a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Encryption {
    /// Encryption to and from the voice server alone.
    Transport,
    /// End-to-end encryption is coming up: others cannot be heard and nothing is sent.
    Negotiating,
    /// End-to-end encryption.
    EndToEnd {
        /// Everybody with keys, the bot included.
        members: Vec<UserId>,
        /// The code that everybody in the call sees, six groups of five digits.
        privacy_code: Option<String>,
    },
}

/// Why media does not flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disconnect {
    /// The voice gateway closed the connection with this code; none if it broke off.
    Closed(Option<CloseCode>),
    /// The voice server is gone, or another was assigned.
    ServerChanged,
    /// The bot was moved to another channel.
    Moved,
    /// The voice server did not answer in time.
    NoAnswer,
    /// The voice server chose another encryption than was asked for.
    NoMode,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It was told to leave.
    Left,
    /// The bot was disconnected from the channel.
    Kicked,
    /// Discord assigned no voice server: the channel is full, or the bot may not join.
    NotAssigned,
    /// The voice server refused in a way that trying again does not mend.
    Refused(CloseCode),
    /// The voice server offers no encryption that may be used.
    NoMode,
    /// Too many attempts in a row failed.
    GaveUp,
}

/// Why a session wants to be woken.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TimeoutReason {
    /// When something that was asked for should have come.
    Answer,
    /// When a pause before the next attempt is over.
    Pause,
    /// When a heartbeat is due.
    Heartbeat,
    /// When a discovery request is repeated.
    Discovery,
    /// When a ping is due.
    Ping,
    /// When a frame is due to be delivered, given up or counted as lost.
    Playout,
    /// When speaking ends by itself, or a frame of silence is due.
    Silence,
}
