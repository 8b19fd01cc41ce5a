//! Where the frames of one speaker lie on the clock of a recording.
//!
//! Two clocks tell: the server's, when a frame came, and the sender's, when it was taken. The sender's is even and drifts, and
//! some clients stop it in silence; the server's is the same for everybody and trembles. So frames follow each other by the
//! sender's clock, and wherever the two are apart by more than trembling explains, the server's is right. Who speaks for
//! hours without a pause is set right by a frame at a time: one that is made up, or one that is left out.

use std::time::Duration;

use super::opus::{FRAME, RATE, SHORT};

/// How far the clocks may be apart: 120 ms.
const TREMBLING: u64 = RATE * 120 / 1_000;

/// A pause of the sender's after which frames are placed anew by the server's clock: 200 ms.
const PAUSE: u64 = RATE / 5;

/// Frames in a row that a decoder may make up; what is longer is silence.
const MOST_LOST: u64 = 5;

/// For how long frames are watched before a clock is set right: 10 s. The frame that came soonest trembled least.
const WATCH: u64 = RATE * 10;

/// How far frames lie behind the server's clock, all of them, before one is made up.
const BEHIND: i64 = FRAME as i64;

/// How far frames lie before the server's clock before one is left out. More than [`BEHIND`], because what is left out is
/// lost, and more than the first frame usually trembles.
const BEFORE: i64 = -4 * FRAME as i64;

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
    /// Samples of silence: packets of 2.5 ms.
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
    watch: Watch,
}

/// How far the server's clock is ahead of where frames lie, at the least, since a moment.
#[derive(Clone, Copy, Debug)]
struct Watch {
    since: u64,
    ahead: i64,
}

/// Where a frame begins.
enum Start {
    /// Anew, by the server's clock.
    Anew(u64),
    /// After the frame before.
    Following(u64, Watch),
    /// Nowhere: the frames before it have come too far.
    LeftOut(u64, Watch),
}

impl Watch {
    fn from(since: u64) -> Self {
        Self { since, ahead: i64::MAX }
    }
}

impl Timeline {
    /// Places the next frame; none where it has to be left out. `now` is how long the recording lasts: nothing can lie behind
    /// it.
    pub(crate) fn place(&mut self, heard: &Heard, now: Duration) -> Option<Gap> {
        let received = samples_in(heard.received.min(now));
        let (Heard { ssrc, media_time, .. }, watch) = (*heard, Watch::from(received));
        let (start, watch) = match self.start(heard, received) {
            Start::Anew(start) => (start, watch),
            Start::Following(start, watch) => (start, watch),
            Start::LeftOut(start, watch) => {
                self.last = Some(Last { ssrc, media_time, start, watch });
                return None;
            }
        };
        let gap = start.saturating_sub(self.end);
        // One frame of nothing is better made up than silent.
        let lost = u64::from(heard.lost_before).max(u64::from(gap == FRAME));
        let lost = if lost <= MOST_LOST { lost.min(gap / FRAME) } else { 0 };
        let silence = whole(gap - lost * FRAME);
        let start = self.end + silence + lost * FRAME;
        self.last = Some(Last { ssrc, media_time, start, watch });
        self.end = start + heard.samples;
        Some(Gap { silence, lost })
    }

    fn start(&self, heard: &Heard, received: u64) -> Start {
        let Some(last) = self.last.filter(|last| last.ssrc == heard.ssrc) else { return Start::Anew(received) };
        let Some(step) = heard.media_time.checked_sub(last.media_time).map(samples_in) else {
            return Start::Anew(received);
        };
        let expected = last.start.saturating_add(step);
        if step > PAUSE || received > expected.saturating_add(TREMBLING) {
            return Start::Anew(received);
        }
        let mut watch = last.watch;
        watch.ahead = watch.ahead.min(received.cast_signed() - expected.cast_signed());
        if received < watch.since + WATCH {
            return Start::Following(expected, watch);
        }
        match watch.ahead {
            BEHIND.. => Start::Following(expected + FRAME, Watch::from(received)),
            ..=BEFORE => Start::LeftOut(expected.saturating_sub(FRAME), Watch::from(received)),
            _ => Start::Following(expected, Watch::from(received)),
        }
    }

    /// Says how much silence is missing up to a moment of the recording.
    pub(crate) fn fill(&mut self, until: u64) -> u64 {
        let missing = whole(until.saturating_sub(self.end));
        self.end += missing;
        missing
    }

    /// Samples that are laid.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }
}

/// As much silence as packets can hold: what is less would be missing from the file, and add up.
fn whole(silence: u64) -> u64 {
    silence - silence % SHORT
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
        assert_eq!(line.place(&heard(0, 500), LATE), Some(silence(500)));
        for (turn, late) in [(1, 30), (2, 90), (3, 0), (4, 110), (5, 4)] {
            assert_eq!(line.place(&heard(turn * 20, 500 + turn * 20 + late), LATE), Some(silence(0)), "{turn}");
        }
    }

    #[test]
    fn a_pause_is_as_long_as_the_server_says() {
        // A clock that runs on in silence, fast by a tenth of a second; and one that stops.
        for media in [2_120, 20] {
            let mut line = Timeline::default();
            line.place(&heard(0, 0), LATE);
            assert_eq!(line.place(&heard(media, 2_020), LATE), Some(silence(2_000)), "{media}");
        }
    }

    #[test]
    fn what_is_lost_is_made_up_where_it_is_short() {
        let mut line = Timeline::default();
        line.place(&heard(0, 0), LATE);
        let two = Heard { lost_before: 2, ..heard(60, 61) };
        assert_eq!(line.place(&two, LATE), Some(Gap { silence: 0, lost: 2 }));
        let many = Heard { lost_before: 9, ..heard(260, 270) };
        assert_eq!(line.place(&many, LATE), Some(silence(180)));
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
        assert_eq!(line.place(&year, Duration::from_secs(1)), Some(silence(1_000)));
        let another_source = Heard { ssrc: 8, ..heard(0, 900) };
        assert_eq!(line.place(&another_source, LATE), Some(silence(0)), "and nothing lies over another");
        assert_eq!((line.fill(48_000 * 2), line.end()), (48_000 * 2 - 48_000 - 2 * 960, 48_000 * 2));
    }

    /// Somebody who speaks for hours.
    #[derive(Clone, Copy, Debug)]
    struct Manner {
        /// How much slow their clock is, in parts per million.
        slow: i64,
        /// So many frames, then a pause of so many, which their clock takes part in or not.
        spurt: Option<(u64, u64)>,
        clock_stands: bool,
    }

    /// Lays six hours of somebody, and says how far their frames lie from when they were spoken, first and last.
    fn hours(manner: Manner, chance: &mut fastrand::Rng) -> (i64, i64) {
        const HOURS: u64 = 6;
        let (mut line, mut laid, mut media, mut left_out) = (Timeline::default(), 0, 0, 0);
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        let nanos = 20_000_000 + 20 * manner.slow;
        let frames = HOURS * 3_600 * 50;
        for turn in 0..frames {
            let spoken = Duration::from_nanos(turn * nanos.cast_unsigned());
            let pauses = manner.spurt.is_some_and(|(spurt, pause)| turn % (spurt + pause) >= spurt);
            media += u64::from(!pauses || !manner.clock_stands);
            if pauses {
                continue;
            }
            // 20 ms of way, and up to 60 ms of trembling.
            let received = spoken + Duration::from_millis(20) + Duration::from_micros(chance.u64(0..60_000));
            let media_time = Duration::from_millis((media - 1) * 20);
            let heard = Heard { ssrc: 7, media_time, received, samples: FRAME, lost_before: 0 };
            let Some(gap) = line.place(&heard, received) else {
                left_out += 1;
                continue;
            };
            laid += gap.silence / SHORT * SHORT + gap.lost * FRAME;
            let apart = laid.cast_signed() - samples_in(spoken).cast_signed();
            (least, most) = (least.min(apart), most.max(apart));
            laid += FRAME;
        }
        assert_eq!(laid, line.end(), "{manner:?}: the file is as long as its line says");
        assert!(left_out * 4_000 < frames, "{manner:?}: {left_out} frames were left out");
        (least, most)
    }

    #[test]
    fn hours_of_clocks_that_drift_stay_side_by_side() {
        let mut chance = fastrand::Rng::with_seed(1);
        for slow in [50, -50, 200, -200, 0] {
            for (spurt, clock_stands) in [(None, false), (Some((700, 133)), false), (Some((450, 51)), true)] {
                let manner = Manner { slow, spurt, clock_stands };
                let (least, most) = hours(manner, &mut chance);
                // The way takes 20 ms to 80 ms; a clock is set right once it is 20 ms late or 80 ms early.
                let milliseconds = (least / 48, most / 48);
                assert!(milliseconds.0 >= -10 && milliseconds.1 <= 125, "{manner:?}: {milliseconds:?}");
            }
        }
    }
}
