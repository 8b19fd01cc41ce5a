//! One history from its beginning to its end, with what must hold after every step and once all is quiet.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, UNIX_EPOCH},
};

use parlor_gateway::{GuildId, RoomFacts, RoomId, Update};

use crate::{
    Broken,
    client::{Client, With},
    discord::{Discord, Fate},
    fact::Picture,
    known::Command,
    parlor::{Clock, End, Parlor},
    sabotage::{Sabotage, Saboteur},
    shelf::Weather,
    step::{CLIENTS, Case, Step, Turn, room_name},
    wish::Wish,
    world::{World, facts, guild_id},
};

/// What the callers' calls are at.
#[derive(Clone, Debug)]
enum Call {
    /// The hub expects the room, or will once it has taken that in.
    Create { guild: u8, slot: u8, name: &'static str },
    /// Discord has made it, and its answer is on the way.
    Made { guild: u8, facts: RoomFacts, descriptions: u32 },
    /// The hub knows that the room is about to be deleted.
    End { guild: u8, room: RoomId },
    /// Discord has deleted it.
    Ended { guild: GuildId, room: RoomId },
}

struct History {
    clock: Clock,
    world: World,
    discord: Discord,
    parlor: Parlor,
    clients: Vec<Client>,
    calls: VecDeque<Call>,
    fate: Fate,
    saboteur: Saboteur,
}

/// Runs a history.
///
/// # Errors
/// Where a promise is broken.
pub fn run(case: &Case, sabotage: Option<Sabotage>) -> Result<(), Broken> {
    let mut history = History::begin(case, sabotage)?;
    for (step, number) in case.steps.iter().zip(1..) {
        history.step(step).map_err(|broken| broken.at(format!("step {number} ({step})")))?;
    }
    history.quiet().map_err(|broken| broken.at("the end"))
}

impl History {
    fn begin(case: &Case, sabotage: Option<Sabotage>) -> Result<Self, Broken> {
        let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let clock = Clock { now: Instant::now(), wall, was_set: false };
        let saboteur = Saboteur::new(sabotage);
        let mut history = Self {
            parlor: Parlor::new(case.retention, clock, &saboteur),
            clock,
            world: World::default(),
            discord: Discord::default(),
            clients: (0..CLIENTS).map(|client| Client::new(Wish::number(client), clock)).collect(),
            calls: VecDeque::new(),
            fate: Fate::Once,
            saboteur,
        };
        history.pump()?;
        for client in 0..CLIENTS {
            history.comes(client, With::Nothing)?;
        }
        Ok(history)
    }

    fn step(&mut self, step: &Step) -> Result<(), Broken> {
        match *step {
            Step::Room { guild, slot, name } => {
                let updates = self.world.room(guild, slot, room_name(name));
                self.tell(guild, updates);
            }
            Step::Delete { guild, slot } => {
                if let Some(room) = self.world.room_in(guild, slot) {
                    let updates = self.world.delete(guild, room);
                    self.tell(guild, updates);
                }
            }
            Step::Go { guild, user, slot } => {
                let updates = self.world.go(guild, user, slot);
                self.tell(guild, updates);
            }
            Step::ComeBack { guild, user } => {
                let updates = self.world.come_back(guild, user);
                self.tell(guild, updates);
            }
            Step::Mute { guild, user, muted } => {
                let updates = self.world.mute(guild, user, muted);
                self.tell(guild, updates);
            }
            Step::Rename { guild, user, name } => {
                let updates = self.world.rename(guild, user, name);
                self.tell(guild, updates);
            }
            Step::Kick { guild, user } => {
                let updates = self.world.kick(guild, user);
                self.tell(guild, updates);
            }
            Step::Guild(guild, turn) => self.turn(guild, turn),
            Step::NextIs(fate) => self.fate = fate,
            Step::LateArrives => self.discord.late_arrives(),
            Step::Cut => {
                let lost = self.discord.cut(self.clock.wall);
                self.deliver(lost);
            }
            Step::Forget => self.discord.forget(),
            Step::Connect => self.connect(),
            Step::Describe { as_it_was } => {
                let fate = std::mem::replace(&mut self.fate, Fate::Once);
                self.discord.describe_next(&self.world, as_it_was, fate);
            }
            Step::Receive(dispatches) => {
                for _ in 0..dispatches {
                    self.receive();
                }
            }
            Step::SignOfLife => {
                let sign = self.discord.sign_of_life(self.clock.wall);
                self.deliver(sign);
            }
            Step::AskFor { guild, slot, name } => self.ask_for(guild, slot, room_name(name)),
            Step::AskToEnd { guild, slot } => {
                if let Some(room) = self.world.room_in(guild, slot) {
                    self.parlor.ask(Command::BeginEnd(guild_id(guild), room), self.clock);
                    self.calls.push_back(Call::End { guild, room });
                }
            }
            Step::Answer { well } => self.answer(well),
            Step::Commit(commands) => self.parlor.commit(commands.into(), self.clock, &mut self.saboteur)?,
            Step::Weather(weather) => self.parlor.shelf.weather = weather,
            Step::Pump => self.pump()?,
            Step::Ends(end) => self.ends(end)?,
            Step::Reads { client, frames } => self.reads(client, frames.into())?,
            Step::Leaves(client) => self.clients[usize::from(client)].leaves(),
            Step::Comes { client, with } => self.comes(client, with)?,
            Step::Saves(client) => self.clients[usize::from(client)].saves(),
            Step::Wishes { client, wish } => self.clients[usize::from(client)].wishes(Wish::number(wish)),
            Step::Drained(client) => self.clients[usize::from(client)].is_drained(&self.parlor, self.clock)?,
            Step::Later(seconds) => {
                let later = Duration::from_secs(seconds.into());
                self.clock.now += later;
                self.clock.wall += later;
            }
            Step::ClockSet { forward } => {
                let hour = Duration::from_secs(3_600);
                self.clock.wall = if forward { self.clock.wall + hour } else { self.clock.wall - hour };
                self.clock.was_set = true;
            }
        }
        Ok(())
    }

    /// Discord tells of what happened in a guild, if it can.
    fn tell(&mut self, guild: u8, updates: Vec<Update>) {
        let it = &self.world.guilds[usize::from(guild)];
        if it.member && !it.outage && !updates.is_empty() {
            let fate = std::mem::replace(&mut self.fate, Fate::Once);
            self.discord.tell(updates, guild, fate);
        }
    }

    fn turn(&mut self, guild: u8, turn: Turn) {
        let id = guild_id(guild);
        if turn == Turn::IsRenamed {
            let updates = self.world.rename_guild(guild);
            self.discord.describes_anew(guild);
            self.tell(guild, updates);
            return;
        }
        let it = &mut self.world.guilds[usize::from(guild)];
        match turn {
            Turn::BotJoins if !it.member => {
                it.member = true;
                let described = self.world.described(guild);
                self.discord.describe(guild, described, Fate::Once);
            }
            Turn::BotLeaves if it.member => {
                it.member = false;
                self.discord.no_longer_owes(guild);
                self.discord.tell(vec![Update::GuildLeft(id)], guild, Fate::Once);
            }
            Turn::OutageBegins if !it.outage => {
                it.outage = true;
                if it.member {
                    self.discord.no_longer_owes(guild);
                    self.discord.tell(vec![Update::GuildUnavailable(id)], guild, Fate::Once);
                }
            }
            Turn::OutageEnds if it.outage => {
                it.outage = false;
                if it.member {
                    let described = self.world.described(guild);
                    self.discord.describe(guild, described, Fate::Once);
                }
            }
            Turn::BotJoins | Turn::BotLeaves | Turn::OutageBegins | Turn::OutageEnds | Turn::IsRenamed => {}
        }
    }

    fn ask_for(&mut self, guild: u8, slot: u8, name: &'static str) {
        self.parlor.ask(Command::Expect(guild_id(guild), name.to_owned()), self.clock);
        self.calls.push_back(Call::Create { guild, slot, name });
    }

    /// The oldest call goes a step further, once the hub has taken in what it said before.
    fn answer(&mut self, well: bool) {
        if !self.parlor.is_idle() {
            return;
        }
        let Some(call) = self.calls.pop_front() else { return };
        match call {
            Call::Create { guild, slot, name } => {
                let id = guild_id(guild);
                let is_free = self.world.room_in(guild, slot).is_none();
                if !(well && is_free && self.world.guilds[usize::from(guild)].member) {
                    self.parlor.ask(Command::Settle(id, name.to_owned(), None), self.clock);
                    return;
                }
                let updates = self.world.room(guild, slot, name);
                self.tell(guild, updates);
                let room = self.world.room_in(guild, slot).expect("made a moment ago");
                let descriptions = self.discord.descriptions(guild);
                self.calls.push_back(Call::Made { guild, facts: facts(id, room, name), descriptions });
            }
            Call::Made { guild, facts, descriptions } => {
                let is_gone = !self.world.guilds[usize::from(guild)].rooms.contains_key(&facts.room);
                if is_gone && descriptions != self.discord.descriptions(guild) {
                    self.discord.is_misled(guild);
                }
                self.parlor.ask(Command::Settle(guild_id(guild), facts.name.clone(), Some(facts)), self.clock);
            }
            Call::End { guild, room } => {
                if !well {
                    self.parlor.ask(Command::AbandonEnd(guild_id(guild), room), self.clock);
                    return;
                }
                let updates = self.world.delete(guild, room);
                self.tell(guild, updates);
                self.calls.push_back(Call::Ended { guild: guild_id(guild), room });
            }
            Call::Ended { guild, room } => self.parlor.ask(Command::EndRoom(guild, room), self.clock),
        }
    }

    fn deliver(&mut self, delivery: Option<parlor_gateway::Delivery>) {
        if let Some(delivery) = delivery {
            self.parlor.ask(Command::Deliver(delivery), self.clock);
        }
    }

    fn connect(&mut self) {
        let lost = self.discord.connect(&self.world, self.clock.wall);
        self.deliver(lost);
    }

    /// Says whether there was something.
    fn receive(&mut self) -> bool {
        let delivery = self.discord.receive(self.clock.wall);
        let any = delivery.is_some();
        self.deliver(delivery);
        any
    }

    /// Everything that can arrive arrives, and is stored if the store takes it.
    fn pump(&mut self) -> Result<(), Broken> {
        self.connect();
        while self.discord.owes() {
            self.discord.describe_next(&self.world, false, Fate::Once);
        }
        while self.receive() {}
        self.parlor.commit(usize::MAX, self.clock, &mut self.saboteur)?;
        self.parlor.commit(usize::MAX, self.clock, &mut self.saboteur)
    }

    fn ends(&mut self, end: End) -> Result<(), Broken> {
        self.clients.iter_mut().for_each(Client::leaves);
        self.calls.clear();
        let place = self.parlor.restart(end, self.clock, &mut self.saboteur)?;
        self.discord.restart(place);
        Ok(())
    }

    fn comes(&mut self, client: u8, with: With) -> Result<(), Broken> {
        self.clients[usize::from(client)].comes(with, &self.parlor, self.clock, &self.saboteur)
    }

    fn reads(&mut self, client: u8, frames: usize) -> Result<(), Broken> {
        self.clients[usize::from(client)].reads(frames, &self.parlor, self.clock, &mut self.saboteur)
    }

    /// Everything comes to rest; then everybody has to see the truth.
    fn quiet(mut self) -> Result<(), Broken> {
        self.parlor.shelf.weather = Weather::Fine;
        (0..crate::world::GUILDS).for_each(|guild| self.turn(guild, Turn::OutageEnds));
        while !self.calls.is_empty() {
            self.pump()?;
            self.answer(true);
        }
        self.discord.late_arrives();
        self.pump()?;
        if (0..crate::world::GUILDS).any(|guild| self.discord.is_adrift(guild)) {
            let lost = self.discord.cut(self.clock.wall);
            self.deliver(lost);
            self.discord.forget();
            self.pump()?;
        }
        let truth = self.truth();
        for client in 0..CLIENTS {
            self.reads(client, usize::MAX)?;
            if !self.clients[usize::from(client)].is_connected() {
                self.comes(client, With::Held)?;
                self.reads(client, usize::MAX)?;
            }
            let it = &self.clients[usize::from(client)];
            if let Some(sees) = it.sees(&self.parlor)? {
                let sees = ours_or_not(sees);
                let should = it.wish().view(&truth);
                Broken::unless(sees == should, || {
                    format!("client {client} sees\n  {sees}\nand the truth is\n  {should}")
                })?;
            }
        }
        Ok(())
    }

    fn truth(&self) -> Picture {
        let mut truth = Picture::default();
        for (guild, it) in (0..).zip(&self.world.guilds).filter(|(_, it)| it.member) {
            let id = guild_id(guild);
            truth.guilds.insert(id, (self.world.name(guild), true));
            for (room, name) in &it.rooms {
                truth.rooms.insert(*room, crate::fact::Room { guild: id, name: name.clone(), managed: false });
            }
            truth.people.extend(it.people.iter().map(|(user, person)| ((id, *user), person.seen(*user))));
        }
        truth
    }
}

/// Discord does not know which rooms are ours.
fn ours_or_not(mut picture: Picture) -> Picture {
    picture.rooms.values_mut().for_each(|room| room.managed = false);
    picture
}
