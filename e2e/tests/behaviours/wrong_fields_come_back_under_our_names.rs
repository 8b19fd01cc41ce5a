//! What Discord finds wrong with a request is told under the names that the caller's own request has, operation by
//! operation. The answers are the emulated Discord's own: each is asked for with a wrong form, and then given to Parlor.

use discord_emulator::{ANN, Fault, LOBBY, PARLOR_DEV, RestAnswer};
use parlor_client::{CallError, v1};
use parlor_e2e::{House, Issuer, Token};
use prost_types::FieldMask;
use serde_json::{Value, json};
use tonic::Code;

/// Asks the emulated Discord as a bot, and has the next request of Parlor's on that route answered as this one was.
async fn refuse_next(house: &House, route: &str, path: &str, form: &Value) {
    let (method, _) = route.split_once(' ').expect("a method and a path");
    let url = format!("{}/{path}", house.emulator.rest_url());
    let answer = reqwest::Client::new()
        .request(method.parse().expect("a method"), url)
        .header("authorization", format!("Bot {}", house.bot_token()))
        .header("user-agent", "DiscordBot (https://parlor.example, 1)")
        .header("content-type", "application/json")
        .body(form.to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 400, "{route} takes {form}");
    let body = answer.text().await.expect("a body");
    assert!(body.contains("50035"), "{body}");
    let mut answer = RestAnswer { status: 400, body, ..Default::default() };
    answer.headers.insert("content-type".to_owned(), "application/json".to_owned());
    house.emulator.inject(Fault::NextRest { times: 1, route: Some(route.to_owned()), answer, carried_out: false });
}

#[track_caller]
fn assert_names<T: std::fmt::Debug>(outcome: Result<T, CallError>, expected: &[&str]) {
    let error = outcome.expect_err("it is refused");
    assert_eq!((error.code, error.reason.as_deref()), (Code::InvalidArgument, Some("INVALID_ARGUMENT")), "{error}");
    let mut named: Vec<_> = error.wrong_fields.iter().map(|(field, _)| field.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, expected);
    assert!(error.wrong_fields.iter().all(|(_, description)| !description.is_empty()), "{error:?}");
}

/// A form of a channel in which everything is wrong but its type, without which nothing else is looked at.
fn wrong_channel() -> Value {
    json!({
        "name": "",
        "type": 2,
        "parent_id": "nowhere",
        "bitrate": 1,
        "user_limit": 100_000,
        "rtc_region": "",
        "video_quality_mode": 9,
        "permission_overwrites": [
            {"id": ANN.to_string(), "type": 1, "allow": "0", "deny": "0"},
            {"id": "nobody", "type": 1, "allow": "0", "deny": "0"},
            {"id": ANN.to_string(), "type": 7, "allow": "0", "deny": "0"},
            {"id": ANN.to_string(), "type": 1, "allow": "many", "deny": "some"},
        ],
    })
}

const ROOM_FIELDS: [&str; 10] = [
    "bitrate_bps",
    "category_id",
    "display_name",
    "permission_overwrites[1].id",
    "permission_overwrites[2].kind",
    "permission_overwrites[3].allow",
    "permission_overwrites[3].deny",
    "region",
    "user_limit",
    "video_quality",
];

#[tokio::test(flavor = "multi_thread")]
async fn of_rooms() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let room = v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: "Forms".to_owned(),
        ..Default::default()
    };
    let create = ("POST /guilds/{guild.id}/channels", format!("guilds/{PARLOR_DEV}/channels"));
    refuse_next(&house, create.0, &create.1, &wrong_channel()).await;
    let overwrite = v1::PermissionOverwrite {
        id: ANN.to_string(),
        kind: v1::permission_overwrite::Kind::Member.into(),
        ..Default::default()
    };
    let open = v1::CreateRoomRequest { permission_overwrites: vec![overwrite; 4], ..room.clone() };
    assert_names(parlor.create_room(open).await, &ROOM_FIELDS);

    refuse_next(&house, create.0, &create.1, &json!({"name": "Forms", "type": 77})).await;
    assert_names(parlor.create_room(room.clone()).await, &["kind"]);

    // Who asked for a private room has written no overwrites.
    let wrong = json!({"name": "Forms", "type": 2, "permission_overwrites": wrong_channel()["permission_overwrites"]});
    refuse_next(&house, create.0, &create.1, &wrong).await;
    let private = Some(v1::PrivateRoom { user_ids: vec![ANN.to_string()], role_ids: Vec::new() });
    assert_names(parlor.create_room(v1::CreateRoomRequest { private, ..room.clone() }).await, &["private"; 4]);

    let made = parlor.create_room(room.clone()).await.expect("made");
    let change = ("PATCH /channels/{channel.id}", format!("channels/{}", made.room_id));
    refuse_next(&house, change.0, &change.1, &wrong_channel()).await;
    let update = v1::UpdateRoomRequest {
        room_id: made.room_id.clone(),
        update_mask: Some(FieldMask { paths: vec!["user_limit".to_owned()] }),
        user_limit: 5,
        ..Default::default()
    };
    let changed = parlor.rooms().update_room(update.clone()).await.map_err(CallError::from);
    assert_names(changed, &ROOM_FIELDS);

    let status = ("PUT /channels/{channel.id}/voice-status", format!("channels/{}/voice-status", made.room_id));
    refuse_next(&house, status.0, &status.1, &json!({"status": "s".repeat(501)})).await;
    let update = v1::UpdateRoomRequest {
        update_mask: Some(FieldMask { paths: vec!["status".to_owned()] }),
        status: "On air".to_owned(),
        ..update
    };
    assert_names(parlor.rooms().update_room(update).await.map_err(CallError::from), &["status"]);

    let invite = ("POST /channels/{channel.id}/invites", format!("channels/{}/invites", made.room_id));
    refuse_next(&house, invite.0, &invite.1, &json!({"max_age": -1, "max_uses": 101, "temporary": "often"})).await;
    let invited = v1::CreateRoomRequest { invite: Some(v1::InviteOptions::default()), ..room };
    let names = ["invite.max_age", "invite.max_uses", "invite.temporary"];
    assert_names(parlor.create_room(invited).await, &names);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_participants_messages_and_webhooks() {
    let house = House::start().await;
    let scope = "participants:write messages:write webhooks:write".to_owned();
    let parlor = house.parlor_with(&Issuer::get().sign(&Token { scope, ..Token::default() })).await;
    let guild_id = PARLOR_DEV.to_string();
    house.emulator.user("ann").joins(LOBBY);

    let member = ("PATCH /guilds/{guild.id}/members/{user.id}", format!("guilds/{PARLOR_DEV}/members/{ANN}"));
    let wrong = json!({"channel_id": "elsewhere", "mute": "loud", "deaf": 3});
    refuse_next(&house, member.0, &member.1, &wrong).await;
    let moved = v1::MoveParticipantRequest {
        guild_id: guild_id.clone(),
        user_id: ANN.to_string(),
        to_room_id: discord_emulator::GAMES.to_string(),
        ..Default::default()
    };
    assert_names(parlor.move_participant(moved).await, &["deaf", "mute", "to_room_id"]);

    let message = ("POST /channels/{channel.id}/messages", format!("channels/{LOBBY}/messages"));
    let wrong = json!({
        "content": "x".repeat(2_001),
        "nonce": "n".repeat(26),
        "allowed_mentions": {"users": [ANN.to_string(), "somebody"]},
    });
    refuse_next(&house, message.0, &message.1, &wrong).await;
    let send = v1::SendMessageRequest {
        channel_id: LOBBY.to_string(),
        content: "Hello".to_owned(),
        notify_user_ids: vec![ANN.to_string(); 2],
        ..Default::default()
    };
    let sent = parlor.rooms().send_message(send).await.map_err(CallError::from);
    assert_names(sent, &["content", "notify_user_ids[1]", "request_id"]);

    let webhooks = ("POST /channels/{channel.id}/webhooks", format!("channels/{LOBBY}/webhooks"));
    refuse_next(&house, webhooks.0, &webhooks.1, &json!({"name": "n".repeat(81)})).await;
    let create = v1::CreateWebhookRequest {
        guild_id: guild_id.clone(),
        channel_id: LOBBY.to_string(),
        display_name: "News".to_owned(),
        ..Default::default()
    };
    assert_names(parlor.create_webhook(create.clone()).await, &["display_name"]);

    let webhook = parlor.create_webhook(create).await.expect("made");
    let id = webhook.webhook_id.parse().expect("an id");
    let token = house.emulator.world(|world| world.webhook(id).expect("it is there").token.reveal().to_owned());
    let execute = ("POST /webhooks/{webhook.id}/{webhook.token}", format!("webhooks/{}/{token}", webhook.webhook_id));
    let wrong = json!({
        "content": "x".repeat(2_001),
        "username": "u".repeat(81),
        "allowed_mentions": {"users": ["somebody"]},
    });
    refuse_next(&house, execute.0, &execute.1, &wrong).await;
    let post = v1::ExecuteWebhookRequest {
        guild_id,
        webhook_id: webhook.webhook_id,
        content: "News".to_owned(),
        mention_user_ids: vec![ANN.to_string()],
        ..Default::default()
    };
    assert_names(parlor.execute_webhook(post).await, &["content", "display_name", "mention_user_ids[0]"]);
}
