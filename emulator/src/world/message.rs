//! Messages in text and voice channels.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use super::event::{EventKind, Redacted};
use super::id::{ChannelId, MessageId, UserId, WebhookId};
use super::wire;

/// How long `enforce_nonce` looks back; Discord says "the past few minutes".
const NONCE_AGE: Duration = Duration::from_secs(5 * 60);

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id, which also tells when it was written.
    pub id: MessageId,
    /// Where it stands.
    pub channel_id: ChannelId,
    /// Who wrote it.
    pub author: Author,
    /// The text, up to 2,000 characters.
    pub content: String,
    /// Read aloud.
    pub tts: bool,
    /// Embeds, as they were sent.
    pub embeds: Vec<Value>,
    /// What the author sent along to know it again: a text or a number.
    pub nonce: Option<Value>,
}

/// Who wrote a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Author {
    /// A person or a bot.
    User(UserId),
    /// Whoever held a webhook's token.
    Webhook {
        /// The webhook.
        id: WebhookId,
        /// The name that it wrote under.
        name: String,
        /// The application that made it.
        application: Option<UserId>,
    },
}

/// What [`World::post_message`] writes.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Who writes.
    pub author: Author,
    /// The text, up to 2,000 characters.
    pub content: String,
    /// Read aloud.
    pub tts: bool,
    /// Embeds.
    pub embeds: Vec<Value>,
    /// What the author sends along to know it again.
    pub nonce: Option<Value>,
}

impl NewMessage {
    /// A text of a person or a bot.
    pub fn text(author: UserId, content: &str) -> Self {
        let author = Author::User(author);
        Self { author, content: content.to_owned(), tts: false, embeds: Vec::new(), nonce: None }
    }
}

impl World {
    /// A channel's messages, oldest first.
    pub fn messages(&self, channel: ChannelId) -> &[Message] {
        self.messages.get(&channel).map_or(&[], Vec::as_slice)
    }

    /// The message that an author wrote with this nonce within the last minutes.
    pub(crate) fn message_with_nonce(&self, channel: ChannelId, author: &Author, nonce: &Value) -> Option<MessageId> {
        let mut newest_first = self.messages(channel).iter().rev();
        newest_first
            .find(|message| message.author == *author && message.nonce.as_ref() == Some(nonce))
            .map(|message| message.id)
            .filter(|id| self.now.since(id.created_at()) <= NONCE_AGE)
    }

    /// Writes into a channel. `None` when there is no such channel or author, or it is a category.
    pub fn post_message(&mut self, channel: ChannelId, new: NewMessage) -> Option<MessageId> {
        let id = MessageId::new(self.mint());
        let place = self.channel_mut(channel)?;
        if matches!(place.kind, super::ChannelKind::Category) {
            return None;
        }
        let NewMessage { author, content, tts, embeds, nonce } = new;
        let guild = place.guild_id;
        let message = Message { id, channel_id: channel, author, content, tts, embeds, nonce };
        let mut body = wire::message(self, &message)?;
        self.channel_mut(channel)?.last_message_id = Some(id);
        body["guild_id"] = json!(guild);
        let writer = match &message.author {
            Author::User(user) => Some(*user),
            Author::Webhook { .. } => None,
        };
        let member = writer.and_then(|user| self.guild(guild)?.members.get(&user));
        if let (Some(member), Some(user)) = (member, writer.and_then(|user| self.known_user(user))) {
            let mut partial = wire::member(member, user);
            partial.as_object_mut().map(|fields| fields.remove("user"));
            body["member"] = partial;
        }
        self.messages.entry(channel).or_default().push(message);
        let text: Arc<str> = body.to_string().into();
        body["content"] = json!("");
        body["embeds"] = json!([]);
        let redacted = Redacted { author: writer, body: body.to_string().into() };
        self.tell_guild_text(guild, EventKind::MessageCreate, text, Some(redacted));
        Some(id)
    }
}
