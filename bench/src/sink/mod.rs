//! One client program for every server: it opens the connections, says when an event happens, and counts what comes.

mod grpc;
mod h2;
mod web;
mod ws;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream as BlockingStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use parlor_proto::v1;
use prost::Message as _;

use crate::serve::Announcement;

const PATH: &str = "/parlor.v1.VoiceEventService/SubscribeVoiceEvents";

/// How long after the last event everything has to be there.
const GRACE: Duration = Duration::from_secs(10);

/// What is spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wire {
    /// Frames of HTTP/2 without its handshake.
    Raw,
    /// gRPC over HTTP/2 without TLS.
    Http2,
    /// gRPC-Web over HTTP/1.1.
    Web,
    /// WebSocket.
    WebSocket,
}

impl Wire {
    /// Messages of a stream before its first event.
    fn greetings(self, token: &str) -> usize {
        // Parlor's are Hello and a bookmark.
        if token.is_empty() { 1 } else { 2 }
    }
}

/// Who subscribes, and with what.
struct Subscriber<'a> {
    token: &'a str,
    heartbeat: Duration,
}

impl Subscriber<'_> {
    /// The request, with its prefix.
    fn body(&self) -> Vec<u8> {
        let request = v1::SubscribeVoiceEventsRequest {
            start: Some(v1::subscribe_voice_events_request::Start::StartAt(v1::StartAt::Latest.into())),
            heartbeat: prost_types::Duration::try_from(self.heartbeat).ok(),
            ..Default::default()
        }
        .encode_to_vec();
        let length = u32::try_from(request.len()).expect("a small request");
        [&[0][..], &length.to_be_bytes(), &request].concat()
    }
}

enum Reader {
    Http2(h2::Reader),
    Web(web::Reader),
    WebSocket(ws::Reader),
}

struct Connection {
    socket: TcpStream,
    reader: Reader,
    /// The number of its first stream among all.
    first: usize,
}

/// How events come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// So many a second, evenly.
    Rate(u32),
    /// The next one as soon as fewer than so many are under way.
    InFlight(usize),
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Messages that came.
    pub delivered: u64,
    /// From the first event to the last message.
    pub took: Duration,
    /// From an event's trigger to its message, of each message, sorted.
    pub latencies: Vec<Duration>,
}

/// The client.
pub(crate) struct Sink {
    wire: Wire,
    announced: Announcement,
    heartbeat: Duration,
    control: BlockingStream,
    poll: Poll,
    connections: Vec<Connection>,
    /// Messages of each stream so far.
    received: Vec<usize>,
    buffer: Vec<u8>,
    /// Bytes that came.
    bytes: u64,
    /// In so many reads.
    reads: u64,
}

impl Sink {
    /// A client of a server.
    pub(crate) fn new(wire: Wire, announced: Announcement, heartbeat: Duration) -> Result<Self> {
        let control = BlockingStream::connect((Ipv4Addr::LOCALHOST, announced.control))?;
        control.set_nodelay(true)?;
        Ok(Self {
            wire,
            announced,
            heartbeat,
            control,
            poll: Poll::new()?,
            connections: Vec::new(),
            received: Vec::new(),
            buffer: vec![0; 256 * 1024],
            bytes: 0,
            reads: 0,
        })
    }

    /// Opens more connections, and returns when all their streams have begun.
    pub(crate) fn open(&mut self, connections: usize, streams: usize) -> Result<()> {
        let subscriber = Subscriber { token: &self.announced.token, heartbeat: self.heartbeat };
        let hello = match self.wire {
            Wire::Raw => vec![u8::try_from(streams).context("a few streams")?],
            Wire::Http2 => [h2::hello(), h2::open(0, &subscriber)].concat(),
            Wire::Web => web::hello(&subscriber),
            Wire::WebSocket => ws::hello(),
        };
        for _ in 0..connections {
            let mut socket = BlockingStream::connect((Ipv4Addr::LOCALHOST, self.announced.events))?;
            socket.set_nodelay(true)?;
            socket.write_all(&hello)?;
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            let token = Token(self.connections.len());
            self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
            let reader = match self.wire {
                Wire::Raw | Wire::Http2 => Reader::Http2(h2::Reader::new(streams)),
                Wire::Web => Reader::Web(web::Reader::new()),
                Wire::WebSocket => Reader::WebSocket(ws::Reader::new()),
            };
            self.connections.push(Connection { socket, reader, first: self.received.len() });
            self.received.resize(self.received.len() + streams, 0);
        }
        let (opened, before) = (self.connections.len() - connections, self.received.len() - connections * streams);
        // Of the others all streams are opened at once.
        let at_once = if self.wire == Wire::Http2 { 1 } else { streams };
        self.greeted(before + connections * at_once)?;
        // The streams of a connection come one after another, as they do in life: a hundred at once grow queues in the server
        // that nothing else ever needs.
        for number in at_once..streams {
            let subscriber = Subscriber { token: &self.announced.token, heartbeat: self.heartbeat };
            let open = h2::open(number, &subscriber);
            for connection in &mut self.connections[opened..] {
                connection.socket.write_all(&open)?;
            }
            self.greeted(before + connections * (number + 1))?;
        }
        Ok(())
    }

    /// Returns when so many streams have begun.
    fn greeted(&mut self, streams: usize) -> Result<()> {
        let greetings = self.wire.greetings(&self.announced.token);
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.received.iter().filter(|received| **received >= greetings).count() < streams {
            ensure!(Instant::now() < deadline, "not every stream began");
            self.turn(Some(Duration::from_millis(100)), &mut |_, _| {})?;
        }
        Ok(())
    }

    /// Reads what comes, and makes nothing happen.
    pub(crate) fn rest(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.turn(Some(Duration::ZERO), &mut |_, _| {})?;
        }
        Ok(())
    }

    /// Makes events happen for a time, and returns when all of them are with everybody.
    pub(crate) fn drive(&mut self, load: Load, duration: Duration) -> Result<Outcome> {
        let streams = self.received.len();
        self.received.fill(0);
        let mut triggered: Vec<Instant> = Vec::new();
        // How many streams have each event.
        let mut reached: Vec<usize> = Vec::new();
        let mut finished = 0;
        let mut strays = 0;
        let mut latencies = Vec::new();
        let (start, mut last) = (Instant::now(), Instant::now());
        loop {
            let now = Instant::now();
            let elapsed = now - start;
            let over = elapsed >= duration;
            let due = match load {
                _ if over => 0,
                Load::Rate(rate) => (elapsed.as_secs_f64() * f64::from(rate)) as usize + 1 - triggered.len(),
                Load::InFlight(most) => most - (triggered.len() - finished),
            };
            if due > 0 {
                triggered.resize(triggered.len() + due, now);
                reached.resize(triggered.len(), 0);
                self.control.write_all(&vec![0; due])?;
            }
            if over && finished == triggered.len() {
                break;
            }
            ensure!(
                elapsed < duration + GRACE,
                "{} of {} messages came, and {strays} that nobody made happen",
                latencies.len(),
                triggered.len() * streams
            );
            // It never sleeps: what waking it costs is charged to whoever writes to it, and depends on how quick the machine is
            // just then.
            self.turn(Some(Duration::ZERO), &mut |number, now| {
                let Some(trigger) = triggered.get(number) else {
                    strays += 1;
                    return;
                };
                latencies.push(now - *trigger);
                reached[number] += 1;
                last = now;
            })?;
            finished += reached[finished..].iter().take_while(|reached| **reached == streams).count();
        }
        ensure!(strays == 0, "{strays} messages came that nobody made happen");
        latencies.sort_unstable();
        Ok(Outcome { delivered: latencies.len() as u64, took: last - start, latencies })
    }

    /// Bytes that came so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads that brought something so far.
    pub(crate) fn reads(&self) -> u64 {
        self.reads
    }

    /// Waits once, and tells `message` the number of each message in its stream and when it came.
    fn turn(&mut self, wait: Option<Duration>, message: &mut impl FnMut(usize, Instant)) -> Result<()> {
        let mut events = Events::with_capacity(1_024);
        match self.poll.poll(&mut events, wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        let mut answer = Vec::new();
        for event in &events {
            let Connection { socket, reader, first } = &mut self.connections[event.token().0];
            loop {
                let count = match socket.read(&mut self.buffer) {
                    Ok(0) => bail!("the server closed a connection"),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                };
                self.bytes += count as u64;
                self.reads += 1;
                let now = Instant::now();
                let bytes = &self.buffer[..count];
                let received = &mut self.received;
                let mut count_in = |stream: usize| {
                    let received = &mut received[*first + stream];
                    message(*received, now);
                    *received += 1;
                };
                match reader {
                    Reader::Http2(reader) => reader.feed(bytes, &mut answer, &mut count_in)?,
                    Reader::Web(reader) => reader.feed(bytes, &mut count_in)?,
                    Reader::WebSocket(reader) => reader.feed(bytes, &mut count_in)?,
                }
                if !answer.is_empty() {
                    socket.write_all(&answer)?;
                    answer.clear();
                }
                // Fewer bytes than asked for: there are no more (epoll(7), "edge-triggered").
                if count < self.buffer.len() {
                    break;
                }
            }
        }
        Ok(())
    }
}
