//! Many histories, and the shortest that breaks a promise.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::{
    Broken, history,
    sabotage::Sabotage,
    step::{Case, cases},
};

/// How long a history is at most.
pub const LONGEST: usize = 60;

/// How many histories one runner makes: each such share can be repeated alone.
const SHARE: u64 = 1_000;

/// A promise was broken: the history, as short as it gets.
#[derive(Clone, Debug)]
pub struct Found {
    /// What repeats it.
    pub seed: u64,
    /// How.
    pub broken: String,
    /// The history.
    pub case: Case,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}: {}\n{}", self.seed, self.broken, self.case)
    }
}

/// Runs so many histories on so many threads, in shares of 1,000 with a seed each, from this one on.
///
/// # Errors
/// The first broken promise.
pub fn histories(number: u64, seed: u64, threads: usize, sabotage: Option<Sabotage>) -> Result<(), Box<Found>> {
    let shares = number.div_ceil(SHARE);
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let share = next.fetch_add(1, Ordering::Relaxed);
            if share >= shares {
                break;
            }
            let size = SHARE.min(number - share * SHARE);
            share_of(size, seed + share, sabotage).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let ended =
            threads.into_iter().map(|thread| thread.join().expect("a thread that runs histories does not panic"));
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}

fn share_of(size: u64, seed: u64, sabotage: Option<Sabotage>) -> Result<(), Box<Found>> {
    let cases_number = u32::try_from(size).expect("a share is small");
    let config =
        Config { cases: cases_number, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let ran = runner
        .run(&cases(LONGEST), |case| history::run(&case, sabotage).map_err(|Broken(how)| TestCaseError::fail(how)));
    ran.map_err(|error| match error {
        TestError::Fail(reason, case) => Box::new(Found { seed, broken: reason.message().to_owned(), case }),
        TestError::Abort(reason) => unreachable!("no history is rejected: {reason}"),
    })
}
