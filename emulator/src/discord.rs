//! All of Discord behind the port, still without a port: world, gateway, REST, faults and counts as one machine.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::config::Config;
use crate::faults::{Fault, Injection, StandingFaults};
use crate::gateway::{ConnectionId, Gateway, Output, Surroundings};
use crate::rest::{self, Answer, Request, Rest};
use crate::stats::Stats;
use crate::voice::{self, Voice, VoiceConnectionId, VoiceOutput};
use crate::world::{BotToken, Terms, Timestamp, World};

/// The machine. Inputs take `now` last; after each, [`drain`](Self::drain) what must go out on websockets.
#[derive(Debug)]
pub(crate) struct Discord {
    world: World,
    gateway: Gateway,
    voice: Voice,
    rest: Rest,
    faults: StandingFaults,
    stats: Stats,
    gateway_url: String,
}

/// Where clients are told that the emulator is.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The gateway, without a trailing slash; the configuration's word comes first.
    pub gateway_url: String,
    /// The voice gateway, `host:port`; the configuration's word comes first.
    pub voice_endpoint: String,
    /// Media.
    pub media: SocketAddrV4,
}

impl Places {
    /// Places that nobody can go to, for a machine without sockets.
    pub(crate) fn nowhere() -> Self {
        Self {
            gateway_url: "ws://discord.invalid".to_owned(),
            voice_endpoint: "discord.invalid:443".to_owned(),
            media: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 50_100),
        }
    }
}

/// What a websocket handshake is answered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Handshake {
    Accepted,
    Refused,
}

impl Discord {
    pub(crate) fn new(config: Config, places: Places, now: Timestamp) -> Self {
        let terms = Terms {
            bot_permissions: config.bot_permissions,
            voice_endpoint: config.voice.endpoint.clone().unwrap_or(places.voice_endpoint),
            tokens: config.tokens.map(|tokens| tokens.iter().filter_map(|token| BotToken::parse(token)).collect()),
        };
        let gateway_url = config.gateway_url.unwrap_or(places.gateway_url);
        Self {
            world: World::new(terms, now),
            gateway: Gateway::new(config.gateway, gateway_url.clone()),
            voice: Voice::new(config.voice, places.media),
            rest: Rest::new(config.rest),
            faults: StandingFaults::default(),
            stats: Stats::default(),
            gateway_url,
        }
    }

    pub(crate) const fn world(&self) -> &World {
        &self.world
    }

    pub(crate) const fn faults(&self) -> &StandingFaults {
        &self.faults
    }

    /// Counts, with the open ones as of now.
    pub(crate) fn stats(&self) -> Stats {
        let (gateway_open, sessions_open) = self.gateway.census();
        let mut stats = Stats { gateway_open, sessions_open, ..self.stats.clone() };
        self.voice.count(&mut stats.voice);
        stats
    }

    pub(crate) fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// Takes what must go out on websockets, in order.
    pub(crate) fn drain(&mut self) -> Vec<Output> {
        self.gateway.drain()
    }

    /// A client asks for a websocket.
    pub(crate) fn handshake(&mut self) -> Handshake {
        if self.faults.refuses_handshakes() {
            self.stats.handshakes_refused += 1;
            Handshake::Refused
        } else {
            Handshake::Accepted
        }
    }

    pub(crate) fn open(&mut self, version: Option<u8>, now: Timestamp) -> ConnectionId {
        self.with_gateway(now, |gateway, around| gateway.open(version, around, now))
    }

    pub(crate) fn receive(&mut self, id: ConnectionId, text: &str, now: Timestamp) {
        self.with_gateway(now, |gateway, around| gateway.receive(id, text, around, now));
    }

    pub(crate) fn receive_binary(&mut self, id: ConnectionId, now: Timestamp) {
        self.with_gateway(now, |gateway, around| gateway.receive_binary(id, around, now));
    }

    pub(crate) fn closed(&mut self, id: ConnectionId, code: Option<u16>, now: Timestamp) {
        self.with_gateway(now, |gateway, around| gateway.closed(id, code, around, now));
    }

    pub(crate) fn tick(&mut self, now: Timestamp) {
        self.with_gateway(now, |gateway, around| gateway.tick(around, now));
        self.with_voice(now, |voice, around| voice.tick(around, now));
    }

    /// Takes what the voice server must send, in order.
    pub(crate) fn drain_voice(&mut self) -> Vec<VoiceOutput> {
        self.voice.drain()
    }

    pub(crate) fn open_voice(&mut self, version: Option<u8>, now: Timestamp) -> VoiceConnectionId {
        self.with_voice(now, |voice, around| voice.open(version, around, now))
    }

    pub(crate) fn receive_voice(&mut self, id: VoiceConnectionId, text: &str, now: Timestamp) {
        self.with_voice(now, |voice, around| voice.receive(id, text, around, now));
    }

    pub(crate) fn receive_voice_binary(&mut self, id: VoiceConnectionId, bytes: &[u8], now: Timestamp) {
        self.with_voice(now, |voice, around| voice.receive_binary(id, bytes, around, now));
    }

    pub(crate) fn closed_voice(&mut self, id: VoiceConnectionId, now: Timestamp) {
        self.with_voice(now, |voice, around| voice.closed(id, around, now));
    }

    /// When the voice server has something to send next, without being asked; `None` = not within the next tick.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.voice.next_due()
    }

    /// A datagram for the voice server, which may be changed.
    pub(crate) fn datagram(&mut self, from: SocketAddr, bytes: &mut [u8], now: Timestamp) {
        self.with_voice(now, |voice, around| voice.datagram(from, bytes, around, now));
    }

    /// A fault strikes, or stands from now on.
    pub(crate) fn inject(&mut self, injection: Injection, now: Timestamp) {
        match injection.fault {
            Fault::DropConnections
            | Fault::RequestReconnect
            | Fault::InvalidateSession { .. }
            | Fault::Close { .. }
            | Fault::KillSessions
            | Fault::RequestHeartbeat
            | Fault::SendPayload { .. } => {
                self.with_gateway(now, |gateway, around| {
                    gateway.strike(&injection.fault, injection.bot, around, now);
                });
            }
            Fault::RefuseConnections
            | Fault::RefuseTcp
            | Fault::AcceptThenClose { .. }
            | Fault::GreetWith { .. }
            | Fault::NameResumeUrl { .. }
            | Fault::HoldGuildCreates
            | Fault::ReverseDispatches
            | Fault::HoldHeartbeatAcks
            | Fault::HoldRest
            | Fault::SwallowDispatches { .. }
            | Fault::DuplicateDispatches { .. }
            | Fault::RepeatDispatches { .. }
            | Fault::RefuseIdentifies { .. }
            | Fault::NextRest { .. } => self.faults.add(injection),
            Fault::Rest(fault) => self.faults.trouble(fault, injection.bot, now),
            Fault::Voice { trouble } if trouble.is_momentary() => {
                self.with_voice(now, |voice, around| voice.strike(trouble, injection.bot, around, now));
                self.settle(now);
            }
            Fault::Voice { trouble } => {
                self.voice.endure(trouble, injection.bot);
                self.faults.add(injection);
            }
        }
    }

    /// Ends every lasting fault.
    pub(crate) fn clear_faults(&mut self, now: Timestamp) {
        self.faults.clear();
        self.voice.clear_troubles();
        self.with_gateway(now, |gateway, around| gateway.pay_guild_creates(around, now));
    }

    /// Lets a script act on the world.
    pub(crate) fn act<R>(&mut self, now: Timestamp, script: impl FnOnce(&mut World) -> R) -> R {
        self.world.set_now(now);
        let outcome = script(&mut self.world);
        self.settle(now);
        outcome
    }

    /// Answers a REST request.
    pub(crate) fn rest(&mut self, request: &Request<'_>, now: Timestamp) -> Answer {
        self.world.set_now(now);
        let mut around = rest::Surroundings {
            world: &mut self.world,
            gateway: &self.gateway,
            gateway_url: &self.gateway_url,
            faults: &mut self.faults,
            stats: &mut self.stats,
        };
        let answer = self.rest.answer(request, &mut around, now);
        self.settle(now);
        answer
    }

    fn with_gateway<R>(&mut self, now: Timestamp, step: impl FnOnce(&mut Gateway, &mut Surroundings<'_>) -> R) -> R {
        self.world.set_now(now);
        let mut around = Surroundings { world: &mut self.world, faults: &mut self.faults, stats: &mut self.stats };
        let outcome = step(&mut self.gateway, &mut around);
        self.settle(now);
        outcome
    }

    fn with_voice<R>(&mut self, now: Timestamp, step: impl FnOnce(&mut Voice, &mut voice::Surroundings<'_>) -> R) -> R {
        self.world.set_now(now);
        let mut around = voice::Surroundings { world: &mut self.world, stats: &mut self.stats };
        step(&mut self.voice, &mut around)
    }

    /// Brings what the world has to tell to the sessions.
    fn settle(&mut self, now: Timestamp) {
        let dispatches = self.world.drain();
        let mut around = Surroundings { world: &mut self.world, faults: &mut self.faults, stats: &mut self.stats };
        self.gateway.deliver(&dispatches, &mut around, now);
        self.with_voice(now, |voice, around| voice.settle(around, now));
    }
}
