//! Voice on the main gateway: op 4, voice states, and what ends them.

use std::collections::BTreeSet;
use std::time::Duration;

use discord_emulator::{
    ANN, BOB, Config, Emulator, GAMES, GENERAL, LOBBY, NewChannel, OTHER_GUILD, OTHER_ROOM, PARLOR_DEV, Permissions,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bot::{INTENTS, Rest, START_TIME, Socket, TOKEN};

async fn bot() -> (Emulator, Socket) {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    (emulator, socket)
}

#[tokio::test]
async fn op_4_is_answered_by_state_and_then_server() {
    let (emulator, mut socket) = bot().await;
    socket.op4(PARLOR_DEV, Some(LOBBY)).await;
    let state = socket.dispatch("VOICE_STATE_UPDATE").await;
    let bot = emulator.bot(TOKEN).unwrap();
    assert_eq!((&state["user_id"], &state["channel_id"]), (&json!(bot), &json!(LOBBY)));
    assert_eq!((&state["guild_id"], &state["member"]["user"]["id"]), (&json!(PARLOR_DEV), &json!(bot)));
    let server = socket.dispatch("VOICE_SERVER_UPDATE").await;
    assert_eq!(server["endpoint"], json!(emulator.voice_addr()));
    let credentials = emulator.world(|world| world.voice_credentials(PARLOR_DEV, bot)).unwrap();
    assert_eq!(server["token"], credentials.token);
    assert_eq!(state["session_id"], credentials.session_id);
    assert_eq!(emulator.who_is_where(PARLOR_DEV)[&LOBBY], BTreeSet::from([bot]));
}

#[tokio::test]
async fn asking_again_and_moving_give_a_fresh_token_in_the_same_session() {
    let (_emulator, mut socket) = bot().await;
    let mut tokens = BTreeSet::new();
    let mut sessions = BTreeSet::new();
    for channel in [LOBBY, LOBBY, GAMES] {
        socket.op4(PARLOR_DEV, Some(channel)).await;
        let state = socket.dispatch("VOICE_STATE_UPDATE").await;
        assert_eq!(state["channel_id"], json!(channel));
        sessions.insert(state["session_id"].as_str().unwrap().to_owned());
        let server = socket.dispatch("VOICE_SERVER_UPDATE").await;
        tokens.insert(server["token"].as_str().unwrap().to_owned());
    }
    assert_eq!((tokens.len(), sessions.len()), (3, 1));
    socket.op4(PARLOR_DEV, None).await;
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["channel_id"], Value::Null);
    socket.heartbeat().await;
}

#[tokio::test]
async fn ids_may_be_integers_and_switches_may_be_missing() {
    let (_emulator, mut socket) = bot().await;
    socket.send_text(&format!(r#"{{"op":4,"d":{{"guild_id":{PARLOR_DEV},"channel_id":{GAMES}}}}}"#)).await;
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["channel_id"], json!(GAMES));
}

#[tokio::test]
async fn what_may_not_be_is_answered_with_silence() {
    let (emulator, mut socket) = bot().await;
    let bot = emulator.bot(TOKEN).unwrap();
    let full = emulator.world(|world| {
        let everything = Permissions::ALL.without(Permissions::ADMINISTRATOR | Permissions::MOVE_MEMBERS);
        world.set_bot_permissions(PARLOR_DEV, bot, everything);
        let full = world.create_channel(PARLOR_DEV, NewChannel::voice("full")).unwrap();
        let edit = discord_emulator::ChannelEdit { user_limit: Some(1), ..Default::default() };
        world.edit_channel(full, edit).unwrap();
        world.user("ann").joins(full);
        full
    });
    for kind in ["GUILD_ROLE_UPDATE", "CHANNEL_CREATE", "CHANNEL_UPDATE", "VOICE_STATE_UPDATE"] {
        socket.dispatch(kind).await;
    }
    for channel in [full, GENERAL, OTHER_ROOM] {
        socket.op4(PARLOR_DEV, Some(channel)).await;
        socket.heartbeat().await;
    }
    emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, Permissions::MOVE_MEMBERS));
    socket.dispatch("GUILD_ROLE_UPDATE").await;
    socket.op4(PARLOR_DEV, Some(full)).await;
    socket.dispatch("VOICE_STATE_UPDATE").await;
}

#[tokio::test]
async fn a_person_is_in_one_guild_at_a_time() {
    let (emulator, mut socket) = bot().await;
    emulator.user("ann").joins(LOBBY).joins(OTHER_ROOM);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let state = socket.dispatch("VOICE_STATE_UPDATE").await;
        seen.push((state["guild_id"].clone(), state["channel_id"].clone()));
    }
    let left = (json!(PARLOR_DEV), Value::Null);
    assert_eq!(seen, [(json!(PARLOR_DEV), json!(LOBBY)), left, (json!(OTHER_GUILD), json!(OTHER_ROOM))]);
}

#[tokio::test]
async fn a_bot_may_be_in_voice_of_several_guilds() {
    let (emulator, mut socket) = bot().await;
    socket.op4(PARLOR_DEV, Some(LOBBY)).await;
    socket.op4(OTHER_GUILD, Some(OTHER_ROOM)).await;
    let bot = emulator.bot(TOKEN).unwrap();
    emulator.wait_for_world(|world| world.rooms()[&OTHER_ROOM].contains(&bot)).await;
    assert!(emulator.rooms()[&LOBBY].contains(&bot));
}

#[tokio::test]
async fn deleting_a_channel_sends_everybody_out_first() {
    let (emulator, mut socket) = bot().await;
    emulator.user("ann").joins(LOBBY);
    emulator.user("bob").joins(LOBBY);
    socket.dispatch("VOICE_STATE_UPDATE").await;
    socket.dispatch("VOICE_STATE_UPDATE").await;
    emulator.world(|world| world.delete_channel(LOBBY)).unwrap();
    for user in [ANN, BOB] {
        let state = socket.dispatch("VOICE_STATE_UPDATE").await;
        assert_eq!((&state["user_id"], &state["channel_id"]), (&json!(user), &Value::Null));
    }
    assert_eq!(socket.dispatch("CHANNEL_DELETE").await["id"], json!(LOBBY));
    assert!(!emulator.rooms().contains_key(&LOBBY));
}

#[tokio::test]
async fn a_bot_leaves_voice_when_its_session_ends_and_not_before() {
    let (emulator, mut socket) = bot().await;
    let (mut watcher, _) = Socket::log_in(&emulator, "watcher", INTENTS).await;
    socket.op4(PARLOR_DEV, Some(LOBBY)).await;
    assert_eq!(watcher.dispatch("VOICE_STATE_UPDATE").await["channel_id"], json!(LOBBY));
    socket.dispatch("VOICE_STATE_UPDATE").await;
    socket.hang_up(&emulator).await;
    assert_eq!(emulator.rooms()[&LOBBY].len(), 1);
    for beat in 1..=4 {
        emulator.advance(Duration::from_secs(50));
        watcher.send(&json!({"op": 1, "d": null})).await;
        emulator.wait_for(|stats| stats.heartbeats == beat).await;
    }
    let state = loop {
        let payload = watcher.payload().await;
        if payload["op"] == 0 {
            break payload["d"].clone();
        }
    };
    assert_eq!(state["channel_id"], Value::Null);
    assert!(emulator.rooms()[&LOBBY].is_empty());
}

#[tokio::test]
async fn moderators_move_mute_and_disconnect() {
    let (emulator, mut socket) = bot().await;
    let rest = Rest::new(&emulator, TOKEN);
    emulator.user("ann").joins(LOBBY);
    socket.op4(PARLOR_DEV, Some(LOBBY)).await;
    for kind in ["VOICE_STATE_UPDATE", "VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE"] {
        socket.dispatch(kind).await;
    }
    let ann = format!("/guilds/{PARLOR_DEV}/members/{ANN}");
    let edited = rest.call(Method::PATCH, &ann, json!({"mute": true, "channel_id": GAMES})).await;
    assert_eq!((edited.status, &edited.body["mute"]), (200, &json!(true)));
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["mute"], true);
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["channel_id"], json!(GAMES));
    rest.call(Method::PATCH, &ann, json!({"channel_id": null})).await;
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["channel_id"], Value::Null);
    let muted = rest.call(Method::PATCH, &ann, json!({"deaf": true})).await;
    assert_eq!(muted.refusal(), (400, 40_032));
    // A bot that is moved needs another voice server.
    rest.call(Method::PATCH, &format!("/guilds/{PARLOR_DEV}/members/@me"), json!({"channel_id": GAMES})).await;
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["channel_id"], json!(GAMES));
    socket.dispatch("VOICE_SERVER_UPDATE").await;
}

#[tokio::test]
async fn a_stage_suppresses_its_audience() {
    let (emulator, mut socket) = bot().await;
    let stage = emulator.world(|world| world.create_channel(PARLOR_DEV, NewChannel::stage("talk")).unwrap());
    emulator.user("ann").joins(stage);
    socket.dispatch("CHANNEL_CREATE").await;
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["suppress"], true);
    let path = format!("/guilds/{PARLOR_DEV}/voice-states/{ANN}");
    let rest = Rest::new(&emulator, TOKEN);
    let lifted = rest.call(Method::PATCH, &path, json!({"channel_id": stage, "suppress": false})).await;
    assert_eq!(lifted.status, 204);
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["suppress"], false);
    assert_eq!(rest.get(&path).await.body["suppress"], false);
}

#[tokio::test]
async fn a_voice_server_can_be_taken_away_and_given_anew() {
    let (emulator, mut socket) = bot().await;
    socket.op4(PARLOR_DEV, Some(LOBBY)).await;
    socket.dispatch("VOICE_STATE_UPDATE").await;
    socket.dispatch("VOICE_SERVER_UPDATE").await;
    let bot = emulator.bot(TOKEN).unwrap();
    for endpoint in [None, Some("127.0.0.1:50444")] {
        emulator.world(|world| world.reallocate_voice_server(PARLOR_DEV, bot, endpoint)).unwrap();
        assert_eq!(socket.dispatch("VOICE_SERVER_UPDATE").await["endpoint"], json!(endpoint));
    }
}

#[tokio::test]
async fn a_channel_s_session_begins_with_the_first_and_ends_with_the_last() {
    let (emulator, mut socket) = bot().await;
    let start = async |socket: &mut Socket| {
        let told = socket.dispatch(START_TIME).await;
        (told["id"].clone(), told["voice_start_time"].as_u64())
    };
    emulator.user("ann").joins(LOBBY);
    socket.dispatch("VOICE_STATE_UPDATE").await;
    let (channel, since) = start(&mut socket).await;
    assert_eq!(channel, json!(LOBBY));
    let since = since.expect("a time in seconds");
    emulator.advance(Duration::from_secs(10));
    emulator.user("bob").joins(LOBBY);
    emulator.user("ann").moves(GAMES);
    socket.dispatch("VOICE_STATE_UPDATE").await;
    socket.dispatch("VOICE_STATE_UPDATE").await;
    let (channel, games) = start(&mut socket).await;
    assert_eq!(channel, json!(GAMES), "bob is still in the lobby");
    assert!(games.unwrap() >= since + 10);

    emulator.world(|world| world.set_voice_status(LOBBY, Some("chess")));
    socket.dispatch("VOICE_CHANNEL_STATUS_UPDATE").await;
    let mut asked = async |fields: Value| {
        socket.send(&json!({"op": 43, "d": {"guild_id": PARLOR_DEV, "fields": fields}})).await;
        let info = socket.dispatch("CHANNEL_INFO").await;
        let channels = info["channels"].as_array().unwrap();
        channels.iter().find(|channel| channel["id"] == json!(LOBBY)).unwrap().clone()
    };
    let both = asked(json!(["status", "voice_start_time"])).await;
    assert_eq!(both, json!({"id": LOBBY, "status": "chess", "voice_start_time": since}));
    assert_eq!(asked(json!(["status"])).await, json!({"id": LOBBY, "status": "chess"}));
    emulator.world(|world| world.delete_channel(GAMES)).unwrap();
    socket.dispatch("VOICE_STATE_UPDATE").await;
    assert_eq!(start(&mut socket).await, (json!(GAMES), None));
    socket.dispatch("CHANNEL_DELETE").await;
}
