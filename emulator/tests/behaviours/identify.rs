//! IDENTIFY, READY and GUILD_CREATE, and who hears what.

use std::time::Duration;

use discord_emulator::{ANN, Config, Emulator, GatewayLimits, Intents, LOBBY, OTHER_GUILD, PARLOR_DEV};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bot::{INTENTS, Rest, Socket, TOKEN, identify_payload};

#[tokio::test]
async fn ready_lists_unavailable_guilds_and_guild_create_fills_them() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    emulator.user("ann").joins(LOBBY).mutes(true);
    let mut socket = Socket::connect(&emulator).await;
    socket.send(&identify_payload(TOKEN, INTENTS)).await;
    let ready = socket.dispatch("READY").await;
    assert_eq!(ready["resume_gateway_url"], emulator.gateway_url());
    assert_eq!(ready["v"], 10);
    assert_eq!(ready["user"]["bot"], true);
    assert_eq!(ready["application"]["id"], ready["user"]["id"]);
    assert_eq!(ready["guilds"][0], json!({"id": PARLOR_DEV, "unavailable": true}));

    let guild = socket.dispatch("GUILD_CREATE").await;
    assert_eq!((&guild["id"], &guild["unavailable"]), (&json!(PARLOR_DEV), &json!(false)));
    assert_eq!(guild["channels"].as_array().unwrap().len(), 4);
    assert!(guild["channels"][0].get("guild_id").is_none());
    let states = guild["voice_states"].as_array().unwrap();
    assert_eq!(states.len(), 1);
    assert_eq!(states[0]["channel_id"], json!(LOBBY));
    assert_eq!(states[0]["self_mute"], true);
    assert!(states[0].get("guild_id").is_none());
    let members: Vec<&Value> = guild["members"].as_array().unwrap().iter().map(|each| &each["user"]["id"]).collect();
    assert_eq!(members, [&ready["user"]["id"], &json!(ANN)], "the bot and who is in voice, nobody else");
}

#[tokio::test]
async fn intents_choose_the_dispatches() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (mut guilds_only, _) = Socket::log_in(&emulator, TOKEN, 1).await;
    let (mut voice_too, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    emulator.user("ann").joins(LOBBY);
    emulator.world(|world| world.set_premium_tier(PARLOR_DEV, 2));
    guilds_only.dispatch("GUILD_UPDATE").await;
    assert_eq!(voice_too.dispatch("VOICE_STATE_UPDATE").await["user_id"], json!(ANN));
    voice_too.dispatch("GUILD_UPDATE").await;
}

#[tokio::test]
async fn message_content_needs_its_intent_except_in_ones_own_messages() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let messages = INTENTS | 1 << 9;
    let (mut author, _) = Socket::log_in(&emulator, "author", messages).await;
    let (mut blind, _) = Socket::log_in(&emulator, "blind", messages).await;
    let (mut reader, _) = Socket::log_in(&emulator, "reader", messages | 1 << 15).await;
    let path = format!("/channels/{}/messages", discord_emulator::GENERAL);
    let sent = Rest::new(&emulator, "author").call(Method::POST, &path, json!({"content": "hello"})).await;
    assert_eq!(sent.status, 200);
    assert_eq!(author.dispatch("MESSAGE_CREATE").await["content"], "hello");
    assert_eq!(blind.dispatch("MESSAGE_CREATE").await["content"], "");
    assert_eq!(reader.dispatch("MESSAGE_CREATE").await["content"], "hello");
}

#[tokio::test]
async fn shards_carry_their_own_guilds() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    for shard in [0, 1] {
        let mut socket = Socket::connect(&emulator).await;
        let mut payload = identify_payload(TOKEN, INTENTS);
        payload["d"]["shard"] = json!([shard, 2]);
        socket.send(&payload).await;
        let ready = socket.dispatch("READY").await;
        assert_eq!(ready["shard"], json!([shard, 2]));
        let mine: Vec<_> = [PARLOR_DEV, OTHER_GUILD].into_iter().filter(|guild| guild.shard(2) == shard).collect();
        let listed: Vec<_> = ready["guilds"].as_array().unwrap().iter().map(|guild| guild["id"].clone()).collect();
        assert_eq!(listed, mine.iter().map(|guild| json!(guild)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn tokens_make_bots_and_a_prefix_does_not_matter() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (_one, guilds) = Socket::log_in(&emulator, "Bot one", INTENTS).await;
    assert_eq!(guilds.len(), 2);
    let me = Rest::new(&emulator, "one").get("/users/@me").await;
    assert_eq!(me.body["id"], json!(emulator.bot("one").unwrap()));
    assert_ne!(emulator.bot("one"), emulator.bot("two"));
}

#[tokio::test]
async fn max_concurrency_answers_op_9_and_frees_after_5_seconds() {
    let gateway = GatewayLimits::of_discord();
    let emulator = Emulator::start(Config { gateway, ..Config::default() }).await.unwrap();
    let (_first, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let mut second = Socket::connect(&emulator).await;
    second.send(&identify_payload(TOKEN, INTENTS)).await;
    let refusal = second.payload().await;
    assert_eq!((&refusal["op"], &refusal["d"]), (&json!(9), &json!(false)));
    emulator.advance(Duration::from_secs(5));
    second.identify(TOKEN, INTENTS).await;
    let bot = Rest::new(&emulator, TOKEN).get("/gateway/bot").await;
    assert_eq!(bot.body["session_start_limit"]["remaining"], 998);
    assert_eq!(bot.body["session_start_limit"]["max_concurrency"], 1);
}

#[tokio::test]
async fn a_spent_identify_budget_resets_the_token() {
    let gateway = GatewayLimits { identifies_per_day: 2, ..GatewayLimits::default() };
    let emulator = Emulator::start(Config { gateway, ..Config::default() }).await.unwrap();
    let (mut first, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let (mut second, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let mut third = Socket::connect(&emulator).await;
    third.send(&identify_payload(TOKEN, INTENTS)).await;
    for socket in [&mut first, &mut second, &mut third] {
        assert_eq!(socket.close_code().await, 4004);
    }
    assert_eq!(Rest::new(&emulator, TOKEN).get("/users/@me").await.status, 401);
    assert_eq!(emulator.stats().sessions_open, 0);
}

#[tokio::test]
async fn a_request_for_members_is_answered() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let intents = Intents::GUILDS | Intents::GUILD_MEMBERS;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, intents.bits()).await;
    let d = json!({"guild_id": PARLOR_DEV, "query": "", "limit": 0, "nonce": "n"});
    socket.send(&json!({"op": 8, "d": d})).await;
    let chunk = socket.dispatch("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(chunk["nonce"], "n");
    assert_eq!(chunk["members"].as_array().unwrap().len(), 6, "the owner, four people and the bot");
}
