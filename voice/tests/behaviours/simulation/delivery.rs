//! The delivery service: proposes who comes and goes, chooses one commit for each epoch, and paces transitions (DAVE
//! protocol, "Delivery Service"). Pure: what it says is returned.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use parlor_voice_wire::{ProtocolVersion, TransitionId};

use crate::fake_group::{FakeCommit, Proposal, bytes, proposals};

/// How long members may take to be ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something said to a user.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Append(Vec<u8>),
    Revoke(Vec<u8>),
    Commit(TransitionId, Vec<u8>),
    Welcome(TransitionId, Vec<u8>),
    Prepare(TransitionId, ProtocolVersion),
    Execute(TransitionId),
    Epoch,
}

#[derive(Debug)]
struct Transition {
    version: ProtocolVersion,
    waiting: BTreeSet<u64>,
    all: BTreeSet<u64>,
    until: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) version: u16,
    /// The epoch of the group; 0 before there is one.
    epoch: u64,
    members: BTreeMap<u64, u64>,
    /// Key packages of users who are not members.
    candidates: BTreeMap<u64, u64>,
    outstanding: Vec<Proposal>,
    transitions: BTreeMap<TransitionId, Transition>,
    next_id: u16,
    /// Whether the group that is being made replaces a call in the clear.
    upgrading: bool,
    /// Transitions that were executed, initial ones included.
    pub(crate) executed: u32,
    pub(crate) said: Vec<(u64, Said)>,
}

impl Delivery {
    pub(crate) fn new(version: ProtocolVersion) -> Self {
        Self { version: version.get(), next_id: 1, ..Self::default() }
    }

    /// Whether nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        let grouped = self.version == 0 || (self.epoch > 0 && self.candidates.is_empty());
        grouped && self.outstanding.is_empty() && self.transitions.is_empty() && !self.upgrading
    }

    pub(crate) fn is_member(&self, user: u64) -> bool {
        self.epoch > 0 && self.members.contains_key(&user)
    }

    fn say(&mut self, user: u64, said: Said) {
        self.said.push((user, said));
    }

    /// Members who are not to be removed.
    fn staying(&self) -> Vec<u64> {
        let leaves = |user: &u64| self.outstanding.contains(&Proposal::Remove { user: *user });
        self.members.keys().copied().filter(|user| !leaves(user)).collect()
    }

    fn propose(&mut self, proposal: Proposal) {
        self.outstanding.push(proposal);
        let message = proposals(self.epoch, &[proposal]);
        for user in self.staying() {
            self.say(user, Said::Append(message.clone()));
        }
    }

    fn revoke(&mut self, user: u64) {
        let revoked: Vec<Proposal> = self
            .outstanding
            .iter()
            .copied()
            .filter(|proposal| matches!(proposal, Proposal::Add { user: added, .. } if *added == user))
            .collect();
        self.outstanding.retain(|proposal| !revoked.contains(proposal));
        for proposal in revoked {
            let Proposal::Add { user, package } = proposal else { continue };
            for member in self.staying() {
                self.say(member, Said::Revoke(bytes(&[0, user, package])));
            }
        }
    }

    /// Op 26.
    pub(crate) fn key_package(&mut self, user: u64, package: u64) {
        // A member who offers another has lost the group, even if word of that came before the user was one.
        if self.epoch > 0 && self.members.get(&user).is_some_and(|member| *member != package) {
            self.invalid(user);
        }
        if self.epoch > 0 {
            self.revoke(user);
            self.candidates.insert(user, package);
            self.propose(Proposal::Add { user, package });
            return;
        }
        if let Some(before) = self.candidates.insert(user, package) {
            self.tell_others(user, &Said::Revoke(bytes(&[0, user, before])));
        }
        self.tell_others(user, &Said::Append(proposals(0, &[Proposal::Add { user, package }])));
        let others: Vec<Proposal> = self.adds_of_others(user);
        if !others.is_empty() {
            self.say(user, Said::Append(proposals(0, &others)));
        }
    }

    fn adds_of_others(&self, user: u64) -> Vec<Proposal> {
        let others = self.candidates.iter().filter(|(other, _)| **other != user);
        others.map(|(user, package)| Proposal::Add { user: *user, package: *package }).collect()
    }

    fn tell_others(&mut self, user: u64, said: &Said) {
        let others: Vec<u64> = self.candidates.keys().copied().filter(|other| *other != user).collect();
        others.into_iter().for_each(|other| self.say(other, said.clone()));
    }

    /// Op 28. The first one that is sound wins.
    pub(crate) fn commit(&mut self, user: u64, commit: &FakeCommit, welcome: &[u8], now: Duration) {
        let sorted = |proposals: &[Proposal]| proposals.iter().copied().collect::<BTreeSet<_>>();
        if commit.epoch != self.epoch || commit.committer != user {
            return;
        }
        let expected = if self.epoch == 0 {
            if !self.candidates.contains_key(&user) {
                return;
            }
            self.adds_of_others(user)
        } else {
            if !self.staying().contains(&user) {
                return;
            }
            self.outstanding.clone()
        };
        if expected.is_empty() || sorted(&expected) != sorted(&commit.proposals) {
            return;
        }
        let first = self.epoch == 0;
        let mut existing = if first { vec![user] } else { self.staying() };
        if first {
            self.members = std::mem::take(&mut self.candidates);
        }
        let mut added = Vec::new();
        for proposal in &commit.proposals {
            match *proposal {
                Proposal::Remove { user } => drop(self.members.remove(&user)),
                Proposal::Add { user, package } => {
                    self.members.insert(user, package);
                    self.candidates.remove(&user);
                    added.push(user);
                }
            }
        }
        existing.retain(|user| !added.contains(user));
        self.outstanding.clear();
        self.epoch += 1;
        let initial = first && !std::mem::take(&mut self.upgrading);
        let id = if initial { TransitionId::INITIAL } else { self.take_id() };
        for user in existing {
            self.say(user, Said::Commit(id, commit.write()));
        }
        for user in added {
            self.say(user, Said::Welcome(id, welcome.to_vec()));
        }
        let members = self.members.keys().copied().collect();
        if initial {
            self.executed += 1;
        } else {
            self.begin(id, ProtocolVersion::V1, members, now);
        }
    }

    fn take_id(&mut self) -> TransitionId {
        self.next_id += 1;
        TransitionId::new(self.next_id - 1)
    }

    fn begin(&mut self, id: TransitionId, version: ProtocolVersion, all: BTreeSet<u64>, now: Duration) {
        let waiting = all.clone();
        self.transitions.insert(id, Transition { version, waiting, all, until: now + PATIENCE });
    }

    /// Op 23.
    pub(crate) fn ready(&mut self, user: u64, id: TransitionId) {
        if let Some(transition) = self.transitions.get_mut(&id) {
            transition.waiting.remove(&user);
        }
        self.execute(|transition| transition.waiting.is_empty());
    }

    /// Nobody is waited for longer than this.
    pub(crate) fn run(&mut self, now: Duration) {
        self.execute(|transition| now >= transition.until);
    }

    fn execute(&mut self, due: impl Fn(&Transition) -> bool) {
        let ids: Vec<TransitionId> =
            self.transitions.iter().filter(|(_, transition)| due(transition)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(transition) = self.transitions.remove(&id) else { continue };
            self.executed += 1;
            for user in &transition.all {
                self.say(*user, Said::Execute(id));
            }
            if transition.version == ProtocolVersion::NONE {
                self.version = 0;
                self.begin_anew();
            }
        }
    }

    fn begin_anew(&mut self) {
        self.epoch = 0;
        self.members.clear();
        self.candidates.clear();
        self.outstanding.clear();
        self.transitions.clear();
    }

    /// Op 31: out, and in again with the key package that follows.
    pub(crate) fn invalid(&mut self, user: u64) {
        if self.is_member(user) && !self.outstanding.contains(&Proposal::Remove { user }) {
            self.propose(Proposal::Remove { user });
        }
        if self.epoch > 0 && self.staying().is_empty() {
            // Nobody is left who could commit.
            let everybody: BTreeSet<u64> = self.members.keys().chain(self.candidates.keys()).copied().collect();
            self.begin_anew();
            self.executed += 1;
            for user in everybody {
                self.say(user, Said::Epoch);
                self.say(user, Said::Prepare(TransitionId::INITIAL, ProtocolVersion::V1));
            }
        }
    }

    /// A user is gone; `present` are those who are left.
    pub(crate) fn left(&mut self, user: u64, present: &[u64]) {
        for transition in self.transitions.values_mut() {
            transition.waiting.remove(&user);
            transition.all.remove(&user);
        }
        self.execute(|transition| transition.waiting.is_empty());
        if self.version == 0 && !self.upgrading {
            return;
        }
        if self.epoch == 0 {
            if let Some(package) = self.candidates.remove(&user) {
                self.tell_others(user, &Said::Revoke(bytes(&[0, user, package])));
            }
            return;
        }
        if let [last] = present {
            // Sole member reset.
            self.begin_anew();
            self.say(*last, Said::Epoch);
            self.say(*last, Said::Prepare(TransitionId::INITIAL, ProtocolVersion::V1));
            self.executed += 1;
            return;
        }
        self.revoke(user);
        self.candidates.remove(&user);
        self.invalid(user);
    }

    pub(crate) fn downgrade(&mut self, present: &[u64], now: Duration) {
        let id = self.take_id();
        for user in present {
            self.say(*user, Said::Prepare(id, ProtocolVersion::NONE));
        }
        self.begin(id, ProtocolVersion::NONE, present.iter().copied().collect(), now);
    }

    pub(crate) fn upgrade(&mut self, present: &[u64]) {
        self.version = 1;
        self.upgrading = true;
        for user in present {
            self.say(*user, Said::Epoch);
        }
    }
}
