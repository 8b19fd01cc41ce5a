//! A call: the voice core, and the sockets that it wants.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use parlor_voice::{
    Config, Davey, Event, Input, Output, Session, Signal, SocketId, Transmit, audio::FRAME, wire::GuildId,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::{sleep_until, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{
    gateway::{Gateway, Place},
    sound::Sound,
};

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a websocket may take to open.
const OPENING: Duration = Duration::from_secs(10);

/// What stands in a voice websocket, both ways.
#[derive(Debug)]
enum Passed {
    Opened,
    Text(String),
    Binary(Vec<u8>),
    /// The last one.
    Closed(Option<u16>),
}

type Passing = (SocketId, Passed);

/// Somebody in a room.
pub(crate) struct Call {
    gateway: Gateway,
    guild: GuildId,
    core: Session<Davey>,
    tls: Arc<ClientConfig>,
    sockets: BTreeMap<SocketId, mpsc::UnboundedSender<Passed>>,
    to_me: mpsc::Sender<Passing>,
    passed: mpsc::Receiver<Passing>,
    udp: Option<UdpSocket>,
    is_connected: bool,
}

/// What happened.
enum Happened {
    News(Input<'static>),
    Passed(SocketId, Passed),
    Datagrams,
    Nothing,
}

impl Call {
    /// Begins to join.
    pub(crate) fn begin(gateway: Gateway, place: Place, tls: Arc<ClientConfig>) -> Self {
        let config = Config::new(place.guild, place.channel, gateway.user());
        // A bot's id is chance enough for what the core draws: pauses and first numbers.
        let core = Session::new(config, gateway.user().get(), Instant::now());
        let (to_me, passed) = mpsc::channel(64);
        let sockets = BTreeMap::new();
        Self { gateway, guild: place.guild, core, tls, sockets, to_me, passed, udp: None, is_connected: false }
    }

    /// Speaks until the sound or the time is over. Time counts while somebody can hear it.
    pub(crate) async fn speak(
        &mut self,
        mut sound: Sound,
        time: Option<Duration>,
        begun: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (mut begun, mut turn, mut spoken) = (Some(begun), Instant::now(), Duration::ZERO);
        let mut packet = sound.next()?;
        while let Some(now) = &packet {
            if time.is_some_and(|time| spoken >= time) {
                break;
            }
            if !self.step(Some(turn)).await? {
                bail!("the call is over: {:?}", self.core.ending());
            }
            if Instant::now() < turn {
                continue;
            }
            turn = (turn + FRAME).max(Instant::now() - 5 * FRAME);
            if !self.is_connected {
                continue;
            }
            let unsent = self.core.counters().unsent;
            self.core.handle_input(Input::Send(now), Instant::now());
            // Before there is a key nobody could hear it.
            if self.core.counters().unsent > unsent {
                continue;
            }
            if let Some(begun) = begun.take() {
                begun()?;
            }
            spoken += FRAME;
            packet = sound.next()?;
        }
        self.core.handle_input(Input::FinishSpeaking, Instant::now());
        // Five frames of silence.
        let until = Instant::now() + 6 * FRAME;
        while Instant::now() < until && self.step(Some(until)).await? {}
        Ok(())
    }

    /// Leaves the room.
    pub(crate) async fn hang_up(mut self) -> anyhow::Result<()> {
        self.core.handle_input(Input::Leave, Instant::now());
        let leaving = async {
            while self.step(None).await? {}
            anyhow::Ok(())
        };
        // After a minute the end of the connection says it too.
        timeout(GOODBYE, leaving).await.unwrap_or(Ok(()))
    }

    /// Does what the core wants, waits for one thing, until then at most, and gives it to the core. False once it is over.
    async fn step(&mut self, until: Option<Instant>) -> anyhow::Result<bool> {
        let Some(at) = self.drain().await? else { return Ok(false) };
        let at = until.map_or(at, |until| until.min(at));
        let udp = &self.udp;
        let readable = async {
            match udp {
                Some(udp) => drop(udp.readable().await),
                None => std::future::pending().await,
            }
        };
        let happened = tokio::select! {
            () = readable => Happened::Datagrams,
            Some((socket, passed)) = self.passed.recv() => Happened::Passed(socket, passed),
            news = self.gateway.news() => Happened::News(news?),
            () = sleep_until(at.into()) => Happened::Nothing,
        };
        match happened {
            Happened::News(input) => self.core.handle_input(input, Instant::now()),
            Happened::Passed(socket, passed) => self.passed(socket, &passed),
            Happened::Datagrams => self.datagrams(),
            Happened::Nothing => {}
        }
        self.core.handle_input(Input::Timeout, Instant::now());
        Ok(true)
    }

    /// Returns when the core wants to be woken; none once it is over.
    async fn drain(&mut self) -> anyhow::Result<Option<Instant>> {
        loop {
            match self.core.poll_output() {
                Output::Transmit(transmit) => self.transmit(&transmit)?,
                Output::Signal(signal) => self.signal(signal).await?,
                Output::Event(Event::Connected { .. }) => self.is_connected = true,
                Output::Event(Event::Disconnected(_) | Event::Ended(_)) => self.is_connected = false,
                Output::Event(_) => {}
                Output::Timeout(at, _) => return Ok(Some(at)),
                Output::Over => return Ok(None),
            }
        }
    }

    fn transmit(&mut self, transmit: &Transmit) -> anyhow::Result<()> {
        let udp = match &mut self.udp {
            Some(udp) => udp,
            none => {
                let udp = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
                udp.set_nonblocking(true)?;
                none.insert(UdpSocket::from_std(udp)?)
            }
        };
        match udp.try_send_to(&transmit.payload, transmit.destination) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error).context("cannot send"),
            // What does not go out at once is late.
            _ => Ok(()),
        }
    }

    fn datagrams(&mut self) {
        let Some(udp) = &self.udp else { return };
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = udp.try_recv_from(&mut buffer) {
            let (from, bytes): (SocketAddr, _) = (from, &mut buffer[..length]);
            self.core.handle_input(Input::Datagram { from, bytes }, Instant::now());
        }
    }

    fn passed(&mut self, socket: SocketId, passed: &Passed) {
        let input = match passed {
            Passed::Opened => Input::SocketOpened(socket),
            Passed::Text(text) => Input::Text(socket, text),
            Passed::Binary(bytes) => Input::Binary(socket, bytes),
            Passed::Closed(code) => Input::SocketClosed { socket, code: *code },
        };
        self.core.handle_input(input, Instant::now());
    }

    async fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        let (socket, passed) = match signal {
            Signal::UpdateVoiceState { channel, self_mute, self_deaf } => {
                return self.gateway.be_in(self.guild, channel, self_mute, self_deaf).await;
            }
            Signal::OpenSocket { socket, url } => {
                let (send, out) = mpsc::unbounded_channel();
                self.sockets.insert(socket, send);
                tokio::spawn(carry(socket, url, Arc::clone(&self.tls), out, self.to_me.clone()));
                return Ok(());
            }
            Signal::SendText { socket, text } => (socket, Passed::Text(text)),
            Signal::SendBinary { socket, bytes } => (socket, Passed::Binary(bytes)),
            Signal::CloseSocket { socket, code } => (socket, Passed::Closed(Some(code))),
        };
        if let Some(out) = self.sockets.get(&socket) {
            // A websocket that has ended says so.
            let _ = out.send(passed);
        }
        Ok(())
    }
}

/// Trusts this authority alone.
pub(crate) fn trust(ca: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Opens a voice websocket and carries it to its end.
async fn carry(
    id: SocketId,
    url: String,
    tls: Arc<ClientConfig>,
    mut out: mpsc::UnboundedReceiver<Passed>,
    into: mpsc::Sender<Passing>,
) {
    let mut code = None;
    if let Ok(Ok(mut socket)) = timeout(OPENING, open(&url, tls)).await
        && into.send((id, Passed::Opened)).await.is_ok()
    {
        loop {
            let carried = tokio::select! {
                read = socket.next() => match read {
                    Some(Ok(Message::Text(text))) => into.send((id, Passed::Text(text.as_str().to_owned()))).await.is_ok(),
                    Some(Ok(Message::Binary(bytes))) => into.send((id, Passed::Binary(bytes.into()))).await.is_ok(),
                    Some(Ok(Message::Close(frame))) => {
                        code = frame.map(|frame| frame.code.into());
                        false
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => true,
                    Some(Err(_)) | None => false,
                },
                wanted = out.recv() => match wanted {
                    Some(Passed::Text(text)) => socket.send(Message::text(text)).await.is_ok(),
                    Some(Passed::Binary(bytes)) => socket.send(Message::binary(bytes)).await.is_ok(),
                    Some(Passed::Closed(code)) => {
                        let frame = CloseFrame { code: CloseCode::from(code.unwrap_or(1_000)), reason: "".into() };
                        // It is over either way.
                        let _ = socket.close(Some(frame)).await;
                        false
                    }
                    Some(Passed::Opened) => true,
                    None => false,
                },
            };
            if !carried {
                break;
            }
        }
    }
    // The call may be over.
    let _ = into.send((id, Passed::Closed(code))).await;
}

async fn open(
    url: &str,
    tls: Arc<ClientConfig>,
) -> anyhow::Result<WebSocketStream<tokio_rustls::client::TlsStream<TcpStream>>> {
    let uri: http::Uri = url.parse()?;
    let host = uri.host().context("no host")?.trim_matches(['[', ']']).to_owned();
    let tcp = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
    tcp.set_nodelay(true)?;
    let tls = TlsConnector::from(tls).connect(ServerName::try_from(host)?, tcp).await?;
    Ok(client_async(url, tls).await?.0)
}
