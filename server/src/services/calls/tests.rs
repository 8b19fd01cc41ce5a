//! Repeats, restarts and failures of calls.

use std::sync::atomic::{AtomicUsize, Ordering};

use parlor_proto::v1::SendMessageResponse;

use super::*;
use crate::{
    hub::{CursorKey, Retention, Settings},
    rooms::Intent,
    store::{Recovered, Volatile},
};

fn ann() -> Subject {
    Subject::new("ann").expect("a subject")
}

fn journal_of(records: BTreeMap<CallKey, CallRecord>) -> Journal {
    let retention = Retention { age: KEPT, entries: 100, bytes: 1 << 20 };
    let settings = Settings { key: CursorKey::new(&[1; 32]), retention, shards: Some(1) };
    let hub = Hub::start(Recovered::nothing(), Volatile, settings, SystemTime::now(), Instant::now());
    Journal::new(Arc::new(hub), records, Arc::new(SystemTime::now))
}

fn journal() -> Journal {
    journal_of(BTreeMap::new())
}

fn call(subject: &Subject, id: u128, asked: &str) -> Call {
    let deadline = Instant::now() + Duration::from_secs(60);
    Call::new(subject, Uuid::from_u128(id), "SendMessage", &asked.to_owned(), deadline)
}

fn message(number: usize) -> SendMessageResponse {
    SendMessageResponse { message_id: number.to_string(), ..Default::default() }
}

/// Work that counts how often it was done.
fn count(done: &AtomicUsize) -> SendMessageResponse {
    message(done.fetch_add(1, Ordering::SeqCst))
}

async fn ask(journal: &Journal, call: Call, done: &Arc<AtomicUsize>) -> Result<String, Failure> {
    let done = Arc::clone(done);
    let answer = journal.once(call, |_, _| async move { Ok(count(&done)) }).await;
    answer.map(|answer: SendMessageResponse| answer.message_id)
}

fn records_of(journal: &Journal) -> BTreeMap<CallKey, CallRecord> {
    let resting = |(key, entry): (&CallKey, &Entry)| match entry {
        Entry::Resting(record) => Some((*key, record.as_ref().clone())),
        Entry::UnderWay { .. } => None,
    };
    locked(&journal.calls).made.iter().filter_map(resting).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_answer_and_does_nothing() {
    let (journal, done) = (journal(), Arc::default());
    let both = tokio::join!(ask(&journal, call(&ann(), 1, "a"), &done), ask(&journal, call(&ann(), 1, "a"), &done));
    assert_eq!((both.0.expect("answered"), both.1.expect("answered")), ("0".to_owned(), "0".to_owned()));
    assert_eq!(ask(&journal, call(&ann(), 1, "a"), &done).await.expect("answered"), "0");
    let bob = Subject::new("bob").expect("a subject");
    assert_eq!(ask(&journal, call(&bob, 1, "a"), &done).await.expect("answered"), "1", "ids are each subject's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_a_restart_gets_the_first_answer_too() {
    let (journal, done) = (journal(), Arc::default());
    ask(&journal, call(&ann(), 1, "a"), &done).await.expect("answered");
    let stored = records_of(&journal).into_iter().map(|(key, record)| (key, record.to_bytes()));
    let read = stored.map(|(key, bytes)| (key, CallRecord::from_bytes(&bytes).expect("reads")));
    let next = journal_of(read.collect());
    assert_eq!(ask(&next, call(&ann(), 1, "a"), &done).await.expect("answered"), "0");
    let failure = ask(&next, call(&ann(), 1, "b"), &done).await.expect_err("reused");
    assert_eq!(failure.reason(), Reason::RequestIdReused);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_other_fields_is_an_error_also_while_it_is_under_way() {
    let (journal, done) = (journal(), Arc::default());
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let work = |_, _| async move {
        released.await.expect("released");
        Ok(message(7))
    };
    let first = journal.once(call(&ann(), 1, "a"), work);
    let other = async {
        let failure = ask(&journal, call(&ann(), 1, "b"), &done).await.expect_err("reused");
        release.send(()).expect("the work waits");
        failure.reason()
    };
    let (first, other) = tokio::join!(first, other);
    assert_eq!((first.expect("answered").message_id.as_str(), other), ("7", Reason::RequestIdReused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_and_leaves_nothing() {
    let (journal, done) = (journal(), Arc::default());
    let failing = |_, _| async { Err::<SendMessageResponse, _>(Failure::new(Reason::DiscordUnavailable, "no")) };
    journal.once(call(&ann(), 1, "a"), failing).await.expect_err("fails");
    assert!(records_of(&journal).is_empty());
    assert_eq!(ask(&journal, call(&ann(), 1, "a"), &done).await.expect("answered"), "0");
}

fn intent() -> Intent {
    crate::rooms::sample_intent()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_broken_off_is_taken_up_where_it_stood() {
    let journal = journal();
    let hub = Arc::clone(&journal.hub);
    let breaks_off = move |ticket: Ticket, before: Option<Progress>| async move {
        assert_eq!(before, None);
        let keep = move |draft: &mut Draft<'_>| ticket.keep(draft, Progress::Creating(intent()));
        hub.act(SystemTime::now(), keep).await.expect("the hub is open");
        Err::<SendMessageResponse, _>(Failure::new(Reason::CreateOutcomeUnknown, "no answer"))
    };
    let call = call(&ann(), 1, "a");
    journal.once(call, breaks_off).await.expect_err("fails");
    let broken_off = journal.broken_off();
    assert_eq!(broken_off, [(call.key, Progress::Creating(intent()))]);
    // The caller repeats it, or Parlor takes it up: never both.
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    journal.take_up(call.key, |_, before| async move {
        assert_eq!(before, Progress::Creating(intent()));
        released.await.expect("released");
        Ok(message(3))
    });
    assert_eq!(journal.broken_off(), []);
    journal.take_up::<SendMessageResponse, _>(call.key, |_, _| async { panic!("somebody else has") });
    release.send(()).expect("the work waits");
    let never = |_, _| async { panic!("it is under way") };
    let answer: SendMessageResponse = journal.once(call, never).await.expect("answered");
    assert_eq!(answer.message_id, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_panicked_is_taken_up_where_it_stood() {
    let journal = journal();
    let hub = Arc::clone(&journal.hub);
    let panics = move |ticket: Ticket, _| async move {
        let keep = move |draft: &mut Draft<'_>| ticket.keep(draft, Progress::Creating(intent()));
        hub.act(SystemTime::now(), keep).await.expect("the hub is open");
        panic!("a bug, on purpose")
    };
    let call = call(&ann(), 1, "a");
    let failure = journal.once::<SendMessageResponse, _>(call, panics).await.expect_err("fails");
    assert_eq!(failure.reason(), Reason::Internal);
    let goes_on = |_, before| async move {
        assert_eq!(before, Some(Progress::Creating(intent())));
        Ok(message(1))
    };
    assert_eq!(journal.once(call, goes_on).await.expect("answered").message_id, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_does_not_stop_the_work_and_time_that_is_over_is_said() {
    let journal = journal();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let work = |_, _| async move {
        released.await.expect("released");
        Ok(message(7))
    };
    let hasty = Call { deadline: Instant::now(), ..call(&ann(), 1, "a") };
    let failure = journal.once(hasty, work).await.expect_err("there is no time");
    assert_eq!(failure.reason(), Reason::DeadlineExceeded);
    release.send(()).expect("the work still waits");
    let never = |_, _| async { panic!("it is under way") };
    let answer: SendMessageResponse = journal.once(call(&ann(), 1, "a"), never).await.expect("answered");
    assert_eq!(answer.message_id, "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_kept_for_a_day() {
    let (day_old, younger) = (SystemTime::now() - KEPT, SystemTime::now() - KEPT / 2);
    let record = |at| {
        let request = RequestHash::of("SendMessage", &"a".to_owned());
        let answer = Bytes::from(message(5).encode_to_vec());
        CallRecord { request, at, progress: Progress::Answered(answer) }
    };
    let (old, young) = (call(&ann(), 1, "a"), call(&ann(), 2, "a"));
    let journal = journal_of(BTreeMap::from([(old.key, record(day_old)), (young.key, record(younger))]));
    let done = Arc::default();
    assert_eq!(ask(&journal, young, &done).await.expect("kept"), "5");
    ask(&journal, call(&ann(), 3, "a"), &done).await.expect("answered");
    assert!(!records_of(&journal).contains_key(&old.key), "it is forgotten");
    assert!(records_of(&journal).contains_key(&young.key));
}
