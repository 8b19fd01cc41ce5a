//! What Discord told, in Parlor's own words: the only thing that reaches the directory.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use crate::id::{CategoryId, GuildId, RoomId, UserId};

/// What a shard passes on: a piece of news, and from where Discord's session would go on after it. Whoever stores both
/// in one step loses nothing and tells nothing twice, wherever the process ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delivery {
    /// Which shard.
    pub shard: ShardIndex,
    /// The news; `None` for a sign of life alone.
    pub update: Option<Update>,
    /// Where a resume would go on; `None` where there is nothing to resume.
    pub session: Option<SessionPlace>,
    /// When everything that Discord had sent on this shard, be it a heartbeat acknowledgement, had last been read.
    pub heard_at: SystemTime,
}

/// A place in a gateway session (Discord docs, events/gateway, "Resuming").
#[derive(Clone, Eq, PartialEq)]
pub struct SessionPlace {
    /// Discord's name for the session. With a token it is enough to take the session over, so it is never printed.
    pub session_id: String,
    /// The last dispatch that was taken in.
    pub sequence: u64,
    /// Where Discord wants the session to be resumed; `None` for the main URL.
    pub resume_url: Option<String>,
}

impl fmt::Debug for SessionPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionPlace(…, {})", self.sequence)
    }
}

/// One piece of news from Discord, whichever way it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Update {
    /// A shard began a new session. Each guild's [`Update::Guild`] follows.
    SessionStarted {
        /// The shard.
        shard: ShardIndex,
        /// Our own user.
        self_user: UserId,
        /// Every guild of the shard: a known one that is missing here is no longer ours.
        guilds: Vec<GuildId>,
    },
    /// A shard's session was resumed: everything that was missed has been replayed.
    SessionResumed(ShardIndex),
    /// A shard lost its connection, or could not make one.
    ConnectionLost {
        /// The shard.
        shard: ShardIndex,
        /// What remains of the session.
        loss: Loss,
        /// When everything that Discord had sent on it, be it a heartbeat acknowledgement, had last been read.
        last_heard: SystemTime,
    },
    /// The whole of a guild, as of now.
    Guild(GuildSnapshot),
    /// A guild's own properties.
    GuildChanged {
        /// The guild.
        guild: GuildId,
        /// Its name now.
        name: String,
        /// The highest bitrate of its rooms now; `None` where Discord did not say.
        bitrate_limit: Option<u32>,
    },
    /// Discord cannot serve the guild for a while. Nobody has left because of it.
    GuildUnavailable(GuildId),
    /// The bot is no longer in the guild.
    GuildLeft(GuildId),
    /// Something happened inside a guild.
    Within(GuildId, News),
}

/// What happens inside a guild.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum News {
    /// A room exists, like this.
    Room(RoomFacts),
    /// A channel is gone.
    RoomGone(RoomId),
    /// A room's status line; `None` for no longer any.
    RoomStatus(RoomId, Option<String>),
    /// Where somebody is.
    Voice(VoiceState),
    /// A member's name or picture, whether they are in voice or not.
    Member(UserId, Profile),
    /// Somebody is no longer in the guild, and so not in its voice either.
    MemberLeft(UserId),
}

/// The number of a shard, from 0.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ShardIndex(pub u32);

/// What remains after a connection was lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// The session may be resumed.
    SessionKept,
    /// A new session has to begin.
    SessionLost,
    /// Discord refused us with a close code that repeating cannot mend.
    Refused,
}

/// A guild with everything in it that Parlor serves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GuildSnapshot {
    /// The guild.
    pub guild: GuildId,
    /// Its name.
    pub name: String,
    /// The highest bitrate of its rooms, in bits per second; `None` where Discord did not say.
    pub bitrate_limit: Option<u32>,
    /// Every voice and stage channel.
    pub rooms: Vec<RoomFacts>,
    /// Everybody in voice.
    pub voice_states: Vec<VoiceState>,
}

/// Voice or stage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RoomKind {
    /// Channel type 2.
    Voice,
    /// Channel type 13.
    Stage,
}

/// How cameras are sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum VideoQuality {
    /// Mode 1: as suits the connection.
    #[default]
    Auto,
    /// Mode 2: 720p.
    Full,
}

/// A room as Discord describes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoomFacts {
    /// The room.
    pub room: RoomId,
    /// Its guild.
    pub guild: GuildId,
    /// Its name.
    pub name: String,
    /// Voice or stage.
    pub kind: RoomKind,
    /// The category it stands in.
    pub category: Option<CategoryId>,
    /// How many people may be in it; 0 for no limit.
    pub user_limit: u32,
    /// Bits per second.
    pub bitrate: u32,
    /// The voice region that it is fixed to.
    pub region: Option<String>,
    /// How cameras are sent.
    pub video_quality: VideoQuality,
    /// The status line, "" for none; `None` where Discord did not say, which leaves what is known.
    pub status: Option<String>,
}

/// What Parlor notes of a room that it made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ownership {
    /// The subject whose token made it; empty where that was not noted.
    pub creator: String,
    /// The caller's own labels.
    pub labels: BTreeMap<String, String>,
    /// When it ends by itself.
    pub policy: Policy,
}

/// When a room ends by itself. `None`: never.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// After its creation, if nobody has ever joined.
    pub empty_timeout: Option<Duration>,
    /// After the last one has left.
    pub departure_timeout: Option<Duration>,
    /// After its creation.
    pub max_duration: Option<Duration>,
}

/// Where somebody is in a guild's voice, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VoiceState {
    /// The guild.
    pub guild: GuildId,
    /// The user.
    pub user: UserId,
    /// Where they are; `None` for nowhere.
    pub room: Option<RoomId>,
    /// Discord's id of this stay in voice. It changes when somebody leaves and comes back.
    pub session: VoiceSessionId,
    /// Muted, deafened and so on.
    pub flags: VoiceFlags,
    /// What to show, where Discord said it along with the state.
    pub profile: Option<Profile>,
}

/// Discord's id of one stay in voice. Part of voice credentials, so it is never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct VoiceSessionId(pub String);

impl fmt::Debug for VoiceSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VoiceSessionId(…)")
    }
}

/// How somebody is in voice (Discord docs, resources/voice, "Voice State Object").
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct VoiceFlags {
    /// Muted by moderators.
    pub mute: bool,
    /// Deafened by moderators.
    pub deaf: bool,
    /// Muted by themselves.
    pub self_mute: bool,
    /// Deafened by themselves.
    pub self_deaf: bool,
    /// Camera on.
    pub camera: bool,
    /// Sharing the screen.
    pub stream: bool,
    /// In the audience of a stage.
    pub suppress: bool,
}

/// What to show of somebody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Profile {
    /// Nickname, else global name, else user name.
    pub display_name: String,
    /// Where the picture is, if there is one.
    pub avatar_url: Option<String>,
    /// Whether it is a bot's account.
    pub is_bot: bool,
}
