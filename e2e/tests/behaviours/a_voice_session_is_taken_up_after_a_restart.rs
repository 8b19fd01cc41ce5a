//! A session that was asked to is there again after a restart, if a person is.

use discord_emulator::LOBBY;
use parlor_client::v1::{self, VoiceSessionState as State};
use parlor_e2e::{House, soon};

async fn connect(house: &House) -> v1::VoiceSession {
    let request = v1::ConnectRequest {
        room_id: LOBBY.to_string(),
        rejoin: true,
        lease_duration: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
        ..Default::default()
    };
    let answer = house.parlor().await.voice_sessions().connect(request).await.expect("connects");
    answer.into_inner().session.expect("a session")
}

async fn sessions(house: &House) -> Vec<v1::VoiceSession> {
    let all = v1::ListSessionsRequest::default();
    house.parlor().await.voice_sessions().list_sessions(all).await.expect("listed").into_inner().sessions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_there_again_while_a_person_is() {
    let mut house = House::start().await;
    house.emulator.user("ann").joins(LOBBY);
    let before = connect(&house).await;
    house.restart_server().await;
    let bot = house.emulator.bot(house.bot_token()).expect("it is logged in");
    let is_there = house.emulator.wait_for_world(|world| {
        world.voice_state(discord_emulator::PARLOR_DEV, bot).is_some_and(|state| state.channel_id == LOBBY)
    });
    soon("the bot's coming back", is_there).await;
    let after = sessions(&house).await;
    assert_eq!(after.len(), 1);
    assert_eq!((&after[0].session_id, after[0].lease_count), (&before.session_id, 1), "with its id and its leases");
    let mut eye = parlor_e2e::voice::Eye::open(&house.parlor().await, &after[0], "").await;
    if sessions(&house).await[0].state() != State::Connected {
        eye.until_state(State::Connected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_forgotten_where_nobody_is() {
    let mut house = House::start().await;
    connect(&house).await;
    house.restart_server().await;
    // Only what is stored could bring it back.
    house.emulator.user("ann").joins(LOBBY);
    house.restart_server().await;
    assert_eq!(sessions(&house).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_in_the_room_is_nobody() {
    let mut house = House::start().await;
    connect(&house).await;
    let neighbour = house.neighbour("the.neighbours.bot").await;
    parlor_e2e::voice::connect(&neighbour.parlor().await, &LOBBY).await;
    house.restart_server().await;
    // Only what is stored could bring it back.
    house.emulator.user("ann").joins(LOBBY);
    house.restart_server().await;
    assert_eq!(sessions(&house).await, []);
    neighbour.stop().await;
}
