//! From both updates of the main gateway to a key.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use parlor_voice_wire::{
    discovery::{Request, Response},
    gateway::{
        ClientMessage, DaveServerMessage, Identify, Ready, SelectProtocol, Sequenced, ServerMessage,
        SessionDescription, Version,
    },
    transport::{Mode, Opener, Sealer},
};

use super::{
    CLOSE_FOR_GOOD, CLOSE_TO_RESUME, Session,
    heart::{Beat, Heart},
    stage::{Joining, Link, Live, Pings, Room, Stage, Step, Target},
};
use crate::{
    dave::{Dave, E2eeGroup},
    input::SocketId,
    media::{Receiver, Sender},
    output::{Disconnect, Ending, Event, TimeoutReason},
};

/// From opening the websocket to the key.
const JOIN_TIME: Duration = Duration::from_secs(15);
/// Between two discovery requests: a datagram may be lost.
const DISCOVERY_REPEAT: Duration = Duration::from_millis(500);
/// Binary messages that are kept until there is a key, at most.
const MOST_EARLY: usize = 32;

impl Joining {
    pub(super) fn due(&self) -> Option<(Instant, TimeoutReason)> {
        let discovery = match &self.step {
            Step::Discovering { next, .. } => Some((*next, TimeoutReason::Discovery)),
            Step::Opening | Step::Identifying | Step::Selecting { .. } => None,
        };
        let beat = self.heart.due().map(|at| (at, TimeoutReason::Heartbeat));
        [Some((self.until, TimeoutReason::Answer)), discovery, beat].into_iter().flatten().min()
    }
}

impl<G: E2eeGroup> Session<G> {
    /// Opens a websocket if both updates are there.
    pub(super) fn try_to_join(&mut self, now: Instant) {
        if self.session_id.is_none() {
            return;
        }
        let Some(endpoint) = self.server.as_ref().map(|server| server.endpoint.clone()) else { return };
        self.disconnect(CLOSE_TO_RESUME, now);
        let socket = self.around.open_socket(&endpoint);
        self.stage = Stage::Joining(Box::new(Joining {
            socket,
            heart: Heart::Stopped,
            until: now + JOIN_TIME,
            room: Room::default(),
            step: Step::Opening,
        }));
    }

    pub(super) fn socket_opened(&mut self, opened: SocketId, now: Instant) {
        match &mut self.stage {
            Stage::Joining(joining) if joining.socket == opened => {
                let (Some(session_id), Some(server)) = (&self.session_id, &self.server) else { return };
                joining.step = Step::Identifying;
                let identify = ClientMessage::Identify(Identify {
                    server_id: self.around.config.guild,
                    user_id: self.around.config.user,
                    session_id: session_id.clone(),
                    token: server.token.clone(),
                    max_dave_protocol_version: self.around.config.newest_dave,
                    channel_id: None,
                });
                self.around.send(opened, &identify);
            }
            Stage::Live(live) if live.link.socket() == Some(opened) => self.resume(opened, now),
            Stage::Joining(_) | Stage::Live(_) | Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Ended(_) => {}
        }
    }

    pub(super) fn text(&mut self, socket: SocketId, text: &str, now: Instant) {
        let Ok(Sequenced { message, sequence }) = ServerMessage::read(text) else {
            self.around.counters.unusable_messages += 1;
            return;
        };
        match &mut self.stage {
            Stage::Joining(joining) if joining.socket == socket => {
                joining.room.last_sequence = sequence.or(joining.room.last_sequence);
                self.joining_message(message, now);
            }
            Stage::Live(live) if live.link.socket() == Some(socket) => {
                live.room.last_sequence = sequence.or(live.room.last_sequence);
                self.live_message(message, now);
            }
            Stage::Joining(_) | Stage::Live(_) | Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Ended(_) => {}
        }
    }

    pub(super) fn binary(&mut self, socket: SocketId, bytes: &[u8], now: Instant) {
        let Ok(Sequenced { message, sequence }) = DaveServerMessage::read(bytes, Version::V8) else {
            self.around.counters.unusable_messages += 1;
            return;
        };
        match &mut self.stage {
            Stage::Joining(joining) if joining.socket == socket => {
                joining.room.last_sequence = sequence.or(joining.room.last_sequence);
                if joining.room.early.len() < MOST_EARLY {
                    joining.room.early.push(bytes.to_vec());
                } else {
                    self.around.counters.unusable_messages += 1;
                }
            }
            Stage::Live(live) if live.link.socket() == Some(socket) => {
                live.room.last_sequence = sequence.or(live.room.last_sequence);
                live.dave_message(message, &mut self.around, now);
            }
            Stage::Joining(_) | Stage::Live(_) | Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Ended(_) => {}
        }
    }

    fn joining_message(&mut self, message: ServerMessage, now: Instant) {
        let Stage::Joining(joining) = &mut self.stage else { return };
        match message {
            ServerMessage::Hello(hello) => {
                joining.heart = Heart::start(hello.heartbeat_interval, self.around.random.f64(), now);
            }
            ServerMessage::HeartbeatAck { nonce } => joining.heart.answered(nonce),
            ServerMessage::HeartbeatDemanded => joining.heart.demand(now),
            ServerMessage::Ready(ready) => self.ready(&ready, now),
            ServerMessage::SessionDescription(description) => self.session_description(&description, now),
            ServerMessage::ClientsConnect(clients) => joining.room.present.extend(clients.user_ids),
            ServerMessage::ClientDisconnect(client) => {
                joining.room.present.remove(&client.user_id);
                joining.room.announced.retain(|_, user| *user != client.user_id);
            }
            ServerMessage::Speaking(speaking) => {
                joining.room.announced.insert(speaking.ssrc, speaking.user_id);
            }
            ServerMessage::Video(video) if video.audio_ssrc.get() != 0 => {
                joining.room.announced.insert(video.audio_ssrc, video.user_id);
            }
            ServerMessage::Video(_)
            | ServerMessage::Resumed
            | ServerMessage::ClientFlags(_)
            | ServerMessage::ClientPlatform(_)
            | ServerMessage::PrepareTransition(_)
            | ServerMessage::ExecuteTransition(_)
            | ServerMessage::PrepareEpoch(_)
            | ServerMessage::Other { .. } => {}
        }
    }

    fn ready(&mut self, ready: &Ready, now: Instant) {
        let Stage::Joining(joining) = &mut self.stage else { return };
        if !matches!(joining.step, Step::Identifying) {
            return;
        }
        let Some(mode) = Mode::choose(&ready.modes, self.around.config.retired_modes) else {
            // Another voice server would offer the same.
            self.disconnect(CLOSE_FOR_GOOD, now);
            self.around.ask_for(None);
            self.end(Ending::NoMode);
            return;
        };
        let target = Target { ssrc: ready.ssrc, address: SocketAddr::new(ready.ip, ready.port), mode };
        joining.step = Step::Discovering { target, next: now };
    }

    /// A datagram, while the address is not known.
    pub(super) fn discovered(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Stage::Joining(joining) = &mut self.stage else { return };
        let Step::Discovering { target, .. } = joining.step else { return };
        let response = Response::read(bytes).ok().filter(|response| response.ssrc == target.ssrc);
        let Some(Response { address, .. }) = response.filter(|_| from == target.address) else {
            self.around.counters.rejected += 1;
            return;
        };
        joining.step = Step::Selecting { target };
        let select = ClientMessage::SelectProtocol(SelectProtocol::Udp {
            address: address.ip().to_string(),
            port: address.port(),
            mode: target.mode.name().to_owned(),
        });
        let socket = joining.socket;
        self.around.send(socket, &select);
    }

    fn session_description(&mut self, description: &SessionDescription, now: Instant) {
        let Stage::Joining(joining) = &mut self.stage else { return };
        let Step::Selecting { target } = joining.step else { return };
        if description.mode != target.mode.name() {
            self.renew(Disconnect::NoMode, now);
            return;
        }
        let around = &mut self.around;
        let sealer = Sealer::new(target.mode, &description.secret_key, around.random.u32(..));
        let (user, seed) = (around.config.user, around.random.u64(..));
        let (dave, actions) = Dave::new(description.dave_protocol_version, user, self.channel, seed, now);
        let room = std::mem::take(&mut joining.room);
        let heart = std::mem::replace(&mut joining.heart, Heart::Stopped);
        let mut live = Live {
            link: Link::Attached { socket: joining.socket, heart },
            since: now,
            room,
            server: target.address,
            opener: Opener::new(target.mode, &description.secret_key),
            sender: Sender::new(target.ssrc, sealer, &mut around.random),
            receiver: Receiver::new(around.config.playout_delay, around.config.hold, std::mem::take(&mut self.past)),
            dave,
            pings: Pings { next: now, number: 0, sent: None },
        };
        around.tell(Event::Connected { channel: self.channel, ssrc: target.ssrc });
        live.begin(actions, around, now);
        self.stage = Stage::Live(Box::new(live));
    }

    pub(super) fn run_joining(&mut self, now: Instant) {
        let Stage::Joining(joining) = &mut self.stage else { return };
        if now >= joining.until {
            self.renew(Disconnect::NoAnswer, now);
            return;
        }
        match joining.heart.beat(self.around.heartbeat_number(now), now) {
            Some(Beat::Send(nonce)) => {
                let beat = joining.room.heartbeat(nonce);
                self.around.send(joining.socket, &beat);
            }
            Some(Beat::Dead) => {
                self.renew(Disconnect::NoAnswer, now);
                return;
            }
            None => {}
        }
        if let Step::Discovering { target, next } = &mut joining.step
            && now >= *next
        {
            *next = now + DISCOVERY_REPEAT;
            let request = Request { ssrc: target.ssrc }.write().to_vec();
            self.around.transmit(target.address, request);
        }
    }
}
