//! What a session is told once.

use std::{collections::BTreeSet, time::Duration};

use parlor_voice_wire::{ChannelId, GuildId, ProtocolVersion, UserId, transport::RetiredModes};

/// Everything that a [`Session`](crate::Session) has to know before it begins.
#[derive(Clone, Debug)]
pub struct Config {
    /// The guild.
    pub guild: GuildId,
    /// The channel to join.
    pub channel: ChannelId,
    /// The bot.
    pub user: UserId,
    /// The newest version of DAVE to offer. [`ProtocolVersion::NONE`] is refused by Discord since March 2026 everywhere but
    /// in stage channels.
    pub newest_dave: ProtocolVersion,
    /// Whether encryption modes that Discord refuses may be used with other servers.
    pub retired_modes: RetiredModes,
    /// Whether the bot is shown as muted.
    pub self_mute: bool,
    /// Whether the bot is shown as deaf. Discord sends media all the same.
    pub self_deaf: bool,
    /// How long a frame waits before it is delivered, so that one that was overtaken can come in its turn.
    pub playout_delay: Duration,
    /// How long a frame is held that cannot be opened, or whose sender is not known, yet.
    pub hold: Duration,
    /// How long Discord may take to assign a voice server.
    pub assignment: Duration,
    /// Users who do not want to be heard by this bot. Their frames are counted and dropped, before anything else sees them.
    pub opted_out: BTreeSet<UserId>,
}

impl Config {
    /// A session in this channel, as most want it: DAVE, live encryption modes, not muted, 60 ms of playout delay,
    /// 2 s of holding, 30 s for an assignment, nobody opted out.
    pub fn new(guild: GuildId, channel: ChannelId, user: UserId) -> Self {
        Self {
            guild,
            channel,
            user,
            newest_dave: ProtocolVersion::V1,
            retired_modes: RetiredModes::Refused,
            self_mute: false,
            self_deaf: false,
            playout_delay: Duration::from_millis(60),
            hold: Duration::from_secs(2),
            assignment: Duration::from_secs(30),
            opted_out: BTreeSet::new(),
        }
    }
}
