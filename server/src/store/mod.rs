//! What outlives the process: the event log, the directory as it was, and where Discord's sessions stand.
//!
//! Everything that one round of the hub changes is committed in one step, and only then can anybody see it. So whatever
//! ends the process, what is stored is one moment of its life, and the next process goes on from there.
//!
//! [`Disk`] is the default, one redb file in `store.dir`; [`Volatile`] keeps nothing. `record.rs` says what the bytes mean.

mod disk;
mod mark;
mod purge;
mod record;
mod secret;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, sync::Arc};

use parlor_gateway::{GuildId, RoomId, UserId};
use thiserror::Error;

pub use self::{
    disk::{Disk, FORMAT},
    purge::{Purged, purge},
    record::{Key, ShardRecord},
    secret::{SecretError, load_or_make as cursor_secret},
};
use crate::{
    hub::{Entry, Epoch, Sequence},
    rooms::CallKey,
};

/// One step: everything in it is stored, or nothing of it.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// New entries, in order, each one more than the one before.
    pub entries: Vec<Arc<Entry>>,
    /// Entries below this are forgotten.
    pub forget_before: Sequence,
    /// Rows to write, and rows to remove.
    pub rows: Vec<(Key, Option<Vec<u8>>)>,
}

/// Something that commits batches.
pub trait Store: Send + 'static {
    /// Commits a batch: when this returns without an error, the batch survives the process and a power cut. After an
    /// error the same batch may be committed again, whether or not it was stored.
    ///
    /// # Errors
    /// [`CommitError`], after which the store is to be tried again later.
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError>;
}

/// A batch is not stored.
#[derive(Debug, Error)]
pub enum CommitError {
    /// The disk is full, or does not write.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: redb::Error,
    },
}

/// What a store held when it was opened.
#[derive(Debug)]
pub struct Recovered {
    /// The log that goes on. A new one where continuity cannot be proven.
    pub epoch: Epoch,
    /// The newest entry's number.
    pub head: Sequence,
    /// The entries that are kept, dense, the last of them being the head.
    pub entries: Vec<Entry>,
    /// Every row.
    pub rows: Vec<(Key, Vec<u8>)>,
    /// Whether the log goes on.
    pub continuity: Continuity,
}

impl Recovered {
    /// What an empty store holds: a log that begins.
    pub fn nothing() -> Self {
        Self {
            epoch: Epoch::random(),
            head: Sequence(0),
            entries: Vec::new(),
            rows: Vec::new(),
            continuity: Continuity::Begins,
        }
    }

    /// What is left of a store of which something was lost: these rows, and a log that begins. No session is among them, because a resume
    /// would bring only what is new, and nobody else would notice what is missing.
    pub fn after_loss(rows: Vec<(Key, Vec<u8>)>) -> Self {
        let rows = rows.into_iter().filter_map(|(key, value)| match key {
            Key::Directory(_) | Key::Call(_) | Key::Life(_) | Key::Consent(..) | Key::Voice(_) => Some((key, value)),
            Key::Shard(_) => Some((key, ShardRecord::from_bytes(&value)?.without_session().to_bytes())),
        });
        Self { rows: rows.collect(), continuity: Continuity::Damaged, ..Self::nothing() }
    }

    /// What was noted of the lives of rooms.
    pub fn lives(&self) -> impl Iterator<Item = (RoomId, &[u8])> {
        self.rows.iter().filter_map(
            |(key, value)| {
                if let Key::Life(room) = key { Some((*room, value.as_slice())) } else { None }
            },
        )
    }

    /// Who does not want to be heard.
    pub fn consents(&self) -> impl Iterator<Item = ((GuildId, UserId), &[u8])> {
        self.rows.iter().filter_map(|(key, value)| {
            if let Key::Consent(guild, user) = key { Some(((*guild, *user), value.as_slice())) } else { None }
        })
    }

    /// The voice sessions that are to be taken up again.
    pub fn voices(&self) -> impl Iterator<Item = (GuildId, &[u8])> {
        self.rows.iter().filter_map(
            |(key, value)| {
                if let Key::Voice(guild) = key { Some((*guild, value.as_slice())) } else { None }
            },
        )
    }

    /// The calls that were made, with what came of them.
    pub fn calls(&self) -> impl Iterator<Item = (CallKey, &[u8])> {
        self.rows.iter().filter_map(
            |(key, value)| {
                if let Key::Call(call) = key { Some((*call, value.as_slice())) } else { None }
            },
        )
    }
}

/// How a log stands to what was in the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Continuity {
    /// There was nothing.
    Begins,
    /// It goes on where it ended.
    GoesOn,
    /// The file was damaged. What can be told to be whole was taken over, the log was not: clients start over.
    Damaged,
}

/// A store cannot be opened. Each variant says what to change.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another process: stop that one, or set store.dir to another directory")]
    InUse(PathBuf),
    /// A newer version of Parlor wrote it.
    #[error("{path} has format {found}, and this version knows formats up to {FORMAT}: run the version that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file system refuses.
    #[error("cannot read or write {path}: set store.dir to a directory that this user may write")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database refuses for another reason.
    #[error("cannot open {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: redb::Error,
    },
}

/// A store that keeps nothing: after a restart the log begins anew.
#[derive(Clone, Copy, Debug)]
pub struct Volatile;

impl Store for Volatile {
    fn commit(&mut self, _: &Batch) -> Result<(), CommitError> {
        Ok(())
    }
}
