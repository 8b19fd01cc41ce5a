//! The promises that one client alone can hold the server to: order, chain, resumes, snapshots, authority.

use discord_emulator::Timestamp;
use parlor_client::v1::{reset::Reason, subscribe_voice_events_response::Body};

use super::{
    converged,
    finding::{Promise, Report},
    fold::Fold,
    ledger::{Ledger, Place, outline},
    recording::{Detail, Frame, From, Recording, Step},
};

/// Where a stream is.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// None is open.
    Closed,
    /// Hello is due.
    Opened(From),
    /// A reset has to come, for this reason where it is known.
    ResetDue(Option<Reason>),
    /// A snapshot has to begin.
    SnapshotDue,
    /// A snapshot is under way.
    Snapshot { at: u64, parts: Fold, guilds: usize, ended: usize },
    /// A bookmark of the head has to come: START_AT_LATEST.
    MarkDue,
    /// Entries come.
    Following,
    /// The last frame has come.
    Drained,
}

/// One recording on its way through the checks.
pub(super) struct Check<'a> {
    recording: &'a Recording,
    ledger: &'a Ledger,
    report: &'a mut Report,
    stage: Stage,
    epoch: String,
    filter_id: String,
    /// The position that the client holds on this stream.
    held: Option<u64>,
    /// Nothing up to here may come on this stream: the cursor that it began after.
    floor: u64,
    /// What it has been told, once that is whole.
    fold: Option<Fold>,
}

/// What a client holds in the end.
pub(super) struct Holding {
    pub(super) fold: Option<Fold>,
}

impl<'a> Check<'a> {
    pub(super) fn new(recording: &'a Recording, ledger: &'a Ledger, report: &'a mut Report) -> Self {
        Self {
            recording,
            ledger,
            report,
            stage: Stage::Closed,
            epoch: String::new(),
            filter_id: recording.filter_id.clone(),
            held: None,
            floor: 0,
            fold: None,
        }
    }

    pub(super) fn run(mut self) -> Holding {
        for step in &self.recording.steps {
            match step {
                Step::Opened { from, .. } => {
                    self.report.streams += 1;
                    self.stage = Stage::Opened(from.clone());
                    self.held = None;
                    self.floor = 0;
                }
                Step::Frame { at, frame } => self.frame(frame, *at),
                Step::Ended { .. } => {
                    // A snapshot that broke off leaves nothing that is whole.
                    if matches!(self.stage, Stage::Snapshot { .. }) {
                        self.fold = None;
                    }
                    self.stage = Stage::Closed;
                }
                Step::Refused { .. } => self.stage = Stage::Closed,
                Step::Settled { truth } => converged(self.recording, self.fold.as_ref(), truth, self.report),
            }
        }
        // Who comes back holds what they held until they are told otherwise.
        let whole = matches!(self.stage, Stage::Closed | Stage::Opened(_) | Stage::Following | Stage::Drained);
        Holding { fold: self.fold.filter(|_| whole) }
    }

    fn find(&mut self, promise: Promise, detail: impl Into<String>) {
        let name = self.recording.name.clone();
        self.report.find(promise, &name, detail);
    }

    fn frame(&mut self, frame: &Frame, at: Timestamp) {
        self.report.frames += 1;
        let Some(body) = &frame.body else { return };
        match (&self.stage, body) {
            (Stage::Closed, _) => self.find(Promise::Ordered, "a frame after the end"),
            (Stage::Drained, _) => self.find(Promise::Ordered, "a frame after Draining"),
            (Stage::Opened(_), Body::Hello(_)) => {}
            (Stage::Opened(_), _) => self.find(Promise::Ordered, "the first frame is not Hello"),
            (_, Body::Hello(_)) => self.find(Promise::Ordered, "Hello comes twice"),
            _ => {}
        }
        let marks = !frame.cursor.is_empty();
        let must = matches!(body, Body::Event(_) | Body::Discontinuity(_) | Body::SnapshotEnd(_) | Body::Bookmark(_));
        let may = must || matches!(body, Body::Draining(_));
        if (must && !marks) || (marks && !may) {
            self.find(Promise::Ordered, format!("a cursor where none belongs, or none where one does: {}", name(body)));
        }
        match body {
            Body::Hello(hello) => self.hello(hello),
            Body::Reset(reset) => self.reset(reset.reason()),
            Body::SnapshotBegin(begin) => {
                if !matches!(self.stage, Stage::SnapshotDue) {
                    self.find(Promise::NeverSilent, "a snapshot that no Reset announced");
                }
                self.fold = None;
                let (at, parts) = (begin.at_sequence, Fold::default());
                self.stage = Stage::Snapshot { at, parts, guilds: 0, ended: 0 };
            }
            Body::SnapshotItems(items) => {
                let guilds = items.guilds.iter().map(|guild| &guild.guild_id);
                let of = guilds.chain(items.rooms.iter().map(|room| &room.guild_id));
                let of = of.chain(items.participants.iter().map(|participant| &participant.guild_id));
                if let Some(foreign) = of.into_iter().find(|guild| !self.recording.sight.guild(guild)) {
                    self.find(Promise::Authorized, format!("a snapshot holds something of guild {foreign}"));
                }
                if let Stage::Snapshot { parts, guilds, ended, .. } = &mut self.stage {
                    let gone = parlor_client::v1::room::State::Ended;
                    *ended += items.rooms.iter().filter(|room| room.state() == gone).count();
                    *guilds += items.guilds.len();
                    parts.put_items(items);
                } else {
                    self.find(Promise::Ordered, "a part of a snapshot outside one");
                }
            }
            Body::SnapshotEnd(end) => self.snapshot_end(frame, end),
            Body::Event(_) | Body::Discontinuity(_) => self.entry(frame, body, at),
            Body::Bookmark(_) => {
                if self.stage == Stage::MarkDue {
                    self.held = Some(frame.sequence);
                    self.stage = Stage::Following;
                }
                self.covers(frame, &[]);
            }
            Body::Draining(_) => {
                if marks {
                    let held = self.held;
                    if held != Some(frame.sequence) {
                        self.find(Promise::Ordered, format!("Draining at {}, held {held:?}", frame.sequence));
                    }
                }
                self.stage = Stage::Drained;
            }
        }
    }

    fn hello(&mut self, hello: &parlor_client::v1::Hello) {
        let asked = std::mem::replace(&mut self.stage, Stage::Following);
        let same_filter = self.filter_id.is_empty() || self.filter_id == hello.filter_id;
        self.epoch.clone_from(&hello.epoch);
        self.filter_id.clone_from(&hello.filter_id);
        let Stage::Opened(from) = asked else { return };
        let cursor = match from {
            From::Snapshot => {
                self.stage = Stage::SnapshotDue;
                None
            }
            From::Latest => {
                self.stage = Stage::MarkDue;
                None
            }
            From::Cursor(cursor) => Some(cursor),
        };
        let Some(cursor) = cursor else {
            if hello.resumed {
                self.find(Promise::Ordered, "resumed without a cursor");
            }
            return;
        };
        let place: Option<Place> = self.ledger.places.get(&cursor).cloned();
        let (head, oldest) = (hello.head_sequence, hello.oldest_sequence);
        let expected = place.as_ref().and_then(|(epoch, sequence)| {
            if *epoch != hello.epoch {
                Some(Reason::EpochChanged)
            } else if *sequence > head {
                Some(Reason::CursorAhead)
            } else if sequence + 1 < oldest {
                Some(Reason::Compacted)
            } else {
                (!same_filter).then_some(Reason::FilterChanged)
            }
        });
        match (hello.resumed, expected) {
            (true, None) => {
                self.report.resumes += 1;
                // A cursor from elsewhere, such as CreateRoom's: the first frame says where it stands.
                self.held = place.map(|(_, sequence)| sequence);
                self.floor = self.held.unwrap_or(0);
            }
            (true, Some(reason)) => {
                self.find(Promise::NeverSilent, format!("{} was due, and the stream went on", reason.as_str_name()));
                self.held = place.map(|(_, sequence)| sequence);
            }
            (false, None) => {
                if place.is_some() {
                    self.find(Promise::Resumable, format!("position {place:?} is kept ({oldest}..{head})"));
                }
                self.stage = Stage::ResetDue(None);
            }
            (false, Some(reason)) => self.stage = Stage::ResetDue(Some(reason)),
        }
    }

    fn reset(&mut self, reason: Reason) {
        self.report.resets += 1;
        if let Stage::ResetDue(expected) = &self.stage {
            if let Some(expected) = expected.filter(|expected| *expected != reason) {
                let (was, due) = (reason.as_str_name(), expected.as_str_name());
                self.find(Promise::NeverSilent, format!("reset because of {was}, though it is {due}"));
            }
        } else if self.stage != Stage::Following || reason != Reason::SlowConsumer {
            let detail = format!("{} out of place: {:?}", reason.as_str_name(), self.stage);
            self.find(Promise::Ordered, detail);
        }
        self.held = None;
        self.floor = 0;
        self.fold = None;
        self.stage = Stage::SnapshotDue;
    }

    fn snapshot_end(&mut self, frame: &Frame, end: &parlor_client::v1::SnapshotEnd) {
        let stage = std::mem::replace(&mut self.stage, Stage::Following);
        let Stage::Snapshot { at, parts, guilds, ended } = stage else {
            return self.find(Promise::Ordered, "the end of a snapshot that did not begin");
        };
        if frame.sequence != at || frame.prev_sequence != at {
            let (sequence, prev) = (frame.sequence, frame.prev_sequence);
            self.find(Promise::Ordered, format!("a snapshot of {at} ends at {sequence} after {prev}"));
        }
        let counted = [guilds, parts.rooms.len() + ended, parts.people.len()].map(i64::try_from);
        let told = [end.guild_count, end.room_count, end.participant_count].map(i64::from);
        if counted != told.map(Ok) || parts.digest() != end.digest {
            self.find(Promise::DigestTrue, format!("a snapshot of {at} holds {counted:?}, and its end says {told:?}"));
        }
        self.held = Some(at);
        self.floor = at;
        self.fold = Some(parts);
    }

    fn entry(&mut self, frame: &Frame, body: &Body, at: Timestamp) {
        if self.stage != Stage::Following {
            let detail = format!("entry {} while {:?}", frame.sequence, self.stage);
            self.find(Promise::Ordered, detail);
        }
        if let Some((guild, ..)) = outline(body)
            && !self.recording.sight.guild(&guild)
        {
            self.find(Promise::Authorized, format!("entry {} is of guild {guild}, at {at}", frame.sequence));
        }
        if frame.sequence <= self.floor {
            self.find(Promise::Unique, format!("entry {} after cursor {}", frame.sequence, self.floor));
        } else if self.held.is_some_and(|held| frame.sequence <= held) {
            let promise = if self.held == Some(frame.sequence) { Promise::Unique } else { Promise::Ordered };
            self.find(promise, format!("entry {} after {:?}", frame.sequence, self.held));
        }
        self.covers(frame, &[frame.sequence]);
        if let (Some(fold), Body::Event(event), Detail::Whole) = (&mut self.fold, body, self.recording.detail) {
            // What is impossible is found once, in the log as a whole; part of it may not be for this client.
            let _ = fold.apply(event);
        } else if self.recording.detail == Detail::Outline {
            self.fold = None;
        }
    }

    /// A frame moves the position on: everything between that is for this client is one of `sent`.
    fn covers(&mut self, frame: &Frame, sent: &[u64]) {
        let (before, now) = (frame.prev_sequence, frame.sequence);
        if let Some(held) = self.held.filter(|held| *held != before) {
            self.find(Promise::GapFree, format!("position {now} follows {before}, and {held} is held"));
        }
        if now < before {
            self.find(Promise::Ordered, format!("position {now} follows {before}"));
        }
        // What comes again counts from where it was.
        let after = self.held.unwrap_or(before).min(before);
        let due = self.ledger.due(&self.epoch, after, now, &self.recording.sight);
        let missing: Vec<u64> = due.into_iter().filter(|sequence| !sent.contains(sequence)).collect();
        let skipped = self.recording.sight.is_full() && !sent.is_empty() && now != before + 1;
        if !missing.is_empty() || skipped {
            let promise = if sent.is_empty() { Promise::BookmarkTrue } else { Promise::GapFree };
            self.find(promise, format!("{missing:?} between {after} and {now} did not come"));
        }
        self.held = Some(now);
    }
}

/// What a frame says, in a word.
pub(super) fn name(body: &Body) -> &'static str {
    match body {
        Body::Hello(_) => "hello",
        Body::SnapshotBegin(_) => "snapshot_begin",
        Body::SnapshotItems(_) => "snapshot_items",
        Body::SnapshotEnd(_) => "snapshot_end",
        Body::Event(_) => "event",
        Body::Bookmark(_) => "bookmark",
        Body::Reset(_) => "reset",
        Body::Discontinuity(_) => "discontinuity",
        Body::Draining(_) => "draining",
    }
}
