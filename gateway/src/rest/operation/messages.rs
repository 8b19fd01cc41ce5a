//! Messages (Discord docs, resources/message).

use serde::Deserialize;
use twilight_model::channel::message::AllowedMentions;

use super::{channel_id, user_id};
use crate::{
    id::{ChannelId, GuildId, MessageId, UserId},
    rest::{
        Caller, Rest, RestError,
        outgoing::Outgoing,
        permission::Permission,
        schedule::{Resource, Route, Verb},
    },
};

const CREATE: Route = Route::new(Verb::Post, "/channels/{channel}/messages");
const NEEDS: &[Permission] = &[Permission::ViewChannel, Permission::SendMessages];

/// A message to send.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// 1 to 2,000 characters.
    pub content: String,
    /// Whom it may notify, if the content names them. Nobody else is notified, whatever the content says.
    pub notifies: Vec<UserId>,
}

/// A message that was sent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub struct PostedMessage {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    #[serde(rename = "channel_id")]
    pub channel: ChannelId,
}

impl Rest {
    /// Sends a message. Not safe to repeat. Needs View Channel and Send Messages.
    pub async fn send_message(
        &self,
        guild: GuildId,
        channel: ChannelId,
        message: &NewMessage,
        caller: &Caller,
    ) -> Result<PostedMessage, RestError> {
        self.ask(self.send_message_request(guild, channel, message, caller)?).await
    }

    pub(super) fn send_message_request(
        &self,
        guild: GuildId,
        channel: ChannelId,
        message: &NewMessage,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let mentions = mentions(&message.notifies);
        let request = self.builder.create_message(channel_id(channel)).content(&message.content);
        let request = request.allowed_mentions(Some(&mentions));
        Ok(Outgoing::new(CREATE, Resource::Channel(channel), request, caller)?.within(guild).needing(NEEDS))
    }
}

/// Nobody but these.
pub(super) fn mentions(users: &[UserId]) -> AllowedMentions {
    AllowedMentions { users: users.iter().map(|user| user_id(*user)).collect(), ..AllowedMentions::default() }
}
