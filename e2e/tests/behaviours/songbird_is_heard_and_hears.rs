//! songbird, unmodified, in calls of the emulated Discord: the client of the voice gateway's version 4. `make soak` builds it and
//! runs these tests, which need it; `make test` does not, because it takes long to build.

use std::time::Duration;

use discord_emulator::{Config, DavePolicy, LOBBY, PARLOR_DEV, VoiceConfig, VoiceTrouble};
use parlor_client::{
    Parlor,
    v1::{self, e2ee_state::Mode, watch_session_response::Event as Told},
};
use parlor_e2e::{
    House, Process, Setup,
    voice::{Ear, Eye, connect, pcm, play, share},
};
use parlor_voice::wire::transport;
use serde_json::json;

const SONGBIRD: &str = "voice.songbird";
const NODE: &str = "voice.node";
const HERTZ_OF_PARLOR: f64 = 660.0;
const HERTZ_OF_SONGBIRD: f64 = 440.0;
const HERTZ_OF_NODE: f64 = 880.0;

async fn house(voice: VoiceConfig) -> House {
    Setup { discord: Config { voice, ..Config::default() }, ..Setup::default() }.start().await
}

fn user(house: &House, token: &str) -> String {
    house.emulator.bot(token).expect("it is logged in").to_string()
}

async fn joins(bot: &mut Process) {
    bot.ask(json!({"do": "join", "guild": PARLOR_DEV, "channel": LOBBY})).await;
}

async fn speaks(bot: &mut Process, hertz: f64) {
    bot.ask(json!({"do": "speak", "hz": hertz as u64, "seconds": 30})).await;
}

/// Parlor hears the tone of a user, under that user's id.
async fn parlor_hears(parlor: &Parlor, session: &v1::VoiceSession, user: &str, hertz: f64, sealed: bool) {
    let mut ear = Ear::open(parlor, session, pcm()).await;
    ear.hear(user, 100).await;
    let part = share(&ear.sound(user, 20), hertz);
    assert!(part > 0.8, "{hertz} Hz is {part} of what comes from {user}");
    assert!(ear.frames[user].iter().skip(20).all(|frame| frame.sealed == sealed), "sealed: {sealed}");
}

/// A bot hears the tone of a user, under that user's id.
async fn bot_hears(bot: &mut Process, user: &str, hertz: f64) {
    let among = [HERTZ_OF_PARLOR, HERTZ_OF_SONGBIRD, HERTZ_OF_NODE].map(|hertz| hertz as u64);
    bot.ask(json!({"do": "listen", "among": among})).await;
    let (user, hertz) = (json!(user), json!(hertz as u64));
    bot.until(|line| line["event"] == "heard" && line["user"] == user && line["hz"] == hertz).await;
}

/// Parlor plays its tone until a bot has heard it.
async fn bot_hears_parlor(bot: &mut Process, house: &House, parlor: &Parlor, session: &v1::VoiceSession) {
    let own = user(house, house.bot_token());
    let speaking = play(parlor, session, HERTZ_OF_PARLOR, Duration::from_secs(5));
    let (report, ()) = tokio::join!(speaking, bot_hears(bot, &own, HERTZ_OF_PARLOR));
    assert_eq!(report.frames_unsent, 0, "{report:?}");
}

/// Waits until so many are in the group.
async fn are_in_the_group(eye: &mut Eye, count: usize) {
    let is_it = |told: &Told| matches!(told, Told::E2ee(state) if state.mode() == Mode::EndToEnd && state.member_user_ids.len() == count);
    eye.until(&format!("a group of {count}"), is_it).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "`make soak` builds songbird and runs this"]
async fn three_libraries_hear_each_other_end_to_end_encrypted() {
    let house = house(VoiceConfig::default()).await;
    let parlor = house.parlor().await;
    let session = connect(&parlor, &LOBBY).await.session.expect("a session");
    let mut eye = Eye::open(&parlor, &session, "").await;
    let mut songbird = Process::bot(&house, "songbird", SONGBIRD).await;
    joins(&mut songbird).await;
    are_in_the_group(&mut eye, 2).await;
    speaks(&mut songbird, HERTZ_OF_SONGBIRD).await;
    let [songbirds, own] = [SONGBIRD, house.bot_token()].map(|token| user(&house, token));
    parlor_hears(&parlor, &session, &songbirds, HERTZ_OF_SONGBIRD, true).await;
    bot_hears_parlor(&mut songbird, &house, &parlor, &session).await;

    // A third comes: everybody gets new keys.
    let mut node = Process::bot(&house, "node/voice_bot.mjs", NODE).await;
    joins(&mut node).await;
    are_in_the_group(&mut eye, 3).await;
    speaks(&mut node, HERTZ_OF_NODE).await;
    let nodes = user(&house, NODE);
    bot_hears(&mut songbird, &nodes, HERTZ_OF_NODE).await;
    bot_hears(&mut node, &songbirds, HERTZ_OF_SONGBIRD).await;
    bot_hears_parlor(&mut songbird, &house, &parlor, &session).await;
    parlor_hears(&parlor, &session, &songbirds, HERTZ_OF_SONGBIRD, true).await;

    // songbird leaves and joins again.
    songbird.ask(json!({"do": "leave"})).await;
    are_in_the_group(&mut eye, 2).await;
    joins(&mut songbird).await;
    are_in_the_group(&mut eye, 3).await;
    speaks(&mut songbird, HERTZ_OF_SONGBIRD).await;
    parlor_hears(&parlor, &session, &songbirds, HERTZ_OF_SONGBIRD, true).await;
    bot_hears(&mut node, &songbirds, HERTZ_OF_SONGBIRD).await;
    bot_hears_parlor(&mut songbird, &house, &parlor, &session).await;
    let frames = house_frames(&parlor, &session).await;
    // As it joins again, songbird may say a frame before it has its new key.
    assert!(frames.undecryptable <= 2, "{frames:?}");
    assert_ne!(own, songbirds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "`make soak` builds songbird and runs this"]
async fn a_broken_websocket_is_resumed_in_version_4() {
    let house = house(VoiceConfig::default()).await;
    let parlor = house.parlor().await;
    let session = connect(&parlor, &LOBBY).await.session.expect("a session");
    let mut eye = Eye::open(&parlor, &session, "").await;
    let mut songbird = Process::bot(&house, "songbird", SONGBIRD).await;
    joins(&mut songbird).await;
    are_in_the_group(&mut eye, 2).await;
    house.emulator.inject(VoiceTrouble::DropConnections);
    songbird.until(|line| line["event"] == "voiceState" && line["to"] == "reconnected").await;
    let stats = house.emulator.wait_for(|stats| stats.voice.resumes == 2).await;
    assert_eq!((stats.voice.resumes_refused, stats.voice.sessions_open), (0, 2));
    speaks(&mut songbird, HERTZ_OF_SONGBIRD).await;
    parlor_hears(&parlor, &session, &user(&house, SONGBIRD), HERTZ_OF_SONGBIRD, true).await;
    bot_hears_parlor(&mut songbird, &house, &parlor, &session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "`make soak` builds songbird and runs this"]
async fn the_other_mode_and_no_end_to_end_encryption_work_too() {
    let modes = vec![transport::Mode::XChaCha20Poly1305Rtpsize];
    let house = house(VoiceConfig { dave: DavePolicy::Off, modes, ..VoiceConfig::default() }).await;
    let parlor = house.parlor().await;
    let session = connect(&parlor, &LOBBY).await.session.expect("a session");
    let mut songbird = Process::bot(&house, "songbird", SONGBIRD).await;
    joins(&mut songbird).await;
    speaks(&mut songbird, HERTZ_OF_SONGBIRD).await;
    parlor_hears(&parlor, &session, &user(&house, SONGBIRD), HERTZ_OF_SONGBIRD, false).await;
    bot_hears_parlor(&mut songbird, &house, &parlor, &session).await;
}

async fn house_frames(parlor: &Parlor, session: &v1::VoiceSession) -> v1::FrameCounts {
    let session_id = session.session_id.clone();
    let answer = parlor.voice_sessions().get_session(v1::GetSessionRequest { session_id }).await.expect("it is there");
    answer.into_inner().session.and_then(|session| session.quality?.frames).expect("they are counted")
}
