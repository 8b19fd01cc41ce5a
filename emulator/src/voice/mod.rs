//! The voice server as a pure machine: its gateway, its sessions, and media from each to all others of a call.
//!
//! ```text
//!  open ──► Greeted ──Identify, Resume──► Attached(session) ──gone──► session Detached
//!                                            │                            │       │
//!                    Select Protocol: media ◄┘           Resume ◄─────────┘       └─ window over: the end
//! ```
//! A session is what the world says it is: when the user's channel or token is another, or none, it ends. Inputs are
//! methods that take `now` last; what must go out is collected in [`VoiceOutput`]s and drained.

mod config;
mod dave;
mod entry;
mod media;
mod message;
mod outbox;
mod reception;
mod session;
mod strike;
mod weather;

use core::net::{SocketAddr, SocketAddrV4};
use std::collections::BTreeMap;
use std::time::Duration;

use parlor_voice_wire::gateway::{
    ClientDisconnect, ClientFlags, ClientMessage, ClientPlatform, ClientSpeaking, ClientsConnect, CloseCode,
    DaveClientMessage, Hello, ReadError, SelectProtocol, ServerMessage, ServerSpeaking, SessionDescription, Version,
};
use parlor_voice_wire::transport::{Mode, TransportKey};
use parlor_voice_wire::{self as wire, ProtocolVersion, Ssrc};

pub use config::{DavePolicy, VoiceConfig};
use dave::Delivery;
pub(crate) use message::Frame;
use message::Message;
use session::{Link, Media, Session, SessionKey};
use weather::{Late, Weather, part};

use crate::faults::VoiceTrouble;
use crate::stats::{Stats, VoiceStats};
use crate::world::{Channel, ChannelId, Timestamp, UserId, World};

/// A WebSocket of the voice gateway.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct VoiceConnectionId(u64);

/// What the shell must do.
#[derive(Clone, Debug)]
pub(crate) enum VoiceOutput {
    /// Send a frame on a WebSocket.
    Send(VoiceConnectionId, Frame),
    /// Send a close frame and end.
    Close(VoiceConnectionId, CloseCode),
    /// End without a close frame.
    Drop(VoiceConnectionId),
    /// Send a datagram.
    Datagram(SocketAddr, Vec<u8>),
}

/// Everything that the voice machine may look at and change besides itself.
pub(crate) struct Surroundings<'a> {
    pub world: &'a mut World,
    pub stats: &'a mut Stats,
}

#[derive(Debug)]
struct Connection {
    version: Version,
    stage: Stage,
    last_heartbeat: Timestamp,
}

/// How far a WebSocket has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Hello was sent.
    Greeted,
    /// It carries this session.
    Attached(SessionKey),
}

/// The voice server's whole state.
#[derive(Debug)]
pub(crate) struct Voice {
    config: VoiceConfig,
    /// Where media goes, as Ready says it.
    media: SocketAddrV4,
    chance: fastrand::Rng,
    connections_opened: u64,
    connections: BTreeMap<VoiceConnectionId, Connection>,
    sessions: BTreeMap<SessionKey, Session>,
    sources: BTreeMap<Ssrc, SessionKey>,
    /// Calls that can be end-to-end encrypted.
    deliveries: BTreeMap<ChannelId, Delivery>,
    weather: Weather,
    outputs: Vec<VoiceOutput>,
}

/// Opcodes that clients may send and that nothing here answers: video, codecs, versions, speed tests, "no route".
const UNHEARD: [u8; 8] = [12, 14, 15, 16, 18, 19, 20, 32];

impl Voice {
    pub(crate) fn new(config: VoiceConfig, media: SocketAddrV4) -> Self {
        let mut chance = fastrand::Rng::with_seed(config.seed);
        Self {
            weather: Weather::new(chance.fork()),
            chance,
            config,
            media,
            connections_opened: 0,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            sources: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            outputs: Vec::new(),
        }
    }

    /// A trouble that lasts, for one user or for all.
    pub(crate) fn endure(&mut self, trouble: VoiceTrouble, only: Option<UserId>) {
        self.weather.add(trouble, only);
    }

    /// Ends every trouble that lasts.
    pub(crate) fn clear_troubles(&mut self) {
        self.weather.clear();
    }

    /// When something that is late is due next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.weather.next_due()
    }

    /// Takes what must go out, in order.
    pub(crate) fn drain(&mut self) -> Vec<VoiceOutput> {
        std::mem::take(&mut self.outputs)
    }

    /// Fills in the counts of this moment.
    pub(crate) fn count(&self, stats: &mut VoiceStats) {
        stats.open = self.connections.len() as u64;
        stats.sessions_open = self.sessions.len() as u64;
        stats.transitions_pending = self.deliveries.values().map(Delivery::pending).sum();
    }

    /// A WebSocket was opened with this version of the gateway; none = a version that is refused.
    pub(crate) fn open(
        &mut self,
        version: Option<u8>,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) -> VoiceConnectionId {
        self.connections_opened += 1;
        let id = VoiceConnectionId(self.connections_opened);
        around.stats.voice.opened += 1;
        let known = version.and_then(Version::from_number);
        let version = known.unwrap_or(Version::V8);
        self.connections.insert(id, Connection { version, stage: Stage::Greeted, last_heartbeat: now });
        let hello = Hello { heartbeat_interval: self.config.heartbeat_interval, v: Some(version.number()) };
        self.say(id, &ServerMessage::Hello(hello));
        if known.is_none() {
            self.close(id, CloseCode::UnknownProtocol, around, now);
        }
        id
    }

    /// A text frame came in.
    pub(crate) fn receive(&mut self, id: VoiceConnectionId, text: &str, around: &mut Surroundings<'_>, now: Timestamp) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let message = match ClientMessage::read(text) {
            Ok(message) => message,
            Err(ReadError::NotAMessage) => return self.close(id, CloseCode::DecodeFailed, around, now),
            Err(ReadError::Content { .. }) => return self.close(id, CloseCode::BadRequest, around, now),
        };
        match (message, connection.stage) {
            (ClientMessage::Heartbeat { nonce, .. }, _) => {
                connection.last_heartbeat = now;
                around.stats.voice.heartbeats += 1;
                let of = if let Stage::Attached(key) = connection.stage { Some(key.user) } else { None };
                let holds = |trouble| (trouble == VoiceTrouble::HoldHeartbeatAcks).then_some(());
                if of.and_then(|user| self.weather.find(user, holds)).is_none() {
                    self.say(id, &ServerMessage::HeartbeatAck { nonce });
                }
            }
            (ClientMessage::Identify(identify), Stage::Greeted) => {
                if let Err(code) = self.identify(id, &identify, around) {
                    around.stats.voice.identifies_refused += 1;
                    self.close(id, code, around, now);
                }
            }
            (ClientMessage::Resume(resume), Stage::Greeted) => {
                if let Err(code) = self.resume(id, &resume, around) {
                    around.stats.voice.resumes_refused += 1;
                    self.close(id, code, around, now);
                }
            }
            (ClientMessage::Identify(_) | ClientMessage::Resume(_), Stage::Attached(_)) => {
                self.close(id, CloseCode::AlreadyAuthenticated, around, now);
            }
            (ClientMessage::Other { op }, _) if UNHEARD.contains(&op) => {}
            (ClientMessage::Other { .. }, _) => self.close(id, CloseCode::UnknownOpcode, around, now),
            (ClientMessage::SelectProtocol(select), Stage::Attached(key)) => {
                if let Err(code) = self.select_protocol(id, key, &select, around, now) {
                    self.close(id, code, around, now);
                }
            }
            (ClientMessage::Speaking(speaking), Stage::Attached(key)) => {
                if let Err(code) = self.speaking(key, &speaking, now) {
                    self.close(id, code, around, now);
                }
            }
            (ClientMessage::TransitionReady(ready), Stage::Attached(key)) => {
                self.with_delivery(key, around, |delivery, _| delivery.ready(key.user, ready.transition_id, now));
            }
            (ClientMessage::InvalidCommitWelcome(_), Stage::Attached(key)) => {
                around.stats.voice.invalid_commits += 1;
                self.with_delivery(key, around, |delivery, _| delivery.invalid(key.user));
            }
            (
                ClientMessage::SelectProtocol(_)
                | ClientMessage::Speaking(_)
                | ClientMessage::TransitionReady(_)
                | ClientMessage::InvalidCommitWelcome(_),
                Stage::Greeted,
            ) => self.close(id, CloseCode::NotAuthenticated, around, now),
        }
    }

    /// A binary frame came in.
    pub(crate) fn receive_binary(
        &mut self,
        id: VoiceConnectionId,
        bytes: &[u8],
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        let Some(connection) = self.connections.get(&id) else { return };
        match (DaveClientMessage::read(bytes), connection.stage) {
            (Err(_), _) => self.close(id, CloseCode::DecodeFailed, around, now),
            (Ok(_), Stage::Greeted) => self.close(id, CloseCode::NotAuthenticated, around, now),
            (Ok(DaveClientMessage::KeyPackage(bytes)), Stage::Attached(key)) => {
                let sound = self.with_delivery(key, around, |delivery, _| delivery.key_package(key.user, bytes));
                if sound == Some(false) {
                    self.close(id, CloseCode::BadRequest, around, now);
                }
            }
            (Ok(DaveClientMessage::CommitWelcome(bytes)), Stage::Attached(key)) => {
                self.with_delivery(key, around, |delivery, stats| delivery.commit(key.user, bytes, stats, now));
            }
        }
    }

    /// The WebSocket is gone. The session waits for a Resume.
    pub(crate) fn closed(&mut self, id: VoiceConnectionId, around: &mut Surroundings<'_>, now: Timestamp) {
        self.detach(id, around, now);
    }

    /// Time passed: silent connections are closed with 4009, and sessions that nobody resumed end.
    pub(crate) fn tick(&mut self, around: &mut Surroundings<'_>, now: Timestamp) {
        let patience = self.config.heartbeat_interval + self.config.heartbeat_interval / 2;
        let silent: Vec<(VoiceConnectionId, Stage)> = self
            .connections
            .iter()
            .filter(|(_, connection)| now.since(connection.last_heartbeat) > patience)
            .map(|(id, connection)| (*id, connection.stage))
            .collect();
        for (id, stage) in silent {
            self.close(id, CloseCode::SessionTimeout, around, now);
            if let Stage::Attached(key) = stage {
                self.end(key, around, now);
            }
        }
        let window = self.config.resume_window;
        let expired = |session: &Session| matches!(session.link, Link::Detached(since) if now.since(since) > window);
        let expired: Vec<SessionKey> =
            self.sessions.iter().filter(|(_, session)| expired(session)).map(|(key, _)| *key).collect();
        for key in expired {
            self.end(key, around, now);
        }
        for channel in self.deliveries.keys().copied().collect::<Vec<_>>() {
            self.with_call(channel, around, |delivery, _| delivery.tick(now));
        }
        let mut late = self.weather.stragglers(now);
        late.extend(std::iter::from_fn(|| self.weather.take_due(now)));
        for late in late {
            match late {
                Late::Datagram(to, bytes) => self.outputs.push(VoiceOutput::Datagram(to, bytes)),
                Late::Message(key, message) => self.number(key, &message),
            }
        }
    }

    /// The world has changed: sessions that it knows no more end.
    pub(crate) fn settle(&mut self, around: &mut Surroundings<'_>, now: Timestamp) {
        let ended: Vec<(SessionKey, CloseCode)> = self
            .sessions
            .iter()
            .filter_map(|(key, session)| Some((*key, why_over(*key, session, around.world)?)))
            .collect();
        for (key, code) in ended {
            if let Some(Session { link: Link::Attached(id), .. }) = self.sessions.get(&key) {
                self.close(*id, code, around, now);
            }
            self.end(key, around, now);
        }
    }

    /// Op 1: the client has a path for media, and gets a key.
    fn select_protocol(
        &mut self,
        id: VoiceConnectionId,
        key: SessionKey,
        select: &SelectProtocol,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) -> Result<(), CloseCode> {
        let SelectProtocol::Udp { address, port, mode } = select else { return Err(CloseCode::UnknownProtocol) };
        let mode = Mode::from_name(mode).filter(|mode| self.config.modes.contains(mode));
        let mode = mode.ok_or(CloseCode::UnknownEncryptionMode)?;
        let address = address.parse().ok().map(|ip| SocketAddr::new(ip, *port));
        let mut secret = [0; 32];
        self.chance.fill(&mut secret);
        let secret = TransportKey::new(secret);
        let Some(session) = self.sessions.get_mut(&key) else { return Ok(()) };
        let (channel, speaks) = (session.channel(), session.speaks_dave);
        let is_new = session.media.replace(Media::new(mode, &secret, address)).is_none();
        if is_new && self.config.dave != DavePolicy::Off && !is_stage(channel, around.world) {
            let (mut seed, patience) = ([0; 32], self.config.transition_patience);
            self.chance.fill(&mut seed);
            self.deliveries.entry(channel).or_insert_with(|| Delivery::new(channel, seed, patience));
        }
        let version = self.with_delivery(key, around, |delivery, _| {
            if is_new { delivery.enters(key.user, speaks, now) } else { delivery.version() }
        });
        let version = version.unwrap_or(ProtocolVersion::NONE);
        let description = SessionDescription {
            mode: mode.name().to_owned(),
            secret_key: secret,
            dave_protocol_version: version,
            audio_codec: Some("opus".to_owned()),
        };
        self.say(id, &ServerMessage::SessionDescription(description));
        if version != ProtocolVersion::NONE {
            self.with_delivery(key, around, |delivery, _| delivery.introduce(key.user));
        }
        Ok(())
    }

    /// Lets a session's call act, if it can be end-to-end encrypted, and passes on what it says.
    fn with_delivery<R>(
        &mut self,
        key: SessionKey,
        around: &mut Surroundings<'_>,
        step: impl FnOnce(&mut Delivery, &mut VoiceStats) -> R,
    ) -> Option<R> {
        let channel = self.sessions.get(&key).filter(|session| session.media.is_some())?.channel();
        self.with_call(channel, around, step)
    }

    fn with_call<R>(
        &mut self,
        channel: ChannelId,
        around: &mut Surroundings<'_>,
        step: impl FnOnce(&mut Delivery, &mut VoiceStats) -> R,
    ) -> Option<R> {
        let delivery = self.deliveries.get_mut(&channel)?;
        let outcome = step(delivery, &mut around.stats.voice);
        let said = delivery.drain(&mut around.stats.voice);
        let guild = around.world.channel(channel).map(|channel| channel.guild_id);
        for (user, mut message) in said {
            if message.is_of_an_epoch() && self.weather.strikes(user, part!(SpoilCommits.percent)) {
                message.spoil();
                around.stats.voice.commits_spoilt += 1;
            }
            if let Some(guild) = guild {
                self.tell(SessionKey { guild, user }, message);
            }
        }
        Some(outcome)
    }

    /// Op 5: others hear whose source it is.
    fn speaking(&mut self, key: SessionKey, told: &ClientSpeaking, now: Timestamp) -> Result<(), CloseCode> {
        let Some(session) = self.sessions.get_mut(&key) else { return Ok(()) };
        if told.ssrc != session.ssrc {
            return Err(CloseCode::BadRequest);
        }
        session.speaking = Some(told.speaking);
        session.unannounced_since = None;
        let late = part!(LateSpeaking.millis);
        for other in self.others(key) {
            match (self.weather.find(other.user, late), self.announcement(key)) {
                (Some(millis), Some(message)) => {
                    let due = now + Duration::from_millis(millis.into());
                    self.weather.put_off(due, Late::Message(other, message));
                }
                _ => self.tell_source(other, key),
            }
        }
        Ok(())
    }

    /// Tells a client whose source it hears, once that has been announced.
    fn tell_source(&mut self, to: SessionKey, of: SessionKey) {
        if let Some(message) = self.announcement(of) {
            self.tell(to, message);
        }
    }

    /// Op 5 about a user who has announced their source.
    fn announcement(&self, of: SessionKey) -> Option<Message> {
        let session = self.sessions.get(&of)?;
        let told = ServerSpeaking { user_id: wire_user(of.user), ssrc: session.heard_as, speaking: session.speaking? };
        Some(Message::Text(ServerMessage::Speaking(told)))
    }

    /// Tells a client of users who are in the call.
    fn tell_presence(&mut self, to: SessionKey, users: &[UserId]) {
        let user_ids: Vec<wire::UserId> = users.iter().copied().map(wire_user).collect();
        if user_ids.is_empty() {
            return;
        }
        self.tell(to, Message::Text(ServerMessage::ClientsConnect(ClientsConnect { user_ids: user_ids.clone() })));
        for user_id in user_ids {
            self.tell(to, Message::Text(ServerMessage::ClientFlags(ClientFlags { user_id, flags: None })));
            self.tell(to, Message::Text(ServerMessage::ClientPlatform(ClientPlatform { user_id, platform: None })));
        }
    }

    /// Everybody else in a session's call, in order of their ids.
    fn others(&self, key: SessionKey) -> Vec<SessionKey> {
        let Some(channel) = self.sessions.get(&key).map(Session::channel) else { return Vec::new() };
        self.in_call(channel).filter(|other| *other != key).collect()
    }

    fn in_call(&self, channel: ChannelId) -> impl Iterator<Item = SessionKey> {
        self.sessions.iter().filter(move |(_, session)| session.channel() == channel).map(|(key, _)| *key)
    }

    /// Says something on a WebSocket that is not replayed.
    fn say(&mut self, id: VoiceConnectionId, message: &ServerMessage) {
        let Some(connection) = self.connections.get(&id) else { return };
        self.outputs.push(VoiceOutput::Send(id, Frame::Text(message.write(None, connection.version))));
    }

    /// Tells a session something that has a number, now or when it is resumed.
    fn tell(&mut self, key: SessionKey, message: Message) {
        for message in self.weather.order(key, message) {
            self.number(key, &message);
        }
    }

    fn number(&mut self, key: SessionKey, message: &Message) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let sequence = session.outbox.number(message.clone());
        if let Link::Attached(id) = session.link {
            self.outputs.push(VoiceOutput::Send(id, message.write(sequence, session.version)));
        }
    }

    fn close(&mut self, id: VoiceConnectionId, code: CloseCode, around: &mut Surroundings<'_>, now: Timestamp) {
        if self.detach(id, around, now) {
            *around.stats.voice.closes.entry(code.number()).or_default() += 1;
            self.outputs.push(VoiceOutput::Close(id, code));
        }
    }

    /// Forgets a WebSocket; whether there was one.
    fn detach(&mut self, id: VoiceConnectionId, around: &mut Surroundings<'_>, now: Timestamp) -> bool {
        let Some(connection) = self.connections.remove(&id) else { return false };
        if let Stage::Attached(key) = connection.stage
            && let Some(session) = self.sessions.get_mut(&key)
            && session.link == Link::Attached(id)
        {
            session.link = Link::Detached(now);
            around.world.note_voice_client(key.guild, key.user, false);
        }
        true
    }

    /// Ends a session, and tells the others.
    fn end(&mut self, key: SessionKey, around: &mut Surroundings<'_>, now: Timestamp) {
        let others = self.others(key);
        let Some(session) = self.sessions.remove(&key) else { return };
        self.sources.remove(&session.ssrc);
        self.weather.freed.push(session.ssrc);
        around.world.note_voice_client(key.guild, key.user, false);
        for other in others {
            let gone = ClientDisconnect { user_id: wire_user(key.user) };
            self.tell(other, Message::Text(ServerMessage::ClientDisconnect(gone)));
        }
        let channel = session.channel();
        self.with_call(channel, around, |delivery, _| delivery.leaves(key.user, now));
        if self.in_call(channel).next().is_none() {
            self.deliveries.remove(&channel);
        }
    }
}

/// Why the world knows this session no more.
fn why_over(key: SessionKey, session: &Session, world: &World) -> Option<CloseCode> {
    match world.voice_credentials(key.guild, key.user) {
        Some(current) if current == session.credentials => None,
        // The same call on another server: the end for everybody on this one.
        Some(current) if current.channel_id == session.channel() => Some(CloseCode::CallTerminated),
        _ if world.channel(session.channel()).is_none() => Some(CloseCode::CallTerminated),
        _ => Some(CloseCode::Disconnected),
    }
}

/// Stages are never end-to-end encrypted.
fn is_stage(channel: ChannelId, world: &World) -> bool {
    world.channel(channel).is_some_and(Channel::is_stage)
}

const fn wire_user(user: UserId) -> wire::UserId {
    wire::UserId::new(user.get())
}
