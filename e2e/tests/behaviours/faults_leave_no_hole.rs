//! Twelve faults of the list, against the real server: nothing is lost, doubled or wrong, and each leads to what it must.
//! `make soak` plays all of them.

use parlor_e2e::soak::{Profile, Summary};

#[tokio::test(flavor = "multi_thread")]
async fn twelve_faults_leave_no_silent_hole() {
    let mut lines = Vec::new();
    let summary = Summary::of(&Profile::short(), |line| lines.push(line)).await;
    assert!(summary.passed(), "{}\n{summary}", lines.join("\n"));
    assert_eq!(summary.rounds.len(), 12);
}

/// A process that stood still finds in its socket what Discord sent before it gave the session up, and reads that late. What
/// may be missing is what happened after that was sent, not after it was read.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stood_still_says_since_when_something_may_be_missing() {
    let profile = Profile { only: ["F50".to_owned()].into(), ..Profile::short() };
    let mut lines = Vec::new();
    let summary = Summary::of(&profile, |line| lines.push(line)).await;
    assert!(summary.passed(), "{}\n{summary}", lines.join("\n"));
}
