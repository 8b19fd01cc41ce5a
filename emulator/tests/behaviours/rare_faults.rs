//! Faults that Discord shows seldom: sessions that start badly, dispatches out of order, payloads that nobody expects.

use discord_emulator::{Config, Emulator, Fault, Happening, LOBBY};
use serde_json::{Value, json};

use crate::bot::{INTENTS, Socket, TOKEN, identify_payload};

async fn bot() -> (Emulator, Socket) {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let (socket, _) = Socket::log_in(&emulator, TOKEN, INTENTS).await;
    (emulator, socket)
}

#[tokio::test]
async fn payloads_that_no_client_expects_are_sent_on_demand_and_before_hello() {
    let (emulator, mut socket) = bot().await;
    emulator.inject(Fault::SendPayload { text: r#"{"op":99,"d":null,"s":null,"t":null}"#.to_owned() });
    assert_eq!(socket.payload().await["op"], 99);
    emulator.inject(Fault::GreetWith { text: r#"{"op":7,"d":null,"s":null,"t":null}"#.to_owned() });
    let (mut late, _) =
        tokio_tungstenite::connect_async(format!("{}/?v=10&encoding=json", emulator.gateway_url())).await.unwrap();
    for op in [7, 10] {
        let frame = futures_util::StreamExt::next(&mut late).await.unwrap().unwrap();
        let payload: Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
        assert_eq!(payload["op"], op);
    }
}

#[tokio::test]
async fn guilds_that_are_held_back_come_when_the_fault_is_over() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    emulator.inject(Fault::HoldGuildCreates);
    emulator.inject(Fault::NameResumeUrl { url: "ws://127.0.0.1:9".to_owned() });
    let mut socket = Socket::connect(&emulator).await;
    socket.send(&identify_payload(TOKEN, INTENTS)).await;
    assert_eq!(socket.dispatch("READY").await["resume_gateway_url"], "ws://127.0.0.1:9");
    emulator.user("ann").joins(LOBBY);
    let mut after = socket.payload().await;
    while after["t"] != "VOICE_STATE_UPDATE" {
        assert_ne!(after["t"], "GUILD_CREATE");
        after = socket.payload().await;
    }
    emulator.clear_faults();
    socket.dispatch("GUILD_CREATE").await;
}

#[tokio::test]
async fn an_identify_that_is_refused_may_be_repeated() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    emulator.inject(Fault::RefuseIdentifies { next: 1 });
    let mut socket = Socket::connect(&emulator).await;
    socket.send(&identify_payload(TOKEN, INTENTS)).await;
    let refusal = socket.payload().await;
    assert_eq!((&refusal["op"], &refusal["d"]), (&json!(9), &json!(false)));
    assert_eq!(socket.identify(TOKEN, INTENTS).await.len(), 2);
}

#[tokio::test]
async fn dispatches_come_repeatedly_and_the_effect_before_its_cause() {
    let (emulator, mut socket) = bot().await;
    emulator.inject(Fault::RepeatDispatches { next: 1, times: 3 });
    emulator.user("ann").joins(LOBBY);
    for _ in 0..3 {
        socket.dispatch("VOICE_STATE_UPDATE").await;
    }
    emulator.inject(Fault::ReverseDispatches);
    emulator.world(|world| world.delete_channel(LOBBY)).unwrap();
    for kind in ["CHANNEL_DELETE", "VOICE_STATE_UPDATE"] {
        socket.dispatch(kind).await;
    }
    emulator.clear_faults();
}

#[tokio::test]
async fn what_was_never_sent_is_in_the_journal() {
    let (emulator, _socket) = bot().await;
    emulator.world(discord_emulator::World::keep_journal);
    emulator.inject(Fault::SwallowDispatches { next: 1, event: None });
    emulator.user("ann").joins(LOBBY);
    let what = emulator.world(|world| world.journal().iter().map(|each| each.what.clone()).collect::<Vec<_>>());
    assert!(matches!(what[..], [Happening::Voice { now: Some(_), .. }, Happening::Unsent]), "{what:?}");
}
