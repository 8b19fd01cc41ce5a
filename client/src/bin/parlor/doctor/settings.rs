//! parlord's settings and ports, where this is the machine that it runs on. parlord itself is asked: it knows.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::report::{Finding, Report};

/// The file that parlord reads where it is not told another.
const DEFAULT_FILE: &str = "parlord.toml";

/// The settings that are addresses to listen on.
const PORTS: [&str; 2] = ["server.listen", "ops.listen"];

/// Checks the file that was named, or the one that is here.
pub(super) fn check(named: Option<&Path>, report: &mut Report) -> io::Result<()> {
    let file = match named {
        Some(file) => file,
        None if Path::new(DEFAULT_FILE).exists() => Path::new(DEFAULT_FILE),
        None => return report.skip("settings", "no parlord.toml is here: --config FILE checks one, and its ports"),
    };
    let asked = |verb| Command::new(parlord()).args(["config", verb, "--config"]).arg(file).output();
    let checked = match asked("check") {
        Ok(checked) => checked,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return report.skip("settings", "parlord is not on this machine: run parlord config check where it is");
        }
        Err(error) => return Err(error),
    };
    if !checked.status.success() {
        let said = said_by(&checked);
        return report.fail("settings", &said, "set what is named, then run parlord config check");
    }
    report.ok("settings", &format!("{} and the environment have all that serving needs", file.display()))?;
    for (key, address) in ports(&asked("print")?) {
        report.add(port(key, address))?;
    }
    Ok(())
}

/// parlord beside this program, as it is installed and built, or wherever the shell would find it.
fn parlord() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name("parlord"));
    beside.filter(|program| program.exists()).unwrap_or_else(|| PathBuf::from("parlord"))
}

/// parlord's complaint, on one line.
fn said_by(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = text.lines().map(|line| line.trim().trim_start_matches("parlord: ")).collect();
    said.join(" ")
}

/// The addresses among the settings, which are printed as `key = "value"  # source`.
fn ports(printed: &Output) -> Vec<(&'static str, SocketAddr)> {
    let text = String::from_utf8_lossy(&printed.stdout);
    let value_of = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))?;
        value.split('"').next()?.parse().ok()
    };
    PORTS.into_iter().filter_map(|key| Some((key, value_of(key)?))).collect()
}

fn port(key: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("ports", format!("{key}: {address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::warning(
            "ports",
            format!("{key}: {address} is taken"),
            format!("fine if parlord is what runs there; if not, set {key} to another address"),
        ),
        Err(error) => Finding::failed(
            "ports",
            format!("{key}: cannot listen on {address}: {error}"),
            format!("set {key} to another"),
        ),
    }
}
