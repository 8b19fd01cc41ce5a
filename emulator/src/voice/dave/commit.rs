//! What the server looks at in a client's commit (RFC 9420, sections 6, 7.6 and 12.4). It has no group of its own, so it
//! can check neither tags nor signatures.

use super::reader::{Identity, LeafSource, ReadError, Reader};

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

const MLS_10: u16 = 1;
const PUBLIC_MESSAGE: u16 = 1;
const MEMBER: u8 = 1;
const COMMIT: u8 = 3;
const REFERENCE: u8 = 2;

impl<'a> CommitWelcome<'a> {
    /// Reads the payload of op 28: a member's public message with a commit to proposals by reference, and what follows.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut rest = Reader(bytes);
        rest.expect_u16(MLS_10)?;
        rest.expect_u16(PUBLIC_MESSAGE)?;
        let (group, epoch) = (rest.vector()?, rest.u64()?);
        if rest.u8()? != MEMBER {
            return Err(ReadError::Shape);
        }
        let (sender, _authenticated) = (rest.u32()?, rest.vector()?);
        if rest.u8()? != COMMIT {
            return Err(ReadError::Shape);
        }
        let mut listed = Reader(rest.vector()?);
        let mut proposals = Vec::new();
        while !listed.0.is_empty() {
            if listed.u8()? != REFERENCE {
                return Err(ReadError::Shape);
            }
            proposals.push(listed.vector()?);
        }
        let identity = match rest.u8()? {
            0 => None,
            1 => {
                let identity = rest.leaf(LeafSource::Commit)?;
                let _nodes = rest.vector()?;
                Some(identity)
            }
            _ => return Err(ReadError::Shape),
        };
        let (_signature, _confirmation_tag, _membership_tag) = (rest.vector()?, rest.vector()?, rest.vector()?);
        let (commit, welcome) = bytes.split_at(bytes.len() - rest.0.len());
        Ok(Self { commit, welcome, group, epoch, sender, proposals, identity })
    }
}
