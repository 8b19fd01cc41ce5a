//! `parlor rooms`, `parlor channels` and `parlor guilds`.

mod batch;
mod change;

use jiff::{
    SignedDuration,
    fmt::friendly::{Spacing, SpanPrinter},
};
use parlor_client::{CallError, Parlor, v1};
use serde::Serialize;

pub(crate) use self::change::channels;
use crate::{
    cli::{Create, Guilds, RoomKind, Rooms, VideoQuality},
    failure::Failure,
    shapes::{GuildShape, RoomShape, kind, state},
    terminal::{Terminal, Tone},
};

const ROOM_HEADER: [&str; 8] = ["ROOM", "GUILD", "NAME", "KIND", "STATE", "PEOPLE", "MADE BY", "ENDS"];

pub(crate) async fn run(command: Rooms, parlor: &Parlor, terminal: Terminal) -> Result<(), Failure> {
    match command {
        Rooms::Create(create) => self::create(*create, parlor, terminal).await,
        Rooms::Update(update) => change::update(*update, parlor, terminal).await,
        Rooms::Batch { what, file, request_id, force, reason } => {
            let common = batch::Common { request_id, force, reason };
            batch::run(what, file.as_deref(), common, parlor, terminal).await
        }
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
        Rooms::List { guild, managed, labels } => {
            let request = v1::ListRoomsRequest {
                guild_id: guild.unwrap_or_default(),
                managed_only: managed,
                labels: labels.into_iter().collect(),
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
        Rooms::End { room, force, reason, request_id } => {
            let request = v1::EndRoomRequest {
                room_id: room,
                force,
                audit_log_reason: reason.unwrap_or_default(),
                request_id: request_id.unwrap_or_else(new_request_id),
            };
            let answer = parlor.end_room(request).await?;
            let room = answer.room.unwrap_or_default();
            if terminal.is_json() {
                #[derive(Serialize)]
                struct Answer<'a> {
                    room: RoomShape<'a>,
                    already_gone: bool,
                    cursor: &'a str,
                    request_id: &'a str,
                }
                return Ok(terminal.json(&Answer {
                    room: (&room).into(),
                    already_gone: answer.already_gone,
                    cursor: &answer.cursor,
                    request_id: &answer.request_id,
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
        region: create.region.unwrap_or_default(),
        status: create.status.unwrap_or_default(),
        private: change::private_room(create.private, create.private_roles),
        permission_overwrites: create.overwrites,
        labels: create.labels.into_iter().collect(),
        policy: change::policy(create.policy),
        invite: create.invite.then(|| v1::InviteOptions {
            max_age: create.invite_max_age.and_then(|time| time.try_into().ok()),
            max_uses: create.invite_max_uses,
            temporary: false,
        }),
        request_id: request_id.clone(),
        audit_log_reason: create.reason.unwrap_or_default(),
        ..Default::default()
    };
    request.set_kind(kind_of(create.kind));
    request.set_video_quality(quality_of(create.video_quality));
    let answer = parlor.rooms().create_room(request).await.map_err(|status| {
        let error = CallError::from(status);
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
    let answer = answer.into_inner();
    let room = answer.room.unwrap_or_default();
    if terminal.is_json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            room: RoomShape<'a>,
            cursor: &'a str,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            invite: Option<&'a str>,
        }
        return Ok(terminal.json(&Answer {
            room: (&room).into(),
            cursor: &answer.cursor,
            request_id: &request_id,
            invite: answer.invite.as_ref().map(|invite| invite.url.as_str()),
        })?);
    }
    terminal.table(&ROOM_HEADER, &[row(&room)])?;
    match answer.invite {
        Some(invite) => Ok(terminal.line(&invite.url)?),
        None => Ok(()),
    }
}

fn kind_of(kind: RoomKind) -> v1::RoomKind {
    match kind {
        RoomKind::Voice => v1::RoomKind::Voice,
        RoomKind::Stage => v1::RoomKind::Stage,
    }
}

fn quality_of(quality: VideoQuality) -> v1::VideoQuality {
    match quality {
        VideoQuality::Auto => v1::VideoQuality::Auto,
        VideoQuality::Full => v1::VideoQuality::Full,
    }
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
        ends(room),
    ]
}

/// When a room ends by itself, as `unjoined 10m, left 1m, after 2h`; `-` where it never does.
fn ends(room: &v1::Room) -> String {
    let policy = room.policy.unwrap_or_default();
    let times =
        [("unjoined", policy.empty_timeout), ("left", policy.departure_timeout), ("after", policy.max_duration)];
    let set = times.into_iter().filter_map(|(word, time)| {
        let time = SignedDuration::try_from(std::time::Duration::try_from(time?).ok()?).ok()?;
        // With spaces the words of two times would run into each other.
        let printer = SpanPrinter::new().spacing(Spacing::None);
        Some(format!("{word} {}", printer.duration_to_string(&time)))
    });
    let set: Vec<String> = set.collect();
    if set.is_empty() { "-".to_owned() } else { set.join(", ") }
}

fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
