//! `e2e/clients/python/record_and_answer.py`, which stands in docs/how-to/voice.md: generated code alone records who speaks, and
//! answers with a tone.

use std::time::Duration;

use discord_emulator::LOBBY;
use parlor_e2e::{
    Setup, Terminal, root, soon,
    sound_file::{caller, onsets, piece, read_wav},
    voice::{Call, pcm, share},
};

#[tokio::test(flavor = "multi_thread")]
async fn each_speaker_has_a_file_and_hears_the_answer() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let folder = tempfile::tempdir().unwrap();
    let terminal = Terminal::open(folder.path())
        .set("PARLOR_ADDR", call.house.api().to_string())
        .set("PARLOR_TOKEN", call.house.token());
    let program = root().join("e2e/clients/python/record_and_answer.py").display().to_string();
    let mut ear = call.ear(1, pcm()).await;
    let command = format!("python {program} {LOBBY} 8");
    let running = terminal.run(&command);
    let speaking = async {
        soon("a listener", async { while call.session(0).await.listener_count == 0 {} }).await;
        call.play(1, 440.0, Duration::from_secs(1)).await;
        let mut other = caller(&call.house, "Lobby", &["--tone", "600", "--seconds", "1"]).await;
        other.wait().await.unwrap();
        // Each speaker is answered for half a second.
        ear.hear(&call.users[0], 45).await;
    };
    let (printed, ()) = tokio::join!(running, speaking);
    let answer = ear.sound(&call.users[0], 2);
    let part = share(&answer[..48_000 * 4 / 3], 880.0);
    assert!(part > 0.9, "880 Hz is {part} of the answer");
    let called = call.house.emulator.bot("caller.caller").unwrap().to_string();
    for (user, hertz) in [(&call.users[1], 440.0), (&called, 600.0)] {
        assert!(printed.contains(user), "{printed}");
        let sound = read_wav(&folder.path().join(format!("{user}.wav")));
        let from = onsets(&sound)[0] + Duration::from_millis(100);
        let part = share(piece(&sound, from, Duration::from_millis(600)), hertz);
        assert!(part > 0.9, "{hertz} Hz is {part} of {user}'s file");
    }
}
