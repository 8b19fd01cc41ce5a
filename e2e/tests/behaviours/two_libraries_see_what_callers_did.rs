//! A hundred calls of five callers over real sockets, with 429s of several kinds among Discord's answers: discord.js and
//! discord.py, unmodified, have seen what the callers were told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use discord_emulator::{Fault, PARLOR_DEV, RateLimit, RestFault, RestTrouble};
use futures_util::future::join_all;
use parlor_client::{CallError, Parlor, v1};
use parlor_e2e::{House, Issuer, Process, Token, soon};
use serde_json::{Value, json};

const CALLERS: usize = 5;
/// Calls of each caller that make a room.
const MADE: usize = 12;
/// Calls of each caller that end one.
const ENDED: usize = 8;

/// Rooms by id, with their names.
type Rooms = BTreeMap<String, String>;

/// What a caller was told: what it has made, and which of that it has ended.
async fn caller(house: &House, number: usize) -> (Rooms, BTreeSet<String>) {
    let token = Token { sub: format!("caller-{number}"), ..Token::default() };
    let parlor = house.parlor_with(&Issuer::get().sign(&token)).await;
    let (mut made, mut ended) = (Rooms::new(), BTreeSet::new());
    for call in 0..MADE {
        let name = format!("room {number}.{call}");
        let request_id = format!("00000000-0000-4000-8000-{number:06}{call:06}");
        let request = v1::CreateRoomRequest {
            guild_id: PARLOR_DEV.to_string(),
            display_name: name.clone(),
            request_id,
            ..Default::default()
        };
        made.insert(patiently(async || parlor.create_room(request.clone()).await).await.room_id, name);
    }
    for room in made.keys().take(ENDED) {
        end(&parlor, room).await;
        ended.insert(room.clone());
    }
    (made, ended)
}

async fn end(parlor: &Parlor, room: &str) {
    let request = v1::EndRoomRequest { room_id: room.to_owned(), ..Default::default() };
    patiently(async || parlor.end_room(request.clone()).await).await;
}

/// Calls again after the delay that a refusal names.
async fn patiently<T>(call: impl AsyncFn() -> Result<T, CallError>) -> T {
    for _ in 0..5 {
        match call().await {
            Ok(answer) => return answer,
            Err(refused) => match refused.retry_after {
                Some(delay) => tokio::time::sleep(delay).await,
                None => panic!("{refused}"),
            },
        }
    }
    panic!("refused five times");
}

/// The rooms that a library has seen appear and disappear, and those that it sees at last.
async fn seen(bot: &mut Process) -> (Rooms, BTreeSet<String>, Rooms) {
    let text = |line: &Value, field: &str| line[field].as_str().expect("text").to_owned();
    let (mut made, mut ended) = (Rooms::new(), BTreeSet::new());
    soon("everything that the callers did", async {
        while made.len() < CALLERS * MADE || ended.len() < CALLERS * ENDED {
            let line = bot.until(|line| line["event"] == "channelCreate" || line["event"] == "channelDelete").await;
            let room = text(&line, "channel");
            let again = if line["event"] == "channelCreate" {
                made.insert(room, text(&line, "name")).is_some()
            } else {
                !ended.insert(room)
            };
            assert!(!again, "it was seen twice: {line}");
        }
    })
    .await;
    let listed = bot.ask(json!({"do": "list_channels", "guild": PARLOR_DEV})).await;
    let listed = listed["channels"].as_array().expect("a list");
    (made, ended, listed.iter().map(|channel| (text(channel, "channel"), text(channel, "name"))).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_are_what_both_libraries_have_seen() {
    let house = House::start().await;
    let mut bots = vec![
        Process::bot(&house, "node/discord_bot.mjs", "a.discord.js.bot").await,
        Process::bot(&house, "python/discord_bot.py", "a.discord.py.bot").await,
    ];
    let bot = house.emulator.bot(house.bot_token()).expect("our bot");
    let limits = [RateLimit::Bucket, RateLimit::Global, RateLimit::Shared, RateLimit::Hidden];
    for (limit, every) in limits.into_iter().zip([7, 11, 13, 17]) {
        let trouble = RestTrouble::RateLimit { limit, retry_after: Duration::from_millis(300) };
        house.emulator.inject(Fault::Rest(RestFault::new(trouble).times(1).every(every)).only(bot));
    }
    let told = soon("a hundred answers", join_all((0..CALLERS).map(|number| caller(&house, number)))).await;
    let (made, ended) =
        told.into_iter().fold((Rooms::new(), BTreeSet::new()), |(mut made, mut ended), (mine, over)| {
            made.extend(mine);
            ended.extend(over);
            (made, ended)
        });
    assert_eq!((made.len() + ended.len(), made.len()), (100, CALLERS * MADE), "each request made a room of its own");
    let limited = house.emulator.stats().rest_statuses.get(&429).copied().unwrap_or_default();
    assert!(limited >= 4, "Discord limited {limited} times");

    let rooms = house.parlor().await.list_rooms(v1::ListRoomsRequest::default()).await.expect("listed");
    let here = rooms.into_iter().filter(|room| room.guild_id == PARLOR_DEV.to_string());
    let here: Rooms = here.map(|room| (room.room_id, room.display_name)).collect();
    for bot in &mut bots {
        let (appeared, disappeared, listed) = seen(bot).await;
        assert_eq!(appeared, made);
        assert_eq!(disappeared, ended);
        assert_eq!(listed, here);
    }
    for bot in bots {
        bot.finish().await;
    }
}
