//! Two bots in one call: each hears the other's tone under the other's user id, as PCM and as Opus, end-to-end encrypted or not.

use std::time::Duration;

use discord_emulator::{Config, DavePolicy, LOBBY, VoiceConfig};
use parlor_client::v1::{self, e2ee_state::Mode};
use parlor_e2e::{
    Setup,
    voice::{Call, packets, pcm, sending, share},
};

const SECOND: Duration = Duration::from_secs(1);

fn encrypted(dave: DavePolicy) -> Setup {
    let voice = VoiceConfig { dave, ..VoiceConfig::default() };
    Setup { discord: Config { voice, ..Config::default() }, ..Setup::default() }
}

/// Both play, and each has to hear the other alone. Returns whether frames were sealed.
async fn tones_are_exchanged(call: &Call) -> bool {
    let (mut at_one, mut at_two) = tokio::join!(call.ear(0, pcm()), call.ear(1, pcm()));
    let (by_one, by_two, (), ()) = tokio::join!(
        call.play(0, 440.0, SECOND),
        call.play(1, 1_000.0, SECOND),
        at_one.hear(&call.users[1], 45),
        at_two.hear(&call.users[0], 45),
    );
    for report in [by_one, by_two] {
        assert_eq!((report.frames_played, report.frames_unsent, report.frames_dropped), (50, 0, 0), "{report:?}");
    }
    let mut sealed = true;
    for (ear, user, hertz, other) in
        [(&at_one, &call.users[1], 1_000.0, 440.0), (&at_two, &call.users[0], 440.0, 1_000.0)]
    {
        let sound = ear.sound(user, 5);
        let (own, others) = (share(&sound, hertz), share(&sound, other));
        assert!(own > 0.9 && others < 0.05, "{hertz} Hz is {own} of it, {other} Hz {others}");
        assert_eq!(ear.heard().keys().copied().collect::<Vec<_>>(), [user.as_str()], "nobody else is heard");
        sealed &= ear.frames[user][5..45].iter().all(|frame| frame.sealed);
    }
    sealed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bots_hear_each_others_tones() {
    let call = Call::start(encrypted(DavePolicy::Off), &LOBBY).await;
    assert!(!tones_are_exchanged(&call).await, "there is no end-to-end encryption");
    let frames = call.session(0).await.quality.expect("it is told").frames.expect("they are counted");
    assert_eq!((frames.undecryptable, frames.held, frames.opted_out), (0, 0, 0), "{frames:?}");
    assert!(call.house.metrics().await.contains(r#"parlor_voice_frames_total{outcome="delivered"}"#));
    assert_eq!(call.session(0).await.e2ee.expect("it is told").mode(), Mode::Transport);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_to_end_encryption_keeps_tones_and_shows_the_same_codes() {
    let call = Call::start(encrypted(DavePolicy::Required), &LOBBY).await;
    let mut eye = call.eye(0).await;
    while call.session(0).await.e2ee.expect("it is told").member_user_ids.len() < 2 {
        eye.next().await.expect("the group grows");
    }
    assert!(tones_are_exchanged(&call).await, "every frame is sealed");

    let mut told = Vec::new();
    for (who, other) in [(0, 1), (1, 0)] {
        let request = v1::GetE2eeStateRequest {
            session_id: call.sessions[who].session_id.clone(),
            verify_user_id: call.users[other].clone(),
        };
        let answer = call.clients[who].voice_sessions().get_e2ee_state(request).await.expect("told").into_inner();
        let state = answer.state.expect("a state");
        assert_eq!((state.mode(), state.member_user_ids.len()), (Mode::EndToEnd, 2), "{state:?}");
        assert!(!state.privacy_code.is_empty() && !answer.verification_code.is_empty());
        told.push((state.privacy_code, answer.verification_code));
    }
    assert_eq!(told[0], told[1], "both see the same codes");
    let session_id = call.sessions[0].session_id.clone();
    let nobody = v1::GetE2eeStateRequest { session_id, verify_user_id: "100000000000000001".to_owned() };
    let refused = call.clients[0].voice_sessions().get_e2ee_state(nobody).await.expect_err("nobody has such a key");
    assert_eq!(refused.code(), tonic::Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_source_alone_is_passed_on_as_it_is() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut ear = call.ear(1, None).await;
    let sent = packets(600.0, 50);
    let messages = sending(&call.sessions[0], v1::SpeakOptions::default(), sent.clone());
    let mut client = call.clients[0].voice_sessions();
    let (answer, ()) =
        tokio::join!(client.send_audio(futures_util::stream::iter(messages)), ear.hear(&call.users[0], 50));
    assert_eq!(answer.expect("played").into_inner().source.expect("a report").frames_played, 50);
    let frames = &ear.frames[&call.users[0]];
    let heard: Vec<_> = frames.iter().map(|frame| frame.audio.to_vec()).collect();
    assert_eq!(heard[..50], sent, "byte for byte");
    assert!(frames.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1), "in order, none missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_sources_are_heard_as_one() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut ear = call.ear(1, pcm()).await;
    let (low, high, ()) =
        tokio::join!(call.play(0, 500.0, SECOND), call.play(0, 1_500.0, SECOND), ear.hear(&call.users[0], 45));
    assert_eq!((low.frames_unsent, high.frames_unsent), (0, 0));
    let sound = ear.sound(&call.users[0], 10);
    let (low, high) = (share(&sound, 500.0), share(&sound, 1_500.0));
    assert!(low > 0.3 && high > 0.3 && low + high > 0.85, "{low} and {high}");
}
