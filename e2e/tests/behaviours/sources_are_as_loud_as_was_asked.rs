//! Volume and priority of sources, as callers set and change them: by how loud the room hears them.

use std::time::Duration;

use discord_emulator::LOBBY;
use futures_util::{StreamExt as _, stream};
use parlor_client::v1;
use parlor_e2e::{
    Setup, soon,
    voice::{Call, pcm, sending, share, tone},
};
use tokio::sync::mpsc;
use v1::send_audio_request::Body;

/// How loud a sound is: the root of its mean square.
fn level(pcm: &[u8]) -> f64 {
    let samples = pcm.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])));
    let squares: Vec<f64> = samples.map(|sample| sample * sample).collect();
    (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_is_heard_and_so_is_its_change() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut ear = call.ear(1, pcm()).await;
    let (send, mut more) = mpsc::channel(64);
    let speak = v1::SpeakOptions { format: pcm(), volume_percent: Some(50), ..v1::SpeakOptions::default() };
    let messages = stream::iter(sending(&call.sessions[0], speak, Vec::new()));
    let messages = messages.chain(
        stream::poll_fn(move |context| more.poll_recv(context)).map(|body| v1::SendAudioRequest { body: Some(body) }),
    );
    let mut client = call.clients[0].voice_sessions();
    let volumes = [50, 10, 200];
    let speaking = async {
        for (stretch, volume) in volumes.into_iter().enumerate() {
            if stretch > 0 {
                let change = v1::SourceChange { volume_percent: Some(volume), priority: None };
                send.send(Body::Change(change)).await.expect("the call is open");
            }
            for turn in 0..40 {
                let audio = tone(440.0, stretch * 40 + turn).into();
                send.send(Body::Frame(v1::SourceFrame { audio })).await.expect("the call is open");
            }
            // A change is for what is played after it, so what was before has to be heard first.
            ear.hear(&call.users[0], (stretch + 1) * 40).await;
        }
        drop(send);
    };
    let (answer, ()) = tokio::join!(client.send_audio(messages), speaking);
    let report = answer.expect("played").into_inner().source.expect("a report");
    assert_eq!((report.frames_played, report.frames_unsent), (120, 0));
    let frames = &ear.frames[&call.users[0]];
    // 10,000 is the tone's peak. The first frames of a stretch are left out: the encoder glides from one to the next, and
    // silence may end the stretch before.
    let loud = 10_000.0 / f64::sqrt(2.0);
    let heard: Vec<f64> = frames.iter().map(|frame| level(&frame.audio) / loud).collect();
    for (volume, share) in [(50, 0.5), (10, 0.1), (200, 2.0)] {
        let about = heard.iter().filter(|level| (*level / share - 1.0).abs() < 0.15).count();
        assert!(about >= 28, "{about} frames are at {volume} percent: {heard:.2?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_priority_turns_the_others_down_to_a_fifth() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut ear = call.ear(1, pcm()).await;
    let music = call.play(0, 500.0, Duration::from_secs(4));
    let speech = async {
        ear.hear(&call.users[0], 30).await;
        let speak = v1::SpeakOptions { format: pcm(), priority: 1, ..v1::SpeakOptions::default() };
        let frames = (0..50).map(|turn| tone(1_500.0, turn));
        let messages = stream::iter(sending(&call.sessions[0], speak, frames));
        let answer = soon("the speech's end", call.clients[0].voice_sessions().send_audio(messages)).await;
        answer.expect("it is played");
        ear.hear(&call.users[0], 150).await;
    };
    tokio::join!(music, speech);
    let frames = &ear.frames[&call.users[0]];
    let shares: Vec<_> = frames.iter().map(|one| (share(&one.audio, 500.0), share(&one.audio, 1_500.0))).collect();
    let during: Vec<f64> = shares.iter().filter(|(_, speech)| *speech > 0.85).map(|(music, _)| *music).collect();
    let alone = shares.iter().filter(|(music, _)| *music > 0.85).count();
    assert!(during.len() >= 40 && alone >= 60, "{} during, {alone} alone: {shares:.2?}", during.len());
    // A fifth as loud beside one: 1 part of power in 26.
    let music = during.iter().sum::<f64>() / during.len() as f64;
    assert!((0.02..0.07).contains(&music), "{music}");
}
