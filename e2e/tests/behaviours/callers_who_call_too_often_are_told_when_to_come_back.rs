//! Rates and quotas: who uses up their own is told which limit it was and when it is lifted, and nobody else notices.

use discord_emulator::{ANN, LOBBY, OTHER_GUILD, PARLOR_DEV};
use parlor_client::{CallError, v1};
use parlor_e2e::{House, Issuer, Setup, Token, soon};
use tonic::Code;
use tonic_types::StatusExt as _;

async fn subject(house: &House, name: &str) -> parlor_client::Parlor {
    house.parlor_with(&Issuer::get().sign(&Token { sub: name.to_owned(), ..Token::default() })).await
}

fn create(guild: &impl ToString, name: &str) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest { guild_id: guild.to_string(), display_name: name.to_owned(), ..Default::default() }
}

/// Calls as fast as it goes until the bucket is empty; a machine that is slow refills it meanwhile.
async fn until_refused<T, E>(mut call: impl AsyncFnMut() -> Result<T, E>) -> E {
    for _ in 0..1_000 {
        if let Err(error) = call().await {
            return error;
        }
    }
    panic!("a thousand calls were answered");
}

#[track_caller]
fn assert_limited<T: std::fmt::Debug>(outcome: Result<T, CallError>, rule: &str) -> CallError {
    let error = outcome.expect_err("it is refused");
    assert_eq!((error.code, error.reason.as_deref()), (Code::ResourceExhausted, Some("RATE_LIMITED")), "{error}");
    assert_eq!(error.metadata["rule"], rule, "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subject_has_its_own_rates() {
    let rates = Setup::default()
        .set("rates.reads_per_second", "1")
        .set("rates.reads_burst", "2")
        .set("rates.changes_per_second", "1")
        .set("rates.changes_burst", "1")
        .set("rates.streams_per_second", "1")
        .set("rates.streams_burst", "1");
    let house = rates.start().await;
    let (ann, bob) = (subject(&house, "ann").await, subject(&house, "bob").await);
    let guilds =
        async |parlor: &parlor_client::Parlor| parlor.rooms().list_guilds(v1::ListGuildsRequest::default()).await;
    let refused = until_refused(async || guilds(&ann).await).await;
    let details = refused.get_error_details();
    let quota = &details.quota_failure().expect("a QuotaFailure").violations[0];
    assert_eq!((&*quota.subject, &*quota.description), ("subject", "1 calls that read a second, 2 at once"));
    assert!(details.retry_info().is_some());
    assert_limited::<()>(Err(CallError::from(refused)), "reads");
    guilds(&bob).await.expect("bob has a bucket of his own");
    soon("the limit's end", async { while guilds(&ann).await.is_err() {} }).await;

    let mute = v1::SetParticipantMuteRequest {
        guild_id: PARLOR_DEV.to_string(),
        user_id: ANN.to_string(),
        mute: true,
        ..Default::default()
    };
    house.emulator.user("ann").joins(LOBBY);
    let limited = until_refused(async || ann.set_participant_mute(mute.clone()).await).await;
    assert!(assert_limited::<()>(Err(limited), "changes").retry_after.is_some());
    let limited = until_refused(async || ann.subscribe(Default::default()).await).await;
    assert!(assert_limited::<()>(Err(limited), "streams").retry_after.is_some());
    let metrics = house.metrics().await;
    for rule in ["reads", "changes", "streams"] {
        assert!(metrics.contains(&format!(r#"parlor_ratelimited_total{{rule="{rule}"}}"#)), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guild_is_changed_at_its_own_rate_by_all_together() {
    let house =
        Setup::default().set("rates.guild_changes_per_second", "1").set("rates.guild_changes_burst", "2").start().await;
    let (ann, bob) = (subject(&house, "ann").await, subject(&house, "bob").await);
    let mut request = create(&PARLOR_DEV, "One");
    request.request_id = "0c3c0c3c-0c3c-4c3c-8c3c-0c3c0c3c0c3e".to_owned();
    let first = ann.create_room(request.clone()).await.expect("made");
    let limited = until_refused(async || bob.create_room(create(&PARLOR_DEV, "More")).await).await;
    let limited = assert_limited::<()>(Err(limited), "guild_changes");
    assert_eq!(limited.metadata["guild_id"], PARLOR_DEV.to_string());
    assert_eq!(ann.create_room(request).await.expect("a repeat changes nothing").room_id, first.room_id);
    bob.create_room(create(&OTHER_GUILD, "Elsewhere")).await.expect("another guild has its own");
}

/// The items of a batch wait for their turn, as long as the call has time.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_paced() {
    let house =
        Setup::default().set("rates.guild_changes_per_second", "2").set("rates.guild_changes_burst", "1").start().await;
    let parlor = house.parlor().await;
    let requests = (0..4).map(|number| create(&PARLOR_DEV, &format!("Number {number}"))).collect();
    let batch = v1::BatchCreateRoomsRequest { requests, ..Default::default() };
    let results = parlor.rooms().batch_create_rooms(batch).await.expect("answered").into_inner().results;
    let made = |result: &v1::BatchCreateRoomsResult| {
        matches!(result.outcome, Some(v1::batch_create_rooms_result::Outcome::Created(_)))
    };
    assert!(results.len() == 4 && results.iter().all(made), "{results:?}");
}

/// Addresses that send bad tokens are slowed down; good tokens of the same address pass.
#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_are_slowed_down_and_good_ones_are_not() {
    let house = Setup::default().set("rates.refused_tokens_burst", "2").start().await;
    let nobody = house.parlor_with("no.token.atall").await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let refused = nobody.get_room(LOBBY.to_string()).await.expect_err("no good token");
        told.push(refused.reason.clone().expect("a reason"));
    }
    assert_eq!(told, ["TOKEN_INVALID", "TOKEN_INVALID", "RATE_LIMITED"]);
    let limited = assert_limited(nobody.get_room(LOBBY.to_string()).await, "refused_tokens");
    assert!(limited.retry_after.is_some());
    house.parlor().await.get_room(LOBBY.to_string()).await.expect("a good token passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_holds_so_many_rooms_and_no_more() {
    let mut house = Setup::default().set("limits.rooms_per_subject", "2").start().await;
    let (ann, bob) = (subject(&house, "ann").await, subject(&house, "bob").await);
    let first = ann.create_room(create(&PARLOR_DEV, "One")).await.expect("the first");
    ann.create_room(create(&OTHER_GUILD, "Two")).await.expect("the second");
    let refused = ann.rooms().create_room(create(&PARLOR_DEV, "Three")).await.expect_err("two are all");
    let details = refused.get_error_details();
    assert_eq!((refused.code(), &*details.error_info().expect("one").reason), (Code::ResourceExhausted, "ROOM_QUOTA"));
    assert_eq!(details.quota_failure().expect("one").violations[0].description, "2 open rooms");
    assert!(details.retry_info().is_none(), "waiting does not help");
    bob.create_room(create(&PARLOR_DEV, "His")).await.expect("bob has his own");

    // Whose they are is known over restarts.
    house.restart_server().await;
    let (ann, bob) = (subject(&house, "ann").await, subject(&house, "bob").await);
    let refused = ann.create_room(create(&PARLOR_DEV, "Three")).await.expect_err("two are all");
    assert_eq!(refused.reason.as_deref(), Some("ROOM_QUOTA"));

    let end = v1::EndRoomRequest { room_id: first.room_id, ..Default::default() };
    bob.end_room(end).await.expect("ended by somebody");
    ann.create_room(create(&PARLOR_DEV, "Three")).await.expect("there is room for it");
}
