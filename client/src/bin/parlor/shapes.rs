//! What `--output json` prints of rooms, guilds, participants and webhooks. e2e/clients/README.md describes the shapes; other languages print the
//! same.

use std::{collections::BTreeMap, time::Duration};

use parlor_client::{prost_types, v1};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct RoomShape<'a> {
    room: &'a str,
    guild: &'a str,
    name: &'a str,
    kind: String,
    state: String,
    managed: bool,
    category: &'a str,
    user_limit: i32,
    bitrate_bps: i32,
    participants: i32,
    region: &'a str,
    video_quality: String,
    status: &'a str,
    labels: &'a BTreeMap<String, String>,
    /// In seconds; 0 for never.
    empty_timeout: f64,
    departure_timeout: f64,
    max_duration: f64,
    created_by: &'a str,
}

impl<'a> From<&'a v1::Room> for RoomShape<'a> {
    fn from(room: &'a v1::Room) -> Self {
        Self {
            room: &room.room_id,
            guild: &room.guild_id,
            name: &room.display_name,
            kind: kind(room),
            state: state(room),
            managed: room.managed,
            category: &room.category_id,
            user_limit: room.user_limit,
            bitrate_bps: room.bitrate_bps,
            participants: room.participant_count,
            region: &room.region,
            video_quality: quality(room),
            status: &room.status,
            labels: &room.labels,
            empty_timeout: seconds(room.policy.and_then(|policy| policy.empty_timeout)),
            departure_timeout: seconds(room.policy.and_then(|policy| policy.departure_timeout)),
            max_duration: seconds(room.policy.and_then(|policy| policy.max_duration)),
            created_by: &room.created_by,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct GuildShape<'a> {
    guild: &'a str,
    name: &'a str,
    available: bool,
    rooms: i32,
}

impl<'a> From<&'a v1::Guild> for GuildShape<'a> {
    fn from(guild: &'a v1::Guild) -> Self {
        Self { guild: &guild.guild_id, name: &guild.display_name, available: guild.available, rooms: guild.room_count }
    }
}

#[derive(Serialize)]
pub(crate) struct ParticipantShape<'a> {
    user: &'a str,
    name: &'a str,
    guild: &'a str,
    room: &'a str,
    bot: bool,
    mute: bool,
    deaf: bool,
    self_mute: bool,
    self_deaf: bool,
    camera: bool,
    stream: bool,
    suppress: bool,
}

impl<'a> From<&'a v1::Participant> for ParticipantShape<'a> {
    fn from(participant: &'a v1::Participant) -> Self {
        Self {
            user: &participant.user_id,
            name: &participant.display_name,
            guild: &participant.guild_id,
            room: &participant.room_id,
            bot: participant.is_bot,
            mute: participant.mute,
            deaf: participant.deaf,
            self_mute: participant.self_mute,
            self_deaf: participant.self_deaf,
            camera: participant.camera,
            stream: participant.stream,
            suppress: participant.suppress,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct WebhookShape<'a> {
    webhook: &'a str,
    guild: &'a str,
    channel: &'a str,
    name: &'a str,
    kind: String,
    creator: &'a str,
    executable: bool,
}

impl<'a> From<&'a v1::Webhook> for WebhookShape<'a> {
    fn from(webhook: &'a v1::Webhook) -> Self {
        Self {
            webhook: &webhook.webhook_id,
            guild: &webhook.guild_id,
            channel: &webhook.channel_id,
            name: &webhook.display_name,
            kind: webhook_kind(webhook),
            creator: &webhook.creator_user_id,
            executable: webhook.executable,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct ChannelShape<'a> {
    channel: &'a str,
    guild: &'a str,
    name: &'a str,
    kind: String,
    category: &'a str,
}

impl<'a> From<&'a v1::Channel> for ChannelShape<'a> {
    fn from(channel: &'a v1::Channel) -> Self {
        Self {
            channel: &channel.channel_id,
            guild: &channel.guild_id,
            name: &channel.display_name,
            kind: channel_kind(channel),
            category: &channel.category_id,
        }
    }
}

/// The kind of a webhook, as `incoming`.
pub(crate) fn webhook_kind(webhook: &v1::Webhook) -> String {
    v1::WebhookKind::try_from(webhook.kind)
        .map_or_else(|_| unknown(), |kind| lower(kind.as_str_name(), "WEBHOOK_KIND_"))
}

/// The kind of a channel, as `category`.
pub(crate) fn channel_kind(channel: &v1::Channel) -> String {
    let kind = v1::ChannelKind::try_from(channel.kind);
    kind.map_or_else(|_| unknown(), |kind| lower(kind.as_str_name(), "CHANNEL_KIND_"))
}

/// The kind of a room, as `voice`.
pub(crate) fn kind(room: &v1::Room) -> String {
    v1::RoomKind::try_from(room.kind).map_or_else(|_| unknown(), |kind| lower(kind.as_str_name(), "ROOM_KIND_"))
}

/// How cameras are sent, as `auto`.
fn quality(room: &v1::Room) -> String {
    let quality = v1::VideoQuality::try_from(room.video_quality);
    quality.map_or_else(|_| unknown(), |quality| lower(quality.as_str_name(), "VIDEO_QUALITY_"))
}

fn seconds(time: Option<prost_types::Duration>) -> f64 {
    time.and_then(|time| Duration::try_from(time).ok()).unwrap_or_default().as_secs_f64()
}

/// The state of a room, as `active`.
pub(crate) fn state(room: &v1::Room) -> String {
    v1::room::State::try_from(room.state).map_or_else(|_| unknown(), |state| lower(state.as_str_name(), "STATE_"))
}

/// The name of an enum's value without its prefix, in lower case.
pub(crate) fn lower(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// What a newer server says and this program was not built for.
pub(crate) fn unknown() -> String {
    "unknown".to_owned()
}
