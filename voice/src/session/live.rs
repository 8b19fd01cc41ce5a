//! With a key: media, end-to-end encryption, and a websocket that may come and go.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use parlor_voice_wire::{
    Ssrc, UserId,
    discovery::{Ping, Response},
    gateway::{
        ClientMessage, CloseCode, DaveServerMessage, Resume, SequenceAck, ServerMessage, SpeakingFlags, Version,
    },
    rtp,
};

use super::{
    CLOSE_TO_RESUME, Session, Surroundings,
    heart::{Beat, Heart},
    stage::{Link, Live, Room, Stage},
};
use crate::{
    dave::{Action, E2eeGroup},
    input::SocketId,
    media::{Judges, Sent},
    output::{Disconnect, Event, Output, Signal, TimeoutReason},
};

/// Between two pings; Discord's own client sends one as often.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// From opening a websocket to being resumed.
const RESUME_TIME: Duration = Duration::from_secs(10);
/// Attempts to resume in a row after which the session is given up.
const MOST_RESUMES: u32 = 4;

impl Room {
    /// A heartbeat with what was seen last.
    pub(super) fn heartbeat(&self, nonce: u64) -> ClientMessage {
        ClientMessage::Heartbeat { nonce, seq_ack: self.seen() }
    }

    fn seen(&self) -> SequenceAck {
        self.last_sequence.map_or(SequenceAck::None, SequenceAck::Seen)
    }
}

impl<G: E2eeGroup> Live<G> {
    /// The key has come: what was kept until now is done.
    pub(super) fn begin(&mut self, actions: Vec<Action>, around: &mut Surroundings, now: Instant) {
        // Media comes only to who has spoken of its source.
        self.say(&self.sender.announcement(), around);
        let present: Vec<UserId> = self.room.present.iter().copied().collect();
        around.tell(Event::UsersJoined(present));
        self.act(actions, around, now);
        for (ssrc, user) in std::mem::take(&mut self.room.announced) {
            self.source(ssrc, user, SpeakingFlags::SILENT, around, now);
        }
        for bytes in std::mem::take(&mut self.room.early) {
            if let Ok(early) = DaveServerMessage::read(&bytes, Version::V8) {
                self.dave_message(early.message, around, now);
            }
        }
    }

    fn say(&self, message: &ClientMessage, around: &mut Surroundings) {
        if let Some(socket) = self.link.writable() {
            around.send(socket, message);
        }
    }

    pub(super) fn send(&mut self, packet: &[u8], around: &mut Surroundings, now: Instant) {
        let sent = self.sender.send(packet, &mut self.dave, &mut around.counters, now);
        self.pass_on(sent, around);
    }

    fn pass_on(&self, sent: Vec<Sent>, around: &mut Surroundings) {
        for sent in sent {
            match sent {
                Sent::Datagram(bytes) => around.transmit(self.server, bytes),
                Sent::Message(message) => self.say(&message, around),
            }
        }
    }

    /// Everybody who may be in the group.
    fn recognised(&self, around: &Surroundings) -> std::collections::BTreeSet<UserId> {
        let mut users = self.room.present.clone();
        users.insert(around.config.user);
        users
    }

    pub(super) fn dave_message(&mut self, message: DaveServerMessage<'_>, around: &mut Surroundings, now: Instant) {
        let recognised = self.recognised(around);
        let actions = self.dave.binary(message, &recognised, now);
        self.act(actions, around, now);
    }

    fn act(&mut self, actions: Vec<Action>, around: &mut Surroundings, now: Instant) {
        for action in actions {
            match action {
                Action::Text(message) => self.say(&message, around),
                Action::Binary(bytes) => {
                    if let Some(socket) = self.link.writable() {
                        around.signal(Signal::SendBinary { socket, bytes });
                    }
                }
                Action::RetryHeld => {
                    let (receiver, mut judges) = self.receiving(around);
                    receiver.retry(&mut judges, now);
                }
                Action::Tell(encryption) => around.tell(Event::Encryption(encryption)),
                Action::Recovering => around.counters.recoveries += 1,
                Action::Unusable => around.counters.unusable_messages += 1,
            }
        }
    }

    fn receiving<'a>(&'a mut self, around: &'a mut Surroundings) -> (&'a mut crate::media::Receiver, Judges<'a, G>) {
        let judges = Judges {
            dave: &mut self.dave,
            opted_out: &around.config.opted_out,
            informed: self.link.writable().is_some(),
            counters: &mut around.counters,
        };
        (&mut self.receiver, judges)
    }

    fn source(&mut self, ssrc: Ssrc, user: UserId, flags: SpeakingFlags, around: &mut Surroundings, now: Instant) {
        around.tell(Event::Source { user, ssrc, flags });
        let (receiver, mut judges) = self.receiving(around);
        receiver.claim(ssrc, user, &mut judges, now);
    }

    fn packet(&mut self, bytes: &mut [u8], around: &mut Surroundings, now: Instant) {
        if rtp::is_rtcp(bytes) {
            match self.opener.open_rtcp(bytes) {
                Ok(_) => around.counters.rtcp += 1,
                Err(_) => around.counters.rejected += 1,
            }
            return;
        }
        if let Some(ping) = Ping::read_answer(bytes) {
            if ping.number == self.pings.number {
                let took = self.pings.sent.take().map(|sent| now.saturating_duration_since(sent));
                around.counters.round_trip = took.or(around.counters.round_trip);
            }
            return;
        }
        // The answer to a discovery request that was repeated.
        if Response::read(bytes).is_ok() {
            return;
        }
        self.dave.expire(now);
        match self.opener.open_rtp(bytes) {
            Ok((header, body)) if header.payload_type == rtp::OPUS => {
                let judges = &mut Judges {
                    dave: &mut self.dave,
                    opted_out: &around.config.opted_out,
                    informed: self.link.writable().is_some(),
                    counters: &mut around.counters,
                };
                self.receiver.packet(&header, body.payload, judges, now);
            }
            Ok(_) | Err(_) => around.counters.rejected += 1,
        }
    }

    /// What is due of media.
    fn run_media(&mut self, around: &mut Surroundings, now: Instant) {
        self.dave.expire(now);
        let sent = self.sender.run(&mut around.counters, now);
        self.pass_on(sent, around);
        if now >= self.pings.next {
            self.pings.next = now + PING_INTERVAL;
            self.pings.number = self.pings.number.wrapping_add(1);
            self.pings.sent = Some(now);
            around.transmit(self.server, Ping { number: self.pings.number }.write().to_vec());
        }
        self.deliver(around, now);
    }

    fn deliver(&mut self, around: &mut Surroundings, now: Instant) {
        let judges = &mut Judges {
            dave: &mut self.dave,
            opted_out: &around.config.opted_out,
            informed: self.link.writable().is_some(),
            counters: &mut around.counters,
        };
        let outputs = &mut around.outputs;
        self.receiver.run(judges, now, |event| outputs.push_back(Output::Event(event)));
    }

    /// The connection is over: what came goes out.
    pub(super) fn finish(&mut self, around: &mut Surroundings, now: Instant) {
        self.receiver.flush(&mut around.counters);
        self.deliver(around, now);
    }

    pub(super) fn due(live: &Self) -> Option<(Instant, TimeoutReason)> {
        let link = match &live.link {
            Link::Attached { heart, .. } => heart.due().map(|at| (at, TimeoutReason::Heartbeat)),
            Link::Lost { until, .. } => Some((*until, TimeoutReason::Pause)),
            Link::Opening { until, .. } => Some((*until, TimeoutReason::Answer)),
            Link::Resuming { heart, until, .. } => {
                let beat = heart.due().map(|at| (at, TimeoutReason::Heartbeat));
                beat.into_iter().chain([(*until, TimeoutReason::Answer)]).min()
            }
        };
        let silence = live.sender.due().map(|at| (at, TimeoutReason::Silence));
        let playout = live.receiver.due().map(|at| (at, TimeoutReason::Playout));
        [link, silence, playout, Some((live.pings.next, TimeoutReason::Ping))].into_iter().flatten().min()
    }
}

impl<G: E2eeGroup> Session<G> {
    pub(super) fn datagram(&mut self, from: SocketAddr, bytes: &mut [u8], now: Instant) {
        match &mut self.stage {
            Stage::Joining(_) => self.discovered(from, bytes),
            Stage::Live(live) if from == live.server => live.packet(bytes, &mut self.around, now),
            Stage::Live(_) | Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Ended(_) => {
                self.around.counters.rejected += 1;
            }
        }
    }

    pub(super) fn live_message(&mut self, message: ServerMessage, now: Instant) {
        let Stage::Live(live) = &mut self.stage else { return };
        let around = &mut self.around;
        match message {
            ServerMessage::Hello(hello) => {
                let chance = around.random.f64();
                if let Some(heart) = live.link.heart() {
                    *heart = Heart::start(hello.heartbeat_interval, chance, now);
                }
            }
            ServerMessage::HeartbeatAck { nonce } => {
                if let Some(heart) = live.link.heart() {
                    heart.answered(nonce);
                }
            }
            ServerMessage::HeartbeatDemanded => {
                if let Some(heart) = live.link.heart() {
                    heart.demand(now);
                }
            }
            ServerMessage::Resumed => {
                if let Link::Resuming { socket, heart, .. } = &mut live.link {
                    let heart = std::mem::replace(heart, Heart::Stopped);
                    live.link = Link::Attached { socket: *socket, heart };
                    around.tell(Event::Resumed);
                    live.say(&live.sender.announcement(), around);
                }
            }
            ServerMessage::ClientsConnect(clients) => {
                live.room.present.extend(&clients.user_ids);
                around.tell(Event::UsersJoined(clients.user_ids));
                let actions = live.dave.recognised(&live.recognised(around));
                live.act(actions, around, now);
            }
            ServerMessage::ClientDisconnect(client) => {
                live.room.present.remove(&client.user_id);
                live.receiver.left(client.user_id, &mut around.counters);
                live.deliver(around, now);
                around.tell(Event::UserLeft(client.user_id));
            }
            ServerMessage::Speaking(speaking) => {
                live.source(speaking.ssrc, speaking.user_id, speaking.speaking, around, now);
            }
            ServerMessage::Video(video) if video.audio_ssrc.get() != 0 => {
                live.source(video.audio_ssrc, video.user_id, SpeakingFlags::SILENT, around, now);
            }
            ServerMessage::PrepareTransition(told) => {
                let actions = live.dave.prepare_transition(told, now);
                live.act(actions, around, now);
            }
            ServerMessage::ExecuteTransition(told) => {
                let actions = live.dave.execute_transition(told.transition_id, now);
                live.act(actions, around, now);
            }
            ServerMessage::PrepareEpoch(told) => {
                let actions = live.dave.prepare_epoch(told, now);
                live.act(actions, around, now);
            }
            ServerMessage::Ready(_)
            | ServerMessage::SessionDescription(_)
            | ServerMessage::Video(_)
            | ServerMessage::ClientFlags(_)
            | ServerMessage::ClientPlatform(_)
            | ServerMessage::Other { .. } => {}
        }
    }

    /// The websocket of a live session broke off in a way that leaves the session.
    pub(super) fn link_lost(&mut self, code: Option<CloseCode>, now: Instant) {
        let Stage::Live(live) = &mut self.stage else { return };
        let attempts = live.link.attempts();
        if attempts >= MOST_RESUMES {
            live.link = Link::Lost { until: now, attempts };
            self.renew(Disconnect::Closed(code), now);
            return;
        }
        if attempts == 0 {
            self.around.tell(Event::Interrupted(code));
        }
        let until = now + self.around.pause(attempts);
        live.link = Link::Lost { until, attempts: attempts + 1 };
    }

    /// The websocket is open again.
    pub(super) fn resume(&mut self, socket: SocketId, now: Instant) {
        let Stage::Live(live) = &mut self.stage else { return };
        let (Some(session_id), Some(server)) = (&self.session_id, &self.server) else { return };
        let Link::Opening { attempts, .. } = live.link else { return };
        live.link = Link::Resuming { socket, heart: Heart::Stopped, until: now + RESUME_TIME, attempts };
        let resume = ClientMessage::Resume(Resume {
            server_id: self.around.config.guild,
            session_id: session_id.clone(),
            token: server.token.clone(),
            seq_ack: live.room.seen(),
        });
        self.around.send(socket, &resume);
    }

    pub(super) fn run_live(&mut self, now: Instant) {
        let Stage::Live(live) = &mut self.stage else { return };
        let number = self.around.heartbeat_number(now);
        let beat = live.link.heart().and_then(|heart| heart.beat(number, now));
        let dead = match (&mut live.link, beat) {
            (Link::Attached { socket, .. } | Link::Resuming { socket, .. }, Some(Beat::Send(nonce))) => {
                let beat = live.room.heartbeat(nonce);
                self.around.send(*socket, &beat);
                None
            }
            (Link::Attached { socket, .. } | Link::Resuming { socket, .. }, Some(Beat::Dead)) => Some(*socket),
            (Link::Opening { socket, until, .. } | Link::Resuming { socket, until, .. }, None) if now >= *until => {
                Some(*socket)
            }
            (Link::Lost { until, attempts }, _) if now >= *until => {
                if let Some(server) = &self.server {
                    let socket = self.around.open_socket(&server.endpoint);
                    live.link = Link::Opening { socket, until: now + RESUME_TIME, attempts: *attempts };
                }
                None
            }
            (Link::Attached { .. } | Link::Resuming { .. } | Link::Opening { .. } | Link::Lost { .. }, _) => None,
        };
        if let Some(socket) = dead {
            self.around.signal(Signal::CloseSocket { socket, code: CLOSE_TO_RESUME });
            self.link_lost(None, now);
        }
        if let Stage::Live(live) = &mut self.stage {
            live.run_media(&mut self.around, now);
        }
    }
}
