//! A lease that a command holds for as long as it runs.

use std::time::Duration;

use parlor_client::{CallError, Parlor, v1};
use tokio::time::timeout;

use super::{scene::state_in_words, shapes};
use crate::{
    failure::Failure,
    terminal::{Terminal, Tone},
};

/// How long giving back may take; the lease ends by itself otherwise.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// A lease of a session.
pub(super) struct Hold {
    parlor: Parlor,
    pub(super) session: v1::VoiceSession,
    lease: String,
}

impl Hold {
    /// Connects with a lease of one's own.
    pub(super) async fn take(
        parlor: &Parlor,
        request: v1::ConnectRequest,
        terminal: Terminal,
    ) -> Result<Self, Failure> {
        let lease = uuid::Uuid::new_v4().to_string();
        let request = v1::ConnectRequest { lease_id: lease.clone(), ..request };
        let answer = parlor.voice_sessions().connect(request).await.map_err(CallError::from)?.into_inner();
        let session = answer.session.unwrap_or_default();
        if session.state() != v1::VoiceSessionState::Connected {
            let state = state_in_words(&shapes::state(session.state));
            terminal.say(Tone::Warning, &format!("no audio yet, and Parlor goes on trying: {state}"));
        }
        Ok(Self { parlor: parlor.clone(), session, lease })
    }

    /// Its id.
    pub(super) fn lease(&self) -> &String {
        &self.lease
    }

    /// Gives it back.
    pub(super) async fn give_back(self) {
        let request = v1::DisconnectRequest { session_id: self.session.session_id, lease_id: self.lease, force: false };
        let mut client = self.parlor.voice_sessions();
        // A server that does not hear of it ends the lease in a minute.
        let _ = timeout(GIVING_BACK, client.disconnect(request)).await;
    }
}
