//! The world that every emulator starts with: fixed ids, so that a command in a manual can be typed as it stands.

use super::channel::{Channel, ChannelKind, VoiceSettings};
use super::id::{ChannelId, GuildId, UserId};
use super::time::Timestamp;
use super::{Terms, World};

/// Guild "Parlor Dev".
pub const PARLOR_DEV: GuildId = GuildId::new(1_100_000_000_000_000_001);
/// Category "Voice" of "Parlor Dev".
pub const VOICE_CATEGORY: ChannelId = ChannelId::new(1_100_000_000_000_000_010);
/// Text channel "general" of "Parlor Dev".
pub const GENERAL: ChannelId = ChannelId::new(1_100_000_000_000_000_011);
/// Voice channel "Lobby" of "Parlor Dev", under "Voice".
pub const LOBBY: ChannelId = ChannelId::new(1_100_000_000_000_000_012);
/// Voice channel "Games" of "Parlor Dev", under "Voice".
pub const GAMES: ChannelId = ChannelId::new(1_100_000_000_000_000_013);
/// Guild "Other Guild".
pub const OTHER_GUILD: GuildId = GuildId::new(1_100_000_000_000_000_002);
/// Voice channel "Elsewhere" of "Other Guild".
pub const OTHER_ROOM: ChannelId = ChannelId::new(1_100_000_000_000_000_020);
/// The owner of all guilds, who never shows up in voice.
pub const OWNER: UserId = UserId::new(1_100_000_000_000_000_100);
/// Person "ann".
pub const ANN: UserId = UserId::new(1_100_000_000_000_000_101);
/// Person "bob".
pub const BOB: UserId = UserId::new(1_100_000_000_000_000_102);
/// Person "cleo".
pub const CLEO: UserId = UserId::new(1_100_000_000_000_000_103);
/// Person "dan".
pub const DAN: UserId = UserId::new(1_100_000_000_000_000_104);

impl World {
    /// The default world: two guilds and four people, nobody in voice.
    pub(crate) fn new(terms: Terms, now: Timestamp) -> Self {
        let mut world = Self::empty(terms, now);
        for (id, name) in [(OWNER, "owner"), (ANN, "ann"), (BOB, "bob"), (CLEO, "cleo"), (DAN, "dan")] {
            world.insert_person(id, name);
        }
        world.insert_guild(PARLOR_DEV, "Parlor Dev");
        world.insert_guild(OTHER_GUILD, "Other Guild");
        for user in [ANN, BOB, CLEO, DAN] {
            world.add_member(PARLOR_DEV, user, [].into());
        }
        let voice = || ChannelKind::Voice(VoiceSettings::default());
        for (position, guild_id, id, name, kind, parent_id) in [
            (0, PARLOR_DEV, VOICE_CATEGORY, "Voice", ChannelKind::Category, None),
            (1, PARLOR_DEV, GENERAL, "general", ChannelKind::Text { topic: None }, None),
            (2, PARLOR_DEV, LOBBY, "Lobby", voice(), Some(VOICE_CATEGORY)),
            (3, PARLOR_DEV, GAMES, "Games", voice(), Some(VOICE_CATEGORY)),
            (0, OTHER_GUILD, OTHER_ROOM, "Elsewhere", voice(), None),
        ] {
            world.insert_channel(Channel {
                id,
                guild_id,
                name: name.to_owned(),
                kind,
                position,
                parent_id,
                overwrites: Vec::new(),
                nsfw: false,
                rate_limit_per_user: 0,
                last_message_id: None,
            });
        }
        world.drain();
        world
    }
}
