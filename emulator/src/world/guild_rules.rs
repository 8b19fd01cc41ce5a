//! How guilds, members and bots come, change and go.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::event::EventKind;
use super::guild::{Availability, Bot, BotToken, Guild, Member, Role, Standing, User};
use super::id::{GuildId, RoleId, UserId};
use super::permissions::Permissions;
use super::seed::OWNER;
use super::{World, wire};

/// A moderator's change to a member; `None` leaves a setting as it is.
#[derive(Clone, Debug, Default)]
pub struct MemberEdit {
    /// The nickname; `Some(None)` removes it.
    pub nick: Option<Option<String>>,
    /// Muted by a moderator.
    pub mute: Option<bool>,
    /// Deafened by a moderator.
    pub deaf: Option<bool>,
    /// Replaces all roles.
    pub roles: Option<BTreeSet<RoleId>>,
}

impl World {
    /// A new guild without channels; every bot that has logged in becomes a member.
    pub fn create_guild(&mut self, name: &str) -> GuildId {
        let id = GuildId::new(self.mint());
        self.insert_guild(id, name);
        let bots: Vec<UserId> = self.bots.keys().copied().collect();
        for bot in bots {
            self.add_bot(id, bot);
        }
        id
    }

    pub(super) fn insert_guild(&mut self, id: GuildId, name: &str) {
        let everyone = Role {
            id: id.everyone(),
            name: "@everyone".to_owned(),
            permissions: Permissions::EVERYONE,
            position: 0,
            bot_id: None,
        };
        let guild = Guild {
            id,
            name: name.to_owned(),
            owner_id: OWNER,
            premium_tier: 0,
            availability: Availability::Available,
            rules_channel_id: None,
            roles: BTreeMap::from([(everyone.id, everyone)]),
            channels: BTreeMap::new(),
            members: BTreeMap::new(),
            voice_states: BTreeMap::new(),
            voice_since: BTreeMap::new(),
        };
        self.guilds.insert(id, guild);
        self.add_member(id, OWNER, BTreeSet::new());
    }

    /// Deletes a guild with all that is in it.
    pub fn delete_guild(&mut self, id: GuildId) {
        let Some(guild) = self.guilds.get(&id) else { return };
        let bots: Vec<UserId> = self.bots.keys().filter(|bot| guild.members.contains_key(bot)).copied().collect();
        for bot in bots {
            self.tell_bot(id, bot, EventKind::GuildDelete, &json!({"id": id}));
        }
        self.guilds.remove(&id);
        self.guild_of_channel.retain(|_, guild| *guild != id);
        self.invites.retain(|_, invite| invite.guild_id != id);
        self.webhooks.retain(|_, webhook| webhook.guild_id != id);
    }

    /// Sets a guild's boost level, 0 to 3.
    pub fn set_premium_tier(&mut self, id: GuildId, tier: u8) {
        let Some(guild) = self.guilds.get_mut(&id) else { return };
        guild.premium_tier = tier.min(3);
        let body = wire::guild(guild);
        self.tell_guild(id, EventKind::GuildUpdate, &body);
    }

    /// The guild falls into an outage: GUILD_DELETE with `unavailable`, then silence while its people go on.
    pub fn guild_goes_down(&mut self, id: GuildId) {
        self.tell_guild(id, EventKind::GuildDelete, &wire::unavailable_guild(id));
        if let Some(guild) = self.guilds.get_mut(&id) {
            guild.availability = Availability::Unavailable;
        }
    }

    /// The outage ends: every bot in the guild gets its whole state in a GUILD_CREATE.
    pub fn guild_comes_back(&mut self, id: GuildId) {
        let Some(guild) = self.guilds.get_mut(&id) else { return };
        if guild.availability == Availability::Available {
            return;
        }
        guild.availability = Availability::Available;
        let bots: Vec<UserId> = self.bots.keys().filter(|bot| guild.members.contains_key(bot)).copied().collect();
        for bot in bots {
            if let Some(guild) = self.guild(id) {
                let body = wire::guild_create(self, guild, bot);
                self.tell_bot(id, bot, EventKind::GuildCreate, &body);
            }
        }
    }

    /// The bot that a token stands for, created on first use and then a member of every guild.
    /// `None` when the token does not log in: not on the list, or reset by Discord.
    pub(crate) fn log_in(&mut self, token: &BotToken) -> Option<UserId> {
        if self.terms.tokens.as_ref().is_some_and(|tokens| !tokens.contains(token)) {
            return None;
        }
        let id = token.bot_id();
        if let Some(bot) = self.bots.get(&id) {
            return (bot.standing == Standing::Good).then_some(id);
        }
        // The same id can only be a person's if a token names one on purpose.
        if self.users.contains_key(&id) {
            return None;
        }
        let name = format!("bot-{:04}", id.get() % 10_000);
        self.users.insert(id, User { id, name, display_name: None, bot: true });
        self.bots.insert(id, Bot { id, standing: Standing::Good });
        let told = self.outbox.len();
        let guilds: Vec<GuildId> = self.guilds.keys().copied().collect();
        for guild in guilds {
            self.add_bot(guild, id);
        }
        // A bot that shows its token for the first time has been a member all along, so nobody hears of it.
        self.outbox.truncate(told);
        Some(id)
    }

    /// Discord resets a bot's token: it opens nothing any more.
    pub(crate) fn reset_token(&mut self, bot: UserId) {
        if let Some(bot) = self.bots.get_mut(&bot) {
            bot.standing = Standing::TokenReset;
        }
    }

    /// Adds a bot to a guild, with a role of its own that grants the configured permissions.
    pub fn add_bot(&mut self, id: GuildId, bot: UserId) {
        let granted = self.terms.bot_permissions;
        let role_id = RoleId::new(self.mint());
        let (Some(user), Some(guild)) = (self.users.get(&bot), self.guilds.get_mut(&id)) else { return };
        if !self.bots.contains_key(&bot) || guild.members.contains_key(&bot) {
            return;
        }
        let role = Role {
            id: role_id,
            name: user.name.clone(),
            permissions: granted,
            position: guild.roles.len() as i64,
            bot_id: Some(bot),
        };
        let role_body = json!({"guild_id": id, "role": wire::role(&role)});
        guild.roles.insert(role_id, role);
        self.tell_guild(id, EventKind::GuildRoleCreate, &role_body);
        self.add_member(id, bot, BTreeSet::from([role_id]));
        if let Some(guild) = self.guild(id)
            && guild.availability == Availability::Available
        {
            let mut body = wire::guild_create(self, guild, bot);
            // A guild that was just joined has no such key: that is how clients tell a join from a recovery.
            body.as_object_mut().map(|fields| fields.remove("unavailable"));
            self.tell_bot(id, bot, EventKind::GuildCreate, &body);
        }
    }

    /// Removes a bot from a guild: GUILD_DELETE without `unavailable`.
    pub fn remove_bot(&mut self, id: GuildId, bot: UserId) {
        if !self.bots.contains_key(&bot) || !self.guilds.get(&id).is_some_and(|guild| guild.members.contains_key(&bot))
        {
            return;
        }
        self.end_voice(id, bot);
        if let Some(guild) = self.guilds.get_mut(&id) {
            guild.members.remove(&bot);
            guild.roles.retain(|_, role| role.bot_id != Some(bot));
        }
        self.tell_bot(id, bot, EventKind::GuildDelete, &json!({"id": id}));
    }

    /// Sets what a bot's own role grants in one guild.
    pub fn set_bot_permissions(&mut self, id: GuildId, bot: UserId, permissions: Permissions) {
        let Some(guild) = self.guilds.get_mut(&id) else { return };
        let Some(role) = guild.roles.values_mut().find(|role| role.bot_id == Some(bot)) else { return };
        role.permissions = permissions;
        let body = json!({"guild_id": id, "role": wire::role(role)});
        self.tell_guild(id, EventKind::GuildRoleUpdate, &body);
    }

    /// The person with this name, created on first use. They join guilds when they join channels.
    pub fn person(&mut self, name: &str) -> UserId {
        if let Some(user) = self.users.values().find(|user| !user.bot && user.name.eq_ignore_ascii_case(name)) {
            return user.id;
        }
        let id = UserId::new(self.mint());
        self.insert_person(id, name);
        id
    }

    pub(super) fn insert_person(&mut self, id: UserId, name: &str) {
        let mut letters = name.chars();
        let capital = letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>());
        let user = User { id, name: name.to_lowercase(), display_name: capital, bot: false };
        self.users.insert(id, user);
    }

    pub(super) fn add_member(&mut self, guild: GuildId, user: UserId, roles: BTreeSet<RoleId>) {
        let now = self.now;
        let (Some(home), Some(of)) = (self.guilds.get_mut(&guild), self.users.get(&user)) else { return };
        if home.members.contains_key(&user) {
            return;
        }
        let member = Member { nick: None, roles, joined_at: now, mute: false, deaf: false };
        let mut body = wire::member(&member, of);
        body["guild_id"] = json!(guild);
        let is_bot = of.bot;
        home.members.insert(user, member);
        if !is_bot {
            self.tell_guild(guild, EventKind::GuildMemberAdd, &body);
        }
    }

    /// Changes a member; mute and deaf also show in their voice state, if they have one.
    pub fn edit_member(&mut self, guild: GuildId, user: UserId, edit: MemberEdit) {
        let Some(member) = self.guilds.get_mut(&guild).and_then(|home| home.members.get_mut(&user)) else { return };
        let before = member.clone();
        if let Some(nick) = edit.nick {
            member.nick = nick;
        }
        member.mute = edit.mute.unwrap_or(member.mute);
        member.deaf = edit.deaf.unwrap_or(member.deaf);
        if let Some(roles) = edit.roles {
            member.roles = roles;
        }
        if *member == before {
            return;
        }
        let heard = (member.mute, member.deaf) != (before.mute, before.deaf);
        let member = member.clone();
        if let Some(of) = self.users.get(&user) {
            let mut body = wire::member(&member, of);
            body["guild_id"] = json!(guild);
            self.tell_guild(guild, EventKind::GuildMemberUpdate, &body);
        }
        if heard {
            self.tell_voice_state(guild, user);
        }
    }
}
