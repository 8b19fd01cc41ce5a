//! How far the log has got, in a file beside the database.
//!
//! A database file that has lost its newest commits, by a flipped bit or because somebody put an old copy back, looks
//! like one that never had them. Going on from there would number other entries with sequences that clients already
//! know. So after each commit its head is written here too, without waiting for the disk: the file never says more than
//! the database has stored, and a database that says less has lost something.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::record;
use crate::hub::{Epoch, Sequence};

const FILE: &str = "parlor.head";

/// The file.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    epoch: Epoch,
}

impl Mark {
    /// Begins to mark the log of this epoch.
    pub(super) fn open(directory: &Path, epoch: Epoch) -> io::Result<Self> {
        let path = path(directory);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        Ok(Self { file, epoch })
    }

    /// Notes that the log has got so far.
    pub(super) fn write(&self, head: Sequence) -> io::Result<()> {
        let bytes = [self.epoch.as_bytes().as_slice(), &head.0.to_be_bytes()].concat();
        self.file.write_all_at(&record::seal(bytes), 0)
    }

    /// How far the log of this epoch had got; 0 where that is not known.
    pub(super) fn read(directory: &Path, epoch: Epoch) -> Sequence {
        let known = fs::read(path(directory)).ok().and_then(|sealed| {
            let (of, head) = record::open(&sealed)?.split_first_chunk::<16>()?;
            (of == epoch.as_bytes()).then_some(u64::from_be_bytes(head.try_into().ok()?))
        });
        Sequence(known.unwrap_or_default())
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}
