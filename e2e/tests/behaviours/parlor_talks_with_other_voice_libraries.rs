//! Parlor and @discordjs/voice, unmodified, in one end-to-end encrypted call: each hears the other under its name.

use std::time::Duration;

use discord_emulator::{LOBBY, PARLOR_DEV};
use parlor_client::v1::{self, e2ee_state::Mode, watch_session_response::Event as Told};
use parlor_e2e::{
    House, Process,
    voice::{Ear, Eye, connect, pcm, play, share},
};
use serde_json::json;

const OTHER: &str = "voice.other";

fn digits(code: &str) -> String {
    code.chars().filter(char::is_ascii_digit).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_hear_each_other_and_see_the_same_code() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let session = connect(&parlor, &LOBBY).await.session.expect("a session");
    let mut eye = Eye::open(&parlor, &session, "").await;
    let mut other = Process::bot(&house, "node/voice_bot.mjs", OTHER).await;
    other.ask(json!({"do": "join", "guild": PARLOR_DEV, "channel": LOBBY})).await;
    let in_company = |told: &Told| matches!(told, Told::E2ee(state) if state.mode() == Mode::EndToEnd && state.member_user_ids.len() == 2);
    eye.until("a group of two", in_company).await;
    let [own, others] =
        [house.bot_token(), OTHER].map(|token| house.emulator.bot(token).expect("logged in").to_string());

    let mut ear = Ear::open(&parlor, &session, pcm()).await;
    other.ask(json!({"do": "speak", "hz": 440, "seconds": 20})).await;
    ear.hear(&others, 100).await;
    let sound = ear.sound(&others, 10);
    assert!(share(&sound, 440.0) > 0.8, "{}", share(&sound, 440.0));
    assert!(ear.frames[&others].iter().skip(5).all(|frame| frame.sealed), "sealed");

    other.ask(json!({"do": "listen", "among": [440, 660]})).await;
    let wanted = json!(own);
    let heard = other.until(|line| line["event"] == "heard" && line["user"] == wanted && line["hz"] == 660);
    tokio::join!(play(&parlor, &session, 660.0, Duration::from_secs(4)), heard);

    let theirs = other.ask(json!({"do": "privacy_code"})).await["code"].clone();
    let request = v1::GetE2eeStateRequest { session_id: session.session_id, ..Default::default() };
    let ours = parlor.voice_sessions().get_e2ee_state(request).await.expect("told").into_inner().state;
    let ours = digits(&ours.expect("a state").privacy_code);
    assert_eq!(digits(theirs.as_str().expect("a code")), ours);
    assert_eq!(ours.len(), 30);
}
