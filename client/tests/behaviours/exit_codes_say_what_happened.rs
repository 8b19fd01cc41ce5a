//! Each class of failure has its exit code, words, and what to do next. Nothing of it stands among the results.

use std::time::Duration;

use discord_emulator::{ErrorBody, Fault, LOBBY, OTHER_GUILD, PARLOR_DEV, RestAnswer, RestFault, RestTrouble, Work};
use parlor_e2e::{House, Issuer, Token};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command};

use crate::program::{bare, parlor, run, with_token};

/// Runs a command that has to fail: its exit code, and words that have to stand in what it says.
async fn fails(command: Command, code: i32, words: &[&str]) -> String {
    let ran = run(command).await;
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert_eq!(ran.stdout, "", "results alone go to standard output");
    for word in words {
        assert!(ran.stderr.contains(word), "`{word}` is not in {}", ran.stderr);
    }
    ran.stderr
}

#[tokio::test]
async fn two_for_a_command_line_that_is_wrong() {
    fails(bare(&["rooms", "create", "Name"]), 2, &["--guild"]).await;
    fails(bare(&["rooms", "lisst"]), 2, &["list"]).await;
    fails(bare(&[]), 2, &["Usage: parlor"]).await;
    fails(bare(&["token", "--scope", "rooms:reed"]), 2, &["rooms:reed", "rooms:read"]).await;
    let mut odd = bare(&["rooms", "list", "--addr", "ftp://x"]);
    odd.env("PARLOR_TOKEN", "t");
    fails(odd, 2, &["`ftp://x` is not an address"]).await;
}

#[tokio::test]
async fn three_where_nobody_answers() {
    // A port that was free a moment ago, and that nothing listens on.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    for command in [&["rooms", "list"][..], &["events", "watch"]] {
        let mut command = bare(command);
        command.env("PARLOR_TOKEN", "t").env("PARLOR_ADDR", &free);
        fails(command, 3, &[&free, "refused", "next: is parlord running there?", "parlord dev"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_where_the_server_finds_fields_wrong() {
    let house = House::start().await;
    let command = parlor(&house, &["rooms", "create", " ", "--guild", "12*", "--user-limit", "100"]);
    fails(command, 2, &["INVALID_ARGUMENT", "NAME: ", "--guild: ", "--user-limit: "]).await;
    fails(parlor(&house, &["events", "watch", "--heartbeat", "2s"]), 2, &["--heartbeat: "]).await;
    fails(parlor(&house, &["events", "watch", "--cursor", "x"]), 2, &["CURSOR_INVALID", "next: "]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_for_what_there_is_not() {
    let house = House::start().await;
    let nowhere = "1100000000000099999";
    fails(parlor(&house, &["rooms", "get", nowhere]), 4, &["ROOM_UNKNOWN", "parlor rooms list"]).await;
    let create = parlor(&house, &["rooms", "create", "X", "--guild", nowhere]);
    fails(create, 4, &["GUILD_UNKNOWN", "parlor guilds list"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_for_what_the_token_does_not_allow() {
    let house = House::start().await;
    let issuer = Issuer::get();
    let mut none = bare(&["rooms", "list"]);
    none.env("PARLOR_ADDR", house.api().to_string());
    fails(none, 5, &["no token is set", "PARLOR_TOKEN", "parlor token"]).await;

    let weak = issuer.sign(&Token { scope: "rooms:read".to_owned(), ..Token::default() });
    let guild = PARLOR_DEV.to_string();
    let create = with_token(&house, &weak, &["rooms", "create", "X", "--guild", &guild]);
    fails(create, 5, &["SCOPE_MISSING", "scope rooms:write"]).await;
    fails(with_token(&house, &weak, &["events", "watch"]), 5, &["SCOPE_MISSING", "events:read"]).await;

    let elsewhere = issuer.sign(&Token { guilds: vec![OTHER_GUILD.to_string()], ..Token::default() });
    let get = with_token(&house, &elsewhere, &["rooms", "get", &LOBBY.to_string()]);
    fails(get, 5, &["GUILD_NOT_GRANTED", "`guilds`"]).await;

    let over = issuer.sign(&Token::expired_for(Duration::from_secs(60)));
    fails(with_token(&house, &over, &["rooms", "list"]), 5, &["TOKEN_EXPIRED", "parlor token"]).await;
    let said = fails(with_token(&house, "canary.token.shown", &["rooms", "list"]), 5, &["TOKEN_INVALID"]).await;
    assert!(!said.contains("canary"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_or_three_for_what_discord_or_parlor_refuses() {
    let house = House::start().await;
    let (guild, lobby) = (PARLOR_DEV.to_string(), LOBBY.to_string());
    fails(parlor(&house, &["rooms", "end", &lobby]), 1, &["ROOM_NOT_MANAGED", "--force"]).await;
    let other = OTHER_GUILD.to_string();
    let create = |guild: &str| parlor(&house, &["rooms", "create", "X", "--guild", guild]);
    let answer = |status: u16, body: &str| {
        let mut answer = RestAnswer { status, body: body.to_owned(), ..Default::default() };
        answer.headers.insert("content-type".to_owned(), "application/json".to_owned());
        house.emulator.inject(Fault::NextRest { times: 1, route: None, answer, carried_out: false });
    };
    answer(400, r#"{"message":"Maximum number of guild channels reached (500)","code":30013}"#);
    fails(create(&guild), 1, &["DISCORD_QUOTA"]).await;
    answer(403, r#"{"message":"Missing Permissions","code":50013}"#);
    fails(create(&guild), 1, &["BOT_PERMISSION_MISSING", "parlor doctor"]).await;
    // What Discord has refused in one guild is not asked for there again for a while.
    answer(429, r#"{"message":"You are being rate limited.","retry_after":600.0,"global":true}"#);
    fails(create(&other), 3, &["DISCORD_RATE_LIMITED", "try again in 6"]).await;
}

/// Nobody knows whether there is a room: the way out is printed, and works.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_names_the_id_to_repeat_with() {
    let house = House::start().await;
    // Discord fails after having heard us, and does not say afterwards whether there is a room.
    for route in ["POST /guilds/{guild.id}/channels", "GET /guilds/{guild.id}/audit-logs"] {
        let trouble = RestTrouble::ServerError { status: 502, body: ErrorBody::Html, work: Work::Skipped };
        house.emulator.inject(Fault::Rest(RestFault::new(trouble).on(route)));
    }
    let create = parlor(&house, &["rooms", "create", "X", "--guild", &PARLOR_DEV.to_string()]);
    let said = fails(create, 1, &["CREATE_OUTCOME_UNKNOWN", "--request-id "]).await;
    let id = said.split("--request-id ").nth(1).unwrap().split(':').next().unwrap();
    assert_eq!(id.len(), 36, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_json_a_failure_is_one_object_on_standard_error() {
    let house = House::start().await;
    let said = fails(parlor(&house, &["rooms", "get", "1100000000000099999", "-o", "json"]), 4, &[]).await;
    let error: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&error["error"]["code"], &error["error"]["reason"]), (&json!("NOT_FOUND"), &json!("ROOM_UNKNOWN")));
    assert!(said.starts_with(r#"{"error":{"code":"NOT_FOUND","reason":"ROOM_UNKNOWN","metadata":{"#), "{said}");
}
