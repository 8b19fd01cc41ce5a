//! ParticipantService: what it does to somebody is seen by discord.js, by discord.py and on the stream; what it refuses
//! says why.

use discord_emulator::{ANN, Fault, GAMES, GENERAL, LOBBY, OTHER_ROOM, PARLOR_DEV};
use parlor_client::{CallError, v1};
use parlor_e2e::{House, Issuer, Process, Token, check_promises};
use serde_json::Value;
use tonic::Code;
use v1::{subscribe_voice_events_request::Start, subscribe_voice_events_response::Body, voice_event::Kind};

fn to(room: &impl ToString) -> v1::MoveParticipantRequest {
    v1::MoveParticipantRequest {
        guild_id: PARLOR_DEV.to_string(),
        user_id: ANN.to_string(),
        to_room_id: room.to_string(),
        ..Default::default()
    }
}

fn out() -> v1::DisconnectParticipantRequest {
    v1::DisconnectParticipantRequest {
        guild_id: PARLOR_DEV.to_string(),
        user_id: ANN.to_string(),
        ..Default::default()
    }
}

fn mute(mute: bool) -> v1::SetParticipantMuteRequest {
    v1::SetParticipantMuteRequest {
        guild_id: PARLOR_DEV.to_string(),
        user_id: ANN.to_string(),
        mute,
        ..Default::default()
    }
}

fn deafen(deaf: bool) -> v1::SetParticipantDeafenRequest {
    v1::SetParticipantDeafenRequest {
        guild_id: PARLOR_DEV.to_string(),
        user_id: ANN.to_string(),
        deaf,
        ..Default::default()
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, CallError>, code: Code, reason: &str) -> CallError {
    let error = outcome.expect_err("it is refused");
    assert_eq!((error.code, error.reason.as_deref()), (code, Some(reason)), "{error}");
    error
}

/// Both libraries that we did not write, logged in to the same guild.
struct Onlookers([Process; 2]);

impl Onlookers {
    async fn of(house: &House) -> Self {
        Self([
            Process::bot(house, "node/discord_bot.mjs", "a.discord.js.bot").await,
            Process::bot(house, "python/discord_bot.py", "a.discord.py.bot").await,
        ])
    }

    async fn see(&mut self, what: impl Fn(&Value) -> bool) {
        for bot in &mut self.0 {
            bot.until(|line| line["event"] == "voiceStateUpdate" && line["user"] == ANN.to_string() && what(line))
                .await;
        }
    }

    async fn leave(self) {
        for bot in self.0 {
            bot.finish().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_what_is_done_to_somebody() {
    let house = House::start().await;
    let mut onlookers = Onlookers::of(&house).await;
    let mut watcher = house.watch().await;
    let parlor = house.parlor().await;
    house.emulator.user("ann").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;

    let moved = parlor.move_participant(to(&GAMES)).await.expect("moved");
    assert!(moved.confirmed, "{moved:?}");
    assert_eq!(moved.participant.expect("in voice").room_id, GAMES.to_string());
    onlookers.see(|line| line["from"] == LOBBY.to_string() && line["to"] == GAMES.to_string()).await;

    let muted = parlor.set_participant_mute(mute(true)).await.expect("muted");
    assert!(muted.confirmed && muted.participant.expect("in voice").mute);
    onlookers.see(|line| line["mute"] == true).await;
    let deafened = parlor.set_participant_deafen(deafen(true)).await.expect("deafened");
    assert!(deafened.confirmed && deafened.participant.expect("in voice").deaf);
    onlookers.see(|line| line["deaf"] == true).await;
    assert!(!parlor.set_participant_mute(mute(false)).await.expect("heard again").participant.expect("in voice").mute);
    onlookers.see(|line| line["mute"] == false).await;

    let gone = parlor.disconnect_participant(out()).await.expect("disconnected");
    assert!(gone.confirmed && !gone.already_gone, "{gone:?}");
    onlookers.see(|line| line["to"] == "").await;
    let again = parlor.disconnect_participant(out()).await.expect("that is so already");
    assert!(again.already_gone && again.confirmed, "{again:?}");
    watcher.until_it_sees_the_truth(&house).await;
    check_promises(watcher.seen());
    onlookers.leave().await;
}

/// What a mutation answers is a place from which the change itself is seen.
#[tokio::test(flavor = "multi_thread")]
async fn the_cursor_of_an_answer_shows_the_change() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let mut watcher = house.watch().await;
    house.emulator.user("ann").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;
    let cursor = parlor.move_participant(to(&GAMES)).await.expect("moved").cursor;
    let request = v1::SubscribeVoiceEventsRequest { start: Some(Start::Cursor(cursor)), ..Default::default() };
    let mut frames = parlor.subscribe(request).await.expect("opens");
    let kind = loop {
        if let Some(Body::Event(event)) = frames.next().await.expect("goes on").expect("goes on").body {
            break event.kind.expect("a kind");
        }
    };
    let Kind::ParticipantMoved(moved) = kind else { panic!("{kind:?}") };
    assert_eq!(
        (moved.from_room_id, moved.participant.expect("somebody").room_id),
        (LOBBY.to_string(), GAMES.to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_carried_out_once() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    house.emulator.user("ann").joins(LOBBY);
    house.emulator.wait_for_world(|world| world.who_is_where(PARLOR_DEV)[&LOBBY].contains(&ANN)).await;
    let request =
        v1::MoveParticipantRequest { request_id: "0c3c0c3c-0c3c-4c3c-8c3c-0c3c0c3c0c3d".to_owned(), ..to(&GAMES) };
    let first = parlor.move_participant(request.clone()).await.expect("moved");
    // They go back by themselves, and a late repeat does not move them a second time.
    house.emulator.user("ann").moves(LOBBY);
    assert_eq!(parlor.move_participant(request.clone()).await.expect("the first answer"), first);
    assert!(house.emulator.who_is_where(PARLOR_DEV)[&LOBBY].contains(&ANN));
    let other = v1::MoveParticipantRequest { to_room_id: LOBBY.to_string(), ..request };
    assert_refused(parlor.move_participant(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    for (name, room) in [("ann", LOBBY), ("bob", LOBBY), ("cleo", GAMES)] {
        house.emulator.user(name).joins(room);
    }
    watcher.until_it_sees_the_truth(&house).await;
    let parlor = house.parlor().await;
    let users = |list: Vec<v1::Participant>| list.into_iter().map(|one| one.user_id).collect::<Vec<_>>();
    let paged = v1::ListParticipantsRequest { page_size: 1, ..Default::default() };
    let all = users(parlor.list_participants(paged).await.expect("listed"));
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted(), "{all:?}");
    let lobby = v1::ListParticipantsRequest { room_id: LOBBY.to_string(), ..Default::default() };
    assert_eq!(parlor.list_participants(lobby.clone()).await.expect("listed").len(), 2);
    let lobby = v1::ListParticipantsRequest { page_size: 1, ..lobby };
    let first = parlor.participants().list_participants(lobby).await.expect("a page").into_inner();
    let token = first.next_page_token;
    let elsewhere = v1::ListParticipantsRequest { room_id: GAMES.to_string(), page_token: token, ..Default::default() };
    assert_refused(parlor.list_participants(elsewhere).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    let unknown = v1::ListParticipantsRequest { room_id: GENERAL.to_string(), ..Default::default() };
    assert_refused(parlor.list_participants(unknown).await, Code::NotFound, "ROOM_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let mut watcher = house.watch().await;
    let not_there = (Code::FailedPrecondition, "PARTICIPANT_NOT_IN_VOICE");
    assert_refused(parlor.move_participant(to(&GAMES)).await, not_there.0, not_there.1);
    assert_refused(parlor.set_participant_mute(mute(true)).await, not_there.0, not_there.1);
    assert_refused(parlor.set_participant_deafen(deafen(true)).await, not_there.0, not_there.1);
    assert!(parlor.disconnect_participant(out()).await.expect("that is so already").already_gone);

    house.emulator.user("ann").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;
    let precondition = Code::FailedPrecondition;
    assert_refused(parlor.move_participant(to(&OTHER_ROOM)).await, precondition, "ROOM_IN_OTHER_GUILD");
    assert_refused(parlor.move_participant(to(&GENERAL)).await, Code::NotFound, "ROOM_UNKNOWN");
    let nobody = v1::MoveParticipantRequest { user_id: "1100000000000099999".to_owned(), ..to(&GAMES) };
    assert_refused(parlor.move_participant(nobody).await, Code::NotFound, "PARTICIPANT_UNKNOWN");
    let nowhere = v1::MoveParticipantRequest { guild_id: "1100000000000099999".to_owned(), ..to(&GAMES) };
    assert_refused(parlor.move_participant(nowhere).await, Code::NotFound, "GUILD_UNKNOWN");

    // A room that is full takes no more, unless the caller says so.
    let small = v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: "Small".to_owned(),
        user_limit: 1,
        ..Default::default()
    };
    let small = parlor.create_room(small).await.expect("made").room_id;
    house.emulator.user("bob").joins(small.parse().expect("an id"));
    watcher.until_it_sees_the_truth(&house).await;
    let full = assert_refused(parlor.move_participant(to(&small)).await, precondition, "ROOM_FULL");
    assert_eq!(full.metadata["user_limit"], "1");
    let over = v1::MoveParticipantRequest { ignore_user_limit: true, ..to(&small) };
    assert!(parlor.move_participant(over).await.expect("moved all the same").confirmed);

    // The permission that the bot lacks is named.
    let answer = discord_emulator::RestAnswer {
        status: 403,
        body: r#"{"message":"Missing Permissions","code":50013}"#.to_owned(),
        ..Default::default()
    };
    house.emulator.inject(Fault::NextRest { times: 1, route: None, answer, carried_out: false });
    let lacking = assert_refused(parlor.set_participant_mute(mute(true)).await, precondition, "BOT_PERMISSION_MISSING");
    assert_eq!(lacking.metadata["permission"], "MUTE_MEMBERS");

    let request = v1::MoveParticipantRequest {
        guild_id: "12*".to_owned(),
        user_id: String::new(),
        to_room_id: "lobby".to_owned(),
        request_id: "one".to_owned(),
        audit_log_reason: "r".repeat(461),
        ..Default::default()
    };
    let wrong = assert_refused(parlor.move_participant(request).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    let fields: Vec<_> = wrong.wrong_fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["to_room_id", "guild_id", "user_id", "request_id", "audit_log_reason"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_have_to_cover_it() {
    let house = House::start().await;
    house.emulator.user("ann").joins(LOBBY);
    let with = async |scope: &str, guild: &str| {
        let token = Token { scope: scope.to_owned(), guilds: vec![guild.to_owned()], ..Token::default() };
        house.parlor_with(&Issuer::get().sign(&token)).await
    };
    let reader = with("rooms:read", "*").await;
    let missing = assert_refused(reader.move_participant(to(&GAMES)).await, Code::PermissionDenied, "SCOPE_MISSING");
    assert_eq!(missing.metadata["scope"], "participants:write");
    assert_refused(reader.disconnect_participant(out()).await, Code::PermissionDenied, "SCOPE_MISSING");
    let writer = with("participants:write", "*").await;
    let list = v1::ListParticipantsRequest { room_id: LOBBY.to_string(), ..Default::default() };
    assert_refused(writer.list_participants(list.clone()).await, Code::PermissionDenied, "SCOPE_MISSING");
    let foreign = with("participants:write rooms:read", &discord_emulator::OTHER_GUILD.to_string()).await;
    assert_refused(foreign.set_participant_mute(mute(true)).await, Code::PermissionDenied, "GUILD_NOT_GRANTED");
    assert_refused(foreign.list_participants(list).await, Code::PermissionDenied, "GUILD_NOT_GRANTED");
    assert!(foreign.list_participants(Default::default()).await.expect("its own").is_empty());
    assert!(house.emulator.who_is_where(PARLOR_DEV)[&LOBBY].contains(&ANN), "nothing was done");
}
