//! How a source's packets arrive, as a receiver report tells it (RFC 3550, sections 6.4.1 and A.3, A.8).

use parlor_voice_wire::Ssrc;
use parlor_voice_wire::opus::SAMPLE_RATE;
use parlor_voice_wire::rtcp::ReportBlock;
use parlor_voice_wire::rtp::Header;

use crate::world::Timestamp;

/// Counts of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reception {
    seen: Option<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    /// The first sequence number.
    base: u32,
    /// The highest, with how often it wrapped above it.
    highest: u32,
    received: u32,
    expected_before: u32,
    received_before: u32,
    /// In samples.
    jitter: f64,
    /// How far the newest packet's arrival was from the time that it carried, in samples; wraps.
    transit: u32,
}

impl Reception {
    /// A packet came.
    pub(crate) fn note(&mut self, header: &Header, now: Timestamp) {
        let arrival = now.unix_millis().wrapping_mul(u64::from(SAMPLE_RATE) / 1_000) as u32;
        let transit = arrival.wrapping_sub(header.timestamp.get());
        let number = header.sequence.get();
        let seen = self.seen.get_or_insert_with(|| Seen {
            base: number.into(),
            highest: number.into(),
            received: 0,
            expected_before: 0,
            received_before: 0,
            jitter: 0.0,
            transit,
        });
        seen.received += 1;
        let ahead = number.wrapping_sub(seen.highest as u16) as i16;
        if ahead > 0 {
            seen.highest = seen.highest.wrapping_add(ahead as u32);
        }
        let difference = f64::from((transit.wrapping_sub(seen.transit) as i32).unsigned_abs());
        seen.transit = transit;
        seen.jitter += (difference - seen.jitter) / 16.0;
    }

    /// The block of a report that answers a sender report of this middle time, at once. `None` before the first packet.
    pub(crate) fn report(&mut self, ssrc: Ssrc, last_report: u32) -> Option<ReportBlock> {
        let seen = self.seen.as_mut()?;
        let expected = seen.highest.wrapping_sub(seen.base).wrapping_add(1);
        let expected_now = expected.wrapping_sub(seen.expected_before);
        let received_now = seen.received.wrapping_sub(seen.received_before);
        (seen.expected_before, seen.received_before) = (expected, seen.received);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction_lost = (u64::from(lost_now) * 256).checked_div(expected_now.into()).unwrap_or(0).min(255) as u8;
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            lost: expected.wrapping_sub(seen.received) as i32,
            highest_sequence: seen.highest,
            jitter: seen.jitter as u32,
            last_report,
            since_last_report: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use parlor_voice_wire::rtp::{RtpTimestamp, SequenceNumber};

    use super::*;

    #[test]
    fn losses_are_counted_over_the_wrap() {
        let (ssrc, start) = (Ssrc::new(7), Timestamp::from_unix_millis(1_800_000_000_000));
        let mut reception = Reception::default();
        assert_eq!(reception.report(ssrc, 0), None);
        for place in (0..20_u16).filter(|place| place % 4 != 1) {
            let (number, time) = (65_530_u16.wrapping_add(place), u32::from(place) * 960);
            let header = Header::opus(SequenceNumber::new(number), RtpTimestamp::new(time), ssrc);
            reception.note(&header, start + std::time::Duration::from_millis(u64::from(place) * 20));
        }
        let block = reception.report(ssrc, 9).unwrap();
        assert_eq!((block.lost, block.fraction_lost, block.highest_sequence), (5, 64, 65_549));
        assert_eq!((block.jitter, block.last_report), (0, 9));
        let again = reception.report(ssrc, 9).unwrap();
        assert_eq!((again.lost, again.fraction_lost), (5, 0), "nothing since the last report");
    }
}
