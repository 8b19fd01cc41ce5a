//! Voice sessions: the shell around `parlor-voice`.
//!
//! ```text
//!            ┌──────────── one task per session, on the voice threads ────────────┐
//! main gateway ─ Line ─▶│                                                          │─▶ Hearing ─▶ a caller's stream, each with
//! websocket ───────────▶│  Driver: wait for one thing, feed parlor-voice, drain it │               a bounded queue of its own
//! UDP, in batches ─────▶│                                                          │─▶ Watching ─▶ a watcher's stream
//! a caller's frames ───▶│  every 20 ms: Mixer                                      │
//!            └─────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Decryption, decoding and mixing happen on threads of their own ([`Threads`]), so that neither audio waits for calls nor calls
//! for audio. What callers and the task share is a [`Session`] behind one short lock. A caller who does not read fills its own
//! queue and nothing else.

mod announcement;
mod consents;
mod driver;
mod errands;
mod footing;
mod leases;
mod listeners;
mod picture;
mod rejoin;
mod session;
mod sessions;
mod socket;
mod sources;
mod threads;
mod watchers;

pub use self::{
    consents::{Consent, Consents},
    leases::{LeaseHold, LeaseTerms},
    listeners::{Format, Heard, Hearing, Wanted},
    picture::Ended,
    rejoin::{SessionRecord, rejoin},
    session::Session,
    sessions::{Connected, NotConnected, Order, Sessions, Settings},
    socket::{VoiceTlsError, tls_client},
    sources::{MOST_SOURCES, Overflow, SourceReport, Speaking, Speech, TooManySources},
    threads::Threads,
    watchers::Watching,
};
