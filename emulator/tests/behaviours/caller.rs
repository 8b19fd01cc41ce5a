//! A voice client without a library of Discord's: a raw WebSocket behind TLS, and a raw UDP socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use discord_emulator::{Config, DavePolicy, Emulator, VoiceConfig, VoiceTicket};
use futures_util::{SinkExt as _, StreamExt as _};
use parlor_voice_wire::discovery::{PACKET_LEN, Request, Response};
use parlor_voice_wire::rtp::{Header, RtpTimestamp, SequenceNumber};
use parlor_voice_wire::transport::{Content, Mode, Opener, Sealer, TransportKey};
use parlor_voice_wire::{Ssrc, transport};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// How long a test waits before it calls something missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that came over the WebSocket.
#[derive(Debug)]
pub(crate) enum Came {
    Text(Value),
    Binary(Vec<u8>),
    Closed(u16),
    Dropped,
}

/// A voice client in a call, or on its way there.
pub(crate) struct Caller {
    stream: WebSocketStream<TlsStream<TcpStream>>,
    version: u8,
    pub ticket: VoiceTicket,
    pub ssrc: u32,
    pub ready: Value,
    /// Everything that came and was not asked for, oldest first.
    pub aside: VecDeque<Came>,
    pub media: Option<Media>,
}

/// A path for media.
pub(crate) struct Media {
    pub udp: UdpSocket,
    pub opener: Opener,
    pub sealer: Sealer,
    pub next: u16,
}

/// A packet that was heard.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Heard {
    pub header: Header,
    pub elements: Vec<u8>,
    pub payload: Vec<u8>,
}

fn trusting(emulator: &Emulator) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(emulator.voice_authority().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

impl Caller {
    /// Connects with this version of the gateway and takes Hello.
    pub(crate) async fn dial(emulator: &Emulator, ticket: &VoiceTicket, version: u8) -> Self {
        let url = format!("wss://{}/?v={version}", ticket.endpoint);
        let stream = TcpStream::connect(&ticket.endpoint).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let host = ServerName::try_from("127.0.0.1").unwrap();
        let stream = trusting(emulator).connect(host, stream).await.unwrap();
        let (stream, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let (ticket, aside) = (ticket.clone(), VecDeque::new());
        let mut caller = Self { stream, version, ticket, ssrc: 0, ready: Value::Null, aside, media: None };
        let hello = caller.op(8).await;
        assert!(hello["heartbeat_interval"].as_u64().is_some_and(|interval| interval > 0));
        caller
    }

    /// A person in voice gets a client that is in the call.
    pub(crate) async fn join(emulator: &Emulator, name: &str) -> Self {
        Self::join_as(emulator, &emulator.user(name).voice_ticket(), 8, Mode::Aes256GcmRtpsize).await
    }

    /// Joins as a client of this version with this mode.
    pub(crate) async fn join_as(emulator: &Emulator, ticket: &VoiceTicket, version: u8, mode: Mode) -> Self {
        let mut caller = Self::dial(emulator, ticket, version).await;
        caller.identify(1).await;
        caller.take_ready().await;
        caller.connect_media(mode).await;
        caller
    }

    pub(crate) async fn identify(&mut self, dave: u16) {
        let VoiceTicket { guild_id, user_id, session_id, token, .. } = &self.ticket;
        let mut d = json!({"server_id": guild_id, "user_id": user_id, "session_id": session_id, "token": token});
        if dave > 0 {
            d["max_dave_protocol_version"] = json!(dave);
        }
        self.send(0, d).await;
    }

    pub(crate) async fn take_ready(&mut self) {
        self.ready = self.op(2).await;
        self.ssrc = self.ready["ssrc"].as_u64().unwrap().try_into().unwrap();
    }

    /// Discovery, Select Protocol and Session Description.
    pub(crate) async fn connect_media(&mut self, mode: Mode) -> Value {
        let server: SocketAddr =
            format!("{}:{}", self.ready["ip"].as_str().unwrap(), self.ready["port"]).parse().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        udp.connect(server).await.unwrap();
        udp.send(&Request { ssrc: Ssrc::new(self.ssrc) }.write()).await.unwrap();
        let mut bytes = [0; PACKET_LEN];
        let len = tokio::time::timeout(PATIENCE, udp.recv(&mut bytes)).await.expect("discovery").unwrap();
        let told = Response::read(&bytes[..len]).unwrap();
        assert_eq!((told.ssrc.get(), told.address), (self.ssrc, udp.local_addr().unwrap()));
        let (address, port) = (told.address.ip(), told.address.port());
        let data = json!({"address": address, "port": port, "mode": mode.name()});
        self.send(1, json!({"protocol": "udp", "data": data})).await;
        let description = self.op(4).await;
        assert_eq!(description["mode"], mode.name());
        let key: TransportKey = serde_json::from_value(description["secret_key"].clone()).unwrap();
        let (opener, sealer) = (Opener::new(mode, &key), Sealer::new(mode, &key, 7));
        self.media = Some(Media { udp, opener, sealer, next: 100 });
        description
    }

    pub(crate) async fn send(&mut self, op: u8, d: Value) {
        self.send_text(&json!({"op": op, "d": d}).to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.stream.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    /// What was put aside first, or comes next.
    pub(crate) async fn take(&mut self) -> Came {
        match self.aside.pop_front() {
            Some(came) => came,
            None => self.next().await,
        }
    }

    /// Announces its source.
    pub(crate) async fn speaks(&mut self) {
        self.send(5, json!({"speaking": 1, "delay": 0, "ssrc": self.ssrc})).await;
    }

    /// Whatever comes next.
    pub(crate) async fn next(&mut self) -> Came {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("the emulator goes on");
            return match frame {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    let keys = message.as_object().unwrap().len();
                    assert!(keys == 2 || (keys == 3 && self.version >= 8 && !message["seq"].is_null()), "{message}");
                    Came::Text(message)
                }
                Some(Ok(Message::Binary(bytes))) => Came::Binary(bytes.to_vec()),
                Some(Ok(Message::Close(frame))) => Came::Closed(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(_)) | None => Came::Dropped,
            };
        }
    }

    /// The next message with this opcode, with its number; what comes before it is put aside.
    pub(crate) async fn message(&mut self, op: u8) -> Value {
        let aside = self.aside.iter().position(|came| matches!(came, Came::Text(message) if message["op"] == op));
        if let Some(Came::Text(message)) = aside.and_then(|place| self.aside.remove(place)) {
            return message;
        }
        loop {
            match self.next().await {
                Came::Text(message) if message["op"] == op => return message,
                other @ (Came::Text(_) | Came::Binary(_)) => self.aside.push_back(other),
                end @ (Came::Closed(_) | Came::Dropped) => panic!("op {op} was due, not {end:?}"),
            }
        }
    }

    /// The content of the next message with this opcode.
    pub(crate) async fn op(&mut self, op: u8) -> Value {
        self.message(op).await["d"].take()
    }

    /// The code of the close frame, which must come.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            match self.next().await {
                Came::Closed(code) => return code,
                Came::Dropped => panic!("a close frame was due"),
                other @ (Came::Text(_) | Came::Binary(_)) => self.aside.push_back(other),
            }
        }
    }

    /// Sends a heartbeat and takes its answer: everything sent before it has been handled then.
    pub(crate) async fn heartbeat(&mut self, nonce: u64) -> Value {
        let beat = if self.version < 8 { json!(nonce) } else { json!({"t": nonce, "seq_ack": -1}) };
        self.send(3, beat).await;
        self.op(6).await
    }

    /// Breaks the WebSocket off and keeps the rest.
    pub(crate) fn hang_up(self) -> (VoiceTicket, Option<Media>) {
        (self.ticket, self.media)
    }

    pub(crate) fn media(&mut self) -> &mut Media {
        self.media.as_mut().expect("connected")
    }

    /// Sends a frame.
    pub(crate) async fn sends(&mut self, payload: &[u8]) {
        let ssrc = Ssrc::new(self.ssrc);
        self.media().sends(ssrc, Content::payload(payload)).await;
    }

    /// The next packet that is heard.
    pub(crate) async fn hears(&mut self) -> Heard {
        self.media().hears().await
    }
}

impl Media {
    pub(crate) async fn sends(&mut self, ssrc: Ssrc, content: Content<'_>) {
        let time = RtpTimestamp::new(u32::from(self.next) * 960);
        let header = Header::opus(SequenceNumber::new(self.next), time, ssrc);
        self.next = self.next.wrapping_add(1);
        let mut sealed = Vec::new();
        self.sealer.seal_rtp(&header, content, &mut sealed).unwrap();
        self.udp.send(&sealed).await.unwrap();
    }

    pub(crate) async fn datagram(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 2_048];
        let len = tokio::time::timeout(PATIENCE, self.udp.recv(&mut bytes)).await.expect("a datagram").unwrap();
        bytes.truncate(len);
        bytes
    }

    pub(crate) async fn hears(&mut self) -> Heard {
        let mut bytes = self.datagram().await;
        let (header, body) = self.opener.open_rtp(&mut bytes).unwrap();
        Heard { elements: body.elements.to_vec(), payload: body.payload.to_vec(), header }
    }
}

/// An emulator whose calls are not end-to-end encrypted.
pub(crate) async fn plain() -> Emulator {
    let voice = VoiceConfig { dave: DavePolicy::Off, ..VoiceConfig::default() };
    Emulator::start(Config { voice, ..Config::default() }).await.unwrap()
}

/// Modes that every server offers.
pub(crate) const LIVE: [Mode; 2] = [transport::Mode::Aes256GcmRtpsize, transport::Mode::XChaCha20Poly1305Rtpsize];
