//! The servers, each in a process of its own.
//!
//! A server prints one line of JSON, [`Announcement`], and then takes events from a control socket: each byte is one
//! event, and the end of the socket is the end of the process.

mod naive;
mod noop;
mod parlor;
mod raw;
mod rooms;

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncReadExt as _, net::TcpListener as AsyncListener};

/// A server of this program.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Program {
    /// Writes encoded bytes to sockets, and nothing else.
    Raw,
    /// tonic's generated service, which encodes for every subscriber.
    Naive,
    /// Parlor's event service with everything that stands around it.
    Parlor,
    /// tonic's generated room service with an answer that it knows.
    Noop,
    /// Parlor's room service with everything that stands around it.
    Rooms,
}

/// Where a server listens.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Announcement {
    /// The port for subscribers.
    pub events: u16,
    /// The port for events to come in.
    pub control: u16,
    /// The token of a subscriber, where one is needed.
    #[serde(default)]
    pub token: String,
}

impl Announcement {
    fn print(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, self).context("standard output is closed")?;
        writeln!(out).and_then(|()| out.flush()).context("standard output is closed")
    }
}

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs a server until its control socket ends.
///
/// # Errors
/// It cannot listen.
pub(crate) fn serve(program: Program) -> Result<()> {
    match program {
        Program::Raw => raw::serve(),
        // As parlord does it.
        Program::Naive => tokio::runtime::Runtime::new()?.block_on(naive::serve()),
        Program::Parlor => tokio::runtime::Runtime::new()?.block_on(parlor::serve()),
        Program::Noop => tokio::runtime::Runtime::new()?.block_on(noop::serve()),
        Program::Rooms => tokio::runtime::Runtime::new()?.block_on(rooms::serve()),
    }
}

/// Calls `event` for every byte of the control socket.
fn obey(control: &TcpListener, mut event: impl FnMut() -> Result<()>) -> Result<()> {
    let (mut socket, _) = control.accept()?;
    let mut bytes = [0; 64];
    loop {
        let count = socket.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            event()?;
        }
    }
}

/// The same on a runtime.
async fn obey_async(control: AsyncListener, mut event: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let (mut socket, _) = control.accept().await?;
    let mut bytes = [0; 64];
    loop {
        let count = socket.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            event().await?;
        }
    }
}
