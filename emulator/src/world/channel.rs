//! Channels: what they are and what may be said about them.

use super::id::{ChannelId, GuildId, MessageId};
use super::permissions::Overwrite;

/// Children that one category may hold.
pub(crate) const MAX_CHANNELS_PER_CATEGORY: usize = 50;
/// Channels that one guild may hold.
pub(crate) const MAX_CHANNELS_PER_GUILD: usize = 500;
/// Bitrate of a voice channel whose creator named none, in bits per second.
pub(crate) const DEFAULT_BITRATE: u32 = 64_000;

/// A channel of a guild.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// The guild that it belongs to.
    pub guild_id: GuildId,
    /// 1 to 100 characters.
    pub name: String,
    /// What sort of channel it is, with the settings of that sort.
    pub kind: ChannelKind,
    /// Sorting position.
    pub position: i32,
    /// The category above it.
    pub parent_id: Option<ChannelId>,
    /// Exceptions from the roles' permissions.
    pub overwrites: Vec<Overwrite>,
    /// Age restricted.
    pub nsfw: bool,
    /// Seconds that a user waits between messages, 0 to 21,600.
    pub rate_limit_per_user: u32,
    /// The newest message.
    pub last_message_id: Option<MessageId>,
}

/// The sorts of channel that the emulator has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ChannelKind {
    /// Type 0.
    Text {
        /// Up to 1,024 characters.
        topic: Option<String>,
    },
    /// Type 2.
    Voice(VoiceSettings),
    /// Type 4.
    Category,
    /// Type 13.
    Stage(VoiceSettings),
}

/// The part of a voice or stage channel that a text channel lacks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VoiceSettings {
    /// Bits per second.
    pub bitrate: u32,
    /// People who fit in; 0 = no limit.
    pub user_limit: u32,
    /// A voice region's id; `None` = chosen automatically.
    pub rtc_region: Option<String>,
    /// 1 = automatic, 2 = full.
    pub video_quality_mode: u8,
    /// The status line, up to 500 characters.
    pub status: Option<String>,
}

impl Default for VoiceSettings {
    fn default() -> Self {
        Self { bitrate: DEFAULT_BITRATE, user_limit: 0, rtc_region: None, video_quality_mode: 1, status: None }
    }
}

impl ChannelKind {
    /// Discord's number for the type.
    pub const fn wire_type(&self) -> u8 {
        match self {
            Self::Text { .. } => 0,
            Self::Voice(_) => 2,
            Self::Category => 4,
            Self::Stage(_) => 13,
        }
    }

    /// The voice settings, if people can join it.
    pub const fn voice(&self) -> Option<&VoiceSettings> {
        match self {
            Self::Voice(settings) | Self::Stage(settings) => Some(settings),
            Self::Text { .. } | Self::Category => None,
        }
    }

    pub(crate) const fn voice_mut(&mut self) -> Option<&mut VoiceSettings> {
        match self {
            Self::Voice(settings) | Self::Stage(settings) => Some(settings),
            Self::Text { .. } | Self::Category => None,
        }
    }
}

impl Channel {
    /// Whether it is a stage channel.
    pub const fn is_stage(&self) -> bool {
        matches!(self.kind, ChannelKind::Stage(_))
    }

    /// Whether people can join it: a voice or a stage channel.
    pub const fn is_room(&self) -> bool {
        self.kind.voice().is_some()
    }
}

/// What [`World::create_channel`](super::World::create_channel) makes.
#[derive(Clone, Debug)]
pub struct NewChannel {
    /// 1 to 100 characters.
    pub name: String,
    /// The sort of channel.
    pub kind: ChannelKind,
    /// Sorting position; `None` = after the last one.
    pub position: Option<i32>,
    /// The category above it.
    pub parent_id: Option<ChannelId>,
    /// Exceptions from the roles' permissions.
    pub overwrites: Vec<Overwrite>,
    /// Age restricted.
    pub nsfw: bool,
    /// Seconds between a user's messages.
    pub rate_limit_per_user: u32,
}

impl NewChannel {
    fn plain(name: &str, kind: ChannelKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            position: None,
            parent_id: None,
            overwrites: Vec::new(),
            nsfw: false,
            rate_limit_per_user: 0,
        }
    }

    /// A voice channel with default settings.
    pub fn voice(name: &str) -> Self {
        Self::plain(name, ChannelKind::Voice(VoiceSettings::default()))
    }

    /// A stage channel with default settings.
    pub fn stage(name: &str) -> Self {
        Self::plain(name, ChannelKind::Stage(VoiceSettings::default()))
    }

    /// A text channel without a topic.
    pub fn text(name: &str) -> Self {
        Self::plain(name, ChannelKind::Text { topic: None })
    }

    /// A category.
    pub fn category(name: &str) -> Self {
        Self::plain(name, ChannelKind::Category)
    }

    /// The same, under a category.
    #[must_use]
    pub fn under(mut self, category: ChannelId) -> Self {
        self.parent_id = Some(category);
        self
    }
}

/// A change to a channel; `None` leaves a setting as it is. Settings that the channel's sort lacks are ignored.
#[derive(Clone, Debug, Default)]
pub struct ChannelEdit {
    /// 1 to 100 characters.
    pub name: Option<String>,
    /// Sorting position.
    pub position: Option<i32>,
    /// The category above it; `Some(None)` = out of its category.
    pub parent_id: Option<Option<ChannelId>>,
    /// Replaces all overwrites.
    pub overwrites: Option<Vec<Overwrite>>,
    /// Age restricted.
    pub nsfw: Option<bool>,
    /// Seconds between a user's messages.
    pub rate_limit_per_user: Option<u32>,
    /// Text channels' topic.
    pub topic: Option<Option<String>>,
    /// Bits per second.
    pub bitrate: Option<u32>,
    /// People who fit in; 0 = no limit.
    pub user_limit: Option<u32>,
    /// A voice region's id; `Some(None)` = automatic.
    pub rtc_region: Option<Option<String>>,
    /// 1 = automatic, 2 = full.
    pub video_quality_mode: Option<u8>,
}

impl ChannelEdit {
    /// Writes the settings into `channel`.
    pub(crate) fn apply(self, channel: &mut Channel) {
        set(&mut channel.name, self.name);
        set(&mut channel.position, self.position);
        set(&mut channel.parent_id, self.parent_id);
        set(&mut channel.overwrites, self.overwrites);
        set(&mut channel.nsfw, self.nsfw);
        set(&mut channel.rate_limit_per_user, self.rate_limit_per_user);
        match &mut channel.kind {
            ChannelKind::Text { topic } => set(topic, self.topic),
            ChannelKind::Voice(voice) | ChannelKind::Stage(voice) => {
                set(&mut voice.bitrate, self.bitrate);
                set(&mut voice.user_limit, self.user_limit);
                set(&mut voice.rtc_region, self.rtc_region);
                set(&mut voice.video_quality_mode, self.video_quality_mode);
            }
            ChannelKind::Category => {}
        }
    }
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// Why a channel was not created or not changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChannelError {
    /// No such guild.
    #[error("there is no guild {0}")]
    UnknownGuild(GuildId),
    /// No such channel.
    #[error("there is no channel {0}")]
    UnknownChannel(ChannelId),
    /// The parent is missing, in another guild, or no category.
    #[error("channel {0} is no category of this guild")]
    NotACategory(ChannelId),
    /// A category stands under no other channel.
    #[error("a category cannot stand under another channel")]
    CategoryUnderCategory,
    /// The category already has its 50 channels.
    #[error("category {0} already holds {MAX_CHANNELS_PER_CATEGORY} channels")]
    CategoryFull(ChannelId),
    /// The guild already has its 500 channels.
    #[error("the guild already holds {MAX_CHANNELS_PER_GUILD} channels")]
    GuildFull,
}
