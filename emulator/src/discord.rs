//! All of Discord behind the port, still without a port: world, gateway, REST, faults and counts as one machine.

use crate::config::Config;
use crate::faults::{Fault, Injection, StandingFaults};
use crate::gateway::{ConnectionId, Gateway, Output, Surroundings};
use crate::rest::{self, Answer, Request, Rest};
use crate::stats::Stats;
use crate::world::{BotToken, Terms, Timestamp, World};

/// The machine. Inputs take `now` last; after each, [`drain`](Self::drain) what must go out on websockets.
#[derive(Debug)]
pub(crate) struct Discord {
    world: World,
    gateway: Gateway,
    rest: Rest,
    faults: StandingFaults,
    stats: Stats,
    gateway_url: String,
}

/// What a websocket handshake is answered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Handshake {
    Accepted,
    Refused,
}

impl Discord {
    pub(crate) fn new(config: Config, gateway_url: &str, now: Timestamp) -> Self {
        let terms = Terms {
            bot_permissions: config.bot_permissions,
            voice_endpoint: config.voice_endpoint,
            tokens: config.tokens.map(|tokens| tokens.iter().filter_map(|token| BotToken::parse(token)).collect()),
        };
        let gateway_url = config.gateway_url.unwrap_or_else(|| gateway_url.to_owned());
        Self {
            world: World::new(terms, now),
            gateway: Gateway::new(config.gateway, gateway_url.clone()),
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
        Stats { gateway_open, sessions_open, ..self.stats.clone() }
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
        }
    }

    /// Ends every lasting fault.
    pub(crate) fn clear_faults(&mut self, now: Timestamp) {
        self.faults.clear();
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

    /// Brings what the world has to tell to the sessions.
    fn settle(&mut self, now: Timestamp) {
        let dispatches = self.world.drain();
        let mut around = Surroundings { world: &mut self.world, faults: &mut self.faults, stats: &mut self.stats };
        self.gateway.deliver(&dispatches, &mut around, now);
    }
}
