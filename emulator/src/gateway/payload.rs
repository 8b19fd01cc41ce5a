//! What clients send: the gateway's opcodes as one enum, parsed leniently where real libraries differ.

use serde::Deserialize;
use serde_json::Value;

use crate::world::{ChannelId, GuildId, UserId, VoiceRequest};

/// A payload from a client.
#[derive(Debug)]
pub(crate) enum ClientPayload {
    /// Op 1.
    Heartbeat,
    /// Op 2.
    Identify(Identify),
    /// Op 4.
    VoiceStateUpdate(VoiceRequest),
    /// Op 6.
    Resume(Resume),
    /// Op 8.
    RequestGuildMembers(RequestGuildMembers),
    /// Op 43.
    RequestChannelInfo(RequestChannelInfo),
    /// Op 3 (presence), 5 (voice ping) and 31 (soundboard): legal, and nothing here answers them.
    Ignored,
}

/// Op 2. Whether its values make sense is the session machine's business: each wrong one has its own close code.
#[derive(Debug, Deserialize)]
pub(crate) struct Identify {
    /// The bot's token; some libraries leave `Bot ` in front.
    pub token: String,
    /// `[id, count]`.
    pub shard: Option<(u32, u32)>,
    /// Missing intents are invalid intents.
    pub intents: Option<u64>,
}

/// Op 6.
#[derive(Debug, Deserialize)]
pub(crate) struct Resume {
    pub token: String,
    pub session_id: String,
    pub seq: u64,
}

/// Op 8.
#[derive(Debug, Deserialize)]
pub(crate) struct RequestGuildMembers {
    pub guild_id: GuildId,
    pub query: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub user_ids: Option<Vec<UserId>>,
    #[serde(default)]
    pub limit: usize,
    pub nonce: Option<String>,
}

/// Op 43.
#[derive(Debug, Deserialize)]
pub(crate) struct RequestChannelInfo {
    pub guild_id: GuildId,
    /// Of `status` and `voice_start_time`, what is asked for.
    pub fields: Vec<String>,
}

/// Why a client's payload was not understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum PayloadError {
    /// No JSON, or fields that do not fit the opcode.
    #[error("the payload does not decode")]
    Decode,
    /// An opcode that clients do not send.
    #[error("the opcode is unknown")]
    Opcode,
}

impl ClientPayload {
    /// Reads one text frame.
    pub(crate) fn parse(text: &str) -> Result<Self, PayloadError> {
        #[derive(Deserialize)]
        struct Envelope {
            op: u64,
            #[serde(default)]
            d: Value,
        }
        #[derive(Deserialize)]
        struct VoiceStateUpdate {
            guild_id: GuildId,
            channel_id: Option<ChannelId>,
            #[serde(default)]
            self_mute: bool,
            #[serde(default)]
            self_deaf: bool,
        }
        fn fields<T: for<'de> Deserialize<'de>>(d: Value) -> Result<T, PayloadError> {
            serde_json::from_value(d).map_err(|_| PayloadError::Decode)
        }

        let Envelope { op, d } = serde_json::from_str(text).map_err(|_| PayloadError::Decode)?;
        Ok(match op {
            1 => Self::Heartbeat,
            2 => Self::Identify(fields(d)?),
            3 | 5 | 31 => Self::Ignored,
            4 => {
                let VoiceStateUpdate { guild_id, channel_id, self_mute, self_deaf } = fields(d)?;
                Self::VoiceStateUpdate(VoiceRequest { guild: guild_id, channel: channel_id, self_mute, self_deaf })
            }
            6 => Self::Resume(fields(d)?),
            8 => Self::RequestGuildMembers(fields(d)?),
            43 => Self::RequestChannelInfo(fields(d)?),
            _ => return Err(PayloadError::Opcode),
        })
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<UserId>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(UserId),
        Many(Vec<UserId>),
    }
    Ok(Option::<OneOrMany>::deserialize(deserializer)?.map(|ids| match ids {
        OneOrMany::One(id) => vec![id],
        OneOrMany::Many(ids) => ids,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op_4_reads_integers_strings_and_missing_switches() {
        let python = r#"{"op":4,"d":{"guild_id":1100000000000000001,"channel_id":1100000000000000012,"self_mute":false,"self_deaf":true}}"#;
        let java = r#"{"op":4,"d":{"guild_id":"1100000000000000001","channel_id":1100000000000000012}}"#;
        for (text, deaf) in [(python, true), (java, false)] {
            let ClientPayload::VoiceStateUpdate(request) = ClientPayload::parse(text).unwrap() else {
                panic!("{text} is op 4")
            };
            assert_eq!(request.guild.get(), 1_100_000_000_000_000_001);
            assert_eq!(request.channel.map(ChannelId::get), Some(1_100_000_000_000_000_012));
            assert_eq!(request.self_deaf, deaf);
        }
    }

    #[test]
    fn nonsense_is_told_from_unknown_opcodes() {
        assert_eq!(ClientPayload::parse("{").unwrap_err(), PayloadError::Decode);
        assert_eq!(ClientPayload::parse(r#"{"op":2,"d":{}}"#).unwrap_err(), PayloadError::Decode);
        assert_eq!(ClientPayload::parse(r#"{"op":99,"d":{}}"#).unwrap_err(), PayloadError::Opcode);
    }
}
