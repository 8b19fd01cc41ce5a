//! What the server sends as text.

use serde::de::IgnoredAny;

use super::{
    ClientDisconnect, ClientFlags, ClientPlatform, ClientsConnect, Envelope, ExecuteTransition, Hello, NOTHING,
    PrepareEpoch, PrepareTransition, ReadError, Ready, Sequence, ServerSpeaking, SessionDescription, Version, Video,
    payload::{AnyBeat, Beat, SequenceAck},
    write,
};

/// A message from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerMessage {
    /// Op 2.
    Ready(Ready),
    /// Op 3: send a heartbeat at once. Not in Discord's documentation.
    HeartbeatDemanded,
    /// Op 4.
    SessionDescription(SessionDescription),
    /// Op 5.
    Speaking(ServerSpeaking),
    /// Op 6.
    HeartbeatAck {
        /// The number that the heartbeat carried.
        nonce: u64,
    },
    /// Op 8.
    Hello(Hello),
    /// Op 9.
    Resumed,
    /// Op 11.
    ClientsConnect(ClientsConnect),
    /// Op 12.
    Video(Video),
    /// Op 13.
    ClientDisconnect(ClientDisconnect),
    /// Op 18.
    ClientFlags(ClientFlags),
    /// Op 20.
    ClientPlatform(ClientPlatform),
    /// Op 21.
    PrepareTransition(PrepareTransition),
    /// Op 22.
    ExecuteTransition(ExecuteTransition),
    /// Op 24.
    PrepareEpoch(PrepareEpoch),
    /// An opcode that a bot has no use for.
    Other {
        /// The opcode.
        op: u8,
    },
}

/// Something with its place among what a resume replays, where it has one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sequenced<M> {
    /// What came.
    pub message: M,
    /// Its place. Hello, Ready, Session Description and heartbeats have none, and before version 8 nothing has one.
    pub sequence: Option<Sequence>,
}

impl ServerMessage {
    /// Reads a text frame, of any version.
    ///
    /// # Errors
    ///
    /// If it is not a message, or one whose content does not fit its opcode. The connection stays usable.
    pub fn read(text: &str) -> Result<Sequenced<Self>, ReadError> {
        let envelope = Envelope::read(text)?;
        let message = match envelope.op {
            2 => Self::Ready(envelope.content()?),
            3 => envelope.content::<IgnoredAny>().map(|_| Self::HeartbeatDemanded)?,
            4 => Self::SessionDescription(envelope.content()?),
            5 => Self::Speaking(envelope.content()?),
            6 => Self::HeartbeatAck { nonce: Beat::from(envelope.content::<AnyBeat>()?).t },
            8 => Self::Hello(envelope.content()?),
            9 => Self::Resumed,
            11 => Self::ClientsConnect(envelope.content()?),
            12 => Self::Video(envelope.content()?),
            13 => Self::ClientDisconnect(envelope.content()?),
            18 => Self::ClientFlags(envelope.content()?),
            20 => Self::ClientPlatform(envelope.content()?),
            21 => Self::PrepareTransition(envelope.content()?),
            22 => Self::ExecuteTransition(envelope.content()?),
            24 => Self::PrepareEpoch(envelope.content()?),
            op => Self::Other { op },
        };
        Ok(Sequenced { message, sequence: envelope.sequence() })
    }

    /// Writes a text frame. `sequence` is left out before version 8: songbird drops messages with a third member.
    pub fn write(&self, sequence: Option<Sequence>, version: Version) -> String {
        let sequence = sequence.filter(|_| version == Version::V8);
        match self {
            Self::Ready(content) => write(2, content, sequence),
            Self::HeartbeatDemanded => write(3, &NOTHING, sequence),
            Self::SessionDescription(content) => write(4, content, sequence),
            Self::Speaking(content) => write(5, content, sequence),
            Self::HeartbeatAck { nonce } => match version {
                Version::V4 => write(6, nonce, sequence),
                Version::V8 => write(6, &Beat { t: *nonce, seq_ack: SequenceAck::Absent }, sequence),
            },
            Self::Hello(content) => write(8, content, sequence),
            Self::Resumed => write(9, &NOTHING, sequence),
            Self::ClientsConnect(content) => write(11, content, sequence),
            Self::Video(content) => write(12, content, sequence),
            Self::ClientDisconnect(content) => write(13, content, sequence),
            Self::ClientFlags(content) => write(18, content, sequence),
            Self::ClientPlatform(content) => write(20, content, sequence),
            Self::PrepareTransition(content) => write(21, content, sequence),
            Self::ExecuteTransition(content) => write(22, content, sequence),
            Self::PrepareEpoch(content) => write(24, content, sequence),
            Self::Other { op } => write(*op, &NOTHING, sequence),
        }
    }
}
