//! What the log should hold: every entry ever stored, with the pictures that they make.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use parlor_gateway::{GuildId, RoomId};
use parlor_proto::v1::SubscribeVoiceEventsResponse;
use parlor_server::hub::{Epoch, Retention};

use crate::{
    Broken,
    fact::{Fact, Picture},
};

/// An entry.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it says.
    pub fact: Fact,
    /// The frame, without `prev_sequence`.
    pub frame: SubscribeVoiceEventsResponse,
    /// Of that frame.
    pub bytes: usize,
    /// When Parlor took it in.
    pub since: Instant,
}

/// What a snapshot at one position shows.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Who is where.
    pub picture: Picture,
    /// Guilds, with their rooms that are shown as ended.
    pub guilds: BTreeMap<GuildId, BTreeSet<RoomId>>,
}

/// One epoch of the log.
#[derive(Debug)]
pub struct Chronicle {
    /// Its name.
    pub epoch: Epoch,
    /// Number 1 is the first.
    records: Vec<Record>,
    /// What is shown at positions at which it could be seen. More than one where a guild came or went without a room:
    /// no entry tells of that.
    scenes: BTreeMap<u64, Vec<Scene>>,
    folded: Picture,
    /// Whether it is known since when everybody is where they were when it began.
    pub knows_times: bool,
    /// The newest entry that may be seen.
    pub visible: u64,
}

impl Chronicle {
    /// A log that begins with this.
    pub fn new(epoch: Epoch, scene: Scene) -> Self {
        let folded = scene.picture.clone();
        let scenes = [(0, vec![scene])].into();
        Self { epoch, records: Vec::new(), scenes, folded, knows_times: true, visible: 0 }
    }

    /// The newest entry that is stored.
    pub fn head(&self) -> u64 {
        u64::try_from(self.records.len()).expect("a small number")
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// Where it does not follow, or tells what cannot be.
    pub fn push(&mut self, record: Record) -> Result<(), Broken> {
        let expected = self.head() + 1;
        Broken::unless(record.frame.sequence == expected, || {
            format!("entry {} is stored where {expected} follows", record.frame.sequence)
        })?;
        self.folded.fold(&record.fact, true)?;
        self.records.push(record);
        Ok(())
    }

    /// Everything stored so far may be seen, and shows this.
    pub fn show(&mut self, scene: Scene) {
        self.visible = self.head();
        self.scenes.entry(self.visible).or_default().push(scene);
    }

    /// The picture that all entries make.
    pub fn folded(&self) -> &Picture {
        &self.folded
    }

    /// What was shown at a position, where anything could be.
    pub fn scenes(&self, position: u64) -> &[Scene] {
        self.scenes.get(&position).map_or(&[], Vec::as_slice)
    }

    /// The first entry after a position, up to another one, that this wants.
    pub fn next(&self, after: u64, until: u64, mut wanted: impl FnMut(&Fact) -> bool) -> Option<(u64, &Record)> {
        let from = usize::try_from(after).expect("a small number").min(self.records.len());
        (after + 1..=until).zip(&self.records[from..]).find(|(_, record)| wanted(&record.fact))
    }

    /// How many bytes there are from an entry on.
    pub fn bytes_from(&self, oldest: u64) -> usize {
        let skip = usize::try_from(oldest.saturating_sub(1)).expect("a small number");
        self.records.iter().skip(skip).map(|record| record.bytes).sum()
    }

    /// The oldest entry that must still be there, by what retention promises; one past the head where none must.
    pub fn oldest_promised(&self, retention: Retention, ages_are_known: bool, now: Instant) -> u64 {
        let (mut bytes, mut oldest) = (0, self.visible + 1);
        for sequence in (1..=self.visible).rev() {
            let record = &self.records[usize::try_from(sequence - 1).expect("a small number")];
            bytes += record.bytes;
            let young = ages_are_known && now.saturating_duration_since(record.since) < retention.age;
            let among_newest = self.visible - sequence < u64::try_from(retention.entries).unwrap_or(u64::MAX);
            if bytes > retention.bytes || !(young || among_newest) {
                break;
            }
            oldest = sequence;
        }
        oldest
    }
}
