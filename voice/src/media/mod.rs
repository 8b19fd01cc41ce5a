//! Audio in both directions, once a voice server has given a key.

mod receive;
mod send;
mod stream;

pub(crate) use receive::{Judges, Past, Receiver};
pub(crate) use send::{Sender, Sent};
