//! What docs/explanation/store.md says of removing a person, done as it is printed.

use std::fs;

use discord_emulator::LOBBY;
use parlor_client::v1::{reset::Reason, subscribe_voice_events_response::Body};
use parlor_e2e::{House, Page, Terminal, check_promises, workplace};

/// Whether any file of the store has these bytes in it.
fn any_file_has(house: &House, needle: &[u8]) -> bool {
    fs::read_dir(house.store_dir()).unwrap().any(|file| {
        let path = file.unwrap().path();
        path.is_file() && fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn as_the_page_says() {
    let mut house = House::start().await;
    let mut watcher = house.watch().await;
    let ann = house.emulator.user("ann").id().to_string();
    house.emulator.user("ann").joins(LOBBY);
    house.emulator.user("bob").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;

    let mut page = Page::read("docs/explanation/store.md");
    let folder = workplace();
    let terminal = Terminal::open(folder.path()).set("PARLOR_STORE__DIR", house.store_dir());
    let block = page.block("sh").with("300000000000000001", &ann);
    page.finish();

    let busy = terminal.run(&format!("! {}", block.code)).await;
    assert!(busy.contains("in use by another process"), "{busy}");

    house.stop_server().await;
    assert!(any_file_has(&house, ann.as_bytes()));
    house.emulator.user("ann").leaves();
    let said = terminal.run(&block.code).await;
    assert!(said.contains("1 rows of the last known state, 1 entries of the event log"), "{said}");
    assert!(!any_file_has(&house, ann.as_bytes()));

    // Nobody tells of her leaving any more, and still nobody shows her.
    house.restart_server().await;
    watcher.resume(&house.parlor().await).await;
    let reset = watcher.until_frame(|body| matches!(body, Body::Reset(_))).await;
    let Some(Body::Reset(reset)) = reset.body else { unreachable!("it was just seen") };
    assert_eq!(reset.reason(), Reason::EpochChanged);
    watcher.until_it_sees_the_truth(&house).await;
    check_promises(watcher.seen());
    assert!(!any_file_has(&house, ann.as_bytes()));
}
