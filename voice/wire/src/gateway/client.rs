//! What a client sends as text.

use super::{
    ClientSpeaking, Envelope, Identify, InvalidCommitWelcome, ReadError, Resume, SelectProtocol, TransitionReady,
    Version,
    payload::{AnyBeat, Beat, EMPTY, SequenceAck},
    write,
};

/// A message from a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientMessage {
    /// Op 0.
    Identify(Identify),
    /// Op 1.
    SelectProtocol(SelectProtocol),
    /// Op 3.
    Heartbeat {
        /// Any number; the answer repeats it.
        nonce: u64,
        /// The last sequence number that came, which versions before 8 do not tell.
        seq_ack: SequenceAck,
    },
    /// Op 5.
    Speaking(ClientSpeaking),
    /// Op 7.
    Resume(Resume),
    /// Op 23.
    TransitionReady(TransitionReady),
    /// Op 31.
    InvalidCommitWelcome(InvalidCommitWelcome),
    /// An opcode that a bot's audio has no use for: video, codecs, versions.
    Other {
        /// The opcode.
        op: u8,
    },
}

impl ClientMessage {
    /// Reads a text frame, of any version.
    ///
    /// # Errors
    ///
    /// If it is not a message, or one whose content does not fit its opcode: Discord closes with 4002 or 4020.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let envelope = Envelope::read(text)?;
        Ok(match envelope.op {
            0 => Self::Identify(envelope.content()?),
            1 => Self::SelectProtocol(envelope.content()?),
            3 => {
                let Beat { t, seq_ack } = envelope.content::<AnyBeat>()?.into();
                Self::Heartbeat { nonce: t, seq_ack }
            }
            5 => Self::Speaking(envelope.content()?),
            7 => Self::Resume(envelope.content()?),
            23 => Self::TransitionReady(envelope.content()?),
            31 => Self::InvalidCommitWelcome(envelope.content()?),
            op => Self::Other { op },
        })
    }

    /// Writes a text frame.
    pub fn write(&self, version: Version) -> String {
        match self {
            Self::Identify(content) => write(0, content, None),
            Self::SelectProtocol(content) => write(1, content, None),
            Self::Heartbeat { nonce, seq_ack } => match version {
                Version::V4 => write(3, nonce, None),
                Version::V8 => write(3, &Beat { t: *nonce, seq_ack: *seq_ack }, None),
            },
            Self::Speaking(content) => write(5, content, None),
            Self::Resume(content) => write(7, content, None),
            Self::TransitionReady(content) => write(23, content, None),
            Self::InvalidCommitWelcome(content) => write(31, content, None),
            Self::Other { op } => write(*op, &EMPTY, None),
        }
    }
}
