//! What the server looks at in a client's commit (RFC 9420, sections 6, 7.6 and 12.4). It has no group of its own, so it
//! reads the message by hand and can check neither tags nor signatures.

use openmls::prelude::{MlsMessageIn, tls_codec::DeserializeBytes as _};

/// The fixed parts of a commit, and what comes behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct CommitWelcome<'a> {
    /// The whole commit, an MLS message.
    pub commit: &'a [u8],
    /// What follows it: a Welcome, or nothing.
    pub welcome: &'a [u8],
    /// The group's id.
    pub group: &'a [u8],
    /// The epoch that it ends.
    pub epoch: u64,
    /// The committer's leaf.
    pub sender: u32,
    /// References of the proposals that it carries out, in order.
    pub proposals: Vec<&'a [u8]>,
    /// Who the committer is from then on, if the commit says so.
    pub identity: Option<Identity<'a>>,
}

/// A member as the path of a commit names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity<'a> {
    pub signature_key: &'a [u8],
    pub name: &'a [u8],
}

/// Bytes are not a commit that this protocol allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum CommitError {
    /// Not an MLS message.
    #[error("not an MLS message")]
    NotAMessage,
    /// A public message from a member with a commit was due.
    #[error("not a member's public commit")]
    NotACommit,
    /// A proposal that the external sender has not made.
    #[error("a proposal by value")]
    OwnProposal,
    /// A credential that is not a basic one.
    #[error("not a basic credential")]
    Credential,
}

const MLS_10: u16 = 1;
const PUBLIC_MESSAGE: u16 = 1;
const MEMBER: u8 = 1;
const COMMIT: u8 = 3;
const REFERENCE: u8 = 2;
const BASIC: u16 = 1;

impl<'a> CommitWelcome<'a> {
    /// Reads the payload of op 28.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, CommitError> {
        let (_, welcome) = MlsMessageIn::tls_deserialize_bytes(bytes).map_err(|_| CommitError::NotAMessage)?;
        let (commit, welcome) = bytes.split_at(bytes.len() - welcome.len());
        let mut rest = Reader(commit);
        if (rest.u16()?, rest.u16()?) != (MLS_10, PUBLIC_MESSAGE) {
            return Err(CommitError::NotACommit);
        }
        let (group, epoch) = (rest.vector()?, rest.u64()?);
        if rest.u8()? != MEMBER {
            return Err(CommitError::NotACommit);
        }
        let sender = rest.u32()?;
        let _authenticated = rest.vector()?;
        if rest.u8()? != COMMIT {
            return Err(CommitError::NotACommit);
        }
        let mut listed = Reader(rest.vector()?);
        let mut proposals = Vec::new();
        while !listed.0.is_empty() {
            if listed.u8()? != REFERENCE {
                return Err(CommitError::OwnProposal);
            }
            proposals.push(listed.vector()?);
        }
        let identity = if rest.u8()? == 0 {
            None
        } else {
            let (_encryption_key, signature_key) = (rest.vector()?, rest.vector()?);
            if rest.u16()? != BASIC {
                return Err(CommitError::Credential);
            }
            Some(Identity { signature_key, name: rest.vector()? })
        };
        Ok(Self { commit, welcome, group, epoch, sender, proposals, identity })
    }
}

/// Reads from the front. That it ends too early cannot be, once openmls has read the same bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], CommitError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(CommitError::NotACommit)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CommitError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CommitError::NotACommit)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, CommitError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, CommitError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, CommitError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, CommitError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A vector with a length of variable size (RFC 9420, section 2.1.2).
    fn vector(&mut self) -> Result<&'a [u8], CommitError> {
        let first = self.u8()?;
        let mut len = usize::from(first & 0x3F);
        let more = match first >> 6 {
            0 => 0,
            1 => 1,
            2 => 3,
            _ => return Err(CommitError::NotACommit),
        };
        for _ in 0..more {
            len = len << 8 | usize::from(self.u8()?);
        }
        self.take(len)
    }
}
