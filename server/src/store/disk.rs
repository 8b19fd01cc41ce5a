//! The store on disk: one redb file.
//!
//! redb writes copy-on-write and switches over with one checksummed page, so that a crash or a power cut leaves the
//! last commit and nothing of a later one. What it cannot know is a file that was cut or changed behind its back: at
//! every start the whole file is checked, against its own checksums and against the [`Mark`] of how far the log had
//! got, and one that fails is set aside.

use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition,
};
use tracing::{error, info};

use super::{
    Batch, CommitError, Continuity, OpenError, Recovered, Store,
    mark::Mark,
    record::{self, Key},
};
use crate::hub::{Epoch, Sequence};

/// The format that this version writes. Each change of what the bytes mean is a new one, with a step in `migrate`.
pub const FORMAT: u32 = 4;

pub(super) const FILE: &str = "parlor.redb";

/// Of pages; the log itself is in memory anyway.
const CACHE_BYTES: usize = 4 << 20;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

const META_FORMAT: &str = "format";
const META_EPOCH: &str = "epoch";
const META_HEAD: &str = "head";

/// The store.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// `None` after a failure: redb writes nothing more through a handle that has failed once.
    database: Option<Database>,
    mark: Mark,
}

impl Disk {
    /// Opens the store in this directory, which exists; makes it where there is none.
    ///
    /// A damaged file is renamed to `parlor.redb.damaged-…` and a new one takes over the rows that are whole; the log
    /// begins anew, because what is missing at its end cannot be told.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(directory: &Path, now: SystemTime) -> Result<(Self, Recovered), OpenError> {
        let path = directory.join(FILE);
        if !path.try_exists().map_err(|source| OpenError::Io { path: path.clone(), source })? {
            let recovered = Recovered::nothing();
            return Ok((Self::make(&path, &recovered)?, recovered));
        }
        // redb may panic over a file that was changed behind its back.
        let read = catch_unwind(AssertUnwindSafe(|| read(&path))).unwrap_or(Err(Unreadable::Damaged(Vec::new())));
        match read {
            Ok((database, recovered)) => {
                let mark = Mark::open(directory, recovered.epoch);
                let mark = mark.map_err(|source| OpenError::Io { path: path.clone(), source })?;
                Ok((Self { path, database: Some(database), mark }, recovered))
            }
            Err(Unreadable::Refused(error)) => Err(error),
            Err(Unreadable::Damaged(rows)) => {
                let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let aside = directory.join(format!("{FILE}.damaged-{seconds}"));
                fs::rename(&path, &aside).map_err(|source| OpenError::Io { path: path.clone(), source })?;
                error!(
                    file = %aside.display(),
                    rows = rows.len(),
                    "the store was damaged and is set aside: clients start over with a snapshot"
                );
                metrics::counter!("parlor_store_damaged_total").increment(1);
                let recovered = Recovered::after_loss(rows);
                Ok((Self::make(&path, &recovered)?, recovered))
            }
        }
    }

    /// Makes a store with this in it, where there is none. It has its name only once it is whole.
    pub(super) fn make(path: &Path, holding: &Recovered) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: path.to_owned(), source };
        let young = path.with_extension("redb.new");
        match fs::remove_file(&young) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let database = builder().create(&young).map_err(|error| refusal(&young, error))?;
        let rows = holding.rows.iter().map(|(key, value)| (*key, Some(value.clone()))).collect();
        let batch = Batch { rows, ..Batch::default() };
        let entries = holding.entries.iter();
        write(&database, &batch, |write| {
            let mut meta = write.open_table(META)?;
            meta.insert(META_FORMAT, record::seal(FORMAT.to_be_bytes().to_vec()).as_slice())?;
            meta.insert(META_EPOCH, record::seal(holding.epoch.as_bytes().to_vec()).as_slice())?;
            meta.insert(META_HEAD, record::seal(holding.head.0.to_be_bytes().to_vec()).as_slice())?;
            let mut log = write.open_table(LOG)?;
            for entry in entries {
                log.insert(entry.sequence.0, record::seal(record::entry_to_bytes(entry)).as_slice())?;
            }
            Ok(())
        })
        .map_err(|source| OpenError::Database { path: young.clone(), source })?;
        drop(database);
        fs::rename(&young, path).map_err(failed)?;
        let directory = path.parent().unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        let database = builder().open(path).map_err(|error| refusal(path, error))?;
        let mark = Mark::open(directory, holding.epoch).map_err(failed)?;
        Ok(Self { path: path.to_owned(), database: Some(database), mark })
    }

    fn try_commit(&mut self, batch: &Batch) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => builder().open(&self.path)?,
        };
        write(&database, batch, |write| {
            if let Some(last) = batch.entries.last() {
                let head = record::seal(last.sequence.0.to_be_bytes().to_vec());
                write.open_table(META)?.insert(META_HEAD, head.as_slice())?;
            }
            Ok(())
        })?;
        self.database = Some(database);
        if let Some(last) = batch.entries.last() {
            self.mark.write(last.sequence)?;
        }
        Ok(())
    }
}

impl Store for Disk {
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.try_commit(batch).map_err(|source| CommitError::Write { path: self.path.clone(), source })
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Writes a batch, and what else belongs to the same step.
fn write(
    database: &Database,
    batch: &Batch,
    also: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut log = write.open_table(LOG)?;
        for entry in &batch.entries {
            log.insert(entry.sequence.0, record::seal(record::entry_to_bytes(entry)).as_slice())?;
        }
        log.retain_in(..batch.forget_before.0, |_, _| false)?;
        let mut rows = write.open_table(ROWS)?;
        for (key, value) in &batch.rows {
            match value {
                Some(value) => rows.insert(key.to_bytes().as_slice(), record::seal(value.clone()).as_slice())?,
                None => rows.remove(key.to_bytes().as_slice())?,
            };
        }
    }
    also(&write)?;
    write.commit()?;
    Ok(())
}

/// A file that cannot simply be gone on with.
enum Unreadable {
    /// It is not ours to touch.
    Refused(OpenError),
    /// It was cut or changed. These rows are whole.
    Damaged(Vec<(Key, Vec<u8>)>),
}

fn read(path: &Path) -> Result<(Database, Recovered), Unreadable> {
    let mut database = match builder().open(path) {
        Ok(database) => database,
        Err(error) if is_damage(&error) => return Err(Unreadable::Damaged(Vec::new())),
        Err(error) => return Err(Unreadable::Refused(refusal(path, error))),
    };
    // A file that had to be repaired may have lost its newest commits.
    let whole = match database.check_integrity() {
        Ok(whole) => whole,
        Err(error) if is_damage(&error) => return Err(Unreadable::Damaged(Vec::new())),
        Err(error) => return Err(Unreadable::Refused(refusal(path, error))),
    };
    let contents = contents(&database).map_err(|_| Unreadable::Damaged(Vec::new()))?;
    if let Some(found) = contents.format.filter(|format| *format > FORMAT) {
        return Err(Unreadable::Refused(OpenError::Newer { path: path.to_owned(), found }));
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    match contents.recovered {
        Some(recovered) if whole && recovered.head >= Mark::read(directory, recovered.epoch) => {
            if contents.format != Some(FORMAT) {
                let failed = |source| Unreadable::Refused(OpenError::Database { path: path.to_owned(), source });
                rewrite(&database, &recovered.rows).map_err(failed)?;
                info!(from = contents.format, to = FORMAT, "the store has the format of this version now");
            }
            Ok((database, recovered))
        }
        Some(Recovered { rows, .. }) => Err(Unreadable::Damaged(rows)),
        None => Err(Unreadable::Damaged(contents.rows)),
    }
}

/// A row of an older format in this one. What cannot be read stays as it is, for its reader to find out.
fn migrate(format: u32, key: Key, value: &[u8]) -> Vec<u8> {
    // Format 3 added rows (of consents and of voice sessions), format 4 a kind of entry (of guilds): what is older has none.
    match (format, key) {
        (1, Key::Directory(key)) => key.value_from_format_1(value).unwrap_or_else(|| value.to_vec()),
        _ => value.to_vec(),
    }
}

/// Writes migrated rows, and that the file has this version's format, in one step.
fn rewrite(database: &Database, rows: &[(Key, Vec<u8>)]) -> Result<(), redb::Error> {
    let rows = rows.iter().map(|(key, value)| (*key, Some(value.clone()))).collect();
    write(database, &Batch { rows, ..Batch::default() }, |write| {
        write.open_table(META)?.insert(META_FORMAT, record::seal(FORMAT.to_be_bytes().to_vec()).as_slice())?;
        Ok(())
    })
}

struct Contents {
    format: Option<u32>,
    /// The rows that are whole.
    rows: Vec<(Key, Vec<u8>)>,
    /// Everything, if everything is whole.
    recovered: Option<Recovered>,
}

fn contents(database: &Database) -> Result<Contents, redb::Error> {
    let read = database.begin_read()?;
    let meta = read.open_table(META)?;
    let fixed =
        |key| Ok::<_, redb::Error>(meta.get(key)?.and_then(|value| Some(record::open(value.value())?.to_vec())));
    let format = fixed(META_FORMAT)?.and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let epoch = fixed(META_EPOCH)?.and_then(|bytes| bytes.try_into().ok()).map(Epoch::new);
    let head = fixed(META_HEAD)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);

    let mut whole = true;
    let mut rows = Vec::new();
    for row in read.open_table(ROWS)?.iter()? {
        let (key, value) = row?;
        match (Key::from_bytes(key.value()), record::open(value.value())) {
            (Some(key), Some(value)) => rows.push((key, migrate(format.unwrap_or(FORMAT), key, value))),
            _ => whole = false,
        }
    }
    let mut entries = Vec::new();
    for row in read.open_table(LOG)?.iter()? {
        let (sequence, value) = row?;
        let sequence = Sequence(sequence.value());
        match record::open(value.value()).and_then(|value| record::entry_from_bytes(sequence, value)) {
            Some(entry) => entries.push(entry),
            None => whole = false,
        }
    }
    let dense = entries.windows(2).all(|pair| pair[0].sequence.next() == pair[1].sequence);
    let ends_at_head = entries.last().is_none_or(|entry| Some(entry.sequence.0) == head);
    let recovered = match (format, epoch, head) {
        (Some(_), Some(epoch), Some(head)) if whole && dense && ends_at_head => {
            Some(Recovered { epoch, head: Sequence(head), entries, rows: rows.clone(), continuity: Continuity::GoesOn })
        }
        _ => None,
    };
    Ok(Contents { format, rows, recovered })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is not exhaustive, and what is new is not known to be damage"
)]
fn is_damage(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(_)) | DatabaseError::UpgradeRequired(_) => true,
        // Neither what it must begin with, nor long enough to be one.
        DatabaseError::Storage(StorageError::Io(error)) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn refusal(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::InUse(path),
        DatabaseError::Storage(StorageError::Io(source)) => OpenError::Io { path, source },
        other => OpenError::Database { path, source: other.into() },
    }
}

/// Makes the file say that it has another format.
#[cfg(test)]
pub(super) fn write_format(path: &Path, format: u32) {
    let database = builder().open(path).expect("a store");
    write(&database, &Batch::default(), |write| {
        write.open_table(META)?.insert(META_FORMAT, record::seal(format.to_be_bytes().to_vec()).as_slice())?;
        Ok(())
    })
    .expect("written");
}

/// The format that the file says it has.
#[cfg(test)]
pub(super) fn read_format(path: &Path) -> Option<u32> {
    contents(&builder().open(path).expect("a store")).expect("it is read").format
}
