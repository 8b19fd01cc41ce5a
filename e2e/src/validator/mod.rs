//! The judge of every end-to-end test: are the frames that clients were sent what was promised, and what happened?
//!
//! Pure. In go [`Recording`]s, which hold what clients saw, and the [`Ground`], which is what the emulated Discord knows;
//! out comes a [`Report`]. The checks know nothing of the server's code:
//!
//! - each client alone (`stream`): order, chain, resumes, resets, snapshots with their digests, authority;
//! - all clients together (`ledger`, `master`): one entry is one entry, filters hide nothing that matches, every snapshot
//!   is what the entries before it make;
//! - the world (`holes`): what happened was told in its order, or a discontinuity covers it, and nothing else was told.

mod finding;
mod fold;
mod holes;
mod ledger;
mod master;
mod recording;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::{
    finding::{Finding, Promise, Report},
    fold::{Face, Fold, Subject, seen, truth},
    holes::Ground,
    recording::{Detail, Frame, From, Recording, Sight, Step},
};

/// Checks everything that recordings of one server can show.
pub fn validate(recordings: &[Recording], ground: &Ground) -> Report {
    let mut report = Report { clients: recordings.len(), ..Report::default() };
    let ledger = ledger::Ledger::of(recordings, &mut report);
    for recording in recordings {
        let holding = stream::Check::new(recording, &ledger, &mut report).run();
        if let Some(settled) = ground.settled.as_ref().filter(|_| recording.stays) {
            converged(recording, holding.fold.as_ref(), settled, &mut report);
        }
    }
    let told = master::read(&ledger, &mut report);
    holes::compare(ground, &told, &mut report);
    report
}

/// Whether what a client holds is what it should see. Who is not told of every kind of event, has kept an outline alone, or
/// never asked how everything stands, holds nothing that could be compared.
fn converged(recording: &Recording, fold: Option<&Fold>, settled: &BTreeMap<Subject, Face>, report: &mut Report) {
    let asked_for_all = recording.steps.iter().any(|step| matches!(step, Step::Opened { from: From::Snapshot, .. }));
    if !recording.sight.kinds.is_empty() || recording.detail == Detail::Outline || !(asked_for_all || fold.is_some()) {
        return;
    }
    report.settled += 1;
    let Some(fold) = fold else {
        return report.find(Promise::Converged, &recording.name, "no whole snapshot is held in the end");
    };
    let (expected, found) = (seen(settled, &recording.sight), fold.seen_by(&recording.sight).faces());
    let subjects = expected.keys().chain(found.keys());
    if let Some(subject) = subjects.into_iter().find(|subject| expected.get(subject) != found.get(subject)) {
        let detail = format!("{subject:?} is {:?}, held as {:?}", expected.get(subject), found.get(subject));
        report.find(Promise::Converged, &recording.name, detail);
    }
}
