//! `parlor participants`.

use parlor_client::{Parlor, v1};
use serde::Serialize;

use crate::{
    cli::{Change, Participants},
    failure::Failure,
    shapes::ParticipantShape,
    terminal::{Terminal, Tone},
};

const HEADER: [&str; 5] = ["USER", "NAME", "ROOM", "GUILD", "STATE"];

/// Fewest round trips for a list.
const LARGEST_PAGE: i32 = 1_000;

pub(crate) async fn run(command: Participants, parlor: &Parlor, terminal: Terminal) -> Result<(), Failure> {
    match command {
        Participants::List { guild, room } => {
            let request = v1::ListParticipantsRequest {
                guild_id: guild.unwrap_or_default(),
                room_id: room.unwrap_or_default(),
                page_size: LARGEST_PAGE,
                page_token: String::new(),
            };
            list(&parlor.list_participants(request).await?, terminal)
        }
        Participants::Move { user, room, ignore_user_limit, change } => {
            let Change { guild, request_id, reason } = change;
            let request = v1::MoveParticipantRequest {
                guild_id: guild,
                user_id: user,
                to_room_id: room,
                ignore_user_limit,
                request_id: request_id.unwrap_or_else(new_request_id),
                audit_log_reason: reason.unwrap_or_default(),
            };
            let answer = parlor.move_participant(request).await?;
            Outcome::of(answer.participant.as_ref(), answer.confirmed, &answer.cursor, &answer.request_id)
                .show(terminal)
        }
        Participants::Disconnect { user, change } => {
            let Change { guild, request_id, reason } = change;
            let request = v1::DisconnectParticipantRequest {
                guild_id: guild,
                user_id: user,
                request_id: request_id.unwrap_or_else(new_request_id),
                audit_log_reason: reason.unwrap_or_default(),
            };
            let answer = parlor.disconnect_participant(request).await?;
            let already_gone = Some(answer.already_gone);
            let outcome = Outcome::of(None, answer.confirmed, &answer.cursor, &answer.request_id);
            Outcome { already_gone, ..outcome }.show(terminal)
        }
        Participants::Mute { user, off, change } => {
            let Change { guild, request_id, reason } = change;
            let request = v1::SetParticipantMuteRequest {
                guild_id: guild,
                user_id: user,
                mute: !off,
                request_id: request_id.unwrap_or_else(new_request_id),
                audit_log_reason: reason.unwrap_or_default(),
            };
            let answer = parlor.set_participant_mute(request).await?;
            Outcome::of(answer.participant.as_ref(), answer.confirmed, &answer.cursor, &answer.request_id)
                .show(terminal)
        }
        Participants::Deafen { user, off, change } => {
            let Change { guild, request_id, reason } = change;
            let request = v1::SetParticipantDeafenRequest {
                guild_id: guild,
                user_id: user,
                deaf: !off,
                request_id: request_id.unwrap_or_else(new_request_id),
                audit_log_reason: reason.unwrap_or_default(),
            };
            let answer = parlor.set_participant_deafen(request).await?;
            Outcome::of(answer.participant.as_ref(), answer.confirmed, &answer.cursor, &answer.request_id)
                .show(terminal)
        }
    }
}

fn list(participants: &[v1::Participant], terminal: Terminal) -> Result<(), Failure> {
    if terminal.is_json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            participants: Vec<ParticipantShape<'a>>,
        }
        let participants = participants.iter().map(ParticipantShape::from).collect();
        return Ok(terminal.json(&Answer { participants })?);
    }
    if participants.is_empty() {
        terminal.say(Tone::Faint, "nobody is in a room");
        return Ok(());
    }
    Ok(terminal.table(&HEADER, &participants.iter().map(row).collect::<Vec<_>>())?)
}

/// What became of somebody.
#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    participant: Option<ParticipantShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    already_gone: Option<bool>,
    confirmed: bool,
    cursor: &'a str,
    request_id: &'a str,
    #[serde(skip)]
    row: Option<Vec<String>>,
}

impl<'a> Outcome<'a> {
    fn of(participant: Option<&'a v1::Participant>, confirmed: bool, cursor: &'a str, request_id: &'a str) -> Self {
        let (row, participant) = (participant.map(row), participant.map(ParticipantShape::from));
        Self { participant, already_gone: None, confirmed, cursor, request_id, row }
    }

    fn show(self, terminal: Terminal) -> Result<(), Failure> {
        if terminal.is_json() {
            return Ok(terminal.json(&self)?);
        }
        if self.already_gone == Some(true) {
            terminal.say(Tone::Faint, "they were in no room before");
        } else if !self.confirmed {
            terminal
                .say(Tone::Warning, "Discord has accepted it and not told of it yet: `parlor events watch` shows it");
        }
        match self.row {
            Some(row) => Ok(terminal.table(&HEADER, &[row])?),
            None => Ok(()),
        }
    }
}

fn row(participant: &v1::Participant) -> Vec<String> {
    let flags = [
        (participant.mute, "muted"),
        (participant.deaf, "deafened"),
        (participant.self_mute, "self-muted"),
        (participant.self_deaf, "self-deafened"),
        (participant.camera, "camera"),
        (participant.stream, "streaming"),
        (participant.suppress, "audience"),
        (participant.is_bot, "bot"),
    ];
    let state: Vec<&str> = flags.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    vec![
        participant.user_id.clone(),
        participant.display_name.clone(),
        participant.room_id.clone(),
        participant.guild_id.clone(),
        if state.is_empty() { "-".to_owned() } else { state.join(",") },
    ]
}

fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
