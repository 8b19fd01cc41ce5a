//! What can be read from an Opus packet without decoding it (RFC 6716, section 3).

use std::time::Duration;

use thiserror::Error;

/// A frame of silence, 20 ms: five of them end every stretch of speech, so that the receiver's decoder does not fill
/// the gap (Discord docs, Voice Connections, "Voice Data Interpolation"). It is never end-to-end encrypted.
pub const SILENCE: [u8; 3] = [0xF8, 0xFF, 0xFE];

/// How many [`SILENCE`] frames end a stretch of speech.
pub const TRAILING_SILENCE: u8 = 5;

/// Samples per second that Opus timestamps count, whatever the audio's own rate (RFC 7587, section 4.1).
pub const SAMPLE_RATE: u32 = 48_000;

/// No packet is longer (RFC 6716, section 3.2.5: requirement R5).
pub const LONGEST: Duration = Duration::from_millis(120);

/// A packet is not an Opus packet (RFC 6716, section 3.4).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PacketError {
    /// It has no bytes, or says "any number of frames" and then not how many.
    #[error("the Opus packet is too short")]
    TooShort,
    /// It says that it has no frame.
    #[error("the Opus packet has no frame")]
    NoFrame,
    /// It says that it is longer than [`LONGEST`].
    #[error("the Opus packet is longer than 120 ms")]
    TooLong,
}

/// The first byte of a packet, its table of contents (RFC 6716, section 3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Toc(u8);

/// How the frames of a packet were made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CodingMode {
    /// For speech at low rates.
    Silk,
    /// Both at once.
    Hybrid,
    /// For music and low delay.
    Celt,
}

impl Toc {
    /// The table of contents with this byte. Every byte is one.
    pub const fn new(byte: u8) -> Self {
        Self(byte)
    }

    /// The configuration number, 0 to 31: mode, bandwidth and frame size.
    pub const fn configuration(self) -> u8 {
        self.0 >> 3
    }

    /// How the frames were made.
    pub const fn mode(self) -> CodingMode {
        match self.configuration() {
            0..=11 => CodingMode::Silk,
            12..=15 => CodingMode::Hybrid,
            _ => CodingMode::Celt,
        }
    }

    /// Whether there are two channels.
    pub const fn is_stereo(self) -> bool {
        self.0 & 0b100 != 0
    }

    /// The length of one frame, in samples at [`SAMPLE_RATE`].
    pub const fn frame_samples(self) -> u32 {
        let configuration = self.configuration();
        match self.mode() {
            // 10, 20, 40 and 60 ms.
            CodingMode::Silk => match configuration & 0b11 {
                0 => 480,
                1 => 960,
                2 => 1_920,
                _ => 2_880,
            },
            // 10 and 20 ms.
            CodingMode::Hybrid => 480 << (configuration & 0b1),
            // 2.5, 5, 10 and 20 ms.
            CodingMode::Celt => 120 << (configuration & 0b11),
        }
    }
}

/// How many samples at [`SAMPLE_RATE`] a packet holds per channel: what an RTP timestamp rises by.
///
/// # Errors
///
/// If the bytes cannot be an Opus packet.
pub fn samples(packet: &[u8]) -> Result<u32, PacketError> {
    let [first, rest @ ..] = packet else { return Err(PacketError::TooShort) };
    let frames = match first & 0b11 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first().ok_or(PacketError::TooShort)? & 0b11_1111),
    };
    if frames == 0 {
        return Err(PacketError::NoFrame);
    }
    let samples = Toc::new(*first).frame_samples() * frames;
    if samples > LONGEST.as_millis() as u32 * (SAMPLE_RATE / 1_000) {
        return Err(PacketError::TooLong);
    }
    Ok(samples)
}

/// So many samples at [`SAMPLE_RATE`] as time.
pub const fn duration(samples: u32) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / SAMPLE_RATE as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6716, table 2: configuration numbers, modes and frame sizes.
    #[test]
    fn the_table_of_configurations_is_the_rfcs() {
        let silk = [480, 960, 1_920, 2_880];
        let celt = [120, 240, 480, 960];
        let mut expected = Vec::new();
        (0..3).for_each(|_| expected.extend(silk.map(|samples| (CodingMode::Silk, samples))));
        (0..2).for_each(|_| expected.extend([480, 960].map(|samples| (CodingMode::Hybrid, samples))));
        (0..4).for_each(|_| expected.extend(celt.map(|samples| (CodingMode::Celt, samples))));
        let read: Vec<_> =
            (0..32).map(|number| Toc::new(number << 3)).map(|toc| (toc.mode(), toc.frame_samples())).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn silence_is_one_frame_of_20_ms() {
        let toc = Toc::new(SILENCE[0]);
        assert_eq!((toc.configuration(), toc.mode(), toc.is_stereo()), (31, CodingMode::Celt, false));
        assert_eq!(samples(&SILENCE), Ok(960));
        assert_eq!(duration(960), Duration::from_millis(20));
    }

    /// RFC 6716, section 3.2: codes 0 to 3.
    #[test]
    fn the_number_of_frames_is_read_from_the_code() {
        assert_eq!(samples(&[0xFC]), Ok(960));
        assert_eq!(samples(&[0xFD]), Ok(1_920));
        assert_eq!(samples(&[0xFE]), Ok(1_920));
        assert_eq!(samples(&[0xFF, 0b1100_0011]), Ok(2_880));
        assert_eq!(samples(&[0xFF, 6]), Ok(5_760));
        assert_eq!(samples(&[0xFF, 7]), Err(PacketError::TooLong));
        assert_eq!(samples(&[0xFF, 0]), Err(PacketError::NoFrame));
        assert_eq!(samples(&[0xFF]), Err(PacketError::TooShort));
        assert_eq!(samples(&[]), Err(PacketError::TooShort));
    }
}
