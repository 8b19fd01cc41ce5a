//! Readers who do not read: everybody else is told of everything meanwhile, and they are told of it later.

use discord_emulator::{GAMES, LOBBY};
use parlor_client::{Frames, Parlor, Picture, v1};
use parlor_e2e::{House, soon};
use prost::Message as _;
use tonic::transport::Endpoint;

/// A window that a few frames fill.
const WINDOW: u32 = 1_024;

/// A subscriber with a window of its own that is soon full, as long as nothing is read from it.
async fn who_stalls(house: &House) -> Frames {
    let endpoint = Endpoint::from_shared(format!("http://{}", house.api())).unwrap();
    let channel = endpoint.initial_stream_window_size(WINDOW).connect().await.expect("the server answers");
    let parlor = Parlor::over(channel, &house.token()).unwrap();
    parlor.subscribe(v1::SubscribeVoiceEventsRequest::default()).await.expect("the subscription opens")
}

/// No clock says here that nobody was delayed: as long as the others have not read a byte beyond their windows, whoever reads
/// is told of each change before the next one is made.
#[tokio::test(flavor = "multi_thread")]
async fn readers_who_stall_delay_nobody() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    let mut stalled = Vec::new();
    for _ in 0..12 {
        stalled.push(who_stalls(&house).await);
    }
    for round in 0..30 {
        let room = if round % 2 == 0 { LOBBY } else { GAMES };
        house.emulator.user("ann").joins(room);
        house.emulator.user("bob").joins(room);
        watcher.until_it_sees_the_truth(&house).await;
    }
    // Somebody who comes now is served as well.
    house.watch().await;
    let last = watcher.picture().cursor().to_owned();
    for frames in &mut stalled {
        let (mut picture, mut bytes) = (Picture::default(), 0);
        while picture.cursor() != last {
            let frame = soon("what was missed", frames.next()).await.expect("the stream goes on");
            let frame = frame.expect("the stream goes on");
            bytes += frame.encoded_len();
            picture.fold(&frame).expect("nothing is missing");
        }
        assert!(bytes > 4 * WINDOW as usize, "{bytes} bytes do not fill a window");
    }
}
