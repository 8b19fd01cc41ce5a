//! A thousand CreateRoom and EndRoom calls of twenty callers, through everything that Discord can answer and the deaths
//! of our process, on virtual time: the services, the journal, the hub and the scheduler are the real ones, Discord is the
//! emulator's machine, and there is no socket.
//!
//! `CHAOS_SEEDS=100` plays so many stories (`make soak`), `SEED=1` is the first of them.

mod caller;
mod clock;
mod discord;
mod fuse;
mod process;
mod steps;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{Arc, Mutex},
    time::Duration,
};

use discord_emulator::{AuditAction, PARLOR_DEV};
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use parlor_proof::shelf::Shelf;
use parlor_proto::v1::{self, room_service_server::RoomService as _};
use parlor_server::{hub::Epoch, telemetry::names};

use self::{
    caller::{Caller, dressed, principal},
    clock::stamp,
    discord::{Discord, LIMITS, locked},
    process::{End, Story, in_peace, live},
};

const CALLERS: u64 = 20;

/// What came of a story.
struct Outcome {
    seed: u64,
    /// Of virtual time.
    took: Duration,
    deaths: u32,
    story: Story,
    broken: Vec<String>,
    trace: u64,
}

/// Plays the story of a seed: so many calls, and so many deaths at most.
fn play(seed: u64, calls: u32, deaths: u32) -> Outcome {
    let mut random = fastrand::Rng::with_seed(seed);
    let each = calls / u32::try_from(CALLERS).expect("a few");
    let callers = (0..CALLERS).map(|number| Arc::new(Mutex::new(Caller::new(number, random.u64(..), each))));
    let callers = callers.collect();
    let story = story(random.u64(..), callers);
    let before = rooms_of(&story);
    let (mut base, mut died) = (Duration::ZERO, 0);
    let silent = random.u32(0..deaths.max(1));
    let (took, snapshot) = loop {
        let lifetime = (died < deaths).then(|| Duration::from_millis(random.u64(500..60_000)));
        if died == silent {
            locked(&story.discord).silent_ban(stamp(base));
        }
        match live(&story, base, lifetime, random.u64(..)) {
            End::Killed(at) => {
                base = at + Duration::from_millis(random.u64(50..4_000));
                died += 1;
            }
            End::Rested(at, snapshot) => break (at, snapshot),
        }
    };
    let mut broken = Vec::new();
    judge(&story, &before, &snapshot, &mut broken);
    let trace = locked(&story.discord).trace();
    Outcome { seed, took, deaths: died, story, broken, trace }
}

fn story(seed: u64, callers: Vec<Arc<Mutex<Caller>>>) -> Story {
    Story {
        callers,
        discord: Arc::new(Mutex::new(Discord::new(seed, stamp(Duration::ZERO)))),
        shelf: Arc::new(Mutex::new(Shelf::new(Epoch::random()))),
    }
}

fn rooms_of(story: &Story) -> BTreeSet<String> {
    locked(&story.discord).machine.world().rooms().keys().map(ToString::to_string).collect()
}

/// Everything that must be so in the end.
fn judge(story: &Story, before: &BTreeSet<String>, snapshot: &parlor_gateway::Snapshot, broken: &mut Vec<String>) {
    let (mut open, mut fleeting, mut made) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for caller in &story.callers {
        let mut caller = locked(caller);
        broken.append(&mut caller.broken);
        open.extend(caller.open.iter().cloned());
        fleeting.extend(caller.fleeting.iter().cloned());
        for (request, room) in &caller.made {
            if let Some(other) = made.insert(room.clone(), request.clone()) {
                broken.push(format!("{room} was given to {request} and to {other}"));
            }
        }
    }
    let peoples = locked(&story.discord).peoples.clone();
    let all = rooms_of(story);
    if let Some(gone) = peoples.iter().find(|room| !all.contains(*room)) {
        broken.push(format!("{gone} is a person's, and is gone"));
    }
    let there: BTreeSet<_> = all.into_iter().filter(|room| !before.contains(room) && !peoples.contains(room)).collect();
    if there != open {
        let (more, less) = (there.difference(&open), open.difference(&there));
        let (more, less) = (more.collect::<Vec<_>>(), less.collect::<Vec<_>>());
        let over = more.iter().filter(|room| fleeting.contains(**room)).count();
        broken.push(format!("left over at Discord: {more:?}, {over} by their policy; missing there: {less:?}"));
    }
    let guilds = snapshot.guilds.values();
    let managed = guilds.flat_map(|guild| guild.room_ids().filter(|room| guild.is_managed(*room) == Some(true)));
    let managed: BTreeSet<_> = managed.map(|room| room.to_string()).collect();
    if managed != open {
        let (more, less) = (managed.difference(&open), open.difference(&managed));
        let (more, less) = (more.collect::<Vec<_>>(), less.collect::<Vec<_>>());
        broken.push(format!("Parlor takes {more:?} for its rooms, and not {less:?}"));
    }
    let mut discord = locked(&story.discord);
    let mut marks: BTreeMap<String, i32> = BTreeMap::new();
    for entry in discord.machine.world().audit_log() {
        let Some(mark) = entry.reason.as_deref().and_then(|reason| reason.split("[parlor:").nth(1)) else { continue };
        let channels = marks.entry(mark.trim_end_matches(']').to_owned()).or_default();
        // A room that could not be made as it was asked for is deleted with the mark of its making.
        *channels += i32::from(entry.action == AuditAction::ChannelCreate);
        *channels -= i32::from(entry.action == AuditAction::ChannelDelete);
    }
    let answered: BTreeSet<_> = made.values().collect();
    for (mark, channels) in &marks {
        let is_end = *channels < 0;
        if !is_end && *channels != i32::from(answered.contains(mark)) {
            broken.push(format!("request {mark} has made {channels} channels"));
        }
    }
    for (room, request) in &made {
        if !marks.contains_key(request) {
            broken.push(format!("request {request} was answered with {room}, which was not made for it"));
        }
    }
    broken.append(&mut discord.broken);
}

impl Outcome {
    /// The lines of the story that tell of the requests and rooms that something broken names.
    fn about_what_broke(&self) -> String {
        let words = self
            .broken
            .iter()
            .flat_map(|broken| broken.split(|letter: char| !letter.is_alphanumeric() && letter != '-'));
        let names: BTreeSet<&str> = words.filter(|word| word.len() >= 18).collect();
        let discord = locked(&self.story.discord);
        let told = |line: &&String| line.ends_with("begins") || names.iter().any(|name| line.contains(name));
        discord.journal.iter().filter(told).map(|line| format!("{line}\n")).collect()
    }

    /// The figures of a story.
    fn figures(&self) -> String {
        let mut means = Vec::new();
        let (mut calls, mut attempts) = (0, 0);
        for caller in &self.story.callers {
            let caller = locked(caller);
            let sum: Duration = caller.waits.iter().sum();
            means.push(sum.as_secs_f64() / f64::from(u32::try_from(caller.waits.len().max(1)).expect("a few")));
            calls += caller.waits.len();
            attempts += caller.attempts;
        }
        let (least, most) =
            means.iter().fold((f64::MAX, 0.0_f64), |(low, high), mean| (low.min(*mean), high.max(*mean)));
        let (sum, squares) = means.iter().fold((0.0, 0.0), |(sum, squares), mean| (sum + mean, squares + mean * mean));
        // Jain's index: 1 where all wait equally long, 1/20 where one waits alone.
        let jain = sum * sum / (means.len() as f64 * squares);
        let discord = locked(&self.story.discord);
        format!(
            "seed {}: {calls} calls in {attempts} attempts, {:.0} s, {} deaths, {} channels made by people; mean wait of a caller {least:.1} to {most:.1} s, \
             max/min {:.2}, Jain {jain:.3}; most invalid requests of one cause {:?}; answers {:?}",
            self.seed,
            self.took.as_secs_f64(),
            self.deaths,
            discord.peoples.len(),
            most / least,
            discord.worst,
            discord.answers,
        )
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    match env::var(name).ok().filter(|text| !text.is_empty()) {
        None => otherwise,
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number")),
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn a_thousand_calls_make_one_room_each() {
    let first = number("SEED", 1);
    let mut limits = BTreeSet::new();
    for seed in first..first + number("CHAOS_SEEDS", 2) {
        let outcome = play(seed, 1_000, 12);
        println!("{}", outcome.figures());
        let broken = &outcome.broken;
        assert!(broken.is_empty(), "CHAOS_SEEDS=1 SEED={seed}: {broken:#?}\n{}", outcome.about_what_broke());
        assert!(outcome.deaths > 0, "SEED={seed}: nobody died");
        limits.append(&mut locked(&outcome.story.discord).limits);
    }
    assert_eq!(limits, LIMITS.into_iter().collect(), "not every limit has struck");
}

#[test]
fn the_same_seed_is_the_same_story() {
    let (one, other) = (play(7, 200, 3), play(7, 200, 3));
    assert_eq!((one.trace, one.took), (other.trace, other.took));
    assert_ne!(one.trace, play(8, 200, 3).trace);
}

/// One subject asks for fifty rooms of a guild at once, of which Discord makes ten in five seconds. Another asks for one
/// there, a moment later.
#[test]
fn subjects_take_turns_in_a_guild() {
    let story = story(1, Vec::new());
    in_peace(&story, async |rooms, time| {
        let create = async |subject: &str, name: String| {
            let request =
                v1::CreateRoomRequest { guild_id: PARLOR_DEV.to_string(), display_name: name, ..Default::default() };
            let answer = rooms.create_room(dressed(request, &principal(subject), Duration::from_secs(60))).await;
            answer.expect("made");
            time.passed()
        };
        let flood = join_all((0..50).map(|number| create("greedy", format!("room {number}"))));
        let modest = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            create("modest", "one".to_owned()).await - Duration::from_millis(500)
        };
        let (flood, modest) = tokio::join!(flood, modest);
        let last = flood.into_iter().max().expect("fifty");
        assert!(last > Duration::from_secs(15), "there is no queue: {last:?}");
        assert!(modest < Duration::from_secs(8), "the modest subject waited {modest:?}, the other {last:?}");
    });
}

/// A story with its metrics.
fn measured(story: impl FnOnce()) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, story);
    recorder.handle().render()
}

#[test]
fn requests_and_rooms_are_measured() {
    let page = measured(|| assert_eq!(play(3, 400, 3).broken, [""; 0]));
    for name in [
        names::DISCORD_WAITING,
        names::DISCORD_IN_FLIGHT,
        names::DISCORD_WAIT_SECONDS,
        names::DISCORD_REQUESTS,
        names::DISCORD_INVALID_REQUESTS,
        names::ROOMS_FOUND,
        names::ROOMS_STRAY,
    ] {
        assert!(page.contains(&format!("# TYPE {name} ")), "{name} is missing: {page}");
    }
    assert!(page.contains(&format!(r#"{}{{state="closed"}} 1"#, names::DISCORD_BREAKER)), "{page}");
    assert!(page.contains(&format!(r#"{}{{cause="empty_timeout"}}"#, names::ROOMS_EXPIRED)), "{page}");
    assert!(page.contains(&format!(r#"{}{{reason="outcome_unknown"}}"#, names::DISCORD_UNANSWERED)), "{page}");
}

/// A channel with our mark that no store knows, because its store is lost or another deployment's: it is told of, and
/// stays.
#[test]
fn a_stray_room_is_reported_and_left() {
    let story = story(1, Vec::new());
    locked(&story.discord).make_stray(stamp(Duration::ZERO));
    let before = rooms_of(&story);
    let page = measured(|| {
        in_peace(&story, async |rooms, _| {
            let ours = v1::CreateRoomRequest {
                guild_id: PARLOR_DEV.to_string(),
                display_name: "ours".to_owned(),
                ..Default::default()
            };
            let ours = rooms.create_room(dressed(ours, &principal("ann"), Duration::from_secs(10))).await;
            let ours = ours.expect("made").into_inner().room.expect("a room").room_id;
            tokio::time::sleep(Duration::from_secs(60)).await;
            let end = v1::EndRoomRequest { room_id: ours, ..Default::default() };
            rooms.end_room(dressed(end, &principal("ann"), Duration::from_secs(10))).await.expect("ended");
        });
    });
    assert!(page.contains(&format!("{} 1\n", names::ROOMS_STRAY)), "{page}");
    assert_eq!(rooms_of(&story), before, "it is left alone");
}
