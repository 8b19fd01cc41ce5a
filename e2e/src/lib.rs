//! The whole of Parlor in one test: an emulated Discord, the server against it, and real clients around both.
//!
//! ```no_run
//! # async fn example() {
//! use parlor_e2e::House;
//!
//! let house = House::start().await;
//! let mut watcher = house.watch().await;
//! house.emulator.user("ann").joins(discord_emulator::LOBBY);
//! watcher.until_it_sees_the_truth(&house).await;
//! # }
//! ```
//!
//! Every wait is for something, and bounded by [`PATIENCE`].

mod archive;
pub mod faults;
mod house;
mod outline;
mod page;
pub mod parlord;
mod process;
pub mod reference;
pub mod soak;
pub mod sound_file;
mod terminal;
mod tokens;
pub mod validator;
pub mod voice;
mod watcher;
mod wire;

use std::{path::PathBuf, time::Duration};

pub use self::{
    archive::{Archive, Tape, now},
    house::{House, Neighbour, Setup},
    page::{Block, Page, pages},
    process::{Process, grpcurl},
    terminal::{Running, Terminal, programs, workplace},
    tokens::{Issuer, Token, seconds_now},
    watcher::{Watcher, check_promises},
};

/// How long a test waits for what has to happen. Long, because a loaded machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Waits for something, within [`PATIENCE`].
///
/// # Panics
/// It does not happen.
pub async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(happened) => happened,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}
