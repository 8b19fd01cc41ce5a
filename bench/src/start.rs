//! How long `parlord` takes until it serves, and what it holds in memory then.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// One start.
pub(crate) struct Start {
    /// From the process's beginning until it has said how to use it: it serves by then, over a store that it has made.
    pub serving: Duration,
    /// Bytes in memory, the emulated Discord included.
    pub resident: u64,
}

/// Starts `parlord dev`, which stands beside this program, in a directory of its own, and ends it again.
pub(crate) fn measure() -> Result<Start> {
    let program = env::current_exe()?.with_file_name("parlord");
    let directory = tempfile::tempdir()?;
    let free = "127.0.0.1:0";
    let began = Instant::now();
    let child = Command::new(&program)
        .args([
            "dev",
            "--listen",
            free,
            "--ops-listen",
            free,
            "--emulator-listen",
            free,
            "--log",
            "error",
            "--store-dir",
        ])
        .arg(directory.path())
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} is not there: cargo build --release --bin parlord", program.display()))?;
    let mut running = Running(child);
    for line in BufReader::new(running.0.stdout.take().expect("it is piped")).lines() {
        if line?.starts_with("Parlor is up") {
            let serving = began.elapsed();
            let status = fs::read_to_string(format!("/proc/{}/status", running.0.id()))?;
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
            let resident = resident.trim().trim_end_matches(" kB").parse::<u64>()? * 1024;
            return Ok(Start { serving, resident });
        }
    }
    bail!("parlord did not start")
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
