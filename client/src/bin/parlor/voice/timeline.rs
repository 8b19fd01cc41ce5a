//! Where the frames of one speaker lie on the clock of a recording.
//!
//! Two clocks tell: the server's, when a frame came, and the sender's, when it was taken. The sender's is even and drifts, and
//! some clients stop it in silence; the server's is the same for everybody and trembles. So frames follow each other by the
//! sender's clock, and wherever the two are apart by more than trembling explains, the server's is right.

use std::time::Duration;

use super::opus::{FRAME, RATE};

/// How far the clocks may be apart: 120 ms.
const TREMBLING: u64 = RATE * 120 / 1_000;

/// A pause of the sender's after which frames are placed anew by the server's clock: 200 ms.
const PAUSE: u64 = RATE / 5;

/// Frames in a row that a decoder may make up; what is longer is silence.
const MOST_LOST: u64 = 5;

/// A frame, as it was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// The speaker's source.
    pub(crate) ssrc: u32,
    /// The sender's clock.
    pub(crate) media_time: Duration,
    /// The server's clock, since the recording began.
    pub(crate) received: Duration,
    /// Samples of one channel.
    pub(crate) samples: u64,
    /// How many frames right before it never came.
    pub(crate) lost_before: u32,
}

/// What has to be laid before a frame, so that it lies where it belongs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Gap {
    /// Samples of silence.
    pub(crate) silence: u64,
    /// Then frames of 20 ms that never came.
    pub(crate) lost: u64,
}

/// One speaker's time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timeline {
    /// Samples that are laid.
    end: u64,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    ssrc: u32,
    media_time: Duration,
    start: u64,
}

impl Timeline {
    /// Places the next frame. `now` is how long the recording lasts: nothing can lie behind it.
    pub(crate) fn place(&mut self, heard: &Heard, now: Duration) -> Gap {
        let received = samples_in(heard.received.min(now));
        let start = self.start(heard, received).max(self.end);
        let gap = start - self.end;
        let lost = u64::from(heard.lost_before);
        let lost = if lost <= MOST_LOST { lost.min(gap / FRAME) } else { 0 };
        self.last = Some(Last { ssrc: heard.ssrc, media_time: heard.media_time, start });
        self.end = start + heard.samples;
        Gap { silence: gap - lost * FRAME, lost }
    }

    fn start(&self, heard: &Heard, received: u64) -> u64 {
        let Some(last) = self.last.filter(|last| last.ssrc == heard.ssrc) else { return received };
        let Some(step) = heard.media_time.checked_sub(last.media_time).map(samples_in) else { return received };
        let expected = last.start.saturating_add(step);
        let apart = expected.abs_diff(received);
        if step > PAUSE || apart > TREMBLING { received } else { expected }
    }

    /// Says how much silence is missing up to a moment of the recording.
    pub(crate) fn fill(&mut self, until: u64) -> u64 {
        let missing = until.saturating_sub(self.end);
        self.end += missing;
        missing
    }

    /// Samples that are laid.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }
}

/// Samples of one channel in a time.
pub(crate) fn samples_in(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() * u128::from(RATE) / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_secs(3_600);

    fn heard(media: u64, received: u64) -> Heard {
        let milliseconds = Duration::from_millis;
        Heard {
            ssrc: 7,
            media_time: milliseconds(media),
            received: milliseconds(received),
            samples: FRAME,
            lost_before: 0,
        }
    }

    fn silence(milliseconds: u64) -> Gap {
        Gap { silence: milliseconds * 48, lost: 0 }
    }

    #[test]
    fn frames_that_tremble_lie_side_by_side() {
        let mut line = Timeline::default();
        assert_eq!(line.place(&heard(0, 500), LATE), silence(500));
        for (turn, late) in [(1, 30), (2, 90), (3, 0), (4, 110), (5, 4)] {
            assert_eq!(line.place(&heard(turn * 20, 500 + turn * 20 + late), LATE), silence(0), "{turn}");
        }
    }

    #[test]
    fn a_pause_is_as_long_as_the_server_says() {
        // A clock that runs on in silence, fast by a tenth of a second; and one that stops.
        for media in [2_120, 20] {
            let mut line = Timeline::default();
            line.place(&heard(0, 0), LATE);
            assert_eq!(line.place(&heard(media, 2_020), LATE), silence(2_000), "{media}");
        }
    }

    #[test]
    fn what_is_lost_is_made_up_where_it_is_short() {
        let mut line = Timeline::default();
        line.place(&heard(0, 0), LATE);
        let two = Heard { lost_before: 2, ..heard(60, 61) };
        assert_eq!(line.place(&two, LATE), Gap { silence: 0, lost: 2 });
        let many = Heard { lost_before: 9, ..heard(260, 270) };
        assert_eq!(line.place(&many, LATE), silence(180));
    }

    #[test]
    fn a_clock_that_drifts_is_set_right() {
        let mut line = Timeline::default();
        // A percent too slow, for a minute without a pause.
        for turn in 0..3_000 {
            line.place(&heard(turn * 20, turn * 20 + turn / 5), LATE);
        }
        let apart = samples_in(Duration::from_millis(60_600)).abs_diff(line.end());
        assert!(apart <= TREMBLING + 2 * FRAME, "{apart} samples");
    }

    #[test]
    fn nothing_lies_behind_now() {
        let mut line = Timeline::default();
        let year = Heard { received: Duration::from_secs(31_000_000), ..heard(0, 0) };
        assert_eq!(line.place(&year, Duration::from_secs(1)), silence(1_000));
        let another_source = Heard { ssrc: 8, ..heard(0, 900) };
        assert_eq!(line.place(&another_source, LATE), silence(0), "and nothing lies over another");
        assert_eq!((line.fill(48_000 * 2), line.end()), (48_000 * 2 - 48_000 - 2 * 960, 48_000 * 2));
    }
}
