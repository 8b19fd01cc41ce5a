//! Random histories against the core: `HISTORIES=1000000 SEED=7` runs more of them, or others.

use std::{env, num::NonZero, thread};

use parlor_proof::run;

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

#[test]
fn every_history_keeps_its_promises() {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    if let Err(found) = run::histories(number("HISTORIES", 10_000), number("SEED", 1), threads, None) {
        panic!("{found}");
    }
}
