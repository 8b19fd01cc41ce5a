//! Channels of every kind, and messages into them.

use std::{sync::Arc, time::Instant};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use parlor_gateway::{
    ChannelId, GuildId, RoomId, RoomKind,
    rest::{Caller, Channel, ChannelKind, NewMessage},
};
use parlor_proto::v1;

use super::{Rooms, must_be_served, tenant};
use crate::{
    auth::{Principal, ReadRooms, SendMessage},
    services::{calls::Call, fields::Fields, pages},
    status::{Failure, Reason},
};

/// The longest message (Discord docs, resources/message, "Create Message").
const MAX_CONTENT: usize = 2_000;
/// How many users a message may notify (Discord docs, resources/message, "Allowed Mentions Object").
const MAX_NOTIFIED: usize = 100;

impl Rooms {
    pub(super) async fn channels(
        &self,
        principal: &Principal,
        request: v1::ListChannelsRequest,
        deadline: Instant,
    ) -> Result<v1::ListChannelsResponse, Failure> {
        principal.covered::<ReadRooms>()?;
        let mut fields = Fields::default();
        let guild: Option<GuildId> = fields.id("guild_id", &request.guild_id);
        let size = fields.page_size(request.page_size);
        for (index, kind) in request.kinds.iter().enumerate() {
            if !v1::ChannelKind::try_from(*kind).is_ok_and(|kind| kind != v1::ChannelKind::Unspecified) {
                fields.wrong(&format!("kinds[{index}]"), format!("{kind} is not a ChannelKind to choose by"));
            }
        }
        let question = ("channels", guild, &request.kinds);
        let after = pages::open(&question, &request.page_token).unwrap_or_else(|_| {
            fields.wrong("page_token", "is not from an answer to the same request");
            None
        });
        fields.finish()?;
        let guild = guild.expect("a missing guild is a wrong field");
        let permit = principal.permit::<ReadRooms>(guild)?;
        must_be_served(&self.keeper.hub.snapshot(), guild)?;
        let caller = Caller::new(tenant(principal), deadline);
        let mut channels = self.keeper.discord.channels(&permit, &caller).await?;
        channels.sort_by_key(|channel| channel.id);
        let mut listed = channels
            .iter()
            .filter(|channel| after.is_none_or(|(after, _)| channel.id.get() > after))
            .map(|channel| (channel.id, to_proto(channel, guild)))
            .filter(|(_, channel)| request.kinds.is_empty() || request.kinds.contains(&channel.kind));
        let page: Vec<_> = listed.by_ref().take(size).collect();
        let last = page.last().filter(|_| listed.next().is_some()).map(|(id, _)| (id.get(), 0));
        Ok(v1::ListChannelsResponse {
            next_page_token: last.map(|last| pages::seal(&question, last)).unwrap_or_default(),
            channels: page.into_iter().map(|(_, channel)| channel).collect(),
        })
    }

    pub(super) async fn send(
        &self,
        principal: &Principal,
        request: v1::SendMessageRequest,
        deadline: Instant,
    ) -> Result<v1::SendMessageResponse, Failure> {
        principal.covered::<SendMessage>()?;
        let mut fields = Fields::default();
        let channel: Option<ChannelId> = fields.id("channel_id", &request.channel_id);
        let named: Option<GuildId> = fields.optional_id("guild_id", &request.guild_id);
        let length = request.content.chars().count();
        if request.content.trim().is_empty() {
            fields.wrong("content", "is required and may not be blank");
        } else if length > MAX_CONTENT {
            fields.wrong("content", format!("has {length} characters; Discord takes up to {MAX_CONTENT}"));
        }
        if request.notify_user_ids.len() > MAX_NOTIFIED {
            fields.wrong("notify_user_ids", format!("names more than {MAX_NOTIFIED}"));
        }
        let notifies = request.notify_user_ids.iter().enumerate();
        let notifies = notifies.filter_map(|(index, id)| fields.id(&format!("notify_user_ids[{index}]"), id)).collect();
        let id = fields.request_id(&request.request_id);
        fields.finish()?;
        let channel = channel.expect("a missing channel is a wrong field");

        let snapshot = self.keeper.hub.snapshot();
        let room = snapshot.guild_of(RoomId::new(channel.get())).map(|(guild, _)| guild);
        let Some(guild) = room.or(named) else {
            let wrong =
                ("guild_id".to_owned(), "is required, because the channel is no room that Parlor knows".to_owned());
            return Err(Failure::bad_request([wrong]));
        };
        let permit = principal.permit::<SendMessage>(guild)?;
        must_be_served(&snapshot, guild)?;
        self.keeper.must_be_writable()?;
        let asked = v1::SendMessageRequest { request_id: String::new(), ..request };
        let call = Call::new(&principal.subject, id, "SendMessage", &asked, deadline);
        let caller = Caller::new(tenant(principal), deadline);
        // 22 characters of the 25 that a nonce may have.
        let nonce = Some(BASE64_URL_SAFE_NO_PAD.encode(id.as_bytes()));
        let message = NewMessage { content: asked.content, nonce, notifies };
        let (keeper, is_room) = (Arc::clone(&self.keeper), room == Some(guild));
        let work = move |_, _| async move {
            if !is_room && !keeper.discord.has_channel(&permit, channel, &caller).await? {
                let failure = Failure::new(Reason::ChannelUnknown, "there is no such channel in the guild");
                return Err(failure.with("channel_id", channel.to_string()));
            }
            keeper.rates.change_guild(guild, 1)?;
            let message = keeper.discord.send(&permit, channel, &message, &caller).await?;
            Ok(v1::SendMessageResponse {
                message_id: message.to_string(),
                channel_id: channel.to_string(),
                sent_at: Some(message.created_at().into()),
                request_id: id.to_string(),
            })
        };
        self.journal.once(call, work).await
    }
}

fn to_proto(channel: &Channel, guild: GuildId) -> v1::Channel {
    let kind = match channel.kind {
        ChannelKind::Text => v1::ChannelKind::Text,
        ChannelKind::Room(RoomKind::Voice) => v1::ChannelKind::Voice,
        ChannelKind::Room(RoomKind::Stage) => v1::ChannelKind::Stage,
        ChannelKind::Category => v1::ChannelKind::Category,
        ChannelKind::Other(5) => v1::ChannelKind::Announcement,
        ChannelKind::Other(15) => v1::ChannelKind::Forum,
        ChannelKind::Other(_) => v1::ChannelKind::Unspecified,
    };
    v1::Channel {
        channel_id: channel.id.to_string(),
        guild_id: channel.guild.unwrap_or(guild).to_string(),
        display_name: channel.name.clone(),
        kind: kind.into(),
        category_id: channel.category.map(|category| category.to_string()).unwrap_or_default(),
        position: i32::try_from(channel.position).unwrap_or(i32::MAX),
    }
}
