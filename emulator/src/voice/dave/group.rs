//! A group as the server can know it: who has which leaf, who wants in, and what was proposed.

use std::collections::{BTreeMap, BTreeSet};

use super::commit::CommitWelcome;
use super::proposer::{Candidate, Proposal, name};
use crate::world::UserId;

/// What a proposal changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    Add(UserId),
    Remove(UserId),
}

/// A proposal that no commit has carried out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Outstanding {
    pub change: Change,
    pub proposal: Proposal,
}

/// A group, before and after its first commit.
#[derive(Debug)]
pub(super) enum Group {
    /// Every client has a group of its own, in which it is alone, and commits everybody else into it.
    Gathering(BTreeMap<UserId, Applicant>),
    /// One commit has won.
    Established(Established),
}

#[derive(Debug)]
pub(super) struct Established {
    epoch: u64,
    leaves: Vec<Option<Member>>,
    applicants: BTreeMap<UserId, Applicant>,
    outstanding: Vec<Outstanding>,
}

#[derive(Clone, Debug)]
struct Member {
    user: UserId,
    signature_key: Vec<u8>,
}

/// Somebody who wants in.
#[derive(Debug)]
pub(super) struct Applicant {
    candidate: Candidate,
    /// How they are to come in.
    add: Outstanding,
}

impl Default for Group {
    fn default() -> Self {
        Self::Gathering(BTreeMap::new())
    }
}

impl Group {
    pub(super) const fn epoch(&self) -> u64 {
        match self {
            Self::Gathering(_) => 0,
            Self::Established(group) => group.epoch,
        }
    }

    /// Whether a group stands and nothing is to be changed about it.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self, Self::Established(group) if group.outstanding.is_empty())
    }

    pub(super) fn members(&self) -> BTreeSet<UserId> {
        match self {
            Self::Gathering(_) => BTreeSet::new(),
            Self::Established(group) => group.leaves.iter().flatten().map(|member| member.user).collect(),
        }
    }

    pub(super) fn leaf(&self, user: UserId) -> Option<u32> {
        let Self::Established(group) = self else { return None };
        let leaf = group.leaves.iter().position(|leaf| leaf.as_ref().is_some_and(|member| member.user == user));
        leaf.map(|leaf| leaf as u32)
    }

    /// Whether a user is a member who is not to be removed.
    pub(super) fn is_staying(&self, user: UserId) -> bool {
        let Self::Established(group) = self else { return false };
        let is_leaving = group.outstanding.iter().any(|outstanding| outstanding.change == Change::Remove(user));
        self.leaf(user).is_some() && !is_leaving
    }

    /// The key package of a user who wants in.
    pub(super) fn candidate(&self, user: UserId) -> Option<&Candidate> {
        let (Self::Gathering(applicants) | Self::Established(Established { applicants, .. })) = self;
        applicants.get(&user).map(|applicant| &applicant.candidate)
    }

    /// Who hears what is proposed about a user: everybody else who can commit.
    pub(super) fn listeners(&self, about: UserId) -> Vec<UserId> {
        match self {
            Self::Gathering(applicants) => applicants.keys().copied().filter(|user| *user != about).collect(),
            Self::Established(_) => {
                self.members().into_iter().filter(|user| *user != about && self.is_staying(*user)).collect()
            }
        }
    }

    /// What a user has to commit.
    pub(super) fn outstanding_for(&self, user: UserId) -> Vec<Outstanding> {
        match self {
            Self::Gathering(applicants) => {
                let others = applicants.iter().filter(|(other, _)| **other != user);
                others.map(|(_, applicant)| applicant.add.clone()).collect()
            }
            Self::Established(group) => group.outstanding.clone(),
        }
    }

    /// Somebody wants in.
    pub(super) fn take_in(&mut self, user: UserId, candidate: Candidate, add: Outstanding) {
        match self {
            Self::Gathering(applicants) => drop(applicants.insert(user, Applicant { candidate, add })),
            Self::Established(group) => {
                group.outstanding.push(add.clone());
                group.applicants.insert(user, Applicant { candidate, add });
            }
        }
    }

    pub(super) fn add_outstanding(&mut self, outstanding: Outstanding) {
        if let Self::Established(group) = self {
            group.outstanding.push(outstanding);
        }
    }

    /// Somebody wants in no more; returns what was proposed for them.
    pub(super) fn withdraw(&mut self, user: UserId) -> Option<Outstanding> {
        match self {
            Self::Gathering(applicants) => applicants.remove(&user).map(|applicant| applicant.add),
            Self::Established(group) => {
                group.outstanding.retain(|outstanding| outstanding.change != Change::Add(user));
                group.applicants.remove(&user).map(|applicant| applicant.add)
            }
        }
    }

    /// Whether a user may end this epoch with this commit: it is a member and carries out everything that is
    /// outstanding, once.
    pub(super) fn accepts(&self, user: UserId, sent: &CommitWelcome<'_>) -> bool {
        let (leaf, signature_key) = match self {
            Self::Gathering(applicants) => {
                let Some(applicant) = applicants.get(&user) else { return false };
                (0, applicant.candidate.signature_key())
            }
            Self::Established(group) => {
                let Some(leaf) = self.leaf(user).filter(|_| self.is_staying(user)) else { return false };
                let Some(Some(member)) = group.leaves.get(leaf as usize) else { return false };
                (leaf, member.signature_key.clone())
            }
        };
        let due = self.outstanding_for(user);
        let due: BTreeSet<&[u8]> = due.iter().map(|outstanding| outstanding.proposal.reference.as_slice()).collect();
        let listed: BTreeSet<&[u8]> = sent.proposals.iter().copied().collect();
        let is_complete = !due.is_empty() && due == listed && listed.len() == sent.proposals.len();
        let keeps_identity =
            sent.identity.is_none_or(|identity| identity.signature_key == signature_key && identity.name == name(user));
        sent.epoch == self.epoch() && sent.sender == leaf && is_complete && keeps_identity
    }

    /// A commit counts: removes first, then adds, each at the leftmost leaf that is free (RFC 9420, section 12.4.2).
    /// Returns the members who were there before and still are, and those who are new.
    pub(super) fn advance(&mut self, committer: UserId, references: &[&[u8]]) -> (Vec<UserId>, Vec<UserId>) {
        let due = self.outstanding_for(committer);
        let (epoch, mut leaves, mut applicants) = match std::mem::take(self) {
            Self::Gathering(mut applicants) => {
                let founder = applicants.remove(&committer);
                let founder =
                    founder.map(|own| Member { user: committer, signature_key: own.candidate.signature_key() });
                (0, vec![founder], applicants)
            }
            Self::Established(group) => (group.epoch, group.leaves, group.applicants),
        };
        let changes: Vec<Change> = references
            .iter()
            .filter_map(|reference| due.iter().find(|outstanding| outstanding.proposal.reference == *reference))
            .map(|outstanding| outstanding.change)
            .collect();
        for change in &changes {
            if let Change::Remove(user) = change {
                let leaf = leaves.iter_mut().find(|leaf| leaf.as_ref().is_some_and(|member| member.user == *user));
                if let Some(leaf) = leaf {
                    *leaf = None;
                }
            }
        }
        let existing = leaves.iter().flatten().map(|member| member.user).collect();
        let mut added = Vec::new();
        for change in changes {
            let Change::Add(user) = change else { continue };
            let Some(applicant) = applicants.remove(&user) else { continue };
            let member = Member { user, signature_key: applicant.candidate.signature_key() };
            match leaves.iter_mut().find(|leaf| leaf.is_none()) {
                Some(free) => *free = Some(member),
                None => leaves.push(Some(member)),
            }
            added.push(user);
        }
        *self = Self::Established(Established { epoch: epoch + 1, leaves, applicants, outstanding: Vec::new() });
        (existing, added)
    }
}
