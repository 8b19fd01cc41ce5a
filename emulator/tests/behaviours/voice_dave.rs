//! End-to-end encrypted calls: the delivery service, opposite clients with real keys.

use std::collections::BTreeSet;
use std::time::Instant;

use discord_emulator::{
    ANN, Config, DavePolicy, Emulator, LOBBY, Machine, Timestamp, VoiceConfig, VoiceSent, VoiceTicket, VoiceTrouble,
};
use parlor_voice::{Commit, Davey, E2eeGroup as _};
use parlor_voice_wire::gateway::{DaveClientMessage, DaveServerMessage, ProposalsOperation, Version};
use parlor_voice_wire::transport::Mode;
use parlor_voice_wire::{ChannelId, ProtocolVersion, TransitionId, UserId};
use serde_json::{Value, json};

use crate::caller::{Caller, Came};

const V1: ProtocolVersion = ProtocolVersion::V1;

/// A voice client that follows the opcodes of DAVE.
struct Member {
    caller: Caller,
    group: Option<Davey>,
    recognised: BTreeSet<UserId>,
}

/// What a message has led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// Nothing to wait for.
    Nothing,
    /// Op 27 was answered with a commit.
    Committed,
    /// Op 27 took something back.
    Revoked,
    /// Op 29, 30.
    Changed(TransitionId),
    /// Op 21.
    Prepared(TransitionId, ProtocolVersion),
    /// Op 22.
    Executed(TransitionId),
    /// Op 24.
    BegunAnew,
}

async fn emulator(dave: DavePolicy) -> Emulator {
    let voice = VoiceConfig { dave, ..VoiceConfig::default() };
    Emulator::start(Config { voice, ..Config::default() }).await.unwrap()
}

impl Member {
    async fn join(emulator: &Emulator, name: &str) -> Self {
        Self::join_with(emulator, name, 1, 1).await
    }

    /// Joins with the DAVE version that it speaks, and the one that the call then has.
    async fn join_with(emulator: &Emulator, name: &str, speaks: u16, call: u16) -> Self {
        let ticket = emulator.user(name).joins(LOBBY).voice_ticket();
        let mut caller = Caller::dial(emulator, &ticket, 8).await;
        caller.identify(speaks).await;
        caller.take_ready().await;
        let description = caller.connect_media(Mode::Aes256GcmRtpsize).await;
        assert_eq!(description["dave_protocol_version"], call);
        let recognised = BTreeSet::from([UserId::new(ticket.user_id.get())]);
        let mut member = Self { caller, group: None, recognised };
        if call > 0 {
            member.begin().await;
        }
        member.caller.speaks().await;
        member.caller.heartbeat(1).await;
        member
    }

    fn id(&self) -> UserId {
        UserId::new(self.caller.ticket.user_id.get())
    }

    async fn begin(&mut self) {
        let channel = ChannelId::new(self.caller.ticket.channel_id.get());
        let id = self.id();
        self.group.get_or_insert_with(|| Davey::new(V1, id, channel, 0, Instant::now()).unwrap());
        self.send_key_package().await;
    }

    async fn send_key_package(&mut self) {
        let package = self.group().key_package().unwrap();
        self.caller.send_binary(&DaveClientMessage::KeyPackage(&package).write()).await;
    }

    fn group(&mut self) -> &mut Davey {
        self.group.as_mut().expect("in an encrypted call")
    }

    /// Takes the next message and does what it says.
    async fn step(&mut self) -> Step {
        match self.caller.take().await {
            Came::Text(message) => self.text(&message).await,
            Came::Binary(bytes) => self.binary(&bytes).await,
            end @ (Came::Closed(_) | Came::Dropped) => panic!("{end:?}"),
        }
    }

    async fn text(&mut self, message: &Value) -> Step {
        let d = &message["d"];
        let id = || TransitionId::new(d["transition_id"].as_u64().unwrap() as u16);
        let user = |value: &Value| UserId::new(value.as_str().unwrap().parse().unwrap());
        match message["op"].as_u64().unwrap() {
            11 => self.recognised.extend(d["user_ids"].as_array().unwrap().iter().map(user)),
            13 => drop(self.recognised.remove(&user(&d["user_id"]))),
            21 => {
                let version = ProtocolVersion::new(d["protocol_version"].as_u64().unwrap() as u16);
                if id() != TransitionId::INITIAL {
                    self.caller.send(23, json!({"transition_id": id().get()})).await;
                }
                return Step::Prepared(id(), version);
            }
            22 => {
                let _ = self.group().execute(id(), Instant::now());
                return Step::Executed(id());
            }
            24 => {
                assert_eq!((&d["epoch"], &d["protocol_version"]), (&json!(1), &json!(1)));
                if let Some(group) = &mut self.group {
                    group.reset(V1, Instant::now()).unwrap();
                }
                self.begin().await;
                return Step::BegunAnew;
            }
            _ => {}
        }
        Step::Nothing
    }

    async fn binary(&mut self, bytes: &[u8]) -> Step {
        let recognised = self.recognised.clone();
        let id = match DaveServerMessage::read(bytes, Version::V8).unwrap().message {
            DaveServerMessage::ExternalSender(package) => {
                self.group().set_external_sender(package).unwrap();
                return Step::Nothing;
            }
            DaveServerMessage::Proposals { operation, proposals } => {
                let both = self.group().propose(operation, proposals, &recognised).unwrap();
                if let Some(both) = &both {
                    self.caller.send_binary(&DaveClientMessage::CommitWelcome(both).write()).await;
                }
                return if operation == ProposalsOperation::Revoke { Step::Revoked } else { Step::Committed };
            }
            DaveServerMessage::AnnounceCommit { transition_id, commit } => {
                assert_eq!(self.group().commit(commit), Ok(Commit::Adopted));
                transition_id
            }
            DaveServerMessage::Welcome { transition_id, welcome } => {
                self.group().welcome(welcome, &recognised).unwrap();
                transition_id
            }
        };
        self.group().prepare(id, V1, Instant::now()).unwrap();
        if id != TransitionId::INITIAL {
            self.caller.send(23, json!({"transition_id": id.get()})).await;
        }
        Step::Changed(id)
    }

    /// Goes on until this step.
    async fn until(&mut self, wanted: Step) {
        while self.step().await != wanted {}
    }

    async fn says(&mut self, payload: &[u8]) {
        let mut sealed = Vec::new();
        self.group().seal(payload, &mut sealed).unwrap();
        self.caller.sends(&sealed).await;
    }

    async fn hears(&mut self, from: UserId) -> Vec<u8> {
        let sealed = self.caller.hears().await.payload;
        self.group().open(from, &sealed).unwrap()
    }
}

/// Everybody goes on until this step.
async fn all(members: &mut [&mut Member], wanted: Step) {
    for member in members {
        member.until(wanted).await;
    }
}

/// Everybody hears everybody else.
async fn talk(members: &mut [&mut Member]) {
    for speaker in 0..members.len() {
        let id = members[speaker].id();
        members[speaker].says(&[0xFC, speaker as u8]).await;
        for listener in (0..members.len()).filter(|listener| *listener != speaker) {
            assert_eq!(members[listener].hears(id).await, [0xFC, speaker as u8]);
        }
    }
}

/// Two clients in the first group of a call.
async fn pair(emulator: &Emulator) -> (Member, Member) {
    let (mut ann, mut bob) = (Member::join(emulator, "ann").await, Member::join(emulator, "bob").await);
    all(&mut [&mut ann, &mut bob], Step::Changed(TransitionId::INITIAL)).await;
    (ann, bob)
}

const fn id(number: u16) -> TransitionId {
    TransitionId::new(number)
}

#[tokio::test]
async fn groups_grow_shrink_and_begin_anew_with_the_last_who_is_left() {
    let emulator = emulator(DavePolicy::Required).await;
    let (mut ann, mut bob) = pair(&emulator).await;
    talk(&mut [&mut ann, &mut bob]).await;

    let mut cleo = Member::join(&emulator, "cleo").await;
    all(&mut [&mut ann, &mut bob, &mut cleo], Step::Changed(id(1))).await;
    all(&mut [&mut ann, &mut bob, &mut cleo], Step::Executed(id(1))).await;
    talk(&mut [&mut ann, &mut bob, &mut cleo]).await;

    emulator.user("bob").leaves();
    all(&mut [&mut ann, &mut cleo], Step::Changed(id(2))).await;
    all(&mut [&mut ann, &mut cleo], Step::Executed(id(2))).await;
    talk(&mut [&mut ann, &mut cleo]).await;
    assert_eq!(ann.group().members(), [ann.id(), cleo.id()]);

    emulator.user("ann").leaves();
    cleo.until(Step::BegunAnew).await;
    cleo.until(Step::Prepared(TransitionId::INITIAL, V1)).await;
    let mut ann = Member::join(&emulator, "ann").await;
    all(&mut [&mut ann, &mut cleo], Step::Changed(TransitionId::INITIAL)).await;
    talk(&mut [&mut ann, &mut cleo]).await;
}

#[tokio::test]
async fn who_cannot_use_what_it_got_goes_and_comes_again() {
    let emulator = emulator(DavePolicy::Required).await;
    let (mut ann, mut bob) = pair(&emulator).await;
    bob.caller.send(31, json!({"transition_id": 0})).await;
    ann.until(Step::Changed(id(1))).await;
    assert_eq!(ann.group().members(), [ann.id()]);
    bob.group().reset(V1, Instant::now()).unwrap();
    bob.send_key_package().await;
    all(&mut [&mut ann, &mut bob], Step::Changed(id(2))).await;
    all(&mut [&mut ann, &mut bob], Step::Executed(id(2))).await;
    talk(&mut [&mut ann, &mut bob]).await;
    assert_eq!(emulator.stats().voice.invalid_commits, 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_it_was_let_in_is_taken_back() {
    let emulator = emulator(DavePolicy::Required).await;
    let (mut ann, mut bob) = pair(&emulator).await;
    let _cleo = Member::join(&emulator, "cleo").await;
    emulator.user("cleo").leaves();
    // Nobody has committed yet: both see the proposal and then its end.
    for member in [&mut ann, &mut bob] {
        member.until(Step::Committed).await;
        emulator.wait_for(|stats| stats.voice.sessions_open == 2).await;
    }
    let commits = emulator.stats().voice.commits;
    assert_eq!(commits, 1, "a commit to what was taken back does not count");
    all(&mut [&mut ann, &mut bob], Step::Revoked).await;
    talk(&mut [&mut ann, &mut bob]).await;
}

#[tokio::test]
async fn a_call_falls_back_for_who_cannot_encrypt_and_rises_again() {
    let emulator = emulator(DavePolicy::Optional).await;
    let (mut ann, mut bob) = pair(&emulator).await;
    let mut dan = Member::join_with(&emulator, "dan", 0, 0).await;
    ann.says(b"sealed").await;
    assert_eq!(bob.hears(ann.id()).await, b"sealed");
    all(&mut [&mut ann, &mut bob], Step::Prepared(id(1), ProtocolVersion::NONE)).await;
    all(&mut [&mut ann, &mut bob], Step::Executed(id(1))).await;
    ann.caller.sends(b"in the clear").await;
    assert_eq!(dan.caller.hears().await.payload, b"in the clear", "and nothing before it");
    assert_eq!(bob.caller.hears().await.payload, b"in the clear");
    assert_eq!(emulator.stats().voice.withheld, 1);
    let mut cleo = Member::join_with(&emulator, "cleo", 1, 0).await;

    emulator.user("dan").leaves();
    all(&mut [&mut ann, &mut bob, &mut cleo], Step::BegunAnew).await;
    // Cleo hears for the first time who proposes.
    all(&mut [&mut ann, &mut bob, &mut cleo], Step::Changed(id(2))).await;
    all(&mut [&mut ann, &mut bob, &mut cleo], Step::Executed(id(2))).await;
    talk(&mut [&mut ann, &mut bob, &mut cleo]).await;
}

#[tokio::test]
async fn nobody_waits_for_who_is_never_ready() {
    let emulator = emulator(DavePolicy::Required).await;
    let (mut ann, mut bob) = pair(&emulator).await;
    let mut cleo = Member::join(&emulator, "cleo").await;
    ann.until(Step::Changed(id(1))).await;
    cleo.until(Step::Changed(id(1))).await;
    emulator.advance(std::time::Duration::from_secs(3));
    ann.until(Step::Executed(id(1))).await;
    all(&mut [&mut bob], Step::Executed(id(1))).await;
}

#[tokio::test]
async fn a_storm_of_transitions_ends_with_everybody_in_one_group() {
    let emulator = emulator(DavePolicy::Required).await;
    let (mut ann, mut bob) = pair(&emulator).await;
    let mut cleo = Member::join(&emulator, "cleo").await;
    all(&mut [&mut ann, &mut bob, &mut cleo], Step::Executed(id(1))).await;
    emulator.inject(VoiceTrouble::BeginAnew { times: 5 });
    let mut members = [&mut ann, &mut bob, &mut cleo];
    let mut begun = [0; 3];
    let is_over = |begun: &[u32; 3], members: &mut [&mut Member; 3]| {
        begun.iter().all(|times| *times == 5)
            && members.iter_mut().all(|member| member.group().members().len() == 3)
            && emulator.stats().voice.transitions >= 7
            && emulator.stats().voice.transitions_pending == 0
    };
    loop {
        let is_last = is_over(&begun, &mut members);
        for (member, begun) in members.iter_mut().zip(&mut begun) {
            // What was said before the answer has come before it.
            member.caller.heartbeat(9).await;
            while !member.caller.aside.is_empty() {
                *begun += u32::from(member.step().await == Step::BegunAnew);
            }
        }
        if is_last {
            break;
        }
    }
    talk(&mut members).await;
}

#[tokio::test]
async fn unsound_messages_end_the_connection_or_count_for_nothing() {
    let emulator = emulator(DavePolicy::Required).await;
    let (mut ann, mut bob) = pair(&emulator).await;
    // The other commit of the two came too late.
    let refused = emulator.wait_for(|stats| stats.voice.commits_refused == 1).await.voice.commits_refused;
    ann.caller.send_binary(&[28, 1, 2, 3]).await;
    ann.caller.heartbeat(1).await;
    assert_eq!(emulator.stats().voice.commits_refused, refused + 1);
    talk(&mut [&mut ann, &mut bob]).await;
    let stolen = bob.group().key_package().unwrap();
    ann.caller.send_binary(&DaveClientMessage::KeyPackage(&stolen).write()).await;
    assert_eq!(ann.caller.close_code().await, 4020, "a package of somebody else");
    bob.caller.send_binary(&[99]).await;
    assert_eq!(bob.caller.close_code().await, 4002);
}

/// Without sockets: ann joins and sends this; returns the code of the close frame, if there was one.
fn sends_alone(machine: &mut Machine, bytes: &[u8], now: Timestamp) -> Option<u16> {
    let ticket = machine.act(now, |world| {
        world.user("ann").joins(LOBBY);
        world.voice_ticket(ANN).unwrap()
    });
    let connection = machine.open_voice(Some(8), now);
    let VoiceTicket { guild_id, user_id, session_id, token, .. } = ticket;
    let identify = json!({"server_id": guild_id, "user_id": user_id, "session_id": session_id, "token": token,
        "max_dave_protocol_version": 1});
    machine.receive_voice(connection, &json!({"op": 0, "d": identify}).to_string(), now);
    let data = json!({"address": "127.0.0.1", "port": 9, "mode": "aead_aes256_gcm_rtpsize"});
    machine.receive_voice(connection, &json!({"op": 1, "d": {"protocol": "udp", "data": data}}).to_string(), now);
    machine.receive_voice_binary(connection, bytes, now);
    machine.voice_sent().into_iter().find_map(|sent| match sent {
        VoiceSent::End(ended, code) if ended == connection => code,
        VoiceSent::End(..) | VoiceSent::Text(..) | VoiceSent::Binary(..) | VoiceSent::Datagram(..) => None,
    })
}

/// openmls 0.8.3 panics on some of these where it is asked without looking first.
#[test]
fn a_key_package_is_sound_or_refused() {
    let now = Timestamp::from_unix_millis(1_800_000_000_000);
    let mut machine = Machine::new(Config::default(), now);
    let (ann, channel) = (UserId::new(ANN.get()), ChannelId::new(LOBBY.get()));
    let mut group = Davey::new(V1, ann, channel, 0, Instant::now()).unwrap();
    let package = DaveClientMessage::KeyPackage(&group.key_package().unwrap()).write();
    assert_eq!(sends_alone(&mut machine, &package, now), None);
    let as_message = [&[26, 0, 1, 0, 5], &package[1..]].concat();
    assert_eq!(sends_alone(&mut machine, &as_message, now), None);
    for place in 1..package.len() {
        assert_eq!(sends_alone(&mut machine, &package[..place], now), Some(4020), "{place} bytes");
        let mut changed = package.clone();
        changed[place] ^= 1;
        assert_eq!(sends_alone(&mut machine, &changed, now), Some(4020), "byte {place}");
    }
}
