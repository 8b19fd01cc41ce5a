//! One time for Discord and for every process of ours, whose runtimes begin at different moments of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use discord_emulator::Timestamp;

/// When the story begins.
const BEGINNING: Duration = Duration::from_secs(1_800_000_000);

/// The time as one runtime sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    /// Since the beginning of the story, when the runtime began.
    base: Duration,
    began: tokio::time::Instant,
}

impl Time {
    /// To be called inside of the runtime.
    pub(super) fn from(base: Duration) -> Self {
        Self { base, began: tokio::time::Instant::now() }
    }

    /// Since the beginning of the story.
    pub(super) fn passed(&self) -> Duration {
        self.base + self.began.elapsed()
    }

    pub(super) fn stamp(&self) -> Timestamp {
        stamp(self.passed())
    }

    pub(super) fn wall(&self) -> SystemTime {
        UNIX_EPOCH + BEGINNING + self.passed()
    }
}

pub(super) fn stamp(passed: Duration) -> Timestamp {
    let millis = (BEGINNING + passed).as_millis();
    Timestamp::from_unix_millis(u64::try_from(millis).expect("a few hours after the beginning"))
}
