//! Invites: codes that let people into a guild (Discord docs, Resources § Invite).

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;

use super::event::EventKind;
use super::id::{ChannelId, GuildId, UserId};
use super::permissions::Permissions;
use super::time::Timestamp;
use super::{World, wire};

/// Invites that one guild may have.
const MAX_INVITES_PER_GUILD: usize = 1_000;
/// Letters of a code.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Length of a code.
const CODE_LENGTH: usize = 10;

/// What stands behind `discord.gg/`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct InviteCode(String);

impl InviteCode {
    /// A code as somebody sent it.
    pub fn new(code: &str) -> Self {
        Self(code.to_owned())
    }
}

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for InviteCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// An invite to a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invite {
    /// Its code.
    pub code: InviteCode,
    /// The guild that it leads to.
    pub guild_id: GuildId,
    /// The channel that it leads to.
    pub channel_id: ChannelId,
    /// Who made it.
    pub inviter: UserId,
    /// When.
    pub created_at: Timestamp,
    /// What was asked for.
    pub terms: InviteTerms,
    /// How often it was accepted.
    pub uses: u32,
}

/// How long and how often an invite can be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InviteTerms {
    /// How long it can be used; zero = for ever.
    pub max_age: Duration,
    /// How often it can be used, up to 100; 0 = without limit.
    pub max_uses: u32,
    /// Whether people who accept it are members only while they are connected.
    pub temporary: bool,
}

impl Default for InviteTerms {
    /// One day, any number of uses.
    fn default() -> Self {
        Self { max_age: Duration::from_secs(86_400), max_uses: 0, temporary: false }
    }
}

impl Invite {
    /// When it ends; `None` = never.
    pub fn expires_at(&self) -> Option<Timestamp> {
        (!self.terms.max_age.is_zero()).then(|| self.created_at + self.terms.max_age)
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at().is_none_or(|end| now < end)
    }
}

/// Why an invite was not made or not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InviteError {
    /// No such channel.
    #[error("there is no channel {0}")]
    UnknownChannel(ChannelId),
    /// A category has no invites.
    #[error("channel {0} is a category, to which nobody can be invited")]
    Category(ChannelId),
    /// The guild has its 1,000 invites.
    #[error("the guild already has {MAX_INVITES_PER_GUILD} invites")]
    TooMany,
    /// No such invite, or it has ended.
    #[error("there is no invite {0}")]
    UnknownInvite(InviteCode),
}

impl World {
    /// An invite that can still be used.
    pub fn invite(&self, code: &InviteCode) -> Option<&Invite> {
        self.invites.get(code).filter(|invite| invite.is_live(self.now))
    }

    /// Invites of a guild that can still be used, by code.
    pub fn invites(&self, guild: GuildId) -> impl Iterator<Item = &Invite> {
        self.invites.values().filter(move |invite| invite.guild_id == guild && invite.is_live(self.now))
    }

    /// Makes an invite. Unless it has to be unique, one of the same person with the same terms that nobody has used
    /// yet is given out again.
    ///
    /// # Errors
    /// The channel is missing or a category, or the guild has too many invites.
    pub fn create_invite(
        &mut self,
        channel: ChannelId,
        inviter: UserId,
        terms: InviteTerms,
        unique: bool,
    ) -> Result<InviteCode, InviteError> {
        let place = self.channel(channel).ok_or(InviteError::UnknownChannel(channel))?;
        if matches!(place.kind, super::ChannelKind::Category) {
            return Err(InviteError::Category(channel));
        }
        let guild_id = place.guild_id;
        if !unique && let Some(same) = self.similar_invite(channel, inviter, terms) {
            return Ok(same.code.clone());
        }
        if self.invites(guild_id).count() >= MAX_INVITES_PER_GUILD {
            return Err(InviteError::TooMany);
        }
        let code = self.mint_code();
        let invite =
            Invite { code: code.clone(), guild_id, channel_id: channel, inviter, created_at: self.now, terms, uses: 0 };
        self.invites.insert(code.clone(), invite);
        if let Some(invite) = self.invites.get(&code) {
            let body = wire::invite_create(self, invite);
            self.tell_channel_managers(guild_id, channel, EventKind::InviteCreate, &body);
        }
        Ok(code)
    }

    fn similar_invite(&self, channel: ChannelId, inviter: UserId, terms: InviteTerms) -> Option<&Invite> {
        let mut all = self.invites.values();
        all.find(|invite| {
            (invite.channel_id, invite.inviter, invite.terms, invite.uses) == (channel, inviter, terms, 0)
                && invite.is_live(self.now)
        })
    }

    /// Deletes an invite.
    ///
    /// # Errors
    /// There is no such invite any more.
    pub fn delete_invite(&mut self, code: &InviteCode) -> Result<Invite, InviteError> {
        let now = self.now;
        let gone = self.invites.remove(code).filter(|invite| invite.is_live(now));
        let gone = gone.ok_or_else(|| InviteError::UnknownInvite(code.clone()))?;
        let body = json!({"guild_id": gone.guild_id, "channel_id": gone.channel_id, "code": gone.code});
        self.tell_channel_managers(gone.guild_id, gone.channel_id, EventKind::InviteDelete, &body);
        Ok(gone)
    }

    /// A person accepts an invite and becomes a member. The last use ends it.
    ///
    /// # Errors
    /// There is no such invite any more.
    pub fn accept_invite(&mut self, user: UserId, code: &InviteCode) -> Result<GuildId, InviteError> {
        let now = self.now;
        let invite = self.invites.get_mut(code).filter(|invite| invite.is_live(now));
        let invite = invite.ok_or_else(|| InviteError::UnknownInvite(code.clone()))?;
        let guild = invite.guild_id;
        if self.guilds.get(&guild).is_some_and(|home| home.members.contains_key(&user)) {
            return Ok(guild);
        }
        invite.uses += 1;
        let used_up = invite.terms.max_uses > 0 && invite.uses >= invite.terms.max_uses;
        self.add_member(guild, user, [].into());
        if used_up {
            self.delete_invite(code)?;
        }
        Ok(guild)
    }

    /// Only who manages the channel or the guild hears of its invites.
    fn tell_channel_managers(&mut self, guild: GuildId, channel: ChannelId, kind: EventKind, body: &serde_json::Value) {
        self.tell_some(guild, kind, body, |guild, bot| {
            let in_channel = guild.channels.get(&channel).map(|channel| guild.permissions_in(bot, channel));
            guild.base_permissions(bot).contains(Permissions::MANAGE_GUILD)
                || in_channel.is_some_and(|may| may.contains(Permissions::MANAGE_CHANNELS))
        });
    }

    /// The invites of a channel that is gone go with it, without a word.
    pub(super) fn forget_invites_to(&mut self, channel: ChannelId) {
        self.invites.retain(|_, invite| invite.channel_id != channel);
    }

    fn mint_code(&mut self) -> InviteCode {
        let mut rest = super::fnv1a(&self.mint().to_le_bytes());
        let letters = std::iter::repeat_with(|| {
            let letter = ALPHABET[(rest % ALPHABET.len() as u64) as usize];
            rest /= ALPHABET.len() as u64;
            letter as char
        });
        InviteCode(letters.take(CODE_LENGTH).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ANN, LOBBY, PARLOR_DEV, Terms};
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_700_000_000_000);

    fn world() -> World {
        let terms = Terms { bot_permissions: Permissions::ALL, voice_endpoint: "127.0.0.1:1".to_owned(), tokens: None };
        World::new(terms, NOW)
    }

    #[test]
    fn an_invite_ends_with_its_last_use_or_its_age() {
        let mut world = world();
        let terms = InviteTerms { max_uses: 1, ..InviteTerms::default() };
        let once = world.create_invite(LOBBY, ANN, terms, false).unwrap();
        let day = world.create_invite(LOBBY, ANN, InviteTerms::default(), false).unwrap();
        let eve = world.person("eve");
        assert_eq!(world.accept_invite(eve, &once), Ok(PARLOR_DEV));
        assert!(world.guild(PARLOR_DEV).unwrap().members.contains_key(&eve));
        let finn = world.person("finn");
        assert_eq!(world.accept_invite(finn, &once), Err(InviteError::UnknownInvite(once)));
        world.set_now(NOW + Duration::from_millis(86_399_999));
        assert!(world.invite(&day).is_some());
        world.set_now(NOW + Duration::from_secs(86_400));
        assert_eq!(world.delete_invite(&day), Err(InviteError::UnknownInvite(day)));
    }

    #[test]
    fn a_similar_invite_is_given_out_again_unless_it_has_to_be_unique() {
        let mut world = world();
        let first = world.create_invite(LOBBY, ANN, InviteTerms::default(), false).unwrap();
        assert_eq!(world.create_invite(LOBBY, ANN, InviteTerms::default(), false).unwrap(), first);
        assert_ne!(world.create_invite(LOBBY, ANN, InviteTerms::default(), true).unwrap(), first);
        let brief = InviteTerms { max_age: Duration::from_secs(60), ..InviteTerms::default() };
        assert_ne!(world.create_invite(LOBBY, ANN, brief, false).unwrap(), first);
        let eve = world.person("eve");
        world.accept_invite(eve, &first).unwrap();
        assert_ne!(world.create_invite(LOBBY, ANN, InviteTerms::default(), false).unwrap(), first, "it was used");
        world.delete_channel(LOBBY).unwrap();
        assert_eq!(world.invites(PARLOR_DEV).count(), 0);
    }
}
