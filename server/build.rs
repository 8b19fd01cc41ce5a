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
    let dist = fs::canonicalize(DIST).unwrap_or_default();
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        files.push(("/".to_owned(), dist.join("index.html")));
        files.extend(assets(&dist.join("assets"))?);
    }
    let list = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("page_files.rs");
    let mut list = fs::File::create(list)?;
    writeln!(list, "&[")?;
    for (path, file) in files {
        writeln!(list, "    ({path:?}, include_bytes!({file:?}).as_slice()),")?;
    }
    writeln!(list, "]")
}

/// The files of one folder, as the page asks for them; sorted, so that the same page makes the same program.
fn assets(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        found.push((format!("/assets/{}", entry.file_name().display()), entry.path()));
    }
    found.sort();
    Ok(found)
}
