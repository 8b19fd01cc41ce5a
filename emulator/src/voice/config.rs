//! What can be set of the voice server before it starts.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use parlor_voice_wire::transport::Mode;

/// Settings of the voice server. [`VoiceConfig::default`] suits tests: free ports, Discord's own numbers.
#[derive(Clone, Debug)]
pub struct VoiceConfig {
    /// Where the voice gateway listens, with TLS; port 0 = a free one.
    pub listen: SocketAddr,
    /// Where media goes, over UDP; port 0 = a free one. Clients know IPv4 alone.
    pub media: SocketAddrV4,
    /// The `host:port` that VOICE_SERVER_UPDATE names; `None` = where the voice gateway listens.
    pub endpoint: Option<String>,
    /// Whether calls are end-to-end encrypted.
    pub dave: DavePolicy,
    /// The transport encryption that Ready offers, in this order. Some clients take the first that they know.
    pub modes: Vec<Mode>,
    /// How often clients must send a heartbeat; 13.75 s. One that is silent for 1.5 times as long is closed (4009).
    pub heartbeat_interval: Duration,
    /// Messages kept for a Resume; 1,000. Discord does not publish the number.
    pub replay_messages: usize,
    /// How long a session lives without a WebSocket; 60 s. Discord does not publish the number.
    pub resume_window: Duration,
    /// How long clients may take to be ready for a transition; 2 s (DAVE protocol, "Transitions").
    pub transition_patience: Duration,
    /// What SSRCs, keys and the strokes of random faults come from: the same seed gives the same ones.
    pub seed: u64,
}

/// Whether calls are end-to-end encrypted. Stages never are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DavePolicy {
    /// None is: Session Description says version 0.
    Off,
    /// A call is while everybody in it can be: clients that cannot are let in, and the call changes for all.
    Optional,
    /// Every call is, and clients that cannot are refused (4017), as at Discord since March 2026.
    Required,
}

impl Default for VoiceConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)),
            media: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            endpoint: None,
            dave: DavePolicy::Required,
            modes: vec![Mode::Aes256GcmRtpsize, Mode::XChaCha20Poly1305Rtpsize],
            heartbeat_interval: Duration::from_millis(13_750),
            replay_messages: 1_000,
            resume_window: Duration::from_secs(60),
            transition_patience: Duration::from_secs(2),
            seed: 1,
        }
    }
}
