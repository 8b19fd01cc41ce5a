//! Voice states: who is in which voice channel, and how.

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
    /// A bot's gateway session.
    Session {
        /// That session's id.
        gateway_session: String,
        /// Token of the newest VOICE_SERVER_UPDATE; older ones are void.
        voice_token: String,
    },
}

/// What a voice gateway must see in a bot's Identify.
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
    /// The wish needs a user who is in a voice channel.
    #[error("user {0} is in no voice channel")]
    NotInVoice(UserId),
}
