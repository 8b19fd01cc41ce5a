//! A file to play, as frames of 20 ms.

use std::{
    fs::File,
    io::{BufReader, Read as _, Seek as _},
    path::{Path, PathBuf},
    time::Duration,
};

use hound::{SampleFormat, WavReader};
use ogg::reading::PacketReader;
use parlor_client::v1;
use thiserror::Error;

use super::opus::{FRAME, RATE, SHORT, SHORT_SILENCE, samples};

/// How long a frame lasts.
pub(crate) const FRAME_TIME: Duration = Duration::from_millis(20);

/// A file cannot be played.
#[derive(Debug, Error)]
pub(crate) enum SoundError {
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
    #[error("it is neither Ogg Opus nor WAV")]
    Neither,
    #[error("it is Ogg, and its sound is not Opus")]
    NotOpus,
    #[error("it is damaged")]
    Ogg(#[from] ogg::OggReadError),
    #[error("it is damaged")]
    Wav(#[from] hound::Error),
    #[error("its packets are {0} ms long, and have to be 20 ms")]
    Length(u64),
    #[error("it has {0} samples a second, and has to have 48,000")]
    Rate(u32),
    #[error("it has {0} channels, and has to have one or two")]
    Channels(u16),
    #[error("there is no sound in it")]
    Empty,
}

/// A file that can be played: every frame has been looked at.
#[derive(Debug)]
pub(crate) struct Sound {
    path: PathBuf,
    frames: u64,
    format: v1::AudioFormat,
}

/// The frames of a file.
enum Reading {
    Ogg(Box<PacketReader<BufReader<File>>>),
    Wav(WavReader<BufReader<File>>),
}

impl Sound {
    /// Looks at a file.
    pub(crate) fn open(path: &Path) -> Result<Self, SoundError> {
        let (mut reading, format) = Reading::open(path)?;
        let mut frames = 0;
        while reading.next()?.is_some() {
            frames += 1;
        }
        if frames == 0 { Err(SoundError::Empty) } else { Ok(Self { path: path.to_owned(), frames, format }) }
    }

    /// How long it lasts.
    pub(crate) fn length(&self) -> Duration {
        time_of(self.frames)
    }

    /// How its frames are given.
    pub(crate) fn format(&self) -> v1::AudioFormat {
        self.format
    }

    /// Its frames, from the beginning.
    pub(crate) fn frames(&self) -> Result<impl Iterator<Item = Result<Vec<u8>, SoundError>> + use<>, SoundError> {
        let (mut reading, _) = Reading::open(&self.path)?;
        Ok(std::iter::from_fn(move || reading.next().transpose()))
    }
}

/// How long so many frames last.
pub(crate) fn time_of(frames: u64) -> Duration {
    Duration::from_millis(frames.saturating_mul(20))
}

impl Reading {
    fn open(path: &Path) -> Result<(Self, v1::AudioFormat), SoundError> {
        let mut file = File::open(path)?;
        let mut magic = [0; 4];
        file.read_exact(&mut magic).map_err(|_| SoundError::Neither)?;
        file.rewind()?;
        let file = BufReader::new(file);
        match &magic {
            b"OggS" => {
                let mut packets = PacketReader::new(file);
                let head = packets.read_packet()?.ok_or(SoundError::NotOpus)?;
                let [channels, .., family] = head
                    .data
                    .strip_prefix(b"OpusHead\x01")
                    .and_then(|rest| rest.first_chunk::<10>())
                    .ok_or(SoundError::NotOpus)?;
                if *family != 0 || *channels > 2 {
                    return Err(SoundError::Channels((*channels).into()));
                }
                // The tags.
                packets.read_packet()?.ok_or(SoundError::Empty)?;
                let format = v1::AudioFormat { encoding: v1::AudioEncoding::Opus.into(), channels: 0 };
                Ok((Self::Ogg(Box::new(packets)), format))
            }
            b"RIFF" => {
                let wav = WavReader::new(file)?;
                let spec = wav.spec();
                if u64::from(spec.sample_rate) != RATE {
                    return Err(SoundError::Rate(spec.sample_rate));
                }
                if !(1..=2).contains(&spec.channels) {
                    return Err(SoundError::Channels(spec.channels));
                }
                let encoding = v1::AudioEncoding::PcmS16le.into();
                Ok((Self::Wav(wav), v1::AudioFormat { encoding, channels: spec.channels.into() }))
            }
            _ => Err(SoundError::Neither),
        }
    }

    /// The next frame; none at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>, SoundError> {
        match self {
            Self::Ogg(packets) => loop {
                let Some(packet) = packets.read_packet()? else { return Ok(None) };
                match samples(&packet.data) {
                    Some(FRAME) => return Ok(Some(packet.data)),
                    // What lines up the files of a recording.
                    Some(SHORT) if packet.data == SHORT_SILENCE => {}
                    Some(samples) => return Err(SoundError::Length(samples * 1_000 / RATE)),
                    None => return Err(SoundError::NotOpus),
                }
            },
            Self::Wav(wav) => {
                let spec = wav.spec();
                let wanted = FRAME as usize * usize::from(spec.channels);
                let mut taken = match spec.sample_format {
                    SampleFormat::Int => {
                        let samples = wav.samples::<i32>().take(wanted);
                        samples.map(|sample| Ok(sixteen_bits(sample?, spec.bits_per_sample))).collect()
                    }
                    SampleFormat::Float => {
                        let samples = wav.samples::<f32>().take(wanted);
                        // `as` keeps to the ends of the range.
                        samples.map(|sample| Ok((sample? * 32_768.0) as i16)).collect::<Result<Vec<i16>, SoundError>>()
                    }
                }?;
                if taken.is_empty() {
                    return Ok(None);
                }
                taken.resize(wanted, 0);
                Ok(Some(taken.into_iter().flat_map(i16::to_le_bytes).collect()))
            }
        }
    }
}

/// The upper 16 bits of a sample.
fn sixteen_bits(sample: i32, bits: u16) -> i16 {
    let shifted = if bits >= 16 { sample >> (bits - 16).min(31) } else { sample << (16 - bits) };
    shifted.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[cfg(test)]
mod tests {
    use hound::{WavSpec, WavWriter};
    use tempfile::NamedTempFile;

    use super::*;
    use crate::voice::track::{Kind, Track};

    fn wav(spec: WavSpec, samples: u32) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        let mut writer = WavWriter::create(file.path(), spec).unwrap();
        for sample in 0..samples {
            writer.write_sample((sample % 100) as i32).unwrap();
        }
        writer.finalize().unwrap();
        file
    }

    const SPEC: WavSpec =
        WavSpec { channels: 1, sample_rate: 48_000, bits_per_sample: 16, sample_format: SampleFormat::Int };

    #[test]
    fn a_wav_file_becomes_frames_and_the_last_one_is_filled_up() {
        let file = wav(SPEC, 960 + 100);
        let sound = Sound::open(file.path()).unwrap();
        assert_eq!(sound.length(), Duration::from_millis(40));
        let frames: Vec<_> = sound.frames().unwrap().map(Result::unwrap).collect();
        assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [1_920, 1_920]);
        assert_eq!((frames[0][2], frames[1][2], frames[1][1_918]), (1, 61, 0));
        let deep = wav(WavSpec { bits_per_sample: 24, ..SPEC }, 960);
        assert!(Sound::open(deep.path()).is_ok());
        assert_eq!((sixteen_bits(0x7f_ff_ff, 24), sixteen_bits(-128, 8)), (0x7fff, -32_768));
    }

    #[test]
    fn what_was_recorded_can_be_played() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("track.opus");
        // Not a multiple of a frame.
        Track::create(&path, Kind::Ogg, "1").unwrap().finish(48_000 + 300).unwrap();
        assert_eq!(Sound::open(&path).unwrap().length(), Duration::from_secs(1));
    }

    #[test]
    fn what_cannot_be_played_is_told_apart() {
        let said = |file: &NamedTempFile| Sound::open(file.path()).unwrap_err().to_string();
        assert!(said(&wav(WavSpec { sample_rate: 44_100, ..SPEC }, 960)).contains("44100"));
        assert!(said(&wav(WavSpec { channels: 3, ..SPEC }, 960)).contains("3 channels"));
        assert!(said(&wav(SPEC, 0)).contains("no sound"));
        let text = NamedTempFile::new().unwrap();
        std::fs::write(text.path(), "ID3 an mp3 file").unwrap();
        assert!(said(&text).contains("neither"));
    }

    /// Whatever is in a file, it is refused or played, and never more.
    #[test]
    fn damaged_files_end_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("track.opus");
        let track = Track::create(&path, Kind::Ogg, "1").unwrap();
        track.finish(48_000).unwrap();
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for good in [std::fs::read(&path).unwrap(), std::fs::read(wav(SPEC, 5_000).path()).unwrap()] {
            for _ in 0..300 {
                let mut bytes = good.clone();
                for _ in 0..random.usize(1..6) {
                    let place = random.usize(..bytes.len());
                    bytes[place] = random.u8(..);
                }
                bytes.truncate(random.usize(1..=bytes.len()));
                std::fs::write(&path, &bytes).unwrap();
                let opened = std::panic::catch_unwind(|| Sound::open(&path).map(drop));
                assert!(opened.is_ok(), "seed {seed}: {bytes:?}");
            }
        }
    }
}
