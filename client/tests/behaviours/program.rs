//! The program `parlor`, run as its user runs it.

use std::{path::Path, process::Stdio};

use parlor_e2e::{House, soon};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// How a command ended and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The one line of JSON on standard output.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The fields of the one row on standard output.
    pub(crate) fn row(&self) -> Vec<&str> {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        self.stdout.trim_end().split('\t').collect()
    }
}

/// A command line of parlor without a single variable that it reads.
pub(crate) fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor"));
    for name in ["PARLOR_ADDR", "PARLOR_TOKEN", "PARLOR_TOKEN_FILE", "PARLOR_CA", "PARLOR_DISCORD__API_URL"] {
        command.env_remove(name);
    }
    for name in ["DISCORD_TOKEN", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.args(arguments).env("TZ", "UTC").env("TERM", "xterm").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A command line against a house, with a token for everything.
pub(crate) fn parlor(house: &House, arguments: &[&str]) -> Command {
    with_token(house, &house.token(), arguments)
}

/// A command line against a house with another token.
pub(crate) fn with_token(house: &House, token: &str, arguments: &[&str]) -> Command {
    let mut command = bare(arguments);
    command.env("PARLOR_ADDR", house.api().to_string()).env("PARLOR_TOKEN", token);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Ran {
    let output = soon("the command's end", command.output()).await.expect("parlor runs");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A command that goes on.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("parlor runs");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line; `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        soon("another line", self.lines.next_line()).await.unwrap()
    }

    /// Reads until a line holds this, and returns it.
    pub(crate) async fn until(&mut self, wanted: &str) -> String {
        loop {
            let Some(line) = self.line().await else {
                panic!("it ended before `{wanted}`: {}", self.talk().await);
            };
            if line.contains(wanted) {
                return line;
            }
        }
    }

    /// Reads frames until one satisfies a condition, and returns all of them.
    pub(crate) async fn frames_until(&mut self, condition: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let line = self.until("{").await;
            let frame: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            let found = condition(&frame);
            frames.push(frame);
            if found {
                return frames;
            }
        }
    }

    /// Sends a signal by name: INT, KILL.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let script = format!("kill -{name} {id}");
        assert!(Command::new("sh").args(["-c", &script]).status().await.unwrap().success());
    }

    /// Waits for the end: the exit code, none after a signal.
    pub(crate) async fn end(&mut self) -> Option<i32> {
        soon("the end", self.child.wait()).await.unwrap().code()
    }

    /// Nobody reads what it prints any longer.
    pub(crate) fn stop_reading(self) -> Child {
        self.child
    }

    /// Everything on standard error, once it has ended.
    pub(crate) async fn talk(&mut self) -> String {
        talk(&mut self.child).await
    }
}

/// Everything on a child's standard error, once it has ended.
pub(crate) async fn talk(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        soon("the end of its talk", stderr.read_to_string(&mut text)).await.unwrap();
    }
    text
}

/// A path as an argument.
pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}
