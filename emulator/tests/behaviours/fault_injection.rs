//! Faults strike when they should, whom they should, as often as they should.

use std::collections::BTreeMap;

use discord_emulator::{Config, Emulator, Fault, LOBBY, PARLOR_DEV, RestAnswer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bot::{Event, INTENTS, Rest, Socket, TOKEN};

async fn bot() -> (Emulator, Socket) {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    (emulator, socket)
}

#[tokio::test]
async fn dropped_connections_end_without_a_close_frame_and_resume() {
    let (emulator, mut socket) = bot().await;
    emulator.inject(Fault::DropConnections);
    assert!(matches!(socket.event().await, Event::Dropped));
    let mut again = Socket::connect(&emulator).await;
    again.seq = socket.seq;
    again.resume(TOKEN, &socket.session_id, socket.seq).await;
    again.dispatch("RESUMED").await;
}

#[tokio::test]
async fn a_fault_for_one_bot_spares_the_others() {
    let (emulator, mut socket) = bot().await;
    let (mut spared, _) = Socket::log_in(&emulator, "spared", INTENTS).await;
    emulator.inject(Fault::Close { code: 4000 }.only(emulator.bot(TOKEN).unwrap()));
    assert_eq!(socket.close_code().await, 4000);
    spared.heartbeat().await;
}

#[tokio::test]
async fn ops_7_9_and_1_are_sent_on_demand() {
    let (emulator, mut socket) = bot().await;
    emulator.inject(Fault::RequestReconnect);
    emulator.inject(Fault::RequestHeartbeat);
    emulator.inject(Fault::InvalidateSession { resumable: true });
    for (op, d) in [(7, Value::Null), (1, Value::Null), (9, json!(true))] {
        let payload = socket.payload().await;
        assert_eq!((&payload["op"], &payload["d"]), (&json!(op), &d));
    }
    // discord.js resumes on the same connection, and what happened meanwhile is not lost.
    emulator.user("ann").joins(LOBBY);
    let (session, seq) = (socket.session_id.clone(), socket.seq);
    socket.resume(TOKEN, &session, seq).await;
    socket.dispatch("VOICE_STATE_UPDATE").await;
    socket.dispatch("RESUMED").await;
    emulator.inject(Fault::InvalidateSession { resumable: false });
    assert_eq!(socket.payload().await["d"], false);
    assert_eq!(emulator.stats().sessions_open, 0);
    socket.seq = 0;
    socket.identify(TOKEN, INTENTS).await;
}

#[tokio::test]
async fn swallowed_dispatches_never_arrive_and_leave_no_gap() {
    let (emulator, mut socket) = bot().await;
    let event = Some("VOICE_STATE_UPDATE".to_owned());
    emulator.inject(Fault::SwallowDispatches { next: 1, event });
    emulator.world(|world| world.set_premium_tier(PARLOR_DEV, 1));
    emulator.user("ann").joins(LOBBY).mutes(true);
    socket.dispatch("GUILD_UPDATE").await;
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["self_mute"], true);
}

#[tokio::test]
async fn duplicated_dispatches_arrive_twice() {
    let (emulator, mut socket) = bot().await;
    emulator.inject(Fault::DuplicateDispatches { next: 1, event: None });
    emulator.user("ann").joins(LOBBY).leaves();
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["channel_id"], json!(LOBBY));
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["channel_id"], json!(LOBBY));
    assert_eq!(socket.dispatch("VOICE_STATE_UPDATE").await["channel_id"], Value::Null);
}

#[tokio::test]
async fn held_acknowledgements_stay_away_until_cleared() {
    let (emulator, mut socket) = bot().await;
    emulator.inject(Fault::HoldHeartbeatAcks);
    socket.send(&json!({"op": 1, "d": null})).await;
    emulator.wait_for(|stats| stats.heartbeats == 1).await;
    emulator.clear_faults();
    emulator.inject(Fault::RequestHeartbeat);
    assert_eq!(socket.payload().await["op"], 1, "no acknowledgement came before this");
    socket.heartbeat().await;
}

#[tokio::test]
async fn handshakes_are_refused_while_rest_goes_on() {
    let (emulator, _socket) = bot().await;
    emulator.inject(Fault::RefuseConnections);
    let refusal = tokio_tungstenite::connect_async(emulator.gateway_url()).await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(response) = refusal else { panic!("{refusal}") };
    assert_eq!(response.status(), 503);
    assert_eq!(Rest::new(&emulator, TOKEN).get("/users/@me").await.status, 200);
    emulator.clear_faults();
    Socket::connect(&emulator).await;
    assert_eq!(emulator.stats().handshakes_refused, 1);
}

#[tokio::test]
async fn new_tcp_connections_are_dropped_and_open_ones_stay() {
    let (emulator, mut socket) = bot().await;
    emulator.inject(Fault::RefuseTcp);
    let rest = Rest::new(&emulator, TOKEN);
    assert!(rest.request(Method::GET, "/users/@me").send().await.is_err());
    socket.heartbeat().await;
    emulator.clear_faults();
    assert_eq!(rest.get("/users/@me").await.status, 200);
}

#[tokio::test]
async fn connections_can_end_after_hello() {
    let (emulator, _socket) = bot().await;
    emulator.inject(Fault::AcceptThenClose { code: Some(4000) });
    let mut closed = Socket::connect(&emulator).await;
    assert_eq!(closed.close_code().await, 4000);
    emulator.clear_faults();
    emulator.inject(Fault::AcceptThenClose { code: None });
    let mut dropped = Socket::connect(&emulator).await;
    assert!(matches!(dropped.event().await, Event::Dropped));
}

#[tokio::test]
async fn rest_answers_are_replaced_before_or_after_the_deed() {
    let (emulator, mut socket) = bot().await;
    let rest = Rest::new(&emulator, TOKEN);
    let path = format!("/guilds/{PARLOR_DEV}/channels");
    let room = json!({"name": "room", "type": 2});
    let headers = BTreeMap::from([("x-odd".to_owned(), "yes".to_owned())]);
    let answer = RestAnswer { status: 502, headers, body: "bad gateway".to_owned() };
    let route = Some("POST /guilds/{guild.id}/channels".to_owned());
    emulator.inject(Fault::NextRest { times: 1, route: route.clone(), answer: answer.clone(), carried_out: false });
    emulator.inject(Fault::NextRest { times: 1, route, answer, carried_out: true });
    assert_eq!(rest.get("/users/@me").await.status, 200, "another route is spared");
    for created in [false, true] {
        let before = emulator.rooms().len();
        let reply = rest.call(Method::POST, &path, room.clone()).await;
        assert_eq!((reply.status, reply.text.as_str(), reply.header("x-odd")), (502, "bad gateway", "yes"));
        assert_eq!(emulator.rooms().len() > before, created);
    }
    socket.dispatch("CHANNEL_CREATE").await;
    assert_eq!(rest.call(Method::POST, &path, room).await.status, 201);
}

#[tokio::test]
async fn an_answer_can_be_lost_with_its_connection() {
    let (emulator, mut socket) = bot().await;
    let rest = Rest::new(&emulator, TOKEN);
    emulator.inject(Fault::NextRest { times: 1, route: None, answer: RestAnswer::default(), carried_out: true });
    let path = format!("/guilds/{PARLOR_DEV}/channels");
    let lost = rest.request(Method::POST, &path).json(&json!({"name": "room", "type": 2})).send().await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(socket.dispatch("CHANNEL_CREATE").await["name"], "room");
}

#[tokio::test]
async fn held_rest_requests_are_carried_out_when_released() {
    let (emulator, _socket) = bot().await;
    emulator.inject(Fault::HoldRest);
    let rest = Rest::new(&emulator, TOKEN);
    let path = format!("/guilds/{PARLOR_DEV}/channels");
    let before = emulator.rooms().len();
    let (reply, ()) = tokio::join!(rest.call(Method::POST, &path, json!({"name": "late", "type": 2})), async {
        emulator.wait_for(|stats| stats.rest_held == 1).await;
        assert_eq!(emulator.rooms().len(), before);
        emulator.clear_faults();
    });
    assert_eq!(reply.status, 201);
    assert_eq!(emulator.stats().rest_held, 0);
}
