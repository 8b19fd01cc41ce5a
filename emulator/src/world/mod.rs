//! The pure state of an imagined Discord and the rules by which it changes.
//!
//! Every change pushes [`Dispatch`]es, which whoever owns the world drains and hands to the gateway sessions:
//! mutate, drain, mutate. Time comes in by [`World::set_now`]; nothing here reads a clock or draws a random number.

mod actor;
mod audit;
mod channel;
mod channel_rules;
mod event;
mod guild;
mod guild_rules;
mod id;
mod invite;
mod journal;
mod message;
mod permissions;
mod seed;
mod time;
mod voice;
mod voice_rules;
mod webhook;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

pub use actor::Actor;
pub use audit::{AuditAction, AuditChange, AuditEntry};
pub use channel::{Channel, ChannelEdit, ChannelError, ChannelKind, NewChannel, VoiceSettings};
pub(crate) use event::{Audience, Dispatch, EventKind, Redacted};
pub use guild::{Availability, Bot, BotToken, Guild, Member, Role, Standing, User};
pub use guild_rules::MemberEdit;
pub use id::{AuditEntryId, ChannelId, GuildId, MessageId, ParseIdError, RoleId, UserId, WebhookId};
pub use invite::{Invite, InviteCode, InviteError, InviteTerms};
pub use journal::{Happening, Presence, RoomFace, Transition};
pub use message::{Author, Message, NewMessage};
pub use permissions::{Overwrite, OverwriteTarget, Permissions};
pub use seed::{
    ANN, BOB, CLEO, DAN, GAMES, GENERAL, LOBBY, OTHER_GUILD, OTHER_ROOM, OWNER, PARLOR_DEV, VOICE_CATEGORY,
};
pub use time::Timestamp;
pub use voice::{Holder, Switches, VoiceCredentials, VoiceError, VoiceState, VoiceTicket};
pub use webhook::{Webhook, WebhookError, WebhookToken};

pub(crate) use audit::{AUDIT_LOG_AGE, Deed, changes};
pub(crate) use guild::fnv1a;
pub(crate) use voice_rules::VoiceRequest;

/// How a world treats bots and voice.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// What a bot's own role grants in each guild that it joins.
    pub bot_permissions: Permissions,
    /// The endpoint that VOICE_SERVER_UPDATE names: `host:port` without scheme.
    pub voice_endpoint: String,
    /// Tokens that log in; `None` = every non-empty one.
    pub tokens: Option<BTreeSet<BotToken>>,
}

/// Guilds, people, bots and who is where.
#[derive(Debug)]
pub struct World {
    now: Timestamp,
    minted: u64,
    terms: Terms,
    guilds: BTreeMap<GuildId, Guild>,
    guild_of_channel: BTreeMap<ChannelId, GuildId>,
    users: BTreeMap<UserId, User>,
    bots: BTreeMap<UserId, Bot>,
    /// Users of whom a client is connected to the voice server.
    voice_clients: BTreeSet<(GuildId, UserId)>,
    messages: BTreeMap<ChannelId, Vec<Message>>,
    invites: BTreeMap<InviteCode, Invite>,
    webhooks: BTreeMap<WebhookId, Webhook>,
    audit_log: Vec<AuditEntry>,
    outbox: Vec<Dispatch>,
    journal: Option<Vec<Transition>>,
}

impl World {
    /// A world without guilds and people.
    pub(crate) fn empty(terms: Terms, now: Timestamp) -> Self {
        Self {
            now,
            minted: 0,
            terms,
            guilds: BTreeMap::new(),
            guild_of_channel: BTreeMap::new(),
            users: BTreeMap::new(),
            bots: BTreeMap::new(),
            voice_clients: BTreeSet::new(),
            messages: BTreeMap::new(),
            invites: BTreeMap::new(),
            webhooks: BTreeMap::new(),
            audit_log: Vec::new(),
            outbox: Vec::new(),
            journal: None,
        }
    }

    /// Tells the world what time it is; changes that follow carry this time.
    pub(crate) fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// The time at which changes happen now.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes the dispatches that the changes since the last call gave rise to, in order.
    pub(crate) fn drain(&mut self) -> Vec<Dispatch> {
        std::mem::take(&mut self.outbox)
    }

    /// All guilds.
    pub fn guilds(&self) -> impl Iterator<Item = &Guild> {
        self.guilds.values()
    }

    /// A guild by id.
    pub fn guild(&self, id: GuildId) -> Option<&Guild> {
        self.guilds.get(&id)
    }

    /// A guild by name; the first in id order.
    pub fn guild_named(&self, name: &str) -> Option<&Guild> {
        self.guilds.values().find(|guild| guild.name.eq_ignore_ascii_case(name))
    }

    /// A channel by id.
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.guilds.get(self.guild_of_channel.get(&id)?)?.channels.get(&id)
    }

    /// Channels of all guilds with this name, letter case aside.
    pub fn channels_named(&self, name: &str) -> impl Iterator<Item = &Channel> {
        self.guilds
            .values()
            .flat_map(|guild| guild.channels.values())
            .filter(move |channel| channel.name.eq_ignore_ascii_case(name))
    }

    /// All users, people and bots.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// A user by id.
    pub fn known_user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// All bots that have ever shown a token.
    pub fn bots(&self) -> impl Iterator<Item = &Bot> {
        self.bots.values()
    }

    /// A bot by id.
    pub fn bot(&self, id: UserId) -> Option<&Bot> {
        self.bots.get(&id)
    }

    /// Guilds that a bot is in.
    pub(crate) fn guilds_of(&self, bot: UserId) -> impl Iterator<Item = &Guild> {
        self.guilds.values().filter(move |guild| guild.members.contains_key(&bot))
    }

    /// Ground truth: everybody in each voice and stage channel of all guilds, empty channels included.
    pub fn rooms(&self) -> BTreeMap<ChannelId, BTreeSet<UserId>> {
        self.guilds.keys().flat_map(|guild| self.who_is_where(*guild)).collect()
    }

    /// Ground truth: everybody in each voice and stage channel of a guild, empty channels included.
    pub fn who_is_where(&self, guild: GuildId) -> BTreeMap<ChannelId, BTreeSet<UserId>> {
        let Some(guild) = self.guilds.get(&guild) else { return BTreeMap::new() };
        let mut rooms: BTreeMap<ChannelId, BTreeSet<UserId>> = guild
            .channels
            .values()
            .filter(|channel| channel.is_room())
            .map(|channel| (channel.id, BTreeSet::new()))
            .collect();
        for (user, state) in &guild.voice_states {
            rooms.entry(state.channel_id).or_default().insert(*user);
        }
        rooms
    }

    fn mint(&mut self) -> u64 {
        self.minted += 1;
        id::mint(self.minted, self.now)
    }

    /// An opaque word that differs each time and is the same in every run: a session id or a voice token.
    pub(crate) fn mint_opaque(&mut self) -> String {
        let seed = self.mint();
        let (high, low) = (fnv1a(&seed.to_le_bytes()), fnv1a(&seed.to_be_bytes()));
        format!("{high:016x}{low:016x}")
    }

    fn channel_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.guilds.get_mut(self.guild_of_channel.get(&id)?)?.channels.get_mut(&id)
    }

    fn tell_guild(&mut self, guild: GuildId, kind: EventKind, body: &Value) {
        self.tell_guild_text(guild, kind, body.to_string().into(), None);
    }

    /// Tells those bots of a guild who may know.
    fn tell_some(&mut self, id: GuildId, kind: EventKind, body: &Value, may_know: impl Fn(&Guild, UserId) -> bool) {
        let Some(guild) = self.guilds.get(&id) else { return };
        if guild.availability == Availability::Unavailable {
            return;
        }
        let members = self.bots.keys().filter(|bot| guild.members.contains_key(bot));
        let bots: Vec<UserId> = members.filter(|bot| may_know(guild, **bot)).copied().collect();
        if !bots.is_empty() {
            let audience = Audience::Guild { guild: id, bots };
            self.outbox.push(Dispatch { kind, audience, body: body.to_string().into(), redacted: None });
        }
    }

    /// The audience is fixed now: a bot that joins later in the same breath has the change in its GUILD_CREATE.
    fn tell_guild_text(&mut self, id: GuildId, kind: EventKind, body: Arc<str>, redacted: Option<Redacted>) {
        let Some(guild) = self.guilds.get(&id) else { return };
        if guild.availability == Availability::Unavailable {
            return;
        }
        let bots: Vec<UserId> = self.bots.keys().filter(|bot| guild.members.contains_key(bot)).copied().collect();
        if !bots.is_empty() {
            self.outbox.push(Dispatch { kind, audience: Audience::Guild { guild: id, bots }, body, redacted });
        }
    }

    fn tell_bot(&mut self, guild: GuildId, bot: UserId, kind: EventKind, body: &Value) {
        let audience = Audience::Guild { guild, bots: vec![bot] };
        self.outbox.push(Dispatch { kind, audience, body: body.to_string().into(), redacted: None });
    }

    fn tell_session(&mut self, session: String, kind: EventKind, body: &Value) {
        let audience = Audience::Session(session);
        self.outbox.push(Dispatch { kind, audience, body: body.to_string().into(), redacted: None });
    }
}
