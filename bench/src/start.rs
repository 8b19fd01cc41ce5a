//! How long `parlord serve` takes until it serves, and what it holds in memory when its gateway is up.

use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Error, Result};
use discord_emulator::Emulator;
use parlor_e2e::parlord::{Log, Parlord, Run, settings};
use tokio::time::sleep;

/// How long it is left alone before its memory is looked at.
const SETTLES: Duration = Duration::from_millis(500);

/// One start.
pub(crate) struct Start {
    /// From the process's beginning until its ports take calls, over the store that the directory holds.
    pub serving: Duration,
    /// Bytes in memory, once it is connected to Discord.
    pub resident: f64,
}

/// Starts `parlord serve`, which stands beside this program, so many times: first in a new directory, and then where the one
/// before was killed. The keys of its callers exist; the emulated Discord is in this process and not in the figures.
pub(crate) fn measure(rounds: usize) -> Result<(Start, Vec<Start>)> {
    let program = env::current_exe()?.with_file_name("parlord");
    let directory = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let discord = Emulator::start(discord_emulator::Config::default()).await?;
        let run = Run {
            settings: settings(&discord, "a.bot.of.the.benchmark"),
            store: directory.path().to_owned(),
            file_limit_kib: None,
        };
        let first = once(&program, &run, &discord).await?;
        let mut others = Vec::new();
        for _ in 0..rounds {
            others.push(once(&program, &run, &discord).await?);
        }
        Ok((first, others))
    })
}

async fn once(program: &Path, run: &Run, discord: &Emulator) -> Result<Start> {
    let before = discord.stats();
    let began = Instant::now();
    let parlord = Parlord::start(program, run, &Log::default()).await.map_err(Error::msg)?;
    let serving = began.elapsed();
    discord.wait_for(|now| now.identifies + now.resumes > before.identifies + before.resumes).await;
    sleep(SETTLES).await;
    let resident = parlord.resident_kib().context("it has ended")? as f64 * 1024.0;
    parlord.kill().await;
    Ok(Start { serving, resident })
}
