//! Voice states: who is in which voice channel, and how.

use serde::Serialize;

use super::id::{ChannelId, GuildId, UserId};

/// A user's presence in a voice or stage channel. Not being in one is the absence of a state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VoiceState {
    /// Where the user is.
    pub channel_id: ChannelId,
    /// Opaque; the voice gateway's Identify repeats it. It stays while the user moves about.
    pub session_id: String,
    /// The user's own switches.
    pub switches: Switches,
    /// Not allowed to speak: an audience member of a stage.
    pub suppress: bool,
    /// When they asked to speak on the stage, as they wrote it; `None` once they may.
    pub asked_to_speak: Option<String>,
    /// Who holds the connection.
    pub holder: Holder,
}

/// What users switch on and off themselves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Switches {
    /// Muted themselves.
    pub self_mute: bool,
    /// Deafened themselves.
    pub self_deaf: bool,
    /// Camera on.
    pub self_video: bool,
    /// Sharing the screen.
    pub self_stream: bool,
}

/// Who holds a voice connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Holder {
    /// A person: the emulator plays them.
    Person,
    /// A person for whom a voice client speaks.
    Client {
        /// The token of that client's newest ticket; older ones are void.
        voice_token: String,
    },
    /// A bot's gateway session.
    Session {
        /// That session's id.
        gateway_session: String,
        /// Token of the newest VOICE_SERVER_UPDATE; older ones are void.
        voice_token: String,
    },
}

/// With this a voice client speaks and listens for a person, as a bot does with what VOICE_STATE_UPDATE and
/// VOICE_SERVER_UPDATE tell it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct VoiceTicket {
    /// The voice gateway, `host:port`.
    pub endpoint: String,
    /// The guild.
    pub guild_id: GuildId,
    /// The channel that the person is in.
    pub channel_id: ChannelId,
    /// The person.
    pub user_id: UserId,
    /// For Identify.
    pub session_id: String,
    /// For Identify. A move and the next ticket make it void.
    pub token: String,
}

/// What a voice gateway must see in a client's Identify.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VoiceCredentials {
    /// The channel that the session is for.
    pub channel_id: ChannelId,
    /// The voice state's session id.
    pub session_id: String,
    /// The token of the newest VOICE_SERVER_UPDATE.
    pub token: String,
}

/// Why a user's wish about voice was not granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VoiceError {
    /// No such guild.
    #[error("there is no guild {0}")]
    UnknownGuild(GuildId),
    /// No such channel, or not in the guild that was named.
    #[error("there is no channel {0} here")]
    UnknownChannel(ChannelId),
    /// Text channels and categories have no voice.
    #[error("channel {0} is neither a voice nor a stage channel")]
    NotARoom(ChannelId),
    /// The user limit is reached.
    #[error("channel {channel} is full: its user limit is {limit}")]
    Full {
        /// The channel.
        channel: ChannelId,
        /// Its user limit.
        limit: u32,
    },
    /// VIEW_CHANNEL or CONNECT is missing.
    #[error("user {user} may not connect to channel {channel}: VIEW_CHANNEL or CONNECT is missing")]
    Forbidden {
        /// The user.
        user: UserId,
        /// The channel.
        channel: ChannelId,
    },
    /// A bot connects by op 4 of the main gateway.
    #[error("user {0} is a bot, which gets its voice server by op 4")]
    NoPerson(UserId),
    /// The wish needs a user who is in a voice channel.
    #[error("user {0} is in no voice channel")]
    NotInVoice(UserId),
}
