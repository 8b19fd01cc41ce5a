//! Everybody speaks while people come and go, sources are exchanged, commits are spoilt, sockets break, and end-to-end
//! encryption is left and taken up again; over a network that loses, doubles and reorders, with keys that come late.
//!
//! `PARLOR_VOICE_SEED=<number>` tries another call, `PARLOR_VOICE_TRANSITIONS=<number>` a longer one.

use std::time::Duration;

use crate::simulation::{Plan, Report, run};

fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn plan() -> Plan {
    Plan {
        seed: told("PARLOR_VOICE_SEED").unwrap_or(1),
        transitions: told("PARLOR_VOICE_TRANSITIONS").unwrap_or(100) as u32,
        lost: 20,
        jitter: Duration::from_millis(110),
        slowness: Duration::from_millis(300),
    }
}

fn shown(plan: Plan, report: &Report) -> String {
    format!("{plan:?}\n{report:?}")
}

/// The run itself asserts, for every session: what was sent is what was delivered or counted by its cause; nothing is
/// undecryptable; nobody is heard under another's name; and what is given up is exactly what was sealed for groups that
/// the session was not in.
#[test]
fn sent_is_delivered_or_counted_by_cause() {
    let plan = plan();
    let report = run(plan);
    let shown = shown(plan, &report);
    assert!(report.transitions >= plan.transitions, "{shown}");
    let happened = [report.swaps.into(), report.resumes.into(), report.downgrades.into(), report.recoveries];
    assert!(happened.into_iter().all(|times: u64| times > 0), "not everything happened: {shown}");
    for outcome in ["delivered", "passthrough", "held", "late", "lost"] {
        assert!(report.outcomes[outcome] > 0, "no frame was {outcome}: {shown}");
    }
}

/// Over a network that loses nothing and is prompt, everything that can be read is.
#[test]
fn on_a_good_network_nothing_is_missing() {
    let (jitter, slowness) = (Duration::from_millis(20), Duration::from_millis(300));
    let plan = Plan { lost: 0, jitter, slowness, ..plan() };
    let report = run(plan);
    let shown = shown(plan, &report);
    assert_eq!((report.outcomes["lost"], report.outcomes["late"]), (0, 0), "{shown}");
}

#[test]
fn a_seed_reproduces_a_run_bit_for_bit() {
    let plan = Plan { transitions: 30, ..plan() };
    assert_eq!(run(plan), run(plan), "{plan:?}");
    assert_ne!(run(plan).digest, run(Plan { seed: plan.seed + 1, ..plan }).digest);
}
