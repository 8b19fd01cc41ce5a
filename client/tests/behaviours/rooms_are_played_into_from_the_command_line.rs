//! `parlor voice play`: an Ogg Opus file goes to the room packet by packet, a WAV file as sound.

use std::time::Duration;

use discord_emulator::LOBBY;
use parlor_e2e::{
    Setup,
    sound_file::{write_opus, write_wav},
    voice::{Call, packets, pcm, share, tone},
};
use serde_json::Value;

use crate::program::{Running, parlor, path, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_opus_file_is_heard_as_it_is() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut ear = call.ear(1, None).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tone.opus");
    let sent = packets(600.0, 60);
    write_opus(&file, &sent);
    let playing = run(parlor(&call.house, &["voice", "play", &LOBBY.to_string(), path(&file), "-o", "json"]));
    let (ran, ()) = tokio::join!(playing, ear.hear(&call.users[0], 60));
    let last: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((ran.code, &last["event"], &last["frames_played"]), (Some(0), &"played".into(), &60.into()), "{ran:?}");
    let heard: Vec<_> = ear.frames[&call.users[0]].iter().map(|frame| frame.audio.to_vec()).collect();
    assert_eq!(heard[..60], sent, "byte for byte");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wav_file_is_heard_and_ends_with_ctrl_c() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut ear = call.ear(1, pcm()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tone.wav");
    write_wav(&file, &(0..50).flat_map(|turn| tone(800.0, turn)).collect::<Vec<u8>>());
    let room = LOBBY.to_string();
    let mut playing =
        Running::start(parlor(&call.house, &["voice", "play", &room, path(&file), "--repeat", "-o", "json"]));
    ear.hear(&call.users[0], 75).await;
    playing.signal("INT").await;
    playing.frames_until(|line| line["event"] == "played").await;
    assert_eq!(playing.end().await, Some(0));
    let sound = ear.sound(&call.users[0], 5);
    let part = share(&sound[..48_000 * 4], 800.0);
    assert!(part > 0.9, "800 Hz is {part} of what was heard for {:?}", Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_played_is_said_before_anybody_joins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("song.mp3");
    std::fs::write(&file, "ID3 and so on").unwrap();
    let house = parlor_e2e::House::start().await;
    let refused = run(parlor(&house, &["voice", "play", &LOBBY.to_string(), path(&file)])).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("neither Ogg Opus nor WAV") && refused.stderr.contains("ffmpeg -i"), "{refused:?}");
    let bot = house.emulator.bot(house.bot_token()).unwrap();
    assert!(house.emulator.rooms()[&LOBBY].iter().all(|user| *user != bot));
}
