//! The contents of messages: their `d`.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Sequence;
use crate::{
    id::{ChannelId, GuildId, ProtocolVersion, Ssrc, TransitionId, UserId},
    transport::TransportKey,
};

/// Something that lets its holder act as the bot: a voice token or a session id. It does not show itself.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Credential(String);

impl Credential {
    /// The credential with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the wire, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// Op 0, from a client: who it is and what it may be told.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Identify {
    /// The guild.
    pub server_id: GuildId,
    /// The bot.
    pub user_id: UserId,
    /// From the bot's own voice state.
    pub session_id: Credential,
    /// From the voice server update.
    pub token: Credential,
    /// The newest DAVE version that the client speaks; absent means none, and is refused with 4017.
    #[serde(default)]
    pub max_dave_protocol_version: ProtocolVersion,
    /// The channel, which version 9 asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<ChannelId>,
}

/// Op 1, from a client: how media should come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SelectProtocol {
    /// Plain UDP.
    Udp {
        /// Where the client can be reached, as IP discovery told it. Clients that only send may make it up.
        address: String,
        /// The port, likewise.
        port: u16,
        /// The name of one of the modes that Ready offered.
        mode: String,
    },
    /// Another protocol, `webrtc` for one, by its name.
    Other(String),
}

#[derive(Deserialize, Serialize)]
struct SelectProtocolFields<D> {
    protocol: String,
    data: D,
}

#[derive(Deserialize, Serialize)]
struct UdpFields {
    address: String,
    port: u16,
    mode: String,
}

impl Serialize for SelectProtocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.clone() {
            Self::Udp { address, port, mode } => {
                let data = UdpFields { address, port, mode };
                SelectProtocolFields { protocol: "udp".to_owned(), data }.serialize(serializer)
            }
            Self::Other(protocol) => SelectProtocolFields { protocol, data: "" }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SelectProtocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields: SelectProtocolFields<serde_json::Value> = Deserialize::deserialize(deserializer)?;
        if fields.protocol != "udp" {
            return Ok(Self::Other(fields.protocol));
        }
        let UdpFields { address, port, mode } = serde_json::from_value(fields.data).map_err(de::Error::custom)?;
        Ok(Self::Udp { address, port, mode })
    }
}

/// Op 2, from the server: the client's source, and where media goes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ready {
    /// The client's own source.
    pub ssrc: Ssrc,
    /// Where the server takes media.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// The names of the modes that it offers.
    pub modes: Vec<String>,
}

/// Op 4, from the server: the key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionDescription {
    /// The mode that the client chose.
    pub mode: String,
    /// The key of both directions.
    pub secret_key: TransportKey,
    /// The version of DAVE that the call has; 0 is none. discord.py fails without it.
    #[serde(default)]
    pub dave_protocol_version: ProtocolVersion,
    /// The audio codec: `opus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_codec: Option<String>,
}

/// What somebody who speaks is doing, as bits (Discord docs, Voice Connections, "Speaking").
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct SpeakingFlags(u32);

impl SpeakingFlags {
    /// Nothing.
    pub const SILENT: Self = Self(0);
    /// Speech.
    pub const VOICE: Self = Self(1);
    /// The sound of a shared screen.
    pub const SOUNDSHARE: Self = Self(1 << 1);
    /// Speech to which others are turned down.
    pub const PRIORITY: Self = Self(1 << 2);

    /// The flags with these bits.
    pub const fn new(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Op 5, from a client: it begins or ends to send. It must have come before the first packet.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClientSpeaking {
    /// What it does.
    pub speaking: SpeakingFlags,
    /// 0 for bots.
    #[serde(default)]
    pub delay: u32,
    /// Its own source.
    pub ssrc: Ssrc,
}

/// Op 5, from the server: whose source this is. It does not say that anybody makes a sound now.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ServerSpeaking {
    /// Whose.
    pub user_id: UserId,
    /// The source.
    pub ssrc: Ssrc,
    /// What the user said that they do.
    #[serde(default)]
    pub speaking: SpeakingFlags,
}

/// Op 7, from a client: it is back, on another socket.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Resume {
    /// The guild.
    pub server_id: GuildId,
    /// As in Identify.
    pub session_id: Credential,
    /// As in Identify.
    pub token: Credential,
    /// The last sequence number that came; see [`SequenceAck`].
    #[serde(default, skip_serializing_if = "SequenceAck::is_absent")]
    pub seq_ack: SequenceAck,
}

/// The last sequence number that a client has seen, as it tells it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SequenceAck {
    /// It does not say: versions before 8, and clients with mistakes.
    #[default]
    Absent,
    /// None yet, written as -1.
    None,
    /// This one.
    Seen(Sequence),
}

impl SequenceAck {
    fn is_absent(&self) -> bool {
        *self == Self::Absent
    }
}

impl Serialize for SequenceAck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_none(),
            Self::None => serializer.serialize_i32(-1),
            Self::Seen(sequence) => sequence.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SequenceAck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(match value.as_i64() {
            Some(-1) => Self::None,
            Some(number) => u16::try_from(number).map_or(Self::Absent, |number| Self::Seen(Sequence::new(number))),
            None => Self::Absent,
        })
    }
}

/// Op 8, from the server: the first message on a socket.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Hello {
    /// How often a heartbeat is due, in milliseconds on the wire.
    #[serde(with = "millis")]
    pub heartbeat_interval: Duration,
    /// The version of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v: Option<u8>,
}

mod millis {
    use super::{Deserialize, Deserializer, Duration, Serializer, de};

    /// Longer than any interval that was ever seen, 41.25 s, by far.
    const LONGEST: f64 = 600_000.0;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_millis() as u64)
    }

    /// Discord has sent both integers and fractions.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let millis = f64::deserialize(deserializer)?;
        if !(1.0..=LONGEST).contains(&millis) {
            return Err(de::Error::custom("not an interval"));
        }
        Ok(Duration::from_millis(millis as u64))
    }
}

/// Op 11, from the server: users who are here; everybody at first, then each who joins.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClientsConnect {
    /// The users.
    pub user_ids: Vec<UserId>,
}

/// Op 12, from the server: a user's sources. Only the audio source matters to a bot.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Video {
    /// Whose.
    pub user_id: UserId,
    /// The source of sound; 0 is none.
    #[serde(default)]
    pub audio_ssrc: Ssrc,
    /// The source of pictures; 0 is none.
    #[serde(default)]
    pub video_ssrc: Ssrc,
}

/// Op 13, from the server: a user who left.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClientDisconnect {
    /// The user.
    pub user_id: UserId,
}

/// Op 18, from the server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClientFlags {
    /// The user.
    pub user_id: UserId,
    /// Whether they allow clips and recording; bots have none.
    pub flags: Option<u32>,
}

/// Op 20, from the server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClientPlatform {
    /// The user.
    pub user_id: UserId,
    /// Desktop 0, mobile 1, consoles 2 and 3; bots have none.
    pub platform: Option<u32>,
}

/// Op 21, from the server: get ready to change.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PrepareTransition {
    /// Which change.
    pub transition_id: TransitionId,
    /// To this version; 0 is an end of end-to-end encryption.
    pub protocol_version: ProtocolVersion,
}

/// Op 22, from the server: everybody was ready; change.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ExecuteTransition {
    /// Which change.
    pub transition_id: TransitionId,
}

/// Op 23, from a client: it can receive what comes after the change.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TransitionReady {
    /// Which change.
    pub transition_id: TransitionId,
}

/// Op 24, from the server: a new epoch, or the group from its beginning.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PrepareEpoch {
    /// The version of the group.
    pub protocol_version: ProtocolVersion,
    /// 1 is a new group: forget the old one and send a key package.
    pub epoch: u64,
}

/// Op 31, from a client: what came could not be used; take me out and in again.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InvalidCommitWelcome {
    /// The change that it came with.
    pub transition_id: TransitionId,
}

/// Op 3, from a client, and 6, from the server, since version 8.
#[derive(Deserialize, Serialize)]
pub(super) struct Beat {
    pub(super) t: u64,
    #[serde(default, skip_serializing_if = "SequenceAck::is_absent")]
    pub(super) seq_ack: SequenceAck,
}

/// Op 3 and 6 in any version.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum AnyBeat {
    Bare(u64),
    Object(Beat),
}

impl From<AnyBeat> for Beat {
    fn from(beat: AnyBeat) -> Self {
        match beat {
            AnyBeat::Bare(t) => Self { t, seq_ack: SequenceAck::Absent },
            AnyBeat::Object(beat) => beat,
        }
    }
}

/// An object without members.
pub(super) const EMPTY: BTreeMap<(), ()> = BTreeMap::new();
