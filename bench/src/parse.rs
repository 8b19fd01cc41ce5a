//! From Discord's bytes to the bytes that every subscriber is sent, beside what reading the same bytes into twilight's
//! complete model costs.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, ensure};
use parlor_gateway::{
    Delivery, ShardIndex,
    translate::{Payload, translate},
};
use parlor_proto::v1::UpstreamState;
use parlor_server::{
    hub::{CursorKey, Epoch, Log, Retention, State, Writer},
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

/// What one payload cost: the whole way with us, our reading alone, and twilight's reading.
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

impl Parse {
    /// Ours over twilight's.
    pub(crate) fn ratio(&self) -> Summary {
        Summary { best: self.ours.best / self.twilight.best, median: self.ours.median / self.twilight.median }
    }
}

/// Measures the dispatch that comes most often, one that nobody needs, and the one that is largest.
pub(crate) fn measure(rounds: usize) -> Result<[(&'static str, Parse); 3]> {
    let moves = [0, 1].map(|to| voice_state(ROOM + to));
    let guild = guild_create();
    let typing = dispatch(
        "TYPING_START",
        &json!({"user_id": USER.to_string(), "timestamp": 1_800_000_000, "member": member(USER),
            "channel_id": ROOM.to_string(), "guild_id": GUILD.to_string()}),
    );
    // One hub over all of a round, because it goes on from event to event. A guild is described to one that has heard its name
    // and no more: told again, it would find nothing to say.
    let known = || -> Result<Hub> {
        let mut hub = Hub::awaiting()?;
        hub.take_in(&guild);
        hub.settle();
        Ok(hub)
    };
    Ok([
        ("VOICE_STATE_UPDATE", one(&moves.each_ref().map(String::as_str), rounds, 10_000, || Ok(vec![known()?]))?),
        ("TYPING_START (not needed)", one(&[&typing], rounds, 10_000, || Ok(vec![known()?]))?),
        ("GUILD_CREATE", one(&[&guild], rounds, 10, || (0..10).map(|_| Hub::awaiting()).collect())?),
    ])
}

/// Reads the payloads in turn, so many times a round, into the hubs in turn; the three ways take turns too.
fn one(payloads: &[&str], rounds: usize, times: usize, hubs: impl Fn() -> Result<Vec<Hub>>) -> Result<Parse> {
    let mut figures = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        let [ours, ours_alone, theirs] = &mut figures;
        let mut hubs = hubs()?;
        ours.push(each(payloads, times, |time, text| {
            let index = time % hubs.len();
            let hub = &mut hubs[index];
            let took = timed(|| hub.take_in(text));
            // Every event is a round of its own, as it is at the rates of life: what the next one finds is shown to
            // everybody. What showing costs is part of an event's latency, and not of this.
            hub.settle();
            took
        }));
        ours_alone.push(each(payloads, times, |_, text| timed(|| drop(black_box(translate(SHARD, text))))));
        theirs.push(each(payloads, times, |_, text| {
            timed(|| {
                let event = GatewayEventDeserializer::from_json(text).expect("a payload");
                let mut json = serde_json::Deserializer::from_str(text);
                drop(black_box(event.deserialize(&mut json).expect("twilight reads it")));
            })
        }));
    }
    let best = |figures: &Vec<f64>| summary(figures, |nanos| *nanos, Better::Less);
    let bytes = payloads[0].len();
    Ok(Parse { bytes, ours: best(&figures[0]), translate: best(&figures[1]), twilight: best(&figures[2]) })
}

fn timed(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}

/// The mean in nanoseconds.
fn each(payloads: &[&str], times: usize, mut read: impl FnMut(usize, &str) -> Duration) -> f64 {
    let took: Duration = (0..times).map(|time| read(time, black_box(payloads[time % payloads.len()]))).sum();
    took.as_nanos() as f64 / times as f64
}

/// The hub without its store: what is taken in, and what is shown.
struct Hub {
    writer: Writer,
    state: State,
}

impl Hub {
    /// One that is connected to Discord and waits for its guild.
    fn awaiting() -> Result<Self> {
        let retention = Retention { age: Duration::ZERO, entries: 1, bytes: 1 << 20 };
        let recovered = Recovered { epoch: Epoch::new([1; 16]), ..Recovered::nothing() };
        let log = Log::new(recovered.epoch, CursorKey::new(&[7; 32]), retention);
        let writer = Writer::new(&recovered, Arc::clone(log.key()), Some(1));
        let state = writer.state(log);
        let mut hub = Self { writer, state };
        let ready = json!({"user": {"id": "1", "username": "bot"},
            "guilds": [{"id": GUILD.to_string(), "unavailable": true}]});
        hub.take_in(&dispatch("READY", &ready));
        hub.settle();
        ensure!(hub.state.upstream() == UpstreamState::Reconciling, "it has not heard of its guild");
        Ok(hub)
    }

    /// From a dispatch's bytes to entries.
    fn take_in(&mut self, text: &str) {
        let Ok(Payload::Update(update)) = translate(SHARD, text) else { return };
        let delivery = Delivery { shard: SHARD, update: Some(update), session: None, heard_at: wall() };
        self.writer.deliver(delivery, wall());
    }

    /// Ends a round: what was taken in is shown.
    fn settle(&mut self) {
        let now = Instant::now();
        self.writer.keep_time(now);
        if let Some(round) = self.writer.round(&self.state) {
            self.state.publish(round, now);
        }
    }
}

fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A dispatch as Discord writes it: its name comes before its data.
fn dispatch(name: &str, data: &serde_json::Value) -> String {
    format!(r#"{{"t":"{name}","s":42,"op":0,"d":{data}}}"#)
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
    let data = json!({"member": member(USER), "user_id": USER.to_string(), "suppress": false,
        "session_id": "fedcba9876543210fedcba9876543210", "self_video": false, "self_mute": false, "self_deaf": false,
        "request_to_speak_timestamp": null, "mute": false, "guild_id": GUILD.to_string(), "deaf": false,
        "channel_id": room.to_string()});
    dispatch("VOICE_STATE_UPDATE", &data)
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
    let data = json!({
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
        "activity_instances": [], "embedded_activities": []});
    dispatch("GUILD_CREATE", &data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_happens() {
        let mut hub = Hub::awaiting().expect("a hub");
        hub.take_in(&guild_create());
        hub.settle();
        // The guild as it is listed and as it is described, 240 rooms, and 300 people in two of them.
        assert_eq!(hub.state.log().head().0, 542);
        for (turn, to) in [1, 0, 1].into_iter().enumerate() {
            hub.take_in(&voice_state(ROOM + to));
            hub.settle();
            assert_eq!(hub.state.log().head().0, 543 + turn as u64);
        }
    }
}
