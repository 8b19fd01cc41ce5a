//! What is known of webhooks: of which guild they are, their tokens, and which ones are gone for good.

use std::collections::{BTreeMap, VecDeque};

use parlor_gateway::{ChannelId, GuildId, WebhookId};
use secrecy::SecretString;

/// How much of each sort is remembered; the oldest goes first. Whatever is forgotten is asked for again.
const MOST: usize = 10_000;

/// What is known of one webhook.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// It was there.
    There {
        /// Where; a webhook never changes its guild.
        guild: GuildId,
        /// With which it is executed, if it can be.
        token: Option<SecretString>,
    },
    /// Discord does not know it, and never will again (Discord docs, topics/rate-limits, "Invalid Request Limit").
    Gone {
        /// Where it was, if it was known before.
        guild: Option<GuildId>,
    },
}

/// Keeps what is known, and tells nobody the tokens.
#[derive(Debug, Default)]
pub(super) struct Book {
    webhooks: Bounded<WebhookId, Known>,
    channels: Bounded<ChannelId, GuildId>,
}

impl Book {
    /// What is known of a webhook; `None` if Discord has to be asked.
    pub(super) fn webhook(&self, webhook: WebhookId) -> Option<&Known> {
        self.webhooks.entries.get(&webhook)
    }

    /// Discord has shown the webhook.
    pub(super) fn found(&mut self, webhook: WebhookId, guild: GuildId, token: Option<SecretString>) {
        // An answer that was on its way while the webhook was deleted does not bring it back.
        if !matches!(self.webhook(webhook), Some(Known::Gone { .. })) {
            self.webhooks.put(webhook, Known::There { guild, token });
        }
    }

    /// Discord does not know the webhook, or has just deleted it.
    pub(super) fn gone(&mut self, webhook: WebhookId) {
        let guild = match self.webhook(webhook) {
            Some(Known::There { guild, .. }) => Some(*guild),
            Some(Known::Gone { guild }) => *guild,
            None => None,
        };
        self.webhooks.put(webhook, Known::Gone { guild });
    }

    /// The guild of a channel; `None` if Discord has to be asked.
    pub(super) fn guild_of(&self, channel: ChannelId) -> Option<GuildId> {
        self.channels.entries.get(&channel).copied()
    }

    /// Discord has said of which guild a channel is, which never changes.
    pub(super) fn place(&mut self, channel: ChannelId, guild: GuildId) {
        self.channels.put(channel, guild);
    }
}

/// A map that forgets its oldest entries.
#[derive(Debug)]
struct Bounded<K, V> {
    entries: BTreeMap<K, V>,
    /// The keys, oldest first.
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Ord, V> Bounded<K, V> {
    fn put(&mut self, key: K, value: V) {
        if self.entries.insert(key, value).is_some() {
            return;
        }
        self.order.push_back(key);
        while self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUILD: GuildId = GuildId::new(100_000_000_000_000_001);

    #[test]
    fn what_is_gone_stays_gone_and_its_guild_is_remembered() {
        let mut book = Book::default();
        let webhook = WebhookId::new(7);
        assert!(book.webhook(webhook).is_none());
        book.found(webhook, GUILD, Some("secret".to_owned().into()));
        assert!(!format!("{book:?}").contains("secret"));
        book.gone(webhook);
        book.found(webhook, GUILD, None);
        assert!(matches!(book.webhook(webhook), Some(Known::Gone { guild: Some(GUILD) })));
        book.gone(WebhookId::new(8));
        assert!(matches!(book.webhook(WebhookId::new(8)), Some(Known::Gone { guild: None })));
    }

    #[test]
    fn memory_is_bounded() {
        let mut book = Book::default();
        for id in 1..=(MOST as u64 + 5) {
            book.found(WebhookId::new(id), GUILD, None);
            book.gone(WebhookId::new(id));
        }
        assert_eq!((book.webhooks.entries.len(), book.webhooks.order.len()), (MOST, MOST));
        assert!(book.webhook(WebhookId::new(5)).is_none() && book.webhook(WebhookId::new(6)).is_some());
    }
}
