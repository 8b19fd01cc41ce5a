//! What Discord has a limit for is refused with that limit, from Discord's real state: a full category, a full guild, and a
//! bucket that is too small for everybody who asks.

use std::time::Duration;

use discord_emulator::{Fault, Limit, NewChannel, PARLOR_DEV, RestAnswer, VOICE_CATEGORY};
use futures_util::future::join_all;
use parlor_client::v1;
use parlor_e2e::{House, Setup};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

fn create(name: &str) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest { guild_id: PARLOR_DEV.to_string(), display_name: name.to_owned(), ..Default::default() }
}

/// What a `QuotaFailure` says: whose limit, and which.
#[track_caller]
fn quota(status: &Status, reason: &str) -> (String, String) {
    let told = status.get_details_error_info().expect("an ErrorInfo").reason;
    assert_eq!((status.code(), told.as_str()), (Code::ResourceExhausted, reason), "{status}");
    let quota = status.get_details_quota_failure().expect("a QuotaFailure").violations[0].clone();
    (quota.subject, quota.description)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_channels_in_a_category_and_five_hundred_in_a_guild() {
    let house = House::start().await;
    let mut rooms = house.parlor().await.rooms();
    let count = |category| {
        house.emulator.world(|world| {
            let guild = world.guild(PARLOR_DEV).expect("there");
            if category { guild.children(VOICE_CATEGORY).count() } else { guild.channels.len() }
        })
    };
    house.emulator.world(|world| {
        let left = 49 - world.guild(PARLOR_DEV).expect("there").children(VOICE_CATEGORY).count();
        for number in 0..left {
            let text = NewChannel::text(&format!("t{number}")).under(VOICE_CATEGORY);
            world.create_channel(PARLOR_DEV, text).expect("there is room");
        }
    });
    let within = |name| v1::CreateRoomRequest { category_id: VOICE_CATEGORY.to_string(), ..create(name) };
    rooms.create_room(within("The fiftieth")).await.expect("the last that fits");
    assert_eq!(count(true), 50);
    let full = rooms.create_room(within("One more")).await.expect_err("the category is full");
    assert_eq!(quota(&full, "DISCORD_QUOTA"), ("category".to_owned(), "50 channels in a category".to_owned()));
    assert!(full.get_details_retry_info().is_none(), "waiting does not help");
    // Elsewhere there is room, and moving there is refused as making is.
    let outside = rooms.create_room(create("Outside")).await.expect("made").into_inner().room.expect("a room");
    let into = v1::UpdateRoomRequest {
        room_id: outside.room_id,
        update_mask: Some(prost_types::FieldMask { paths: vec!["category_id".to_owned()] }),
        category_id: VOICE_CATEGORY.to_string(),
        ..Default::default()
    };
    let full = rooms.update_room(into).await.expect_err("the category is full");
    assert_eq!(quota(&full, "DISCORD_QUOTA").0, "category");

    house.emulator.world(|world| {
        while world.guild(PARLOR_DEV).expect("there").channels.len() < 499 {
            world.create_channel(PARLOR_DEV, NewChannel::text("filler")).expect("there is room");
        }
    });
    rooms.create_room(create("The last")).await.expect("the last that fits");
    assert_eq!(count(false), 500);
    let full = rooms.create_room(create("One more")).await.expect_err("the guild is full");
    assert_eq!(quota(&full, "DISCORD_QUOTA"), ("guild".to_owned(), "500 channels in a guild".to_owned()));
    assert!(full.get_details_retry_info().is_none(), "waiting does not help");
}

/// Twenty callers for a bucket of five in five seconds, with eight seconds each: who cannot be served hears so with the time
/// to come back, and nobody hears that Discord is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_too_small_for_all() {
    let mut setup = Setup::default();
    setup.discord.rest.routes.insert("POST /guilds/{guild.id}/channels".to_owned(), Limit::new(5, 5));
    let house = setup.start().await;
    let parlor = house.parlor().await;
    let calls = (0..20).map(async |number| {
        let mut request = Request::new(create(&format!("Room {number}")));
        request.set_timeout(Duration::from_secs(9));
        parlor.rooms().create_room(request).await
    });
    let outcomes = join_all(calls).await;
    let refused: Vec<Status> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty(), "all twenty were served");
    for status in &refused {
        assert_eq!(quota(status, "DISCORD_RATE_LIMITED").0, "discord");
        let delay = status.get_details_retry_info().and_then(|retry| retry.retry_delay).expect("how long");
        assert!(!delay.is_zero(), "{status}");
    }
}

/// An operator who shares an address with others may leave more of what Discord tolerates to them.
#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_stop_where_the_operator_says() {
    let house = Setup::default().set("discord.invalid_requests", "10").start().await;
    let mut rooms = house.parlor().await.rooms();
    let mut made = Vec::new();
    for number in 0..10 {
        made.push(rooms.create_room(create(&format!("Room {number}"))).await.expect("made").into_inner().room);
    }
    let mut answer = RestAnswer { status: 403, ..Default::default() };
    answer.headers.insert("content-type".to_owned(), "application/json".to_owned());
    answer.body = r#"{"message":"Missing Permissions","code":50013}"#.to_owned();
    let route = Some("DELETE /channels/{channel.id}".to_owned());
    house.emulator.inject(Fault::NextRest { times: 10, route, answer, carried_out: false });
    for room in made {
        let room_id = room.expect("a room").room_id;
        let refused =
            rooms.end_room(v1::EndRoomRequest { room_id, ..Default::default() }).await.expect_err("forbidden");
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    }
    let before = house.emulator.stats().rest_total();
    let stopped = rooms.create_room(create("No more")).await.expect_err("nothing is sent");
    let told = stopped.get_details_error_info().expect("an ErrorInfo").reason;
    assert_eq!((stopped.code(), told.as_str()), (Code::Unavailable, "DISCORD_UNAVAILABLE"), "{stopped}");
    assert!(stopped.get_details_retry_info().is_some());
    assert_eq!(house.emulator.stats().rest_total(), before);
}
