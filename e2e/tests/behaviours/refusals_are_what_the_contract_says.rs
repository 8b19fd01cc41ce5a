//! Everything that is refused is refused as contract and proto comments say: code, reason and the way out.

use std::time::Duration;

use discord_emulator::{
    ErrorBody, Fault, GENERAL, LOBBY, OTHER_GUILD, OTHER_ROOM, PARLOR_DEV, RestFault, RestTrouble, Work,
};
use parlor_client::{CallError, v1};
use parlor_e2e::{House, Issuer, Process, Setup, Token, grpcurl};
use serde_json::{Value, json};
use tonic::Code;

fn create(guild: &str, name: &str) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest { guild_id: guild.to_owned(), display_name: name.to_owned(), ..Default::default() }
}

fn end(room: &str) -> v1::EndRoomRequest {
    v1::EndRoomRequest { room_id: room.to_owned(), ..Default::default() }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, CallError>, code: Code, reason: &str) -> CallError {
    let error = outcome.expect_err("it is refused");
    assert_eq!((error.code, error.reason.as_deref()), (code, Some(reason)), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_are_not_the_callers_to_end() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let never_seen = "1100000000000099999";
    assert_refused(parlor.end_room(end(never_seen)).await, Code::NotFound, "ROOM_UNKNOWN");
    assert_refused(parlor.get_room(never_seen).await, Code::NotFound, "ROOM_UNKNOWN");
    assert_refused(parlor.get_room(GENERAL.to_string()).await, Code::NotFound, "ROOM_UNKNOWN");
    assert_refused(parlor.end_room(end(&LOBBY.to_string())).await, Code::FailedPrecondition, "ROOM_NOT_MANAGED");

    let without_ops = Token { scope: "rooms:read rooms:write".to_owned(), ..Token::default() };
    let forced = v1::EndRoomRequest { force: true, ..end(&LOBBY.to_string()) };
    let weak = house.parlor_with(&Issuer::get().sign(&without_ops)).await;
    assert_refused(weak.end_room(forced.clone()).await, Code::PermissionDenied, "SCOPE_MISSING");
    assert!(!parlor.end_room(forced.clone()).await.expect("ops may").already_gone);
    assert!(parlor.end_room(forced).await.expect("twice is fine").already_gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn guilds_that_the_token_does_not_cover() {
    let house = House::start().await;
    let only_other = Token { guilds: vec![OTHER_GUILD.to_string()], ..Token::default() };
    let parlor = house.parlor_with(&Issuer::get().sign(&only_other)).await;
    let denied = (Code::PermissionDenied, "GUILD_NOT_GRANTED");
    assert_refused(parlor.create_room(create(&PARLOR_DEV.to_string(), "No")).await, denied.0, denied.1);
    assert_refused(parlor.get_room(LOBBY.to_string()).await, denied.0, denied.1);
    assert_refused(parlor.end_room(end(&LOBBY.to_string())).await, denied.0, denied.1);
    let rooms = parlor.list_rooms(v1::ListRoomsRequest::default()).await.expect("its own");
    assert_eq!(rooms.iter().map(|room| room.room_id.clone()).collect::<Vec<_>>(), [OTHER_ROOM.to_string()]);
    assert_eq!(parlor.list_guilds().await.expect("its own").len(), 1);
    let foreign = v1::ListRoomsRequest { guild_id: PARLOR_DEV.to_string(), ..Default::default() };
    assert_refused(parlor.list_rooms(foreign).await, denied.0, denied.1);
    let foreign = v1::SubscribeVoiceEventsRequest { guild_ids: vec![PARLOR_DEV.to_string()], ..Default::default() };
    assert_refused(parlor.subscribe(foreign).await, denied.0, denied.1);
    assert_refused(
        house.parlor().await.create_room(create("1100000000000099999", "No")).await,
        Code::NotFound,
        "GUILD_UNKNOWN",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_foreign_guild_is_ever_sent() {
    let house = House::start().await;
    let only_other = Token { guilds: vec![OTHER_GUILD.to_string()], ..Token::default() };
    let mut watcher = house.watch_as(&only_other).await;
    house.emulator.user("ann").joins(LOBBY);
    house.emulator.user("bob").joins(OTHER_ROOM);
    watcher.until(|picture| picture.participants(&OTHER_ROOM.to_string()).count() == 1).await;
    let sent = format!("{:?}", watcher.seen());
    assert!(!sent.contains(&PARLOR_DEV.to_string()) && !sent.contains(&LOBBY.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_field_is_named_at_once() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let request = v1::CreateRoomRequest {
        display_name: "n".repeat(101),
        user_limit: 100,
        bitrate_bps: 7_999,
        category_id: "voice".to_owned(),
        request_id: "one".to_owned(),
        audit_log_reason: "r".repeat(461),
        ..create("12*", "")
    };
    let error = assert_refused(parlor.create_room(request).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    let fields: Vec<_> = error.wrong_fields.iter().map(|(field, _)| field.as_str()).collect();
    let all =
        ["guild_id", "display_name", "category_id", "user_limit", "bitrate_bps", "request_id", "audit_log_reason"];
    assert_eq!(fields, all);
    // What only Discord can judge comes back under our names too.
    let request = v1::CreateRoomRequest { bitrate_bps: 384_000, ..create(&PARLOR_DEV.to_string(), "Loud") };
    let error = assert_refused(parlor.create_room(request).await, Code::InvalidArgument, "INVALID_ARGUMENT");
    assert_eq!(error.wrong_fields[0].0, "bitrate_bps");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_good() {
    let house = House::start().await;
    let issuer = Issuer::get();
    let scope = |scope: &str| issuer.sign(&Token { scope: scope.to_owned(), ..Token::default() });
    let good = Token::default();
    let cases = [
        (scope("rooms:read"), Code::PermissionDenied, "SCOPE_MISSING"),
        (issuer.sign(&Token::expired_for(Duration::from_secs(60))), Code::Unauthenticated, "TOKEN_EXPIRED"),
        (issuer.forge_with_public_key(&good), Code::Unauthenticated, "TOKEN_INVALID"),
        (issuer.sign(&Token { aud: "other".to_owned(), ..good.clone() }), Code::Unauthenticated, "TOKEN_INVALID"),
        (issuer.sign(&Token { iss: "other".to_owned(), ..good.clone() }), Code::Unauthenticated, "TOKEN_INVALID"),
        (
            issuer.sign(&Token { guilds: vec!["12*".to_owned()], ..good.clone() }),
            Code::Unauthenticated,
            "TOKEN_INVALID",
        ),
        ("no.token.atall".to_owned(), Code::Unauthenticated, "TOKEN_INVALID"),
    ];
    for (token, code, reason) in cases {
        let parlor = house.parlor_with(&token).await;
        let error = assert_refused(parlor.create_room(create(&PARLOR_DEV.to_string(), "No")).await, code, reason);
        assert!(!format!("{error:?}").contains(&token), "the token does not come back");
    }
    let reader = house.parlor_with(&scope("rooms:read")).await;
    assert_refused(reader.subscribe(Default::default()).await, Code::PermissionDenied, "SCOPE_MISSING");
    let missing: Value = json!({});
    let answer = grpcurl(&house, "", &missing, "parlor.v1.RoomService/ListGuilds").await.expect_err("no token");
    assert!(answer.contains("Unauthenticated"), "{answer}");
    assert_eq!(house.emulator.world(|world| world.channels_named("No").count()), 0);
}

/// Clients that we did not write read the same details, natively and over grpc-web.
#[tokio::test(flavor = "multi_thread")]
async fn the_details_reach_python_and_grpc_web() {
    let house = House::start().await;
    let weak = Issuer::get().sign(&Token { scope: "rooms:read".to_owned(), ..Token::default() });
    let guild = PARLOR_DEV.to_string();
    for program in ["python/rooms.py", "node/rooms.mjs"] {
        let lines =
            Process::client_with(&house, &weak, program, &["create", "--guild", &guild, "--name", "No"]).finish().await;
        let error = &lines.last().expect("a line")["error"];
        assert_eq!(
            (&error["code"], &error["reason"]),
            (&json!("PERMISSION_DENIED"), &json!("SCOPE_MISSING")),
            "{error}"
        );
        assert_eq!(error["metadata"]["scope"], "rooms:write", "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token_and_says_where() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    house.advance_the_clock(Duration::from_secs(2 * 3_600));
    // What happens now is not for this token any more.
    house.emulator.user("ann").joins(LOBBY);
    assert_refused(watcher.until_the_end().await, Code::Unauthenticated, "TOKEN_EXPIRED");
    assert_eq!(watcher.picture().participants(&LOBBY.to_string()).count(), 0);

    let later = parlor_e2e::seconds_now() + 2 * 3_600;
    let fresh = Issuer::get().sign(&Token { iat: later, exp: later + 60, ..Token::default() });
    watcher.resume(&house.parlor_with(&fresh).await).await;
    watcher.until_it_sees_the_truth(&house).await;
    parlor_e2e::check_promises(watcher.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_a_subject_may_hold() {
    let house = Setup::default().set("limits.streams_per_subject", "2").start().await;
    let parlor = house.parlor().await;
    let _held = (house.watch().await, house.watch().await);
    let error = assert_refused(parlor.subscribe(Default::default()).await, Code::ResourceExhausted, "TOO_MANY_STREAMS");
    assert!(error.retry_after.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_into_a_room_that_is_gone() {
    let house = House::start().await;
    let scope = "rooms:write messages:write".to_owned();
    let parlor = house.parlor_with(&Issuer::get().sign(&Token { scope, ..Token::default() })).await;
    let room = parlor.create_room(create(&PARLOR_DEV.to_string(), "Short")).await.expect("made");
    let message =
        v1::SendMessageRequest { channel_id: room.room_id.clone(), content: "Hello".to_owned(), ..Default::default() };
    parlor.rooms().send_message(message.clone()).await.expect("it is there");
    parlor.end_room(end(&room.room_id)).await.expect("ended");
    let refused = parlor.rooms().send_message(message).await.map_err(CallError::from);
    let error = assert_refused(refused, Code::NotFound, "CHANNEL_UNKNOWN");
    assert_eq!(error.metadata["channel_id"], room.room_id);
}

/// What Discord refuses for a reason of its own says what has to be otherwise, and what it limits says for how long.
#[tokio::test(flavor = "multi_thread")]
async fn preconditions_and_limits_of_discords_have_their_details() {
    use tonic_types::StatusExt as _;
    let house = House::start().await;
    let scope = "messages:write".to_owned();
    let mut rooms = house.parlor_with(&Issuer::get().sign(&Token { scope, ..Token::default() })).await.rooms();
    let message =
        v1::SendMessageRequest { channel_id: LOBBY.to_string(), content: "Hello".to_owned(), ..Default::default() };
    house.emulator.inject(answer(400, r#"{"message":"Message was blocked by automatic moderation","code":200000}"#));
    let blocked = rooms.send_message(message.clone()).await.expect_err("it is blocked");
    let unmet = blocked.get_details_precondition_failure().expect("a PreconditionFailure").violations;
    assert_eq!((blocked.code(), unmet[0].r#type.as_str()), (Code::FailedPrecondition, "MESSAGE_FILTER"));
    let slow =
        r#"{"message":"This action cannot be performed due to slowmode rate limit","code":20016,"retry_after":7.5}"#;
    house.emulator.inject(answer(400, slow));
    let limited = rooms.send_message(message).await.expect_err("it is too early");
    let reason = limited.get_details_error_info().expect("an ErrorInfo").reason;
    assert_eq!((limited.code(), reason.as_str()), (Code::ResourceExhausted, "DISCORD_RATE_LIMITED"));
    let delay = limited.get_details_retry_info().and_then(|retry| retry.retry_delay);
    assert_eq!(delay, Some(Duration::from_millis(7_500)));
    assert!(limited.get_details_quota_failure().is_some());
}

/// One answer of Discord's with this status and body.
fn answer(status: u16, body: &str) -> Fault {
    let mut answer = discord_emulator::RestAnswer { status, ..Default::default() };
    answer.headers.insert("content-type".to_owned(), "application/json".to_owned());
    body.clone_into(&mut answer.body);
    Fault::NextRest { times: 1, route: None, answer, carried_out: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_the_bot_lacks_is_asked_for_once() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    house.emulator.inject(answer(403, r#"{"message":"Missing Permissions","code":50013}"#));
    let before = house.emulator.stats().rest_total();
    for _ in 0..2 {
        let refused = parlor.create_room(create(&PARLOR_DEV.to_string(), "No")).await;
        assert_refused(refused, Code::FailedPrecondition, "BOT_PERMISSION_MISSING");
    }
    assert_eq!(house.emulator.stats().rest_total(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_the_caller_has_no_time_for_is_told() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let limited = r#"{"message":"You are being rate limited.","retry_after":600.0,"global":true}"#;
    house.emulator.inject(answer(429, limited));
    let before = house.emulator.stats().rest_total();
    for least in [600, 590] {
        let refused = parlor.create_room(create(&PARLOR_DEV.to_string(), "No")).await;
        let error = assert_refused(refused, Code::ResourceExhausted, "DISCORD_RATE_LIMITED");
        assert!(error.retry_after.expect("how long") >= Duration::from_secs(least));
    }
    assert_eq!(house.emulator.stats().rest_total(), before + 1, "the second is not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn discords_own_refusals() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let guild = PARLOR_DEV.to_string();
    let discord = &house.emulator;

    discord.inject(answer(400, r#"{"message":"Maximum number of guild channels reached (500)","code":30013}"#));
    assert_refused(parlor.create_room(create(&guild, "No")).await, Code::ResourceExhausted, "DISCORD_QUOTA");

    // A wait that the caller has time for is waited.
    discord.inject(answer(429, r#"{"message":"You are being rate limited.","retry_after":0.1,"global":false}"#));
    parlor.create_room(create(&guild, "Patient")).await.expect("made after a wait");

    // Discord fails after having heard us, and does not say afterwards whether there is a room.
    let create_route = "POST /guilds/{guild.id}/channels";
    let fails = |route: &str| {
        let trouble = RestTrouble::ServerError { status: 502, body: ErrorBody::Html, work: Work::Skipped };
        Fault::Rest(RestFault::new(trouble).on(route))
    };
    discord.inject(fails(create_route));
    discord.inject(fails("GET /guilds/{guild.id}/audit-logs"));
    let request = v1::CreateRoomRequest {
        request_id: "11111111-1111-4111-8111-111111111111".to_owned(),
        ..create(&guild, "Perhaps")
    };
    assert_refused(parlor.create_room(request.clone()).await, Code::Unknown, "CREATE_OUTCOME_UNKNOWN");
    discord.clear_faults();
    parlor.create_room(request).await.expect("it is found out, and made");
    assert_eq!(discord.world(|world| world.channels_named("Perhaps").count()), 1);

    // A token that Discord does not accept is not shown to Discord again.
    discord.inject(answer(401, r#"{"message":"401: Unauthorized","code":0}"#));
    assert_refused(parlor.create_room(create(&guild, "No")).await, Code::Internal, "UPSTREAM_CREDENTIALS");
    let before = discord.stats().rest_total();
    assert_refused(parlor.create_room(create(&guild, "No")).await, Code::Internal, "UPSTREAM_CREDENTIALS");
    assert_eq!(discord.stats().rest_total(), before, "Discord is not asked again");
}
