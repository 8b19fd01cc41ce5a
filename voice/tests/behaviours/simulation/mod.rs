//! A whole call on virtual time: sessions, a voice server, a network that loses, doubles and reorders, and a script.
//!
//! Everything is a function of the seed. No clock is read but once, for a beginning; no thread, no socket.

mod delivery;
mod world;

pub(crate) use world::{Plan, Report, Swaps, run};
