//! What fan-out costs, beside its rivals in the same run. `bench/README.md` says how to read it.

// The largest payload of Discord is one large literal.
#![recursion_limit = "512"]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the command's own output")]

mod calls;
mod feed;
mod parse;
mod process;
mod reconnect;
mod report;
mod runs;
mod serve;
mod sink;
mod start;
mod voice;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};

use self::{
    report::{Aim, Better, of, ratio},
    runs::{Contender, Fanout, Idle, Rest, Shape, in_turns},
    sink::Load,
};

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure everything and print the tables.
    Fanout {
        /// Fewer and shorter rounds: less than two minutes, and less to rely on.
        #[arg(long)]
        quick: bool,
        /// Only these parts.
        #[arg(long, value_enum)]
        only: Vec<Part>,
    },
    /// Measure one contender alone, for instance under a profiler.
    One {
        /// Whom.
        contender: Contender,
        /// In which part.
        part: Part,
        /// For how long events come.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// So many connections instead of the part's.
        #[arg(long)]
        connections: Option<usize>,
        /// So many events a second instead of the part's load.
        #[arg(long)]
        rate: Option<u32>,
    },
    /// Measure what reading Discord costs.
    Parse {
        /// Fewer rounds.
        #[arg(long)]
        quick: bool,
    },
    /// Measure how long parlord takes until it serves, what it holds in memory then, and how long a dropped gateway connection
    /// keeps subscribers waiting.
    Start {
        /// Fewer rounds.
        #[arg(long)]
        quick: bool,
    },
    /// Measure what CreateRoom costs over a call that does nothing, and how long it takes.
    Calls {
        /// Fewer rounds.
        #[arg(long)]
        quick: bool,
    },
    /// Measure what voice costs: packets, idle sessions, and how long Connect takes.
    Voice {
        /// Fewer and shorter rounds.
        #[arg(long)]
        quick: bool,
    },
    /// Be one of the servers.
    #[command(hide = true)]
    Serve {
        /// Which.
        program: serve::Program,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Part {
    Own,
    Multiplexed,
    Latency,
    Bursts,
    Idle,
    IdleMultiplexed,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Serve { program } => serve::serve(program),
        Command::Fanout { quick, only } => fanout(quick, &only),
        Command::Parse { quick } => parsing(quick),
        Command::Start { quick } => starting(quick),
        Command::Calls { quick } => calling(quick),
        Command::Voice { quick } => voice::measure(quick),
        Command::One { contender, part, seconds, connections, rate } => {
            one(contender, part, Duration::from_secs(seconds), connections, rate.map(Load::Rate))
        }
    }
}

fn parsing(quick: bool) -> Result<()> {
    let rounds = if quick { 3 } else { 15 };
    println!(
        "\nReading Discord, µs: minima of {rounds} rounds, medians in brackets. Ours is the whole way to encoded entries."
    );
    println!(
        "{:<28}{:>9}{:>22}{:>22}{:>22}{:>8}",
        "", "bytes", "ours", "our reading alone", "twilight's reading", "ratio"
    );
    let measured = parse::measure(rounds)?;
    for (what, parse) in &measured {
        let figure = |summary: report::Summary| format!("{:.2} ({:.2})", summary.best / 1e3, summary.median / 1e3);
        println!(
            "{what:<28}{:>9}{:>22}{:>22}{:>22}{:>8.3}",
            parse.bytes,
            figure(parse.ours),
            figure(parse.translate),
            figure(parse.twilight),
            parse.ratio().best
        );
    }
    let aim = |(what, parse): &(&str, parse::Parse), aim| Aim {
        what: format!("{what} to encoded entries / twilight's reading"),
        reached: parse.ratio(),
        aim,
        better: Better::Less,
    };
    let [voice_state, _, guild] = &measured;
    print!("{}", report::aims(&[aim(voice_state, 0.45), aim(guild, 0.25)]));
    Ok(())
}

fn starting(quick: bool) -> Result<()> {
    let rounds = if quick { 3 } else { 15 };
    let (first, starts) = start::measure(rounds)?;
    let serving = report::summary(&starts, |start| start.serving.as_secs_f64() * 1e3, Better::Less);
    let resident = report::summary(&starts, |start| start.resident / f64::from(1 << 20), Better::Less);
    println!("\nparlord serve, {rounds} starts after kill -9 over the same store, medians in brackets");
    println!("start to serving: {:.1} ms ({:.1})", serving.best, serving.median);
    println!("the first, which makes the store: {:.1} ms", first.serving.as_secs_f64() * 1e3);
    println!("resident memory, connected and idle: {:.1} MiB ({:.1})", resident.best, resident.median);
    let rounds = if quick { 1 } else { 5 };
    let took = reconnect::after_a_drop(rounds)?;
    let gap = report::summary(&took, Duration::as_secs_f64, Better::Less);
    println!("\nThe gateway connection drops while somebody moves, {rounds} rounds");
    println!("until a subscriber is told: {:.1} ms ({:.1})", gap.best * 1e3, gap.median * 1e3);
    let what = "s from the drop until a subscriber is told".to_owned();
    print!("{}", report::aims(&[Aim { what, reached: gap, aim: 5.0, better: Better::Less }]));
    Ok(())
}

fn calling(quick: bool) -> Result<()> {
    let (rounds, batches) = if quick { (2, 5) } else { (5, 20) };
    let (mut noop, mut rooms, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        noop.push(calls::cpu("noop", batches)?);
        rooms.push(calls::cpu("rooms", batches)?);
        waits.push(calls::p95()?);
    }
    let best = |figures: &[f64]| report::summary(figures, |figure| *figure, Better::Less);
    let (noop, rooms, p95) = (best(&noop), best(&rooms), best(&waits));
    println!("\nCreateRoom, minima of {rounds} rounds, medians in brackets");
    println!("server CPU, a tonic call that does nothing: {:.0} µs ({:.0})", noop.best, noop.median);
    println!("server CPU, Parlor with Discord as a function: {:.0} µs ({:.0})", rooms.best, rooms.median);
    let ratio = report::Summary { best: rooms.best / noop.best, median: rooms.median / noop.median };
    let aim = |what: &str, reached, aim| Aim { what: what.to_owned(), reached, aim, better: Better::Less };
    let aims = [
        aim("CreateRoom, server CPU / a tonic call that does nothing", ratio, 1.3),
        aim("CreateRoom against the emulated Discord, ms at p95", p95, 500.0),
    ];
    print!("{}", report::aims(&aims));
    Ok(())
}

fn one(
    contender: Contender,
    part: Part,
    duration: Duration,
    connections: Option<usize>,
    rate: Option<Load>,
) -> Result<()> {
    let measure = |shape: Shape, load| -> Result<String> {
        let shape = Shape { connections: connections.unwrap_or(shape.connections), ..shape };
        let load = rate.unwrap_or(load);
        let delivery = Fanout { shape, load, duration }.measure(contender)?;
        Ok(report::fanout(&format!("{part:?}"), &[(contender, vec![delivery])]))
    };
    let text = match part {
        Part::Own => measure(OWN, RATE_OWN),
        Part::Multiplexed => measure(MULTIPLEXED, RATE_MULTIPLEXED),
        Part::Latency => measure(FEW, RATE_MULTIPLEXED),
        Part::Bursts => measure(OWN, BURSTS),
        Part::Idle | Part::IdleMultiplexed => {
            let streams = if part == Part::Idle { 1 } else { MULTIPLEXED.streams };
            let most = connections.map_or(5_000, |connections| connections * streams);
            let idle = Idle { subscribers: (most / 5, most), streams, watched: duration };
            Ok(report::idle(&format!("{part:?}"), &[(contender, vec![idle.measure(contender)?])]))
        }
    }?;
    print!("{text}");
    Ok(())
}

const OWN: Shape = Shape { connections: 1_000, streams: 1 };
const MULTIPLEXED: Shape = Shape { connections: 10, streams: 100 };
const FEW: Shape = Shape { connections: 100, streams: 1 };
const FEW_MULTIPLEXED: Shape = Shape { connections: 1, streams: 100 };
const RATE_OWN: Load = Load::Rate(50);
const RATE_MULTIPLEXED: Load = Load::Rate(100);
const BURSTS: Load = Load::InFlight(8);

fn fanout(quick: bool, only: &[Part]) -> Result<()> {
    use Contender::{Hub, Naive, Parlor, ParlorWeb, Raw};
    let start = Instant::now();
    let wanted = |part| only.is_empty() || only.contains(&part);
    let seconds = |full, short| Duration::from_millis(if quick { short } else { full });
    let rounds = if quick { 2 } else { 5 };
    let mut aims = Vec::new();
    let mut aim = |what: &str, reached, aim, better| aims.push(Aim { what: what.to_owned(), reached, aim, better });
    println!("Minima of {rounds} rounds, medians in brackets. Only ratios of one run mean anything elsewhere.");

    if wanted(Part::Own) {
        let fanout = Fanout { shape: OWN, load: RATE_OWN, duration: seconds(3_000, 1_500) };
        let measured = in_turns(&[Raw, Naive, Hub, Parlor, ParlorWeb], rounds, |one| fanout.measure(one))?;
        print!("{}", report::fanout("1,000 subscribers on own connections, 50 events/s", &measured));
        let cpu = |over| ratio(&measured, over, |run| run.cpu, Better::Less);
        aim("own connections, CPU per event / naive tonic", cpu((Parlor, Naive)), 0.9, Better::Less);
        aim("own connections, CPU per event / ws hub", cpu((Parlor, Hub)), 1.0, Better::Less);
    }
    if wanted(Part::Multiplexed) {
        let fanout = Fanout { shape: MULTIPLEXED, load: RATE_MULTIPLEXED, duration: seconds(3_000, 1_500) };
        let measured = in_turns(&[Raw, Naive, Parlor], rounds, |one| fanout.measure(one))?;
        print!("{}", report::fanout("10 connections of 100 streams, 100 events/s", &measured));
        let cpu = ratio(&measured, (Parlor, Naive), |run| run.cpu, Better::Less);
        aim("multiplexed, CPU per event / naive tonic", cpu, 0.6, Better::Less);
    }
    if wanted(Part::Latency) {
        for (shape, how) in [(FEW, "own connections"), (FEW_MULTIPLEXED, "one connection")] {
            let fanout = Fanout { shape, load: RATE_MULTIPLEXED, duration: seconds(3_000, 1_500) };
            let measured = in_turns(&[Raw, Naive, Parlor], rounds, |one| fanout.measure(one))?;
            let title = format!(
                "100 streams on {how}, 100 events/s; Parlor stores each first, several in a commit if they wait"
            );
            print!("{}", report::fanout(&title, &measured));
            let p99 = of(&measured, Parlor, |run| run.p99, Better::Less);
            aim(&format!("100 streams on {how}, ms from event to client at p99"), p99, 2.0, Better::Less);
        }
    }
    if wanted(Part::Bursts) {
        let fanout = Fanout { shape: OWN, load: BURSTS, duration: seconds(2_000, 1_000) };
        let measured = in_turns(&[Naive, Hub, Parlor, ParlorWeb], rounds, |one| fanout.measure(one))?;
        print!("{}", report::fanout("1,000 subscribers on own connections, 8 events under way", &measured));
        let rate = |over| ratio(&measured, over, |run| run.rate, Better::More);
        aim("bursts over h2c, deliveries/s / ws hub", rate((Parlor, Hub)), 4.0, Better::More);
        aim("bursts over grpc-web, deliveries/s / ws hub", rate((ParlorWeb, Hub)), 8.0, Better::More);
    }
    // Each round is long: a keep-alive comes every 20 s and a bookmark at least every 15 s.
    let rounds = if quick { 1 } else { 3 };
    let idle = Idle {
        subscribers: if quick { (500, 2_000) } else { (1_000, 5_000) },
        streams: 1,
        watched: seconds(20_000, 4_000),
    };
    if wanted(Part::Idle) {
        let measured = in_turns(&[Naive, Hub, Parlor, ParlorWeb], rounds, |one| idle.measure(one))?;
        print!("{}", report::idle("Idle, each on its own connection", &measured));
        let figure = |figure: fn(&Rest) -> f64| of(&measured, Parlor, figure, Better::Less);
        aim("own connections, KiB per idle subscriber", figure(|rest| rest.memory), 16.0, Better::Less);
        aim("own connections, CPU µs/s per idle subscriber", figure(|rest| rest.cpu), 1.0, Better::Less);
    }
    if wanted(Part::IdleMultiplexed) {
        let subscribers = if quick { idle.subscribers } else { (2_000, 10_000) };
        let idle = Idle { subscribers, streams: MULTIPLEXED.streams, ..idle };
        let measured = in_turns(&[Naive, Parlor], rounds, |one| idle.measure(one))?;
        print!("{}", report::idle("Idle, 100 streams on each connection", &measured));
        let figure = |figure: fn(&Rest) -> f64| of(&measured, Parlor, figure, Better::Less);
        aim("multiplexed, KiB per idle stream", figure(|rest| rest.memory), 2.5, Better::Less);
        aim("multiplexed, CPU µs/s per idle stream", figure(|rest| rest.cpu), 1.0, Better::Less);
        let whole = of(&measured, Parlor, |rest| rest.whole, Better::Less);
        let title = format!("{} idle streams, MiB of the whole process", subscribers.1);
        aim(&title, whole, 2.5 * subscribers.1 as f64 / 1024.0 + 16.0, Better::Less);
    }
    print!("{}", report::aims(&aims));
    println!("\nTook {:.0} s.", start.elapsed().as_secs_f64());
    Ok(())
}
