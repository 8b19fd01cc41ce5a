//! Rate limits as clients see them.

use std::time::Duration;

use discord_emulator::{Config, Emulator, GAMES, LOBBY, Limit, PARLOR_DEV, RestLimits};
use reqwest::Method;
use serde_json::json;

use crate::bot::{Rest, TOKEN};

async fn limited(rest: RestLimits) -> (Emulator, Rest) {
    let emulator = Emulator::start(Config { rest, ..Config::default() }).await.unwrap();
    let client = Rest::new(&emulator, TOKEN);
    (emulator, client)
}

#[tokio::test]
async fn buckets_tell_their_state_and_refuse_when_empty() {
    let (emulator, rest) = limited(RestLimits { bucket: Some(Limit::new(2, 5)), ..RestLimits::unlimited() }).await;
    let (lobby, games) = (format!("/channels/{LOBBY}"), format!("/channels/{GAMES}"));
    let first = rest.get(&lobby).await;
    assert_eq!((first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")), ("2", "1"));
    assert_eq!(first.header("x-ratelimit-scope"), "", "the scope is told on 429 alone");
    assert_eq!(rest.get(&lobby).await.header("x-ratelimit-remaining"), "0");
    let refused = rest.get(&lobby).await;
    assert_eq!((refused.status, refused.header("x-ratelimit-scope")), (429, "user"));
    assert_eq!(refused.header("via"), "1.1 google");
    let retry_after = refused.body["retry_after"].as_f64().unwrap();
    assert!(retry_after > 0.0 && retry_after <= 5.0, "{retry_after}");
    assert_eq!(refused.body["global"], false);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= retry_after.floor() as u64);
    let other = rest.get(&games).await;
    assert_eq!(other.status, 200, "another channel has a window of its own");
    assert_eq!(other.header("x-ratelimit-bucket"), first.header("x-ratelimit-bucket"));
    emulator.advance(Duration::from_secs(5));
    assert_eq!(rest.get(&lobby).await.status, 200);
}

#[tokio::test]
async fn the_global_limit_says_so() {
    let (emulator, rest) = limited(RestLimits { global: Some(Limit::new(3, 1_000)), ..RestLimits::unlimited() }).await;
    for _ in 0..3 {
        assert_eq!(rest.get("/users/@me").await.status, 200);
    }
    let refused = rest.get("/gateway/bot").await;
    assert_eq!((refused.status, &refused.body["global"]), (429, &json!(true)));
    assert_eq!(refused.header("x-ratelimit-global"), "true");
    assert_eq!(refused.header("x-ratelimit-scope"), "global");
    assert_eq!(Rest::new(&emulator, "another").get("/users/@me").await.status, 200, "each bot has its own");
}

#[tokio::test]
async fn the_third_rename_in_ten_minutes_is_refused_by_headers_that_lie() {
    let (emulator, rest) = limited(RestLimits { rename: Some(Limit::new(2, 600)), ..RestLimits::unlimited() }).await;
    let path = format!("/channels/{LOBBY}");
    for name in ["one", "two"] {
        assert_eq!(rest.call(Method::PATCH, &path, json!({"name": name})).await.status, 200);
    }
    let refused = rest.call(Method::PATCH, &path, json!({"name": "three"})).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("x-ratelimit-remaining").parse::<u64>().unwrap() > 0);
    assert!(refused.body["retry_after"].as_f64().unwrap() > 500.0);
    let other = rest.call(Method::PATCH, &path, json!({"name": "two", "user_limit": 5})).await;
    assert_eq!(other.status, 200, "a name that stays is no rename");
    emulator.advance(Duration::from_secs(600));
    assert_eq!(rest.call(Method::PATCH, &path, json!({"name": "three"})).await.status, 200);
}

#[tokio::test]
async fn invalid_requests_end_in_a_ban_by_cloudflare() {
    let limits = RestLimits {
        invalid: Some(Limit::new(3, 600)),
        ban: Duration::from_secs(3_600),
        ban_tells_retry_after: true,
        ..RestLimits::unlimited()
    };
    let (emulator, rest) = limited(limits).await;
    let nobody = Rest::new(&emulator, "");
    for _ in 0..3 {
        assert_eq!(nobody.get("/users/@me").await.status, 401);
    }
    let banned = rest.get("/users/@me").await;
    assert_eq!(banned.status, 429);
    assert!(banned.header("content-type").starts_with("text/html"));
    assert_eq!((banned.header("via"), banned.header("x-ratelimit-scope")), ("", ""));
    assert!(banned.text.contains("1015"));
    emulator.advance(Duration::from_secs(3_600));
    assert_eq!(rest.get("/users/@me").await.status, 200);
}

#[tokio::test]
async fn single_routes_can_have_limits_of_their_own() {
    let mut limits = RestLimits::unlimited();
    limits.routes.insert("GET /guilds/{guild.id}".to_owned(), Limit::new(1, 60));
    let (_emulator, rest) = limited(limits).await;
    let path = format!("/guilds/{PARLOR_DEV}");
    assert_eq!(rest.get(&path).await.status, 200);
    assert_eq!(rest.get(&path).await.status, 429);
    assert_eq!(rest.get("/users/@me").await.status, 200);
}
