//! The gateway connection is broken in every way that Discord breaks it, while people move: every subscriber's folded state
//! is the world's again, and a lost session is declared.

use std::time::Duration;

use discord_emulator::{Fault, GAMES, LOBBY, NewChannel, OTHER_ROOM, PARLOR_DEV};
use futures_util::future::join_all;
use parlor_client::v1::{self, UpstreamState, discontinuity::Reason, subscribe_voice_events_response::Body};
use parlor_e2e::{House, Setup, Watcher, check_promises, soon};
use tonic_health::pb::health_check_response::ServingStatus;

/// People come, go and move while the fault works, and some while nobody tells of it.
async fn people_move_during(house: &House, fault: Fault) -> Watcher {
    let mut watcher = house.watch().await;
    let discord = &house.emulator;
    discord.user("ann").joins(LOBBY);
    discord.user("bob").joins(LOBBY);
    discord.user("dan").joins(OTHER_ROOM);
    watcher.until_it_sees_the_truth(house).await;
    let before = discord.stats();

    discord.inject(fault);
    discord.user("ann").moves(GAMES);
    discord.user("bob").leaves();
    discord.user("cleo").joins(LOBBY).mutes(true);
    let made =
        discord.world(|world| world.create_channel(PARLOR_DEV, NewChannel::voice("Made meanwhile"))).expect("made");
    discord.user("eve").joins(made);
    soon(
        "a new session or a resume",
        discord.wait_for(|now| now.identifies + now.resumes > before.identifies + before.resumes),
    )
    .await;
    discord.user("dan").leaves();
    watcher.until_it_sees_the_truth(house).await;
    house.until_live().await;
    check_promises(watcher.seen());
    watcher
}

fn discontinuities(watcher: &Watcher) -> Vec<v1::Discontinuity> {
    let entries = watcher.seen().iter().filter_map(|frame| match &frame.body {
        Some(Body::Discontinuity(entry)) => Some(entry.clone()),
        _ => None,
    });
    entries.collect()
}

/// A session that is resumed has no gap, so none is declared.
async fn is_resumed(fault: Fault) {
    let house = House::start().await;
    let watcher = people_move_during(&house, fault).await;
    assert_eq!(discontinuities(&watcher), []);
    let stats = house.emulator.stats();
    assert_eq!((stats.identifies, stats.resumes_refused), (1, 0), "{stats:?}");
}

/// A session that is lost is declared to be, once per guild.
async fn is_reconciled(fault: Fault) {
    let house = House::start().await;
    let mut watcher = people_move_during(&house, fault).await;
    let sees_all_gaps = |watcher: &Watcher| discontinuities(watcher).len() == 2;
    while !sees_all_gaps(&watcher) {
        watcher.next().await.expect("the stream goes on");
    }
    for gap in discontinuities(&watcher) {
        assert_eq!(gap.reason(), Reason::SessionLost);
        assert!(gap.from.unwrap().seconds <= gap.to.unwrap().seconds);
    }
    assert_eq!(house.emulator.stats().identifies, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_connection_is_resumed() {
    is_resumed(Fault::DropConnections).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn op_7_is_resumed() {
    is_resumed(Fault::RequestReconnect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn op_9_that_can_be_resumed_is_resumed() {
    is_resumed(Fault::InvalidateSession { resumable: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn op_9_that_cannot_be_resumed_is_reconciled() {
    is_reconciled(Fault::InvalidateSession { resumable: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn close_codes_that_can_be_resumed_are_resumed() {
    for code in [4000, 4001, 4002, 4003, 4005, 4008] {
        is_resumed(Fault::Close { code }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn close_codes_that_need_a_new_session_are_reconciled() {
    for code in [4007, 4009] {
        is_reconciled(Fault::Close { code }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_close_code_is_shown_and_never_retried() {
    join_all([4004, 4010, 4011, 4012, 4013, 4014].map(is_shown_and_never_retried)).await;
}

async fn is_shown_and_never_retried(code: u16) {
    let mut house = House::start().await;
    let mut watcher = house.watch().await;
    let opened = house.emulator.stats().gateway_opened;
    house.emulator.inject(Fault::Close { code });
    house.until_health("discord-gateway", ServingStatus::NotServing).await;
    watcher
        .until_frame(|body| matches!(body, Body::Bookmark(mark) if mark.upstream_state() == UpstreamState::Failed))
        .await;
    // Nobody is told of this; the server goes on with what was last known and says that it is old.
    house.emulator.user("ann").joins(LOBBY);
    assert_eq!(house.parlor().await.list_guilds().await.expect("reads go on").len(), 2);
    assert_eq!(house.health("ready").await, ServingStatus::Serving);
    // Long enough for three retries: the first pauses are a second at most.
    let retried = house.emulator.wait_for(|stats| stats.gateway_opened > opened);
    assert!(tokio::time::timeout(Duration::from_secs(3), retried).await.is_err(), "{code} is retried");

    // The operator has put it right and starts the server again: the subscriber comes back to the truth.
    house.restart_server().await;
    watcher.resume(&house.parlor().await).await;
    watcher.until_it_sees_the_truth(&house).await;
}

/// A gateway that accepts and closes at once, for a minute, is not stormed (twilight alone: hundreds of connections a second), and the truth comes back when it is well again.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_closes_every_connection_is_not_stormed() {
    // One says why, and one just goes.
    tokio::join!(is_not_stormed(Some(4000)), is_not_stormed(None));
}

async fn is_not_stormed(code: Option<u16>) {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    let opened = house.emulator.stats().gateway_opened;
    house.emulator.inject(Fault::AcceptThenClose { code });
    house.emulator.inject(Fault::DropConnections);
    house.emulator.user("ann").joins(LOBBY);
    soon("three tries", house.emulator.wait_for(|stats| stats.gateway_opened >= opened + 3)).await;
    let storm = house.emulator.wait_for(|stats| stats.gateway_opened > opened + 15);
    assert!(tokio::time::timeout(Duration::from_secs(60), storm).await.is_err(), "{code:?}: the gateway is stormed");
    house.emulator.clear_faults();
    watcher.until_it_sees_the_truth(&house).await;
    check_promises(watcher.seen());
}

/// Heartbeats that nobody acknowledges: the connection is dead though it is open, and is given up and resumed.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_acknowledges_no_heartbeat_is_given_up() {
    let mut setup = Setup::default();
    setup.discord.gateway.heartbeat_interval = Duration::from_millis(500);
    let house = setup.start().await;
    let mut watcher = house.watch().await;
    let resumes = house.emulator.stats().resumes;
    house.emulator.inject(Fault::HoldHeartbeatAcks);
    soon("a resume", house.emulator.wait_for(|stats| stats.resumes > resumes)).await;
    house.emulator.clear_faults();
    house.emulator.user("ann").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;
    assert_eq!(discontinuities(&watcher), []);
}

/// The session dies at Discord's side while the connection is down: the resume is refused, and the state compared.
#[tokio::test(flavor = "multi_thread")]
async fn a_resume_that_is_refused_is_reconciled() {
    let house = House::start().await;
    house.emulator.inject(Fault::KillSessions);
    let mut watcher = people_move_during(&house, Fault::DropConnections).await;
    while discontinuities(&watcher).len() < 2 {
        watcher.next().await.expect("the stream goes on");
    }
    assert_eq!(house.emulator.stats().resumes_refused, 1);
}

/// More happens during an outage than Discord keeps for a resume.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_replay_buffer_is_reconciled() {
    let mut setup = Setup::default();
    setup.discord.gateway.replay_events = 3;
    let house = setup.start().await;
    let mut watcher = house.watch().await;
    house.emulator.inject(Fault::RefuseConnections);
    house.emulator.inject(Fault::DropConnections);
    for round in 0..10 {
        house.emulator.user("ann").joins(if round % 2 == 0 { LOBBY } else { GAMES });
    }
    house.emulator.clear_faults();
    watcher.until_it_sees_the_truth(&house).await;
    while discontinuities(&watcher).len() < 2 {
        watcher.next().await.expect("the stream goes on");
    }
}

/// No connection to Discord can be made for a while.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_discord_is_waited_for() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    house.emulator.inject(Fault::RefuseTcp);
    house.emulator.inject(Fault::DropConnections);
    house.emulator.user("ann").joins(LOBBY);
    house.until_health("discord-gateway", ServingStatus::NotServing).await;
    house.emulator.clear_faults();
    watcher.until_it_sees_the_truth(&house).await;
    check_promises(watcher.seen());
}

/// An outage of one guild at Discord's side makes nobody leave, and is compared and declared when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_guild_outage_makes_nobody_leave() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    house.emulator.user("ann").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;
    house.emulator.world(|world| world.guild_goes_down(PARLOR_DEV));
    let parlor = house.parlor().await;
    soon("the outage to be shown", async {
        while parlor.list_guilds().await.expect("reads go on").iter().all(|guild| guild.available) {}
    })
    .await;
    assert_eq!(parlor.get_room(LOBBY.to_string()).await.expect("still known").participant_count, 1);
    house.emulator.world(|world| world.guild_comes_back(PARLOR_DEV));
    let gap = watcher.until_frame(|body| matches!(body, Body::Discontinuity(_))).await;
    let Some(Body::Discontinuity(gap)) = gap.body else { unreachable!("it was just seen") };
    assert_eq!((gap.reason(), gap.guild_id), (Reason::GuildOutage, PARLOR_DEV.to_string()));
    watcher.until_it_sees_the_truth(&house).await;
    let left = watcher.seen().iter().filter(|frame| format!("{:?}", frame.body).contains("ParticipantLeft")).count();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatch_that_was_never_sent_is_found_out_by_the_next_session() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    house.emulator.user("ann").joins(LOBBY);
    house.emulator.user("bob").joins(LOBBY);
    watcher.until_it_sees_the_truth(&house).await;
    house.emulator.inject(Fault::SwallowDispatches { next: 1, event: None });
    house.emulator.user("ann").leaves();
    house.emulator.inject(Fault::DuplicateDispatches { next: 3, event: None });
    house.emulator.user("bob").moves(GAMES);
    watcher.until(|picture| picture.participants(&GAMES.to_string()).count() == 1).await;
    assert_eq!(watcher.picture().participants(&LOBBY.to_string()).count(), 1, "ann is a ghost");
    house.emulator.inject(Fault::InvalidateSession { resumable: false });
    watcher.until_it_sees_the_truth(&house).await;
    check_promises(watcher.seen());
}
