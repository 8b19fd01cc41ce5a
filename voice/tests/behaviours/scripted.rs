//! One session against a voice server that says exactly what a test wants.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use parlor_voice::{Config, Event, Frame, Input, Output, Session, Signal, SocketId};
use parlor_voice_wire::{
    ChannelId, GuildId, ProtocolVersion, Ssrc, UserId,
    discovery::{Request, Response},
    gateway::{
        ClientMessage, ClientsConnect, Credential, DaveServerMessage, Hello, Ready, Sequence, ServerMessage,
        ServerSpeaking, SessionDescription, SpeakingFlags, Version,
    },
    rtp::{Header, RtpTimestamp, SequenceNumber},
    transport::{Content, Mode, Opener, Sealer, TransportKey},
};

use crate::fake_group::FakeGroup;

pub(crate) const GUILD: GuildId = GuildId::new(1);
pub(crate) const LOBBY: ChannelId = ChannelId::new(10);
pub(crate) const BOT: UserId = UserId::new(100);
pub(crate) const ANN: UserId = UserId::new(101);
pub(crate) const BOB: UserId = UserId::new(102);
pub(crate) const BOT_SSRC: Ssrc = Ssrc::new(1_000);
pub(crate) const ANN_SSRC: Ssrc = Ssrc::new(1_001);
pub(crate) const BOB_SSRC: Ssrc = Ssrc::new(1_002);
pub(crate) const KEY: TransportKey = TransportKey::new([9; 32]);
pub(crate) const LIVE_MODES: [&str; 2] = ["aead_aes256_gcm_rtpsize", "aead_xchacha20_poly1305_rtpsize"];

pub(crate) fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 50_000))
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A packet of 20 ms that can be told from others.
pub(crate) fn opus(number: u8) -> Vec<u8> {
    vec![0xFC, number, 0xAA]
}

/// What the session did.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) signals: Vec<Signal>,
    pub(crate) events: Vec<Event>,
    pub(crate) datagrams: Vec<(SocketAddr, Vec<u8>)>,
}

impl Heard {
    /// The text messages among the signals.
    pub(crate) fn messages(&self) -> Vec<ClientMessage> {
        let text = |signal: &Signal| {
            let Signal::SendText { text, .. } = signal else { return None };
            Some(ClientMessage::read(text).expect("a message"))
        };
        self.signals.iter().filter_map(text).collect()
    }

    /// The binary messages among the signals.
    pub(crate) fn binaries(&self) -> Vec<Vec<u8>> {
        let binary = |signal: &Signal| {
            let Signal::SendBinary { bytes, .. } = signal else { return None };
            Some(bytes.clone())
        };
        self.signals.iter().filter_map(binary).collect()
    }

    pub(crate) fn opened(&self) -> Option<SocketId> {
        let opened =
            |signal: &Signal| if let Signal::OpenSocket { socket, .. } = signal { Some(*socket) } else { None };
        self.signals.iter().rev().find_map(opened)
    }

    pub(crate) fn frames(&self) -> Vec<&Frame> {
        self.events
            .iter()
            .filter_map(|event| if let Event::Frame(frame) = event { Some(frame) } else { None })
            .collect()
    }
}

pub(crate) struct Call {
    pub(crate) session: Session<FakeGroup>,
    pub(crate) now: Instant,
    pub(crate) socket: Option<SocketId>,
    pub(crate) sealer: Sealer,
    sequence: u16,
    heard: Heard,
}

impl Call {
    pub(crate) fn new() -> Self {
        Self::with(Config::new(GUILD, LOBBY, BOT))
    }

    pub(crate) fn with(config: Config) -> Self {
        let now = Instant::now();
        let session = Session::new(config, 7, now);
        let sealer = Sealer::new(Mode::Aes256GcmRtpsize, &KEY, 0);
        let mut call = Self { session, now, socket: None, sealer, sequence: 0, heard: Heard::default() };
        call.drain();
        call
    }

    /// A session to which media flows, in a call of this version with Ann and Bob.
    pub(crate) fn live(version: ProtocolVersion) -> Self {
        Self::live_with(Config::new(GUILD, LOBBY, BOT), version)
    }

    pub(crate) fn live_with(config: Config, version: ProtocolVersion) -> Self {
        let mut call = Self::with(config);
        call.voice_state(Some(LOBBY));
        call.connects("voice.example:443", version);
        call
    }

    /// A voice server is assigned, and media flows.
    pub(crate) fn connects(&mut self, endpoint: &str, version: ProtocolVersion) {
        self.voice_server(Some(endpoint));
        self.open();
        self.says(&hello());
        self.says(&ready(&LIVE_MODES));
        self.says_in_order(&ServerMessage::ClientsConnect(ClientsConnect { user_ids: vec![BOT, ANN, BOB] }));
        // The session asks at its next turn.
        self.pass(Duration::ZERO);
        self.discover();
        self.says(&description("aead_aes256_gcm_rtpsize", version));
        self.claims(ANN_SSRC, ANN);
        self.claims(BOB_SSRC, BOB);
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.session.handle_input(input, self.now);
        self.drain();
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.session.poll_output() {
                Output::Transmit(transmit) => self.heard.datagrams.push((transmit.destination, transmit.payload)),
                Output::Signal(signal) => {
                    if let Signal::OpenSocket { socket, .. } = signal {
                        self.socket = Some(socket);
                    }
                    self.heard.signals.push(signal);
                }
                Output::Event(event) => self.heard.events.push(event),
                Output::Timeout(at, _) => return Some(at),
                Output::Over => return None,
            }
        }
    }

    /// What the session did since this was called last.
    pub(crate) fn heard(&mut self) -> Heard {
        std::mem::take(&mut self.heard)
    }

    /// Lets time pass, timeout by timeout.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(at) = self.drain().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.session.handle_input(Input::Timeout, self.now);
            steps += 1;
            assert!(steps < 100_000, "the session does not stop to want to be woken");
        }
        self.now = end;
    }

    pub(crate) fn voice_state(&mut self, channel: Option<ChannelId>) {
        self.input(Input::VoiceState { channel, session_id: Credential::new("session") });
    }

    pub(crate) fn voice_server(&mut self, endpoint: Option<&str>) {
        self.input(Input::VoiceServer { endpoint: endpoint.map(str::to_owned), token: Credential::new("token") });
    }

    pub(crate) fn open(&mut self) {
        let socket = self.socket.expect("a socket");
        self.input(Input::SocketOpened(socket));
    }

    pub(crate) fn says(&mut self, message: &ServerMessage) {
        self.says_with(message, None);
    }

    /// A message that a resume would repeat.
    pub(crate) fn says_in_order(&mut self, message: &ServerMessage) {
        let sequence = Sequence::new(self.sequence);
        self.sequence = self.sequence.wrapping_add(1);
        self.says_with(message, Some(sequence));
    }

    fn says_with(&mut self, message: &ServerMessage, sequence: Option<Sequence>) {
        let text = message.write(sequence, Version::V8);
        let socket = self.socket.expect("a socket");
        self.input(Input::Text(socket, &text));
    }

    pub(crate) fn says_binary(&mut self, message: &DaveServerMessage<'_>) {
        let bytes = message.write(Sequence::new(self.sequence), Version::V8);
        self.sequence = self.sequence.wrapping_add(1);
        let socket = self.socket.expect("a socket");
        self.input(Input::Binary(socket, &bytes));
    }

    pub(crate) fn closes(&mut self, code: Option<u16>) {
        let socket = self.socket.expect("a socket");
        self.input(Input::SocketClosed { socket, code });
    }

    /// Answers every heartbeat among what was heard.
    pub(crate) fn answers_heartbeats(&mut self, heard: &Heard) {
        for message in heard.messages() {
            if let ClientMessage::Heartbeat { nonce, .. } = message {
                self.says(&ServerMessage::HeartbeatAck { nonce });
            }
        }
    }

    pub(crate) fn claims(&mut self, ssrc: Ssrc, user_id: UserId) {
        let speaking = ServerSpeaking { user_id, ssrc, speaking: SpeakingFlags::VOICE };
        self.says_in_order(&ServerMessage::Speaking(speaking));
    }

    /// Answers the discovery request that was sent last.
    pub(crate) fn discover(&mut self) {
        let answers: Vec<_> = self.heard.datagrams.iter().filter_map(|(_, bytes)| Request::read(bytes).ok()).collect();
        let request = answers.last().expect("a discovery request");
        let address = SocketAddr::from(([203, 0, 113, 9], 4_444));
        let mut response = Response { ssrc: request.ssrc, address }.write();
        self.input(Input::Datagram { from: server(), bytes: &mut response });
    }

    /// The datagram of a packet.
    pub(crate) fn datagram(&mut self, ssrc: Ssrc, number: u16, payload: &[u8]) -> Vec<u8> {
        let timestamp = RtpTimestamp::new(u32::from(number).wrapping_mul(960));
        let header = Header::opus(SequenceNumber::new(number), timestamp, ssrc);
        let mut datagram = Vec::new();
        self.sealer.seal_rtp(&header, Content::payload(payload), &mut datagram).expect("has nonces");
        datagram
    }

    pub(crate) fn comes(&mut self, ssrc: Ssrc, number: u16, payload: &[u8]) {
        let mut datagram = self.datagram(ssrc, number, payload);
        self.input(Input::Datagram { from: server(), bytes: &mut datagram });
    }
}

/// Media that the session sent: sequence numbers, times and payloads.
pub(crate) fn media(heard: &Heard) -> Vec<(SequenceNumber, RtpTimestamp, Vec<u8>)> {
    let opener = Opener::new(Mode::Aes256GcmRtpsize, &KEY);
    let open = |(_, bytes): &(SocketAddr, Vec<u8>)| {
        let mut bytes = bytes.clone();
        let (header, body) = opener.open_rtp(&mut bytes).ok()?;
        assert_eq!(header.ssrc, BOT_SSRC);
        Some((header.sequence, header.timestamp, body.payload.to_vec()))
    };
    heard.datagrams.iter().filter_map(open).collect()
}

pub(crate) fn hello() -> ServerMessage {
    ServerMessage::Hello(Hello { heartbeat_interval: millis(13_750), v: Some(8) })
}

pub(crate) fn ready(modes: &[&str]) -> ServerMessage {
    let modes = modes.iter().map(|mode| (*mode).to_owned()).collect();
    ServerMessage::Ready(Ready { ssrc: BOT_SSRC, ip: server().ip(), port: server().port(), modes })
}

pub(crate) fn description(mode: &str, version: ProtocolVersion) -> ServerMessage {
    ServerMessage::SessionDescription(SessionDescription {
        mode: mode.to_owned(),
        secret_key: KEY,
        dave_protocol_version: version,
        audio_codec: None,
    })
}
