//! The audit log: what is noted, how it is read, who hears of it.

use std::time::Duration;

use discord_emulator::{ANN, GAMES, LOBBY, PARLOR_DEV, Permissions, VOICE_CATEGORY};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bot::{INTENTS, Reply, Rest, Socket, field_error, unlimited};

/// GUILDS, GUILD_MODERATION and GUILD_VOICE_STATES.
const WITH_MODERATION: u64 = INTENTS | 1 << 2;

async fn log(rest: &Rest, query: &str) -> Vec<Value> {
    let reply = rest.get(&format!("/guilds/{PARLOR_DEV}/audit-logs?{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.body["audit_log_entries"].as_array().unwrap().clone()
}

async fn with_reason(rest: &Rest, method: Method, path: &str, body: Value, reason: &str) -> Reply {
    let request = rest.request(method, path).header("x-audit-log-reason", reason).json(&body);
    Reply::read(request.send().await.unwrap()).await
}

fn change<'e>(entry: &'e Value, key: &str) -> Option<&'e Value> {
    entry["changes"].as_array()?.iter().find(|change| change["key"] == key)
}

#[tokio::test]
async fn everything_done_is_noted_with_its_reason_and_told_to_moderators() {
    let (emulator, rest) = unlimited().await;
    emulator.user("ann").joins(GAMES);
    let (mut moderator, _) = Socket::log_in(&emulator, "moderator", WITH_MODERATION & !INTENTS | 1).await;
    let bot = emulator.bot("moderator").unwrap();
    let channels = format!("/guilds/{PARLOR_DEV}/channels");
    let lobby = format!("/channels/{LOBBY}");
    let ann = format!("/guilds/{PARLOR_DEV}/members/{ANN}");
    let because = async |method, path: &str, body| {
        let reply = with_reason(&rest, method, path, body, "f%C3%BCr%20alle").await;
        assert!(reply.status < 300, "{path}: {}", reply.text);
        reply.body
    };
    let room = because(Method::POST, &channels, json!({"name": "room", "type": 2, "bitrate": 64_000})).await;
    let room = format!("/channels/{}", room["id"].as_str().unwrap());
    because(Method::PATCH, &room, json!({"name": "renamed", "user_limit": 5})).await;
    because(Method::PUT, &format!("{room}/permissions/{ANN}"), json!({"type": 1, "allow": "1024"})).await;
    because(Method::PUT, &format!("{room}/permissions/{ANN}"), json!({"type": 1, "deny": "1024"})).await;
    because(Method::DELETE, &format!("{room}/permissions/{ANN}"), Value::Null).await;
    because(Method::PUT, &format!("{lobby}/voice-status"), json!({"status": "chess"})).await;
    because(Method::PUT, &format!("{lobby}/voice-status"), json!({"status": null})).await;
    because(Method::PATCH, &ann, json!({"mute": true})).await;
    because(Method::PATCH, &ann, json!({"channel_id": LOBBY})).await;
    because(Method::PATCH, &ann, json!({"channel_id": null})).await;
    let invite = because(Method::POST, &format!("{lobby}/invites"), json!({})).await;
    because(Method::DELETE, &format!("/invites/{}", invite["code"].as_str().unwrap()), Value::Null).await;
    let webhook = because(Method::POST, &format!("{lobby}/webhooks"), json!({"name": "one"})).await;
    let webhook = format!("/webhooks/{}", webhook["id"].as_str().unwrap());
    because(Method::PATCH, &webhook, json!({"name": "two"})).await;
    because(Method::DELETE, &webhook, Value::Null).await;
    because(Method::DELETE, &room, Value::Null).await;

    let kinds = [10, 11, 13, 14, 15, 192, 193, 24, 26, 27, 40, 42, 50, 51, 52, 12];
    let entries = log(&rest, "limit=100&after=0").await;
    assert_eq!(entries.iter().map(|entry| &entry["action_type"]).collect::<Vec<_>>(), kinds);
    assert!(entries.iter().all(|entry| entry["reason"] == "für alle"), "{entries:?}");
    assert_eq!(change(&entries[0], "bitrate").unwrap()["new_value"], 64_000);
    assert_eq!(
        *change(&entries[1], "name").unwrap(),
        json!({"key": "name", "old_value": "room", "new_value": "renamed"})
    );
    assert_eq!(change(&entries[1], "bitrate"), None, "what stayed is not noted");
    assert_eq!(change(&entries[3], "deny").unwrap()["new_value"], "1024");
    assert_eq!(entries[3]["options"], json!({"id": ANN, "type": "1"}));
    assert_eq!(entries[5]["options"]["status"], "chess");
    assert_eq!(*change(&entries[7], "mute").unwrap(), json!({"key": "mute", "old_value": false, "new_value": true}));
    assert_eq!(entries[8]["options"], json!({"channel_id": LOBBY, "count": "1"}));
    assert_eq!(change(&entries[10], "code").unwrap()["new_value"], invite["code"]);
    assert_eq!(change(&entries[13], "name").unwrap()["new_value"], "two");
    assert!(change(&entries[15], "name").unwrap().get("new_value").is_none(), "it is gone");

    let mut told = Vec::new();
    while told.len() < kinds.len() {
        let payload = moderator.payload().await;
        if payload["t"] == "GUILD_AUDIT_LOG_ENTRY_CREATE" {
            assert_eq!(payload["d"]["guild_id"], json!(PARLOR_DEV));
            told.push(payload["d"]["action_type"].clone());
        }
    }
    assert_eq!(told, kinds);
    emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, Permissions::NONE));
    moderator.dispatch("GUILD_ROLE_UPDATE").await;
    because(Method::DELETE, &lobby, Value::Null).await;
    moderator.dispatch("CHANNEL_DELETE").await;
    moderator.heartbeat().await;
}

#[tokio::test]
async fn what_changes_nothing_is_not_noted() {
    let (_emulator, rest) = unlimited().await;
    rest.patch(&format!("/channels/{LOBBY}"), json!({"name": "Lobby"})).await;
    rest.patch(&format!("/guilds/{PARLOR_DEV}/members/{ANN}"), json!({"nick": null})).await;
    assert_eq!(log(&rest, "").await, Vec::<Value>::new());
}

#[tokio::test]
async fn the_log_is_read_downwards_or_upwards_and_forgets_after_45_days() {
    let (emulator, rest) = unlimited().await;
    let other = Rest::new(&emulator, "other");
    for name in ["a", "b", "c", "d"] {
        rest.patch(&format!("/channels/{LOBBY}"), json!({"name": name})).await;
    }
    other.delete(&format!("/channels/{VOICE_CATEGORY}")).await;
    let id = |entry: &Value| entry["id"].as_str().unwrap().to_owned();
    let down = log(&rest, "").await;
    let up = log(&rest, "after=0").await;
    assert_eq!(up.iter().rev().collect::<Vec<_>>(), down.iter().collect::<Vec<_>>());
    assert_eq!(log(&rest, &format!("before={}&limit=1", id(&down[1]))).await, [down[2].clone()]);
    assert_eq!(log(&rest, &format!("after={}&limit=1", id(&up[1]))).await, [up[2].clone()]);
    let between = format!("after={}&before={}", id(&up[0]), id(&up[3]));
    assert_eq!(log(&rest, &between).await, up[1..3]);
    assert_eq!(log(&rest, "action_type=12").await, [down[0].clone()]);
    assert_eq!(log(&rest, "action_type=1").await, Vec::<Value>::new());
    let bot = emulator.bot("other").unwrap();
    assert_eq!(log(&rest, &format!("user_id={bot}")).await, [down[0].clone()]);
    for (query, field, code) in [
        ("limit=0", "limit", "NUMBER_TYPE_MIN"),
        ("limit=101", "limit", "NUMBER_TYPE_MAX"),
        ("before=yesterday", "before", "NUMBER_TYPE_COERCE"),
        ("user_id=ann", "user_id", "NUMBER_TYPE_COERCE"),
    ] {
        let reply = rest.get(&format!("/guilds/{PARLOR_DEV}/audit-logs?{query}")).await;
        assert_eq!(field_error(&reply, field), code, "{query}");
    }
    emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, Permissions::MANAGE_GUILD));
    assert_eq!(other.get(&format!("/guilds/{PARLOR_DEV}/audit-logs")).await.refusal(), (403, 50_013));
    emulator.advance(Duration::from_secs(45 * 24 * 60 * 60));
    assert_eq!(log(&rest, "").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_reason_has_at_most_512_characters_however_they_are_encoded() {
    let (_emulator, rest) = unlimited().await;
    let path = format!("/channels/{LOBBY}");
    let fits = with_reason(&rest, Method::PATCH, &path, json!({"name": "a"}), &"%C3%BC".repeat(512)).await;
    assert_eq!(fits.status, 200);
    assert_eq!(log(&rest, "").await[0]["reason"], "ü".repeat(512));
    let long = with_reason(&rest, Method::PATCH, &path, json!({"name": "b"}), &"x".repeat(513)).await;
    assert_eq!(field_error(&long, "reason"), "BASE_TYPE_MAX_LENGTH");
    assert_eq!(rest.get(&path).await.body["name"], "a", "nothing is done then");
}
