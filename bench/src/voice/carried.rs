//! How many sessions a core carries, and what one holds in memory, of a whole process: beside songbird's driver.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::{runtime::Runtime, time::sleep};

use super::{
    contender::{Carrier, Contender},
    stage::{FRAME, Stage},
};

/// How long it may take until everybody is heard.
const PATIENCE: Duration = Duration::from_secs(30);

/// The part of all frames that has to come for a measurement to count: the emulator is on a core with everybody else.
const ENOUGH: f64 = 0.9;

/// How many rounds of a run may not count.
const SPARE: u32 = 3;

/// What sessions cost that speak and hear all the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// CPU time of the whole process for one session, in µs a second.
    pub whole: f64,
    /// That of what carries audio alone: Parlor's voice threads; of songbird, which does nothing else, the whole.
    pub audio: f64,
}

/// Both contenders round by round, each time with a fresh process.
pub(crate) fn cpu(sessions: usize, rounds: usize, watched: Duration) -> Result<[Vec<Cost>; 2]> {
    runtime()?.block_on(async {
        let stage = Stage::set(sessions, true).await?;
        let mut costs = [Vec::new(), Vec::new()];
        let mut spare = SPARE;
        for _ in 0..rounds {
            for (contender, costs) in [Contender::Parlor, Contender::Songbird].into_iter().zip(&mut costs) {
                costs.push(measure_again(&stage, contender, watched, &mut spare).await?);
            }
        }
        stage.end().await;
        Ok(costs)
    })
}

/// A round that does not count is told of and played again: who is on a core with the emulator may come too late.
async fn measure_again(stage: &Stage, contender: Contender, watched: Duration, spare: &mut u32) -> Result<Cost> {
    loop {
        match measure(stage, contender, watched).await {
            Err(error) if *spare > 0 => {
                println!("A round does not count: {error}");
                *spare -= 1;
                stage.is_empty().await?;
            }
            done => return done,
        }
    }
}

async fn measure(stage: &Stage, contender: Contender, watched: Duration) -> Result<Cost> {
    let mut carrier = contender.start(stage).await?;
    carrier.join(&stage.places).await?;
    carrier.speak_and_hear().await?;
    // A second of sound each way in every call: keys are there, and whatever is made once is made.
    let (before, began) = ((carrier.heard()?, stage.tally.heard()), Instant::now());
    while !all_rose(&before.0, &carrier.heard()?, 50) || !all_rose(&before.1, &stage.tally.heard(), 50) {
        ensure!(
            began.elapsed() < PATIENCE,
            "{contender:?}: not everybody is heard; it heard {:?} and was heard {:?}, before that {before:?}; {:?}",
            carrier.heard()?,
            stage.tally.heard(),
            stage.house.emulator.stats().voice.closes
        );
        sleep(Duration::from_millis(100)).await;
    }
    let before = (carrier.heard()?, stage.tally.heard());
    let (cpu, began) = (spent(&carrier, contender)?, Instant::now());
    sleep(watched).await;
    let (after, took) = (spent(&carrier, contender)?, began.elapsed());
    let heard = [sum(&carrier.heard()?) - sum(&before.0), sum(&stage.tally.heard()) - sum(&before.1)];
    let due = took.as_secs_f64() / FRAME.as_secs_f64() * stage.places.len() as f64;
    for (heard, what) in heard.into_iter().zip(["it heard", "was heard of it"]) {
        ensure!(
            heard as f64 >= due * ENOUGH,
            "{contender:?}: only {heard} of {due:.0} frames {what}: too busy, or too many sessions"
        );
    }
    stage.tally.check()?;
    carrier.leave().await?;
    stage.is_empty().await?;
    let per_session = |cpu: Duration| cpu.as_secs_f64() * 1e6 / took.as_secs_f64() / stage.places.len() as f64;
    Ok(Cost { whole: per_session(after.0 - cpu.0), audio: per_session(after.1 - cpu.1) })
}

/// CPU time of a carrier, and of what in it carries audio.
fn spent(carrier: &Carrier, contender: Contender) -> Result<(Duration, Duration)> {
    let process = carrier.process();
    let whole = process.cpu()?;
    match contender {
        Contender::Parlor => Ok((whole, process.cpu_of("voice")?)),
        Contender::Songbird => Ok((whole, whole)),
    }
}

fn all_rose(before: &[u64], after: &[u64], by: u64) -> bool {
    // Who has heard nothing yet may not be in the list at first.
    !after.is_empty()
        && after.len() >= before.len()
        && after.iter().enumerate().all(|(place, after)| *after >= before.get(place).copied().unwrap_or(0) + by)
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().sum()
}

/// Bytes that each of the later sessions takes of a process, idle, in an end-to-end encrypted call of two: the core, its task,
/// UDP socket and websocket. In KiB; Parlor's, and songbird's.
pub(crate) fn memory(sessions: (usize, usize)) -> Result<[f64; 2]> {
    let (few, many) = sessions;
    runtime()?.block_on(async {
        let stage = Stage::set(many, false).await?;
        let mut figures = [0.0; 2];
        for (contender, figure) in [Contender::Parlor, Contender::Songbird].into_iter().zip(&mut figures) {
            let mut carrier = contender.start(&stage).await?;
            let mut resident = [0; 2];
            for (places, resident) in [&stage.places[..few], &stage.places[few..]].into_iter().zip(&mut resident) {
                carrier.join(places).await?;
                // Everybody has keys, and what was allocated on the way is given back.
                sleep(Duration::from_secs(3)).await;
                *resident = carrier.process().resident()?;
            }
            carrier.leave().await?;
            stage.is_empty().await?;
            *figure = (resident[1] as f64 - resident[0] as f64) / (many - few) as f64 / 1_024.0;
        }
        stage.end().await;
        Ok(figures)
    })
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
