//! A voice server that offers nothing but an encryption mode that Discord has retired: used where the operator accepts it, else
//! refused with that reason.

use std::time::Duration;

use discord_emulator::{Config, DavePolicy, LOBBY, VoiceConfig};
use parlor_client::{CallError, v1};
use parlor_e2e::{
    Setup,
    voice::{Call, pcm, share},
};
use parlor_voice::wire::transport::Mode;
use tonic::Code;

const SECOND: Duration = Duration::from_secs(1);

fn old(dave: DavePolicy) -> Setup {
    let voice = VoiceConfig { dave, modes: vec![Mode::XSalsa20Poly1305], ..VoiceConfig::default() };
    Setup { discord: Config { voice, ..Config::default() }, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bots_hear_each_other_over_it() {
    for dave in [DavePolicy::Off, DavePolicy::Required] {
        let call = Call::start(old(dave).set("voice.retired_modes", "true"), &LOBBY).await;
        let (mut at_one, mut at_two) = tokio::join!(call.ear(0, pcm()), call.ear(1, pcm()));
        let (by_one, by_two, (), ()) = tokio::join!(
            call.play(0, 440.0, SECOND),
            call.play(1, 1_000.0, SECOND),
            at_one.hear(&call.users[1], 45),
            at_two.hear(&call.users[0], 45),
        );
        for report in [by_one, by_two] {
            assert_eq!((report.frames_played, report.frames_unsent), (50, 0), "{report:?}");
        }
        for (ear, user, hertz) in [(&at_one, &call.users[1], 1_000.0), (&at_two, &call.users[0], 440.0)] {
            let own = share(&ear.sound(user, 5), hertz);
            assert!(own > 0.9, "{hertz} Hz is {own} of it, {dave:?}");
            let sealed = ear.frames[user][5..45].iter().all(|frame| frame.sealed);
            assert_eq!(sealed, dave == DavePolicy::Required, "end-to-end encryption goes over it too");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_refused_unless_it_is_accepted() {
    let house = old(DavePolicy::Off).start().await;
    let request = v1::ConnectRequest { room_id: LOBBY.to_string(), ..Default::default() };
    let refused = house.parlor().await.voice_sessions().connect(request).await.expect_err("there is no way");
    let error = CallError::from(refused);
    assert_eq!((error.code, error.reason.as_deref()), (Code::FailedPrecondition, Some("VOICE_REFUSED")), "{error}");
    assert_eq!(error.metadata["ending"], "VOICE_SESSION_ENDING_REFUSED");
    assert!(error.metadata["detail"].contains("no encryption that may be used"), "{error:?}");
    assert!(!error.metadata.contains_key("close_code"));
}
