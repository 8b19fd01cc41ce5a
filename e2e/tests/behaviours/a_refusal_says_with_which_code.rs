//! What the voice server refuses for good it refuses with a code, and callers are told which: to Connect, to watchers and to
//! those who listen.

use discord_emulator::{LOBBY, VoiceTrouble};
use parlor_client::{CallError, v1};
use parlor_e2e::{
    House,
    voice::{Ear, Eye, connect},
};
use tonic::Code;
use v1::{VoiceSessionEnding as Ending, VoiceSessionState as State};

const CODES: [u16; 4] = [4012, 4016, 4017, 4021];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_whoever_connects() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    for code in CODES {
        house.emulator.inject(VoiceTrouble::RefuseIdentifies { code });
        let request = v1::ConnectRequest { room_id: LOBBY.to_string(), ..Default::default() };
        let error = CallError::from(parlor.voice_sessions().connect(request).await.expect_err("it is refused"));
        assert_eq!((error.code, error.reason.as_deref()), (Code::FailedPrecondition, Some("VOICE_REFUSED")), "{error}");
        assert_eq!(error.metadata["ending"], Ending::Refused.as_str_name());
        assert_eq!(error.metadata["close_code"], code.to_string());
        assert!(error.metadata["detail"].contains(&code.to_string()), "{error:?}");
        house.emulator.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_whoever_watches_or_listens() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    for code in CODES {
        let session = connect(&parlor, &LOBBY).await.session.expect("a session");
        let (mut eye, mut ear) = (Eye::open(&parlor, &session, "").await, Ear::open(&parlor, &session, None).await);
        house.emulator.inject(VoiceTrouble::Close { code });
        let ended = eye.until_state(State::Ended).await;
        assert_eq!((ended.ending(), ended.close_code), (Ending::Refused, i32::from(code)));
        assert!(ended.detail.contains(&code.to_string()), "{ended:?}");
        ear.finish().await;
        assert_eq!((ear.ended, ear.close_code), (Some(Ending::Refused), i32::from(code)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_other_endings_have_none() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let answer = connect(&parlor, &LOBBY).await;
    let session = answer.session.expect("a session");
    let mut eye = Eye::open(&parlor, &session, "").await;
    let leave = v1::DisconnectRequest { session_id: session.session_id, force: true, ..Default::default() };
    parlor.voice_sessions().disconnect(leave).await.expect("it ends");
    let ended = eye.until_state(State::Ended).await;
    assert_eq!((ended.ending(), ended.close_code, ended.detail.as_str()), (Ending::Forced, 0, ""));
}
