//! Webhooks: made, used by whoever knows the token, and gone.

use std::time::Duration;

use discord_emulator::{
    Config, Emulator, GAMES, GENERAL, LOBBY, Limit, OTHER_ROOM, PARLOR_DEV, Permissions, RestLimits, VOICE_CATEGORY,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bot::{INTENTS, Reply, Rest, Socket, TOKEN, field_error, unlimited};

/// GUILDS, GUILD_WEBHOOKS and GUILD_MESSAGES.
const WITH_WEBHOOKS: u64 = INTENTS | 1 << 5 | 1 << 9;

fn webhooks() -> String {
    format!("/channels/{LOBBY}/webhooks")
}

/// Asks without any token of a bot, and without the name of one.
async fn anybody(emulator: &Emulator, method: Method, path: &str, body: Value) -> Reply {
    let http = reqwest::Client::builder().user_agent("curl/8").no_proxy().build().unwrap();
    let request = http.request(method, format!("{}{path}", emulator.rest_url()));
    let request = if body.is_null() { request } else { request.json(&body) };
    Reply::read(request.send().await.unwrap()).await
}

fn own_path(webhook: &Value) -> String {
    format!("/webhooks/{}/{}", webhook["id"].as_str().unwrap(), webhook["token"].as_str().unwrap())
}

#[tokio::test]
async fn a_webhook_lives_from_post_to_delete_and_stays_dead() {
    let (emulator, rest) = unlimited().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, WITH_WEBHOOKS).await;
    let made = rest.post(&webhooks(), json!({"name": "Announcer"})).await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert_eq!((&made.body["type"], &made.body["channel_id"]), (&json!(1), &json!(LOBBY)));
    assert_eq!(socket.dispatch("WEBHOOKS_UPDATE").await, json!({"guild_id": PARLOR_DEV, "channel_id": LOBBY}));
    assert_eq!(rest.get(&webhooks()).await.body, json!([made.body]));
    assert_eq!(rest.get(&format!("/guilds/{PARLOR_DEV}/webhooks")).await.body, json!([made.body]));
    let by_id = format!("/webhooks/{}", made.body["id"].as_str().unwrap());
    assert_eq!(rest.get(&by_id).await.body, made.body);

    let moved = rest.patch(&by_id, json!({"name": "Herald", "channel_id": GAMES})).await;
    assert_eq!((&moved.body["name"], &moved.body["channel_id"]), (&json!("Herald"), &json!(GAMES)));
    for channel in [LOBBY, GAMES] {
        assert_eq!(socket.dispatch("WEBHOOKS_UPDATE").await["channel_id"], json!(channel));
    }
    assert_eq!(rest.delete(&by_id).await.status, 204);
    socket.dispatch("WEBHOOKS_UPDATE").await;
    assert_eq!(rest.get(&by_id).await.refusal(), (404, 10_015));
    let dead = anybody(&emulator, Method::POST, &own_path(&made.body), json!({"content": "x"})).await;
    assert_eq!(dead.refusal(), (404, 10_015));
}

#[tokio::test]
async fn whoever_knows_the_token_writes() {
    let (emulator, rest) = unlimited().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, WITH_WEBHOOKS).await;
    let webhook = rest.post(&webhooks(), json!({"name": "Announcer"})).await.body;
    socket.dispatch("WEBHOOKS_UPDATE").await;
    let path = own_path(&webhook);
    let silent = anybody(&emulator, Method::POST, &path, json!({"content": "one"})).await;
    assert_eq!((silent.status, silent.text.as_str()), (204, ""));
    let two = json!({"content": "two", "username": "Referee", "embeds": [{"title": "t"}]});
    let loud = anybody(&emulator, Method::POST, &format!("{path}?wait=true"), two).await;
    assert_eq!((loud.status, &loud.body["content"]), (200, &json!("two")));
    assert_eq!((&loud.body["author"]["username"], &loud.body["webhook_id"]), (&json!("Referee"), &webhook["id"]));
    for name in ["Announcer", "Referee"] {
        let told = socket.dispatch("MESSAGE_CREATE").await;
        assert_eq!((told["author"]["username"].as_str(), &told["member"]), (Some(name), &Value::Null));
    }
    let listed = rest.get(&format!("/channels/{LOBBY}/messages")).await.body;
    assert_eq!(listed[1]["author"]["id"], webhook["id"]);

    let shown = anybody(&emulator, Method::GET, &path, Value::Null).await;
    assert!(shown.body.get("user").is_none(), "with the token nobody learns who made it: {}", shown.text);
    let renamed = anybody(&emulator, Method::PATCH, &path, json!({"name": "Herald"})).await;
    assert_eq!(renamed.body["name"], "Herald");
    assert_eq!(anybody(&emulator, Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(anybody(&emulator, Method::GET, &path, Value::Null).await.refusal(), (404, 10_015));
}

#[tokio::test]
async fn a_wrong_token_an_empty_message_and_forbidden_names_are_refused() {
    let (emulator, rest) = unlimited().await;
    let webhook = rest.post(&webhooks(), json!({"name": "Announcer"})).await.body;
    let wrong = format!("/webhooks/{}/wrong", webhook["id"].as_str().unwrap());
    let reply = anybody(&emulator, Method::POST, &wrong, json!({"content": "x"})).await;
    assert_eq!(reply.refusal(), (401, 50_027));
    let path = own_path(&webhook);
    let empty = anybody(&emulator, Method::POST, &path, json!({"content": " "})).await;
    assert_eq!(empty.refusal(), (400, 50_006));
    let many: Vec<Value> = (0..11).map(|_| json!({})).collect();
    for (body, field, code) in [
        (json!({"content": "x".repeat(2_001)}), "content", "BASE_TYPE_MAX_LENGTH"),
        (json!({"content": "x", "username": "Not Clyde"}), "username", "USERNAME_INVALID_CONTAINS"),
        (json!({"embeds": many}), "embeds", "BASE_TYPE_MAX_LENGTH"),
        (json!({"embeds": ["x"]}), "embeds/0", "MODEL_TYPE_CONVERT"),
    ] {
        assert_eq!(field_error(&anybody(&emulator, Method::POST, &path, body.clone()).await, field), code, "{body}");
    }
    for (body, code) in [
        (json!({}), "BASE_TYPE_REQUIRED"),
        (json!({"name": ""}), "BASE_TYPE_BAD_LENGTH"),
        (json!({"name": "ü".repeat(81)}), "BASE_TYPE_BAD_LENGTH"),
        (json!({"name": "discord news"}), "USERNAME_INVALID_CONTAINS"),
    ] {
        assert_eq!(field_error(&rest.post(&webhooks(), body.clone()).await, "name"), code, "{body}");
    }
    let category = format!("/channels/{VOICE_CATEGORY}/webhooks");
    assert_eq!(rest.post(&category, json!({"name": "x"})).await.refusal(), (400, 50_024));
    let by_id = format!("/webhooks/{}", webhook["id"].as_str().unwrap());
    let abroad = rest.patch(&by_id, json!({"channel_id": OTHER_ROOM})).await;
    assert_eq!(abroad.refusal(), (404, 10_003), "a webhook stays in its guild");
}

#[tokio::test]
async fn a_channel_holds_15_webhooks_and_takes_them_along() {
    let (emulator, rest) = unlimited().await;
    for number in 0..15 {
        assert_eq!(rest.post(&webhooks(), json!({"name": format!("{number}")})).await.status, 200);
    }
    assert_eq!(rest.post(&webhooks(), json!({"name": "x"})).await.refusal(), (400, 30_007));
    let last = rest.get(&webhooks()).await.body[14].clone();
    rest.delete(&format!("/channels/{LOBBY}")).await;
    let dead = anybody(&emulator, Method::POST, &own_path(&last), json!({"content": "x"})).await;
    assert_eq!(dead.refusal(), (404, 10_015));
}

#[tokio::test]
async fn webhooks_are_managed_with_a_permission_and_owned_without() {
    let (emulator, rest) = unlimited().await;
    let made = rest.post(&webhooks(), json!({"name": "Announcer"})).await.body;
    let by_id = format!("/webhooks/{}", made["id"].as_str().unwrap());
    let stranger = Rest::new(&emulator, "stranger");
    let seen = stranger.get(&by_id).await.body;
    assert!(seen.get("token").is_none(), "another application does not see the token: {seen}");
    for token in [TOKEN, "stranger"] {
        let bot = emulator.bot(token).unwrap();
        emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, Permissions::NONE));
    }
    assert_eq!(rest.get(&by_id).await.status, 200, "its own application may look");
    assert_eq!(stranger.get(&by_id).await.refusal(), (403, 50_013));
    assert_eq!(rest.get(&webhooks()).await.refusal(), (403, 50_013));
    assert_eq!(rest.delete(&by_id).await.refusal(), (403, 50_013));
    assert_eq!(
        rest.post(&format!("/channels/{GENERAL}/webhooks"), json!({"name": "x"})).await.refusal(),
        (403, 50_013)
    );
}

#[tokio::test]
async fn a_dead_webhook_that_is_asked_again_and_again_ends_in_a_ban() {
    let limits =
        RestLimits { invalid: Some(Limit::new(3, 600)), ban: Duration::from_secs(60), ..RestLimits::unlimited() };
    let emulator = Emulator::start(Config { rest: limits, ..Config::default() }).await.unwrap();
    for _ in 0..3 {
        let dead = anybody(&emulator, Method::POST, "/webhooks/5/x", json!({"content": "x"})).await;
        assert_eq!(dead.refusal(), (404, 10_015));
    }
    assert_eq!(Rest::new(&emulator, TOKEN).get("/users/@me").await.status, 429);
    assert_eq!(emulator.stats().invalid, [("404 10015".into(), 3), ("429 cloudflare".into(), 1)].into());
}
