//! Whatever a subscriber of a test is sent is judged when the test ends.

use discord_emulator::LOBBY;
use parlor_e2e::{
    House,
    validator::{Frame, From, Sight, Step},
};

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "the streams are not what was promised")]
async fn a_subscriber_that_missed_something_fails_its_test() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    house.emulator.user("ann").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;
    // Another subscriber is sent the same, but for the entry.
    let recordings = house.archive().recordings();
    let deaf = house.archive().tape("deaf", Sight::default());
    deaf.opened(From::Snapshot);
    let entries = recordings[0]
        .steps
        .iter()
        .filter_map(|step| if let Step::Frame { frame, .. } = step { Some(frame) } else { None });
    let is_entry = |frame: &Frame| frame.prev_sequence != frame.sequence;
    let mut last = None;
    for frame in entries {
        if !is_entry(frame) {
            deaf.frame(frame.clone());
        }
        last = Some(frame.clone());
    }
    let mut mark = Frame::clone(&last.expect("frames"));
    mark.prev_sequence = mark.sequence - 1;
    mark.body = Some(parlor_client::v1::subscribe_voice_events_response::Body::Bookmark(Default::default()));
    deaf.frame(mark);
}
