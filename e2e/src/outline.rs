//! Frames as programs in other languages print them (clients/README.md), read back into the contract's shapes.

use parlor_client::v1::{self, subscribe_voice_events_response::Body, voice_event::Kind};
use serde_json::Value;

use crate::validator::Frame;

/// The frame that a line stands for; `None` where it is no frame.
pub(crate) fn frame(line: &Value) -> Option<Frame> {
    let body = body(line, line["frame"].as_str()?)?;
    let (sequence, prev_sequence) = (number(line, "sequence"), number(line, "prev"));
    Some(Frame { cursor: text(line, "cursor"), sequence, prev_sequence, body: Some(body) })
}

fn body(line: &Value, name: &str) -> Option<Body> {
    Some(match name {
        "hello" => Body::Hello(v1::Hello {
            epoch: text(line, "epoch"),
            head_sequence: number(line, "head"),
            oldest_sequence: number(line, "oldest"),
            filter_id: text(line, "filter_id"),
            resumed: line["resumed"].as_bool().unwrap_or_default(),
            ..v1::Hello::default()
        }),
        "snapshot_begin" => Body::SnapshotBegin(v1::SnapshotBegin { at_sequence: number(line, "at") }),
        "snapshot_items" => Body::SnapshotItems(items(line)),
        "snapshot_end" => Body::SnapshotEnd(v1::SnapshotEnd {
            guild_count: count(line, "guilds"),
            room_count: count(line, "rooms"),
            participant_count: count(line, "participants"),
            digest: text(line, "digest"),
        }),
        "event" => Body::Event(v1::VoiceEvent {
            guild_id: text(line, "guild"),
            kind: kind(line, line["kind"].as_str().unwrap_or_default()),
            ..v1::VoiceEvent::default()
        }),
        "discontinuity" => {
            let reason = v1::discontinuity::Reason::from_str_name(&enum_name(line)).unwrap_or_default();
            let guild_id = text(line, "guild");
            Body::Discontinuity(v1::Discontinuity { guild_id, reason: reason.into(), ..v1::Discontinuity::default() })
        }
        "bookmark" => Body::Bookmark(v1::Bookmark::default()),
        "reset" => {
            let reason = v1::reset::Reason::from_str_name(&enum_name(line)).unwrap_or_default();
            Body::Reset(v1::Reset { reason: reason.into(), oldest_sequence: number(line, "oldest") })
        }
        "draining" => Body::Draining(v1::Draining::default()),
        _ => return None,
    })
}

fn items(line: &Value) -> v1::SnapshotItems {
    let list = |key: &str| line[key].as_array().cloned().unwrap_or_default();
    let guild = |id: Value| v1::Guild { guild_id: id.as_str().unwrap_or_default().to_owned(), ..v1::Guild::default() };
    let room = |each: Value| {
        let state = format!("STATE_{}", text(&each, "state").to_uppercase());
        v1::Room {
            room_id: text(&each, "room"),
            guild_id: text(&each, "guild"),
            state: v1::room::State::from_str_name(&state).unwrap_or_default().into(),
            ..v1::Room::default()
        }
    };
    v1::SnapshotItems {
        guilds: list("guilds").into_iter().map(guild).collect(),
        rooms: list("rooms").into_iter().map(room).collect(),
        participants: list("participants").iter().filter_map(participant).collect(),
    }
}

fn participant(line: &Value) -> Option<v1::Participant> {
    let (guild_id, room_id, user_id) = (text(line, "guild"), text(line, "room"), text(line, "user"));
    Some(v1::Participant { guild_id, room_id, user_id, ..v1::Participant::default() })
}

fn kind(line: &Value, name: &str) -> Option<Kind> {
    let room = Some(v1::Room { room_id: text(line, "room"), guild_id: text(line, "guild"), ..v1::Room::default() });
    let participant = participant(line);
    Some(match name {
        "room_created" => Kind::RoomCreated(v1::RoomCreated { room }),
        "room_updated" => Kind::RoomUpdated(v1::RoomUpdated { room }),
        "room_ended" => Kind::RoomEnded(v1::RoomEnded { room, reason: 0 }),
        "participant_joined" => Kind::ParticipantJoined(v1::ParticipantJoined { participant }),
        "participant_left" => Kind::ParticipantLeft(v1::ParticipantLeft { participant }),
        "participant_updated" => Kind::ParticipantUpdated(v1::ParticipantUpdated { participant }),
        "participant_moved" => {
            Kind::ParticipantMoved(v1::ParticipantMoved { participant, from_room_id: text(line, "from") })
        }
        "guild_updated" => {
            let guild = Some(v1::Guild { guild_id: text(line, "guild"), ..v1::Guild::default() });
            Kind::GuildUpdated(v1::GuildUpdated { guild, left: false })
        }
        _ => return None,
    })
}

fn text(line: &Value, key: &str) -> String {
    line[key].as_str().unwrap_or_default().to_owned()
}

fn number(line: &Value, key: &str) -> u64 {
    line[key].as_u64().unwrap_or_default()
}

fn count(line: &Value, key: &str) -> i32 {
    line[key].as_i64().and_then(|count| i32::try_from(count).ok()).unwrap_or(-1)
}

fn enum_name(line: &Value) -> String {
    format!("REASON_{}", text(line, "reason").to_uppercase())
}
