//! Four people speak for hours, two of them without a pause, on clocks that run fast and slow: what is heard at the end is as
//! fresh, as even and as well aligned as at the beginning, and neither the session nor its process holds more. The same end to
//! end encrypted, in a group that goes from epoch to epoch.
//!
//! `PARLOR_VOICE_MINUTES=<number>` simulates so many minutes; ten if it is not set.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::{Duration, Instant},
};

use parlor_voice::{Backlog, Commit, E2eeGroup as _, Event, Input, Outcome, Output, Session, Signal, SocketId};
use parlor_voice_wire::{
    ProtocolVersion, Ssrc, TransitionId, UserId,
    gateway::{
        ClientMessage, ClientsConnect, DaveClientMessage, DaveServerMessage, ExecuteTransition, ProposalsOperation,
        Sequence, ServerMessage, Version,
    },
    rtp::{Header, RtpTimestamp, SequenceNumber},
    transport::{Content, Sealer},
};

use crate::{
    fake_group::{FakeCommit, FakeGroup, Proposal, mix, numbers, proposals, split},
    scripted::{BOB, BOT, Call, LOBBY, millis, server},
    told,
};

const FRAME_NANOS: i64 = 20_000_000;
const FRAME_SAMPLES: u32 = 960;
/// The shortest way to the session, and what comes on top at random.
const TRANSIT: Duration = Duration::from_millis(20);
const JITTER_MICROS: u64 = 30_000;
/// How long a session lets a frame wait (`Config::playout_delay`).
const DELAY: Duration = Duration::from_millis(60);
/// One in so many datagrams is lost, and as many come twice.
const SELDOM: u64 = 100;

/// How long an epoch lasts: the time until somebody comes who says nothing, or goes again.
const EPOCH: Duration = Duration::from_secs(20);
/// How much more memory a process may have at the end than after two minutes: what an allocator keeps is not exact.
const SLACK_KILOBYTES: u64 = 1_024;
/// Set where a test runs in a process of its own.
const ALONE: &str = "PARLOR_VOICE_ALONE";

/// How somebody speaks.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// How much slow their clock is, in parts per million.
    slow: i64,
    /// So many frames, then a pause of so many.
    spurt: Option<(u64, u64)>,
    /// Whether the clock of their media stands while they pause.
    clock_stands: bool,
}

const MANNERS: [Manner; 4] = [
    Manner { slow: 50, spurt: None, clock_stands: false },
    Manner { slow: -50, spurt: None, clock_stands: false },
    Manner { slow: 50, spurt: Some((700, 133)), clock_stands: false },
    Manner { slow: -50, spurt: Some((450, 51)), clock_stands: true },
];

/// Somebody who speaks.
struct Speaker {
    manner: Manner,
    user: UserId,
    ssrc: Ssrc,
    /// Frames of their clock since the beginning, spoken or not.
    turn: u64,
    sequence: SequenceNumber,
    timestamp: RtpTimestamp,
    sent: u64,
    lost: u64,
    delivered: u64,
    /// The sum of delays, and how many, by minute.
    delays: Vec<(Duration, u32)>,
    longest: Duration,
    shortest: Duration,
}

impl Speaker {
    /// When their next turn is, since the beginning.
    fn next(&self) -> Duration {
        let frame = FRAME_NANOS + FRAME_NANOS * self.manner.slow / 1_000_000;
        Duration::from_nanos(self.turn * frame as u64)
    }

    fn mean(&self, minute: usize) -> Duration {
        let (sum, frames) = self.delays[minute];
        sum / frames
    }
}

/// The speakers' side of an end-to-end encrypted call. The first of them commits.
struct Choir {
    groups: Vec<FakeGroup>,
    epoch: u64,
    /// Whether Bob is in the group.
    with_bob: bool,
}

impl Choir {
    const V1: ProtocolVersion = ProtocolVersion::V1;

    fn everybody() -> BTreeSet<UserId> {
        let speakers = (0..MANNERS.len()).map(speaker);
        speakers.chain([BOT, BOB]).collect()
    }

    /// A group of all speakers and the session.
    fn found(call: &mut Call) -> Self {
        let user_ids = Self::everybody().into_iter().collect();
        call.says_in_order(&ServerMessage::ClientsConnect(ClientsConnect { user_ids }));
        let sent = call.heard().binaries();
        let package = sent.iter().find_map(|bytes| match DaveClientMessage::read(bytes) {
            Ok(DaveClientMessage::KeyPackage(package)) => Some(numbers(package)[1]),
            Ok(DaveClientMessage::CommitWelcome(_)) | Err(_) => None,
        });
        let mut adds = vec![Proposal::Add { user: BOT.get(), package: package.expect("a key package") }];
        let mut groups = Vec::new();
        for user in (0..MANNERS.len()).map(speaker) {
            let mut group = FakeGroup::new(Self::V1, user, LOBBY, user.get(), call.now).expect("a group");
            group.set_external_sender(&[]).expect("no group yet");
            let package = numbers(&group.key_package().expect("a package"))[1];
            if !groups.is_empty() {
                adds.push(Proposal::Add { user: user.get(), package });
            }
            groups.push(group);
        }
        let append = ProposalsOperation::Append;
        let both = groups[0].propose(append, &proposals(0, &adds), &Self::everybody()).expect("sound");
        let (commit, welcome) = split(&both.expect("something to commit"));
        assert_eq!(groups[0].commit(&commit.write()), Ok(Commit::Adopted));
        for group in &mut groups[1..] {
            group.welcome(&welcome, &Self::everybody()).expect("it is theirs");
        }
        for group in &mut groups {
            group.prepare(TransitionId::INITIAL, Self::V1, call.now).expect("established");
        }
        call.says_binary(&DaveServerMessage::ExternalSender(&[]));
        let transition_id = TransitionId::INITIAL;
        call.says_binary(&DaveServerMessage::Welcome { transition_id, welcome: &welcome });
        Self { groups, epoch: 1, with_bob: false }
    }

    /// Bob comes or goes: what is proposed, and what the first of them commits.
    fn turn(&mut self, now: Instant) -> (Vec<u8>, FakeCommit) {
        let user = BOB.get();
        let change = if self.with_bob { Proposal::Remove { user } } else { Proposal::Add { user, package: 1 } };
        self.with_bob = !self.with_bob;
        let proposed = proposals(self.epoch, &[change]);
        let append = ProposalsOperation::Append;
        let answers: Vec<_> = self
            .groups
            .iter_mut()
            .map(|group| group.propose(append, &proposed, &Self::everybody()).expect("sound"))
            .collect();
        let (commit, _) = split(answers[0].as_ref().expect("something to commit"));
        self.epoch += 1;
        let id = self.transition();
        for group in &mut self.groups {
            assert_eq!(group.commit(&commit.write()), Ok(Commit::Adopted));
            group.prepare(id, Self::V1, now).expect("established");
        }
        (proposed, commit)
    }

    fn transition(&self) -> TransitionId {
        TransitionId::new(self.epoch as u16)
    }
}

/// A speaker's user id.
fn speaker(place: usize) -> UserId {
    UserId::new(201 + place as u64)
}

struct Hours {
    session: Session<FakeGroup>,
    socket: SocketId,
    sealer: Sealer,
    start: Instant,
    now: Instant,
    seed: u64,
    speakers: Vec<Speaker>,
    /// Datagrams under way, by when they arrive.
    way: BTreeMap<(Duration, u64), Vec<u8>>,
    sent: u64,
    most: Backlog,
    choir: Option<Choir>,
    next_epoch: Duration,
    /// Messages of the voice gateway that have a number.
    messages: u16,
}

impl Hours {
    fn new(seed: u64, version: ProtocolVersion) -> Self {
        let mut call = Call::live(version);
        let choir = (version == ProtocolVersion::V1).then(|| Choir::found(&mut call));
        let speaker = |(number, manner): (usize, &Manner)| {
            let (user, ssrc) = (speaker(number), Ssrc::new(2_001 + number as u32));
            call.claims(ssrc, user);
            Speaker {
                manner: *manner,
                user,
                ssrc,
                turn: 0,
                // Both wrap soon.
                sequence: SequenceNumber::new(65_000),
                timestamp: RtpTimestamp::new(u32::MAX - 1_000_000),
                sent: 0,
                lost: 0,
                delivered: 0,
                delays: Vec::new(),
                longest: Duration::ZERO,
                shortest: Duration::MAX,
            }
        };
        let speakers = MANNERS.iter().enumerate().map(speaker).collect();
        call.heard();
        let Call { session, now, socket, sealer, .. } = call;
        let socket = socket.expect("a socket");
        Self {
            session,
            socket,
            sealer,
            start: now,
            now,
            seed,
            speakers,
            way: BTreeMap::new(),
            sent: 0,
            most: Backlog::default(),
            choir,
            next_epoch: EPOCH,
            messages: 1_000,
        }
    }

    fn chance(&self, what: u64) -> u64 {
        mix(&[self.seed, self.sent, what])
    }

    /// Everybody speaks until then.
    fn speak_until(&mut self, until: Duration, end: Duration) {
        loop {
            let speaker = (0..self.speakers.len()).min_by_key(|at| self.speakers[*at].next()).expect("four");
            let spoken = self.speakers[speaker].next();
            self.arrive(spoken);
            if spoken >= until {
                return;
            }
            if spoken >= self.next_epoch {
                self.next_epoch += EPOCH;
                self.change_epoch();
            }
            self.speak(speaker, spoken, end);
        }
    }

    /// The group goes into its next epoch: everybody is told of it, and ready at once.
    fn change_epoch(&mut self) {
        let Some(choir) = &mut self.choir else { return };
        let (proposals, commit) = choir.turn(self.now);
        let transition_id = choir.transition();
        let operation = ProposalsOperation::Append;
        self.say(&DaveServerMessage::Proposals { operation, proposals: &proposals });
        self.say(&DaveServerMessage::AnnounceCommit { transition_id, commit: &commit.write() });
        let execute = ServerMessage::ExecuteTransition(ExecuteTransition { transition_id });
        let execute = execute.write(None, Version::V8);
        self.session.handle_input(Input::Text(self.socket, &execute), self.now);
        for group in self.choir.iter_mut().flat_map(|choir| &mut choir.groups) {
            group.execute(transition_id, self.now).expect("prepared");
            group.expire(self.now);
        }
    }

    fn say(&mut self, message: &DaveServerMessage<'_>) {
        self.messages = self.messages.wrapping_add(1);
        let bytes = message.write(Sequence::new(self.messages), Version::V8);
        self.session.handle_input(Input::Binary(self.socket, &bytes), self.now);
    }

    /// Everybody speaks until then, and what they said arrives.
    fn run(&mut self, end: Duration) {
        self.speak_until(end, end);
        let rest = end + Duration::from_secs(5);
        self.arrive(rest);
        self.pass(rest);
    }

    /// Whatever is under way arrives, until then.
    fn arrive(&mut self, until: Duration) {
        while let Some(entry) = self.way.first_entry().filter(|entry| entry.key().0 <= until) {
            let ((at, _), mut datagram) = entry.remove_entry();
            self.pass(at);
            self.session.handle_input(Input::Datagram { from: server(), bytes: &mut datagram }, self.now);
            let backlog = self.session.backlog();
            self.most.waiting = self.most.waiting.max(backlog.waiting);
            self.most.held = self.most.held.max(backlog.held);
            self.most.remembered = self.most.remembered.max(backlog.remembered);
            self.most.sources = self.most.sources.max(backlog.sources);
        }
    }

    fn speak(&mut self, at: usize, spoken: Duration, end: Duration) {
        let speaker = &mut self.speakers[at];
        let turn = speaker.turn;
        speaker.turn += 1;
        let pauses = speaker.manner.spurt.is_some_and(|(spurt, pause)| turn % (spurt + pause) >= spurt);
        if pauses {
            if !speaker.manner.clock_stands {
                speaker.timestamp = speaker.timestamp.plus(FRAME_SAMPLES);
            }
            return;
        }
        let header = Header::opus(speaker.sequence, speaker.timestamp, speaker.ssrc);
        speaker.sequence = speaker.sequence.plus(1);
        speaker.timestamp = speaker.timestamp.plus(FRAME_SAMPLES);
        speaker.sent += 1;
        self.sent += 1;
        // Neither the first nor the last frames: what is missing before or after is nobody's loss.
        let between = speaker.sent > 100 && spoken + Duration::from_secs(2) < end;
        let fate = self.chance(1) % SELDOM;
        if between && fate == 0 {
            self.speakers[at].lost += 1;
            return;
        }
        let mut payload = vec![0xFC];
        payload.extend((spoken.as_nanos() as u64).to_be_bytes());
        if let Some(choir) = &mut self.choir {
            let mut sealed = Vec::new();
            choir.groups[at].seal(&payload, &mut sealed).expect("a key");
            payload = sealed;
        }
        for copy in 0..if fate == 1 { 2 } else { 1 } {
            let mut datagram = Vec::new();
            self.sealer.seal_rtp(&header, Content::payload(&payload), &mut datagram).expect("has nonces");
            let jitter = Duration::from_micros(self.chance(2 + copy) % JITTER_MICROS);
            self.way.insert((spoken + TRANSIT + jitter, self.sent * 2 + copy), datagram);
        }
    }

    /// Lets time pass, timeout by timeout.
    fn pass(&mut self, until: Duration) {
        let until = self.start + until;
        while let Some(due) = self.drain().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.session.handle_input(Input::Timeout, self.now);
        }
        self.now = self.now.max(until);
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.session.poll_output() {
                Output::Event(Event::Frame(frame)) => {
                    let nanos = frame.opus[1..].try_into().expect("when it was spoken");
                    let spoken = Duration::from_nanos(u64::from_be_bytes(nanos));
                    let delay = self.now.saturating_duration_since(self.start + spoken);
                    let speaker = self.speakers.iter_mut().find(|speaker| speaker.ssrc == frame.ssrc).expect("one");
                    assert_eq!((speaker.user, self.choir.is_some()), (frame.user, frame.sealed));
                    speaker.delivered += 1;
                    let minute = (spoken.as_secs() / 60) as usize;
                    speaker.delays.resize(speaker.delays.len().max(minute + 1), (Duration::ZERO, 0));
                    speaker.delays[minute].0 += delay;
                    speaker.delays[minute].1 += 1;
                    // The first seconds are there to measure.
                    if spoken > Duration::from_secs(15) {
                        speaker.longest = speaker.longest.max(delay);
                        speaker.shortest = speaker.shortest.min(delay);
                    }
                }
                Output::Signal(Signal::SendText { text, .. }) => {
                    if let ClientMessage::Heartbeat { nonce, .. } = ClientMessage::read(&text).expect("a message") {
                        let answer = ServerMessage::HeartbeatAck { nonce }.write(None, Version::V8);
                        self.session.handle_input(Input::Text(self.socket, &answer), self.now);
                    }
                }
                Output::Event(Event::Interrupted(_) | Event::Disconnected(_) | Event::Ended(_)) | Output::Over => {
                    panic!("the session does not last")
                }
                Output::Event(_) | Output::Transmit(_) | Output::Signal(_) => {}
                Output::Timeout(at, _) => return Some(at),
            }
        }
    }
}

fn minutes() -> u64 {
    let minutes = told("PARLOR_VOICE_MINUTES").unwrap_or(10);
    assert!(minutes >= 3, "the first minute is held against the last");
    minutes
}

fn seed() -> u64 {
    told("PARLOR_VOICE_SEED").unwrap_or(1)
}

#[test]
fn hours_change_neither_delay_nor_alignment_nor_what_is_held() {
    let mut hours = Hours::new(seed(), ProtocolVersion::NONE);
    hours.run(Duration::from_secs(minutes() * 60));
    judge(&hours);
}

/// The figure is that of a whole process, so this runs in one of its own.
#[test]
fn hours_of_end_to_end_encryption_take_no_more_memory() {
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().expect("it runs");
        let name = concat!(module_path!(), "::hours_of_end_to_end_encryption_take_no_more_memory");
        let name = name.split_once("::").expect("within the program").1;
        let output = Command::new(program).args([name, "--exact", "--nocapture"]).env(ALONE, "1").output();
        let output = output.expect("it runs");
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let end = Duration::from_secs(minutes() * 60);
    let mut hours = Hours::new(seed(), ProtocolVersion::V1);
    let mut resident = Vec::new();
    for minute in 1..=minutes() {
        hours.speak_until(Duration::from_secs(minute * 60), end);
        resident.push(resident_kilobytes());
    }
    hours.run(end);
    judge(&hours);
    let epochs = hours.choir.as_ref().map_or(0, |choir| choir.epoch);
    assert!(epochs >= minutes() * 3 - 1, "{epochs} epochs");
    let (early, late) = (resident[1], *resident.last().expect("minutes"));
    assert!(late <= early + SLACK_KILOBYTES, "seed {}: {resident:?} kB", seed());
}

/// What of this process is in memory.
fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn judge(hours: &Hours) {
    let (seed, minutes) = (seed(), minutes());
    let last = minutes as usize - 1;
    let (earliest, tolerance) = (TRANSIT + DELAY, millis(5));
    for speaker in &hours.speakers {
        let shown = format!(
            "seed {seed}, {:?}: {} sent, {} lost, {} delivered, {:?}..{:?}, mean {:?} at first and {:?} at last",
            speaker.manner,
            speaker.sent,
            speaker.lost,
            speaker.delivered,
            speaker.shortest,
            speaker.longest,
            speaker.mean(0),
            speaker.mean(last),
        );
        assert!(speaker.lost > 0, "nothing was lost: {shown}");
        assert_eq!(speaker.delivered, speaker.sent - speaker.lost, "{shown}");
        assert!(speaker.mean(0).abs_diff(speaker.mean(last)) <= tolerance, "the delay has grown or shrunk: {shown}");
        // After a pause a clock is measured anew, from whatever comes first: late by its jitter at most.
        let jitter = Duration::from_micros(JITTER_MICROS);
        let latest = earliest + tolerance + if speaker.manner.spurt.is_some() { jitter } else { Duration::ZERO };
        assert!(speaker.shortest >= earliest - tolerance && speaker.longest <= latest, "{shown}");
    }
    let without_pause = hours.speakers.iter().filter(|speaker| speaker.manner.spurt.is_none());
    let at_last: Vec<Duration> = without_pause.map(|speaker| speaker.mean(last)).collect();
    assert!(at_last[0].abs_diff(at_last[1]) <= tolerance, "seed {seed}: two tracks have drifted apart: {at_last:?}");

    let frames = hours.session.counters().frames;
    let lost: u64 = hours.speakers.iter().map(|speaker| speaker.lost).sum();
    assert_eq!((frames.total(), frames.get(Outcome::Lost)), (hours.sent, lost), "seed {seed}");
    assert!(hours.session.counters().duplicates > 0, "seed {seed}: nothing came twice");

    // Ninety milliseconds of four people wait at most, and a little more while one has overtaken another.
    let Backlog { waiting, held, remembered, sources } = hours.most;
    assert!((1..=24).contains(&waiting) && held == 0, "seed {seed}: {:?}", hours.most);
    assert!(remembered <= 4 * 640 && sources <= 6, "seed {seed}: {:?}", hours.most);
    let left = hours.session.backlog();
    assert_eq!((left.waiting, left.held), (0, 0), "seed {seed}: {left:?}");
}
