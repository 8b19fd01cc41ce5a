//! One packet of everybody who speaks.

use std::collections::{BTreeMap, BTreeSet};

use opus::SoftClip;
use tracing::trace;

use super::{
    Audio, FRAME_SAMPLES, SourceFrame,
    codec::{Channels, CodecError, Decoder, Encoder},
};

/// How much of a source is left while one of a higher priority speaks: 14 dB less.
const DUCKED: f32 = 0.2;

/// Names a source among those of a mixer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SourceId(pub u64);

/// How loud a source is: 0 to 200 percent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Volume(u8);

impl Volume {
    /// As it is.
    pub const FULL: Self = Self(100);

    /// So many percent; none above 200.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 200 { Some(Self(percent)) } else { None }
    }

    fn gain(self) -> f32 {
        f32::from(self.0) / 100.0
    }
}

/// A source that has a frame at this turn.
#[derive(Clone, Debug)]
pub struct Talker {
    /// Which.
    pub source: SourceId,
    /// How loud.
    pub volume: Volume,
    /// While one of a higher priority speaks, it is turned down.
    pub priority: u8,
    /// Its frame.
    pub frame: SourceFrame,
}

/// Makes one packet of the frames of all sources that speak at a time.
///
/// One that speaks alone, at full volume and in Opus, passes untouched: its packets are as its maker made them. Everything else
/// is decoded, added up, softly clipped and encoded.
pub struct Mixer {
    bitrate: u32,
    encoder: Option<Encoder>,
    clip: SoftClip,
    decoders: BTreeMap<SourceId, Decoder>,
}

impl Mixer {
    /// A mixer whose own packets have so many bits per second.
    pub fn new(bitrate: u32) -> Self {
        Self { bitrate, encoder: None, clip: SoftClip::new(opus::Channels::Stereo), decoders: BTreeMap::new() }
    }

    /// The packet for these talkers. None where nobody talks.
    ///
    /// # Errors
    ///
    /// If the library fails. A frame that cannot be decoded is silence.
    pub fn mix(&mut self, talkers: Vec<Talker>) -> Result<Option<Vec<u8>>, CodecError> {
        if talkers.is_empty() {
            return Ok(None);
        }
        if let [Talker { volume: Volume::FULL, frame: SourceFrame(Audio::Opus(packet)), .. }] = talkers.as_slice() {
            // What was decoded before has no part in what comes.
            self.decoders.clear();
            return Ok(Some(packet.clone()));
        }
        let talking: BTreeSet<SourceId> = talkers.iter().map(|talker| talker.source).collect();
        self.decoders.retain(|source, _| talking.contains(source));
        let highest = talkers.iter().map(|talker| talker.priority).max().unwrap_or_default();
        let mut sum = [0.0; FRAME_SAMPLES * 2];
        for talker in talkers {
            let ducked = if talker.priority < highest { DUCKED } else { 1.0 };
            let gain = talker.volume.gain() * ducked;
            self.add(talker.source, talker.frame, gain, &mut sum)?;
        }
        self.clip.apply(&mut sum);
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(self.bitrate)?),
        };
        encoder.encode(&sum).map(Some)
    }

    /// Nobody speaks for now: what the next ones say does not go on from this.
    pub fn rest(&mut self) {
        self.encoder = None;
        self.decoders.clear();
        self.clip = SoftClip::new(opus::Channels::Stereo);
    }

    fn add(
        &mut self,
        source: SourceId,
        frame: SourceFrame,
        gain: f32,
        sum: &mut [f32; FRAME_SAMPLES * 2],
    ) -> Result<(), CodecError> {
        match frame.0 {
            Audio::Opus(packet) => {
                let decoder = match self.decoders.entry(source) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Decoder::new(Channels::Stereo)?),
                };
                match decoder.decode_float(&packet) {
                    Ok(samples) => sum.iter_mut().zip(samples).for_each(|(sum, sample)| *sum += sample * gain),
                    Err(error) => trace!(%error, "a source's packet cannot be decoded"),
                }
            }
            Audio::Pcm(Channels::Stereo, samples) => {
                sum.iter_mut().zip(samples).for_each(|(sum, sample)| *sum += f32::from(sample) / 32_768.0 * gain);
            }
            Audio::Pcm(Channels::Mono, samples) => {
                for (pair, sample) in sum.chunks_exact_mut(2).zip(samples) {
                    let sample = f32::from(sample) / 32_768.0 * gain;
                    pair.iter_mut().for_each(|sum| *sum += sample);
                }
            }
        }
        Ok(())
    }
}
