//! What a source has given and was not played yet.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{FRAME, SourceFrame};

/// So much is gathered before a source begins to play, so that frames that come unevenly are played evenly.
const GATHERED: Duration = Duration::from_millis(60);
const GATHERED_FRAMES: usize = (GATHERED.as_millis() / FRAME.as_millis()) as usize;

/// A bounded queue of one source's frames.
///
/// ```text
/// Gathering ─three frames, or 60 ms, or finished─▶ Playing ─empty─▶ Gathering
/// ```
#[derive(Debug)]
pub struct Queue {
    frames: VecDeque<SourceFrame>,
    most: usize,
    stage: Stage,
    counts: QueueCounts,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Gathering { since: Option<Instant> },
    Playing,
}

/// What became of a source's frames.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QueueCounts {
    /// Frames that were played.
    pub played: u64,
    /// Frames that were dropped because too many waited.
    pub dropped: u64,
}

/// What a source has to say at its turn.
#[derive(Debug, Eq, PartialEq)]
pub enum Played {
    /// This.
    Frame(SourceFrame),
    /// Nothing now; it has frames, and gathers more.
    Later,
    /// Nothing.
    Nothing,
}

impl Queue {
    /// A queue that holds this time at most.
    pub fn new(most: Duration) -> Self {
        let most = (most.as_nanos() / FRAME.as_nanos()).max(1) as usize;
        let stage = Stage::Gathering { since: None };
        Self { frames: VecDeque::new(), most, stage, counts: QueueCounts::default() }
    }

    /// Whether one more frame fits.
    pub fn has_room(&self) -> bool {
        self.frames.len() < self.most
    }

    /// How many frames wait.
    pub fn waiting(&self) -> usize {
        self.frames.len()
    }

    /// What became of the frames so far.
    pub fn counts(&self) -> QueueCounts {
        self.counts
    }

    /// Takes a frame. Where there is no room, the oldest is dropped and counted.
    pub fn push(&mut self, frame: SourceFrame, now: Instant) {
        if !self.has_room() {
            self.frames.pop_front();
            self.counts.dropped += 1;
        }
        if let Stage::Gathering { since: since @ None } = &mut self.stage {
            *since = Some(now);
        }
        self.frames.push_back(frame);
    }

    /// No more frames for now: what waits is played without gathering more.
    pub fn finish(&mut self) {
        if !self.frames.is_empty() {
            self.stage = Stage::Playing;
        }
    }

    /// The frame whose turn it is.
    pub fn play(&mut self, now: Instant) -> Played {
        if let Stage::Gathering { since } = self.stage {
            let Some(since) = since else { return Played::Nothing };
            if self.frames.len() < GATHERED_FRAMES && now < since + GATHERED {
                return Played::Later;
            }
            self.stage = Stage::Playing;
        }
        match self.frames.pop_front() {
            Some(frame) => {
                self.counts.played += 1;
                Played::Frame(frame)
            }
            None => {
                self.stage = Stage::Gathering { since: None };
                Played::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u8) -> SourceFrame {
        // CELT, 20 ms, mono.
        SourceFrame::opus(vec![0xF8, number]).expect("a packet")
    }

    #[test]
    fn a_source_gathers_before_it_plays_and_then_plays_what_it_has() {
        let start = Instant::now();
        let mut queue = Queue::new(Duration::from_secs(1));
        assert_eq!(queue.play(start), Played::Nothing);
        queue.push(frame(1), start);
        queue.push(frame(2), start);
        assert_eq!(queue.play(start), Played::Later);
        queue.push(frame(3), start);
        for number in 1..=3 {
            assert_eq!(queue.play(start), Played::Frame(frame(number)));
        }
        assert_eq!(queue.play(start), Played::Nothing);
        queue.push(frame(4), start);
        assert_eq!(queue.play(start), Played::Later, "it gathers anew");
        assert_eq!(queue.play(start + GATHERED), Played::Frame(frame(4)));
        assert_eq!(queue.counts(), QueueCounts { played: 4, dropped: 0 });
    }

    #[test]
    fn a_source_that_has_finished_does_not_wait() {
        let start = Instant::now();
        let mut queue = Queue::new(Duration::from_secs(1));
        queue.push(frame(1), start);
        queue.finish();
        assert_eq!(queue.play(start), Played::Frame(frame(1)));
    }

    #[test]
    fn what_does_not_fit_is_dropped_from_the_front_and_counted() {
        let start = Instant::now();
        let mut queue = Queue::new(Duration::from_millis(100));
        (0..8).for_each(|number| queue.push(frame(number), start));
        assert!(!queue.has_room());
        assert_eq!((queue.waiting(), queue.counts().dropped), (5, 3));
        assert_eq!(queue.play(start), Played::Frame(frame(3)));
    }
}
