//! davey behind the trait, opposite a delivery service made with openmls: real MLS, real keys.

use std::{
    collections::BTreeSet,
    thread::sleep,
    time::{Duration, Instant},
};

use openmls::prelude::{
    BasicCredential, Ciphersuite, ExternalProposal, ExternalSender, GroupId, KeyPackageIn, LeafNodeIndex, MlsMessageIn,
    OpenMlsProvider as _, ProtocolVersion as MlsVersion, SenderExtensionIndex,
    tls_codec::{DeserializeBytes as _, Serialize as _, VLBytes},
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use parlor_voice::{Commit, Davey, E2eeGroup, NoKey, NotOpened};
use parlor_voice_wire::{ChannelId, ProtocolVersion, TransitionId, UserId, gateway::ProposalsOperation};

use crate::scripted::opus;

const CHANNEL: ChannelId = ChannelId::new(927_310_423_890_473_011);
const V1: ProtocolVersion = ProtocolVersion::V1;
const ANN: UserId = UserId::new(101);
const BOB: UserId = UserId::new(102);
const CAROL: UserId = UserId::new(103);

/// The server's side: it proposes, and knows nothing of keys.
struct Proposer {
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
}

impl Proposer {
    fn new() -> Self {
        let suite = Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256;
        let signer = SignatureKeyPair::new(suite.signature_algorithm()).expect("a key pair");
        Self { provider: OpenMlsRustCrypto::default(), signer }
    }

    fn package(&self) -> Vec<u8> {
        let credential = BasicCredential::new(vec![0]).into();
        ExternalSender::new(self.signer.public().into(), credential).tls_serialize_detached().expect("writes")
    }

    fn add(&self, key_package: &[u8], epoch: u64) -> Vec<u8> {
        let package = KeyPackageIn::tls_deserialize_exact_bytes(key_package).expect("a key package");
        let package = package.validate(self.provider.crypto(), MlsVersion::Mls10).expect("a valid one");
        let proposal = ExternalProposal::new_add::<OpenMlsRustCrypto>(
            package,
            GroupId::from_slice(&CHANNEL.get().to_be_bytes()),
            epoch.into(),
            &self.signer,
            SenderExtensionIndex::new(0),
        );
        vector(&proposal.expect("a proposal").tls_serialize_detached().expect("writes"))
    }

    fn remove(&self, leaf: u32, epoch: u64) -> Vec<u8> {
        let proposal = ExternalProposal::new_remove::<OpenMlsRustCrypto>(
            LeafNodeIndex::new(leaf),
            GroupId::from_slice(&CHANNEL.get().to_be_bytes()),
            epoch.into(),
            &self.signer,
            SenderExtensionIndex::new(0),
        );
        vector(&proposal.expect("a proposal").tls_serialize_detached().expect("writes"))
    }
}

fn vector(messages: &[u8]) -> Vec<u8> {
    VLBytes::new(messages.to_vec()).tls_serialize_detached().expect("writes")
}

/// Commit and welcome: nothing but the commit's own length tells where it ends.
fn split(both: &[u8]) -> (&[u8], &[u8]) {
    let (_, welcome) = MlsMessageIn::tls_deserialize_bytes(both).expect("a commit");
    both.split_at(both.len() - welcome.len())
}

fn everybody() -> BTreeSet<UserId> {
    [ANN, BOB, CAROL].into()
}

fn member(user: UserId, proposer: &Proposer) -> Davey {
    let mut member = Davey::new(V1, user, CHANNEL, 0, Instant::now()).expect("version 1");
    member.set_external_sender(&proposer.package()).expect("no group yet");
    member
}

fn propose(member: &mut Davey, proposals: &[u8]) -> Vec<u8> {
    let both = member.propose(ProposalsOperation::Append, proposals, &everybody()).expect("sound");
    both.expect("something to commit")
}

fn seal(member: &mut Davey, number: u8) -> Vec<u8> {
    let mut sealed = Vec::new();
    member.seal(&opus(number), &mut sealed).expect("a key");
    sealed
}

/// Ann and Bob in a group that begins with this transition.
fn pair(proposer: &Proposer, id: TransitionId) -> (Davey, Davey) {
    let (mut ann, mut bob) = (member(ANN, proposer), member(BOB, proposer));
    let package = bob.key_package().expect("a package");
    let both = propose(&mut ann, &proposer.add(&package, 0));
    let (commit, welcome) = split(&both);
    assert_eq!(ann.commit(commit), Ok(Commit::Adopted));
    bob.welcome(welcome, &everybody()).expect("his own");
    for member in [&mut ann, &mut bob] {
        member.prepare(id, V1, Instant::now()).expect("established");
    }
    (ann, bob)
}

#[test]
fn initial_transitions_take_effect_at_once_and_others_wait() {
    let proposer = Proposer::new();
    let (mut ann, mut bob) = pair(&proposer, TransitionId::INITIAL);
    let sealed = seal(&mut ann, 1);
    assert_ne!(sealed[..3], opus(1)[..]);
    assert_eq!(bob.open(ANN, &sealed), Ok(opus(1)));
    assert_eq!(bob.open(ANN, &sealed), Err(NotOpened), "a frame opens once");
    assert_eq!(bob.open(BOB, &sealed), Err(NotOpened), "and under its sender alone");
    assert!(ann.privacy_code().is_some() && ann.privacy_code() == bob.privacy_code());
    assert_eq!((ann.members(), ann.has_keys_of(BOB), ann.has_keys_of(CAROL)), (vec![ANN, BOB], true, false));

    let id = TransitionId::new(1);
    let (mut ann, mut bob) = pair(&proposer, id);
    assert_eq!(ann.seal(&opus(1), &mut Vec::new()), Err(NoKey), "not executed");
    ann.execute(id, Instant::now()).expect("prepared");
    let sealed = seal(&mut ann, 1);
    assert_eq!(bob.open(ANN, &sealed), Ok(opus(1)), "prepared is enough to receive");
}

#[test]
fn old_and_new_keys_open_side_by_side_and_a_newcomer_opens_the_new() {
    let proposer = Proposer::new();
    let (mut ann, mut bob) = pair(&proposer, TransitionId::INITIAL);
    let mut carol = member(CAROL, &proposer);
    let package = carol.key_package().expect("a package");
    let id = TransitionId::new(1);
    let add = proposer.add(&package, 1);
    propose(&mut ann, &add);
    let both = propose(&mut bob, &add);
    let (commit, welcome) = split(&both);
    for old in [&mut ann, &mut bob] {
        assert_eq!(old.commit(commit), Ok(Commit::Adopted), "Bob's is the one that the server chose");
        old.prepare(id, V1, Instant::now()).expect("established");
    }
    carol.welcome(welcome, &everybody()).expect("her own");
    carol.prepare(id, V1, Instant::now()).expect("established");

    let before = seal(&mut ann, 1);
    assert_eq!(carol.open(ANN, &before), Err(NotOpened), "she was not in that group");
    ann.execute(id, Instant::now()).expect("prepared");
    let after = seal(&mut ann, 2);
    assert_eq!((bob.open(ANN, &after), carol.open(ANN, &after)), (Ok(opus(2)), Ok(opus(2))));
    assert_eq!(bob.open(ANN, &before), Ok(opus(1)), "overtaken, and still opened");
}

#[test]
fn who_was_removed_hears_nothing_more() {
    let proposer = Proposer::new();
    let (mut ann, mut bob) = pair(&proposer, TransitionId::INITIAL);
    let mut carol = member(CAROL, &proposer);
    let add = proposer.add(&carol.key_package().expect("a package"), 1);
    propose(&mut bob, &add);
    let both = propose(&mut ann, &add);
    let (commit, welcome) = split(&both);
    for old in [&mut ann, &mut bob] {
        assert_eq!(old.commit(commit), Ok(Commit::Adopted));
        old.prepare(TransitionId::INITIAL, V1, Instant::now()).expect("established");
    }
    carol.welcome(welcome, &everybody()).expect("her own");
    carol.prepare(TransitionId::INITIAL, V1, Instant::now()).expect("established");

    let both = propose(&mut ann, &proposer.remove(1, 2));
    assert_eq!(ann.commit(split(&both).0), Ok(Commit::Adopted));
    ann.prepare(TransitionId::INITIAL, V1, Instant::now()).expect("established");
    let sealed = seal(&mut ann, 3);
    assert_eq!((ann.members(), bob.open(ANN, &sealed)), (vec![ANN, CAROL], Err(NotOpened)));
}

#[test]
fn after_a_reset_the_same_members_begin_anew() {
    let proposer = Proposer::new();
    let (mut ann, mut bob) = pair(&proposer, TransitionId::INITIAL);
    let before = seal(&mut ann, 1);
    for member in [&mut ann, &mut bob] {
        member.reset(V1, Instant::now()).expect("version 1");
    }
    assert_eq!(bob.open(ANN, &before), Ok(opus(1)), "media keys outlive the group");
    assert_eq!(ann.members(), []);
    let package = bob.key_package().expect("a package");
    let both = propose(&mut ann, &proposer.add(&package, 0));
    let (commit, welcome) = split(&both);
    assert_eq!(ann.commit(commit), Ok(Commit::Adopted));
    bob.welcome(welcome, &everybody()).expect("his own");
    for member in [&mut ann, &mut bob] {
        member.prepare(TransitionId::INITIAL, V1, Instant::now()).expect("established");
    }
    let sealed = seal(&mut bob, 2);
    assert_eq!(ann.open(BOB, &sealed), Ok(opus(2)));
}

#[test]
fn what_is_not_sound_is_refused() {
    let proposer = Proposer::new();
    let mut ann = member(ANN, &proposer);
    let mut bob = member(BOB, &proposer);
    let package = bob.key_package().expect("a package");
    let add = proposer.add(&package, 0);
    let append = ProposalsOperation::Append;
    assert!(ann.propose(append, &add, &[ANN].into()).is_err(), "nobody said that Bob is here");
    assert!(ann.propose(append, &proposer.add(&package, 7), &everybody()).is_err(), "another epoch");
    assert!(ann.propose(append, &[0xFF; 9], &everybody()).is_err());
    assert_eq!(bob.commit(&[1, 2, 3]), Ok(Commit::Ignored), "not for somebody without a group");
    assert!(bob.welcome(&[1, 2, 3], &everybody()).is_err());
    assert!(Davey::new(ProtocolVersion::NONE, ANN, CHANNEL, 0, Instant::now()).is_err());
    assert!(Davey::new(ProtocolVersion::new(2), ANN, CHANNEL, 0, Instant::now()).is_err());
}

#[test]
fn two_people_compute_the_same_code() {
    let proposer = Proposer::new();
    let (ann, bob) = pair(&proposer, TransitionId::INITIAL);
    let code = |of: &Davey, with| of.verification(with).expect("a member").code().expect("45 digits");
    let anns = code(&ann, BOB);
    assert_eq!((anns.len(), &anns), (45, &code(&bob, ANN)));
    assert!(ann.verification(CAROL).is_none());
}

/// davey's clock is the machine's own, so this takes the time that it takes: old keys are gone after ten seconds.
#[test]
fn old_keys_expire() {
    let proposer = Proposer::new();
    let (mut ann, mut bob) = pair(&proposer, TransitionId::INITIAL);
    let mut carol = member(CAROL, &proposer);
    let add = proposer.add(&carol.key_package().expect("a package"), 1);
    propose(&mut bob, &add);
    let both = propose(&mut ann, &add);
    for member in [&mut ann, &mut bob] {
        assert_eq!(member.commit(split(&both).0), Ok(Commit::Adopted));
        member.prepare(TransitionId::new(1), V1, Instant::now()).expect("established");
    }
    let (early, late) = (seal(&mut ann, 1), seal(&mut ann, 2));
    assert_eq!(bob.open(ANN, &early), Ok(opus(1)));
    sleep(Duration::from_millis(10_200));
    assert_eq!(bob.open(ANN, &late), Err(NotOpened));
}
