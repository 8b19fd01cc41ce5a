//! What sessions ask of Discord's REST API by themselves, away from the threads of voice.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_gateway::rest::{NewMessage, Rest};
use tokio::runtime::Handle;
use tracing::warn;

use super::session::Session;

/// How long an announcement may take.
const ANNOUNCING: Duration = Duration::from_secs(30);

/// Runs them.
pub(super) struct Errands {
    rest: Arc<Rest>,
    /// Of the calls: no thread of voice waits for HTTP.
    runtime: Handle,
    announcement: String,
}

impl Errands {
    /// Over this REST client, on the runtime that this is called in. `announcement` is what a room's text is told.
    pub(super) fn new(rest: Arc<Rest>, announcement: String) -> Self {
        Self { rest, runtime: Handle::current(), announcement }
    }

    /// Tells the room's text of those who listen, if anybody does and that is due.
    pub(super) fn announce_where_heard(&self, session: &Arc<Session>, now: Instant) {
        if session.shared().listeners.len() > 0 {
            self.announce(session, now);
        }
    }

    /// Tells the room's text that somebody listens, or is about to, if that is due.
    pub(super) fn announce(&self, session: &Arc<Session>, now: Instant) {
        let Some(room) = session.announces_now(now) else { return };
        let (rest, session) = (Arc::clone(&self.rest), Arc::clone(session));
        let message = NewMessage { content: self.announcement.clone(), nonce: None, notifies: Vec::new() };
        self.runtime.spawn(async move {
            let caller = session.caller(now + ANNOUNCING);
            if let Err(error) = rest.send_message(session.guild(), room.into(), &message, &caller).await {
                warn!(%error, "the room could not be told that somebody listens");
                session.announced_nothing(room, now);
            }
        });
    }
}
