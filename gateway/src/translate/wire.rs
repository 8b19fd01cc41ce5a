//! The few fields of Discord's JSON that Parlor reads, and nothing else.
//!
//! twilight's models are complete and therefore strict: one field of one guild that Discord changes would cost the
//! whole GUILD_CREATE. These read what is needed, tolerate everything else, and are several times cheaper.

use std::{borrow::Cow, fmt};

use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use crate::{
    id::{CategoryId, GuildId, RoomId, UserId},
    update::{Profile, RoomFacts, RoomKind, VideoQuality, VoiceFlags, VoiceSessionId, VoiceState},
    voice::VoiceServer,
};

/// Where Discord serves pictures from (Discord reference, "Image Formatting").
const CDN: &str = "https://cdn.discordapp.com";

/// Discord's default for a channel that does not say (Discord docs, resources/channel).
const DEFAULT_BITRATE: u32 = 64_000;

/// Text that is borrowed where the JSON has no escapes in it: serde borrows a `Cow` only where it stands by itself.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// READY (Discord docs, events/gateway-events).
#[derive(Deserialize)]
pub(super) struct Ready {
    pub(super) user: UserRef,
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

/// GUILD_CREATE; of a guild that is unavailable there is only the id.
#[derive(Deserialize)]
pub(super) struct GuildCreate<'a> {
    pub(super) id: GuildId,
    #[serde(default)]
    pub(super) unavailable: Option<bool>,
    #[serde(default)]
    pub(super) name: String,
    premium_tier: Option<u8>,
    #[serde(default)]
    features: Features,
    #[serde(default, borrow)]
    pub(super) channels: Vec<Channel<'a>>,
    #[serde(default)]
    #[serde(borrow)]
    pub(super) voice_states: Vec<RawVoiceState<'a>>,
    #[serde(default)]
    #[serde(borrow)]
    pub(super) members: Vec<Member<'a>>,
}

/// GUILD_UPDATE.
#[derive(Deserialize)]
pub(super) struct GuildUpdate {
    pub(super) id: GuildId,
    pub(super) name: String,
    premium_tier: Option<u8>,
    #[serde(default)]
    features: Features,
}

/// What of a guild's features says how far bitrates go.
#[derive(Default)]
struct Features {
    vip_regions: bool,
}

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: Deserializer<'de>>(names: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Features;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the names of features")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Features, A::Error> {
                let mut features = Features::default();
                while let Some(Text(name)) = names.next_element()? {
                    features.vip_regions |= name == "VIP_REGIONS";
                }
                Ok(features)
            }
        }

        names.deserialize_seq(Names)
    }
}

impl GuildCreate<'_> {
    pub(super) fn bitrate_limit(&self) -> Option<u32> {
        bitrate_limit(self.premium_tier, &self.features)
    }
}

impl GuildUpdate {
    pub(super) fn bitrate_limit(&self) -> Option<u32> {
        bitrate_limit(self.premium_tier, &self.features)
    }
}

/// The highest bitrate of a voice channel by the guild's boosts (Discord docs, resources/channel, "Modify Channel").
fn bitrate_limit(premium_tier: Option<u8>, features: &Features) -> Option<u32> {
    let by_tier = match premium_tier? {
        0 => 96_000,
        1 => 128_000,
        2 => 256_000,
        _ => 384_000,
    };
    Some(if features.vip_regions { 384_000 } else { by_tier })
}

/// A channel of any type (Discord docs, resources/channel). `guild_id` is absent inside GUILD_CREATE.
#[derive(Deserialize)]
pub(crate) struct Channel<'a> {
    pub(crate) id: RoomId,
    #[serde(rename = "type")]
    kind: u8,
    pub(crate) guild_id: Option<GuildId>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    parent_id: Option<CategoryId>,
    user_limit: Option<u32>,
    bitrate: Option<u32>,
    #[serde(borrow)]
    rtc_region: Option<Text<'a>>,
    video_quality_mode: Option<u8>,
    /// Discord sends it apart, in VOICE_CHANNEL_STATUS_UPDATE; beside other fields only now and then.
    #[serde(borrow)]
    status: Option<Text<'a>>,
}

impl Channel<'_> {
    /// The room that this channel is, if it is one.
    pub(crate) fn into_room(self, guild: GuildId) -> Option<RoomFacts> {
        let kind = match self.kind {
            2 => RoomKind::Voice,
            13 => RoomKind::Stage,
            _ => return None,
        };
        // Most channels of most guilds are no rooms: nothing of them was copied until here.
        let owned = |text: Option<Text<'_>>| text.map(|Text(text)| text.into_owned());
        Some(RoomFacts {
            room: self.id,
            guild,
            name: owned(self.name).unwrap_or_default(),
            kind,
            category: self.parent_id,
            user_limit: self.user_limit.unwrap_or(0),
            bitrate: self.bitrate.unwrap_or(DEFAULT_BITRATE),
            region: owned(self.rtc_region),
            video_quality: if self.video_quality_mode == Some(2) { VideoQuality::Full } else { VideoQuality::Auto },
            status: owned(self.status),
        })
    }
}

/// VOICE_CHANNEL_STATUS_UPDATE.
#[derive(Deserialize)]
pub(super) struct StatusUpdate {
    pub(super) id: RoomId,
    pub(super) guild_id: GuildId,
    pub(super) status: Option<String>,
}

/// CHANNEL_INFO, the answer to op 43.
#[derive(Deserialize)]
pub(super) struct ChannelInfo {
    pub(super) guild_id: GuildId,
    pub(super) channels: Vec<ChannelStatus>,
}

/// What CHANNEL_INFO says of one channel.
#[derive(Deserialize)]
pub(super) struct ChannelStatus {
    pub(super) id: RoomId,
    /// `None` where it is not said, `Some(None)` where there is none.
    #[serde(default, deserialize_with = "said")]
    pub(super) status: Option<Option<String>>,
}

/// A field that is there, whether it is null or not.
fn said<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(field).map(Some)
}

/// CHANNEL_DELETE, of which only the names matter.
#[derive(Deserialize)]
pub(super) struct ChannelRef {
    pub(super) id: RoomId,
    pub(super) guild_id: Option<GuildId>,
}

/// A voice state. `guild_id` and `member` are absent inside GUILD_CREATE.
#[derive(Deserialize)]
pub(crate) struct RawVoiceState<'a> {
    pub(super) guild_id: Option<GuildId>,
    channel_id: Option<RoomId>,
    pub(super) user_id: UserId,
    #[serde(borrow)]
    member: Option<Member<'a>>,
    #[serde(default, borrow)]
    session_id: Cow<'a, str>,
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

impl RawVoiceState<'_> {
    pub(crate) fn into_state(self, guild: GuildId) -> VoiceState {
        VoiceState {
            guild,
            user: self.user_id,
            room: self.channel_id,
            session: VoiceSessionId(self.session_id.into_owned()),
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
pub(super) struct Member<'a> {
    pub(super) guild_id: Option<GuildId>,
    #[serde(borrow)]
    user: Option<User<'a>>,
    #[serde(borrow)]
    nick: Option<Text<'a>>,
    #[serde(borrow)]
    avatar: Option<Text<'a>>,
}

impl Member<'_> {
    /// Who it is.
    pub(super) fn user(&self) -> Option<UserId> {
        self.user.as_ref().map(|user| user.id)
    }

    /// Who it is and what to show of them.
    pub(super) fn into_profile(self, guild: GuildId) -> Option<(UserId, Profile)> {
        let user = self.user?;
        // A large guild has hundreds of them, and formatting would cost more than reading.
        let avatar_url = match (self.avatar, user.avatar) {
            (Some(Text(hash)), _) => {
                let (guild, user) = (guild.to_text(), user.id.to_text());
                Some([CDN, "/guilds/", &guild, "/users/", &user, "/avatars/", &hash, ".png"].concat())
            }
            (None, Some(Text(hash))) => Some([CDN, "/avatars/", &user.id.to_text(), "/", &hash, ".png"].concat()),
            (None, None) => None,
        };
        let display_name = self.nick.or(user.global_name).map_or(user.username, |Text(name)| name).into_owned();
        Some((user.id, Profile { display_name, avatar_url, is_bot: user.bot }))
    }
}

/// VOICE_SERVER_UPDATE. Only calls outside guilds have none.
#[derive(Deserialize)]
pub(super) struct VoiceServerUpdate {
    guild_id: Option<GuildId>,
    endpoint: Option<String>,
    token: SecretString,
}

impl VoiceServerUpdate {
    pub(super) fn into_server(self) -> Option<VoiceServer> {
        let Self { guild_id, endpoint, token } = self;
        guild_id.map(|guild| VoiceServer { guild, endpoint, token })
    }
}

/// GUILD_MEMBER_REMOVE.
#[derive(Deserialize)]
pub(super) struct MemberRemove {
    pub(super) guild_id: GuildId,
    pub(super) user: UserRef,
}

/// A user of whom only the id matters.
#[derive(Deserialize)]
pub(super) struct UserRef {
    pub(super) id: UserId,
}

/// A user (Discord docs, resources/user).
#[derive(Deserialize)]
struct User<'a> {
    id: UserId,
    #[serde(default, borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    global_name: Option<Text<'a>>,
    #[serde(borrow)]
    avatar: Option<Text<'a>>,
    #[serde(default)]
    bot: bool,
}
