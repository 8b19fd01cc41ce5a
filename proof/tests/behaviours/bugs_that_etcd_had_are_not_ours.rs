//! Bugs that etcd's watch had, each as a history that would show it here. The numbers are of etcd's issues.

use std::time::{Duration, Instant, UNIX_EPOCH};

use parlor_gateway::{GuildSnapshot, News, Update, UserId};
use parlor_proof::{
    client::{Client, With},
    discord::{Fate, SHARD},
    history,
    known::Command,
    parlor::{Clock, End, Parlor},
    sabotage::Saboteur,
    step::{Case, Step},
    wish::{WISHES, Wish},
    world::{facts, guild_id, room_id},
};
use parlor_server::hub::Retention;

const EVERYTHING: Retention = Retention { age: Duration::from_secs(900), entries: 10_000, bytes: usize::MAX };

fn holds(retention: Retention, steps: Vec<Step>) {
    let case = Case { retention, steps };
    if let Err(broken) = history::run(&case, None) {
        panic!("{broken}\n{case}");
    }
}

fn go(user: u8, slot: u8) -> Step {
    Step::Go { guild: 0, user, slot: Some(slot) }
}

fn reads(frames: u8) -> Step {
    Step::Reads { client: 0, frames }
}

/// 15220: a progress notification overtook events. A bookmark that is due while events wait comes after them.
#[test]
fn a_bookmark_never_overtakes_an_event() {
    let steps =
        [vec![reads(20), go(1, 0), go(2, 1), Step::Pump, Step::Later(30), reads(1), Step::Later(30)], vec![reads(20)]];
    holds(EVERYTHING, steps.concat());
}

/// 15220, 20221: with nothing to tell a bookmark still comes in time, and only when it is true.
#[test]
fn a_quiet_stream_is_told_how_far_it_is() {
    let others = Step::Go { guild: 1, user: 3, slot: Some(0) };
    let one_guild = Step::Wishes { client: 0, wish: 1 };
    let comes = Step::Comes { client: 0, with: With::Nothing };
    holds(EVERYTHING, vec![one_guild, comes, reads(20), others, Step::Pump, reads(5), Step::Later(16), reads(5)]);
}

/// 15271: a watch went back in time. A store that has lost its end is another log, and says so.
#[test]
fn a_log_that_lost_its_end_is_another_log() {
    for mask in [0, u32::MAX, 0x5555_5555] {
        let lost = Step::Ends(End::Damaged(mask));
        let back = Step::Comes { client: 0, with: With::Held };
        holds(
            EVERYTHING,
            vec![go(1, 0), Step::Pump, reads(20), lost, back.clone(), reads(20), go(1, 1), Step::Pump, back, reads(20)],
        );
    }
}

/// 18089, 19179: an event was lost where the log was compacted at the watched position. Every boundary, from before the
/// oldest entry to after the head, with every size of log.
#[test]
fn a_resume_at_every_boundary_goes_on_or_starts_over() {
    for entries in 0..6 {
        for saved_after in 0..8 {
            let retention = Retention { age: Duration::ZERO, entries, bytes: usize::MAX };
            let mut steps = vec![reads(20)];
            for user in 0..8 {
                if user == saved_after {
                    steps.extend([reads(20), Step::Saves(0)]);
                }
                steps.extend([go(user % 4, user % 2), Step::Pump]);
            }
            for end in [None, Some(End::Killed), Some(End::Closed)] {
                let ends = end.map(Step::Ends);
                let back = [Step::Comes { client: 0, with: With::Saved }, reads(30)];
                holds(retention, steps.iter().cloned().chain(ends).chain(back).collect());
            }
        }
    }
}

/// 20221: a watch on a future revision was given old events. A cursor after the head is a reset, also once the log has
/// got there.
#[test]
fn a_cursor_of_the_future_starts_over() {
    let ahead = Step::Comes { client: 0, with: With::Ahead };
    holds(EVERYTHING, vec![reads(20), ahead, go(1, 0), go(2, 0), go(3, 0), Step::Pump, reads(40)]);
}

/// 17247: an event came twice from a cache. A dispatch that comes twice, a commit that is made twice and a session that
/// is replayed are one event each.
#[test]
fn nothing_comes_twice() {
    let twice = Step::NextIs(Fate::Twice);
    let answer_lost = Step::Weather(parlor_proof::shelf::Weather::AnswerLost);
    let mut steps = vec![reads(20), twice, go(1, 0), Step::Pump, answer_lost, go(2, 0), Step::Pump];
    steps.extend([Step::Ends(End::Killed), Step::Comes { client: 0, with: With::Held }, Step::Pump, reads(20)]);
    holds(EVERYTHING, steps);
}

/// 17529: events were lost where many watches starved while the log was compacted. 2,000 subscribers of every filter read
/// nothing, then a little, while the log forgets; each comes to the truth.
#[test]
fn two_thousand_starving_readers_come_to_the_truth() {
    let retention = Retention { age: Duration::ZERO, entries: 12, bytes: usize::MAX };
    let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let clock = Clock { now: Instant::now(), wall, was_set: false };
    let mut saboteur = Saboteur::new(None);
    let mut parlor = Parlor::new(retention, clock, &saboteur);
    let tell = |parlor: &mut Parlor, update: Update| {
        let session = None;
        let delivery = parlor_gateway::Delivery { shard: SHARD, update: Some(update), session, heard_at: wall };
        parlor.ask(Command::Deliver(delivery), clock);
        parlor.commit(usize::MAX, clock, &mut Saboteur::new(None)).expect("stored");
    };
    let guilds = vec![guild_id(0), guild_id(1), guild_id(2)];
    tell(&mut parlor, Update::SessionStarted { shard: SHARD, self_user: UserId::new(1), guilds });
    for guild in 0..3 {
        let (id, voice_states) = (guild_id(guild), Vec::new());
        let rooms = (0..3).map(|slot| facts(id, room_id(guild, slot, 1), "room")).collect();
        tell(
            &mut parlor,
            Update::Guild(GuildSnapshot {
                guild: id,
                name: "guild".to_owned(),
                bitrate_limit: None,
                rooms,
                voice_states,
            }),
        );
    }
    let mut clients: Vec<Client> =
        (0..2_000).map(|number: u32| Client::new(Wish::number((number % u32::from(WISHES)) as u8), clock)).collect();
    for client in &mut clients {
        client.comes(With::Nothing, &parlor, clock, &saboteur).expect("opens");
    }
    for round in 0..40_u8 {
        let room =
            facts(guild_id(round % 3), room_id(round % 3, round % 2, 1), ["room", "other"][usize::from(round / 6 % 2)]);
        tell(&mut parlor, Update::Within(guild_id(round % 3), News::Room(room)));
        for (client, number) in clients.iter_mut().zip(0_usize..) {
            if number % 40 == usize::from(round) {
                client.reads(number % 7, &parlor, clock, &mut saboteur).expect("keeps its promises");
            }
        }
    }
    for client in &mut clients {
        client.reads(usize::MAX, &parlor, clock, &mut saboteur).expect("keeps its promises");
        client.sees(&parlor).expect("has been told everything");
    }
}
