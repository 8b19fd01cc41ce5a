//! Many streams, over few connections or one each: storms, drains and snapshots.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_client::{
    CallError, Parlor,
    v1::{self, subscribe_voice_events_request::Start, subscribe_voice_events_response::Body},
};
use tokio::{
    sync::{OnceCell, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{crowd::Habits, stage::Stage};
use crate::{
    Tape,
    validator::{From, Sight},
};

/// How long one stream of many may take to open.
const OPENING: Duration = Duration::from_secs(60);

/// Streams that are read until they end.
pub(super) struct Herd {
    readers: JoinSet<Reader>,
    /// What was read of those that have ended.
    resting: Vec<Reader>,
    /// Turned to have all of them give up.
    give_up: watch::Sender<bool>,
    per_connection: usize,
    habits: Habits,
}

/// One stream's reader.
struct Reader {
    tape: Tape,
    cursor: String,
    /// The position that the cursor stands for.
    sequence: u64,
    drained: bool,
}

/// A connection that some readers share. Whoever comes first makes it.
struct Way {
    address: SocketAddr,
    token: String,
    parlor: OnceCell<Parlor>,
}

impl Way {
    /// The connection. It is tried again until it comes about, as clients do.
    async fn parlor(&self) -> Parlor {
        let url = format!("http://{}", self.address);
        loop {
            if let Ok(parlor) = self.parlor.get_or_try_init(|| Parlor::connect(&url, &self.token)).await {
                return parlor.clone();
            }
            sleep(Duration::from_millis(fastrand::u64(20..200))).await;
        }
    }
}

impl Herd {
    /// Streams without snapshots, so many over each connection; all of them are open.
    ///
    /// # Errors
    /// Some could not be opened.
    pub(super) async fn latest(stage: &Stage, many: usize, per_connection: usize) -> Result<Self, String> {
        let habits = Habits::eager("herd");
        let request = v1::SubscribeVoiceEventsRequest {
            start: Some(Start::StartAt(v1::StartAt::Latest.into())),
            ..habits.request.clone()
        };
        let mut herd = Self {
            readers: JoinSet::new(),
            resting: Vec::new(),
            give_up: watch::Sender::new(false),
            per_connection,
            habits: Habits { request, ..habits },
        };
        herd.resting = (0..many)
            .map(|number| {
                let tape = stage.archive.tape(format!("herd {number}"), Sight::default()).of_a_visitor();
                Reader { tape, cursor: String::new(), sequence: 0, drained: false }
            })
            .collect();
        herd.resume(stage).await?;
        Ok(herd)
    }

    /// Streams with snapshots, over a connection each, that are opened and read as fast as they come. They may break off.
    pub(super) fn snapshots(stage: &Stage, many: usize) -> JoinSet<()> {
        let mut readers = JoinSet::new();
        let Some(address) = *stage.address.borrow() else { return readers };
        for number in 0..many {
            let tape = stage.archive.tape(format!("snapshot {number}"), Sight::default()).of_a_visitor();
            let token = stage.crowd.noted(Habits::eager("snapshots").token());
            readers.spawn(async move {
                let Ok(parlor) = Parlor::connect(&format!("http://{address}"), &token).await else { return };
                let Ok(mut frames) = parlor.subscribe(Default::default()).await else { return };
                tape.opened(From::Snapshot);
                loop {
                    match frames.next().await {
                        Ok(Some(frame)) => tape.frame(frame),
                        Ok(None) => return tape.ended(None),
                        Err(error) => return tape.ended(Some(&error)),
                    }
                }
            });
        }
        readers
    }

    /// Opens every stream that is not open, from where it ended, all at once. Returns how long it took until each was live: it
    /// had heard everything that had happened when it was opened.
    ///
    /// # Errors
    /// Some could not be opened.
    pub(super) async fn resume(&mut self, stage: &Stage) -> Result<Duration, String> {
        let address = (*stage.address.borrow()).ok_or("there is no server")?;
        let began = Instant::now();
        let live = Arc::new(Semaphore::new(0));
        let many = self.resting.len();
        let token = stage.crowd.noted(self.habits.token());
        let mut resting = std::mem::take(&mut self.resting).into_iter();
        self.give_up.send_replace(false);
        while resting.len() > 0 {
            let way = Arc::new(Way { address, token: token.clone(), parlor: OnceCell::new() });
            for reader in resting.by_ref().take(self.per_connection) {
                let (way, request, live) = (Arc::clone(&way), self.habits.request.clone(), Arc::clone(&live));
                let give_up = self.give_up.subscribe();
                self.readers.spawn(reader.read(way, request, live, give_up));
            }
        }
        let many_of_them = u32::try_from(many).map_err(|error| error.to_string())?;
        match timeout(OPENING, live.acquire_many(many_of_them)).await {
            Ok(_) => Ok(began.elapsed()),
            Err(_) => Err(format!("{} of {many} streams are live after {OPENING:?}", live.available_permits())),
        }
    }

    /// Waits until all have ended; how many were told that the server drains.
    pub(super) async fn ends(&mut self) -> usize {
        while let Some(reader) = self.readers.join_next().await {
            // A reader neither panics nor is aborted.
            self.resting.extend(reader);
        }
        self.resting.iter().filter(|reader| reader.drained).count()
    }

    /// All of them give up their streams.
    pub(super) async fn gives_up(&mut self) {
        self.give_up.send_replace(true);
        self.ends().await;
    }
}

impl Reader {
    /// Reads one stream, from where the last one ended, to its end or until all give up.
    async fn read(
        mut self,
        way: Arc<Way>,
        request: v1::SubscribeVoiceEventsRequest,
        live: Arc<Semaphore>,
        mut give_up: watch::Receiver<bool>,
    ) -> Self {
        self.drained = false;
        let reading = self.follow(&way, request, &live);
        let ended = tokio::select! {
            ended = reading => ended,
            _ = give_up.wait_for(|give_up| *give_up) => None,
        };
        self.tape.ended(ended.as_ref());
        self
    }

    async fn follow(
        &mut self,
        way: &Way,
        mut request: v1::SubscribeVoiceEventsRequest,
        live: &Semaphore,
    ) -> Option<CallError> {
        if !self.cursor.is_empty() {
            request.start = Some(Start::Cursor(self.cursor.clone()));
        }
        let from = From::of(&request);
        let mut frames = loop {
            match way.parlor().await.subscribe(request.clone()).await {
                Ok(frames) => break frames,
                Err(error) => self.tape.refused(&error),
            }
            sleep(Duration::from_millis(fastrand::u64(20..200))).await;
        };
        self.tape.opened(from);
        let mut head = Some(u64::MAX);
        loop {
            let frame = match frames.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return None,
                Err(error) => return Some(error),
            };
            if let Some(Body::Hello(hello)) = &frame.body {
                head = Some(hello.head_sequence);
                // Who begins with what comes next holds nothing before it is said where that is.
                self.sequence = if hello.resumed { self.sequence } else { 0 };
            }
            self.drained |= matches!(frame.body, Some(Body::Draining(_)));
            let marks = !frame.cursor.is_empty();
            if marks {
                self.cursor.clone_from(&frame.cursor);
                self.sequence = frame.sequence;
            }
            if head.is_some_and(|head| self.sequence >= head && (marks || head > 0)) {
                head = None;
                live.add_permits(1);
            }
            self.tape.frame(frame);
        }
    }
}
