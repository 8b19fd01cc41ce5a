//! The delivery service of one call: who should come and go, which commit counts, when everybody changes keys (DAVE
//! protocol, "Delivery Service" and "Voice Gateway").
//!
//! ```text
//!             first commit of a group                     a commit: epoch + 1
//! Gathering ──────────────────────────► Established ◄──────────────┐
//!     ▲                                    │     └─────────────────┘
//!     └── one client left, nobody to commit, a downgrade, a fault ┘
//! ```
//! Around it stands whether the call is encrypted at all ([`Protection`]), which changes when clients come and go that
//! cannot be.

mod commit;
mod group;
mod proposer;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlor_voice_wire::gateway::{
    ExecuteTransition, PrepareEpoch, PrepareTransition, ProposalsOperation, ServerMessage,
};
use parlor_voice_wire::{ProtocolVersion, TransitionId};

use commit::CommitWelcome;
use group::{Change, Group, Outstanding};
use proposer::Proposer;

use super::message::{DaveMessage, Message};
use crate::stats::VoiceStats;
use crate::world::{ChannelId, Timestamp, UserId};

/// Whether a call is end-to-end encrypted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protection {
    /// It is, or will be as soon as there are two.
    Encrypted,
    /// It is until this transition is executed.
    Falling(TransitionId),
    /// It is not: somebody cannot.
    Plain,
    /// It is not until the group that is being made executes its first transition.
    Rising,
}

/// Everybody changes together.
#[derive(Debug)]
struct Transition {
    everybody: BTreeSet<UserId>,
    waiting: BTreeSet<UserId>,
    until: Timestamp,
}

/// The delivery service of one call. What it says waits in [`Delivery::drain`].
#[derive(Debug)]
pub(super) struct Delivery {
    proposer: Proposer,
    patience: Duration,
    protection: Protection,
    group: Group,
    /// Clients that have had Session Description, and the DAVE version that each one speaks.
    present: BTreeMap<UserId, ProtocolVersion>,
    /// Who has been sent op 25.
    introduced: BTreeSet<UserId>,
    transitions: BTreeMap<TransitionId, Transition>,
    next_id: u16,
    /// Resets that a fault still wants.
    storm: u32,
    /// Transitions executed and not yet counted.
    executed: u64,
    said: Vec<(UserId, Message)>,
}

impl Delivery {
    pub(super) fn new(channel: ChannelId, seed: [u8; 32], patience: Duration) -> Self {
        Self {
            proposer: Proposer::new(channel, seed),
            patience,
            protection: Protection::Encrypted,
            group: Group::default(),
            present: BTreeMap::new(),
            introduced: BTreeSet::new(),
            transitions: BTreeMap::new(),
            next_id: 1,
            storm: 0,
            executed: 0,
            said: Vec::new(),
        }
    }

    /// Takes what has to be said, to whom, in order, and counts what was executed.
    pub(super) fn drain(&mut self, stats: &mut VoiceStats) -> Vec<(UserId, Message)> {
        stats.transitions += std::mem::take(&mut self.executed);
        std::mem::take(&mut self.said)
    }

    /// Transitions that somebody is not ready for.
    pub(super) fn pending(&self) -> u64 {
        self.transitions.len() as u64
    }

    /// The version that the call has or is about to have.
    pub(super) const fn version(&self) -> ProtocolVersion {
        match self.protection {
            Protection::Encrypted | Protection::Rising => ProtocolVersion::V1,
            Protection::Falling(_) | Protection::Plain => ProtocolVersion::NONE,
        }
    }

    /// A client is about to get its Session Description; returns the version for it. What it is told itself comes
    /// after, with [`introduce`](Self::introduce).
    pub(super) fn enters(&mut self, user: UserId, speaks: ProtocolVersion, now: Timestamp) -> ProtocolVersion {
        self.leaves(user, now);
        let is_first = self.present.is_empty();
        let encrypts = speaks >= ProtocolVersion::V1;
        if !encrypts && is_first {
            self.protection = Protection::Plain;
        } else if !encrypts && matches!(self.protection, Protection::Encrypted | Protection::Rising) {
            self.fall(now);
        }
        self.present.insert(user, speaks);
        self.version()
    }

    /// Op 25, to a client whose Session Description said version 1: clients look at no binary frame before.
    pub(super) fn introduce(&mut self, user: UserId) {
        if self.introduced.insert(user) {
            let package = self.proposer.external_sender();
            self.say(user, Message::Dave(DaveMessage::ExternalSender(package)));
        }
    }

    /// A client is gone.
    pub(super) fn leaves(&mut self, user: UserId, now: Timestamp) {
        if self.present.remove(&user).is_none() {
            return;
        }
        self.introduced.remove(&user);
        for transition in self.transitions.values_mut() {
            transition.everybody.remove(&user);
            transition.waiting.remove(&user);
        }
        match self.protection {
            Protection::Encrypted | Protection::Rising => self.loses(user),
            Protection::Falling(_) => {}
            Protection::Plain => self.rise_if_all_can(),
        }
        self.execute(now);
    }

    /// Op 26. Whether the key package is sound.
    pub(super) fn key_package(&mut self, user: UserId, bytes: &[u8]) -> bool {
        if !matches!(self.protection, Protection::Encrypted | Protection::Rising) {
            // It was sent before the client heard of the downgrade.
            return true;
        }
        let Ok(candidate) = self.proposer.candidate(user, bytes) else { return false };
        if self.group.candidate(user).is_some_and(|before| before.is_made_of(bytes)) {
            return true;
        }
        self.withdraw(user);
        if self.group.is_staying(user) {
            // It has begun anew by itself.
            self.propose(Change::Remove(user));
        }
        match &self.group {
            Group::Gathering(_) => {
                let theirs = self.group.outstanding_for(user);
                self.propose_candidate(user, candidate);
                if !theirs.is_empty() {
                    self.say_proposals(user, ProposalsOperation::Append, &theirs);
                }
            }
            Group::Established(_) => self.propose_candidate(user, candidate),
        }
        true
    }

    /// Op 28. The first that is sound and complete counts; others of the same epoch are too late.
    pub(super) fn commit(&mut self, user: UserId, bytes: &[u8], stats: &mut VoiceStats, now: Timestamp) {
        let Ok(sent) = CommitWelcome::read(bytes) else {
            stats.commits_refused += 1;
            return;
        };
        if sent.group != self.proposer.group() || !self.group.accepts(user, &sent) {
            stats.commits_refused += 1;
            return;
        }
        stats.commits += 1;
        let is_first = matches!(self.group, Group::Gathering(_));
        let is_initial = is_first && self.protection == Protection::Encrypted;
        let id = if is_initial { TransitionId::INITIAL } else { self.take_id() };
        let (existing, added) = self.group.advance(user, &sent.proposals);
        for member in existing {
            self.say(member, Message::Dave(DaveMessage::AnnounceCommit(id, sent.commit.to_vec())));
        }
        for member in added {
            self.say(member, Message::Dave(DaveMessage::Welcome(id, sent.welcome.to_vec())));
        }
        if is_initial {
            self.executed += 1;
        } else {
            self.protection = Protection::Encrypted;
            self.begin(id, self.group.members(), now);
        }
        self.execute(now);
    }

    /// Op 23.
    pub(super) fn ready(&mut self, user: UserId, id: TransitionId, now: Timestamp) {
        if let Some(transition) = self.transitions.get_mut(&id) {
            transition.waiting.remove(&user);
        }
        self.execute(now);
    }

    /// Op 31: the client could not use what it got. It goes, and comes again with its next key package.
    pub(super) fn invalid(&mut self, user: UserId) {
        self.withdraw(user);
        if self.group.is_staying(user) {
            self.propose(Change::Remove(user));
        }
    }

    /// Time passed: nobody is waited for longer than that.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.execute(now);
    }

    /// A fault: the group begins anew so many times, each time as soon as it has come to rest.
    pub(super) fn storm(&mut self, times: u32, now: Timestamp) {
        self.storm += times;
        self.execute(now);
    }

    /// Executes the transitions that everybody is ready for, or has had time to be.
    fn execute(&mut self, now: Timestamp) {
        let is_due = |transition: &Transition| transition.waiting.is_empty() || now >= transition.until;
        let due: Vec<TransitionId> =
            self.transitions.iter().filter(|(_, transition)| is_due(transition)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(transition) = self.transitions.remove(&id) else { continue };
            self.executed += 1;
            for user in transition.everybody {
                let execute = ExecuteTransition { transition_id: id };
                self.say(user, Message::Text(ServerMessage::ExecuteTransition(execute)));
            }
            if self.protection == Protection::Falling(id) {
                self.protection = Protection::Plain;
                self.rise_if_all_can();
            }
        }
        let everybody_is_in = self.present.keys().all(|user| self.group.is_staying(*user));
        let is_calm = self.transitions.is_empty() && self.group.is_at_rest() && everybody_is_in;
        if self.storm > 0 && is_calm && self.protection == Protection::Encrypted {
            self.storm -= 1;
            self.begin_anew();
        }
    }

    /// Somebody came who cannot encrypt: everybody stops, together.
    fn fall(&mut self, now: Timestamp) {
        let id = self.take_id();
        self.group = Group::default();
        self.protection = Protection::Falling(id);
        let everybody: BTreeSet<UserId> = self.present.keys().copied().collect();
        for user in &everybody {
            let prepare = PrepareTransition { transition_id: id, protocol_version: ProtocolVersion::NONE };
            self.say(*user, Message::Text(ServerMessage::PrepareTransition(prepare)));
        }
        self.begin(id, everybody, now);
    }

    /// Nobody is left who cannot encrypt: everybody makes a group.
    fn rise_if_all_can(&mut self) {
        let all_can = self.present.values().all(|speaks| *speaks >= ProtocolVersion::V1);
        if all_can && !self.present.is_empty() {
            self.protection = Protection::Rising;
            self.begin_anew();
        } else if self.present.is_empty() {
            self.protection = Protection::Encrypted;
        }
    }

    /// Op 24 with epoch 1, to everybody: forget the group, and send a key package.
    fn begin_anew(&mut self) {
        self.group = Group::default();
        self.transitions.clear();
        for user in self.present.keys().copied().collect::<Vec<_>>() {
            let epoch = PrepareEpoch { protocol_version: ProtocolVersion::V1, epoch: 1 };
            self.say(user, Message::Text(ServerMessage::PrepareEpoch(epoch)));
            self.introduce(user);
        }
    }

    /// A client that could encrypt is gone.
    fn loses(&mut self, user: UserId) {
        self.withdraw(user);
        if matches!(self.group, Group::Gathering(_)) {
            return;
        }
        let present: Vec<UserId> = self.present.keys().copied().collect();
        match present.as_slice() {
            [] => self.group = Group::default(),
            [last] => {
                // Sole member reset.
                self.begin_anew();
                let (transition_id, protocol_version) = (TransitionId::INITIAL, ProtocolVersion::V1);
                let prepare = PrepareTransition { transition_id, protocol_version };
                self.say(*last, Message::Text(ServerMessage::PrepareTransition(prepare)));
            }
            [_, ..] if self.group.is_staying(user) => self.propose(Change::Remove(user)),
            [_, ..] => {}
        }
    }

    fn propose_candidate(&mut self, user: UserId, candidate: proposer::Candidate) {
        let proposal = self.proposer.add(&candidate, self.group.epoch());
        let outstanding = Outstanding { change: Change::Add(user), proposal };
        for member in self.group.listeners(user) {
            self.say_proposals(member, ProposalsOperation::Append, std::slice::from_ref(&outstanding));
        }
        self.group.take_in(user, candidate, outstanding);
    }

    fn propose(&mut self, change: Change) {
        let Change::Remove(user) = change else { return };
        let Some(leaf) = self.group.leaf(user) else { return };
        let outstanding = Outstanding { change, proposal: self.proposer.remove(leaf, self.group.epoch()) };
        self.group.add_outstanding(outstanding.clone());
        let listeners = self.group.listeners(user);
        if listeners.is_empty() {
            // Nobody is left who could commit.
            return self.begin_anew();
        }
        for member in listeners {
            self.say_proposals(member, ProposalsOperation::Append, std::slice::from_ref(&outstanding));
        }
    }

    /// Takes back what was proposed for a user who is not in the group.
    fn withdraw(&mut self, user: UserId) {
        let Some(revoked) = self.group.withdraw(user) else { return };
        for member in self.group.listeners(user) {
            self.say_proposals(member, ProposalsOperation::Revoke, std::slice::from_ref(&revoked));
        }
    }

    fn say_proposals(&mut self, user: UserId, operation: ProposalsOperation, proposals: &[Outstanding]) {
        let listed: Vec<u8> = proposals
            .iter()
            .flat_map(|outstanding| match operation {
                ProposalsOperation::Append => outstanding.proposal.message.clone(),
                ProposalsOperation::Revoke => proposer::vector(&outstanding.proposal.reference),
            })
            .collect();
        self.say(user, Message::Dave(DaveMessage::Proposals(operation, proposer::vector(&listed))));
    }

    fn take_id(&mut self) -> TransitionId {
        let id = TransitionId::new(self.next_id);
        // 0 is the initial transition's.
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        id
    }

    fn begin(&mut self, id: TransitionId, everybody: BTreeSet<UserId>, now: Timestamp) {
        let waiting = everybody.clone();
        self.transitions.insert(id, Transition { everybody, waiting, until: now + self.patience });
    }

    fn say(&mut self, user: UserId, message: Message) {
        if self.present.contains_key(&user) {
            self.said.push((user, message));
        }
    }
}
