//! What voice costs.

mod carried;
mod connect;
mod contender;
mod group;
mod idle;
mod packets;
mod session;
mod stage;

use std::time::Duration;

use anyhow::Result;

use self::carried::Cost;
use crate::report::{self, Aim, Better, Summary, summary};

/// Measures everything and prints it.
pub(crate) fn measure(quick: bool) -> Result<()> {
    let rounds = if quick { 5 } else { 15 };
    let mut aims = Vec::new();
    let aim = |what: &str, reached, aim| Aim { what: what.to_owned(), reached, aim, better: Better::Less };

    // First, while this process is small.
    let memory = idle::memory(if quick { (100, 300) } else { (200, 1_200) })? / 1_024.0;
    aims.push(aim(
        "KiB of an idle voice session, sockets and tasks apart",
        Summary { best: memory, median: memory },
        48.0,
    ));

    let packets = packets::measure(rounds)?;
    println!(
        "\nA voice packet, ns: minima of {rounds} rounds, medians in brackets. Bare: AES-256-GCM and davey alone."
    );
    println!("{:<28}{:>22}{:>22}{:>18}", "", "session", "bare", "ratio");
    for (what, pair) in [("received", &packets.received), ("sent", &packets.sent)] {
        let figure = |summary: Summary| format!("{:.0} ({:.0})", summary.best, summary.median);
        let ratio = format!("{:.2} ({:.2})", pair.ratio.best, pair.ratio.median);
        println!("{what:<28}{:>22}{:>22}{ratio:>18}", figure(pair.session), figure(pair.bare));
        aims.push(aim(&format!("a packet {what}, CPU / bare AEAD and davey"), pair.ratio, 1.3));
    }

    aims.push(beside_songbird(quick)?);

    let times = connect::to_first_frame(if quick { 3 } else { 10 })?;
    let seconds = summary(&times, Duration::as_secs_f64, Better::Less);
    let worst = summary(&times, Duration::as_secs_f64, Better::More).best;
    println!(
        "\nConnect to first frame, {} times: {:.3} s, middle {:.3}, worst {worst:.3}",
        times.len(),
        seconds.best,
        seconds.median
    );
    aims.push(aim("seconds from Connect to the first frame", Summary { best: worst, ..seconds }, 2.0));
    print!("{}", report::aims(&aims));
    Ok(())
}

/// Sessions a core and memory of whole processes, beside songbird's driver.
fn beside_songbird(quick: bool) -> Result<Aim> {
    let sessions = 8;
    let (rounds, seconds) = if quick { (2, 3) } else { (5, 5) };
    let [parlor, songbird] = carried::cpu(sessions, rounds, Duration::from_secs(seconds))?;
    println!(
        "\n{sessions} sessions, each in an end-to-end encrypted call of two, speaking (Opus, passed through) and hearing all the\n\
         time: minima of {rounds} rounds, medians in brackets."
    );
    println!("{:<36}{:>24}{:>22}", "", "CPU µs/s a session", "sessions a core");
    let figures = |costs: &[Cost], figure: fn(&Cost) -> f64| summary(costs, figure, Better::Less);
    let of_songbird = figures(&songbird, |cost| cost.whole);
    let (audio, whole) = (figures(&parlor, |cost| cost.audio), figures(&parlor, |cost| cost.whole));
    for (who, cost) in [
        ("songbird's driver", of_songbird),
        ("Parlor, its voice threads", audio),
        ("Parlor, the process with gRPC", whole),
    ] {
        let cpu = format!("{:.0} ({:.0})", cost.best, cost.median);
        println!("{who:<36}{cpu:>24}{:>22}", format!("{:.0} ({:.0})", 1e6 / cost.best, 1e6 / cost.median));
    }
    let over = |cost: Summary| Summary { best: of_songbird.best / cost.best, median: of_songbird.median / cost.median };
    let with_grpc = over(whole);
    println!("The process with gRPC carries {:.2} ({:.2}) times songbird's.", with_grpc.best, with_grpc.median);
    let (few, many) = if quick { (4, 16) } else { (10, 40) };
    let [parlor, songbird] = carried::memory((few, many))?;
    println!("\nAn idle session of a whole process, KiB: Parlor {parlor:.1}, songbird {songbird:.1}");
    Ok(Aim {
        what: "sessions a core, voice threads / songbird's driver".to_owned(),
        reached: over(audio),
        aim: 2.0,
        better: Better::More,
    })
}
