//! The file that a position is kept in between runs.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use parlor_client::Position;

use crate::failure::{Exit, Failure};

/// A file with one position. It is replaced whole, so that a reader, or a run after a crash of this process, finds the
/// position before or after and never half of one. (It is not forced to disk: after a power cut it may be an older one,
/// and what came after that comes again.)
#[derive(Debug)]
pub(crate) struct CursorFile {
    path: PathBuf,
    /// Beside it, because a rename does not cross file systems.
    next: PathBuf,
    position: Option<Position>,
}

impl CursorFile {
    /// Reads the file, if it is there, and makes sure that it can be written.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |what: &str, error: &io::Error| {
            Failure::new(Exit::Usage, format!("cannot {what} {}", path.display())).because(error)
        };
        let position = match fs::read_to_string(path) {
            // An empty file is one that somebody has made for us.
            Ok(text) => text.parse().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &error)),
        };
        let mut next = path.to_owned().into_os_string();
        next.push(".next");
        let file = Self { path: path.to_owned(), next: next.into(), position };
        fs::write(&file.next, "").map_err(|error| failed("write beside", &error))?;
        fs::remove_file(&file.next).map_err(|error| failed("write beside", &error))?;
        Ok(file)
    }

    /// The position that was in the file, or was stored last.
    pub(crate) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Replaces the position.
    pub(crate) fn store(&mut self, position: &Position) -> Result<(), Failure> {
        if self.position.as_ref() == Some(position) {
            return Ok(());
        }
        fs::write(&self.next, format!("{position}\n")).and_then(|()| fs::rename(&self.next, &self.path)).map_err(
            |error| Failure::new(Exit::Failed, format!("cannot write {}", self.path.display())).because(&error),
        )?;
        self.position = Some(position.clone());
        Ok(())
    }
}

impl fmt::Display for CursorFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_found_again() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("position");
        let mut file = CursorFile::open(&path).expect("a new one");
        assert!(file.position().is_none() && !path.exists(), "opening makes no file");
        let position = Position { cursor: "c9".into(), filter_id: Some("f".into()), sequence: Some(9) };
        file.store(&position).expect("stored");
        assert_eq!(CursorFile::open(&path).expect("the same").position(), Some(&position));
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_found_out_at_once() {
        let failure = CursorFile::open(Path::new("/nowhere/position")).expect_err("no such directory");
        assert_eq!(failure.exit(), Exit::Usage);
    }
}
