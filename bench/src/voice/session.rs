//! A voice session in memory, with real keys, as its voice server would have it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use davey::DaveSession;
use parlor_voice::{Config, Event, Input, Output, Session, Signal, SocketId};
use parlor_voice_wire::{
    ChannelId, GuildId, ProtocolVersion, Ssrc, TransitionId, UserId,
    discovery::{Request, Response},
    gateway::{
        ClientMessage, ClientsConnect, Credential, DaveClientMessage, DaveServerMessage, Hello, Ready, Sequence,
        ServerMessage, ServerSpeaking, SessionDescription, SpeakingFlags, Version,
    },
    transport::{Mode, TransportKey},
};

use super::group::{CHANNEL, LISTENER, Proposer, SPEAKER, speaker};

pub(super) const KEY: [u8; 32] = [9; 32];
pub(super) const MODE: Mode = Mode::Aes256GcmRtpsize;
pub(super) const SPEAKER_SSRC: Ssrc = Ssrc::new(2_001);
const OWN_SSRC: Ssrc = Ssrc::new(2_002);

pub(super) fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 50_000))
}

/// A session, and its time.
pub(super) struct Listener {
    pub(super) session: Session,
    pub(super) now: Instant,
    socket: Option<SocketId>,
    /// When it wants to be woken.
    pub(super) due: Instant,
    key_package: Option<Vec<u8>>,
    discovers: bool,
    /// Frames that it delivered.
    pub(super) frames: u64,
    /// Datagrams that it sent.
    pub(super) datagrams: u64,
}

impl Listener {
    /// A session in a call with one speaker: media flows, and both have keys.
    pub(super) fn live(proposer: &Proposer, seed: u64) -> Result<(Self, DaveSession)> {
        let now = Instant::now();
        let config = Config::new(GuildId::new(1), ChannelId::new(CHANNEL), UserId::new(LISTENER));
        let session = Session::new(config, seed, now);
        let mut listener =
            Self { session, now, socket: None, due: now, key_package: None, discovers: false, frames: 0, datagrams: 0 };
        listener.drain();
        let session_id = Credential::new("session");
        listener.input(Input::VoiceState { channel: Some(ChannelId::new(CHANNEL)), session_id });
        let endpoint = Some("voice.example:443".to_owned());
        listener.input(Input::VoiceServer { endpoint, token: Credential::new("token") });
        listener.input(Input::SocketOpened(listener.socket()?));
        let modes = vec![MODE.name().to_owned()];
        listener
            .says(&ServerMessage::Hello(Hello { heartbeat_interval: Duration::from_millis(13_750), v: Some(8) }))?;
        let (ip, port) = (server().ip(), server().port());
        listener.says(&ServerMessage::Ready(Ready { ssrc: OWN_SSRC, ip, port, modes }))?;
        let user_ids = vec![UserId::new(SPEAKER), UserId::new(LISTENER)];
        listener.says(&ServerMessage::ClientsConnect(ClientsConnect { user_ids }))?;
        ensure!(listener.discovers, "it asks for its address");
        let address = SocketAddr::from(([203, 0, 113, 9], 4_444));
        let mut answer = Response { ssrc: OWN_SSRC, address }.write();
        listener.input(Input::Datagram { from: server(), bytes: &mut answer });
        listener.says(&ServerMessage::SessionDescription(SessionDescription {
            mode: MODE.name().to_owned(),
            secret_key: TransportKey::new(KEY),
            dave_protocol_version: ProtocolVersion::V1,
            audio_codec: None,
        }))?;
        listener.says_binary(&DaveServerMessage::ExternalSender(&proposer.external_sender()?))?;
        let key_package = listener.key_package.take().context("a key package")?;
        let (speaker, welcome) = speaker(&key_package, proposer)?;
        let transition_id = TransitionId::INITIAL;
        listener.says_binary(&DaveServerMessage::Welcome { transition_id, welcome: &welcome })?;
        let (user_id, speaking) = (UserId::new(SPEAKER), SpeakingFlags::VOICE);
        listener.says(&ServerMessage::Speaking(ServerSpeaking { user_id, ssrc: SPEAKER_SSRC, speaking }))?;
        ensure!(listener.session.counters().recoveries == 0, "the welcome is of use");
        Ok((listener, speaker))
    }

    fn socket(&self) -> Result<SocketId> {
        self.socket.context("it opens a websocket")
    }

    fn says(&mut self, message: &ServerMessage) -> Result<()> {
        let text = message.write(None, Version::V8);
        self.input(Input::Text(self.socket()?, &text));
        if let Output::Over = self.session.poll_output() {
            bail!("it ended after {message:?}");
        }
        Ok(())
    }

    fn says_binary(&mut self, message: &DaveServerMessage<'_>) -> Result<()> {
        let bytes = message.write(Sequence::new(0), Version::V8);
        self.input(Input::Binary(self.socket()?, &bytes));
        Ok(())
    }

    /// Something happens, and what follows is done.
    pub(super) fn input(&mut self, input: Input<'_>) {
        self.session.handle_input(input, self.now);
        self.drain();
    }

    /// Lets time pass, timeout by timeout.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.due <= until {
            self.now = self.now.max(self.due);
            self.input(Input::Timeout);
        }
        self.now = until;
    }

    fn drain(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Event(Event::Frame(frame)) => {
                    std::hint::black_box(&frame);
                    self.frames += 1;
                }
                Output::Transmit(transmit) => {
                    self.discovers |= Request::read(&transmit.payload).is_ok();
                    std::hint::black_box(&transmit);
                    self.datagrams += 1;
                }
                Output::Signal(Signal::OpenSocket { socket, .. }) => self.socket = Some(socket),
                Output::Signal(Signal::SendBinary { bytes, .. }) => {
                    if let Ok(DaveClientMessage::KeyPackage(package)) = DaveClientMessage::read(&bytes) {
                        self.key_package = Some(package.to_vec());
                    }
                }
                Output::Signal(Signal::SendText { socket, text }) => {
                    if let Ok(ClientMessage::Heartbeat { nonce, .. }) = ClientMessage::read(&text) {
                        let answer = ServerMessage::HeartbeatAck { nonce }.write(None, Version::V8);
                        self.session.handle_input(Input::Text(socket, &answer), self.now);
                    }
                }
                Output::Signal(_) | Output::Event(_) => {}
                Output::Timeout(at, _) => {
                    self.due = at;
                    return;
                }
                Output::Over => return,
            }
        }
    }
}
