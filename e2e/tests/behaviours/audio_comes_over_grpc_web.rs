//! ReceiveAudio over gRPC-Web, as a browser calls it: frames come while the call goes on.

use std::time::Duration;

use discord_emulator::LOBBY;
use parlor_client::v1;
use parlor_e2e::{
    Setup, soon,
    voice::{Call, pcm, share},
};
use prost::Message as _;

/// The messages that are whole at the front of what came (gRPC-Web, "Message framing"): a flag, a length, the message.
fn take(came: &mut Vec<u8>) -> Vec<v1::ReceiveAudioResponse> {
    let mut messages = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = came.as_slice() {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if rest.len() < length {
            break;
        }
        assert_eq!(*flag, 0, "trailers: {}", String::from_utf8_lossy(&rest[..length]));
        messages.push(v1::ReceiveAudioResponse::decode(&rest[..length]).expect("a message"));
        came.drain(..5 + length);
    }
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_hears_the_room() {
    use v1::receive_audio_response::Body;
    let call = Call::start(Setup::default(), &LOBBY).await;
    let request = v1::ReceiveAudioRequest {
        session_id: call.sessions[0].session_id.clone(),
        listen: Some(v1::ListenOptions { format: pcm(), ..v1::ListenOptions::default() }),
        ..v1::ReceiveAudioRequest::default()
    }
    .encode_to_vec();
    let length = u32::try_from(request.len()).expect("it is short").to_be_bytes();
    let body: Vec<u8> = [0].into_iter().chain(length).chain(request).collect();
    let url = format!("http://{}/parlor.v1.VoiceSessionService/ReceiveAudio", call.house.api());
    let answer = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .bearer_auth(call.house.token())
        .body(body);
    let mut answer = soon("an answer", answer.send()).await.expect("the server answers");
    assert_eq!(answer.headers()["content-type"], "application/grpc-web+proto");
    let (mut came, mut sound) = (Vec::new(), Vec::new());
    let hear = async {
        while sound.len() < 45 * 3_840 {
            let chunk = soon("a frame", answer.chunk()).await.expect("it goes on").expect("it goes on");
            came.extend_from_slice(&chunk);
            for message in take(&mut came) {
                if let Some(Body::Frame(frame)) = message.body {
                    assert_eq!(frame.user_id, call.users[1]);
                    sound.extend(frame.audio);
                }
            }
        }
    };
    tokio::join!(hear, call.play(1, 440.0, Duration::from_secs(1)));
    let own = share(&sound[5 * 3_840..], 440.0);
    assert!(own > 0.9, "{own}");
}
