//! The websocket to a voice gateway: a task that opens one, and passes frames on.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use parlor_voice::SocketId;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject as _},
};
use thiserror::Error;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tracing::debug;

/// From nothing to an open websocket.
const OPENING: Duration = Duration::from_secs(10);

/// How long the other side may take to answer a close frame.
const CLOSING: Duration = Duration::from_secs(1);

/// No message is longer: an MLS welcome of a full room is a tenth of it.
const MOST_BYTES: usize = 1 << 20;

/// The port of an endpoint that names none.
const PORT: u16 = 443;

/// The certificates that voice servers are known by cannot be used.
#[derive(Debug, Error)]
pub enum VoiceTlsError {
    /// The file of discord.voice_ca_file cannot be read.
    #[error("cannot read certificates from {path}: set discord.voice_ca_file to a PEM file")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate in it is none.
    #[error("cannot use the certificates of discord.voice_ca_file")]
    Unusable(#[source] rustls::Error),
}

/// How voice servers are trusted: by this file's certificates where there is one, else by those of the system.
///
/// # Errors
/// See [`VoiceTlsError`].
pub fn tls_client(file: Option<&PathBuf>) -> Result<Arc<ClientConfig>, VoiceTlsError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            let unreadable = |source| VoiceTlsError::Unreadable { path: path.clone(), source };
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            for certificate in certificates.map_err(unreadable)? {
                roots.add(certificate).map_err(VoiceTlsError::Unusable)?;
            }
        }
        // What cannot be read of the system's is left out: a server that it vouches for is then refused.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(VoiceTlsError::Unusable)?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// What comes from a websocket.
#[derive(Debug)]
pub(super) enum FromSocket {
    Opened,
    Text(String),
    Binary(Vec<u8>),
    /// It closed, broke off or could not be opened. The last one.
    Closed(Option<u16>),
}

/// What goes to a websocket.
#[derive(Debug)]
pub(super) enum ToSocket {
    Text(String),
    Binary(Vec<u8>),
    Close(u16),
}

#[derive(Debug, Error)]
enum OpenError {
    #[error("the voice gateway's address is not one")]
    Address,
    #[error("the voice gateway's name is not one")]
    Name(#[from] InvalidDnsNameError),
    #[error("cannot reach the voice gateway")]
    Unreachable(#[from] std::io::Error),
    #[error("the voice gateway does not speak websocket")]
    Handshake(#[from] Box<tungstenite::Error>),
    #[error("the voice gateway does not answer")]
    Late,
}

type Socket = WebSocketStream<tokio_rustls::client::TlsStream<TcpStream>>;

/// Opens a websocket and carries it to its end. It ends when nobody sends to it any more, too.
pub(super) async fn carry(
    id: SocketId,
    url: String,
    tls: Arc<ClientConfig>,
    mut out: mpsc::UnboundedReceiver<ToSocket>,
    into: mpsc::Sender<(SocketId, FromSocket)>,
) {
    let opened = timeout(OPENING, open(&url, tls)).await.unwrap_or(Err(OpenError::Late));
    let code = match opened {
        Ok(mut socket) => match into.send((id, FromSocket::Opened)).await {
            Ok(()) => pass_on(id, &mut socket, &mut out, &into).await,
            Err(_) => None,
        },
        Err(error) => {
            debug!(error = &error as &dyn std::error::Error, "no voice gateway connection");
            None
        }
    };
    // Whoever listened may have ended.
    let _ = into.send((id, FromSocket::Closed(code))).await;
}

async fn open(url: &str, tls: Arc<ClientConfig>) -> Result<Socket, OpenError> {
    let uri: http::Uri = url.parse().map_err(|_| OpenError::Address)?;
    let host = uri.host().ok_or(OpenError::Address)?.trim_matches(['[', ']']).to_owned();
    let tcp = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(PORT))).await?;
    tcp.set_nodelay(true)?;
    let tls = TlsConnector::from(tls).connect(ServerName::try_from(host)?, tcp).await?;
    let limits = WebSocketConfig::default().max_message_size(Some(MOST_BYTES)).max_frame_size(Some(MOST_BYTES));
    let (socket, _) = client_async_with_config(url, tls, Some(limits)).await.map_err(Box::new)?;
    Ok(socket)
}

/// Passes frames on until the websocket is over. Returns its close code, where there was one.
async fn pass_on(
    id: SocketId,
    socket: &mut Socket,
    out: &mut mpsc::UnboundedReceiver<ToSocket>,
    into: &mpsc::Sender<(SocketId, FromSocket)>,
) -> Option<u16> {
    loop {
        let sent = tokio::select! {
            read = socket.next() => {
                let message = match read {
                    Some(Ok(Message::Text(text))) => FromSocket::Text(text.as_str().to_owned()),
                    Some(Ok(Message::Binary(bytes))) => FromSocket::Binary(bytes.into()),
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Err(_)) | None => return None,
                };
                if into.send((id, message)).await.is_err() {
                    return None;
                }
                Ok(())
            }
            wanted = out.recv() => match wanted {
                Some(ToSocket::Text(text)) => socket.send(Message::text(text)).await,
                Some(ToSocket::Binary(bytes)) => socket.send(Message::binary(bytes)).await,
                Some(ToSocket::Close(code)) => {
                    close(socket, code).await;
                    return None;
                }
                None => return None,
            },
        };
        if sent.is_err() {
            return None;
        }
    }
}

async fn close(socket: &mut Socket, code: u16) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
    // What the other side still says, it says to nobody.
    let closing = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(CLOSING, closing).await;
}
