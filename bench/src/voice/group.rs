//! Pairs in an MLS group with real keys, opposite a delivery service that knows nothing of them.

use anyhow::{Context as _, Result, anyhow};
use davey::{DaveSession, ProposalsOperationType};
use openmls::prelude::{
    BasicCredential, Ciphersuite, ExternalProposal, ExternalSender, GroupId, KeyPackageIn, OpenMlsProvider as _,
    ProtocolVersion, SenderExtensionIndex,
    tls_codec::{DeserializeBytes as _, Serialize as _, VLBytes},
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;

/// The call of every pair.
pub(super) const CHANNEL: u64 = 927_310_423_890_473_011;
/// Who is there first, commits, and speaks.
pub(super) const SPEAKER: u64 = 101;
/// Who is welcomed, and listens.
pub(super) const LISTENER: u64 = 102;

const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256;

/// The voice server's part in a group.
pub(super) struct Proposer {
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
}

impl Proposer {
    pub(super) fn new() -> Result<Self> {
        let signer = SignatureKeyPair::new(SUITE.signature_algorithm()).map_err(|error| anyhow!("{error:?}"))?;
        Ok(Self { provider: OpenMlsRustCrypto::default(), signer })
    }

    /// Op 25.
    pub(super) fn external_sender(&self) -> Result<Vec<u8>> {
        let credential = BasicCredential::new(vec![0]).into();
        Ok(ExternalSender::new(self.signer.public().into(), credential).tls_serialize_detached()?)
    }

    /// Op 27: somebody is to be added.
    fn add(&self, key_package: &[u8]) -> Result<Vec<u8>> {
        let package = KeyPackageIn::tls_deserialize_exact_bytes(key_package)?;
        let package = package.validate(self.provider.crypto(), ProtocolVersion::Mls10)?;
        let group = GroupId::from_slice(&CHANNEL.to_be_bytes());
        let first = SenderExtensionIndex::new(0);
        let proposal = ExternalProposal::new_add::<OpenMlsRustCrypto>(package, group, 0.into(), &self.signer, first)?;
        Ok(VLBytes::new(proposal.tls_serialize_detached()?).tls_serialize_detached()?)
    }
}

/// Somebody with davey alone.
pub(super) fn member(user: u64, proposer: &Proposer) -> Result<DaveSession> {
    let version = davey::DAVE_PROTOCOL_VERSION.try_into().context("a version")?;
    let mut member = DaveSession::new(version, user, CHANNEL, None)?;
    member.set_external_sender(&proposer.external_sender()?)?;
    Ok(member)
}

/// A speaker who has taken in whoever made this key package, and the welcome for them (op 30).
pub(super) fn speaker(key_package: &[u8], proposer: &Proposer) -> Result<(DaveSession, Vec<u8>)> {
    let mut speaker = member(SPEAKER, proposer)?;
    let proposals = proposer.add(key_package)?;
    let users = [SPEAKER, LISTENER];
    let both = speaker.process_proposals(ProposalsOperationType::APPEND, &proposals, Some(&users))?;
    let both = both.context("something to commit")?;
    speaker.process_commit(&both.commit)?;
    ready(&mut speaker)?;
    Ok((speaker, both.welcome.context("a welcome")?))
}

/// Two with davey alone, in a group.
pub(super) fn pair(proposer: &Proposer) -> Result<(DaveSession, DaveSession)> {
    let mut listener = member(LISTENER, proposer)?;
    let (speaker, welcome) = speaker(&listener.create_key_package()?, proposer)?;
    listener.process_welcome(&welcome, Some(&[SPEAKER, LISTENER]))?;
    ready(&mut listener)?;
    Ok((speaker, listener))
}

fn ready(member: &mut DaveSession) -> Result<()> {
    Ok(member.prepare_transition(0, davey::DAVE_PROTOCOL_VERSION)?)
}
