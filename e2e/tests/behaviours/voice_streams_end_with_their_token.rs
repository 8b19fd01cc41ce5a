//! Streams of voice end with TOKEN_EXPIRED when their token does: nothing more is heard, said or seen with it.

use std::time::Duration;

use discord_emulator::LOBBY;
use futures_util::{StreamExt as _, stream};
use parlor_client::{CallError, v1};
use parlor_e2e::{
    Setup, soon,
    voice::{Call, pcm, sending, tone},
};
use tonic::{Code, Status, Streaming};

#[track_caller]
fn assert_expired(status: Status) {
    let error = CallError::from(status);
    assert_eq!((error.code, error.reason.as_deref()), (Code::Unauthenticated, Some("TOKEN_EXPIRED")), "{error}");
}

async fn until_it_fails<T>(stream: &mut Streaming<T>) -> Status {
    soon("the stream's end", async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended well"),
                Err(status) => return status,
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hearing_and_watching_end() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let session_id = call.sessions[0].session_id.clone();
    let mut ear = call.ear(0, None).await;
    let watch = v1::WatchSessionRequest {
        session_id: session_id.clone(),
        quality_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..v1::WatchSessionRequest::default()
    };
    let mut eye = call.clients[0].voice_sessions().watch_session(watch).await.expect("watches").into_inner();
    let open = v1::OpenAudio {
        session_id,
        listen: Some(v1::ListenOptions::default()),
        speak: Some(v1::SpeakOptions { format: pcm(), ..v1::SpeakOptions::default() }),
        ..v1::OpenAudio::default()
    };
    let open = v1::StreamAudioRequest { body: Some(v1::stream_audio_request::Body::Open(open)) };
    let asked = stream::iter([open]).chain(stream::pending());
    let mut both = call.clients[0].voice_sessions().stream_audio(asked).await.expect("opens").into_inner();

    // Somebody is heard all the time: the frames after that are not for this token any more.
    let heard = async {
        ear.hear(&call.users[1], 10).await;
        call.house.advance_the_clock(Duration::from_secs(2 * 3_600));
        (ear.failed().await, until_it_fails(&mut eye).await, until_it_fails(&mut both).await)
    };
    let frames = (0..250).map(|turn| tone(440.0, turn));
    let speak = v1::SpeakOptions { format: pcm(), ..v1::SpeakOptions::default() };
    let messages = stream::iter(sending(&call.sessions[1], speak, frames));
    let mut client = call.clients[1].voice_sessions();
    let (_, (ear, eye, both)) = tokio::join!(client.send_audio(messages), heard);
    for status in [ear, eye, both] {
        assert_expired(status);
    }
}
