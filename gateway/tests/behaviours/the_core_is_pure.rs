//! What decides takes time as an argument: no clock, task, socket or lock.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What pure files do not name.
const FOREIGN: [&str; 6] = ["Instant::now", "SystemTime::now", "tokio", "reqwest", "std::net", "Mutex"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let found = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    found
        .filter(|path| !path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests")))
        .collect()
}

#[test]
fn the_schedule_and_the_directory_read_no_clock() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let pure: Vec<PathBuf> =
        ["rest/schedule", "directory", "translate"].iter().flat_map(|folder| sources(&src.join(folder))).collect();
    assert!(pure.len() > 12, "the search looks in the right place");
    for path in pure {
        let text = fs::read_to_string(&path).expect("a source");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in code.lines() {
            let line = line.split("//").next().unwrap_or_default();
            let found = FOREIGN.iter().find(|word| line.contains(*word));
            assert_eq!(found, None, "{}: {line}", path.display());
        }
    }
}
