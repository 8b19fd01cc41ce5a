//! What becomes of a session when Discord moves it, takes its server away or throws it out, and what watchers are told.

use std::time::Duration;

use discord_emulator::{GAMES, LOBBY, PARLOR_DEV, UserId, VoiceTrouble};
use parlor_client::v1::{self, VoiceSessionEnding as Ending, VoiceSessionState as State};
use parlor_e2e::{
    Setup,
    voice::{Call, pcm, share},
};
use v1::watch_session_response::Event as Told;

const SECOND: Duration = Duration::from_secs(1);

fn bot(call: &Call, who: usize) -> UserId {
    call.users[who].parse().expect("an id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_are_told_who_comes_speaks_and_goes() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut eye = call.eye(0).await;
    // The other one may have joined before the watch began.
    let mut others: Vec<_> = call.session(0).await.users.into_iter().map(|user| user.user_id).collect();
    if others.is_empty() {
        let joined = eye.until("the other's joining", |told| matches!(told, Told::UserJoined(_))).await;
        let Told::UserJoined(joined) = joined else { panic!("{joined:?}") };
        others.push(joined.user_id);
    }
    assert_eq!(others, [call.users[1].clone()]);

    call.play(1, 440.0, SECOND).await;
    let speaking = |wanted: bool| {
        let user = call.users[1].clone();
        move |told: &Told| matches!(told, Told::UserSpeaking(now) if now.user_id == user && now.speaking == wanted)
    };
    eye.until("speaking", speaking(true)).await;
    eye.until("silence", speaking(false)).await;

    let lease_id = call.leases[1].clone();
    let leave = v1::DisconnectRequest { session_id: call.sessions[1].session_id.clone(), lease_id, force: false };
    call.clients[1].voice_sessions().disconnect(leave).await.expect("it leaves");
    eye.until("the other's leaving", |told| matches!(told, Told::UserLeft(left) if left.user_id == call.users[1]))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_follows_where_discord_moves_it() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut eye = call.eye(0).await;
    let mut ear = call.ear(0, pcm()).await;
    for who in [0, 1] {
        call.house.emulator.world(|world| world.move_member(PARLOR_DEV, bot(&call, who), Some(GAMES))).expect("moved");
    }
    eye.until_state(State::Reconnecting).await;
    assert_eq!(eye.until_state(State::Connected).await.room_id, GAMES.to_string());
    let mut other = call.eye(1).await;
    if call.session(1).await.state() != State::Connected {
        other.until_state(State::Connected).await;
    }
    // The stream that was open goes on.
    let (_, ()) = tokio::join!(call.play(1, 440.0, SECOND), ear.hear(&call.users[1], 45));
    let own = share(&ear.sound(&call.users[1], 5), 440.0);
    assert!(own > 0.9, "{own}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_to_the_server_that_takes_the_place_of_its_own() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut eye = call.eye(0).await;
    let mut ear = call.ear(1, pcm()).await;
    let endpoint = call.house.emulator.voice_addr().to_string();
    let reallocate = |endpoint: Option<&str>| {
        call.house
            .emulator
            .world(|world| world.reallocate_voice_server(PARLOR_DEV, bot(&call, 0), endpoint))
            .expect("told");
    };
    reallocate(None);
    eye.until_state(State::Reconnecting).await;
    let new_server = async {
        reallocate(Some(&endpoint));
        eye.until_state(State::Connected).await;
    };
    // What is said meanwhile waits for the new server, and for a key.
    let (report, (), ()) = tokio::join!(call.play(0, 440.0, SECOND), new_server, ear.hear(&call.users[0], 45));
    assert_eq!((report.frames_played, report.frames_unsent), (50, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voice_gateway_that_breaks_off_costs_no_audio() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let (mut eye, mut ear) = (call.eye(0).await, call.ear(0, None).await);
    let trouble = async {
        ear.hear(&call.users[1], 20).await;
        call.house.emulator.inject(VoiceTrouble::DropConnections);
        eye.until_state(State::Interrupted).await;
        eye.until_state(State::Connected).await;
        ear.hear(&call.users[1], 150).await;
    };
    let (report, ()) = tokio::join!(call.play(1, 440.0, 3 * SECOND), trouble);
    assert_eq!((report.frames_played, report.frames_unsent), (150, 0));
    let frames = &ear.frames[&call.users[1]];
    assert!(frames.iter().all(|frame| frame.lost_before == 0), "nothing is lost");
    assert!(frames.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_is_counted_told_and_made_up() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let mut ear = call.ear(0, pcm()).await;
    call.house.emulator.inject(VoiceTrouble::Lose { percent: 15 });
    tokio::join!(call.play(1, 440.0, 3 * SECOND), ear.hear(&call.users[1], 120));
    call.house.emulator.clear_faults();
    // What comes after the last that is missing tells of it.
    tokio::join!(call.play(1, 440.0, SECOND), ear.hear(&call.users[1], 170));
    let frames = &ear.frames[&call.users[1]];
    let made_up = frames.iter().filter(|frame| frame.concealed).count();
    let lost: u32 = frames.iter().map(|frame| frame.lost_before).sum();
    assert!(made_up > 5, "{made_up}");
    let (first, last) = (frames[0].sequence, frames[frames.len() - 1].sequence);
    assert_eq!(last - first + 1, frames.len() as u64 + u64::from(lost), "every place is there, or told to be lost");
    // In pieces of 200 ms of the first stretch: what is made up may drift, and the second stretch begins anew.
    let sound = ear.sound(&call.users[1], 5);
    let pieces: Vec<f64> = sound.chunks_exact(10 * 3_840).take(12).map(|piece| share(piece, 440.0)).collect();
    let own = pieces.iter().sum::<f64>() / pieces.len() as f64;
    assert!(own > 0.8, "a steady tone goes on: {pieces:?}");
    let quality = async || call.session(0).await.quality.expect("it is told");
    parlor_e2e::soon("the count", async {
        while quality().await.frames.expect("they are counted").lost < made_up as u64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let speakers = quality().await.speakers;
    assert!(
        speakers.iter().any(|one| one.user_id == call.users[1] && one.frames_lost >= made_up as u64),
        "{speakers:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_thrown_out_stays_out() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let (mut eye, mut ear) = (call.eye(0).await, call.ear(0, None).await);
    call.house.emulator.world(|world| world.move_member(PARLOR_DEV, bot(&call, 0), None)).expect("thrown out");
    assert_eq!(eye.until_state(State::Ended).await.ending(), Ending::Kicked);
    ear.finish().await;
    assert_eq!(ear.ended, Some(Ending::Kicked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_ends_takes_its_session_along() {
    let house = parlor_e2e::House::start().await;
    let parlor = house.parlor().await;
    let room = v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: "For a while".to_owned(),
        ..Default::default()
    };
    let room = parlor.create_room(room).await.expect("made").room_id;
    let session = parlor_e2e::voice::connect(&parlor, &room).await.session.expect("a session");
    let mut eye = parlor_e2e::voice::Eye::open(&parlor, &session, "").await;
    parlor.end_room(v1::EndRoomRequest { room_id: room, ..Default::default() }).await.expect("it ends");
    assert_eq!(eye.until_state(State::Ended).await.ending(), Ending::RoomEnded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_takes_its_bot_along() {
    let mut call = Call::start(Setup::default(), &LOBBY).await;
    let (user, mut ear) = (bot(&call, 0), call.ear(0, None).await);
    call.house.stop_server().await;
    let status = ear.failed().await;
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    assert!(call.house.emulator.world(|world| world.voice_state(PARLOR_DEV, user).is_none()), "it has left the room");
}
