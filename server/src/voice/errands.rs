//! What sessions ask of Discord's REST API by themselves, away from the threads of voice.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parlor_gateway::{
    GuildId, RoomId,
    rest::{Caller, NewMessage, Refusal, Rest, RestError},
};
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::session::{Command, Session};

/// How long an announcement may take.
const ANNOUNCING: Duration = Duration::from_secs(30);

/// How long asking to speak may take: so long an outage of Discord's is waited for.
const ASKING: Duration = Duration::from_secs(30);

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

    /// Asks Discord to let the bot speak on a stage, and raises its hand where Discord does not. The session is told of a
    /// refusal.
    pub(super) fn speak_on_stage(&self, session: &Arc<Session>, stage: RoomId, now: Instant) {
        let (rest, session) = (Arc::clone(&self.rest), Arc::clone(session));
        self.runtime.spawn(async move {
            let caller = session.caller(now + ASKING);
            if !may_speak(&rest, session.guild(), stage, &caller, session.wall()).await {
                session.tell(Command::StayInAudience(stage));
            }
        });
    }
}

/// Whether Discord lets the bot speak.
async fn may_speak(rest: &Rest, guild: GuildId, stage: RoomId, caller: &Caller, wall: SystemTime) -> bool {
    match rest.speak_on_stage(guild, stage, caller).await {
        Ok(()) => return true,
        Err(RestError::Refused { refusal: Refusal::MissingPermissions { .. }, .. }) => {}
        Err(error) => {
            warn!(%error, "cannot ask to speak on a stage");
            return false;
        }
    }
    match rest.ask_to_speak(guild, stage, caller, wall).await {
        Ok(()) => info!("the bot lacks Mute Members on a stage: it has raised its hand"),
        Err(error) => warn!(%error, "the bot lacks Mute Members on a stage, and cannot raise its hand"),
    }
    false
}
