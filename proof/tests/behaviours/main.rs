//! What the proof shows. One file each, named as the behaviour.

#![allow(
    missing_docs,
    clippy::print_stdout,
    reason = "tests: the file's name is the documentation, and figures are printed"
)]

mod bugs_that_etcd_had_are_not_ours;
mod every_history_keeps_its_promises;
mod every_sabotage_is_noticed;
