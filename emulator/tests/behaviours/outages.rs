//! Guilds that fall away and come back, and bots that come and go.

use discord_emulator::{Config, Emulator, GAMES, LOBBY, OTHER_GUILD, PARLOR_DEV};
use serde_json::json;

use crate::bot::{INTENTS, Rest, Socket, TOKEN};

#[tokio::test]
async fn an_outage_is_silent_and_its_end_tells_everything() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    emulator.user("ann").joins(LOBBY);
    socket.dispatch("VOICE_STATE_UPDATE").await;
    emulator.world(|world| world.guild_goes_down(PARLOR_DEV));
    assert_eq!(socket.dispatch("GUILD_DELETE").await, json!({"id": PARLOR_DEV, "unavailable": true}));

    emulator.user("ann").moves(GAMES);
    socket.op4(PARLOR_DEV, Some(LOBBY)).await;
    socket.heartbeat().await;
    let reply = Rest::new(&emulator, TOKEN).get(&format!("/guilds/{PARLOR_DEV}")).await;
    assert_eq!(reply.status, 503);

    emulator.world(|world| world.guild_comes_back(PARLOR_DEV));
    let guild = socket.dispatch("GUILD_CREATE").await;
    assert_eq!(guild["unavailable"], false);
    assert_eq!(guild["voice_states"][0]["channel_id"], json!(GAMES));
}

#[tokio::test]
async fn a_guild_in_outage_stays_unavailable_at_login() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    emulator.world(|world| world.guild_goes_down(PARLOR_DEV));
    let mut socket = Socket::connect(&emulator).await;
    socket.send(&crate::bot::identify_payload(TOKEN, INTENTS)).await;
    assert_eq!(socket.dispatch("READY").await["guilds"].as_array().unwrap().len(), 2);
    assert_eq!(socket.dispatch("GUILD_CREATE").await["id"], json!(OTHER_GUILD));
    socket.heartbeat().await;
    emulator.world(|world| world.guild_comes_back(PARLOR_DEV));
    assert_eq!(socket.dispatch("GUILD_CREATE").await["id"], json!(PARLOR_DEV));
}

#[tokio::test]
async fn a_bot_is_removed_and_added_again() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let bot = emulator.bot(TOKEN).unwrap();
    emulator.world(|world| world.remove_bot(PARLOR_DEV, bot));
    assert_eq!(socket.dispatch("GUILD_DELETE").await, json!({"id": PARLOR_DEV}));
    let rest = Rest::new(&emulator, TOKEN);
    assert_eq!(rest.get(&format!("/guilds/{PARLOR_DEV}")).await.refusal(), (404, 10_004));
    assert_eq!(rest.get(&format!("/channels/{LOBBY}")).await.refusal(), (403, 50_001));
    emulator.user("ann").joins(LOBBY);
    socket.heartbeat().await;

    emulator.world(|world| world.add_bot(PARLOR_DEV, bot));
    let guild = socket.dispatch("GUILD_CREATE").await;
    assert!(guild.get("unavailable").is_none(), "that is how clients tell a join from a recovery");
    assert_eq!(guild["voice_states"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn guilds_appear_and_disappear() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let guild = emulator.world(|world| world.create_guild("New Guild"));
    assert_eq!(socket.dispatch("GUILD_CREATE").await["name"], "New Guild");
    emulator.world(|world| world.delete_guild(guild));
    assert_eq!(socket.dispatch("GUILD_DELETE").await, json!({"id": guild}));
}
