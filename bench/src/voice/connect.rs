//! How long it takes from asking for a session until somebody is heard.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use discord_emulator::LOBBY;
use parlor_client::v1;
use parlor_e2e::{
    House,
    voice::{Ear, connect, pcm, sending, tone},
};

/// The bot that speaks all the time.
const SPEAKER: &str = "another.bot";

/// From the call of Connect to the first frame of another bot's at the caller, each time in a call that is end-to-end
/// encrypted and goes on.
pub(crate) fn to_first_frame(rounds: usize) -> Result<Vec<Duration>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let house = House::start().await;
        let neighbour = house.neighbour(SPEAKER).await;
        let (listens, speaks) = (house.parlor().await, neighbour.parlor().await);
        let speaking = connect(&speaks, &LOBBY).await.session.context("a session")?;
        let speaker = house.emulator.bot(SPEAKER).context("it is logged in")?.to_string();
        let options = v1::SpeakOptions { format: pcm(), ..v1::SpeakOptions::default() };
        // An hour: it is still speaking when this is over. Back-pressure lets it take no more than it plays.
        let tone = (0..50 * 3_600).map(|turn| tone(440.0, turn));
        let frames = sending(&speaking, options, Vec::new()).chain(tone.map(frame));
        let mut client = speaks.voice_sessions();
        let speech = tokio::spawn(async move { client.send_audio(futures_util::stream::iter(frames)).await });
        let mut took = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            let answer = connect(&listens, &LOBBY).await;
            let session = answer.session.context("a session")?;
            let mut ear = Ear::open(&listens, &session, None).await;
            ear.hear(&speaker, 1).await;
            took.push(began.elapsed());
            let session_id = session.session_id;
            let end = v1::DisconnectRequest { session_id, force: true, ..v1::DisconnectRequest::default() };
            listens.voice_sessions().disconnect(end).await?;
            ear.finish().await;
        }
        speech.abort();
        neighbour.stop().await;
        Ok(took)
    })
}

fn frame(audio: Vec<u8>) -> v1::SendAudioRequest {
    let frame = v1::SourceFrame { audio: audio.into() };
    v1::SendAudioRequest { body: Some(v1::send_audio_request::Body::Frame(frame)) }
}
