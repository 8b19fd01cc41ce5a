//! Where it was asked for, each room is told that somebody listens: also those who listened before that, also after a move,
//! and also after it could not be told at first.

use discord_emulator::{ChannelId, GAMES, LOBBY, PARLOR_DEV, RestFault, RestTrouble};
use parlor_client::{Parlor, v1};
use parlor_e2e::{
    House, Setup, soon,
    voice::{Ear, Eye},
};

const TEXT: &str = "Somebody listens.";
const POST: &str = "POST /channels/{channel.id}/messages";

async fn house() -> (House, Parlor) {
    let house = Setup::default().set("voice.announcement", TEXT).start().await;
    let parlor = house.parlor().await;
    (house, parlor)
}

async fn connect(parlor: &Parlor, announce_listening: bool) -> v1::VoiceSession {
    let request = v1::ConnectRequest { room_id: LOBBY.to_string(), announce_listening, ..Default::default() };
    let answer = parlor.voice_sessions().connect(request).await.expect("connects").into_inner();
    answer.session.expect("a session")
}

fn told(house: &House, room: ChannelId) -> usize {
    house.emulator.world(|world| world.messages(room).iter().filter(|one| one.content == TEXT).count())
}

async fn until_told(house: &House, room: ChannelId) {
    let is_told = house.emulator.wait_for_world(|world| world.messages(room).iter().any(|one| one.content == TEXT));
    soon("the announcement", is_told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_listened_before_it_was_asked_for() {
    let (house, parlor) = house().await;
    let session = connect(&parlor, false).await;
    let _ear = Ear::open(&parlor, &session, None).await;
    assert_eq!(told(&house, LOBBY), 0, "nobody has asked for it");
    assert!(connect(&parlor, true).await.announces_listening);
    until_told(&house, LOBBY).await;
    connect(&parlor, true).await;
    let _other = Ear::open(&parlor, &session, None).await;
    // Whatever those two would lead to comes before what a move leads to.
    let bot = house.emulator.bot(house.bot_token()).expect("it is logged in");
    house.emulator.world(|world| world.move_member(PARLOR_DEV, bot, Some(GAMES))).expect("moved");
    until_told(&house, GAMES).await;
    assert_eq!(told(&house, LOBBY), 1, "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_bot_was_moved_to() {
    let (house, parlor) = house().await;
    let session = connect(&parlor, true).await;
    let _ear = Ear::open(&parlor, &session, None).await;
    until_told(&house, LOBBY).await;
    let bot = house.emulator.bot(house.bot_token()).expect("it is logged in");
    house.emulator.world(|world| world.move_member(PARLOR_DEV, bot, Some(GAMES))).expect("moved");
    until_told(&house, GAMES).await;
    assert_eq!((told(&house, LOBBY), told(&house, GAMES)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_where_nobody_listens() {
    let (house, parlor) = house().await;
    let session = connect(&parlor, true).await;
    let mut eye = Eye::open(&parlor, &session, "").await;
    let bot = house.emulator.bot(house.bot_token()).expect("it is logged in");
    house.emulator.world(|world| world.move_member(PARLOR_DEV, bot, Some(GAMES))).expect("moved");
    while eye.until_state(v1::VoiceSessionState::Connected).await.room_id != GAMES.to_string() {}
    let _ear = Ear::open(&parlor, &session, None).await;
    until_told(&house, GAMES).await;
    assert_eq!((told(&house, LOBBY), told(&house, GAMES)), (0, 1), "once somebody does");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn although_it_could_not_be_told_at_first() {
    let (house, parlor) = house().await;
    let session = connect(&parlor, true).await;
    let trouble = RestTrouble::ServerError { status: 500, body: Default::default(), work: Default::default() };
    house.emulator.inject(RestFault::new(trouble).on(POST));
    let mut ears = vec![Ear::open(&parlor, &session, None).await];
    let stats = || house.emulator.stats().rest.get(POST).copied().unwrap_or_default();
    soon("an attempt", async {
        while stats() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    house.emulator.clear_faults();
    soon("the announcement", async {
        while told(&house, LOBBY) == 0 {
            // Whoever begins to listen has the room told, once it is known that it was not.
            ears.truncate(1);
            ears.push(Ear::open(&parlor, &session, None).await);
        }
    })
    .await;
    assert_eq!(told(&house, LOBBY), 1);
}
