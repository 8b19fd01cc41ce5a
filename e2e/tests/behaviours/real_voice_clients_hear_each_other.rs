//! @discordjs/voice and discord.py, unmodified, in calls of the emulated Discord: who speaks is heard by everybody else, under
//! their own name, end-to-end encrypted or not, over joins, leaves, moves and broken connections.

use discord_emulator::{Config, DavePolicy, GAMES, LOBBY, PARLOR_DEV, VoiceConfig, VoiceTrouble};
use parlor_e2e::{House, Process, Setup};
use serde_json::{Value, json};

const ONE: &str = "voice.one";
const TWO: &str = "voice.two";
const THREE: &str = "voice.three";
const TONES: [u32; 3] = [440, 660, 880];

async fn house(dave: DavePolicy) -> House {
    let voice = VoiceConfig { dave, ..VoiceConfig::default() };
    Setup { discord: Config { voice, ..Config::default() }, ..Setup::default() }.start().await
}

async fn joined(house: &House, program: &str, token: &str) -> Process {
    let mut bot = Process::bot(house, program, token).await;
    bot.ask(json!({"do": "join", "guild": PARLOR_DEV, "channel": LOBBY})).await;
    bot
}

/// Waits until a bot hears this tone from the bot with this token.
async fn hears(house: &House, bot: &mut Process, token: &str, hz: u32) {
    bot.ask(json!({"do": "listen", "among": TONES})).await;
    let user = json!(house.emulator.bot(token));
    bot.until(|line| line["event"] == "heard" && line["user"] == user && line["hz"] == hz).await;
}

async fn code(bot: &mut Process) -> Value {
    bot.ask(json!({"do": "privacy_code"})).await["code"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_libraries_talk_end_to_end_encrypted() {
    let house = house(DavePolicy::Required).await;
    let mut one = joined(&house, "node/voice_bot.mjs", ONE).await;
    let mut two = joined(&house, "node/voice_bot.mjs", TWO).await;
    let mut three = joined(&house, "python/voice_bot.py", THREE).await;
    house.emulator.wait_for(|stats| stats.voice.transitions >= 2).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    one.ask(json!({"do": "write_tone", "hz": 880, "seconds": 1, "file": file.path()})).await;

    one.ask(json!({"do": "speak", "hz": 440, "seconds": 20})).await;
    three.ask(json!({"do": "speak", "packets": file.path(), "seconds": 20})).await;
    hears(&house, &mut two, ONE, 440).await;
    hears(&house, &mut two, THREE, 880).await;
    two.ask(json!({"do": "speak", "hz": 660, "seconds": 20})).await;
    hears(&house, &mut one, TWO, 660).await;
    hears(&house, &mut one, THREE, 880).await;
    let codes = [code(&mut one).await, code(&mut two).await, code(&mut three).await];
    assert!(codes[0] != "" && codes.iter().all(|code| *code == codes[0]), "{codes:?}");

    three.ask(json!({"do": "leave"})).await;
    house.emulator.wait_for(|stats| stats.voice.sessions_open == 2).await;
    house.emulator.wait_for(|stats| stats.voice.transitions >= 3).await;
    hears(&house, &mut two, ONE, 440).await;
    hears(&house, &mut one, TWO, 660).await;
    assert_ne!(code(&mut one).await, codes[0], "whoever left knows no key any more");

    // Their WebSockets break: they resume, and the group is as it was. Another server: everything anew.
    house.emulator.inject(VoiceTrouble::DropConnections);
    let resumed = house.emulator.wait_for(|stats| stats.voice.resumes == 2).await;
    assert_eq!((resumed.voice.resumes_refused, resumed.voice.sessions_open), (0, 2));
    hears(&house, &mut two, ONE, 440).await;
    house.emulator.inject(VoiceTrouble::MoveServer);
    house.emulator.wait_for(|stats| stats.voice.identifies >= resumed.voice.identifies + 2).await;
    hears(&house, &mut one, TWO, 660).await;
    hears(&house, &mut two, ONE, 440).await;

    // Alone, and together again elsewhere: a new group, from its beginning.
    for (token, bot) in [(ONE, &mut one), (TWO, &mut two)] {
        let user = house.emulator.bot(token).unwrap();
        house.emulator.world(|world| world.move_member(PARLOR_DEV, user, Some(GAMES))).unwrap();
        bot.until(|line| line["event"] == "voiceState" && line["from"] == "connecting" && line["to"] == "ready").await;
    }
    one.ask(json!({"do": "speak", "hz": 440, "seconds": 20})).await;
    hears(&house, &mut two, ONE, 440).await;
    assert_eq!(code(&mut one).await, code(&mut two).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_end_to_end_encryption_is_heard_too() {
    let house = house(DavePolicy::Off).await;
    let mut one = joined(&house, "node/voice_bot.mjs", ONE).await;
    let mut two = joined(&house, "node/voice_bot.mjs", TWO).await;
    one.ask(json!({"do": "speak", "hz": 440, "seconds": 10})).await;
    two.ask(json!({"do": "speak", "hz": 660, "seconds": 10})).await;
    hears(&house, &mut one, TWO, 660).await;
    hears(&house, &mut two, ONE, 440).await;
    assert_eq!(code(&mut one).await, "");
}
