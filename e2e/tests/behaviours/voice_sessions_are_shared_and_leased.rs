//! A session is there for as long as somebody keeps it, and a guild has one.

use std::time::Duration;

use discord_emulator::{GAMES, LOBBY, PARLOR_DEV, UserId};
use parlor_client::{CallError, Parlor, v1};
use parlor_e2e::{
    House, Issuer, Token,
    voice::{Ear, Eye, connect},
};
use tonic::Code;
use v1::{VoiceSessionEnding as Ending, VoiceSessionState as State};

async fn somebody(house: &House, subject: &str, scope: &str) -> Parlor {
    let token = Token { sub: subject.to_owned(), scope: scope.to_owned(), ..Token::default() };
    house.parlor_with(&Issuer::get().sign(&token)).await
}

fn bot(house: &House) -> UserId {
    house.emulator.bot(house.bot_token()).expect("it is logged in")
}

async fn until_the_bot_has_left(house: &House) {
    let bot = bot(house);
    parlor_e2e::soon(
        "the bot's leaving",
        house.emulator.wait_for_world(|world| world.voice_state(PARLOR_DEV, bot).is_none()),
    )
    .await;
}

fn leave(answer: &v1::ConnectResponse) -> v1::DisconnectRequest {
    v1::DisconnectRequest {
        session_id: answer.session.as_ref().expect("a session").session_id.clone(),
        lease_id: answer.lease.as_ref().expect("a lease").lease_id.clone(),
        force: false,
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, tonic::Status>, code: Code, reason: &str) -> CallError {
    let error = CallError::from(outcome.expect_err("it is refused"));
    assert_eq!((error.code, error.reason.as_deref()), (code, Some(reason)), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_to_the_same_room_shares_the_session() {
    let house = House::start().await;
    let ann = somebody(&house, "ann", "voice:listen").await;
    let bob = somebody(&house, "bob", "voice:speak").await;
    let (by_ann, by_bob) = (connect(&ann, &LOBBY).await, connect(&bob, &LOBBY).await);
    assert!(by_ann.created && !by_bob.created);
    let (at_ann, at_bob) = (by_ann.session.clone().expect("a session"), by_bob.session.clone().expect("a session"));
    assert_eq!((&at_ann.session_id, at_bob.lease_count), (&at_bob.session_id, 2));
    let listed = ann.voice_sessions().list_sessions(v1::ListSessionsRequest::default()).await.expect("listed");
    assert_eq!(listed.into_inner().sessions.len(), 1);

    let elsewhere = v1::ConnectRequest { room_id: GAMES.to_string(), ..Default::default() };
    let error =
        refused(bob.voice_sessions().connect(elsewhere).await, Code::FailedPrecondition, "VOICE_SESSION_ELSEWHERE");
    assert_eq!(error.metadata["room_id"], LOBBY.to_string());
    assert_eq!(error.metadata["session_id"], at_ann.session_id);

    // Bob cannot give back what is Ann's.
    let mut stolen = leave(&by_ann);
    let answer = bob.voice_sessions().disconnect(stolen.clone()).await.expect("answered").into_inner();
    assert!(answer.already_gone && !answer.session_ended);
    let answer = ann.voice_sessions().disconnect(leave(&by_ann)).await.expect("given back").into_inner();
    assert!(!answer.already_gone && !answer.session_ended);
    let answer = bob.voice_sessions().disconnect(leave(&by_bob)).await.expect("given back").into_inner();
    assert!(!answer.already_gone && answer.session_ended);
    until_the_bot_has_left(&house).await;
    stolen.lease_id = leave(&by_bob).lease_id;
    let answer = bob.voice_sessions().disconnect(stolen).await.expect("answered").into_inner();
    assert!(answer.already_gone && answer.session_ended, "a repeat is no error");

    // The guild is free for another room.
    let games = connect(&bob, &GAMES).await;
    assert!(games.created);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_keeps_its_lease_and_without_one_it_runs_out() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let five_seconds = Some(prost_types::Duration { seconds: 5, nanos: 0 });
    let lease_id = "6a1c2b52-5c1f-4b87-9d0c-0a6f0f4b7d11".to_owned();
    let request = v1::ConnectRequest {
        room_id: LOBBY.to_string(),
        lease_id: lease_id.clone(),
        lease_duration: five_seconds,
        ..Default::default()
    };
    let first = parlor.voice_sessions().connect(request.clone()).await.expect("connects").into_inner();
    let again = parlor.voice_sessions().connect(request).await.expect("connects").into_inner();
    assert_eq!((first.created, again.created), (true, false));
    assert_eq!(again.session.as_ref().expect("a session").lease_count, 1, "a repeat renews");

    let session = again.session.expect("a session");
    let mut ear = Ear::open(&parlor, &session, None).await;
    let mut eye = Eye::open(&parlor, &session, &lease_id).await;
    // Longer than the lease lasts by itself.
    let ended = tokio::time::timeout(Duration::from_secs(6), eye.until_state(State::Ended)).await;
    assert!(ended.is_err(), "{ended:?}");
    drop(eye);
    ear.finish().await;
    assert_eq!(ear.ended, Some(Ending::Released));
    until_the_bot_has_left(&house).await;
    let gone = v1::GetSessionRequest { session_id: session.session_id };
    refused(parlor.voice_sessions().get_session(gone).await, Code::NotFound, "VOICE_SESSION_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_ends_a_session_whoever_keeps_it() {
    let house = House::start().await;
    let (ann, ops) = (somebody(&house, "ann", "voice:listen").await, house.parlor().await);
    let session = connect(&ann, &LOBBY).await.session.expect("a session");
    let mut eye = Eye::open(&ann, &session, "").await;
    let force = v1::DisconnectRequest { session_id: session.session_id, force: true, ..Default::default() };
    refused(ann.voice_sessions().disconnect(force.clone()).await, Code::PermissionDenied, "SCOPE_MISSING");
    ops.voice_sessions().disconnect(force).await.expect("it ends");
    assert_eq!(eye.until_state(State::Ended).await.ending(), Ending::Forced);
    assert!(eye.next().await.is_none(), "the stream ends well");
    until_the_bot_has_left(&house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_asks_for_its_scope() {
    let house = House::start().await;
    let nobody = somebody(&house, "nobody", "rooms:read events:read").await;
    let listener = somebody(&house, "listener", "voice:listen").await;
    let speaker = somebody(&house, "speaker", "voice:speak").await;
    let request = v1::ConnectRequest { room_id: LOBBY.to_string(), ..Default::default() };
    refused(nobody.voice_sessions().connect(request).await, Code::PermissionDenied, "SCOPE_MISSING");
    let session = connect(&listener, &LOBBY).await.session.expect("a session");
    let open = v1::OpenSource { session_id: session.session_id.clone(), ..Default::default() };
    let open = v1::SendAudioRequest { body: Some(v1::send_audio_request::Body::Open(open)) };
    let spoken = listener.voice_sessions().send_audio(futures_util::stream::iter([open])).await;
    assert_eq!(refused(spoken, Code::PermissionDenied, "SCOPE_MISSING").metadata["scope"], "voice:speak");
    let hear = v1::ReceiveAudioRequest { session_id: session.session_id, ..Default::default() };
    let heard = speaker.voice_sessions().receive_audio(hear).await.map(|_| ());
    assert_eq!(refused(heard, Code::PermissionDenied, "SCOPE_MISSING").metadata["scope"], "voice:listen");

    let unknown = v1::ConnectRequest { room_id: "100000000000000001".to_owned(), ..Default::default() };
    refused(listener.voice_sessions().connect(unknown).await, Code::NotFound, "ROOM_UNKNOWN");
    let wrong = v1::ConnectRequest {
        room_id: "lobby".to_owned(),
        lease_id: "mine".to_owned(),
        lease_duration: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        wait: Some(prost_types::Duration { seconds: 31, nanos: 0 }),
        ..Default::default()
    };
    let error = refused(listener.voice_sessions().connect(wrong).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    let fields: Vec<_> = error.wrong_fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["room_id", "lease_id", "lease_duration", "wait"]);
}
