//! The log as a whole: every snapshot is what the entries before it make, and no entry contradicts the ones before.

use std::collections::BTreeMap;

use discord_emulator::Timestamp;
use parlor_client::v1::{Origin, room_ended, subscribe_voice_events_response::Body, voice_event::Kind};

use super::{
    finding::{Promise, Report},
    fold::{Face, Fold, Subject},
    ledger::{Chapter, Entry, Ledger, Snapshot, time_of},
};

/// What was told of everything, one state after the other, with when something may be missing.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) states: BTreeMap<Subject, Vec<Option<Face>>>,
    last: BTreeMap<Subject, Face>,
    /// The newest change that was told as it happened.
    newest: Option<(Subject, Option<Face>)>,
    /// When the first snapshot had come: what happened before may be in it.
    pub(super) since: Option<Timestamp>,
    /// Until the newest entry was heard.
    pub(super) windows: Vec<Window>,
}

/// A time in which something may have happened untold, and it was said so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Window {
    /// Of this guild; `None` = of all.
    pub(super) guild: Option<String>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// The last thing that was told before it. News that was under way then is missing too, however long it had been.
    pub(super) after: Option<(Subject, Option<Face>)>,
}

impl Told {
    fn is_now(&mut self, subject: &Subject, face: Option<Face>) {
        if self.last.get(subject) == face.as_ref() {
            return;
        }
        match &face {
            Some(face) => drop(self.last.insert(subject.clone(), face.clone())),
            None => drop(self.last.remove(subject)),
        }
        self.states.entry(subject.clone()).or_default().push(face);
    }

    fn all_are_now(&mut self, faces: BTreeMap<Subject, Face>) {
        let gone: Vec<Subject> = self.last.keys().filter(|subject| !faces.contains_key(subject)).cloned().collect();
        gone.iter().for_each(|subject| self.is_now(subject, None));
        for (subject, face) in faces {
            self.is_now(&subject, Some(face));
        }
    }

    /// The telling begins, or is taken up after a break that was declared: so everything stands at a time.
    fn begins_with(&mut self, fold: &Fold, at: Timestamp, heard_until: Timestamp) {
        if self.since.is_none() {
            self.since = Some(at);
            self.last = fold.faces();
        } else {
            let after = self.newest.clone();
            self.windows.push(Window { guild: None, from: heard_until, to: at, after });
            self.all_are_now(fold.faces());
        }
    }
}

/// Reads all logs in their order.
pub(super) fn read(ledger: &Ledger, report: &mut Report) -> Told {
    let mut told = Told::default();
    let mut heard_until = Timestamp::default();
    for epoch in &ledger.order {
        let chapter = &ledger.chapters[epoch];
        read_chapter(chapter, heard_until, &mut told, report);
        heard_until = heard_until.max(chapter.last_learned);
        report.entries += chapter.entries.len();
        for entry in chapter.entries.values() {
            let Some(Body::Discontinuity(gap)) = &entry.frame.body else { continue };
            report.discontinuities += 1;
            let (Some(from), Some(to)) = (gap.from.as_ref(), gap.to.as_ref()) else {
                report.find(Promise::Honest, "log", format!("a discontinuity without a time: {gap:?}"));
                continue;
            };
            let (from, to) = (time_of(from), time_of(to));
            told.windows.push(Window { guild: Some(entry.guild.clone()), from, to, after: None });
        }
    }
    report.epochs = ledger.order.len();
    told
}

/// A log whose history is new shows what was last known until it says that it is live: only from there on it is held
/// against what happened.
fn read_chapter(chapter: &Chapter, mut heard_until: Timestamp, told: &mut Told, report: &mut Report) {
    let mut whole = chapter.snapshots.iter().filter(|snapshot| snapshot.sight.is_full());
    let Some(first) = whole.next() else { return };
    let mut telling = false;
    let mut fold = first.fold.clone();
    let mut position = first.at;
    let mut snapshots = chapter.snapshots.iter().filter(|snapshot| snapshot.at >= first.at).peekable();
    compare(&mut snapshots, position, &fold, report);
    let last = chapter.entries.keys().next_back().copied().unwrap_or(0);
    let end = last.max(chapter.snapshots.last().map_or(0, |snapshot| snapshot.at));
    while position < end {
        if let (false, Some((live, at))) = (telling, chapter.live.filter(|(live, _)| *live <= position)) {
            telling = true;
            told.begins_with(&fold, if live <= first.at { first.received } else { at }, heard_until);
        }
        let Some(entry) = chapter.entries.get(&(position + 1)) else {
            // Nobody heard this entry. Whoever hears all of them has had a reset, or their own chain is broken.
            let Some(next) =
                chapter.snapshots.iter().find(|snapshot| snapshot.sight.is_full() && snapshot.at > position)
            else {
                return;
            };
            fold = next.fold.clone();
            position = next.at;
            if telling {
                told.begins_with(&fold, next.received, heard_until);
            }
            while snapshots.next_if(|snapshot| snapshot.at < position).is_some() {}
            compare(&mut snapshots, position, &fold, report);
            continue;
        };
        position += 1;
        if let Some(next) = chapter.entries.get(&(position + 1)).filter(|next| ends_undeclared(entry, next)) {
            let detail = format!("guild {} ended unseen at {position}, and {:?} follows", entry.guild, next.frame.body);
            report.find(Promise::Honest, "log", detail);
        }
        if let Some(Body::Event(event)) = &entry.frame.body {
            if let Err(contradiction) = fold.apply(event) {
                report.find(Promise::SnapshotTrue, "log", format!("entry {position}: {contradiction}"));
            }
            for (subject, face) in changed(event, &fold).into_iter().filter(|_| telling) {
                if event.origin() != Origin::Reconcile {
                    told.newest = Some((subject.clone(), face.clone()));
                }
                told.is_now(&subject, face);
            }
        } else if let Some(Body::Discontinuity(gap)) = &entry.frame.body
            && let (Some(from), Some(to)) = (&gap.from, &gap.to)
        {
            let (guild, after) = (Some(entry.guild.clone()), told.newest.clone());
            told.windows.push(Window { guild, from: time_of(from), to: time_of(to), after });
        }
        heard_until = heard_until.max(entry.learned);
        compare(&mut snapshots, position, &fold, report);
    }
}

/// Whether a guild that was found to be left, by comparing, is at an end without a word of what may be missing: what follows
/// is about something else.
fn ends_undeclared(entry: &Entry, next: &Entry) -> bool {
    let Some(Body::Event(event)) = &entry.frame.body else { return false };
    let Some(Kind::RoomEnded(ended)) = &event.kind else { return false };
    if ended.reason() != room_ended::Reason::BotRemoved || event.origin() != Origin::Reconcile {
        return false;
    }
    let goes_on = match &next.frame.body {
        Some(Body::Event(more)) => more.origin() == Origin::Reconcile,
        Some(Body::Discontinuity(_)) => true,
        _ => false,
    };
    next.guild != entry.guild || !goes_on
}

/// Every snapshot of this position is what the fold shows to whoever was sent it.
fn compare<'a>(
    snapshots: &mut std::iter::Peekable<impl Iterator<Item = &'a Snapshot>>,
    position: u64,
    fold: &Fold,
    report: &mut Report,
) {
    while let Some(snapshot) = snapshots.next_if(|snapshot| snapshot.at == position) {
        let expected = fold.seen_by(&snapshot.sight);
        if expected != snapshot.fold {
            let detail = format!(
                "the snapshot of {position} is not what the entries make: {}",
                difference(&expected, &snapshot.fold)
            );
            report.find(Promise::SnapshotTrue, &snapshot.client, detail);
        }
    }
}

/// What two folds differ in, in few words.
fn difference(expected: &Fold, found: &Fold) -> String {
    let (left, right) = (expected.faces(), found.faces());
    let differs = left.iter().find(|(subject, face)| right.get(subject) != Some(face)).map(|(subject, _)| subject);
    let subject = differs.or_else(|| right.keys().find(|subject| !left.contains_key(subject)));
    match subject {
        Some(subject) => format!("{subject:?}: {:?}, not {:?}", right.get(subject), left.get(subject)),
        None => "something beyond places and switches".to_owned(),
    }
}

/// How what an event is about stands after it.
fn changed(event: &parlor_client::v1::VoiceEvent, fold: &Fold) -> Vec<(Subject, Option<Face>)> {
    let guild = event.guild_id.clone();
    let room = |room: &Option<parlor_client::v1::Room>| {
        room.as_ref().map(|room| Subject::Room { guild: guild.clone(), room: room.room_id.clone() })
    };
    let person = |who: &Option<parlor_client::v1::Participant>| {
        who.as_ref().map(|who| Subject::Person { guild: guild.clone(), user: who.user_id.clone() })
    };
    let subject = match event.kind.as_ref() {
        Some(Kind::RoomCreated(it)) => room(&it.room),
        Some(Kind::RoomUpdated(it)) => room(&it.room),
        Some(Kind::RoomEnded(it)) => room(&it.room),
        Some(Kind::ParticipantJoined(it)) => person(&it.participant),
        Some(Kind::ParticipantLeft(it)) => person(&it.participant),
        Some(Kind::ParticipantMoved(it)) => person(&it.participant),
        Some(Kind::ParticipantUpdated(it)) => person(&it.participant),
        Some(Kind::GuildUpdated(_)) | None => None,
    };
    subject.map(|subject| (subject.clone(), fold.face(&subject))).into_iter().collect()
}
