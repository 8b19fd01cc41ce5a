//! The configuration file and the environment.

use std::{collections::BTreeMap, fs};

use parlor_server::config::{Mode, SettingsFile, Sources, load};
use tempfile::TempDir;

use crate::input;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("a folder for the file");
}

/// A value that begins like this is a secret of the corpus.
const SECRET: &str = "secret-";

/// A TOML file; lines of the form `#env NAME=value` are the environment. What is wrong is told without a secret; what is
/// right, printed and read again, is the same.
pub fn config_toml(data: &[u8]) {
    let text = input::text(data);
    // A file with a secret may be named; devices are files that never end.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") {
        return;
    }
    let variables = text.lines().filter_map(|line| line.strip_prefix("#env ")?.split_once('='));
    let environment: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).take(16).collect();
    match read(&text, environment) {
        Ok(settings) => {
            assert!(settings.iter().is_sorted_by(|a, b| a.0 < b.0), "settings out of order, or one of them twice");
            let settings: BTreeMap<_, _> =
                settings.into_iter().filter(|(_, value)| value.as_deref() != Some("\"<redacted>\"")).collect();
            let lines = settings.iter().filter_map(|(key, value)| Some(format!("{key} = {}\n", value.as_ref()?)));
            let again =
                read(&lines.collect::<String>(), Vec::new()).unwrap_or_else(|problems| panic!("printed: {problems}"));
            let again: BTreeMap<_, _> = again.into_iter().filter(|(key, _)| settings.contains_key(key)).collect();
            assert_eq!(again, settings, "what is printed is something else");
        }
        Err(problems) => {
            // A secret that stands where a secret belongs, or in a file that is not TOML at all, is never repeated.
            let places = text.matches(SECRET).count();
            let is_secret = match text.parse::<toml::Table>() {
                Ok(table) => {
                    let token = table.get("discord").and_then(|discord| discord.get("token"));
                    places == 1 && token.is_some_and(|token| token.to_string().contains(SECRET))
                }
                Err(_) => !text.lines().any(|line| line.starts_with("#env ") && line.contains(SECRET)),
            };
            assert!(!is_secret || !problems.contains(SECRET), "a secret is told: {problems}");
        }
    }
}

type Printed = Vec<(String, Option<String>)>;

/// Every setting as it is printed, or what is wrong as it is printed.
fn read(text: &str, environment: Vec<(String, String)>) -> Result<Printed, String> {
    let path = FOLDER.with(|folder| folder.path().join("parlord.toml"));
    fs::write(&path, text).expect("the folder is ours");
    let sources = Sources { file: SettingsFile::Named(path), environment, flags: Vec::new() };
    match load(&sources, Mode::Serve) {
        Ok(loaded) => Ok(loaded.settings.into_iter().map(|setting| (setting.key, setting.value)).collect()),
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused for nothing");
            Err(problems.to_string())
        }
    }
}
