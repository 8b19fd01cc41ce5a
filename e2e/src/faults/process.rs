//! F25 to F28, F31 to F33, F49 and F50: what can happen to the server's process, its clock and its disk.

use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use discord_emulator::{GatewayLimits, LOBBY, PARLOR_DEV};
use parlor_client::{CallError, v1};
use tonic::Code;

use super::{
    crowd::Habits,
    gateway::until_again,
    herd::Herd,
    readers::connected,
    stage::{Plan, Stage},
};
use crate::{
    Issuer, Setup, Token, Watcher, seconds_now,
    validator::{Ground, Report, validate},
};

type Outcome = Result<(), String>;

/// How long the server may take to notice that its disk is full, or that it is not any more: its longest pause between two
/// tries, many times over.
const NOTICES: Duration = Duration::from_secs(60);

/// Kills the server as a power cut does, and starts it again over the same store.
async fn kill_and_start(stage: &mut Stage) -> Outcome {
    let server = stage.take_server()?;
    server.kill().await;
    stage.start_server().await
}

/// A world that does not forget what a session missed while the server was away.
pub(super) fn busy() -> Plan {
    let plan = super::gateway::long_memory();
    Plan { proxied: false, pause: Duration::from_millis(3), ..plan }
}

/// F25 and F26: killed at any moment of receiving, appending and storing, many times.
async fn killed_often(stage: &mut Stage, times: u32, pauses: std::ops::Range<u64>) -> Outcome {
    for _ in 0..times {
        let pause = Duration::from_millis(stage.rng.u64(pauses.clone()));
        stage.goes_on(pause).await;
        kill_and_start(stage).await?;
    }
    stage.remark = format!("kills={times}");
    Ok(())
}

/// F25: soon after work, so that entries and session are being stored.
pub(super) async fn killed_while_it_stores(stage: &mut Stage) -> Outcome {
    let times = if stage.long { 8 } else { 3 };
    killed_often(stage, times, 300..900).await
}

/// F26: while what was missed is replayed.
pub(super) async fn killed_while_it_receives(stage: &mut Stage) -> Outcome {
    let times = if stage.long { 8 } else { 3 };
    killed_often(stage, times, 0..300).await
}

/// F27: killed while many snapshots of a large guild are being sent.
pub(super) async fn killed_mid_snapshot(stage: &mut Stage) -> Outcome {
    stage.emulator.world(|world| {
        for number in 0..1_500 {
            let guest = world.person(&format!("a guest with the number {number}"));
            // The lobby has no limit.
            let _ = world.join(guest, LOBBY);
        }
    });
    for _ in 0..if stage.long { 4 } else { 2 } {
        let herd = Herd::snapshots(stage, 20);
        let pause = Duration::from_millis(stage.rng.u64(0..120));
        stage.goes_on(pause).await;
        kill_and_start(stage).await?;
        drop(herd);
    }
    Ok(())
}

/// F28: SIGTERM with a thousand streams: each gets its last frame, and continues at the next server.
pub(super) async fn terminated_with_many(stage: &mut Stage) -> Outcome {
    let many = if stage.long { 1_000 } else { 200 };
    let mut herd = Herd::latest(stage, many, 100).await?;
    stage.goes_on(Duration::from_millis(500)).await;
    let server = stage.take_server()?;
    let status = server.terminate().await?;
    let drained = herd.ends().await;
    stage.start_server().await?;
    herd.resume(stage).await?;
    stage.goes_on(Duration::from_millis(500)).await;
    stage.remark = format!("streams={many} drained={drained}");
    if !status.success() {
        return Err(format!("after SIGTERM parlord ended with {status}"));
    }
    (drained == many).then_some(()).ok_or_else(|| format!("{drained} of {many} streams got Draining"))
}

/// F31: the clock jumps by an hour, forth and back. Only times move; a token ends when the clock says so.
pub(super) async fn clock_jumps(seed: u64) -> Result<Report, String> {
    let house = Setup::default().start().await;
    let mut rng = fastrand::Rng::with_seed(seed);
    let later = seconds_now() + 12 * 3_600;
    let lasting = Token { exp: later, ..Token::default() };
    let ending = Token { exp: seconds_now() + 1_800, ..Token::default() };
    let mut watcher = house.watch_as(&lasting).await;
    let mut brief = house.watch_as(&ending).await;
    let mut complaints = Vec::new();
    for (index, jump) in [3_600_i64, -3_600, -3_600, 3_600].into_iter().enumerate() {
        house.shift_the_clock(jump);
        let room = if rng.bool() { LOBBY } else { discord_emulator::GAMES };
        house.emulator.user("ann").joins(room).mutes(rng.bool());
        house.emulator.user(&format!("guest{}", rng.u32(0..5))).joins(room);
        watcher.until_it_sees_the_truth(&house).await;
        if index == 0 {
            // An hour later the token is over, and an hour before it is not.
            match brief.until_the_end().await {
                Err(error)
                    if error.code == Code::Unauthenticated && error.reason.as_deref() == Some("TOKEN_EXPIRED") => {}
                other => complaints.push(format!("a token that was over ended its stream with {other:?}")),
            }
        }
    }
    // An hour behind, a token of now is one of the future, which is refused or not, but never served what it should not be.
    house.shift_the_clock(-3_600);
    let parlor = house.parlor_with(&Issuer::get().sign(&ending)).await;
    match parlor.subscribe(Default::default()).await {
        Ok(_) => {}
        Err(error) if error.code == Code::Unauthenticated => {}
        Err(error) => complaints.push(format!("a token of the future: {error}")),
    }
    house.shift_the_clock(3_600);
    let mut fresh = Watcher::subscribe(&house, &house.parlor().await, Default::default(), None).await;
    fresh.until_it_sees_the_truth(&house).await;
    let journal = house.emulator.world(|world| world.journal().to_vec());
    let ground = Ground { journal, settled: None, slack: Duration::from_secs(2) };
    let report = validate(&house.archive().recordings(), &ground);
    if report.discontinuities + report.resets > 0 {
        complaints.push(format!("a jump of the clock is no loss: {report}"));
    }
    if complaints.is_empty() { Ok(report) } else { Err(complaints.join("; ")) }
}

/// F32: nothing can be written for a while. What was told stays told, what could not be stored was told to nobody, and who
/// asks for something that would have to be stored hears that it cannot.
pub(super) async fn disk_is_full(stage: &mut Stage) -> Outcome {
    let server = stage.take_server()?;
    server.kill().await;
    let largest = largest_file(&stage.store()).map_or(0, |(_, bytes)| bytes / 1_024);
    stage.run().file_limit_kib = Some(largest + 16);
    stage.start_server().await?;
    stage.run().file_limit_kib = None;
    // Traffic fills what is left.
    stage.until_metric("parlor_store_up", NOTICES, |up| up == Some(0.0)).await?;
    let mut wrong = Vec::new();
    match create_room(stage, "Not stored").await? {
        Err(error) if error.reason.as_deref() == Some("STORE_UNAVAILABLE") => {}
        other => wrong.push(format!("a room asked for while nothing is stored: {other:?}")),
    }
    stage.goes_on(Duration::from_secs(2)).await;
    if !stage.emulator.world(|world| world.channels_named("Not stored").next().is_none()) {
        wrong.push("Discord has the room that was refused".to_owned());
    }
    let still = stage.server()?.metric("parlor_store_up").await;
    if still != Some(0.0) {
        wrong.push(format!("the disk is full and parlor_store_up is {still:?}"));
    }
    stage.server()?.lift_file_limit().await?;
    stage.until_metric("parlor_store_up", NOTICES, |up| up == Some(1.0)).await?;
    if let Err(error) = create_room(stage, "Stored").await? {
        wrong.push(format!("a room asked for when things are stored again: {error}"));
    }
    stage.remark = format!("limit_kib={} stalls={}", largest + 16, stage.log.count("trying until it does"));
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Asks for a room.
async fn create_room(stage: &Stage, name: &str) -> Result<Result<v1::Room, CallError>, String> {
    let parlor = connected(stage, &Habits::eager("makes rooms")).await?;
    let request = v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: name.to_owned(),
        ..v1::CreateRoomRequest::default()
    };
    Ok(parlor.create_room(request).await)
}

/// Stops the process for a while, as a debugger or a machine that is moved does, and lets it go on.
async fn stop_and_continue(stage: &mut Stage, span: Duration) -> Outcome {
    let before = stage.emulator.stats();
    let server = stage.server()?;
    server.signal("STOP").await;
    stage.goes_on(span).await;
    let server = stage.server()?;
    let stopped = server.is_stopped();
    server.signal("CONT").await;
    let missed = stage.emulator.stats().dispatches - before.dispatches;
    stage.remark = format!("stopped_s={} dispatches_meanwhile={missed}", span.as_secs());
    (stopped && missed > 0).then_some(()).ok_or_else(|| format!("stopped: {stopped}, missed: {missed}"))
}

/// F49: stopped for twenty seconds, which is less than Discord waits for a heartbeat: it goes on where it was.
pub(super) async fn stopped_briefly(stage: &mut Stage) -> Outcome {
    let span = stage.lasting(Duration::from_secs(20), Duration::from_secs(8));
    stop_and_continue(stage, span).await
}

/// Heartbeats as far apart as Discord's.
pub(super) fn calm() -> Plan {
    let plan = busy();
    Plan { gateway: GatewayLimits { heartbeat_interval: Duration::from_millis(41_250), ..plan.gateway }, ..plan }
}

/// F50: stopped for longer than Discord waits, so that the session is over when it goes on.
pub(super) async fn stopped_for_long(stage: &mut Stage) -> Outcome {
    let before = stage.emulator.stats();
    let span = stage.lasting(Duration::from_secs(20), Duration::from_secs(10));
    stop_and_continue(stage, span).await?;
    until_again(stage, &before).await
}

/// F33: while the server is down, the end of its largest file is cut off; the next time, bytes in it are changed.
pub(super) async fn store_is_damaged(stage: &mut Stage) -> Outcome {
    for damage in [Damage::Cut, Damage::Flipped] {
        let server = stage.take_server()?;
        server.kill().await;
        let (path, bytes) = largest_file(&stage.store()).ok_or("the store has no file")?;
        if bytes < 256 {
            return Err(format!("the store holds nothing to damage: {} has {bytes} bytes", path.display()));
        }
        let done = match damage {
            Damage::Cut => {
                let keep = bytes - stage.rng.u64(1..bytes / 2);
                stage.remark = format!("cut from {bytes} to {keep}");
                OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(keep))
            }
            Damage::Flipped => {
                let at: Vec<u64> = (0..16).map(|_| stage.rng.u64(0..bytes)).collect();
                stage.remark += &format!(", then {} bytes of {bytes} flipped", at.len());
                flip(&path, &at)
            }
        };
        done.map_err(|error| error.to_string())?;
        stage.start_server().await?;
        stage.until_health("discord-gateway", true).await?;
        stage.goes_on(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// What becomes of a file.
#[derive(Clone, Copy)]
enum Damage {
    Cut,
    Flipped,
}

fn flip(path: &Path, at: &[u64]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    for place in at {
        let mut byte = [0];
        file.seek(SeekFrom::Start(*place))?;
        file.read_exact(&mut byte)?;
        file.seek(SeekFrom::Start(*place))?;
        file.write_all(&[byte[0] ^ 0xff])?;
    }
    Ok(())
}

/// The largest file below a directory, but for the key of cursors, which is no log.
fn largest_file(directory: &Path) -> Option<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).ok()?.flatten() {
            match entry.metadata() {
                Ok(kind) if kind.is_dir() => left.push(entry.path()),
                Ok(kind) if entry.file_name() != "cursor.key" => found.push((entry.path(), kind.len())),
                Ok(_) | Err(_) => {}
            }
        }
    }
    found.into_iter().max_by_key(|(_, bytes)| *bytes)
}
