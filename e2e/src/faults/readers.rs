//! F39 to F43: what clients can do, beside not reading (`stalls`).

use std::time::Duration;

use discord_emulator::{LOBBY, OTHER_GUILD, PARLOR_DEV};
use parlor_client::{
    CallError, Parlor,
    v1::{
        self, GapPolicy, reset::Reason, subscribe_voice_events_request::Start, subscribe_voice_events_response::Body,
    },
};
use parlor_server::hub::{CursorKey, Epoch, Position, Sequence};
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
pub(super) async fn connected(stage: &Stage, habits: &Habits) -> Result<Parlor, String> {
    let address = (*stage.address.borrow()).ok_or("there is no server")?;
    let token = stage.crowd.noted(habits.token());
    Parlor::connect(&format!("http://{address}"), &token).await.map_err(|error| error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
pub(super) fn told(error: CallError) -> String {
    format!("{:?} {error}", error.code)
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

/// F40: five thousand come back at once, each over a connection of its own, and hear what they have missed.
pub(super) async fn all_come_back_at_once(stage: &mut Stage) -> Outcome {
    let many: u32 = if stage.long { 5_000 } else { 500 };
    let mut herd = Herd::latest(stage, many as usize, 1).await?;
    let connections = stage.server()?.metric("parlor_connections").await.unwrap_or(0.0);
    herd.gives_up().await;
    stage.until_metric("parlor_connections", 30 * SECOND, |open| open.is_some_and(|open| open < 100.0)).await?;
    // Something to hear of for each of them.
    for guest in 0..10 {
        stage.emulator.user(&format!("latecomer{guest}")).joins(LOBBY);
    }
    stage.goes_on(Duration::from_millis(200)).await;
    let took = herd.resume(stage).await?;
    stage.note_memory();
    let again = stage.server()?.metric("parlor_connections").await.unwrap_or(0.0);
    stage.goes_on(Duration::from_millis(500)).await;
    herd.gives_up().await;
    let within = if took <= 10 * SECOND { "within" } else { "beyond" };
    stage.remark = format!("connections={again} all_live_ms={} {within} the 10 s of the list", took.as_millis());
    let enough = connections.min(again) >= f64::from(many);
    enough.then_some(()).ok_or_else(|| format!("{connections}, then {again} connections where {many} clients are"))
}

/// A world in which so little happens that thousands can be told of it.
pub(super) fn gentle() -> Plan {
    Plan { pause: SECOND, ..Plan::default() }
}

/// What a server makes of a cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Said {
    /// It goes on from there.
    Resumed,
    /// It begins anew, for this reason.
    Reset(Reason),
    /// What no server may do.
    Neither,
}

/// What a server says to a cursor that stands in a request. What it sends is recorded where there is a tape.
async fn says(
    parlor: &Parlor,
    cursor: &str,
    policy: GapPolicy,
    mut request: v1::SubscribeVoiceEventsRequest,
    tape: Option<&Tape>,
) -> Result<Said, CallError> {
    request.start = Some(Start::Cursor(cursor.to_owned()));
    request.set_gap_policy(policy);
    let from = From::of(&request);
    let mut frames = parlor.subscribe(request).await?;
    tape.inspect(|tape| tape.opened(from));
    let mut resumed = false;
    for _ in 0..2 {
        let next = match timeout(2 * SECOND, frames.next()).await {
            Ok(next) => next?,
            // Resumed at the head, and nothing has happened since.
            Err(_) => return Ok(Said::Resumed),
        };
        if let (Some(tape), Some(frame)) = (tape, &next) {
            tape.frame(frame.clone());
        }
        match next.and_then(|frame| frame.body) {
            Some(Body::Hello(hello)) => resumed = hello.resumed,
            Some(Body::Reset(reset)) => return Ok(Said::Reset(reset.reason())),
            Some(_) if resumed => return Ok(Said::Resumed),
            Some(_) | None => return Ok(Said::Neither),
        }
    }
    Ok(Said::Resumed)
}

/// F41: cursors that are damaged or of another deployment; true ones of a log that is gone or of what has not happened yet;
/// true ones under another filter or a narrower token.
pub(super) async fn cursors_are_forged(stage: &mut Stage) -> Outcome {
    let habits = Habits::eager("forger");
    let parlor = connected(stage, &habits).await?;
    let (good, filter_id) = current_cursor(&parlor).await?;
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
        match says(&parlor, cursor, GapPolicy::Reset, Default::default(), None).await {
            Err(error) if error.code == Code::InvalidArgument && error.reason.as_deref() == Some("CURSOR_INVALID") => {}
            other => wrong.push(format!("`{cursor}`: {other:?}")),
        }
    }
    wrong.extend(misplaced(stage, &parlor, &good).await?);
    wrong.extend(misapplied(stage, &parlor, &good, &filter_id).await?);
    if says(&parlor, &good, GapPolicy::Fail, Default::default(), None).await.map_err(told)? != Said::Resumed {
        wrong.push("the cursor that all were forged from is not continued".to_owned());
    }
    stage.remark = format!("forged={} misplaced=3 misapplied=3", forged.len());
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Cursors that the deployment's own key has sealed, of places where its log is not: what a client holds after the store was
/// lost, or was put back as it had been.
async fn misplaced(stage: &Stage, parlor: &Parlor, good: &str) -> Result<Vec<String>, String> {
    let secret = std::fs::read(stage.store().join("cursor.key")).map_err(|error| error.to_string())?;
    let secret = secret.try_into().map_err(|_| "the cursors' key has another length")?;
    let key = CursorKey::new(&secret);
    let place = key.open(good).map_err(|error| error.to_string())?;
    let ahead = |by| Position { sequence: Sequence(place.sequence.0 + by), ..place };
    let places = [
        (Position { epoch: Epoch::random(), ..place }, Reason::EpochChanged),
        (ahead(1_000_000), Reason::CursorAhead),
        (ahead(u64::MAX / 2), Reason::CursorAhead),
    ];
    let mut wrong = Vec::new();
    for (place, reason) in places {
        let cursor = key.seal(place);
        match says(parlor, &cursor, GapPolicy::Reset, Default::default(), None).await {
            Ok(Said::Reset(why)) if why == reason => {}
            other => wrong.push(format!("{place:?} led to {other:?}, not a reset by {reason:?}")),
        }
        match says(parlor, &cursor, GapPolicy::Fail, Default::default(), None).await {
            Err(error) if error.code == Code::OutOfRange && error.reason.as_deref() == Some("CURSOR_EXPIRED") => {}
            other => wrong.push(format!("{place:?} under GAP_POLICY_FAIL led to {other:?}")),
        }
    }
    Ok(wrong)
}

/// A cursor that another filter or another token was given. Whoever names the filter that it came with hears that it is not
/// theirs; whoever names none goes on, and hears of nothing that their own filter and token do not let through.
async fn misapplied(stage: &Stage, parlor: &Parlor, good: &str, filter_id: &str) -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    let of_guild = |filter_id: &str| v1::SubscribeVoiceEventsRequest {
        guild_ids: vec![OTHER_GUILD.to_string()],
        filter_id: filter_id.to_owned(),
        ..Default::default()
    };
    let mut narrow = Habits::eager("a narrower token");
    narrow.granted = vec![OTHER_GUILD.to_string()];
    let narrower = connected(stage, &narrow).await?;
    let named = v1::SubscribeVoiceEventsRequest { filter_id: filter_id.to_owned(), ..Default::default() };
    for (parlor, request) in [(parlor, of_guild(filter_id)), (&narrower, named)] {
        match says(parlor, good, GapPolicy::Reset, request, None).await {
            Ok(Said::Reset(Reason::FilterChanged)) => {}
            other => wrong.push(format!("a cursor of another filter led to {other:?}")),
        }
    }
    let habits = [narrow.clone(), Habits { request: of_guild(""), granted: Vec::new(), ..narrow }];
    for habits in habits {
        wrong.extend(hears_of_one_guild_alone(stage, &habits, good).await?);
    }
    Ok(wrong)
}

/// Goes on from somebody else's cursor while things happen in both guilds.
async fn hears_of_one_guild_alone(stage: &Stage, habits: &Habits, cursor: &str) -> Result<Option<String>, String> {
    let granted = (!habits.granted.is_empty()).then(|| habits.granted.iter().cloned().collect());
    let tape = stage.archive.tape(&habits.name, Sight::of(&habits.request, granted)).of_a_visitor();
    let request =
        v1::SubscribeVoiceEventsRequest { start: Some(Start::Cursor(cursor.to_owned())), ..habits.request.clone() };
    let from = From::of(&request);
    let mut frames = connected(stage, habits).await?.subscribe(request).await.map_err(told)?;
    tape.opened(from);
    let (mut heard, mut foreign) = (0, 0);
    let reading = async {
        while heard < 20 {
            let Some(frame) = frames.next().await.map_err(told)? else { return Err("the stream has ended".to_owned()) };
            if let Some(Body::Event(event)) = &frame.body {
                heard += 1;
                foreign += usize::from(event.guild_id == PARLOR_DEV.to_string());
            }
            tape.frame(frame);
        }
        Ok(())
    };
    timeout(30 * SECOND, reading).await.map_err(|_| "the guild that is covered is not heard of".to_owned())??;
    tape.ended(None);
    Ok((foreign > 0).then(|| format!("{}: {foreign} events of a guild that is not covered", habits.name)))
}

/// The cursor of the log's head, with the filter that it was given for.
async fn current_cursor(parlor: &Parlor) -> Result<(String, String), String> {
    let request = v1::SubscribeVoiceEventsRequest {
        start: Some(Start::StartAt(v1::StartAt::Latest.into())),
        ..Default::default()
    };
    let mut frames = parlor.subscribe(request).await.map_err(told)?;
    let mut filter_id = String::new();
    while let Some(frame) = frames.next().await.map_err(told)? {
        if let Some(Body::Hello(hello)) = &frame.body {
            filter_id.clone_from(&hello.filter_id);
        }
        if !frame.cursor.is_empty() {
            return Ok((frame.cursor, filter_id));
        }
    }
    Err("no position was told".to_owned())
}

/// A log that forgets soon: what is older than forty entries goes.
pub(super) fn forgetful() -> Plan {
    Plan { people: 60, pause: Duration::from_millis(1), ..super::process::busy() }
        .set("events.retention_entries", "40")
        .set("events.retention_time", "0s")
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
        cursors.push(current_cursor(&parlor).await?.0);
        stage.goes_on(Duration::from_millis(100)).await;
        // The oldest more often than chance would take it.
        let cursor = if stage.rng.bool() { &cursors[0] } else { &cursors[stage.rng.usize(..cursors.len())] };
        let said = says(&parlor, cursor, GapPolicy::Reset, Default::default(), Some(&tape)).await;
        tape.ended(said.as_ref().err());
        match said.map_err(told)? {
            Said::Resumed => resumed += 1,
            Said::Reset(_) => reset += 1,
            Said::Neither => return Err(format!("`{cursor}` is neither continued nor reset")),
        }
        match says(&parlor, &cursors[0], GapPolicy::Fail, Default::default(), None).await {
            Ok(Said::Resumed) => {}
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
