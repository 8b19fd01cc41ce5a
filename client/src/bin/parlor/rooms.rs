//! `parlor rooms` and `parlor guilds`.

use parlor_client::{Parlor, v1};
use serde::Serialize;

use crate::{
    cli::{Create, Guilds, RoomKind, Rooms},
    failure::Failure,
    shapes::{GuildShape, RoomShape, kind, state},
    terminal::{Terminal, Tone},
};

const ROOM_HEADER: [&str; 7] = ["ROOM", "GUILD", "NAME", "KIND", "STATE", "PEOPLE", "MADE BY"];

pub(crate) async fn run(command: Rooms, parlor: &Parlor, terminal: Terminal) -> Result<(), Failure> {
    match command {
        Rooms::Create(create) => self::create(create, parlor, terminal).await,
        Rooms::Get { room } => {
            let room = parlor.get_room(room).await?;
            if terminal.is_json() {
                #[derive(Serialize)]
                struct Answer<'a> {
                    room: RoomShape<'a>,
                }
                return Ok(terminal.json(&Answer { room: (&room).into() })?);
            }
            Ok(terminal.table(&ROOM_HEADER, &[row(&room)])?)
        }
        Rooms::List { guild, managed } => {
            let request = v1::ListRoomsRequest {
                guild_id: guild.unwrap_or_default(),
                managed_only: managed,
                page_size: LARGEST_PAGE,
                ..Default::default()
            };
            let rooms = parlor.list_rooms(request).await?;
            if terminal.is_json() {
                #[derive(Serialize)]
                struct Answer<'a> {
                    rooms: Vec<RoomShape<'a>>,
                }
                return Ok(terminal.json(&Answer { rooms: rooms.iter().map(RoomShape::from).collect() })?);
            }
            if rooms.is_empty() {
                terminal.say(Tone::Faint, "no rooms; make one: parlor rooms create NAME --guild ID");
                return Ok(());
            }
            Ok(terminal.table(&ROOM_HEADER, &rooms.iter().map(row).collect::<Vec<_>>())?)
        }
        Rooms::End { room, force, reason } => {
            let request = v1::EndRoomRequest {
                room_id: room,
                force,
                audit_log_reason: reason.unwrap_or_default(),
                request_id: new_request_id(),
            };
            let answer = parlor.end_room(request).await?;
            let room = answer.room.unwrap_or_default();
            if terminal.is_json() {
                #[derive(Serialize)]
                struct Answer<'a> {
                    room: RoomShape<'a>,
                    already_gone: bool,
                    cursor: &'a str,
                }
                let cursor = &answer.cursor;
                return Ok(terminal.json(&Answer {
                    room: (&room).into(),
                    already_gone: answer.already_gone,
                    cursor,
                })?);
            }
            if answer.already_gone {
                terminal.say(Tone::Faint, "it had ended before");
            }
            Ok(terminal.table(&ROOM_HEADER, &[row(&room)])?)
        }
    }
}

pub(crate) async fn guilds(command: Guilds, parlor: &Parlor, terminal: Terminal) -> Result<(), Failure> {
    match command {
        Guilds::List => {
            let guilds = parlor.list_guilds().await?;
            if terminal.is_json() {
                #[derive(Serialize)]
                struct Answer<'a> {
                    guilds: Vec<GuildShape<'a>>,
                }
                return Ok(terminal.json(&Answer { guilds: guilds.iter().map(GuildShape::from).collect() })?);
            }
            if guilds.is_empty() {
                terminal.say(
                    Tone::Faint,
                    "no guilds: `parlor doctor` prints the URL that invites the bot, with --bot-token-file",
                );
                return Ok(());
            }
            let rows = guilds.iter().map(|guild| {
                let available = if guild.available { "yes" } else { "no" };
                vec![
                    guild.guild_id.clone(),
                    guild.display_name.clone(),
                    guild.room_count.to_string(),
                    available.to_owned(),
                ]
            });
            Ok(terminal.table(&["GUILD", "NAME", "ROOMS", "AVAILABLE"], &rows.collect::<Vec<_>>())?)
        }
    }
}

/// Fewest round trips for a list.
const LARGEST_PAGE: i32 = 1_000;

async fn create(create: Create, parlor: &Parlor, terminal: Terminal) -> Result<(), Failure> {
    let request_id = create.request_id.unwrap_or_else(new_request_id);
    let mut request = v1::CreateRoomRequest {
        guild_id: create.guild,
        display_name: create.name,
        category_id: create.category.unwrap_or_default(),
        user_limit: create.user_limit,
        bitrate_bps: create.bitrate,
        request_id: request_id.clone(),
        audit_log_reason: create.reason.unwrap_or_default(),
        ..Default::default()
    };
    request.set_kind(match create.kind {
        RoomKind::Voice => v1::RoomKind::Voice,
        RoomKind::Stage => v1::RoomKind::Stage,
    });
    let (room, position) = parlor.create_room_at(request).await.map_err(|error| {
        // Whether there is a room nobody knows; the same id finds out without making a second one.
        let unknown =
            error.reason.as_deref() == Some("CREATE_OUTCOME_UNKNOWN") || error.code == tonic::Code::DeadlineExceeded;
        let failure = Failure::from(error);
        if unknown {
            failure.next(format!("repeat the command with --request-id {request_id}: it never makes a second room"))
        } else {
            failure
        }
    })?;
    if terminal.is_json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            room: RoomShape<'a>,
            cursor: &'a str,
            request_id: &'a str,
        }
        return Ok(terminal.json(&Answer {
            room: (&room).into(),
            cursor: &position.cursor,
            request_id: &request_id,
        })?);
    }
    Ok(terminal.table(&ROOM_HEADER, &[row(&room)])?)
}

fn row(room: &v1::Room) -> Vec<String> {
    let limit = if room.user_limit == 0 { String::new() } else { format!("/{}", room.user_limit) };
    vec![
        room.room_id.clone(),
        room.guild_id.clone(),
        room.display_name.clone(),
        kind(room),
        state(room),
        format!("{}{limit}", room.participant_count),
        if room.managed { "Parlor" } else { "others" }.to_owned(),
    ]
}

fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
