//! Where a session stands, and exactly what belongs to that.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Instant,
};

use parlor_voice_wire::{
    Ssrc, UserId,
    gateway::{Credential, Sequence},
    transport::{Mode, Opener},
};

use super::heart::Heart;
use crate::{
    dave::Dave,
    input::SocketId,
    media::{Receiver, Sender},
    output::Ending,
};

/// ```text
///              both updates           Session Description
///  Awaiting ───────────────▶ Joining ────────────────────▶ Live ◀─▶ its link: attached, lost, resuming
///   ▲   ▲                       │                           │
///   │   └──── server gone, 4014, 4022, moved ───────────────┤
///   └── Pausing ◀────────── session gone ───────────────────┘        Ended ◀── refused, kicked, left, gave up
/// ```
pub(super) enum Stage<G> {
    /// The main gateway was asked, or will say by itself; both updates are not there yet.
    Awaiting { until: Instant, then: Then },
    /// A pause before the main gateway is asked again.
    Pausing { until: Instant },
    /// On the way to a key.
    Joining(Box<Joining>),
    /// With a key.
    Live(Box<Live<G>>),
    /// Over.
    Ended(Ending),
}

/// What happens when nothing comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Then {
    /// The session is over.
    End,
    /// The main gateway is told to leave and to join: asked for the same channel alone, Discord may say nothing.
    LeaveAndJoin,
    /// The session is over; being told to be nowhere is an answer to having left, and means nothing.
    EndAfterLeaving,
}

/// What the main gateway has said of the voice server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Server {
    pub(super) endpoint: String,
    pub(super) token: Credential,
}

pub(super) struct Joining {
    pub(super) socket: SocketId,
    pub(super) heart: Heart,
    pub(super) until: Instant,
    pub(super) room: Room,
    pub(super) step: Step,
}

pub(super) enum Step {
    /// The websocket is opening.
    Opening,
    /// Identify is sent.
    Identifying,
    /// Ready came; the voice server is asked for the address that it sees.
    Discovering { target: Target, next: Instant },
    /// Select Protocol is sent.
    Selecting { target: Target },
}

/// Where media goes and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) ssrc: Ssrc,
    pub(super) address: SocketAddr,
    pub(super) mode: Mode,
}

/// Who is there, as the voice gateway has told. It begins before the key comes.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) present: BTreeSet<UserId>,
    /// Sources that were announced before there was a key.
    pub(super) announced: BTreeMap<Ssrc, UserId>,
    /// Binary messages that came before there was a key.
    pub(super) early: Vec<Vec<u8>>,
    pub(super) last_sequence: Option<Sequence>,
}

pub(super) struct Live<G> {
    pub(super) link: Link,
    pub(super) since: Instant,
    pub(super) room: Room,
    pub(super) server: SocketAddr,
    pub(super) opener: Opener,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) dave: Dave<G>,
    pub(super) pings: Pings,
}

/// The websocket of a session that has its key. Media goes on without it.
pub(super) enum Link {
    Attached {
        socket: SocketId,
        heart: Heart,
    },
    /// A pause before it is opened again.
    Lost {
        until: Instant,
        attempts: u32,
    },
    Opening {
        socket: SocketId,
        until: Instant,
        attempts: u32,
    },
    /// Resume is sent.
    Resuming {
        socket: SocketId,
        heart: Heart,
        until: Instant,
        attempts: u32,
    },
}

impl Link {
    /// The websocket that can be written to.
    pub(super) fn writable(&self) -> Option<SocketId> {
        match self {
            Self::Attached { socket, .. } => Some(*socket),
            Self::Lost { .. } | Self::Opening { .. } | Self::Resuming { .. } => None,
        }
    }

    pub(super) fn socket(&self) -> Option<SocketId> {
        match self {
            Self::Attached { socket, .. } | Self::Opening { socket, .. } | Self::Resuming { socket, .. } => {
                Some(*socket)
            }
            Self::Lost { .. } => None,
        }
    }

    pub(super) fn heart(&mut self) -> Option<&mut Heart> {
        match self {
            Self::Attached { heart, .. } | Self::Resuming { heart, .. } => Some(heart),
            Self::Lost { .. } | Self::Opening { .. } => None,
        }
    }

    /// How many attempts to resume have failed in a row.
    pub(super) fn attempts(&self) -> u32 {
        match self {
            Self::Attached { .. } => 0,
            Self::Lost { attempts, .. } | Self::Opening { attempts, .. } | Self::Resuming { attempts, .. } => *attempts,
        }
    }
}

/// Pings that keep the path open and measure it.
#[derive(Debug)]
pub(super) struct Pings {
    pub(super) next: Instant,
    pub(super) number: u32,
    pub(super) sent: Option<Instant>,
}
