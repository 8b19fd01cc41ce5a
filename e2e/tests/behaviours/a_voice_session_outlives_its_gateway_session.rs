//! Discord ends the session of the main gateway during a call, and with it the bot's place in the room: it comes back, and open
//! streams go on.

use std::time::Duration;

use discord_emulator::{Fault, LOBBY, PARLOR_DEV, UserId};
use parlor_client::v1::VoiceSessionState as State;
use parlor_e2e::{
    Setup, soon,
    voice::{Call, pcm, share},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bot_comes_back_and_streams_go_on() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let (mut eye, mut ear, mut other) = (call.eye(0).await, call.ear(0, pcm()).await, call.ear(1, pcm()).await);
    let bot: UserId = call.users[0].parse().expect("an id");
    let session_id = || {
        let state = |world: &mut discord_emulator::World| {
            world.voice_state(PARLOR_DEV, bot).map(|state| state.session_id.clone())
        };
        call.house.emulator.world(state)
    };
    let before = session_id().expect("it is in the room");
    call.house.emulator.inject(Fault::InvalidateSession { resumable: false });
    eye.until_state(State::Reconnecting).await;
    eye.until_state(State::Connected).await;
    assert_ne!(session_id().expect("it is back"), before, "by another session of the gateway");
    // The neighbour's session was ended too.
    soon("both bots' coming back", async {
        for who in [0, 1] {
            while call.session(who).await.e2ee.expect("it is told").member_user_ids.len() < 2 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let (by_one, by_two, (), ()) = tokio::join!(
        call.play(0, 440.0, SECOND),
        call.play(1, 1_000.0, SECOND),
        ear.hear(&call.users[1], 45),
        other.hear(&call.users[0], 45),
    );
    for report in [by_one, by_two] {
        assert_eq!((report.frames_played, report.frames_unsent), (50, 0), "{report:?}");
    }
    let (here, there) = (share(&ear.sound(&call.users[1], 5), 1_000.0), share(&other.sound(&call.users[0], 5), 440.0));
    assert!(here > 0.9 && there > 0.9, "{here} and {there}");
}
