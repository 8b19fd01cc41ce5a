//! The emulator without its sockets: for whoever brings bytes and time along, as fuzzing does.

use core::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode};

use crate::config::Config;
use crate::control::{self, ControlAnswer, ControlRequest};
use crate::discord::{Discord, Handshake, Places};
use crate::faults::Injection;
use crate::gateway::{ConnectionId, Output};
use crate::rest::{self, Answer};
use crate::stats::Stats;
use crate::voice::{Frame, VoiceConnectionId, VoiceOutput};
use crate::world::{Timestamp, World};

/// What stands for `host:port` where there is no port.
const ADDR: &str = "discord.invalid";

/// A Discord as a pure machine, the one that [`Emulator`](crate::Emulator) puts behind a port. Inputs take `now` last,
/// which never runs backwards; after each, [`sent`](Self::sent) says what would go out on gateway connections.
#[derive(Debug)]
pub struct Machine {
    discord: Discord,
}

/// A gateway connection of a [`Machine`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Connection(ConnectionId);

/// What goes out on a gateway connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sent {
    /// A payload, as JSON.
    Payload(Connection, Arc<str>),
    /// The connection's end, with the code of the close frame; `None` = broken off without one.
    End(Connection, Option<u16>),
}

/// A WebSocket of the voice gateway of a [`Machine`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct VoiceConnection(VoiceConnectionId);

/// What goes out from the voice server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum VoiceSent {
    /// A text frame.
    Text(VoiceConnection, String),
    /// A binary frame.
    Binary(VoiceConnection, Vec<u8>),
    /// The connection's end, with the code of the close frame; `None` = broken off without one.
    End(VoiceConnection, Option<u16>),
    /// A datagram, and where it goes.
    Datagram(SocketAddr, Vec<u8>),
}

impl Machine {
    /// A Discord with the world that every emulator starts with.
    pub fn new(config: Config, now: Timestamp) -> Self {
        Self { discord: Discord::new(config, Places::nowhere(), now) }
    }

    /// The world as it is.
    pub const fn world(&self) -> &World {
        self.discord.world()
    }

    /// Counts of what clients did.
    pub fn stats(&self) -> Stats {
        self.discord.stats()
    }

    /// A client opens a gateway connection with this API version (none = the current one). `None` where a fault refuses.
    pub fn open(&mut self, version: Option<u8>, now: Timestamp) -> Option<Connection> {
        match self.discord.handshake() {
            Handshake::Accepted => Some(Connection(self.discord.open(version, now))),
            Handshake::Refused => None,
        }
    }

    /// A client sends a text frame.
    pub fn receive(&mut self, connection: Connection, text: &str, now: Timestamp) {
        self.discord.receive(connection.0, text, now);
    }

    /// A client sends a binary frame.
    pub fn receive_binary(&mut self, connection: Connection, now: Timestamp) {
        self.discord.receive_binary(connection.0, now);
    }

    /// A client has closed its connection, with this code if it sent a close frame.
    pub fn closed(&mut self, connection: Connection, code: Option<u16>, now: Timestamp) {
        self.discord.closed(connection.0, code, now);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp) {
        self.discord.tick(now);
    }

    /// Takes what goes out on gateway connections, in order.
    pub fn sent(&mut self) -> Vec<Sent> {
        let outputs = self.discord.drain().into_iter();
        outputs
            .map(|output| match output {
                Output::Send(id, text) => Sent::Payload(Connection(id), text),
                Output::Close(id, reason) => Sent::End(Connection(id), Some(reason.code())),
                Output::Drop(id) => Sent::End(Connection(id), None),
            })
            .collect()
    }

    /// A client opens a WebSocket of the voice gateway with this version.
    pub fn open_voice(&mut self, version: Option<u8>, now: Timestamp) -> VoiceConnection {
        VoiceConnection(self.discord.open_voice(version, now))
    }

    /// A voice client sends a text frame.
    pub fn receive_voice(&mut self, connection: VoiceConnection, text: &str, now: Timestamp) {
        self.discord.receive_voice(connection.0, text, now);
    }

    /// A voice client sends a binary frame.
    pub fn receive_voice_binary(&mut self, connection: VoiceConnection, bytes: &[u8], now: Timestamp) {
        self.discord.receive_voice_binary(connection.0, bytes, now);
    }

    /// A voice client's WebSocket is gone.
    pub fn closed_voice(&mut self, connection: VoiceConnection, now: Timestamp) {
        self.discord.closed_voice(connection.0, now);
    }

    /// A datagram comes to the voice server.
    pub fn receive_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Timestamp) {
        self.discord.datagram(from, &mut bytes.to_vec(), now);
    }

    /// Takes what goes out from the voice server, in order.
    pub fn voice_sent(&mut self) -> Vec<VoiceSent> {
        let outputs = self.discord.drain_voice().into_iter();
        outputs
            .map(|output| match output {
                VoiceOutput::Send(id, Frame::Text(text)) => VoiceSent::Text(VoiceConnection(id), text),
                VoiceOutput::Send(id, Frame::Binary(bytes)) => VoiceSent::Binary(VoiceConnection(id), bytes),
                VoiceOutput::Close(id, code) => VoiceSent::End(VoiceConnection(id), Some(code.number())),
                VoiceOutput::Drop(id) => VoiceSent::End(VoiceConnection(id), None),
                VoiceOutput::Datagram(to, bytes) => VoiceSent::Datagram(to, bytes),
            })
            .collect()
    }

    /// A client asks something of REST, with a path below `/api`.
    pub fn rest(&mut self, request: &Request<Vec<u8>>, now: Timestamp) -> Answer {
        let (uri, body) = (request.uri(), request.body());
        let (method, headers) = (request.method(), request.headers());
        let request = rest::Request { method, path: uri.path(), query: uri.query().unwrap_or(""), headers, body };
        self.discord.rest(&request, now)
    }

    /// A script acts on the world.
    pub fn act<R>(&mut self, now: Timestamp, script: impl FnOnce(&mut World) -> R) -> R {
        self.discord.act(now, script)
    }

    /// Something goes wrong from now on: a [`Fault`](crate::Fault) or a [`RestFault`](crate::RestFault) for all bots, or
    /// `fault.only(bot)`. [`Fault::HoldRest`](crate::Fault::HoldRest) and [`Fault::RefuseTcp`](crate::Fault::RefuseTcp)
    /// concern sockets, of which there are none here.
    pub fn inject(&mut self, fault: impl Into<Injection>, now: Timestamp) {
        self.discord.inject(fault.into(), now);
    }

    /// Ends every fault that lasts.
    pub fn clear_faults(&mut self, now: Timestamp) {
        self.discord.clear_faults(now);
    }

    /// A person asks something of the control API, with a path below `/control`.
    pub fn control(&mut self, request: &Request<Vec<u8>>, now: Timestamp) -> Response<String> {
        let (uri, body) = (request.uri(), request.body());
        let (path, query) = (uri.path(), uri.query().unwrap_or(""));
        let request = ControlRequest { method: request.method(), path, query, body, addr: ADDR };
        let (status, text) = match control::answer(&mut self.discord, &request, now) {
            ControlAnswer::Text(text) => (200, text),
            ControlAnswer::Json(value) => (200, value.to_string()),
            ControlAnswer::Refused(error) => {
                (error.status(), serde_json::json!({"error": error.to_string()}).to_string())
            }
        };
        let mut response = Response::new(text);
        *response.status_mut() = StatusCode::from_u16(status).expect("the control API knows five statuses");
        response
    }
}
