//! What a session holds in memory while nobody speaks.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{group::Proposer, session::Listener};

/// Bytes that each of the later sessions takes: what this process has more, over how many there are more. Each is in a call
/// with one other, end-to-end encrypted, with its keys; sockets and tasks are not in it.
pub(crate) fn memory(sessions: (usize, usize)) -> Result<f64> {
    let proposer = Proposer::new()?;
    let (few, many) = sessions;
    let mut listeners = Vec::with_capacity(many);
    let mut resident = Vec::new();
    for count in [few, many] {
        while listeners.len() < count {
            let (mut listener, _) = Listener::live(&proposer, listeners.len() as u64)?;
            listener.pass(Duration::from_secs(30));
            listeners.push(listener);
        }
        resident.push(self::resident()?);
    }
    let alive = listeners.iter().filter(|listener| listener.session.group().is_some()).count();
    ensure!(alive == many, "only {alive} of {many} sessions last");
    Ok((resident[1] - resident[0]) as f64 / (many - few) as f64)
}

fn resident() -> Result<i64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<i64>()? * 1024)
}
