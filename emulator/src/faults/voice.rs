//! What can go wrong at the voice server: its gateway, media, and end-to-end encryption.

use serde::{Deserialize, Serialize};

/// A trouble of the voice server. With [`Fault::only`](super::Fault::only) it strikes one user, person or bot: what they
/// send, get or are told. In JSON:
///
/// ```json
/// {"fault": "voice", "trouble": {"kind": "lose", "percent": 10}}
/// ```
///
/// That VOICE_SERVER_UPDATE comes before VOICE_STATE_UPDATE is [`Fault::ReverseDispatches`](super::Fault::ReverseDispatches).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum VoiceTrouble {
    // ---- once, to the connections and sessions of this moment ----
    /// WebSockets break off without a close frame. Sessions and media live on.
    DropConnections,
    /// A close frame with this code. 4009 and those that clients cannot resume after end the session too.
    Close {
        /// 1000 to 4999.
        code: u16,
    },
    /// Another voice server: VOICE_SERVER_UPDATE with a fresh token, and the end of the session on the old one (4022).
    MoveServer,
    /// No voice server: VOICE_SERVER_UPDATE with endpoint null, until the next `move_server`.
    RemoveServer,
    /// The users of each call are heard under each other's sources from now on, and told so with op 5. Ids go round in
    /// order.
    SwapSources,
    /// End-to-end encrypted calls begin anew (op 24, epoch 1), so often, each time as soon as they have come to rest.
    BeginAnew {
        /// How often.
        times: u32,
    },

    // ---- until cleared ----
    /// Identify is answered with this close code.
    RefuseIdentifies {
        /// 4000 to 4999.
        code: u16,
    },
    /// Resume is answered with 4006.
    RefuseResumes,
    /// Heartbeats are not acknowledged.
    HoldHeartbeatAcks,
    /// Op 5 comes so late.
    LateSpeaking {
        /// How late, in milliseconds.
        millis: u32,
    },
    /// Opcodes 5, 11, 13, 18 and 20 come after the message that follows them.
    ReorderMessages {
        /// How many in a hundred.
        percent: u8,
    },
    /// New sessions get the source that was given up last.
    ReuseSources,
    /// A byte of commits and welcomes (ops 29 and 30) is another: whoever gets one cannot use it.
    SpoilCommits {
        /// How many in a hundred.
        percent: u8,
    },
    /// IP discovery is not answered.
    LoseDiscovery {
        /// How many requests in a hundred.
        percent: u8,
    },
    /// Packets get lost on their way to the server.
    LoseSent {
        /// How many in a hundred.
        percent: u8,
    },
    /// Packets get lost on their way from the server.
    Lose {
        /// How many in a hundred.
        percent: u8,
    },
    /// Packets arrive twice.
    Duplicate {
        /// How many in a hundred.
        percent: u8,
    },
    /// Packets arrive after the one that follows them.
    Reorder {
        /// How many in a hundred.
        percent: u8,
    },
    /// Packets arrive late.
    Delay {
        /// How many in a hundred.
        percent: u8,
        /// How late, in milliseconds.
        millis: u32,
    },
    /// A byte of the payload is another. Transport encryption does not notice: it happened inside.
    Corrupt {
        /// How many in a hundred.
        percent: u8,
    },
    /// Packets are padded.
    Pad {
        /// How many in a hundred.
        percent: u8,
        /// By so many bytes; at least 1.
        bytes: u8,
    },
    /// Packets have a header extension with audio level and speaking flags, as those of Discord's own clients.
    Extend {
        /// How many in a hundred.
        percent: u8,
    },
    /// Packets name a contributing source.
    Mix {
        /// How many in a hundred.
        percent: u8,
    },
    /// In place of packets of users who are muted comes silence, in the clear even where all else is encrypted.
    FillSilence,
}

impl VoiceTrouble {
    /// Whether it strikes at once and is over then.
    pub(crate) const fn is_momentary(self) -> bool {
        matches!(
            self,
            Self::DropConnections
                | Self::Close { .. }
                | Self::MoveServer
                | Self::RemoveServer
                | Self::SwapSources
                | Self::BeginAnew { .. }
        )
    }
}
