//! Recordings in the making: every subscriber of a test writes one, and the judge reads them all when the test ends.

use std::{
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use discord_emulator::Timestamp;
use parlor_client::CallError;
use tonic::Code;

use crate::validator::{Detail, Frame, From, Recording, Sight, Step};

/// All recordings of a test.
#[derive(Clone, Debug, Default)]
pub struct Archive(Arc<Mutex<Vec<Tape>>>);

/// One subscriber's recording.
#[derive(Clone, Debug)]
pub struct Tape(Arc<Mutex<Recording>>);

impl Archive {
    /// A new recording.
    pub fn tape(&self, name: impl Into<String>, sight: Sight) -> Tape {
        let tape = Tape(Arc::new(Mutex::new(Recording::new(name, sight))));
        self.0.lock().expect("nothing panics while it holds this lock").push(tape.clone());
        tape
    }

    /// Every recording as it is now.
    pub fn recordings(&self) -> Vec<Recording> {
        let tapes = self.0.lock().expect("nothing panics while it holds this lock");
        tapes.iter().map(|tape| tape.0.lock().expect("nothing panics while it holds this lock").clone()).collect()
    }
}

impl Tape {
    /// The client does not follow to the end.
    #[must_use]
    pub fn of_a_visitor(self) -> Self {
        self.0.lock().expect("nothing panics while it holds this lock").stays = false;
        self
    }

    /// From now on only outlines of frames are recorded.
    #[must_use]
    pub fn in_outline(self) -> Self {
        self.0.lock().expect("nothing panics while it holds this lock").detail = Detail::Outline;
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

    fn push(&self, step: Step) {
        self.0.lock().expect("nothing panics while it holds this lock").steps.push(step);
    }
}

/// The time of day.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_unix_millis(u64::try_from(since.as_millis()).expect("before the year 500,000,000"))
}
