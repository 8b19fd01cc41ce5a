//! Everybody speaks while people come and go, sources are exchanged, commits are spoilt, sockets break, and end-to-end
//! encryption is left and taken up again; over a network that loses, doubles and reorders, with keys that come late.
//!
//! `PARLOR_VOICE_SEED=<number>` tries another call, `PARLOR_VOICE_SEEDS=<number>` so many, one seed after the other, and
//! `PARLOR_VOICE_TRANSITIONS=<number>` longer ones. `PARLOR_VOICE_SLOWNESS=<milliseconds>` is how long messages of the gateway
//! take at most.

use std::{ops::Range, time::Duration};

use crate::{
    simulation::{Plan, Report, Swaps, run},
    told,
};

fn seeds() -> Range<u64> {
    let first = told("PARLOR_VOICE_SEED").unwrap_or(1);
    first..first + told("PARLOR_VOICE_SEEDS").unwrap_or(1)
}

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        transitions: told("PARLOR_VOICE_TRANSITIONS").unwrap_or(100) as u32,
        lost: 20,
        jitter: Duration::from_millis(110),
        slowness: Duration::from_millis(told("PARLOR_VOICE_SLOWNESS").unwrap_or(300)),
        swaps: Swaps::Never,
    }
}

fn shown(plan: Plan, report: &Report) -> String {
    format!("{plan:?}\n{report:?}")
}

/// The run itself asserts, for every session: what was sent is what was delivered or counted by its cause; nothing is
/// undecryptable; nobody is heard under another's name; and what is given up is exactly what was sealed for groups that
/// the session was not in, or whose keys it lost with a commit or welcome that was spoilt, until it was back in a group.
fn everything_happens(plan: Plan) -> Report {
    let report = run(plan);
    let shown = shown(plan, &report);
    assert!(report.transitions >= plan.transitions, "{shown}");
    let happened = [report.resumes.into(), report.downgrades.into(), report.recoveries];
    assert!(happened.into_iter().all(|times: u64| times > 0), "not everything happened: {shown}");
    for outcome in ["delivered", "passthrough", "held", "late", "lost"] {
        assert!(report.outcomes[outcome] > 0, "no frame was {outcome}: {shown}");
    }
    report
}

#[test]
fn sent_is_delivered_or_counted_by_cause() {
    for seed in seeds() {
        assert_eq!(everything_happens(plan(seed)).swaps, 0, "none was asked for");
    }
}

/// The same while sources change hands in the middle of the call.
#[test]
fn nobody_is_heard_under_another_name_when_sources_change_hands() {
    for seed in seeds() {
        let plan = Plan { swaps: Swaps::AtRest, ..plan(seed) };
        let report = everything_happens(plan);
        assert!(report.swaps >= plan.transitions / 10, "too few changed hands: {}", shown(plan, &report));
    }
}

/// And while they change hands in the middle of transitions: then nobody can know which losses were whose, and when a frame was
/// sealed its key still says who sent it.
#[test]
fn keys_keep_names_apart_when_sources_change_hands_in_transitions() {
    for seed in seeds() {
        let plan = Plan { swaps: Swaps::Anywhere, ..plan(seed) };
        let report = run(plan);
        let shown = shown(plan, &report);
        assert!(report.swaps_in_transition >= plan.transitions / 10, "too few changed hands: {shown}");
        assert!(report.outcomes["delivered"] > report.outcomes["held"], "{shown}");
    }
}

/// Over a network that loses nothing and is prompt, everything that can be read is.
#[test]
fn on_a_good_network_nothing_is_missing() {
    for plan in seeds().map(plan) {
        let plan = Plan { lost: 0, jitter: Duration::from_millis(20), swaps: Swaps::AtRest, ..plan };
        let report = run(plan);
        let shown = shown(plan, &report);
        assert_eq!((report.outcomes["lost"], report.outcomes["late"]), (0, 0), "{shown}");
    }
}

/// Datagrams come in any order, and every sixteenth not at all.
#[test]
fn on_a_bad_network_everything_is_accounted_for() {
    for plan in seeds().map(plan) {
        let plan = Plan { lost: 60, jitter: Duration::from_millis(250), swaps: Swaps::AtRest, ..plan };
        let report = run(plan);
        assert!(report.outcomes["delivered"] > 0, "{}", shown(plan, &report));
    }
}

#[test]
fn a_seed_reproduces_a_run_bit_for_bit() {
    for plan in seeds().map(plan) {
        let plan = Plan { transitions: 30, swaps: Swaps::AtRest, ..plan };
        assert_eq!(run(plan), run(plan), "{plan:?}");
        assert_ne!(run(plan).digest, run(Plan { seed: plan.seed + 1, ..plan }).digest);
    }
}
