//! What `--output json` prints of rooms and guilds. e2e/clients/README.md describes the shapes; other languages print the
//! same.

use parlor_client::v1;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct RoomShape<'a> {
    room: &'a str,
    guild: &'a str,
    name: &'a str,
    kind: String,
    state: String,
    managed: bool,
    category: &'a str,
    user_limit: i32,
    bitrate_bps: i32,
    participants: i32,
}

impl<'a> From<&'a v1::Room> for RoomShape<'a> {
    fn from(room: &'a v1::Room) -> Self {
        Self {
            room: &room.room_id,
            guild: &room.guild_id,
            name: &room.display_name,
            kind: kind(room),
            state: state(room),
            managed: room.managed,
            category: &room.category_id,
            user_limit: room.user_limit,
            bitrate_bps: room.bitrate_bps,
            participants: room.participant_count,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct GuildShape<'a> {
    guild: &'a str,
    name: &'a str,
    available: bool,
    rooms: i32,
}

impl<'a> From<&'a v1::Guild> for GuildShape<'a> {
    fn from(guild: &'a v1::Guild) -> Self {
        Self { guild: &guild.guild_id, name: &guild.display_name, available: guild.available, rooms: guild.room_count }
    }
}

/// The kind of a room, as `voice`.
pub(crate) fn kind(room: &v1::Room) -> String {
    v1::RoomKind::try_from(room.kind).map_or_else(|_| unknown(), |kind| lower(kind.as_str_name(), "ROOM_KIND_"))
}

/// The state of a room, as `active`.
pub(crate) fn state(room: &v1::Room) -> String {
    v1::room::State::try_from(room.state).map_or_else(|_| unknown(), |state| lower(state.as_str_name(), "STATE_"))
}

/// The name of an enum's value without its prefix, in lower case.
pub(crate) fn lower(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// What a newer server says and this program was not built for.
pub(crate) fn unknown() -> String {
    "unknown".to_owned()
}
