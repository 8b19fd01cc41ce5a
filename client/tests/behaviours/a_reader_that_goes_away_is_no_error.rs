//! `parlor … | head`: whoever reads may stop, and nothing is said about it.

use std::process::Stdio;

use discord_emulator::LOBBY;
use parlor_e2e::{House, soon};

use crate::program::{Running, parlor, talk};

#[tokio::test(flavor = "multi_thread")]
async fn a_list_into_a_closed_pipe() {
    let house = House::start().await;
    for arguments in [&["rooms", "list"][..], &["completions", "bash"], &["man"], &["doctor", "-o", "json"]] {
        let mut child = parlor(&house, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let status = soon("the end", child.wait()).await.unwrap();
        assert_eq!((status.code(), talk(&mut child).await), (Some(0), String::new()), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_its_reader() {
    let house = House::start().await;
    let mut watch = Running::start(parlor(&house, &["events", "watch"]));
    watch.until("in voice").await;
    let mut child = watch.stop_reading();
    house.emulator.user("ann").joins(LOBBY);
    let status = soon("the end", child.wait()).await.unwrap();
    assert_eq!((status.code(), talk(&mut child).await), (Some(0), String::new()));
}
