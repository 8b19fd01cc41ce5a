//! What voice costs.

mod connect;
mod group;
mod idle;
mod packets;
mod session;

use std::time::Duration;

use anyhow::Result;

use crate::report::{self, Aim, Better, Summary, summary};

/// Measures everything and prints it.
pub(crate) fn measure(quick: bool) -> Result<()> {
    let rounds = if quick { 5 } else { 15 };
    let mut aims = Vec::new();
    let mut aim =
        |what: &str, reached, aim| aims.push(Aim { what: what.to_owned(), reached, aim, better: Better::Less });

    // First, while this process is small.
    let memory = idle::memory(if quick { (100, 300) } else { (200, 1_200) })? / 1_024.0;
    aim("KiB of an idle voice session, sockets and tasks apart", Summary { best: memory, median: memory }, 48.0);

    let packets = packets::measure(rounds)?;
    println!(
        "\nA voice packet, ns: minima of {rounds} rounds, medians in brackets. Bare: AES-256-GCM and davey alone."
    );
    println!("{:<28}{:>22}{:>22}{:>18}", "", "session", "bare", "ratio");
    for (what, pair) in [("received", &packets.received), ("sent", &packets.sent)] {
        let figure = |summary: Summary| format!("{:.0} ({:.0})", summary.best, summary.median);
        let ratio = format!("{:.2} ({:.2})", pair.ratio.best, pair.ratio.median);
        println!("{what:<28}{:>22}{:>22}{ratio:>18}", figure(pair.session), figure(pair.bare));
        aim(&format!("a packet {what}, CPU / bare AEAD and davey"), pair.ratio, 1.3);
    }

    let times = connect::to_first_frame(if quick { 3 } else { 10 })?;
    let seconds = summary(&times, Duration::as_secs_f64, Better::Less);
    let worst = summary(&times, Duration::as_secs_f64, Better::More).best;
    println!(
        "\nConnect to first frame, {} times: {:.3} s, middle {:.3}, worst {worst:.3}",
        times.len(),
        seconds.best,
        seconds.median
    );
    aim("seconds from Connect to the first frame", Summary { best: worst, ..seconds }, 2.0);
    print!("{}", report::aims(&aims));
    Ok(())
}
