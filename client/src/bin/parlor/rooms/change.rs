//! `parlor rooms update` and `parlor channels`.

use parlor_client::{CallError, Parlor, prost_types::FieldMask, v1};
use serde::Serialize;

use super::{ROOM_HEADER, new_request_id, quality_of, row};
use crate::{
    cli::{Channels, Policy, Update},
    failure::{Exit, Failure},
    shapes::{ChannelShape, RoomShape, channel_kind},
    terminal::Terminal,
};

pub(super) async fn update(update: Update, parlor: &Parlor, terminal: Terminal) -> Result<(), Failure> {
    let mut paths = Vec::new();
    let mut named = |path: &str, is_named: bool| {
        if is_named {
            paths.push(path.to_owned());
        }
    };
    let policy = policy(update.policy);
    named("display_name", update.name.is_some());
    named("category_id", update.category.is_some());
    named("user_limit", update.user_limit.is_some());
    named("bitrate_bps", update.bitrate.is_some());
    named("region", update.region.is_some());
    named("video_quality", update.video_quality.is_some());
    named("status", update.status.is_some());
    named("labels", !update.labels.is_empty() || update.no_labels);
    let private = private_room(update.private, update.private_roles);
    named("permission_overwrites", !update.overwrites.is_empty());
    named("private", private.is_some() || update.no_private);
    named("policy", policy.is_some() || update.no_policy);
    if paths.is_empty() {
        let failure = Failure::new(Exit::Usage, "nothing is named that should change");
        return Err(failure.next("`parlor rooms update --help` lists what can be"));
    }
    let mut request = v1::UpdateRoomRequest {
        room_id: update.room,
        update_mask: Some(FieldMask { paths }),
        display_name: update.name.unwrap_or_default(),
        category_id: update.category.unwrap_or_default(),
        user_limit: update.user_limit.unwrap_or_default(),
        bitrate_bps: update.bitrate.unwrap_or_default(),
        region: update.region.unwrap_or_default(),
        status: update.status.unwrap_or_default(),
        labels: update.labels.into_iter().collect(),
        policy,
        permission_overwrites: update.overwrites,
        private,
        force: update.force,
        request_id: update.request_id.unwrap_or_else(new_request_id),
        audit_log_reason: update.reason.unwrap_or_default(),
        ..Default::default()
    };
    if let Some(quality) = update.video_quality {
        request.set_video_quality(quality_of(quality));
    }
    let answer = parlor.rooms().update_room(request).await.map_err(CallError::from)?.into_inner();
    let room = answer.room.unwrap_or_default();
    if terminal.is_json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            room: RoomShape<'a>,
            cursor: &'a str,
            request_id: &'a str,
        }
        let (cursor, request_id) = (answer.cursor.as_str(), answer.request_id.as_str());
        return Ok(terminal.json(&Answer { room: (&room).into(), cursor, request_id })?);
    }
    Ok(terminal.table(&ROOM_HEADER, &[row(&room)])?)
}

/// The policy that was asked for; `None` where none was.
pub(super) fn policy(policy: Policy) -> Option<v1::RoomPolicy> {
    let time = |time: Option<std::time::Duration>| time.and_then(|time| time.try_into().ok());
    let policy = v1::RoomPolicy {
        empty_timeout: time(policy.empty_timeout),
        departure_timeout: time(policy.departure_timeout),
        max_duration: time(policy.max_duration),
    };
    Some(policy).filter(|policy| *policy != v1::RoomPolicy::default())
}

/// The private form of a room; `None` where nobody is named.
pub(super) fn private_room(user_ids: Vec<String>, role_ids: Vec<String>) -> Option<v1::PrivateRoom> {
    (!user_ids.is_empty() || !role_ids.is_empty()).then_some(v1::PrivateRoom { user_ids, role_ids })
}

pub(crate) async fn channels(command: Channels, parlor: &Parlor, terminal: Terminal) -> Result<(), Failure> {
    match command {
        Channels::List { guild } => {
            let channels = listed(guild, parlor).await?;
            if terminal.is_json() {
                #[derive(Serialize)]
                struct Answer<'a> {
                    channels: Vec<ChannelShape<'a>>,
                }
                let channels = channels.iter().map(ChannelShape::from).collect();
                return Ok(terminal.json(&Answer { channels })?);
            }
            let rows = channels.iter().map(|channel| {
                vec![
                    channel.channel_id.clone(),
                    channel.display_name.clone(),
                    channel_kind(channel),
                    channel.category_id.clone(),
                ]
            });
            Ok(terminal.table(&["CHANNEL", "NAME", "KIND", "CATEGORY"], &rows.collect::<Vec<_>>())?)
        }
        Channels::Send { channel, text, guild, notify, request_id } => {
            let request = v1::SendMessageRequest {
                channel_id: channel,
                content: text,
                notify_user_ids: notify,
                request_id: request_id.unwrap_or_else(new_request_id),
                guild_id: guild.unwrap_or_default(),
            };
            let answer = parlor.rooms().send_message(request).await.map_err(CallError::from)?.into_inner();
            if terminal.is_json() {
                #[derive(Serialize)]
                struct Answer<'a> {
                    message: &'a str,
                    channel: &'a str,
                    request_id: &'a str,
                }
                let v1::SendMessageResponse { message_id, channel_id, request_id, .. } = &answer;
                return Ok(terminal.json(&Answer { message: message_id, channel: channel_id, request_id })?);
            }
            Ok(terminal.line(&answer.message_id)?)
        }
    }
}

async fn listed(guild: String, parlor: &Parlor) -> Result<Vec<v1::Channel>, Failure> {
    let mut request = v1::ListChannelsRequest { guild_id: guild, page_size: 1_000, ..Default::default() };
    let mut channels = Vec::new();
    loop {
        let page = parlor.rooms().list_channels(request.clone()).await.map_err(CallError::from)?.into_inner();
        channels.extend(page.channels);
        if page.next_page_token.is_empty() {
            return Ok(channels);
        }
        request.page_token = page.next_page_token;
    }
}
