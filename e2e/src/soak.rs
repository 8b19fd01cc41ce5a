//! Rounds of faults, several at a time, and what they come to.

use std::{
    collections::{BTreeSet, HashMap},
    env, fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::faults::{FAULTS, Fault, Round, SCALE_OUT};

/// What to play.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The server.
    pub program: PathBuf,
    /// These faults alone; empty = all.
    pub only: BTreeSet<String>,
    /// The first seed.
    pub seed: u64,
    /// Rounds of each fault, with one seed after the other.
    pub seeds: u64,
    /// No round begins later than this.
    pub limit: Duration,
    /// Rounds at a time.
    pub jobs: usize,
    /// Whether faults last as long as the list says, where a shorter time shows less.
    pub long: bool,
}

/// A variable is wrong.
#[derive(Clone, Debug, Error)]
pub enum ProfileError {
    /// It holds no number.
    #[error("{0} is not a number")]
    Number(&'static str),
    /// There is no such fault.
    #[error("there is no fault {0} in the list")]
    Unknown(String),
}

impl Profile {
    /// What `make test` plays: twelve faults that are quick, with one seed. Its limit is for a hang, not a measurement.
    pub fn short() -> Self {
        let twelve = ["F01", "F02", "F04", "F05", "F15", "F16", "F18", "F20", "F21", "F25", "F28", "F33"];
        Self {
            program: parlord(),
            only: twelve.iter().map(|id| (*id).to_owned()).collect(),
            seed: 1,
            seeds: 1,
            limit: Duration::from_secs(300),
            jobs: 4,
            long: false,
        }
    }

    /// What `make soak` plays, as its variables say.
    ///
    /// # Errors
    /// One of them is wrong.
    pub fn from_environment() -> Result<Self, ProfileError> {
        let number = |name: &'static str, otherwise: u64| match env::var(name).ok().filter(|text| !text.is_empty()) {
            None => Ok(otherwise),
            Some(text) => text.parse().map_err(|_| ProfileError::Number(name)),
        };
        let only: BTreeSet<String> =
            env::var("ONLY").unwrap_or_default().split_whitespace().map(str::to_uppercase).collect();
        if let Some(unknown) = only.iter().find(|id| !FAULTS.iter().any(|fault| fault.id == id.as_str())) {
            return Err(ProfileError::Unknown(unknown.clone()));
        }
        Ok(Self {
            program: parlord(),
            only,
            seed: number("SEED", 1)?,
            seeds: number("SOAK_SEEDS", 2)?,
            limit: Duration::from_secs(number("SOAK_SECONDS", 480)?),
            jobs: usize::try_from(number("JOBS", 8)?.max(1)).map_err(|_| ProfileError::Number("JOBS"))?,
            long: number("SHORT", 0)? == 0,
        })
    }
}

/// The server that was built beside this program.
fn parlord() -> PathBuf {
    let own = env::current_exe().expect("a program knows where it is");
    // Tests stand one folder deeper than programs.
    let folders = own.ancestors().skip(1).take(2);
    let mut beside = folders.map(|folder| folder.join("parlord"));
    beside.find(|path| path.exists()).unwrap_or_else(|| "parlord".into())
}

/// What all rounds came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// The rounds that were played.
    pub rounds: Vec<Round>,
    /// Faults whose subject does not exist yet, with where they belong.
    pub not_built: Vec<(&'static str, &'static str)>,
    /// Rounds for which there was no time.
    pub not_played: usize,
}

impl Summary {
    /// Plays a profile. `tell` gets a line for each round as it ends.
    pub async fn of(profile: &Profile, mut tell: impl FnMut(String)) -> Self {
        let began = Instant::now();
        let chosen = |fault: &&Fault| profile.only.is_empty() || profile.only.contains(fault.id);
        let mut summary = Self::default();
        let mut rounds = JoinSet::new();
        let places = Arc::new(Semaphore::new(profile.jobs));
        let (mut queue, mut names) = (Vec::new(), HashMap::new());
        for fault in FAULTS.iter().filter(chosen) {
            if let Some(why) = fault.not_built() {
                summary.not_built.push((fault.id, why));
                tell(format!("{} not played ({}): it comes {why}", fault.id, fault.name));
                continue;
            }
            queue.extend((0..profile.seeds).map(|more| (*fault, profile.seed + more)));
        }
        for (fault, seed) in queue {
            let (places, program, long, limit) =
                (Arc::clone(&places), profile.program.clone(), profile.long, profile.limit);
            let round = async move {
                let _place = places.acquire_owned().await.expect("it is never closed");
                if began.elapsed() > limit { None } else { Some(fault.play(program, seed, long).await) }
            };
            names.insert(rounds.spawn(round).id(), format!("{} seed {seed}", fault.id));
        }
        while let Some(round) = rounds.join_next().await {
            match round {
                Ok(Some(mut round)) => {
                    round.keep_log(&profile.program);
                    tell(round.to_string());
                    summary.rounds.push(round);
                }
                Ok(None) => summary.not_played += 1,
                Err(panic) => {
                    let name = names.get(&panic.id()).map_or("a round", String::as_str);
                    tell(format!("{name} broke off: {panic}"));
                    summary.not_played += 1;
                }
            }
        }
        summary.rounds.sort_by_key(|round| (round.id, round.seed));
        summary
    }

    /// Whether every round was played, and as promised.
    pub fn passed(&self) -> bool {
        self.not_played == 0 && !self.rounds.is_empty() && self.rounds.iter().all(Round::passed)
    }

    fn sum(&self, count: impl Fn(&Round) -> usize) -> usize {
        self.rounds.iter().map(count).sum()
    }
}

impl Round {
    /// Keeps what the server logged in a round that failed, beside the program: `soak-logs/F01-1.log`.
    fn keep_log(&mut self, program: &Path) {
        let log = std::mem::take(&mut self.log);
        let (false, Some(folder)) = (self.passed(), program.parent().map(|folder| folder.join("soak-logs"))) else {
            return;
        };
        let path = folder.join(format!("{}-{}.log", self.id, self.seed));
        let kept = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, log.join("\n")));
        self.complaints.push(match kept {
            Ok(()) => format!("the server's log: {}", path.display()),
            Err(error) => format!("the server's log cannot be kept: {error}"),
        });
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "ok" } else { "FAILED" };
        let expected = self.expected.map(|expected| expected.to_string()).unwrap_or_default();
        write!(f, "{} seed {} {verdict} ({}): expected {expected}; {}", self.id, self.seed, self.name, self.report)?;
        if let Some(recovery) = self.recovery {
            write!(f, " recovery_ms={}", recovery.as_millis())?;
        }
        write!(f, " rss_mib={} took_s={:.1}", self.rss_peak_kib / 1_024, self.took.as_secs_f64())?;
        if !self.remark.is_empty() {
            write!(f, " [{}]", self.remark)?;
        }
        self.complaints.iter().try_for_each(|complaint| write!(f, "\n    {complaint}"))?;
        if !self.passed() {
            write!(f, "\n    again: make soak ONLY={} SEED={} SOAK_SEEDS=1", self.id, self.seed)?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.rounds.iter().map(|round| round.id).collect::<BTreeSet<_>>().len();
        writeln!(
            f,
            "faults {faults}, silent holes {}, duplicates {}, states diverged {}",
            self.sum(|round| round.report.silent_holes()),
            self.sum(|round| round.report.duplicates()),
            self.sum(|round| round.report.diverged()),
        )?;
        let mut recoveries: Vec<Duration> = self.rounds.iter().filter_map(|round| round.recovery).collect();
        recoveries.sort_unstable();
        let at = |share: f64| recoveries.get((share * recoveries.len().saturating_sub(1) as f64).ceil() as usize);
        let millis = |recovery: Option<&Duration>| recovery.map_or(0, Duration::as_millis);
        let failed: Vec<String> = self
            .rounds
            .iter()
            .filter(|round| !round.passed())
            .map(|round| format!("{}/{}", round.id, round.seed))
            .collect();
        let (of_scale_out, later): (Vec<_>, Vec<_>) = self.not_built.iter().partition(|(_, why)| *why == SCALE_OUT);
        for (what, faults) in [("not built", of_scale_out), ("later", later)] {
            let ids: Vec<&str> = faults.iter().map(|(id, _)| *id).collect();
            if !ids.is_empty() {
                writeln!(f, "{what} {}: {}", ids.len(), ids.join(" "))?;
            }
        }
        write!(
            f,
            "rounds={} failed={} not_played={} max_recovery_ms={} p99_recovery_ms={} rss_peak_mib={}",
            self.rounds.len(),
            failed.len(),
            self.not_played,
            millis(recoveries.last()),
            millis(at(0.99)),
            self.rounds.iter().map(|round| round.rss_peak_kib).max().unwrap_or(0) / 1_024,
        )?;
        if !failed.is_empty() {
            write!(f, "\nfailed (fault/seed): {}", failed.join(" "))?;
        }
        if self.not_played > 0 {
            write!(f, "\n{} rounds were not played: raise SOAK_SECONDS or JOBS", self.not_played)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_was_found_and_what_was_not_played() {
        let not_built = FAULTS.iter().filter_map(|fault| Some((fault.id, fault.not_built()?))).collect();
        let report = Summary { not_built, ..Summary::default() }.to_string();
        let mut lines = report.lines();
        assert_eq!(lines.next(), Some("faults 0, silent holes 0, duplicates 0, states diverged 0"));
        assert_eq!(lines.next(), Some("not built 5: F29 F30 F34 F35 F36"));
        assert!(lines.next().is_some_and(|line| line.starts_with("later ")), "{report}");
    }
}
