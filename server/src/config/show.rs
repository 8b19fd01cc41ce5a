//! The settings in effect, for `parlord config print`.

use figment::value::Value;

use super::{
    load::{Setting, leaves},
    settings::SECRETS,
};

/// Every setting with its value as TOML and its source. A secret that is set shows as a word.
pub(super) fn settings(known: &Value, origins: &impl Fn(&Value) -> String) -> Vec<Setting> {
    leaves(known)
        .into_iter()
        .map(|(key, value)| {
            let source = origins(&value);
            let shown = match toml::Value::try_from(&value) {
                Ok(_) if SECRETS.contains(&key.as_str()) => Some("\"<redacted>\"".to_owned()),
                Ok(value) => Some(value.to_string()),
                // What is not set has no value in TOML.
                Err(_) => None,
            };
            Setting { key, value: shown, source }
        })
        .collect()
}
