//! A server that goes away tells its streams, within a hard limit, and they continue elsewhere.

use std::time::{Duration, Instant};

use discord_emulator::LOBBY;
use parlor_client::v1::{self, subscribe_voice_events_response::Body};
use parlor_e2e::{House, Setup, check_promises};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_gets_a_last_frame_and_a_reason() {
    let mut house = House::start().await;
    let mut watchers = Vec::new();
    for _ in 0..5 {
        watchers.push(house.watch().await);
    }
    house.emulator.user("ann").joins(LOBBY);
    for watcher in &mut watchers {
        watcher.until_it_sees_the_truth(&house).await;
    }
    house.stop_server().await;
    for watcher in &mut watchers {
        let position = watcher.picture().sequence();
        let ending = watcher.until_the_end().await.expect_err("it says why");
        assert_eq!((ending.code, ending.reason.as_deref()), (Code::Unavailable, Some("DRAINING")));
        assert!(ending.retry_after.is_some());
        let last = watcher.seen().last().expect("a last frame");
        assert!(matches!(last.body, Some(Body::Draining(_))), "{last:?}");
        assert_eq!(Some(last.sequence), position, "it repeats the position");
    }

    // What happens while no server runs is told by the next one, as if it had been there: Discord's session outlives it.
    house.emulator.user("bob").joins(LOBBY);
    house.restart_server().await;
    house.emulator.user("cleo").joins(LOBBY);
    for watcher in &mut watchers {
        let before = watcher.seen().len();
        watcher.resume(&house.parlor().await).await;
        watcher.until_it_sees_the_truth(&house).await;
        check_promises(watcher.seen());
        let after = &watcher.seen()[before..];
        let Some(Body::Hello(hello)) = after[0].body.as_ref() else { panic!("{:?}", after[0]) };
        assert!(hello.resumed);
        let joins = after.iter().filter(|frame| matches!(frame.body, Some(Body::Event(_)))).count();
        assert_eq!(joins, 2);
        let declared = |body: &Body| matches!(body, Body::Reset(_) | Body::Discontinuity(_));
        assert!(!after.iter().any(|frame| frame.body.as_ref().is_some_and(declared)), "{after:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_kept_in_memory_begins_anew_and_says_so() {
    let mut house = Setup::default().set("store.kind", "memory").start().await;
    let mut watcher = house.watch().await;
    house.emulator.user("ann").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;
    house.stop_server().await;
    house.restart_server().await;
    house.emulator.user("bob").joins(LOBBY);
    watcher.resume(&house.parlor().await).await;
    let reset = watcher.until_frame(|body| matches!(body, Body::Reset(_))).await;
    let Some(Body::Reset(reset)) = reset.body else { unreachable!("it was just seen") };
    assert_eq!(reset.reason(), v1::reset::Reason::EpochChanged);
    watcher.until_it_sees_the_truth(&house).await;
    check_promises(watcher.seen());
}

/// A client that does not read cannot hold the server up. (tonic's own shutdown waits for it for ever.)
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_at_the_limit() {
    let mut house = Setup::default().set("server.drain_limit", "2s").start().await;
    let parlor = house.parlor().await;
    // Never read from: its window fills, and no last frame gets through.
    let stuck = parlor.subscribe(v1::SubscribeVoiceEventsRequest::default()).await.expect("opens");
    for round in 0..400 {
        let room = if round % 2 == 0 { LOBBY } else { discord_emulator::GAMES };
        for person in ["ann", "bob", "cleo", "dan"] {
            house.emulator.user(person).joins(room);
        }
    }
    let asked = Instant::now();
    house.stop_server().await;
    // A bound for a hang, not a measurement: without the limit this never ends.
    assert!(asked.elapsed() < Duration::from_secs(20));
    drop(stuck);
}
