//! Channels, and the rooms among them (Discord docs, resources/channel).

use serde::{Deserialize, Serialize};
use twilight_http::request::{AuditLogReason as _, Method, RequestBuilder};
use twilight_model::channel::{ChannelType, VideoQualityMode, permission_overwrite::PermissionOverwrite};

use super::{channel_id, guild_id, overwrites::Overwrite};
use crate::{
    id::{CategoryId, ChannelId, GuildId, RoomId},
    rest::{
        Caller, Rest, RestError,
        outgoing::Outgoing,
        permission::Permission,
        schedule::{Field, Resource, Route, Verb},
    },
    update::{RoomFacts, RoomKind, VideoQuality},
};

const CREATE: Route = Route::new(Verb::Post, "/guilds/{guild}/channels");
const LIST: Route = Route::new(Verb::Get, "/guilds/{guild}/channels");
const GET: Route = Route::new(Verb::Get, "/channels/{channel}");
const CHANGE: Route = Route::new(Verb::Patch, "/channels/{channel}");
const DELETE: Route = Route::new(Verb::Delete, "/channels/{channel}");
const STATUS: Route = Route::new(Verb::Put, "/channels/{channel}/voice-status");

const SEE: &[Permission] = &[Permission::ViewChannel];
const MANAGE: &[Permission] = &[Permission::ManageChannels, Permission::ViewChannel, Permission::Connect];
const MANAGE_WITH_OVERWRITES: &[Permission] =
    &[Permission::ManageChannels, Permission::ManageRoles, Permission::ViewChannel, Permission::Connect];
const SET_STATUS: &[Permission] = &[Permission::SetVoiceChannelStatus, Permission::ManageChannels];

/// Discord's default for a channel that does not say.
const DEFAULT_BITRATE: u32 = 64_000;

/// The room to ask Discord for. Its fields have been checked against Discord's limits.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// The guild.
    pub guild: GuildId,
    /// 1 to 100 characters.
    pub name: String,
    /// Voice or stage.
    pub kind: RoomKind,
    /// The category to stand in.
    pub category: Option<CategoryId>,
    /// 0 for no limit, to 99; for a stage to 10,000.
    pub user_limit: u16,
    /// 8,000 to 384,000 bits per second; `None` for Discord's default.
    pub bitrate: Option<u32>,
    /// A region's id; `None` for Discord's choice.
    pub rtc_region: Option<String>,
    /// `None` for Discord's default.
    pub video_quality: Option<VideoQuality>,
    /// Who may do what in it, at most 100. Empty: as the category says.
    pub overwrites: Vec<Overwrite>,
}

/// What to change about a room; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct RoomChange {
    /// 1 to 100 characters. Discord lets a name change twice in ten minutes.
    pub name: Option<String>,
    /// The category to stand in; `Some(None)` for none.
    pub category: Option<Option<CategoryId>>,
    /// 0 for no limit.
    pub user_limit: Option<u16>,
    /// Bits per second.
    pub bitrate: Option<u32>,
    /// A region's id; `Some(None)` for Discord's choice.
    pub rtc_region: Option<Option<String>>,
    /// The quality of cameras.
    pub video_quality: Option<VideoQuality>,
    /// Every overwrite that there shall be, at most 100.
    pub overwrites: Option<Vec<Overwrite>>,
}

/// A channel of any kind, with what matters of it here.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(from = "Wire")]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Its guild; a list of a guild's channels may leave it out.
    pub guild: Option<GuildId>,
    /// What it is.
    pub kind: ChannelKind,
    /// Its name.
    pub name: String,
    /// The category it stands in.
    pub category: Option<CategoryId>,
    /// Its place among its kind. Two may have the same: then the smaller id stands first.
    pub position: i64,
    /// How many people may be in it; 0 for no limit.
    pub user_limit: u32,
    /// Bits per second.
    pub bitrate: u32,
    /// Where its voice server stands; `None` for Discord's choice.
    pub rtc_region: Option<String>,
    /// The quality of cameras.
    pub video_quality: VideoQuality,
    /// Who may do what in it.
    pub overwrites: Vec<Overwrite>,
}

/// The kinds of channels (Discord docs, resources/channel, "Channel Types").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChannelKind {
    /// 0.
    Text,
    /// 2 or 13.
    Room(RoomKind),
    /// 4.
    Category,
    /// Any other type.
    Other(u8),
}

impl Channel {
    /// The room that this channel is, if it is one; in `guild` where the channel does not say.
    pub fn room(&self, guild: GuildId) -> Option<RoomFacts> {
        let ChannelKind::Room(kind) = self.kind else { return None };
        Some(RoomFacts {
            room: RoomId::new(self.id.get()),
            guild: self.guild.unwrap_or(guild),
            name: self.name.clone(),
            kind,
            category: self.category,
            user_limit: self.user_limit,
            bitrate: self.bitrate,
            region: self.rtc_region.clone(),
            video_quality: self.video_quality,
            status: None,
        })
    }
}

impl Rest {
    /// Makes a room. Not safe to repeat after [`RestError::OutcomeUnknown`]. Needs Manage Channels, View Channel and
    /// Connect; for overwrites Manage Roles.
    pub async fn create_room(&self, room: &NewRoom, reason: &str, caller: &Caller) -> Result<Channel, RestError> {
        self.ask(self.create_room_request(room, reason, caller)?).await
    }

    pub(super) fn create_room_request(
        &self,
        room: &NewRoom,
        reason: &str,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let kind = match room.kind {
            RoomKind::Voice => ChannelType::GuildVoice,
            RoomKind::Stage => ChannelType::GuildStageVoice,
        };
        let overwrites: Vec<PermissionOverwrite> = room.overwrites.iter().map(PermissionOverwrite::from).collect();
        let request = self.builder.create_guild_channel(guild_id(room.guild), &room.name).kind(kind);
        let mut request = request.user_limit(room.user_limit).reason(reason);
        if let Some(category) = room.category {
            request = request.parent_id(channel_id(category.into()));
        }
        if let Some(bitrate) = room.bitrate {
            request = request.bitrate(bitrate);
        }
        if let Some(region) = &room.rtc_region {
            request = request.rtc_region(region);
        }
        if let Some(quality) = room.video_quality {
            request = request.video_quality_mode(mode(quality));
        }
        if !overwrites.is_empty() {
            request = request.permission_overwrites(&overwrites);
        }
        Ok(Outgoing::new(CREATE, Resource::Guild(room.guild), request, caller)?
            .needing(needs(!overwrites.is_empty()))
            .about_channel(room.category.map(ChannelId::from)))
    }

    /// Every channel of a guild that the bot sees, threads apart. Safe to repeat.
    pub async fn list_channels(&self, guild: GuildId, caller: &Caller) -> Result<Vec<Channel>, RestError> {
        let request = self.builder.guild_channels(guild_id(guild));
        self.ask(Outgoing::new(LIST, Resource::Guild(guild), request, caller)?).await
    }

    /// A channel. Safe to repeat. Needs View Channel.
    pub async fn get_channel(&self, guild: GuildId, channel: ChannelId, caller: &Caller) -> Result<Channel, RestError> {
        let request = self.builder.channel(channel_id(channel));
        self.ask(Outgoing::new(GET, Resource::Channel(channel), request, caller)?.within(guild).needing(SEE)).await
    }

    /// Changes a room, and returns it as it is then. Safe to repeat. Needs Manage Channels; for overwrites Manage Roles.
    pub async fn change_room(
        &self,
        guild: GuildId,
        room: RoomId,
        change: &RoomChange,
        reason: &str,
        caller: &Caller,
    ) -> Result<Channel, RestError> {
        self.ask(self.change_room_request(guild, room, change, reason, caller)?).await
    }

    pub(super) fn change_room_request(
        &self,
        guild: GuildId,
        room: RoomId,
        change: &RoomChange,
        reason: &str,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let overwrites: Option<Vec<PermissionOverwrite>> =
            change.overwrites.as_ref().map(|all| all.iter().map(PermissionOverwrite::from).collect());
        let mut request = self.builder.update_channel(channel_id(room.into())).reason(reason);
        if let Some(name) = &change.name {
            request = request.name(name);
        }
        if let Some(category) = change.category {
            request = request.parent_id(category.map(|category| channel_id(category.into())));
        }
        if let Some(limit) = change.user_limit {
            request = request.user_limit(limit);
        }
        if let Some(bitrate) = change.bitrate {
            request = request.bitrate(bitrate);
        }
        if let Some(region) = &change.rtc_region {
            request = request.rtc_region(region.as_deref());
        }
        if let Some(quality) = change.video_quality {
            request = request.video_quality_mode(mode(quality));
        }
        if let Some(overwrites) = &overwrites {
            request = request.permission_overwrites(overwrites);
        }
        Ok(Outgoing::new(CHANGE, Resource::Channel(room.into()), request, caller)?
            .within(guild)
            .changing(change.name.as_ref().map(|_| Field::Name))
            .needing(needs(overwrites.is_some()))
            .about_channel(change.category.flatten().map(ChannelId::from)))
    }

    /// Deletes a room. Safe to repeat: what is gone already is [`Refusal::UnknownChannel`](super::super::Refusal).
    /// Needs Manage Channels.
    pub async fn delete_room(
        &self,
        guild: GuildId,
        room: RoomId,
        reason: &str,
        caller: &Caller,
    ) -> Result<(), RestError> {
        self.tell(self.delete_room_request(guild, room, reason, caller)?).await
    }

    pub(super) fn delete_room_request(
        &self,
        guild: GuildId,
        room: RoomId,
        reason: &str,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let request = self.builder.delete_channel(channel_id(room.into())).reason(reason);
        Ok(Outgoing::new(DELETE, Resource::Channel(room.into()), request, caller)?
            .within(guild)
            .needing(MANAGE)
            .ending(caller))
    }

    /// Sets what a voice channel shows below its name: up to 500 characters; `None` for nothing. Safe to repeat. Needs
    /// Set Voice Channel Status, and Manage Channels while the bot is not in the channel.
    pub async fn set_status(
        &self,
        guild: GuildId,
        room: RoomId,
        status: Option<&str>,
        reason: &str,
        caller: &Caller,
    ) -> Result<(), RestError> {
        self.tell(Self::set_status_request(guild, room, status, reason, caller)?).await
    }

    pub(super) fn set_status_request(
        guild: GuildId,
        room: RoomId,
        status: Option<&str>,
        reason: &str,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        #[derive(Serialize)]
        struct Body<'a> {
            status: Option<&'a str>,
        }
        // twilight 0.18 has no builder for it.
        let request = RequestBuilder::raw(Method::Put, format!("channels/{room}/voice-status")).json(&Body { status });
        let request = request.build().map_err(|wrong| RestError::invalid(wrong.to_string()))?;
        Outgoing::of(STATUS, Resource::Channel(room.into()), &request, caller)
            .within(guild)
            .needing(SET_STATUS)
            .reasoned(reason)
    }
}

fn needs(overwrites: bool) -> &'static [Permission] {
    if overwrites { MANAGE_WITH_OVERWRITES } else { MANAGE }
}

/// Discord's number for it.
fn mode(quality: VideoQuality) -> VideoQualityMode {
    match quality {
        VideoQuality::Auto => VideoQualityMode::Auto,
        VideoQuality::Full => VideoQualityMode::Full,
    }
}

#[derive(Deserialize)]
struct Wire {
    id: ChannelId,
    #[serde(rename = "type")]
    kind: u8,
    guild_id: Option<GuildId>,
    name: Option<String>,
    parent_id: Option<CategoryId>,
    position: Option<i64>,
    user_limit: Option<u32>,
    bitrate: Option<u32>,
    rtc_region: Option<String>,
    video_quality_mode: Option<u8>,
    permission_overwrites: Option<Vec<Overwrite>>,
}

impl From<Wire> for Channel {
    fn from(wire: Wire) -> Self {
        let kind = match wire.kind {
            0 => ChannelKind::Text,
            2 => ChannelKind::Room(RoomKind::Voice),
            4 => ChannelKind::Category,
            13 => ChannelKind::Room(RoomKind::Stage),
            other => ChannelKind::Other(other),
        };
        Self {
            id: wire.id,
            guild: wire.guild_id,
            kind,
            name: wire.name.unwrap_or_default(),
            category: wire.parent_id,
            position: wire.position.unwrap_or(0),
            user_limit: wire.user_limit.unwrap_or(0),
            bitrate: wire.bitrate.unwrap_or(DEFAULT_BITRATE),
            rtc_region: wire.rtc_region,
            video_quality: if wire.video_quality_mode == Some(2) { VideoQuality::Full } else { VideoQuality::Auto },
            overwrites: wire.permission_overwrites.unwrap_or_default(),
        }
    }
}
