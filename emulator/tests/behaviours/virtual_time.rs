//! The whole of Discord without a socket and without a clock: what a simulation drives.

use std::time::Duration;

use discord_emulator::{
    Answer, Config, LOBBY, Limit, Machine, PARLOR_DEV, RestFault, RestLimits, RestTrouble, Sent, Timestamp, Work,
};
use http::{Request, Response};
use serde_json::{Value, json};

fn request(method: &str, path: &str, body: &Value) -> Request<Vec<u8>> {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Request::builder()
        .method(method)
        .uri(format!("/api/v10{path}"))
        .header("authorization", "Bot a-bot")
        .header("user-agent", "DiscordBot (https://example.com, 1)")
        .body(body)
        .unwrap()
}

fn status(answer: Answer) -> Option<u16> {
    answer.response().map(|response: Response<String>| response.status().as_u16())
}

/// Ten rooms through a bucket of two, a late answer, a lost one and a broken connection, in two virtual minutes.
fn history() -> (Vec<Option<u16>>, usize, Vec<String>) {
    let mut now = Timestamp::from_unix_millis(1_800_000_000_000);
    let rest = RestLimits { bucket: Some(Limit::new(2, 5)), ..RestLimits::unlimited() };
    let mut machine = Machine::new(Config { rest, ..Config::default() }, now);
    let bot = machine.open(None, now).unwrap();
    machine.receive(bot, r#"{"op":2,"d":{"token":"a-bot","intents":1,"properties":{}}}"#, now);
    machine.inject(RestFault::new(RestTrouble::Cut { work: Work::Done }).every(4).times(2), now);
    let late = RestTrouble::Slow { by: Duration::from_secs(20) };
    machine.inject(RestFault::new(late).lasting(Duration::from_secs(30)), now);
    let mut statuses = Vec::new();
    for number in 0..10 {
        let body = json!({"name": format!("room {number}"), "type": 2});
        let answer = machine.rest(&request("POST", &format!("/guilds/{PARLOR_DEV}/channels"), &body), now);
        if let Answer::Late(_, by) = &answer {
            now = now + *by;
        }
        statuses.push(status(answer));
        now = now + Duration::from_secs(1);
        machine.tick(now);
    }
    machine.act(now, |world| world.user("ann").joins(LOBBY).id());
    let frames = machine.sent().into_iter().filter_map(|sent| match sent {
        Sent::Payload(_, text) => Some(text.to_string()),
        Sent::End(..) => None,
    });
    let rooms = machine.world().rooms().len();
    (statuses, rooms, frames.collect())
}

#[test]
fn a_history_is_the_same_each_time() {
    let (statuses, rooms, frames) = history();
    let (created, refused) = (Some(201), Some(429));
    // The first and the fourth that come through are carried out, and their answers are lost; the second and the third
    // come 20 seconds late each, which also opens the bucket.
    assert_eq!(
        statuses,
        [None, created, created, created, None, refused, refused, refused, created, created],
        "{statuses:?}"
    );
    assert_eq!(rooms, 3 + 7, "the world has what was carried out, answered or not");
    let told = frames.iter().filter(|frame| frame.contains("CHANNEL_CREATE")).count();
    assert_eq!(told, 7);
    assert_eq!(history(), (statuses, rooms, frames));
}

#[test]
fn a_wait_is_over_at_its_very_millisecond() {
    let start = Timestamp::from_unix_millis(1_800_000_000_000);
    let rest = RestLimits { bucket: Some(Limit::new(1, 5)), ..RestLimits::unlimited() };
    let mut machine = Machine::new(Config { rest, ..Config::default() }, start);
    let lobby = request("GET", &format!("/channels/{LOBBY}"), &Value::Null);
    for (millis, answered, impatient) in [(0, 200, 0), (100, 429, 0), (4_999, 429, 1), (5_000, 200, 1)] {
        let now = start + Duration::from_millis(millis);
        assert_eq!(status(machine.rest(&lobby, now)), Some(answered), "{millis}");
        assert_eq!(machine.stats().too_early.values().sum::<u64>(), impatient, "{millis}");
    }
}
