//! The codecs of Discord voice, and nothing else: bytes and text in, values out, and back.
//!
//! ```text
//! voice gateway, WebSocket                          media, UDP
//!   text ─▶ gateway::{ServerMessage, ClientMessage}   discovery   before media
//!   binary ─▶ gateway::{DaveServerMessage, …}         rtp, rtcp ◀─ transport (one key per client)
//!   gateway::CloseCode                                frame, opus ◀─ the payload
//! ```
//!
//! Both sides of a connection are here, so that a client and an emulated server can be built on the same layouts. What
//! keeps one mistake from hiding in both are known answers: vectors from RFCs, from Discord's documentation, or computed
//! by other implementations; each test names its source.
//!
//! Nothing here knows of time, sockets or sessions.

pub mod discovery;
pub mod frame;
pub mod gateway;
mod id;
pub mod opus;
pub mod rtcp;
pub mod rtp;
pub mod transport;

pub use id::{ChannelId, GuildId, ProtocolVersion, Ssrc, TransitionId, UserId};
