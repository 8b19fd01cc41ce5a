//! Discord's main gateway as a pure machine: connections, sessions, what they may do and what they are told.
//!
//! ```text
//!  open ──► Greeted ──IDENTIFY / RESUME──► Attached(session) ──closed, dropped──► session Detached
//!              ▲                               │                                    │        │
//!              └────── op 9 d=false ───────────┘              RESUME ◄──────────────┘        └─ 180 s, 1000/1001: over
//! ```
//! Inputs are methods that take `now` last; what must go out is collected in [`Output`]s and drained.

mod close;
mod identify;
mod intents;
mod payload;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

pub use intents::Intents;

pub(crate) use close::CloseReason;
use identify::IdentifyBudget;
use payload::{ClientPayload, PayloadError, RequestChannelInfo, RequestGuildMembers};
use session::{Fate, Link, Session};

use crate::config::GatewayLimits;
use crate::faults::{Delivery, Fault, StandingFaults};
use crate::stats::Stats;
use crate::world::{Audience, Channel, Dispatch, EventKind, Timestamp, UserId, World, wire};

/// A gateway websocket.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ConnectionId(u64);

/// What the shell must do on a websocket.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Send a text payload.
    Send(ConnectionId, Arc<str>),
    /// Send a close frame and end.
    Close(ConnectionId, CloseReason),
    /// End without a close frame.
    Drop(ConnectionId),
}

/// Everything that the gateway machine may look at and change besides itself.
pub(crate) struct Surroundings<'a> {
    pub world: &'a mut World,
    pub faults: &'a mut StandingFaults,
    pub stats: &'a mut Stats,
}

#[derive(Debug)]
struct Connection {
    stage: Stage,
    last_heartbeat: Timestamp,
    sends: SendWindow,
}

/// How far a connection has come.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Stage {
    /// Hello was sent.
    Greeted,
    /// It carries this session.
    Attached(String),
}

/// Counts what a client sends: 120 payloads in 60 seconds on Discord.
#[derive(Debug)]
struct SendWindow {
    since: Timestamp,
    sent: u32,
}

impl SendWindow {
    fn admits(&mut self, limits: &GatewayLimits, now: Timestamp) -> bool {
        if now.since(self.since) >= limits.sends_window {
            *self = Self { since: now, sent: 0 };
        }
        self.sent += 1;
        self.sent <= limits.sends
    }
}

/// The gateway's whole state.
#[derive(Debug)]
pub(crate) struct Gateway {
    limits: GatewayLimits,
    resume_url: String,
    connections_opened: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    sessions: BTreeMap<String, Session>,
    budgets: BTreeMap<UserId, IdentifyBudget>,
    outputs: Vec<Output>,
    /// Sessions whose GUILD_CREATEs a fault holds back.
    owed: Vec<String>,
}

impl Gateway {
    pub(crate) fn new(limits: GatewayLimits, resume_url: String) -> Self {
        Self {
            limits,
            resume_url,
            connections_opened: 0,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            budgets: BTreeMap::new(),
            outputs: Vec::new(),
            owed: Vec::new(),
        }
    }

    /// Takes what must go out, in order.
    pub(crate) fn drain(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    pub(crate) const fn limits(&self) -> &GatewayLimits {
        &self.limits
    }

    /// A websocket was opened with API version `version` (none = the current one).
    pub(crate) fn open(&mut self, version: Option<u8>, around: &mut Surroundings<'_>, now: Timestamp) -> ConnectionId {
        self.connections_opened += 1;
        let id = ConnectionId(self.connections_opened);
        let sends = SendWindow { since: now, sent: 0 };
        self.connections.insert(id, Connection { stage: Stage::Greeted, last_heartbeat: now, sends });
        around.stats.gateway_opened += 1;
        if !matches!(version, None | Some(9 | 10)) {
            self.close(id, CloseReason::InvalidApiVersion, around, now);
            return id;
        }
        if let Some(text) = around.faults.greeting() {
            self.outputs.push(Output::Send(id, text.into()));
        }
        let interval = self.limits.heartbeat_interval.as_millis() as u64;
        self.send(id, 10, &json!({"heartbeat_interval": interval, "_trace": [TRACE]}));
        match around.faults.ends_after_hello() {
            Some(Some(code)) => self.close(id, CloseReason::Scripted(code), around, now),
            Some(None) => self.cut(id, now),
            None => {}
        }
        id
    }

    /// A text frame came in.
    pub(crate) fn receive(&mut self, id: ConnectionId, text: &str, around: &mut Surroundings<'_>, now: Timestamp) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if text.len() > self.limits.payload_bytes {
            return self.close(id, CloseReason::DecodeError, around, now);
        }
        if !connection.sends.admits(&self.limits, now) {
            return self.close(id, CloseReason::RateLimited, around, now);
        }
        let stage = connection.stage.clone();
        let payload = match ClientPayload::parse(text) {
            Ok(payload) => payload,
            Err(PayloadError::Decode) => return self.close(id, CloseReason::DecodeError, around, now),
            Err(PayloadError::Opcode) => return self.close(id, CloseReason::UnknownOpcode, around, now),
        };
        match (payload, stage) {
            (ClientPayload::Heartbeat, _) => self.heartbeat(id, around, now),
            (ClientPayload::Identify(identify), Stage::Greeted) => self.identify(id, &identify, around, now),
            (ClientPayload::Resume(resume), Stage::Greeted) => self.resume(id, &resume, around, now),
            (ClientPayload::Identify(_) | ClientPayload::Resume(_), Stage::Attached(_)) => {
                self.close(id, CloseReason::AlreadyAuthenticated, around, now);
            }
            (ClientPayload::VoiceStateUpdate(request), Stage::Attached(session)) => {
                let Some(bot) = self.sessions.get(&session).map(|session| session.bot) else { return };
                if let Err(refusal) = around.world.bot_voice(bot, &session, &request) {
                    // Discord says nothing to the client either (Voice Connections § Connecting to Voice).
                    tracing::debug!(%bot, %refusal, "op 4 stays without an answer");
                }
            }
            (ClientPayload::RequestGuildMembers(request), Stage::Attached(session)) => {
                self.send_members(&session, &request, around, now);
            }
            (ClientPayload::RequestChannelInfo(request), Stage::Attached(session)) => {
                self.send_channel_info(&session, &request, around, now);
            }
            (ClientPayload::Ignored, Stage::Attached(_)) => {}
            (
                ClientPayload::VoiceStateUpdate(_)
                | ClientPayload::RequestGuildMembers(_)
                | ClientPayload::RequestChannelInfo(_)
                | ClientPayload::Ignored,
                Stage::Greeted,
            ) => self.close(id, CloseReason::NotAuthenticated, around, now),
        }
    }

    /// A binary frame came in: ETF, which this gateway does not speak.
    pub(crate) fn receive_binary(&mut self, id: ConnectionId, around: &mut Surroundings<'_>, now: Timestamp) {
        if self.connections.contains_key(&id) {
            self.close(id, CloseReason::DecodeError, around, now);
        }
    }

    /// The websocket is gone. A close frame with 1000 or 1001 ends the session; anything else leaves it resumable.
    pub(crate) fn closed(
        &mut self,
        id: ConnectionId,
        code: Option<u16>,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        let Some(session) = self.detach(id, now) else { return };
        if matches!(code, Some(1000 | 1001)) {
            self.end_session(&session, around);
        }
    }

    /// Time passed: silent connections are closed with 4009, and sessions that nobody resumed end.
    pub(crate) fn tick(&mut self, around: &mut Surroundings<'_>, now: Timestamp) {
        let patience = self.limits.heartbeat_interval + self.limits.heartbeat_interval / 2;
        let silent: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| now.since(connection.last_heartbeat) > patience)
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            self.close(id, CloseReason::SessionTimedOut, around, now);
        }
        let expired: Vec<String> = self
            .sessions
            .values()
            .filter(
                |session| matches!(session.link, Link::Detached(since) if now.since(since) > self.limits.replay_age),
            )
            .map(|session| session.id.clone())
            .collect();
        for session in expired {
            self.end_session(&session, around);
        }
    }

    /// Hands dispatches to the sessions that they concern.
    pub(crate) fn deliver(&mut self, dispatches: &[Dispatch], around: &mut Surroundings<'_>, now: Timestamp) {
        let mut dispatches: Vec<&Dispatch> = dispatches.iter().collect();
        if dispatches.len() > 1 && around.faults.reverses_dispatches() {
            around.stats.changes_reversed += 1;
            dispatches.reverse();
        }
        for dispatch in dispatches {
            for session in self.sessions.values_mut().filter(|session| session.hears(dispatch)) {
                let times = match around.faults.delivery(session.bot, dispatch.kind.name()) {
                    Delivery::Arrives(times) => times,
                    Delivery::Never => {
                        if let Audience::Guild { guild, .. } = &dispatch.audience {
                            around.world.note_unsent(*guild);
                        }
                        0
                    }
                };
                around.stats.dispatches_repeated += u64::from(times.saturating_sub(1));
                for _ in 0..times {
                    let frame = session.record(dispatch.kind, session.view(dispatch), &self.limits, now);
                    around.stats.dispatches += 1;
                    if let Link::Attached(connection) = session.link {
                        self.outputs.push(Output::Send(connection, frame));
                    }
                }
            }
        }
    }

    /// Lets a fault strike the connections and sessions of this moment.
    pub(crate) fn strike(
        &mut self,
        fault: &Fault,
        only: Option<UserId>,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        if *fault == Fault::KillSessions {
            for session in self.sessions.values_mut().filter(|session| only.is_none_or(|bot| bot == session.bot)) {
                session.fate = Fate::Doomed;
            }
            return;
        }
        let struck: Vec<(ConnectionId, Option<String>)> = self
            .connections
            .iter()
            .map(|(id, connection)| match &connection.stage {
                Stage::Greeted => (*id, None),
                Stage::Attached(session) => (*id, Some(session.clone())),
            })
            .filter(|(_, session)| {
                let bot = session.as_ref().and_then(|id| self.sessions.get(id)).map(|session| session.bot);
                only.is_none() || bot == only
            })
            .collect();
        for (id, session) in struck {
            if *fault == Fault::DropConnections {
                self.cut(id, now);
            } else if *fault == Fault::RequestReconnect {
                self.send(id, 7, &Value::Null);
            } else if let Fault::SendPayload { text } = fault {
                self.outputs.push(Output::Send(id, text.as_str().into()));
            } else if *fault == Fault::RequestHeartbeat {
                self.send(id, 1, &Value::Null);
            } else if let Fault::Close { code } = *fault {
                self.close(id, CloseReason::Scripted(code), around, now);
            } else if let Fault::InvalidateSession { resumable } = *fault {
                self.send(id, 9, &json!(resumable));
                let Some(session) = session else { continue };
                // Either way the connection has no session now: discord.js resumes on it, others on a new one.
                self.greet_again(id);
                if resumable {
                    self.lose_connection(&session, now);
                } else {
                    self.end_session(&session, around);
                }
            }
        }
    }

    /// Open sockets, and sessions that live.
    pub(crate) fn census(&self) -> (u64, u64) {
        (self.connections.len() as u64, self.sessions.len() as u64)
    }

    fn heartbeat(&mut self, id: ConnectionId, around: &mut Surroundings<'_>, now: Timestamp) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.last_heartbeat = now;
        around.stats.heartbeats += 1;
        if !around.faults.holds_acks(self.bot_on(id)) {
            self.send(id, 11, &Value::Null);
        }
    }

    fn send_members(
        &mut self,
        session: &str,
        request: &RequestGuildMembers,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        let Some(guild) = around.world.guild(request.guild_id) else { return };
        let wanted = |id: UserId, name: &str| match (&request.user_ids, &request.query) {
            (Some(ids), _) => ids.contains(&id),
            (None, Some(query)) => name.to_lowercase().starts_with(&query.to_lowercase()),
            (None, None) => false,
        };
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        let members: Vec<Value> = guild
            .members
            .iter()
            .filter_map(|(id, member)| Some((member, around.world.known_user(*id)?)))
            .filter(|(_, user)| wanted(user.id, &user.name))
            .take(limit)
            .map(|(member, user)| wire::member(member, user))
            .collect();
        let mut body =
            json!({"guild_id": guild.id, "members": members, "chunk_index": 0, "chunk_count": 1, "not_found": []});
        if let Some(nonce) = &request.nonce {
            body["nonce"] = json!(nonce);
        }
        self.tell(session, EventKind::GuildMembersChunk, &body, around, now);
    }

    fn send_channel_info(
        &mut self,
        session: &str,
        request: &RequestChannelInfo,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        let Some(guild) = around.world.guild(request.guild_id) else { return };
        let wanted = |field: &str| request.fields.iter().any(|asked| asked == field);
        let shown = |channel: &Channel| {
            let voice = channel.kind.voice()?;
            let mut info = json!({"id": channel.id});
            if wanted("status") {
                info["status"] = json!(voice.status);
            }
            if wanted("voice_start_time") {
                info["voice_start_time"] = json!(guild.voice_since.get(&channel.id).map(|since| since.unix_seconds()));
            }
            Some(info)
        };
        let channels: Vec<Value> = guild.channels.values().filter_map(shown).collect();
        let body = json!({"guild_id": guild.id, "channels": channels});
        self.tell(session, EventKind::ChannelInfo, &body, around, now);
    }

    /// A dispatch that answers one session; faults do not touch it.
    fn tell(&mut self, session: &str, kind: EventKind, body: &Value, around: &mut Surroundings<'_>, now: Timestamp) {
        let Some(session) = self.sessions.get_mut(session) else { return };
        let frame = session.record(kind, &body.to_string(), &self.limits, now);
        around.stats.dispatches += 1;
        if let Link::Attached(connection) = session.link {
            self.outputs.push(Output::Send(connection, frame));
        }
    }

    fn send(&mut self, id: ConnectionId, op: u8, d: &Value) {
        self.outputs.push(Output::Send(id, format!(r#"{{"t":null,"s":null,"op":{op},"d":{d}}}"#).into()));
    }

    fn close(&mut self, id: ConnectionId, reason: CloseReason, around: &mut Surroundings<'_>, now: Timestamp) {
        let session = self.detach(id, now);
        *around.stats.closes.entry(reason.code()).or_default() += 1;
        self.outputs.push(Output::Close(id, reason));
        if let (true, Some(session)) = (reason.ends_session(), session) {
            self.end_session(&session, around);
        }
    }

    fn cut(&mut self, id: ConnectionId, now: Timestamp) {
        self.detach(id, now);
        self.outputs.push(Output::Drop(id));
    }

    /// Forgets a connection; the session that it carried goes on without one.
    fn detach(&mut self, id: ConnectionId, now: Timestamp) -> Option<String> {
        let connection = self.connections.remove(&id)?;
        let Stage::Attached(session) = connection.stage else { return None };
        self.lose_connection(&session, now);
        Some(session)
    }

    fn lose_connection(&mut self, session: &str, now: Timestamp) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.link = Link::Detached(now);
        }
    }

    fn greet_again(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Greeted;
        }
    }

    fn end_session(&mut self, session: &str, around: &mut Surroundings<'_>) {
        self.sessions.remove(session);
        around.world.end_gateway_session(session);
    }

    fn bot_on(&self, id: ConnectionId) -> Option<UserId> {
        match &self.connections.get(&id)?.stage {
            Stage::Greeted => None,
            Stage::Attached(session) => self.sessions.get(session).map(|session| session.bot),
        }
    }
}

/// Names the emulator in `_trace`, where Discord names its own servers.
const TRACE: &str = r#"["discord-emulator"]"#;

/// How long a client has before 5-second identify slots of one bucket come round (Discord docs, § Max Concurrency).
pub(crate) const IDENTIFY_SLOT: Duration = Duration::from_secs(5);
