//! How people and bots join, move about and leave voice.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::channel::ChannelKind;
use super::event::EventKind;
use super::guild::{Availability, fnv1a};
use super::id::{ChannelId, GuildId, UserId};
use super::permissions::Permissions;
use super::time::Timestamp;
use super::voice::{Holder, Switches, VoiceCredentials, VoiceError, VoiceState, VoiceTicket};
use super::{World, wire};

/// What a bot asks for by gateway op 4.
#[derive(Clone, Debug)]
pub(crate) struct VoiceRequest {
    /// The guild.
    pub guild: GuildId,
    /// Where to; `None` = leave voice.
    pub channel: Option<ChannelId>,
    /// Muted itself.
    pub self_mute: bool,
    /// Deafened itself.
    pub self_deaf: bool,
}

impl World {
    /// A person joins a voice or stage channel, or moves there; in voice of another guild they leave that first.
    ///
    /// # Errors
    /// The channel is missing, no room, full, or closed to them.
    pub fn join(&mut self, user: UserId, channel: ChannelId) -> Result<(), VoiceError> {
        let guild = *self.guild_of_channel.get(&channel).ok_or(VoiceError::UnknownChannel(channel))?;
        self.add_member(guild, user, [].into());
        self.check_entry(guild, user, channel)?;
        let elsewhere: Vec<GuildId> = self
            .guilds
            .values()
            .filter(|other| other.id != guild && other.voice_states.contains_key(&user))
            .map(|other| other.id)
            .collect();
        for other in elsewhere {
            self.end_voice(other, user);
        }
        let current = self.voice_state(guild, user).map(|state| state.channel_id);
        if current != Some(channel) {
            self.place(guild, user, channel);
            self.tell_voice_state(guild, user);
            self.tell_voice_server(guild, user);
            self.settle_start_times(guild);
        }
        Ok(())
    }

    /// A voice client speaks for a person from now on.
    ///
    /// # Errors
    /// They are in no voice channel, or a bot, which has its own way in.
    pub fn voice_ticket(&mut self, user: UserId) -> Result<VoiceTicket, VoiceError> {
        let guild_id = self.guild_of_voice(user).ok_or(VoiceError::NotInVoice(user))?;
        let token = self.mint_opaque();
        let endpoint = self.terms.voice_endpoint.clone();
        let state = self.voice_state_mut(guild_id, user).ok_or(VoiceError::NotInVoice(user))?;
        if matches!(state.holder, Holder::Session { .. }) {
            return Err(VoiceError::NoPerson(user));
        }
        state.holder = Holder::Client { voice_token: token.clone() };
        let (channel_id, session_id) = (state.channel_id, state.session_id.clone());
        Ok(VoiceTicket { endpoint, guild_id, channel_id, user_id: user, session_id, token })
    }

    /// The voice server tells whether a client of this user is connected to it.
    pub(crate) fn note_voice_client(&mut self, guild: GuildId, user: UserId, connected: bool) {
        if connected {
            self.voice_clients.insert((guild, user));
        } else {
            self.voice_clients.remove(&(guild, user));
        }
    }

    /// A person leaves voice.
    ///
    /// # Errors
    /// They are in no voice channel.
    pub fn leave(&mut self, user: UserId) -> Result<(), VoiceError> {
        let guild = self.guild_of_voice(user).ok_or(VoiceError::NotInVoice(user))?;
        self.end_voice(guild, user);
        Ok(())
    }

    /// A person flips their own switches; no event when nothing changes.
    ///
    /// # Errors
    /// They are in no voice channel.
    pub fn switch(&mut self, user: UserId, flip: impl FnOnce(&mut Switches)) -> Result<(), VoiceError> {
        let guild = self.guild_of_voice(user).ok_or(VoiceError::NotInVoice(user))?;
        let state = self.voice_state_mut(guild, user).ok_or(VoiceError::NotInVoice(user))?;
        let before = state.switches;
        flip(&mut state.switches);
        if state.switches != before {
            self.tell_voice_state(guild, user);
        }
        Ok(())
    }

    /// A moderator moves someone who is in voice to another channel (`None` = out of voice). User limits do not
    /// bind moderators. A bot that is moved gets a new voice server.
    ///
    /// # Errors
    /// The user is not in voice in this guild, or the channel is no room of it.
    pub fn move_member(&mut self, guild: GuildId, user: UserId, channel: Option<ChannelId>) -> Result<(), VoiceError> {
        let from = self.voice_state(guild, user).ok_or(VoiceError::NotInVoice(user))?.channel_id;
        let Some(channel) = channel else {
            self.end_voice(guild, user);
            return Ok(());
        };
        self.check_room(guild, channel)?;
        if from != channel {
            self.place(guild, user, channel);
            self.tell_voice_state(guild, user);
            self.tell_voice_server(guild, user);
            self.settle_start_times(guild);
        }
        Ok(())
    }

    /// Lets someone on a stage speak, or sends them back to the audience.
    pub fn set_suppressed(&mut self, guild: GuildId, user: UserId, suppress: bool) {
        let Some(state) = self.voice_state_mut(guild, user) else { return };
        if state.suppress != suppress {
            state.suppress = suppress;
            state.asked_to_speak.take_if(|_| !suppress);
            self.tell_voice_state(guild, user);
        }
    }

    /// Somebody in the audience of a stage raises their hand at this time, or lowers it.
    pub(crate) fn ask_to_speak(&mut self, guild: GuildId, user: UserId, time: Option<String>) {
        let Some(state) = self.voice_state_mut(guild, user) else { return };
        if state.asked_to_speak != time {
            state.asked_to_speak = time;
            self.tell_voice_state(guild, user);
        }
    }

    /// Gateway op 4 of a bot's session. VOICE_STATE_UPDATE comes first and VOICE_SERVER_UPDATE second, because
    /// discord.js waits for ever the other way round. Asking again for the same channel, to change a switch or because
    /// the voice connection was lost, answers the second only while no voice client is connected.
    ///
    /// # Errors
    /// Where Discord keeps silent: the guild or channel is missing, full, or closed to the bot.
    pub(crate) fn bot_voice(
        &mut self,
        bot: UserId,
        gateway_session: &str,
        request: &VoiceRequest,
    ) -> Result<(), VoiceError> {
        let guild = request.guild;
        let home = self.guild(guild).ok_or(VoiceError::UnknownGuild(guild))?;
        if home.availability == Availability::Unavailable || !home.members.contains_key(&bot) {
            return Err(VoiceError::UnknownGuild(guild));
        }
        let Some(channel) = request.channel else {
            self.end_voice(guild, bot);
            return Ok(());
        };
        self.check_entry(guild, bot, channel)?;
        let held_here = self.voice_state(guild, bot).is_some_and(|state| {
            let by_it =
                matches!(&state.holder, Holder::Session { gateway_session: holder, .. } if holder == gateway_session);
            state.channel_id == channel && by_it
        });
        let keeps_server = held_here && self.voice_clients.contains(&(guild, bot));
        if !held_here {
            self.place(guild, bot, channel);
        }
        if let Some(state) = self.voice_state_mut(guild, bot) {
            state.switches.self_mute = request.self_mute;
            state.switches.self_deaf = request.self_deaf;
            if !keeps_server {
                // One voice session per gateway session, opaque to clients and not the gateway session's own id.
                state.session_id = format!("{0:016x}{0:016x}", fnv1a(gateway_session.as_bytes()));
                let gateway_session = gateway_session.to_owned();
                state.holder = Holder::Session { gateway_session, voice_token: String::new() };
            }
        }
        self.tell_voice_state(guild, bot);
        if !keeps_server {
            self.tell_voice_server(guild, bot);
        }
        self.settle_start_times(guild);
        Ok(())
    }

    /// A gateway session is over: its bot leaves voice wherever that session held the connection.
    pub(crate) fn end_gateway_session(&mut self, session: &str) {
        let held: Vec<(GuildId, UserId)> = self
            .guilds
            .values()
            .flat_map(|guild| guild.voice_states.iter().map(move |(user, state)| (guild.id, *user, &state.holder)))
            .filter(|(_, _, holder)| {
                matches!(holder, Holder::Session { gateway_session, .. } if gateway_session == session)
            })
            .map(|(guild, user, _)| (guild, user))
            .collect();
        for (guild, user) in held {
            self.end_voice(guild, user);
        }
    }

    /// Discord gives a bot another voice server: a VOICE_SERVER_UPDATE with a fresh token, or with endpoint null
    /// ("wait for the next one") when `endpoint` is `None`.
    ///
    /// # Errors
    /// Nobody holds a voice connection for the bot in this guild.
    pub fn reallocate_voice_server(
        &mut self,
        guild: GuildId,
        bot: UserId,
        endpoint: Option<&str>,
    ) -> Result<(), VoiceError> {
        let fresh = self.mint_opaque();
        let state = self.voice_state_mut(guild, bot).ok_or(VoiceError::NotInVoice(bot))?;
        let (gateway_session, voice_token) = match &mut state.holder {
            Holder::Person => return Err(VoiceError::NotInVoice(bot)),
            Holder::Client { voice_token } => {
                // Nobody is told: a new ticket has to be asked for.
                *voice_token = fresh;
                return Ok(());
            }
            Holder::Session { gateway_session, voice_token } => (gateway_session, voice_token),
        };
        voice_token.clone_from(&fresh);
        let session = gateway_session.clone();
        let body = json!({"token": fresh, "guild_id": guild, "endpoint": endpoint});
        self.tell_session(session, EventKind::VoiceServerUpdate, &body);
        Ok(())
    }

    /// Discord gives everybody who has a voice client, or one user alone, another voice server at the same address, or none.
    pub(crate) fn change_voice_servers(&mut self, only: Option<UserId>, is_there: bool) {
        let endpoint = is_there.then(|| self.terms.voice_endpoint.clone());
        let all = self.guilds.values().flat_map(|guild| guild.voice_states.keys().map(move |user| (guild.id, *user)));
        let struck: Vec<(GuildId, UserId)> = all.filter(|(_, user)| only.is_none_or(|only| only == *user)).collect();
        for (guild, user) in struck {
            // People without a client have no voice server.
            let _ = self.reallocate_voice_server(guild, user, endpoint.as_deref());
        }
    }

    /// What the voice gateway must see in Identify from this user; `None` when no client speaks for them here.
    pub fn voice_credentials(&self, guild: GuildId, bot: UserId) -> Option<VoiceCredentials> {
        let state = self.voice_state(guild, bot)?;
        match &state.holder {
            Holder::Person => None,
            Holder::Client { voice_token } | Holder::Session { voice_token, .. } => Some(VoiceCredentials {
                channel_id: state.channel_id,
                session_id: state.session_id.clone(),
                token: voice_token.clone(),
            }),
        }
    }

    /// A user's voice state in a guild.
    pub fn voice_state(&self, guild: GuildId, user: UserId) -> Option<&VoiceState> {
        self.guild(guild)?.voice_states.get(&user)
    }

    /// The guild in whose voice a user is; the first, for a bot that is in several.
    pub fn guild_of_voice(&self, user: UserId) -> Option<GuildId> {
        self.guilds.values().find(|guild| guild.voice_states.contains_key(&user)).map(|guild| guild.id)
    }

    /// The voice state object with guild and member, as REST and VOICE_STATE_UPDATE show it.
    pub(crate) fn voice_state_body(&self, guild: GuildId, user: UserId) -> Option<Value> {
        self.render_voice_state(guild, user, self.voice_state(guild, user)?)
    }

    pub(super) fn tell_voice_state(&mut self, guild: GuildId, user: UserId) {
        self.note_voice(guild, user);
        if let Some(body) = self.voice_state_body(guild, user) {
            self.tell_guild(guild, EventKind::VoiceStateUpdate, &body);
        }
    }

    /// Notes which channels have somebody in them since now, or nobody any more, and tells it.
    fn settle_start_times(&mut self, guild: GuildId) {
        let now = self.now;
        let Some(home) = self.guilds.get_mut(&guild) else { return };
        let occupied: BTreeSet<ChannelId> = home.voice_states.values().map(|state| state.channel_id).collect();
        let ended = home.voice_since.keys().copied().filter(|channel| !occupied.contains(channel));
        let began = occupied.iter().copied().filter(|channel| !home.voice_since.contains_key(channel));
        let changes: Vec<(ChannelId, Option<Timestamp>)> =
            ended.map(|channel| (channel, None)).chain(began.map(|channel| (channel, Some(now)))).collect();
        for (channel, since) in changes {
            let Some(home) = self.guilds.get_mut(&guild) else { return };
            match since {
                Some(since) => home.voice_since.insert(channel, since),
                None => home.voice_since.remove(&channel),
            };
            let start = since.map(Timestamp::unix_seconds);
            let body = json!({"id": channel, "guild_id": guild, "voice_start_time": start});
            self.tell_guild(guild, EventKind::VoiceChannelStartTimeUpdate, &body);
        }
    }

    pub(super) fn end_voice(&mut self, guild: GuildId, user: UserId) {
        let Some(state) = self.guilds.get_mut(&guild).and_then(|home| home.voice_states.remove(&user)) else {
            return;
        };
        self.note_voice(guild, user);
        let Some(mut body) = self.render_voice_state(guild, user, &state) else { return };
        body["channel_id"] = Value::Null;
        self.tell_guild(guild, EventKind::VoiceStateUpdate, &body);
        self.settle_start_times(guild);
    }

    fn tell_voice_server(&mut self, guild: GuildId, user: UserId) {
        let endpoint = self.terms.voice_endpoint.clone();
        // A person has no session to tell, which is all that can be wrong here.
        let _ = self.reallocate_voice_server(guild, user, Some(&endpoint));
    }

    fn render_voice_state(&self, guild: GuildId, user: UserId, state: &VoiceState) -> Option<Value> {
        let member = self.guild(guild)?.members.get(&user)?;
        let mut body = wire::voice_state(user, state, member);
        body["guild_id"] = json!(guild);
        body["member"] = wire::member(member, self.known_user(user)?);
        Some(body)
    }

    /// Puts a user into a channel, keeping session, switches and holder of a voice state they already have.
    fn place(&mut self, guild: GuildId, user: UserId, channel: ChannelId) {
        let fresh_session = self.mint_opaque();
        let Some(home) = self.guilds.get_mut(&guild) else { return };
        let Some(target) = home.channels.get(&channel) else { return };
        let silent = !home.permissions_in(user, target).contains(Permissions::SPEAK);
        let suppress = silent || matches!(target.kind, ChannelKind::Stage(_));
        let state = home.voice_states.entry(user).or_insert_with(|| VoiceState {
            channel_id: channel,
            session_id: fresh_session,
            switches: Switches::default(),
            suppress,
            asked_to_speak: None,
            holder: Holder::Person,
        });
        state.channel_id = channel;
        state.suppress = suppress;
        state.asked_to_speak = None;
    }

    fn check_room(&self, guild: GuildId, channel: ChannelId) -> Result<(), VoiceError> {
        let home = self.guild(guild).ok_or(VoiceError::UnknownGuild(guild))?;
        let target = home.channels.get(&channel).ok_or(VoiceError::UnknownChannel(channel))?;
        if target.is_room() { Ok(()) } else { Err(VoiceError::NotARoom(channel)) }
    }

    fn check_entry(&self, guild: GuildId, user: UserId, channel: ChannelId) -> Result<(), VoiceError> {
        self.check_room(guild, channel)?;
        let home = self.guild(guild).ok_or(VoiceError::UnknownGuild(guild))?;
        let target = home.channels.get(&channel).ok_or(VoiceError::UnknownChannel(channel))?;
        let may = home.permissions_in(user, target);
        if !may.contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT) {
            return Err(VoiceError::Forbidden { user, channel });
        }
        let limit = target.kind.voice().map_or(0, |voice| voice.user_limit);
        let others = home.occupants(channel).filter(|occupant| *occupant != user).count();
        if limit > 0 && others >= limit as usize && !may.contains(Permissions::MOVE_MEMBERS) {
            return Err(VoiceError::Full { channel, limit });
        }
        Ok(())
    }

    fn voice_state_mut(&mut self, guild: GuildId, user: UserId) -> Option<&mut VoiceState> {
        self.guilds.get_mut(&guild)?.voice_states.get_mut(&user)
    }
}
