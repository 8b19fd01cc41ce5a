//! libopus, at 48 kHz and in the two ways in which it is used here.

use opus::{Application, Bitrate, ErrorCode};
use thiserror::Error;

use super::FRAME_SAMPLES;

const RATE: u32 = 48_000;

/// Samples of one channel in the longest packet, 120 ms.
const MOST_SAMPLES: usize = 5_760;

/// How hard the encoder tries, 0 to 10. Above 6 it classifies the signal too, which costs as much again.
const COMPLEXITY: i32 = 5;

/// One channel or two.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Channels {
    /// One.
    Mono,
    /// Left and right, interleaved.
    Stereo,
}

impl Channels {
    /// How many.
    pub const fn count(self) -> usize {
        match self {
            Self::Mono => 1,
            Self::Stereo => 2,
        }
    }

    const fn native(self) -> opus::Channels {
        match self {
            Self::Mono => opus::Channels::Mono,
            Self::Stereo => opus::Channels::Stereo,
        }
    }
}

/// libopus refused.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CodecError {
    /// The packet is damaged, or none.
    #[error("not an Opus packet")]
    InvalidPacket,
    /// Anything else: no memory, or a mistake of ours.
    #[error("the Opus library failed")]
    Library,
}

impl From<opus::Error> for CodecError {
    fn from(error: opus::Error) -> Self {
        if error.code() == ErrorCode::InvalidPacket { Self::InvalidPacket } else { Self::Library }
    }
}

/// Makes packets of 20 ms of stereo.
pub(super) struct Encoder(opus::Encoder);

impl Encoder {
    /// An encoder for so many bits per second.
    pub(super) fn new(bitrate: u32) -> Result<Self, CodecError> {
        let mut encoder = opus::Encoder::new(RATE, opus::Channels::Stereo, Application::Audio)?;
        encoder.set_bitrate(Bitrate::Bits(bitrate.min(510_000) as i32))?;
        encoder.set_complexity(COMPLEXITY)?;
        Ok(Self(encoder))
    }

    pub(super) fn encode(&mut self, samples: &[f32; FRAME_SAMPLES * 2]) -> Result<Vec<u8>, CodecError> {
        Ok(self.0.encode_vec_float(samples, super::LARGEST_PACKET)?)
    }
}

/// Makes samples of the packets of one source.
pub(super) struct Decoder {
    decoder: opus::Decoder,
    channels: Channels,
}

impl Decoder {
    pub(super) fn new(channels: Channels) -> Result<Self, CodecError> {
        Ok(Self { decoder: opus::Decoder::new(RATE, channels.native())?, channels })
    }

    /// Forgets what came before.
    pub(super) fn reset(&mut self) {
        // It fails for a decoder that is none alone.
        let _ = self.decoder.reset_state();
    }

    /// The samples of a packet, -1 to 1.
    pub(super) fn decode_float(&mut self, packet: &[u8]) -> Result<Vec<f32>, CodecError> {
        let mut samples = vec![0.0; MOST_SAMPLES * self.channels.count()];
        let each = self.decoder.decode_float(packet, &mut samples, false)?;
        samples.truncate(each * self.channels.count());
        Ok(samples)
    }

    /// The samples of a packet.
    pub(super) fn decode(&mut self, packet: &[u8]) -> Result<Vec<i16>, CodecError> {
        let mut samples = vec![0; MOST_SAMPLES * self.channels.count()];
        let each = self.decoder.decode(packet, &mut samples, false)?;
        samples.truncate(each * self.channels.count());
        Ok(samples)
    }

    /// Samples in place of a packet that is missing: from the one after it, which may hold a copy at a lower rate, or else
    /// from what came before.
    pub(super) fn conceal(&mut self, next: Option<&[u8]>, each: usize) -> Result<Vec<i16>, CodecError> {
        let mut samples = vec![0; each * self.channels.count()];
        let each = self.decoder.decode(next.unwrap_or_default(), &mut samples, next.is_some())?;
        samples.truncate(each * self.channels.count());
        Ok(samples)
    }
}
