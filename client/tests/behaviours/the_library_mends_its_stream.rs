//! [`Events`] over broken connections, drains and tokens that end.

use std::collections::{BTreeMap, BTreeSet};

use discord_emulator::{GAMES, LOBBY};
use parlor_client::{Event, Events, Lost, Parlor, Picture, Position, Start, Watch, v1};
use parlor_e2e::{House, Issuer, Setup, Token, soon};
use tonic::Code;

use crate::door::Door;

fn who_is_where(picture: &Picture) -> BTreeMap<String, BTreeSet<String>> {
    let inside = |room: &str| picture.participants(room).map(|person| person.user_id.clone()).collect();
    picture.rooms().map(|room| (room.room_id.clone(), inside(&room.room_id))).collect()
}

/// The next event, which has to come.
async fn next(events: &mut Events) -> Event {
    soon("another event", events.next()).await.expect("the stream goes on").expect("the stream goes on")
}

async fn until_the_truth(events: &mut Events, house: &House) -> Vec<Event> {
    let mut seen = Vec::new();
    while events.picture().map(who_is_where) != Some(house.truth()) {
        seen.push(next(events).await);
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missing_and_nothing_comes_twice() {
    let house = House::start().await;
    let door = Door::to(house.api()).await;
    let parlor = Parlor::connect(&door.address(), &house.token()).await.unwrap();
    let mut events = parlor.events(Watch::default()).await.unwrap();
    let mut seen = until_the_truth(&mut events, &house).await;
    for _ in 0..3 {
        house.emulator.user("ann").joins(LOBBY);
        seen.extend(until_the_truth(&mut events, &house).await);
        door.slam().await;
        house.emulator.user("ann").moves(GAMES);
        house.emulator.user("bob").joins(LOBBY);
        seen.extend(until_the_truth(&mut events, &house).await);
        house.emulator.user("ann").leaves();
        house.emulator.user("bob").leaves();
        seen.extend(until_the_truth(&mut events, &house).await);
    }
    let changes = seen.iter().filter(|event| matches!(event, Event::Changed(_))).count();
    assert_eq!(changes, 3 * 5, "{seen:#?}");
    let lost = seen.iter().filter(|event| matches!(event, Event::Disconnected { .. })).count();
    assert!(lost >= 3, "each slam is told");
    assert_eq!(seen.iter().filter(|event| matches!(event, Event::Snapshot(_))).count(), 1, "no reset was needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_position_continues_in_another_process() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let mut events = parlor.events(Watch::default()).await.unwrap();
    until_the_truth(&mut events, &house).await;
    let stored = events.position().expect("after a snapshot").to_string();
    drop(events);
    house.emulator.user("ann").joins(LOBBY);
    let start = Start::After(stored.parse::<Position>().unwrap());
    let mut events = parlor.events(Watch { start, ..Watch::default() }).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Connected { resumed: true, .. }));
    let Event::Changed(change) = next(&mut events).await else { panic!("what was missed") };
    assert!(matches!(change.kind, Some(v1::voice_event::Kind::ParticipantJoined(_))), "{change:?}");
    assert!(events.picture().is_none(), "nobody has said who else is there");

    // The same position under another filter is noticed.
    let start = Start::After(stored.parse::<Position>().unwrap());
    let watch = Watch { start, rooms: vec![GAMES.to_string()], ..Watch::default() };
    let mut events = parlor.events(watch).await.unwrap();
    let mut reset = next(&mut events).await;
    while !matches!(reset, Event::Reset(_)) {
        reset = next(&mut events).await;
    }
    assert!(matches!(reset, Event::Reset(v1::reset::Reason::FilterChanged)), "{reset:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_waited_for() {
    let mut house = House::start().await;
    let door = Door::to(house.api()).await;
    let parlor = Parlor::connect(&door.address(), &house.token()).await.unwrap();
    let mut events = parlor.events(Watch::default()).await.unwrap();
    until_the_truth(&mut events, &house).await;
    house.stop_server().await;
    let mut event = next(&mut events).await;
    while !matches!(event, Event::Disconnected { .. }) {
        event = next(&mut events).await;
    }
    assert!(matches!(event, Event::Disconnected { why: Lost::Draining, .. }), "{event:?}");
    // For a while nobody is there.
    let event = next(&mut events).await;
    assert!(matches!(event, Event::Disconnected { why: Lost::Failed(_), .. }), "{event:?}");
    house.restart_server().await;
    door.leads_to(house.api());
    house.emulator.user("ann").joins(LOBBY);
    until_the_truth(&mut events, &house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_ends_the_stream_and_another_continues_it() {
    let house = Setup::default().set("auth.leeway", "0s").start().await;
    let brief = Token { exp: parlor_e2e::seconds_now() + 2, ..Token::default() };
    let parlor = house.parlor_with(&Issuer::get().sign(&brief)).await;
    let mut events = parlor.events(Watch::default()).await.unwrap();
    let error = loop {
        match soon("the end", events.next()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it says why"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.code, error.reason.as_deref()), (Code::Unauthenticated, Some("TOKEN_EXPIRED")));
    assert!(matches!(soon("the end", events.next()).await, Ok(None)), "said once");
    let start = Start::After(events.position().expect("it had a snapshot").clone());
    let mut events =
        parlor.with_token(&house.token()).unwrap().events(Watch { start, ..Watch::default() }).await.unwrap();
    house.emulator.user("ann").joins(LOBBY);
    assert!(matches!(next(&mut events).await, Event::Connected { resumed: true, .. }));
    assert!(matches!(next(&mut events).await, Event::Changed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_the_beginning_is_given_back_at_once() {
    let house = House::start().await;
    let weak = Issuer::get().sign(&Token { scope: "rooms:read".to_owned(), ..Token::default() });
    let refused = house.parlor_with(&weak).await.events(Watch::default()).await.expect_err("no scope for events");
    assert_eq!(
        (refused.code, refused.metadata.get("scope").map(String::as_str)),
        (Code::PermissionDenied, Some("events:read"))
    );
}

/// A room's own cursor: nothing that happens in it is missed, though it is listened to later.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_room_is_followed_from_its_making_on() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let request = v1::CreateRoomRequest {
        guild_id: discord_emulator::PARLOR_DEV.to_string(),
        display_name: "Standup".to_owned(),
        ..Default::default()
    };
    let (room, position) = parlor.create_room_at(request).await.unwrap();
    let id = house.emulator.world(|world| world.channels_named("Standup").next().unwrap().id);
    house.emulator.user("ann").joins(id).leaves();
    let watch = Watch { start: Start::After(position), rooms: vec![room.room_id], ..Watch::default() };
    let mut events = parlor.events(watch).await.unwrap();
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        if let Event::Changed(change) = next(&mut events).await {
            kinds.push(change.kind.unwrap());
        }
    }
    assert!(matches!(kinds[0], v1::voice_event::Kind::ParticipantJoined(_)), "{kinds:?}");
    assert!(matches!(kinds[1], v1::voice_event::Kind::ParticipantLeft(_)), "{kinds:?}");
}
