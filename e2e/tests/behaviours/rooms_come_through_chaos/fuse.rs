//! Where a life of our process ends: at a step of its own, not at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// A step after which, or before which, the process is killed. Steps count from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kill {
    /// Something is stored, and nothing has come of that yet.
    AfterCommit(u64),
    /// A request is on its way to Discord, and never arrives.
    BeforeExchange(u64),
    /// Discord has done what it was asked for, and the answer never arrives.
    AfterExchange(u64),
}

/// Counts the steps of a life, and ends it at one of them.
#[derive(Debug, Default)]
pub(super) struct Fuse {
    kill: Option<Kill>,
    commits: AtomicU64,
    exchanges: AtomicU64,
    blown: AtomicBool,
    bell: Notify,
}

impl Fuse {
    pub(super) fn new(kill: Kill) -> Self {
        Self { kill: Some(kill), ..Self::default() }
    }

    /// How many commits and exchanges there were.
    pub(super) fn steps(&self) -> (u64, u64) {
        (self.commits.load(Ordering::SeqCst), self.exchanges.load(Ordering::SeqCst))
    }

    pub(super) fn is_blown(&self) -> bool {
        self.blown.load(Ordering::SeqCst)
    }

    /// Returns once the process is to be dead.
    pub(super) async fn blown(&self) {
        while !self.is_blown() {
            self.bell.notified().await;
        }
    }

    pub(super) fn after_commit(&self) {
        let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        self.reach(Kill::AfterCommit(number));
    }

    /// A request arrives at Discord, if the process that sent it is not dead. Returns which one it is.
    pub(super) async fn before_exchange(&self) -> u64 {
        let number = self.exchanges.fetch_add(1, Ordering::SeqCst) + 1;
        self.reach(Kill::BeforeExchange(number));
        self.go_on().await;
        number
    }

    /// Discord has answered this one.
    pub(super) async fn after_exchange(&self, number: u64) {
        self.reach(Kill::AfterExchange(number));
        self.go_on().await;
    }

    fn reach(&self, step: Kill) {
        if self.kill == Some(step) {
            self.blown.store(true, Ordering::SeqCst);
            self.bell.notify_one();
        }
    }

    /// What is dead does not go on.
    async fn go_on(&self) {
        if self.is_blown() {
            std::future::pending::<()>().await;
        }
    }
}
