//! F37 to F43: what clients can do.

use std::time::{Duration, Instant};

use parlor_client::{
    CallError, Frames, Parlor,
    v1::{self, GapPolicy, subscribe_voice_events_request::Start, subscribe_voice_events_response::Body},
};
use tokio::time::timeout;
use tonic::Code;

use super::{
    crowd::Habits,
    herd::Herd,
    stage::{Plan, Stage},
};
use crate::{
    Tape,
    validator::{From, Sight},
};

type Outcome = Result<(), String>;

const SECOND: Duration = Duration::from_secs(1);

/// A connection with a token of its own.
async fn connected(stage: &Stage, habits: &Habits) -> Result<Parlor, String> {
    let address = (*stage.address.borrow()).ok_or("there is no server")?;
    let token = stage.crowd.noted(habits.token());
    Parlor::connect(&format!("http://{address}"), &token).await.map_err(|error| error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn told(error: CallError) -> String {
    format!("{:?} {error}", error.code)
}

/// A world that is busy enough to fill the window of a reader who does not read.
pub(super) fn busy() -> Plan {
    Plan { pause: Duration::from_millis(1), ..super::process::busy() }
}

/// F37: one reader stalls, and reads on later: it catches up, and nobody else has noticed.
pub(super) async fn a_reader_stalls(stage: &mut Stage) -> Outcome {
    let span = stage.lasting(40 * SECOND, 3 * SECOND);
    let habits = Habits::eager("stalls");
    let tape = stage.archive.tape(&habits.name, Sight::default()).of_a_visitor();
    let parlor = connected(stage, &habits).await?;
    let mut frames = parlor.subscribe(habits.request.clone()).await.map_err(told)?;
    tape.opened(From::Snapshot);
    stage.goes_on(span).await;
    let mut read = 0;
    // It has caught up when it has to wait.
    while let Ok(next) = timeout(Duration::from_millis(300), frames.next()).await {
        match next.map_err(told)? {
            Some(frame) => tape.frame(frame),
            None => return Err("the stream of a reader who stalled has ended without a reason".to_owned()),
        }
        read += 1;
        if read % 1_000 == 0 {
            stage.traffic.flow(false);
        }
    }
    tape.ended(None);
    stage.traffic.flow(true);
    stage.remark = format!("frames_read_later={read}");
    Ok(())
}

/// F38: two hundred readers stall.
pub(super) async fn many_readers_stall(stage: &mut Stage) -> Outcome {
    let habits = Habits::eager("stalls");
    stage.note_memory();
    let before = stage.server()?.resident_kib().unwrap_or(0);
    let mut stalled: Vec<Frames> = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..200 {
        let parlor = connected(stage, &habits).await?;
        stalled.push(parlor.subscribe(habits.request.clone()).await.map_err(told)?);
        connections.push(parlor);
    }
    let span = stage.lasting(10 * SECOND, 3 * SECOND);
    stage.goes_on(span).await;
    stage.note_memory();
    let after = stage.server()?.resident_kib().unwrap_or(0);
    // Others are served as ever: one who comes now holds the truth soon.
    let began = Instant::now();
    let mut frames = connected(stage, &habits).await?.subscribe(habits.request.clone()).await.map_err(told)?;
    let whole = async {
        while let Ok(Some(frame)) = frames.next().await {
            if matches!(frame.body, Some(Body::SnapshotEnd(_))) {
                return true;
            }
        }
        false
    };
    let served = timeout(10 * SECOND, whole).await.unwrap_or(false);
    let grown = after.saturating_sub(before) / 200;
    stage.remark = format!(
        "rss_before_mib={} rss_after_mib={} kib_per_reader={grown} snapshot_ms={}",
        before / 1_024,
        after / 1_024,
        began.elapsed().as_millis()
    );
    drop(stalled);
    if !served {
        return Err("somebody who came while 200 stalled was not served within 10 s".to_owned());
    }
    (grown <= 512).then_some(()).ok_or_else(|| format!("{grown} KiB for each reader who stalls: at most 512"))
}

/// F39: ten thousand streams that are given up, each after some frames.
pub(super) async fn streams_are_cancelled(stage: &mut Stage) -> Outcome {
    let many = if stage.long { 10_000 } else { 1_000 };
    let habits = Habits::eager("cancels");
    let mut parlors = Vec::new();
    for _ in 0..8 {
        parlors.push(connected(stage, &habits).await?);
    }
    let mut cancelling = tokio::task::JoinSet::new();
    for (number, parlor) in parlors.into_iter().enumerate() {
        let (request, mut rng) = (habits.request.clone(), stage.rng.fork());
        let own = many / 8;
        cancelling.spawn(async move {
            for _ in 0..own {
                let reading = rng.u32(0..8);
                let opened = if rng.u32(0..4) == 0 {
                    // Given up before there is an answer.
                    timeout(Duration::from_micros(rng.u64(0..800)), parlor.subscribe(request.clone())).await.ok()
                } else {
                    Some(parlor.subscribe(request.clone()).await)
                };
                match opened {
                    None => {}
                    Some(Ok(mut frames)) => {
                        for _ in 0..reading {
                            if let Err(error) = frames.next().await {
                                return Err(format!("connection {number}: {}", told(error)));
                            }
                        }
                    }
                    Some(Err(error)) => return Err(format!("connection {number}: {}", told(error))),
                }
            }
            Ok(())
        });
    }
    stage.remark = format!("cancelled={many}");
    while let Some(done) = cancelling.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// F40: five thousand come back at once.
pub(super) async fn all_come_back_at_once(stage: &mut Stage) -> Outcome {
    let many = if stage.long { 5_000 } else { 500 };
    stage.traffic.flow(false);
    let mut herd = Herd::latest(stage, many, 500).await?;
    herd.gives_up().await;
    stage.traffic.flow(true);
    stage.goes_on(Duration::from_millis(200)).await;
    stage.traffic.flow(false);
    let took = herd.resume(stage).await?;
    stage.note_memory();
    stage.goes_on(Duration::from_millis(500)).await;
    herd.gives_up().await;
    stage.traffic.flow(true);
    stage.remark = format!("streams={many} all_resumed_ms={}", took.as_millis());
    Ok(())
}

/// What a server says to a cursor. What it sends is recorded where there is a tape.
async fn says(
    parlor: &Parlor,
    cursor: &str,
    policy: GapPolicy,
    tape: Option<&Tape>,
) -> Result<&'static str, CallError> {
    let mut request =
        v1::SubscribeVoiceEventsRequest { start: Some(Start::Cursor(cursor.to_owned())), ..Default::default() };
    request.set_gap_policy(policy);
    let from = From::of(&request);
    let mut frames = parlor.subscribe(request).await?;
    tape.inspect(|tape| tape.opened(from));
    let mut resumed = false;
    for _ in 0..2 {
        let next = match timeout(2 * SECOND, frames.next()).await {
            Ok(next) => next?,
            // Resumed at the head, and nothing has happened since.
            Err(_) => return Ok("resumed"),
        };
        if let (Some(tape), Some(frame)) = (tape, &next) {
            tape.frame(frame.clone());
        }
        match next.and_then(|frame| frame.body) {
            Some(Body::Hello(hello)) => resumed = hello.resumed,
            Some(Body::Reset(_)) => return Ok("reset"),
            Some(_) if resumed => return Ok("resumed"),
            Some(_) | None => return Ok("neither resumed nor reset"),
        }
    }
    Ok("resumed")
}

/// F41: cursors that are damaged, of another deployment, or no cursors at all.
pub(super) async fn cursors_are_forged(stage: &mut Stage) -> Outcome {
    let habits = Habits::eager("forger");
    let parlor = connected(stage, &habits).await?;
    let good = current_cursor(&parlor).await?;
    let mut wrong = Vec::new();
    let mut forged: Vec<String> =
        vec!["x".to_owned(), "=".repeat(44), "A".repeat(44), "é".repeat(20), "A".repeat(10_000)];
    for _ in 0..if stage.long { 300 } else { 60 } {
        let mut letters: Vec<char> = good.chars().collect();
        match stage.rng.u32(0..4) {
            0 => drop(letters.pop()),
            1 => letters.push('A'),
            2 => {
                let by = stage.rng.usize(1..letters.len());
                letters.rotate_left(by);
            }
            _ => {
                let at = stage.rng.usize(..letters.len());
                letters[at] = stage.rng.alphanumeric();
            }
        }
        forged.push(letters.into_iter().collect());
    }
    forged.retain(|cursor| *cursor != good);
    for cursor in &forged {
        match says(&parlor, cursor, GapPolicy::Reset, None).await {
            Err(error) if error.code == Code::InvalidArgument && error.reason.as_deref() == Some("CURSOR_INVALID") => {}
            other => wrong.push(format!("`{cursor}`: {other:?}")),
        }
    }
    // A cursor is not bound to what it was given for: a narrower token hears of its own guild alone, which the judge sees.
    if says(&parlor, &good, GapPolicy::Fail, None).await.map_err(told)? != "resumed" {
        wrong.push("the cursor that all were forged from is not continued".to_owned());
    }
    stage.remark = format!("forged={}", forged.len());
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// The cursor of the log's head.
async fn current_cursor(parlor: &Parlor) -> Result<String, String> {
    let request = v1::SubscribeVoiceEventsRequest {
        start: Some(Start::StartAt(v1::StartAt::Latest.into())),
        ..Default::default()
    };
    let mut frames = parlor.subscribe(request).await.map_err(told)?;
    while let Some(frame) = frames.next().await.map_err(told)? {
        if !frame.cursor.is_empty() {
            return Ok(frame.cursor);
        }
    }
    Err("no position was told".to_owned())
}

/// A log that forgets soon: what is older than forty entries goes.
pub(super) fn forgetful() -> Plan {
    Plan { people: 60, ..busy() }.set("events.retention_entries", "40").set("events.retention_time", "0s")
}

/// F42: the log forgets while clients replay it: each goes on without a gap, or is told that it cannot.
pub(super) async fn log_forgets_meanwhile(stage: &mut Stage) -> Outcome {
    for number in 0..6_u64 {
        let thinks = Duration::from_millis(60 * number);
        let habits = Habits { thinks, stores_every: 10, ..Habits::eager(&format!("behind {number}")) };
        let rng = stage.rng.fork();
        stage.crowd.join(habits, &stage.archive, &stage.address, rng);
    }
    let parlor = connected(stage, &Habits::eager("walker")).await?;
    let tape = stage.archive.tape("walker", Sight::default()).of_a_visitor();
    let (mut resumed, mut reset, mut expired) = (0, 0, 0);
    let rounds = if stage.long { 40 } else { 10 };
    let mut cursors = Vec::new();
    for _ in 0..rounds {
        cursors.push(current_cursor(&parlor).await?);
        stage.goes_on(Duration::from_millis(100)).await;
        // The oldest more often than chance would take it.
        let cursor = if stage.rng.bool() { &cursors[0] } else { &cursors[stage.rng.usize(..cursors.len())] };
        let said = says(&parlor, cursor, GapPolicy::Reset, Some(&tape)).await;
        tape.ended(said.as_ref().err());
        match said.map_err(told)? {
            "resumed" => resumed += 1,
            "reset" => reset += 1,
            other => return Err(other.to_owned()),
        }
        match says(&parlor, &cursors[0], GapPolicy::Fail, None).await {
            Ok("resumed") => {}
            Err(error) if error.reason.as_deref() == Some("CURSOR_EXPIRED") => expired += 1,
            other => return Err(format!("a cursor that may be too old, under GAP_POLICY_FAIL: {other:?}")),
        }
    }
    stage.remark = format!("resumed={resumed} reset={reset} expired={expired}");
    (expired > 0 && reset > 0).then_some(()).ok_or_else(|| "no cursor was ever too old".to_owned())
}

/// F43: tokens end while their streams are open; the cursor continues under the next token.
pub(super) async fn tokens_end(stage: &mut Stage) -> Outcome {
    for lasts in [2, 3] {
        let habits = Habits { token_lasts: Some(lasts * SECOND), ..Habits::eager(&format!("token of {lasts} s")) };
        let rng = stage.rng.fork();
        stage.crowd.join(habits, &stage.archive, &stage.address, rng);
    }
    let before = stage.crowd.opened();
    stage.goes_on(stage.lasting(12 * SECOND, 7 * SECOND)).await;
    let again = stage.crowd.opened() - before;
    stage.remark = format!("streams_opened={again}");
    // Two of the first, and at least two more.
    (again >= 4).then_some(()).ok_or_else(|| format!("{again} streams were opened: tokens did not end theirs"))
}

/// No time beyond a token's end.
pub(super) fn exact() -> Plan {
    Plan::default().set("auth.leeway", "0s")
}
