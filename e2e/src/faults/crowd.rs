//! Clients that follow the stream through whatever happens, as programs should: they store a cursor with what it stands for,
//! and continue from it when the stream has ended. All that they are sent is recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use parlor_client::{
    CallError, Frames, Parlor,
    v1::{self, subscribe_voice_events_request::Start, subscribe_voice_events_response::Body},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{
    Archive, Issuer, Tape, Token,
    validator::{Face, Fold, Frame, From, Sight, Subject, seen},
};

/// After so long without a frame a stream is dead: three heartbeats of the shortest kind.
const SILENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether everybody holds the truth.
const LOOK: Duration = Duration::from_millis(50);
/// Frames that a slow client thinks about together: a pause for each would mostly be the machine's own.
const THOUGHT: usize = 16;
/// How long an answer to a subscription may take.
const OPENING: Duration = Duration::from_secs(10);

/// Where the server is now; `None` while there is none.
pub(super) type Address = watch::Sender<Option<SocketAddr>>;

/// What a client is like.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    pub(super) name: String,
    /// The guilds that its token covers; empty = all.
    pub(super) granted: Vec<String>,
    pub(super) request: v1::SubscribeVoiceEventsRequest,
    /// How long it thinks about [`THOUGHT`] frames.
    pub(super) thinks: Duration,
    /// It stores its state and cursor after so many frames.
    pub(super) stores_every: usize,
    /// How long its token is good, for tokens that are renewed; `None` = for longer than any round.
    pub(super) token_lasts: Option<Duration>,
}

impl Habits {
    /// Sees everything, at once, and stores every cursor.
    pub(super) fn eager(name: &str) -> Self {
        let heartbeat = Some(prost_types::Duration { seconds: 5, nanos: 0 });
        Self {
            name: name.to_owned(),
            granted: Vec::new(),
            request: v1::SubscribeVoiceEventsRequest { heartbeat, ..Default::default() },
            thinks: Duration::ZERO,
            stores_every: 1,
            token_lasts: None,
        }
    }

    fn grants(&self) -> Option<BTreeSet<String>> {
        (!self.granted.is_empty()).then(|| self.granted.iter().cloned().collect())
    }

    /// A token of this client's, and until when it is good.
    pub(super) fn token(&self) -> String {
        let mut token = Token { sub: self.name.clone(), ..Token::default() };
        if !self.granted.is_empty() {
            token.guilds.clone_from(&self.granted);
        }
        token.exp = token.iat + self.token_lasts.map_or(6 * 3_600, |lasts| lasts.as_secs());
        Issuer::get().sign(&token)
    }
}

/// What a client holds: state and cursor go together.
#[derive(Clone, Debug, Default)]
struct Held {
    fold: Fold,
    cursor: String,
    filter_id: String,
    /// Whether a snapshot has been told to its end.
    whole: bool,
}

/// A client as it can be seen from outside.
#[derive(Debug, Default)]
struct Shown {
    held: Held,
    /// Streams that were opened.
    opened: u64,
}

/// Whom to wait for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pace {
    /// Those who read as fast as they are told.
    Prompt,
    /// Everybody.
    Any,
}

/// One who follows, from outside.
struct Member {
    sight: Sight,
    name: String,
    prompt: bool,
    shown: Arc<Mutex<Shown>>,
}

/// Everybody who follows.
pub(super) struct Crowd {
    members: Vec<Member>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    tokens: Arc<Mutex<Vec<String>>>,
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self { members: Vec::new(), tasks: JoinSet::new(), stop: CancellationToken::new(), tokens: Arc::default() }
    }

    /// One more client.
    pub(super) fn join(&mut self, habits: Habits, archive: &Archive, address: &Address, rng: fastrand::Rng) {
        let sight = Sight::of(&habits.request, habits.grants());
        let tape = archive.tape(&habits.name, sight.clone());
        let shown = Arc::new(Mutex::new(Shown::default()));
        let (name, prompt) = (habits.name.clone(), habits.thinks.is_zero());
        self.members.push(Member { sight, name, prompt, shown: Arc::clone(&shown) });
        let (address, tokens) = (address.subscribe(), Arc::clone(&self.tokens));
        let client = Client { habits, tape, shown, address, tokens, rng, stored: None };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(client.follow()).await;
        });
    }

    /// Somebody who does not hold the truth yet, with what they hold otherwise.
    fn behind(&self, whose: Pace, truth: &BTreeMap<Subject, Face>) -> Option<String> {
        let asked = |member: &&Member| member.prompt || whose == Pace::Any;
        let whole = self.members.iter().filter(|member| member.sight.kinds.is_empty()).filter(asked);
        whole.into_iter().find_map(|Member { sight, name, shown, .. }| {
            let shown = shown.lock().expect("nothing panics while it holds this lock");
            if !shown.held.whole {
                return Some(format!("{name} holds nothing whole"));
            }
            let (faces, expected) = (shown.held.fold.seen_by(sight).faces(), seen(truth, sight));
            let subjects: BTreeSet<&Subject> = faces.keys().chain(expected.keys()).collect();
            let differs = subjects.into_iter().find(|subject| faces.get(subject) != expected.get(subject))?;
            let (held, is) = (faces.get(differs), expected.get(differs));
            Some(format!("{name}: {differs:?} is {is:?} and held as {held:?}"))
        })
    }

    /// Waits until everybody holds the truth.
    ///
    /// # Errors
    /// Somebody does not in time.
    pub(super) async fn converge(
        &self,
        whose: Pace,
        truth: impl Fn() -> BTreeMap<Subject, Face>,
        limit: Duration,
    ) -> Result<(), String> {
        let all = async {
            while self.behind(whose, &truth()).is_some() {
                sleep(LOOK).await;
            }
        };
        match timeout(limit, all).await {
            Ok(()) => Ok(()),
            Err(_) => Err(format!("not converged after {limit:?}: {:?}", self.behind(whose, &truth()))),
        }
    }

    /// Streams that were opened so far, by all.
    pub(super) fn opened(&self) -> u64 {
        let shown = self.members.iter().map(|member| &member.shown);
        shown.map(|shown| shown.lock().expect("nothing panics while it holds this lock").opened).sum()
    }

    /// A token that is about to be shown to the server.
    pub(super) fn noted(&self, token: String) -> String {
        self.tokens.lock().expect("nothing panics while it holds this lock").push(token.clone());
        token
    }

    /// Every token that was shown to the server, which must be in no log line.
    pub(super) fn tokens(&self) -> Vec<String> {
        self.tokens.lock().expect("nothing panics while it holds this lock").clone()
    }

    /// Everybody goes.
    pub(super) async fn leave(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Client {
    habits: Habits,
    tape: Tape,
    shown: Arc<Mutex<Shown>>,
    address: watch::Receiver<Option<SocketAddr>>,
    tokens: Arc<Mutex<Vec<String>>>,
    rng: fastrand::Rng,
    stored: Option<Held>,
}

impl Client {
    /// Follows until it is dropped.
    async fn follow(mut self) {
        loop {
            if let Some(frames) = self.open().await {
                let error = self.read(frames).await;
                self.tape.ended(error.as_ref());
                if error.is_some_and(|error| error.code == Code::InvalidArgument) {
                    // A cursor that the server does not know: it starts anew, and says so by its request.
                    self.stored = None;
                }
            }
            sleep(Duration::from_millis(self.rng.u64(20..120))).await;
        }
    }

    async fn open(&mut self) -> Option<Frames> {
        let address = (*self.address.wait_for(Option::is_some).await.ok()?)?;
        let token = self.habits.token();
        self.tokens.lock().expect("nothing panics while it holds this lock").push(token.clone());
        let mut request = self.habits.request.clone();
        if let Some(stored) = &self.stored {
            request.start = Some(Start::Cursor(stored.cursor.clone()));
            request.filter_id.clone_from(&stored.filter_id);
        }
        let from = From::of(&request);
        let opening = async {
            let parlor = Parlor::connect(&format!("http://{address}"), &token).await.ok()?;
            match parlor.subscribe(request).await {
                Ok(frames) => Some(frames),
                Err(error) => {
                    self.tape.refused(&error);
                    None
                }
            }
        };
        let frames = timeout(OPENING, opening).await.ok()??;
        self.tape.opened(from);
        self.shown.lock().expect("nothing panics while it holds this lock").opened += 1;
        Some(frames)
    }

    /// Reads a stream to its end; `None` = it was silent for too long, or ended without an error.
    async fn read(&mut self, mut frames: Frames) -> Option<CallError> {
        self.shown.lock().expect("nothing panics while it holds this lock").held =
            self.stored.clone().unwrap_or_default();
        let (mut read, mut since_stored) = (0_usize, 0);
        let ending = loop {
            let frame = match timeout(SILENCE, frames.next()).await {
                Ok(Ok(Some(frame))) => Arc::new(frame),
                Ok(Ok(None)) | Err(_) => break None,
                Ok(Err(error)) => break Some(error),
            };
            self.tape.frame(Arc::clone(&frame));
            self.take(&frame, &mut since_stored);
            read += 1;
            if read % THOUGHT == 0 && !self.habits.thinks.is_zero() {
                sleep(self.habits.thinks).await;
            }
        };
        if self.habits.stores_every == 1 {
            // Storing each would be to store the last, in which nothing is shared with what was read after it.
            let shown = self.shown.lock().expect("nothing panics while it holds this lock");
            self.stored = Some(shown.held.clone()).filter(|held| held.whole);
        }
        ending
    }

    /// A frame goes into what is held, and what is held is stored when it is time.
    fn take(&mut self, frame: &Frame, since_stored: &mut usize) {
        let mut shown = self.shown.lock().expect("nothing panics while it holds this lock");
        let held = &mut shown.held;
        match &frame.body {
            Some(Body::Hello(hello)) => held.filter_id.clone_from(&hello.filter_id),
            Some(Body::Reset(_)) => {
                held.whole = false;
                self.stored = None;
            }
            Some(Body::SnapshotEnd(_)) => held.whole = true,
            Some(_) | None => {}
        }
        held.fold.take(frame);
        if !frame.cursor.is_empty() && held.whole {
            held.cursor.clone_from(&frame.cursor);
            *since_stored += 1;
            if self.habits.stores_every > 1 && (*since_stored >= self.habits.stores_every || self.stored.is_none()) {
                *since_stored = 0;
                self.stored = Some(held.clone());
            }
        }
    }
}
