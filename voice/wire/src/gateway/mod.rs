//! The voice gateway's messages (Discord docs, Voice Connections and Opcodes and Status Codes, "Voice").
//!
//! Text frames are JSON, `{"op": number, "d": …, "seq"?: number}`; binary frames carry MLS. Versions differ in little:
//!
//! | | before version 8 | version 8 |
//! |---|---|---|
//! | heartbeat and its answer | a bare number | an object |
//! | `seq` on what a resume replays, text and binary | none | a counter of 16 bits |
//! | `seq_ack` in Heartbeat and Resume | none | the last `seq` that came, -1 before the first |

mod client;
mod close;
mod dave;
mod payload;
mod server;

pub use client::ClientMessage;
pub use close::CloseCode;
pub use dave::{DaveClientMessage, DaveReadError, DaveServerMessage, ProposalsOperation};
pub use payload::{
    ClientDisconnect, ClientFlags, ClientPlatform, ClientSpeaking, ClientsConnect, Credential, ExecuteTransition,
    Hello, Identify, InvalidCommitWelcome, PrepareEpoch, PrepareTransition, Ready, Resume, SelectProtocol, SequenceAck,
    ServerSpeaking, SessionDescription, SpeakingFlags, TransitionReady, Video,
};
pub use server::{Sequenced, ServerMessage};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use thiserror::Error;

/// A version of the voice gateway, as far as messages differ.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Version {
    /// 4 to 7: songbird's.
    V4,
    /// 8 and newer: everybody else's, with resumes that lose nothing.
    V8,
}

impl Version {
    /// The number that a client puts into the URL, `?v=`.
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V8 => 8,
        }
    }

    /// The version for a number in a URL; none for those that Discord refuses since 2024-11-18.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            4..=7 => Some(Self::V4),
            8.. => Some(Self::V8),
            0..=3 => None,
        }
    }
}

/// The place of a message among those that a resume replays. It rises by one and wraps.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Sequence(u16);

impl Sequence {
    /// The place with this number.
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    /// The number itself.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A text frame cannot be read. The text itself is not part of this: it may hold a key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ReadError {
    /// Not JSON of the gateway's shape.
    #[error("not a message of the voice gateway")]
    NotAMessage,
    /// The content does not fit its opcode.
    #[error("the content of opcode {op} is not as documented")]
    Content {
        /// The opcode.
        op: u8,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    op: u8,
    #[serde(borrow, default)]
    d: Option<&'a RawValue>,
    #[serde(default)]
    seq: Option<u64>,
}

#[derive(Serialize)]
struct Written<'a, D> {
    op: u8,
    d: &'a D,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Sequence>,
}

impl<'a> Envelope<'a> {
    fn read(text: &'a str) -> Result<Self, ReadError> {
        serde_json::from_str(text).map_err(|_| ReadError::NotAMessage)
    }

    fn content<D: DeserializeOwned>(&self) -> Result<D, ReadError> {
        let content = self.d.map_or("null", RawValue::get);
        serde_json::from_str(content).map_err(|_| ReadError::Content { op: self.op })
    }

    /// The sequence number; one that does not fit 16 bits is none.
    fn sequence(&self) -> Option<Sequence> {
        self.seq.and_then(|seq| u16::try_from(seq).ok()).map(Sequence)
    }
}

fn write(op: u8, d: &impl Serialize, seq: Option<Sequence>) -> String {
    serde_json::to_string(&Written { op, d, seq }).expect("messages have string keys and finite numbers")
}

/// What only some versions write.
const NOTHING: Option<()> = None;
