//! `parlor-caller --wav`: what is in the file is heard in the room, and at its end the caller hangs up.

use std::time::Duration;

use discord_emulator::LOBBY;
use parlor_e2e::{
    House, soon,
    sound_file::{caller, write_wav},
    voice::{Ear, connect, pcm, share, tone},
};
use tempfile::NamedTempFile;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_a_wav_file_is_heard_from_its_beginning_to_its_end() {
    const TURNS: usize = 100;
    let house = House::start().await;
    let parlor = house.parlor().await;
    let session = connect(&parlor, &LOBBY).await.session.expect("a session");
    let mut ear = Ear::open(&parlor, &session, pcm()).await;
    // One second of each.
    let file = NamedTempFile::new().expect("a file");
    let sound = (0..TURNS).flat_map(|turn| tone(if turn < TURNS / 2 { 500.0 } else { 900.0 }, turn));
    write_wav(file.path(), &sound.collect::<Vec<u8>>());

    let mut child = caller(&house, "Lobby", &["--as", "reader", "--wav", file.path().to_str().expect("text")]).await;
    let reader = house.emulator.bot("caller.reader").expect("it is logged in").to_string();
    let ended = async { soon("its end", child.wait()).await.expect("it can be waited for") };
    // Five frames of silence follow.
    let (ended, ()) = tokio::join!(ended, ear.hear(&reader, TURNS + 5));
    assert!(ended.success(), "{ended}");
    let sound = ear.sound(&reader, 0);
    let half = |second: u64, hertz| {
        let from = Duration::from_millis(second * 1_000 + 200);
        share(parlor_e2e::sound_file::piece(&sound, from, Duration::from_millis(600)), hertz)
    };
    let (first, second) = (half(0, 500.0), half(1, 900.0));
    assert!(first > 0.9 && second > 0.9, "{first} and {second}");
    assert_eq!(ear.heard().len(), 1, "nobody else is heard");
}
