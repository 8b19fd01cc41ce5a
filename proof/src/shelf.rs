//! A store in memory that keeps what a disk would keep, and that can fail, forget and be damaged.

use std::{collections::BTreeMap, io, path::PathBuf};

use parlor_server::{
    hub::{Entry, Epoch, Sequence},
    store::{Batch, CommitError, Continuity, Key, Recovered, Store},
};

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Weather {
    /// It is stored.
    #[default]
    Fine,
    /// It is not stored, and said not to be.
    Full,
    /// It is stored, and said not to be.
    AnswerLost,
}

/// The store.
#[derive(Debug)]
pub struct Shelf {
    /// What becomes of the next commits.
    pub weather: Weather,
    /// How many commits have been stored.
    pub stored: u64,
    epoch: Epoch,
    head: Sequence,
    entries: BTreeMap<u64, Entry>,
    rows: BTreeMap<Key, Vec<u8>>,
}

impl Shelf {
    /// An empty one.
    pub fn new(epoch: Epoch) -> Self {
        let (entries, rows) = (BTreeMap::new(), BTreeMap::new());
        Self { weather: Weather::Fine, stored: 0, epoch, head: Sequence(0), entries, rows }
    }

    /// What the next process finds.
    pub fn recovered(&self) -> Recovered {
        Recovered {
            epoch: self.epoch,
            head: self.head,
            entries: self.entries.values().cloned().collect(),
            rows: self.rows.iter().map(|(key, value)| (*key, value.clone())).collect(),
            continuity: if self.stored == 0 { Continuity::Begins } else { Continuity::GoesOn },
        }
    }

    /// What the next process finds after a damage: the log is gone, and so are some rows.
    pub fn damaged(&mut self, epoch: Epoch, mut survives: impl FnMut(Key) -> bool) -> Recovered {
        let rows = std::mem::take(&mut self.rows).into_iter().filter(|(key, _)| survives(*key)).collect();
        let recovered = Recovered { epoch, ..Recovered::after_loss(rows) };
        self.epoch = epoch;
        self.head = recovered.head;
        self.entries.clear();
        self.rows = recovered.rows.iter().cloned().collect();
        recovered
    }
}

impl Store for Shelf {
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let failed = || {
            let source = redb::Error::Io(io::Error::from(io::ErrorKind::StorageFull));
            CommitError::Write { path: PathBuf::from("shelf"), source }
        };
        if self.weather == Weather::Full {
            return Err(failed());
        }
        for entry in &batch.entries {
            self.entries.insert(entry.sequence.0, (**entry).clone());
            self.head = entry.sequence;
        }
        self.entries.retain(|sequence, _| *sequence >= batch.forget_before.0);
        for (key, value) in &batch.rows {
            match value {
                Some(value) => drop(self.rows.insert(*key, value.clone())),
                None => drop(self.rows.remove(key)),
            }
        }
        self.stored += 1;
        if self.weather == Weather::AnswerLost { Err(failed()) } else { Ok(()) }
    }
}
