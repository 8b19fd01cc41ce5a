//! Invites: made, looked at, used and deleted.

use discord_emulator::{Config, Emulator, GENERAL, InviteCode, LOBBY, PARLOR_DEV, Permissions, VOICE_CATEGORY};
use serde_json::{Value, json};

use crate::bot::{INTENTS, Rest, Socket, TOKEN, field_error, unlimited};

/// GUILDS, GUILD_VOICE_STATES and GUILD_INVITES.
const WITH_INVITES: u64 = INTENTS | 1 << 6;

fn invites() -> String {
    format!("/channels/{LOBBY}/invites")
}

#[tokio::test]
async fn an_invite_lives_from_post_to_delete() {
    let (emulator, rest) = unlimited().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, WITH_INVITES).await;
    let wanted = json!({"max_age": 3_600, "max_uses": 2, "temporary": true, "unique": true});
    let made = rest.post(&invites(), wanted).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let code = made.body["code"].as_str().unwrap().to_owned();
    assert_eq!((&made.body["max_age"], &made.body["max_uses"]), (&json!(3_600), &json!(2)));
    assert_eq!(made.body["channel"], json!({"id": LOBBY, "name": "Lobby", "type": 2}));
    assert_eq!(made.body["guild"]["id"], json!(PARLOR_DEV));
    assert_eq!(made.body["inviter"]["id"], json!(emulator.bot(TOKEN).unwrap()));
    let told = socket.dispatch("INVITE_CREATE").await;
    assert_eq!((told["code"].as_str(), &told["channel_id"]), (Some(code.as_str()), &json!(LOBBY)));

    assert_eq!(rest.get(&invites()).await.body[0]["code"], code.as_str());
    assert_eq!(rest.get(&format!("/guilds/{PARLOR_DEV}/invites")).await.body[0]["uses"], 0);
    let path = format!("/invites/{code}");
    let seen = rest.get(&format!("{path}?with_counts=true")).await;
    assert!(seen.body["approximate_member_count"].as_u64().unwrap() >= 5, "{}", seen.text);
    assert!(seen.body.get("uses").is_none(), "only managers see the metadata");

    let gone = rest.delete(&path).await;
    assert_eq!((gone.status, &gone.body["code"]), (200, &made.body["code"]));
    assert_eq!(socket.dispatch("INVITE_DELETE").await["code"], made.body["code"]);
    assert_eq!(rest.get(&path).await.refusal(), (404, 10_006));
    assert_eq!(rest.delete(&path).await.refusal(), (404, 10_006));
}

#[tokio::test]
async fn an_invite_is_used_by_a_person_and_ends_by_itself() {
    let (emulator, rest) = unlimited().await;
    let once = rest.post(&invites(), json!({"max_uses": 1})).await.body["code"].as_str().unwrap().to_owned();
    let hour = rest.post(&invites(), json!({"max_age": 3_600})).await.body["code"].as_str().unwrap().to_owned();
    let eve = emulator.user("eve").id();
    emulator.world(|world| world.accept_invite(eve, &InviteCode::new(&once))).unwrap();
    assert_eq!(rest.get(&format!("/guilds/{PARLOR_DEV}/members/{eve}")).await.status, 200);
    assert_eq!(rest.get(&format!("/invites/{once}")).await.refusal(), (404, 10_006));
    assert_eq!(rest.get(&format!("/invites/{hour}")).await.status, 200);
    emulator.advance(std::time::Duration::from_secs(3_600));
    assert_eq!(rest.get(&format!("/invites/{hour}")).await.refusal(), (404, 10_006));
    assert_eq!(rest.get(&invites()).await.body, json!([]));
}

#[tokio::test]
async fn a_similar_invite_comes_again_unless_it_has_to_be_unique() {
    let (_emulator, rest) = unlimited().await;
    let first = rest.post(&invites(), json!({})).await.body["code"].clone();
    assert_eq!(rest.post(&invites(), json!({})).await.body["code"], first);
    assert_ne!(rest.post(&invites(), json!({"unique": true})).await.body["code"], first);
}

#[tokio::test]
async fn invites_need_permissions_and_sound_forms() {
    let (emulator, rest) = unlimited().await;
    for (body, field, code) in [
        (json!({"max_age": -1}), "max_age", "NUMBER_TYPE_MIN"),
        (json!({"max_age": 5_184_001}), "max_age", "NUMBER_TYPE_MAX"),
        (json!({"max_uses": 101}), "max_uses", "NUMBER_TYPE_MAX"),
        (json!({"unique": "perhaps"}), "unique", "BOOLEAN_TYPE_CONVERT"),
    ] {
        assert_eq!(field_error(&rest.post(&invites(), body.clone()).await, field), code, "{body}");
    }
    let category = format!("/channels/{VOICE_CATEGORY}/invites");
    assert_eq!(rest.post(&category, json!({})).await.refusal(), (400, 50_024));
    let code = rest.post(&invites(), json!({})).await.body["code"].as_str().unwrap().to_owned();
    let bot = emulator.bot(TOKEN).unwrap();
    emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, Permissions::NONE));
    // @everyone may make invites here; who may not manage channels neither lists nor deletes them.
    assert_eq!(rest.get(&invites()).await.refusal(), (403, 50_013));
    assert_eq!(rest.delete(&format!("/invites/{code}")).await.refusal(), (403, 50_013));
    assert_eq!(rest.get(&format!("/guilds/{PARLOR_DEV}/invites")).await.refusal(), (403, 50_013));
    emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, Permissions::VIEW_AUDIT_LOG));
    let listed = rest.get(&format!("/guilds/{PARLOR_DEV}/invites")).await.body;
    assert!(listed[0].get("max_uses").is_none(), "without MANAGE_GUILD there is no metadata: {listed}");
}

#[tokio::test]
async fn only_managers_hear_of_invites_and_only_with_the_intent() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (mut plain, _) = Socket::log_in(&emulator, "plain", INTENTS).await;
    let (mut weak, _) = Socket::log_in(&emulator, "weak", WITH_INVITES).await;
    let weak_bot = emulator.bot("weak").unwrap();
    emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, weak_bot, Permissions::NONE));
    plain.dispatch("GUILD_ROLE_UPDATE").await;
    weak.dispatch("GUILD_ROLE_UPDATE").await;
    let rest = Rest::new(&emulator, "plain");
    let made = rest.post(&format!("/channels/{GENERAL}/invites"), json!({})).await;
    assert_ne!(made.body["code"], Value::Null);
    plain.heartbeat().await;
    weak.heartbeat().await;
}
