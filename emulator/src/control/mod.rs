//! The control API: HTTP and JSON for a person with curl who plays Discord's people and its bad days.
//!
//! Every line that can be typed is listed by `GET /control`, from the same table that a test walks.

mod view;

use std::str::FromStr;

use http::Method;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::discord::Discord;
use crate::faults::Injection;
use crate::text::{percent_decode, query_value};
use crate::world::{
    ChannelEdit, ChannelId, GuildId, MemberEdit, NewChannel, Permissions, Switches, Timestamp, UserId, VoiceError,
    World,
};

/// A control request, borrowed from the shell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlRequest<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub query: &'a str,
    pub body: &'a [u8],
    /// `host:port`, for the lines in the help text.
    pub addr: &'a str,
}

/// What a person reads.
#[derive(Debug)]
pub(crate) enum ControlAnswer {
    /// Plain text.
    Text(String),
    /// JSON, to be printed so that a person can read it.
    Json(Value),
    /// A refusal that says what to do next.
    Refused(ControlError),
}

/// Why a control request was not carried out. Each text ends with what to do instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("there is no {method} {path}: `curl {addr}/control` lists what can be typed")]
    NoSuchLine { method: Method, path: String, addr: String },
    #[error("a {what} is missing: {hint}")]
    Missing { what: &'static str, hint: &'static str },
    #[error("there is no {what} {named:?}: choose one of {choices}")]
    Unknown { what: &'static str, named: String, choices: String },
    #[error("several channels are called {named:?}: name one by id, of {choices}")]
    Ambiguous { named: String, choices: String },
    #[error("{0}: look at GET /control/world for who is where")]
    Voice(#[from] VoiceError),
    #[error("{0}: look at GET /control/world for what there is")]
    Channel(#[from] crate::world::ChannelError),
    #[error("this is no fault: {0}. GET /control shows examples, and the documentation of `Fault` all of them")]
    BadFault(String),
    #[error("{0:?} is no number: write one in decimal digits")]
    BadNumber(String),
}

impl ControlError {
    /// The HTTP status that goes with it.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::NoSuchLine { .. } | Self::Unknown { .. } => 404,
            Self::Missing { .. } | Self::Ambiguous { .. } | Self::BadFault(_) | Self::BadNumber(_) => 400,
            Self::Voice(_) | Self::Channel(_) => 409,
        }
    }
}

type Outcome = Result<Value, ControlError>;

/// Answers a control request.
pub(crate) fn answer(discord: &mut Discord, request: &ControlRequest<'_>, now: Timestamp) -> ControlAnswer {
    let steps: Vec<String> = request
        .path
        .trim_start_matches("/control")
        .split('/')
        .filter(|step| !step.is_empty())
        .map(|step| percent_decode(step.as_bytes(), false))
        .collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    if *request.method == Method::GET && steps.is_empty() {
        return ControlAnswer::Text(view::help(request.addr));
    }
    match carry_out(discord, request, &steps, now) {
        Ok(value) => ControlAnswer::Json(value),
        Err(error) => ControlAnswer::Refused(error),
    }
}

fn carry_out(discord: &mut Discord, request: &ControlRequest<'_>, steps: &[&str], now: Timestamp) -> Outcome {
    match (request.method.as_str(), steps) {
        ("GET", ["world"]) => Ok(view::world(discord.world())),
        ("GET", ["stats"]) => Ok(serde_json::to_value(discord.stats()).unwrap_or_default()),
        ("GET", ["audit-log"]) => Ok(view::audit_log(discord.world())),
        ("GET", ["faults"]) => Ok(json!({"faults": discord.faults().all()})),
        ("DELETE", ["faults"]) => {
            discord.clear_faults(now);
            Ok(json!({"faults": []}))
        }
        ("POST", ["faults"]) => {
            let injection = read_fault(request.body)?;
            let shown = json!({"injected": injection});
            discord.inject(injection, now);
            Ok(shown)
        }
        ("POST", ["users", name, "voice"]) => discord.act(now, |world| {
            let user = world.person(name);
            Ok(serde_json::to_value(world.voice_ticket(user)?).unwrap_or_default())
        }),
        ("POST", ["users", name, verb]) => discord.act(now, |world| person_acts(world, request, name, verb)),
        ("POST", ["guilds"]) => {
            let name = argument(request, "name").ok_or(ControlError::Missing {
                what: "name",
                hint: "send it as the body, e.g. curl -d 'My Guild' …/control/guilds",
            })?;
            Ok(json!({"guild_id": discord.act(now, |world| world.create_guild(&name))}))
        }
        ("DELETE", ["guilds", guild]) => discord.act(now, |world| {
            let guild = find_guild(world, guild)?;
            world.delete_guild(guild);
            Ok(json!({"deleted": guild}))
        }),
        ("POST", ["guilds", guild, "down"]) => discord.act(now, |world| {
            let guild = find_guild(world, guild)?;
            world.guild_goes_down(guild);
            Ok(json!({"guild_id": guild, "available": false}))
        }),
        ("POST", ["guilds", guild, "up"]) => discord.act(now, |world| {
            let guild = find_guild(world, guild)?;
            world.guild_comes_back(guild);
            Ok(json!({"guild_id": guild, "available": true}))
        }),
        ("POST", ["guilds", guild, "tier"]) => discord.act(now, |world| {
            let guild = find_guild(world, guild)?;
            let tier: u8 = number(request, "tier", "send 0 to 3 as the body")?;
            world.set_premium_tier(guild, tier);
            Ok(json!({"guild_id": guild, "premium_tier": tier.min(3)}))
        }),
        ("POST", ["guilds", guild, "channels"]) => discord.act(now, |world| create_channel(world, request, guild)),
        ("DELETE", ["channels", channel]) => discord.act(now, |world| {
            let channel = find_channel(world, channel)?;
            world.delete_channel(channel)?;
            Ok(json!({"deleted": channel}))
        }),
        ("POST", ["channels", channel, "rename"]) => discord.act(now, |world| {
            let channel = find_channel(world, channel)?;
            let name = argument(request, "name")
                .ok_or(ControlError::Missing { what: "name", hint: "send the new name as the body" })?;
            world.edit_channel(channel, ChannelEdit { name: Some(name.clone()), ..ChannelEdit::default() })?;
            Ok(json!({"channel_id": channel, "name": name}))
        }),
        ("POST", ["bots", bot, "guilds", guild]) => discord.act(now, |world| {
            let (bot, guild) = (find_bot(world, bot)?, find_guild(world, guild)?);
            world.add_bot(guild, bot);
            Ok(json!({"bot": bot, "guild_id": guild, "member": true}))
        }),
        ("DELETE", ["bots", bot, "guilds", guild]) => discord.act(now, |world| {
            let (bot, guild) = (find_bot(world, bot)?, find_guild(world, guild)?);
            world.remove_bot(guild, bot);
            Ok(json!({"bot": bot, "guild_id": guild, "member": false}))
        }),
        ("POST", ["bots", bot, "guilds", guild, "permissions"]) => discord.act(now, |world| {
            let (bot, guild) = (find_bot(world, bot)?, find_guild(world, guild)?);
            let permissions = Permissions::from_bits(number(request, "permissions", "send the bits as a number")?);
            world.set_bot_permissions(guild, bot, permissions);
            Ok(json!({"bot": bot, "guild_id": guild, "permissions": permissions}))
        }),
        _ => Err(ControlError::NoSuchLine {
            method: request.method.clone(),
            path: request.path.to_owned(),
            addr: request.addr.to_owned(),
        }),
    }
}

fn person_acts(world: &mut World, request: &ControlRequest<'_>, name: &str, verb: &str) -> Outcome {
    let switch = |world: &mut World, flip: fn(&mut Switches)| {
        let user = world.person(name);
        world.switch(user, flip)
    };
    let moderate = |world: &mut World, edit: MemberEdit| {
        let user = world.person(name);
        let guild = world.guild_of_voice(user).ok_or(VoiceError::NotInVoice(user))?;
        world.edit_member(guild, user, edit);
        Ok(())
    };
    let muted = |mute| MemberEdit { mute: Some(mute), ..MemberEdit::default() };
    let deafened = |deaf| MemberEdit { deaf: Some(deaf), ..MemberEdit::default() };
    match verb {
        "join" | "move" => {
            let named = argument(request, "channel").ok_or(ControlError::Missing {
                what: "channel",
                hint: "send a name or id as the body, e.g. curl -d Lobby …/control/users/ann/join",
            })?;
            let channel = find_channel(world, &named)?;
            let user = world.person(name);
            if verb == "move" && world.guild_of_voice(user).is_none() {
                return Err(VoiceError::NotInVoice(user).into());
            }
            world.join(user, channel)
        }
        "leave" => {
            let user = world.person(name);
            world.leave(user)
        }
        "mute" => switch(world, |switches| switches.self_mute = true),
        "unmute" => switch(world, |switches| switches.self_mute = false),
        "deafen" => switch(world, |switches| switches.self_deaf = true),
        "undeafen" => switch(world, |switches| switches.self_deaf = false),
        "film" => switch(world, |switches| switches.self_video = true),
        "unfilm" => switch(world, |switches| switches.self_video = false),
        "stream" => switch(world, |switches| switches.self_stream = true),
        "unstream" => switch(world, |switches| switches.self_stream = false),
        "server-mute" => moderate(world, muted(true)),
        "server-unmute" => moderate(world, muted(false)),
        "server-deafen" => moderate(world, deafened(true)),
        "server-undeafen" => moderate(world, deafened(false)),
        _ => return Err(ControlError::Unknown { what: "verb", named: verb.to_owned(), choices: VERBS.join(", ") }),
    }?;
    let user = world.person(name);
    Ok(view::person(world, user))
}

/// What a person can do.
const VERBS: [&str; 15] = [
    "join",
    "move",
    "leave",
    "mute",
    "unmute",
    "deafen",
    "undeafen",
    "film",
    "unfilm",
    "stream",
    "unstream",
    "server-mute",
    "server-unmute",
    "server-deafen",
    "server-undeafen",
];

fn create_channel(world: &mut World, request: &ControlRequest<'_>, guild: &str) -> Outcome {
    let guild = find_guild(world, guild)?;
    let name = argument(request, "name").ok_or(ControlError::Missing {
        what: "name",
        hint: "send it as the body, or JSON with name and type (voice, stage, text, category)",
    })?;
    let kind = json_field(request, "type").unwrap_or_else(|| "voice".to_owned());
    let new = match kind.as_str() {
        "voice" | "2" => NewChannel::voice(&name),
        "stage" | "13" => NewChannel::stage(&name),
        "text" | "0" => NewChannel::text(&name),
        "category" | "4" => NewChannel::category(&name),
        _ => {
            let choices = "voice, stage, text, category".to_owned();
            return Err(ControlError::Unknown { what: "channel type", named: kind, choices });
        }
    };
    Ok(json!({"channel_id": world.create_channel(guild, new)?, "name": name}))
}

/// Reads a fault, and refuses keys that it does not have instead of passing over a typing error.
fn read_fault(body: &[u8]) -> Result<Injection, ControlError> {
    let bad = |error: serde_json::Error| ControlError::BadFault(error.to_string());
    let sent: Value = serde_json::from_slice(body).map_err(bad)?;
    let injection = Injection::deserialize(&sent).map_err(bad)?;
    let known = serde_json::to_value(&injection).map_err(bad)?;
    match stray(&sent, &known) {
        Some(key) => Err(ControlError::BadFault(format!("it has no field {key:?}"))),
        None => Ok(injection),
    }
}

/// A field that was sent and not understood, at whatever depth.
fn stray(sent: &Value, known: &Value) -> Option<String> {
    sent.as_object()?.iter().find_map(|(key, value)| match known.get(key.as_str()) {
        Some(known) => stray(value, known),
        None => Some(key.clone()),
    })
}

/// An argument from the query, a JSON body, a form body or a body that is the bare value.
fn argument(request: &ControlRequest<'_>, name: &str) -> Option<String> {
    let from_query = query_value(request.query, name);
    let value = from_query.or_else(|| json_field(request, name)).or_else(|| {
        let body = std::str::from_utf8(request.body).ok()?.trim();
        match body.split_once('=') {
            Some((key, _)) if key == name => query_value(body, name),
            _ if body.starts_with('{') => None,
            _ => Some(body.to_owned()),
        }
    });
    value.filter(|value| !value.is_empty())
}

fn json_field(request: &ControlRequest<'_>, name: &str) -> Option<String> {
    let body: Value = serde_json::from_slice(request.body).ok()?;
    let field = body.get(name)?;
    Some(field.as_str().map_or_else(|| field.to_string(), str::to_owned))
}

fn number<N: FromStr>(request: &ControlRequest<'_>, name: &'static str, hint: &'static str) -> Result<N, ControlError> {
    let text = argument(request, name).ok_or(ControlError::Missing { what: name, hint })?;
    text.parse().map_err(|_| ControlError::BadNumber(text))
}

fn find_guild(world: &World, named: &str) -> Result<GuildId, ControlError> {
    let by_id = named.parse().ok().filter(|id| world.guild(*id).is_some());
    by_id.or_else(|| world.guild_named(named).map(|guild| guild.id)).ok_or_else(|| ControlError::Unknown {
        what: "guild",
        named: named.to_owned(),
        choices: world.guilds().map(|guild| format!("{:?} ({})", guild.name, guild.id)).collect::<Vec<_>>().join(", "),
    })
}

fn find_channel(world: &World, named: &str) -> Result<ChannelId, ControlError> {
    if let Some(id) = named.parse().ok().filter(|id| world.channel(*id).is_some()) {
        return Ok(id);
    }
    let mut found: Vec<_> = world.channels_named(named).collect();
    // A voice channel is meant before a category of the same name.
    if found.iter().any(|channel| channel.is_room()) {
        found.retain(|channel| channel.is_room());
    }
    match found.as_slice() {
        [one] => Ok(one.id),
        [] => {
            let rooms = world.guilds().flat_map(|guild| guild.channels.values()).filter(|channel| channel.is_room());
            Err(ControlError::Unknown {
                what: "channel",
                named: named.to_owned(),
                choices: rooms.map(|room| format!("{:?} ({})", room.name, room.id)).collect::<Vec<_>>().join(", "),
            })
        }
        several => Err(ControlError::Ambiguous {
            named: named.to_owned(),
            choices: several.iter().map(|channel| channel.id.to_string()).collect::<Vec<_>>().join(", "),
        }),
    }
}

fn find_bot(world: &World, named: &str) -> Result<UserId, ControlError> {
    let by_id = named.parse().ok().filter(|id| world.bot(*id).is_some());
    let by_name = || world.users().find(|user| user.bot && user.name == named).map(|user| user.id);
    by_id.or_else(by_name).ok_or_else(|| ControlError::Unknown {
        what: "bot",
        named: named.to_owned(),
        choices: match world.bots().map(|bot| bot.id.to_string()).collect::<Vec<_>>() {
            none if none.is_empty() => "none yet: a bot appears when it first shows its token".to_owned(),
            some => some.join(", "),
        },
    })
}
