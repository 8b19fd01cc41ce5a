//! The thin shell: one port, a clock, and a lock around the machine.

mod certificate;
mod compress;
mod door;
mod http;
mod person;
mod socket;
mod voice;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use person::Person;
use voice::{Ports, ToVoiceSocket};

use crate::config::Config;
use crate::discord::{Discord, Places};
use crate::faults::Injection;
use crate::gateway::{CloseReason, ConnectionId, Output};
use crate::stats::Stats;
use crate::voice::{VoiceConnectionId, VoiceOutput};
use crate::world::{BotToken, ChannelId, GuildId, Timestamp, UserId, World};

/// How often silent connections and forgotten sessions are looked for.
const TICK: Duration = Duration::from_millis(200);
/// Payloads that may wait for a client that does not read; then it is cut off.
const SOCKET_BACKLOG: usize = 16_384;
/// How long [`Emulator::stop`] waits for open connections to end.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A running emulator. The handle is cheap to clone; dropping the last one stops the emulator.
#[derive(Clone, Debug)]
pub struct Emulator {
    shared: Arc<Shared>,
    lifetime: Arc<Lifetime>,
}

/// Ends with the last handle.
#[derive(Debug)]
struct Lifetime {
    server: Mutex<Option<JoinHandle<()>>>,
    _stop_on_drop: DropGuard,
}

/// What handles, connections and the tick share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    clock: Clock,
    /// Rung when the voice server has something late to send.
    late: Notify,
    /// Counts changes; whoever waits for a condition looks again at each.
    changes: watch::Sender<u64>,
    stop: CancellationToken,
    addr: SocketAddr,
    voice: VoicePlace,
}

/// What clients have to know of the voice server.
#[derive(Debug)]
struct VoicePlace {
    gateway: SocketAddr,
    media: SocketAddr,
    authority: String,
}

#[derive(Debug)]
struct State {
    discord: Discord,
    sockets: BTreeMap<ConnectionId, mpsc::Sender<ToSocket>>,
    voice_sockets: BTreeMap<VoiceConnectionId, mpsc::Sender<ToVoiceSocket>>,
    udp: Arc<UdpSocket>,
    /// Time that [`Emulator::advance`] added.
    ahead: Duration,
}

/// An order to the task of one websocket.
#[derive(Debug)]
enum ToSocket {
    Send(Arc<str>),
    Close(CloseReason),
    Drop,
}

/// Wall-clock time that never runs backwards.
#[derive(Debug)]
struct Clock {
    started_at: Duration,
    started: Instant,
}

impl Clock {
    fn start() -> Self {
        let started_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { started_at, started: Instant::now() }
    }

    fn now(&self, ahead: Duration) -> Timestamp {
        Timestamp::default() + (self.started_at + self.started.elapsed() + ahead)
    }
}

impl Emulator {
    /// Starts an emulator on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The loopback address cannot be bound.
    pub async fn start(config: Config) -> io::Result<Self> {
        Self::serve(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?, config).await
    }

    /// Starts an emulator on a listener, and its voice server where the configuration says.
    ///
    /// # Errors
    /// The listener has no local address, or the voice server's addresses cannot be bound.
    pub async fn serve(listener: TcpListener, config: Config) -> io::Result<Self> {
        let mut addr = listener.local_addr()?;
        if addr.ip().is_unspecified() {
            // Clients need an address that they can dial.
            addr.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let ports = Ports::bind(&config.voice).await?;
        let places = Places {
            gateway_url: format!("ws://{addr}"),
            voice_endpoint: ports.gateway.to_string(),
            media: ports.media,
        };
        let clock = Clock::start();
        let discord = Discord::new(config, places, clock.now(Duration::ZERO));
        let stop = CancellationToken::new();
        let (sockets, voice_sockets, udp) = (BTreeMap::new(), BTreeMap::new(), ports.udp.clone());
        let state = State { discord, sockets, voice_sockets, udp, ahead: Duration::ZERO };
        let (gateway, media) = (ports.gateway, ports.media.into());
        let voice = VoicePlace { gateway, media, authority: ports.authority().to_owned() };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            clock,
            late: Notify::new(),
            changes: watch::Sender::new(0),
            stop: stop.clone(),
            addr,
            voice,
        });
        tokio::spawn(tick(shared.clone()));
        ports.serve(&shared);
        let server = tokio::spawn(http::serve(listener, shared.clone()));
        let lifetime = Lifetime { server: Mutex::new(Some(server)), _stop_on_drop: stop.drop_guard() };
        Ok(Self { shared, lifetime: Arc::new(lifetime) })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// The REST base, e.g. `http://127.0.0.1:50080/api/v10`.
    pub fn rest_url(&self) -> String {
        format!("http://{}/api/v10", self.shared.addr)
    }

    /// The gateway's URL without a trailing slash, e.g. `ws://127.0.0.1:50080`.
    pub fn gateway_url(&self) -> String {
        format!("ws://{}", self.shared.addr)
    }

    /// Where the voice gateway listens, with TLS.
    pub fn voice_addr(&self) -> SocketAddr {
        self.shared.voice.gateway
    }

    /// Where media goes, over UDP.
    pub fn media_addr(&self) -> SocketAddr {
        self.shared.voice.media
    }

    /// The certificate, in PEM, of the authority that voice clients have to trust: made anew at each start.
    pub fn voice_authority(&self) -> &str {
        &self.shared.voice.authority
    }

    /// The control API's base, e.g. `http://127.0.0.1:50080/control`.
    pub fn control_url(&self) -> String {
        format!("http://{}/control", self.shared.addr)
    }

    /// Runs a script against the world and delivers what it gives rise to. Nothing else happens meanwhile.
    pub fn world<R>(&self, script: impl FnOnce(&mut World) -> R) -> R {
        self.shared.with(|discord, now| discord.act(now, script))
    }

    /// The person with this name, created on first use.
    pub fn user(&self, name: &str) -> Person {
        Person::new(self.clone(), name)
    }

    /// The bot that a token stands for, created on first use and then a member of every guild.
    /// `None` when the token does not log in.
    pub fn bot(&self, token: &str) -> Option<UserId> {
        self.world(|world| world.log_in(&BotToken::parse(token)?))
    }

    /// Ground truth: everybody in each voice and stage channel, empty channels included.
    pub fn rooms(&self) -> BTreeMap<ChannelId, BTreeSet<UserId>> {
        self.shared.look(|discord| discord.world().rooms())
    }

    /// Ground truth of one guild.
    pub fn who_is_where(&self, guild: GuildId) -> BTreeMap<ChannelId, BTreeSet<UserId>> {
        self.shared.look(|discord| discord.world().who_is_where(guild))
    }

    /// Makes something go wrong: a [`Fault`](crate::Fault) for all bots, or `fault.only(bot)`.
    pub fn inject(&self, fault: impl Into<Injection>) {
        let injection = fault.into();
        self.shared.with(|discord, now| discord.inject(injection, now));
    }

    /// Ends every fault that lasts.
    pub fn clear_faults(&self) {
        self.shared.with(Discord::clear_faults);
    }

    /// Counts of what clients did so far.
    pub fn stats(&self) -> Stats {
        self.shared.look(Discord::stats)
    }

    /// Waits until the counts satisfy a condition and returns them. It waits for ever if they never do: bound it with
    /// `tokio::time::timeout`.
    pub async fn wait_for(&self, condition: impl Fn(&Stats) -> bool) -> Stats {
        self.shared
            .wait(|discord| {
                let stats = discord.stats();
                condition(&stats).then_some(stats)
            })
            .await
    }

    /// Waits until the world satisfies a condition, for example that a bot is in a channel.
    pub async fn wait_for_world(&self, condition: impl Fn(&World) -> bool) {
        self.shared.wait(|discord| condition(discord.world()).then_some(())).await;
    }

    /// Moves the emulator's clock ahead: sessions expire, rate limits open, silent connections are closed.
    pub fn advance(&self, span: Duration) {
        self.shared.lock().ahead += span;
        self.shared.with(Discord::tick);
    }

    /// Stops: open connections break off, and the port is free when this returns.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        let server = self.lifetime.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            let abort = server.abort_handle();
            if tokio::time::timeout(STOP_PATIENCE, server).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Shared {
    /// A script that panics under the lock is a failed test; the state stays whole, because each change is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Feeds the machine one input and passes on what it wants sent.
    fn with<R>(&self, step: impl FnOnce(&mut Discord, Timestamp) -> R) -> R {
        let mut state = self.lock();
        let now = self.clock.now(state.ahead);
        let outcome = step(&mut state.discord, now);
        state.pass_on();
        if state.discord.next_due().is_some() {
            self.late.notify_one();
        }
        drop(state);
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
        outcome
    }

    fn look<R>(&self, at: impl FnOnce(&Discord) -> R) -> R {
        at(&self.lock().discord)
    }

    async fn wait<R>(&self, mut ready: impl FnMut(&Discord) -> Option<R>) -> R {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(outcome) = self.look(&mut ready) {
                return outcome;
            }
            if changes.changed().await.is_err() {
                // The sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until so much time has passed on the emulator's clock, or the emulator stops.
    async fn pass(&self, span: Duration) {
        let due = self.look(|discord| discord.world().now()) + span;
        let skipped = self.wait(|discord| (discord.world().now() >= due).then_some(()));
        let passed = async {
            tokio::select! {
                () = tokio::time::sleep(span) => {}
                () = skipped => {}
            }
        };
        self.stop.run_until_cancelled(passed).await;
    }

    /// Opens a gateway connection: its id, and where its orders come from.
    fn open(&self, version: Option<u8>) -> (ConnectionId, mpsc::Receiver<ToSocket>) {
        let (orders, inbox) = mpsc::channel(SOCKET_BACKLOG);
        let mut state = self.lock();
        let now = self.clock.now(state.ahead);
        let id = state.discord.open(version, now);
        state.sockets.insert(id, orders);
        state.pass_on();
        drop(state);
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
        (id, inbox)
    }

    /// Opens a WebSocket of the voice gateway: its id, and where its orders come from.
    fn open_voice(&self, version: Option<u8>) -> (VoiceConnectionId, mpsc::Receiver<ToVoiceSocket>) {
        let (orders, inbox) = mpsc::channel(SOCKET_BACKLOG);
        let mut state = self.lock();
        let now = self.clock.now(state.ahead);
        let id = state.discord.open_voice(version, now);
        state.voice_sockets.insert(id, orders);
        state.pass_on();
        drop(state);
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
        (id, inbox)
    }

    fn closed_voice(&self, id: VoiceConnectionId) {
        self.lock().voice_sockets.remove(&id);
        self.with(|discord, now| discord.closed_voice(id, now));
    }

    fn closed(&self, id: ConnectionId, code: Option<u16>) {
        self.lock().sockets.remove(&id);
        self.with(|discord, now| discord.closed(id, code, now));
    }
}

impl State {
    fn pass_on(&mut self) {
        for output in self.discord.drain() {
            let (id, order) = match output {
                Output::Send(id, text) => (id, ToSocket::Send(text)),
                Output::Close(id, reason) => (id, ToSocket::Close(reason)),
                Output::Drop(id) => (id, ToSocket::Drop),
            };
            let Some(socket) = self.sockets.get(&id) else { continue };
            if socket.try_send(order).is_err() {
                // Either its task is over, or the client has not read for thousands of payloads.
                self.sockets.remove(&id);
            }
        }
        for output in self.discord.drain_voice() {
            let (id, order) = match output {
                VoiceOutput::Send(id, frame) => (id, ToVoiceSocket::Send(frame)),
                VoiceOutput::Close(id, code) => (id, ToVoiceSocket::Close(code)),
                VoiceOutput::Drop(id) => (id, ToVoiceSocket::Drop),
                VoiceOutput::Datagram(to, bytes) => {
                    // A full buffer loses datagrams, as networks do.
                    if let Err(error) = self.udp.try_send_to(&bytes, to) {
                        tracing::debug!(%error, "a datagram is lost");
                    }
                    continue;
                }
            };
            let Some(socket) = self.voice_sockets.get(&id) else { continue };
            if socket.try_send(order).is_err() {
                self.voice_sockets.remove(&id);
            }
        }
    }
}

async fn tick(shared: Arc<Shared>) {
    let mut next = tokio::time::Instant::now();
    loop {
        let late = shared.look(|discord| Some(discord.next_due()?.since(discord.world().now())));
        let due = late.map_or(next, |late| next.min(tokio::time::Instant::now() + late));
        tokio::select! {
            () = tokio::time::sleep_until(due) => {
                shared.with(Discord::tick);
                if due == next {
                    next = tokio::time::Instant::now() + TICK;
                }
            }
            () = shared.late.notified() => {}
            () = shared.stop.cancelled() => return,
        }
    }
}
