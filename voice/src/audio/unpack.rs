//! From the frames of one source to PCM.

use super::codec::{Channels, CodecError, Decoder};

/// Frames that are made up in a row, at most: after 100 ms a guess is no longer like speech.
const MOST_CONCEALED: u32 = 5;

/// The longest packet that is concealed, in samples of a channel.
const FRAME: usize = 960;

/// Makes PCM of what one source sent, and makes up what is missing.
///
/// What is missing is made up when the next frame comes, because that one may hold a copy of the last one that is missing.
pub struct Unpacker {
    decoder: Decoder,
    channels: Channels,
    missing: u32,
}

/// PCM of one frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pcm {
    /// How many frames before the one that was just given it stands for; 0 for that one itself.
    pub before: u32,
    /// Samples, channels interleaved.
    pub samples: Vec<i16>,
}

impl Pcm {
    /// Whether the frame never came, and this was made up.
    pub fn is_concealed(&self) -> bool {
        self.before > 0
    }

    /// The samples as bytes, little endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }
}

impl Unpacker {
    /// For a source that begins.
    ///
    /// # Errors
    ///
    /// If the library has no memory.
    pub fn new(channels: Channels) -> Result<Self, CodecError> {
        Ok(Self { decoder: Decoder::new(channels)?, channels, missing: 0 })
    }

    /// So many frames will not come.
    pub fn gap(&mut self, frames: u32) {
        self.missing = self.missing.saturating_add(frames);
    }

    /// How many of the frames that are missing will be made up with the next one.
    pub fn concealable(&self) -> u32 {
        if self.missing <= MOST_CONCEALED { self.missing } else { 0 }
    }

    /// A frame, with what is missing before it. One that cannot be decoded is made up too.
    ///
    /// # Errors
    ///
    /// If nothing can be made of it.
    pub fn frame(&mut self, packet: &[u8]) -> Result<Vec<Pcm>, CodecError> {
        let concealed = self.concealable();
        if self.missing > concealed {
            self.decoder.reset();
        }
        self.missing = 0;
        let mut made = Vec::new();
        for before in (1..=concealed).rev() {
            let next = (before == 1).then_some(packet);
            if let Ok(samples) = self.decoder.conceal(next, FRAME) {
                made.push(Pcm { before, samples });
            }
        }
        let samples = match self.decoder.decode(packet) {
            Ok(samples) => samples,
            Err(CodecError::InvalidPacket) => self.decoder.conceal(None, FRAME)?,
            Err(error @ CodecError::Library) => return Err(error),
        };
        made.push(Pcm { before: 0, samples });
        Ok(made)
    }

    /// How many channels it makes.
    pub fn channels(&self) -> Channels {
        self.channels
    }
}
