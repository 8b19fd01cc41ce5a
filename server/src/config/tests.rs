//! The sources, their order and their mistakes; and the two example files.

use std::{collections::BTreeMap, fs, path::Path};

use secrecy::ExposeSecret as _;

use super::*;

const EXAMPLE_TOML: &str = include_str!("../../../parlord.example.toml");
const EXAMPLE_ENV: &str = include_str!("../../../.env.example");

/// Sources with a file of this text, these variables and these flags.
fn loaded(
    mode: Mode,
    toml: &str,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Loaded, Problems> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("parlord.toml");
    fs::write(&path, toml).expect("written");
    let sources = Sources {
        file: SettingsFile::Named(path),
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        flags: flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
    };
    load(&sources, mode)
}

fn serve(toml: &str, environment: &[(&str, &str)]) -> Result<Loaded, Problems> {
    loaded(Mode::Serve, toml, environment, &[])
}

/// The messages of what is wrong, by key.
fn wrong(toml: &str, environment: &[(&str, &str)]) -> BTreeMap<String, String> {
    let problems = serve(toml, environment).expect_err("a configuration with mistakes");
    problems.0.into_iter().map(|problem| (problem.key, problem.message)).collect()
}

fn settings(loaded: &Loaded) -> BTreeMap<&str, (Option<&str>, &str)> {
    loaded.settings.iter().map(|one| (one.key.as_str(), (one.value.as_deref(), one.source.as_str()))).collect()
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let toml = "[server]\nlisten = '127.0.0.1:1'\ndrain_grace = '1s'\n[log]\nfilter = 'warn'\n";
    let environment = [
        ("PARLOR_SERVER__LISTEN", "127.0.0.1:2"),
        ("PARLOR_LOG__FILTER", "debug"),
        ("HOME", "/"),
        ("PARLOR_TOKEN", "x"),
    ];
    let loaded = loaded(Mode::Serve, toml, &environment, &[("server.listen", "127.0.0.1:3")]).expect("a configuration");
    assert_eq!(loaded.config.server.listen.port(), 3);
    assert_eq!(loaded.config.server.drain_grace.as_secs(), 1);
    assert_eq!(loaded.config.log.filter, "debug");
    assert_eq!(loaded.config.ops.listen.port(), 9464);

    let shown = settings(&loaded);
    assert_eq!(shown["server.listen"], (Some("\"127.0.0.1:3\""), "flag"));
    assert_eq!(shown["log.filter"], (Some("\"debug\""), "environment variable PARLOR_LOG__FILTER"));
    assert!(shown["server.drain_grace"].1.ends_with("parlord.toml"), "{:?}", shown["server.drain_grace"]);
    assert_eq!(shown["ops.listen"], (Some("\"127.0.0.1:9464\""), "default"));
    assert_eq!(shown["auth.issuer"], (None, "default"));
}

#[test]
fn text_in_the_environment_stays_text() {
    let environment = [
        ("PARLOR_AUTH__AUDIENCE", "123"),
        ("PARLOR_AUTH__ISSUER", "true"),
        ("PARLOR_SERVER__REFLECTION", "true"),
        ("PARLOR_LIMITS__STREAMS", "5"),
        ("PARLOR_DISCORD__SHARDS", "2"),
        ("PARLOR_AUTH__ALGORITHMS", "RS256, EdDSA"),
        ("PARLOR_DISCORD__TOKEN", "123456"),
        ("PARLOR_AUTH__JWKS_FILE", "jwks.json"),
    ];
    let config = serve("", &environment).expect("a configuration").config;
    assert!(config.server.reflection);
    assert_eq!((config.limits.streams, config.discord.shards), (5, Some(2)));
    let required = config.serve_requirements().expect("everything");
    assert_eq!((required.token_rules.audience.as_str(), required.token_rules.issuer.as_str()), ("123", "true"));
    assert_eq!(required.token_rules.algorithms.len(), 2);
    assert_eq!(required.bot_token.expose_secret(), "123456");
}

#[test]
fn every_mistake_is_reported_with_its_source() {
    let toml = "
        [server]
        listn = '127.0.0.1:1'
        tls_cert = 'a.pem'
        allowed_origins = ['*', 'https://app.example/page']
        [limits]
        idle = 'soon'
        streams = 0
        [auth]
        algorithms = ['HS256']
        jwks_file = 'a'
        jwks_url = 'https://b'
        [servers]
        listen = '127.0.0.1:1'
    ";
    let environment =
        [("PARLOR_EVENTS__HEARTBEAT", "61s"), ("PARLOR_DISCORD__API_URL", "http://discord.com"), ("PARLOR_OPS__", "1")];
    let problems = serve(toml, &environment).expect_err("mistakes");
    let find = |key: &str| {
        let found: Vec<String> = problems.0.iter().filter(|one| one.key == key).map(ToString::to_string).collect();
        assert!(!found.is_empty(), "nothing about {key} in {problems}");
        found.join("\n")
    };
    assert!(find("server.listn").contains("did you mean server.listen?"), "{}", find("server.listn"));
    assert!(find("servers.listen").contains("did you mean server.listen?"), "{}", find("servers.listen"));
    assert!(find("server.listn").contains("parlord.toml"));
    assert!(find("server.tls_cert").contains("server.tls_key"));
    assert!(find("server.allowed_origins").contains("name the origins"));
    assert!(find("server.allowed_origins").contains("https://app.example/page"));
    assert!(find("limits.streams").contains("1 to 1000000"), "{}", find("limits.streams"));
    assert!(find("events.heartbeat").contains("5s to 1m"), "{}", find("events.heartbeat"));
    assert!(find("events.heartbeat").contains("PARLOR_EVENTS__HEARTBEAT"));
    assert!(find("discord.api_url").contains("https"));
    assert!(find("auth.algorithms").contains("HS256"));
    assert!(find("auth.jwks_file").contains("jwks_url"));
    for key in ["limits.idle", "ops."] {
        find(key);
    }
}

#[test]
fn a_file_that_is_named_has_to_be_there_and_be_toml() {
    let absent = Sources {
        file: SettingsFile::Named(Path::new("/nonexistent/parlord.toml").to_owned()),
        environment: Vec::new(),
        flags: Vec::new(),
    };
    assert!(load(&absent, Mode::Serve).expect_err("no file").to_string().contains("/nonexistent/parlord.toml"));
    let optional = Sources { file: SettingsFile::IfPresent("/nonexistent/parlord.toml".into()), ..absent };
    assert!(load(&optional, Mode::Serve).is_ok());
    let broken = serve("[discord]\ntoken = 'the secret\n", &[]).expect_err("half a line").to_string();
    assert!(broken.contains("line 2"), "{broken}");
    assert!(!broken.contains("the secret"), "{broken}");
}

#[test]
fn a_star_is_for_development() {
    let toml = "[server]\nallowed_origins = ['*']";
    assert!(wrong(toml, &[]).contains_key("server.allowed_origins"));
    let dev = loaded(Mode::Dev, toml, &[], &[]).expect("a configuration");
    assert_eq!(dev.config.server.allowed_origins, AllowedOrigins::Any);
}

#[test]
fn serving_says_all_that_it_needs() {
    let config = serve("", &[]).expect("the defaults").config;
    let missing = config.serve_requirements().expect_err("nothing is set").to_string();
    for name in ["PARLOR_AUTH__ISSUER", "PARLOR_AUTH__JWKS_URL", "PARLOR_DISCORD__TOKEN_FILE"] {
        assert!(missing.contains(name), "{missing}");
    }
}

#[test]
fn the_bot_token_is_never_shown() {
    let secret = "MTk4NjIyNDgzNDcxOTI1MjQ4.canary";
    let shown = serve("", &[("PARLOR_DISCORD__TOKEN", secret)]).expect("a configuration");
    assert_eq!(settings(&shown)["discord.token"].0, Some("\"<redacted>\""));
    assert!(!format!("{shown:?}").contains("canary"));
    let number = wrong("[discord]\ntoken = 424242", &[]);
    assert!(!number["discord.token"].contains("424242"), "{number:?}");
    let two = wrong("[discord]\ntoken = 'canary one'", &[]);
    assert!(!two["discord.token"].contains("canary"), "{two:?}");
}

#[cfg(unix)]
#[test]
fn a_token_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("token");
    fs::write(&path, "the-token\n").expect("written");
    let toml = format!("[discord]\ntoken_file = {path:?}");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
    for exposed in [0o644, 0o640, 0o604] {
        mode(exposed);
        let message = &wrong(&toml, &[])["discord.token_file"];
        assert!(message.contains("chmod 600"), "{message}");
    }
    mode(0o600);
    let config =
        serve(&toml, &[("PARLOR_AUTH__ISSUER", "i"), ("PARLOR_AUTH__JWKS_FILE", "f")]).expect("a configuration").config;
    assert_eq!(config.serve_requirements().expect("everything").bot_token.expose_secret(), "the-token");
    let both = wrong(&toml, &[("PARLOR_DISCORD__TOKEN", "x")]);
    assert!(both["discord.token"].contains("token_file"), "{both:?}");
    fs::remove_file(&path).expect("it is there");
    assert!(wrong(&toml, &[])["discord.token_file"].contains("cannot be read"));
}

/// Keys and values in effect, with times written in one way: a day may be "24h" in an example.
fn in_effect(loaded: Loaded) -> BTreeMap<String, Option<String>> {
    let normal = |value: String| match humantime_serde::re::humantime::parse_duration(value.trim_matches('"')) {
        Ok(time) => format!("{time:?}"),
        Err(_) => value,
    };
    loaded.settings.into_iter().map(|setting| (setting.key, setting.value.map(normal))).collect()
}

fn defaults() -> BTreeMap<String, Option<String>> {
    in_effect(serve("", &[]).expect("the defaults"))
}

#[test]
fn the_example_file_shows_every_key_with_its_default() {
    let mut section = String::new();
    let mut shown = BTreeMap::new();
    for line in EXAMPLE_TOML.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        }
        let (line, is_set) = line.strip_prefix("# ").map_or((line, true), |rest| (rest, false));
        let Some((name, _)) =
            line.split_once(" = ").filter(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        else {
            continue;
        };
        let before = shown.insert(format!("{section}.{name}"), is_set);
        assert_eq!(before, None, "{name} stands twice");
    }
    let defaults = defaults();
    assert_eq!(shown.keys().collect::<Vec<_>>(), defaults.keys().collect::<Vec<_>>());
    for (key, is_set) in &shown {
        assert_eq!(*is_set, defaults[key].is_some(), "{key} is commented out where it has no default");
    }
    assert_eq!(in_effect(serve(EXAMPLE_TOML, &[]).expect("the example")), defaults);
}

#[test]
fn the_example_environment_shows_every_variable_with_its_default() {
    let shown: BTreeMap<&str, &str> =
        EXAMPLE_ENV.lines().filter_map(|line| line.strip_prefix("# ")?.split_once('=')).collect();
    let name_of = |key: &String| format!("PARLOR_{}", key.replace('.', "__").to_uppercase());
    let defaults = defaults();
    let mut names: Vec<String> = defaults.keys().map(name_of).collect();
    names.sort();
    assert_eq!(shown.keys().copied().collect::<Vec<_>>(), names);
    for (key, value) in &defaults {
        let is_empty = value.as_deref().is_none_or(|value| value == "[]");
        assert_eq!(shown[name_of(key).as_str()].is_empty(), is_empty, "{key}");
    }
    let set: Vec<(&str, &str)> = shown.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    assert_eq!(in_effect(serve("", &set).expect("the example")), defaults);
}
