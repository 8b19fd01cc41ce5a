//! Who keeps a session. Pure: time comes in.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::session::Session;
use crate::auth::Subject;

/// A lease as a caller asks for it.
#[derive(Clone, Debug)]
pub struct LeaseTerms {
    /// Its id. One that is there is renewed.
    pub id: Uuid,
    /// Whose it is.
    pub subject: Subject,
    /// How long it lasts while no stream names it.
    pub duration: Duration,
}

/// The leases of one session.
#[derive(Debug, Default)]
pub(super) struct Leases {
    leases: BTreeMap<Uuid, Lease>,
    /// The last one ended: nobody may take another.
    closed: bool,
}

#[derive(Debug)]
struct Lease {
    subject: Subject,
    duration: Duration,
    until: Instant,
    /// Open streams that name it.
    held: usize,
}

/// There is no lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NotLeased {
    /// The session is about to end.
    TooLate,
    /// There is a lease of this id, of another subject.
    OfAnother,
}

impl Leases {
    /// Gives a lease, or renews it. Returns when it ends.
    pub(super) fn take(&mut self, terms: LeaseTerms, now: Instant) -> Result<Instant, NotLeased> {
        if self.closed {
            return Err(NotLeased::TooLate);
        }
        let LeaseTerms { id, subject, duration } = terms;
        if self.leases.get(&id).is_some_and(|lease| lease.subject != subject) {
            return Err(NotLeased::OfAnother);
        }
        let until = now + duration;
        let lease = self.leases.entry(id).or_insert(Lease { subject, duration, until, held: 0 });
        (lease.duration, lease.until) = (duration, until);
        Ok(until)
    }

    /// Whether there is such a lease of this subject.
    pub(super) fn has(&self, id: Uuid, subject: &Subject) -> bool {
        self.leases.get(&id).is_some_and(|lease| lease.subject == *subject)
    }

    /// Gives a lease back. False where there is none of this subject.
    pub(super) fn give_back(&mut self, id: Uuid, subject: &Subject) -> bool {
        self.has(id, subject) && self.leases.remove(&id).is_some()
    }

    fn hold(&mut self, id: Uuid, subject: &Subject) -> bool {
        let lease = self.leases.get_mut(&id).filter(|lease| lease.subject == *subject);
        lease.map(|lease| lease.held += 1).is_some()
    }

    fn let_go(&mut self, id: Uuid, now: Instant) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.held -= 1;
            lease.until = now + lease.duration;
        }
    }

    /// Ends what has run out. Says whether nobody keeps the session any more; nobody can then.
    pub(super) fn run_out(&mut self, now: Instant) -> bool {
        self.leases.retain(|_, lease| lease.held > 0 || now < lease.until);
        self.closed |= self.leases.is_empty();
        self.closed
    }

    /// When [`run_out`](Self::run_out) has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.leases.values().filter(|lease| lease.held == 0).map(|lease| lease.until).min()
    }

    /// Every lease as it was asked for, to be taken up again.
    pub(super) fn terms(&self) -> Vec<LeaseTerms> {
        let terms = |(id, lease): (&Uuid, &Lease)| LeaseTerms {
            id: *id,
            subject: lease.subject.clone(),
            duration: lease.duration,
        };
        self.leases.iter().map(terms).collect()
    }

    /// The subject of one of them.
    pub(super) fn subject(&self) -> Option<&Subject> {
        self.leases.values().next().map(|lease| &lease.subject)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }
}

/// Keeps a lease for as long as a stream is open.
#[derive(Debug)]
pub struct LeaseHold {
    session: Arc<Session>,
    id: Uuid,
}

impl LeaseHold {
    /// Holds a subject's lease of a session. None where there is no such lease.
    pub fn new(session: &Arc<Session>, id: Uuid, subject: &Subject) -> Option<Self> {
        let held = session.shared().leases.hold(id, subject);
        held.then(|| Self { session: Arc::clone(session), id })
    }
}

impl Drop for LeaseHold {
    fn drop(&mut self) {
        self.session.shared().leases.let_go(self.id, Instant::now());
        self.session.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn terms(id: u128, subject: &str) -> LeaseTerms {
        LeaseTerms { id: Uuid::from_u128(id), subject: Subject::new(subject).expect("a subject"), duration: MINUTE }
    }

    #[test]
    fn a_session_is_kept_until_the_last_lease_is_over() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.take(terms(1, "ann"), start).expect("open");
        leases.take(terms(2, "bob"), start + MINUTE / 2).expect("open");
        assert!(!leases.run_out(start + MINUTE));
        assert_eq!((leases.len(), leases.due()), (1, Some(start + MINUTE * 3 / 2)));
        leases.take(terms(2, "bob"), start + MINUTE).expect("renewed");
        assert!(!leases.run_out(start + MINUTE * 3 / 2));
        assert!(leases.run_out(start + MINUTE * 2));
        assert_eq!(leases.take(terms(3, "ann"), start + MINUTE * 2), Err(NotLeased::TooLate), "nobody revives it");
    }

    #[test]
    fn a_lease_that_is_held_does_not_end() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        let ann = terms(1, "ann");
        leases.take(ann.clone(), start).expect("open");
        assert!(leases.hold(ann.id, &ann.subject));
        assert!(!leases.run_out(start + MINUTE * 10));
        leases.let_go(ann.id, start + MINUTE * 10);
        assert!(!leases.run_out(start + MINUTE * 11 - Duration::from_secs(1)));
        assert!(leases.run_out(start + MINUTE * 11));
    }

    #[test]
    fn nobody_renews_the_lease_of_somebody_else() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.take(terms(1, "ann"), start).expect("open");
        assert_eq!(leases.take(terms(1, "bob"), start + MINUTE / 2), Err(NotLeased::OfAnother));
        assert_eq!((leases.len(), leases.due()), (1, Some(start + MINUTE)), "it lasts as long as before");
        assert!(leases.run_out(start + MINUTE));
    }

    #[test]
    fn nobody_gives_back_the_lease_of_somebody_else() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        let (ann, bob) = (terms(1, "ann"), terms(2, "bob"));
        leases.take(ann.clone(), start).expect("open");
        assert!(!leases.give_back(ann.id, &bob.subject) && !leases.hold(ann.id, &bob.subject));
        assert!(leases.give_back(ann.id, &ann.subject));
        assert!(leases.run_out(start));
    }
}
