//! The session: inputs in, outputs out.

mod close;
mod heart;
mod joining;
mod live;
mod stage;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use parlor_voice_wire::{
    ChannelId,
    gateway::{ClientMessage, CloseCode, Credential, Version},
};

use self::{
    close::{Fate, fate},
    stage::{Link, Live, Server, Stage, Then},
};
use crate::{
    config::Config,
    counters::{Backlog, Counters},
    dave::{Davey, E2eeGroup},
    input::{Input, SocketId},
    media::Past,
    output::{Disconnect, Ending, Event, Output, Signal, TimeoutReason, Transmit},
};

/// A close code that ends the session at the voice server.
const CLOSE_FOR_GOOD: u16 = 1000;
/// A close code that leaves the session to be resumed.
const CLOSE_TO_RESUME: u16 = 4900;
/// How long an assignment that was asked for again may take before the bot leaves and joins.
const REPEATED_ASSIGNMENT: Duration = Duration::from_secs(5);
/// Attempts in a row after which a session gives up.
const MOST_FAILURES: u32 = 6;
/// A session that was live for so long is proof that what went wrong before is over.
const PROOF: Duration = Duration::from_secs(60);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One bot's presence in one voice channel.
///
/// It does nothing by itself. Whoever drives it hands over what happens with [`handle_input`](Self::handle_input) and then
/// calls [`poll_output`](Self::poll_output) until it returns [`Output::Timeout`] or [`Output::Over`]:
///
/// ```text
/// loop {
///     drain poll_output: send datagrams, do signals, pass events on, until Timeout(at) or Over
///     wait for one thing: main gateway update, websocket, datagram, command, or `at`
///     handle_input(that, now)
/// }
/// ```
pub struct Session<G = Davey> {
    around: Surroundings,
    stage: Stage<G>,
    /// The bot's voice state.
    channel: ChannelId,
    session_id: Option<Credential>,
    /// The voice server that is assigned.
    server: Option<Server>,
    /// Attempts in a row that failed.
    failures: u32,
    /// Nobody is let hear the bot.
    suppressed: bool,
    /// Sources of connections before this one.
    past: Past,
}

/// What every stage may look at and change besides itself.
struct Surroundings {
    config: Config,
    random: fastrand::Rng,
    began: Instant,
    sockets: u64,
    counters: Counters,
    outputs: VecDeque<Output>,
}

impl Surroundings {
    fn signal(&mut self, signal: Signal) {
        self.outputs.push_back(Output::Signal(signal));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn transmit(&mut self, destination: std::net::SocketAddr, payload: Vec<u8>) {
        self.outputs.push_back(Output::Transmit(Transmit { destination, payload }));
    }

    fn send(&mut self, socket: SocketId, message: &ClientMessage) {
        self.signal(Signal::SendText { socket, text: message.write(Version::V8) });
    }

    fn open_socket(&mut self, endpoint: &str) -> SocketId {
        self.sockets += 1;
        let socket = SocketId(self.sockets);
        let url = format!("wss://{endpoint}/?v={}", Version::V8.number());
        self.signal(Signal::OpenSocket { socket, url });
        socket
    }

    fn ask_for(&mut self, channel: Option<ChannelId>) {
        let Config { self_mute, self_deaf, .. } = self.config;
        self.signal(Signal::UpdateVoiceState { channel, self_mute, self_deaf });
    }

    /// A number for a heartbeat: milliseconds since the session began.
    fn heartbeat_number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_millis() as u64
    }

    /// Full jitter below a ceiling that doubles from one second.
    fn pause(&mut self, failures: u32) -> Duration {
        let ceiling = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures));
        ceiling.min(LONGEST_PAUSE).mul_f64(self.random.f64())
    }
}

impl<G: E2eeGroup> Session<G> {
    /// A session that asks for its channel. `seed` decides everything that is drawn by lot: where RTP numbers and nonces
    /// begin, and how long pauses are.
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let (channel, until) = (config.channel, now + config.assignment);
        let mut around = Surroundings {
            config,
            random: fastrand::Rng::with_seed(seed),
            began: now,
            sockets: 0,
            counters: Counters::default(),
            outputs: VecDeque::new(),
        };
        around.ask_for(Some(channel));
        let stage = Stage::Awaiting { until, then: Then::End };
        Self {
            around,
            stage,
            channel,
            session_id: None,
            server: None,
            failures: 0,
            suppressed: false,
            past: Past::default(),
        }
    }

    /// What the session has counted.
    pub fn counters(&self) -> &Counters {
        &self.around.counters
    }

    /// What the session keeps of what it received.
    pub fn backlog(&self) -> Backlog {
        match &self.stage {
            Stage::Live(live) => live.receiver.backlog(),
            Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Joining(_) | Stage::Ended(_) => Backlog::default(),
        }
    }

    /// The channel that the session is in, or wants to be in.
    pub fn channel(&self) -> ChannelId {
        self.channel
    }

    /// Why the session is over, if it is.
    pub fn ending(&self) -> Option<Ending> {
        match self.stage {
            Stage::Ended(ending) => Some(ending),
            Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Joining(_) | Stage::Live(_) => None,
        }
    }

    /// Whether what is [sent](Input::Send) now is heard: there is a connection, a key where the call asks for one, and nothing
    /// that [suppresses](Input::SetSuppressed) it.
    pub fn can_send(&self) -> bool {
        match &self.stage {
            Stage::Live(live) => live.dave.can_seal() && !self.suppressed,
            Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Joining(_) | Stage::Ended(_) => false,
        }
    }

    /// The group of the call, where there is one.
    pub fn group(&self) -> Option<&G> {
        match &self.stage {
            Stage::Live(live) => live.dave.group(),
            Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Joining(_) | Stage::Ended(_) => None,
        }
    }

    /// Takes note of something that happened, and of the time.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        if matches!(self.stage, Stage::Ended(_)) {
            return;
        }
        match input {
            Input::VoiceState { channel, session_id } => self.voice_state(channel, session_id, now),
            Input::VoiceServer { endpoint, token } => self.voice_server(endpoint, token, now),
            Input::SetSuppressed(suppressed) => self.suppressed = suppressed,
            Input::SocketOpened(socket) => self.socket_opened(socket, now),
            Input::Text(socket, text) => self.text(socket, text, now),
            Input::Binary(socket, bytes) => self.binary(socket, bytes, now),
            Input::SocketClosed { socket, code } => self.socket_closed(socket, code, now),
            Input::Datagram { from, bytes } => self.datagram(from, bytes, now),
            Input::Send(packet) => match &mut self.stage {
                Stage::Live(live) if !self.suppressed => live.send(packet, &mut self.around, now),
                Stage::Live(_)
                | Stage::Awaiting { .. }
                | Stage::Pausing { .. }
                | Stage::Joining(_)
                | Stage::Ended(_) => {
                    self.around.counters.unsent += 1;
                }
            },
            Input::FinishSpeaking => {
                if let Stage::Live(live) = &mut self.stage {
                    live.sender.finish(now);
                }
            }
            Input::MoveTo(channel) => self.around.ask_for(Some(channel)),
            Input::SetOptedOut { user, opted_out: true } => {
                self.around.config.opted_out.insert(user);
                if let Stage::Live(live) = &mut self.stage {
                    live.receiver.opt_out(user, &mut self.around.counters);
                }
            }
            Input::SetOptedOut { user, opted_out: false } => {
                self.around.config.opted_out.remove(&user);
            }
            Input::Leave => {
                self.disconnect(CLOSE_FOR_GOOD, now);
                self.around.ask_for(None);
                self.end(Ending::Left);
            }
            Input::Timeout => {}
        }
        self.run(now);
    }

    /// What is to be done. To be called until it returns [`Output::Timeout`] or [`Output::Over`].
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.around.outputs.pop_front() {
            return output;
        }
        match self.due() {
            Some((at, reason)) => Output::Timeout(at, reason),
            None => Output::Over,
        }
    }

    fn voice_state(&mut self, channel: Option<ChannelId>, session_id: Credential, now: Instant) {
        let Some(channel) = channel else {
            let leaving = matches!(self.stage, Stage::Awaiting { then: Then::EndAfterLeaving, .. });
            // Before the first state of its own, it speaks of a session before this one.
            if self.session_id.is_some() && !leaving {
                self.disconnect(CLOSE_FOR_GOOD, now);
                self.end(Ending::Kicked);
            }
            return;
        };
        let moved = channel != self.channel;
        let another_session = self.session_id.as_ref() != Some(&session_id);
        self.channel = channel;
        self.session_id = Some(session_id);
        match &self.stage {
            Stage::Awaiting { .. } | Stage::Pausing { .. } => self.try_to_join(now),
            Stage::Joining(_) if another_session => self.try_to_join(now),
            Stage::Live(_) if moved => {
                self.disconnect(CLOSE_FOR_GOOD, now);
                self.around.tell(Event::Disconnected(Disconnect::Moved));
                self.server = None;
                self.wait(Then::LeaveAndJoin, now);
            }
            Stage::Joining(_) | Stage::Live(_) | Stage::Ended(_) => {}
        }
    }

    fn voice_server(&mut self, endpoint: Option<String>, token: Credential, now: Instant) {
        let connected = matches!(self.stage, Stage::Joining(_) | Stage::Live(_));
        let server = endpoint.map(|endpoint| Server { endpoint, token });
        if connected && self.server == server {
            return;
        }
        self.server = server;
        if connected {
            self.disconnect(CLOSE_FOR_GOOD, now);
            self.around.tell(Event::Disconnected(Disconnect::ServerChanged));
        }
        if self.server.is_some() {
            self.try_to_join(now);
        } else {
            self.wait(Then::LeaveAndJoin, now);
        }
    }

    /// Waits for the main gateway.
    fn wait(&mut self, then: Then, now: Instant) {
        self.stage = Stage::Awaiting { until: now + self.around.config.assignment, then };
    }

    /// The session at the voice server is gone. After a pause the main gateway is asked anew.
    fn renew(&mut self, why: Disconnect, now: Instant) {
        self.disconnect(CLOSE_FOR_GOOD, now);
        self.around.tell(Event::Disconnected(why));
        self.server = None;
        self.failures += 1;
        if self.failures > MOST_FAILURES {
            self.around.ask_for(None);
            self.end(Ending::GaveUp);
            return;
        }
        let until = now + self.around.pause(self.failures - 1);
        self.stage = Stage::Pausing { until };
    }

    /// Lets go of the voice server: what came of media goes out, and the websocket is closed.
    fn disconnect(&mut self, code: u16, now: Instant) {
        let socket = match &mut self.stage {
            Stage::Joining(joining) => Some(joining.socket),
            Stage::Live(live) => {
                live.finish(&mut self.around, now);
                self.past = live.receiver.take_past();
                if now.saturating_duration_since(live.since) >= PROOF {
                    self.failures = 0;
                }
                live.link.socket()
            }
            Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Ended(_) => None,
        };
        if let Some(socket) = socket {
            self.around.signal(Signal::CloseSocket { socket, code });
        }
        self.stage = Stage::Pausing { until: now };
    }

    fn end(&mut self, ending: Ending) {
        self.around.tell(Event::Ended(ending));
        self.stage = Stage::Ended(ending);
    }

    fn socket_closed(&mut self, socket: SocketId, code: Option<u16>, now: Instant) {
        let live = match &self.stage {
            Stage::Joining(joining) if joining.socket == socket => false,
            Stage::Live(live) if live.link.socket() == Some(socket) => true,
            Stage::Joining(_) | Stage::Live(_) | Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Ended(_) => {
                return;
            }
        };
        let named = code.map(CloseCode::from_number);
        match fate(code) {
            Fate::Resume if live => self.link_lost(named, now),
            Fate::Resume | Fate::Renew => {
                self.forget_socket(now);
                self.renew(Disconnect::Closed(named), now);
            }
            Fate::Wait => {
                self.forget_socket(now);
                self.disconnect(CLOSE_FOR_GOOD, now);
                self.around.tell(Event::Disconnected(Disconnect::Closed(named)));
                self.server = None;
                self.wait(Then::End, now);
            }
            Fate::Refused(code) => {
                self.forget_socket(now);
                self.disconnect(CLOSE_FOR_GOOD, now);
                self.around.ask_for(None);
                self.end(Ending::Refused(code));
            }
        }
    }

    /// The websocket is closed already.
    fn forget_socket(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Live(live) => live.link = Link::Lost { until: now, attempts: 0 },
            Stage::Joining(_) => self.stage = Stage::Pausing { until: now },
            Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Ended(_) => {}
        }
    }

    /// Does what is due.
    fn run(&mut self, now: Instant) {
        match &self.stage {
            Stage::Awaiting { until, then } if now >= *until => match then {
                Then::End | Then::EndAfterLeaving => {
                    self.around.ask_for(None);
                    self.end(Ending::NotAssigned);
                }
                Then::LeaveAndJoin => {
                    self.around.ask_for(None);
                    self.around.ask_for(Some(self.channel));
                    self.wait(Then::EndAfterLeaving, now);
                }
            },
            Stage::Pausing { until } if now >= *until => {
                self.around.ask_for(Some(self.channel));
                self.stage = Stage::Awaiting { until: now + REPEATED_ASSIGNMENT, then: Then::LeaveAndJoin };
            }
            Stage::Joining(_) => self.run_joining(now),
            Stage::Live(_) => self.run_live(now),
            Stage::Awaiting { .. } | Stage::Pausing { .. } | Stage::Ended(_) => {}
        }
    }

    /// When something is due, and what.
    fn due(&self) -> Option<(Instant, TimeoutReason)> {
        match &self.stage {
            Stage::Awaiting { until, .. } => Some((*until, TimeoutReason::Answer)),
            Stage::Pausing { until } => Some((*until, TimeoutReason::Pause)),
            Stage::Joining(joining) => joining.due(),
            Stage::Live(live) => Live::due(live),
            Stage::Ended(_) => None,
        }
    }
}
