//! What an Opus packet says of itself (RFC 6716, section 3.1), and packets that hold nothing.

/// Samples of one channel in a second, whatever the packet.
pub(crate) const RATE: u64 = 48_000;

/// Samples of one channel in 20 ms, the length of Discord's packets.
pub(crate) const FRAME: u64 = 960;

/// The longest packet, 120 ms.
const LONGEST: u64 = 5_760;

/// How many samples of one channel a packet has. None where it is no packet.
pub(crate) fn samples(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        12..=15 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(*packet.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|samples| (1..=LONGEST).contains(samples))
}

/// Silence of 20 ms.
pub(crate) const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// Silence of 2.5 ms.
pub(crate) const SHORT_SILENCE: [u8; 3] = [0xe0, 0xff, 0xfe];

/// Samples in [`SHORT_SILENCE`].
pub(crate) const SHORT: u64 = 120;

/// A packet of 20 ms that never came, after this one: a decoder makes up what it may have been (RFC 7845, section 4.1).
/// None where this one is of another length.
pub(crate) fn lost_after(packet: &[u8]) -> Option<[u8; 1]> {
    let toc = packet.first()? & 0xfc;
    (samples(&[toc]) == Some(FRAME)).then_some([toc])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_table() {
        let milliseconds = |packet: &[u8]| samples(packet).map(|samples| samples as f64 / 48.0);
        assert_eq!(milliseconds(&SILENCE), Some(20.0));
        assert_eq!(milliseconds(&SHORT_SILENCE), Some(2.5));
        assert_eq!(milliseconds(&[0b0001_1000]), Some(60.0), "SILK, narrow band");
        assert_eq!(milliseconds(&[0b0110_0000]), Some(10.0), "hybrid");
        assert_eq!(milliseconds(&[0b1111_1001, 0]), Some(40.0), "two frames");
        assert_eq!(milliseconds(&[0b1111_1011, 3]), Some(60.0), "three frames, as the second byte says");
        for none in [&[][..], &[0b1111_1011], &[0b1111_1011, 0], &[0b0001_1011, 3]] {
            assert_eq!(samples(none), None, "{none:?}");
        }
    }

    #[test]
    fn what_is_lost_sounds_like_what_was_before() {
        assert_eq!(lost_after(&[0b0000_1010, 1, 2]), Some([0b0000_1000]), "SILK of two frames goes on as one");
        assert_eq!(lost_after(&SHORT_SILENCE), None);
    }
}
