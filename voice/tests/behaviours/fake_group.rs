//! A group whose messages and keys are made of plain numbers: a pure stand-in for MLS, which follows the same rules.
//!
//! It keeps nothing secret. What it does keep is what matters to a session: only members of an epoch can open what is sealed
//! in it, only proposals that are known can be committed, only the newest key package can be welcomed, and a nonce opens once.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use parlor_voice::{Commit, E2eeGroup, GroupError, NoKey, NotOpened};
use parlor_voice_wire::{
    ChannelId, ProtocolVersion, TransitionId, UserId, frame::Trailer, gateway::ProposalsOperation,
};

/// How long keys of an epoch are kept after the next one is ready (DAVE protocol; libdave and davey keep them as long).
const KEPT: Duration = Duration::from_secs(10);

/// Mixes numbers (SplitMix64's finaliser).
pub(crate) fn mix(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0x9E37_79B9_7F4A_7C15, |state, number| {
        let mut mixed = (state ^ number).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}

/// Numbers as bytes.
pub(crate) fn bytes(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Bytes as numbers.
pub(crate) fn numbers(bytes: &[u8]) -> Vec<u64> {
    let (whole, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "whole numbers");
    whole.iter().map(|number| u64::from_be_bytes(*number)).collect()
}

/// Somebody comes, with this key package, or goes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Proposal {
    Add { user: u64, package: u64 },
    Remove { user: u64 },
}

impl Proposal {
    fn numbers(self) -> [u64; 3] {
        match self {
            Self::Add { user, package } => [0, user, package],
            Self::Remove { user } => [1, user, 0],
        }
    }

    fn read(numbers: &[u64]) -> Self {
        match *numbers {
            [0, user, package] => Self::Add { user, package },
            [1, user, _] => Self::Remove { user },
            _ => panic!("three numbers"),
        }
    }

    fn read_all(numbers: &[u64]) -> Vec<Self> {
        numbers.chunks(3).map(Self::read).collect()
    }

    fn write_all(proposals: &[Self]) -> Vec<u64> {
        proposals.iter().flat_map(|proposal| proposal.numbers()).collect()
    }
}

/// Op 27 with proposals of an epoch.
pub(crate) fn proposals(epoch: u64, proposals: &[Proposal]) -> Vec<u8> {
    bytes(&[vec![epoch], Proposal::write_all(proposals)].concat())
}

/// A commit: the step from one epoch to the next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FakeCommit {
    pub(crate) channel: u64,
    pub(crate) epoch: u64,
    pub(crate) committer: u64,
    pub(crate) salt: u64,
    pub(crate) proposals: Vec<Proposal>,
}

impl FakeCommit {
    pub(crate) fn write(&self) -> Vec<u8> {
        let head = vec![self.channel, self.epoch, self.committer, self.salt];
        bytes(&[head, Proposal::write_all(&self.proposals)].concat())
    }

    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        if !message.len().is_multiple_of(8) {
            return None;
        }
        let numbers = numbers(message);
        let [channel, epoch, committer, salt, proposals @ ..] = &numbers[..] else { return None };
        let (channel, epoch, committer, salt) = (*channel, *epoch, *committer, *salt);
        Some(Self { channel, epoch, committer, salt, proposals: Proposal::read_all(proposals) })
    }
}

/// A welcome: an epoch, whole, for those whose packages were added.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FakeWelcome {
    pub(crate) channel: u64,
    pub(crate) epoch: u64,
    pub(crate) secret: u64,
    /// Members and their packages.
    pub(crate) members: BTreeMap<u64, u64>,
}

impl FakeWelcome {
    pub(crate) fn write(&self) -> Vec<u8> {
        let members = self.members.iter().flat_map(|(user, package)| [*user, *package]).collect();
        bytes(&[vec![self.channel, self.epoch, self.secret], members].concat())
    }

    fn read(message: &[u8]) -> Option<Self> {
        if !message.len().is_multiple_of(8) {
            return None;
        }
        let numbers = numbers(message);
        let [channel, epoch, secret, members @ ..] = &numbers[..] else { return None };
        let members = members.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        Some(Self { channel: *channel, epoch: *epoch, secret: *secret, members })
    }
}

/// Op 28: the length of the commit stands in front, because nothing else tells where it ends.
pub(crate) fn split(both: &[u8]) -> (FakeCommit, Vec<u8>) {
    let len = u64::from_be_bytes(both[..8].try_into().expect("a length")) as usize;
    (FakeCommit::read(&both[8..8 + len]).expect("a commit"), both[8 + len..].to_vec())
}

#[derive(Clone, Debug)]
struct Epoch {
    epoch: u64,
    secret: u64,
    members: BTreeMap<u64, u64>,
}

#[derive(Clone, Debug)]
struct ReceiverKey {
    key: u64,
    opened: BTreeSet<u32>,
    until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct SenderKey {
    key: u64,
    nonce: u32,
}

#[derive(Debug)]
pub(crate) struct FakeGroup {
    user: u64,
    channel: u64,
    seed: u64,
    packages: u64,
    external_sender: bool,
    group: Option<Epoch>,
    proposals: Vec<Proposal>,
    own_commit: Option<(FakeCommit, Epoch)>,
    receiving: BTreeMap<u64, Vec<ReceiverKey>>,
    sending: Option<SenderKey>,
    staged: BTreeMap<TransitionId, Option<u64>>,
    /// The last keys that it had itself, with the members of their epochs.
    own_keys: VecDeque<(u64, BTreeMap<u64, u64>)>,
    /// Every key of others that it ever had.
    had: BTreeSet<u64>,
}

/// So many of its own keys are remembered: a call of hours must not grow by what the stand-in for a group writes down.
const REMEMBERED: usize = 64;

fn refused(why: &str) -> GroupError {
    GroupError(why.to_owned())
}

impl FakeGroup {
    fn established(&self) -> Option<&Epoch> {
        self.group.as_ref().filter(|group| group.epoch > 0)
    }

    /// The key of a frame that this member has just sealed, and who can open it: the members of that epoch, with their
    /// packages.
    pub(crate) fn readers(&self, sealed: &[u8]) -> (u64, BTreeMap<u64, u64>) {
        let (body, trailer) = Trailer::read(sealed).expect("sealed by this member");
        let sealing = |key: &&(u64, BTreeMap<u64, u64>)| {
            let plain: Vec<u8> =
                body.iter().enumerate().map(|(at, byte)| byte ^ pad(key.0, trailer.nonce, at)).collect();
            tag(key.0, trailer.nonce, &plain) == trailer.tag
        };
        self.own_keys.iter().find(sealing).cloned().expect("one of its keys")
    }

    /// Every key of others that it ever had.
    pub(crate) fn had(&self) -> &BTreeSet<u64> {
        &self.had
    }

    /// Whether a key package is this member's own, not one of somebody who was the same user before.
    pub(crate) fn owns(&self, package: u64) -> bool {
        package >> 16 == self.packages >> 16
    }

    fn begin_pending(&mut self) {
        let secret = mix(&[self.seed, self.user, self.packages, 1]);
        self.group = self.external_sender.then(|| Epoch {
            epoch: 0,
            secret,
            members: BTreeMap::from([(self.user, self.packages)]),
        });
        self.proposals.clear();
        self.own_commit = None;
    }

    fn after(group: &Epoch, commit: &FakeCommit) -> Epoch {
        let mut members = group.members.clone();
        for proposal in &commit.proposals {
            match *proposal {
                Proposal::Add { user, package } => drop(members.insert(user, package)),
                Proposal::Remove { user } => drop(members.remove(&user)),
            }
        }
        let secret = mix(&[group.secret, commit.committer, commit.salt, mix(&Proposal::write_all(&commit.proposals))]);
        Epoch { epoch: group.epoch + 1, secret, members }
    }

    fn apply(&mut self, key: Option<u64>) {
        let unchanged = self.sending.is_some_and(|sending| Some(sending.key) == key);
        if !unchanged {
            self.sending = key.map(|key| SenderKey { key, nonce: 0 });
        }
    }
}

impl E2eeGroup for FakeGroup {
    fn new(
        _version: ProtocolVersion,
        user: UserId,
        channel: ChannelId,
        seed: u64,
        _now: Instant,
    ) -> Result<Self, GroupError> {
        Ok(Self {
            user: user.get(),
            channel: channel.get(),
            seed,
            packages: seed << 16,
            external_sender: false,
            group: None,
            proposals: Vec::new(),
            own_commit: None,
            receiving: BTreeMap::new(),
            sending: None,
            staged: BTreeMap::new(),
            own_keys: VecDeque::new(),
            had: BTreeSet::new(),
        })
    }

    fn reset(&mut self, _version: ProtocolVersion, _now: Instant) -> Result<(), GroupError> {
        self.staged.clear();
        self.begin_pending();
        Ok(())
    }

    fn set_external_sender(&mut self, _package: &[u8]) -> Result<(), GroupError> {
        if self.established().is_some() {
            return Err(refused("already in a group"));
        }
        self.external_sender = true;
        self.begin_pending();
        Ok(())
    }

    fn key_package(&mut self) -> Result<Vec<u8>, GroupError> {
        self.packages += 1;
        Ok(bytes(&[self.user, self.packages]))
    }

    fn propose(
        &mut self,
        operation: ProposalsOperation,
        proposals: &[u8],
        recognised: &BTreeSet<UserId>,
    ) -> Result<Option<Vec<u8>>, GroupError> {
        let group = self.group.clone().ok_or_else(|| refused("no group"))?;
        match operation {
            ProposalsOperation::Append => {
                let numbers = numbers(proposals);
                let [epoch, rest @ ..] = &numbers[..] else { return Err(refused("empty")) };
                if *epoch != group.epoch {
                    return Err(refused("another epoch"));
                }
                let proposed = Proposal::read_all(rest);
                for proposal in &proposed {
                    if let Proposal::Add { user, .. } = proposal
                        && !recognised.contains(&UserId::new(*user))
                    {
                        return Err(refused("an unknown user"));
                    }
                }
                for proposal in proposed {
                    if !self.proposals.contains(&proposal) {
                        self.proposals.push(proposal);
                    }
                }
            }
            ProposalsOperation::Revoke => {
                let revoked = Proposal::read_all(&numbers(proposals));
                self.proposals.retain(|proposal| !revoked.contains(proposal));
            }
        }
        if self.proposals.is_empty() {
            self.own_commit = None;
            return Ok(None);
        }
        let commit = FakeCommit {
            channel: self.channel,
            epoch: group.epoch,
            committer: self.user,
            salt: mix(&[self.seed, group.epoch, self.proposals.len() as u64]),
            proposals: self.proposals.clone(),
        };
        let after = Self::after(&group, &commit);
        let welcome = FakeWelcome {
            channel: self.channel,
            epoch: after.epoch,
            secret: after.secret,
            members: after.members.clone(),
        };
        let written = commit.write();
        self.own_commit = Some((commit, after));
        Ok(Some([bytes(&[written.len() as u64]), written, welcome.write()].concat()))
    }

    fn commit(&mut self, commit: &[u8]) -> Result<Commit, GroupError> {
        let Some(group) = &self.group else { return Ok(Commit::Ignored) };
        if group.epoch == 0 && self.proposals.is_empty() {
            return Ok(Commit::Ignored);
        }
        let commit = FakeCommit::read(commit).ok_or_else(|| refused("not a commit"))?;
        let own = self.own_commit.as_ref().is_some_and(|(own, _)| *own == commit);
        if group.epoch == 0 && !own {
            return Err(refused("before the welcome"));
        }
        if commit.epoch != group.epoch || commit.channel != self.channel {
            return Err(refused("another epoch or group"));
        }
        if !commit.proposals.iter().all(|proposal| self.proposals.contains(proposal)) {
            return Err(refused("a proposal that is not known"));
        }
        let after = Self::after(group, &commit);
        if !after.members.contains_key(&self.user) {
            return Err(refused("removed"));
        }
        self.group = Some(after);
        self.proposals.clear();
        self.own_commit = None;
        Ok(Commit::Adopted)
    }

    fn welcome(&mut self, welcome: &[u8], recognised: &BTreeSet<UserId>) -> Result<(), GroupError> {
        if self.established().is_some() {
            return Err(refused("already in a group"));
        }
        let welcome = FakeWelcome::read(welcome).ok_or_else(|| refused("not a welcome"))?;
        if welcome.channel != self.channel || welcome.members.get(&self.user) != Some(&self.packages) {
            return Err(refused("for another group or package"));
        }
        if !welcome.members.keys().all(|user| recognised.contains(&UserId::new(*user))) {
            return Err(refused("an unknown user"));
        }
        self.group = Some(Epoch { epoch: welcome.epoch, secret: welcome.secret, members: welcome.members });
        self.proposals.clear();
        self.own_commit = None;
        Ok(())
    }

    fn prepare(&mut self, id: TransitionId, version: ProtocolVersion, now: Instant) -> Result<(), GroupError> {
        let group = self.established().cloned().filter(|_| version != ProtocolVersion::NONE);
        if group.is_some() || version == ProtocolVersion::NONE {
            for key in self.receiving.values_mut().flatten() {
                let end = now + KEPT;
                key.until = Some(key.until.map_or(end, |until| until.min(end)));
            }
        }
        let own = group.map(|group| {
            for user in group.members.keys().filter(|user| **user != self.user) {
                let key = mix(&[group.secret, *user]);
                self.had.insert(key);
                let keys = self.receiving.entry(*user).or_default();
                if let Some(known) = keys.iter_mut().find(|known| known.key == key) {
                    known.until = None;
                } else {
                    keys.push(ReceiverKey { key, opened: BTreeSet::new(), until: None });
                }
            }
            let own = mix(&[group.secret, self.user]);
            self.own_keys.truncate(REMEMBERED - 1);
            self.own_keys.push_front((own, group.members.clone()));
            own
        });
        if id == TransitionId::INITIAL {
            self.apply(own);
        } else {
            self.staged.insert(id, own);
        }
        Ok(())
    }

    fn execute(&mut self, id: TransitionId, _now: Instant) -> Result<(), GroupError> {
        if let Some(key) = self.staged.remove(&id) {
            self.apply(key);
        }
        Ok(())
    }

    fn can_seal(&self) -> bool {
        self.sending.is_some()
    }

    fn seal(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), NoKey> {
        let sending = self.sending.as_mut().ok_or(NoKey)?;
        sending.nonce += 1;
        let SenderKey { key, nonce } = *sending;
        let tag = tag(key, nonce, frame);
        out.extend(frame.iter().enumerate().map(|(at, byte)| byte ^ pad(key, nonce, at)));
        Trailer { tag, nonce, clear: Vec::new() }.write(out).expect("no clear ranges");
        Ok(())
    }

    fn open(&mut self, sender: UserId, frame: &[u8]) -> Result<Vec<u8>, NotOpened> {
        let (body, trailer) = Trailer::read(frame).map_err(|_| NotOpened)?;
        for known in self.receiving.get_mut(&sender.get()).into_iter().flatten().rev() {
            let plain: Vec<u8> =
                body.iter().enumerate().map(|(at, byte)| byte ^ pad(known.key, trailer.nonce, at)).collect();
            if tag(known.key, trailer.nonce, &plain) == trailer.tag && known.opened.insert(trailer.nonce) {
                return Ok(plain);
            }
        }
        Err(NotOpened)
    }

    fn has_keys_of(&self, sender: UserId) -> bool {
        self.receiving.get(&sender.get()).is_some_and(|keys| !keys.is_empty())
    }

    fn members(&self) -> Vec<UserId> {
        self.established().into_iter().flat_map(|group| group.members.keys().copied().map(UserId::new)).collect()
    }

    fn privacy_code(&self) -> Option<String> {
        self.established().map(|group| format!("{:030}", group.secret))
    }

    fn expire(&mut self, now: Instant) {
        for keys in self.receiving.values_mut() {
            keys.retain(|key| key.until.is_none_or(|until| now < until));
        }
    }
}

fn pad(key: u64, nonce: u32, at: usize) -> u8 {
    mix(&[key, u64::from(nonce), at as u64]) as u8
}

fn tag(key: u64, nonce: u32, frame: &[u8]) -> [u8; 8] {
    let content = frame.iter().fold(0_u64, |state, byte| mix(&[state, u64::from(*byte)]));
    mix(&[key, u64::from(nonce), content]).to_be_bytes()
}
