//! `parlor events watch`.

mod book;
mod cursor_file;
mod frames;
mod narrator;

use parlor_client::{Event, Events, Gap, Lost, NoPosition, Parlor, Start, v1};

use self::{cursor_file::CursorFile, narrator::Narrator};
use crate::{
    cli::{Global, Watch},
    failure::{Exit, Failure},
    session,
    signals::Signals,
    terminal::{Terminal, Tone, clean},
};

/// Follows events until it is told to stop, or has seen as many as were asked for.
pub(crate) async fn run(request: Watch, global: &Global, terminal: Terminal) -> Result<(), Failure> {
    // Caught from before the first connection on, so that Ctrl-C always means the same.
    let mut signals = Signals::new();
    let stored = request.cursor_file.as_deref().map(CursorFile::open).transpose()?;
    let start = match (request.cursor, stored.as_ref().and_then(CursorFile::position), request.latest) {
        (Some(cursor), ..) => Start::After(cursor.parse().map_err(|error: NoPosition| {
            Failure::new(Exit::Usage, "--cursor is empty").because(&error).next("leave it out to begin with a snapshot")
        })?),
        (None, Some(position), _) => Start::After(position.clone()),
        (None, None, true) => Start::Latest,
        (None, None, false) => Start::Snapshot,
    };
    let watch = parlor_client::Watch {
        guilds: request.guilds,
        rooms: request.rooms,
        kinds: request.kinds.into_iter().map(v1::VoiceEventKind::from).collect(),
        start,
        heartbeat: request.heartbeat,
        gap: if request.fail_on_gap { Gap::Fail } else { Gap::Reset },
    };
    let following = async {
        let parlor = session::connect(global).await?;
        let teller = if terminal.is_json() {
            Teller::Frames(terminal)
        } else {
            Teller::Words(Box::new(Narrator::new(terminal, names(&parlor, &watch).await)))
        };
        let events = parlor.events(watch).await.map_err(|error| refused(error, stored.as_ref()))?;
        follow(events, teller, stored, request.count, terminal).await
    };
    tokio::select! {
        biased;
        () = signals.stop() => Ok(()),
        ended = following => ended,
    }
}

async fn follow(
    mut events: Events,
    mut teller: Teller,
    mut stored: Option<CursorFile>,
    count: Option<u64>,
    terminal: Terminal,
) -> Result<(), Failure> {
    let (mut seen, mut apart) = (0, false);
    while let Some(event) = events.next().await.map_err(|error| refused(error, None))? {
        if let Event::Disconnected { why, retry_in } = &event {
            apart = true;
            terminal.say(Tone::Warning, &format!("{}; trying again in {:.1} s", words(why), retry_in.as_secs_f64()));
        }
        if let (Event::Connected { resumed, .. }, true) = (&event, apart) {
            apart = false;
            let how = if *resumed { "nothing is missing" } else { "everything is told anew" };
            terminal.say(Tone::Good, &format!("connected again: {how}"));
        }
        teller.tell(&event, &events)?;
        // Only now: what was not printed must come again.
        if let (Some(file), Some(position)) = (&mut stored, events.position()) {
            file.store(position)?;
        }
        seen += u64::from(matches!(event, Event::Changed(_) | Event::Discontinuity(_)));
        if count.is_some_and(|count| seen >= count) {
            return Ok(());
        }
    }
    Ok(())
}

/// How events are printed.
enum Teller {
    Frames(Terminal),
    Words(Box<Narrator>),
}

impl Teller {
    fn tell(&mut self, event: &Event, events: &Events) -> Result<(), Failure> {
        match self {
            Self::Frames(terminal) => {
                for line in frames::lines(event, events.frame()) {
                    terminal.json(&line)?;
                }
            }
            Self::Words(narrator) => narrator.tell(event)?,
        }
        Ok(())
    }
}

/// A snapshot to take names from, where the stream itself will bring none. Without it ids are shown; if the server refuses,
/// it will say so of the stream too.
async fn names(parlor: &Parlor, watch: &parlor_client::Watch) -> book::Book {
    let mut book = book::Book::default();
    if watch.start == Start::Snapshot {
        return book;
    }
    let filter = parlor_client::Watch { start: Start::Snapshot, ..watch.clone() };
    if let Ok(mut events) = parlor.events(filter).await {
        while let Ok(Some(event)) = events.next().await {
            if let Event::Snapshot(snapshot) = &event {
                book.replace(snapshot);
                break;
            }
            if matches!(event, Event::Disconnected { .. }) {
                break;
            }
        }
    }
    book
}

/// Why a stream was refused, and where the position that may be to blame came from.
fn refused(error: parlor_client::CallError, stored: Option<&CursorFile>) -> Failure {
    let of_cursor = error.reason.as_deref() == Some("CURSOR_INVALID");
    match stored {
        Some(file) if of_cursor => {
            Failure::from(error).next(format!("the position is of another server: delete {file}"))
        }
        _ => error.into(),
    }
}

/// Why a connection was lost, for people.
fn words(why: &Lost) -> String {
    let Lost::Failed(error) = why else { return why.to_string() };
    if error.message.is_empty() {
        return "the connection broke".to_owned();
    }
    format!("the connection broke ({})", clean(&error.message))
}
