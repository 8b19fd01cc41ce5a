//! Faults, one after the other, against the real server: each on a stage of its own, with traffic and clients who follow.
//!
//! The list is that of `table`. Every round has a seed, from which its traffic and its choices come; what it shows is
//! judged by the [`validator`](crate::validator).

mod crowd;
mod gateway;
mod herd;
mod process;
mod proxy;
mod readers;
mod rest;
mod stage;
mod stalls;
mod table;
mod traffic;

use std::{fmt, path::PathBuf, time::Duration};

use futures_util::future::BoxFuture;

use self::stage::{Plan, Played, Stage};
pub use self::table::{FAULTS, SCALE_OUT};
use crate::validator::Report;

/// What a fault must lead to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// Nothing that anybody could see.
    Nothing,
    /// Discord's session is resumed: nothing is lost, so nothing is declared.
    Resume,
    /// Discord's session is lost, or a guild was away: that is declared, once state is compared.
    Discontinuity,
    /// Some cursors cannot be continued: that is said, with a fresh snapshot.
    Reset,
    /// Something is refused, in the way that the contract says.
    Refusal,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Resume => "resume",
            Self::Discontinuity => "discontinuity",
            Self::Reset => "reset",
            Self::Refusal => "refusal",
        })
    }
}

/// One fault of the list.
#[derive(Clone, Copy)]
pub struct Fault {
    /// F01 to F50.
    pub id: &'static str,
    /// What goes wrong.
    pub name: &'static str,
    act: Act,
}

/// What becomes of a fault.
#[derive(Clone, Copy)]
enum Act {
    /// It is played.
    Played {
        expected: Expected,
        plan: fn() -> Plan,
        strike: for<'s> fn(&'s mut Stage) -> BoxFuture<'s, Result<(), String>>,
        /// How long news may be under way while it strikes, beyond a second.
        lag: Duration,
    },
    /// It is played without a stage: the server runs in this process.
    Alone(fn(u64) -> BoxFuture<'static, Result<Report, String>>),
    /// Its subject does not exist yet.
    NotBuilt(&'static str),
}

/// What a round came to.
#[derive(Debug)]
pub struct Round {
    /// Which fault.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The seed.
    pub seed: u64,
    /// What it had to lead to; `None` = its subject does not exist yet.
    pub expected: Option<Expected>,
    /// Everything that is wrong. Empty = passed.
    pub complaints: Vec<String>,
    /// What the judge says.
    pub report: Report,
    /// From the fault's end until everybody held the truth.
    pub recovery: Option<Duration>,
    /// The most memory that the server took, in KiB, as far as it was looked at.
    pub rss_peak_kib: u64,
    /// How long the round took.
    pub took: Duration,
    /// A figure of the fault's own.
    pub remark: String,
    /// What the server logged.
    pub log: Vec<String>,
}

impl Fault {
    /// Whether it can be played.
    pub const fn is_built(&self) -> bool {
        !matches!(self.act, Act::NotBuilt(_))
    }

    /// Why it is not played, if it is not.
    pub const fn not_built(&self) -> Option<&'static str> {
        if let Act::NotBuilt(why) = self.act { Some(why) } else { None }
    }

    /// Plays it. `long`: with the durations of the list where a shorter one shows less.
    pub async fn play(self, program: PathBuf, seed: u64, long: bool) -> Round {
        let began = std::time::Instant::now();
        let mut round = Round {
            id: self.id,
            name: self.name,
            seed,
            expected: None,
            complaints: Vec::new(),
            report: Report::default(),
            recovery: None,
            rss_peak_kib: 0,
            took: Duration::ZERO,
            remark: String::new(),
            log: Vec::new(),
        };
        match self.act {
            Act::NotBuilt(_) => {}
            Act::Alone(play) => {
                round.expected = Some(Expected::Refusal);
                match play(seed).await {
                    Ok(report) => round.report = report,
                    Err(complaint) => round.complaints.push(complaint),
                }
            }
            Act::Played { expected, plan, strike, lag } => {
                round.expected = Some(expected);
                match Stage::set(plan(), program, seed, long).await {
                    Err(complaint) => round.complaints.push(format!("the stage is not set: {complaint}")),
                    Ok(mut stage) => {
                        round.complaints.extend(strike(&mut stage).await.err());
                        round.remark = std::mem::take(&mut stage.remark);
                        let log = stage.log.clone();
                        let played =
                            stage.end(Duration::from_secs(1) + lag, std::mem::take(&mut round.complaints)).await;
                        round.take(expected, played);
                        round.log = log.tail(usize::MAX);
                    }
                }
            }
        }
        let findings = round.report.findings.iter().take(8).map(ToString::to_string);
        round.complaints.extend(findings);
        round.took = began.elapsed();
        round
    }
}

impl Round {
    fn take(&mut self, expected: Expected, played: Played) {
        let Played { report, stats, recovery, rss_peak_kib, complaints } = played;
        self.complaints = complaints;
        let (gaps, resets) = (report.discontinuities, report.resets);
        let unseen = [(gaps, "discontinuities"), (resets, "resets")];
        let allowed = match expected {
            Expected::Nothing | Expected::Resume | Expected::Refusal => [false, false],
            Expected::Discontinuity => [true, false],
            Expected::Reset => [true, true],
        };
        for ((count, what), allowed) in unseen.into_iter().zip(allowed) {
            if count > 0 && !allowed {
                self.complaints.push(format!("{count} {what} where {expected} was expected"));
            }
        }
        match expected {
            Expected::Resume if stats.resumes == 0 => self.complaints.push("no session was resumed".to_owned()),
            Expected::Nothing | Expected::Resume | Expected::Refusal if stats.identifies > 1 => {
                self.complaints.push(format!("{} sessions were begun", stats.identifies));
            }
            Expected::Discontinuity if gaps == 0 => self.complaints.push("no discontinuity was declared".to_owned()),
            Expected::Reset if resets == 0 => self.complaints.push("no reset was sent".to_owned()),
            Expected::Nothing | Expected::Resume | Expected::Discontinuity | Expected::Reset | Expected::Refusal => {}
        }
        self.recovery = Some(recovery);
        self.rss_peak_kib = rss_peak_kib;
        self.report = report;
    }

    /// Whether everything was as promised.
    pub fn passed(&self) -> bool {
        self.complaints.is_empty()
    }
}
