//! A terminal in which a test types what a page says.

use std::{
    ffi::OsString,
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{PATIENCE, root, soon};

/// A terminal: it is in a folder, and keeps what is exported in it from one block to the next.
#[derive(Debug)]
pub struct Terminal {
    folder: PathBuf,
    environment: Vec<(String, OsString)>,
    /// What a shell has to read to go on where the last one ended.
    left_behind: NamedTempFile,
}

impl Terminal {
    /// Opens a terminal in a folder. Its shell finds our programs and those that `make deps` installs.
    ///
    /// # Panics
    /// The system gives no temporary file.
    pub fn open(folder: &Path) -> Self {
        let left_behind = NamedTempFile::new().expect("a temporary file");
        let mut path = OsString::new();
        for tools in [programs(), root().join(".deps/venv/bin")] {
            path.push(tools);
            path.push(":");
        }
        path.push(std::env::var_os("PATH").expect("there is a PATH"));
        Self { folder: folder.to_owned(), environment: vec![("PATH".to_owned(), path)], left_behind }
    }

    /// Sets a variable that the test's reader would not have to set.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((key.to_owned(), value.into()));
        self
    }

    /// Types lines and waits until they are done. Gives back what they print.
    ///
    /// # Panics
    /// They fail, or do not end in time.
    pub async fn run(&self, lines: &str) -> String {
        self.run_and_paste(lines, "").await
    }

    /// The same; what they read is pasted, and then ended by Ctrl-D.
    ///
    /// # Panics
    /// They fail, or do not end in time.
    pub async fn run_and_paste(&self, lines: &str, pasted: &str) -> String {
        let mut running = self.start(lines);
        let mut stdin = running.child.stdin.take().expect("it is piped");
        // Lines that read nothing may have ended by now.
        let _ = stdin.write_all(pasted.as_bytes()).await;
        drop(stdin);
        let mut printed = String::new();
        let ended = async {
            while let Some(line) = running.printed.next_line().await.expect("the pipe works") {
                printed += &line;
                printed.push('\n');
            }
            running.child.wait().await.expect("it can be waited for")
        };
        // Each line may be a program that waits for something.
        let patience = PATIENCE * lines.lines().count().max(1) as u32;
        let Ok(status) = timeout(patience, ended).await else {
            panic!("this did not end:\n{lines}\nprinted\n{printed}");
        };
        assert!(status.success(), "{status}:\n{lines}\nprinted\n{printed}");
        printed
    }

    /// Types lines of which the last goes on until it is interrupted.
    ///
    /// # Panics
    /// There is no bash.
    pub fn start(&self, lines: &str) -> Running {
        let state = self.left_behind.path().display();
        let script = format!(
            "exec 2>&1\n. '{state}'\ntrap '{{ export -p; echo umask $(umask); }} > {state}' EXIT\nset -euo pipefail\n{lines}"
        );
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PARLOR_")) {
            command.env_remove(name);
        }
        command
            .args(["-c", &script])
            .current_dir(&self.folder)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped());
        Running::start(lines, command)
    }
}

/// A folder in which JavaScript finds the packages that it imports, and generated code in `gen`.
///
/// # Panics
/// It cannot be made.
pub fn workplace() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let packages = folder.path().join("node_modules");
    fs::create_dir_all(packages.join("@parlor")).expect("the folder takes folders");
    let link = |there: &str, here: PathBuf| symlink(root().join(there), here).expect("the folder takes links");
    link("e2e/gen/js", folder.path().join("gen"));
    link("e2e/node_modules/@bufbuild", packages.join("@bufbuild"));
    link("e2e/node_modules/@connectrpc", packages.join("@connectrpc"));
    link("client/web", packages.join("@parlor/client"));
    folder
}

/// Where cargo has put the programs of the workspace.
///
/// # Panics
/// This is no test of cargo's.
pub fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("this program is somewhere");
    test.ancestors().nth(2).expect("cargo puts tests below programs").to_owned()
}

/// A program that goes on, and every program that it started. They end with this value.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    printed: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts a program, under a name for messages.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started ({error}): `make deps` brings what it needs"));
        let printed = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { name: name.to_owned(), child, printed }
    }

    /// The next line that is printed; `None` at the end.
    ///
    /// # Panics
    /// None comes in time.
    pub async fn line(&mut self) -> Option<String> {
        let what = format!("another line of {}", self.name);
        soon(&what, self.printed.next_line()).await.expect("the pipe works")
    }

    /// Reads until a line holds this, and returns it.
    ///
    /// # Panics
    /// They end before, or print no such line in time.
    pub async fn until(&mut self, wanted: &str) -> String {
        let mut before = Vec::new();
        loop {
            let what = format!("`{wanted}` after\n{}\nprinted\n{}\n", self.name, before.join("\n"));
            match soon(&what, self.printed.next_line()).await.expect("the pipe works") {
                Some(line) if line.contains(wanted) => return line,
                Some(line) => before.push(line),
                None => panic!("{what}did not happen: it ended"),
            }
        }
    }

    /// Reads the log of parlord, which is JSON, until it serves with Discord behind it. Where callers connect.
    ///
    /// # Panics
    /// It ends before, or does not come so far in time.
    pub async fn until_it_serves(&mut self) -> SocketAddr {
        let (mut address, mut is_live) = (None, false);
        loop {
            let line = self.until(r#"{"timestamp""#).await;
            let entry: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("this is no JSON: {line}"));
            is_live |= entry["state"] == "UPSTREAM_STATE_LIVE";
            if entry["message"] == "serving" {
                address = entry["api"].as_str().and_then(|address| address.parse().ok());
            }
            if let (Some(address), true) = (address, is_live) {
                return address;
            }
        }
    }

    /// Types Ctrl-C and waits for the end.
    ///
    /// # Panics
    /// They end with a failure, or not in time.
    pub async fn interrupt(mut self) {
        assert!(self.signal("INT"), "{} has ended before Ctrl-C", self.name);
        while self.line().await.is_some() {}
        let status = soon("the end after Ctrl-C", self.child.wait()).await.expect("it can be waited for");
        assert!(status.success(), "{status} after Ctrl-C:\n{}", self.name);
    }

    /// Sends a signal to everything that was started here, if it goes on. Whether it was sent.
    fn signal(&self, name: &str) -> bool {
        let Some(group) = self.child.id() else { return false };
        let script = format!("kill -s {name} -- -{group}");
        std::process::Command::new("sh").args(["-c", &script]).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}
