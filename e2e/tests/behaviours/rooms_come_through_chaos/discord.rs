//! The emulated Discord behind a function, with latencies, troubles and people who are not there to hear the answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hasher as _},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use discord_emulator::{
    ANN, Answer, Config, Connection, ErrorBody, Limit, Machine, NewChannel, OTHER_GUILD, PARLOR_DEV, RateLimit,
    RestFault, RestLimits, RestTrouble, Sent, Timestamp, Work,
};
use http::{Request, Response};
use parlor_gateway::rest::transport::{self, Broken, Exchange, Transport};
use serde_json::Value;

use super::{clock::Time, fuse::Fuse};

/// What our bot shows Discord.
pub(super) const TOKEN: &str = "the-bots-token";

const CREATE: &str = "POST /guilds/{guild.id}/channels";
const DELETE: &str = "DELETE /channels/{channel.id}";
const LIST: &str = "GET /guilds/{guild.id}/channels";

/// How many channels people make at most, of the 500 that a guild can hold.
const MOST_OF_PEOPLE: usize = 120;

/// How long an edge that says nothing of how long is to be left alone.
const UNSAID: Duration = Duration::from_secs(15 * 60);

/// What an answer was limited by: its sort, and the method and path where it is about those.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Cause(String, String);

/// From the first answer that limits to the end of the wait that it names, or that those named which followed.
#[derive(Clone, Copy, Debug)]
struct Episode {
    until: Timestamp,
    invalid: u32,
}

/// Whether the sender of a request can still hear the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hearer {
    Waits,
    Gone,
}

/// The world outside Parlor.
pub(super) struct Discord {
    pub(super) machine: Machine,
    random: fastrand::Rng,
    /// Requests whose sender is gone, and when they arrive all the same.
    on_their_way: Vec<(Timestamp, Request<Vec<u8>>)>,
    connection: Option<Connection>,
    episodes: BTreeMap<Cause, Episode>,
    /// Channels that people have made by hand.
    pub(super) peoples: BTreeSet<String>,
    /// The most invalid requests that one episode of each sort has cost.
    pub(super) worst: BTreeMap<String, u32>,
    /// The kinds of limits that requests have met.
    pub(super) limits: BTreeSet<&'static str>,
    /// Answers by what they were.
    pub(super) answers: BTreeMap<String, u32>,
    /// Promises that were broken.
    pub(super) broken: Vec<String>,
    /// What has happened, in lines.
    pub(super) journal: Vec<String>,
    trace: DefaultHasher,
}

pub(super) type Shared = Arc<Mutex<Discord>>;

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds this lock")
}

impl Discord {
    pub(super) fn new(seed: u64, now: Timestamp) -> Self {
        let bucket = |limit| (limit, Limit::new(10, 5));
        let rest =
            RestLimits { routes: [bucket(CREATE.to_owned()), bucket(LIST.to_owned())].into(), ..RestLimits::default() };
        Self {
            machine: Machine::new(Config { rest, ..Config::default() }, now),
            random: fastrand::Rng::with_seed(seed),
            on_their_way: Vec::new(),
            connection: None,
            episodes: BTreeMap::new(),
            peoples: BTreeSet::new(),
            worst: BTreeMap::new(),
            limits: BTreeSet::new(),
            answers: BTreeMap::new(),
            broken: Vec::new(),
            journal: Vec::new(),
            trace: DefaultHasher::new(),
        }
    }

    /// Everything that has happened, as a number: two runs with the same number were the same.
    pub(super) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// Something has happened to a caller.
    pub(super) fn tell(&mut self, what: String) {
        self.note(&what);
        self.journal.push(what);
    }

    fn note(&mut self, what: impl std::hash::Hash) {
        what.hash(&mut self.trace);
    }

    /// A request arrives.
    fn rest(&mut self, request: &Request<Vec<u8>>, now: Timestamp) -> Answer {
        self.arrive_late(now);
        self.answer(request, Hearer::Waits, now)
    }

    /// What was sent by those who are gone arrives.
    pub(super) fn arrive_late(&mut self, now: Timestamp) {
        self.on_their_way.sort_by_key(|(at, _)| *at);
        while self.on_their_way.first().is_some_and(|(at, _)| *at <= now) {
            let (_, request) = self.on_their_way.remove(0);
            // Its sender cannot hear the answer, and has long sent something else.
            self.answer(&request, Hearer::Gone, now);
        }
    }

    fn answer(&mut self, request: &Request<Vec<u8>>, hearer: Hearer, now: Timestamp) -> Answer {
        let before = self.machine.stats().invalid;
        let answer = self.machine.rest(request, now);
        let after = self.machine.stats().invalid;
        let (method, path) = (request.method().as_str(), request.uri().path());
        let told = match &answer {
            Answer::Reply(response) | Answer::Late(response, _) => response.status().to_string(),
            Answer::HangUp => "cut".to_owned(),
        };
        self.note((now.unix_millis(), method, path, &told));
        if let Answer::Reply(response) | Answer::Late(response, _) = &answer {
            self.limits.extend(limit_of(response));
        }
        let reason = request.headers().get("x-audit-log-reason").and_then(|reason| reason.to_str().ok());
        let reason = reason.unwrap_or_default().replace("%2D", "-");
        self.journal.push(format!("{now} {method} {path} {told} ({hearer:?}) {reason}"));
        *self.answers.entry(told).or_default() += 1;
        let sort = after.iter().find(|(sort, count)| before.get(*sort) != Some(count)).map(|(sort, _)| sort.clone());
        if let (Some(sort), Answer::Reply(response), Hearer::Waits) = (sort, &answer, hearer) {
            let of_all = sort.ends_with("global") || sort.ends_with("cloudflare");
            let of = if of_all { String::new() } else { format!("{method} {path}") };
            self.blame(&Cause(sort, of), asked_wait(response), now);
        }
        answer
    }

    fn blame(&mut self, cause: &Cause, wait: Duration, now: Timestamp) {
        let fresh = Episode { until: now, invalid: 0 };
        let episode = self.episodes.entry(cause.clone()).or_insert(fresh);
        if now >= episode.until {
            *episode = fresh;
        }
        episode.invalid += 1;
        episode.until = episode.until.max(now + wait);
        let worst = self.worst.entry(cause.0.clone()).or_default();
        *worst = episode.invalid.max(*worst);
        if episode.invalid > 3 {
            self.broken.push(format!("{cause:?} cost {} invalid requests at {now}", episode.invalid));
        }
    }

    /// A new process of ours begins: what the last one was told it does not know.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.journal.push(format!("{now} a process begins"));
        self.episodes.clear();
    }

    /// Something goes wrong.
    pub(super) fn trouble(&mut self, now: Timestamp) {
        let random = &mut self.random;
        let millis = |random: &mut fastrand::Rng, from, to| Duration::from_millis(random.u64(from..to));
        let work = if random.bool() { Work::Done } else { Work::Skipped };
        let kinds = [
            RateLimit::Bucket,
            RateLimit::Global,
            RateLimit::Shared,
            RateLimit::Hidden,
            RateLimit::ChannelWrites,
            RateLimit::GuildWrites,
        ];
        let trouble = match random.u8(0..12) {
            0..4 => {
                let limit = kinds[random.usize(0..kinds.len())];
                RestTrouble::RateLimit { limit, retry_after: millis(random, 200, 6_000) }
            }
            4 => RestTrouble::CloudflareBan { retry_after: Some(millis(random, 1_000, 15_000)) },
            5..7 => {
                let status = [500, 502, 503, 504][random.usize(0..4)];
                let body = [ErrorBody::Empty, ErrorBody::Json, ErrorBody::Html][random.usize(0..3)];
                RestTrouble::ServerError { status, body, work }
            }
            7..11 => RestTrouble::Cut { work },
            _ => RestTrouble::Slow { by: millis(random, 500, 20_000) },
        };
        let fault = RestFault::new(trouble);
        let fault = match random.u8(0..4) {
            0 => fault.on(CREATE),
            1 => fault.on(DELETE),
            _ => fault,
        };
        let fault = match trouble {
            RestTrouble::RateLimit { retry_after, .. } if random.bool() => fault.lasting(retry_after),
            RestTrouble::CloudflareBan { retry_after: Some(wait) } if random.bool() => fault.lasting(wait),
            RestTrouble::ServerError { .. } if random.bool() => fault.lasting(millis(random, 500, 5_000)),
            RestTrouble::Slow { .. } => fault.times(random.u32(1..3)).lasting(Duration::from_secs(5)),
            // Not for long either: where few ask, troubles would pile up.
            RestTrouble::RateLimit { .. }
            | RestTrouble::CloudflareBan { .. }
            | RestTrouble::ServerError { .. }
            | RestTrouble::Cut { .. }
            | RestTrouble::Unauthorized => fault.times(random.u32(1..6)).lasting(Duration::from_secs(5)),
        };
        self.note(format!("{fault:?}"));
        self.machine.inject(fault, now);
    }

    /// A person makes a channel that looks like what callers ask for, unless people have made many.
    pub(super) fn somebody_makes_a_channel(&mut self, now: Timestamp) {
        if self.peoples.len() >= MOST_OF_PEOPLE {
            return;
        }
        let guild = if self.random.bool() { PARLOR_DEV } else { OTHER_GUILD };
        let name = format!("squad {}", self.random.u8(0..4));
        let made = self.machine.act(now, |world| world.create_channel_by(ANN, guild, NewChannel::voice(&name)));
        let made = made.expect("the guild has room for it").to_string();
        self.tell(format!("{now} somebody makes {made}, {name}"));
        self.peoples.insert(made);
    }

    /// Cloudflare stops everything and does not say for how long: a quarter of an hour.
    pub(super) fn silent_ban(&mut self, now: Timestamp) {
        self.machine.inject(RestFault::once(RestTrouble::CloudflareBan { retry_after: None }), now);
    }

    /// The bot makes a room with a mark of Parlor's, and no process of ours knows.
    pub(super) fn make_stray(&mut self, now: Timestamp) {
        let request = Request::post(format!("http://discord.invalid/api/v10/guilds/{PARLOR_DEV}/channels"))
            .header("authorization", format!("Bot {TOKEN}"))
            .header("user-agent", "DiscordBot (https://parlor.example, 1)")
            .header("x-audit-log-reason", "[parlor:00000000-0000-4000-8000-000000000001]")
            .body(br#"{"name": "stray", "type": 2}"#.to_vec())
            .expect("a request");
        let answer = self.answer(&request, Hearer::Gone, now).response().expect("an answer");
        assert_eq!(answer.status(), http::StatusCode::CREATED);
    }

    /// Takes what the gateway sends on the connection that is open; `None` where it ended.
    pub(super) fn sent(&mut self, now: Timestamp) -> Option<Vec<Arc<str>>> {
        self.machine.tick(now);
        let mut texts = Vec::new();
        for sent in self.machine.sent() {
            match sent {
                Sent::Payload(of, text) if Some(of) == self.connection => texts.push(text),
                Sent::End(of, _) if Some(of) == self.connection => self.connection = None,
                Sent::Payload(..) | Sent::End(..) => {}
            }
        }
        self.connection.map(|_| texts)
    }

    /// Opens a gateway connection; an earlier one is over.
    pub(super) fn connect(&mut self, token: &str, now: Timestamp) {
        self.hang_up(now);
        self.connection = self.machine.open(Some(10), now);
        let properties = serde_json::json!({"os": "linux", "browser": "parlor", "device": "parlor"});
        // GUILDS and GUILD_VOICE_STATES.
        let identify = serde_json::json!({"op": 2, "d": {"token": token, "intents": 129, "properties": properties}});
        self.say(&identify.to_string(), now);
    }

    pub(super) fn say(&mut self, text: &str, now: Timestamp) {
        if let Some(connection) = self.connection {
            self.machine.receive(connection, text, now);
        }
    }

    pub(super) fn hang_up(&mut self, now: Timestamp) {
        if let Some(connection) = self.connection.take() {
            self.machine.closed(connection, None, now);
        }
    }

    pub(super) fn chance(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }
}

/// Every kind of limit that a 429 can be about.
pub(super) const LIMITS: [&str; 7] =
    ["bucket", "global", "shared", "hidden", "channel writes", "guild writes", "Cloudflare"];

/// Which limit a 429 is about, as its headers and its body tell (Discord docs, topics/rate-limits).
fn limit_of(response: &Response<String>) -> Option<&'static str> {
    if response.status() != http::StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let Ok(body) = serde_json::from_str::<Value>(response.body()) else { return Some("Cloudflare") };
    let says = |name: &str| response.headers().get(name).and_then(|said| said.to_str().ok()).unwrap_or_default();
    Some(match (body["code"].as_u64(), says("x-ratelimit-scope"), says("x-ratelimit-remaining")) {
        (Some(20_028), ..) => "channel writes",
        (Some(20_029), ..) => "guild writes",
        (_, "global", _) => "global",
        (_, "shared", _) => "shared",
        (_, _, "0") => "bucket",
        _ => "hidden",
    })
}

/// How long a 429 asks to wait.
fn asked_wait(response: &Response<String>) -> Duration {
    let header = response.headers().get(http::header::RETRY_AFTER);
    let header = header.and_then(|text| text.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    let body: Option<Value> = serde_json::from_str(response.body()).ok();
    let body = body.and_then(|body| body["retry_after"].as_f64()).map(Duration::from_secs_f64);
    header.into_iter().chain(body).max().unwrap_or(UNSAID)
}

/// What a 429 said about a method and path, or nothing for all of them.
#[derive(Clone, Copy, Debug)]
struct Wait {
    told: Timestamp,
    until: Timestamp,
}

/// A process' way to Discord.
pub(super) struct Line {
    discord: Shared,
    time: Time,
    /// What this process has been told.
    told: Mutex<BTreeMap<String, Wait>>,
    fuse: Arc<Fuse>,
}

impl Line {
    pub(super) fn new(discord: Shared, time: Time, fuse: Arc<Fuse>) -> Self {
        Self { discord, time, told: Mutex::default(), fuse }
    }

    async fn carry(&self, request: Request<Vec<u8>>) -> Result<transport::Answer, Broken> {
        let name = format!("{} {}", request.method(), request.uri().path());
        let (there, back, unreachable) = self.set_out(&name);
        if unreachable {
            tokio::time::sleep(back).await;
            return Err(Broken::NotSent);
        }
        let arrives = self.time.stamp() + there;
        let mut travelling = Travelling { discord: &self.discord, arrives, request: Some(request) };
        tokio::time::sleep(there).await;
        let request = travelling.request.take().expect("it has not arrived before");
        let number = self.fuse.before_exchange().await;
        let answer = locked(&self.discord).rest(&request, self.time.stamp());
        self.fuse.after_exchange(number).await;
        let (response, late) = match answer {
            Answer::Reply(response) => (Some(response), Duration::ZERO),
            Answer::Late(response, by) => (Some(response), by),
            Answer::HangUp => (None, Duration::ZERO),
        };
        tokio::time::sleep(late + back).await;
        let response = response.ok_or(Broken::NoAnswer)?;
        self.hear(&name, &response);
        let (parts, body) = response.into_parts();
        Ok(transport::Answer { status: parts.status, headers: parts.headers, body: Some(body.into_bytes()) })
    }

    /// How long the ways take, and whether there is no way. Nothing may leave before the time that Discord named.
    fn set_out(&self, name: &str) -> (Duration, Duration, bool) {
        let mut discord = locked(&self.discord);
        let now = self.time.stamp();
        for key in [name, ""] {
            // What leaves in the moment of the answer left before it.
            if let Some(wait) = locked(&self.told).get(key).filter(|wait| wait.told < now && now < wait.until) {
                discord.broken.push(format!("{name} leaves at {now}, although {wait:?}"));
            }
        }
        let random = discord.chance();
        let way = |random: &mut fastrand::Rng| Duration::from_millis(random.u64(5..90));
        (way(random), way(random), random.u16(0..500) == 0)
    }

    fn hear(&self, name: &str, response: &Response<String>) {
        if response.status() != http::StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        let says = |name: &str, value| response.headers().get(name).is_some_and(|said| said == value);
        let json: Option<Value> = serde_json::from_str(response.body()).ok();
        let of_all = says("x-ratelimit-global", "true") || json.is_none();
        let told = self.time.stamp();
        let wait = Wait { told, until: told + asked_wait(response) };
        locked(&self.told).insert(if of_all { String::new() } else { name.to_owned() }, wait);
    }
}

impl Transport for Line {
    fn exchange(&self, request: Request<Vec<u8>>, within: Duration) -> Exchange<'_> {
        Box::pin(
            async move { tokio::time::timeout(within, self.carry(request)).await.unwrap_or(Err(Broken::NoAnswer)) },
        )
    }
}

/// A request between Parlor and Discord. Where its sender goes meanwhile, it may arrive all the same.
struct Travelling<'a> {
    discord: &'a Shared,
    arrives: Timestamp,
    request: Option<Request<Vec<u8>>>,
}

impl Drop for Travelling<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            let mut discord = locked(self.discord);
            if discord.chance().bool() {
                let later = Duration::from_millis(discord.chance().u64(0..2_000));
                discord.on_their_way.push((self.arrives + later, request));
            }
        }
    }
}
