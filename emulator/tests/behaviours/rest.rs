//! REST: channels, members, messages, and how Discord refuses.

use discord_emulator::{ANN, AuditAction, GENERAL, LOBBY, NewChannel, PARLOR_DEV, Permissions, VOICE_CATEGORY};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bot::{INTENTS, Reply, Socket, TOKEN, field_error, unlimited};

fn channels() -> String {
    format!("/guilds/{PARLOR_DEV}/channels")
}

#[tokio::test]
async fn a_channel_lives_from_post_to_delete() {
    let (emulator, rest) = unlimited().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let wanted = json!({
        "name": "Movie night", "type": 2, "bitrate": 96_000, "user_limit": 9, "parent_id": VOICE_CATEGORY,
        "rtc_region": "rotterdam", "video_quality_mode": 2,
    });
    let created = rest.call(Method::POST, &channels(), wanted.clone()).await;
    assert_eq!(created.status, 201);
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&created.body[field], value, "{field}");
    }
    assert_eq!(socket.dispatch("CHANNEL_CREATE").await, created.body);
    let path = format!("/channels/{}", created.body["id"].as_str().unwrap());
    let edited = rest.call(Method::PATCH, &path, json!({"name": "Quiet", "user_limit": 0, "parent_id": null})).await;
    assert_eq!((&edited.body["name"], &edited.body["parent_id"]), (&json!("Quiet"), &Value::Null));
    assert_eq!(socket.dispatch("CHANNEL_UPDATE").await, edited.body);
    assert_eq!(rest.get(&path).await.body, edited.body);
    let deleted = rest.call(Method::DELETE, &path, Value::Null).await;
    assert_eq!((deleted.status, &deleted.body), (200, &edited.body));
    assert_eq!(socket.dispatch("CHANNEL_DELETE").await, edited.body);
    assert_eq!(rest.get(&path).await.refusal(), (404, 10_003));
}

#[tokio::test]
async fn fields_out_of_range_are_named() {
    let (emulator, rest) = unlimited().await;
    for (body, field, code) in [
        (json!({"type": 2}), "name", "BASE_TYPE_REQUIRED"),
        (json!({"name": "", "type": 2}), "name", "BASE_TYPE_BAD_LENGTH"),
        (json!({"name": "ü".repeat(101), "type": 2}), "name", "BASE_TYPE_BAD_LENGTH"),
        (json!({"name": "x", "type": 1}), "type", "BASE_TYPE_CHOICES"),
        (json!({"name": "x", "type": 2, "bitrate": 7_999}), "bitrate", "NUMBER_TYPE_MIN"),
        (json!({"name": "x", "type": 2, "bitrate": 96_001}), "bitrate", "NUMBER_TYPE_MAX"),
        (json!({"name": "x", "type": 13, "bitrate": 64_001}), "bitrate", "NUMBER_TYPE_MAX"),
        (json!({"name": "x", "type": 2, "user_limit": 100}), "user_limit", "NUMBER_TYPE_MAX"),
        (json!({"name": "x", "type": 13, "user_limit": 10_001}), "user_limit", "NUMBER_TYPE_MAX"),
        (json!({"name": "x", "type": 2, "parent_id": LOBBY}), "parent_id", "CHANNEL_PARENT_INVALID"),
        (json!({"name": "x", "type": 2, "rtc_region": "atlantis"}), "rtc_region", "BASE_TYPE_CHOICES"),
        (json!({"name": "x", "type": 2, "nsfw": "perhaps"}), "nsfw", "BOOLEAN_TYPE_CONVERT"),
    ] {
        let reply = rest.call(Method::POST, &channels(), body.clone()).await;
        assert_eq!(field_error(&reply, field), code, "{body}");
    }
    emulator.world(|world| world.set_premium_tier(PARLOR_DEV, 3));
    for body in [
        json!({"name": "ü".repeat(100), "type": 2, "bitrate": 384_000, "user_limit": 99}),
        json!({"name": "x", "type": 13, "bitrate": 64_000, "user_limit": 10_000}),
    ] {
        assert_eq!(rest.call(Method::POST, &channels(), body).await.status, 201);
    }
    let broken = rest.request(Method::POST, &channels()).body("{").send().await.unwrap();
    assert_eq!(Reply::read(broken).await.refusal(), (400, 50_109));
}

#[tokio::test]
async fn text_channels_have_no_capitals_and_no_spaces() {
    let (_emulator, rest) = unlimited().await;
    let created = rest.call(Method::POST, &channels(), json!({"name": "Loud And  Clear", "type": 0})).await;
    assert_eq!(created.body["name"], "loud-and-clear");
}

#[tokio::test]
async fn guilds_hold_500_channels_and_categories_50() {
    let (emulator, rest) = unlimited().await;
    emulator.world(|world| {
        for number in 0..48 {
            let new = NewChannel::voice(&format!("child {number}")).under(VOICE_CATEGORY);
            world.create_channel(PARLOR_DEV, new).unwrap();
        }
    });
    let child = json!({"name": "x", "type": 2, "parent_id": VOICE_CATEGORY});
    let full = rest.call(Method::POST, &channels(), child).await;
    assert_eq!(field_error(&full, "parent_id"), "CHANNEL_PARENT_MAX_CHANNELS");
    emulator.world(|world| {
        for number in 0..448 {
            world.create_channel(PARLOR_DEV, NewChannel::voice(&format!("{number}"))).unwrap();
        }
    });
    let full = rest.call(Method::POST, &channels(), json!({"name": "x", "type": 2})).await;
    assert_eq!(full.refusal(), (400, 30_013));
}

#[tokio::test]
async fn permissions_are_asked_for() {
    let (emulator, rest) = unlimited().await;
    let bot = emulator.bot(TOKEN).unwrap();
    emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, Permissions::CONNECT));
    let room = json!({"name": "x", "type": 2});
    assert_eq!(rest.call(Method::POST, &channels(), room).await.refusal(), (403, 50_013));
    let lobby = format!("/channels/{LOBBY}");
    assert_eq!(rest.call(Method::DELETE, &lobby, Value::Null).await.refusal(), (403, 50_013));
    emulator.user("ann").joins(LOBBY);
    let ann = format!("/guilds/{PARLOR_DEV}/members/{ANN}");
    assert_eq!(rest.call(Method::PATCH, &ann, json!({"mute": true})).await.refusal(), (403, 50_013));

    let everything = Permissions::ALL.without(Permissions::ADMINISTRATOR);
    emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, everything));
    let hide = json!({"type": 1, "allow": "0", "deny": Permissions::CONNECT});
    let overwrite = format!("{lobby}/permissions/{bot}");
    assert_eq!(rest.call(Method::PUT, &overwrite, hide).await.status, 204);
    let reply = rest.call(Method::DELETE, &lobby, Value::Null).await;
    assert_eq!(reply.refusal(), (403, 50_013), "who may not connect may not manage either");
    emulator
        .world(|world| {
            world.edit_channel(LOBBY, discord_emulator::ChannelEdit { overwrites: Some(vec![]), ..Default::default() })
        })
        .unwrap();
    assert_eq!(rest.call(Method::DELETE, &overwrite, Value::Null).await.refusal(), (404, 10_009));
    let hide = json!({"type": 1, "allow": "0", "deny": Permissions::VIEW_CHANNEL});
    rest.call(Method::PUT, &overwrite, hide).await;
    assert_eq!(rest.get(&lobby).await.refusal(), (403, 50_001));
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let (emulator, rest) = unlimited().await;
    let bot = emulator.bot(TOKEN).unwrap();
    let some = Permissions::MANAGE_CHANNELS | Permissions::MANAGE_ROLES;
    emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, some));
    let with = |allow: Permissions| {
        let overwrite = json!({"id": ANN, "type": 1, "allow": allow, "deny": "0"});
        json!({"name": "x", "type": 2, "permission_overwrites": [overwrite]})
    };
    let modest = rest.call(Method::POST, &channels(), with(Permissions::CONNECT)).await;
    assert_eq!(modest.status, 201);
    assert_eq!(modest.body["permission_overwrites"][0]["allow"], json!(Permissions::CONNECT));
    let greedy = rest.call(Method::POST, &channels(), with(Permissions::MUTE_MEMBERS)).await;
    assert_eq!(greedy.refusal(), (403, 50_013));
}

#[tokio::test]
async fn reasons_reach_the_audit_log() {
    let (emulator, rest) = unlimited().await;
    let request = rest
        .request(Method::POST, &channels())
        .header("x-audit-log-reason", "f%C3%BCr%20ann")
        .json(&json!({"name": "room", "type": 2}));
    let created = Reply::read(request.send().await.unwrap()).await;
    emulator.world(|world| {
        let entry = world.audit_log().last().unwrap();
        assert_eq!(entry.action, AuditAction::ChannelCreate);
        assert_eq!(entry.reason.as_deref(), Some("für ann"));
        assert_eq!(entry.target.map(|id| id.to_string()).as_deref(), created.body["id"].as_str());
    });
    let log = rest.get(&format!("/guilds/{PARLOR_DEV}/audit-logs?action_type=10&limit=1")).await;
    assert_eq!(log.body["audit_log_entries"][0]["reason"], "für ann");
}

#[tokio::test]
async fn deleting_a_category_orphans_its_channels() {
    let (emulator, rest) = unlimited().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    rest.call(Method::DELETE, &format!("/channels/{VOICE_CATEGORY}"), Value::Null).await;
    for _ in 0..2 {
        assert_eq!(socket.dispatch("CHANNEL_UPDATE").await["parent_id"], Value::Null);
    }
    socket.dispatch("CHANNEL_DELETE").await;
}

#[tokio::test]
async fn positions_change_together_and_parents_one_by_one() {
    let (emulator, rest) = unlimited().await;
    let both = json!([{"id": LOBBY, "position": 7}, {"id": GENERAL, "position": 8}]);
    assert_eq!(rest.call(Method::PATCH, &channels(), both).await.status, 204);
    emulator.world(|world| assert_eq!(world.channel(LOBBY).unwrap().position, 7));
    let parents = json!([{"id": LOBBY, "parent_id": null}, {"id": discord_emulator::GAMES, "parent_id": null}]);
    assert_eq!(rest.call(Method::PATCH, &channels(), parents).await.refusal(), (400, 40_009));
}

#[tokio::test]
async fn messages_are_written_and_listed() {
    let (_emulator, rest) = unlimited().await;
    let path = format!("/channels/{GENERAL}/messages");
    for text in ["one", "two", "three"] {
        assert_eq!(rest.call(Method::POST, &path, json!({"content": text})).await.body["content"], text);
    }
    let newest = rest.get(&format!("{path}?limit=2")).await;
    let texts: Vec<_> = newest.body.as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(texts, ["three", "two"]);
    let first = newest.body[1]["id"].as_str().unwrap();
    let older = rest.get(&format!("{path}?before={first}")).await;
    assert_eq!(older.body[0]["content"], "one");
    assert_eq!(rest.call(Method::POST, &path, json!({"content": " "})).await.refusal(), (400, 50_006));
    let category = format!("/channels/{VOICE_CATEGORY}/messages");
    assert_eq!(rest.call(Method::POST, &category, json!({"content": "x"})).await.refusal(), (400, 50_008));
}

#[tokio::test]
async fn a_nonce_makes_a_message_come_once() {
    let (emulator, rest) = unlimited().await;
    let path = format!("/channels/{LOBBY}/messages");
    let post = async |nonce: Value, once: bool| {
        rest.post(&path, json!({"content": "x", "nonce": nonce, "enforce_nonce": once})).await
    };
    let first = post(json!("request-1"), true).await.body;
    assert_eq!(first["nonce"], "request-1");
    assert_eq!(post(json!("request-1"), true).await.body, first);
    assert_ne!(post(json!("request-1"), false).await.body["id"], first["id"], "only where it is enforced");
    assert_ne!(post(json!(7), true).await.body["id"], first["id"]);
    let long = post(json!("x".repeat(26)), true).await;
    assert_eq!(field_error(&long, "nonce"), "BASE_TYPE_MAX_LENGTH");
    emulator.advance(std::time::Duration::from_secs(301));
    assert_ne!(post(json!("request-1"), true).await.body["id"], first["id"], "it is forgotten after some minutes");
}

#[tokio::test]
async fn a_voice_status_is_set_and_told() {
    let (emulator, rest) = unlimited().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let path = format!("/channels/{LOBBY}/voice-status");
    assert_eq!(rest.call(Method::PUT, &path, json!({"status": "chess"})).await.status, 204);
    assert_eq!(socket.dispatch("VOICE_CHANNEL_STATUS_UPDATE").await["status"], "chess");
    let text = format!("/channels/{GENERAL}/voice-status");
    assert_eq!(rest.call(Method::PUT, &text, json!({"status": "x"})).await.refusal(), (400, 50_024));
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let (emulator, rest) = unlimited().await;
    let bare = reqwest::Client::builder().user_agent("DiscordBot (x, 1)").no_proxy().build().unwrap();
    let url = format!("{}/users/@me", emulator.rest_url());
    for authorization in [None, Some("a-bot"), Some("Bearer a-bot"), Some("Bot ")] {
        let request = bare.get(&url);
        let request = authorization.into_iter().fold(request, |request, value| request.header("authorization", value));
        let reply = Reply::read(request.send().await.unwrap()).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.body, json!({"message": "401: Unauthorized", "code": 0}));
    }
    let browser = rest.request(Method::GET, "/users/@me").header("user-agent", "Mozilla/5.0").send().await.unwrap();
    assert_eq!(Reply::read(browser).await.refusal(), (403, 40_333));
    assert_eq!(rest.get("/no/such/route").await.refusal(), (404, 0));
    assert_eq!(rest.call(Method::PUT, "/users/@me", Value::Null).await.refusal(), (405, 0));
    assert_eq!(rest.get("/guilds/5").await.refusal(), (404, 10_004));
    assert_eq!(rest.get("/users/5").await.refusal(), (404, 10_013));
    assert_eq!(rest.get(&format!("/guilds/{PARLOR_DEV}/members/{}", discord_emulator::OWNER)).await.status, 200);
}

#[tokio::test]
async fn libraries_find_what_they_ask_for_at_start() {
    let (emulator, rest) = unlimited().await;
    let gateway = rest.get("/gateway/bot").await.body;
    assert_eq!(gateway["url"], emulator.gateway_url());
    for path in ["/gateway", "/users/@me", "/users/@me/guilds", "/oauth2/applications/@me", "/applications/@me"] {
        assert_eq!(rest.get(path).await.status, 200, "{path}");
    }
    for path in ["/applications/5/commands", "/users/@me/channels", &format!("/guilds/{PARLOR_DEV}/emojis")] {
        assert_eq!(rest.get(path).await.body, json!([]), "{path}");
    }
    assert_eq!(rest.get("/voice/regions").await.body[0]["id"], "rotterdam");
    let unversioned = rest.get("/users/@me").await.body;
    let http = reqwest::Client::builder().user_agent("DiscordBot (x, 1)").no_proxy().build().unwrap();
    let url = format!("http://{}/api/users/@me", emulator.addr());
    let same = http.get(url).header("authorization", format!("Bot {TOKEN}")).send().await.unwrap();
    assert_eq!(Reply::read(same).await.body, unversioned);
}
