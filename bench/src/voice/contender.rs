//! Who carries sessions: the program `parlord`, and songbird's driver in a program of its own.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{ChildStdin, ChildStdout, Stdio},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use parlor_client::{Parlor, v1};
use parlor_e2e::parlord;
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

use super::stage::{Place, Sound, Stage, Tally, connect, dca, hear, settings, speak};
use crate::process::{Process, pinned};

/// Where the bot on songbird is.
const SONGBIRD: &str = "SONGBIRD_VOICE_BOT";

/// How long songbird's file plays, in seconds: longer than any measurement.
const FILE: usize = 300;

/// Who.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Contender {
    Parlor,
    Songbird,
}

/// A running program with sessions.
pub(super) enum Carrier {
    Parlor(Box<OfParlor>),
    Songbird(Box<OfSongbird>),
}

pub(super) struct OfParlor {
    process: Process,
    parlor: Parlor,
    sessions: Vec<v1::VoiceSession>,
    tally: Tally,
    _files: (TempDir, NamedTempFile),
}

pub(super) struct OfSongbird {
    process: Process,
    stdin: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    _authority: NamedTempFile,
}

impl Contender {
    /// Starts the program on the servers' core. It is nowhere yet.
    pub(super) async fn start(self, stage: &Stage) -> Result<Carrier> {
        let authority = NamedTempFile::new()?;
        std::fs::write(authority.path(), stage.house.emulator.voice_authority())?;
        Ok(match self {
            Self::Parlor => Carrier::Parlor(Box::new(OfParlor::start(stage, authority).await?)),
            Self::Songbird => Carrier::Songbird(Box::new(OfSongbird::start(stage, authority)?)),
        })
    }
}

impl Carrier {
    /// Enters these rooms too.
    pub(super) async fn join(&mut self, places: &[Place]) -> Result<()> {
        match self {
            Self::Parlor(parlor) => {
                parlor.sessions.extend(connect(&parlor.parlor, places).await?);
                parlor.tally = Tally::new(parlor.sessions.len());
            }
            Self::Songbird(songbird) => {
                for Place { guild, room } in places {
                    songbird.ask(&json!({"do": "join", "guild": guild, "channel": room}))?;
                }
            }
        }
        Ok(())
    }

    /// Speaks in all rooms, and counts what is heard there.
    pub(super) async fn speak_and_hear(&mut self) -> Result<()> {
        let packets = Arc::new(Sound::OfContender.packets());
        match self {
            Self::Parlor(parlor) => {
                let OfParlor { parlor, sessions, tally, .. } = &**parlor;
                hear(parlor, sessions, tally, Sound::OfOthers).await?;
                speak(parlor, sessions, &packets);
                Ok(())
            }
            Self::Songbird(songbird) => {
                let file = NamedTempFile::new()?;
                std::fs::write(file.path(), dca(&packets, FILE)?)?;
                songbird.ask(&json!({"do": "play", "file": file.path()}))?;
                Ok(())
            }
        }
    }

    /// Frames heard so far, by session.
    pub(super) fn heard(&mut self) -> Result<Vec<u64>> {
        match self {
            Self::Parlor(parlor) => {
                parlor.tally.check()?;
                Ok(parlor.tally.heard())
            }
            Self::Songbird(songbird) => {
                let counted = songbird.ask(&json!({"do": "count"}))?;
                let packets: BTreeMap<String, u64> = serde_json::from_value(counted["packets"].clone())?;
                Ok(packets.into_values().collect())
            }
        }
    }

    pub(super) fn process(&self) -> &Process {
        match self {
            Self::Parlor(parlor) => &parlor.process,
            Self::Songbird(songbird) => &songbird.process,
        }
    }

    /// Leaves every room. Has to live until it is out.
    pub(super) async fn leave(&mut self) -> Result<()> {
        match self {
            Self::Parlor(parlor) => {
                for session in &parlor.sessions {
                    let session_id = session.session_id.clone();
                    let end = v1::DisconnectRequest { session_id, force: true, ..Default::default() };
                    parlor.parlor.voice_sessions().disconnect(end).await?;
                }
            }
            Self::Songbird(songbird) => drop(songbird.ask(&json!({"do": "quit"}))?),
        }
        Ok(())
    }
}

impl OfParlor {
    async fn start(stage: &Stage, authority: NamedTempFile) -> Result<Self> {
        let program = env::current_exe()?.with_file_name("parlord");
        ensure!(program.exists(), "{} is not there: cargo build --release --bin parlord", program.display());
        let store = tempfile::tempdir()?;
        let mut settings: Vec<_> = settings().map(|(key, value)| (key.to_owned(), value)).into();
        settings.extend(parlord::settings(&stage.house.emulator, "a.contender.of.parlor"));
        settings.push(("discord.voice_ca_file".to_owned(), authority.path().display().to_string()));
        settings.push(("store.dir".to_owned(), store.path().display().to_string()));
        for rate in ["reads", "changes", "guild_changes", "streams"] {
            settings.extend(["per_second", "burst"].map(|of| (format!("rates.{rate}_{of}"), "1000000".to_owned())));
        }
        let mut command = pinned(&program);
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.envs(
            settings.iter().map(|(key, value)| (format!("PARLOR_{}", key.to_uppercase().replace('.', "__")), value)),
        );
        let mut child = command.spawn().context("taskset does not run")?;
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        let process = Process::of(child);
        let api = serving(log)?;
        let parlor = Parlor::connect(&format!("http://{api}"), &stage.house.token()).await?;
        Ok(Self { process, parlor, sessions: Vec::new(), tally: Tally::default(), _files: (store, authority) })
    }
}

/// Where a server says that it serves. Reads its log to the end elsewhere.
fn serving(mut log: impl std::io::BufRead + Send + 'static) -> Result<String> {
    let mut line = String::new();
    while log.read_line(&mut line)? > 0 {
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        if said["message"] == "serving" {
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Ok(said["api"].as_str().context("it does not say where")?.to_owned());
        }
        line.clear();
    }
    bail!("parlord did not start")
}

impl OfSongbird {
    fn start(stage: &Stage, authority: NamedTempFile) -> Result<Self> {
        let program = env::var_os(SONGBIRD).map(PathBuf::from);
        let program = program.with_context(|| format!("{SONGBIRD} does not say where it is: run `make bench`"))?;
        let mut command = pinned(&program);
        command
            .env("DISCORD_GATEWAY", stage.house.emulator.gateway_url())
            .env("DISCORD_TOKEN", "a.contender.of.songbird")
            .env("SSL_CERT_FILE", authority.path())
            // On one core tokio would give it one thread, and whatever blocks that would stop all of its calls.
            .env("TOKIO_WORKER_THREADS", "4")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("taskset does not run")?;
        let stdin = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut songbird = Self { process: Process::of(child), stdin, lines, _authority: authority };
        songbird.until(|line| line.get("ready").is_some())?;
        Ok(songbird)
    }

    fn ask(&mut self, command: &Value) -> Result<Value> {
        writeln!(self.stdin, "{command}")?;
        let answer = self.until(|line| line["done"] == command["do"] || line["failed"] == command["do"])?;
        ensure!(answer.get("failed").is_none(), "{answer}");
        Ok(answer)
    }

    fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        for line in &mut self.lines {
            let line: Value = serde_json::from_str(&line?)?;
            if is_it(&line) {
                return Ok(line);
            }
        }
        bail!("the bot on songbird has ended")
    }
}
