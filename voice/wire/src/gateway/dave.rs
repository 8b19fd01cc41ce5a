//! What both sides send as binary frames: MLS (DAVE protocol, "Voice Gateway Opcodes").
//!
//! ```text
//! server: sequence u16 (version 8 only) ‖ opcode u8 ‖ payload          client: opcode u8 ‖ payload
//! ```
//! The MLS structures themselves stay bytes here.

use thiserror::Error;

use super::{Sequence, Sequenced, Version};
use crate::id::TransitionId;

/// A binary frame cannot be read.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DaveReadError {
    /// It ends before its fixed part does.
    #[error("the binary frame is too short")]
    TooShort,
    /// The opcode is none that is sent as binary, in this direction.
    #[error("opcode {op} is not sent as a binary frame")]
    Opcode {
        /// The opcode.
        op: u8,
    },
    /// Proposals are neither appended nor revoked.
    #[error("no operation on proposals has the number {0}")]
    Operation(u8),
}

/// What becomes of proposals.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProposalsOperation {
    /// They are to be committed; the list holds MLS messages.
    Append,
    /// They are not to be committed any more; the list holds references.
    Revoke,
}

/// A binary message from the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DaveServerMessage<'a> {
    /// Op 25: the server's own signature key and credential, with which it proposes.
    ExternalSender(&'a [u8]),
    /// Op 27: who should come and go.
    Proposals {
        /// Append or revoke.
        operation: ProposalsOperation,
        /// An MLS vector, its length included.
        proposals: &'a [u8],
    },
    /// Op 29: the commit that the server chose.
    AnnounceCommit {
        /// The change that it brings.
        transition_id: TransitionId,
        /// An MLS message.
        commit: &'a [u8],
    },
    /// Op 30: the way into a group.
    Welcome {
        /// The change that it brings.
        transition_id: TransitionId,
        /// An MLS Welcome, bare.
        welcome: &'a [u8],
    },
}

impl<'a> DaveServerMessage<'a> {
    /// Reads a binary frame.
    ///
    /// # Errors
    ///
    /// If it is too short, or of an unknown kind. The connection stays usable.
    pub fn read(bytes: &'a [u8], version: Version) -> Result<Sequenced<Self>, DaveReadError> {
        let (sequence, bytes) = match version {
            Version::V4 => (None, bytes),
            Version::V8 => {
                let (sequence, rest) = number(bytes)?;
                (Some(Sequence::new(sequence)), rest)
            }
        };
        let [op, payload @ ..] = bytes else { return Err(DaveReadError::TooShort) };
        let message = match op {
            25 => Self::ExternalSender(payload),
            27 => {
                let [operation, proposals @ ..] = payload else { return Err(DaveReadError::TooShort) };
                let operation = match operation {
                    0 => ProposalsOperation::Append,
                    1 => ProposalsOperation::Revoke,
                    other => return Err(DaveReadError::Operation(*other)),
                };
                Self::Proposals { operation, proposals }
            }
            29 => {
                let (id, commit) = number(payload)?;
                Self::AnnounceCommit { transition_id: TransitionId::new(id), commit }
            }
            30 => {
                let (id, welcome) = number(payload)?;
                Self::Welcome { transition_id: TransitionId::new(id), welcome }
            }
            op => return Err(DaveReadError::Opcode { op: *op }),
        };
        Ok(Sequenced { message, sequence })
    }

    /// Writes a binary frame; `sequence` is left out before version 8.
    pub fn write(&self, sequence: Sequence, version: Version) -> Vec<u8> {
        let mut bytes = Vec::new();
        if version == Version::V8 {
            bytes.extend(sequence.get().to_be_bytes());
        }
        match self {
            Self::ExternalSender(package) => {
                bytes.push(25);
                bytes.extend(*package);
            }
            Self::Proposals { operation, proposals } => {
                bytes.extend([27, u8::from(*operation == ProposalsOperation::Revoke)]);
                bytes.extend(*proposals);
            }
            Self::AnnounceCommit { transition_id, commit } => {
                bytes.push(29);
                bytes.extend(transition_id.get().to_be_bytes());
                bytes.extend(*commit);
            }
            Self::Welcome { transition_id, welcome } => {
                bytes.push(30);
                bytes.extend(transition_id.get().to_be_bytes());
                bytes.extend(*welcome);
            }
        }
        bytes
    }
}

fn number(bytes: &[u8]) -> Result<(u16, &[u8]), DaveReadError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(DaveReadError::TooShort)?;
    Ok((u16::from_be_bytes(*number), rest))
}

/// A binary message from a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DaveClientMessage<'a> {
    /// Op 26: with this the client can be added. A bare MLS key package, although the protocol says MLS message.
    KeyPackage(&'a [u8]),
    /// Op 28: a commit to all proposals, as an MLS message, with a bare Welcome right behind it if somebody is added.
    CommitWelcome(&'a [u8]),
}

impl<'a> DaveClientMessage<'a> {
    /// Reads a binary frame.
    ///
    /// # Errors
    ///
    /// If it is empty, or of an unknown kind.
    pub fn read(bytes: &'a [u8]) -> Result<Self, DaveReadError> {
        match bytes {
            [] => Err(DaveReadError::TooShort),
            [26, package @ ..] => Ok(Self::KeyPackage(package)),
            [28, both @ ..] => Ok(Self::CommitWelcome(both)),
            [op, ..] => Err(DaveReadError::Opcode { op: *op }),
        }
    }

    /// Writes a binary frame.
    pub fn write(&self) -> Vec<u8> {
        let (op, payload) = match self {
            Self::KeyPackage(package) => (26, package),
            Self::CommitWelcome(both) => (28, both),
        };
        [&[op], *payload].concat()
    }
}
