//! Who does not want to be heard, by guild.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use parlor_gateway::{GuildId, UserId};
use prost::Message;
use prost_types::Timestamp;

/// What was noted of somebody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Consent {
    /// When.
    pub noted_at: SystemTime,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ConsentRow {
    #[prost(message, optional, tag = "1")]
    noted_at: Option<Timestamp>,
}

impl Consent {
    /// As the store keeps it.
    pub fn to_bytes(self) -> Vec<u8> {
        ConsentRow { noted_at: Some(self.noted_at.into()) }.encode_to_vec()
    }

    /// Reads [`Self::to_bytes`]. What cannot be read counts as noted long ago: nobody is heard because of a damage.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let noted_at = ConsentRow::decode(bytes).ok().and_then(|row| SystemTime::try_from(row.noted_at?).ok());
        Self { noted_at: noted_at.unwrap_or(SystemTime::UNIX_EPOCH) }
    }
}

/// Everybody who is opted out. Who is not in it is heard.
#[derive(Debug, Default)]
pub struct Consents {
    opted_out: Mutex<BTreeMap<(GuildId, UserId), Consent>>,
}

impl Consents {
    /// What the store held.
    pub fn new(stored: impl IntoIterator<Item = ((GuildId, UserId), Consent)>) -> Self {
        Self { opted_out: Mutex::new(stored.into_iter().collect()) }
    }

    /// Notes that somebody does not want to be heard, or is heard again.
    pub fn set(&self, guild: GuildId, user: UserId, consent: Option<Consent>) {
        match consent {
            Some(consent) => self.locked().insert((guild, user), consent),
            None => self.locked().remove(&(guild, user)),
        };
    }

    /// Who is opted out in a guild.
    pub fn of_guild(&self, guild: GuildId) -> Vec<UserId> {
        let all = self.locked();
        let from = (guild, UserId::new(0))..=(guild, UserId::new(u64::MAX));
        all.range(from).map(|((_, user), _)| *user).collect()
    }

    /// Everybody, by guild and user.
    pub fn all(&self) -> Vec<(GuildId, UserId, Consent)> {
        self.locked().iter().map(|((guild, user), consent)| (*guild, *user, *consent)).collect()
    }

    /// What is noted of somebody, where anything is.
    pub fn get(&self, guild: GuildId, user: UserId) -> Option<Consent> {
        self.locked().get(&(guild, user)).copied()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<(GuildId, UserId), Consent>> {
        self.opted_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
