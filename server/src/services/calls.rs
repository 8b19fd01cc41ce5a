//! Calls that are safe to repeat: the first answer per (subject, request id) is kept and given again.
//!
//! The work runs in a task of its own. A caller who hangs up loses the answer and not the outcome, and whoever repeats
//! the call while it runs waits for the same answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    auth::Subject,
    status::{Failure, Reason},
};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How many answers are kept at most; beyond that the oldest go first.
const MOST: usize = 100_000;

type Answer<T> = Option<Result<T, Failure>>;
type Key = (String, Uuid);

/// The calls that were made, with their answers.
#[derive(Debug)]
pub(super) struct Calls<T> {
    made: Arc<Mutex<HashMap<Key, Call<T>>>>,
}

#[derive(Debug)]
struct Call<T> {
    request: String,
    at: Instant,
    answer: watch::Receiver<Answer<T>>,
}

impl<T> Default for Calls<T> {
    fn default() -> Self {
        Self { made: Arc::default() }
    }
}

impl<T: Clone + Send + Sync + 'static> Calls<T> {
    /// Does `work` once for this subject and id, and gives its answer to everybody who asks. `request` is what the
    /// caller asked for: the same id with something else is an error.
    ///
    /// Failures are forgotten, so that a repeat tries again; except for those whose outcome is unknown, because a
    /// second try could do the thing twice.
    pub(super) async fn once(
        &self,
        subject: &Subject,
        id: Uuid,
        request: String,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let key = (subject.as_str().to_owned(), id);
        let mut answer = self.join_or_start(key, request, work)?;
        let settled = answer.wait_for(Option::is_some).await;
        match settled.ok().and_then(|answer| answer.clone()) {
            Some(answer) => answer,
            None => Err(Failure::new(Reason::Internal, "the call ended without an answer")),
        }
    }

    fn join_or_start(
        &self,
        key: Key,
        request: String,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<watch::Receiver<Answer<T>>, Failure> {
        let now = Instant::now();
        let mut made = self.made.lock().expect("nothing panics while it holds this lock");
        // A call whose work panicked has no answer and never will: the next one tries again.
        let given_up = |call: &Call<T>| call.answer.has_changed().is_err() && call.answer.borrow().is_none();
        if let Some(call) = made.get(&key).filter(|call| !given_up(call)) {
            if call.request == request {
                return Ok(call.answer.clone());
            }
            let message = "this request_id was used before with other fields: use a new one";
            return Err(Failure::new(Reason::RequestIdReused, message));
        }
        if made.len() >= MOST {
            made.retain(|_, call| now.duration_since(call.at) < KEPT);
            if made.len() >= MOST {
                let oldest = made.iter().min_by_key(|(_, call)| call.at).map(|(key, _)| key.clone());
                made.remove(&oldest.expect("there are many"));
            }
        }
        let (tell, answer) = watch::channel(None);
        made.insert(key.clone(), Call { request, at: now, answer: answer.clone() });
        let forget = Arc::clone(&self.made);
        tokio::spawn(async move {
            let answer = work.await;
            let keep = match &answer {
                Ok(_) => true,
                Err(failure) => failure.reason() == Reason::CreateOutcomeUnknown,
            };
            if !keep {
                forget.lock().expect("nothing panics while it holds this lock").remove(&key);
            }
            tell.send_replace(Some(answer));
        });
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn ann() -> Subject {
        Subject::new("ann").expect("a subject")
    }

    #[tokio::test]
    async fn a_repeat_gets_the_first_answer_and_does_nothing() {
        let calls = Calls::default();
        let done = Arc::new(AtomicUsize::new(0));
        let work = || {
            let done = Arc::clone(&done);
            async move { Ok(done.fetch_add(1, Ordering::SeqCst)) }
        };
        let id = Uuid::new_v4();
        let ann = ann();
        let (first, second) =
            tokio::join!(calls.once(&ann, id, "a".into(), work()), calls.once(&ann, id, "a".into(), work()));
        assert_eq!((first.expect("answered"), second.expect("answered")), (0, 0));
        assert_eq!(calls.once(&ann, id, "a".into(), work()).await.expect("answered"), 0);
        let bob = Subject::new("bob").expect("a subject");
        let his = calls.once(&bob, id, "a".into(), work()).await.expect("answered");
        assert_eq!(his, 1, "ids are each subject's own");
    }

    #[tokio::test]
    async fn the_same_id_with_other_fields_is_an_error() {
        let calls = Calls::default();
        let id = Uuid::new_v4();
        calls.once(&ann(), id, "a".into(), async { Ok(()) }).await.expect("the first");
        let failure = calls.once(&ann(), id, "b".into(), async { Ok(()) }).await.expect_err("reused");
        assert_eq!(failure.reason(), Reason::RequestIdReused);
    }

    #[tokio::test]
    async fn a_failure_is_tried_again_and_an_unknown_outcome_is_not() {
        let calls: Calls<u8> = Calls::default();
        let failing = |reason| async move { Err(Failure::new(reason, "no")) };
        let id = Uuid::new_v4();
        calls.once(&ann(), id, "a".into(), failing(Reason::DiscordUnavailable)).await.expect_err("fails");
        calls.once(&ann(), id, "a".into(), failing(Reason::CreateOutcomeUnknown)).await.expect_err("fails");
        let kept = calls.once(&ann(), id, "a".into(), async { Ok(1) }).await.expect_err("kept");
        assert_eq!(kept.reason(), Reason::CreateOutcomeUnknown);
    }

    #[tokio::test]
    async fn a_call_that_panicked_is_tried_again() {
        let calls: Calls<u8> = Calls::default();
        let id = Uuid::new_v4();
        let failure =
            calls.once(&ann(), id, "a".into(), async { panic!("a bug, on purpose") }).await.expect_err("fails");
        assert_eq!(failure.reason(), Reason::Internal);
        assert_eq!(calls.once(&ann(), id, "a".into(), async { Ok(1) }).await.expect("answered"), 1);
    }

    #[tokio::test]
    async fn hanging_up_does_not_stop_the_work() {
        let calls = Calls::default();
        let (release, released) = tokio::sync::oneshot::channel::<u8>();
        let id = Uuid::new_v4();
        let work = async move { Ok(released.await.expect("released")) };
        let subject = ann();
        let first = calls.once(&subject, id, "a".into(), work);
        tokio::select! {
            biased;
            _ = first => panic!("it cannot be done yet"),
            () = tokio::task::yield_now() => {}
        }
        release.send(7).expect("the work still waits");
        assert_eq!(calls.once(&ann(), id, "a".into(), async { Ok(8) }).await.expect("answered"), 7);
    }
}
