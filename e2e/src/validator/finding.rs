//! What was promised, and what was found to be otherwise.

use std::{collections::BTreeMap, fmt};

/// What the stream promises (docs/explanation/stream.md), and what else a run must not show.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Promise {
    /// Positions rise; frames come in their order.
    Ordered,
    /// No entry comes twice.
    Unique,
    /// Nothing that matches is missing between two positions.
    GapFree,
    /// A snapshot is what the entries up to it make; entries never contradict each other.
    SnapshotTrue,
    /// What a bookmark covers was sent before it.
    BookmarkTrue,
    /// A cursor that is kept continues.
    Resumable,
    /// Where a cursor cannot be continued, a reset says so and why.
    NeverSilent,
    /// What happened was told, or a discontinuity covers it; nothing else was told.
    Honest,
    /// Nothing of a foreign guild, and nothing after the token's end.
    Authorized,
    /// An entry that was seen stays what it is.
    Committed,
    /// In the end everybody holds the truth.
    Converged,
    /// Digest and counts are those of the snapshot.
    DigestTrue,
    /// No secret in a log line.
    NoSecret,
    /// The server's own numbers agree.
    Counted,
}

impl Promise {
    /// A word for the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordered => "disorder",
            Self::Unique => "duplicate",
            Self::GapFree => "gap",
            Self::SnapshotTrue => "false_snapshot",
            Self::BookmarkTrue => "false_bookmark",
            Self::Resumable => "not_resumed",
            Self::NeverSilent => "silent_reset",
            Self::Honest => "silent_hole",
            Self::Authorized => "foreign",
            Self::Committed => "rewritten",
            Self::Converged => "diverged",
            Self::DigestTrue => "false_digest",
            Self::NoSecret => "secret",
            Self::Counted => "miscounted",
        }
    }
}

/// One promise that was not kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Which.
    pub promise: Promise,
    /// Whose recording shows it.
    pub client: String,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.promise.name(), self.client, self.detail)
    }
}

/// What a validation comes to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong, in the order in which it was found.
    pub findings: Vec<Finding>,
    /// Recordings that were looked at.
    pub clients: usize,
    /// Streams that were opened.
    pub streams: usize,
    /// Streams that continued from a cursor.
    pub resumes: usize,
    /// Frames.
    pub frames: usize,
    /// Different entries of the log.
    pub entries: usize,
    /// Resets that were sent.
    pub resets: usize,
    /// Different discontinuities of the log.
    pub discontinuities: usize,
    /// Logs that were seen.
    pub epochs: usize,
    /// Times that what somebody held was compared with how everything stood.
    pub settled: usize,
    /// Changes of the world that were held against what was told.
    pub transitions: usize,
}

impl Report {
    /// Notes a finding.
    pub fn find(&mut self, promise: Promise, client: &str, detail: impl Into<String>) {
        self.findings.push(Finding { promise, client: client.to_owned(), detail: detail.into() });
    }

    /// How often some promises were not kept.
    pub fn count(&self, promises: &[Promise]) -> usize {
        self.findings.iter().filter(|finding| promises.contains(&finding.promise)).count()
    }

    /// Something that happened may be missing without a word.
    pub fn silent_holes(&self) -> usize {
        use Promise::{BookmarkTrue, Committed, GapFree, Honest, NeverSilent};
        self.count(&[GapFree, BookmarkTrue, NeverSilent, Honest, Committed])
    }

    /// Something came twice.
    pub fn duplicates(&self) -> usize {
        self.count(&[Promise::Unique])
    }

    /// Somebody's state is not the truth.
    pub fn diverged(&self) -> usize {
        self.count(&[Promise::SnapshotTrue, Promise::Converged, Promise::DigestTrue])
    }
}

impl fmt::Display for Report {
    /// One line, `key=value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, streams, resumes, frames, entries, resets, .. } = self;
        let Self { discontinuities, epochs, settled, transitions, .. } = self;
        write!(
            f,
            "clients={clients} streams={streams} resumes={resumes} frames={frames} entries={entries} resets={resets} \
             discontinuities={discontinuities} epochs={epochs} settled={settled} transitions={transitions}"
        )?;
        let mut kinds: BTreeMap<Promise, usize> = BTreeMap::new();
        for finding in &self.findings {
            *kinds.entry(finding.promise).or_default() += 1;
        }
        write!(f, " findings={}", self.findings.len())?;
        kinds.iter().try_for_each(|(promise, count)| write!(f, " {}={count}", promise.name()))
    }
}
