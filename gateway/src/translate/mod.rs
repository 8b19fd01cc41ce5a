//! From Discord's dispatches to [`Update`]s. Nothing of Discord's JSON passes this line.

mod envelope;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use thiserror::Error;

use crate::{
    id::{GuildId, RoomId, UserId},
    update::{GuildSnapshot, News, Profile, ShardIndex, Update, VoiceState},
    voice::VoiceServer,
};

/// A dispatch could not be read. It is skipped: what it would have told comes with the next guild snapshot.
#[derive(Debug, Error)]
pub enum TranslateError {
    /// The payload is not what a gateway sends (Discord docs, events/gateway, "Payload Structure").
    #[error("not a gateway payload")]
    Envelope(#[source] serde_json::Error),
    /// A dispatch that Parlor reads has another shape than it knows.
    #[error("{event} has a shape that is not known")]
    Dispatch {
        /// Discord's name of the dispatch.
        event: &'static str,
        /// What did not fit.
        #[source]
        source: serde_json::Error,
    },
}

/// What one gateway payload says.
#[derive(Debug)]
pub enum Payload {
    /// News for the directory.
    Update(Update),
    /// A voice server is assigned to the bot.
    VoiceServer(VoiceServer),
    /// What a guild's voice channels show below their names, as [`status_request`] has asked for.
    Statuses {
        /// The guild.
        guild: GuildId,
        /// The status lines; `None` for a channel without one. Channels that Discord leaves out keep theirs.
        statuses: Vec<(RoomId, Option<String>)>,
    },
    /// Op 7: connect anew and resume.
    Reconnect,
    /// Op 9: the session is void. `true` if it may still be resumed.
    InvalidSession(bool),
    /// Nothing that Parlor acts upon.
    Ignored,
}

/// Reads one gateway payload.
pub fn translate(shard: ShardIndex, text: &str) -> Result<Payload, TranslateError> {
    envelope::read(shard, text)
}

/// A dispatch has another shape than is known.
struct Shape<E> {
    event: &'static str,
    source: E,
}

/// What to send for a guild's status lines, which its snapshot lacks: op 43, Request Channel Info (Discord docs,
/// events/gateway-events). The answer is [`Payload::Statuses`].
pub fn status_request(guild: GuildId) -> String {
    format!(r#"{{"op":43,"d":{{"guild_id":"{guild}","fields":["status"]}}}}"#)
}

/// Reads the data of one dispatch; [`Payload::Ignored`] where Parlor does not need it.
fn dispatch<'de, D: Deserializer<'de>>(shard: ShardIndex, event: &str, data: D) -> Result<Payload, Shape<D::Error>> {
    let update = match event {
        "READY" => {
            let ready: wire::Ready = read("READY", data)?;
            Some(Update::SessionStarted {
                shard,
                self_user: ready.user.id,
                guilds: ready.guilds.into_iter().map(|guild| guild.id).collect(),
            })
        }
        "RESUMED" => {
            // What is in it is for Discord's own people, and has to be passed over all the same.
            read::<IgnoredAny, D>("RESUMED", data)?;
            Some(Update::SessionResumed(shard))
        }
        "GUILD_CREATE" => {
            let guild: wire::GuildCreate<'_> = read("GUILD_CREATE", data)?;
            // An unavailable guild may come as a GUILD_CREATE too, and has nothing else in it.
            Some(if guild.unavailable == Some(true) {
                Update::GuildUnavailable(guild.id)
            } else {
                Update::Guild(snapshot(guild))
            })
        }
        "GUILD_UPDATE" => {
            let guild: wire::GuildUpdate = read("GUILD_UPDATE", data)?;
            let bitrate_limit = guild.bitrate_limit();
            Some(Update::GuildChanged { guild: guild.id, name: guild.name, bitrate_limit })
        }
        "GUILD_DELETE" => {
            let guild: wire::GuildRef = read("GUILD_DELETE", data)?;
            Some(match guild.unavailable {
                Some(true) => Update::GuildUnavailable(guild.id),
                Some(false) | None => Update::GuildLeft(guild.id),
            })
        }
        "CHANNEL_CREATE" => room(read("CHANNEL_CREATE", data)?),
        "CHANNEL_UPDATE" => room(read("CHANNEL_UPDATE", data)?),
        "CHANNEL_DELETE" => {
            let channel: wire::ChannelRef = read("CHANNEL_DELETE", data)?;
            channel.guild_id.map(|guild| Update::Within(guild, News::RoomGone(channel.id)))
        }
        "VOICE_CHANNEL_STATUS_UPDATE" => {
            let update: wire::StatusUpdate = read("VOICE_CHANNEL_STATUS_UPDATE", data)?;
            let status = update.status.filter(|status| !status.is_empty());
            Some(Update::Within(update.guild_id, News::RoomStatus(update.id, status)))
        }
        "CHANNEL_INFO" => {
            let info: wire::ChannelInfo = read("CHANNEL_INFO", data)?;
            let told = info.channels.into_iter().filter_map(|channel| {
                let status = channel.status?.filter(|status| !status.is_empty());
                Some((channel.id, status))
            });
            return Ok(Payload::Statuses { guild: info.guild_id, statuses: told.collect() });
        }
        "VOICE_STATE_UPDATE" => {
            let state: wire::RawVoiceState<'_> = read("VOICE_STATE_UPDATE", data)?;
            state.guild_id.map(|guild| Update::Within(guild, News::Voice(state.into_state(guild))))
        }
        "VOICE_SERVER_UPDATE" => {
            let server: wire::VoiceServerUpdate = read("VOICE_SERVER_UPDATE", data)?;
            return Ok(server.into_server().map_or(Payload::Ignored, Payload::VoiceServer));
        }
        "GUILD_MEMBER_UPDATE" => {
            let member: wire::Member<'_> = read("GUILD_MEMBER_UPDATE", data)?;
            member.guild_id.and_then(|guild| {
                let (user, profile) = member.into_profile(guild)?;
                Some(Update::Within(guild, News::Member(user, profile)))
            })
        }
        "GUILD_MEMBER_REMOVE" => {
            let member: wire::MemberRemove = read("GUILD_MEMBER_REMOVE", data)?;
            Some(Update::Within(member.guild_id, News::MemberLeft(member.user.id)))
        }
        _ => {
            // Only to be passed over. What is wrong inside it is nobody's concern.
            read::<IgnoredAny, D>("a dispatch that is not needed", data)?;
            None
        }
    };
    Ok(update.map_or(Payload::Ignored, Payload::Update))
}

fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(event: &'static str, data: D) -> Result<T, Shape<D::Error>> {
    T::deserialize(data).map_err(|source| Shape { event, source })
}

fn room(channel: wire::Channel<'_>) -> Option<Update> {
    let guild = channel.guild_id?;
    channel.into_room(guild).map(|facts| Update::Within(guild, News::Room(facts)))
}

/// The guild with its members' profiles put beside their voice states, where GUILD_CREATE keeps them apart.
fn snapshot(raw: wire::GuildCreate<'_>) -> GuildSnapshot {
    let (guild, bitrate_limit) = (raw.id, raw.bitrate_limit());
    // Of a large guild few are in voice, and only they are made anything of.
    let in_voice: BTreeSet<UserId> = raw.voice_states.iter().map(|state| state.user_id).collect();
    let mut profiles: BTreeMap<UserId, Profile> = raw
        .members
        .into_iter()
        .filter(|member| member.user().is_some_and(|user| in_voice.contains(&user)))
        .filter_map(|member| member.into_profile(guild))
        .collect();
    GuildSnapshot {
        guild,
        bitrate_limit,
        name: raw.name,
        rooms: raw.channels.into_iter().filter_map(|channel| channel.into_room(guild)).collect(),
        voice_states: raw.voice_states.into_iter().map(|state| voice_state(state, guild, &mut profiles)).collect(),
    }
}

fn voice_state(raw: wire::RawVoiceState<'_>, guild: GuildId, profiles: &mut BTreeMap<UserId, Profile>) -> VoiceState {
    let mut state = raw.into_state(guild);
    if state.profile.is_none() {
        state.profile = profiles.remove(&state.user);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::RoomId,
        update::{RoomKind, VideoQuality, VoiceFlags},
    };

    const SHARD: ShardIndex = ShardIndex(0);

    fn update(text: &str) -> Update {
        let payload = translate(SHARD, text).expect("translates");
        let Payload::Update(update) = payload else { panic!("expected an update, got {payload:?}") };
        update
    }

    #[test]
    fn a_guild_comes_whole_and_text_channels_stay_outside() {
        let text = r#"{"op":0,"s":2,"t":"GUILD_CREATE","d":{"id":"100000000000000001","name":"G","unavailable":false,"premium_tier":2,"features":["X"],
            "channels":[{"id":"100000000000000002","type":2,"name":"Lobby","user_limit":5,"bitrate":96000,"parent_id":null,"rtc_region":"rotterdam","video_quality_mode":2},
                        {"id":"100000000000000003","type":0,"name":"text"},
                        {"id":"100000000000000004","type":13,"name":"Stage"}],
            "voice_states":[{"channel_id":"100000000000000002","user_id":"100000000000000009","session_id":"s","self_mute":true}],
            "members":[{"user":{"id":"100000000000000009","username":"ann","global_name":"Ann"},"nick":"Annie"}],
            "a_field_of_2031":{"x":[1,2]}}}"#;
        let Update::Guild(guild) = update(text) else { panic!("a guild") };
        let names: Vec<_> = guild.rooms.iter().map(|room| (room.name.as_str(), room.kind)).collect();
        assert_eq!(names, [("Lobby", RoomKind::Voice), ("Stage", RoomKind::Stage)]);
        assert_eq!(guild.bitrate_limit, Some(256_000));
        assert_eq!(guild.rooms[0].region.as_deref(), Some("rotterdam"));
        assert_eq!(guild.rooms[0].video_quality, VideoQuality::Full);
        assert_eq!((guild.rooms[1].bitrate, guild.rooms[1].video_quality), (64_000, VideoQuality::Auto));
        let state = &guild.voice_states[0];
        assert_eq!(state.room, Some(RoomId::new(100_000_000_000_000_002)));
        assert_eq!(state.flags, VoiceFlags { self_mute: true, ..VoiceFlags::default() });
        assert_eq!(state.profile.as_ref().expect("from the members").display_name, "Annie");
    }

    #[test]
    fn a_guild_says_how_far_its_bitrates_go() {
        let limit = |fields: &str| {
            let text = format!(r#"{{"op":0,"t":"GUILD_UPDATE","d":{{"id":"100000000000000001","name":"G"{fields}}}}}"#);
            let Update::GuildChanged { bitrate_limit, .. } = update(&text) else { panic!("a guild") };
            bitrate_limit
        };
        assert_eq!(limit(""), None);
        assert_eq!(limit(r#","premium_tier":0"#), Some(96_000));
        assert_eq!(limit(r#","premium_tier":3"#), Some(384_000));
        assert_eq!(limit(r#","premium_tier":0,"features":["VIP_REGIONS"]"#), Some(384_000));
    }

    #[test]
    fn a_status_line_is_news_of_its_room() {
        let text = |status| {
            format!(
                r#"{{"op":0,"t":"VOICE_CHANNEL_STATUS_UPDATE","d":{{"id":"100000000000000002","guild_id":"100000000000000001","status":{status}}}}}"#
            )
        };
        let (guild, room) = (GuildId::new(100_000_000_000_000_001), RoomId::new(100_000_000_000_000_002));
        let news = |status: Option<&str>| Update::Within(guild, News::RoomStatus(room, status.map(str::to_owned)));
        assert_eq!(update(&text(r#""chess""#)), news(Some("chess")));
        assert_eq!(update(&text("null")), news(None));
        assert_eq!(update(&text(r#""""#)), news(None));
    }

    #[test]
    fn status_lines_that_were_asked_for_are_told_apart_from_those_that_are_not_said() {
        let guild = GuildId::new(100_000_000_000_000_001);
        let asked = r#"{"op":43,"d":{"guild_id":"100000000000000001","fields":["status"]}}"#;
        assert_eq!(status_request(guild), asked);
        let text = r#"{"op":0,"t":"CHANNEL_INFO","d":{"guild_id":"100000000000000001","channels":[
            {"id":"100000000000000002","status":"chess"},{"id":"100000000000000003","status":null},
            {"id":"100000000000000004","voice_start_time":7}]}}"#;
        let room = |number: u64| RoomId::new(100_000_000_000_000_000 + number);
        let statuses = vec![(room(2), Some("chess".to_owned())), (room(3), None)];
        let payload = translate(SHARD, text).expect("translates");
        let Payload::Statuses { guild: told, statuses: lines } = payload else { panic!("status lines: {payload:?}") };
        assert_eq!((told, lines), (guild, statuses));
    }

    #[test]
    fn an_outage_is_not_a_removal() {
        let guild = GuildId::new(100_000_000_000_000_001);
        let outage = r#"{"op":0,"t":"GUILD_DELETE","d":{"id":"100000000000000001","unavailable":true}}"#;
        let removal = r#"{"op":0,"t":"GUILD_DELETE","d":{"id":"100000000000000001"}}"#;
        let not_yet = r#"{"op":0,"t":"GUILD_CREATE","d":{"id":"100000000000000001","unavailable":true}}"#;
        assert_eq!(update(outage), Update::GuildUnavailable(guild));
        assert_eq!(update(removal), Update::GuildLeft(guild));
        assert_eq!(update(not_yet), Update::GuildUnavailable(guild));
    }

    #[test]
    fn control_payloads_are_told_apart() {
        let read = |text| translate(SHARD, text).expect("translates");
        assert!(matches!(read(r#"{"op":7,"d":null}"#), Payload::Reconnect));
        assert!(matches!(read(r#"{"op":9,"d":true}"#), Payload::InvalidSession(true)));
        assert!(matches!(read(r#"{"op":9,"d":false}"#), Payload::InvalidSession(false)));
        assert!(matches!(read(r#"{"op":11}"#), Payload::Ignored));
        assert!(matches!(read(r#"{"op":0,"t":"TYPING_START","d":{}}"#), Payload::Ignored));
    }

    #[test]
    fn a_voice_server_may_be_gone_and_its_token_is_not_shown() {
        let read = |endpoint: &str| {
            let text = format!(
                r#"{{"op":0,"t":"VOICE_SERVER_UPDATE","d":{{"token":"canary","guild_id":"100000000000000001","endpoint":{endpoint}}}}}"#
            );
            let payload = translate(SHARD, &text).expect("translates");
            assert!(!format!("{payload:?}").contains("canary"));
            let Payload::VoiceServer(server) = payload else { panic!("a voice server") };
            server
        };
        let server = read(r#""c-ams01.discord.media:2087""#);
        assert_eq!(server.guild, GuildId::new(100_000_000_000_000_001));
        assert_eq!(server.endpoint.as_deref(), Some("c-ams01.discord.media:2087"));
        assert_eq!(read("null").endpoint, None);
        // A call outside guilds is not the bot's.
        let call =
            r#"{"op":0,"t":"VOICE_SERVER_UPDATE","d":{"token":"t","channel_id":"100000000000000002","endpoint":null}}"#;
        assert!(matches!(translate(SHARD, call).expect("translates"), Payload::Ignored));
    }

    #[test]
    fn a_payload_is_read_in_whatever_order_its_parts_come() {
        let data = r#"{"_trace":["x",{"y":[1]}],"a_field_of_2031":null}"#;
        for text in [
            format!(r#"{{"t":"RESUMED","s":9,"op":0,"d":{data}}}"#),
            format!(r#"{{"op":0,"d":{data},"s":9,"t":"RESUMED"}}"#),
            format!(r#"{{"d":{data},"t":"RESUMED","op":0,"of_2031":{data},"s":9}}"#),
        ] {
            assert_eq!(update(&text), Update::SessionResumed(SHARD), "{text}");
        }
        let typing = format!(r#"{{"t":"TYPING_START","s":9,"op":0,"d":{data}}}"#);
        assert!(matches!(translate(SHARD, &typing).expect("translates"), Payload::Ignored));
    }

    #[test]
    fn what_cannot_be_read_says_which_dispatch_it_was() {
        let error = translate(SHARD, r#"{"op":0,"t":"CHANNEL_CREATE","d":{"id":true}}"#).expect_err("no id");
        assert_eq!(error.to_string(), "CHANNEL_CREATE has a shape that is not known");
        assert!(translate(SHARD, "[]").is_err());
    }
}
