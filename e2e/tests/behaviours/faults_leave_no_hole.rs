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
