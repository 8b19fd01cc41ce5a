//! Cursors.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use parlor_server::hub::{CursorKey, Epoch, InvalidCursor, Position, Sequence};

use crate::{input, scene};

/// Any text as a cursor: what opens is, byte for byte, what its position seals to. And of the cursor of the position
/// that the first 24 bytes name, no single changed bit opens.
pub fn cursor(data: &[u8]) {
    let key = scene::cursor_key();
    let text = input::text(data);
    if let Ok(position) = key.open(&text) {
        assert_eq!(key.seal(position), text, "two cursors of one position");
    }
    let Some((named, rest)) = data.split_first_chunk::<24>() else { return };
    let (epoch, sequence) = named.split_at(16);
    let position = Position {
        epoch: Epoch::new(epoch.try_into().expect("16 bytes")),
        sequence: Sequence(u64::from_be_bytes(sequence.try_into().expect("8 bytes"))),
    };
    let sealed = key.seal(position);
    assert_eq!(key.open(&sealed), Ok(position));
    assert_eq!(CursorKey::new(&[8; 32]).open(&sealed), Err(InvalidCursor), "another deployment's cursor opens");
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&sealed).expect("a cursor is base64url");
    let bit = rest.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    assert_eq!(key.open(&BASE64_URL_SAFE_NO_PAD.encode(bytes)), Err(InvalidCursor), "bit {bit} does not matter");
}
