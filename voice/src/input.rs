//! What happens to a session.

use std::net::SocketAddr;

use parlor_voice_wire::{ChannelId, UserId, gateway::Credential};

/// A websocket to a voice gateway. A session uses one after the other; what comes from an earlier one is passed over.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SocketId(pub(crate) u64);

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    // ─── the main gateway ───
    /// The bot's own voice state changed (VOICE_STATE_UPDATE).
    VoiceState {
        /// Where it is now; none if it was disconnected.
        channel: Option<ChannelId>,
        /// What Identify needs.
        session_id: Credential,
    },
    /// Discord assigned a voice server (VOICE_SERVER_UPDATE).
    VoiceServer {
        /// Host and port. None: the old one is gone and another will follow.
        endpoint: Option<String>,
        /// What Identify needs.
        token: Credential,
    },

    /// Whether Discord passes on nothing that the bot sends: it is in the audience of a stage, may not speak in the channel,
    /// or is muted by a moderator. What is to be [sent](Input::Send) meanwhile goes nowhere, and is counted as unsent.
    SetSuppressed(bool),

    // ─── the voice gateway ───
    /// The websocket is open.
    SocketOpened(SocketId),
    /// A text frame came.
    Text(SocketId, &'a str),
    /// A binary frame came.
    Binary(SocketId, &'a [u8]),
    /// The websocket closed, broke off, or could not be opened.
    SocketClosed {
        /// Which.
        socket: SocketId,
        /// The close code, where there was one.
        code: Option<u16>,
    },

    // ─── media ───
    /// A datagram came. It is decrypted in place.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// Its bytes.
        bytes: &'a mut [u8],
    },

    // ─── commands ───
    /// Send this Opus packet now. The caller paces: one packet every 20 ms, if that is how long they are.
    Send(&'a [u8]),
    /// No more packets for now. Happens by itself when none comes for 100 ms.
    FinishSpeaking,
    /// Go to another channel of the guild.
    MoveTo(ChannelId),
    /// A user wants to be heard by this bot no more, or again.
    SetOptedOut {
        /// Who.
        user: UserId,
        /// Whether their frames are dropped.
        opted_out: bool,
    },
    /// Leave. The session is over after it.
    Leave,

    // ─── time ───
    /// The moment of the last [`Output::Timeout`](crate::Output::Timeout) has come.
    Timeout,
}
