//! Whatever is recorded has a name that says to operators what it counts, and whatever has a name is recorded.

use std::{collections::BTreeSet, fs, path::Path};

use parlor_e2e::root;

/// The names of metrics that stand in a folder's sources: behind a macro that records, as they are.
fn recorded(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            recorded(&path, names);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            for (at, _) in text.match_indices("!(") {
                let named = text[at + 2..].trim_start().strip_prefix("\"parlor_");
                if let Some(name) = named.and_then(|rest| rest.split('"').next()) {
                    names.insert(format!("parlor_{name}"));
                }
            }
        }
    }
}

#[test]
fn every_metric_has_a_name_and_a_description() {
    let mut names = BTreeSet::new();
    for folder in ["server/src", "gateway/src"] {
        recorded(&root().join(folder), &mut names);
    }
    assert!(names.len() > 20, "{names:?}");
    let described = fs::read_to_string(root().join("server/src/telemetry/names.rs")).expect("the names");
    let (constants, descriptions) = described.split_once("pub(super) fn describe()").expect("descriptions follow");
    let descriptions: String = descriptions.split_whitespace().collect();
    for name in &names {
        let constant = constants.lines().find(|line| line.contains(&format!("\"{name}\"")));
        let constant = constant.unwrap_or_else(|| panic!("{name} is recorded and not among the names"));
        let constant = constant.split([' ', ':']).nth(2).expect("pub const NAME");
        assert!(descriptions.contains(&format!("!({constant},")), "{name} is not described");
    }
    let sources = sources(&root().join("server/src")) + &sources(&root().join("gateway/src"));
    for line in constants.lines().filter(|line| line.starts_with("pub const")) {
        let Some((constant, name)) = line.split_once(": &str = ") else { continue };
        let (constant, name) =
            (constant.trim_start_matches("pub const "), name.trim_end_matches(';').trim_matches('"'));
        // By its name, or by the constant outside of the file that only describes it.
        let by_constant =
            || sources.contains(&format!("!(names::{constant}")) || sources.contains(&format!("!({constant}"));
        assert!(names.contains(name) || by_constant(), "{name} is described and never recorded");
    }
}

/// Every source in a folder, but for the names themselves.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("telemetry/names.rs") {
            all += &fs::read_to_string(&path).expect("a source");
        }
    }
    all
}
