//! `parlor rooms batch`: lines in, calls of a few items, a line out for each line in.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    time::Duration,
};

use parlor_client::{
    Parlor,
    v1::{self, batch_create_rooms_result, batch_end_rooms_result},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::row;
use crate::{
    cli::{Batch, RoomKind},
    failure::{Exit, Failure},
    shapes::RoomShape,
    terminal::{Terminal, Tone},
};

/// How many items are in one call: few, because a call says nothing until all of its items have ended, and several wait for
/// Discord together.
const ITEMS: usize = 5;

/// After how many items somebody who cannot be shown a line that moves is told how far it is.
const TOLD_AFTER: usize = 25;

/// What all items of a batch have in common.
pub(super) struct Common {
    pub(super) request_id: Option<String>,
    pub(super) force: bool,
    pub(super) reason: Option<String>,
}

/// A room to make, as a line says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    guild: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    user_limit: i32,
    #[serde(default)]
    bitrate_bps: i32,
    #[serde(default)]
    region: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    video_quality: Option<Quality>,
    #[serde(default)]
    private: Vec<String>,
    #[serde(default, alias = "role_ids")]
    private_roles: Vec<String>,
    #[serde(default)]
    overwrites: Vec<Allowance>,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    empty_timeout: Option<Time>,
    #[serde(default)]
    departure_timeout: Option<Time>,
    #[serde(default)]
    max_duration: Option<Time>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Voice,
    Stage,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Quality {
    Auto,
    Full,
}

/// `role:1100000000000000001:-SPEAK,+STREAM`.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
struct Allowance(v1::PermissionOverwrite);

impl TryFrom<String> for Allowance {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        crate::cli::overwrite(&text).map(Self)
    }
}

/// `10m`.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Time(Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        crate::cli::time(&text).map(Self)
    }
}

pub(super) async fn run(
    what: Batch,
    file: Option<&Path>,
    common: Common,
    parlor: &Parlor,
    terminal: Terminal,
) -> Result<(), Failure> {
    let lines = read(file)?;
    let id = match &common.request_id {
        Some(text) => Uuid::try_parse(text).map_err(|_| Failure::new(Exit::Usage, "--request-id is not a UUID"))?,
        None => Uuid::new_v4(),
    };
    let wanted = match what {
        Batch::Create => {
            let read = lines.iter().enumerate().map(|(index, line)| {
                let line: Line = serde_json::from_str(line)
                    .map_err(|error| Failure::new(Exit::Usage, format!("line {}: {error}", index + 1)))?;
                Ok(line.request(&common))
            });
            // Nothing is made where a line cannot be read.
            Wanted::Create(read.collect::<Result<_, Failure>>()?)
        }
        Batch::End => Wanted::End(lines.iter().map(|line| end(line, &common)).collect()),
    };
    let mut progress = Progress::new(terminal, what, lines.len());
    let outcome = match wanted {
        Wanted::Create(requests) => create(requests, id, parlor, &mut progress).await,
        Wanted::End(requests) => end_all(requests, id, parlor, &mut progress).await,
    };
    // What is done is done, whatever became of the rest.
    progress.show()?;
    outcome?;
    progress.finish()
}

async fn create(
    requests: Vec<v1::CreateRoomRequest>,
    id: Uuid,
    parlor: &Parlor,
    progress: &mut Progress,
) -> Result<(), Failure> {
    for items in requests.chunks(ITEMS) {
        let named = items
            .iter()
            .zip(progress.done..)
            .map(|(item, index)| v1::CreateRoomRequest { request_id: item_id(id, index), ..item.clone() });
        let request = v1::BatchCreateRoomsRequest { requests: named.collect(), ..Default::default() };
        let answer = patiently(async || parlor.rooms().batch_create_rooms(request.clone()).await).await;
        for (item, result) in items.iter().zip(answer.map_err(progress.broken_off(id))?.into_inner().results) {
            match result.outcome {
                Some(batch_create_rooms_result::Outcome::Created(created)) => {
                    progress.one(created.room.as_ref(), &item.display_name)?;
                }
                Some(batch_create_rooms_result::Outcome::Failure(failure)) => {
                    progress.failure(&item.display_name, &failure)?;
                }
                None => {}
            }
        }
    }
    Ok(())
}

async fn end_all(
    requests: Vec<v1::EndRoomRequest>,
    id: Uuid,
    parlor: &Parlor,
    progress: &mut Progress,
) -> Result<(), Failure> {
    for items in requests.chunks(ITEMS) {
        let named = items
            .iter()
            .zip(progress.done..)
            .map(|(item, index)| v1::EndRoomRequest { request_id: item_id(id, index), ..item.clone() });
        let request = v1::BatchEndRoomsRequest { requests: named.collect(), ..Default::default() };
        let answer = patiently(async || parlor.rooms().batch_end_rooms(request.clone()).await).await;
        for (item, result) in items.iter().zip(answer.map_err(progress.broken_off(id))?.into_inner().results) {
            match result.outcome {
                Some(batch_end_rooms_result::Outcome::Ended(ended)) => {
                    progress.one(ended.room.as_ref(), &item.room_id)?;
                }
                Some(batch_end_rooms_result::Outcome::Failure(failure)) => {
                    progress.failure(&item.room_id, &failure)?;
                }
                None => {}
            }
        }
    }
    Ok(())
}

/// How often a call that comes too early is made again at most.
const TRIES: u32 = 5;

/// Makes a call, and again after the time that the server names where it says that there were too many.
async fn patiently<T>(call: impl AsyncFn() -> Result<T, tonic::Status>) -> Result<T, tonic::Status> {
    for _ in 1..TRIES {
        let status = match call().await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        let error = parlor_client::CallError::from(status.clone());
        let is_early = matches!(error.reason.as_deref(), Some("RATE_LIMITED" | "OVERLOADED"));
        let Some(wait) = error.retry_after.filter(|_| is_early) else { return Err(status) };
        tokio::time::sleep(wait).await;
    }
    call().await
}

enum Wanted {
    Create(Vec<v1::CreateRoomRequest>),
    End(Vec<v1::EndRoomRequest>),
}

fn read(file: Option<&Path>) -> Result<Vec<String>, Failure> {
    let input: Box<dyn Read> = match file.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let opened = std::fs::File::open(path);
            Box::new(
                opened
                    .map_err(|error| Failure::new(Exit::Usage, format!("cannot read {}: {error}", path.display())))?,
            )
        }
        None => Box::new(std::io::stdin()),
    };
    let lines: Result<Vec<String>, _> = BufReader::new(input).lines().collect();
    let lines = lines.map_err(|error| Failure::new(Exit::Usage, format!("cannot read the lines: {error}")))?;
    Ok(lines.into_iter().filter(|line| !line.trim().is_empty()).collect())
}

impl Quality {
    fn named(self) -> v1::VideoQuality {
        match self {
            Self::Auto => v1::VideoQuality::Auto,
            Self::Full => v1::VideoQuality::Full,
        }
    }
}

impl Line {
    fn request(self, common: &Common) -> v1::CreateRoomRequest {
        let time = |time: Option<Time>| time.and_then(|Time(time)| time.try_into().ok());
        let policy = v1::RoomPolicy {
            empty_timeout: time(self.empty_timeout),
            departure_timeout: time(self.departure_timeout),
            max_duration: time(self.max_duration),
        };
        let kind = self.kind.map_or(RoomKind::Voice, |kind| match kind {
            Kind::Voice => RoomKind::Voice,
            Kind::Stage => RoomKind::Stage,
        });
        v1::CreateRoomRequest {
            guild_id: self.guild,
            display_name: self.name,
            kind: super::kind_of(kind).into(),
            category_id: self.category,
            user_limit: self.user_limit,
            bitrate_bps: self.bitrate_bps,
            region: self.region,
            status: self.status,
            video_quality: self.video_quality.map_or(v1::VideoQuality::Unspecified, Quality::named).into(),
            private: super::change::private_room(self.private, self.private_roles),
            permission_overwrites: self.overwrites.into_iter().map(|Allowance(overwrite)| overwrite).collect(),
            labels: self.labels,
            policy: Some(policy).filter(|policy| *policy != v1::RoomPolicy::default()),
            audit_log_reason: common.reason.clone().unwrap_or_default(),
            ..Default::default()
        }
    }
}

fn end(line: &str, common: &Common) -> v1::EndRoomRequest {
    v1::EndRoomRequest {
        room_id: line.split_whitespace().next().unwrap_or_default().to_owned(),
        force: common.force,
        request_id: String::new(),
        audit_log_reason: common.reason.clone().unwrap_or_default(),
    }
}

/// The id of one line of the batch: the same in every repeat.
fn item_id(id: Uuid, index: usize) -> String {
    let index = u128::try_from(index).unwrap_or_default();
    let bytes = (id.as_u128() ^ (index << 64)).to_be_bytes();
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// How far a batch is, and what came of it.
struct Progress {
    terminal: Terminal,
    what: Batch,
    done: usize,
    failed: usize,
    of: usize,
    /// What a person gets to read at the end, in columns; nobody else waits for it.
    rooms: Vec<Vec<String>>,
    failures: Vec<Vec<String>>,
}

impl Progress {
    fn new(terminal: Terminal, what: Batch, of: usize) -> Self {
        let progress = Self { terminal, what, done: 0, failed: 0, of, rooms: Vec::new(), failures: Vec::new() };
        terminal.draw(&progress.words());
        progress
    }

    fn one(&mut self, room: Option<&v1::Room>, name: &str) -> Result<(), Failure> {
        self.done += 1;
        match room {
            Some(room) if self.terminal.is_json() => {
                #[derive(Serialize)]
                struct Answer<'a> {
                    room: RoomShape<'a>,
                }
                self.terminal.wipe();
                self.terminal.json(&Answer { room: room.into() })?;
            }
            Some(room) if self.terminal.is_read() => self.rooms.push(row(room)),
            Some(room) => self.terminal.line(&row(room).join("\t"))?,
            None => self.terminal.line(name)?,
        }
        self.tell();
        Ok(())
    }

    fn failure(&mut self, name: &str, failure: &v1::ItemFailure) -> Result<(), Failure> {
        self.done += 1;
        self.failed += 1;
        let fields: Vec<String> =
            failure.field_violations.iter().map(|wrong| format!("{} {}", wrong.field, wrong.description)).collect();
        let text = || vec![name.to_owned(), failure.reason.clone(), failure.message.clone()];
        if self.terminal.is_json() {
            #[derive(Serialize)]
            struct Answer<'a> {
                error: Error<'a>,
            }
            #[derive(Serialize)]
            struct Error<'a> {
                of: &'a str,
                reason: &'a str,
                message: &'a str,
                fields: &'a [String],
            }
            let (reason, message) = (failure.reason.as_str(), failure.message.as_str());
            self.terminal.wipe();
            self.terminal.json(&Answer { error: Error { of: name, reason, message, fields: &fields } })?;
        } else if self.terminal.is_read() {
            let mut text = text();
            text[2] = std::iter::once(text[2].clone()).chain(fields).collect::<Vec<_>>().join("; ");
            self.failures.push(text);
        } else {
            self.terminal.line(&[text(), fields].concat().join("\t"))?;
        }
        self.tell();
        Ok(())
    }

    fn words(&self) -> String {
        let failed = if self.failed == 0 { String::new() } else { format!(", {} failed", self.failed) };
        format!("{} of {}{failed}", self.done, self.of)
    }

    fn tell(&self) {
        if self.terminal.draws() {
            self.terminal.draw(&self.words());
        } else if self.done.is_multiple_of(TOLD_AFTER) || self.done == self.of {
            self.terminal.say(Tone::Faint, &self.words());
        }
    }

    /// Shows a person what came of it.
    fn show(&self) -> Result<(), Failure> {
        self.terminal.wipe();
        if self.terminal.draws() && self.done > 0 {
            self.terminal.say(Tone::Faint, &self.words());
        }
        if !self.rooms.is_empty() {
            self.terminal.table(&super::ROOM_HEADER, &self.rooms)?;
        }
        if !self.failures.is_empty() {
            self.terminal.table(&["NAME", "REASON", "WHAT IS WRONG"], &self.failures)?;
        }
        Ok(())
    }

    /// Where a whole call fails: what was done is done, and the same command goes on.
    fn broken_off(&self, id: Uuid) -> impl Fn(tonic::Status) -> Failure {
        let (done, of) = (self.done, self.of);
        move |status| {
            let failure = Failure::from(parlor_client::CallError::from(status));
            failure.next(format!(
                "{done} of {of} are done; repeat the command with --request-id {id}: nothing is done twice"
            ))
        }
    }

    fn finish(self) -> Result<(), Failure> {
        if self.failed == 0 {
            return Ok(());
        }
        let verb = match self.what {
            Batch::Create => "made",
            Batch::End => "ended",
        };
        Err(Failure::new(Exit::Failed, format!("{} of {} rooms were not {verb}", self.failed, self.of)))
    }
}
