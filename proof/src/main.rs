//! Runs random histories against the core until one breaks a promise.

use std::{num::NonZero, process::ExitCode, thread, time::Instant};

use clap::Parser;
use parlor_proof::{run, sabotage::Sabotage};

/// Random histories of the event stream, each held against its promises.
#[derive(Debug, Parser)]
#[command(name = "parlor-proof")]
struct Arguments {
    /// How many histories.
    #[arg(long, env = "HISTORIES", default_value_t = 10_000)]
    histories: u64,
    /// What repeats them.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// Break things on purpose instead, and see whether that is noticed within so many histories.
    #[arg(long)]
    sabotage: bool,
}

#[expect(clippy::print_stdout, reason = "a program's answer")]
fn main() -> ExitCode {
    let Arguments { histories, seed, sabotage } = Arguments::parse();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let began = Instant::now();
    if sabotage {
        let mut caught = 0;
        for way in Sabotage::ALL {
            let found = run::histories(histories, seed, threads, Some(*way));
            caught += usize::from(found.is_err());
            let verdict = found.map_or_else(|found| found.broken, |()| "NOT CAUGHT".to_owned());
            println!("{:<70} {}", way.what(), verdict.lines().next().unwrap_or_default());
        }
        println!("sabotage caught {caught}/{}", Sabotage::ALL.len());
        return if caught == Sabotage::ALL.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match run::histories(histories, seed, threads, None) {
        Ok(()) => {
            println!("histories {histories}, seed {seed}, broken promises 0, {:.1} s", began.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(found) => {
            println!("{found}");
            ExitCode::FAILURE
        }
    }
}
