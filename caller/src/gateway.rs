//! The main gateway, as far as a call needs it: log in, find a room, say where to be, hear where one is.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use parlor_voice::{
    Input,
    wire::{ChannelId, GuildId, UserId, gateway::Credential},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// GUILDS and GUILD_VOICE_STATES.
const INTENTS: u32 = 1 | 1 << 7;

/// One login in so long is let in.
const LOGIN_PAUSE: Duration = Duration::from_secs(5);

/// How long a login may take.
const LOGIN: Duration = Duration::from_secs(10);

/// A room to call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) guild: GuildId,
    pub(crate) channel: ChannelId,
}

/// A connection that is logged in.
pub(crate) struct Gateway {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heartbeat: Interval,
    sequence: Value,
    user: u64,
    guilds: Vec<Value>,
}

impl Gateway {
    /// Logs in.
    pub(crate) async fn log_in(discord: SocketAddr, token: &str) -> anyhow::Result<Self> {
        loop {
            let trying = timeout(LOGIN, Self::try_to_log_in(discord, token)).await;
            match trying.context("the emulated Discord does not answer")?? {
                Some(gateway) => return Ok(gateway),
                None => sleep(LOGIN_PAUSE).await,
            }
        }
    }

    /// None where it was too early.
    async fn try_to_log_in(discord: SocketAddr, token: &str) -> anyhow::Result<Option<Self>> {
        let url = format!("ws://{discord}/?v=10&encoding=json");
        let unreachable =
            || format!("there is no emulated Discord on {discord}: start `make dev`, or name it with --discord");
        let (socket, _) = connect_async(url).await.with_context(unreachable)?;
        let heartbeat = interval_at(Instant::now() + LOGIN, LOGIN);
        let mut gateway = Self { socket, heartbeat, sequence: Value::Null, user: 0, guilds: Vec::new() };
        let mut awaited = None;
        while awaited != Some(0) {
            let payload = gateway.payload().await?;
            match (payload["op"].as_u64(), payload["t"].as_str()) {
                (Some(10), _) => {
                    let every =
                        Duration::from_millis(payload["d"]["heartbeat_interval"].as_u64().unwrap_or(40_000).max(100));
                    gateway.heartbeat = interval_at(Instant::now() + every / 2, every);
                    gateway.heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    let properties = json!({"os": "linux", "browser": "caller", "device": "caller"});
                    let identify = json!({"token": token, "intents": INTENTS, "properties": properties});
                    gateway.send(&json!({"op": 2, "d": identify})).await?;
                }
                (Some(9), _) => return Ok(None),
                (Some(0), Some("READY")) => {
                    gateway.user = id(&payload["d"]["user"]["id"]).context("READY names no user")?;
                    awaited = payload["d"]["guilds"].as_array().map(Vec::len);
                }
                (Some(0), Some("GUILD_CREATE")) => {
                    gateway.guilds.push(payload["d"].clone());
                    awaited = awaited.map(|awaited| awaited.saturating_sub(1));
                }
                _ => {}
            }
        }
        Ok(Some(gateway))
    }

    /// The bot.
    pub(crate) fn user(&self) -> UserId {
        UserId::new(self.user)
    }

    /// A room by its name or id.
    pub(crate) fn find(&self, room: &str) -> anyhow::Result<Place> {
        let mut names = Vec::new();
        for guild in &self.guilds {
            let channels = guild["channels"].as_array().into_iter().flatten();
            // Voice and stage channels.
            for channel in channels.filter(|channel| matches!(channel["type"].as_u64(), Some(2 | 13))) {
                let name = channel["name"].as_str().unwrap_or_default();
                if (name == room || channel["id"] == room)
                    && let (Some(guild), Some(channel)) = (id(&guild["id"]), id(&channel["id"]))
                {
                    return Ok(Place { guild: GuildId::new(guild), channel: ChannelId::new(channel) });
                }
                names.push(name);
            }
        }
        bail!("there is no room {room}; there are: {}", names.join(", "))
    }

    /// Says where to be.
    pub(crate) async fn be_in(
        &mut self,
        guild: GuildId,
        channel: Option<ChannelId>,
        mute: bool,
        deaf: bool,
    ) -> anyhow::Result<()> {
        let channel = channel.map(|channel| channel.get().to_string());
        let wish =
            json!({"guild_id": guild.get().to_string(), "channel_id": channel, "self_mute": mute, "self_deaf": deaf});
        self.send(&json!({"op": 4, "d": wish})).await
    }

    /// Waits for the next thing that a call has to know. Can be given up at any time.
    pub(crate) async fn news(&mut self) -> anyhow::Result<Input<'static>> {
        loop {
            let payload = self.payload().await?;
            let told = &payload["d"];
            match payload["t"].as_str() {
                Some("VOICE_STATE_UPDATE") if id(&told["user_id"]) == Some(self.user) => {
                    let session_id = Credential::new(told["session_id"].as_str().unwrap_or_default());
                    let channel = id(&told["channel_id"]).map(ChannelId::new);
                    return Ok(Input::VoiceState { channel, session_id });
                }
                Some("VOICE_SERVER_UPDATE") => {
                    let endpoint = told["endpoint"].as_str().map(ToOwned::to_owned);
                    let token = Credential::new(told["token"].as_str().unwrap_or_default());
                    return Ok(Input::VoiceServer { endpoint, token });
                }
                _ => {}
            }
        }
    }

    async fn payload(&mut self) -> anyhow::Result<Value> {
        loop {
            let message = tokio::select! {
                message = self.socket.next() => message,
                _ = self.heartbeat.tick() => {
                    let beat = json!({"op": 1, "d": self.sequence});
                    self.send(&beat).await?;
                    continue;
                }
            };
            match message.context("the emulated Discord is gone")?? {
                Message::Text(text) => {
                    let payload: Value = serde_json::from_str(&text)?;
                    if payload["s"].is_u64() {
                        self.sequence = payload["s"].clone();
                    }
                    return Ok(payload);
                }
                Message::Close(frame) => {
                    let code = frame.map(|frame| u16::from(frame.code));
                    bail!("the emulated Discord closed the connection with {code:?}");
                }
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn send(&mut self, payload: &Value) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(payload.to_string())).await?)
    }
}

fn id(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}
