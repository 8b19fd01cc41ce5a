//! Log lines, to standard error: text for people, JSON for machines.
//!
//! Libraries write whole messages below INFO, tokens included (a WebSocket library its frames, an HTTP one its headers), and
//! no filter of ours could tell. So below INFO only our own crates are heard, whatever the filter says.

use std::io::{self, IsTerminal as _};

use thiserror::Error;
use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Registry,
    filter::filter_fn,
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::config::{LogConfig, LogFormat};

/// Logging cannot begin.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error("log.filter does not parse")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// There is a subscriber already.
    #[error("logging has begun already")]
    Begun(#[source] TryInitError),
}

/// Begins logging for the whole process.
///
/// # Errors
/// The filter does not parse, or logging has begun already.
pub fn init_logging(config: &LogConfig) -> Result<(), LogError> {
    let filter: EnvFilter = config.filter.parse().map_err(LogError::Filter)?;
    let as_text = match config.format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let ours = filter_fn(is_heard).with_max_level_hint(LevelFilter::TRACE);
    let registry = Registry::default().with(filter).with(ours);
    if as_text {
        // NO_COLOR is obeyed by the library.
        registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init()
    } else {
        registry.with(lines.json().flatten_event(true)).try_init()
    }
    .map_err(LogError::Begun)
}

/// Whether a line may be written at all: one of ours, or one that says something at INFO or above.
fn is_heard(metadata: &Metadata<'_>) -> bool {
    let ours = ["parlor_", "parlord", "discord_emulator"].iter().any(|prefix| metadata.target().starts_with(prefix));
    ours || *metadata.level() <= Level::INFO
}
