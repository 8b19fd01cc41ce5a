//! The runs: who is measured in which shape under which load, in turns.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    process::{Process, Server},
    sink::{Load, Sink, Wire},
};

/// Who is measured.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, clap::ValueEnum)]
pub(crate) enum Contender {
    /// Encoded bytes in a loop: the floor.
    Raw,
    /// tonic's generated service.
    Naive,
    /// Node's `ws`.
    Hub,
    /// Parlor over HTTP/2.
    Parlor,
    /// Parlor over gRPC-Web in HTTP/1.1.
    ParlorWeb,
}

impl Contender {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw TCP writes",
            Self::Naive => "naive tonic",
            Self::Hub => "ws hub (Node)",
            Self::Parlor => "Parlor h2c",
            Self::ParlorWeb => "Parlor grpc-web",
        }
    }

    fn server(self) -> Server {
        match self {
            Self::Raw => Server::Own("raw"),
            Self::Naive => Server::Own("naive"),
            Self::Hub => Server::Hub,
            Self::Parlor | Self::ParlorWeb => Server::Own("parlor"),
        }
    }

    fn wire(self) -> Wire {
        match self {
            Self::Raw => Wire::Raw,
            Self::Naive | Self::Parlor => Wire::Http2,
            Self::Hub => Wire::WebSocket,
            Self::ParlorWeb => Wire::Web,
        }
    }
}

/// Subscribers on connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Connections.
    pub connections: usize,
    /// Streams of each.
    pub streams: usize,
}

/// A fan-out to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fanout {
    /// The subscribers.
    pub shape: Shape,
    /// The events.
    pub load: Load,
    /// For how long events come.
    pub duration: Duration,
}

/// What one fan-out came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// CPU time of the server for each delivered event, in microseconds.
    pub cpu: f64,
    /// From trigger to arrival, in milliseconds, half of the messages.
    pub p50: f64,
    /// The same, all but one in a hundred.
    pub p99: f64,
    /// Deliveries a second.
    pub rate: f64,
    /// Bytes of each message on the wire.
    pub bytes: f64,
    /// Messages in each read of the client, which is about a write of the server.
    pub batch: f64,
    /// The part of its core that the server used.
    pub load: f64,
}

impl Fanout {
    /// Measures one contender once, with a fresh process.
    pub(crate) fn measure(&self, contender: Contender) -> Result<Delivery> {
        // No bookmark comes in this time, so every message is an event.
        const QUIET: Duration = Duration::from_secs(60);
        let (process, announced) = Process::start(contender.server())?;
        let mut sink = Sink::new(contender.wire(), announced, QUIET)?;
        sink.open(self.shape.connections, self.shape.streams)?;
        // Caches and allocations warm up, and the greeting's work is over.
        sink.drive(self.load, self.duration / 8).context(contender.name())?;
        let (cpu, bytes, reads) = (process.cpu()?, sink.bytes(), sink.reads());
        let outcome = sink.drive(self.load, self.duration).context(contender.name())?;
        let cpu = process.cpu()? - cpu;
        let percentile = |part: f64| {
            let index = (outcome.latencies.len() as f64 * part) as usize;
            outcome.latencies[index.min(outcome.latencies.len() - 1)].as_secs_f64() * 1e3
        };
        let delivered = outcome.delivered as f64;
        Ok(Delivery {
            cpu: cpu.as_secs_f64() * 1e6 / delivered,
            p50: percentile(0.50),
            p99: percentile(0.99),
            rate: delivered / outcome.took.as_secs_f64(),
            bytes: (sink.bytes() - bytes) as f64 / delivered,
            batch: delivered / (sink.reads() - reads) as f64,
            load: cpu.as_secs_f64() / outcome.took.as_secs_f64(),
        })
    }
}

/// Subscribers that hear of nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// How many at first, and how many in the end: the difference between both is what one takes of memory.
    pub subscribers: (usize, usize),
    /// Streams of a connection.
    pub streams: usize,
    /// How long CPU time is watched for.
    pub watched: Duration,
}

/// What an idle subscriber costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// Resident memory of each, in KiB.
    pub memory: f64,
    /// CPU time of the process over the number of them, in microseconds a second.
    pub cpu: f64,
    /// Resident memory of the process with all of them, in MiB.
    pub whole: f64,
}

impl Idle {
    /// Measures one contender once, with a fresh process.
    pub(crate) fn measure(&self, contender: Contender) -> Result<Rest> {
        // As often as a client gets them that does not ask.
        const HEARTBEAT: Duration = Duration::from_secs(15);
        let (few, many) = self.subscribers;
        let (process, announced) = Process::start(contender.server())?;
        let mut sink = Sink::new(contender.wire(), announced, HEARTBEAT)?;
        let mut open = |subscribers: usize| -> Result<f64> {
            sink.open(subscribers / self.streams, self.streams).context(contender.name())?;
            // What opening them takes is over by then.
            sink.rest(Duration::from_millis(500))?;
            Ok(process.resident()? as f64)
        };
        let first = open(few)?;
        open(many - few)?;
        let cpu = process.cpu()?;
        sink.rest(self.watched)?;
        let cpu = (process.cpu()? - cpu).as_secs_f64() / self.watched.as_secs_f64();
        // By now each was told at least once that nothing happens.
        let last = process.resident()? as f64;
        Ok(Rest {
            memory: (last - first) / (many - few) as f64 / 1024.0,
            cpu: cpu * 1e6 / many as f64,
            whole: last / f64::from(1 << 20),
        })
    }
}

/// Measures each contender so many times, in turns, so that what else the machine does falls on all of them.
pub(crate) fn in_turns<T>(
    contenders: &[Contender],
    rounds: usize,
    measure: impl Fn(Contender) -> Result<T>,
) -> Result<Vec<(Contender, Vec<T>)>> {
    let mut results: Vec<(Contender, Vec<T>)> = contenders.iter().map(|contender| (*contender, Vec::new())).collect();
    for _ in 0..rounds {
        for (contender, results) in &mut results {
            results.push(measure(*contender)?);
            // The kernel takes thousands of sockets down.
            thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(results)
}
