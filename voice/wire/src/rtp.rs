//! RTP packets (RFC 3550, section 5.1) and their header extensions (RFC 8285).
//!
//! Discord encrypts a packet in two cuts (see [`crate::transport`]): the header stays clear, with the first four bytes of
//! the extension where there is one; the extension's elements, the payload and the padding are sealed together. So
//! reading is in two steps too: [`Header::read`] before opening, [`Header::split`] after.

use thiserror::Error;

use crate::id::Ssrc;

/// The payload type of Opus where a client does not choose others (Discord docs, Voice Connections, "Encrypting and
/// Sending Voice").
pub const OPUS: u8 = 120;

/// The header without sources and extension.
pub const FIXED_LEN: usize = 12;

/// The first four bytes of an extension: profile and length.
pub const EXTENSION_PREAMBLE_LEN: usize = 4;

/// The profile of extensions with one-byte headers (RFC 8285, section 4.2). Discord's clients use no other.
pub const ONE_BYTE_PROFILE: u16 = 0xBEDE;

/// Bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum RtpError {
    /// It ends before its header, its extension or its padding does.
    #[error("the RTP packet is too short for what its header says")]
    TooShort,
    /// Not version 2, the only one.
    #[error("not version 2 of RTP")]
    Version,
    /// RTCP, by its second byte (RFC 5761, section 4).
    #[error("an RTCP packet")]
    Rtcp,
    /// Padding that is empty, or longer than what it pads.
    #[error("the RTP packet's padding is not possible")]
    Padding,
}

/// The position of a packet in its source's stream. It rises by one with each packet and wraps.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct SequenceNumber(u16);

impl SequenceNumber {
    /// The position with this number.
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    /// The number itself.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The position so many packets later.
    #[must_use]
    pub const fn plus(self, packets: u16) -> Self {
        Self(self.0.wrapping_add(packets))
    }

    /// How many packets after `earlier` this one is, the short way round: -32,768 to 32,767.
    pub const fn since(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0) as i16
    }
}

/// When the first sample of a packet was taken, on its source's own clock of [`crate::opus::SAMPLE_RATE`]. It wraps.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct RtpTimestamp(u32);

impl RtpTimestamp {
    /// The time with this number of samples.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The number of samples.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The time so many samples later.
    #[must_use]
    pub const fn plus(self, samples: u32) -> Self {
        Self(self.0.wrapping_add(samples))
    }

    /// How many samples after `earlier` this is, the short way round.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}

/// The first four bytes of an extension (RFC 3550, section 5.3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExtensionPreamble {
    /// How the elements are laid out; [`ONE_BYTE_PROFILE`] is known.
    pub profile: u16,
    /// The length of the elements, in words of four bytes.
    pub words: u16,
}

impl ExtensionPreamble {
    /// The length of the elements, in bytes.
    pub const fn elements_len(self) -> usize {
        self.words as usize * 4
    }

    /// The four bytes.
    pub const fn write(self) -> [u8; EXTENSION_PREAMBLE_LEN] {
        let ([p0, p1], [w0, w1]) = (self.profile.to_be_bytes(), self.words.to_be_bytes());
        [p0, p1, w0, w1]
    }

    /// Reads the first four of these bytes.
    ///
    /// # Errors
    ///
    /// If there are fewer.
    pub fn read(bytes: &[u8]) -> Result<Self, RtpError> {
        let [p0, p1, w0, w1, ..] = *bytes else { return Err(RtpError::TooShort) };
        Ok(Self { profile: u16::from_be_bytes([p0, p1]), words: u16::from_be_bytes([w0, w1]) })
    }
}

/// What stands in front of a packet: the fixed header and the contributing sources.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// Whether the payload is followed by padding.
    pub padded: bool,
    /// Whether the header is followed by an extension.
    pub extended: bool,
    /// The marker bit: for audio, the first packet after a silence (RFC 7587, section 4.2).
    pub marker: bool,
    /// What the payload is, 0 to 127; see [`OPUS`].
    pub payload_type: u8,
    /// Where in the stream.
    pub sequence: SequenceNumber,
    /// When.
    pub timestamp: RtpTimestamp,
    /// Whose stream.
    pub ssrc: Ssrc,
    /// Sources that a mixer has mixed, at most 15. Discord's are empty.
    pub contributing: Vec<Ssrc>,
}

/// The parts of an opened packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Body<'a> {
    /// The extension's elements; empty without an extension.
    pub elements: &'a [u8],
    /// The payload, without padding.
    pub payload: &'a [u8],
}

impl Header {
    /// The header of an Opus packet, plain: no marker, padding, extension or contributing source.
    pub const fn opus(sequence: SequenceNumber, timestamp: RtpTimestamp, ssrc: Ssrc) -> Self {
        let (padded, extended, marker) = (false, false, false);
        Self { padded, extended, marker, payload_type: OPUS, sequence, timestamp, ssrc, contributing: Vec::new() }
    }

    /// The length of the header, in bytes, without the extension.
    pub fn clear_len(&self) -> usize {
        FIXED_LEN + 4 * self.contributing.len()
    }

    /// Reads the header from the front of a packet.
    ///
    /// # Errors
    ///
    /// If the bytes do not begin with an RTP header.
    pub fn read(bytes: &[u8]) -> Result<Self, RtpError> {
        let [b0, b1, q0, q1, t0, t1, t2, t3, s0, s1, s2, s3, ref rest @ ..] = *bytes else {
            return Err(RtpError::TooShort);
        };
        if b0 >> 6 != 2 {
            return Err(RtpError::Version);
        }
        if is_rtcp(bytes) {
            return Err(RtpError::Rtcp);
        }
        let sources = rest.get(..4 * usize::from(b0 & 0b1111)).ok_or(RtpError::TooShort)?;
        let (sources, _) = sources.as_chunks();
        Ok(Self {
            padded: b0 & 0b10_0000 != 0,
            extended: b0 & 0b1_0000 != 0,
            marker: b1 & 0b1000_0000 != 0,
            payload_type: b1 & 0b111_1111,
            sequence: SequenceNumber(u16::from_be_bytes([q0, q1])),
            timestamp: RtpTimestamp(u32::from_be_bytes([t0, t1, t2, t3])),
            ssrc: Ssrc::new(u32::from_be_bytes([s0, s1, s2, s3])),
            contributing: sources.iter().map(|source| Ssrc::new(u32::from_be_bytes(*source))).collect(),
        })
    }

    /// Appends the header. Contributing sources after the fifteenth, and bits of the payload type above the seventh, do
    /// not fit and are left out.
    pub fn write(&self, out: &mut Vec<u8>) {
        let sources = &self.contributing[..self.contributing.len().min(15)];
        let flags = u8::from(self.padded) << 5 | u8::from(self.extended) << 4 | sources.len() as u8;
        out.extend([0b1000_0000 | flags, u8::from(self.marker) << 7 | self.payload_type & 0b111_1111]);
        out.extend(self.sequence.0.to_be_bytes());
        out.extend(self.timestamp.0.to_be_bytes());
        out.extend(self.ssrc.get().to_be_bytes());
        sources.iter().for_each(|source| out.extend(source.get().to_be_bytes()));
    }

    /// Takes what follows the header, and the extension's preamble, apart: elements, payload, padding.
    ///
    /// The padding has to go before end-to-end decryption: what is sealed for the listener ends at a marker that stands
    /// in front of it.
    ///
    /// # Errors
    ///
    /// If there are fewer bytes than the header and the preamble say.
    pub fn split<'a>(&self, extension: Option<ExtensionPreamble>, rest: &'a [u8]) -> Result<Body<'a>, RtpError> {
        let elements_len = extension.map_or(0, ExtensionPreamble::elements_len);
        let (elements, padded) = rest.split_at_checked(elements_len).ok_or(RtpError::TooShort)?;
        let payload = if self.padded {
            let padding = usize::from(*padded.last().ok_or(RtpError::Padding)?);
            let kept = padded.len().checked_sub(padding).filter(|_| padding > 0).ok_or(RtpError::Padding)?;
            &padded[..kept]
        } else {
            padded
        };
        Ok(Body { elements, payload })
    }
}

/// Whether a datagram that is RTP or RTCP is the latter (RFC 5761, section 4, for the packet types that Discord uses).
pub fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| (200..=206).contains(kind))
}

/// One element of an extension.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Element<'a> {
    /// What it is, 1 to 14: for Discord 1 is the audio level and 9 the speaking flags.
    pub id: u8,
    /// Its value, 1 to 16 bytes.
    pub value: &'a [u8],
}

/// The elements of an extension with one-byte headers (RFC 8285, section 4.2), as far as they can be read.
pub fn one_byte_elements(elements: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut rest = elements;
    std::iter::from_fn(move || {
        // A zero byte is padding between elements.
        while let [0, after @ ..] = rest {
            rest = after;
        }
        let [head, after @ ..] = rest else { return None };
        let (id, len) = (head >> 4, usize::from(head & 0b1111) + 1);
        // Id 15 means: stop here.
        let (value, after) = after.split_at_checked(len).filter(|_| id != 15)?;
        rest = after;
        Some(Element { id, value })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Laid out by hand from RFC 3550, section 5.1.
    #[test]
    fn the_layout_is_the_rfcs() {
        let bytes = [
            0b1011_0010,
            0b1111_1000,
            0x01,
            0x02,
            0x03,
            0x04,
            0x05,
            0x06,
            0x07,
            0x08,
            0x09,
            0x0A,
            0x11,
            0x12,
            0x13,
            0x14,
            0x21,
            0x22,
            0x23,
            0x24,
        ];
        let header = Header {
            padded: true,
            extended: true,
            marker: true,
            payload_type: OPUS,
            sequence: SequenceNumber::new(0x0102),
            timestamp: RtpTimestamp::new(0x0304_0506),
            ssrc: Ssrc::new(0x0708_090A),
            contributing: vec![Ssrc::new(0x1112_1314), Ssrc::new(0x2122_2324)],
        };
        assert_eq!(Header::read(&bytes), Ok(header.clone()));
        assert_eq!(header.clear_len(), bytes.len());
        let mut written = Vec::new();
        header.write(&mut written);
        assert_eq!(written, bytes);
        for end in 0..bytes.len() {
            assert_eq!(Header::read(&bytes[..end]), Err(RtpError::TooShort), "{end} bytes");
        }
    }

    #[test]
    fn other_versions_and_rtcp_are_told_apart() {
        let plain =
            |b0: u8, b1: u8| Header::read(&[b0, b1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).map(|header| header.clear_len());
        assert_eq!(plain(0x80, 0x78), Ok(12));
        assert_eq!(plain(0x40, 0x78), Err(RtpError::Version));
        assert_eq!((plain(0x80, 200), plain(0x80, 206)), (Err(RtpError::Rtcp), Err(RtpError::Rtcp)));
        assert_eq!((plain(0x80, 199), plain(0x80, 207)), (Ok(12), Ok(12)));
    }

    #[test]
    fn padding_and_extension_are_taken_off() {
        let mut header = Header::opus(SequenceNumber::new(0), RtpTimestamp::new(0), Ssrc::new(1));
        let preamble = ExtensionPreamble { profile: ONE_BYTE_PROFILE, words: 1 };
        assert_eq!(ExtensionPreamble::read(&preamble.write()), Ok(preamble));
        let rest = [0x10, 0xFF, 0x90, 0x02, 0xF8, 0xFF, 0xFE, 0x00, 0x00, 0x03];
        let whole = header.split(None, &rest).expect("splits");
        assert_eq!((whole.elements.len(), whole.payload), (0, &rest[..]));
        header.padded = true;
        let body = header.split(Some(preamble), &rest).expect("splits");
        assert_eq!((body.elements, body.payload), (&rest[..4], &rest[4..7]));
        assert_eq!(header.split(None, &[3, 3, 3]).map(|body| body.payload.len()), Ok(0));
        for impossible in [&[][..], &[0], &[2], &[1, 2, 4]] {
            assert_eq!(header.split(None, impossible), Err(RtpError::Padding), "{impossible:?}");
        }
        assert_eq!(header.split(Some(preamble), &rest[..3]), Err(RtpError::TooShort));
    }

    /// The second example of RFC 8285, section 4.2, with a stop at the end.
    #[test]
    fn elements_are_read_until_the_stop() {
        let bytes = [0x10, 0xAA, 0x21, 0xBB, 0xCC, 0x00, 0x00, 0x33, 1, 2, 3, 4, 0xF0, 0x10, 0x01];
        let read: Vec<_> = one_byte_elements(&bytes).map(|element| (element.id, element.value.to_vec())).collect();
        assert_eq!(read, [(1, vec![0xAA]), (2, vec![0xBB, 0xCC]), (3, vec![1, 2, 3, 4])]);
        assert_eq!(one_byte_elements(&[0x13, 1, 2]).count(), 0, "an element that is cut off");
    }

    #[test]
    fn numbers_wrap() {
        let (last, first) = (SequenceNumber::new(u16::MAX), SequenceNumber::new(0));
        assert_eq!((first.since(last), last.since(first), last.plus(1)), (1, -1, first));
        let (late, early) = (RtpTimestamp::new(480), RtpTimestamp::new(u32::MAX - 479));
        assert_eq!((late.since(early), early.plus(960)), (960, late));
    }
}
