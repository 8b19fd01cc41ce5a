//! `e2e/clients/python/follow.py`, which stands in docs/how-to/python.md: thirty lines over generated code that miss nothing.

use std::fs;

use discord_emulator::{GAMES, LOBBY};
use parlor_e2e::{House, Running, Terminal, root};

async fn next_event(program: &mut Running) -> (u64, String) {
    let line = program.line().await.expect("it goes on");
    let (sequence, kind) = line.split_once(' ').unwrap_or_else(|| panic!("no event: {line}"));
    (sequence.parse().unwrap_or_else(|_| panic!("no event: {line}")), kind.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_its_own_end_and_over_the_servers() {
    let mut house = House::start().await;
    let folder = tempfile::tempdir().unwrap();
    let program = root().join("e2e/clients/python/follow.py").display().to_string();
    let follow = format!("exec {} {program}", root().join(".deps/venv/bin/python").display());
    let terminal = |house: &House| {
        Terminal::open(folder.path()).set("PARLOR_ADDR", house.api().to_string()).set("PARLOR_TOKEN", house.token())
    };

    let before = terminal(&house);
    let mut first = before.start(&follow);
    // It has a position once it has read the snapshot.
    parlor_e2e::soon("the cursor", async {
        while !fs::exists(folder.path().join("cursor")).unwrap() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    house.emulator.user("ann").joins(LOBBY);
    let (at, kind) = next_event(&mut first).await;
    assert_eq!(kind, "participant_joined");
    drop(first);

    house.emulator.user("ann").joins(GAMES);
    house.restart_server().await;
    house.emulator.user("ann").leaves();
    let after = terminal(&house);
    let mut second = after.start(&follow);
    let mut missed = next_event(&mut second).await;
    if missed.0 == at {
        // It was killed between printing and storing: at worst one comes twice.
        missed = next_event(&mut second).await;
    }
    assert_eq!(missed, (at + 1, "participant_moved".to_owned()));
    assert_eq!(next_event(&mut second).await, (at + 2, "participant_left".to_owned()));
    assert!(house.archive().frames_of("grpc-python") > 3, "its streams are recorded for the judge");
}
