//! Events as one JSON object a line, in the shape that e2e/clients/README.md describes for every language.

use std::time::Duration;

use parlor_client::{
    Event, Lost,
    v1::{self, SubscribeVoiceEventsResponse as Frame, subscribe_voice_events_response::Body, voice_event::Kind},
};
use serde::Serialize;
use serde_json::Number;

use crate::shapes::{lower, state, unknown};

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub(crate) enum Line {
    Hello {
        epoch: String,
        head: u64,
        oldest: u64,
        filter_id: String,
        upstream: String,
        resumed: bool,
        heartbeat: Number,
    },
    SnapshotBegin {
        at: u64,
    },
    SnapshotItems {
        guilds: Vec<String>,
        rooms: Vec<RoomItem>,
        participants: Vec<PersonItem>,
    },
    SnapshotEnd {
        #[serde(flatten)]
        at: At,
        guilds: i32,
        rooms: i32,
        participants: i32,
        digest: String,
    },
    Event {
        #[serde(flatten)]
        at: At,
        #[serde(flatten)]
        change: Change,
    },
    Discontinuity {
        #[serde(flatten)]
        at: At,
        guild: String,
        reason: String,
        from: String,
        to: String,
    },
    Bookmark {
        #[serde(flatten)]
        at: At,
        upstream: String,
    },
    Reset {
        reason: String,
        oldest: u64,
    },
    Draining {
        #[serde(flatten)]
        at: At,
        reconnect_after: Number,
    },
}

/// A position.
#[derive(Debug, Serialize)]
pub(crate) struct At {
    sequence: u64,
    prev: u64,
    cursor: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct RoomItem {
    guild: String,
    room: String,
    name: String,
    state: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct PersonItem {
    guild: String,
    room: String,
    user: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Change {
    kind: &'static str,
    origin: String,
    guild: String,
    room: String,
    user: String,
    from: String,
}

/// The lines of an event that was made from this frame. A snapshot, which came in parts, is put together as three.
pub(crate) fn lines(event: &Event, frame: Option<&Frame>) -> Vec<Line> {
    let Some(frame) = frame else { return Vec::new() };
    match (event, frame.body.as_ref()) {
        (Event::Snapshot(snapshot), Some(Body::SnapshotEnd(end))) => {
            let begin = Line::SnapshotBegin { at: frame.sequence };
            let items = Line::SnapshotItems {
                guilds: snapshot.guilds.iter().map(|guild| guild.guild_id.clone()).collect(),
                rooms: snapshot.rooms.iter().map(RoomItem::from).collect(),
                participants: snapshot.participants.iter().map(PersonItem::from).collect(),
            };
            let end = Line::SnapshotEnd {
                at: at(frame),
                guilds: end.guild_count,
                rooms: end.room_count,
                participants: end.participant_count,
                digest: end.digest.clone(),
            };
            vec![begin, items, end]
        }
        // A frame that did not fit is asked for again: it is not to be acted on.
        (Event::Disconnected { why, .. }, _) if !matches!(why, Lost::Draining) => Vec::new(),
        (_, Some(body)) => line(body, frame).into_iter().collect(),
        (_, None) => Vec::new(),
    }
}

fn line(body: &Body, frame: &Frame) -> Option<Line> {
    Some(match body {
        Body::Hello(hello) => Line::Hello {
            epoch: hello.epoch.clone(),
            head: hello.head_sequence,
            oldest: hello.oldest_sequence,
            filter_id: hello.filter_id.clone(),
            upstream: upstream(hello.upstream_state),
            resumed: hello.resumed,
            heartbeat: seconds(hello.heartbeat.and_then(|beat| beat.try_into().ok())),
        },
        Body::Event(event) => Line::Event { at: at(frame), change: event.into() },
        Body::Discontinuity(gap) => Line::Discontinuity {
            at: at(frame),
            guild: gap.guild_id.clone(),
            reason: named::<v1::discontinuity::Reason>(gap.reason, |reason| lower(reason.as_str_name(), "REASON_")),
            from: gap.from.as_ref().map(ToString::to_string).unwrap_or_default(),
            to: gap.to.as_ref().map(ToString::to_string).unwrap_or_default(),
        },
        Body::Bookmark(bookmark) => Line::Bookmark { at: at(frame), upstream: upstream(bookmark.upstream_state) },
        Body::Reset(reset) => Line::Reset {
            reason: named::<v1::reset::Reason>(reset.reason, |reason| lower(reason.as_str_name(), "REASON_")),
            oldest: reset.oldest_sequence,
        },
        Body::Draining(draining) => Line::Draining {
            at: at(frame),
            reconnect_after: seconds(draining.reconnect_after.and_then(|after| after.try_into().ok())),
        },
        Body::SnapshotBegin(_) | Body::SnapshotItems(_) | Body::SnapshotEnd(_) => return None,
    })
}

impl From<&v1::Room> for RoomItem {
    fn from(room: &v1::Room) -> Self {
        Self {
            guild: room.guild_id.clone(),
            room: room.room_id.clone(),
            name: room.display_name.clone(),
            state: state(room),
        }
    }
}

impl From<&v1::Participant> for PersonItem {
    fn from(person: &v1::Participant) -> Self {
        Self { guild: person.guild_id.clone(), room: person.room_id.clone(), user: person.user_id.clone() }
    }
}

impl From<&v1::VoiceEvent> for Change {
    fn from(event: &v1::VoiceEvent) -> Self {
        let of_room = |room: &Option<v1::Room>| {
            let room = room.as_ref().map(|room| room.room_id.clone());
            (room.unwrap_or_default(), String::new(), String::new())
        };
        let of_person = |person: &Option<v1::Participant>, from: &str| {
            let person = person.as_ref().map(|person| (person.room_id.clone(), person.user_id.clone()));
            let (room, user) = person.unwrap_or_default();
            (room, user, from.to_owned())
        };
        let (kind, (room, user, from)) = match &event.kind {
            Some(Kind::RoomCreated(change)) => ("room_created", of_room(&change.room)),
            Some(Kind::RoomUpdated(change)) => ("room_updated", of_room(&change.room)),
            Some(Kind::RoomEnded(change)) => ("room_ended", of_room(&change.room)),
            Some(Kind::ParticipantJoined(change)) => ("participant_joined", of_person(&change.participant, "")),
            Some(Kind::ParticipantLeft(change)) => ("participant_left", of_person(&change.participant, "")),
            Some(Kind::ParticipantMoved(change)) => {
                ("participant_moved", of_person(&change.participant, &change.from_room_id))
            }
            Some(Kind::ParticipantUpdated(change)) => ("participant_updated", of_person(&change.participant, "")),
            Some(Kind::GuildUpdated(_)) => ("guild_updated", Default::default()),
            None => ("unknown", Default::default()),
        };
        let origin = named::<v1::Origin>(event.origin, |origin| lower(origin.as_str_name(), "ORIGIN_"));
        Self { kind, origin, guild: event.guild_id.clone(), room, user, from }
    }
}

fn at(frame: &Frame) -> At {
    At { sequence: frame.sequence, prev: frame.prev_sequence, cursor: frame.cursor.clone() }
}

fn upstream(state: i32) -> String {
    named::<v1::UpstreamState>(state, |state| lower(state.as_str_name(), "UPSTREAM_STATE_"))
}

fn named<E: TryFrom<i32>>(number: i32, name: impl Fn(E) -> String) -> String {
    E::try_from(number).map_or_else(|_| unknown(), name)
}

/// Whole seconds as an integer, others as a fraction.
fn seconds(duration: Option<Duration>) -> Number {
    let duration = duration.unwrap_or_default();
    if duration.subsec_nanos() == 0 {
        return duration.as_secs().into();
    }
    Number::from_f64(duration.as_secs_f64()).unwrap_or_else(|| 0.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(body: Body, event: &Event) -> String {
        let frame = Frame { cursor: "c8".into(), sequence: 8, prev_sequence: 7, body: Some(body) };
        let lines = lines(event, Some(&frame));
        lines.iter().map(|line| serde_json::to_string(line).expect("JSON")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_move_has_all_its_keys_in_order() {
        let person = v1::Participant { user_id: "ann".into(), room_id: "games".into(), ..Default::default() };
        let moved = v1::ParticipantMoved { participant: Some(person), from_room_id: "lobby".into() };
        let event = v1::VoiceEvent {
            kind: Some(Kind::ParticipantMoved(moved)),
            guild_id: "g".into(),
            origin: v1::Origin::Gateway.into(),
            ..Default::default()
        };
        let line = printed(Body::Event(event.clone()), &Event::Changed(event));
        assert_eq!(
            line,
            r#"{"frame":"event","sequence":8,"prev":7,"cursor":"c8","kind":"participant_moved","origin":"gateway","guild":"g","room":"games","user":"ann","from":"lobby"}"#
        );
    }

    #[test]
    fn draining_is_told_though_the_connection_ends_with_it() {
        let reconnect_after = Duration::from_millis(1_500).try_into().ok();
        let body = Body::Draining(v1::Draining { reconnect_after });
        let gone = Event::Disconnected { why: Lost::Draining, retry_in: Duration::ZERO };
        assert_eq!(
            printed(body.clone(), &gone),
            r#"{"frame":"draining","sequence":8,"prev":7,"cursor":"c8","reconnect_after":1.5}"#
        );
        let broken = Event::Disconnected { why: Lost::Ended, retry_in: Duration::ZERO };
        assert_eq!(printed(body, &broken), "");
    }

    #[test]
    fn what_a_newer_server_says_is_unknown() {
        let bookmark = v1::Bookmark { upstream_state: 99, ..Default::default() };
        let told = Event::Bookmark { upstream: v1::UpstreamState::Unspecified };
        let line = printed(Body::Bookmark(bookmark), &told);
        assert_eq!(line, r#"{"frame":"bookmark","sequence":8,"prev":7,"cursor":"c8","upstream":"unknown"}"#);
    }
}
