//! A caller who does not read is told what it lost, and nobody else loses anything.

use std::time::Duration;

use discord_emulator::LOBBY;
use parlor_client::Parlor;
use parlor_e2e::{
    Setup,
    voice::{Call, Ear, pcm},
};
use tonic::transport::Endpoint;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_hurts_nobody() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    // Five seconds fit the queue of one listener, and less than one the buffers on the way to it.
    let (length, frames) = (Duration::from_secs(8), 400);
    let narrow = Endpoint::from_shared(format!("http://{}", call.house.api())).expect("an address");
    let narrow = narrow.initial_stream_window_size(65_535).connect().await.expect("the server answers");
    let narrow = Parlor::over(narrow, &call.house.token()).expect("a token");
    let mut slow = Ear::open(&narrow, &call.sessions[0], pcm()).await;
    let mut quick = call.ear(0, pcm()).await;
    let (report, ()) = tokio::join!(call.play(1, 440.0, length), quick.hear(&call.users[1], frames - 5));
    assert_eq!((report.frames_played, report.frames_unsent), (frames as u64, 0));
    let heard = &quick.frames[&call.users[1]];
    assert!(heard.iter().all(|frame| frame.dropped_before == 0 && frame.lost_before == 0), "it lost nothing");

    // It reads again, and what comes then says how much it missed.
    let (_, ()) = tokio::join!(call.play(1, 440.0, Duration::from_secs(1)), slow.until_told_of_drops());
    let heard = &slow.frames[&call.users[1]];
    let gaps = heard.windows(2).filter(|pair| pair[1].dropped_before > 0);
    for pair in gaps {
        let missing = pair[1].sequence - pair[0].sequence - 1;
        assert_eq!(u64::from(pair[1].dropped_before), missing, "it is told exactly");
    }
    assert!(call.house.metrics().await.contains("parlor_voice_listener_dropped_total"));
}
