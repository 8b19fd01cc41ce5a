//! The layout of an end-to-end encrypted frame (DAVE protocol, "Payload Format").
//!
//! ```text
//! body, as long as the frame before encryption ‖ tag[8] ‖ ULEB128(nonce) ‖ (ULEB128(offset) ‖ ULEB128(len))* ‖ size ‖ FA FA
//! ```
//! Ranges of the body that stand in the clear are listed; Opus has none. `size` counts everything after the body.

use thiserror::Error;

/// The two bytes that an encrypted frame ends with.
pub const MARKER: [u8; 2] = [0xFA, 0xFA];
/// The length of the cut-off authentication tag.
pub const TAG_LEN: usize = 8;
/// Tag, size and marker: a trailer without its variable part.
const FIXED_LEN: usize = TAG_LEN + 1 + MARKER.len();

/// Bytes are not an encrypted frame, so they are a plain one.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum FrameError {
    /// It does not end with [`MARKER`].
    #[error("the frame does not end with the marker of encrypted frames")]
    NoMarker,
    /// The trailer's size is not possible.
    #[error("the frame's trailer is not as long as it says")]
    Size,
    /// A number of the trailer does not end, or is too large.
    #[error("the frame's trailer has a number that cannot be read")]
    Number,
    /// The clear ranges overlap, go backwards or leave the body.
    #[error("the frame's clear ranges are not possible")]
    Ranges,
}

/// A part of the body that stands in the clear.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClearRange {
    /// Where it begins in the body.
    pub offset: u32,
    /// Its length in bytes.
    pub len: u32,
}

/// What follows the body of an encrypted frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trailer {
    /// The first bytes of the authentication tag.
    pub tag: [u8; TAG_LEN],
    /// The sender's counter: rises with every frame of an epoch, its top byte is the generation of the key.
    pub nonce: u32,
    /// What stands in the clear, in order.
    pub clear: Vec<ClearRange>,
}

impl Trailer {
    /// Reads the trailer of a frame and returns the body that stands in front of it.
    ///
    /// # Errors
    ///
    /// If the frame is not an encrypted one.
    pub fn read(frame: &[u8]) -> Result<(&[u8], Self), FrameError> {
        let [before @ .., size, m0, m1] = frame else { return Err(FrameError::NoMarker) };
        if [*m0, *m1] != MARKER {
            return Err(FrameError::NoMarker);
        }
        let size = usize::from(*size);
        let body_len = frame.len().checked_sub(size).filter(|_| size > FIXED_LEN).ok_or(FrameError::Size)?;
        let (body, trailer) = before.split_at(body_len);
        let (tag, mut numbers) = trailer.split_first_chunk().ok_or(FrameError::Size)?;
        let nonce = read_number(&mut numbers)?;
        let mut clear = Vec::new();
        let mut end = 0;
        while !numbers.is_empty() {
            let range = ClearRange { offset: read_number(&mut numbers)?, len: read_number(&mut numbers)? };
            let begin = u64::from(range.offset);
            if begin < end {
                return Err(FrameError::Ranges);
            }
            end = begin + u64::from(range.len);
            clear.push(range);
        }
        if end > body.len() as u64 {
            return Err(FrameError::Ranges);
        }
        Ok((body, Self { tag: *tag, nonce, clear }))
    }

    /// Appends the trailer to a body.
    ///
    /// # Errors
    ///
    /// [`FrameError::Size`] if there are more clear ranges than a trailer of 255 bytes can list; nothing is appended.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let begin = out.len();
        out.extend(self.tag);
        write_number(self.nonce, out);
        for range in &self.clear {
            write_number(range.offset, out);
            write_number(range.len, out);
        }
        let Ok(size) = u8::try_from(out.len() - begin + 1 + MARKER.len()) else {
            out.truncate(begin);
            return Err(FrameError::Size);
        };
        out.push(size);
        out.extend(MARKER);
        Ok(())
    }
}

/// Reads an unsigned LEB128 number of at most 32 bits.
fn read_number(bytes: &mut &[u8]) -> Result<u32, FrameError> {
    let mut value: u64 = 0;
    for shift in [0, 7, 14, 21, 28] {
        let [byte, rest @ ..] = *bytes else { return Err(FrameError::Number) };
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| FrameError::Number);
        }
    }
    Err(FrameError::Number)
}

fn write_number(mut value: u32, out: &mut Vec<u8>) {
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame that davey 0.2.0 made from eight bytes of Opus, its first of an epoch.
    const SEALED: [u8; 20] = [
        0x5C, 0x50, 0xD1, 0x9E, 0x27, 0xCD, 0xF0, 0x7F, 0x3E, 0x04, 0x97, 0xB5, 0xA6, 0x38, 0x95, 0x05, 0x01, 0x0C,
        0xFA, 0xFA,
    ];

    #[test]
    fn another_implementations_frame_is_read() {
        let (body, trailer) = Trailer::read(&SEALED).expect("encrypted");
        assert_eq!(body, &SEALED[..8]);
        let tag = [0x3E, 0x04, 0x97, 0xB5, 0xA6, 0x38, 0x95, 0x05];
        assert_eq!(trailer, Trailer { tag, nonce: 1, clear: Vec::new() });
        let mut written = body.to_vec();
        trailer.write(&mut written).expect("fits");
        assert_eq!(written, SEALED);
    }

    /// The numbers are those of the example in Wikipedia's and DWARF's description of LEB128: 624485 is E5 8E 26.
    #[test]
    fn numbers_are_leb128() {
        let mut written = Vec::new();
        write_number(624_485, &mut written);
        assert_eq!(written, [0xE5, 0x8E, 0x26]);
        assert_eq!(read_number(&mut &written[..]), Ok(624_485));
        assert_eq!(read_number(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F][..]), Ok(u32::MAX));
        assert_eq!(read_number(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0x1F][..]), Err(FrameError::Number));
        assert_eq!(read_number(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..]), Err(FrameError::Number));
        assert_eq!(read_number(&mut &[0x80][..]), Err(FrameError::Number));
    }

    #[test]
    fn plain_frames_are_told_apart() {
        assert_eq!(Trailer::read(&crate::opus::SILENCE), Err(FrameError::NoMarker));
        assert_eq!(Trailer::read(&[]), Err(FrameError::NoMarker));
        let changed = |at: usize, byte: u8| {
            let mut frame = SEALED;
            frame[at] = byte;
            Trailer::read(&frame).map(|_| ())
        };
        assert_eq!(changed(17, 11), Err(FrameError::Size), "no nonce");
        assert_eq!(changed(17, 21), Err(FrameError::Size), "longer than the frame");
        assert_eq!(changed(16, 0x81), Err(FrameError::Number), "a nonce that does not end");
    }

    #[test]
    fn clear_ranges_stay_inside_the_body_and_in_order() {
        let framed = |ranges: &[(u32, u32)]| {
            let clear = ranges.iter().map(|(offset, len)| ClearRange { offset: *offset, len: *len }).collect();
            let mut frame = vec![0; 10];
            Trailer { tag: [0; 8], nonce: 9, clear }.write(&mut frame).expect("fits");
            Trailer::read(&frame).map(|(body, trailer)| (body.len(), trailer.clear.len()))
        };
        assert_eq!(framed(&[(0, 2), (2, 3), (9, 1)]), Ok((10, 3)));
        for wrong in [&[(0, 11)][..], &[(3, 1), (0, 1)], &[(0, 3), (2, 1)], &[(u32::MAX, u32::MAX)]] {
            assert_eq!(framed(wrong), Err(FrameError::Ranges), "{wrong:?}");
        }
        let many = vec![ClearRange { offset: 0, len: 0 }; 200];
        assert_eq!(Trailer { tag: [0; 8], nonce: 1, clear: many }.write(&mut Vec::new()), Err(FrameError::Size));
    }
}
