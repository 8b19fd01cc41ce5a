//! Who was told to wait, and who did not: the emulator's judgement on its clients.

use std::collections::BTreeMap;

use super::limits::Refusal;
use super::route::Route;
use crate::world::{Timestamp, UserId};

/// What must not be asked before its time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Wait {
    /// Anything, from this address.
    Address,
    /// Anything, by this bot.
    Bot(Option<UserId>),
    /// This route of this resource, by this bot.
    Route(Option<UserId>, &'static str, u64),
}

/// The waits that were told. Hidden and shared limits are not among them: other requests of their route may go on.
#[derive(Debug, Default)]
pub(super) struct Patience {
    told: BTreeMap<Wait, Timestamp>,
}

impl Patience {
    /// Notes what a 429 told.
    pub(super) fn tell(&mut self, refusal: &Refusal, bot: Option<UserId>, route: &Route<'_>, now: Timestamp) {
        let (wait, span) = match refusal {
            Refusal::Banned { retry_after: Some(span) } => (Wait::Address, *span),
            Refusal::Global { retry_after } => (Wait::Bot(bot), *retry_after),
            Refusal::Bucket { retry_after, .. } => (Wait::Route(bot, route.template, route.resource), *retry_after),
            Refusal::Banned { retry_after: None } | Refusal::Hidden { .. } | Refusal::Shared { .. } => return,
        };
        self.told.insert(wait, now + span);
    }

    /// Whether this request comes before its time.
    pub(super) fn is_tried(&self, bot: Option<UserId>, route: &Route<'_>, now: Timestamp) -> bool {
        let waits = [Wait::Address, Wait::Bot(bot), Wait::Route(bot, route.template, route.resource)];
        waits.iter().any(|wait| self.told.get(wait).is_some_and(|until| now < *until))
    }
}
