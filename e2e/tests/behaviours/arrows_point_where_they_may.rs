//! The architecture's arrows, read from `cargo metadata`: who may depend on whom, and who may name a library.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// Crates of the house, each with the crates of the house that it may depend on. Tests (dev-dependencies) may reach further.
const ARROWS: [(&str, &[&str]); 12] = [
    ("parlor-proto", &[]),
    ("parlor-gateway", &["parlor-proto"]),
    ("parlor-voice-wire", &[]),
    ("parlor-voice", &["parlor-voice-wire"]),
    ("parlor-server", &["parlor-gateway", "parlor-proto", "parlor-voice", "discord-emulator"]),
    ("parlor-client", &["parlor-proto"]),
    ("discord-emulator", &["parlor-voice-wire"]),
    ("parlor-caller", &["parlor-voice"]),
    ("parlor-e2e", &["parlor-client", "parlor-proto", "parlor-server", "parlor-voice", "discord-emulator"]),
    (
        "parlor-bench",
        &[
            "parlor-client",
            "parlor-e2e",
            "parlor-gateway",
            "parlor-proto",
            "parlor-server",
            "parlor-voice",
            "parlor-voice-wire",
            "discord-emulator",
        ],
    ),
    (
        "parlor-fuzz",
        &["parlor-gateway", "parlor-proto", "parlor-server", "parlor-voice", "parlor-voice-wire", "discord-emulator"],
    ),
    ("parlor-proof", &["parlor-gateway", "parlor-proto", "parlor-server"]),
];

/// Libraries that few crates of the house may name: the prefix of their names, and those crates. The benchmark names twilight
/// as a rival, and measures sessions beside bare davey.
const OWNED: [(&str, &[&str]); 5] = [
    ("twilight-", &["parlor-gateway", "parlor-bench"]),
    ("str0m", &["parlor-voice"]),
    ("opus", &["parlor-voice"]),
    ("davey", &["parlor-voice", "parlor-bench"]),
    ("openmls", &["discord-emulator", "parlor-bench"]),
];

/// Each package of the workspace with the names of what it depends on outside tests.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(parlor_e2e::root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let named = |package: &Value| {
        let all = package["dependencies"].as_array().expect("a list").iter();
        all.filter(|dependency| dependency["kind"] != "dev").map(|dependency| text(&dependency["name"])).collect()
    };
    packages.iter().map(|package| (text(&package["name"]), named(package))).collect()
}

/// What a list of dependencies does that is not allowed.
fn forbidden(dependencies: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let arrows: BTreeMap<_, _> = ARROWS.into();
    let mut found = Vec::new();
    for (package, names) in dependencies {
        let Some(allowed) = arrows.get(package.as_str()) else {
            found.push(format!("{package} has no arrows: draw them in ARROWS and in ARCHITECTURE.md"));
            continue;
        };
        for name in names {
            if arrows.contains_key(name.as_str()) && !allowed.contains(&name.as_str()) {
                found.push(format!("{package} → {name}"));
            }
            let owned = OWNED.iter().find(|(prefix, _)| name.starts_with(prefix));
            if let Some((_, owners)) = owned.filter(|(_, owners)| !owners.contains(&package.as_str())) {
                found.push(format!("{package} → {name}, which only {} may name", owners.join(" and ")));
            }
        }
    }
    found
}

#[test]
fn no_arrow_is_forbidden() {
    assert_eq!(forbidden(&dependencies()), Vec::<String>::new());
}

#[test]
fn a_forbidden_arrow_would_be_found() {
    let add = |package: &str, name: &str| {
        let mut dependencies = dependencies();
        dependencies.get_mut(package).expect("a package").push(name.to_owned());
        forbidden(&dependencies)
    };
    assert_eq!(add("discord-emulator", "parlor-gateway"), ["discord-emulator → parlor-gateway"]);
    assert_eq!(add("parlor-client", "parlor-server"), ["parlor-client → parlor-server"]);
    assert_eq!(add("parlor-gateway", "parlor-server"), ["parlor-gateway → parlor-server"]);
    assert_eq!(
        add("parlor-server", "twilight-model"),
        ["parlor-server → twilight-model, which only parlor-gateway and parlor-bench may name"]
    );
}

/// The server names the emulator only behind its feature, so that it can be built without one.
#[test]
fn the_emulator_is_optional() {
    let manifest = std::fs::read_to_string(parlor_e2e::root().join("server/Cargo.toml")).expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    assert_eq!(manifest["dependencies"]["discord-emulator"]["optional"].as_bool(), Some(true));
    assert_eq!(manifest["features"]["dev"].as_array().map(Vec::len), Some(1));
}
