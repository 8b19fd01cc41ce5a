//! One gateway session: its numbered dispatches and the buffer from which a RESUME is served.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::ConnectionId;
use super::intents::Intents;
use crate::config::GatewayLimits;
use crate::world::{Audience, Dispatch, EventKind, Timestamp, UserId};

/// A session from IDENTIFY to its end, over any number of connections.
#[derive(Debug)]
pub(crate) struct Session {
    /// Opaque; RESUME repeats it.
    pub id: String,
    /// The bot that identified.
    pub bot: UserId,
    /// What it wants to hear.
    pub intents: Intents,
    /// `(id, count)`.
    pub shard: (u32, u32),
    /// Where it is heard now.
    pub link: Link,
    /// Number of the newest dispatch.
    pub seq: u64,
    /// Whether a RESUME may succeed.
    pub fate: Fate,
    replay: VecDeque<Sent>,
}

/// Whether a connection carries the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    /// This one does.
    Attached(ConnectionId),
    /// None does since then; dispatches go into the replay buffer alone.
    Detached(Timestamp),
}

/// What happens at the next RESUME.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It succeeds if the buffer reaches back far enough.
    Resumable,
    /// A fault decided that it fails.
    Doomed,
}

#[derive(Debug)]
struct Sent {
    seq: u64,
    at: Timestamp,
    frame: Arc<str>,
}

/// A RESUME's sequence number cannot be served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReplayError {
    /// The client claims to have seen what was never sent.
    Ahead,
    /// What it misses is not in the buffer any more.
    Lost,
}

impl Session {
    pub(crate) fn new(id: String, bot: UserId, intents: Intents, shard: (u32, u32), link: Link) -> Self {
        Self { id, bot, intents, shard, link, seq: 0, fate: Fate::Resumable, replay: VecDeque::new() }
    }

    /// Whether a dispatch concerns this session.
    pub(crate) fn hears(&self, dispatch: &Dispatch) -> bool {
        match &dispatch.audience {
            Audience::Session(id) => *id == self.id,
            Audience::Guild { guild, bots } => {
                bots.contains(&self.bot)
                    && guild.shard(self.shard.1) == self.shard.0
                    && self.intents.contains(dispatch.kind.intent())
            }
        }
    }

    /// The dispatch's body as this session may see it.
    pub(crate) fn view<'d>(&self, dispatch: &'d Dispatch) -> &'d str {
        match &dispatch.redacted {
            Some(redacted) if redacted.author != Some(self.bot) && !self.intents.contains(Intents::MESSAGE_CONTENT) => {
                &redacted.body
            }
            _ => &dispatch.body,
        }
    }

    /// Numbers a dispatch, keeps it for replay and returns its frame.
    pub(crate) fn record(&mut self, kind: EventKind, body: &str, limits: &GatewayLimits, now: Timestamp) -> Arc<str> {
        self.seq += 1;
        let frame: Arc<str> = format!(r#"{{"t":"{}","s":{},"op":0,"d":{body}}}"#, kind.name(), self.seq).into();
        self.replay.push_back(Sent { seq: self.seq, at: now, frame: frame.clone() });
        while self.replay.len() > limits.replay_events {
            self.replay.pop_front();
        }
        self.forget_old(limits.replay_age, now);
        frame
    }

    /// The frames that follow `seq`, in order.
    pub(crate) fn replay_after(
        &mut self,
        seq: u64,
        limits: &GatewayLimits,
        now: Timestamp,
    ) -> Result<Vec<Arc<str>>, ReplayError> {
        if seq > self.seq {
            return Err(ReplayError::Ahead);
        }
        self.forget_old(limits.replay_age, now);
        let missed: Vec<Arc<str>> =
            self.replay.iter().filter(|sent| sent.seq > seq).map(|sent| sent.frame.clone()).collect();
        if missed.len() as u64 == self.seq - seq { Ok(missed) } else { Err(ReplayError::Lost) }
    }

    fn forget_old(&mut self, age: Duration, now: Timestamp) {
        while self.replay.front().is_some_and(|sent| now.since(sent.at) > age) {
            self.replay.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix_millis(1_700_000_000_000);

    fn session_with(dispatches: usize, limits: &GatewayLimits) -> Session {
        let mut session = Session::new("s".into(), UserId::new(1), Intents::GUILDS, (0, 1), Link::Detached(START));
        for _ in 0..dispatches {
            session.record(EventKind::ChannelCreate, "{}", limits, START);
        }
        session
    }

    #[test]
    fn replay_holds_exactly_its_limit() {
        let limits = GatewayLimits { replay_events: 1_000, ..GatewayLimits::default() };
        let mut session = session_with(1_001, &limits);
        assert_eq!(session.replay_after(0, &limits, START), Err(ReplayError::Lost));
        let all = session.replay_after(1, &limits, START).unwrap();
        assert_eq!(all.len(), 1_000);
        assert!(all[0].contains(r#""s":2,"#));
        assert_eq!(session.replay_after(1_001, &limits, START), Ok(vec![]));
        assert_eq!(session.replay_after(1_002, &limits, START), Err(ReplayError::Ahead));
    }

    #[test]
    fn replay_forgets_after_its_age() {
        let limits = GatewayLimits::default();
        let mut session = session_with(2, &limits);
        let edge = START + limits.replay_age;
        assert_eq!(session.replay_after(0, &limits, edge).map(|frames| frames.len()), Ok(2));
        let beyond = edge + Duration::from_millis(1);
        assert_eq!(session.replay_after(0, &limits, beyond), Err(ReplayError::Lost));
        assert_eq!(session.replay_after(2, &limits, beyond), Ok(vec![]), "who missed nothing still resumes");
    }
}
