//! One voice session: from Identify to its end, over any number of WebSockets.

use core::net::SocketAddr;
use std::collections::BTreeSet;

use parlor_voice_wire::gateway::{SpeakingFlags, Version};
use parlor_voice_wire::transport::{Mode, Opener, Sealer, TransportKey};
use parlor_voice_wire::{ProtocolVersion, Ssrc};

use super::VoiceConnectionId;
use super::outbox::Outbox;
use super::reception::Reception;
use crate::world::{ChannelId, GuildId, Timestamp, UserId, VoiceCredentials};

/// Whose session: one user has one in each guild.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct SessionKey {
    pub guild: GuildId,
    pub user: UserId,
}

/// A client in a call.
#[derive(Debug)]
pub(crate) struct Session {
    /// Channel, session id and token, as they were at Identify. When the world's are others, the session is over.
    pub credentials: VoiceCredentials,
    pub version: Version,
    /// The newest DAVE version that the client speaks.
    pub speaks_dave: ProtocolVersion,
    pub link: Link,
    /// The source that Ready gave to the client.
    pub ssrc: Ssrc,
    /// The source under which others hear the client: the same, but for faults.
    pub heard_as: Ssrc,
    /// The client's last op 5; none before the first.
    pub speaking: Option<SpeakingFlags>,
    /// When a packet came before any op 5.
    pub unannounced_since: Option<Timestamp>,
    /// After Select Protocol.
    pub media: Option<Media>,
    /// Where discovery requests and authentic packets came from.
    pub paths: BTreeSet<SocketAddr>,
    pub outbox: Outbox,
}

/// Whether a WebSocket carries the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    /// This one does.
    Attached(VoiceConnectionId),
    /// None does since then; media goes on.
    Detached(Timestamp),
}

/// The media path of a session.
#[derive(Debug)]
pub(crate) struct Media {
    pub opener: Opener,
    pub sealer: Sealer,
    /// Where the client said that it can be reached.
    pub address: Option<SocketAddr>,
    /// How the client's own packets arrive.
    pub reception: Reception,
}

/// Paths that are remembered for one session.
const PATHS: usize = 16;

impl Session {
    pub(crate) const fn channel(&self) -> ChannelId {
        self.credentials.channel_id
    }

    /// Somebody who knows the session's source or key was heard from here.
    pub(crate) fn note_path(&mut self, from: SocketAddr) {
        if self.paths.len() < PATHS {
            self.paths.insert(from);
        }
    }

    /// Where media for the client goes: the address that it named, once something has come from there. Whoever names
    /// another address than the one that discovery told hears nothing, and no stranger is sent anything.
    pub(crate) fn reachable_at(&self) -> Option<SocketAddr> {
        self.media.as_ref()?.address.filter(|address| self.paths.contains(address))
    }
}

impl Media {
    pub(crate) fn new(mode: Mode, key: &TransportKey, address: Option<SocketAddr>) -> Self {
        let (opener, sealer) = (Opener::new(mode, key), Sealer::new(mode, key, 0));
        Self { opener, sealer, address, reception: Reception::default() }
    }
}
