//! A tap on the wire: every client of a house, in whatever language, reaches the server through it, and every event stream
//! that passes is recorded for the judge.
//!
//! Bytes pass as they came, both ways; the tap only reads along. It knows HTTP/2 (gRPC, grpc-web) and HTTP/1.1 (grpc-web).
//! What it cannot read it says, which fails the test: a stream that nobody judges is not passed over in silence.

mod http1;
mod http2;
mod stream;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

use self::{http1::Http1, http2::Http2};
use crate::{Archive, soon};

/// How a client of HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// A tap before a server.
#[derive(Debug)]
pub(crate) struct Tap {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Tap {
    /// A tap before this server, at this door.
    pub(crate) fn before(server: SocketAddr, door: Door, archive: Archive) -> Self {
        let listener = door.0.listen(BACKLOG).expect("the door is its own");
        let address = listener.local_addr().expect("a bound listener has an address");
        let accepting = tokio::spawn(async move {
            loop {
                // A connection that was given up while it waited is nobody's.
                let Ok((client, _)) = listener.accept().await else { continue };
                tokio::spawn(carry(client, server, archive.clone()));
            }
        });
        Self { address, accepting }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nobody in any longer. Who is in goes on until either side ends it.
    pub(crate) async fn close(mut self) -> Door {
        self.accepting.abort();
        // Its error is that it was aborted.
        let _ = (&mut self.accepting).await;
        // A program that another test is just starting holds a copy of every socket for a moment, this port's listener included.
        let free = async {
            loop {
                match Door::at(self.address) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
                    door => return door.unwrap_or_else(|error| panic!("{}: {error}", self.address)),
                }
            }
        };
        soon("the port of before", free).await
    }
}

/// A port that is taken, where nobody is let in: who connects is refused.
#[derive(Debug)]
pub(crate) struct Door(TcpSocket);

impl Door {
    /// Any port that is free.
    pub(crate) fn anywhere() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into()).expect("there is a free port")
    }

    fn at(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // Connections of before may not be over yet.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self(socket))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries one connection until both sides have ended it.
async fn carry(client: TcpStream, server: SocketAddr, archive: Archive) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    // A connection that is gone already needs no haste.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let ear = Ear::new(archive);
    tokio::join!(pass(from_client, to_server, &ear, Side::Client), pass(from_server, to_client, &ear, Side::Server));
    ear.ends();
}

/// Who speaks.
#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

/// Passes on what comes, once it was heard: whoever acts on a frame acts after it is on the tape.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, ear: &Ear, who: Side) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        match who {
            Side::Client => ear.asked(&buffer[..count]),
            Side::Server => ear.answered(&buffer[..count]).await,
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    // The other side may have gone first.
    let _ = to.shutdown().await;
}

/// What is heard of one connection.
struct Ear {
    archive: Archive,
    tongue: std::sync::Mutex<Tongue>,
}

/// What a connection speaks.
enum Tongue {
    /// That is not clear from these bytes.
    Unknown(Vec<u8>),
    Http1(Http1),
    Http2(Http2),
    /// Nobody understands the rest.
    Lost,
}

impl Ear {
    fn new(archive: Archive) -> Self {
        Self { archive, tongue: std::sync::Mutex::new(Tongue::Unknown(Vec::new())) }
    }

    /// The client sends this.
    fn asked(&self, bytes: &[u8]) {
        self.hear(|tongue, archive| match tongue {
            Tongue::Unknown(before) => {
                before.extend_from_slice(bytes);
                let known = before.len().min(PREFACE.len());
                if before[..known] != PREFACE[..known] {
                    let mut http1 = Http1::new(archive.clone());
                    let heard = http1.asked(before);
                    *tongue = Tongue::Http1(http1);
                    heard
                } else if known == PREFACE.len() {
                    let http2 = Http2::new(archive.clone());
                    http2.asked(before);
                    *tongue = Tongue::Http2(http2);
                    Ok(())
                } else {
                    Ok(())
                }
            }
            Tongue::Http1(http1) => http1.asked(bytes),
            Tongue::Http2(http2) => {
                http2.asked(bytes);
                Ok(())
            }
            Tongue::Lost => Ok(()),
        });
    }

    /// The server sends this.
    async fn answered(&self, bytes: &[u8]) {
        let mut calls = None;
        self.hear(|tongue, _| match tongue {
            Tongue::Http1(http1) => http1.answered(bytes),
            Tongue::Http2(http2) => {
                calls = Some(http2.calls());
                http2.answered(bytes)
            }
            Tongue::Unknown(_) => Err("the server speaks before its client".to_owned()),
            Tongue::Lost => Ok(()),
        });
        if let Some(calls) = calls {
            calls.are_known().await;
        }
    }

    fn hear(&self, bytes: impl FnOnce(&mut Tongue, &Archive) -> Result<(), String>) {
        let mut tongue = self.tongue.lock().expect("nothing panics while it holds this lock");
        if let Err(trouble) = bytes(&mut tongue, &self.archive) {
            *tongue = Tongue::Lost;
            self.archive.trouble(trouble);
        }
    }

    fn ends(&self) {
        self.hear(|tongue, _| {
            *tongue = Tongue::Lost;
            Ok(())
        });
    }
}
