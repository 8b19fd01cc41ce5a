//! What to hear of, and from where on.

use std::time::Duration;

use parlor_proto::v1::{self, subscribe_voice_events_request as request};

use crate::Position;

/// What to hear of, and from where on. The default is everything that the token covers, beginning with a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Only these guilds; empty for every guild that the token covers. Up to 1,000.
    pub guilds: Vec<String>,
    /// Only these rooms; empty for all. Up to 1,000.
    pub rooms: Vec<String>,
    /// Only these kinds of event; empty for all. Snapshots are not filtered by kind.
    pub kinds: Vec<v1::VoiceEventKind>,
    /// Where to begin.
    pub start: Start,
    /// The longest silence of the server, 5 s to 60 s; the server's own where it is not set. After three of them the
    /// connection counts as lost.
    pub heartbeat: Option<Duration>,
    /// What happens where a position cannot be continued.
    pub gap: Gap,
}

/// Where a stream begins.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Start {
    /// With a snapshot, then with what comes after it.
    #[default]
    Snapshot,
    /// With what happens from now on, without a snapshot.
    Latest,
    /// After a position that was stored.
    After(Position),
}

/// What happens where a position cannot be continued, because the server no longer keeps what came after it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Gap {
    /// [`Event::Reset`](crate::Event::Reset), then a snapshot, and the stream goes on.
    #[default]
    Reset,
    /// The stream ends with OUT_OF_RANGE `CURSOR_EXPIRED`.
    Fail,
}

impl Watch {
    /// The request that asks for this, from `held` on where a position is held, otherwise from the beginning that `start`
    /// names.
    pub(crate) fn request(&self, held: Option<&Position>) -> v1::SubscribeVoiceEventsRequest {
        let from = match (held, &self.start) {
            (Some(position), _) | (None, Start::After(position)) => Some(position),
            (None, Start::Snapshot | Start::Latest) => None,
        };
        let start = match (from, &self.start) {
            (Some(position), _) => request::Start::Cursor(position.cursor.clone()),
            (None, Start::Latest) => request::Start::StartAt(v1::StartAt::Latest.into()),
            (None, Start::Snapshot | Start::After(_)) => request::Start::StartAt(v1::StartAt::Snapshot.into()),
        };
        let mut asked = v1::SubscribeVoiceEventsRequest {
            guild_ids: self.guilds.clone(),
            channel_ids: self.rooms.clone(),
            kinds: self.kinds.iter().map(|kind| i32::from(*kind)).collect(),
            start: Some(start),
            filter_id: from.and_then(|position| position.filter_id.clone()).unwrap_or_default(),
            ..Default::default()
        };
        // Longer than a protobuf Duration is longer than the server allows: it says so.
        asked.heartbeat = self.heartbeat.and_then(|heartbeat| heartbeat.try_into().ok());
        asked.set_gap_policy(match self.gap {
            Gap::Reset => v1::GapPolicy::Reset,
            Gap::Fail => v1::GapPolicy::Fail,
        });
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_wins_over_where_it_began() {
        let stored = Position { cursor: "stored".into(), filter_id: Some("f".into()), sequence: Some(3) };
        let watch = Watch { start: Start::After(stored.clone()), ..Watch::default() };
        let first = watch.request(None);
        assert_eq!((first.start, first.filter_id), (Some(request::Start::Cursor("stored".into())), "f".into()));
        let held = Position { cursor: "held".into(), ..stored };
        assert_eq!(watch.request(Some(&held)).start, Some(request::Start::Cursor("held".into())));
    }

    #[test]
    fn without_a_position_the_start_is_asked_for() {
        let asked = |start: Start| Watch { start, ..Watch::default() }.request(None).start;
        let at = |at: v1::StartAt| Some(request::Start::StartAt(at.into()));
        assert_eq!(asked(Start::Snapshot), at(v1::StartAt::Snapshot));
        assert_eq!(asked(Start::Latest), at(v1::StartAt::Latest));
    }
}
