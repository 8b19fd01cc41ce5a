//! Guilds, their roles and members, and the people and bots themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::channel::Channel;
use super::id::{ChannelId, GuildId, RoleId, UserId};
use super::permissions::{self, Permissions};
use super::time::Timestamp;
use super::voice::VoiceState;

/// A guild and everything in it.
#[derive(Clone, Debug)]
pub struct Guild {
    /// Its id.
    pub id: GuildId,
    /// Its name.
    pub name: String,
    /// The owner, who passes every permission check.
    pub owner_id: UserId,
    /// Boost level 0 to 3, which sets the highest bitrate.
    pub premium_tier: u8,
    /// Whether Discord can serve it now.
    pub availability: Availability,
    /// The rules channel of a community guild, which cannot be deleted.
    pub rules_channel_id: Option<ChannelId>,
    /// Its roles, `@everyone` among them.
    pub roles: BTreeMap<RoleId, Role>,
    /// Its channels.
    pub channels: BTreeMap<ChannelId, Channel>,
    /// Its members, people and bots.
    pub members: BTreeMap<UserId, Member>,
    /// Who is in which voice channel.
    pub voice_states: BTreeMap<UserId, VoiceState>,
    /// Since when somebody has been in a voice channel; empty channels are not here.
    pub voice_since: BTreeMap<ChannelId, Timestamp>,
}

/// Whether a guild can be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Availability {
    /// Normal service.
    Available,
    /// An outage: no events, and REST answers 503 for it. Its people go on moving meanwhile.
    Unavailable,
}

/// A role.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// Its name.
    pub name: String,
    /// What it grants.
    pub permissions: Permissions,
    /// Sorting position; `@everyone` has 0.
    pub position: i64,
    /// The bot that it was made for, if it is such a role.
    pub bot_id: Option<UserId>,
}

/// A user as a member of one guild.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The nickname.
    pub nick: Option<String>,
    /// Roles besides `@everyone`.
    pub roles: BTreeSet<RoleId>,
    /// When they joined the guild.
    pub joined_at: Timestamp,
    /// Muted by a moderator.
    pub mute: bool,
    /// Deafened by a moderator.
    pub deaf: bool,
}

/// A person or a bot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// The unique name.
    pub name: String,
    /// The name shown; `None` for bots.
    pub display_name: Option<String>,
    /// Whether it is a bot.
    pub bot: bool,
}

/// An application that logged in with a token.
#[derive(Clone, Debug)]
pub struct Bot {
    /// Its user id and application id.
    pub id: UserId,
    /// Whether its token still opens doors.
    pub standing: Standing,
}

/// Whether a bot's token works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It does.
    Good,
    /// Discord has reset the token, because the bot identified too often in a day.
    TokenReset,
}

/// A bot's token. It never shows in `Debug`.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
pub struct BotToken(String);

impl BotToken {
    /// Reads a token as clients send it; a leading `Bot ` is dropped. `None` when nothing is left.
    pub fn parse(sent: &str) -> Option<Self> {
        let bare = sent.strip_prefix("Bot ").unwrap_or(sent).trim();
        (!bare.is_empty()).then(|| Self(bare.to_owned()))
    }

    /// The bot's id: written in the token's first part, as Discord does it, or else derived from the whole.
    pub fn bot_id(&self) -> UserId {
        self.id_inside().unwrap_or_else(|| {
            // The hash spreads the id, and with it the bot's birthday, over the year after February 2022.
            let hash = fnv1a(self.0.as_bytes());
            UserId::new(950_000_000_000_000_000 + (hash & ((1 << 57) - 1)))
        })
    }

    fn id_inside(&self) -> Option<UserId> {
        let (first, _) = self.0.split_once('.')?;
        let digits = STANDARD_NO_PAD.decode(first).ok()?;
        let id: u64 = std::str::from_utf8(&digits).ok()?.parse().ok()?;
        (id > 1 << 22).then(|| UserId::new(id))
    }
}

impl fmt::Debug for BotToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BotToken(…)")
    }
}

/// The FNV-1a hash: small and the same on every machine and in every run.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Guild {
    /// A member's permissions from roles alone; nothing for who is no member.
    pub fn base_permissions(&self, user: UserId) -> Permissions {
        if user == self.owner_id {
            return Permissions::ALL;
        }
        let Some(member) = self.members.get(&user) else { return Permissions::NONE };
        let granted = member
            .roles
            .iter()
            .chain([&self.id.everyone()])
            .filter_map(|role| self.roles.get(role))
            .fold(Permissions::NONE, |sum, role| sum | role.permissions);
        if granted.contains(Permissions::ADMINISTRATOR) { Permissions::ALL } else { granted }
    }

    /// A member's permissions in one channel. Who may not see it may do nothing there, and who may not connect to a
    /// room may not manage it either (Discord docs, Permissions § Implicit Permissions).
    pub fn permissions_in(&self, user: UserId, channel: &Channel) -> Permissions {
        let Some(member) = self.members.get(&user) else { return Permissions::NONE };
        let base = self.base_permissions(user);
        let may = permissions::in_channel(base, self.id.everyone(), user, &member.roles, &channel.overwrites);
        let may =
            if may.contains(Permissions::SEND_MESSAGES) { may } else { may.without(Permissions::NEEDS_SEND_MESSAGES) };
        if !may.contains(Permissions::VIEW_CHANNEL) {
            Permissions::NONE
        } else if channel.is_room() && !may.contains(Permissions::CONNECT) {
            may.without(Permissions::NEEDS_CONNECT)
        } else {
            may
        }
    }

    /// Channels directly under a category.
    pub fn children(&self, category: ChannelId) -> impl Iterator<Item = &Channel> {
        self.channels.values().filter(move |channel| channel.parent_id == Some(category))
    }

    /// Who is in a voice channel.
    pub fn occupants(&self, channel: ChannelId) -> impl Iterator<Item = UserId> {
        self.voice_states.iter().filter(move |(_, state)| state.channel_id == channel).map(|(user, _)| *user)
    }

    /// The highest bitrate of a voice channel at this boost level, in bits per second.
    pub const fn max_bitrate(&self) -> u32 {
        match self.premium_tier {
            0 => 96_000,
            1 => 128_000,
            2 => 256_000,
            _ => 384_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_bot_and_hides_itself() {
        let discord_like = BotToken::parse("Bot MTEwMDAwMDAwMDAwMDAwMDAwMQ.aaaaaa.bbbb").unwrap();
        assert_eq!(discord_like.bot_id(), UserId::new(1_100_000_000_000_000_001));
        let plain = BotToken::parse("dev").unwrap();
        assert_eq!(plain.bot_id(), BotToken::parse("  dev ").unwrap().bot_id());
        assert_ne!(plain.bot_id(), BotToken::parse("dev2").unwrap().bot_id());
        assert!((17..=20).contains(&plain.bot_id().to_string().len()));
        assert!(!format!("{plain:?}").contains("dev"));
        assert_eq!(BotToken::parse("Bot "), None);
    }
}
