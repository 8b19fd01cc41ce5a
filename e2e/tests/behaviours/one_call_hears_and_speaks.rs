//! StreamAudio: hearing and speaking at once, live audio that drops what is too much, and what is refused.

use std::time::Duration;

use discord_emulator::LOBBY;
use futures_util::{StreamExt as _, stream};
use parlor_client::{CallError, v1};
use parlor_e2e::{
    Setup, soon,
    voice::{Call, pcm, share, tone},
};
use tonic::{Code, Status};
use v1::{stream_audio_request::Body as Asked, stream_audio_response::Body as Told};

fn ask(body: Asked) -> v1::StreamAudioRequest {
    v1::StreamAudioRequest { body: Some(body) }
}

fn open(call: &Call, listen: bool, speak: Option<v1::SourceOverflow>) -> v1::StreamAudioRequest {
    let speak = speak.map(|overflow| v1::SpeakOptions {
        format: pcm(),
        overflow: overflow.into(),
        ..v1::SpeakOptions::default()
    });
    let listen = listen.then(|| v1::ListenOptions { format: pcm(), ..v1::ListenOptions::default() });
    let session_id = call.sessions[0].session_id.clone();
    ask(Asked::Open(v1::OpenAudio { session_id, lease_id: call.leases[0].clone(), listen, speak }))
}

fn frame(turn: usize) -> v1::StreamAudioRequest {
    ask(Asked::Frame(v1::SourceFrame { audio: tone(440.0, turn).into() }))
}

/// Everything that a call answers, to its end.
async fn answers(call: &Call, asked: Vec<v1::StreamAudioRequest>) -> Result<Vec<Told>, Status> {
    let mut answers = call.clients[0].voice_sessions().stream_audio(stream::iter(asked)).await?.into_inner();
    let mut told = Vec::new();
    while let Some(message) = soon("an answer", answers.message()).await? {
        told.extend(message.body);
    }
    Ok(told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_go_over_one_call() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut other = call.ear(1, pcm()).await;
    let asked = std::iter::once(open(&call, true, Some(v1::SourceOverflow::Wait))).chain((0..50).map(frame));
    // The caller has said everything, and goes on to hear.
    let asked = stream::iter(asked.collect::<Vec<_>>()).chain(stream::pending());
    let mut answers = call.clients[0].voice_sessions().stream_audio(asked).await.expect("opens").into_inner();
    let mut heard = Vec::new();
    let hear = async {
        while heard.len() < 45 * 3_840 {
            let message = soon("a frame", answers.message()).await.expect("it goes on").expect("it goes on");
            if let Some(Told::Frame(frame)) = message.body {
                assert_eq!(frame.user_id, call.users[1]);
                heard.extend(frame.audio);
            }
        }
    };
    tokio::join!(hear, other.hear(&call.users[0], 45), call.play(1, 1_000.0, Duration::from_secs(1)));
    let (here, there) = (share(&heard[5 * 3_840..], 1_000.0), share(&other.sound(&call.users[0], 5), 440.0));
    assert!(here > 0.9 && there > 0.9, "{here} and {there}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_audio_that_is_too_much_is_dropped_and_told() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let asked = std::iter::once(open(&call, false, Some(v1::SourceOverflow::Drop))).chain((0..100).map(frame));
    let told = answers(&call, asked.collect()).await.expect("it ends well");
    let Some(Told::Source(last)) = told.last() else { panic!("{told:?}") };
    assert_eq!(last.frames_played + last.frames_dropped, 100, "{last:?}");
    assert!(last.frames_played >= 10 && last.frames_dropped > 50, "200 ms wait, and hardly more: {last:?}");
    assert_eq!((last.frames_waiting, last.frames_unsent), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_with_the_field() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let waits = Some(v1::SourceOverflow::Wait);
    let short = ask(Asked::Frame(v1::SourceFrame { audio: vec![0; 100].into() }));
    let loud = ask(Asked::Change(v1::SourceChange { volume_percent: Some(201), priority: None }));
    for (asked, field) in [
        (vec![frame(0)], "open"),
        (vec![open(&call, false, waits), open(&call, false, waits)], "open"),
        (vec![open(&call, false, None)], "open"),
        (vec![open(&call, true, None), frame(0)], "open.speak"),
        (vec![open(&call, false, waits), short], "frame.audio"),
        (vec![open(&call, false, waits), loud], "change.volume_percent"),
    ] {
        let error = CallError::from(answers(&call, asked).await.expect_err(field));
        assert_eq!((error.code, error.wrong_fields[0].0.as_str()), (Code::InvalidArgument, field), "{error}");
    }
    let mut stranger = open(&call, true, None);
    if let Some(Asked::Open(open)) = &mut stranger.body {
        open.lease_id = "6a1c2b52-5c1f-4b87-9d0c-0a6f0f4b7d11".to_owned();
    }
    let error = CallError::from(answers(&call, vec![stranger]).await.expect_err("no such lease"));
    assert_eq!(error.wrong_fields[0].0, "lease_id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_takes_only_so_many_sources() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut open_calls = Vec::new();
    let refused = loop {
        // Open for as long as its sender is there.
        let (goes_on, mut more) = tokio::sync::mpsc::channel(1);
        let asked = stream::iter([open(&call, false, Some(v1::SourceOverflow::Wait))]);
        let asked = asked.chain(stream::poll_fn(move |context| more.poll_recv(context)));
        match call.clients[0].voice_sessions().stream_audio(asked).await {
            Ok(answers) => open_calls.push((goes_on, answers)),
            Err(status) => break CallError::from(status),
        }
        assert!(open_calls.len() <= 16, "there is no end");
    };
    // The subject may have 16 streams, of which none is left, or the session 16 sources: whichever comes first.
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert_eq!(call.session(0).await.source_count, i32::try_from(open_calls.len()).expect("few"));
    drop(open_calls);
    soon("the sources' end", async {
        while call.session(0).await.source_count > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
