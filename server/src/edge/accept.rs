//! From a listener to connections that are worth serving.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::Stream;
use metrics::counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls, server::TlsStream};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::{
    caps::{Caps, Place, Refusal},
    guard::Guarded,
};
use crate::{config::LimitsConfig, telemetry::names};

/// Connections that are ready and not yet taken. Taking one is quick, so a few are enough.
const READY_CONNECTIONS: usize = 64;
/// The first and the longest wait after accepting failed, as it does where the process has no descriptor left.
const BACK_OFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);

/// Accepts connections within the limits.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    limits: LimitsConfig,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Acceptor {
    /// An acceptor for a listener, with TLS where a configuration is given (see [`tls_config`](super::tls_config)).
    pub fn new(listener: TcpListener, limits: LimitsConfig, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self { listener, limits, tls }
    }

    /// Starts accepting. The listener closes when what this returns is dropped.
    pub fn incoming(self) -> Incoming {
        let (ready, connections) = mpsc::channel(READY_CONNECTIONS);
        let accepting = AbortOnDropHandle::new(tokio::spawn(self.accept(ready)));
        Incoming { connections, _accepting: accepting }
    }

    async fn accept(self, ready: mpsc::Sender<Connection>) {
        let caps = Caps::new(self.limits.connections, self.limits.connections_per_ip);
        let opening = Opening { limits: Arc::new(self.limits), tls: self.tls.map(TlsAcceptor::from) };
        // Handshakes end with the listener: they live in this set.
        let mut handshakes = JoinSet::new();
        let mut back_off = *BACK_OFF.start();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = handshakes.join_next() => continue,
            };
            let (tcp, peer) = match accepted {
                Ok(accepted) => accepted,
                // The peer went away between its handshake and ours.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "cannot accept connections");
                    sleep(back_off).await;
                    back_off = (back_off * 2).min(*BACK_OFF.end());
                    continue;
                }
            };
            back_off = *BACK_OFF.start();
            match caps.admit(peer.ip()) {
                Ok(place) => {
                    let (opening, ready) = (opening.clone(), ready.clone());
                    handshakes.spawn(async move {
                        if let Some(connection) = opening.open(tcp, peer, place).await {
                            // An error means that nobody serves any more.
                            ready.send(connection).await.ok();
                        }
                    });
                }
                Err(Refusal::TooMany) => counter!(names::CONNECTIONS_REFUSED, "reason" => "total").increment(1),
                Err(Refusal::TooManyOfAddress) => {
                    counter!(names::CONNECTIONS_REFUSED, "reason" => "address").increment(1);
                }
            }
        }
    }
}

/// What a socket goes through before it is a connection.
#[derive(Clone)]
struct Opening {
    limits: Arc<LimitsConfig>,
    tls: Option<TlsAcceptor>,
}

impl Opening {
    async fn open(&self, tcp: TcpStream, peer: SocketAddr, place: Place) -> Option<Connection> {
        // Two small frames in a row would otherwise wait for each other's acknowledgement, 40 ms.
        tcp.set_nodelay(true).ok()?;
        let transport = match &self.tls {
            None => Transport::Plain(tcp),
            Some(acceptor) => match timeout(self.limits.tls_handshake, acceptor.accept(tcp)).await {
                Ok(Ok(stream)) => Transport::Tls(Box::new(stream)),
                failed => {
                    debug!(%peer, late = failed.is_err(), "TLS handshake failed");
                    counter!(names::CONNECTIONS_REFUSED, "reason" => "tls").increment(1);
                    return None;
                }
            },
        };
        let io = Guarded::new(transport, self.limits.first_byte, self.limits.idle);
        Some(Connection { io, peer, _place: place })
    }
}

/// The connections of an [`Acceptor`]. Never ends by itself.
#[derive(Debug)]
pub struct Incoming {
    connections: mpsc::Receiver<Connection>,
    _accepting: AbortOnDropHandle<()>,
}

impl Stream for Incoming {
    type Item = Result<Connection, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.connections.poll_recv(context)).map(Ok))
    }
}

/// A connection that is within the caps and ends when it falls silent.
#[derive(Debug)]
pub struct Connection {
    io: Guarded<Transport>,
    peer: SocketAddr,
    _place: Place,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Where it comes from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// Forwards IO to what a projection gives. Without vectored writes: h2 would make one of each event that is 256 bytes or
/// longer, and copies those of up to 1 KiB into one write otherwise (h2, `CHAIN_THRESHOLD_WITHOUT_VECTORED_IO`).
macro_rules! forward_io {
    ($type:ty, $this:ident => $io:expr) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let $this = self.get_mut();
                $io.poll_read(context, buffer)
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                let $this = self.get_mut();
                $io.poll_write(context, bytes)
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = self.get_mut();
                $io.poll_flush(context)
            }

            fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = self.get_mut();
                $io.poll_shutdown(context)
            }
        }
    };
}

/// Both kinds of transport behind one pointer.
trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

impl Transport {
    fn io(&mut self) -> Pin<&mut dyn Io> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp),
            Self::Tls(tls) => Pin::new(tls.as_mut()),
        }
    }
}

forward_io!(Transport, this => this.io());
forward_io!(Connection, this => Pin::new(&mut this.io));
