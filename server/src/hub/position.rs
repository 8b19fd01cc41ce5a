//! Positions in the event log, and the cursors that stand for them outside.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac::{self, HMAC_SHA256},
    rand,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use thiserror::Error;

/// Bytes of a cursor before base64: version, epoch, sequence, tag.
const CURSOR_BYTES: usize = 1 + 16 + 8 + TAG_BYTES;
const TAG_BYTES: usize = 8;
const VERSION: u8 = 1;

/// The name of one unbroken log. It changes only where continuity cannot be proven.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Epoch([u8; 16]);

impl Epoch {
    /// A new epoch, from the operating system's randomness.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).expect("the operating system gives randomness");
        Self(bytes)
    }

    /// The epoch with these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

/// The number of an entry within its epoch: dense from 1. 0 is the position before the first entry.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position before this one; 0 is before the first.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// Which log.
    pub epoch: Epoch,
    /// After which entry.
    pub sequence: Sequence,
}

/// A string is not a cursor that this deployment made.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("not a cursor of this deployment")]
pub struct InvalidCursor;

/// Makes and reads cursors: `base64url(version | epoch | sequence | tag)`, where the tag is a truncated HMAC-SHA-256 under
/// a key of the deployment, so that a forged or damaged cursor is an error and never wrong data.
pub struct CursorKey(hmac::Key);

impl CursorKey {
    /// Bytes of the secret.
    pub const SECRET_BYTES: usize = 32;

    /// A key from the deployment's secret.
    pub fn new(secret: &[u8; Self::SECRET_BYTES]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, secret))
    }

    /// The cursor of a position: 44 characters.
    pub fn seal(&self, position: Position) -> String {
        let mut bytes = [0; CURSOR_BYTES];
        bytes[0] = VERSION;
        bytes[1..17].copy_from_slice(&position.epoch.0);
        bytes[17..25].copy_from_slice(&position.sequence.0.to_be_bytes());
        let tag = hmac::sign(&self.0, &bytes[..25]);
        bytes[25..].copy_from_slice(&tag.as_ref()[..TAG_BYTES]);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position that a cursor stands for.
    pub fn open(&self, cursor: &str) -> Result<Position, InvalidCursor> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| InvalidCursor)?;
        let bytes: [u8; CURSOR_BYTES] = bytes.try_into().map_err(|_| InvalidCursor)?;
        let (signed, tag) = bytes.split_at(25);
        let expected = hmac::sign(&self.0, signed);
        verify_slices_are_equal(&expected.as_ref()[..TAG_BYTES], tag).map_err(|_| InvalidCursor)?;
        if signed[0] != VERSION {
            return Err(InvalidCursor);
        }
        let epoch = signed[1..17].try_into().expect("16 bytes");
        let sequence = u64::from_be_bytes(signed[17..].try_into().expect("8 bytes"));
        Ok(Position { epoch: Epoch(epoch), sequence: Sequence(sequence) })
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> CursorKey {
        CursorKey::new(&[7; 32])
    }

    #[test]
    fn a_cursor_fits_its_limit() {
        let cursor = key().seal(Position { epoch: Epoch::new([0xff; 16]), sequence: Sequence(u64::MAX) });
        assert_eq!(cursor.len(), 44);
    }

    #[test]
    fn a_cursor_of_another_deployment_is_refused() {
        let position = Position { epoch: Epoch::new([1; 16]), sequence: Sequence(9) };
        let cursor = key().seal(position);
        assert_eq!(key().open(&cursor), Ok(position));
        assert_eq!(CursorKey::new(&[8; 32]).open(&cursor), Err(InvalidCursor));
    }

    proptest! {
        #[test]
        fn no_damaged_cursor_opens(sequence: u64, epoch: [u8; 16], at in 0..44_usize, with in "[A-Za-z0-9_-]") {
            let position = Position { epoch: Epoch::new(epoch), sequence: Sequence(sequence) };
            let cursor = key().seal(position);
            prop_assert_eq!(key().open(&cursor), Ok(position));
            let mut damaged = cursor.clone();
            damaged.replace_range(at..=at, &with);
            prop_assume!(damaged != cursor);
            prop_assert_eq!(key().open(&damaged), Err(InvalidCursor));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            prop_assert_eq!(key().open(&text), Err(InvalidCursor));
        }
    }
}
