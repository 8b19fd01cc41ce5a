//! What Discord sends: gateway payloads, and answers that are no success.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use parlor_gateway::{
    Change, ChannelId, Directory, GuildId, Loss, News, Ownership, RoomFacts, RoomId, RoomKind, ShardIndex, Update,
    VideoQuality,
    rest::{
        Refusal, RestError, asked_wait,
        permission::Permission,
        refusal,
        schedule::{
            About, Field, Lane, Limits, Meta, Outcome, Resource, Route, Scheduler, Step, Tenant, Then, Unanswered,
            Urgency, Verb, hear,
        },
    },
    translate::{Payload, translate},
};
use serde_json::Value;

use crate::{fold::Fold, input, keys};

const SHARD: ShardIndex = ShardIndex(0);

/// More lines than this are not read, so that one input stays cheap.
const LINES: usize = 64;

/// Lines as gateway payloads, in order, one second apart. Lines that begin with `!` say what else happens meanwhile:
///
/// ```text
/// !lost kept|lost|refused        the connection is gone; what remains of the session
/// !shards 2                      Discord says how many shards there are
/// !later                         twenty minutes pass
/// !expect GUILD NAME             Parlor asks for a room
/// !settle GUILD NAME [ROOM]      and what came of it
/// !ending GUILD ROOM             Parlor is about to delete a room
/// !ended GUILD ROOM              and has done it
/// ```
///
/// What is an update goes into a directory. Its changes are folded by a client that objects to each one that breaks a
/// rule of the stream, and after every line its picture is the directory's. A dispatch that comes twice makes no change.
pub fn gateway_payload(data: &[u8]) {
    let mut directory = Directory::new(1);
    let mut fold = Fold::default();
    let mut now = keys::now();
    for line in input::text(data).lines().take(LINES) {
        now += Duration::from_secs(1);
        let changes = match line.strip_prefix('!') {
            Some(told) => happens(&mut directory, told, &mut now),
            None => dispatched(&mut directory, line, now),
        };
        changes.iter().for_each(|change| fold.fold(change));
        fold.agrees_with(&directory);
    }
}

fn dispatched(directory: &mut Directory, line: &str, now: SystemTime) -> Vec<Change> {
    let updates = match translate(SHARD, line) {
        Ok(Payload::Update(update)) => vec![update],
        Ok(Payload::Statuses { guild, statuses }) => {
            let news = statuses.into_iter().map(|(room, status)| News::RoomStatus(room, status));
            news.map(|news| Update::Within(guild, news)).collect()
        }
        Ok(Payload::VoiceServer(_) | Payload::Reconnect | Payload::InvalidSession(_) | Payload::Ignored) | Err(_) => {
            Vec::new()
        }
    };
    let applied = updates.into_iter().flat_map(|update| {
        let changes = directory.apply(update.clone(), now);
        if matches!(update, Update::Within(..)) {
            assert_eq!(directory.apply(update, now), [], "a repeated dispatch makes a change");
        }
        changes
    });
    applied.collect()
}

fn happens(directory: &mut Directory, told: &str, now: &mut SystemTime) -> Vec<Change> {
    let words: Vec<&str> = told.split(' ').collect();
    let id = |word: &str| word.parse::<u64>().ok();
    match words[..] {
        ["lost", what] => {
            let loss = match what {
                "kept" => Loss::SessionKept,
                "refused" => Loss::Refused,
                _ => Loss::SessionLost,
            };
            directory.apply(Update::ConnectionLost { shard: SHARD, loss, last_heard: *now }, *now)
        }
        ["shards", count] => {
            directory.run_shards(count.parse().unwrap_or(1).min(16));
            Vec::new()
        }
        ["later"] => {
            *now += Duration::from_secs(20 * 60);
            Vec::new()
        }
        ["expect", guild, name] => {
            let Some(guild) = id(guild) else { return Vec::new() };
            directory.expect_room(GuildId::new(guild), name);
            Vec::new()
        }
        ["settle", guild, name, ref room @ ..] => {
            let Some(guild) = id(guild).map(GuildId::new) else { return Vec::new() };
            let created = room.first().and_then(|room| id(room)).map(|room| RoomFacts {
                room: RoomId::new(room),
                guild,
                name: name.to_owned(),
                kind: RoomKind::Voice,
                category: None,
                user_limit: 0,
                bitrate: 64_000,
                region: None,
                video_quality: VideoQuality::Auto,
                status: None,
            });
            directory.settle_room(guild, name, created.map(|facts| (facts, Ownership::default())), *now)
        }
        ["ending", guild, room] => {
            let (Some(guild), Some(room)) = (id(guild), id(room)) else { return Vec::new() };
            directory.begin_end(GuildId::new(guild), RoomId::new(room), parlor_proto::v1::room_ended::Reason::Api);
            Vec::new()
        }
        ["ended", guild, room] => {
            let (Some(guild), Some(room)) = (id(guild), id(room)) else { return Vec::new() };
            directory.end_room(GuildId::new(guild), RoomId::new(room), *now)
        }
        _ => Vec::new(),
    }
}

/// Lines of headers, an empty line and a body, as an answer of Discord's REST API that is no success: what it says is
/// read as it stands there, every field error of it, and a wait is one that a deadline can be held against.
pub fn discord_error_body(data: &[u8]) {
    let (head, body) = input::message(data);
    let headers = input::header_lines(&head);
    let wait = asked_wait(&headers, body);
    assert!(wait.checked_add(Duration::from_millis(50)).is_some(), "{wait:?} cannot be reckoned with");
    // Where a second reading is not possible, neither is a comparison.
    let Some(document) = input::json(body) else { return };
    // A member that comes twice is an error to one reading and the last of both to the other.
    let text = std::str::from_utf8(body).unwrap_or_default();
    let once = text.matches("retry_after").count() == 1 && !text.contains('\\');
    let named = document.get("retry_after").and_then(Value::as_f64);
    if let Some(named) = named.filter(|named| once && *named < 1e9) {
        assert!(wait.as_secs_f64() > named - 0.001, "{wait:?} is less than the body asks for");
    }
    match refusal(400, body, Permission::ALL) {
        RestError::Refused { refusal, status, code, message } => {
            assert_eq!(status, 400);
            assert_eq!(code, document.get("code").and_then(Value::as_u64).unwrap_or(0));
            assert_eq!(message, document.get("message").and_then(Value::as_str).unwrap_or(""));
            let Refusal::InvalidForm { fields } = refusal else { return };
            let mut told: Vec<&str> = fields.iter().map(|field| field.message.as_str()).collect();
            let mut there = field_messages(document.get("errors"));
            told.sort_unstable();
            there.sort_unstable();
            assert_eq!(told, there, "field errors went missing or were made up");
        }
        RestError::UnreadableAnswer => {}
        other @ (RestError::RateLimited { .. }
        | RestError::BreakerOpen { .. }
        | RestError::Unavailable
        | RestError::OutcomeUnknown
        | RestError::CredentialsRefused) => panic!("a refusal reads as {other:?}"),
    }
}

/// Answers of Discord's REST API, one after the other, with `%%` on a line of its own between them, each as
///
/// ```text
/// 429
/// header: value
///
/// body
/// ```
///
/// Whatever they say, the scheduler that hears them sends nothing before the wait that the answer names, nothing at or
/// after a deadline, and nothing at all after a 401; and every request comes to an end.
pub fn discord_answers(data: &[u8]) {
    let mut scheduler = Scheduler::new(Limits::default(), 1);
    let mut now = Instant::now();
    for (number, (status, headers, body)) in input::answers(data).take(LINES).enumerate() {
        let heard = hear(status, &headers, body);
        if let Some(limited) = heard.limited {
            assert_eq!(limited.wait, asked_wait(&headers, body));
        }
        now += Duration::from_millis(100);
        let deadline = now + Duration::from_secs(30);
        let Ok(ticket) = scheduler.submit(request(number, deadline), now) else { continue };
        let (mut answers, mut closed) = (0, now);
        loop {
            match scheduler.poll(now) {
                Step::Send(sent) => {
                    assert_eq!(sent, ticket, "nothing else waits");
                    assert!(now < deadline, "sent at its deadline");
                    assert!(now >= closed, "sent sooner than Discord asks for");
                    answers += 1;
                    assert!(answers <= 4, "sent again and again");
                    closed = heard.limited.map_or(now, |limited| now + limited.wait);
                    let then = scheduler.answered(ticket, &Outcome::Answered(heard.clone()), now);
                    if status == 401 && heard.limited.is_none() && heard.code != 50_027 {
                        assert_eq!(then, Then::End(Unanswered::CredentialsRefused));
                        assert!(scheduler.submit(request(number, deadline), now).is_err());
                        return;
                    }
                    if then != Then::Again {
                        break;
                    }
                }
                Step::Refuse(refused, _) => {
                    assert_eq!(refused, ticket);
                    break;
                }
                Step::Wait(at) => {
                    assert!(at > now && at <= deadline);
                    now = at;
                }
                Step::Idle => panic!("the request was forgotten"),
            }
        }
        assert_eq!(scheduler.poll(now), Step::Idle);
    }
}

/// One of a few requests, so that limits of one touch another.
fn request(number: usize, deadline: Instant) -> Meta {
    let channel = ChannelId::new(number as u64 % 3 + 1);
    let verbs = [Verb::Patch, Verb::Delete, Verb::Get, Verb::Post];
    Meta {
        route: Route::new(verbs[number % 4], "/channels/{channel}"),
        resource: Resource::Channel(channel),
        guild: Some(GuildId::new(1)),
        lane: Some(Lane::Channel(channel)),
        fields: BTreeSet::from([Field::Name]),
        needs: &[],
        about: About::default(),
        authorized: true,
        tenant: Tenant::house(),
        urgency: Urgency::Change,
        deadline,
    }
}

/// Every message below an `_errors` of nested objects, found without recursion.
fn field_messages(errors: Option<&Value>) -> Vec<&str> {
    let mut open: Vec<&Value> = errors.into_iter().collect();
    let mut found = Vec::new();
    while let Some(node) = open.pop() {
        for (key, child) in node.as_object().into_iter().flatten() {
            match (key.as_str(), child) {
                ("_errors", Value::Array(list)) => {
                    found.extend(list.iter().filter_map(|error| error.get("message")?.as_str()));
                }
                ("_errors", _) => {}
                _ => open.push(child),
            }
        }
    }
    found
}
