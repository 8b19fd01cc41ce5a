//! A Discord voice session without IO.
//!
//! ```text
//!                      ┌────────────────────────── Session ──────────────────────────┐
//!  main gateway ──────▶│ Awaiting ─▶ Joining ─▶ Live: link (websocket)               │──▶ Signal
//!  websocket ─────────▶│                          │                                  │──▶ Transmit
//!  datagram ──────────▶│      transport ─▶ source ─▶ user ─▶ DAVE ─▶ order ─▶ frame  │──▶ Event
//!  command, time ─────▶│      transport ◀─ packets ◀─ DAVE ◀─ speech                 │──▶ Timeout
//!                      └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`Session::new`], [`Session::handle_input`] and [`Session::poll_output`] are all of it. Nothing here opens a socket, reads a
//! clock, sleeps, locks or logs; time comes in as an argument and chance as a seed. One thing leaks: [`Davey`], the real
//! MLS group, draws randomness and reads the clock itself. It stands behind [`E2eeGroup`], so that a simulation can put a
//! pure one in its place.
//!
//! What is promised of audio:
//! - A frame is delivered under the user who sent it or not at all. A source's user is never guessed, and where the call is
//!   end-to-end encrypted, the key decides.
//! - A frame that comes before its key, or before its source is claimed, is held for [`Config::hold`] and then delivered.
//! - Every frame has one [`Outcome`].
//! - In an end-to-end encrypted call nothing is ever sent in the clear but silence.
//!
//! [`audio`] is apart from it: what is played into calls and made of what is heard, with libopus.

pub mod audio;
mod config;
mod counters;
mod dave;
mod input;
mod media;
mod output;
mod session;

pub use config::Config;
pub use counters::{Backlog, Counters, FrameCounts, Outcome};
pub use dave::{Commit, Davey, E2eeGroup, GroupError, NoCode, NoKey, NotOpened, Verification};
pub use input::{Input, SocketId};
pub use output::{Disconnect, Encryption, Ending, Event, Frame, Output, Signal, TimeoutReason, Transmit};
/// The codecs of Discord voice: ids, credentials and close codes of theirs are part of what a session takes and tells.
pub use parlor_voice_wire as wire;
pub use session::Session;
