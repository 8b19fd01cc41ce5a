//! RTCP packets (RFC 3550, section 6): what Discord's clients and servers send beside media.
//!
//! Transport encryption leaves the first [`CLEAR_LEN`] bytes of a datagram clear. Bots' libraries send none and are
//! heard; what comes is read for its reports and otherwise let pass.

use thiserror::Error;

use crate::id::Ssrc;

/// The common header and the sender's source: clear and authenticated, everything after it is sealed.
pub const CLEAR_LEN: usize = 8;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const BLOCK_LEN: usize = 24;

/// Bytes are not a sequence of RTCP packets.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum RtcpError {
    /// It ends before its header says.
    #[error("the RTCP packet is too short for what its header says")]
    TooShort,
    /// Not version 2, the only one.
    #[error("not version 2 of RTCP")]
    Version,
}

/// How one source is received (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReportBlock {
    /// Which source.
    pub ssrc: Ssrc,
    /// The share that was lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// How many packets were lost in all, 24 bits with a sign: duplicates make it negative.
    pub lost: i32,
    /// The highest sequence number received, with the number of times that it wrapped above it.
    pub highest_sequence: u32,
    /// How unevenly packets come, in samples (RFC 3550, section 6.4.1, "interarrival jitter").
    pub jitter: u32,
    /// The middle 32 bits of the time in the last sender report; 0 if none came.
    pub last_report: u32,
    /// How long ago that was, in 65,536ths of a second.
    pub since_last_report: u32,
}

/// One packet of a datagram.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    /// What a source has sent, and how it receives others.
    SenderReport {
        /// The source that reports.
        ssrc: Ssrc,
        /// Wall-clock time in NTP's format: seconds since 1900 in the upper half, parts of a second in the lower.
        ntp_time: u64,
        /// The same moment on the clock of the source's media.
        rtp_time: u32,
        /// How many packets it has sent.
        packets: u32,
        /// How many bytes of payload it has sent.
        bytes: u32,
        /// One for each source that it receives.
        blocks: Vec<ReportBlock>,
    },
    /// How somebody who sends nothing receives others.
    ReceiverReport {
        /// The source that reports.
        ssrc: Ssrc,
        /// One for each source that it receives.
        blocks: Vec<ReportBlock>,
    },
    /// Sources that end.
    Goodbye(Vec<Ssrc>),
    /// Feedback about transport (205) or payload (206) (RFC 4585, section 6.1).
    Feedback {
        /// Whether it is about payload rather than transport.
        about_payload: bool,
        /// What it says, 0 to 31: generic NACK is transport's 1.
        format: u8,
        /// The source that says so.
        ssrc: Ssrc,
        /// The source that it is about.
        about: Ssrc,
        /// The rest, laid out as the format says.
        control: Vec<u8>,
    },
    /// A kind that is not read, with its packet type.
    Other(u8),
}

impl Packet {
    /// Reads all packets of a datagram that has been opened.
    ///
    /// # Errors
    ///
    /// If the datagram ends inside a packet, or a packet inside its own content.
    pub fn read_all(mut bytes: &[u8]) -> Result<Vec<Self>, RtcpError> {
        let mut packets = Vec::new();
        while !bytes.is_empty() {
            let [flags, kind, w0, w1, ref rest @ ..] = *bytes else { return Err(RtcpError::TooShort) };
            if flags >> 6 != 2 {
                return Err(RtcpError::Version);
            }
            let len = usize::from(u16::from_be_bytes([w0, w1])) * 4;
            let (content, after) = rest.split_at_checked(len).ok_or(RtcpError::TooShort)?;
            packets.push(Self::read(flags & 0b1_1111, kind, content)?);
            bytes = after;
        }
        Ok(packets)
    }

    fn read(count: u8, kind: u8, content: &[u8]) -> Result<Self, RtcpError> {
        let mut words = Words(content);
        Ok(match kind {
            SENDER_REPORT => Self::SenderReport {
                ssrc: Ssrc::new(words.next()?),
                ntp_time: u64::from(words.next()?) << 32 | u64::from(words.next()?),
                rtp_time: words.next()?,
                packets: words.next()?,
                bytes: words.next()?,
                blocks: words.blocks(count)?,
            },
            RECEIVER_REPORT => Self::ReceiverReport { ssrc: Ssrc::new(words.next()?), blocks: words.blocks(count)? },
            GOODBYE => {
                Self::Goodbye((0..count).map(|_| words.next().map(Ssrc::new)).collect::<Result<_, RtcpError>>()?)
            }
            TRANSPORT_FEEDBACK | PAYLOAD_FEEDBACK => Self::Feedback {
                about_payload: kind == PAYLOAD_FEEDBACK,
                format: count,
                ssrc: Ssrc::new(words.next()?),
                about: Ssrc::new(words.next()?),
                control: words.0.to_vec(),
            },
            other => Self::Other(other),
        })
    }

    /// Appends the packet. Blocks and sources after the 31st, and bytes of feedback after the last whole word, do not fit
    /// and are left out; [`Packet::Other`] has nothing to write.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::SenderReport { ssrc, ntp_time, rtp_time, packets, bytes, blocks } => {
                let blocks = &blocks[..blocks.len().min(31)];
                head(out, blocks.len(), SENDER_REPORT, 24 + blocks.len() * BLOCK_LEN);
                out.extend(ssrc.get().to_be_bytes());
                out.extend(ntp_time.to_be_bytes());
                [rtp_time, packets, bytes].iter().for_each(|word| out.extend(word.to_be_bytes()));
                blocks.iter().for_each(|block| block.write(out));
            }
            Self::ReceiverReport { ssrc, blocks } => {
                let blocks = &blocks[..blocks.len().min(31)];
                head(out, blocks.len(), RECEIVER_REPORT, 4 + blocks.len() * BLOCK_LEN);
                out.extend(ssrc.get().to_be_bytes());
                blocks.iter().for_each(|block| block.write(out));
            }
            Self::Goodbye(sources) => {
                let sources = &sources[..sources.len().min(31)];
                head(out, sources.len(), GOODBYE, sources.len() * 4);
                sources.iter().for_each(|source| out.extend(source.get().to_be_bytes()));
            }
            Self::Feedback { about_payload, format, ssrc, about, control } => {
                let kind = if *about_payload { PAYLOAD_FEEDBACK } else { TRANSPORT_FEEDBACK };
                let control = &control[..control.len() / 4 * 4];
                head(out, usize::from(format & 0b1_1111), kind, 8 + control.len());
                out.extend(ssrc.get().to_be_bytes());
                out.extend(about.get().to_be_bytes());
                out.extend(control);
            }
            Self::Other(_) => {}
        }
    }
}

impl ReportBlock {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.ssrc.get().to_be_bytes());
        let lost = self.lost.clamp(-(1 << 23), (1 << 23) - 1).to_be_bytes();
        out.extend([self.fraction_lost, lost[1], lost[2], lost[3]]);
        for word in [self.highest_sequence, self.jitter, self.last_report, self.since_last_report] {
            out.extend(word.to_be_bytes());
        }
    }
}

fn head(out: &mut Vec<u8>, count: usize, kind: u8, content_len: usize) {
    out.extend([0b1000_0000 | count as u8, kind]);
    out.extend(((content_len / 4) as u16).to_be_bytes());
}

/// What is left of a packet's content, word by word.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Result<u32, RtcpError> {
        let (word, rest) = self.0.split_first_chunk().ok_or(RtcpError::TooShort)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*word))
    }

    fn blocks(&mut self, count: u8) -> Result<Vec<ReportBlock>, RtcpError> {
        (0..count).map(|_| self.block()).collect()
    }

    fn block(&mut self) -> Result<ReportBlock, RtcpError> {
        let ssrc = Ssrc::new(self.next()?);
        let losses = self.next()?;
        Ok(ReportBlock {
            ssrc,
            fraction_lost: (losses >> 24) as u8,
            // The shifts bring the sign of 24 bits to where 32 have it.
            lost: (losses << 8) as i32 >> 8,
            highest_sequence: self.next()?,
            jitter: self.next()?,
            last_report: self.next()?,
            since_last_report: self.next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
        digits.chunks(2).map(pair).collect()
    }

    /// Laid out by hand from the figures of RFC 3550, sections 6.4.1, 6.4.2 and 6.6, and RFC 4585, section 6.1: a sender
    /// report with one block, an empty receiver report, a goodbye, a NACK, and a kind that nobody knows.
    #[test]
    fn the_layout_is_the_rfcs() {
        let bytes = hex("81c8000c 00000001 83aa7e80 80000000 00000bb8 00000064 00002710
             00000002 40ffffff 00010005 00000009 7e808000 00010000
             80c90001 00000003
             81cb0001 00000004
             81cd0003 00000005 00000006 00070001
             80cf0001 deadbeef");
        let block = ReportBlock {
            ssrc: Ssrc::new(2),
            fraction_lost: 64,
            lost: -1,
            highest_sequence: 0x0001_0005,
            jitter: 9,
            last_report: 0x7E80_8000,
            since_last_report: 65_536,
        };
        let packets = vec![
            Packet::SenderReport {
                ssrc: Ssrc::new(1),
                ntp_time: 0x83AA_7E80_8000_0000,
                rtp_time: 3_000,
                packets: 100,
                bytes: 10_000,
                blocks: vec![block],
            },
            Packet::ReceiverReport { ssrc: Ssrc::new(3), blocks: Vec::new() },
            Packet::Goodbye(vec![Ssrc::new(4)]),
            Packet::Feedback {
                about_payload: false,
                format: 1,
                ssrc: Ssrc::new(5),
                about: Ssrc::new(6),
                control: vec![0, 7, 0, 1],
            },
            Packet::Other(207),
        ];
        assert_eq!(Packet::read_all(&bytes), Ok(packets.clone()));
        let mut written = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut written));
        assert_eq!(written, bytes[..bytes.len() - 8]);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        assert_eq!(Packet::read_all(&[]), Ok(Vec::new()));
        for cut in ["80", "80c80001 0000", "81c90001 00000001", "81cb0000", "81cd0001 00000001"] {
            assert_eq!(Packet::read_all(&hex(cut)), Err(RtcpError::TooShort), "{cut}");
        }
        assert_eq!(Packet::read_all(&hex("40c90000")), Err(RtcpError::Version));
    }
}
