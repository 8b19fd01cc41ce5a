//! A bot without a library: a raw gateway socket and a raw REST client.

use std::time::Duration;

use discord_emulator::{ChannelId, Emulator, GuildId};
use flate2::{Decompress, FlushDecompress};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long a test waits before it calls something missing.
const PATIENCE: Duration = Duration::from_secs(10);
/// GUILDS and GUILD_VOICE_STATES.
pub(crate) const INTENTS: u64 = 129;
pub(crate) const TOKEN: &str = "a-bot";
pub(crate) const START_TIME: &str = "VOICE_CHANNEL_START_TIME_UPDATE";

/// A gateway connection.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    inflater: Inflater,
    /// The newest sequence number.
    pub seq: u64,
    /// From READY.
    pub session_id: String,
}

enum Inflater {
    None,
    Zlib(Decompress),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
}

/// What came over a connection.
#[derive(Debug)]
pub(crate) enum Event {
    Payload(Value),
    Closed(u16),
    /// The TCP connection ended without a close frame.
    Dropped,
}

impl Socket {
    /// Connects and takes Hello.
    pub(crate) async fn connect(emulator: &Emulator) -> Self {
        let mut socket = Self::dial(emulator, "v=10&encoding=json").await;
        assert_eq!(socket.payload().await["op"], 10);
        socket
    }

    /// Connects with a query of one's own.
    pub(crate) async fn dial(emulator: &Emulator, query: &str) -> Self {
        let url = format!("{}/?{query}", emulator.gateway_url());
        let (stream, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let inflater = if query.contains("zlib-stream") {
            Inflater::Zlib(Decompress::new(true))
        } else if query.contains("zstd-stream") {
            Inflater::Zstd(zstd::stream::write::Decoder::new(Vec::new()).unwrap())
        } else {
            Inflater::None
        };
        Self { stream, inflater, seq: 0, session_id: String::new() }
    }

    /// Connects, identifies and takes READY and a GUILD_CREATE for each guild.
    pub(crate) async fn log_in(emulator: &Emulator, token: &str, intents: u64) -> (Self, Vec<Value>) {
        let mut socket = Self::connect(emulator).await;
        let guilds = socket.identify(token, intents).await;
        (socket, guilds)
    }

    /// Identifies on this connection and takes READY and a GUILD_CREATE for each guild.
    pub(crate) async fn identify(&mut self, token: &str, intents: u64) -> Vec<Value> {
        self.send(&identify_payload(token, intents)).await;
        let ready = self.dispatch("READY").await;
        self.session_id = ready["session_id"].as_str().unwrap().to_owned();
        let mut guilds = Vec::new();
        for _ in ready["guilds"].as_array().unwrap() {
            guilds.push(self.dispatch("GUILD_CREATE").await);
        }
        guilds
    }

    pub(crate) async fn send(&mut self, payload: &Value) {
        self.send_text(&payload.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.stream.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    pub(crate) async fn op4(&mut self, guild: GuildId, channel: Option<ChannelId>) {
        let d = json!({"guild_id": guild, "channel_id": channel, "self_mute": false, "self_deaf": false});
        self.send(&json!({"op": 4, "d": d})).await;
    }

    pub(crate) async fn resume(&mut self, token: &str, session_id: &str, seq: u64) {
        self.send(&json!({"op": 6, "d": {"token": token, "session_id": session_id, "seq": seq}})).await;
    }

    /// The next thing that happens.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("the emulator goes on");
            let text = match frame {
                Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
                Some(Ok(Message::Binary(bytes))) => self.inflater.inflate(&bytes),
                Some(Ok(Message::Close(frame))) => {
                    return Event::Closed(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(_)) | None => return Event::Dropped,
            };
            let payload: Value = serde_json::from_str(&text).unwrap();
            if let Some(seq) = payload["s"].as_u64() {
                assert_eq!(seq, self.seq + 1, "sequence numbers have no holes");
                self.seq = seq;
            }
            return Event::Payload(payload);
        }
    }

    /// The next payload.
    pub(crate) async fn payload(&mut self) -> Value {
        match self.event().await {
            Event::Payload(payload) => payload,
            other @ (Event::Closed(_) | Event::Dropped) => panic!("a payload was due, not {other:?}"),
        }
    }

    /// The body of the next payload, which must be a dispatch of this type. What Discord tells beside every coming and
    /// going, since when a channel is occupied, is passed over unless it is asked for.
    pub(crate) async fn dispatch(&mut self, kind: &str) -> Value {
        let mut payload = self.payload_but(kind).await;
        assert_eq!(payload["t"], kind, "{payload}");
        payload["d"].take()
    }

    async fn payload_but(&mut self, kind: &str) -> Value {
        loop {
            let payload = self.payload().await;
            if payload["t"] != START_TIME || kind == START_TIME {
                return payload;
            }
        }
    }

    /// The code of the close frame, which must come next.
    pub(crate) async fn close_code(&mut self) -> u16 {
        match self.event().await {
            Event::Closed(code) => code,
            other @ (Event::Payload(_) | Event::Dropped) => panic!("a close frame was due, not {other:?}"),
        }
    }

    /// Sends a heartbeat and takes its acknowledgement: everything sent before it has been handled then.
    pub(crate) async fn heartbeat(&mut self) {
        self.send(&json!({"op": 1, "d": self.seq})).await;
        assert_eq!(self.payload_but("").await["op"], 11);
    }

    /// Closes with a code and waits until the emulator knows.
    pub(crate) async fn close(mut self, emulator: &Emulator, code: u16) {
        let open = emulator.stats().gateway_open;
        self.stream.close(Some(CloseFrame { code: code.into(), reason: "".into() })).await.unwrap();
        emulator.wait_for(|stats| stats.gateway_open < open).await;
    }

    /// Hangs up without a close frame and waits until the emulator knows.
    pub(crate) async fn hang_up(self, emulator: &Emulator) {
        let open = emulator.stats().gateway_open;
        drop(self);
        emulator.wait_for(|stats| stats.gateway_open < open).await;
    }
}

impl Inflater {
    fn inflate(&mut self, bytes: &[u8]) -> String {
        match self {
            Self::None => panic!("a binary frame on a connection without compression"),
            Self::Zlib(zlib) => {
                assert!(bytes.ends_with(&[0x00, 0x00, 0xFF, 0xFF]), "each message ends with a sync flush");
                let mut text = Vec::with_capacity(1 << 20);
                zlib.decompress_vec(bytes, &mut text, FlushDecompress::Sync).unwrap();
                String::from_utf8(text).unwrap()
            }
            Self::Zstd(zstd) => {
                std::io::Write::write_all(zstd, bytes).unwrap();
                std::io::Write::flush(zstd).unwrap();
                String::from_utf8(std::mem::take(zstd.get_mut())).unwrap()
            }
        }
    }
}

pub(crate) fn identify_payload(token: &str, intents: u64) -> Value {
    let properties = json!({"os": "linux", "browser": "test", "device": "test"});
    json!({"op": 2, "d": {"token": token, "intents": intents, "properties": properties}})
}

/// A REST client with a token.
pub(crate) struct Rest {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// An answer of the REST API.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Rest {
    pub(crate) fn new(emulator: &Emulator, token: &str) -> Self {
        let http =
            reqwest::Client::builder().user_agent("DiscordBot (https://example.org, 1.0)").no_proxy().build().unwrap();
        Self { http, base: emulator.rest_url(), token: token.to_owned() }
    }

    /// A request that can still be changed before it is sent.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).header("authorization", format!("Bot {}", self.token))
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Reply {
        let request = self.request(method, path);
        let request = if body.is_null() { request } else { request.json(&body) };
        Reply::read(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.call(Method::PUT, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call(Method::PATCH, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, Value::Null).await
    }
}

impl Reply {
    pub(crate) async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, body, text }
    }

    /// A header's text; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and JSON error code.
    pub(crate) fn refusal(&self) -> (u16, u64) {
        (self.status, self.body["code"].as_u64().unwrap_or(u64::MAX))
    }
}

/// An emulator without limits, and a bot's REST client.
pub(crate) async fn unlimited() -> (Emulator, Rest) {
    let limits = discord_emulator::RestLimits::unlimited();
    let emulator = Emulator::start(discord_emulator::Config { rest: limits, ..Default::default() }).await.unwrap();
    let rest = Rest::new(&emulator, TOKEN);
    (emulator, rest)
}

/// The code of the first error of a field, named as `name` or `permission_overwrites/0/id`.
pub(crate) fn field_error(reply: &Reply, field: &str) -> Value {
    assert_eq!(reply.refusal(), (400, 50_035), "{}", reply.text);
    let path = format!("/errors/{field}/_errors/0/code");
    reply.body.pointer(&path).cloned().unwrap_or_default()
}
