//! The call: who is in it, what is under way, and what the server says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use parlor_voice::{Config, Counters, Encryption, Event, Input, Outcome, Output, Session, Signal, SocketId};
use parlor_voice_wire::{
    ChannelId, GuildId, ProtocolVersion, Ssrc, UserId,
    discovery::{Ping, Request, Response},
    gateway::{
        ClientDisconnect, ClientMessage, ClientsConnect, Credential, DaveClientMessage, DaveServerMessage,
        ExecuteTransition, Hello, PrepareEpoch, PrepareTransition, ProposalsOperation, Ready, Sequence, SequenceAck,
        ServerMessage, ServerSpeaking, SessionDescription, SpeakingFlags, Version,
    },
    opus,
    rtp::{Header, RtpTimestamp, SequenceNumber},
    transport::{Content, Mode, Opener, Sealer, TransportKey},
};

use super::delivery::{Delivery, Said};
use crate::fake_group::{FakeGroup, mix, numbers, split};

const CHANNEL: ChannelId = ChannelId::new(10);
const PEOPLE: u64 = 6;
const FRAME: Duration = Duration::from_millis(20);
/// After so long without its media, a user who left is announced as gone: nothing of theirs is under way any more.
const FAREWELL: Duration = Duration::from_millis(300);
/// For so long what was sealed before may come after, and the other way round: somebody was waited for, and both took time.
const UNDER_WAY: Duration = Duration::from_secs(3);
/// A call in which nothing changed for so long is stuck.
const STUCK: Duration = Duration::from_secs(600);

/// What a run does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// It ends after so many transitions.
    pub(crate) transitions: u32,
    /// Of a thousand datagrams, so many are lost.
    pub(crate) lost: u16,
    /// The longest that a datagram is under way beyond the shortest.
    pub(crate) jitter: Duration,
    /// The longest that a message of the gateway is under way: keys come late.
    pub(crate) slowness: Duration,
    /// When sources change hands in the middle of the call.
    pub(crate) swaps: Swaps,
}

/// When sources change hands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Swaps {
    Never,
    /// While nothing else changes: it is known then what became of every frame.
    AtRest,
    /// In the middle of transitions too. What can be said then is that keys keep names apart.
    Anywhere,
}

/// What came of a run.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Report {
    pub(crate) transitions: u32,
    pub(crate) sessions: u32,
    pub(crate) swaps: u32,
    /// Of those, how many while something else changed.
    pub(crate) swaps_in_transition: u32,
    pub(crate) recoveries: u64,
    /// Frames that came between the loss of a group and the way into another.
    pub(crate) missed: u64,
    pub(crate) resumes: u32,
    pub(crate) downgrades: u32,
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// A digest of everything that every session did, in order.
    pub(crate) digest: u64,
}

enum Happening {
    /// Something comes to a session over its websocket.
    Text(u64, SocketId, String),
    Binary(u64, SocketId, Vec<u8>),
    Opened(u64, SocketId),
    Closed(u64, SocketId),
    Assigned(u64),
    Datagram(u64, Vec<u8>, Option<Stamp>),
    /// Something comes to the server.
    Said(u64, SocketId, String),
    Sealed(u64, SocketId, Vec<u8>),
    Media(u64, Vec<u8>),
    Gone(u64),
    /// Everybody speaks.
    Tick,
    Step,
}

/// What is known of a frame under way to somebody.
#[derive(Clone, Copy)]
struct Stamp {
    /// The stretch of time in which this sender had this source.
    segment: u64,
    index: u64,
    /// Whether the receiver is in the group whose key sealed it, or it is in the clear.
    readable: bool,
    /// What sealed it.
    key: Option<u64>,
}

struct Person {
    user: u64,
    session: Session<FakeGroup>,
    due: Option<Duration>,
    joined: Duration,
    connected: bool,
    leaving: bool,
    spoken: u32,
    /// First and last index that came, for each segment.
    came: BTreeMap<u64, (u64, u64)>,
    unreadable: BTreeSet<(u64, u64)>,
    /// When each of the others came, and what sealed it.
    sealed: BTreeMap<(u64, u64), (Duration, u64)>,
    /// When they lost their group because of a commit or welcome that they could not use, and when they were back in one.
    outside: Vec<(Duration, Option<Duration>)>,
    /// Every key that they ever had, once they have left.
    had: BTreeSet<u64>,
    delivered: u64,
    /// What was held when they left.
    held_at_last: u64,
}

/// A client, as the server has it.
struct Client {
    socket: SocketId,
    ssrc: Ssrc,
    key: TransportKey,
    opener: Opener,
    sealer: Sealer,
    /// It takes media.
    live: bool,
    announced: bool,
    sequence: u16,
    sent: Vec<(u16, Result<String, Vec<u8>>)>,
    /// When the last message to it arrives, and from it: websockets keep order.
    arrives: Duration,
    returns: Duration,
    segment: u64,
    index: u64,
    /// The last RTP sequence number that came, for the index.
    newest: Option<SequenceNumber>,
    corrupt_next_commit: bool,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Script {
    /// Anything.
    Open,
    /// Nothing else, until a change of version is over.
    Changing,
    /// Nothing, until what was sent before it was over has arrived.
    Settling(Duration),
    /// Nothing more.
    Over,
}

struct World {
    plan: Plan,
    random: fastrand::Rng,
    start: Instant,
    now: Duration,
    happenings: BTreeMap<(Duration, u64), Happening>,
    order: u64,
    people: BTreeMap<u64, Person>,
    clients: BTreeMap<u64, Client>,
    delivery: Delivery,
    segments: u64,
    ssrcs: u32,
    joins: u64,
    script: Script,
    /// When sources changed hands last.
    swapped: Duration,
    /// How many transitions were executed, and when that was found.
    progress: (u32, Duration),
    report: Report,
}

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 50_000))
}

/// Runs a call until it has seen its transitions, and everybody has left.
pub(crate) fn run(plan: Plan) -> Report {
    let mut world = World {
        plan,
        random: fastrand::Rng::with_seed(plan.seed),
        start: Instant::now(),
        now: Duration::ZERO,
        happenings: BTreeMap::new(),
        order: 0,
        people: BTreeMap::new(),
        clients: BTreeMap::new(),
        delivery: Delivery::new(ProtocolVersion::V1),
        segments: 0,
        ssrcs: 1_000,
        joins: 0,
        script: Script::Open,
        swapped: Duration::ZERO,
        progress: (0, Duration::ZERO),
        report: Report::default(),
    };
    for user in 1..=3 {
        world.join(user);
    }
    world.at(FRAME, Happening::Tick);
    world.at(Duration::from_secs(2), Happening::Step);
    while world.delivery.executed < plan.transitions {
        world.next();
    }
    // What is under way arrives, and what is held is given up, before anybody is counted.
    let end = world.now + Duration::from_secs(6);
    world.script = Script::Over;
    while world.now < end {
        world.next();
    }
    let left: Vec<u64> = world.people.keys().copied().collect();
    for user in left {
        if let Some(person) = world.people.get_mut(&user) {
            person.note_the_end(world.now);
        }
        world.input(user, Input::Leave);
        world.judge(user);
    }
    world.report.transitions = world.delivery.executed;
    world.report
}

impl Person {
    /// They are about to leave.
    fn note_the_end(&mut self, now: Duration) {
        // Their keys may have been under way, and then nobody can open what came last.
        self.outside.push((now, None));
        self.held_at_last = self.session.backlog().held as u64;
        self.had = self.session.group().map(|group| group.had().clone()).unwrap_or_default();
    }

    /// Frames of groups that they were in as others knew it, and had no keys of: what came between the loss of one and the
    /// way into another.
    fn missed(&self) -> u64 {
        let missed = self.sealed.values().filter(|(_, key)| !self.had.contains(key));
        let outside = |at: Duration| {
            let on_its_way = |(from, to): &(Duration, Option<Duration>)| {
                at + UNDER_WAY >= *from && to.is_none_or(|to| at <= to + UNDER_WAY)
            };
            self.outside.iter().any(on_its_way)
        };
        missed
            .inspect(|(at, _)| assert!(outside(*at), "{} had no key at {at:?}, outside {:?}", self.user, self.outside))
            .count() as u64
    }
}

impl World {
    fn at(&mut self, after: Duration, happening: Happening) {
        self.order += 1;
        self.happenings.insert((self.now + after, self.order), happening);
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    /// The next thing that happens, anywhere.
    fn next(&mut self) {
        let wake = self.people.values().filter_map(|person| person.due.map(|due| (due, person.user))).min();
        let next = self.happenings.first_key_value().map(|(key, _)| key.0).expect("ticks never end");
        if let Some((due, user)) = wake.filter(|(due, _)| *due <= next) {
            self.now = self.now.max(due);
            self.input(user, Input::Timeout);
            return;
        }
        let ((at, _), happening) = self.happenings.pop_first().expect("there is one");
        self.now = self.now.max(at);
        if self.delivery.executed > self.progress.0 {
            self.progress = (self.delivery.executed, self.now);
        }
        assert!(self.now < self.progress.1 + STUCK, "{:?}: no more transitions, {:?}", self.plan, self.delivery);
        self.delivery.run(self.now);
        self.happen(happening);
        self.pass_on();
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Text(user, socket, text) => self.input(user, Input::Text(socket, &text)),
            Happening::Binary(user, socket, bytes) => self.input(user, Input::Binary(socket, &bytes)),
            Happening::Opened(user, socket) => {
                self.input(user, Input::SocketOpened(socket));
                let hello = Hello { heartbeat_interval: Duration::from_millis(13_750), v: Some(8) };
                let hello = ServerMessage::Hello(hello).write(None, Version::V8);
                self.input(user, Input::Text(socket, &hello));
            }
            Happening::Closed(user, socket) => self.input(user, Input::SocketClosed { socket, code: None }),
            Happening::Assigned(user) => {
                let session_id = Credential::new("session");
                self.input(user, Input::VoiceState { channel: Some(CHANNEL), session_id });
                let endpoint = Some("voice.example:443".to_owned());
                self.input(user, Input::VoiceServer { endpoint, token: Credential::new("token") });
            }
            Happening::Datagram(user, mut bytes, stamp) => {
                let Some(person) = self.people.get_mut(&user) else { return };
                if let Some(stamp) = stamp.filter(|_| person.connected) {
                    let (first, last) = person.came.entry(stamp.segment).or_insert((stamp.index, stamp.index));
                    (*first, *last) = ((*first).min(stamp.index), (*last).max(stamp.index));
                    let frame = (stamp.segment, stamp.index);
                    if !stamp.readable {
                        person.unreadable.insert(frame);
                    } else if let Some(key) = stamp.key {
                        person.sealed.entry(frame).or_insert((self.now, key));
                    }
                }
                self.input(user, Input::Datagram { from: address(), bytes: &mut bytes });
            }
            Happening::Said(user, socket, text) => self.said(user, socket, &text),
            Happening::Sealed(user, socket, bytes) => {
                if self.clients.get(&user).is_none_or(|client| client.socket != socket) {
                    return;
                }
                match DaveClientMessage::read(&bytes).expect("a session's message") {
                    DaveClientMessage::KeyPackage(package) => {
                        self.delivery.key_package(user, numbers(package)[1]);
                    }
                    DaveClientMessage::CommitWelcome(both) => {
                        let (commit, welcome) = split(both);
                        self.delivery.commit(user, &commit, &welcome, self.now);
                    }
                }
            }
            Happening::Media(user, bytes) => self.media(user, bytes),
            Happening::Gone(user) => {
                self.clients.remove(&user);
                let present: Vec<u64> = self.clients.keys().copied().collect();
                for other in &present {
                    let gone = ClientDisconnect { user_id: UserId::new(user) };
                    self.tell(*other, &ServerMessage::ClientDisconnect(gone));
                }
                self.delivery.left(user, &present);
            }
            Happening::Tick => self.tick(),
            Happening::Step => self.step(),
        }
    }

    // ─── sessions ───

    fn join(&mut self, user: u64) {
        self.joins += 1;
        self.report.sessions += 1;
        let config = Config::new(GuildId::new(1), CHANNEL, UserId::new(user));
        let session = Session::new(config, mix(&[self.plan.seed, user, self.joins]), self.instant());
        let person = Person {
            user,
            session,
            due: None,
            joined: self.now,
            connected: false,
            leaving: false,
            spoken: 0,
            came: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            sealed: BTreeMap::new(),
            outside: Vec::new(),
            had: BTreeSet::new(),
            delivered: 0,
            held_at_last: 0,
        };
        self.people.insert(user, person);
        self.at(Duration::from_millis(50), Happening::Assigned(user));
        self.drain(user);
    }

    fn input(&mut self, user: u64, input: Input<'_>) {
        let now = self.instant();
        let Some(person) = self.people.get_mut(&user) else { return };
        let before = person.session.counters().recoveries;
        person.session.handle_input(input, now);
        if person.session.counters().recoveries > before {
            person.outside.push((self.now, None));
        }
        self.drain(user);
    }

    fn drain(&mut self, user: u64) {
        while let Some(person) = self.people.get_mut(&user) {
            let output = person.session.poll_output();
            if !matches!(output, Output::Timeout(..)) {
                let since = self.now.as_nanos() as u64;
                let what = digest(&output, self.start);
                self.report.digest = mix(&[self.report.digest, since, user, what]);
            }
            match output {
                Output::Timeout(at, _) => {
                    person.due = Some(at.saturating_duration_since(self.start));
                    return;
                }
                Output::Over => {
                    person.due = None;
                    return;
                }
                Output::Event(event) => self.event(user, event),
                Output::Transmit(transmit) => {
                    assert_eq!(transmit.destination, address());
                    // What the server gets is what counts as sent: only the way to others is bad.
                    self.at(Duration::from_millis(5), Happening::Media(user, transmit.payload));
                }
                Output::Signal(signal) => self.signal(user, signal),
            }
        }
    }

    fn event(&mut self, user: u64, event: Event) {
        let Some(person) = self.people.get_mut(&user) else { return };
        match event {
            Event::Connected { .. } => person.connected = true,
            Event::Frame(frame) => {
                // Silence is nobody's.
                let is_theirs = u64::from(frame.opus[1]) == frame.user.get() || frame.opus == opus::SILENCE;
                // In the clear the server alone says whose a source is, and its word may be late.
                let may_err = self.plan.swaps == Swaps::Anywhere && !frame.sealed;
                assert!(is_theirs || may_err, "{:?}: under the wrong user", self.plan);
                person.delivered += 1;
            }
            Event::Resumed => self.report.resumes += 1,
            Event::Encryption(Encryption::EndToEnd { .. }) => {
                for (_, back) in &mut person.outside {
                    back.get_or_insert(self.now);
                }
            }
            Event::Ended(ending) => {
                assert!(person.leaving || self.script == Script::Over, "{:?}: {ending:?}", self.plan);
            }
            Event::Disconnected(why) => panic!("{:?}: {user} is disconnected: {why:?}", self.plan),
            Event::Interrupted(_)
            | Event::UsersJoined(_)
            | Event::UserLeft(_)
            | Event::Source { .. }
            | Event::Speaking { .. }
            | Event::Gap { .. }
            | Event::Encryption(_) => {}
        }
    }

    fn signal(&mut self, user: u64, signal: Signal) {
        let latency = self.latency();
        let now = self.now;
        let in_order = |client: Option<&mut Client>| {
            client.map_or(latency, |client| {
                client.returns = client.returns.max(now + latency);
                client.returns - now
            })
        };
        match signal {
            Signal::OpenSocket { socket, .. } => self.at(latency, Happening::Opened(user, socket)),
            Signal::SendText { socket, text } => {
                let after = in_order(self.clients.get_mut(&user));
                self.at(after, Happening::Said(user, socket, text));
            }
            Signal::SendBinary { socket, bytes } => {
                let after = in_order(self.clients.get_mut(&user));
                self.at(after, Happening::Sealed(user, socket, bytes));
            }
            Signal::CloseSocket { .. } | Signal::UpdateVoiceState { .. } => {}
        }
    }

    fn tick(&mut self) {
        self.at(FRAME, Happening::Tick);
        let users: Vec<u64> = self.people.keys().copied().collect();
        for user in users {
            let Some(person) = self.people.get_mut(&user).filter(|person| person.connected && !person.leaving) else {
                continue;
            };
            person.spoken += 1;
            let [a, b, c, d] = person.spoken.to_be_bytes();
            self.input(user, Input::Send(&[0xFC, user as u8, a, b, c, d]));
        }
    }

    /// One user's session is over and everything that came to it has to be accounted for.
    fn judge(&mut self, user: u64) {
        let Some(person) = self.people.remove(&user) else { return };
        let counters: &Counters = person.session.counters();
        let frames = counters.frames;
        let plan = self.plan;
        let played = frames.get(Outcome::Delivered) + frames.get(Outcome::Passthrough);
        assert_eq!(played, person.delivered, "{plan:?}: {user}");
        if plan.swaps != Swaps::Anywhere {
            let sent: u64 = person.came.values().map(|(first, last)| last - first + 1).sum();
            assert_eq!(frames.total(), sent, "{plan:?}: {user} was sent so much: {counters:?}");
            assert_eq!(frames.get(Outcome::Undecryptable), 0, "{plan:?}: {user}: {counters:?}");
            // Whoever never lost a group has missed nothing.
            let missed = person.missed();
            let least = person.unreadable.len() as u64 + missed;
            let expected = least..=least + person.held_at_last;
            let held = frames.get(Outcome::Held);
            assert!(expected.contains(&held), "{plan:?}: {user} could have read more: {expected:?}, {counters:?}");
            self.report.missed += missed;
        }
        self.report.recoveries += counters.recoveries;
        for outcome in Outcome::ALL {
            *self.report.outcomes.entry(outcome.label()).or_default() += frames.get(outcome);
        }
    }

    // ─── the server ───

    fn latency(&mut self) -> Duration {
        let most = self.plan.slowness.as_micros() as u64;
        Duration::from_micros(self.random.u64(5_000..=5_000 + most))
    }

    fn tell(&mut self, user: u64, message: &ServerMessage) {
        let Some(client) = self.clients.get_mut(&user) else { return };
        let text = message.write(Some(Sequence::new(client.sequence)), Version::V8);
        client.sent.push((client.sequence, Ok(text.clone())));
        client.sequence = client.sequence.wrapping_add(1);
        self.deliver(user, Ok(text));
    }

    fn tell_binary(&mut self, user: u64, message: &DaveServerMessage<'_>) {
        let Some(client) = self.clients.get_mut(&user) else { return };
        let bytes = message.write(Sequence::new(client.sequence), Version::V8);
        client.sent.push((client.sequence, Err(bytes.clone())));
        client.sequence = client.sequence.wrapping_add(1);
        self.deliver(user, Err(bytes));
    }

    /// Something that a resume does not repeat.
    fn answer(&mut self, user: u64, message: &ServerMessage) {
        self.deliver(user, Ok(message.write(None, Version::V8)));
    }

    fn deliver(&mut self, user: u64, frame: Result<String, Vec<u8>>) {
        let latency = self.latency();
        let Some(client) = self.clients.get_mut(&user) else { return };
        client.arrives = client.arrives.max(self.now + latency);
        let (after, socket) = (client.arrives - self.now, client.socket);
        match frame {
            Ok(text) => self.at(after, Happening::Text(user, socket, text)),
            Err(bytes) => self.at(after, Happening::Binary(user, socket, bytes)),
        }
    }

    fn said(&mut self, user: u64, socket: SocketId, text: &str) {
        let message = ClientMessage::read(text).expect("a session's message");
        if !matches!(message, ClientMessage::Identify(_) | ClientMessage::Resume(_))
            && self.clients.get(&user).is_none_or(|client| client.socket != socket)
        {
            return;
        }
        match message {
            ClientMessage::Identify(_) => self.identify(user, socket),
            ClientMessage::SelectProtocol(_) => self.describe(user),
            ClientMessage::Heartbeat { nonce, .. } => self.answer(user, &ServerMessage::HeartbeatAck { nonce }),
            ClientMessage::Speaking(_) => {
                if let Some(client) = self.clients.get_mut(&user).filter(|client| !client.announced) {
                    client.announced = true;
                    let others: Vec<u64> = self.clients.keys().copied().filter(|other| *other != user).collect();
                    others.into_iter().for_each(|other| self.announce(other, user));
                }
            }
            ClientMessage::Resume(resume) => {
                let Some(client) = self.clients.get_mut(&user) else { return };
                client.socket = socket;
                client.arrives = self.now;
                let seen = match resume.seq_ack {
                    SequenceAck::Seen(sequence) => i32::from(sequence.get()),
                    SequenceAck::None | SequenceAck::Absent => -1,
                };
                let missed: Vec<_> = client
                    .sent
                    .iter()
                    .filter(|(number, _)| i32::from(*number) > seen)
                    .map(|(_, sent)| sent.clone())
                    .collect();
                self.answer(user, &ServerMessage::Resumed);
                missed.into_iter().for_each(|frame| self.deliver(user, frame));
            }
            ClientMessage::TransitionReady(ready) => self.delivery.ready(user, ready.transition_id),
            ClientMessage::InvalidCommitWelcome(_) => self.delivery.invalid(user),
            ClientMessage::Other { op } => panic!("opcode {op}"),
        }
    }

    fn announce(&mut self, to: u64, of: u64) {
        let Some(ssrc) = self.clients.get(&of).filter(|client| client.announced).map(|client| client.ssrc) else {
            return;
        };
        let speaking = ServerSpeaking { user_id: UserId::new(of), ssrc, speaking: SpeakingFlags::VOICE };
        self.tell(to, &ServerMessage::Speaking(speaking));
    }

    fn identify(&mut self, user: u64, socket: SocketId) {
        self.ssrcs += 1;
        self.segments += 1;
        let key = TransportKey::new([self.ssrcs as u8; 32]);
        let (opener, sealer) =
            (Opener::new(Mode::Aes256GcmRtpsize, &key), Sealer::new(Mode::Aes256GcmRtpsize, &key, 0));
        let client = Client {
            socket,
            ssrc: Ssrc::new(self.ssrcs),
            key,
            opener,
            sealer,
            live: false,
            announced: false,
            sequence: 0,
            sent: Vec::new(),
            arrives: self.now,
            returns: self.now,
            segment: self.segments,
            index: 1 << 32,
            newest: None,
            corrupt_next_commit: false,
        };
        let ready = Ready {
            ssrc: client.ssrc,
            ip: address().ip(),
            port: address().port(),
            modes: vec![Mode::Aes256GcmRtpsize.name().to_owned()],
        };
        self.clients.insert(user, client);
        self.answer(user, &ServerMessage::Ready(ready));
        let everybody: Vec<u64> = self.clients.keys().copied().collect();
        let user_ids = everybody.iter().copied().map(UserId::new).collect();
        self.tell(user, &ServerMessage::ClientsConnect(ClientsConnect { user_ids }));
        for other in everybody.into_iter().filter(|other| *other != user) {
            let joined = ClientsConnect { user_ids: vec![UserId::new(user)] };
            self.tell(other, &ServerMessage::ClientsConnect(joined));
            self.announce(user, other);
        }
    }

    fn describe(&mut self, user: u64) {
        let version = ProtocolVersion::new(self.delivery.version);
        let Some(client) = self.clients.get_mut(&user) else { return };
        client.live = true;
        let description = SessionDescription {
            mode: Mode::Aes256GcmRtpsize.name().to_owned(),
            secret_key: client.key.clone(),
            dave_protocol_version: version,
            audio_codec: None,
        };
        self.answer(user, &ServerMessage::SessionDescription(description));
        self.tell_binary(user, &DaveServerMessage::ExternalSender(&[]));
    }

    /// What the delivery service has said goes to whom it concerns.
    fn pass_on(&mut self) {
        for (user, said) in std::mem::take(&mut self.delivery.said) {
            match said {
                Said::Append(proposals) => {
                    let operation = ProposalsOperation::Append;
                    self.tell_binary(user, &DaveServerMessage::Proposals { operation, proposals: &proposals });
                }
                Said::Revoke(proposals) => {
                    let operation = ProposalsOperation::Revoke;
                    self.tell_binary(user, &DaveServerMessage::Proposals { operation, proposals: &proposals });
                }
                Said::Commit(transition_id, mut commit) => {
                    let corrupt = self
                        .clients
                        .get_mut(&user)
                        .is_some_and(|client| std::mem::take(&mut client.corrupt_next_commit));
                    if corrupt {
                        commit[15] ^= 0xFF;
                    }
                    self.tell_binary(user, &DaveServerMessage::AnnounceCommit { transition_id, commit: &commit });
                }
                Said::Welcome(transition_id, welcome) => {
                    self.tell_binary(user, &DaveServerMessage::Welcome { transition_id, welcome: &welcome });
                }
                Said::Prepare(transition_id, protocol_version) => {
                    let prepare = PrepareTransition { transition_id, protocol_version };
                    self.tell(user, &ServerMessage::PrepareTransition(prepare));
                }
                Said::Execute(transition_id) => {
                    self.tell(user, &ServerMessage::ExecuteTransition(ExecuteTransition { transition_id }));
                }
                Said::Epoch => {
                    self.tell(
                        user,
                        &ServerMessage::PrepareEpoch(PrepareEpoch { protocol_version: ProtocolVersion::V1, epoch: 1 }),
                    );
                    // A group that was left knows its proposer; one that never was does not.
                    self.tell_binary(user, &DaveServerMessage::ExternalSender(&[]));
                }
            }
        }
    }

    fn media(&mut self, user: u64, mut bytes: Vec<u8>) {
        let Some(client) = self.clients.get_mut(&user) else { return };
        if let Ok(request) = Request::read(&bytes) {
            let seen = SocketAddr::from(([203, 0, 113, 9], 4_000 + user as u16));
            let response = Response { ssrc: request.ssrc, address: seen }.write().to_vec();
            self.at(Duration::from_millis(5), Happening::Datagram(user, response, None));
            return;
        }
        if let Some(ping) = Ping::read(&bytes) {
            self.at(Duration::from_millis(5), Happening::Datagram(user, ping.write_answer().to_vec(), None));
            return;
        }
        let (header, payload) =
            client.opener.open_rtp(&mut bytes).map(|(header, body)| (header, body.payload.to_vec())).expect("sealed");
        let step = client.newest.map_or(1, |newest| i64::from(header.sequence.since(newest)));
        client.newest = Some(header.sequence);
        client.index = client.index.checked_add_signed(step).expect("not below zero");
        if self.people.get(&user).is_none_or(|person| person.leaving) {
            return;
        }
        let (ssrc, segment, index) = (client.ssrc, client.segment, client.index);
        let group = self.people.get(&user).and_then(|person| person.session.group());
        let readers: Option<(u64, BTreeMap<u64, u64>)> = group
            .filter(|_| parlor_voice_wire::frame::Trailer::read(&payload).is_ok())
            .map(|group| group.readers(&payload));
        let others: Vec<u64> = self
            .clients
            .iter()
            .filter(|(other, client)| **other != user && client.live)
            .map(|(other, _)| *other)
            .collect();
        for other in others {
            let owns = |package: &u64| {
                self.people.get(&other).and_then(|p| p.session.group()).is_some_and(|g| g.owns(*package))
            };
            let readable = readers.as_ref().is_none_or(|(_, readers)| readers.get(&other).is_some_and(owns));
            let stamp = Stamp { segment, index, readable, key: readers.as_ref().map(|(key, _)| *key) };
            self.forward(other, &header, ssrc, &payload, stamp);
        }
    }

    fn forward(&mut self, to: u64, header: &Header, ssrc: Ssrc, payload: &[u8], stamp: Stamp) {
        let chance = self.random.u16(0..1_000);
        let jitter = self.plan.jitter.as_micros() as u64;
        let copies = match chance {
            _ if chance < self.plan.lost => 0,
            _ if chance < self.plan.lost + 10 => 2,
            _ => 1,
        };
        let Some(client) = self.clients.get_mut(&to) else { return };
        let header = Header::opus(header.sequence, RtpTimestamp::new(header.timestamp.get()), ssrc);
        let mut datagram = Vec::new();
        client.sealer.seal_rtp(&header, Content::payload(payload), &mut datagram).expect("has nonces");
        for _ in 0..copies {
            let after = Duration::from_micros(self.random.u64(5_000..=5_000 + jitter));
            self.at(after, Happening::Datagram(to, datagram.clone(), Some(stamp)));
        }
    }

    // ─── the script ───

    fn step(&mut self) {
        let pause = Duration::from_millis(self.random.u64(200..2_500));
        self.at(pause, Happening::Step);
        match self.script {
            Script::Open => {}
            Script::Over => return,
            Script::Settling(until) => {
                if self.now >= until {
                    self.script = Script::Open;
                }
                return;
            }
            Script::Changing => {
                if !self.delivery.is_quiet() {
                    return;
                }
                if self.delivery.version == 1 {
                    self.script = Script::Settling(self.now + Duration::from_secs(1));
                    return;
                }
                let present: Vec<u64> = self.clients.keys().copied().collect();
                self.delivery.upgrade(&present);
                self.pass_on();
                return;
            }
        }
        let present: Vec<u64> =
            self.people.values().filter(|person| !person.leaving).map(|person| person.user).collect();
        let settled = self.people.values().all(|person| person.connected && !person.leaving);
        match self.random.u8(0..16) {
            0..=3 => {
                let absent: Vec<u64> = (1..=PEOPLE)
                    .filter(|user| !self.people.contains_key(user) && !self.clients.contains_key(user))
                    .collect();
                if let Some(user) = self.random.choice(absent) {
                    self.join(user);
                }
            }
            4..=6 if present.len() > 1 => {
                let user = self.random.choice(present).expect("more than one");
                self.leave(user);
            }
            7..=11 if self.plan.swaps != Swaps::Never => self.swap(),
            12..=13 => {
                let open: Vec<(u64, SocketId)> = self
                    .clients
                    .iter()
                    .filter(|(user, client)| {
                        client.live && self.people.get(user).is_some_and(|p| p.connected && !p.leaving)
                    })
                    .map(|(user, client)| (*user, client.socket))
                    .collect();
                if let Some((user, socket)) = self.random.choice(open) {
                    self.at(Duration::ZERO, Happening::Closed(user, socket));
                }
            }
            14 if settled && present.len() > 2 && self.delivery.is_quiet() => {
                self.script = Script::Changing;
                self.report.downgrades += 1;
                let now = self.now;
                self.delivery.downgrade(&present, now);
                self.pass_on();
            }
            15 => {
                let members: Vec<u64> = present.into_iter().filter(|user| self.delivery.is_member(*user)).collect();
                let unlucky = self.random.choice(members);
                if let Some(client) = unlucky.and_then(|user| self.clients.get_mut(&user)) {
                    client.corrupt_next_commit = true;
                }
            }
            _ => {}
        }
    }

    fn leave(&mut self, user: u64) {
        // Whoever leaves before a swap is announced cannot know which losses were whose.
        if self.plan.swaps == Swaps::AtRest && self.now < self.swapped + Duration::from_secs(3) {
            return;
        }
        let Some(person) = self.people.get_mut(&user).filter(|person| person.connected) else { return };
        person.leaving = true;
        person.note_the_end(self.now);
        self.input(user, Input::Leave);
        self.judge(user);
        self.at(FAREWELL, Happening::Gone(user));
    }

    /// Two sources change hands. It is announced when it is: media of both may be there before, and of before after.
    fn swap(&mut self) {
        let able: Vec<u64> = self
            .clients
            .iter()
            .filter(|(user, client)| client.announced && self.people.get(user).is_some_and(|person| !person.leaving))
            .map(|(user, _)| *user)
            .collect();
        // A source that came back to somebody while their packets of before are under way would have a hole in its numbers.
        let again = self.now < self.swapped + Duration::from_secs(3);
        // Who has no keys cannot tell whose the packets are that were lost.
        let grouped = self
            .people
            .values()
            .all(|person| self.delivery.is_member(person.user) && self.now > person.joined + Duration::from_secs(5));
        let at_rest = grouped && self.delivery.is_quiet() && !again;
        if able.len() < 2 || (self.plan.swaps == Swaps::AtRest && !at_rest) {
            return;
        }
        self.report.swaps_in_transition += u32::from(!self.delivery.is_quiet());
        self.swapped = self.now;
        self.report.swaps += 1;
        let one = self.random.usize(0..able.len());
        let other = (one + self.random.usize(1..able.len())) % able.len();
        let (one, other) = (able[one], able[other]);
        let ssrcs = (self.clients[&one].ssrc, self.clients[&other].ssrc);
        for (user, ssrc) in [(one, ssrcs.1), (other, ssrcs.0)] {
            self.segments += 1;
            let segment = self.segments;
            let client = self.clients.get_mut(&user).expect("chosen from them");
            (client.ssrc, client.segment) = (ssrc, segment);
        }
        // Those who took part are told too: a source that was another's is not any more.
        let everybody: Vec<u64> = self.clients.keys().copied().collect();
        for to in everybody {
            for of in [one, other] {
                self.announce(to, of);
            }
        }
    }
}

/// A number for everything that an output says.
fn digest(output: &Output, start: Instant) -> u64 {
    let text = match output {
        Output::Event(Event::Frame(frame)) => {
            let received = frame.received.saturating_duration_since(start);
            format!("{:?} {:?} {} {:?} {received:?}", frame.user, frame.ssrc, frame.position, frame.opus)
        }
        Output::Event(event) => format!("{event:?}"),
        Output::Transmit(transmit) => format!("{:?}", transmit.payload),
        Output::Signal(Signal::SendText { text, .. }) => text.clone(),
        Output::Signal(Signal::SendBinary { bytes, .. }) => format!("{bytes:?}"),
        Output::Signal(signal) => format!("{signal:?}"),
        Output::Timeout(..) | Output::Over => String::new(),
    };
    text.bytes().fold(0, |state, byte| state.rotate_left(5) ^ mix(&[state, u64::from(byte)]))
}
