//! What became of every frame.

use std::time::Duration;

/// What became of a frame that somebody sent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// It was delivered; where the call is end-to-end encrypted, it was authentic.
    Delivered,
    /// It was delivered although it came in the clear into an end-to-end encrypted call: silence, or around a change of
    /// version, where that is allowed.
    Passthrough,
    /// It was given up: its sender remained unknown, or it was sealed for a group that this session was not in.
    Held,
    /// It came after its turn.
    Late,
    /// It never came.
    Lost,
    /// It could not be opened although this session had its sender's keys, or was in the clear where that is not allowed.
    Undecryptable,
    /// Its sender does not want to be heard.
    OptedOut,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] =
        [Self::Delivered, Self::Passthrough, Self::Held, Self::Late, Self::Lost, Self::Undecryptable, Self::OptedOut];

    /// As a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Passthrough => "passthrough",
            Self::Held => "held",
            Self::Late => "late",
            Self::Lost => "lost",
            Self::Undecryptable => "undecryptable",
            Self::OptedOut => "opted_out",
        }
    }
}

/// Frames by outcome. Every frame between the first and the last that came of a source has exactly one.
///
/// A frame that is missing is counted as lost once it can no longer be late, 2 s after its turn.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FrameCounts([u64; Outcome::ALL.len()]);

impl FrameCounts {
    /// How many had this outcome.
    pub const fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, outcome: Outcome, frames: u64) {
        self.0[outcome as usize] += frames;
    }
}

/// What a session counts. Everything only rises but the round trip.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Received frames by outcome.
    pub frames: FrameCounts,
    /// Datagrams that came again.
    pub duplicates: u64,
    /// Datagrams that were not authentic or not readable. What they should have been is lost.
    pub rejected: u64,
    /// RTCP datagrams.
    pub rtcp: u64,
    /// Frames that were sent, silence included.
    pub sent: u64,
    /// Frames that could not be sent: no connection, no key yet, or nobody is let hear them.
    pub unsent: u64,
    /// Messages of the voice gateway that could not be read or used.
    pub unusable_messages: u64,
    /// Commits and welcomes that could not be used, each followed by a recovery.
    pub recoveries: u64,
    /// The last time that a ping took.
    pub round_trip: Option<Duration>,
}

/// What a session keeps of what it received, at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Backlog {
    /// Frames that wait for their turn: how deep the jitter buffers are, all together.
    pub waiting: usize,
    /// Frames that wait for a key, or for a word on whose they are.
    pub held: usize,
    /// Numbers of frames that have been, or are missing.
    pub remembered: usize,
    /// Sources.
    pub sources: usize,
}
