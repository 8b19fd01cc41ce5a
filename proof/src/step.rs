//! What can happen, in the order in which it does: a random history, and how it is printed.

use std::{fmt, time::Duration};

use parlor_server::hub::Retention;
use proptest::prelude::*;

use crate::{
    client::With,
    discord::Fate,
    parlor::End,
    shelf::Weather,
    wish::WISHES,
    world::{GUILDS, PEOPLE, SLOTS},
};

/// How many subscribers there are.
pub const CLIENTS: u8 = 3;

/// What happens to a guild as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Turn {
    BotJoins,
    BotLeaves,
    OutageBegins,
    OutageEnds,
    IsRenamed,
}

/// One thing that happens.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "`Display` says what each is")]
pub enum Step {
    Room { guild: u8, slot: u8, name: u8 },
    Delete { guild: u8, slot: u8 },
    Go { guild: u8, user: u8, slot: Option<u8> },
    ComeBack { guild: u8, user: u8 },
    Mute { guild: u8, user: u8, muted: bool },
    Rename { guild: u8, user: u8, name: u8 },
    Kick { guild: u8, user: u8 },
    Guild(u8, Turn),
    NextIs(Fate),
    LateArrives,
    Cut,
    Forget,
    Connect,
    Describe { as_it_was: bool },
    Receive(u8),
    SignOfLife,
    AskFor { guild: u8, slot: u8, name: u8 },
    AskToEnd { guild: u8, slot: u8 },
    Answer { well: bool },
    Commit(u8),
    Weather(Weather),
    Pump,
    Ends(End),
    Reads { client: u8, frames: u8 },
    Leaves(u8),
    Comes { client: u8, with: With },
    Saves(u8),
    Wishes { client: u8, wish: u8 },
    Drained(u8),
    Later(u16),
    ClockSet { forward: bool },
}

/// A history, and how much of it the log has to remember.
#[derive(Clone, Debug)]
pub struct Case {
    /// How much the log keeps.
    pub retention: Retention,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Random histories of so many steps at most.
pub fn cases(longest: usize) -> impl Strategy<Value = Case> {
    let retention = (
        prop_oneof![Just(0), Just(60), Just(900)],
        prop_oneof![2 => 0..4_usize, 3 => 4..30_usize, 3 => Just(10_000)],
        prop_oneof![3 => Just(usize::MAX), 1 => 0..3_000_usize],
    )
        .prop_map(|(age, entries, bytes)| Retention { age: Duration::from_secs(age), entries, bytes });
    (retention, proptest::collection::vec(step(), 1..longest)).prop_map(|(retention, steps)| Case { retention, steps })
}

fn step() -> impl Strategy<Value = Step> {
    let guild = || 0..GUILDS;
    let user = || 0..PEOPLE;
    let slot = || 0..SLOTS;
    let client = || 0..CLIENTS;
    let fate = prop_oneof![2 => Just(Fate::Twice), 1 => Just(Fate::Lost), 1 => Just(Fate::Late)];
    let turn = prop_oneof![
        Just(Turn::BotJoins),
        Just(Turn::BotLeaves),
        Just(Turn::OutageBegins),
        Just(Turn::OutageEnds),
        Just(Turn::IsRenamed),
    ];
    let with = prop_oneof![
        6 => Just(With::Held),
        3 => Just(With::Saved),
        1 => Just(With::SavedOrNothing),
        2 => Just(With::Nothing),
        1 => Just(With::Latest),
        1 => Just(With::Forged),
        1 => Just(With::Ahead),
    ];
    let end = prop_oneof![2 => Just(End::Closed), 5 => Just(End::Killed), 1 => any::<u32>().prop_map(End::Damaged)];
    let weather = prop_oneof![2 => Just(Weather::Fine), 1 => Just(Weather::Full), 1 => Just(Weather::AnswerLost)];
    let world = prop_oneof![
        4 => (guild(), slot(), 0..3_u8).prop_map(|(guild, slot, name)| Step::Room { guild, slot, name }),
        2 => (guild(), slot()).prop_map(|(guild, slot)| Step::Delete { guild, slot }),
        10 => (guild(), user(), proptest::option::weighted(0.75, slot()))
            .prop_map(|(guild, user, slot)| Step::Go { guild, user, slot }),
        1 => (guild(), user()).prop_map(|(guild, user)| Step::ComeBack { guild, user }),
        2 => (guild(), user(), any::<bool>()).prop_map(|(guild, user, muted)| Step::Mute { guild, user, muted }),
        1 => (guild(), user(), 0..3_u8).prop_map(|(guild, user, name)| Step::Rename { guild, user, name }),
        1 => (guild(), user()).prop_map(|(guild, user)| Step::Kick { guild, user }),
        2 => (guild(), turn).prop_map(|(guild, turn)| Step::Guild(guild, turn)),
        2 => fate.prop_map(Step::NextIs),
        1 => Just(Step::LateArrives),
    ];
    let gateway = prop_oneof![
        3 => Just(Step::Cut),
        2 => Just(Step::Forget),
        4 => Just(Step::Connect),
        4 => any::<bool>().prop_map(|as_it_was| Step::Describe { as_it_was }),
        6 => (1..4_u8).prop_map(Step::Receive),
        1 => Just(Step::SignOfLife),
    ];
    let parlor = prop_oneof![
        2 => (guild(), slot(), 0..3_u8).prop_map(|(guild, slot, name)| Step::AskFor { guild, slot, name }),
        1 => (guild(), slot()).prop_map(|(guild, slot)| Step::AskToEnd { guild, slot }),
        4 => any::<bool>().prop_map(|well| Step::Answer { well }),
        6 => (1..4_u8).prop_map(Step::Commit),
        8 => Just(Step::Pump),
        2 => weather.prop_map(Step::Weather),
        3 => end.prop_map(Step::Ends),
    ];
    let clients = prop_oneof![
        8 => (client(), 1..8_u8).prop_map(|(client, frames)| Step::Reads { client, frames }),
        1 => client().prop_map(Step::Leaves),
        4 => (client(), with).prop_map(|(client, with)| Step::Comes { client, with }),
        3 => client().prop_map(Step::Saves),
        1 => (client(), 0..WISHES).prop_map(|(client, wish)| Step::Wishes { client, wish }),
        1 => client().prop_map(Step::Drained),
    ];
    let time = prop_oneof![
        6 => (1..40_u16).prop_map(Step::Later),
        1 => (40..2_000_u16).prop_map(Step::Later),
        1 => any::<bool>().prop_map(|forward| Step::ClockSet { forward }),
    ];
    prop_oneof![12 => world, 7 => gateway, 9 => parlor, 7 => clients, 2 => time]
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room { guild, slot, name } => {
                write!(f, "guild {guild}: room {slot} is made or renamed: {}", room_name(*name))
            }
            Self::Delete { guild, slot } => write!(f, "guild {guild}: room {slot} is deleted"),
            Self::Go { guild, user, slot: Some(slot) } => write!(f, "guild {guild}: user {user} goes to room {slot}"),
            Self::Go { guild, user, slot: None } => write!(f, "guild {guild}: user {user} leaves voice"),
            Self::ComeBack { guild, user } => write!(f, "guild {guild}: user {user} leaves and comes back"),
            Self::Mute { guild, user, muted } => write!(f, "guild {guild}: user {user} is muted: {muted}"),
            Self::Rename { guild, user, name } => write!(f, "guild {guild}: user {user} takes name {name}"),
            Self::Kick { guild, user } => write!(f, "guild {guild}: user {user} leaves the guild"),
            Self::Guild(guild, turn) => write!(f, "guild {guild}: {turn:?}"),
            Self::NextIs(fate) => write!(f, "Discord: the next dispatch comes {fate:?}"),
            Self::LateArrives => write!(f, "Discord: what is late arrives"),
            Self::Cut => write!(f, "the gateway connection breaks"),
            Self::Forget => write!(f, "Discord: forgets the session, if it is not connected"),
            Self::Connect => write!(f, "the shard connects"),
            Self::Describe { as_it_was } => write!(f, "Discord: describes a guild, as it was at READY: {as_it_was}"),
            Self::Receive(dispatches) => write!(f, "the shard receives {dispatches}"),
            Self::SignOfLife => write!(f, "the shard says that it hears Discord"),
            Self::AskFor { guild, slot, name } => {
                write!(f, "CreateRoom: guild {guild}, room {slot}, {}", room_name(*name))
            }
            Self::AskToEnd { guild, slot } => write!(f, "EndRoom: guild {guild}, room {slot}"),
            Self::Answer { well } => write!(f, "the oldest call goes on, well: {well}"),
            Self::Commit(commands) => write!(f, "the hub takes in {commands} and stores"),
            Self::Weather(weather) => write!(f, "the store is {weather:?}"),
            Self::Pump => write!(f, "everything arrives and is stored"),
            Self::Ends(end) => write!(f, "the process ends and another goes on: {end:?}"),
            Self::Reads { client, frames } => write!(f, "client {client}: reads {frames}"),
            Self::Leaves(client) => write!(f, "client {client}: leaves"),
            Self::Comes { client, with } => write!(f, "client {client}: comes with {with:?}"),
            Self::Saves(client) => write!(f, "client {client}: puts its cursor aside"),
            Self::Wishes { client, wish } => write!(f, "client {client}: wants filter {wish}"),
            Self::Drained(client) => write!(f, "client {client}: is told that the server goes away"),
            Self::Later(seconds) => write!(f, "{seconds} s later"),
            Self::ClockSet { forward } => {
                write!(f, "the clock is set an hour {}", if *forward { "forward" } else { "back" })
            }
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Retention { age, entries, bytes } = self.retention;
        writeln!(f, "keeping {age:?}, {entries} entries, {bytes} bytes:")?;
        self.steps.iter().zip(1..).try_for_each(|(step, number)| writeln!(f, "{number:4}. {step}"))
    }
}

/// What a room is called.
pub fn room_name(name: u8) -> &'static str {
    ["lobby", "games", "music"][usize::from(name) % 3]
}
