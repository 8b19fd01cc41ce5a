//! What the session needs of an MLS group and its media keys.

use std::{collections::BTreeSet, time::Instant};

use parlor_voice_wire::{ChannelId, ProtocolVersion, TransitionId, UserId, gateway::ProposalsOperation};
use thiserror::Error;

/// An MLS message could not be used. Why is told in words, without keys.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{0}")]
pub struct GroupError(pub String);

/// There is no key to send with.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("no key to send with")]
pub struct NoKey;

/// No key of the sender opens this frame, now.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("no key opens the frame")]
pub struct NotOpened;

/// What a commit did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Commit {
    /// The group is one epoch further.
    Adopted,
    /// It was not for this member: it has no group yet, and will be welcomed.
    Ignored,
}

/// An MLS group of the DAVE protocol as one of its members has it, with the media keys that come out of it.
///
/// Keys change in two steps. [`prepare`](Self::prepare) lets the new keys of all *others* open frames, beside the old ones,
/// which stay for 10 s. [`execute`](Self::execute) makes the own new key the one that seals.
pub trait E2eeGroup: Sized {
    /// A member without a group.
    ///
    /// # Errors
    ///
    /// If the version is not known.
    fn new(
        version: ProtocolVersion,
        user: UserId,
        channel: ChannelId,
        seed: u64,
        now: Instant,
    ) -> Result<Self, GroupError>;

    /// Forgets the group. Media keys stay until a transition replaces them.
    ///
    /// # Errors
    ///
    /// If the version is not known.
    fn reset(&mut self, version: ProtocolVersion, now: Instant) -> Result<(), GroupError>;

    /// Learns who proposes changes (op 25).
    ///
    /// # Errors
    ///
    /// If it cannot be read, or there is an established group.
    fn set_external_sender(&mut self, package: &[u8]) -> Result<(), GroupError>;

    /// With what others can add this member (op 26). An earlier one cannot be used any more.
    ///
    /// # Errors
    ///
    /// If none can be made.
    fn key_package(&mut self) -> Result<Vec<u8>, GroupError>;

    /// Takes proposals (op 27) and returns commit and welcome (op 28), where there is something to commit.
    ///
    /// # Errors
    ///
    /// If they cannot be used, or would add somebody who is not recognised.
    fn propose(
        &mut self,
        operation: ProposalsOperation,
        proposals: &[u8],
        recognised: &BTreeSet<UserId>,
    ) -> Result<Option<Vec<u8>>, GroupError>;

    /// Takes the commit that the server chose (op 29).
    ///
    /// # Errors
    ///
    /// If it cannot be used: the session asks to be added anew.
    fn commit(&mut self, commit: &[u8]) -> Result<Commit, GroupError>;

    /// Takes the way into a group (op 30).
    ///
    /// # Errors
    ///
    /// If it cannot be used, or somebody in the group is not recognised: the session asks to be added anew.
    fn welcome(&mut self, welcome: &[u8], recognised: &BTreeSet<UserId>) -> Result<(), GroupError>;

    /// Makes a transition ready: opens with its keys from now on. [`TransitionId::INITIAL`] is executed at once.
    ///
    /// # Errors
    ///
    /// If keys cannot be derived.
    fn prepare(&mut self, id: TransitionId, version: ProtocolVersion, now: Instant) -> Result<(), GroupError>;

    /// Executes a transition that was made ready: seals with its key from now on.
    ///
    /// # Errors
    ///
    /// If keys cannot be derived.
    fn execute(&mut self, id: TransitionId, now: Instant) -> Result<(), GroupError>;

    /// Whether there is a key to seal with.
    fn can_seal(&self) -> bool;

    /// Appends a sealed frame.
    ///
    /// # Errors
    ///
    /// If there is no key; nothing is appended.
    fn seal(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), NoKey>;

    /// Opens a frame with any key of this sender that is still kept.
    ///
    /// # Errors
    ///
    /// If none opens it.
    fn open(&mut self, sender: UserId, frame: &[u8]) -> Result<Vec<u8>, NotOpened>;

    /// Whether there is any key of this sender.
    fn has_keys_of(&self, sender: UserId) -> bool;

    /// Everybody in the group, this member included; empty without an established group.
    fn members(&self) -> Vec<UserId>;

    /// The code that all members of the group see.
    fn privacy_code(&self) -> Option<String>;

    /// Forgets keys whose time is over.
    fn expire(&mut self, now: Instant);
}
