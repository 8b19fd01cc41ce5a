//! What is spoken: Opus packets of 20 ms.

use std::{f64::consts::TAU, path::Path};

use anyhow::bail;
use parlor_voice::audio::{Channels, FRAME_SAMPLES, Mixer, SourceFrame, SourceId, Talker, Volume};

const RATE: u32 = 48_000;

/// Bits per second.
const BITRATE: u32 = 64_000;

/// How loud a tone is: 12 dB below the loudest.
const LOUDNESS: f64 = 8_192.0;

/// A tone or a file, frame by frame.
pub(crate) struct Sound {
    source: Source,
    mixer: Mixer,
    /// How many frames came before.
    turn: usize,
}

enum Source {
    Tone(u32),
    /// Samples of one channel or two, and whether they begin anew at their end.
    Samples {
        samples: Vec<i16>,
        channels: Channels,
        goes_on: bool,
    },
}

impl Sound {
    /// A tone without end.
    pub(crate) fn tone(hertz: u32) -> Self {
        Self::of(Source::Tone(hertz))
    }

    /// A WAV file.
    pub(crate) fn wav(path: &Path, goes_on: bool) -> anyhow::Result<Self> {
        let mut wav = hound::WavReader::open(path)?;
        let spec = wav.spec();
        let channels = match spec.channels {
            1 => Channels::Mono,
            2 => Channels::Stereo,
            other => bail!("it has {other} channels, and has to have one or two"),
        };
        if (spec.sample_rate, spec.bits_per_sample, spec.sample_format) != (RATE, 16, hound::SampleFormat::Int) {
            bail!("it has to have 48,000 samples a second of 16 bits: ffmpeg -i {} -ar 48000 out.wav", path.display());
        }
        let samples: Vec<i16> = wav.samples().collect::<Result<_, _>>()?;
        if samples.is_empty() {
            bail!("there is no sound in it");
        }
        Ok(Self::of(Source::Samples { samples, channels, goes_on }))
    }

    fn of(source: Source) -> Self {
        Self { source, mixer: Mixer::new(BITRATE), turn: 0 }
    }

    /// The next packet; none at the end.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let (channels, pcm) = match &self.source {
            Source::Tone(hertz) => (Channels::Mono, tone(*hertz, self.turn)),
            Source::Samples { samples, channels, goes_on } => {
                let wanted = FRAME_SAMPLES * channels.count();
                let frames = samples.len().div_ceil(wanted);
                let place = if *goes_on { self.turn % frames } else { self.turn };
                let Some(rest) = samples.get(place * wanted..) else { return Ok(None) };
                let mut frame = rest[..rest.len().min(wanted)].to_vec();
                if frame.is_empty() {
                    return Ok(None);
                }
                frame.resize(wanted, 0);
                (*channels, frame)
            }
        };
        self.turn += 1;
        let bytes: Vec<u8> = pcm.into_iter().flat_map(i16::to_le_bytes).collect();
        let frame = SourceFrame::pcm(channels, &bytes)?;
        Ok(self.mixer.mix(vec![Talker { source: SourceId(0), volume: Volume::FULL, priority: 0, frame }])?)
    }
}

fn tone(hertz: u32, turn: usize) -> Vec<i16> {
    let sample = |place: usize| {
        // Within one second, so that the tone stays pure after days.
        let seconds = (place % RATE as usize) as f64 / f64::from(RATE);
        ((seconds * f64::from(hertz) * TAU).sin() * LOUDNESS) as i16
    };
    (turn * FRAME_SAMPLES..(turn + 1) * FRAME_SAMPLES).map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_has_no_seam() {
        let samples: Vec<i16> = (0..100).flat_map(|turn| tone(441, turn)).collect();
        let crossings = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        assert!((881..=882).contains(&crossings), "{crossings} in two seconds");
        let steepest = samples.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap();
        assert!(steepest < 480, "{steepest}");
    }

    #[test]
    fn samples_end_or_begin_anew() {
        let count = |goes_on| {
            let samples = vec![0; 960 * 2 + 1];
            let mut sound = Sound::of(Source::Samples { samples, channels: Channels::Mono, goes_on });
            (0..10).take_while(|_| sound.next().unwrap().is_some()).count()
        };
        assert_eq!((count(false), count(true)), (3, 10));
    }
}
