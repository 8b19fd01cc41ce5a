//! The voice server's sockets: WebSockets behind TLS, and UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use parlor_voice_wire::gateway::CloseCode;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

use super::Shared;
use super::certificate::Proof;
use crate::text::query_value;
use crate::voice::{Frame, VoiceConfig, VoiceConnectionId};

/// How long a client may take for TLS and the handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take to answer a close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// Longer messages end the connection: no client sends any.
const LONGEST_MESSAGE: usize = 1 << 16;
/// Longer datagrams are cut off, and do not open then.
const LONGEST_DATAGRAM: usize = 2_048;
/// How long to wait when no connection can be accepted, for want of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// An order to the task of one WebSocket.
#[derive(Debug)]
pub(super) enum ToVoiceSocket {
    Send(Frame),
    Close(CloseCode),
    Drop,
}

/// The voice server's sockets before anything is served.
pub(super) struct Ports {
    listener: TcpListener,
    proof: Proof,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// Where media goes.
    pub media: SocketAddrV4,
    pub udp: Arc<UdpSocket>,
}

impl Ports {
    pub(super) async fn bind(config: &VoiceConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let udp = UdpSocket::bind(config.media).await?;
        let mut gateway = listener.local_addr()?;
        if gateway.ip().is_unspecified() {
            gateway.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let ip = if config.media.ip().is_unspecified() { Ipv4Addr::LOCALHOST } else { *config.media.ip() };
        let media = SocketAddrV4::new(ip, udp.local_addr()?.port());
        let endpoint = config.endpoint.clone().unwrap_or_else(|| gateway.to_string());
        let host = endpoint.rsplit_once(':').map_or(endpoint.as_str(), |(host, _)| host);
        Ok(Self { proof: Proof::new(host)?, listener, gateway, media, udp: Arc::new(udp) })
    }

    /// The certificate of the authority that clients have to trust, PEM.
    pub(super) fn authority(&self) -> &str {
        &self.proof.authority
    }

    /// Serves both until the emulator stops.
    pub(super) fn serve(self, shared: &Arc<Shared>) {
        tokio::spawn(receive_datagrams(self.udp, shared.clone()));
        tokio::spawn(accept(self.listener, self.proof, shared.clone()));
    }
}

async fn receive_datagrams(udp: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut bytes = vec![0; LONGEST_DATAGRAM];
    while let Some(received) = shared.stop.run_until_cancelled(udp.recv_from(&mut bytes)).await {
        match received {
            Ok((len, from)) => shared.with(|discord, now| discord.datagram(from, &mut bytes[..len], now)),
            // An earlier datagram could not be delivered; the socket is as before.
            Err(error) => tracing::debug!(%error, "UDP"),
        }
    }
}

async fn accept(listener: TcpListener, proof: Proof, shared: Arc<Shared>) {
    while let Some(accepted) = shared.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, proof.acceptor.clone(), shared.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the voice gateway cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, acceptor: tokio_rustls::TlsAcceptor, shared: Arc<Shared>) {
    // Two small frames in a row would wait 40 ms for a delayed ACK otherwise.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not available");
    }
    let mut version = None;
    let shaken = async {
        let stream = acceptor.accept(stream).await?;
        #[expect(clippy::result_large_err, reason = "the type of tungstenite's callback")]
        let look = |request: &Request, response: Response| {
            version = query_value(request.uri().query().unwrap_or_default(), "v").and_then(|text| text.parse().ok());
            Ok(response)
        };
        let config = WebSocketConfig::default().max_message_size(Some(LONGEST_MESSAGE));
        tokio_tungstenite::accept_hdr_async_with_config(stream, look, Some(config)).await.map_err(io::Error::other)
    };
    let mut socket = match tokio::time::timeout(HANDSHAKE_PATIENCE, shaken).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return tracing::info!(%error, "a client did not get through to the voice gateway"),
        Err(_) => return,
    };
    let (id, mut orders) = shared.open_voice(version);
    converse(&mut socket, &shared, id, &mut orders).await;
    shared.closed_voice(id);
}

async fn converse(
    socket: &mut Socket,
    shared: &Shared,
    id: VoiceConnectionId,
    orders: &mut mpsc::Receiver<ToVoiceSocket>,
) {
    loop {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => {
                    shared.with(|discord, now| discord.receive_voice(id, text.as_str(), now));
                }
                Some(Ok(Message::Binary(bytes))) => {
                    shared.with(|discord, now| discord.receive_voice_binary(id, &bytes, now));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) => {
                    // The answer to the close frame goes out while the stream is read to its end.
                    let _ = tokio::time::timeout(CLOSE_PATIENCE, socket.next()).await;
                    return;
                }
                Some(Err(_)) | None => return,
            },
            order = orders.recv() => match order {
                Some(ToVoiceSocket::Send(frame)) => {
                    let message = match frame {
                        Frame::Text(text) => Message::text(text),
                        Frame::Binary(bytes) => Message::binary(bytes),
                    };
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Some(ToVoiceSocket::Close(code)) => return close(socket, code).await,
                Some(ToVoiceSocket::Drop) | None => return,
            },
            () = shared.stop.cancelled() => return,
        }
    }
}

async fn close(socket: &mut Socket, code: CloseCode) {
    let frame = CloseFrame { code: code.number().into(), reason: "".into() };
    if socket.close(Some(frame)).await.is_err() {
        return;
    }
    let answered = async { while let Some(Ok(_)) = socket.next().await {} };
    let _ = tokio::time::timeout(CLOSE_PATIENCE, answered).await;
}
