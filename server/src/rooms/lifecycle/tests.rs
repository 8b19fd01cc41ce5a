//! Timers on virtual time: by hand, and random lives against a model.

use std::time::UNIX_EPOCH;

use parlor_gateway::{
    GuildSnapshot, Loss, News, Ownership, Profile, RoomFacts, RoomKind, ShardIndex, Update, UserId, VideoQuality,
    VoiceFlags, VoiceSessionId, VoiceState, id::DISCORD_EPOCH,
};
use proptest::prelude::*;

use super::*;

const SHARD: ShardIndex = ShardIndex(0);
const GUILD: GuildId = GuildId::new(100_000_000_000_000_001);
const SELF: UserId = UserId::new(100_000_000_000_000_002);
/// A bot that is not ours.
const BOT: u64 = 9;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The room is made at this time of day.
fn beginning() -> SystemTime {
    UNIX_EPOCH + seconds(1_800_000_000)
}

fn room() -> RoomId {
    let since = beginning().duration_since(UNIX_EPOCH + DISCORD_EPOCH).expect("after 2015");
    RoomId::new(u64::try_from(since.as_millis()).expect("fits") << 22)
}

fn facts() -> RoomFacts {
    RoomFacts {
        room: room(),
        guild: GUILD,
        name: "Standup".to_owned(),
        kind: RoomKind::Voice,
        category: None,
        user_limit: 0,
        bitrate: 64_000,
        region: None,
        video_quality: VideoQuality::Auto,
        status: None,
    }
}

fn voice(user: u64, inside: bool) -> VoiceState {
    VoiceState {
        guild: GUILD,
        user: UserId::new(300_000_000_000_000_000 + user),
        room: inside.then(room),
        session: VoiceSessionId(user.to_string()),
        flags: VoiceFlags::default(),
        profile: Some(Profile { is_bot: user == BOT, ..Profile::default() }),
    }
}

/// A directory with one room of ours, its timers, and both clocks.
struct Stage {
    directory: Directory,
    lifecycles: Lifecycles,
    wall: SystemTime,
    now: Instant,
    /// What the store holds of the room.
    row: Option<Vec<u8>>,
    inside: BTreeSet<u64>,
}

impl Stage {
    fn new(policy: Policy) -> Self {
        let mut stage = Self {
            directory: Directory::new(1),
            lifecycles: Lifecycles::default(),
            wall: beginning(),
            now: Instant::now(),
            row: None,
            inside: BTreeSet::new(),
        };
        stage.begin_session(Vec::new());
        let ownership = Ownership { policy, ..Ownership::default() };
        stage.change(|directory, wall| directory.change_room(GUILD, facts(), Some(ownership), wall));
        stage
    }

    fn change(&mut self, change: impl FnOnce(&mut Directory, SystemTime) -> Vec<Change>) {
        let changes = change(&mut self.directory, self.wall);
        self.lifecycles.observe(&changes);
        for (of, value) in self.lifecycles.take_in(&self.directory, self.wall, self.now) {
            assert_eq!(of, room());
            self.row = value;
        }
    }

    fn begin_session(&mut self, rooms: Vec<RoomFacts>) {
        let started = Update::SessionStarted { shard: SHARD, self_user: SELF, guilds: vec![GUILD] };
        self.change(|directory, now| directory.apply(started, now));
        let voice_states = self.inside.iter().map(|user| voice(*user, true)).collect();
        let snapshot =
            GuildSnapshot { guild: GUILD, name: "Guild".to_owned(), bitrate_limit: None, rooms, voice_states };
        self.change(|directory, now| directory.apply(Update::Guild(snapshot), now));
    }

    fn lose_session(&mut self) {
        let last_heard = self.wall;
        let lost = Update::ConnectionLost { shard: SHARD, loss: Loss::SessionLost, last_heard };
        self.change(|directory, now| directory.apply(lost, now));
    }

    fn is_in(&mut self, user: u64, inside: bool) {
        if inside {
            self.inside.insert(user)
        } else {
            self.inside.remove(&user)
        };
        let news = News::Voice(voice(user, inside));
        self.change(|directory, now| directory.apply(Update::Within(GUILD, news), now));
    }

    fn pass(&mut self, time: Duration) {
        self.wall += time;
        self.now += time;
    }

    /// The process ends and another one takes over, so much later. Discord's session goes on.
    fn restart(&mut self, downtime: Duration) {
        self.pass(downtime);
        let rows = self.row.iter().map(|row| (room(), row.as_slice()));
        // Nothing of the monotonic clock outlives the process.
        self.now = Instant::now();
        self.lifecycles = Lifecycles::restore(&self.directory, rows, self.wall, self.now);
    }

    fn due(&mut self) -> Option<Cause> {
        let due = self.lifecycles.due(&self.directory, self.now);
        assert!(due.len() <= 1 && due.iter().all(|due| (due.guild, due.room) == (GUILD, room())));
        due.first().map(|due| due.cause)
    }
}

fn departure(count: u64) -> Policy {
    Policy { departure_timeout: Some(seconds(count)), ..Policy::default() }
}

#[test]
fn a_room_that_nobody_joins_ends() {
    let mut stage = Stage::new(Policy { empty_timeout: Some(seconds(10)), ..Policy::default() });
    assert_eq!(stage.lifecycles.next_deadline(), Some(stage.now + seconds(10)));
    stage.pass(seconds(9));
    assert_eq!(stage.due(), None);
    stage.is_in(BOT, true);
    stage.pass(seconds(1));
    assert_eq!(stage.due(), Some(Cause::EmptyTimeout), "a bot is nobody");
    assert_eq!((stage.due(), stage.lifecycles.next_deadline()), (None, None), "it is told once");
}

#[test]
fn whoever_joined_once_stops_the_first_timer_for_good() {
    let mut stage = Stage::new(Policy { empty_timeout: Some(seconds(10)), ..Policy::default() });
    stage.is_in(1, true);
    stage.is_in(1, false);
    stage.pass(seconds(1_000));
    assert_eq!((stage.due(), stage.lifecycles.next_deadline()), (None, None));
}

#[test]
fn the_last_one_who_leaves_starts_the_timer_and_the_next_who_comes_stops_it() {
    let mut stage = Stage::new(departure(10));
    stage.pass(seconds(100));
    assert_eq!(stage.due(), None, "nobody has left yet");
    stage.is_in(1, true);
    stage.is_in(2, true);
    stage.is_in(1, false);
    stage.pass(seconds(100));
    assert_eq!(stage.due(), None);
    stage.is_in(2, false);
    stage.pass(seconds(9));
    stage.is_in(3, true);
    stage.pass(seconds(9));
    stage.is_in(3, false);
    stage.pass(seconds(9));
    assert_eq!(stage.due(), None);
    stage.pass(seconds(1));
    assert_eq!(stage.due(), Some(Cause::DepartureTimeout));
}

#[test]
fn time_is_over_with_whoever_is_in_it() {
    let mut stage = Stage::new(Policy { max_duration: Some(seconds(10)), ..departure(100) });
    stage.is_in(1, true);
    stage.pass(seconds(10));
    stage.lose_session();
    assert_eq!(stage.due(), Some(Cause::MaxDuration), "nobody has to be asked who is inside");
}

#[test]
fn while_discord_is_silent_nobody_knows_whether_the_room_is_empty() {
    let mut stage = Stage::new(departure(10));
    stage.is_in(1, true);
    stage.is_in(1, false);
    stage.lose_session();
    stage.pass(seconds(60));
    assert_eq!(stage.due(), None);
    stage.inside.insert(2);
    stage.begin_session(vec![facts()]);
    assert_eq!(stage.due(), None, "somebody has come meanwhile");
    stage.is_in(2, false);
    stage.pass(seconds(10));
    assert_eq!(stage.due(), Some(Cause::DepartureTimeout));
}

#[test]
fn a_new_policy_counts_from_where_it_would_have() {
    let mut stage = Stage::new(Policy::default());
    stage.is_in(1, true);
    stage.is_in(1, false);
    stage.pass(seconds(60));
    let ownership = Ownership { policy: departure(30), ..Ownership::default() };
    stage.change(|directory, wall| directory.change_room(GUILD, facts(), Some(ownership), wall));
    assert_eq!(stage.due(), Some(Cause::DepartureTimeout));
}

#[test]
fn what_could_not_be_ended_is_due_again_later() {
    let mut stage = Stage::new(departure(10));
    stage.is_in(1, true);
    stage.is_in(1, false);
    stage.pass(seconds(10));
    assert_eq!(stage.due(), Some(Cause::DepartureTimeout));
    stage.lifecycles.postpone(room(), stage.now + seconds(30));
    stage.pass(seconds(29));
    assert_eq!(stage.due(), None);
    stage.pass(seconds(1));
    assert_eq!(stage.due(), Some(Cause::DepartureTimeout));
}

#[test]
fn a_room_that_has_ended_leaves_nothing_behind() {
    let mut stage = Stage::new(departure(10));
    stage.is_in(1, true);
    stage.is_in(1, false);
    assert!(stage.row.is_some());
    stage.change(|directory, wall| directory.end_room(GUILD, room(), wall));
    assert_eq!((stage.row.clone(), stage.lifecycles.next_deadline()), (None, None));
    assert!(stage.lifecycles.lives.is_empty());
}

#[test]
fn a_timer_that_ran_out_while_the_process_was_down_fires_at_the_start() {
    let mut stage = Stage::new(departure(3_600));
    stage.is_in(1, true);
    stage.is_in(1, false);
    stage.restart(seconds(3_599));
    assert_eq!(stage.due(), None);
    stage.restart(seconds(1));
    assert_eq!(stage.due(), Some(Cause::DepartureTimeout));
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Is(u64, bool),
    Restart(u64),
    /// The time of day is corrected by so many seconds.
    Corrected(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..20_u64).prop_map(Step::Pass),
        3 => (prop_oneof![1..3_u64, Just(BOT)], any::<bool>()).prop_map(|(user, inside)| Step::Is(user, inside)),
        1 => (0..20_u64).prop_map(Step::Restart),
        1 => (-5_000..5_000_i64).prop_map(Step::Corrected),
    ]
}

fn timeout() -> impl Strategy<Value = Option<Duration>> {
    proptest::option::of((1..40_u64).prop_map(Duration::from_secs))
}

/// The same rules, without either clock: times are seconds since the room was made.
struct Model {
    policy: Policy,
    now: u64,
    people: BTreeSet<u64>,
    joined: bool,
    left_at: u64,
}

impl Model {
    fn due(&self) -> Option<Cause> {
        let over = |limit: Option<Duration>, since: u64| {
            limit.map(|limit| since + limit.as_secs()).filter(|at| *at <= self.now)
        };
        let empty = over(self.policy.empty_timeout, 0).filter(|_| !self.joined);
        let left = over(self.policy.departure_timeout, self.left_at).filter(|_| self.joined && self.people.is_empty());
        let first = [
            empty.map(|at| (at, 0, Cause::EmptyTimeout)),
            left.map(|at| (at, 0, Cause::DepartureTimeout)),
            over(self.policy.max_duration, 0).map(|at| (at, 1, Cause::MaxDuration)),
        ];
        first.into_iter().flatten().min_by_key(|(at, rank, _)| (*at, *rank)).map(|(_, _, cause)| cause)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whoever comes and goes, and whenever the process is replaced: a room ends when and why its policy says, and not a
    /// second before. A corrected time of day changes nothing as long as the process lives.
    #[test]
    fn rooms_end_when_their_policy_says(
        (empty_timeout, departure_timeout, max_duration) in (timeout(), timeout(), timeout()),
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        let policy = Policy { empty_timeout, departure_timeout, max_duration };
        let mut stage = Stage::new(policy);
        let mut model = Model { policy, now: 0, people: BTreeSet::new(), joined: false, left_at: 0 };
        let mut corrected = false;
        for step in steps {
            match step {
                Step::Pass(count) => {
                    stage.pass(seconds(count));
                    model.now += count;
                }
                Step::Is(user, inside) => {
                    stage.is_in(user, inside);
                    if user != BOT && inside {
                        model.people.insert(user);
                        model.joined = true;
                    } else if user != BOT && model.people.remove(&user) {
                        model.left_at = model.now;
                    }
                }
                // Only the time of day outlives a process, so what it says then counts.
                Step::Restart(_) if corrected => continue,
                Step::Restart(count) => {
                    stage.restart(seconds(count));
                    model.now += count;
                }
                Step::Corrected(by) => {
                    corrected = true;
                    let length = seconds(by.unsigned_abs());
                    stage.wall = if by < 0 { stage.wall - length } else { stage.wall + length };
                }
            }
            let expected = model.due();
            prop_assert_eq!(stage.due(), expected);
            if expected.is_some() {
                break;
            }
            if let Some(deadline) = stage.lifecycles.next_deadline() {
                prop_assert!(deadline > stage.now, "what is not due is in the future");
            }
        }
    }
}
