//! Property: whatever happens, a client that folds GUILD_CREATE and dispatches knows the world as it is.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::config::{Config, GatewayLimits};
use crate::discord::{Discord, Places};
use crate::faults::Fault;
use crate::gateway::{ConnectionId, Output};
use crate::world::{
    Availability, BotToken, ChannelEdit, ChannelId, GuildId, MemberEdit, NewChannel, OTHER_GUILD, PARLOR_DEV,
    Timestamp, UserId, World, wire,
};

const TOKEN: &str = "fold";
const START: Timestamp = Timestamp::from_unix_millis(1_780_000_000_000);

/// One step of a history. Numbers are taken modulo what there is to choose from.
#[derive(Clone, Debug)]
enum Step {
    Join { person: u8, room: usize },
    Leave { person: u8 },
    Switch { person: u8, mute: bool, stream: bool },
    Moderate { person: u8, mute: bool, room: usize },
    Create { guild: bool, stage: bool },
    Rename { channel: usize, name: u8 },
    Delete { channel: usize },
    Outage { guild: bool },
    Recovery { guild: bool },
    BotRemoved { guild: bool },
    BotAdded { guild: bool },
    BotVoice { guild: bool, room: Option<usize> },
    Duplicate { next: u8 },
    Disconnect { code: Option<u16> },
    Reconnect { wait_seconds: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (person, room, guild) = (0..6_u8, any::<usize>(), any::<bool>());
    prop_oneof![
        6 => (person.clone(), room).prop_map(|(person, room)| Step::Join { person, room }),
        3 => person.clone().prop_map(|person| Step::Leave { person }),
        2 => (person.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(person, mute, stream)| Step::Switch { person, mute, stream }),
        2 => (person, any::<bool>(), room).prop_map(|(person, mute, room)| Step::Moderate { person, mute, room }),
        3 => (guild, any::<bool>()).prop_map(|(guild, stage)| Step::Create { guild, stage }),
        2 => (room, 0..3_u8).prop_map(|(channel, name)| Step::Rename { channel, name }),
        2 => room.prop_map(|channel| Step::Delete { channel }),
        1 => guild.prop_map(|guild| Step::Outage { guild }),
        2 => guild.prop_map(|guild| Step::Recovery { guild }),
        1 => guild.prop_map(|guild| Step::BotRemoved { guild }),
        2 => guild.prop_map(|guild| Step::BotAdded { guild }),
        3 => (guild, proptest::option::of(room)).prop_map(|(guild, room)| Step::BotVoice { guild, room }),
        1 => (1..4_u8).prop_map(|next| Step::Duplicate { next }),
        1 => proptest::option::of(prop_oneof![Just(1000_u16), Just(4000)]).prop_map(|code| Step::Disconnect { code }),
        2 => any::<u8>().prop_map(|wait_seconds| Step::Reconnect { wait_seconds }),
    ]
}

/// What a client knows of one guild.
#[derive(Debug, Default, PartialEq)]
struct Known {
    channels: BTreeMap<String, Value>,
    voice_states: BTreeMap<String, Value>,
}

/// A client as small as can be: it folds, resumes and identifies.
#[derive(Debug, Default)]
struct Client {
    connection: Option<ConnectionId>,
    session: Option<(String, u64)>,
    guilds: BTreeMap<String, Known>,
}

impl Client {
    fn hears(&mut self, frame: &str) {
        let payload: Value = serde_json::from_str(frame).unwrap();
        if let (Some(seq), Some((_, newest))) = (payload["s"].as_u64(), &mut self.session) {
            assert_eq!(seq, *newest + 1, "a hole in the sequence numbers");
            *newest = seq;
        }
        if payload["op"] == 9 {
            self.session = None;
        }
        let d = &payload["d"];
        let id = |field: &str| d[field].as_str().unwrap_or_default().to_owned();
        match payload["t"].as_str().unwrap_or_default() {
            "READY" => {
                self.session = Some((id("session_id"), 1));
                self.guilds.clear();
            }
            "GUILD_CREATE" => {
                let mut known = Known::default();
                for channel in d["channels"].as_array().unwrap() {
                    known.channels.insert(channel["id"].as_str().unwrap().to_owned(), channel.clone());
                }
                for state in d["voice_states"].as_array().unwrap() {
                    known.voice_states.insert(state["user_id"].as_str().unwrap().to_owned(), state.clone());
                }
                self.guilds.insert(id("id"), known);
            }
            "GUILD_DELETE" => {
                self.guilds.remove(&id("id"));
            }
            "CHANNEL_CREATE" | "CHANNEL_UPDATE" => {
                let known = self.guilds.get_mut(&id("guild_id")).expect("channels come in known guilds");
                known.channels.insert(id("id"), without(d, &["guild_id"]));
            }
            "CHANNEL_DELETE" => {
                let known = self.guilds.get_mut(&id("guild_id")).expect("channels go in known guilds");
                known.channels.remove(&id("id"));
            }
            "VOICE_STATE_UPDATE" => {
                let known = self.guilds.get_mut(&id("guild_id")).expect("voice states change in known guilds");
                if d["channel_id"].is_null() {
                    known.voice_states.remove(&id("user_id"));
                } else {
                    assert!(known.channels.contains_key(&id("channel_id")), "nobody is in an unknown channel");
                    known.voice_states.insert(id("user_id"), without(d, &["guild_id", "member"]));
                }
            }
            _ => {}
        }
    }
}

fn without(body: &Value, fields: &[&str]) -> Value {
    let mut body = body.clone();
    for field in fields {
        body.as_object_mut().unwrap().remove(*field);
    }
    body
}

/// What a client of `bot` should know.
fn truth(world: &World, bot: UserId) -> BTreeMap<String, Known> {
    world
        .guilds_of(bot)
        .filter(|guild| guild.availability == Availability::Available)
        .map(|guild| {
            let channels = guild
                .channels
                .values()
                .map(|channel| (channel.id.to_string(), without(&wire::channel(channel), &["guild_id"])));
            let voice_states = guild
                .voice_states
                .iter()
                .map(|(user, state)| (user.to_string(), wire::voice_state(*user, state, &guild.members[user])));
            let known = Known { channels: channels.collect(), voice_states: voice_states.collect() };
            (guild.id.to_string(), known)
        })
        .collect()
}

/// The machine, a client and a clock.
struct Stage {
    discord: Discord,
    client: Client,
    bot: UserId,
    now: Timestamp,
}

impl Stage {
    fn new(gateway: GatewayLimits) -> Self {
        let config = Config { gateway, ..Config::default() };
        let mut stage = Self {
            discord: Discord::new(config, Places::nowhere(), START),
            client: Client::default(),
            bot: BotToken::parse(TOKEN).unwrap().bot_id(),
            now: START,
        };
        stage.connects();
        stage
    }

    fn connects(&mut self) {
        if self.client.connection.is_some() {
            return;
        }
        self.client.connection = Some(self.discord.open(Some(10), self.now));
        if let Some((session, seq)) = self.client.session.clone() {
            self.sends(&json!({"op": 6, "d": {"token": TOKEN, "session_id": session, "seq": seq}}));
        }
        self.reads();
        if self.client.session.is_none() {
            self.sends(&json!({"op": 2, "d": {"token": TOKEN, "intents": 129}}));
            self.reads();
        }
    }

    fn sends(&mut self, payload: &Value) {
        if let Some(connection) = self.client.connection {
            self.discord.receive(connection, &payload.to_string(), self.now);
        }
    }

    fn reads(&mut self) {
        for output in self.discord.drain() {
            match output {
                Output::Send(id, frame) if self.client.connection == Some(id) => self.client.hears(&frame),
                Output::Close(id, _) | Output::Drop(id) if self.client.connection == Some(id) => {
                    self.client.connection = None;
                }
                Output::Send(..) | Output::Close(..) | Output::Drop(_) => {}
            }
        }
    }

    fn room(&self, pick: usize) -> Option<(GuildId, ChannelId)> {
        let rooms: Vec<_> = self
            .discord
            .world()
            .guilds()
            .flat_map(|guild| guild.channels.values())
            .filter(|channel| channel.is_room())
            .map(|channel| (channel.guild_id, channel.id))
            .collect();
        (!rooms.is_empty()).then(|| rooms[pick % rooms.len()])
    }

    fn channel(&self, pick: usize) -> Option<ChannelId> {
        let all: Vec<_> = self.discord.world().guilds().flat_map(|guild| guild.channels.keys().copied()).collect();
        (!all.is_empty()).then(|| all[pick % all.len()])
    }

    fn plays(&mut self, step: &Step) {
        let (bot, now) = (self.bot, self.now);
        let guild = |first: bool| if first { PARLOR_DEV } else { OTHER_GUILD };
        match *step {
            Step::Join { person, room } => {
                let Some((_, room)) = self.room(room) else { return };
                // Refusals are part of the history: nothing happens then.
                let _ = self.discord.act(now, |world| {
                    let user = named(world, person);
                    world.join(user, room)
                });
            }
            Step::Leave { person } => {
                let _ = self.discord.act(now, |world| {
                    let user = named(world, person);
                    world.leave(user)
                });
            }
            Step::Switch { person, mute, stream } => {
                let _ = self.discord.act(now, |world| {
                    let user = named(world, person);
                    world.switch(user, |switches| {
                        switches.self_mute = mute;
                        switches.self_stream = stream;
                    })
                });
            }
            Step::Moderate { person, mute, room } => {
                let Some((guild, room)) = self.room(room) else { return };
                self.discord.act(now, |world| {
                    let user = named(world, person);
                    world.edit_member(guild, user, MemberEdit { mute: Some(mute), ..MemberEdit::default() });
                    let _ = world.move_member(guild, user, Some(room));
                });
            }
            Step::Create { guild: first, stage } => {
                let new = if stage { NewChannel::stage("new") } else { NewChannel::voice("new") };
                let _ = self.discord.act(now, |world| world.create_channel(guild(first), new));
            }
            Step::Rename { channel, name } => {
                let Some(channel) = self.channel(channel) else { return };
                let edit = ChannelEdit { name: Some(format!("name {name}")), ..ChannelEdit::default() };
                let _ = self.discord.act(now, |world| world.edit_channel(channel, edit));
            }
            Step::Delete { channel } => {
                let Some(channel) = self.channel(channel) else { return };
                let _ = self.discord.act(now, |world| world.delete_channel(channel));
            }
            Step::Outage { guild: first } => self.discord.act(now, |world| world.guild_goes_down(guild(first))),
            Step::Recovery { guild: first } => self.discord.act(now, |world| world.guild_comes_back(guild(first))),
            Step::BotRemoved { guild: first } => self.discord.act(now, |world| world.remove_bot(guild(first), bot)),
            Step::BotAdded { guild: first } => self.discord.act(now, |world| world.add_bot(guild(first), bot)),
            Step::BotVoice { guild: first, room } => {
                let room = room.and_then(|pick| self.room(pick)).map(|(_, room)| room);
                self.sends(&json!({"op": 4, "d": {"guild_id": guild(first), "channel_id": room}}));
            }
            Step::Duplicate { next } => {
                let fault = Fault::DuplicateDispatches { next: next.into(), event: None };
                self.discord.inject(fault.into(), now);
            }
            Step::Disconnect { code } => {
                if let Some(connection) = self.client.connection.take() {
                    self.discord.closed(connection, code, now);
                }
            }
            Step::Reconnect { wait_seconds } => {
                if self.client.connection.is_none() {
                    self.now = now + std::time::Duration::from_secs(wait_seconds.into());
                    self.discord.tick(self.now);
                }
                self.connects();
            }
        }
        self.reads();
    }
}

fn named(world: &mut World, person: u8) -> UserId {
    world.person(["ann", "bob", "cleo", "dan", "eve", "finn"][usize::from(person)])
}

proptest! {
    #[test]
    fn a_fold_of_what_was_sent_is_the_world(
        steps in proptest::collection::vec(step(), 1..80),
        replay_events in prop_oneof![Just(3_usize), Just(1_000)],
    ) {
        let mut stage = Stage::new(GatewayLimits { replay_events, ..GatewayLimits::default() });
        for step in &steps {
            stage.plays(step);
            if stage.client.connection.is_some() {
                prop_assert_eq!(&stage.client.guilds, &truth(stage.discord.world(), stage.bot));
            }
        }
        stage.connects();
        prop_assert_eq!(&stage.client.guilds, &truth(stage.discord.world(), stage.bot));
    }
}
