//! The emulator's own outside: what bots and people send to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use discord_emulator::{Availability, ChannelId, ChannelKind, Config, Connection, Machine, Sent, Timestamp, World};
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::input;

/// More steps than this are not taken, so that one input stays cheap.
const STEPS: usize = 48;

/// The close codes that Discord documents for its gateway (Discord docs, Opcodes and Status Codes).
const CLOSE_CODES: [u16; 13] = [4000, 4001, 4002, 4003, 4004, 4005, 4007, 4008, 4009, 4010, 4012, 4013, 4014];

fn start() -> Timestamp {
    Timestamp::from_unix_millis(1_800_000_000_000)
}

/// Lines as text frames of a gateway client. Lines that begin with `!` say what else happens:
///
/// ```text
/// !open [VERSION]     another connection, which the lines after it come over
/// !use 0              the connection of this number again
/// !resume SEQUENCE    a RESUME of the session that began last
/// !binary             a binary frame
/// !closed [CODE]      the client closes the connection
/// !wait MILLISECONDS  time passes
/// !POST /control/…    a person does something
/// ```
///
/// A connection hears Hello first, sequence numbers rise by one in each session, a payload is JSON of the gateway's
/// shape, an end is the end, with a code that Discord documents; and the world stays sound.
pub fn emulator_gateway_payload(data: &[u8]) {
    let mut machine = Machine::new(Config::default(), start());
    let mut now = start();
    let mut client = Clients::default();
    client.open(&mut machine, None, now);
    for line in input::text(data).lines().take(STEPS) {
        now = now + Duration::from_millis(10);
        let words: Vec<&str> = line.strip_prefix('!').map(|told| told.split(' ').collect()).unwrap_or_default();
        match words[..] {
            [] => {
                if let Some(connection) = client.current() {
                    machine.receive(connection, line, now);
                }
            }
            ["open", ref version @ ..] => {
                let version = version.first().map(|version| version.parse().unwrap_or(0));
                client.open(&mut machine, version, now);
            }
            ["use", number] => client.choose(number.parse().unwrap_or(0)),
            ["resume", sequence] => client.resume(&mut machine, sequence.parse().unwrap_or(0), now),
            ["binary"] => {
                if let Some(connection) = client.current() {
                    machine.receive_binary(connection, now);
                }
            }
            ["closed", ref code @ ..] => {
                if let Some(connection) = client.current() {
                    client.hears(&machine.sent());
                    client.forget(connection);
                    machine.closed(connection, code.first().and_then(|code| code.parse().ok()), now);
                }
            }
            ["wait", millis] => {
                now = now + Duration::from_millis(millis.parse().unwrap_or(0).min(86_400_000));
                machine.tick(now);
            }
            [_, ..] => {
                for request in input::requests(&line.as_bytes()[1..]).filter(|asked| !is_fault(asked)) {
                    machine.control(&request, now);
                }
            }
        }
        client.hears(&machine.sent());
        is_sound(machine.world());
    }
    assert_eq!(machine.stats().gateway_open, client.open.len() as u64, "connections were lost from the count");
}

/// A fault may break any rule of the gateway: that is what it is for.
fn is_fault(request: &http::Request<Vec<u8>>) -> bool {
    request.uri().path().contains("fault") || request.uri().path().contains('%')
}

/// Every connection that was opened, as its client sees it.
#[derive(Default)]
struct Clients {
    opened: Vec<Connection>,
    open: BTreeMap<Connection, Heard>,
    chosen: usize,
    /// Every session that began, by id, in order.
    sessions: Vec<String>,
}

/// What a connection has heard.
#[derive(Debug, Default)]
struct Heard {
    hello: bool,
    /// The last sequence number of its session; `None` before there is one, or where it was not followed.
    last: Option<u64>,
}

impl Clients {
    fn open(&mut self, machine: &mut Machine, version: Option<u8>, now: Timestamp) {
        if let Some(connection) = machine.open(version, now) {
            self.opened.push(connection);
            self.open.insert(connection, Heard::default());
            self.choose(self.opened.len() - 1);
        }
    }

    fn resume(&mut self, machine: &mut Machine, sequence: u64, now: Timestamp) {
        let (Some(connection), Some(session)) = (self.current(), self.sessions.last()) else { return };
        let payload = json!({"op": 6, "d": {"token": "bot", "session_id": session, "seq": sequence}});
        let heard = self.open.get_mut(&connection).expect("the current one is open");
        // On a connection that has a session the RESUME is an error, and the end.
        heard.last = heard.last.or(Some(sequence));
        machine.receive(connection, &payload.to_string(), now);
    }

    fn choose(&mut self, number: usize) {
        self.chosen = number.min(self.opened.len().saturating_sub(1));
    }

    /// The chosen connection, if it is still open.
    fn current(&self) -> Option<Connection> {
        self.opened.get(self.chosen).copied().filter(|connection| self.open.contains_key(connection))
    }

    fn forget(&mut self, connection: Connection) {
        self.open.remove(&connection);
    }

    fn hears(&mut self, sent: &[Sent]) {
        for one in sent {
            match one {
                Sent::Payload(connection, text) => self.payload(*connection, text),
                Sent::End(connection, code) => {
                    assert!(self.open.remove(connection).is_some(), "an end after the end");
                    let code = code.expect("a connection that no fault broke off");
                    assert!(CLOSE_CODES.contains(&code), "{code} is no close code of Discord's gateway");
                }
            }
        }
    }

    fn payload(&mut self, connection: Connection, text: &str) {
        let payload: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"));
        let heard = self.open.get_mut(&connection).unwrap_or_else(|| panic!("after the end: {text}"));
        let op = payload["op"].as_u64().unwrap_or_else(|| panic!("no opcode in {text}"));
        assert_eq!(op == 10, !heard.hello, "Hello is the first payload and comes once: {text}");
        heard.hello = true;
        assert!(matches!(op, 0 | 1 | 7 | 9 | 10 | 11), "an opcode that servers do not send: {text}");
        if op == 9 {
            heard.last = None;
        }
        if op != 0 {
            assert!(payload["s"].is_null() && payload["t"].is_null(), "{text}");
            return;
        }
        let (number, name) =
            (payload["s"].as_u64().expect("a sequence number"), payload["t"].as_str().expect("a name"));
        if name == "READY" {
            let session = payload["d"]["session_id"].as_str().expect("a session id").to_owned();
            assert_eq!(number, 1, "a session begins at 1");
            // A RESUME from before the beginning brings READY a second time.
            if heard.last.is_none() {
                assert!(!self.sessions.contains(&session), "a session id comes twice");
                self.sessions.push(session);
                heard.last = Some(0);
            }
        }
        if let Some(last) = &mut heard.last {
            assert_eq!(number, *last + 1, "{name} is not the next of its session");
            *last = number;
        }
    }
}

/// HTTP requests to REST, one after the other, a second apart. Each is answered, with a status that Discord uses and a
/// body of its shape; nobody without a token gets anything but the gateway's address and what a webhook's token opens;
/// and the world stays sound.
pub fn emulator_rest_request(data: &[u8]) {
    let mut machine = Machine::new(Config::default(), start());
    let mut now = start();
    for request in input::requests(data).take(STEPS) {
        now = now + Duration::from_secs(1);
        let is_bot =
            request.headers().get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"Bot "));
        let shown = format!("{} {}", request.method(), request.uri());
        let answer =
            machine.rest(&request, now).response().unwrap_or_else(|| panic!("no fault, and no answer: {shown}"));
        looks_like_discord(&answer, &shown);
        let is_open = request.uri().path().trim_end_matches('/').ends_with("/gateway") || shown.contains("/webhooks/");
        assert!(!answer.status().is_success() || is_bot || is_open, "served nobody: {shown}");
        is_sound(machine.world());
    }
}

fn looks_like_discord(answer: &Response<String>, asked: &str) {
    let status = answer.status().as_u16();
    assert!(matches!(status, 200 | 201 | 204 | 400 | 401 | 403 | 404 | 405 | 429), "{asked}: {status}");
    let body: Value = match status {
        204 => {
            assert_eq!(answer.body(), "", "{asked}: 204 with a body");
            return;
        }
        _ => serde_json::from_str(answer.body()).unwrap_or_else(|error| panic!("{asked}: {error}")),
    };
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json", "{asked}");
    if status < 400 {
        return;
    }
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{asked}: {body}");
    if status == 429 {
        assert!(body["retry_after"].as_f64().is_some_and(|seconds| seconds > 0.0), "{asked}: {body}");
        assert!(answer.headers().contains_key(header::RETRY_AFTER), "{asked}: no Retry-After");
    } else {
        assert!(body["code"].is_u64(), "{asked}: {body}");
    }
    assert_eq!(body["code"] == 50_035, body.get("errors").is_some(), "{asked}: {body}");
}

/// HTTP requests to the control API, one after the other, a second apart, with a bot that listens. Each is answered in
/// words or JSON, with one of four statuses; and the world stays sound.
pub fn emulator_control(data: &[u8]) {
    let mut machine = Machine::new(Config::default(), start());
    let mut now = start();
    let identify = r#"{"op":2,"d":{"token":"bot","intents":129,"properties":{}}}"#;
    if let Some(bot) = machine.open(None, now) {
        machine.receive(bot, identify, now);
    }
    for request in input::requests(data).take(STEPS) {
        now = now + Duration::from_secs(1);
        let shown = format!("{} {}", request.method(), request.uri());
        let answer = machine.control(&request, now);
        let is_help = answer.status() == StatusCode::OK && !answer.body().starts_with('{');
        let body: Value = serde_json::from_str(answer.body()).unwrap_or_default();
        match answer.status().as_u16() {
            200 => assert!(is_help || body.is_object(), "{shown}: {}", answer.body()),
            400 | 404 | 409 => assert!(body["error"].as_str().is_some_and(|error| error.len() > 10), "{shown}: {body}"),
            status => panic!("{shown}: {status}"),
        }
        for one in machine.sent() {
            if let Sent::Payload(_, text) = one {
                serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{shown}: {error} in {text}"));
            }
        }
        machine.tick(now);
        is_sound(machine.world());
    }
}

/// What holds in every Discord.
fn is_sound(world: &World) {
    let mut everywhere = BTreeSet::new();
    for guild in world.guilds() {
        assert!(guild.channels.len() <= 500, "{} channels in a guild", guild.channels.len());
        assert!(guild.premium_tier <= 3);
        for channel in guild.channels.values() {
            assert!(everywhere.insert(channel.id), "channel {} is in two guilds", channel.id);
            assert_eq!(channel.guild_id, guild.id);
            assert_eq!(
                world.channel(channel.id).map(|found| found.id),
                Some(channel.id),
                "a channel that is not found"
            );
            if let Some(parent) = channel.parent_id {
                let parent = guild.channels.get(&parent).expect("a channel below a category that is gone");
                assert!(matches!(parent.kind, ChannelKind::Category), "a channel below a channel");
                assert!(!matches!(channel.kind, ChannelKind::Category), "a category below a category");
                assert!(guild.children(parent.id).count() <= 50, "more than 50 channels in a category");
            }
        }
        for (user, state) in &guild.voice_states {
            let room = guild.channels.get(&state.channel_id).expect("somebody in a channel that is gone");
            assert!(room.is_room(), "somebody in a channel without voice");
            assert!(guild.members.contains_key(user), "somebody in voice who is no member");
        }
        let mut webhooks: BTreeMap<ChannelId, usize> = BTreeMap::new();
        for webhook in world.webhooks(guild.id) {
            assert!(guild.channels.contains_key(&webhook.channel_id), "a webhook of a channel that is gone");
            *webhooks.entry(webhook.channel_id).or_default() += 1;
        }
        assert!(webhooks.values().all(|count| *count <= 15), "more than 15 webhooks in a channel");
        for invite in world.invites(guild.id) {
            assert!(guild.channels.contains_key(&invite.channel_id), "an invite to a channel that is gone");
            assert!(invite.terms.max_uses == 0 || invite.uses < invite.terms.max_uses, "an invite that is used up");
        }
        let occupied: BTreeSet<ChannelId> = guild.voice_states.values().map(|state| state.channel_id).collect();
        assert!(guild.voice_since.keys().eq(&occupied), "an empty channel with a start, or one without");
        assert!(matches!(guild.availability, Availability::Available | Availability::Unavailable));
        for member in guild.members.keys() {
            assert!(world.known_user(*member).is_some(), "a member whom nobody knows");
        }
    }
}
