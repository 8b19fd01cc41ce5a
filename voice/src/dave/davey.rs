//! The real group: the davey crate.
//!
//! Two things of it reach past the arguments: it draws randomness from the operating system and reads the monotonic clock
//! by itself, so keys expire by that clock and not by `now`. And it logs keys at TRACE, so it runs without a subscriber.

use std::{collections::BTreeSet, fmt, num::NonZeroU16, time::Instant};

use davey::{DaveSession, MediaType, ProposalsOperationType};
use parlor_voice_wire::{ChannelId, ProtocolVersion, TransitionId, UserId, gateway::ProposalsOperation};
use thiserror::Error;
use tracing::dispatcher::{Dispatch, with_default};

use super::group::{Commit, E2eeGroup, GroupError, NoKey, NotOpened};

/// A member of an MLS group, with real keys.
pub struct Davey {
    session: DaveSession,
    user: UserId,
    channel: ChannelId,
}

impl fmt::Debug for Davey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Davey").field("user", &self.user).field("channel", &self.channel).finish_non_exhaustive()
    }
}

fn failed(error: impl fmt::Display) -> GroupError {
    GroupError(error.to_string())
}

fn non_zero(version: ProtocolVersion) -> Result<NonZeroU16, GroupError> {
    NonZeroU16::new(version.get()).ok_or_else(|| GroupError("version 0 has no group".to_owned()))
}

fn ids(users: &BTreeSet<UserId>) -> Vec<u64> {
    users.iter().map(|user| user.get()).collect()
}

/// Runs something of davey's without a subscriber.
fn unheard<T>(run: impl FnOnce() -> T) -> T {
    with_default(&Dispatch::none(), run)
}

impl Davey {
    /// What the code is computed from with which two people check that nobody sits between them. None if the user is not
    /// in the group.
    pub fn verification(&self, user: UserId) -> Option<Verification> {
        self.session.get_key_fingerprint_pair(0, user.get()).ok().map(Verification)
    }
}

/// See [`Davey::verification`].
#[derive(Clone, Debug)]
pub struct Verification([Vec<u8>; 2]);

/// A verification code could not be computed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the verification code could not be computed")]
pub struct NoCode;

impl Verification {
    /// The code: nine groups of five digits (DAVE protocol, "Verification Fingerprint"). It takes about 180 ms of CPU, so it
    /// does not belong on an async worker.
    ///
    /// # Errors
    ///
    /// If the hash refuses its input.
    pub fn code(self) -> Result<String, NoCode> {
        let fingerprint = davey::pairwise_fingerprints_internal(self.0).map_err(|_| NoCode)?;
        davey::generate_displayable_code(&fingerprint, 45, 5).map_err(|_| NoCode)
    }
}

impl E2eeGroup for Davey {
    fn new(
        version: ProtocolVersion,
        user: UserId,
        channel: ChannelId,
        _seed: u64,
        _now: Instant,
    ) -> Result<Self, GroupError> {
        let session =
            unheard(|| DaveSession::new(non_zero(version)?, user.get(), channel.get(), None).map_err(failed))?;
        Ok(Self { session, user, channel })
    }

    fn reset(&mut self, version: ProtocolVersion, _now: Instant) -> Result<(), GroupError> {
        let (user, channel) = (self.user.get(), self.channel.get());
        unheard(|| self.session.reinit(non_zero(version)?, user, channel, None).map_err(failed))
    }

    fn set_external_sender(&mut self, package: &[u8]) -> Result<(), GroupError> {
        unheard(|| self.session.set_external_sender(package).map_err(failed))
    }

    fn key_package(&mut self) -> Result<Vec<u8>, GroupError> {
        unheard(|| self.session.create_key_package().map_err(failed))
    }

    fn propose(
        &mut self,
        operation: ProposalsOperation,
        proposals: &[u8],
        recognised: &BTreeSet<UserId>,
    ) -> Result<Option<Vec<u8>>, GroupError> {
        let operation = match operation {
            ProposalsOperation::Append => ProposalsOperationType::APPEND,
            ProposalsOperation::Revoke => ProposalsOperationType::REVOKE,
        };
        let answer = unheard(|| self.session.process_proposals(operation, proposals, Some(&ids(recognised))));
        let answer = answer.map_err(failed)?;
        Ok(answer.map(|both| [both.commit, both.welcome.unwrap_or_default()].concat()))
    }

    fn commit(&mut self, commit: &[u8]) -> Result<Commit, GroupError> {
        let adopted = unheard(|| self.session.process_commit(commit)).map_err(failed)?;
        Ok(if adopted { Commit::Adopted } else { Commit::Ignored })
    }

    fn welcome(&mut self, welcome: &[u8], recognised: &BTreeSet<UserId>) -> Result<(), GroupError> {
        unheard(|| self.session.process_welcome(welcome, Some(&ids(recognised)))).map_err(failed)
    }

    fn prepare(&mut self, id: TransitionId, version: ProtocolVersion, _now: Instant) -> Result<(), GroupError> {
        unheard(|| self.session.prepare_transition(id.get(), version.get())).map_err(failed)
    }

    fn execute(&mut self, id: TransitionId, _now: Instant) -> Result<(), GroupError> {
        unheard(|| self.session.execute_transition(id.get())).map_err(failed)?;
        Ok(())
    }

    fn can_seal(&self) -> bool {
        self.session.can_encrypt()
    }

    fn seal(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), NoKey> {
        let sealed = unheard(|| self.session.encrypt_opus(frame).map_err(|_| NoKey))?;
        out.extend_from_slice(&sealed);
        Ok(())
    }

    fn open(&mut self, sender: UserId, frame: &[u8]) -> Result<Vec<u8>, NotOpened> {
        unheard(|| self.session.decrypt(sender.get(), MediaType::AUDIO, frame)).map_err(|_| NotOpened)
    }

    fn has_keys_of(&self, sender: UserId) -> bool {
        self.session.get_decryption_stats(sender.get(), MediaType::AUDIO).is_ok()
    }

    fn members(&self) -> Vec<UserId> {
        let established = self.session.epoch().is_some_and(|epoch| epoch.as_u64() > 0);
        let members = self.session.get_user_ids().filter(|_| established).unwrap_or_default();
        members.into_iter().map(UserId::new).collect()
    }

    fn privacy_code(&self) -> Option<String> {
        self.session.voice_privacy_code().map(str::to_owned)
    }

    fn expire(&mut self, _now: Instant) {}
}
