//! `parlor voice play`.

use std::{path::Path, time::Duration};

use futures_util::StreamExt as _;
use parlor_client::{
    CallError, Parlor,
    v1::{self, send_audio_request::Body},
};
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    board::Board,
    hold::Hold,
    over,
    scene::{clock, unheard as why_unheard},
    shapes::ending,
    sound::{FRAME_TIME, Sound, SoundError, time_of},
};
use crate::{
    cli::{Global, Play},
    failure::{Exit, Failure},
    session,
    signals::Signals,
    terminal::{Terminal, Tone},
};

/// How far ahead of the room frames are sent: what a network may be late.
const AHEAD: Duration = Duration::from_millis(400);

/// How often progress is told.
const TELLING: Duration = Duration::from_secs(1);

/// What is printed for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Playing { file: &'a Path, session: &'a str, position: f64, length: f64 },
    Played { frames_played: u64, frames_dropped: u64, frames_unsent: u64, ending: String },
}

pub(super) async fn run(
    request: Play,
    global: &Global,
    terminal: Terminal,
    mut signals: Signals,
) -> Result<(), Failure> {
    // Before anybody is disturbed.
    let sound = Sound::open(&request.file).map_err(|error| unplayable(&request.file, &error))?;
    let parlor = session::connect(global).await?;
    let wanted = v1::ConnectRequest { room_id: request.room.clone(), ..Default::default() };
    let hold = Hold::take(&parlor, wanted, terminal).await?;
    let played = play(&parlor, &hold, &sound, &request, terminal, &mut signals).await;
    let obstacle = hold.session.capabilities.and_then(|now| why_unheard(now.speech_obstacle()));
    hold.give_back().await;
    let answer = played?;
    let report = answer.source.unwrap_or_default();
    if terminal.is_json() {
        terminal.json(&Line::Played {
            frames_played: report.frames_played,
            frames_dropped: report.frames_dropped,
            frames_unsent: report.frames_unsent,
            ending: ending(answer.ending()),
        })?;
    } else {
        terminal.line(&format!("played {}", clock(time_of(report.frames_played))))?;
        if report.frames_unsent > 0 {
            let unheard = clock(time_of(report.frames_unsent));
            let why = obstacle.unwrap_or("the bot was not connected, or nobody was let hear it");
            terminal.say(Tone::Warning, &format!("{unheard} of it was not heard: {why}"));
        }
    }
    over(answer.ending()).map_or(Ok(()), Err)
}

async fn play(
    parlor: &Parlor,
    hold: &Hold,
    sound: &Sound,
    request: &Play,
    terminal: Terminal,
    signals: &mut Signals,
) -> Result<v1::SendAudioResponse, Failure> {
    let (send, mut frames) = mpsc::channel(8);
    let open = v1::OpenSource {
        session_id: hold.session.session_id.clone(),
        lease_id: hold.lease().clone(),
        speak: Some(v1::SpeakOptions {
            format: Some(sound.format()),
            volume_percent: Some(request.volume),
            priority: request.priority,
            overflow: v1::SourceOverflow::Wait.into(),
        }),
    };
    let messages = futures_util::stream::iter([Body::Open(open)])
        .chain(futures_util::stream::poll_fn(move |context| frames.poll_recv(context)))
        .map(|body| v1::SendAudioRequest { body: Some(body) });
    let mut client = parlor.voice_sessions();
    let feeding = async {
        // The end of what is fed is the end of the stream.
        let send = send;
        let mut progress = Progress { terminal, board: terminal.is_live().then(Board::default), told: None };
        let (began, mut fed) = (Instant::now(), 0);
        loop {
            for frame in sound.frames().map_err(|error| unplayable(&request.file, &error))? {
                let audio = frame.map_err(|error| unplayable(&request.file, &error))?.into();
                progress.tell(request, hold, time_of(fed), sound.length())?;
                tokio::select! {
                    biased;
                    () = signals.stop() => return Ok(()),
                    () = sleep_until((began + time_of(fed)).checked_sub(AHEAD).unwrap_or(began)) => {}
                }
                // The answer says why nobody takes it.
                if send.send(Body::Frame(v1::SourceFrame { audio })).await.is_err() {
                    return Ok(());
                }
                fed += 1;
            }
            if !request.repeat {
                return Ok::<(), Failure>(());
            }
        }
    };
    let (answer, fed) = tokio::join!(client.send_audio(messages), feeding);
    fed?;
    Ok(answer.map_err(CallError::from)?.into_inner())
}

/// How far it is, told once a second.
struct Progress {
    terminal: Terminal,
    board: Option<Board>,
    told: Option<Duration>,
}

impl Progress {
    fn tell(&mut self, request: &Play, hold: &Hold, position: Duration, length: Duration) -> Result<(), Failure> {
        if self.told.is_some_and(|told| position < told + TELLING) {
            return Ok(());
        }
        let is_first = self.told.replace(position).is_none();
        let file = &request.file;
        if self.terminal.is_json() {
            let (position, length) = (position.as_secs_f64(), length.as_secs_f64());
            return Ok(self.terminal.json(&Line::Playing {
                file,
                session: &hold.session.session_id,
                position,
                length,
            })?);
        }
        // Over and over, it begins anew each time.
        let within = Duration::from_secs_f64(position.as_secs_f64() % length.max(FRAME_TIME).as_secs_f64());
        let words = format!("{} in room {}", file.display(), request.room);
        match &mut self.board {
            Some(board) => Ok(board.draw(&[format!("▶ {words}  {} / {}", clock(within), clock(length))])?),
            None if is_first => {
                self.terminal.say(Tone::Faint, &format!("playing {words}, {}", clock(length)));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn unplayable(file: &Path, error: &SoundError) -> Failure {
    let failure = Failure::new(Exit::Usage, format!("cannot play {}", file.display())).because(error);
    if matches!(error, SoundError::Io(_) | SoundError::Empty) {
        return failure;
    }
    failure.next(format!(
        "make it Ogg Opus: ffmpeg -i {} -ar 48000 -ac 2 -c:a libopus -frame_duration 20 sound.opus",
        file.display()
    ))
}
