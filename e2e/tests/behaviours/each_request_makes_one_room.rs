//! Exactly one channel for each request: over lost answers, Discord's failures, and SIGKILL at any moment.

use std::time::Duration;

use discord_emulator::{
    AuditAction, ChannelId, ChannelKind, Emulator, ErrorBody, Fault, PARLOR_DEV, RestAnswer, RestFault, RestTrouble,
    Work,
};
use parlor_client::{
    CallError, Parlor,
    v1::{self, subscribe_voice_events_response::Body, voice_event::Kind},
};
use parlor_e2e::{
    House, Issuer, Token,
    parlord::{Log, Parlord, Run, settings},
    programs, soon,
};
use tempfile::TempDir;
use tonic::Code;

const CREATE: &str = "POST /guilds/{guild.id}/channels";

fn request(name: &str, number: u32) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: name.to_owned(),
        request_id: format!("00000000-0000-4000-8000-{number:012}"),
        labels: [("number".to_owned(), number.to_string())].into(),
        ..Default::default()
    }
}

fn once(trouble: RestTrouble) -> Fault {
    Fault::Rest(RestFault::new(trouble).on(CREATE).times(1))
}

fn channels(discord: &Emulator, name: &str) -> Vec<ChannelId> {
    discord.world(|world| world.channels_named(name).map(|channel| channel.id).collect())
}

/// Nothing was lost on the way to the caller, whatever was on the way from Discord: one channel, ours, with its labels.
async fn one_room_in_spite_of(trouble: RestTrouble) {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    house.emulator.inject(once(trouble));
    let parlor = house.parlor().await;
    let room = parlor.create_room(request("Once", 1)).await.unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
    assert!(room.managed && room.labels["number"] == "1", "{room:?}");
    assert_eq!(
        channels(&house.emulator, "Once").iter().map(ToString::to_string).collect::<Vec<_>>(),
        std::slice::from_ref(&room.room_id)
    );
    assert_eq!(parlor.create_room(request("Once", 1)).await.expect("the same").room_id, room.room_id);
    watcher.until_it_sees_the_truth(&house).await;
    // It appeared once, and as ours.
    let told: Vec<bool> = watcher
        .seen()
        .iter()
        .filter_map(|frame| {
            let Some(Body::Event(event)) = &frame.body else { return None };
            match &event.kind {
                Some(Kind::RoomCreated(it)) => it.room.as_ref(),
                Some(Kind::RoomUpdated(it)) => it.room.as_ref(),
                Some(_) | None => None,
            }
        })
        .filter(|told| told.room_id == room.room_id)
        .map(|told| told.managed)
        .collect();
    assert_eq!(told, [true], "{trouble:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_looked_for() {
    one_room_in_spite_of(RestTrouble::Cut { work: Work::Done }).await;
    one_room_in_spite_of(RestTrouble::ServerError { status: 502, body: ErrorBody::Html, work: Work::Done }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_done_is_asked_for_once_more() {
    one_room_in_spite_of(RestTrouble::Cut { work: Work::Skipped }).await;
    one_room_in_spite_of(RestTrouble::ServerError { status: 500, body: ErrorBody::Json, work: Work::Skipped }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_else_was_asked_for_is_there_too_or_nothing_is() {
    let house = House::start().await;
    let discord = &house.emulator;
    let parlor = house.parlor().await;
    let furnished = |name: &str, number| v1::CreateRoomRequest {
        status: "chess".to_owned(),
        invite: Some(v1::InviteOptions { max_uses: 3, ..Default::default() }),
        ..request(name, number)
    };
    let answer = parlor.rooms().create_room(furnished("Whole", 1)).await.expect("made").into_inner();
    let (room, invite) = (answer.room.expect("a room"), answer.invite.expect("an invite"));
    assert_eq!(room.status, "chess");
    assert_eq!(invite.url, format!("https://discord.gg/{}", invite.code));
    let again = parlor.rooms().create_room(furnished("Whole", 1)).await.expect("kept").into_inner();
    assert_eq!((again.room, again.invite, again.cursor), (Some(room), Some(invite), answer.cursor));

    let body = r#"{"message":"Missing Permissions","code":50013}"#.to_owned();
    let answer = RestAnswer { status: 403, headers: Default::default(), body };
    let route = Some("POST /channels/{channel.id}/invites".to_owned());
    discord.inject(Fault::NextRest { times: 1, route, answer, carried_out: false });
    let error = parlor.create_room(furnished("Half", 2)).await.expect_err("no invite");
    assert_eq!(error.reason.as_deref(), Some("BOT_PERMISSION_MISSING"));
    assert_eq!(channels(discord, "Half"), [], "half of what was asked for is nothing");
}

/// The real program, with a store of its own, which can be killed.
struct Place {
    discord: Emulator,
    store: TempDir,
    log: Log,
}

impl Place {
    async fn new() -> Self {
        let discord = Emulator::start(discord_emulator::Config::default()).await.expect("a free port");
        Self { discord, store: tempfile::tempdir().expect("a directory"), log: Log::default() }
    }

    async fn start(&self) -> (Parlord, Parlor) {
        let settings = settings(&self.discord, "a-bot-token");
        let run = Run { settings, store: self.store.path().to_owned(), file_limit_kib: None };
        let server = Parlord::start(&programs().join("parlord"), &run, &self.log).await;
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        let token = Issuer::get().sign(&Token::default());
        let parlor = Parlor::connect(&format!("http://{}", server.api), &token).await.expect("it answers");
        (server, parlor)
    }

    /// Repeats a request until it is answered. A server that has just started may not know the guild yet.
    async fn insist(&self, parlor: &Parlor, request: &v1::CreateRoomRequest) -> v1::Room {
        let asking = async {
            loop {
                match parlor.create_room(request.clone()).await {
                    Ok(room) => return room,
                    Err(CallError { code: Code::NotFound | Code::Unavailable | Code::Unknown, .. }) => {
                        tokio::task::yield_now().await;
                    }
                    Err(error) => panic!("{error}: {:?}", self.log.tail(5)),
                }
            }
        };
        soon("an answer", asking).await
    }
}

/// The server is killed while it waits for Discord's answer.
async fn killed_while(held: Fault, is_made: bool) {
    let place = Place::new().await;
    let (server, parlor) = place.start().await;
    place.insist(&parlor, &request("First", 9)).await;
    place.discord.inject(held);
    let before = place.discord.stats().rest_total();
    let asking = tokio::spawn({
        let parlor = parlor.clone();
        async move { parlor.create_room(request("Once", 1)).await }
    });
    soon("a request to Discord", place.discord.wait_for(|stats| stats.rest_total() > before)).await;
    server.kill().await;
    asking.await.expect("no panic").expect_err("the server is dead");
    assert_eq!(channels(&place.discord, "Once").len(), usize::from(is_made));
    place.discord.clear_faults();

    let (server, parlor) = place.start().await;
    if is_made {
        // Nobody asks: the server finds it by itself.
        let known = async {
            loop {
                let rooms = parlor.list_rooms(v1::ListRoomsRequest { managed_only: true, ..Default::default() }).await;
                if rooms.expect("listed").iter().any(|room| room.display_name == "Once" && room.labels["number"] == "1")
                {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        soon("its own finding", known).await;
    }
    let room = place.insist(&parlor, &request("Once", 1)).await;
    assert!(room.managed);
    assert_eq!(channels(&place.discord, "Once").len(), 1);
    server.terminate().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_discord_has_made_it() {
    let late = RestTrouble::Slow { by: Duration::from_secs(600) };
    killed_while(once(late), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_discord_has_made_it() {
    killed_while(Fault::Rest(RestFault::new(RestTrouble::Cut { work: Work::Skipped }).on(CREATE)), false).await;
}

/// Ten requests at once, and SIGKILL at moments that a seed chooses: `SEED=7` plays that of a run that failed.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "a failure shows what was printed")]
async fn killed_at_any_moment() {
    let seed =
        std::env::var("SEED").map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().expect("a seed"));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let place = Place::new().await;
    let trouble = RestFault::new(RestTrouble::Cut { work: Work::Done }).on(CREATE).every(3);
    place.discord.inject(Fault::Rest(trouble));
    let wanted = |round: u32, number: u32| v1::CreateRoomRequest {
        status: if number.is_multiple_of(2) { "chess".to_owned() } else { String::new() },
        ..request(&format!("Room {round}.{number}"), round * 100 + number)
    };
    for round in 0..4 {
        let (server, parlor) = place.start().await;
        let asking: Vec<_> = (0..10)
            .map(|number| {
                let (parlor, request) = (parlor.clone(), wanted(round, number));
                tokio::spawn(async move {
                    while parlor.create_room(request.clone()).await.is_err_and(|error| error.code == Code::NotFound) {}
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(random.u64(0..400))).await;
        server.kill().await;
        for one in asking {
            one.await.expect("no panic");
        }
    }
    place.discord.clear_faults();
    let (server, parlor) = place.start().await;
    for round in 0..4 {
        let rooms = (0..10).map(|number| wanted(round, number)).collect::<Vec<_>>();
        let made = futures_util::future::join_all(rooms.iter().map(|request| place.insist(&parlor, request))).await;
        for (request, room) in rooms.iter().zip(made) {
            let there = channels(&place.discord, &request.display_name);
            let there: Vec<String> = there.iter().map(ToString::to_string).collect();
            assert_eq!(there, [room.room_id], "{}, seed {seed}", request.display_name);
            let status = place.discord.world(|world| {
                let channel = world.channels_named(&request.display_name).next().expect("it is there");
                let ChannelKind::Voice(voice) = &channel.kind else { panic!("a voice room") };
                voice.status.clone().unwrap_or_default()
            });
            assert_eq!(status, request.status, "{}, seed {seed}", request.display_name);
        }
    }
    server.terminate().await.expect("it ends");
}

/// What EndRoom has begun is finished, and said to be ours.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_room_ends() {
    for work in [Work::Done, Work::Skipped] {
        let place = Place::new().await;
        let (server, parlor) = place.start().await;
        let room = place.insist(&parlor, &request("Brief", 1)).await;
        let (fault, is_over) = match work {
            Work::Done => {
                let late = RestTrouble::Slow { by: Duration::from_secs(600) };
                (Fault::Rest(RestFault::new(late).on("DELETE /channels/{channel.id}").times(1)), true)
            }
            Work::Skipped => {
                let cut = RestTrouble::Cut { work: Work::Skipped };
                (Fault::Rest(RestFault::new(cut).on("DELETE /channels/{channel.id}")), false)
            }
        };
        place.discord.inject(fault);
        let before = place.discord.stats().rest_total();
        let request = v1::EndRoomRequest { room_id: room.room_id.clone(), ..Default::default() };
        let asking = tokio::spawn({
            let (parlor, request) = (parlor.clone(), request.clone());
            async move { parlor.end_room(request).await }
        });
        soon("a request to Discord", place.discord.wait_for(|stats| stats.rest_total() > before)).await;
        server.kill().await;
        asking.await.expect("no panic").expect_err("the server is dead");
        assert_eq!(channels(&place.discord, "Brief").is_empty(), is_over);
        place.discord.clear_faults();
        let (server, parlor) = place.start().await;
        let ended = async {
            while parlor.get_room(&room.room_id).await.expect("remembered").state() != v1::room::State::Ended {
                tokio::task::yield_now().await;
            }
        };
        soon("its end", ended).await;
        assert_eq!(channels(&place.discord, "Brief"), []);
        assert!(parlor.end_room(request).await.expect("ended").already_gone);
        server.terminate().await.expect("it ends");
    }
}

/// The mark is in the log that people of the guild read, beside the caller's words.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_says_who_asked() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    let request = v1::CreateRoomRequest { audit_log_reason: "for the standup".to_owned(), ..request("Marked", 7) };
    parlor.create_room(request.clone()).await.expect("made");
    let reasons: Vec<String> = house.emulator.world(|world| {
        let entries = world.audit_log().iter().filter(|entry| entry.action == AuditAction::ChannelCreate);
        entries.filter_map(|entry| entry.reason.clone()).collect()
    });
    assert_eq!(reasons, [format!("for the standup [parlor:{}]", request.request_id)]);
}
