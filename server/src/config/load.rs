//! Reading the four sources, and everything that is wrong with them at once.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use figment::{
    Figment, Metadata, Profile, Provider, Source,
    providers::{Format as _, Toml},
    util::nest,
    value::{Dict, Map, Value},
};
use serde::Deserialize as _;
use thiserror::Error;

use super::{
    resolve::{Config, resolve},
    settings::{OPTIONAL_NUMBERS, SECRETS, Settings},
};

/// What the name of a configuration variable begins with.
const ENVIRONMENT_PREFIX: &str = "PARLOR_";
/// A name that is this similar to a key (Jaro-Winkler, 0 to 1) was meant to be it.
const SIMILAR: f64 = 0.8;

/// Whether the service runs for itself or as part of `parlord dev`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// As in production.
    Serve,
    /// On the developer's machine: `*` is accepted as an allowed origin.
    Dev,
}

/// The file to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SettingsFile {
    /// The one that was named: it has to exist.
    Named(PathBuf),
    /// This one if it exists.
    IfPresent(PathBuf),
    /// None.
    Absent,
}

/// Where settings come from, besides the defaults.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The TOML file.
    pub file: SettingsFile,
    /// The process environment. Only `PARLOR_SECTION__KEY` is looked at; names without a double underscore belong to
    /// other programs of Parlor.
    pub environment: Vec<(String, String)>,
    /// Flags: the key (`server.listen`), and the value as it was typed.
    pub flags: Vec<(&'static str, String)>,
}

/// A mistake in the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The key, such as `server.listen`; empty where a whole file is wrong.
    pub key: String,
    /// Where it was said.
    pub source: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.source, self.message),
            key => write!(f, "{key}: {} ({})", self.message, self.source),
        }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("the configuration has {} mistake(s):{}", .0.len(), lines(.0))]
pub struct Problems(pub Vec<Problem>);

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// One setting as it is in effect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// The key, such as `server.listen`.
    pub key: String,
    /// The value as TOML writes it; nothing if it is not set. Secrets are replaced by a word.
    pub value: Option<String>,
    /// Where it was said.
    pub source: String,
}

/// A configuration, and where each of its values came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting in effect, sorted by key.
    pub settings: Vec<Setting>,
}

/// Reads the configuration.
///
/// # Errors
/// Every mistake that can be found: unknown keys with the one that was probably meant, values that do not fit, and
/// settings that contradict each other.
pub fn load(sources: &Sources, mode: Mode) -> Result<Loaded, Problems> {
    let defaults = Value::serialize(Settings::default()).expect("the defaults are plain values");
    let schema = leaves(&defaults);
    let mut problems = Vec::new();
    let figment = collect(sources, &defaults, &schema, &mut problems);
    let merged = match figment.find_value("") {
        Ok(merged) => merged,
        Err(error) => {
            problems.extend(error.into_iter().map(|one| {
                let source = one.metadata.as_ref().map_or_else(|| "configuration".to_owned(), named);
                Problem { key: String::new(), source, message: one.kind.to_string() }
            }));
            return Err(Problems(problems));
        }
    };
    let origins = |value: &Value| figment.get_metadata(value.tag()).map_or_else(|| "default".to_owned(), named);
    let known = keep_known(&merged, &schema, &origins, &mut problems);
    let settings = extract(known.clone(), &schema, &origins, &mut problems);
    let shown = super::show::settings(&known, &origins);
    let source_of = |key: &str| known.find_ref(key).map_or_else(|| "default".to_owned(), &origins);
    let config = resolve(settings, mode, &source_of, &mut problems);
    if problems.is_empty() { Ok(Loaded { config, settings: shown }) } else { Err(Problems(problems)) }
}

/// One source with one value.
struct Single {
    name: String,
    dict: Dict,
}

impl Provider for Single {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// Puts the sources over each other.
fn collect(
    sources: &Sources,
    defaults: &Value,
    schema: &BTreeMap<String, Value>,
    problems: &mut Vec<Problem>,
) -> Figment {
    let dict = defaults.as_dict().cloned().expect("sections");
    let mut figment = Figment::from(Single { name: "default".to_owned(), dict });
    let file = match &sources.file {
        SettingsFile::Named(path) => Some(path),
        SettingsFile::IfPresent(path) => path.exists().then_some(path),
        SettingsFile::Absent => None,
    };
    if let Some(path) = file {
        match read(path) {
            Ok(provider) => figment = figment.merge(provider),
            Err(problem) => problems.push(problem),
        }
    }
    let mut environment: Vec<_> = sources.environment.iter().collect();
    environment.sort();
    for (name, text) in environment {
        let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX).filter(|rest| rest.contains("__")) else { continue };
        let (source, key) = (format!("environment variable {name}"), key.to_ascii_lowercase().replace("__", "."));
        if key.split('.').any(str::is_empty) {
            problems.push(Problem { key, source, message: "no such setting".to_owned() });
        } else {
            figment = figment.merge(single(source, &key, text, schema));
        }
    }
    for (key, text) in &sources.flags {
        figment = figment.merge(single("flag".to_owned(), key, text, schema));
    }
    figment
}

/// Reads a file as TOML and names it as the source of its values.
fn read(path: &Path) -> Result<impl Provider + use<>, Problem> {
    struct File {
        path: PathBuf,
        dict: Dict,
    }

    impl Provider for File {
        fn metadata(&self) -> Metadata {
            Metadata::named("file").source(self.path.as_path())
        }

        fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
            Ok(Profile::Default.collect(self.dict.clone()))
        }
    }

    let problem = |message| Problem { key: String::new(), source: path.display().to_string(), message };
    let text = std::fs::read_to_string(path).map_err(|error: io::Error| problem(format!("cannot be read: {error}")))?;
    // The library's message quotes the line, and a line may hold the bot token: only its place is told.
    let dict: Dict = Toml::from_str(&text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        problem(format!("line {line} is not TOML"))
    })?;
    Ok(File { path: path.to_owned(), dict })
}

/// A value that was typed as text, read as the kind of value that its key has: what is text stays text, even where it
/// looks like a number.
fn single(name: String, key: &str, text: &str, schema: &BTreeMap<String, Value>) -> Single {
    let value = match schema.get(key) {
        Some(Value::Bool(..) | Value::Num(..)) => Value::from_str(text).expect("every text is a value"),
        Some(_) if OPTIONAL_NUMBERS.contains(&key) => Value::from_str(text).expect("every text is a value"),
        Some(Value::Array(..)) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().into()
        }
        _ => Value::from(text),
    };
    let dict = nest(key, value).into_dict().expect("a key has a section");
    Single { name, dict }
}

/// Every value that is not a table, by its key.
pub(super) fn leaves(root: &Value) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
        match value.as_dict() {
            Some(dict) => dict.iter().for_each(|(name, value)| {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                walk(&key, value, found);
            }),
            None => {
                found.insert(prefix.to_owned(), value.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", root, &mut found);
    found
}

/// The values whose keys exist; the others become problems.
fn keep_known(
    merged: &Value,
    schema: &BTreeMap<String, Value>,
    origins: &impl Fn(&Value) -> String,
    problems: &mut Vec<Problem>,
) -> Value {
    let mut known: BTreeMap<String, Value> = schema.clone();
    for (key, value) in leaves(merged) {
        if schema.contains_key(&key) {
            known.insert(key, value);
            continue;
        }
        let message = match meant(&key, schema) {
            Some(similar) => format!("no such setting, did you mean {similar}?"),
            None => "no such setting".to_owned(),
        };
        problems.push(Problem { source: origins(&value), key, message });
    }
    let mut root = Value::from(Dict::new());
    for (key, value) in known {
        put(&mut root, &key, value);
    }
    root
}

/// The key that a name was probably meant to be.
fn meant<'a>(key: &str, schema: &'a BTreeMap<String, Value>) -> Option<&'a str> {
    let score = |known: &str| {
        let last = |path: &str| path.rsplit('.').next().map(str::to_owned).unwrap_or_default();
        strsim::jaro_winkler(key, known).max(strsim::jaro_winkler(&last(key), &last(known)) - 0.01)
    };
    let best = schema.keys().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) >= SIMILAR).then_some(best)
}

/// Reads the settings, replacing one wrong value after the other by its default until none is left.
fn extract(
    mut known: Value,
    schema: &BTreeMap<String, Value>,
    origins: &impl Fn(&Value) -> String,
    problems: &mut Vec<Problem>,
) -> Settings {
    loop {
        let error = match Settings::deserialize(&known) {
            Ok(settings) => return settings,
            Err(error) => error,
        };
        // The key of an element of a list ends in its index.
        let path = error.path.iter().take(2).cloned().collect::<Vec<_>>().join(".");
        let default = schema.get(&path).expect("a value that does not fit stands at a known key, and defaults fit");
        let value = known.find_ref(&path).expect("the value that does not fit");
        let is_secret = SECRETS.contains(&path.as_str());
        let message = if is_secret { "not a string".to_owned() } else { error.kind.to_string() };
        problems.push(Problem { key: path.clone(), source: origins(value), message });
        put(&mut known, &path, default.clone());
    }
}

/// Sets the value of a key; its source stays with it.
fn put(root: &mut Value, key: &str, value: Value) {
    let (section, name) = key.split_once('.').expect("a key has a section");
    let Value::Dict(_, sections) = root else { unreachable!("the root is a table") };
    let section = sections.entry(section.to_owned()).or_insert_with(|| Dict::new().into());
    let Value::Dict(_, section) = section else { unreachable!("a section is a table") };
    section.insert(name.to_owned(), value);
}

/// How a source is called.
fn named(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(Source::File(path)) => path.display().to_string(),
        _ => metadata.name.to_string(),
    }
}
