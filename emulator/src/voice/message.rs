//! What the voice server says, before it is written for a version of the gateway.

use parlor_voice_wire::TransitionId;
use parlor_voice_wire::gateway::{DaveServerMessage, ProposalsOperation, Sequence, ServerMessage, Version};

/// Something said that a Resume replays.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// As text.
    Text(ServerMessage),
    /// As a binary frame.
    Dave(DaveMessage),
}

/// A binary message with its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum DaveMessage {
    /// Op 25.
    ExternalSender(Vec<u8>),
    /// Op 27: an MLS vector.
    Proposals(ProposalsOperation, Vec<u8>),
    /// Op 29.
    AnnounceCommit(TransitionId, Vec<u8>),
    /// Op 30.
    Welcome(TransitionId, Vec<u8>),
}

/// What goes out on a WebSocket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
}

impl Message {
    /// Whether it brings an epoch: a commit or a welcome.
    pub(crate) const fn is_of_an_epoch(&self) -> bool {
        matches!(self, Self::Dave(DaveMessage::AnnounceCommit(..) | DaveMessage::Welcome(..)))
    }

    /// Changes the last byte of a commit or welcome.
    pub(crate) fn spoil(&mut self) {
        if let Self::Dave(DaveMessage::AnnounceCommit(_, bytes) | DaveMessage::Welcome(_, bytes)) = self
            && let Some(last) = bytes.last_mut()
        {
            *last ^= 0x55;
        }
    }

    /// The frame, with its number where the version has one.
    pub(crate) fn write(&self, sequence: Sequence, version: Version) -> Frame {
        match self {
            Self::Text(message) => Frame::Text(message.write(Some(sequence), version)),
            Self::Dave(message) => Frame::Binary(message.borrowed().write(sequence, version)),
        }
    }
}

impl DaveMessage {
    fn borrowed(&self) -> DaveServerMessage<'_> {
        match self {
            Self::ExternalSender(package) => DaveServerMessage::ExternalSender(package),
            Self::Proposals(operation, proposals) => DaveServerMessage::Proposals { operation: *operation, proposals },
            Self::AnnounceCommit(id, commit) => DaveServerMessage::AnnounceCommit { transition_id: *id, commit },
            Self::Welcome(id, welcome) => DaveServerMessage::Welcome { transition_id: *id, welcome },
        }
    }
}
