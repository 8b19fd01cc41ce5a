//! `parlor voice watch`, and what `parlor voice join` shows.

use std::{collections::BTreeMap, time::Duration};

use parlor_client::{CallError, Parlor, v1};
use tonic::Streaming;

use super::{
    board::Board,
    found,
    scene::Scene,
    shapes::{EventShape, seconds},
};
use crate::{cli::WatchVoice, failure::Failure, signals::Signals, terminal::Terminal};

pub(super) async fn run(
    request: &WatchVoice,
    parlor: &Parlor,
    terminal: Terminal,
    mut signals: Signals,
) -> Result<(), Failure> {
    let watching = async {
        let session = found(parlor, &request.room).await?;
        follow(parlor, &session, "", Some(request.interval), terminal).await
    };
    tokio::select! {
        biased;
        () = signals.stop() => Ok(()),
        ended = watching => ended.map(drop),
    }
}

/// Shows a session until it is over, and says why it is.
pub(super) async fn follow(
    parlor: &Parlor,
    session: &v1::VoiceSession,
    lease: &str,
    interval: Option<Duration>,
    terminal: Terminal,
) -> Result<v1::VoiceSessionEnding, Failure> {
    let names = if terminal.is_json() { BTreeMap::new() } else { names(parlor, session).await };
    let mut scene = Scene::named(names);
    let mut board = terminal.is_live().then(Board::default);
    let mut events = open(parlor, session, lease, interval).await?;
    while let Some(told) = events.message().await.map_err(CallError::from)? {
        let Some(event) = told.event else { continue };
        scene.fold(&event);
        if terminal.is_json() {
            terminal.json(&EventShape::of(&event, seconds(told.event_time)))?;
        } else if let Some(board) = &mut board {
            let lines: Vec<String> = std::iter::once(scene.headline()).chain(scene.people()).collect();
            board.draw(&lines)?;
        } else if let Some(words) = scene.words(&event) {
            terminal.line(&words)?;
        }
    }
    Ok(scene.ending().unwrap_or_default())
}

/// Watches a session.
pub(super) async fn open(
    parlor: &Parlor,
    session: &v1::VoiceSession,
    lease: &str,
    interval: Option<Duration>,
) -> Result<Streaming<v1::WatchSessionResponse>, Failure> {
    let request = v1::WatchSessionRequest {
        session_id: session.session_id.clone(),
        lease_id: lease.to_owned(),
        quality_interval: interval.and_then(|interval| interval.try_into().ok()),
    };
    Ok(parlor.voice_sessions().watch_session(request).await.map_err(CallError::from)?.into_inner())
}

/// The names of those in the room; ids are shown where the token does not cover them.
pub(super) async fn names(parlor: &Parlor, session: &v1::VoiceSession) -> BTreeMap<String, String> {
    let request =
        v1::ListParticipantsRequest { guild_id: session.guild_id.clone(), page_size: 1_000, ..Default::default() };
    let people = parlor.list_participants(request).await.unwrap_or_default();
    people.into_iter().map(|person| (person.user_id, person.display_name)).collect()
}
