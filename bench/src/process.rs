//! A server's process, and what the kernel counts of it (proc(5)).

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::serve::Announcement;

/// The core that servers run on; this program runs on another one.
const SERVER_CORE: &str = "0";

/// Names a command to run servers under, such as a profiler: words with spaces between them.
const UNDER: &str = "PARLOR_BENCH_UNDER";

fn taskset() -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", SERVER_CORE]);
    command
}

/// A program on the core that servers run on, under no other command: with a real-time priority songbird's threads keep each
/// other from running.
pub(crate) fn pinned(program: &Path) -> Command {
    let mut command = taskset();
    command.arg(program);
    command
}

/// Which server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    /// One of this program's own, by its name on the command line.
    Own(&'static str),
    /// The WebSocket hub.
    Hub,
}

/// A running server. It ends when its control socket does, and at the latest when this is dropped.
pub(crate) struct Process {
    child: Child,
    /// Whether it ends by itself, and may have something to write then.
    ends_alone: bool,
}

impl Process {
    /// Starts a server on its core and waits until it says where it listens.
    pub(crate) fn start(server: Server) -> Result<(Self, Announcement)> {
        let mut command = taskset();
        command.args(env::var(UNDER).unwrap_or_default().split_whitespace());
        match server {
            Server::Own(name) => command.arg(env::current_exe()?).args(["serve", name]),
            Server::Hub => command.arg("node").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("ws/hub.mjs")),
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("taskset does not run")?;
        let out = child.stdout.take().expect("it is piped");
        let process = Self { child, ends_alone: env::var_os(UNDER).is_some() };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let announced = serde_json::from_str(&line).with_context(|| format!("{server:?} did not start"))?;
        Ok((process, announced))
    }

    /// A program that was started with [`pinned`].
    pub(crate) fn of(child: Child) -> Self {
        Self { child, ends_alone: false }
    }

    /// CPU time of all threads so far, the kernel's work for them included.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.cpu_where(|_| true)
    }

    /// The same, of the threads with this name.
    pub(crate) fn cpu_of(&self, name: &str) -> Result<Duration> {
        self.cpu_where(|thread| thread == name)
    }

    fn cpu_where(&self, counts: impl Fn(&str) -> bool) -> Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?.path();
            if !counts(fs::read_to_string(task.join("comm"))?.trim_end()) {
                continue;
            }
            let text = fs::read_to_string(task.join("schedstat"))?;
            let first = text.split(' ').next().context("schedstat is empty")?;
            nanoseconds += first.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Bytes in memory.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes = line.trim().trim_end_matches(" kB").parse::<u64>()?;
        Ok(kibibytes * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends with its control socket. A profiler has something to write then; without one nobody waits.
        if !self.ends_alone {
            self.child.kill().ok();
        }
        self.child.wait().ok();
    }
}
