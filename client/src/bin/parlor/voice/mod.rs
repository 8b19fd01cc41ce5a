//! `parlor voice`.

mod board;
mod hold;
mod opus;
mod play;
mod record;
mod scene;
mod shapes;
mod sound;
mod timeline;
mod track;
mod watch;

use parlor_client::{CallError, Parlor, v1};

use self::hold::Hold;
use crate::{
    cli::{Global, Join, Leave, Voice},
    failure::{Exit, Failure},
    session,
    signals::Signals,
    terminal::{Terminal, Tone},
};

const HEADER: [&str; 4] = ["SESSION", "ROOM", "STATE", "LEASE"];

pub(crate) async fn run(command: Voice, global: &Global, terminal: Terminal) -> Result<(), Failure> {
    // Caught from before the first connection on, so that Ctrl-C always means the same.
    let signals = Signals::new();
    match command {
        Voice::Join(join) => self::join(join, &session::connect(global).await?, terminal, signals).await,
        Voice::Leave(leave) => self::leave(leave, &session::connect(global).await?, terminal).await,
        Voice::Watch(request) => watch::run(&request, &session::connect(global).await?, terminal, signals).await,
        Voice::Play(play) => play::run(play, global, terminal, signals).await,
        Voice::Record(record) => record::run(record, global, terminal, signals).await,
    }
}

async fn join(request: Join, parlor: &Parlor, terminal: Terminal, mut signals: Signals) -> Result<(), Failure> {
    let detach = request.detach;
    let wanted = v1::ConnectRequest {
        room_id: request.room,
        lease_duration: request.lease.try_into().ok(),
        announce_listening: request.announce,
        rejoin: request.rejoin,
        ..Default::default()
    };
    let hold = Hold::take(parlor, wanted, terminal).await?;
    if detach {
        if terminal.is_json() {
            return Ok(terminal.json(&shapes::Joined::of(&hold.session, hold.lease()))?);
        }
        let session = &hold.session;
        let cells = [&session.session_id, &session.room_id, &shapes::state(session.state), hold.lease()];
        return Ok(terminal.table(&HEADER, &[cells.map(ToOwned::to_owned).to_vec()])?);
    }
    let watching = watch::follow(parlor, &hold.session, hold.lease(), None, terminal);
    let ended = tokio::select! {
        biased;
        () = signals.stop() => None,
        ended = watching => Some(ended),
    };
    hold.give_back().await;
    match ended {
        None => Ok(()),
        Some(Err(failure)) => Err(failure),
        Some(Ok(ending)) => {
            Err(over(ending).unwrap_or_else(|| Failure::new(Exit::Unavailable, "the server ended the watch")))
        }
    }
}

async fn leave(request: Leave, parlor: &Parlor, terminal: Terminal) -> Result<(), Failure> {
    let gone = |terminal: Terminal| {
        terminal.say(Tone::Faint, "the bot was not there any more");
        v1::DisconnectResponse { already_gone: true, session_ended: true }
    };
    let answer = match find(parlor, &request.room).await? {
        None => gone(terminal),
        Some(session) => {
            let request = v1::DisconnectRequest {
                session_id: session.session_id,
                lease_id: request.lease.unwrap_or_default(),
                force: request.force,
            };
            parlor.voice_sessions().disconnect(request).await.map_err(CallError::from)?.into_inner()
        }
    };
    if terminal.is_json() {
        return Ok(terminal.json(&shapes::Left::from(&answer))?);
    }
    if !answer.session_ended {
        terminal.say(Tone::Faint, "others still hold leases: the bot stays");
    }
    Ok(())
}

/// The session in a room, or of an id.
async fn find(parlor: &Parlor, room: &str) -> Result<Option<v1::VoiceSession>, Failure> {
    let mut request = v1::ListSessionsRequest { page_size: 1_000, ..Default::default() };
    loop {
        let page = parlor.voice_sessions().list_sessions(request.clone()).await.map_err(CallError::from)?.into_inner();
        let found = page.sessions.into_iter().find(|session| session.room_id == room || session.session_id == room);
        if found.is_some() || page.next_page_token.is_empty() {
            return Ok(found);
        }
        request.page_token = page.next_page_token;
    }
}

/// The session in a room, where there has to be one.
async fn found(parlor: &Parlor, room: &str) -> Result<v1::VoiceSession, Failure> {
    let nobody = || {
        Failure::new(Exit::NotFound, format!("the bot is not in {room}"))
            .next(format!("bring it there: parlor voice join {room}"))
    };
    find(parlor, room).await?.ok_or_else(nobody)
}

/// That a session ended although somebody held a lease of it; none where it did not end.
fn over(ending: v1::VoiceSessionEnding) -> Option<Failure> {
    use v1::VoiceSessionEnding as Ending;
    if ending == Ending::Unspecified {
        return None;
    }
    let message = format!("the bot is no longer in the room: {}", scene::why(ending));
    if ending == Ending::Draining {
        return Some(Failure::new(Exit::Unavailable, message).next("try again"));
    }
    Some(Failure::new(Exit::Failed, message))
}
