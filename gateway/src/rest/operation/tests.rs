//! What would be sent, byte by byte.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use secrecy::{ExposeSecret as _, SecretString};

use super::*;
use crate::{
    id::{AuditEntryId, CategoryId, RoleId, RoomId},
    rest::{
        Caller, Rest, RestError,
        outgoing::Outgoing,
        permission::{Permission, PermissionSet},
        schedule::{About, Field, Lane, Resource, Tenant, Urgency},
    },
    update::{RoomKind, VideoQuality},
};

const GUILD: GuildId = GuildId::new(101);
const ROOM: RoomId = RoomId::new(102);
const CHANNEL: ChannelId = ChannelId::new(102);
const USER: UserId = UserId::new(103);
const WEBHOOK: WebhookId = WebhookId::new(104);

fn rest() -> Rest {
    // twilight's client makes a limiter, which it is then told to do without, and the limiter asks for a runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let _entered = runtime.enter();
    Rest::new("http://127.0.0.1:9/api/v10", &SecretString::from("bot-token")).expect("a client that is never used")
}

fn caller() -> Caller {
    Caller::new(Tenant::new("ann"), Instant::now() + Duration::from_secs(5))
}

/// Method and path, the reason's header, and the body.
fn written(outgoing: &Outgoing) -> (String, String, String) {
    let reason = outgoing.headers.get("x-audit-log-reason").map_or("", |value| value.to_str().expect("ASCII"));
    let body = outgoing.body.as_deref().map_or("", |body| std::str::from_utf8(body).expect("UTF-8"));
    (format!("{} {}", outgoing.meta.route.verb.as_str(), outgoing.path), reason.to_owned(), body.to_owned())
}

#[track_caller]
fn assert_written(outgoing: &Outgoing, line: &str, reason: &str, body: &str) {
    let (sent_line, sent_reason, sent_body) = written(outgoing);
    assert_eq!((sent_line.as_str(), sent_reason.as_str()), (line, reason));
    assert_eq!(sent_body, body);
    // The route is the path with its ids left out, and so is the same for all ids.
    let (path, _) = outgoing.path.split_once('?').unwrap_or((&outgoing.path, ""));
    let steps = outgoing.meta.route.path.trim_start_matches('/').split('/');
    let fits = |(step, sent): (&str, &str)| step == sent || (step.starts_with('{') && !sent.is_empty());
    assert_eq!(steps.clone().count(), path.split('/').count(), "{}", outgoing.meta.route);
    assert!(steps.zip(path.split('/')).all(fits), "{} is not {path}", outgoing.meta.route);
}

fn overwrites() -> Vec<Overwrite> {
    let may_join = [Permission::ViewChannel, Permission::Connect].into_iter().collect();
    let everybody = OverwriteTarget::Role(RoleId::new(101));
    vec![
        Overwrite { target: everybody, allow: PermissionSet::default(), deny: may_join },
        Overwrite { target: OverwriteTarget::Member(USER), allow: may_join, deny: PermissionSet::default() },
    ]
}

fn new_room() -> NewRoom {
    NewRoom {
        guild: GUILD,
        name: "Standup".to_owned(),
        kind: RoomKind::Voice,
        category: None,
        user_limit: 0,
        bitrate: None,
        rtc_region: None,
        video_quality: None,
        overwrites: Vec::new(),
    }
}

#[test]
fn a_plain_room() {
    let outgoing = rest().create_room_request(&new_room(), "why", &caller()).expect("built");
    assert_written(&outgoing, "POST guilds/101/channels", "why", r#"{"type":2,"name":"Standup","user_limit":0}"#);
    assert_eq!((outgoing.meta.resource, outgoing.meta.guild), (Resource::Guild(GUILD), Some(GUILD)));
    assert_eq!((outgoing.meta.lane, outgoing.meta.urgency), (None, Urgency::Change));
    assert_eq!(outgoing.meta.needs, [Permission::ManageChannels, Permission::ViewChannel, Permission::Connect]);
    assert!(outgoing.meta.authorized);
}

#[test]
fn a_room_with_everything() {
    let room = NewRoom {
        kind: RoomKind::Stage,
        category: Some(CategoryId::new(105)),
        user_limit: 50,
        bitrate: Some(64_000),
        rtc_region: Some("rotterdam".to_owned()),
        video_quality: Some(VideoQuality::Full),
        overwrites: overwrites(),
        ..new_room()
    };
    let outgoing = rest().create_room_request(&room, "für Ann [parlor:1]", &caller()).expect("built");
    let body = concat!(
        r#"{"bitrate":64000,"type":13,"name":"Standup","parent_id":"105","permission_overwrites":["#,
        r#"{"allow":"0","deny":"1049600","id":"101","type":0},{"allow":"1049600","deny":"0","id":"103","type":1}],"#,
        r#""rtc_region":"rotterdam","user_limit":50,"video_quality_mode":2}"#,
    );
    assert_written(&outgoing, "POST guilds/101/channels", "f%C3%BCr%20Ann%20%5Bparlor%3A1%5D", body);
    assert!(outgoing.meta.needs.contains(&Permission::ManageRoles), "for the overwrites");
    assert_eq!(outgoing.meta.about, About { user: None, channel: Some(ChannelId::new(105)) });
}

#[test]
fn a_change_says_only_what_changes() {
    let change = |change: &RoomChange| rest().change_room_request(GUILD, ROOM, change, "", &caller());
    let limit = RoomChange { user_limit: Some(3), ..RoomChange::default() };
    let outgoing = rest().change_room_request(GUILD, ROOM, &limit, "fewer", &caller()).expect("built");
    assert_written(&outgoing, "PATCH channels/102", "fewer", r#"{"user_limit":3}"#);
    assert_eq!(outgoing.meta.fields, BTreeSet::new());
    assert_eq!((outgoing.meta.guild, outgoing.meta.lane), (Some(GUILD), Some(Lane::Channel(CHANNEL))));
    let unexplained = change(&limit).expect("built");
    assert!(unexplained.headers.is_empty(), "no reason is no header, not an empty one");
    assert!(rest().change_room_request(GUILD, ROOM, &limit, &"x".repeat(513), &caller()).is_err());

    let all = RoomChange {
        name: Some("New".to_owned()),
        category: Some(None),
        user_limit: None,
        bitrate: Some(8_000),
        rtc_region: Some(None),
        video_quality: Some(VideoQuality::Auto),
        overwrites: Some(Vec::new()),
    };
    let outgoing = rest().change_room_request(GUILD, ROOM, &all, "all", &caller()).expect("built");
    let body = concat!(
        r#"{"bitrate":8000,"name":"New","parent_id":null,"permission_overwrites":[],"rtc_region":null,"#,
        r#""video_quality_mode":1}"#,
    );
    assert_written(&outgoing, "PATCH channels/102", "all", body);
    assert_eq!(outgoing.meta.fields, BTreeSet::from([Field::Name]));
    assert!(outgoing.meta.needs.contains(&Permission::ManageRoles));
}

#[test]
fn an_end_is_urgent_unless_its_caller_is_not() {
    let outgoing = rest().delete_room_request(GUILD, ROOM, "over", &caller()).expect("built");
    assert_written(&outgoing, "DELETE channels/102", "over", "");
    assert_eq!((outgoing.meta.urgency, outgoing.meta.lane), (Urgency::End, Some(Lane::Channel(CHANNEL))));
    let sweeper = Caller::sweeper(Instant::now());
    let outgoing = rest().delete_room_request(GUILD, ROOM, "over", &sweeper).expect("built");
    assert_eq!(outgoing.meta.urgency, Urgency::Sweep);
}

#[test]
fn a_status_and_its_reason() {
    let request = |status, reason: &str| Rest::set_status_request(GUILD, ROOM, status, reason, &caller());
    let outgoing = request(Some("Live \"now\""), "ü 100%").expect("built");
    let line = "PUT channels/102/voice-status";
    assert_written(&outgoing, line, "%C3%BC%20100%25", r#"{"status":"Live \"now\""}"#);
    assert_written(&request(None, "").expect("built"), line, "", r#"{"status":null}"#);
    assert!(request(None, &"ü".repeat(512)).is_ok());
    assert!(matches!(request(None, &"ü".repeat(513)), Err(RestError::Refused { code: 50_035, .. })));
    assert_eq!(outgoing.meta.needs[0], Permission::SetVoiceChannelStatus);
}

#[test]
fn overwrites_by_themselves() {
    let [everybody, user] = <[Overwrite; 2]>::try_from(overwrites()).expect("two");
    let outgoing = rest().put_overwrite_request(GUILD, CHANNEL, &user, "in", &caller()).expect("built");
    let body = r#"{"allow":"1049600","deny":"0","type":1}"#;
    assert_written(&outgoing, "PUT channels/102/permissions/103", "in", body);
    let outgoing = rest().delete_overwrite_request(GUILD, CHANNEL, everybody.target, "out", &caller()).expect("built");
    assert_written(&outgoing, "DELETE channels/102/permissions/101", "out", "");
    // A permission that has no name yet.
    let odd = Overwrite { allow: PermissionSet::from_bits(1 << 52), ..user };
    let outgoing = rest().put_overwrite_request(GUILD, CHANNEL, &odd, "in", &caller()).expect("built");
    assert!(written(&outgoing).2.contains("4503599627370496"));
}

#[test]
fn members_move_and_fall_silent() {
    let request = |change| rest().change_member_request(GUILD, USER, change, "rules", &caller()).expect("built");
    let to = MemberChange { voice: Some(VoiceMove::To(ROOM)), ..MemberChange::default() };
    let outgoing = request(to);
    assert_written(&outgoing, "PATCH guilds/101/members/103", "rules", r#"{"channel_id":"102"}"#);
    assert_eq!(outgoing.meta.lane, Some(Lane::Member(GUILD, USER)));
    assert_eq!(outgoing.meta.about, About { user: Some(USER), channel: Some(CHANNEL) });
    assert_eq!(outgoing.meta.needs, [Permission::MoveMembers, Permission::Connect]);
    let out = MemberChange { voice: Some(VoiceMove::Out), ..MemberChange::default() };
    assert_eq!(written(&request(out)).2, r#"{"channel_id":null}"#);
    let silent = MemberChange { voice: None, mute: Some(true), deaf: Some(false) };
    let outgoing = request(silent);
    assert_eq!(written(&outgoing).2, r#"{"deaf":false,"mute":true}"#);
    assert_eq!(outgoing.meta.needs, [Permission::MuteMembers, Permission::DeafenMembers]);
}

#[test]
fn an_invite_and_the_audit_log() {
    let invite = NewInvite { max_age: Duration::from_secs(3_600), max_uses: 5, temporary: false, reuse: false };
    let outgoing = rest().create_invite_request(GUILD, CHANNEL, &invite, "come", &caller()).expect("built");
    let body = r#"{"max_age":3600,"max_uses":5,"temporary":false,"unique":true}"#;
    assert_written(&outgoing, "POST channels/102/invites", "come", body);
    assert_eq!(Invite { code: "abc".to_owned() }.url(), "https://discord.gg/abc");

    let query = AuditQuery {
        action: AuditAction::ChannelCreate,
        by: Some(USER),
        before: Some(AuditEntryId::new(9)),
        limit: 100,
    };
    let outgoing = rest().audit_log_request(GUILD, &query, &caller()).expect("built");
    let line = "GET guilds/101/audit-logs?action_type=10&before=9&limit=100&user_id=103";
    assert_written(&outgoing, line, "", "");
    assert_eq!((outgoing.meta.urgency, outgoing.meta.needs), (Urgency::Read, &[Permission::ViewAuditLog][..]));
}

#[test]
fn a_message_notifies_nobody_who_is_not_named_apart() {
    let mut message = NewMessage { content: "@everyone <@103>".to_owned(), nonce: None, notifies: Vec::new() };
    let request = |message: &NewMessage| Rest::send_message_request(GUILD, CHANNEL, message, &caller());
    let body = r#"{"allowed_mentions":{"parse":[]},"content":"@everyone <@103>"}"#;
    assert_written(&request(&message).expect("built"), "POST channels/102/messages", "", body);
    message.notifies.push(USER);
    let body = r#"{"allowed_mentions":{"parse":[],"users":["103"]},"content":"@everyone <@103>"}"#;
    assert_eq!(written(&request(&message).expect("built")).2, body);
    message.nonce = Some("n".to_owned());
    let body = r#"{"allowed_mentions":{"parse":[],"users":["103"]},"content":"@everyone <@103>","nonce":"n","enforce_nonce":true}"#;
    assert_eq!(written(&request(&message).expect("built")).2, body);
    message.content = "x".repeat(2_001);
    assert!(matches!(request(&message), Err(RestError::Refused { .. })), "too long");
}

#[test]
fn webhooks_from_making_to_deleting() {
    let new = NewWebhook { channel: CHANNEL, name: "Bell".to_owned() };
    let outgoing = rest().create_webhook_request(GUILD, &new, "ring", &caller()).expect("built");
    assert_written(&outgoing, "POST channels/102/webhooks", "ring", r#"{"name":"Bell"}"#);
    let outgoing = rest().list_guild_webhooks_request(GUILD, &caller()).expect("built");
    assert_written(&outgoing, "GET guilds/101/webhooks", "", "");
    let outgoing = rest().get_webhook_request(GUILD, WEBHOOK, &caller()).expect("built");
    assert_written(&outgoing, "GET webhooks/104", "", "");
    let outgoing = rest().delete_webhook_request(GUILD, WEBHOOK, "quiet", &caller()).expect("built");
    assert_written(&outgoing, "DELETE webhooks/104", "quiet", "");
    assert_eq!(outgoing.meta.resource, Resource::Webhook(WEBHOOK));

    let post = WebhookPost {
        content: "Ding".to_owned(),
        username: Some("Bell".to_owned()),
        avatar_url: None,
        notifies: Vec::new(),
    };
    let token = SecretString::from("se-cret_1");
    let outgoing = rest().execute_webhook_request(WEBHOOK, &token, &post, &caller()).expect("built");
    let line = "POST webhooks/104/se-cret_1?wait=true&with_components=false";
    let body = r#"{"allowed_mentions":{"parse":[]},"content":"Ding","username":"Bell"}"#;
    assert_written(&outgoing, line, "", body);
    assert!(!format!("{outgoing:?}").contains("se-cret"));
    assert!(!outgoing.meta.authorized, "the bot's token is nobody's business there");
    assert_eq!(outgoing.meta.lane, Some(Lane::Webhook(WEBHOOK)));
    for wrong in ["", ".", "..", "a/b", "a?b", "a#b", "a%2Fb", "ä"] {
        let refused = rest().execute_webhook_request(WEBHOOK, &SecretString::from(wrong), &post, &caller());
        assert!(refused.is_err(), "{wrong}");
    }
}

#[test]
fn what_discord_sends_is_read_and_what_it_adds_is_left_alone() {
    let channel: Channel = serde_json::from_str(
        r#"{"id":"102","type":2,"guild_id":"101","name":"Standup","parent_id":"105","position":3,"user_limit":5,
            "bitrate":96000,"rtc_region":null,"video_quality_mode":2,"topic":null,"flags":0,"from_the_future":{},
            "permission_overwrites":[{"id":"101","type":0,"allow":"0","deny":"1049600"}]}"#,
    )
    .expect("a channel");
    assert_eq!((channel.id, channel.kind), (CHANNEL, ChannelKind::Room(RoomKind::Voice)));
    assert_eq!(channel.video_quality, VideoQuality::Full);
    assert_eq!(channel.overwrites, [overwrites()[0]]);
    let room = channel.room(GUILD).expect("a room");
    assert_eq!((room.room, room.category, room.bitrate), (ROOM, Some(CategoryId::new(105)), 96_000));
    let text: Channel = serde_json::from_str(r#"{"id":"1","type":0}"#).expect("a channel");
    assert_eq!((text.kind, text.room(GUILD)), (ChannelKind::Text, None));
    let webhook: Webhook = serde_json::from_str(
        r#"{"id":"104","type":1,"guild_id":"101","channel_id":"102","name":"Bell","user":{"id":"103"},"token":"hush"}"#,
    )
    .expect("one");
    assert_eq!(webhook.token.as_ref().map(SecretString::expose_secret), Some("hush"));
    assert_eq!((webhook.guild, webhook.creator), (Some(GUILD), Some(USER)));
    assert!(!format!("{webhook:?}").contains("hush"));
}

#[test]
fn the_bot_lets_itself_speak_on_a_stage_or_asks_to() {
    let speaks = Rest::speak_on_stage_request(GUILD, ROOM, &caller()).expect("built");
    let line = "PATCH guilds/101/voice-states/@me";
    assert_written(&speaks, line, "", r#"{"channel_id":"102","suppress":false}"#);
    assert_eq!((speaks.meta.needs, speaks.meta.about.channel), (&[Permission::MuteMembers][..], Some(CHANNEL)));
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_772_445_600);
    let asks = Rest::ask_to_speak_request(GUILD, ROOM, &caller(), time).expect("built");
    let body = r#"{"channel_id":"102","request_to_speak_timestamp":"2026-03-02T10:00:00Z"}"#;
    assert_written(&asks, line, "", body);
    assert_eq!(asks.meta.needs, [Permission::RequestToSpeak]);
}
