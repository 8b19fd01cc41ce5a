//! Programs that are not ours, run beside the house: they print one JSON object a line.

use std::{collections::VecDeque, process::Stdio};

use parlor_client::v1::VoiceEventKind;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    House, Tape, outline, root, soon,
    validator::{From, Sight},
};

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// Lines that were passed over by [`Process::answer`].
    passed: VecDeque<Value>,
    /// Where the frames that it prints go, if it is a subscriber, and where it was asked to begin.
    tape: Option<(Tape, From)>,
    /// The certificate that it trusts the voice server by; gone with the program.
    _authority: Option<NamedTempFile>,
}

impl Process {
    /// A client program of `clients/`, against the house, with a token for everything.
    pub fn client(house: &House, program: &str, arguments: &[&str]) -> Self {
        Self::client_with(house, &house.token(), program, arguments)
    }

    /// A client program with another token.
    pub fn client_with(house: &House, token: &str, program: &str, arguments: &[&str]) -> Self {
        let mut command = interpreter(program);
        command.args(arguments).env("PARLOR_ADDR", house.api().to_string()).env("PARLOR_TOKEN", token);
        let mut process = Self::start(program, command);
        process.tape = Some(tape(house, program, arguments));
        process
    }

    /// A bot of `clients/`, logged in to the house's Discord under a token of its own; "songbird" is the one that `make soak`
    /// builds.
    pub async fn bot(house: &House, program: &str, token: &str) -> Self {
        let rest = house.emulator.rest_url();
        let mut command = interpreter(program);
        command
            .env("DISCORD_API", rest.strip_suffix("/v10").expect("the version comes last"))
            .env("DISCORD_GATEWAY", house.emulator.gateway_url())
            .env("DISCORD_TOKEN", token);
        let authority = NamedTempFile::new().expect("a file");
        std::fs::write(authority.path(), house.emulator.voice_authority()).expect("it can be written");
        for trust in ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] {
            command.env(trust, authority.path());
        }
        let mut bot = Self::start(program, command);
        bot._authority = Some(authority);
        bot.until(|line| line.get("ready").is_some()).await;
        bot
    }

    /// Chromium, driven as `browser/room_page.mjs` says.
    pub fn browser() -> Self {
        let program = "browser/room_page.mjs";
        let mut command = Command::new("node");
        command.arg(root().join("e2e").join(program));
        Self::start(program, command)
    }

    fn start(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {name} ({error}): `make clients` installs what it needs"));
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let stdin = child.stdin.take();
        Self { name: name.to_owned(), child, stdin, lines, passed: VecDeque::new(), tape: None, _authority: None }
    }

    /// The next line; `None` when the program has ended.
    pub async fn line(&mut self) -> Option<Value> {
        if let Some(line) = self.passed.pop_front() {
            return Some(line);
        }
        self.read().await
    }

    async fn read(&mut self) -> Option<Value> {
        let what = format!("another line of {}", self.name);
        let line = soon(&what, self.lines.next_line()).await.expect("the pipe works")?;
        let line: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{} printed something else: {line}", self.name));
        if let Some((tape, from)) = &self.tape {
            if line["frame"] == "hello" {
                tape.opened(from.clone());
            }
            if let Some(frame) = outline::frame(&line) {
                tape.frame(frame);
            }
        }
        Some(line)
    }

    /// Reads until a line satisfies a condition, and returns it.
    pub async fn until(&mut self, condition: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("{} ended early", self.name));
            if condition(&line) {
                return line;
            }
        }
    }

    /// Gives the program a command and returns its answer. Events before it stay readable.
    pub async fn ask(&mut self, command: Value) -> Value {
        let line = self.tell(&command).await;
        assert!(line.get("failed").is_none(), "{}: {line}", self.name);
        line
    }

    /// Gives the program a command that must fail, and returns what it says about that.
    pub async fn fails(&mut self, command: Value) -> Value {
        let line = self.tell(&command).await;
        assert!(line.get("failed").is_some(), "{}: {line}", self.name);
        line
    }

    /// Gives the program a command and returns its answer, whether it was carried out or failed.
    pub async fn tell(&mut self, command: &Value) -> Value {
        let verb = &command["do"];
        let stdin = self.stdin.as_mut().expect("its input is open");
        stdin.write_all(format!("{command}\n").as_bytes()).await.expect("the program reads");
        loop {
            let line = self.read().await.unwrap_or_else(|| panic!("{} ended early", self.name));
            if line["done"] == *verb || line["failed"] == *verb {
                return line;
            }
            self.passed.push_back(line);
        }
    }

    /// Closes the program's input and returns the rest of its lines.
    pub async fn finish(mut self) -> Vec<Value> {
        drop(self.stdin.take());
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        soon(&format!("the end of {}", self.name), self.child.wait()).await.expect("it can be waited for");
        lines
    }
}

/// A recording of what a program prints, of frames in outline.
fn tape(house: &House, program: &str, arguments: &[&str]) -> (Tape, From) {
    let after = |flag: &'static str| {
        arguments.windows(2).filter(move |pair| pair[0] == flag).map(|pair| pair[1].to_owned()).collect::<Vec<_>>()
    };
    let kinds = after("--kind").into_iter().filter_map(|kind| {
        VoiceEventKind::from_str_name(&format!("VOICE_EVENT_KIND_{}", kind.to_uppercase())).map(i32::from)
    });
    let sight = Sight {
        granted: None,
        guilds: after("--guild").into_iter().collect(),
        rooms: after("--room").into_iter().collect(),
        kinds: kinds.collect(),
    };
    let from = match (after("--cursor").pop(), after("--start").pop().as_deref()) {
        (Some(cursor), _) => From::Cursor(cursor),
        (None, Some("latest")) => From::Latest,
        // It continues from the answer to its own CreateRoom.
        _ if program.starts_with("cpp/") => From::Cursor("of a created room".to_owned()),
        _ => From::Snapshot,
    };
    (house.archive().tape(program, sight).in_outline(), from)
}

/// Where the bot on songbird is, which `cargo test` does not build.
const SONGBIRD: &str = "SONGBIRD_VOICE_BOT";

fn interpreter(program: &str) -> Command {
    let clients = root().join("e2e/clients");
    if program == "songbird" {
        let built = std::env::var_os(SONGBIRD);
        return Command::new(built.unwrap_or_else(|| panic!("{SONGBIRD} does not say where it is: run `make soak`")));
    }
    match program.rsplit_once('.') {
        Some((_, "py")) => {
            let mut command = Command::new(root().join(".deps/venv/bin/python"));
            command.arg(clients.join(program));
            command
        }
        Some((_, "mjs")) => {
            let mut command = Command::new("node");
            command.arg(clients.join(program));
            command
        }
        _ => Command::new(root().join("e2e/gen").join(program)),
    }
}

/// Runs grpcurl against the house: the request as JSON, `package.Service/Method`. Gives back the answer, or what it
/// printed about the failure.
pub async fn grpcurl(house: &House, token: &str, request: &Value, method: &str) -> Result<Value, String> {
    let output = Command::new(root().join(".deps/venv/bin/grpcurl"))
        .args(["-plaintext", "-H", &format!("authorization: Bearer {token}"), "-d", &request.to_string()])
        .args([&house.api().to_string(), method])
        .output();
    let output = soon("the end of grpcurl", output).await.expect("grpcurl runs: `make deps` installs it");
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).expect("an answer in JSON"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
