//! The deployment's secret under which cursors are sealed. It outlives the process, so that a cursor from before a
//! restart is still told from a forged one.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;
use thiserror::Error;

use crate::hub::CursorKey;

const FILE: &str = "cursor.key";

/// The secret cannot be read or made.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file system refuses.
    #[error("cannot read or write {path}: set store.dir to a directory that this user may write")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file is not one that we wrote.
    #[error("{0} is not a cursor key of {len} bytes: remove it, and clients start over with a snapshot", len = CursorKey::SECRET_BYTES)]
    Shape(PathBuf),
}

/// The secret in this directory; made, with the directory, where there is none.
pub fn load_or_make(directory: &Path) -> Result<[u8; CursorKey::SECRET_BYTES], SecretError> {
    let path = directory.join(FILE);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SecretError::Io { path, source }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
    let mut secret = [0; CursorKey::SECRET_BYTES];
    rand::fill(&mut secret).expect("the operating system gives randomness");
    // Whoever creates the file first, of two that start at once, has made the secret of both.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            file.write_all(&secret).and_then(|()| file.sync_all()).map_err(failed(&path))?;
            Ok(secret)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let bytes = fs::read(&path).map_err(failed(&path))?;
            bytes.try_into().map_err(|_| SecretError::Shape(path))
        }
        Err(error) => Err(failed(&path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_secret_outlives_the_process_and_is_ours_alone() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("deep/store");
        let first = load_or_make(&directory).expect("made");
        assert_eq!(load_or_make(&directory).expect("read"), first);
        let mode = fs::metadata(directory.join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }

    #[test]
    fn a_file_that_is_not_a_secret_is_said_to_be_none() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join(FILE), "short").expect("written");
        assert!(matches!(load_or_make(home.path()), Err(SecretError::Shape(_))));
    }
}
