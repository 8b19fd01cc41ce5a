//! Calls that are safe to repeat: what a call answered is kept per (subject, request id) and given again, over restarts.
//!
//! ```text
//!                                 ┌─ the same fields ─▶ the kept answer, or the one that is under way
//!   once(subject, id, request) ───┼─ other fields ────▶ REQUEST_ID_REUSED
//!                                 └─ new, or begun and broken off ─▶ the work, in a task of its own
//! ```
//!
//! The work writes how far it has come into the store in the same step as what it did ([`Ticket::keep`]), so that
//! whatever ends the process, the next one knows. A caller who hangs up loses the answer and not the outcome. Failures are
//! not kept, so a repeat tries again, from where the work stood.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use prost::Message;
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;

use crate::{
    auth::{Clock, Subject},
    hub::{Draft, Hub},
    rooms::{CallKey, CallRecord, Progress, RequestHash},
    status::{Failure, Reason},
    store::Key,
};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How many calls are kept at most; beyond that the oldest go first.
const MOST: usize = 100_000;

type Answer = Option<Result<Bytes, Failure>>;

/// Which call, for [`Journal::once`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// The request's id.
    pub(super) id: Uuid,
    key: CallKey,
    request: RequestHash,
    /// Whoever waits for the answer waits until then.
    deadline: Instant,
}

impl Call {
    /// A subject's call of a method. `request` is everything that was asked for, without the request id.
    pub(super) fn new(subject: &Subject, id: Uuid, method: &str, request: &impl Message, deadline: Instant) -> Self {
        Self { id, key: CallKey::of(subject, id), request: RequestHash::of(method, request), deadline }
    }
}

/// The calls that were made, with their answers.
#[derive(Clone)]
pub struct Journal {
    hub: Arc<Hub>,
    clock: Clock,
    calls: Arc<Mutex<Calls>>,
}

#[derive(Default)]
struct Calls {
    made: BTreeMap<CallKey, Entry>,
    by_age: BTreeSet<(SystemTime, CallKey)>,
}

enum Entry {
    /// Somebody works on it.
    UnderWay { ticket: Ticket, answer: watch::Receiver<Answer> },
    /// It was answered, or broken off.
    Resting(Box<CallRecord>),
}

/// The work's hold on its call.
#[derive(Clone)]
pub(super) struct Ticket {
    key: CallKey,
    request: RequestHash,
    at: SystemTime,
    /// What the store holds, or is about to.
    progress: Arc<Mutex<Option<Progress>>>,
    /// Calls that nobody asks for any more.
    expired: Arc<Mutex<Vec<CallKey>>>,
}

impl Ticket {
    /// Notes how far the call has come, in the same step as what is drafted.
    pub(super) fn keep(&self, draft: &mut Draft<'_>, progress: Progress) {
        for key in std::mem::take(&mut *locked(&self.expired)) {
            draft.keep(Key::Call(key), None);
        }
        let record = CallRecord { request: self.request, at: self.at, progress: progress.clone() };
        draft.keep(Key::Call(self.key), Some(record.to_bytes()));
        *locked(&self.progress) = Some(progress);
    }

    /// Notes what the call answers, in the same step as what is drafted.
    pub(super) fn answer(&self, draft: &mut Draft<'_>, answer: &impl Message) {
        self.keep(draft, Progress::Answered(Bytes::from(answer.encode_to_vec())));
    }

    /// Notes that the call has done nothing.
    pub(super) fn forget(&self, draft: &mut Draft<'_>) {
        if locked(&self.progress).take().is_some() {
            draft.keep(Key::Call(self.key), None);
        }
    }

    fn record(&self) -> Option<CallRecord> {
        let progress = locked(&self.progress).clone()?;
        Some(CallRecord { request: self.request, at: self.at, progress })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds this lock")
}

impl Journal {
    /// A journal that goes on from what a store held. Records that cannot be read are left out.
    pub fn new(hub: Arc<Hub>, records: BTreeMap<CallKey, CallRecord>, clock: Clock) -> Self {
        let by_age = records.iter().map(|(key, record)| (record.at, *key)).collect();
        let made = records.into_iter().map(|(key, record)| (key, Entry::Resting(Box::new(record)))).collect();
        Self { hub, clock, calls: Arc::new(Mutex::new(Calls { made, by_age })) }
    }

    /// Does `work` once for this call, and gives its answer to everybody who asks. The work is told how far an earlier
    /// one has come that was broken off. What it answers is kept, by itself or else here.
    ///
    /// # Errors
    /// What the work fails with; REQUEST_ID_REUSED; DEADLINE_EXCEEDED where the answer takes longer than the caller has
    /// time, in which case the work goes on.
    pub(super) async fn once<T, F>(
        &self,
        call: Call,
        work: impl FnOnce(Ticket, Option<Progress>) -> F,
    ) -> Result<T, Failure>
    where
        T: Message + Default,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut answer = match self.join_or_start(&call, work)? {
            Started::Kept(answer) => return read(&answer),
            Started::UnderWay(answer) => answer,
        };
        let settled = tokio::time::timeout_at(call.deadline.into(), answer.wait_for(Option::is_some)).await;
        match settled.map(|settled| settled.ok().and_then(|answer| answer.clone())) {
            Ok(Some(answer)) => read(&answer?),
            Ok(None) => Err(Failure::new(Reason::Internal, "the call ended without an answer")),
            Err(_) => {
                let message = "it is still under way: a repeat with this request_id waits for its answer";
                Err(Failure::new(Reason::DeadlineExceeded, message).with("request_id", call.id.to_string()))
            }
        }
    }

    /// The calls that were broken off, that nobody works on, and about which something can be found out.
    pub(super) fn broken_off(&self) -> Vec<(CallKey, Progress)> {
        let unfinished = |entry: &Entry| match entry {
            Entry::Resting(record) if !matches!(record.progress, Progress::Asked | Progress::Answered(_)) => {
                Some(record.progress.clone())
            }
            Entry::Resting(_) | Entry::UnderWay { .. } => None,
        };
        locked(&self.calls).made.iter().filter_map(|(key, entry)| Some((*key, unfinished(entry)?))).collect()
    }

    /// Takes up a call that was broken off, unless somebody else has.
    pub(super) fn take_up<T, F>(&self, key: CallKey, work: impl FnOnce(Ticket, Progress) -> F)
    where
        T: Message + Default,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut calls = locked(&self.calls);
        let Some(Entry::Resting(record)) = calls.made.get(&key) else { return };
        let (ticket, progress) = (Ticket::of(key, record.request, record.at), record.progress.clone());
        *locked(&ticket.progress) = Some(progress.clone());
        let work = work(ticket.clone(), progress);
        calls.made.insert(key, self.start(ticket, work).0);
    }

    fn join_or_start<T, F>(
        &self,
        call: &Call,
        work: impl FnOnce(Ticket, Option<Progress>) -> F,
    ) -> Result<Started, Failure>
    where
        T: Message + Default,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let now = (self.clock)();
        let mut calls = locked(&self.calls);
        let before = match calls.made.get(&call.key) {
            Some(Entry::UnderWay { ticket, answer }) => {
                same(ticket.request, call.request)?;
                // A call whose work panicked has no answer and never will: the next one goes on from where it stood.
                if answer.has_changed().is_ok() || answer.borrow().is_some() {
                    return Ok(Started::UnderWay(answer.clone()));
                }
                ticket.record()
            }
            Some(Entry::Resting(record)) => {
                same(record.request, call.request)?;
                if let Progress::Answered(answer) = &record.progress {
                    return Ok(Started::Kept(answer.clone()));
                }
                Some(record.as_ref().clone())
            }
            None => None,
        };
        let ticket = Ticket::of(call.key, call.request, before.as_ref().map_or(now, |record| record.at));
        let progress = before.map(|record| record.progress);
        locked(&ticket.progress).clone_from(&progress);
        *locked(&ticket.expired) = calls.expire(now);
        calls.by_age.insert((ticket.at, call.key));
        let work = work(ticket.clone(), progress);
        let (entry, answer) = self.start(ticket, work);
        calls.made.insert(call.key, entry);
        Ok(Started::UnderWay(answer))
    }

    fn start<T: Message>(
        &self,
        ticket: Ticket,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> (Entry, watch::Receiver<Answer>) {
        let (tell, answer) = watch::channel(None);
        let entry = Entry::UnderWay { ticket: ticket.clone(), answer: answer.clone() };
        let journal = self.clone();
        tokio::spawn(async move {
            let answer = work.await.map(|answer| Bytes::from(answer.encode_to_vec()));
            if let Ok(answer) = &answer {
                journal.keep_answer(&ticket, answer).await;
            }
            locked(&journal.calls).rest(&ticket);
            tell.send_replace(Some(answer));
        });
        (entry, answer)
    }

    /// Stores an answer that the work has not stored by itself.
    async fn keep_answer(&self, ticket: &Ticket, answer: &Bytes) {
        if matches!(&*locked(&ticket.progress), Some(Progress::Answered(_))) {
            return;
        }
        let (keeper, progress) = (ticket.clone(), Progress::Answered(answer.clone()));
        let kept = self.hub.act((self.clock)(), move |draft| keeper.keep(draft, progress)).await;
        if kept.is_err() {
            warn!("an answer was not stored: the process is ending");
        }
    }
}

enum Started {
    Kept(Bytes),
    UnderWay(watch::Receiver<Answer>),
}

impl Ticket {
    fn of(key: CallKey, request: RequestHash, at: SystemTime) -> Self {
        Self { key, request, at, progress: Arc::default(), expired: Arc::default() }
    }
}

impl Calls {
    /// Nobody works on the call any more: what the store holds of it is all there is.
    fn rest(&mut self, ticket: &Ticket) {
        match ticket.record() {
            Some(record) => drop(self.made.insert(ticket.key, Entry::Resting(Box::new(record)))),
            None => {
                self.made.remove(&ticket.key);
                self.by_age.remove(&(ticket.at, ticket.key));
            }
        }
    }

    /// Drops what is too old, and the oldest where there is too much.
    fn expire(&mut self, now: SystemTime) -> Vec<CallKey> {
        let mut expired = Vec::new();
        while let Some((at, key)) = self.by_age.first().copied() {
            let old = now.duration_since(at).is_ok_and(|age| age >= KEPT);
            let resting = matches!(self.made.get(&key), Some(Entry::Resting(_)));
            if !resting || !(old || self.made.len() >= MOST) {
                break;
            }
            self.by_age.pop_first();
            self.made.remove(&key);
            expired.push(key);
        }
        expired
    }
}

fn same(before: RequestHash, now: RequestHash) -> Result<(), Failure> {
    if before == now {
        return Ok(());
    }
    let message = "this request_id was used before with other fields: use a new one";
    Err(Failure::new(Reason::RequestIdReused, message))
}

fn read<T: Message + Default>(answer: &Bytes) -> Result<T, Failure> {
    T::decode(answer.clone()).map_err(|_| Failure::new(Reason::Internal, "the kept answer cannot be read"))
}

#[cfg(test)]
mod tests;
