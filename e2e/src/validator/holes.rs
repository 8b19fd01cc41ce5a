//! What happened against what was told: each thing that happened was told, in order, or lies where something was said to be
//! missing; and nothing was told that did not happen.

use std::{collections::BTreeMap, time::Duration};

use discord_emulator::{Happening, Timestamp, Transition};

use super::{
    finding::{Promise, Report},
    fold::{Face, Subject, of_presence, of_room},
    master::{Told, Window},
};

/// What the emulated Discord knows, and how sure it is that everybody could know it.
#[derive(Clone, Debug, Default)]
pub struct Ground {
    /// Every change of the world, in order, from before the first snapshot on.
    pub journal: Vec<Transition>,
    /// How everything stands now, where everybody has had the time to learn of it.
    pub settled: Option<BTreeMap<Subject, Face>>,
    /// How long news may be under way between Discord and us, both ways.
    pub slack: Duration,
}

/// On a loaded machine the server may be so far behind what it is sent.
const LAG: Duration = Duration::from_secs(5);

/// Something happened.
struct Happened {
    at: Timestamp,
    face: Option<Face>,
}

/// Compares.
pub(super) fn compare(ground: &Ground, told: &Told, report: &mut Report) {
    let Some(since) = told.since else { return };
    let unsent: Vec<(Timestamp, String)> = ground
        .journal
        .iter()
        .filter(|each| each.what == Happening::Unsent)
        .map(|each| (each.at, each.guild.to_string()))
        .collect();
    let happened = by_subject(&ground.journal);
    let windows: Vec<Window> = told.windows.iter().map(|window| widened(window, &happened, ground.slack)).collect();
    let nothing = Vec::new();
    for (subject, states) in &told.states {
        if !happened.contains_key(subject) {
            let detail = format!("{subject:?} is said to be {states:?}, of which Discord knows nothing");
            report.find(Promise::Honest, "log", detail);
        }
    }
    for (subject, happened) in happened {
        report.transitions += happened.len();
        let states = told.states.get(&subject).unwrap_or(&nothing);
        let excused = |at: Timestamp| {
            at <= since
                || unsent.iter().any(|(when, guild)| *when == at && guild == subject.guild())
                || windows.iter().any(|window| covers(window, &subject, at, ground.slack))
        };
        let lost = |at: Timestamp| unsent.iter().any(|(when, guild)| *when <= at && guild == subject.guild());
        if let Err(detail) = follows(&happened, states, excused, lost, ground.settled.is_none()) {
            report.find(Promise::Honest, "log", format!("{subject:?}: {detail}"));
        }
    }
}

/// A window that begins with the last thing that was told before it, if that happened earlier than anybody learned of it.
fn widened(window: &Window, happened: &BTreeMap<Subject, Vec<Happened>>, slack: Duration) -> Window {
    let told = window.after.as_ref().and_then(|(subject, face)| {
        let of_it = happened.get(subject)?.iter().rev();
        of_it.map(|each| (each.at, &each.face)).find(|(at, now)| *now == face && *at <= window.from + slack)
    });
    let under_way = told.filter(|(at, _)| window.from.since(*at) <= LAG);
    let from = under_way.map_or(window.from, |(at, _)| at.min(window.from));
    Window { from, ..window.clone() }
}

fn covers(window: &Window, subject: &Subject, at: Timestamp, slack: Duration) -> bool {
    let concerned = window.guild.as_ref().is_none_or(|guild| guild == subject.guild());
    concerned && at + slack >= window.from && at <= window.to + slack
}

/// Whether what was told is what happened, but for what is excused. `open`: the newest news may still be under way.
fn follows(
    happened: &[Happened],
    told: &[Option<Face>],
    excused: impl Fn(Timestamp) -> bool,
    lost: impl Fn(Timestamp) -> bool,
    open: bool,
) -> Result<(), String> {
    // How many of the states told may have been reached, given what has happened so far.
    let mut reached = vec![false; told.len() + 1];
    reached[0] = true;
    for (index, each) in happened.iter().enumerate() {
        let excused = excused(each.at);
        let mut next = vec![false; told.len() + 1];
        for (count, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
            if told.get(count) == Some(&each.face) {
                next[count + 1] = true;
            }
            // Where the news of a change was lost, its undoing changes nothing for whoever never heard of it.
            let undone = lost(each.at) && (count == 0 || told[count - 1] == each.face);
            let under_way = open && count == told.len();
            next[count] |= excused || undone || under_way;
        }
        if !next.contains(&true) {
            let furthest = reached.iter().rposition(|reached| *reached).unwrap_or(0);
            let instead = told.get(furthest);
            return Err(format!("{:?} at {} (change {index}) was never told; next is {instead:?}", each.face, each.at));
        }
        reached = next;
    }
    if reached[told.len()] {
        return Ok(());
    }
    let furthest = reached.iter().rposition(|reached| *reached).unwrap_or(0);
    Err(format!("{:?} was told and did not happen", told[furthest]))
}

fn by_subject(journal: &[Transition]) -> BTreeMap<Subject, Vec<Happened>> {
    let mut happened: BTreeMap<Subject, Vec<Happened>> = BTreeMap::new();
    for each in journal {
        let guild = each.guild.to_string();
        let (subject, face) = match &each.what {
            Happening::Voice { user, now } => {
                (Subject::Person { guild, user: user.to_string() }, now.as_ref().map(of_presence))
            }
            Happening::Room { room, now } => {
                (Subject::Room { guild, room: room.to_string() }, now.as_ref().map(of_room))
            }
            Happening::Unsent => continue,
        };
        let of = happened.entry(subject).or_default();
        if of.last().is_none_or(|last| last.face != face) {
            of.push(Happened { at: each.at, face });
        }
    }
    happened
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn check(happened: &[(u64, &str)], told: &[&str], window: std::ops::Range<u64>, open: bool) -> Result<(), String> {
        let face = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let happened: Vec<_> =
            happened.iter().map(|(when, what)| Happened { at: at(*when), face: face(what) }).collect();
        let told: Vec<_> = told.iter().map(|text| face(text)).collect();
        let excused = |when| (at(window.start)..at(window.end)).contains(&when);
        follows(&happened, &told, excused, |_| false, open)
    }

    #[test]
    fn what_happened_was_told() {
        let happened = [(1, "a"), (2, "b"), (3, ""), (4, "a")];
        assert_eq!(check(&happened, &["a", "b", "", "a"], 0..0, false), Ok(()));
        assert!(check(&happened, &["a", "b", "a"], 0..0, false).is_err(), "the leaving is missing");
        assert!(check(&happened, &["a", "b", ""], 0..0, false).is_err(), "the end is missing");
        assert_eq!(check(&happened, &["a", "b", ""], 0..0, true), Ok(()), "the end is under way");
        assert!(check(&happened, &["a", "c", "b", "", "a"], 0..0, false).is_err(), "nobody was in c");
        assert!(check(&happened, &["b", "a", "", "a"], 0..0, false).is_err(), "the order is another");
    }

    #[test]
    fn what_is_missing_was_declared() {
        let happened = [(1, "a"), (5, "b"), (6, ""), (9, "a"), (10, "b")];
        assert_eq!(check(&happened, &["a", "b"], 5..10, false), Ok(()), "only the difference remains");
        assert_eq!(check(&happened, &["a", "", "a", "b"], 5..7, false), Ok(()));
        assert!(check(&happened, &["a", "b"], 5..7, false).is_err(), "9 lies outside");
        assert!(check(&happened, &["b"], 5..10, false).is_err(), "1 lies outside");
    }
}
