//! Transport compression: one context per socket, flushed after each payload.

use discord_emulator::{Config, Emulator, LOBBY};

use crate::bot::{INTENTS, Socket, TOKEN};

#[tokio::test]
async fn zlib_and_zstd_streams_carry_the_same_payloads() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    for compress in ["zlib-stream", "zstd-stream"] {
        let mut socket = Socket::dial(&emulator, &format!("v=10&encoding=json&compress={compress}")).await;
        assert_eq!(socket.payload().await["op"], 10, "{compress}");
        assert_eq!(socket.identify(TOKEN, INTENTS).await.len(), 2, "{compress}");
        emulator.user("ann").joins(LOBBY).leaves();
        socket.dispatch("VOICE_STATE_UPDATE").await;
        socket.dispatch("VOICE_STATE_UPDATE").await;
        socket.heartbeat().await;
    }
}

#[tokio::test]
async fn what_is_not_spoken_is_refused_in_words() {
    let emulator = Emulator::start(Config::default()).await.unwrap();
    for (query, word) in [("v=10&encoding=etf", "json"), ("v=10&encoding=json&compress=brotli", "zstd-stream")] {
        let url = format!("{}/?{query}", emulator.gateway_url());
        let refusal = tokio_tungstenite::connect_async(url).await.unwrap_err();
        let tokio_tungstenite::tungstenite::Error::Http(response) = refusal else { panic!("{refusal}") };
        assert_eq!(response.status(), 400);
        let text = String::from_utf8(response.into_body().unwrap()).unwrap();
        assert!(text.contains(word), "{text}");
    }
}
