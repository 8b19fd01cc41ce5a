//! Recordings in the making: every subscriber of a test writes one, and the judge reads them all when the test ends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use discord_emulator::Timestamp;
use parlor_client::CallError;
use tonic::Code;

use crate::validator::{Detail, Face, Frame, From, Recording, Sight, Step, Subject};

/// All recordings of a test.
#[derive(Clone, Debug, Default)]
pub struct Archive(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    tapes: Vec<Tape>,
    /// What could not be recorded.
    troubles: Vec<String>,
}

/// One subscriber's recording.
#[derive(Clone, Debug)]
pub struct Tape(Arc<Mutex<Recording>>);

impl Archive {
    /// A new recording.
    pub fn tape(&self, name: impl Into<String>, sight: Sight) -> Tape {
        let tape = Tape(Arc::new(Mutex::new(Recording::new(name, sight))));
        self.shelf().tapes.push(tape.clone());
        tape
    }

    /// Every recording as it is now.
    pub fn recordings(&self) -> Vec<Recording> {
        let shelf = self.shelf();
        shelf.tapes.iter().map(|tape| tape.recording().clone()).collect()
    }

    /// Frames that were recorded on the wire of clients who call themselves so.
    ///
    /// ```no_run
    /// # fn example(house: &parlor_e2e::House) {
    /// assert!(house.archive().frames_of("HeadlessChrome") > 0);
    /// # }
    /// ```
    pub fn frames_of(&self, agent: &str) -> usize {
        let recordings = self.recordings();
        let theirs = recordings.iter().filter(|recording| recording.name.contains(agent));
        theirs.flat_map(|recording| &recording.steps).filter(|step| matches!(step, Step::Frame { .. })).count()
    }

    /// Something passed that cannot be recorded.
    pub(crate) fn trouble(&self, what: String) {
        self.shelf().troubles.push(what);
    }

    /// What could not be recorded: nobody has judged it.
    pub fn troubles(&self) -> Vec<String> {
        self.shelf().troubles.clone()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

impl Tape {
    /// The client does not follow to the end.
    #[must_use]
    pub fn of_a_visitor(self) -> Self {
        self.recording().stays = false;
        self
    }

    /// The client says that the cursor it begins with came with this filter.
    #[must_use]
    pub(crate) fn under(self, filter_id: &str) -> Self {
        filter_id.clone_into(&mut self.recording().filter_id);
        self
    }

    /// From now on only outlines of frames are recorded.
    #[must_use]
    pub fn in_outline(self) -> Self {
        self.recording().detail = Detail::Outline;
        self
    }

    /// A stream is open.
    pub fn opened(&self, from: From) {
        self.push(Step::Opened { at: now(), from });
    }

    /// No stream was opened.
    pub fn refused(&self, error: &CallError) {
        self.push(Step::Refused { at: now(), code: error.code, reason: error.reason.clone() });
    }

    /// A frame came.
    pub fn frame(&self, frame: impl Into<Arc<Frame>>) {
        self.push(Step::Frame { at: now(), frame: frame.into() });
    }

    /// The stream is over: ended by the server, with this error where there is one, or given up.
    pub fn ended(&self, error: Option<&CallError>) {
        let code = error.map_or(Code::Ok, |error| error.code);
        self.push(Step::Ended { at: now(), code, reason: error.and_then(|error| error.reason.clone()) });
    }

    /// So everything stands in Discord now, and the client holds it.
    pub(crate) fn settled(&self, truth: BTreeMap<Subject, Face>) {
        self.push(Step::Settled { truth: Arc::new(truth) });
    }

    fn push(&self, step: Step) {
        self.recording().steps.push(step);
    }

    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

/// The time of day.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_unix_millis(u64::try_from(since.as_millis()).expect("before the year 500,000,000"))
}
