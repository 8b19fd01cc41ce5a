//! The proof of the event stream: the real core, and beside it a reference that is so simple that it can be believed.
//!
//! ```text
//!  World ─ what happens ─▶ Discord ─ dispatches, lost, doubled, late ─▶ Parlor: Writer, State, Subscription, a store
//!                                                    │                     │ entries      │ frames
//!                                                    └─▶ Known ═ compare ══╧═ Chronicle ══╧═ Client × 3
//! ```
//!
//! - [`world`] and [`discord`] are Discord's side: the truth, and what is told of it.
//! - [`known`] is what Parlor should know and say, by comparing whole pictures.
//! - [`record`] is what the log should hold.
//! - [`parlor`] drives the core of `parlord`: no sockets, no clock, and a store that can fail.
//! - [`client`] holds every frame against the promises of the stream.
//! - [`sabotage`] breaks things on purpose.

pub mod client;
pub mod discord;
pub mod fact;
pub mod history;
pub mod known;
pub mod parlor;
pub mod record;
pub mod run;
pub mod sabotage;
pub mod shelf;
pub mod step;
pub mod wish;
pub mod world;

use thiserror::Error;

/// A promise is broken.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub struct Broken(String);

impl Broken {
    /// It is broken so.
    pub fn new(how: impl Into<String>) -> Self {
        Self(how.into())
    }

    /// It is broken unless this is so.
    ///
    /// # Errors
    /// If it is not.
    pub fn unless(kept: bool, how: impl FnOnce() -> String) -> Result<(), Self> {
        if kept { Ok(()) } else { Err(Self(how())) }
    }

    /// Where it was broken.
    #[must_use]
    pub fn at(self, place: impl std::fmt::Display) -> Self {
        Self(format!("{place}: {self}"))
    }
}
