//! How many streams there are, of whom.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::{
    auth::Principal,
    status::{Failure, Reason},
};

/// Counts open streams against two limits.
#[derive(Clone, Debug)]
pub struct StreamLimits {
    open: Arc<Mutex<Open>>,
    total: usize,
    per_subject: usize,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_subject: HashMap<String, usize>,
}

impl StreamLimits {
    /// So many streams in all, and so many of one subject.
    pub fn new(total: usize, per_subject: usize) -> Self {
        Self { open: Arc::default(), total, per_subject }
    }

    /// Counts one more stream of this caller, for as long as the answer lives.
    pub(super) fn enter(&self, caller: &Arc<Principal>) -> Result<Seat, Failure> {
        let subject = &caller.subject;
        let mut open = self.open.lock().expect("nothing panics while it holds this lock");
        let mine = open.by_subject.get(subject.as_str()).copied().unwrap_or(0);
        if open.total >= self.total || mine >= self.per_subject {
            let message = format!(
                "{mine} streams of this subject and {} in all are open: close one, or watch several guilds over one stream",
                open.total
            );
            let (whose, most) =
                if mine >= self.per_subject { ("subject", self.per_subject) } else { ("server", self.total) };
            let failure = Failure::new(Reason::TooManyStreams, message).quota(whose, format!("{most} streams at once"));
            return Err(failure.retry_after(std::time::Duration::from_secs(5)));
        }
        open.total += 1;
        *open.by_subject.entry(subject.as_str().to_owned()).or_default() += 1;
        metrics::gauge!("parlor_streams").set(open.total as f64);
        Ok(Seat { open: Arc::clone(&self.open), caller: Arc::clone(caller) })
    }
}

/// The place of one open stream.
#[derive(Debug)]
pub(super) struct Seat {
    open: Arc<Mutex<Open>>,
    caller: Arc<Principal>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.open.lock().expect("nothing panics while it holds this lock");
        open.total -= 1;
        if let Some(mine) = open.by_subject.get_mut(self.caller.subject.as_str()) {
            *mine -= 1;
            if *mine == 0 {
                open.by_subject.remove(self.caller.subject.as_str());
            }
        }
        metrics::gauge!("parlor_streams").set(open.total as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::auth::{GuildGrant, ScopeSet, Subject};

    #[test]
    fn a_seat_is_free_again_when_its_stream_is_gone() {
        let limits = StreamLimits::new(3, 2);
        let [ann, bob] = ["ann", "bob"].map(|name| {
            Arc::new(Principal {
                subject: Subject::new(name).expect("a subject"),
                guilds: GuildGrant::All,
                scopes: ScopeSet::default(),
                expires_at: SystemTime::UNIX_EPOCH,
            })
        });
        let first = limits.enter(&ann).expect("room");
        let _second = limits.enter(&ann).expect("room");
        let refused = limits.enter(&ann).expect_err("two are hers");
        assert_eq!(refused.reason(), Reason::TooManyStreams);
        assert_eq!(refused.named_details(), ["QuotaFailure: 2 streams at once", "RetryInfo"]);
        let _third = limits.enter(&bob).expect("room");
        let refused = limits.enter(&bob).expect_err("three are all");
        assert_eq!(refused.named_details(), ["QuotaFailure: 3 streams at once", "RetryInfo"]);
        drop(first);
        let _fourth = limits.enter(&ann).expect("room again");
    }
}
