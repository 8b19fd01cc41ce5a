//! Lists the files of the built room page (`make web`), so that the program carries them. Without them it carries none.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Where Vite puts the page, seen from this crate.
const DIST: &str = "../client/web/dist";

fn main() -> io::Result<()> {
    // The folder is always there, so that cargo looks into it rather than building anew each time.
    println!("cargo::rerun-if-changed={DIST}");
    let dist = Path::new(DIST);
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        files.push(("/".to_owned(), "index.html".to_owned()));
        files.extend(
            assets(&dist.join("assets"))?.into_iter().map(|name| (format!("/assets/{name}"), format!("assets/{name}"))),
        );
    }
    let list = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("page_files.rs");
    let mut list = fs::File::create(list)?;
    writeln!(list, "&[")?;
    for (path, file) in files {
        // Seen from the crate when it is compiled: what was built may have been moved since this list was written.
        let file = format!("/{DIST}/{file}");
        writeln!(list, r#"    ({path:?}, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), {file:?})).as_slice()),"#)?;
    }
    writeln!(list, "]")
}

/// The names of the files in one folder; sorted, so that the same page makes the same program.
fn assets(folder: &Path) -> io::Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.push(entry?.file_name().display().to_string());
    }
    found.sort();
    Ok(found)
}
