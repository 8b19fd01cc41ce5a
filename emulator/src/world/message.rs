//! Messages in text and voice channels.

use std::sync::Arc;

use serde_json::{Value, json};

use super::World;
use super::event::{EventKind, Redacted};
use super::id::{ChannelId, MessageId, UserId};
use super::wire;

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id, which also tells when it was written.
    pub id: MessageId,
    /// Where it stands.
    pub channel_id: ChannelId,
    /// Who wrote it.
    pub author: UserId,
    /// The text, up to 2,000 characters.
    pub content: String,
    /// Read aloud.
    pub tts: bool,
    /// Embeds, as they were sent.
    pub embeds: Vec<Value>,
}

impl World {
    /// A channel's messages, oldest first.
    pub fn messages(&self, channel: ChannelId) -> &[Message] {
        self.messages.get(&channel).map_or(&[], Vec::as_slice)
    }

    /// `author` writes into `channel`. `None` when there is no such channel or it is a category.
    pub fn post_message(
        &mut self,
        channel: ChannelId,
        author: UserId,
        content: &str,
        tts: bool,
        embeds: Vec<Value>,
    ) -> Option<MessageId> {
        let id = MessageId::new(self.mint());
        let writer = self.known_user(author)?.clone();
        let place = self.channel_mut(channel)?;
        if matches!(place.kind, super::ChannelKind::Category) {
            return None;
        }
        place.last_message_id = Some(id);
        let guild = place.guild_id;
        let message = Message { id, channel_id: channel, author, content: content.to_owned(), tts, embeds };
        let mut body = wire::message(&message, &writer);
        body["guild_id"] = json!(guild);
        if let Some(member) = self.guild(guild).and_then(|guild| guild.members.get(&author)) {
            let mut partial = wire::member(member, &writer);
            partial.as_object_mut().map(|fields| fields.remove("user"));
            body["member"] = partial;
        }
        self.messages.entry(channel).or_default().push(message);
        let text: Arc<str> = body.to_string().into();
        body["content"] = json!("");
        body["embeds"] = json!([]);
        let redacted = Redacted { author, body: body.to_string().into() };
        self.tell_guild_text(guild, EventKind::MessageCreate, text, Some(redacted));
        Some(id)
    }
}
