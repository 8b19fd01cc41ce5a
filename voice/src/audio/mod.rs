//! Audio itself: what is played into a call, and what is made of what is heard.
//!
//! ```text
//! a caller's frames ─▶ Queue ─┐
//! a caller's frames ─▶ Queue ─┼─ every 20 ms ─▶ Mixer ─▶ one Opus packet     one talker: as it is; several: mixed
//! a caller's frames ─▶ Queue ─┘
//! frames and gaps of one source ─▶ Unpacker ─▶ PCM, with what is missing made up
//! ```
//!
//! Nothing here knows of sessions, and a session knows nothing of it: packets go in and come out. All audio is at 48 kHz, and
//! what is played comes in frames of 20 ms.

mod codec;
mod mixer;
mod queue;
mod unpack;

use std::time::Duration;

pub use codec::{Channels, CodecError};
pub use mixer::{Mixer, SourceId, Talker, Volume};
pub use queue::{Played, Queue, QueueCounts};
pub use unpack::{Pcm, Unpacker};

use thiserror::Error;

/// How long a frame that is played lasts.
pub const FRAME: Duration = Duration::from_millis(20);

/// Samples of one channel in a frame that is played.
pub const FRAME_SAMPLES: usize = 960;

/// The largest Opus packet that is taken: with what encryption adds to it, it still fits a datagram.
const LARGEST_PACKET: usize = 1_275;

/// 20 ms of audio, to be played.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceFrame(Audio);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Audio {
    /// An Opus packet.
    Opus(Vec<u8>),
    /// Samples, channels interleaved.
    Pcm(Channels, Vec<i16>),
}

/// Bytes are not 20 ms of audio.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NotAFrame {
    /// Not an Opus packet.
    #[error("is not an Opus packet")]
    NotOpus,
    /// An Opus packet of another length in time.
    #[error("is an Opus packet of {} ms, and has to have 20 ms", .0.as_millis())]
    Length(Duration),
    /// An Opus packet that does not fit a datagram.
    #[error("is an Opus packet of {0} bytes; up to {LARGEST_PACKET} are taken")]
    TooLarge(usize),
    /// Not as many bytes as 20 ms of PCM have.
    #[error("has {found} bytes; 20 ms of PCM have {expected}")]
    Samples {
        /// How many there are.
        found: usize,
        /// How many there have to be.
        expected: usize,
    },
}

impl SourceFrame {
    /// An Opus packet of 20 ms.
    ///
    /// # Errors
    ///
    /// If it is none. Only what can be told without decoding is looked at.
    pub fn opus(packet: Vec<u8>) -> Result<Self, NotAFrame> {
        if packet.len() > LARGEST_PACKET {
            return Err(NotAFrame::TooLarge(packet.len()));
        }
        let samples = parlor_voice_wire::opus::samples(&packet).map_err(|_| NotAFrame::NotOpus)?;
        if samples as usize != FRAME_SAMPLES {
            return Err(NotAFrame::Length(parlor_voice_wire::opus::duration(samples)));
        }
        Ok(Self(Audio::Opus(packet)))
    }

    /// 20 ms of signed samples of 16 bits, little endian, channels interleaved.
    ///
    /// # Errors
    ///
    /// If there are more or fewer.
    pub fn pcm(channels: Channels, bytes: &[u8]) -> Result<Self, NotAFrame> {
        let expected = FRAME_SAMPLES * channels.count() * 2;
        if bytes.len() != expected {
            return Err(NotAFrame::Samples { found: bytes.len(), expected });
        }
        let samples = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        Ok(Self(Audio::Pcm(channels, samples.collect())))
    }
}
