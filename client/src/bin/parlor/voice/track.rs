//! A file with what one speaker said. It can be played at any moment: what is missing is what was not synced.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
};

use hound::{SampleFormat, WavSpec, WavWriter};
use ogg::{PacketWriteEndInfo, PacketWriter};
use thiserror::Error;

use super::{
    opus::{FRAME, RATE, SHORT, SHORT_SILENCE, SILENCE, lost_after, samples},
    timeline::{Gap, Heard, Timeline},
};

/// Channels of the files.
const CHANNELS: u8 = 2;

/// Sizes in the header of a WAV file have 32 bits.
const MOST_WAV_BYTES: u64 = u32::MAX as u64 - 4_096;

/// A recording cannot be written.
#[derive(Debug, Error)]
pub(crate) enum TrackError {
    /// The disk does not take it.
    #[error("cannot write the file")]
    Io(#[from] io::Error),
    /// A WAV file holds four gigabytes.
    #[error("a WAV file holds no more than six hours; Ogg Opus has no such end")]
    Full,
}

impl From<hound::Error> for TrackError {
    fn from(error: hound::Error) -> Self {
        Self::Io(if let hound::Error::IoError(error) = error { error } else { io::Error::other(error) })
    }
}

/// A speaker's file, and how far it is.
pub(crate) struct Track {
    line: Timeline,
    /// Where the last one was written out.
    synced: u64,
    sink: Sink,
}

enum Sink {
    Ogg(Box<OggOpus>),
    Wav(WavWriter<BufWriter<File>>),
}

/// What a track is written as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Ogg,
    Wav,
}

impl Track {
    /// Makes a file that is not there yet.
    pub(crate) fn create(path: &Path, kind: Kind, user: &str) -> Result<Self, TrackError> {
        let file = BufWriter::new(File::create_new(path)?);
        let sink = match kind {
            Kind::Ogg => Sink::Ogg(Box::new(OggOpus::begin(file, user)?)),
            Kind::Wav => {
                let spec = WavSpec {
                    channels: CHANNELS.into(),
                    sample_rate: RATE as u32,
                    bits_per_sample: 16,
                    sample_format: SampleFormat::Int,
                };
                let mut wav = WavWriter::new(file, spec)?;
                wav.flush()?;
                Sink::Wav(wav)
            }
        };
        Ok(Self { line: Timeline::default(), synced: 0, sink })
    }

    /// Lays a frame where it belongs, if there is room for it. `now` is how long the recording lasts.
    pub(crate) fn lay(&mut self, audio: &[u8], heard: &Heard, now: std::time::Duration) -> Result<(), TrackError> {
        let Some(gap) = self.line.place(heard, now) else { return Ok(()) };
        self.gap(gap)?;
        match &mut self.sink {
            Sink::Ogg(ogg) => ogg.packet(audio.to_vec(), heard.samples)?,
            Sink::Wav(wav) => {
                for pair in audio.chunks_exact(2) {
                    wav.write_sample(i16::from_le_bytes([pair[0], pair[1]]))?;
                }
            }
        }
        self.sync_if_due()
    }

    /// Lays silence up to a moment of the recording, where nothing is laid yet.
    pub(crate) fn keep_up(&mut self, until: u64) -> Result<(), TrackError> {
        let silence = self.line.fill(until);
        self.gap(Gap { silence, lost: 0 })?;
        self.sync_if_due()
    }

    /// How many samples of one channel are in it.
    pub(crate) fn end(&self) -> u64 {
        self.line.end()
    }

    /// Ends the file at a moment of the recording.
    pub(crate) fn finish(mut self, end: u64) -> Result<(), TrackError> {
        let silence = self.line.fill(end);
        self.gap(Gap { silence, lost: 0 })?;
        match self.sink {
            Sink::Ogg(ogg) => Ok(ogg.finish()?),
            Sink::Wav(wav) => Ok(wav.finalize()?),
        }
    }

    fn gap(&mut self, gap: Gap) -> Result<(), TrackError> {
        match &mut self.sink {
            Sink::Ogg(ogg) => Ok(ogg.gap(gap)?),
            Sink::Wav(wav) => {
                if self.line.end() * u64::from(CHANNELS) * 2 > MOST_WAV_BYTES {
                    return Err(TrackError::Full);
                }
                for _ in 0..(gap.silence + gap.lost * FRAME) * u64::from(CHANNELS) {
                    wav.write_sample(0_i16)?;
                }
                Ok(())
            }
        }
    }

    /// Has what was laid on the disk, once a second.
    fn sync_if_due(&mut self) -> Result<(), TrackError> {
        if self.line.end() < self.synced + RATE {
            return Ok(());
        }
        self.synced = self.line.end();
        match &mut self.sink {
            Sink::Ogg(ogg) => Ok(ogg.sync()?),
            Sink::Wav(wav) => Ok(wav.flush()?),
        }
    }
}

/// An Ogg Opus file (RFC 7845).
struct OggOpus {
    writer: PacketWriter<'static, BufWriter<File>>,
    serial: u32,
    /// Samples that are laid: the granule position.
    position: u64,
    /// Where the last page ended.
    page: u64,
    /// What a packet that is lost is made up from.
    last: Vec<u8>,
}

impl OggOpus {
    fn begin(file: BufWriter<File>, user: &str) -> io::Result<Self> {
        let mut writer = PacketWriter::new(file);
        let serial = fastrand::u32(..);
        let mut head = b"OpusHead\x01".to_vec();
        head.push(CHANNELS);
        head.extend(0_u16.to_le_bytes());
        head.extend((RATE as u32).to_le_bytes());
        head.extend([0; 3]);
        writer.write_packet(head, serial, PacketWriteEndInfo::EndPage, 0)?;
        let mut tags = b"OpusTags".to_vec();
        let text = |tags: &mut Vec<u8>, text: &str| {
            tags.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
            tags.extend(text.as_bytes());
        };
        text(&mut tags, "parlor");
        tags.extend(1_u32.to_le_bytes());
        text(&mut tags, &format!("ARTIST={user}"));
        writer.write_packet(tags, serial, PacketWriteEndInfo::EndPage, 0)?;
        writer.inner_mut().flush()?;
        Ok(Self { writer, serial, position: 0, page: 0, last: Vec::new() })
    }

    fn packet(&mut self, packet: Vec<u8>, samples: u64) -> io::Result<()> {
        self.last.clone_from(&packet);
        self.write(packet, samples)
    }

    fn write(&mut self, packet: Vec<u8>, samples: u64) -> io::Result<()> {
        self.position += samples;
        // Pages of a second, so that what is lost with the process is no more.
        let is_full = self.position >= self.page + RATE;
        if is_full {
            self.page = self.position;
        }
        let end = if is_full { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
        self.writer.write_packet(packet, self.serial, end, self.position)
    }

    fn gap(&mut self, gap: Gap) -> io::Result<()> {
        for _ in 0..gap.silence / FRAME {
            self.write(SILENCE.to_vec(), FRAME)?;
        }
        for _ in 0..gap.silence % FRAME / SHORT {
            self.write(SHORT_SILENCE.to_vec(), SHORT)?;
        }
        for _ in 0..gap.lost {
            let packet = lost_after(&self.last).map_or(SILENCE.to_vec(), |packet| packet.to_vec());
            self.write(packet, FRAME)?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.writer.inner_mut().flush()
    }

    fn finish(mut self) -> io::Result<()> {
        let samples = samples(&SHORT_SILENCE).unwrap_or(SHORT);
        let end = PacketWriteEndInfo::EndStream;
        self.writer.write_packet(SHORT_SILENCE.to_vec(), self.serial, end, self.position + samples)?;
        self.sync()
    }
}
