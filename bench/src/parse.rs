//! From Discord's bytes to the bytes that every subscriber is sent, beside what reading the same bytes into twilight's
//! complete model costs.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use parlor_gateway::{
    Delivery, ShardIndex,
    translate::{Payload, translate},
};
use parlor_server::{
    hub::{CursorKey, Epoch, Log, Retention, Writer},
    store::Recovered,
};
use serde::de::DeserializeSeed as _;
use serde_json::json;
use twilight_model::gateway::event::GatewayEventDeserializer;

use crate::report::{Better, Summary, summary};

const SHARD: ShardIndex = ShardIndex(0);
const GUILD: u64 = 100_000_000_000_000_001;
const ROOM: u64 = 200_000_000_000_000_001;
const USER: u64 = 300_000_000_000_000_001;

/// What one payload cost: the whole way with us, twilight's reading alone, and our reading alone.
pub(crate) struct Parse {
    /// Its size.
    pub bytes: usize,
    /// Dispatch to encoded entries, in nanoseconds.
    pub ours: Summary,
    /// Our reading alone.
    pub translate: Summary,
    /// twilight's reading alone.
    pub twilight: Summary,
}

/// Measures the dispatch that comes most often, the one that is largest, and one that nobody needs.
pub(crate) fn measure(rounds: usize) -> Result<Vec<(&'static str, Parse)>> {
    let moves = [0, 1].map(|to| voice_state(ROOM + to));
    let guild = guild_create();
    let typing =
        json!({"t": "TYPING_START", "s": 9, "op": 0, "d": {"user_id": USER.to_string(), "timestamp": 1_800_000_000,
        "member": member(USER), "channel_id": ROOM.to_string(), "guild_id": GUILD.to_string()}})
        .to_string();
    Ok(vec![
        ("VOICE_STATE_UPDATE", one(&moves.each_ref().map(String::as_str), rounds, 20_000)?),
        ("TYPING_START (not needed)", one(&[&typing], rounds, 20_000)?),
        ("GUILD_CREATE", one(&[&guild], rounds, 20)?),
    ])
}

/// Reads the payloads in turn, so many times a round; the three ways take turns too.
fn one(payloads: &[&str], rounds: usize, times: usize) -> Result<Parse> {
    let mut writer = writer()?;
    let mut figures = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        let [ours, ours_alone, theirs] = &mut figures;
        ours.push(each(payloads, times, |text| {
            let Ok(Payload::Update(update)) = translate(SHARD, text) else { return };
            let delivery = Delivery { shard: SHARD, update: Some(update), session: None, heard_at: wall() };
            writer.deliver(delivery, wall());
        }));
        // What is stored and shown is another cost: see the latency of an event.
        writer = self::writer()?;
        ours_alone.push(each(payloads, times, |text| drop(black_box(translate(SHARD, text)))));
        theirs.push(each(payloads, times, |text| {
            let event = GatewayEventDeserializer::from_json(text).expect("a payload");
            let mut json = serde_json::Deserializer::from_str(text);
            drop(black_box(event.deserialize(&mut json).expect("twilight reads it")));
        }));
    }
    let best = |figures: &Vec<f64>| summary(figures, |nanos| *nanos, Better::Less);
    let bytes = payloads[0].len();
    Ok(Parse { bytes, ours: best(&figures[0]), translate: best(&figures[1]), twilight: best(&figures[2]) })
}

fn each(payloads: &[&str], times: usize, mut read: impl FnMut(&str)) -> f64 {
    let start = Instant::now();
    for time in 0..times {
        read(black_box(payloads[time % payloads.len()]));
    }
    start.elapsed().as_nanos() as f64 / times as f64
}

/// A writer that knows the guild, its rooms and who is in them.
fn writer() -> Result<Writer> {
    let retention = Retention { age: Duration::ZERO, entries: 1, bytes: 1 << 20 };
    let recovered = Recovered { epoch: Epoch::new([1; 16]), ..Recovered::nothing() };
    let log = Log::new(recovered.epoch, CursorKey::new(&[1; CursorKey::SECRET_BYTES]), retention);
    let mut writer = Writer::new(&recovered, Arc::clone(log.key()), Some(1));
    let ready = json!({"op": 0, "s": 1, "t": "READY", "d": {"user": {"id": "1", "username": "bot"},
        "guilds": [{"id": GUILD.to_string(), "unavailable": true}]}});
    for text in [ready.to_string(), guild_create()] {
        let Payload::Update(update) = translate(SHARD, &text).context("our own payload")? else { continue };
        writer.deliver(Delivery { shard: SHARD, update: Some(update), session: None, heard_at: wall() }, wall());
    }
    Ok(writer)
}

fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A member as Discord sends one along with a voice state.
fn member(user: u64) -> serde_json::Value {
    json!({
        "user": {"id": user.to_string(), "username": "wanderer", "global_name": "The Wanderer", "discriminator": "0",
            "avatar": "0123456789abcdef0123456789abcdef", "public_flags": 4_194_304, "bot": false,
            "avatar_decoration_data": null, "primary_guild": null, "collectibles": null, "display_name_styles": null},
        "nick": "Wander", "avatar": null, "banner": null, "roles": ["400000000000000001", "400000000000000002"],
        "joined_at": "2024-02-03T04:05:06.789000+00:00", "premium_since": null, "deaf": false, "mute": false,
        "pending": false, "flags": 0, "communication_disabled_until": null
    })
}

fn voice_state(room: u64) -> String {
    json!({"t": "VOICE_STATE_UPDATE", "s": 42, "op": 0, "d": {
        "member": member(USER), "user_id": USER.to_string(), "suppress": false, "session_id": "fedcba9876543210fedcba9876543210",
        "self_video": false, "self_mute": false, "self_deaf": false, "request_to_speak_timestamp": null, "mute": false,
        "guild_id": GUILD.to_string(), "deaf": false, "channel_id": room.to_string()}})
    .to_string()
}

/// A guild of about a megabyte: mostly what Parlor does not need, as in life.
fn guild_create() -> String {
    let overwrites: Vec<_> = (0..6)
        .map(|role| json!({"id": (400_000_000_000_000_001_u64 + role).to_string(), "type": 0, "allow": "1049600", "deny": "0"}))
        .collect();
    let channel = |number: u64| {
        json!({"id": (ROOM + number).to_string(), "type": if number % 4 < 2 { 2 } else { 0 }, "name": format!("channel-{number}"),
            "position": number, "parent_id": null, "permission_overwrites": overwrites, "user_limit": 0, "bitrate": 64_000,
            "rtc_region": null, "topic": "What is said here is about one thing, and about what follows from it.", "nsfw": false,
            "last_message_id": null, "rate_limit_per_user": 0, "flags": 0, "version": 1_700_000_000_000_u64})
    };
    let role = |number: u64| {
        json!({"id": (400_000_000_000_000_001_u64 + number).to_string(), "name": format!("role {number}"), "color": 3_447_003,
            "colors": {"primary_color": 3_447_003, "secondary_color": null, "tertiary_color": null}, "hoist": false, "icon": null,
            "unicode_emoji": null, "position": number, "permissions": "1071698660929", "managed": false, "mentionable": false,
            "flags": 0})
    };
    let emoji = |number: u64| {
        json!({"id": (500_000_000_000_000_001_u64 + number).to_string(), "name": format!("emoji_{number}"), "roles": [],
            "require_colons": true, "managed": false, "animated": false, "available": true})
    };
    let in_voice = |number: u64| {
        json!({"user_id": (USER + number).to_string(), "channel_id": (ROOM + number % 2).to_string(),
            "session_id": format!("{number:032x}"), "suppress": false, "self_video": false, "self_mute": true, "self_deaf": false,
            "request_to_speak_timestamp": null, "mute": false, "deaf": false})
    };
    json!({"t": "GUILD_CREATE", "s": 2, "op": 0, "d": {
        "id": GUILD.to_string(), "name": "A large guild", "owner_id": USER.to_string(), "unavailable": false, "large": true,
        "member_count": 40_000, "joined_at": "2024-02-03T04:05:06.789000+00:00", "afk_timeout": 300, "afk_channel_id": null,
        "application_id": null, "banner": null, "default_message_notifications": 1, "description": null, "discovery_splash": null,
        "explicit_content_filter": 2, "features": ["COMMUNITY", "NEWS"], "icon": null, "max_members": 500_000,
        "max_presences": null, "max_video_channel_users": 25, "mfa_level": 1, "nsfw_level": 0, "preferred_locale": "en-US",
        "premium_progress_bar_enabled": true, "premium_subscription_count": 14, "premium_tier": 2, "public_updates_channel_id": null,
        "rules_channel_id": null, "splash": null, "system_channel_flags": 0, "system_channel_id": null, "vanity_url_code": null,
        "verification_level": 2, "widget_channel_id": null, "widget_enabled": false,
        "channels": (0..480).map(channel).collect::<Vec<_>>(), "roles": (0..240).map(role).collect::<Vec<_>>(),
        "emojis": (0..250).map(emoji).collect::<Vec<_>>(), "voice_states": (0..300).map(in_voice).collect::<Vec<_>>(),
        "members": (0..600).map(|number| member(USER + number)).collect::<Vec<_>>(),
        "presences": [], "threads": [], "stage_instances": [], "stickers": [], "guild_scheduled_events": [], "soundboard_sounds": [],
        "activity_instances": [], "embedded_activities": []}})
    .to_string()
}
