//! What the bot may do where: every refusal by the permission that is missing.

use discord_emulator::{
    ANN, BOB, Channel, ChannelEdit, ChannelId, Emulator, GAMES, GENERAL, LOBBY, NewChannel, Overwrite, OverwriteTarget,
    PARLOR_DEV, Permissions, VOICE_CATEGORY,
};
use serde_json::{Value, json};

use crate::bot::{INTENTS, Rest, Socket, TOKEN, field_error, unlimited};

fn may(emulator: &Emulator, permissions: Permissions) {
    let bot = emulator.bot(TOKEN).unwrap();
    emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, permissions));
}

fn for_user(user: impl serde::Serialize, allow: Permissions, deny: Permissions) -> Value {
    json!({"id": user, "type": 1, "allow": allow, "deny": deny})
}

/// Denies the bot something in a channel.
fn deny(emulator: &Emulator, channel: ChannelId, deny: Permissions) {
    let target = OverwriteTarget::Member(emulator.bot(TOKEN).unwrap());
    let overwrites = Some(vec![Overwrite { target, allow: Permissions::NONE, deny }]);
    emulator.world(|world| world.edit_channel(channel, ChannelEdit { overwrites, ..ChannelEdit::default() })).unwrap();
}

fn channel(emulator: &Emulator, id: ChannelId) -> Channel {
    emulator.world(|world| world.channel(id).unwrap().clone())
}

async fn move_ann(rest: &Rest, to: Value) -> (u16, u64) {
    rest.patch(&format!("/guilds/{PARLOR_DEV}/members/{ANN}"), json!({"channel_id": to})).await.refusal()
}

const FINE: (u16, u64) = (200, u64::MAX);
const MISSING_PERMISSIONS: (u16, u64) = (403, 50_013);
const MISSING_ACCESS: (u16, u64) = (403, 50_001);

#[tokio::test]
async fn a_new_channel_s_overwrites_hand_out_what_the_bot_has_and_never_manage_roles() {
    let (emulator, rest) = unlimited().await;
    let create = async |overwrite: Value| {
        let body = json!({"name": "x", "type": 2, "permission_overwrites": [overwrite]});
        rest.post(&format!("/guilds/{PARLOR_DEV}/channels"), body).await
    };
    let everyone = json!({"id": PARLOR_DEV, "type": 0, "allow": "0", "deny": Permissions::CONNECT});
    // MANAGE_ROLES is not needed for this, and does not help to hand itself out.
    may(&emulator, Permissions::MANAGE_CHANNELS);
    assert_eq!(create(everyone.clone()).await.status, 201);
    let mute = for_user(ANN, Permissions::MUTE_MEMBERS, Permissions::NONE);
    assert_eq!(create(mute.clone()).await.refusal(), MISSING_PERMISSIONS);
    may(&emulator, Permissions::MANAGE_CHANNELS | Permissions::MANAGE_ROLES | Permissions::MUTE_MEMBERS);
    assert_eq!(create(mute).await.status, 201);
    let roles = for_user(ANN, Permissions::NONE, Permissions::MANAGE_ROLES);
    assert_eq!(create(roles.clone()).await.refusal(), MISSING_PERMISSIONS);
    may(&emulator, Permissions::ADMINISTRATOR);
    assert_eq!(create(roles).await.status, 201);
}

#[tokio::test]
async fn edited_overwrites_need_manage_roles_and_only_what_changes_counts() {
    let (emulator, rest) = unlimited().await;
    let lobby = format!("/channels/{LOBBY}");
    let mute = for_user(ANN, Permissions::MUTE_MEMBERS, Permissions::NONE);
    assert_eq!(rest.patch(&lobby, json!({"permission_overwrites": [mute]})).await.status, 200);

    may(&emulator, Permissions::MANAGE_CHANNELS);
    assert_eq!(rest.patch(&lobby, json!({"permission_overwrites": []})).await.refusal(), MISSING_PERMISSIONS);
    may(&emulator, Permissions::MANAGE_CHANNELS | Permissions::MANAGE_ROLES);
    let connect = for_user(BOB, Permissions::NONE, Permissions::CONNECT);
    let both = json!({"permission_overwrites": [mute, connect]});
    assert_eq!(rest.patch(&lobby, both).await.status, 200, "what stays as it was is nobody's business");
    let without = rest.patch(&lobby, json!({"permission_overwrites": [connect]})).await;
    assert_eq!(without.refusal(), MISSING_PERMISSIONS, "taking it away needs it too");
    let path = format!("{lobby}/permissions/{ANN}");
    assert_eq!(rest.delete(&path).await.refusal(), MISSING_PERMISSIONS);
    let deaf = json!({"type": 1, "allow": Permissions::DEAFEN_MEMBERS});
    assert_eq!(rest.put(&path, deaf.clone()).await.refusal(), MISSING_PERMISSIONS);

    // What the category gives counts as well, and MANAGE_ROLES by an overwrite of the channel gives everything.
    let bot = emulator.bot(TOKEN).unwrap();
    let own = |allow| Overwrite { target: OverwriteTarget::Member(bot), allow, deny: Permissions::NONE };
    let give = |channel, allow| {
        let mut overwrites = self::channel(&emulator, channel).overwrites;
        overwrites.push(own(allow));
        let edit = ChannelEdit { overwrites: Some(overwrites), ..ChannelEdit::default() };
        emulator.world(|world| world.edit_channel(channel, edit)).unwrap();
    };
    give(VOICE_CATEGORY, Permissions::DEAFEN_MEMBERS);
    let games = format!("/channels/{GAMES}/permissions/{ANN}");
    assert_eq!(rest.put(&games, deaf).await.status, 204);
    give(LOBBY, Permissions::MANAGE_ROLES);
    assert_eq!(rest.delete(&path).await.status, 204);
}

#[tokio::test]
async fn overwrites_are_read_strictly() {
    let (_emulator, rest) = unlimited().await;
    let create = async |overwrites: Value| {
        let body = json!({"name": "x", "type": 2, "permission_overwrites": overwrites});
        rest.post(&format!("/guilds/{PARLOR_DEV}/channels"), body).await
    };
    for (overwrites, field, code) in [
        (json!(5), "permission_overwrites", "LIST_TYPE_CONVERT"),
        (json!([5]), "permission_overwrites/0", "MODEL_TYPE_CONVERT"),
        (json!([{"type": 1}]), "permission_overwrites/0/id", "BASE_TYPE_REQUIRED"),
        (json!([{"id": "ann"}]), "permission_overwrites/0/id", "NUMBER_TYPE_COERCE"),
        (json!([{"id": ANN}, {"id": BOB, "type": 2}]), "permission_overwrites/1/type", "BASE_TYPE_CHOICES"),
        (json!([{"id": ANN, "allow": "all"}]), "permission_overwrites/0/allow", "NUMBER_TYPE_COERCE"),
        (json!([{"id": ANN, "deny": -1}]), "permission_overwrites/0/deny", "NUMBER_TYPE_COERCE"),
    ] {
        assert_eq!(field_error(&create(overwrites.clone()).await, field), code, "{overwrites}");
    }
    let many: Vec<Value> = (1..=101).map(|id| json!({"id": id.to_string(), "type": 1})).collect();
    assert_eq!(field_error(&create(json!(many)).await, "permission_overwrites"), "BASE_TYPE_MAX_LENGTH");
    assert_eq!(create(json!(many[..100])).await.status, 201);
}

#[tokio::test]
async fn channels_follow_their_category_until_they_differ() {
    let (emulator, rest) = unlimited().await;
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let category = format!("/channels/{VOICE_CATEGORY}/permissions/{ANN}");
    rest.put(&category, json!({"type": 1, "deny": Permissions::CONNECT})).await;
    for _ in [VOICE_CATEGORY, LOBBY, GAMES] {
        assert_eq!(socket.dispatch("CHANNEL_UPDATE").await["permission_overwrites"][0]["id"], json!(ANN));
    }
    let inside = json!({"name": "inside", "type": 2, "parent_id": VOICE_CATEGORY});
    let created = rest.post(&format!("/guilds/{PARLOR_DEV}/channels"), inside).await;
    assert_eq!(created.body["permission_overwrites"][0]["id"], json!(ANN));
    socket.dispatch("CHANNEL_CREATE").await;
    rest.delete(&format!("/channels/{GAMES}/permissions/{ANN}")).await;
    socket.dispatch("CHANNEL_UPDATE").await;
    rest.put(&category, json!({"type": 1, "deny": Permissions::SPEAK})).await;
    assert_eq!(channel(&emulator, GAMES).overwrites, []);
    assert_eq!(channel(&emulator, LOBBY).overwrites, channel(&emulator, VOICE_CATEGORY).overwrites);
}

#[tokio::test]
async fn a_category_decides_who_may_create_in_it() {
    let (emulator, rest) = unlimited().await;
    let inside = json!({"name": "x", "type": 2, "parent_id": VOICE_CATEGORY});
    let outside = json!({"name": "x", "type": 2});
    let channels = format!("/guilds/{PARLOR_DEV}/channels");
    deny(&emulator, VOICE_CATEGORY, Permissions::MANAGE_CHANNELS);
    assert_eq!(rest.post(&channels, inside.clone()).await.refusal(), MISSING_PERMISSIONS);
    assert_eq!(rest.post(&channels, outside).await.status, 201);
    let into = rest.patch(&format!("/channels/{GENERAL}"), json!({"parent_id": VOICE_CATEGORY})).await;
    assert_eq!(into.refusal(), MISSING_PERMISSIONS);
    let moved = rest.patch(&channels, json!([{"id": GENERAL, "parent_id": VOICE_CATEGORY}])).await;
    assert_eq!(moved.refusal(), MISSING_ACCESS);
    emulator
        .world(|world| {
            world.edit_channel(VOICE_CATEGORY, ChannelEdit { overwrites: Some(vec![]), ..ChannelEdit::default() })
        })
        .unwrap();
    let synced = json!([{"id": GENERAL, "parent_id": VOICE_CATEGORY, "lock_permissions": true, "position": 9}]);
    assert_eq!(rest.patch(&channels, synced).await.status, 204);
    assert_eq!(channel(&emulator, GENERAL).parent_id, Some(VOICE_CATEGORY));
}

#[tokio::test]
async fn whoever_moves_a_member_could_go_there() {
    let (emulator, rest) = unlimited().await;
    assert_eq!(move_ann(&rest, json!(GAMES)).await, (400, 40_032), "ann is not in voice");
    emulator.user("ann").joins(LOBBY);
    assert_eq!(move_ann(&rest, json!(GENERAL)).await, (400, 50_024));
    assert_eq!(move_ann(&rest, json!("5")).await, (404, 10_003));
    deny(&emulator, GAMES, Permissions::CONNECT);
    assert_eq!(move_ann(&rest, json!(GAMES)).await, MISSING_PERMISSIONS);
    deny(&emulator, GAMES, Permissions::NONE);
    deny(&emulator, LOBBY, Permissions::MOVE_MEMBERS);
    assert_eq!(move_ann(&rest, json!(GAMES)).await, MISSING_PERMISSIONS);
    assert_eq!(move_ann(&rest, Value::Null).await, MISSING_PERMISSIONS);
    deny(&emulator, LOBBY, Permissions::MUTE_MEMBERS);
    let ann = format!("/guilds/{PARLOR_DEV}/members/{ANN}");
    assert_eq!(rest.patch(&ann, json!({"mute": true})).await.refusal(), MISSING_PERMISSIONS);
    assert_eq!(rest.patch(&ann, json!({"deaf": true})).await.refusal(), FINE);
    assert_eq!(move_ann(&rest, json!(GAMES)).await, FINE);
    assert_eq!(move_ann(&rest, Value::Null).await, FINE);
    assert_eq!(move_ann(&rest, Value::Null).await, (400, 40_032));
    assert_eq!(rest.patch(&ann, json!({"mute": true})).await.refusal(), (400, 40_032));
}

#[tokio::test]
async fn voice_states_are_seen_where_the_bot_may_connect() {
    let (emulator, rest) = unlimited().await;
    let path = format!("/guilds/{PARLOR_DEV}/voice-states/{ANN}");
    assert_eq!(rest.get(&path).await.refusal(), (404, 10_065));
    emulator.user("ann").joins(LOBBY);
    assert_eq!(rest.get(&path).await.body["channel_id"], json!(LOBBY));
    deny(&emulator, LOBBY, Permissions::CONNECT);
    assert_eq!(rest.get(&path).await.refusal(), MISSING_ACCESS);
}

#[tokio::test]
async fn a_bot_lets_itself_speak_on_a_stage_or_asks_to() {
    const DONE: (u16, u64) = (204, u64::MAX);
    let (emulator, rest) = unlimited().await;
    let stage = emulator.world(|world| world.create_channel(PARLOR_DEV, NewChannel::stage("talk")).unwrap());
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    let path = format!("/guilds/{PARLOR_DEV}/voice-states/@me");
    let patch = async |body: Value| rest.patch(&path, body).await.refusal();
    let seen = async || {
        let state = rest.get(&path).await.body;
        (state["suppress"].clone(), state["request_to_speak_timestamp"].clone())
    };
    let speak = json!({"channel_id": stage, "suppress": false});
    assert_eq!(patch(speak.clone()).await, (404, 10_065), "it is in no room");
    for (room, suppressed) in [(LOBBY, false), (stage, true)] {
        socket.op4(PARLOR_DEV, Some(room)).await;
        assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["suppress"], json!(suppressed));
        socket.dispatch("VOICE_SERVER_UPDATE").await;
        if room == LOBBY {
            assert_eq!(patch(json!({"suppress": false})).await, (400, 50_024), "the lobby is no stage");
        }
    }
    assert_eq!(patch(json!({"channel_id": LOBBY, "suppress": false})).await, (404, 10_065), "it is not there");

    let time = "2026-03-02T10:00:00Z";
    let asks = json!({"channel_id": stage, "request_to_speak_timestamp": time});
    deny(&emulator, stage, Permissions::MUTE_MEMBERS | Permissions::REQUEST_TO_SPEAK);
    assert_eq!((patch(speak.clone()).await, patch(asks.clone()).await), (MISSING_PERMISSIONS, MISSING_PERMISSIONS));
    deny(&emulator, stage, Permissions::MUTE_MEMBERS);
    assert_eq!((patch(speak.clone()).await, patch(asks).await), (MISSING_PERMISSIONS, DONE));
    assert_eq!(seen().await, (json!(true), json!(time)));
    deny(&emulator, stage, Permissions::NONE);
    assert_eq!(patch(speak).await, DONE);
    assert_eq!(seen().await, (json!(false), Value::Null), "whoever may speak asks no more");
    deny(&emulator, stage, Permissions::MUTE_MEMBERS);
    assert_eq!(patch(json!({"suppress": true})).await, DONE, "whoever speaks may step down");
}

#[tokio::test]
async fn a_status_needs_more_from_outside_than_from_inside() {
    let (emulator, rest) = unlimited().await;
    let path = format!("/channels/{LOBBY}/voice-status");
    let set = async || rest.put(&path, json!({"status": "chess"})).await;
    deny(&emulator, LOBBY, Permissions::MANAGE_CHANNELS);
    assert_eq!(set().await.refusal(), MISSING_PERMISSIONS);
    let (mut socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    socket.op4(PARLOR_DEV, Some(LOBBY)).await;
    socket.dispatch("VOICE_STATE_UPDATE").await;
    assert_eq!(set().await.status, 204);
    deny(&emulator, LOBBY, Permissions::SET_VOICE_CHANNEL_STATUS);
    assert_eq!(set().await.refusal(), MISSING_PERMISSIONS);
    deny(&emulator, LOBBY, Permissions::NONE);
    let long = rest.put(&path, json!({"status": "x".repeat(501)})).await;
    assert_eq!(field_error(&long, "status"), "BASE_TYPE_MAX_LENGTH");
    assert_eq!(rest.put(&path, json!({"status": null})).await.status, 204);
}

#[tokio::test]
async fn messages_need_what_they_carry() {
    let (emulator, rest) = unlimited().await;
    let path = format!("/channels/{LOBBY}/messages");
    let post = async |body: Value| rest.post(&path, body).await.refusal();
    deny(&emulator, LOBBY, Permissions::EMBED_LINKS | Permissions::SEND_TTS_MESSAGES);
    assert_eq!(post(json!({"embeds": [{"title": "t"}]})).await, MISSING_PERMISSIONS);
    assert_eq!(post(json!({"content": "x", "tts": true})).await, MISSING_PERMISSIONS);
    assert_eq!(post(json!({"content": "x"})).await, FINE);
    deny(&emulator, LOBBY, Permissions::SEND_MESSAGES);
    assert_eq!(post(json!({"content": "x"})).await, MISSING_PERMISSIONS);
    deny(&emulator, LOBBY, Permissions::VIEW_CHANNEL);
    assert_eq!(post(json!({"content": "x"})).await, MISSING_ACCESS);
}
