//! Messages (Discord docs, resources/message).

use serde::{Deserialize, Serialize};
use twilight_http::request::{Method, RequestBuilder};
use twilight_model::channel::message::AllowedMentions;

use super::user_id;
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
/// The longest message (Discord docs, resources/message, "Create Message").
const MAX_CONTENT: usize = 2_000;
const NEEDS: &[Permission] = &[Permission::ViewChannel, Permission::SendMessages];

/// A message to send.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// 1 to 2,000 characters.
    pub content: String,
    /// Discord drops another message with the same nonce for some minutes, up to 25 characters (Discord docs,
    /// resources/message, "Create Message", `enforce_nonce`). With one, sending is safe to repeat.
    pub nonce: Option<String>,
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
    /// Sends a message. Not safe to repeat without a nonce. Needs View Channel and Send Messages.
    pub async fn send_message(
        &self,
        guild: GuildId,
        channel: ChannelId,
        message: &NewMessage,
        caller: &Caller,
    ) -> Result<PostedMessage, RestError> {
        self.ask(Self::send_message_request(guild, channel, message, caller)?).await
    }

    pub(super) fn send_message_request(
        guild: GuildId,
        channel: ChannelId,
        message: &NewMessage,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        #[derive(Serialize)]
        struct Body<'a> {
            allowed_mentions: AllowedMentions,
            content: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            nonce: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            enforce_nonce: Option<bool>,
        }
        let length = message.content.chars().count();
        if length > MAX_CONTENT {
            return Err(RestError::invalid(format!("the content has {length} characters")));
        }
        let body = Body {
            content: &message.content,
            allowed_mentions: mentions(&message.notifies),
            nonce: message.nonce.as_deref(),
            enforce_nonce: message.nonce.as_ref().map(|_| true),
        };
        // twilight 0.18 knows nonces that are numbers, and nothing of enforcing them.
        let request = RequestBuilder::raw(Method::Post, format!("channels/{channel}/messages")).json(&body);
        let request = request.build().map_err(|wrong| RestError::invalid(wrong.to_string()))?;
        Ok(Outgoing::of(CREATE, Resource::Channel(channel), &request, caller).within(guild).needing(NEEDS))
    }
}

/// Nobody but these.
pub(super) fn mentions(users: &[UserId]) -> AllowedMentions {
    AllowedMentions { users: users.iter().map(|user| user_id(*user)).collect(), ..AllowedMentions::default() }
}
