//! `parlor voice record`: hears a room, and gives what it hears to a [`Tape`].

mod tape;

use std::{fs, io, time::Duration};

use parlor_client::{
    CallError, Parlor,
    v1::{self, receive_audio_response, watch_session_response::Event},
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tonic::Streaming;

use self::tape::{Line, Tape};
use super::{
    board::Board,
    hold::Hold,
    over,
    scene::{Scene, clock},
    track::Kind,
    watch,
};
use crate::{
    cli::{Global, Record},
    failure::{Exit, Failure},
    session,
    signals::Signals,
    terminal::{Terminal, Tone},
};

/// How often a terminal is drawn anew.
const DRAWING: Duration = Duration::from_millis(200);
/// How often programs are told how far it is.
const TELLING: Duration = Duration::from_secs(1);
/// How often a pipe is.
const WRITING: Duration = Duration::from_secs(5);

pub(super) async fn run(
    request: Record,
    global: &Global,
    terminal: Terminal,
    mut signals: Signals,
) -> Result<(), Failure> {
    make_empty(&request)?;
    let parlor = session::connect(global).await?;
    let wanted = v1::ConnectRequest {
        room_id: request.room.clone(),
        announce_listening: request.announce,
        ..Default::default()
    };
    let hold = Hold::take(&parlor, wanted, terminal).await?;
    let recorded = record(&parlor, &hold, &request, terminal, &mut signals).await;
    hold.give_back().await;
    recorded
}

/// The directory, made if it is not there.
fn make_empty(request: &Record) -> Result<(), Failure> {
    let directory = &request.directory;
    let unusable = |error: io::Error| {
        Failure::new(Exit::Usage, format!("cannot record into {}", directory.display())).because(&error)
    };
    fs::create_dir_all(directory).map_err(unusable)?;
    if fs::read_dir(directory).map_err(unusable)?.next().is_some() {
        return Err(Failure::new(Exit::Usage, format!("{} is not empty", directory.display()))
            .next("name a new directory: a recording never goes over another one"));
    }
    Ok(())
}

/// What a recording hears and sees.
struct Room {
    audio: Streaming<v1::ReceiveAudioResponse>,
    /// The same as PCM, for levels, where somebody looks and the audio itself is Opus.
    meter: Option<Streaming<v1::ReceiveAudioResponse>>,
    events: Streaming<v1::WatchSessionResponse>,
}

async fn record(
    parlor: &Parlor,
    hold: &Hold,
    request: &Record,
    terminal: Terminal,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let kind = if request.wav { Kind::Wav } else { Kind::Ogg };
    let names = if terminal.is_json() { Default::default() } else { watch::names(parlor, &hold.session).await };
    let mut scene = Scene::named(names);
    let mut events = watch::open(parlor, &hold.session, hold.lease(), Some(Duration::from_secs(1))).await?;
    // Its time is the beginning of every file.
    let first = events.message().await.map_err(CallError::from)?.unwrap_or_default();
    if let Some(event) = &first.event {
        scene.fold(event);
    }
    let audio = listen(parlor, hold, request, kind).await?;
    let meter = if terminal.is_live() && kind == Kind::Ogg {
        Some(listen(parlor, hold, request, Kind::Wav).await?)
    } else {
        None
    };
    let mut tape = Tape::begin(&request.directory, kind, first.event_time, Instant::now());
    if terminal.is_json() {
        terminal.json(&Line::Recording { session: &hold.session.session_id, directory: &request.directory })?;
    } else {
        terminal.say(Tone::Faint, &format!("recording into {}; Ctrl-C ends it", request.directory.display()));
    }
    let mut room = Room { audio, meter, events };
    let heard = room.take_in(&mut tape, &mut scene, request.time, terminal, signals).await;
    // Whatever happened: what was heard is kept.
    let tracks = tape.finish(Instant::now())?;
    let ending = heard?;
    if terminal.is_json() {
        terminal.json(&Line::Recorded { ending: super::shapes::ending(ending), tracks })?;
    } else if tracks.is_empty() {
        terminal.say(Tone::Faint, "nobody spoke: there are no files");
    } else {
        let rows: Vec<_> = tracks.iter().map(|track| track.row(&scene)).collect();
        terminal.table(&["FILE", "NAME", "LENGTH", "FRAMES", "LOST", "DROPPED"], &rows)?;
    }
    over(ending).map_or(Ok(()), Err)
}

async fn listen(
    parlor: &Parlor,
    hold: &Hold,
    request: &Record,
    kind: Kind,
) -> Result<Streaming<v1::ReceiveAudioResponse>, Failure> {
    let encoding = match kind {
        Kind::Ogg => v1::AudioEncoding::Opus,
        Kind::Wav => v1::AudioEncoding::PcmS16le,
    };
    let listen = v1::ListenOptions {
        format: Some(v1::AudioFormat { encoding: encoding.into(), channels: 2 }),
        user_ids: request.users.clone(),
    };
    let request = v1::ReceiveAudioRequest {
        session_id: hold.session.session_id.clone(),
        lease_id: hold.lease().clone(),
        listen: Some(listen),
    };
    Ok(parlor.voice_sessions().receive_audio(request).await.map_err(CallError::from)?.into_inner())
}

impl Room {
    /// Records until it is over, and says why where that was not the caller's idea.
    async fn take_in(
        &mut self,
        tape: &mut Tape,
        scene: &mut Scene,
        time: Option<Duration>,
        terminal: Terminal,
        signals: &mut Signals,
    ) -> Result<v1::VoiceSessionEnding, Failure> {
        use receive_audio_response::Body;
        let until = time.map(|time| Instant::now() + time);
        let mut shower = Shower::new(terminal);
        let mut clock = interval(DRAWING);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                () = signals.stop() => return Ok(v1::VoiceSessionEnding::Unspecified),
                () = at(until) => return Ok(v1::VoiceSessionEnding::Unspecified),
                heard = self.audio.message() => match heard.map_err(CallError::from)?.and_then(|heard| heard.body) {
                    Some(Body::Frame(frame)) => {
                        if let Some(file) = tape.lay(&frame, Instant::now())? {
                            shower.track(&frame.user_id, &file, scene)?;
                        }
                    }
                    Some(Body::Status(_)) => {}
                    Some(Body::Ended(ended)) => return Ok(ended.ending()),
                    None => return Ok(scene.ending().unwrap_or_default()),
                },
                heard = next(&mut self.meter) => match heard {
                    Some(Body::Frame(frame)) => tape.measure(&frame.user_id, &frame.audio),
                    Some(Body::Status(_) | Body::Ended(_)) => {}
                    // Levels are no reason to end a recording.
                    None => self.meter = None,
                },
                told = self.events.message() => {
                    let told = told.map_err(CallError::from)?;
                    match told.and_then(|told| told.event) {
                        Some(event) => {
                            scene.fold(&event);
                            shower.event(&event, scene)?;
                        }
                        None => return Ok(scene.ending().unwrap_or_default()),
                    }
                }
                _ = clock.tick() => {
                    tape.keep_up(Instant::now())?;
                    shower.show_if_due(tape, scene)?;
                }
            }
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn next(meter: &mut Option<Streaming<v1::ReceiveAudioResponse>>) -> Option<receive_audio_response::Body> {
    match meter {
        Some(meter) => meter.message().await.ok().flatten().and_then(|heard| heard.body),
        None => std::future::pending().await,
    }
}

/// Shows how it goes, as whoever reads it likes it.
struct Shower {
    terminal: Terminal,
    board: Option<Board>,
    often: Duration,
    shown: Option<Instant>,
}

impl Shower {
    fn new(terminal: Terminal) -> Self {
        let board = terminal.is_live().then(Board::default);
        let often = match &board {
            Some(_) => DRAWING,
            None if terminal.is_json() => TELLING,
            None => WRITING,
        };
        Self { terminal, board, often, shown: None }
    }

    /// Somebody speaks for the first time.
    fn track(&self, user: &str, file: &str, scene: &Scene) -> Result<(), Failure> {
        if self.terminal.is_json() {
            return Ok(self.terminal.json(&Line::Track { user, file })?);
        }
        if self.board.is_none() {
            self.terminal.say(Tone::News, &format!("{file}: {} speaks", scene.name(user)));
        }
        Ok(())
    }

    /// Something happened in the room.
    fn event(&self, event: &Event, scene: &Scene) -> Result<(), Failure> {
        let is_news = matches!(event, Event::StateChanged(_) | Event::ConsentChanged(_));
        if is_news
            && self.board.is_none()
            && !self.terminal.is_json()
            && let Some(words) = scene.words(event)
        {
            self.terminal.say(Tone::Warning, &words);
        }
        Ok(())
    }

    fn show_if_due(&mut self, tape: &mut Tape, scene: &Scene) -> Result<(), Failure> {
        let now = Instant::now();
        if self.shown.is_some_and(|shown| now < shown + self.often) {
            return Ok(());
        }
        self.shown = Some(now);
        let time = tape.time(now);
        if self.terminal.is_json() {
            return Ok(self.terminal.json(&Line::Progress { seconds: time.as_secs_f64(), tracks: tape.tracks() })?);
        }
        let lines = tape.lines(scene);
        match &mut self.board {
            Some(board) => {
                let head = format!("{} {}  {}", self.terminal.paint(Tone::Bad, "●"), clock(time), scene.headline());
                board.draw(&std::iter::once(head).chain(lines).collect::<Vec<_>>())?;
            }
            None => {
                for line in lines {
                    self.terminal.say(Tone::Faint, &format!("{}  {line}", clock(time)));
                }
            }
        }
        Ok(())
    }
}
