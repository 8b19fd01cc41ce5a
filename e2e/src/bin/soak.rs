//! Plays the fault list against the real server, and says whether anything was lost, doubled or wrong.
//!
//! ```text
//! SOAK_SEEDS=2        rounds of each fault
//! SOAK_SECONDS=480    no round begins later
//! SEED=1              the first seed; the others follow it
//! ONLY="F15 F16"      these faults alone
//! JOBS=8              rounds at a time
//! ```

#![allow(clippy::print_stdout, reason = "the program's own output")]

use std::process::ExitCode;

use parlor_e2e::soak::{Profile, Summary};

#[tokio::main]
async fn main() -> ExitCode {
    let profile = match Profile::from_environment() {
        Ok(profile) => profile,
        Err(wrong) => {
            println!("soak: {wrong}");
            return ExitCode::from(2);
        }
    };
    let summary = Summary::of(&profile, |line| println!("{line}")).await;
    println!("{summary}");
    if summary.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
