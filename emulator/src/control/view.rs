//! What the control API shows: the help text, the world, the audit log.

use serde_json::{Value, json};

use crate::world::{Availability, ChannelKind, UserId, World};

/// The lines that a person can type, each with what it does.
const LINES: [(&str, &str); 28] = [
    ("curl {a}/control/world", "guilds, channels, people and who is where"),
    ("curl -d Lobby {a}/control/users/ann/join", "ann joins (a name or an id; she is created if need be)"),
    ("curl -d Games {a}/control/users/ann/move", "ann moves"),
    ("curl -X POST {a}/control/users/ann/mute", "also unmute, deafen, undeafen, film, unfilm, stream, unstream"),
    (
        "curl -X POST {a}/control/users/ann/server-mute",
        "by a moderator; also server-unmute, server-deafen, server-undeafen",
    ),
    ("curl -X POST {a}/control/users/ann/voice", "what a voice client needs to speak for ann, who is in voice"),
    ("curl -X POST {a}/control/users/ann/leave", "ann leaves voice"),
    ("curl -d 'Movie night' {a}/control/guilds/1100000000000000001/channels", "a person creates a voice channel"),
    (
        "curl -d '{\"name\":\"news\",\"type\":\"text\"}' {a}/control/guilds/Parlor%20Dev/channels",
        "type: voice, stage, text, category",
    ),
    ("curl -d Foyer {a}/control/channels/Lobby/rename", "a person renames a channel"),
    ("curl -X DELETE {a}/control/channels/Games", "a person deletes a channel; who is in it leaves"),
    ("curl -d 'My Guild' {a}/control/guilds", "a new guild, with all bots in it"),
    ("curl -X POST {a}/control/guilds/1100000000000000001/down", "a guild outage; `up` ends it"),
    ("curl -d 2 {a}/control/guilds/1100000000000000001/tier", "boost level 0 to 3"),
    (
        "curl -X DELETE {a}/control/bots/BOT/guilds/GUILD",
        "the bot is removed; POST adds it, POST …/permissions sets bits",
    ),
    ("curl -d '{\"fault\":\"drop_connections\"}' {a}/control/faults", "gateway sockets break off; bots resume"),
    (
        "curl -d '{\"fault\":\"invalidate_session\",\"resumable\":false}' {a}/control/faults",
        "op 9; also request_reconnect, kill_sessions",
    ),
    ("curl -d '{\"fault\":\"close\",\"code\":4000}' {a}/control/faults", "a close frame"),
    (
        "curl -d '{\"fault\":\"swallow_dispatches\",\"next\":1}' {a}/control/faults",
        "an event is lost; duplicate_dispatches doubles it",
    ),
    (
        "curl -d '{\"fault\":\"next_rest\",\"times\":3,\"answer\":{\"status\":502}}' {a}/control/faults",
        "the next REST answers",
    ),
    (
        "curl -d '{\"fault\":\"rest\",\"times\":1,\"trouble\":{\"kind\":\"rate_limit\",\"limit\":\"global\",\"retry_after_millis\":2000}}' {a}/control/faults",
        "a 429; limit: bucket, global, shared, hidden, channel_writes, guild_writes; kind cloudflare_ban is Cloudflare's",
    ),
    (
        "curl -d '{\"fault\":\"rest\",\"every\":3,\"lasting_millis\":60000,\"trouble\":{\"kind\":\"cut\",\"work\":\"done\"}}' {a}/control/faults",
        "for a minute every third request is carried out and gets no answer; work: done, skipped",
    ),
    (
        "curl -d '{\"fault\":\"rest\",\"times\":1,\"route\":\"POST /guilds/{guild.id}/channels\",\"trouble\":{\"kind\":\"slow\",\"millis\":5000}}' {a}/control/faults",
        "a late answer; also server_error with status and body (empty, json, html), unauthorized",
    ),
    (
        "curl -d '{\"fault\":\"refuse_connections\"}' {a}/control/faults",
        "also refuse_tcp, accept_then_close, hold_heartbeat_acks, hold_rest",
    ),
    (
        "curl -d '{\"fault\":\"voice\",\"trouble\":{\"kind\":\"lose\",\"percent\":10}}' {a}/control/faults",
        "packets from the voice server get lost; also lose_sent, duplicate, reorder, corrupt, extend, mix, lose_discovery, delay with millis, pad with bytes, fill_silence",
    ),
    (
        "curl -d '{\"fault\":\"voice\",\"trouble\":{\"kind\":\"close\",\"code\":4015}}' {a}/control/faults",
        "the voice gateway closes; also drop_connections, move_server, remove_server, swap_sources, begin_anew with times",
    ),
    (
        "curl -d '{\"fault\":\"voice\",\"trouble\":{\"kind\":\"late_speaking\",\"millis\":500}}' {a}/control/faults",
        "op 5 comes late; also reorder_messages, reuse_sources, refuse_resumes, refuse_identifies with code, hold_heartbeat_acks",
    ),
    ("curl -X DELETE {a}/control/faults", "ends every fault that lasts; GET shows them"),
];

/// The text of `GET /control`.
pub(super) fn help(addr: &str) -> String {
    let mut text = format!(
        "Bots: REST at http://{addr}/api/v10, gateway at ws://{addr}; every token logs in unless --token was given.\n\
         Channels, guilds and bots are named by id or by name. Also: GET /control/stats, GET /control/audit-log.\n\n"
    );
    for (line, meaning) in LINES {
        text.push_str(&format!("{}\n    # {meaning}\n", line.replace("{a}", addr)));
    }
    text
}

/// The whole world.
pub(super) fn world(world: &World) -> Value {
    let name = |user: &UserId| world.known_user(*user).map_or_else(|| user.to_string(), |user| user.name.clone());
    let guilds: Vec<Value> = world
        .guilds()
        .map(|guild| {
            let channels: Vec<Value> = guild
                .channels
                .values()
                .map(|channel| {
                    let mut shown = json!({
                        "id": channel.id,
                        "name": channel.name,
                        "type": type_name(&channel.kind),
                        "parent_id": channel.parent_id,
                        "position": channel.position,
                    });
                    if let Some(voice) = channel.kind.voice() {
                        shown["bitrate"] = json!(voice.bitrate);
                        shown["user_limit"] = json!(voice.user_limit);
                        shown["people"] = guild.occupants(channel.id).map(|user| json!(name(&user))).collect();
                    }
                    shown
                })
                .collect();
            json!({
                "id": guild.id,
                "name": guild.name,
                "available": guild.availability == Availability::Available,
                "premium_tier": guild.premium_tier,
                "channels": channels,
                "members": guild.members.keys().map(name).collect::<Vec<_>>(),
                "voice_states": guild.voice_states.keys().map(|user| person(world, *user)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let users: Vec<Value> = world
        .users()
        .map(|user| json!({"id": user.id, "name": user.name, "display_name": user.display_name, "bot": user.bot}))
        .collect();
    json!({"guilds": guilds, "users": users})
}

/// A user and where they are.
pub(super) fn person(world: &World, user: UserId) -> Value {
    let name = world.known_user(user).map(|user| user.name.clone());
    let place = world.guild_of_voice(user).and_then(|guild| Some((guild, world.voice_state(guild, user)?)));
    let Some((guild, state)) = place else {
        return json!({"user": name, "user_id": user, "channel": null});
    };
    let member = world.guild(guild).and_then(|guild| guild.members.get(&user));
    json!({
        "user": name,
        "user_id": user,
        "guild_id": guild,
        "channel": world.channel(state.channel_id).map(|channel| channel.name.clone()),
        "channel_id": state.channel_id,
        "self_mute": state.switches.self_mute,
        "self_deaf": state.switches.self_deaf,
        "self_video": state.switches.self_video,
        "self_stream": state.switches.self_stream,
        "mute": member.is_some_and(|member| member.mute),
        "deaf": member.is_some_and(|member| member.deaf),
        "suppress": state.suppress,
    })
}

/// All audit log entries, oldest first.
pub(super) fn audit_log(world: &World) -> Value {
    let entries: Vec<Value> = world
        .audit_log()
        .iter()
        .map(|entry| {
            json!({
                "guild_id": entry.guild_id,
                "actor": entry.actor,
                "action": format!("{:?}", entry.action),
                "target": entry.target.map(|target| target.to_string()),
                "reason": entry.reason,
            })
        })
        .collect();
    json!({"entries": entries})
}

const fn type_name(kind: &ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Text { .. } => "text",
        ChannelKind::Voice(_) => "voice",
        ChannelKind::Category => "category",
        ChannelKind::Stage(_) => "stage",
    }
}
