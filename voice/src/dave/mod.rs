//! End-to-end encryption: what the session does with DAVE's opcodes (DAVE protocol, "Voice Gateway Opcodes").
//!
//! ```text
//!            op 4 or 24 with version 1                       op 29 / 30, id ≠ 0          op 22
//!   Open ──────────────────────────▶ Grouped: outside ──▶ prepared (others' keys) ──▶ member (own key)
//!     ▲                                  ▲    │ └────────── id 0: at once ───────────────▲
//!     └─ a call that never had a group   └────┴─ op 24 epoch 1, or op 31 after what could not be used
//! ```
//! A downgrade (op 21 with version 0) keeps the group's media keys for what is under way, and may be followed by another
//! upgrade; so a call that once had a group stays `Grouped`.

mod davey;
mod group;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::{Duration, Instant},
};

use parlor_voice_wire::{
    ChannelId, ProtocolVersion, TransitionId, UserId,
    frame::Trailer,
    gateway::{
        ClientMessage, DaveClientMessage, DaveServerMessage, InvalidCommitWelcome, PrepareEpoch, PrepareTransition,
        ProposalsOperation, TransitionReady,
    },
    opus,
};

pub use davey::{Davey, NoCode, Verification};
pub use group::{Commit, E2eeGroup, GroupError, NoKey, NotOpened};

use crate::output::Encryption;

/// For how long frames in the clear are let in after an upgrade was executed: they are still under way (DAVE protocol,
/// "Passthrough mode"; libdave allows as much).
const PASSTHROUGH_AFTER_UPGRADE: Duration = Duration::from_secs(10);

/// For how long after this member was welcomed frames may still come that were sealed before: with keys of an epoch that it
/// was not part of, and that it cannot have.
const WELCOME_GRACE: Duration = Duration::from_secs(2);

/// Proposals that came before their users were known, at most.
const MOST_WAITING_PROPOSALS: usize = 16;

/// What follows from a message.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send as text.
    Text(ClientMessage),
    /// Send as binary.
    Binary(Vec<u8>),
    /// Frames that could not be opened may be now.
    RetryHeld,
    /// Tell what protects the call.
    Tell(Encryption),
    /// What came could not be used, and the group is begun anew.
    Recovering,
    /// What came could not be used, and is passed over.
    Unusable,
}

/// What a frame turned out to be.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Opened {
    /// It was sealed by its sender.
    Sealed(Vec<u8>),
    /// It is in the clear, and may be.
    Clear,
    /// It cannot be opened, or is in the clear where it may not be: yet.
    NotYet {
        /// Whether that is strange: this session is a member and has keys of the sender.
        expected: bool,
    },
}

/// The end-to-end encryption of one call.
pub(crate) struct Dave<G> {
    user: UserId,
    channel: ChannelId,
    seed: u64,
    state: State<G>,
}

enum State<G> {
    /// The call is not end-to-end encrypted and never was.
    Open,
    /// There is, or was, a group.
    Grouped(Box<Grouped<G>>),
}

struct Grouped<G> {
    group: G,
    /// The version in effect: what is sent is sealed unless it is 0.
    current: ProtocolVersion,
    /// The version of the group that is being made: what commits and welcomes bring.
    next: ProtocolVersion,
    /// Transitions that are ready and not executed.
    pending: BTreeMap<TransitionId, Prepared>,
    /// How many were ever made ready.
    prepared: u64,
    /// A transition whose execution overtook what makes it ready.
    executed_early: Option<TransitionId>,
    passthrough: Passthrough,
    membership: Membership,
    /// Proposals that add users who were not known yet.
    waiting: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
struct Prepared {
    version: ProtocolVersion,
    /// Whether it makes this session a member.
    welcomed: bool,
    /// How many were made ready before it.
    order: u64,
}

/// Whether frames in the clear are let in.
#[derive(Clone, Copy, Debug)]
enum Passthrough {
    Allowed,
    Until(Instant),
    Refused,
}

#[derive(Clone, Copy, Debug)]
enum Membership {
    /// In no group, or one whose first transition is not executed.
    Outside,
    /// In the group since then.
    Member(Instant),
}

impl<G: E2eeGroup> Dave<G> {
    /// The encryption of a call that has this version (op 4). With one, a key package is to be sent.
    pub(crate) fn new(
        version: ProtocolVersion,
        user: UserId,
        channel: ChannelId,
        seed: u64,
        now: Instant,
    ) -> (Self, Vec<Action>) {
        let mut dave = Self { user, channel, seed, state: State::Open };
        let actions = if version == ProtocolVersion::NONE {
            vec![Action::Tell(Encryption::Transport)]
        } else {
            dave.enter(version, version, Passthrough::Refused, now)
        };
        (dave, actions)
    }

    /// Makes a group where there was none.
    fn enter(
        &mut self,
        next: ProtocolVersion,
        current: ProtocolVersion,
        passthrough: Passthrough,
        now: Instant,
    ) -> Vec<Action> {
        let Ok(mut group) = G::new(next, self.user, self.channel, self.seed, now) else {
            return vec![Action::Unusable];
        };
        let package = package(&mut group);
        self.state = State::Grouped(Box::new(Grouped {
            group,
            current,
            next,
            pending: BTreeMap::new(),
            prepared: 0,
            executed_early: None,
            passthrough,
            membership: Membership::Outside,
            waiting: Vec::new(),
        }));
        vec![package, Action::Tell(Encryption::Negotiating)]
    }

    /// Op 24.
    pub(crate) fn prepare_epoch(&mut self, told: PrepareEpoch, now: Instant) -> Vec<Action> {
        match &mut self.state {
            State::Open if told.protocol_version == ProtocolVersion::NONE => Vec::new(),
            State::Open => self.enter(told.protocol_version, ProtocolVersion::NONE, Passthrough::Allowed, now),
            State::Grouped(grouped) => {
                grouped.next = told.protocol_version;
                if told.epoch == 1 { grouped.begin_anew(now) } else { Vec::new() }
            }
        }
    }

    /// Op 21.
    pub(crate) fn prepare_transition(&mut self, told: PrepareTransition, now: Instant) -> Vec<Action> {
        match &mut self.state {
            // A call without a group changes nothing when it is told to do without one, but it is waited for.
            State::Open => ready(told.transition_id).into_iter().collect(),
            State::Grouped(grouped) => grouped.prepare(told.transition_id, told.protocol_version, false, now),
        }
    }

    /// Op 22.
    pub(crate) fn execute_transition(&mut self, id: TransitionId, now: Instant) -> Vec<Action> {
        match &mut self.state {
            State::Open => Vec::new(),
            State::Grouped(grouped) => grouped.execute(id, now),
        }
    }

    /// Ops 25, 27, 29 and 30.
    pub(crate) fn binary(
        &mut self,
        message: DaveServerMessage<'_>,
        recognised: &BTreeSet<UserId>,
        now: Instant,
    ) -> Vec<Action> {
        let State::Grouped(grouped) = &mut self.state else { return vec![Action::Unusable] };
        match message {
            DaveServerMessage::ExternalSender(package) => match grouped.group.set_external_sender(package) {
                Ok(()) => Vec::new(),
                Err(_) => vec![Action::Unusable],
            },
            DaveServerMessage::Proposals { operation, proposals } => {
                grouped.propose(operation, proposals, recognised).unwrap_or_else(|_| {
                    // Users may be announced after they are proposed. A revocation names nobody.
                    if operation == ProposalsOperation::Append && grouped.waiting.len() < MOST_WAITING_PROPOSALS {
                        grouped.waiting.push(proposals.to_vec());
                    }
                    vec![Action::Unusable]
                })
            }
            DaveServerMessage::AnnounceCommit { transition_id, commit } => match grouped.group.commit(commit) {
                Ok(Commit::Adopted) => grouped.adopted(transition_id, now),
                Ok(Commit::Ignored) => Vec::new(),
                Err(_) => grouped.recover(transition_id, now),
            },
            DaveServerMessage::Welcome { transition_id, welcome } => match grouped.group.welcome(welcome, recognised) {
                Ok(()) => grouped.adopted(transition_id, now),
                Err(_) => grouped.recover(transition_id, now),
            },
        }
    }

    /// More users are known: proposals that waited for them are tried again.
    pub(crate) fn recognised(&mut self, recognised: &BTreeSet<UserId>) -> Vec<Action> {
        let State::Grouped(grouped) = &mut self.state else { return Vec::new() };
        let mut actions = Vec::new();
        for proposals in mem::take(&mut grouped.waiting) {
            match grouped.propose(ProposalsOperation::Append, &proposals, recognised) {
                Ok(answer) => actions.extend(answer),
                Err(_) => grouped.waiting.push(proposals),
            }
        }
        actions
    }

    /// Whether [`seal`](Self::seal) takes a frame.
    pub(crate) fn can_seal(&self) -> bool {
        match &self.state {
            State::Grouped(grouped) => grouped.current == ProtocolVersion::NONE || grouped.group.can_seal(),
            State::Open => true,
        }
    }

    /// Appends what is sent in place of a frame.
    ///
    /// # Errors
    ///
    /// If the call is end-to-end encrypted and there is no key: nothing may be sent.
    pub(crate) fn seal(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), NoKey> {
        match &mut self.state {
            State::Grouped(grouped) if grouped.current != ProtocolVersion::NONE && frame != opus::SILENCE => {
                grouped.group.seal(frame, out)
            }
            State::Grouped(_) | State::Open => {
                out.extend_from_slice(frame);
                Ok(())
            }
        }
    }

    /// What a frame is, if this user sent it.
    pub(crate) fn open(&mut self, sender: UserId, frame: &[u8], now: Instant) -> Opened {
        let State::Grouped(grouped) = &mut self.state else { return Opened::Clear };
        if frame == opus::SILENCE {
            return Opened::Clear;
        }
        if Trailer::read(frame).is_ok() {
            if let Ok(opened) = grouped.group.open(sender, frame) {
                return Opened::Sealed(opened);
            }
        } else if grouped.lets_clear_in(now) {
            return Opened::Clear;
        }
        Opened::NotYet { expected: grouped.should_open(sender, now) }
    }

    /// Whether only keys say who sent a frame.
    pub(crate) fn is_grouped(&self) -> bool {
        matches!(&self.state, State::Grouped(grouped) if grouped.current != ProtocolVersion::NONE)
    }

    /// Forgets keys whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        if let State::Grouped(grouped) = &mut self.state {
            grouped.group.expire(now);
        }
    }

    /// The group, where there is one.
    pub(crate) fn group(&self) -> Option<&G> {
        match &self.state {
            State::Open => None,
            State::Grouped(grouped) => Some(&grouped.group),
        }
    }
}

impl<G: E2eeGroup> Grouped<G> {
    fn propose(
        &mut self,
        operation: ProposalsOperation,
        proposals: &[u8],
        recognised: &BTreeSet<UserId>,
    ) -> Result<Vec<Action>, GroupError> {
        let answer = self.group.propose(operation, proposals, recognised)?;
        Ok(answer.map(|both| Action::Binary(DaveClientMessage::CommitWelcome(&both).write())).into_iter().collect())
    }

    /// A commit or welcome was used: its keys are ready.
    fn adopted(&mut self, id: TransitionId, now: Instant) -> Vec<Action> {
        self.waiting.clear();
        let welcomed = matches!(self.membership, Membership::Outside);
        self.prepare(id, self.next, welcomed, now)
    }

    fn prepare(&mut self, id: TransitionId, version: ProtocolVersion, welcomed: bool, now: Instant) -> Vec<Action> {
        if self.group.prepare(id, version, now).is_err() {
            return self.recover(id, now);
        }
        if version == ProtocolVersion::NONE {
            self.passthrough = Passthrough::Allowed;
        }
        let prepared = Prepared { version, welcomed, order: self.prepared };
        self.prepared += 1;
        let mut actions = vec![Action::RetryHeld];
        if id == TransitionId::INITIAL {
            actions.extend(self.take_effect(prepared, now));
            return actions;
        }
        self.pending.insert(id, prepared);
        actions.extend(ready(id));
        if self.executed_early.take_if(|early| *early == id).is_some() {
            actions.extend(self.execute(id, now));
        }
        actions
    }

    fn execute(&mut self, id: TransitionId, now: Instant) -> Vec<Action> {
        let Some(prepared) = self.pending.remove(&id) else {
            self.executed_early = Some(id);
            return Vec::new();
        };
        // An older epoch that is executed after this one, because somebody was waited for, would bring its old key back.
        self.pending.retain(|_, other| other.order > prepared.order || other.version == ProtocolVersion::NONE);
        if self.group.execute(id, now).is_err() {
            return self.recover(id, now);
        }
        self.take_effect(prepared, now)
    }

    fn take_effect(&mut self, prepared: Prepared, now: Instant) -> Vec<Action> {
        let before = mem::replace(&mut self.current, prepared.version);
        if prepared.version == ProtocolVersion::NONE {
            self.membership = Membership::Outside;
            self.passthrough = Passthrough::Allowed;
            return vec![Action::Tell(Encryption::Transport)];
        }
        if before == ProtocolVersion::NONE {
            self.passthrough = Passthrough::Until(now + PASSTHROUGH_AFTER_UPGRADE);
        } else if matches!(self.passthrough, Passthrough::Allowed) && !self.is_downgrading() {
            self.passthrough = Passthrough::Refused;
        }
        if prepared.welcomed {
            self.membership = Membership::Member(now);
        }
        let members = self.group.members();
        let told = if members.is_empty() {
            Encryption::Negotiating
        } else {
            Encryption::EndToEnd { members, privacy_code: self.group.privacy_code() }
        };
        vec![Action::Tell(told)]
    }

    fn is_downgrading(&self) -> bool {
        self.pending.values().any(|prepared| prepared.version == ProtocolVersion::NONE)
    }

    /// A new group from its beginning.
    fn begin_anew(&mut self, now: Instant) -> Vec<Action> {
        self.pending.clear();
        self.executed_early = None;
        self.waiting.clear();
        self.membership = Membership::Outside;
        if self.group.reset(self.next, now).is_err() {
            return vec![Action::Unusable];
        }
        // What is held may be sealed for a group that this session is not in any more.
        vec![Action::RetryHeld, package(&mut self.group), Action::Tell(Encryption::Negotiating)]
    }

    /// What came with a transition could not be used: say so, and begin anew (DAVE protocol,
    /// "dave_mls_invalid_commit_welcome (31)").
    fn recover(&mut self, id: TransitionId, now: Instant) -> Vec<Action> {
        let invalid = ClientMessage::InvalidCommitWelcome(InvalidCommitWelcome { transition_id: id });
        let mut actions = vec![Action::Recovering, Action::Text(invalid)];
        // A downgrade that is ready asks for no group, and nobody will make it ready again.
        let downgrades = self.pending.iter().filter(|(_, prepared)| prepared.version == ProtocolVersion::NONE);
        let downgrades: BTreeMap<_, _> = downgrades.map(|(id, prepared)| (*id, *prepared)).collect();
        actions.extend(self.begin_anew(now));
        for id in downgrades.keys() {
            // Without keys to derive there is nothing that could fail.
            let _ = self.group.prepare(*id, ProtocolVersion::NONE, now);
        }
        self.pending = downgrades;
        actions
    }

    fn lets_clear_in(&self, now: Instant) -> bool {
        match self.passthrough {
            Passthrough::Allowed => true,
            Passthrough::Until(end) => now < end,
            Passthrough::Refused => false,
        }
    }

    /// Whether a frame of this sender should be readable: this session is a member, has been long enough that nothing
    /// sealed before is under way, and so is the sender, whose keys it has. Keys of somebody who left stay for a while, and open
    /// nothing of what they say when they come again.
    fn should_open(&self, sender: UserId, now: Instant) -> bool {
        let settled = matches!(self.membership, Membership::Member(since) if now >= since + WELCOME_GRACE);
        settled && self.group.has_keys_of(sender) && self.group.members().contains(&sender)
    }
}

fn package<G: E2eeGroup>(group: &mut G) -> Action {
    match group.key_package() {
        Ok(package) => Action::Binary(DaveClientMessage::KeyPackage(&package).write()),
        Err(_) => Action::Unusable,
    }
}

/// That this session is ready, unless nobody waits for it.
fn ready(transition_id: TransitionId) -> Option<Action> {
    let message = ClientMessage::TransitionReady(TransitionReady { transition_id });
    (transition_id != TransitionId::INITIAL).then_some(Action::Text(message))
}
