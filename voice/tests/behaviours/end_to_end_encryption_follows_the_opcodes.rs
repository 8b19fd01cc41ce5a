//! Each rule of the DAVE protocol that a session follows, one at a time, with Ann on the other side.

use std::collections::BTreeSet;

use parlor_voice::{Commit, E2eeGroup, Encryption, Event, Input, Outcome};
use parlor_voice_wire::{
    ProtocolVersion, TransitionId, UserId,
    gateway::{
        ClientMessage, ClientsConnect, DaveClientMessage, DaveServerMessage, ExecuteTransition, InvalidCommitWelcome,
        PrepareEpoch, PrepareTransition, ProposalsOperation, ServerMessage, TransitionReady,
    },
    opus::SILENCE,
};

use crate::{
    fake_group::{FakeCommit, FakeGroup, Proposal, numbers, proposals, split},
    scripted::{ANN, ANN_SSRC, BOB, BOB_SSRC, BOT, Call, Heard, LOBBY, media, millis, opus},
};

const V1: ProtocolVersion = ProtocolVersion::V1;
const NONE: ProtocolVersion = ProtocolVersion::NONE;

fn id(number: u16) -> TransitionId {
    TransitionId::new(number)
}

fn everybody() -> BTreeSet<UserId> {
    [BOT, ANN, BOB, UserId::new(103)].into()
}

/// A call of version 1: the session, and Ann's side of the group.
struct Pair {
    call: Call,
    ann: FakeGroup,
    epoch: u64,
    number: u16,
}

fn group(user: UserId, call: &Call) -> FakeGroup {
    let mut group = FakeGroup::new(V1, user, LOBBY, user.get(), call.now).expect("a group");
    group.set_external_sender(&[]).expect("no group yet");
    group.key_package().expect("a package");
    group
}

/// The key package that the session sent.
fn package(heard: &Heard) -> u64 {
    let sent = heard.binaries();
    let read = sent.iter().rev().find_map(|bytes| match DaveClientMessage::read(bytes) {
        Ok(DaveClientMessage::KeyPackage(package)) => Some(numbers(package)),
        Ok(DaveClientMessage::CommitWelcome(_)) | Err(_) => None,
    });
    let package = read.expect("a key package");
    assert_eq!(package[0], BOT.get());
    package[1]
}

impl Pair {
    /// Nobody is in the group.
    fn new() -> Self {
        let mut call = Call::live(V1);
        let ann = group(ANN, &call);
        call.says_binary(&DaveServerMessage::ExternalSender(&[]));
        Self { call, ann, epoch: 0, number: 0 }
    }

    /// Both are in the group, and nothing is pending.
    fn joined() -> Self {
        let mut pair = Self::new();
        let package = package(&pair.call.heard());
        pair.welcome(package, id(17));
        pair.execute(id(17));
        pair.call.pass(millis(3_000));
        pair.call.heard();
        pair
    }

    /// Ann adds the session, which is told with this transition.
    fn welcome(&mut self, package: u64, transition_id: TransitionId) {
        let add = proposals(self.epoch, &[Proposal::Add { user: BOT.get(), package }]);
        let welcome = self.ann_commits(&add, transition_id).1;
        self.call.says_binary(&DaveServerMessage::Welcome { transition_id, welcome: &welcome });
    }

    fn ann_commits(&mut self, proposals: &[u8], transition_id: TransitionId) -> (FakeCommit, Vec<u8>) {
        let both = self.ann.propose(ProposalsOperation::Append, proposals, &everybody()).expect("sound");
        let (commit, welcome) = split(&both.expect("something to commit"));
        assert_eq!(self.ann.commit(&commit.write()), Ok(Commit::Adopted));
        self.epoch += 1;
        self.ann.prepare(transition_id, V1, self.call.now).expect("established");
        (commit, welcome)
    }

    /// Somebody else is added, which the session hears as proposals and a commit.
    fn add(&mut self, user: UserId, transition_id: TransitionId) {
        self.call.says_in_order(&ServerMessage::ClientsConnect(ClientsConnect { user_ids: vec![user] }));
        let add = proposals(self.epoch, &[Proposal::Add { user: user.get(), package: 1 }]);
        let append = ProposalsOperation::Append;
        self.call.says_binary(&DaveServerMessage::Proposals { operation: append, proposals: &add });
        let (commit, _) = self.ann_commits(&add, transition_id);
        self.call.says_binary(&DaveServerMessage::AnnounceCommit { transition_id, commit: &commit.write() });
    }

    fn execute(&mut self, transition_id: TransitionId) {
        self.call.says_in_order(&ServerMessage::ExecuteTransition(ExecuteTransition { transition_id }));
        self.ann.execute(transition_id, self.call.now).expect("prepared");
    }

    fn prepare(&mut self, transition_id: TransitionId, protocol_version: ProtocolVersion) {
        let told = PrepareTransition { transition_id, protocol_version };
        self.call.says_in_order(&ServerMessage::PrepareTransition(told));
    }

    fn anew(&mut self) {
        let told = PrepareEpoch { protocol_version: V1, epoch: 1 };
        self.call.says_in_order(&ServerMessage::PrepareEpoch(told));
    }

    /// Ann speaks, with whichever key she has.
    fn ann_speaks(&mut self) {
        let mut sealed = Vec::new();
        self.ann.seal(&opus(self.number as u8), &mut sealed).expect("a key");
        self.ann_sends(&sealed);
    }

    fn ann_sends(&mut self, payload: &[u8]) {
        self.call.comes(ANN_SSRC, self.number, payload);
        self.number += 1;
        self.call.pass(millis(60));
    }

    /// How many frames were delivered since this was asked last.
    fn heard(&mut self) -> usize {
        self.call.heard().frames().len()
    }

    /// What the session sends in place of a frame, if anything.
    fn speaks(&mut self) -> Option<Vec<u8>> {
        self.call.heard();
        self.call.input(Input::Send(&opus(9)));
        media(&self.call.heard()).pop().map(|(_, _, payload)| payload)
    }

    /// Whether Ann can open what the session sends.
    fn ann_hears(&mut self) -> bool {
        let sent = self.speaks().expect("a key");
        self.ann.open(BOT, &sent) == Ok(opus(9))
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.call.session.counters().frames.get(outcome)
    }
}

fn ready(heard: &Heard) -> Vec<TransitionId> {
    let told = |message| match message {
        ClientMessage::TransitionReady(TransitionReady { transition_id }) => Some(transition_id),
        ClientMessage::Identify(_)
        | ClientMessage::SelectProtocol(_)
        | ClientMessage::Heartbeat { .. }
        | ClientMessage::Speaking(_)
        | ClientMessage::Resume(_)
        | ClientMessage::InvalidCommitWelcome(_)
        | ClientMessage::Other { .. } => None,
    };
    heard.messages().into_iter().filter_map(told).collect()
}

#[test]
fn a_key_package_follows_the_session_description() {
    let mut call = Call::live(V1);
    let heard = call.heard();
    assert_eq!((heard.binaries().len(), package(&heard) & 0xFFFF), (1, 1));
    let mut call = Call::live(NONE);
    assert_eq!(call.heard().binaries().len(), 0, "and none where the call is not encrypted");
}

#[test]
fn others_keys_are_used_from_prepare_and_the_own_from_execute() {
    let mut pair = Pair::new();
    let package = package(&pair.call.heard());
    pair.welcome(package, id(17));
    assert_eq!(ready(&pair.call.heard()), [id(17)]);
    assert_eq!(pair.speaks(), None, "not before everybody is ready");
    // Ann is told to execute first.
    pair.ann.execute(id(17), pair.call.now).expect("prepared");
    pair.ann_speaks();
    assert_eq!(pair.heard(), 1);

    pair.execute(id(17));
    let encryption = pair.call.heard().events;
    assert!(matches!(&encryption[..], [Event::Encryption(Encryption::EndToEnd { members, privacy_code: Some(_) })]
        if *members == [BOT, ANN]));
    assert!(pair.ann_hears());
}

#[test]
fn transition_0_takes_effect_at_once_and_nobody_is_ready_for_it() {
    let mut pair = Pair::new();
    let package = package(&pair.call.heard());
    pair.welcome(package, id(0));
    assert_eq!(ready(&pair.call.heard()), []);
    assert!(pair.ann_hears());
}

#[test]
fn frames_that_come_before_their_key_are_held_and_delivered() {
    let mut pair = Pair::new();
    let package = package(&pair.call.heard());
    // What Ann says with the new key overtakes the welcome.
    let add = proposals(0, &[Proposal::Add { user: BOT.get(), package }]);
    let (_, welcome) = pair.ann_commits(&add, id(0));
    pair.ann_speaks();
    pair.ann_speaks();
    pair.call.pass(millis(1_000));
    assert_eq!(pair.heard(), 0);
    pair.call.says_binary(&DaveServerMessage::Welcome { transition_id: id(0), welcome: &welcome });
    assert_eq!(pair.heard(), 2);
    assert_eq!(pair.count(Outcome::Delivered), 2);
}

#[test]
fn frames_whose_key_never_comes_are_given_up() {
    let mut pair = Pair::new();
    let mut bob = group(BOB, &pair.call);
    let both = bob.propose(
        ProposalsOperation::Append,
        &proposals(0, &[Proposal::Add { user: 7, package: 1 }]),
        &[UserId::new(7)].into(),
    );
    bob.commit(&split(&both.expect("sound").expect("a commit")).0.write()).expect("its own");
    bob.prepare(id(0), V1, pair.call.now).expect("established");
    let mut sealed = Vec::new();
    bob.seal(&opus(1), &mut sealed).expect("a key");
    pair.ann_sends(&sealed);
    pair.call.pass(millis(2_000));
    assert_eq!((pair.heard(), pair.count(Outcome::Held)), (0, 1), "this session was not in that group");

    let mut pair = Pair::joined();
    pair.ann_sends(&sealed);
    pair.call.pass(millis(2_000));
    assert_eq!((pair.heard(), pair.count(Outcome::Undecryptable)), (0, 1), "it should have been readable");
}

/// Their old keys are still kept, and open nothing of what they say before they are in the group again.
#[test]
fn frames_of_somebody_who_has_left_the_group_are_given_up_and_not_called_undecryptable() {
    for leaves in [false, true] {
        let mut pair = Pair::joined();
        pair.add(BOB, id(18));
        pair.execute(id(18));
        pair.call.claims(BOB_SSRC, BOB);
        if leaves {
            let remove = proposals(2, &[Proposal::Remove { user: BOB.get() }]);
            let operation = ProposalsOperation::Append;
            pair.call.says_binary(&DaveServerMessage::Proposals { operation, proposals: &remove });
            let (commit, _) = pair.ann_commits(&remove, id(19));
            pair.call
                .says_binary(&DaveServerMessage::AnnounceCommit { transition_id: id(19), commit: &commit.write() });
            pair.execute(id(19));
        }
        pair.call.comes(BOB_SSRC, 1, &[&opus(1)[..], &[0x5A; 8], &[7, 12, 0xFA, 0xFA]].concat());
        pair.call.pass(millis(2_500));
        let counted = (pair.count(Outcome::Held), pair.count(Outcome::Undecryptable));
        assert_eq!(counted, if leaves { (1, 0) } else { (0, 1) }, "leaves: {leaves}");
    }
}

/// Whose it is, nobody knows: its number says nothing about Ann's stream.
#[test]
fn a_frame_of_a_stranger_far_ahead_makes_nothing_missing() {
    let mut pair = Pair::joined();
    pair.ann_speaks();
    pair.call.comes(ANN_SSRC, 2_000, &[&opus(1)[..], &[0x5A; 8], &[7, 12, 0xFA, 0xFA]].concat());
    pair.call.pass(millis(2_500));
    pair.ann_speaks();
    assert_eq!(pair.heard(), 2);
    pair.call.pass(millis(3_000));
    assert_eq!((pair.count(Outcome::Undecryptable), pair.count(Outcome::Lost)), (1, 0));
}

#[test]
fn old_keys_are_kept_for_ten_seconds() {
    let mut pair = Pair::joined();
    // Ann goes on with her old key: she is slow to execute.
    pair.add(UserId::new(103), id(18));
    pair.call.pass(millis(9_500));
    pair.ann_speaks();
    assert_eq!(pair.heard(), 1);
    pair.call.pass(millis(500));
    pair.ann_speaks();
    pair.call.pass(millis(2_000));
    assert_eq!((pair.heard(), pair.count(Outcome::Undecryptable)), (0, 1));
}

#[test]
fn several_transitions_may_be_pending() {
    let mut pair = Pair::joined();
    pair.add(UserId::new(103), id(18));
    pair.add(BOB, id(19));
    assert_eq!(ready(&pair.call.heard()), [id(18), id(19)]);
    assert!(pair.ann_hears(), "with the key before both");
    for transition in [18, 19] {
        pair.execute(id(transition));
        assert!(pair.ann_hears(), "{transition}");
        pair.ann_speaks();
        assert_eq!(pair.heard(), 1, "{transition}");
    }
}

/// The server waits for somebody who is not ready for the first, and then executes it after the second.
#[test]
fn an_older_transition_does_not_bring_its_key_back() {
    let mut pair = Pair::joined();
    pair.add(UserId::new(103), id(18));
    pair.add(BOB, id(19));
    pair.execute(id(19));
    let execute = ExecuteTransition { transition_id: id(18) };
    pair.call.says_in_order(&ServerMessage::ExecuteTransition(execute));
    pair.call.pass(millis(10_000));
    pair.ann.expire(pair.call.now);
    assert!(pair.ann_hears(), "the newest key is the only one that Ann still has");
}

#[test]
fn an_execution_that_overtakes_its_preparation_is_done_with_it() {
    let mut pair = Pair::joined();
    pair.call.says_in_order(&ServerMessage::ExecuteTransition(ExecuteTransition { transition_id: id(18) }));
    pair.add(BOB, id(18));
    pair.ann.execute(id(18), pair.call.now).expect("prepared");
    let events = pair.call.heard().events;
    assert!(
        events.iter().any(|event| matches!(event, Event::Encryption(Encryption::EndToEnd { members, .. })
        if members.len() == 3)),
        "{events:?}"
    );
    assert!(pair.ann_hears());
}

#[test]
fn a_frame_in_the_clear_is_not_let_in_unless_it_is_silence() {
    let mut pair = Pair::joined();
    pair.ann_speaks();
    pair.ann_sends(&opus(1));
    pair.ann_sends(&SILENCE);
    pair.call.pass(millis(2_000));
    let heard = pair.call.heard();
    let frames: Vec<_> = heard.frames().iter().map(|frame| (frame.sealed, frame.opus.clone())).collect();
    assert_eq!(frames, [(true, opus(0)), (false, SILENCE.to_vec())]);
    assert_eq!((pair.count(Outcome::Undecryptable), pair.count(Outcome::Passthrough)), (1, 1));
}

#[test]
fn a_downgrade_lets_the_clear_in_at_prepare_and_sends_it_at_execute() {
    let mut pair = Pair::joined();
    pair.prepare(id(20), NONE);
    assert_eq!(ready(&pair.call.heard()), [id(20)]);
    pair.ann_speaks();
    pair.ann_sends(&opus(1));
    assert_eq!(pair.heard(), 2, "either is under way");
    assert!(pair.ann_hears(), "still sealed");
    pair.call.says_in_order(&ServerMessage::ExecuteTransition(ExecuteTransition { transition_id: id(20) }));
    assert_eq!(pair.call.heard().events, [Event::Encryption(Encryption::Transport)]);
    assert_eq!(pair.speaks(), Some(opus(9)));
    pair.ann_speaks();
    assert_eq!(pair.heard(), 1, "and what was sealed before is still opened");
}

/// Somebody who cannot encrypt has come, and a commit that was under way is spoilt.
#[test]
fn a_downgrade_outlives_a_commit_that_cannot_be_used() {
    let mut pair = Pair::joined();
    pair.prepare(id(20), NONE);
    pair.call.says_binary(&DaveServerMessage::AnnounceCommit { transition_id: id(18), commit: &[0; 7] });
    assert_eq!(pair.call.session.counters().recoveries, 1);
    pair.call.heard();
    pair.call.says_in_order(&ServerMessage::ExecuteTransition(ExecuteTransition { transition_id: id(20) }));
    assert_eq!(pair.call.heard().events, [Event::Encryption(Encryption::Transport)]);
    assert_eq!(pair.speaks(), Some(opus(9)));
    pair.ann_sends(&opus(1));
    assert_eq!(pair.heard(), 1);
}

#[test]
fn an_upgrade_lets_the_clear_in_for_ten_more_seconds() {
    let mut call = Call::live(NONE);
    let ann = group(ANN, &call);
    call.heard();
    let mut pair = Pair { call, ann, epoch: 0, number: 0 };
    pair.anew();
    pair.call.says_binary(&DaveServerMessage::ExternalSender(&[]));
    let package = package(&pair.call.heard());
    pair.welcome(package, id(5));
    assert_eq!(pair.speaks(), Some(opus(9)), "in the clear until everybody is ready");
    pair.execute(id(5));
    assert!(pair.ann_hears());
    pair.ann_sends(&opus(1));
    assert_eq!((pair.heard(), pair.count(Outcome::Passthrough)), (1, 1));
    pair.call.pass(millis(10_000));
    pair.ann_sends(&opus(2));
    pair.call.pass(millis(2_000));
    assert_eq!((pair.heard(), pair.count(Outcome::Undecryptable)), (0, 1));
}

#[test]
fn a_commit_that_cannot_be_used_begins_the_group_anew() {
    let mut pair = Pair::joined();
    let commit = FakeCommit { channel: LOBBY.get(), epoch: 9, committer: 1, salt: 1, proposals: Vec::new() };
    pair.call.says_binary(&DaveServerMessage::AnnounceCommit { transition_id: id(18), commit: &commit.write() });
    let heard = pair.call.heard();
    let invalid = InvalidCommitWelcome { transition_id: id(18) };
    assert_eq!(heard.messages(), [ClientMessage::InvalidCommitWelcome(invalid)]);
    assert_eq!(pair.call.session.counters().recoveries, 1);
    let renewed = package(&heard);
    assert_eq!(renewed & 0xFFFF, 2, "another key package");
    pair.ann_speaks();
    assert_eq!(pair.heard(), 1, "media keys outlive the group");

    pair.ann_commits(&proposals(1, &[Proposal::Remove { user: BOT.get() }]), id(18));
    pair.welcome(renewed, id(19));
    pair.execute(id(19));
    assert!(pair.ann_hears());
    pair.ann_speaks();
    assert_eq!(pair.heard(), 1);
}

/// Ann is in the next epoch, and the commit that leads there is spoilt: what she says meanwhile was not this session's to read.
#[test]
fn frames_held_when_the_group_is_lost_are_given_up_and_not_called_undecryptable() {
    let mut pair = Pair::joined();
    pair.ann_commits(&proposals(1, &[Proposal::Remove { user: BOB.get() }]), id(18));
    pair.ann.execute(id(18), pair.call.now).expect("prepared");
    pair.ann_speaks();
    assert_eq!(pair.heard(), 0, "its key is not there");
    pair.call.says_binary(&DaveServerMessage::AnnounceCommit { transition_id: id(18), commit: &[0; 7] });
    assert_eq!(pair.call.session.counters().recoveries, 1);
    pair.call.pass(millis(3_000));
    assert_eq!((pair.count(Outcome::Held), pair.count(Outcome::Undecryptable)), (1, 0));
}

#[test]
fn a_welcome_that_cannot_be_used_begins_the_group_anew() {
    let mut pair = Pair::new();
    pair.call.heard();
    pair.welcome(99, id(17));
    let heard = pair.call.heard();
    let invalid = InvalidCommitWelcome { transition_id: id(17) };
    assert_eq!(heard.messages(), [ClientMessage::InvalidCommitWelcome(invalid)]);
    assert_eq!(package(&heard) & 0xFFFF, 2);
}

/// A commit among others, while this session waits to be welcomed, is none of its business.
#[test]
fn a_commit_of_others_is_passed_over() {
    let mut pair = Pair::new();
    pair.call.heard();
    let commit = FakeCommit { channel: LOBBY.get(), epoch: 3, committer: 1, salt: 1, proposals: Vec::new() };
    pair.call.says_binary(&DaveServerMessage::AnnounceCommit { transition_id: id(4), commit: &commit.write() });
    let heard = pair.call.heard();
    assert_eq!((heard.messages(), heard.binaries().len()), (Vec::new(), 0));
}

#[test]
fn proposals_are_committed_and_those_of_unknown_users_when_they_are_known() {
    let mut pair = Pair::joined();
    let stranger = UserId::new(103);
    let add = proposals(1, &[Proposal::Add { user: stranger.get(), package: 1 }]);
    let operation = ProposalsOperation::Append;
    pair.call.says_binary(&DaveServerMessage::Proposals { operation, proposals: &add });
    assert_eq!(pair.call.heard().binaries().len(), 0, "nobody said that they are here");
    let known = ClientsConnect { user_ids: vec![stranger] };
    pair.call.says_in_order(&ServerMessage::ClientsConnect(known));
    let heard = pair.call.heard();
    let commits = heard.binaries();
    let Ok(DaveClientMessage::CommitWelcome(both)) = DaveClientMessage::read(&commits[0]) else { panic!("{heard:?}") };
    assert_eq!(split(both).0.proposals, [Proposal::Add { user: 103, package: 1 }]);

    let revoked = crate::fake_group::bytes(&[0, 103, 1]);
    let operation = ProposalsOperation::Revoke;
    pair.call.says_binary(&DaveServerMessage::Proposals { operation, proposals: &revoked });
    assert_eq!(pair.call.heard().binaries().len(), 0, "nothing is left to commit");
}

/// The last one in a call is told to begin anew, or it would be alone for ever (DAVE protocol, "Sole member reset").
#[test]
fn the_sole_member_begins_anew_and_sends_nothing() {
    let mut pair = Pair::joined();
    pair.anew();
    let renewed = package(&pair.call.heard());
    pair.prepare(id(0), V1);
    let heard = pair.call.heard();
    assert_eq!((ready(&heard), renewed & 0xFFFF), (vec![], 2));
    assert!(heard.events.contains(&Event::Encryption(Encryption::Negotiating)));
    assert_eq!(pair.speaks(), None, "there is no key, and nothing is sent in the clear");

    pair.ann = group(ANN, &pair.call);
    pair.epoch = 0;
    pair.welcome(renewed, id(0));
    assert!(pair.ann_hears(), "and when somebody comes it is heard");
}

/// The sources of Ann and Bob are exchanged, and the announcements come late: whose key opens a frame decides.
#[test]
fn swapped_sources_mix_nobody_up() {
    let mut pair = Pair::joined();
    let mut bob = group(BOB, &pair.call);
    let add = proposals(1, &[Proposal::Add { user: BOB.get(), package: (BOB.get() << 16) + 1 }]);
    let operation = ProposalsOperation::Append;
    pair.call.says_binary(&DaveServerMessage::Proposals { operation, proposals: &add });
    let (commit, welcome) = pair.ann_commits(&add, id(18));
    pair.call.says_binary(&DaveServerMessage::AnnounceCommit { transition_id: id(18), commit: &commit.write() });
    bob.welcome(&welcome, &everybody()).expect("his own");
    bob.prepare(id(18), V1, pair.call.now).expect("established");
    bob.execute(id(18), pair.call.now).expect("prepared");
    pair.execute(id(18));
    pair.call.heard();

    let mut says = |pair: &mut Pair, bobs: bool, ssrc, number| {
        let mut sealed = Vec::new();
        let (speaker, payload) = if bobs { (&mut bob, opus(2)) } else { (&mut pair.ann, opus(1)) };
        speaker.seal(&payload, &mut sealed).expect("a key");
        pair.call.comes(ssrc, number, &sealed);
        pair.call.pass(millis(20));
    };
    for number in 0..5 {
        says(&mut pair, false, ANN_SSRC, number);
        says(&mut pair, true, BOB_SSRC, 9_000 + number);
    }
    // The swap, before it is announced, and a frame of before that was overtaken by the announcement.
    for number in 0..5 {
        says(&mut pair, true, ANN_SSRC, 40_000 + number);
        says(&mut pair, false, BOB_SSRC, 30_000 + number);
    }
    pair.call.claims(ANN_SSRC, BOB);
    pair.call.claims(BOB_SSRC, ANN);
    says(&mut pair, false, ANN_SSRC, 5);
    says(&mut pair, true, BOB_SSRC, 9_005);
    for number in 5..10 {
        says(&mut pair, true, ANN_SSRC, 40_000 + number);
        says(&mut pair, false, BOB_SSRC, 30_000 + number);
    }
    pair.call.pass(millis(5_000));
    let heard = pair.call.heard();
    for frame in heard.frames() {
        assert_eq!(frame.user, if frame.opus[1] == 1 { ANN } else { BOB });
    }
    assert_eq!(heard.frames().len(), 32, "and none is missing: {:?}", pair.call.session.counters());
}
