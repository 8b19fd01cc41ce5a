//! Many streams over few connections: storms, stalls and cancellations.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_client::{
    Parlor,
    v1::{self, subscribe_voice_events_request::Start, subscribe_voice_events_response::Body},
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
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
    drained: bool,
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
                Reader { tape, cursor: String::new(), drained: false }
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

    /// Opens every stream that is not open, from where it ended, all at once. Returns how long it took until each had its
    /// first frame.
    ///
    /// # Errors
    /// Some could not be opened.
    pub(super) async fn resume(&mut self, stage: &Stage) -> Result<Duration, String> {
        let address = (*stage.address.borrow()).ok_or("there is no server")?;
        let began = Instant::now();
        let open = Arc::new(Semaphore::new(0));
        let many = self.resting.len();
        let token = stage.crowd.noted(self.habits.token());
        let mut resting = std::mem::take(&mut self.resting).into_iter();
        self.give_up.send_replace(false);
        while resting.len() > 0 {
            let connected = Parlor::connect(&format!("http://{address}"), &token).await;
            let parlor = connected.map_err(|error| format!("{} streams have no connection: {error}", resting.len()))?;
            for reader in resting.by_ref().take(self.per_connection) {
                let (parlor, request, open) = (parlor.clone(), self.habits.request.clone(), Arc::clone(&open));
                let give_up = self.give_up.subscribe();
                self.readers.spawn(reader.read(parlor, request, open, give_up));
            }
        }
        let many_of_them = u32::try_from(many).map_err(|error| error.to_string())?;
        match timeout(OPENING, open.acquire_many(many_of_them)).await {
            Ok(_) => Ok(began.elapsed()),
            Err(_) => Err(format!("{} of {many} streams are open after {OPENING:?}", open.available_permits())),
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
    async fn read(
        mut self,
        parlor: Parlor,
        mut request: v1::SubscribeVoiceEventsRequest,
        open: Arc<Semaphore>,
        mut give_up: watch::Receiver<bool>,
    ) -> Self {
        self.drained = false;
        if !self.cursor.is_empty() {
            request.start = Some(Start::Cursor(self.cursor.clone()));
        }
        let from = From::of(&request);
        let mut frames = match parlor.subscribe(request).await {
            Ok(frames) => frames,
            Err(error) => {
                self.tape.refused(&error);
                return self;
            }
        };
        self.tape.opened(from);
        let mut first = true;
        loop {
            let next = tokio::select! {
                next = frames.next() => next,
                _ = give_up.wait_for(|give_up| *give_up) => {
                    self.tape.ended(None);
                    return self;
                }
            };
            let frame = match next {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    self.tape.ended(None);
                    return self;
                }
                Err(error) => {
                    self.tape.ended(Some(&error));
                    return self;
                }
            };
            if std::mem::take(&mut first) {
                open.add_permits(1);
            }
            self.drained |= matches!(frame.body, Some(Body::Draining(_)));
            if !frame.cursor.is_empty() {
                self.cursor.clone_from(&frame.cursor);
            }
            self.tape.frame(frame);
        }
    }
}
