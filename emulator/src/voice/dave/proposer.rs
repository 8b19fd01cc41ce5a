//! The server's own part in MLS: an external sender, which proposes and knows no key of the call's.

use openmls::prelude::{
    BasicCredential, Ciphersuite, ExternalProposal, ExternalSender, GroupId, HashType, KeyPackage, KeyPackageIn,
    LeafNodeIndex, OpenMlsCrypto as _, OpenMlsProvider as _, ProtocolVersion as MlsVersion, SenderExtensionIndex,
    tls_codec::{DeserializeBytes as _, Serialize as _, VLBytes},
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;

use super::reader::Reader;
use crate::world::{ChannelId, UserId};

const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256;

/// The label of RFC 9420, section 5.2.
const REFERENCE_LABEL: &[u8] = b"MLS 1.0 Proposal Reference";

/// Makes proposals for one call.
pub(super) struct Proposer {
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
    group: GroupId,
}

impl std::fmt::Debug for Proposer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proposer").finish_non_exhaustive()
    }
}

/// A proposal as it is sent, and by what commits refer to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Proposal {
    /// An MLS message.
    pub message: Vec<u8>,
    pub reference: Vec<u8>,
}

/// A key package is not the user's, or not one for this protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the key package is not sound")]
pub(super) struct BadKeyPackage;

/// A key package that was looked at.
#[derive(Debug)]
pub(super) struct Candidate {
    package: KeyPackage,
    /// Its bytes, as the client sent them.
    bytes: Vec<u8>,
}

impl Candidate {
    /// The key with which the user signs.
    pub(super) fn signature_key(&self) -> Vec<u8> {
        self.package.leaf_node().signature_key().as_slice().to_vec()
    }

    /// Whether this is the package that the client sends again.
    pub(super) fn is_made_of(&self, bytes: &[u8]) -> bool {
        self.bytes == bytes
    }
}

/// What stands in a user's credential.
pub(super) fn name(user: UserId) -> [u8; 8] {
    user.get().to_be_bytes()
}

impl Proposer {
    /// A proposer for the call in a channel. The same seed makes the same key.
    pub(super) fn new(channel: ChannelId, seed: [u8; 32]) -> Self {
        let provider = OpenMlsRustCrypto::default();
        let keys = provider.crypto().derive_hpke_keypair(SUITE.hpke_config(), &seed);
        let keys = keys.expect("a seed of 32 bytes makes a key on P-256");
        let signer = SignatureKeyPair::from_raw(SUITE.signature_algorithm(), keys.private.to_vec(), keys.public);
        Self { provider, signer, group: GroupId::from_slice(&channel.get().to_be_bytes()) }
    }

    /// The id of the group: the channel's.
    pub(super) fn group(&self) -> &[u8] {
        self.group.as_slice()
    }

    /// The payload of op 25. The name is the one that Discord's server has.
    pub(super) fn external_sender(&self) -> Vec<u8> {
        let credential = BasicCredential::new(vec![0]).into();
        ExternalSender::new(self.signer.public().into(), credential).tls_serialize_detached().expect(WRITES)
    }

    /// Reads the payload of op 26: a key package, bare as all clients send it, or as the message that the protocol says.
    pub(super) fn candidate(&self, user: UserId, bytes: &[u8]) -> Result<Candidate, BadKeyPackage> {
        let bare = match bytes {
            [0, 1, 0, 5, bare @ ..] => bare,
            bare => bare,
        };
        let identity = Reader(bare).key_package().map_err(|_| BadKeyPackage)?;
        if identity.name != name(user) {
            return Err(BadKeyPackage);
        }
        let package = KeyPackageIn::tls_deserialize_exact_bytes(bare).map_err(|_| BadKeyPackage)?;
        let package = package.validate(self.provider.crypto(), MlsVersion::Mls10).map_err(|_| BadKeyPackage)?;
        Ok(Candidate { package, bytes: bytes.to_vec() })
    }

    /// "This one should come in."
    pub(super) fn add(&self, candidate: &Candidate, epoch: u64) -> Proposal {
        let message = ExternalProposal::new_add::<OpenMlsRustCrypto>(
            candidate.package.clone(),
            self.group.clone(),
            epoch.into(),
            &self.signer,
            SenderExtensionIndex::new(0),
        );
        self.proposal(message.expect(SIGNS).tls_serialize_detached().expect(WRITES))
    }

    /// "This one should go."
    pub(super) fn remove(&self, leaf: u32, epoch: u64) -> Proposal {
        let message = ExternalProposal::new_remove::<OpenMlsRustCrypto>(
            LeafNodeIndex::new(leaf),
            self.group.clone(),
            epoch.into(),
            &self.signer,
            SenderExtensionIndex::new(0),
        );
        self.proposal(message.expect(SIGNS).tls_serialize_detached().expect(WRITES))
    }

    fn proposal(&self, message: Vec<u8>) -> Proposal {
        // Without its version, a message is what the reference is made of: an external one has no membership tag.
        let labelled = [vector(REFERENCE_LABEL), vector(&message[2..])].concat();
        let reference = self.provider.crypto().hash(HashType::Sha2_256, &labelled);
        Proposal { message, reference: reference.expect("SHA-256 takes anything") }
    }
}

/// An MLS vector of these bytes.
pub(super) fn vector(bytes: &[u8]) -> Vec<u8> {
    VLBytes::new(bytes.to_vec()).tls_serialize_detached().expect(WRITES)
}

const WRITES: &str = "MLS structures are shorter than a vector may be";
const SIGNS: &str = "the key is one on P-256";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::LOBBY;

    #[test]
    fn the_same_seed_is_the_same_sender() {
        let sender = |seed| Proposer::new(LOBBY, [seed; 32]).external_sender();
        assert_eq!(sender(1), sender(1));
        assert_ne!(sender(1), sender(2));
        assert_eq!((sender(1).len(), &sender(1)[..2]), (71, &[0x40, 0x41][..]), "as long as Discord's");
    }
}
