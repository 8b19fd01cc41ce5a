//! F37 and F38: clients that do not read.

use std::time::{Duration, Instant};

use discord_emulator::Timestamp;
use parlor_client::{
    CallError, Frames, Parlor,
    v1::{self, subscribe_voice_events_request::Start, subscribe_voice_events_response::Body},
};
use tokio::time::timeout;
use tonic::transport::Endpoint;

use super::{
    crowd::Habits,
    readers::{connected, told},
    stage::{Plan, Stage},
};
use crate::{
    Tape, now,
    validator::{From, Sight, Step},
};

type Outcome = Result<(), String>;

const SECOND: Duration = Duration::from_secs(1);
/// Streams of clients that read nothing are reset after 30 s without window; this is long enough on a loaded machine.
const CUT: Duration = Duration::from_secs(90);
/// The least window of HTTP/2 that needs no announcement: a few seconds of traffic fill it.
const WINDOW: u32 = 65_535;
/// Streams that the server reset because their client did not read.
const STALLED: &str = "parlor_streams_stalled_total";

/// A world that is busy enough to fill the window of a reader who does not read.
pub(super) fn busy() -> Plan {
    Plan { pause: Duration::from_millis(4), ..super::process::busy() }
}

/// A connection with small windows.
async fn narrow(stage: &Stage, habits: &Habits) -> Result<Parlor, String> {
    let address = (*stage.address.borrow()).ok_or("there is no server")?;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    let endpoint = endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let channel = endpoint.connect().await.map_err(|error| error.to_string())?;
    Parlor::over(channel, &stage.crowd.noted(habits.token())).map_err(|error| error.to_string())
}

/// Reads what was on its way to somebody whose stream was cut, up to the cut. Gives back the last cursor and the error.
async fn read_to_the_cut(frames: &mut Frames, tape: Option<&Tape>) -> Result<(String, CallError), String> {
    let mut cursor = String::new();
    loop {
        match timeout(10 * SECOND, frames.next()).await {
            Ok(Ok(Some(frame))) => {
                if !frame.cursor.is_empty() {
                    cursor.clone_from(&frame.cursor);
                }
                if let Some(tape) = tape {
                    tape.frame(frame);
                }
            }
            Ok(Ok(None)) => return Err("the stream of a reader who stalled has ended without a reason".to_owned()),
            Ok(Err(error)) => {
                if let Some(tape) = tape {
                    tape.ended(Some(&error));
                }
                return Ok((cursor, error));
            }
            Err(_) => return Err("a reader whose stream was cut is not told".to_owned()),
        }
    }
}

/// F37: one reader stalls until its stream is cut, comes back with its cursor and catches up; nobody else has noticed.
pub(super) async fn a_reader_stalls(stage: &mut Stage) -> Outcome {
    let habits = Habits::eager("stalls");
    let tape = stage.archive.tape(&habits.name, Sight::default()).of_a_visitor();
    let quiet = p99_during(stage, stage.lasting(10 * SECOND, 2 * SECOND)).await;
    let parlor = narrow(stage, &habits).await?;
    let mut frames = parlor.subscribe(habits.request.clone()).await.map_err(told)?;
    tape.opened(From::Snapshot);
    let (began, stalled_from) = (Instant::now(), now());
    stage.until_metric(STALLED, CUT, |cut| cut == Some(1.0)).await?;
    let cut_after = began.elapsed();
    let beside = p99(stage, stalled_from, now());
    let (cursor, error) = read_to_the_cut(&mut frames, Some(&tape)).await?;
    // What was missed is in the log.
    let start = Some(Start::Cursor(cursor));
    let request = v1::SubscribeVoiceEventsRequest { start, ..habits.request.clone() };
    let from = From::of(&request);
    let mut frames = parlor.subscribe(request).await.map_err(told)?;
    tape.opened(from);
    let (mut missed, mut head) = (0, u64::MAX);
    let caught_up = async {
        loop {
            let Some(frame) = frames.next().await.map_err(told)? else { return Err("the stream has ended".to_owned()) };
            match &frame.body {
                Some(Body::Hello(hello)) => head = hello.head_sequence,
                Some(Body::Event(_)) => missed += 1,
                Some(_) | None => {}
            }
            let reached = frame.sequence >= head;
            tape.frame(frame);
            if reached {
                return Ok(());
            }
        }
    };
    timeout(60 * SECOND, caught_up).await.map_err(|_| "a reader who was cut does not catch up".to_owned())??;
    tape.ended(None);
    stage.remark = format!(
        "cut_after_s={} ({:?}) missed={missed} p99_ms={beside} without_it={quiet}",
        cut_after.as_secs(),
        error.code
    );
    Ok(())
}

/// F38: two hundred readers stall.
pub(super) async fn many_readers_stall(stage: &mut Stage) -> Outcome {
    const MANY: u32 = 200;
    let habits = Habits::eager("stalls");
    let quiet = p99_during(stage, stage.lasting(10 * SECOND, 2 * SECOND)).await;
    stage.note_memory();
    let before = stage.server()?.resident_kib().unwrap_or(0);
    let mut stalled: Vec<Frames> = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..MANY {
        let parlor = narrow(stage, &habits).await?;
        stalled.push(parlor.subscribe(habits.request.clone()).await.map_err(told)?);
        connections.push(parlor);
    }
    let stalled_from = now();
    let span = stage.lasting(15 * SECOND, 5 * SECOND);
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
    let snapshot = began.elapsed();
    drop(frames);
    // Each of their windows was full: that is what a stream is cut for.
    stage.until_metric(STALLED, CUT, |cut| cut.is_some_and(|cut| cut >= f64::from(MANY))).await?;
    let beside = p99(stage, stalled_from, now());
    let mut codes = std::collections::BTreeMap::<String, u32>::new();
    for frames in &mut stalled {
        let (_, error) = read_to_the_cut(frames, None).await?;
        *codes.entry(format!("{:?}", error.code)).or_default() += 1;
    }
    drop(connections);
    let grown = after.saturating_sub(before) / u64::from(MANY);
    stage.remark = format!(
        "cut={codes:?} rss_before_mib={} rss_after_mib={} kib_per_reader={grown} snapshot_ms={} p99_ms={beside} \
         without_them={quiet}",
        before / 1_024,
        after / 1_024,
        snapshot.as_millis()
    );
    if !served {
        return Err("somebody who came while 200 stalled was not served within 10 s".to_owned());
    }
    (grown <= 512).then_some(()).ok_or_else(|| format!("{grown} KiB for each reader who stalls: at most 512"))
}

/// The 99th percentile of a span that begins now.
async fn p99_during(stage: &Stage, span: Duration) -> u128 {
    let from = now();
    stage.goes_on(span).await;
    p99(stage, from, now())
}

/// How late those who read as fast as they are told heard of events in a span, in milliseconds: the 99th percentile of the
/// time between what the server learned and what they received.
fn p99(stage: &Stage, from: Timestamp, to: Timestamp) -> u128 {
    let mut late: Vec<u128> = Vec::new();
    for recording in stage.archive.recordings().iter().filter(|recording| recording.name.starts_with("eager")) {
        late.extend(recording.steps.iter().filter_map(|step| {
            let Step::Frame { at, frame } = step else { return None };
            let Some(Body::Event(event)) = &frame.body else { return None };
            let learned = event.event_time?;
            let learned = learned.seconds.checked_mul(1_000)?.checked_add(i64::from(learned.nanos) / 1_000_000)?;
            let learned = Timestamp::from_unix_millis(learned.try_into().ok()?);
            (learned >= from && *at <= to).then(|| at.since(learned).as_millis())
        }));
    }
    late.sort_unstable();
    let place = (0.99 * late.len().saturating_sub(1) as f64).ceil() as usize;
    late.get(place).copied().unwrap_or(0)
}
