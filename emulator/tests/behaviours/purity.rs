//! The core decides and the shell does: no clock, socket, task or lock outside `shell`.

use std::fs;
use std::path::{Path, PathBuf};

/// What a pure file does not name.
const FOREIGN: [&str; 7] = ["Instant", "SystemTime", "tokio", "axum", "std::net", "std::sync::Mutex", "std::thread"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn only_the_shell_touches_the_outside_world() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let shell = [src.join("shell"), src.join("main.rs"), src.join("lib.rs")];
    let pure: Vec<PathBuf> =
        sources(&src).into_iter().filter(|path| !shell.iter().any(|shell| path.starts_with(shell))).collect();
    assert!(pure.len() > 30, "the search looks in the right place");
    for path in pure {
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let found = FOREIGN.iter().find(|word| code.contains(*word));
            assert_eq!(found, None, "{}:{}", path.display(), number + 1);
        }
    }
}
