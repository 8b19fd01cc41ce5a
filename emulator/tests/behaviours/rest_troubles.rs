//! REST in trouble: each fault strikes as often, as long and where it should, and looks as Discord's own.

use std::time::Duration;

use discord_emulator::{
    Config, Emulator, ErrorBody, GAMES, LOBBY, Limit, PARLOR_DEV, RateLimit, RestFault, RestLimits, RestTrouble, Work,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bot::{Reply, Rest, TOKEN, unlimited};

const CREATE: &str = "POST /guilds/{guild.id}/channels";

const fn limit(limit: RateLimit) -> RestTrouble {
    RestTrouble::RateLimit { limit, retry_after: Duration::from_millis(2_500) }
}

async fn create(rest: &Rest) -> reqwest::Result<reqwest::Response> {
    let path = format!("/guilds/{PARLOR_DEV}/channels");
    rest.request(Method::POST, &path).json(&json!({"name": "room", "type": 2})).send().await
}

fn rooms(emulator: &Emulator) -> usize {
    emulator.rooms().len()
}

#[tokio::test]
async fn each_sort_of_429_has_its_own_headers_and_body() {
    let (emulator, rest) = unlimited().await;
    let before = rooms(&emulator);
    for (trouble, scope, remaining, code) in [
        (limit(RateLimit::Bucket), "user", Some(false), Value::Null),
        (limit(RateLimit::Global), "global", None, Value::Null),
        (limit(RateLimit::Shared), "shared", Some(true), Value::Null),
        (limit(RateLimit::Hidden), "user", Some(true), Value::Null),
        (limit(RateLimit::ChannelWrites), "shared", Some(true), json!(20_028)),
        (limit(RateLimit::GuildWrites), "shared", Some(true), json!(20_029)),
    ] {
        emulator.inject(RestFault::once(trouble));
        let reply = Reply::read(create(&rest).await.unwrap()).await;
        assert_eq!((reply.status, reply.header("x-ratelimit-scope")), (429, scope), "{trouble:?}");
        assert_eq!((&reply.body["retry_after"], reply.header("retry-after")), (&json!(2.5), "3"), "{trouble:?}");
        assert_eq!(reply.body["global"], scope == "global");
        assert_eq!(reply.header("x-ratelimit-global"), if scope == "global" { "true" } else { "" });
        assert_eq!(reply.body["code"], code, "{trouble:?}");
        let told = reply.header("x-ratelimit-remaining").parse::<u64>().ok();
        assert_eq!(told.map(|told| told > 0), remaining, "{trouble:?}: {told:?}");
    }
    assert_eq!(rooms(&emulator), before, "nothing was carried out");
    let invalid = emulator.stats().invalid;
    assert_eq!(invalid, [("429 bucket".into(), 1), ("429 global".into(), 1), ("429 hidden".into(), 1)].into());
    assert_eq!(create(&rest).await.unwrap().status(), 201);
}

#[tokio::test]
async fn cloudflare_answers_in_html_with_and_without_a_time() {
    let (emulator, rest) = unlimited().await;
    for (retry_after, header) in [(None, ""), (Some(Duration::from_secs(90)), "90")] {
        emulator.inject(RestFault::once(RestTrouble::CloudflareBan { retry_after }));
        let reply = rest.get("/users/@me").await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, header));
        assert_eq!((reply.header("via"), reply.header("x-ratelimit-scope"), &reply.body), ("", "", &Value::Null));
    }
}

#[tokio::test]
async fn servers_fail_before_or_after_the_work_with_or_without_words() {
    let (emulator, rest) = unlimited().await;
    for (status, body, work) in [
        (500, ErrorBody::Json, Work::Skipped),
        (502, ErrorBody::Html, Work::Done),
        (503, ErrorBody::Empty, Work::Skipped),
        (504, ErrorBody::Empty, Work::Done),
    ] {
        emulator.inject(RestFault::once(RestTrouble::ServerError { status, body, work }));
        let before = rooms(&emulator);
        let reply = Reply::read(create(&rest).await.unwrap()).await;
        assert_eq!(reply.status, status);
        assert_eq!(rooms(&emulator) - before, usize::from(work == Work::Done), "{status}");
        match body {
            ErrorBody::Empty => assert_eq!(reply.text, ""),
            ErrorBody::Json => assert_eq!(reply.body["code"], 0),
            ErrorBody::Html => assert!(reply.text.starts_with("<!doctype html>"), "{}", reply.text),
        }
    }
}

#[tokio::test]
async fn connections_break_off_before_or_after_the_work() {
    let (emulator, rest) = unlimited().await;
    for work in [Work::Skipped, Work::Done] {
        let before = rooms(&emulator);
        emulator.inject(RestFault::once(RestTrouble::Cut { work }).on(CREATE));
        assert!(create(&rest).await.is_err());
        assert_eq!(rooms(&emulator) - before, usize::from(work == Work::Done));
    }
}

#[tokio::test]
async fn a_slow_answer_is_carried_out_at_once_and_comes_when_the_clock_says() {
    let (emulator, rest) = unlimited().await;
    let before = rooms(&emulator);
    emulator.inject(RestFault::once(RestTrouble::Slow { by: Duration::from_secs(3_600) }).on(CREATE));
    let (reply, ()) = tokio::join!(create(&rest), async {
        emulator.wait_for_world(|world| world.rooms().len() > before).await;
        emulator.advance(Duration::from_secs(3_600));
    });
    assert_eq!(reply.unwrap().status(), 201);
}

#[tokio::test]
async fn a_token_is_refused_as_if_it_had_been_reset() {
    let (emulator, rest) = unlimited().await;
    emulator.inject(RestFault::new(RestTrouble::Unauthorized));
    for _ in 0..2 {
        assert_eq!(Reply::read(create(&rest).await.unwrap()).await.refusal(), (401, 0));
    }
    emulator.clear_faults();
    assert_eq!(create(&rest).await.unwrap().status(), 201);
    assert_eq!(emulator.stats().invalid, [("401 0".into(), 2)].into());
}

#[tokio::test]
async fn a_fault_strikes_every_nth_request_of_its_route_for_its_time() {
    let (emulator, rest) = unlimited().await;
    let fault = RestTrouble::ServerError { status: 503, body: ErrorBody::Empty, work: Work::Skipped };
    emulator.inject(RestFault::new(fault).on("GET /channels/{channel.id}").every(3).lasting(Duration::from_secs(60)));
    let mut statuses = Vec::new();
    for channel in [LOBBY, GAMES, LOBBY, GAMES, LOBBY] {
        assert_eq!(rest.get("/users/@me").await.status, 200, "another route is spared");
        statuses.push(rest.get(&format!("/channels/{channel}")).await.status);
    }
    assert_eq!(statuses, [503, 200, 200, 503, 200]);
    emulator.advance(Duration::from_secs(60));
    for _ in 0..3 {
        assert_eq!(rest.get(&format!("/channels/{LOBBY}")).await.status, 200);
    }
    let stranger = emulator.bot("stranger").unwrap();
    emulator.inject(discord_emulator::Fault::Rest(RestFault::new(fault)).only(stranger));
    assert_eq!(rest.get("/users/@me").await.status, 200);
    assert_eq!(Rest::new(&emulator, "stranger").get("/users/@me").await.status, 503);
}

#[tokio::test]
async fn faults_can_be_typed() {
    let (emulator, rest) = unlimited().await;
    let text = r#"{"fault": "rest", "trouble": {"kind": "rate_limit", "limit": "guild_writes", "retry_after_millis": 300},
        "times": 2, "lasting_millis": 60000, "route": "POST /guilds/{guild.id}/channels"}"#;
    let typed = async |method: reqwest::Method, body: &'static str| {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/faults", emulator.control_url());
        Reply::read(http.request(method, url).body(body).send().await.unwrap()).await
    };
    let injected = typed(Method::POST, text).await;
    assert_eq!(injected.status, 200, "{}", injected.text);
    assert_eq!(injected.body["injected"]["trouble"]["limit"], "guild_writes");
    assert_eq!(Reply::read(create(&rest).await.unwrap()).await.body["code"], 20_029);
    assert_eq!(typed(Method::GET, "").await.body["faults"][0]["times"], 1);
    for more in [
        r#"{"fault":"rest","trouble":{"kind":"cut","work":"done"}}"#,
        r#"{"fault":"rest","trouble":{"kind":"slow","millis":20}}"#,
        r#"{"fault":"rest","trouble":{"kind":"server_error","status":502,"body":"html"},"every":2}"#,
        r#"{"fault":"rest","trouble":{"kind":"cloudflare_ban"},"times":1}"#,
        r#"{"fault":"rest","trouble":{"kind":"unauthorized"}}"#,
    ] {
        assert_eq!(typed(Method::POST, more).await.status, 200, "{more}");
    }
    for wrong in [r#"{"fault":"rest"}"#, r#"{"fault":"rest","trouble":{"kind":"slow","millis":20},"every":0}"#] {
        assert_eq!(typed(Method::POST, wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn writes_are_limited_for_everybody_together() {
    let limits = RestLimits {
        channel_writes: Some(Limit::new(2, 5)),
        guild_writes: Some(Limit::new(2, 60)),
        ..RestLimits::unlimited()
    };
    let emulator = Emulator::start(Config { rest: limits, ..Config::default() }).await.unwrap();
    let (one, two) = (Rest::new(&emulator, TOKEN), Rest::new(&emulator, "another"));
    let path = format!("/channels/{LOBBY}/messages");
    for rest in [&one, &two] {
        assert_eq!(rest.post(&path, json!({"content": "x"})).await.status, 200);
    }
    let refused = one.post(&path, json!({"content": "x"})).await;
    assert_eq!((refused.refusal(), refused.header("x-ratelimit-scope")), ((429, 20_028), "shared"));
    assert_eq!(one.post(&format!("/channels/{GAMES}/messages"), json!({"content": "x"})).await.status, 200);
    for rest in [&one, &two] {
        assert_eq!(create(rest).await.unwrap().status(), 201);
    }
    let refused = one.patch(&format!("/channels/{LOBBY}"), json!({"user_limit": 5})).await;
    assert_eq!((refused.refusal(), refused.header("x-ratelimit-scope")), ((429, 20_029), "shared"));
    assert_eq!(emulator.stats().invalid, [].into(), "shared limits count against nobody");
    emulator.advance(Duration::from_secs(60));
    assert_eq!(create(&two).await.unwrap().status(), 201);
}

#[tokio::test]
async fn whoever_does_not_wait_is_counted() {
    let limits = RestLimits { bucket: Some(Limit::new(1, 5)), ..RestLimits::unlimited() };
    let emulator = Emulator::start(Config { rest: limits, ..Config::default() }).await.unwrap();
    let rest = Rest::new(&emulator, TOKEN);
    let lobby = format!("/channels/{LOBBY}");
    for status in [200, 429, 429] {
        assert_eq!(rest.get(&lobby).await.status, status);
    }
    assert_eq!(rest.get(&format!("/channels/{GAMES}")).await.status, 200, "another bucket may be asked");
    let route = "GET /channels/{channel.id}".to_owned();
    assert_eq!(emulator.stats().too_early, [(route.clone(), 1)].into(), "the first 429 is no impatience yet");
    emulator.advance(Duration::from_secs(5));
    assert_eq!(rest.get(&lobby).await.status, 200);
    assert_eq!(emulator.stats().too_early, [(route, 1)].into());
}
