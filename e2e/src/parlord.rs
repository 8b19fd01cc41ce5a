//! The real server program, run with a store of its own, on ports that the system picks.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use discord_emulator::Emulator;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use crate::{Issuer, house::PATIENT};

/// How long the program may take to serve, or to end once it was told to.
const START: Duration = Duration::from_secs(20);
/// After SIGTERM (reliability: exit within 25 s).
const DRAIN: Duration = Duration::from_secs(25);

/// Every line that the server of a round has logged, over restarts.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, line: String) {
        self.0.lock().expect("nothing panics while it holds this lock").push(line);
    }

    /// Whether a text stands in any line.
    pub fn contains(&self, text: &str) -> bool {
        self.count(text) > 0
    }

    /// In how many lines a text stands.
    pub fn count(&self, text: &str) -> usize {
        let lines = self.0.lock().expect("nothing panics while it holds this lock");
        lines.iter().filter(|line| line.contains(text)).count()
    }

    /// The last lines, for whoever has to find out what went wrong.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.0.lock().expect("nothing panics while it holds this lock");
        lines[lines.len().saturating_sub(count)..].to_vec()
    }
}

/// The settings of a server against an emulated Discord that any test needs.
pub fn settings(emulator: &Emulator, bot_token: &str) -> Vec<(String, String)> {
    let fixed = [
        ("server.listen", "127.0.0.1:0".to_owned()),
        ("server.drain_grace", "0s".to_owned()),
        ("ops.listen", "127.0.0.1:0".to_owned()),
        ("auth.issuer", parlor_server::auth::dev::DEV_ISSUER.to_owned()),
        ("auth.jwks_file", Issuer::get().jwks_file().display().to_string()),
        ("discord.api_url", emulator.rest_url()),
        ("discord.token", bot_token.to_owned()),
    ];
    fixed.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// How to run the program.
#[derive(Clone, Debug)]
pub struct Run {
    /// Keys and values, as flags give them.
    pub settings: Vec<(String, String)>,
    /// Where it keeps what outlives it.
    pub store: PathBuf,
    /// No file may grow beyond so many KiB (RLIMIT_FSIZE).
    pub file_limit_kib: Option<u64>,
}

/// The running program. It is killed when this goes.
#[derive(Debug)]
pub struct Parlord {
    child: Child,
    /// Where callers connect.
    pub api: SocketAddr,
    /// Where the operator connects.
    pub ops: SocketAddr,
}

impl Parlord {
    /// Starts the program and waits until it serves.
    ///
    /// # Errors
    /// It does not; with its last words.
    pub async fn start(program: &Path, run: &Run, log: &Log) -> Result<Self, String> {
        let mut command = match run.file_limit_kib {
            None => {
                let mut command = Command::new(program);
                command.arg("serve");
                command
            }
            Some(kib) => {
                let mut command = Command::new("sh");
                // SIGXFSZ is ignored, so that a write fails (EFBIG) as one to a full disk does (ENOSPC). dash counts in
                // blocks of 512 bytes.
                let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" serve", kib * 2);
                command.args(["-c", &script]).arg(program);
                command
            }
        };
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PARLOR_")) {
            command.env_remove(name);
        }
        let patient = PATIENT.map(|key| (key.to_owned(), "1000000".to_owned()));
        for (key, value) in patient.iter().chain(&run.settings) {
            command.env(format!("PARLOR_{}", key.to_uppercase().replace('.', "__")), value);
        }
        command.current_dir(&run.store).env("PARLOR_STORE__DIR", run.store.join("store"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let (serving, mut addresses) = watch::channel(None);
        tokio::spawn(read_log(child.stderr.take().expect("it is piped"), log.clone(), serving));
        let served = timeout(START, async {
            let found = addresses.wait_for(Option::is_some).await.ok()?;
            *found
        });
        match served.await {
            Ok(Some((api, ops))) => Ok(Self { child, api, ops }),
            Ok(None) => Err(format!("parlord ended at start: {:?}", log.tail(4))),
            Err(_) => Err(format!("parlord does not serve after {START:?}: {:?}", log.tail(4))),
        }
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        // It may have ended by itself, which is as dead.
        let _ = self.child.kill().await;
    }

    /// SIGTERM; how it ended.
    ///
    /// # Errors
    /// It did not within the drain's limit.
    pub async fn terminate(mut self) -> Result<ExitStatus, String> {
        self.signal("TERM").await;
        match timeout(DRAIN, self.child.wait()).await {
            Ok(ended) => ended.map_err(|error| error.to_string()),
            Err(_) => {
                // It is killed, so that the round can go on.
                let _ = self.child.kill().await;
                Err(format!("parlord did not end within {DRAIN:?} of SIGTERM"))
            }
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Sends a signal by its name.
    pub async fn signal(&self, name: &str) {
        let Some(pid) = self.child.id() else { return };
        // A process that is gone needs no signal.
        let _ = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).stderr(Stdio::null()).status().await;
    }

    /// Lets its files grow again.
    ///
    /// # Errors
    /// `prlimit` (util-linux) cannot do it.
    pub async fn lift_file_limit(&self) -> Result<(), String> {
        let pid = self.child.id().ok_or("parlord has ended")?.to_string();
        let done = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:unlimited"]).status().await;
        match done {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("prlimit: {status}")),
            Err(error) => Err(format!("prlimit: {error}")),
        }
    }

    /// Whether it stands still: a signal stopped it, and none has let it go on.
    pub fn is_stopped(&self) -> bool {
        self.status("State:").is_some_and(|state| state.starts_with('T'))
    }

    /// Resident memory in KiB; `None` when it has ended.
    pub fn resident_kib(&self) -> Option<u64> {
        self.status("VmRSS:")?.trim_end_matches("kB").trim().parse().ok()
    }

    /// What the system says of it under a name (proc(5), `/proc/pid/status`).
    fn status(&self, name: &str) -> Option<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    }

    /// A number of the page at /metrics: the sum over all labels. `None` where there is no such number.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let page = reqwest::get(format!("http://{}/metrics", self.ops)).await.ok()?.text().await.ok()?;
        let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values: Vec<f64> =
            page.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

/// Where a server is: for callers, for the operator.
type Addresses = Option<(SocketAddr, SocketAddr)>;

async fn read_log(from: impl AsyncRead + Unpin, log: Log, serving: watch::Sender<Addresses>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if serving.borrow().is_none()
            && let Ok(line) = serde_json::from_str::<serde_json::Value>(&line)
            && line["message"] == "serving"
        {
            let address = |key: &str| line[key].as_str().and_then(|text| text.parse().ok());
            serving.send_replace(address("api").zip(address("ops")));
        }
        log.push(line);
    }
}
