//! `parlor rooms batch`: lines in, calls of up to 25 items, a line out for each line in.

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

/// How many items one call takes.
const ITEMS: usize = 25;

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
    private: Vec<String>,
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
    let mut progress = Progress { terminal, what, done: 0, failed: 0, of: lines.len() };
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
    match wanted {
        Wanted::Create(requests) => {
            for (number, items) in requests.chunks(ITEMS).enumerate() {
                let request = v1::BatchCreateRoomsRequest { requests: items.to_vec(), request_id: part(id, number) };
                let answer = parlor.rooms().batch_create_rooms(request).await.map_err(progress.broken_off(id))?;
                for (item, result) in items.iter().zip(answer.into_inner().results) {
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
        }
        Wanted::End(requests) => {
            for (number, items) in requests.chunks(ITEMS).enumerate() {
                let request = v1::BatchEndRoomsRequest { requests: items.to_vec(), request_id: part(id, number) };
                let answer = parlor.rooms().batch_end_rooms(request).await.map_err(progress.broken_off(id))?;
                for (item, result) in items.iter().zip(answer.into_inner().results) {
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
        }
    }
    progress.finish()
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
            private: (!self.private.is_empty())
                .then(|| v1::PrivateRoom { user_ids: self.private, role_ids: Vec::new() }),
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

/// The id of one call of the batch: the same lines are in the same call in every repeat.
fn part(id: Uuid, number: usize) -> String {
    if number == 0 {
        return id.to_string();
    }
    let number = u128::try_from(number).unwrap_or_default();
    let bytes = (id.as_u128() ^ (number << 64)).to_be_bytes();
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

struct Progress {
    terminal: Terminal,
    what: Batch,
    done: usize,
    failed: usize,
    of: usize,
}

impl Progress {
    fn one(&mut self, room: Option<&v1::Room>, name: &str) -> Result<(), Failure> {
        self.done += 1;
        match room {
            Some(room) if self.terminal.is_json() => {
                #[derive(Serialize)]
                struct Answer<'a> {
                    room: RoomShape<'a>,
                }
                self.terminal.json(&Answer { room: room.into() })?;
            }
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
            self.terminal.json(&Answer { error: Error { of: name, reason, message, fields: &fields } })?;
        } else {
            let text = [vec![name.to_owned(), failure.reason.clone(), failure.message.clone()], fields].concat();
            self.terminal.line(&text.join("\t"))?;
        }
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        if self.done.is_multiple_of(ITEMS) || self.done == self.of {
            let failed = if self.failed == 0 { String::new() } else { format!(", {} failed", self.failed) };
            self.terminal.say(Tone::Faint, &format!("{} of {}{failed}", self.done, self.of));
        }
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
