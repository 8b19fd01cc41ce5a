//! What is sent when Discord limits, fails, or does not answer.

use std::time::Duration;

use discord_emulator::{Emulator, Fault, GAMES, LOBBY, Limit, RestAnswer, RestLimits};
use futures_util::future::join_all;
use parlor_gateway::{
    RoomId,
    rest::{Caller, Refusal, Rest, RestError, RoomChange, Tenant},
};

use crate::{GUILD, ann, discord, room};

const CREATE: &str = "POST /guilds/{guild.id}/channels";
const DELETE: &str = "DELETE /channels/{channel.id}";

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let answer = RestAnswer { status, headers, body: body.to_owned() };
    Fault::NextRest { times: 1, route: None, answer, carried_out: false }
}

fn sent(emulator: &Emulator, route: &str) -> u64 {
    emulator.stats().rest.get(route).copied().unwrap_or(0)
}

fn statuses(emulator: &Emulator, status: u16) -> u64 {
    emulator.stats().rest_statuses.get(&status).copied().unwrap_or(0)
}

fn rename(name: &str) -> RoomChange {
    RoomChange { name: Some(name.to_owned()), ..RoomChange::default() }
}

async fn make(rest: &Rest, name: &str) -> Result<RoomId, RestError> {
    rest.create_room(&room(name), "why", &ann()).await.map(|channel| RoomId::new(channel.id.get()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_over_a_bucket_meets_no_429() {
    let limits = RestLimits { bucket: Some(Limit::new(4, 1)), ..RestLimits::unlimited() };
    let (emulator, rest) = discord(limits).await;
    let made = join_all((0..10).map(|number| {
        let rest: &Rest = &rest;
        async move { make(rest, &format!("Room {number}")).await }
    }))
    .await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert_eq!((sent(&emulator, CREATE), statuses(&emulator, 429)), (10, 0));
}

#[tokio::test]
async fn the_hidden_limit_on_names_is_met_once_and_stops_nothing_else() {
    let limits = RestLimits { rename: Some(Limit::new(2, 600)), ..RestLimits::unlimited() };
    let (emulator, rest) = discord(limits).await;
    let lobby = RoomId::new(LOBBY.get());
    for name in ["one", "two"] {
        rest.change_room(GUILD, lobby, &rename(name), "why", &ann()).await.expect("renamed");
    }
    for _ in 0..4 {
        let refused = rest.change_room(GUILD, lobby, &rename("three"), "why", &ann()).await;
        let Err(RestError::RateLimited { retry_after }) = refused else { panic!("{refused:?}") };
        assert!(retry_after > Duration::from_secs(500), "{retry_after:?}");
    }
    assert_eq!(statuses(&emulator, 429), 1);
    let limit = RoomChange { user_limit: Some(7), ..RoomChange::default() };
    rest.change_room(GUILD, lobby, &limit, "why", &ann()).await.expect("another field");
    rest.change_room(GUILD, RoomId::new(GAMES.get()), &rename("three"), "why", &ann()).await.expect("another room");
}

#[tokio::test]
async fn a_global_limit_is_waited_for_or_told_at_once() {
    let (emulator, rest) = discord(RestLimits::unlimited()).await;
    let wait = |seconds: &str| {
        let body = format!(r#"{{"message":"You are being rate limited.","retry_after":{seconds},"global":true}}"#);
        answer(429, &[("x-ratelimit-global", "true"), ("x-ratelimit-scope", "global")], &body)
    };
    emulator.inject(wait("0.1"));
    make(&rest, "Patient").await.expect("made after a wait");
    emulator.inject(wait("600.0"));
    for name in ["Hasty", "Later"] {
        let refused = make(&rest, name).await;
        let Err(RestError::RateLimited { retry_after }) = refused else { panic!("{refused:?}") };
        assert!(retry_after > Duration::from_secs(590), "{retry_after:?}");
    }
    assert_eq!(sent(&emulator, CREATE), 3);
}

#[tokio::test]
async fn cloudflares_page_stops_everything_for_as_long_as_it_says() {
    let (emulator, rest) = discord(RestLimits::unlimited()).await;
    emulator.inject(answer(429, &[("retry-after", "3600"), ("content-type", "text/html")], "<!doctype html>1015"));
    for name in ["First", "Second"] {
        let refused = make(&rest, name).await;
        let Err(RestError::BreakerOpen { retry_after }) = refused else { panic!("{refused:?}") };
        assert!(retry_after > Duration::from_secs(3_590), "{retry_after:?}");
    }
    assert_eq!(emulator.stats().rest_total(), 1);
}

#[tokio::test]
async fn a_401_is_the_last_request() {
    let (emulator, rest) = discord(RestLimits::unlimited()).await;
    emulator.inject(answer(401, &[], r#"{"message":"401: Unauthorized","code":0}"#));
    for name in ["First", "Second"] {
        let refused = make(&rest, name).await;
        assert!(matches!(refused, Err(RestError::CredentialsRefused)), "{refused:?}");
    }
    assert_eq!(emulator.stats().rest_total(), 1);
}

/// The channel is made, and the connection breaks before the answer.
#[tokio::test]
async fn a_post_without_an_answer_is_not_repeated_and_a_delete_is() {
    let (emulator, rest) = discord(RestLimits::unlimited()).await;
    let cut = || {
        let answer = RestAnswer { status: 0, ..RestAnswer::default() };
        Fault::NextRest { times: 1, route: None, answer, carried_out: true }
    };
    let before = emulator.rooms().len();
    emulator.inject(cut());
    let made = make(&rest, "Perhaps").await;
    assert!(matches!(made, Err(RestError::OutcomeUnknown)), "{made:?}");
    assert_eq!((sent(&emulator, CREATE), emulator.rooms().len()), (1, before + 1));

    emulator.inject(answer(502, &[], "bad gateway"));
    let made = make(&rest, "Perhaps").await;
    assert!(matches!(made, Err(RestError::OutcomeUnknown)), "{made:?}");
    assert_eq!((sent(&emulator, CREATE), emulator.rooms().len()), (2, before + 1));

    emulator.inject(cut());
    let ended = rest.delete_room(GUILD, RoomId::new(GAMES.get()), "over", &ann()).await;
    assert!(matches!(ended, Err(RestError::Refused { refusal: Refusal::UnknownChannel, .. })), "{ended:?}");
    assert_eq!((sent(&emulator, DELETE), emulator.rooms().len()), (2, before));
}

#[tokio::test]
async fn a_caller_who_leaves_while_waiting_is_not_served() {
    let limits = RestLimits { bucket: Some(Limit::new(1, 1)), ..RestLimits::unlimited() };
    let (emulator, rest) = discord(limits).await;
    make(&rest, "The one that fits").await.expect("made");
    {
        let (wanted, ben) = (room("Nobody's"), Caller { tenant: Tenant::new("ben"), ..ann() });
        let waiting = std::pin::pin!(rest.create_room(&wanted, "why", &ben));
        assert!(futures_util::poll!(waiting).is_pending(), "the bucket is empty");
    }
    // The window opens again, and the place in front is free.
    make(&rest, "The next").await.expect("made");
    assert_eq!(sent(&emulator, CREATE), 2);
}

#[tokio::test]
async fn what_cannot_be_reached_has_not_been_done() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let token = secrecy::SecretString::from("a-bot");
    let rest = Rest::new(&format!("http://{address}/api/v10"), &token).expect("a client");
    let made = make(&rest, "Nowhere").await;
    assert!(matches!(made, Err(RestError::Unavailable)), "it never left: {made:?}");
}
