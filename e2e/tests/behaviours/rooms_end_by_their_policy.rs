//! Rooms end by themselves when their policy says so, over restarts too, and the stream says why.

use std::time::Duration;

use discord_emulator::PARLOR_DEV;
use parlor_client::v1::{self, room_ended::Reason, subscribe_voice_events_response::Body, voice_event::Kind};
use parlor_e2e::{House, Process, Watcher, soon};

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

async fn room(house: &House, name: &str, policy: v1::RoomPolicy) -> v1::Room {
    let request = v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: name.to_owned(),
        policy: Some(policy),
        ..Default::default()
    };
    let room = house.parlor().await.create_room(request).await.expect("made");
    assert_eq!(room.policy, Some(policy));
    room
}

/// The room's end, as the stream tells it.
async fn end_of(watcher: &mut Watcher, room: &str) -> Reason {
    let of_it = |body: &Body| {
        let Body::Event(event) = body else { return None };
        let Some(Kind::RoomEnded(ended)) = &event.kind else { return None };
        ended.room.as_ref().filter(|ended| ended.room_id == room).map(|_| ended.reason())
    };
    let seen = watcher.seen().iter().filter_map(|frame| of_it(frame.body.as_ref()?)).next();
    if let Some(reason) = seen {
        return reason;
    }
    let frame = watcher.until_frame(|body| of_it(body).is_some()).await;
    of_it(frame.body.as_ref().expect("a body")).expect("it was looked for")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_nobody_joins_and_one_that_everybody_has_left() {
    let house = House::start().await;
    let mut bot = Process::bot(&house, "node/discord_bot.mjs", "a.discord.js.bot").await;
    let mut watcher = house.watch().await;
    let lonely = room(&house, "Lonely", v1::RoomPolicy { empty_timeout: seconds(1), ..Default::default() }).await;
    let left = room(&house, "Left", v1::RoomPolicy { departure_timeout: seconds(1), ..Default::default() }).await;
    let kept = room(&house, "Kept", v1::RoomPolicy { departure_timeout: seconds(1), ..Default::default() }).await;
    house.emulator.user("ann").joins(left.room_id.parse().expect("an id"));
    house.emulator.user("bob").joins(kept.room_id.parse().expect("an id"));
    house.emulator.user("ann").leaves();
    assert_eq!(end_of(&mut watcher, &lonely.room_id).await, Reason::EmptyTimeout);
    assert_eq!(end_of(&mut watcher, &left.room_id).await, Reason::DepartureTimeout);
    for gone in [&lonely, &left] {
        bot.until(|line| line["event"] == "channelDelete" && line["channel"] == gone.room_id.as_str()).await;
    }
    let parlor = house.parlor().await;
    assert_eq!(parlor.get_room(&kept.room_id).await.expect("there").state(), v1::room::State::Active);
    assert_eq!(parlor.get_room(&left.room_id).await.expect("remembered").state(), v1::room::State::Ended);
    watcher.until_it_sees_the_truth(&house).await;
    bot.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_time_is_over_ends_with_whoever_is_in_it() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    let short = room(&house, "Short", v1::RoomPolicy { max_duration: seconds(1), ..Default::default() }).await;
    house.emulator.user("ann").joins(short.room_id.parse().expect("an id"));
    assert_eq!(end_of(&mut watcher, &short.room_id).await, Reason::MaxDuration);
    watcher.until_it_sees_the_truth(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_runs_out_while_the_server_is_down_fires_at_the_start() {
    let mut house = House::start().await;
    let policy = v1::RoomPolicy { departure_timeout: seconds(1_500), ..Default::default() };
    let (left, joined) = (room(&house, "Left", policy).await, room(&house, "Joined meanwhile", policy).await);
    let mut watcher = house.watch().await;
    for room in [&left, &joined] {
        house.emulator.user("ann").joins(room.room_id.parse().expect("an id"));
        watcher.until(|picture| picture.participants(&room.room_id).count() == 1).await;
        house.emulator.user("ann").leaves();
        watcher.until(|picture| picture.participants(&room.room_id).count() == 0).await;
    }
    house.stop_server().await;
    house.emulator.user("bob").joins(joined.room_id.parse().expect("an id"));
    house.advance_the_clock(Duration::from_secs(1_700));
    house.restart_server().await;
    let parlor = house.parlor().await;
    let over = async {
        while parlor.get_room(&left.room_id).await.expect("remembered").state() != v1::room::State::Ended {
            tokio::task::yield_now().await;
        }
    };
    soon("the end of the room that was left", over).await;
    assert_eq!(parlor.get_room(&joined.room_id).await.expect("there").state(), v1::room::State::Active);
    assert!(house.emulator.world(|world| world.channels_named("Left").next().is_none()));
}

/// Discord refuses for a while; the room ends when it no longer does.
#[tokio::test(flavor = "multi_thread")]
async fn what_discord_does_not_let_end_stays_ours() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    let bot = house.emulator.bot(house.bot_token()).expect("it is logged in");
    let parlor = house.parlor().await;
    let stubborn = room(&house, "Stubborn", v1::RoomPolicy { empty_timeout: seconds(2), ..Default::default() }).await;
    let weak = discord_emulator::Permissions::VIEW_CHANNEL;
    house.emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, weak));
    // Of the refusals that this process counts, only this test's are of rooms that nobody joined.
    let refused = r#"parlor_rooms_end_refused_total{cause="empty_timeout"}"#;
    let attempt = async {
        while !house.metrics().await.contains(refused) {
            tokio::task::yield_now().await;
        }
    };
    soon("an attempt that Discord refused", attempt).await;
    let room = parlor.get_room(&stubborn.room_id).await.expect("there");
    assert_eq!((room.state(), room.managed), (v1::room::State::Active, true));
    // Whoever may again, ends it.
    house.emulator.world(|world| world.delete_channel(stubborn.room_id.parse().expect("an id"))).expect("deleted");
    assert_eq!(end_of(&mut watcher, &stubborn.room_id).await, Reason::ExternalDelete);
}
