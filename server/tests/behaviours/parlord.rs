//! The program, run in a directory of its own on ports that the system picks.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A command line of parlord in an empty directory, without a single variable of Parlor's in its environment.
pub(crate) fn parlord(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlord"));
    command.current_dir(home).args(arguments);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PARLOR_")) {
        command.env_remove(name);
    }
    command
}

/// What a command printed, and how it ended.
pub(crate) fn run(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("parlord runs");
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A running `parlord dev`.
pub(crate) struct Dev {
    child: Child,
    /// What it printed when it was up.
    pub(crate) printed: String,
    home: TempDir,
}

impl Dev {
    /// Starts it, with variables in its environment, and waits until it has said what to type.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let free = "127.0.0.1:0";
        let arguments = ["dev", "--listen", free, "--ops-listen", free, "--emulator-listen", free, "--log", "trace"];
        let mut command = parlord(home.path(), &arguments);
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("parlord runs");
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.contains("Ctrl-C") {
            let read = lines.read_line(&mut printed).unwrap();
            assert!(read > 0, "parlord ended: {}", std::fs::read_to_string(home.path().join("log")).unwrap());
        }
        Self { child, printed, home }
    }

    /// The value that it printed after a word at the start of a line.
    pub(crate) fn printed_after(&self, word: &str) -> &str {
        let line = self.printed.lines().find_map(|line| line.trim_start().strip_prefix(word));
        line.unwrap_or_else(|| panic!("`{word}` is not in {}", self.printed)).trim()
    }

    /// The commands that it printed, those of several lines in one piece.
    pub(crate) fn commands(&self) -> Vec<String> {
        let mut commands: Vec<String> = Vec::new();
        let mut continues = false;
        for line in self.printed.lines().map(str::trim) {
            if continues {
                commands.last_mut().unwrap().push_str(line.trim_end_matches('\\'));
            } else if ["export ", "grpcurl ", "curl "].iter().any(|verb| line.starts_with(verb)) {
                commands.push(line.trim_end_matches('\\').to_owned());
            }
            continues = line.ends_with('\\');
        }
        commands
    }

    /// Everything that it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// Waits until it has logged a text, and returns the whole log.
    pub(crate) fn log_with(&self, text: &str) -> String {
        let started = Instant::now();
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "`{text}` is not logged: {log}");
            std::thread::yield_now();
        }
    }

    /// Asks it to end as Ctrl-C does, and returns its exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        let asked = Command::new("sh").args(["-c", &format!("kill -INT {}", self.child.id())]).status().unwrap();
        assert!(asked.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a page over plain HTTP/1.0, which needs no client.
pub(crate) fn page(address: &str, path: &str) -> String {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").expect("a header and a body").1.to_owned()
}
