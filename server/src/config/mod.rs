//! Configuration: defaults, then a TOML file, then the environment, then flags.
//!
//! [`load`] reads all four, reports everything that is wrong at once with where it was said, and gives a [`Config`]
//! that cannot be wrong. What each key means is told by `parlord.example.toml`, which a test compares with the types here.

mod load;
mod resolve;
mod settings;
mod show;
mod units;

#[cfg(test)]
mod tests;

pub use load::{Loaded, Mode, Problem, Problems, Setting, SettingsFile, Sources, load};
pub use resolve::{
    AllowedOrigins, AuthConfig, Config, DiscordConfig, MissingSettings, ServeRequirements, ServerConfig, TlsFiles,
};
pub use settings::{
    EventsConfig, LimitsConfig, LogConfig, LogFormat, OpsConfig, RatesConfig, StoreConfig, StoreKind, TlsVersion,
    VoiceConfig,
};
pub use units::{HttpsUrl, Origin, UnitError, WssUrl};
