//! How channels come, change and go.

use serde_json::{Value, json};

use super::audit::{AuditAction, Deed, changes};
use super::channel::{
    Channel, ChannelEdit, ChannelError, ChannelKind, MAX_CHANNELS_PER_CATEGORY, MAX_CHANNELS_PER_GUILD, NewChannel,
};
use super::event::EventKind;
use super::id::{ChannelId, GuildId, UserId};
use super::{World, wire};

impl World {
    /// Creates a channel. Text channels' names become lower case with dashes, as Discord does it; the overwrites are
    /// exactly those given, also under a category.
    ///
    /// # Errors
    /// The guild is missing or full, or the parent is no category with room.
    pub fn create_channel(&mut self, guild: GuildId, new: NewChannel) -> Result<ChannelId, ChannelError> {
        let home = self.guild(guild).ok_or(ChannelError::UnknownGuild(guild))?;
        if home.channels.len() >= MAX_CHANNELS_PER_GUILD {
            return Err(ChannelError::GuildFull);
        }
        self.check_parent(guild, None, &new.kind, new.parent_id)?;
        let next = home.channels.values().map(|channel| channel.position + 1).max().unwrap_or(0);
        let id = ChannelId::new(self.mint());
        let channel = Channel {
            id,
            guild_id: guild,
            name: channel_name(&new.kind, &new.name),
            kind: new.kind,
            position: new.position.unwrap_or(next),
            parent_id: new.parent_id,
            overwrites: new.overwrites,
            nsfw: new.nsfw,
            rate_limit_per_user: new.rate_limit_per_user,
            last_message_id: None,
        };
        self.insert_channel(channel);
        Ok(id)
    }

    /// Somebody creates a channel by hand: the same, and the audit log says who did.
    ///
    /// # Errors
    /// As [`World::create_channel`].
    pub fn create_channel_by(
        &mut self,
        maker: UserId,
        guild: GuildId,
        new: NewChannel,
    ) -> Result<ChannelId, ChannelError> {
        let id = self.create_channel(guild, new)?;
        let shown = self.channel(id).map(wire::channel).unwrap_or_default();
        self.audit(Deed {
            guild,
            actor: maker,
            action: AuditAction::ChannelCreate,
            target: Some(id.get()),
            changes: changes(&Value::Null, &shown, &["name", "type"]),
            reason: None,
        });
        Ok(id)
    }

    pub(super) fn insert_channel(&mut self, channel: Channel) {
        let (id, guild) = (channel.id, channel.guild_id);
        let body = wire::channel(&channel);
        self.note_channel(&channel, true);
        if let Some(home) = self.guilds.get_mut(&guild) {
            home.channels.insert(id, channel);
            self.guild_of_channel.insert(id, guild);
            self.tell_guild(guild, EventKind::ChannelCreate, &body);
        }
    }

    /// Changes a channel; an edit that changes nothing makes no event. Channels of a category that had the same
    /// overwrites as it go with it (Discord docs, Permissions § Permission Syncing).
    ///
    /// # Errors
    /// The channel is missing, or the new parent is no category with room.
    pub fn edit_channel(&mut self, id: ChannelId, edit: ChannelEdit) -> Result<(), ChannelError> {
        let before = self.channel(id).ok_or(ChannelError::UnknownChannel(id))?.clone();
        if let Some(parent) = edit.parent_id
            && parent != before.parent_id
        {
            self.check_parent(before.guild_id, Some(id), &before.kind, parent)?;
        }
        let mut after = before.clone();
        edit.apply(&mut after);
        after.name = channel_name(&after.kind, &after.name);
        if after == before {
            return Ok(());
        }
        let overwrites = after.overwrites.clone();
        self.replace_channel(after);
        if overwrites != before.overwrites {
            let home = self.guild(before.guild_id).ok_or(ChannelError::UnknownGuild(before.guild_id))?;
            let synced: Vec<Channel> =
                home.children(id).filter(|child| child.overwrites == before.overwrites).cloned().collect();
            for child in synced {
                self.replace_channel(Channel { overwrites: overwrites.clone(), ..child });
            }
        }
        Ok(())
    }

    /// Deletes a channel. Whoever is in it leaves voice, and a category's children stay without a parent.
    ///
    /// # Errors
    /// There is no such channel.
    pub fn delete_channel(&mut self, id: ChannelId) -> Result<Channel, ChannelError> {
        let guild = *self.guild_of_channel.get(&id).ok_or(ChannelError::UnknownChannel(id))?;
        let home = self.guilds.get(&guild).ok_or(ChannelError::UnknownGuild(guild))?;
        let occupants: Vec<_> = home.occupants(id).collect();
        let orphans: Vec<Channel> = home
            .children(id)
            .cloned()
            .map(|mut child| {
                child.parent_id = None;
                child
            })
            .collect();
        for user in occupants {
            self.end_voice(guild, user);
        }
        for orphan in orphans {
            self.replace_channel(orphan);
        }
        self.guild_of_channel.remove(&id);
        self.messages.remove(&id);
        self.forget_invites_to(id);
        self.forget_webhooks_of(id);
        let gone = self.guilds.get_mut(&guild).and_then(|home| home.channels.remove(&id));
        let gone = gone.ok_or(ChannelError::UnknownChannel(id))?;
        self.note_channel(&gone, false);
        self.tell_guild(guild, EventKind::ChannelDelete, &wire::channel(&gone));
        Ok(gone)
    }

    /// Sets or clears the status line of a voice channel; other sorts of channel have none.
    pub fn set_voice_status(&mut self, id: ChannelId, status: Option<&str>) {
        let Some(channel) = self.channel_mut(id) else { return };
        let guild = channel.guild_id;
        let Some(voice) = channel.kind.voice_mut() else { return };
        if voice.status.as_deref() == status {
            return;
        }
        voice.status = status.map(str::to_owned);
        let body = json!({"id": id, "guild_id": guild, "status": status});
        self.tell_guild(guild, EventKind::VoiceChannelStatusUpdate, &body);
    }

    fn replace_channel(&mut self, channel: Channel) {
        let body = wire::channel(&channel);
        let guild = channel.guild_id;
        self.note_channel(&channel, true);
        if let Some(slot) = self.channel_mut(channel.id) {
            *slot = channel;
        }
        self.tell_guild(guild, EventKind::ChannelUpdate, &body);
    }

    fn check_parent(
        &self,
        guild: GuildId,
        child: Option<ChannelId>,
        kind: &ChannelKind,
        parent: Option<ChannelId>,
    ) -> Result<(), ChannelError> {
        let Some(parent) = parent else { return Ok(()) };
        let home = self.guild(guild).ok_or(ChannelError::UnknownGuild(guild))?;
        let category = home.channels.get(&parent).ok_or(ChannelError::NotACategory(parent))?;
        if !matches!(category.kind, ChannelKind::Category) {
            return Err(ChannelError::NotACategory(parent));
        }
        if matches!(kind, ChannelKind::Category) {
            return Err(ChannelError::CategoryUnderCategory);
        }
        let siblings = home.children(parent).filter(|channel| Some(channel.id) != child).count();
        if siblings >= MAX_CHANNELS_PER_CATEGORY { Err(ChannelError::CategoryFull(parent)) } else { Ok(()) }
    }
}

/// Text channels have no capitals and no spaces.
fn channel_name(kind: &ChannelKind, wanted: &str) -> String {
    match kind {
        ChannelKind::Text { .. } => wanted.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-"),
        ChannelKind::Voice(_) | ChannelKind::Category | ChannelKind::Stage(_) => wanted.to_owned(),
    }
}
