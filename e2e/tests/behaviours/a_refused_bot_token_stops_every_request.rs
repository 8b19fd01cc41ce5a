//! Discord has reset the bot's token: a handful of requests find that out, none follows, and health shows it.

use discord_emulator::{LOBBY, PARLOR_DEV, RestFault, RestTrouble};
use futures_util::future::join_all;
use parlor_client::{CallError, v1};
use parlor_e2e::House;
use tonic_health::pb::health_check_response::ServingStatus;

#[tokio::test(flavor = "multi_thread")]
async fn requests_stop_and_health_says_so() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    house.until_health("discord-rest", ServingStatus::Serving).await;
    house.emulator.inject(RestFault::new(RestTrouble::Unauthorized));
    let create = || v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: "No".to_owned(),
        ..Default::default()
    };
    for refused in join_all((0..20).map(|_| parlor.create_room(create()))).await {
        let error = refused.expect_err("the token is refused");
        // Those that come together exhaust the guild's rate; everybody else hears why.
        let reason = error.reason.as_deref();
        assert!(matches!(reason, Some("UPSTREAM_CREDENTIALS" | "RATE_LIMITED")), "{error}");
    }
    house.until_health("discord-rest", ServingStatus::NotServing).await;
    let invalid = house.emulator.stats().invalid;
    assert!((1..=3).contains(&invalid["401 0"]) && invalid.len() == 1, "{invalid:?}");
    // What needs no request goes on.
    assert_eq!(house.health("discord-gateway").await, ServingStatus::Serving);
    parlor.get_room(&LOBBY.to_string()).await.expect("known");

    // The latch is the process's: it does not try again by itself, also when the token is good.
    house.emulator.clear_faults();
    let asked = house.emulator.stats().rest_total();
    let list = v1::ListChannelsRequest { guild_id: PARLOR_DEV.to_string(), ..Default::default() };
    let error: CallError = parlor.rooms().list_channels(list).await.expect_err("nothing is asked").into();
    assert_eq!(error.reason.as_deref(), Some("UPSTREAM_CREDENTIALS"), "{error}");
    assert_eq!(house.emulator.stats().rest_total(), asked);
}
