//! The few fields of Discord's JSON that Parlor reads, and nothing else.
//!
//! twilight's models are complete and therefore strict: one field of one guild that Discord changes would cost the
//! whole GUILD_CREATE. These read what is needed, tolerate everything else, and are several times cheaper.

use serde::Deserialize;

use crate::{
    id::{CategoryId, GuildId, RoomId, UserId},
    update::{Profile, RoomFacts, RoomKind, VoiceFlags, VoiceSessionId, VoiceState},
};

/// Where Discord serves pictures from (Discord reference, "Image Formatting").
const CDN: &str = "https://cdn.discordapp.com";

/// Discord's default for a channel that does not say (Discord docs, resources/channel).
const DEFAULT_BITRATE: u32 = 64_000;

/// READY (Discord docs, events/gateway-events).
#[derive(Deserialize)]
pub(super) struct Ready {
    pub(super) user: User,
    #[serde(default)]
    pub(super) guilds: Vec<GuildRef>,
}

/// A guild of which only the id and its availability are known.
#[derive(Deserialize)]
pub(super) struct GuildRef {
    pub(super) id: GuildId,
    #[serde(default)]
    pub(super) unavailable: Option<bool>,
}

/// GUILD_CREATE of an available guild.
#[derive(Deserialize)]
pub(super) struct GuildCreate {
    pub(super) id: GuildId,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) channels: Vec<Channel>,
    #[serde(default)]
    pub(super) voice_states: Vec<RawVoiceState>,
    #[serde(default)]
    pub(super) members: Vec<Member>,
}

/// GUILD_UPDATE.
#[derive(Deserialize)]
pub(super) struct GuildUpdate {
    pub(super) id: GuildId,
    pub(super) name: String,
}

/// A channel of any type (Discord docs, resources/channel). `guild_id` is absent inside GUILD_CREATE.
#[derive(Deserialize)]
pub(crate) struct Channel {
    pub(crate) id: RoomId,
    #[serde(rename = "type")]
    kind: u8,
    pub(crate) guild_id: Option<GuildId>,
    name: Option<String>,
    parent_id: Option<CategoryId>,
    user_limit: Option<u32>,
    bitrate: Option<u32>,
}

impl Channel {
    /// The room that this channel is, if it is one.
    pub(crate) fn into_room(self, guild: GuildId) -> Option<RoomFacts> {
        let kind = match self.kind {
            2 => RoomKind::Voice,
            13 => RoomKind::Stage,
            _ => return None,
        };
        Some(RoomFacts {
            room: self.id,
            guild,
            name: self.name.unwrap_or_default(),
            kind,
            category: self.parent_id,
            user_limit: self.user_limit.unwrap_or(0),
            bitrate: self.bitrate.unwrap_or(DEFAULT_BITRATE),
        })
    }
}

/// CHANNEL_DELETE, of which only the names matter.
#[derive(Deserialize)]
pub(super) struct ChannelRef {
    pub(super) id: RoomId,
    pub(super) guild_id: Option<GuildId>,
}

/// A voice state. `guild_id` and `member` are absent inside GUILD_CREATE.
#[derive(Deserialize)]
pub(super) struct RawVoiceState {
    pub(super) guild_id: Option<GuildId>,
    channel_id: Option<RoomId>,
    pub(super) user_id: UserId,
    member: Option<Member>,
    #[serde(default)]
    session_id: String,
    #[serde(default)]
    deaf: bool,
    #[serde(default)]
    mute: bool,
    #[serde(default)]
    self_deaf: bool,
    #[serde(default)]
    self_mute: bool,
    #[serde(default)]
    self_stream: bool,
    #[serde(default)]
    self_video: bool,
    #[serde(default)]
    suppress: bool,
}

impl RawVoiceState {
    pub(super) fn into_state(self, guild: GuildId) -> VoiceState {
        VoiceState {
            guild,
            user: self.user_id,
            room: self.channel_id,
            session: VoiceSessionId(self.session_id),
            flags: VoiceFlags {
                mute: self.mute,
                deaf: self.deaf,
                self_mute: self.self_mute,
                self_deaf: self.self_deaf,
                camera: self.self_video,
                stream: self.self_stream,
                suppress: self.suppress,
            },
            profile: self.member.and_then(|member| member.into_profile(guild)).map(|(_, profile)| profile),
        }
    }
}

/// A member; GUILD_MEMBER_UPDATE has the same fields and `guild_id`.
#[derive(Deserialize)]
pub(super) struct Member {
    pub(super) guild_id: Option<GuildId>,
    user: Option<User>,
    nick: Option<String>,
    avatar: Option<String>,
}

impl Member {
    /// Who it is and what to show of them.
    pub(super) fn into_profile(self, guild: GuildId) -> Option<(UserId, Profile)> {
        let user = self.user?;
        let avatar_url = match (self.avatar, user.avatar) {
            (Some(hash), _) => Some(format!("{CDN}/guilds/{guild}/users/{}/avatars/{hash}.png", user.id)),
            (None, Some(hash)) => Some(format!("{CDN}/avatars/{}/{hash}.png", user.id)),
            (None, None) => None,
        };
        let display_name = self.nick.or(user.global_name).unwrap_or(user.username);
        Some((user.id, Profile { display_name, avatar_url, is_bot: user.bot }))
    }
}

/// GUILD_MEMBER_REMOVE.
#[derive(Deserialize)]
pub(super) struct MemberRemove {
    pub(super) guild_id: GuildId,
    pub(super) user: User,
}

/// A user (Discord docs, resources/user).
#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: UserId,
    #[serde(default)]
    username: String,
    global_name: Option<String>,
    avatar: Option<String>,
    #[serde(default)]
    bot: bool,
}
