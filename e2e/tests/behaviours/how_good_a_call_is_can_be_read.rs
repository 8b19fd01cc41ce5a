//! What WatchSession says of a call's quality is measured: the round trip to the voice server, and how unevenly frames come.

use std::time::Duration;

use discord_emulator::{LOBBY, VoiceTrouble};
use parlor_client::v1;
use parlor_e2e::{Setup, soon, voice::Call};

async fn until(call: &Call, what: &str, is_it: impl Fn(&v1::VoiceQuality) -> bool) -> v1::VoiceQuality {
    soon(what, async {
        loop {
            let quality = call.session(0).await.quality.expect("it is told");
            if is_it(&quality) {
                return quality;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_round_trip_and_the_jitter_are_measured() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let measured = until(&call, "the round trip", |quality| quality.round_trip.is_some()).await;
    let round_trip: Duration = measured.round_trip.expect("it is there").try_into().expect("a time");
    assert!(round_trip > Duration::ZERO && round_trip < Duration::from_secs(5), "{round_trip:?}");

    let jitter = |quality: &v1::VoiceQuality| {
        let speaker = quality.speakers.iter().find(|speaker| speaker.user_id == call.users[1]);
        speaker.and_then(|speaker| speaker.jitter).and_then(|jitter| Duration::try_from(jitter).ok())
    };
    // Half of the frames come 50 ms after the others: whatever the machine adds, they come unevenly.
    call.house.emulator.inject(VoiceTrouble::Delay { percent: 50, millis: 50 });
    let mut ear = call.ear(0, None).await;
    tokio::join!(call.play(1, 440.0, Duration::from_secs(2)), ear.hear(&call.users[1], 60));
    let uneven = until(&call, "the jitter", |quality| jitter(quality).is_some_and(|jitter| !jitter.is_zero())).await;
    let uneven = jitter(&uneven).expect("it is there");
    assert!(uneven > Duration::from_millis(5), "{uneven:?}");
}
