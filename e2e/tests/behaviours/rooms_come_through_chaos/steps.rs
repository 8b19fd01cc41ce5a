//! The process is killed at every single step of a CreateRoom and the EndRoom after it: after each commit, and before and
//! after each exchange with Discord.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use discord_emulator::{ANN, AuditAction, ChannelKind, PARLOR_DEV, RestFault, RestTrouble};
use parlor_proto::v1::{self, room_service_server::RoomService as _};
use parlor_server::services::Rooms;
use tonic::{Response, Status};

use super::{
    caller::{dressed, is_worth_repeating, principal},
    clock::{Time, stamp},
    discord::locked,
    fuse::{Fuse, Kill},
    process::{Story, until_it_blows},
    rooms_of, story,
};

const NAME: &str = "one";
const STATUS: &str = "chess";
const CREATE_ID: &str = "00000000-0000-4000-8000-00000000000a";
const END_ID: &str = "00000000-0000-4000-8000-00000000000b";
const ASKED: Duration = Duration::from_secs(30);

/// What the caller has heard, who lives longer than our processes.
#[derive(Default)]
struct Heard {
    created: Option<v1::CreateRoomResponse>,
    ended: Option<v1::EndRoomResponse>,
    /// Whether it has asked for the end.
    ends: bool,
}

/// Asks until there is an answer.
async fn insist<T>(ask: impl AsyncFn() -> Result<Response<T>, Status>) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => {
                assert!(is_worth_repeating(&status), "{status:?}");
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    }
}

/// The first answer is the only one.
fn first_again<T: Clone + PartialEq + std::fmt::Debug>(first: &mut Option<T>, answer: T) -> T {
    let first = first.get_or_insert_with(|| answer.clone());
    assert_eq!(*first, answer, "a repeat has another answer");
    answer
}

async fn create(rooms: &Rooms) -> v1::CreateRoomResponse {
    let request = v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: NAME.to_owned(),
        request_id: CREATE_ID.to_owned(),
        status: STATUS.to_owned(),
        invite: Some(v1::InviteOptions { max_uses: 3, ..Default::default() }),
        private: Some(v1::PrivateRoom { user_ids: vec![ANN.to_string()], ..Default::default() }),
        ..Default::default()
    };
    insist(async || rooms.create_room(dressed(request.clone(), &principal("ann"), ASKED)).await).await
}

async fn end(rooms: &Rooms, room_id: &str) -> v1::EndRoomResponse {
    let request =
        v1::EndRoomRequest { room_id: room_id.to_owned(), request_id: END_ID.to_owned(), ..Default::default() };
    insist(async || rooms.end_room(dressed(request.clone(), &principal("ann"), ASKED)).await).await
}

/// What the caller does, in each life from the beginning: everything is safe to repeat.
async fn script(story: &Story, heard: &Mutex<Heard>, rooms: &Rooms) {
    for _ in 0..2 {
        let answer = create(rooms).await;
        let created = first_again(&mut locked(heard).created, answer);
        let room = created.room.expect("a room");
        if !locked(heard).ends {
            let invite = created.invite.expect("an invite");
            look_at(story, &room.room_id, &invite.code);
        }
    }
    let room_id = locked(heard).created.clone().and_then(|created| created.room).expect("a room").room_id;
    locked(heard).ends = true;
    for _ in 0..2 {
        let answer = end(rooms, &room_id).await;
        first_again(&mut locked(heard).ended, answer);
    }
}

/// There is one channel, the one that was answered with, and it is as it was asked for.
fn look_at(story: &Story, room: &str, invite: &str) {
    let discord = locked(&story.discord);
    let world = discord.machine.world();
    let channels: Vec<_> = world.channels_named(NAME).collect();
    let [channel] = channels.as_slice() else { panic!("{} channels", channels.len()) };
    assert_eq!(channel.id.to_string(), room);
    let ChannelKind::Voice(voice) = &channel.kind else { panic!("a voice room") };
    assert_eq!(voice.status.as_deref(), Some(STATUS));
    assert!(!channel.overwrites.is_empty(), "it is private");
    let invites: Vec<_> = world.invites(PARLOR_DEV).map(|known| known.code.to_string()).collect();
    assert_eq!(invites, [invite], "there is one invite, the one that was answered with");
}

/// Plays the script over as many lives as there are kills, and one more.
fn play(kills: &[Kill]) -> (u64, u64) {
    let (story, heard) = (story(1, Vec::new()), Mutex::new(Heard::default()));
    let before = rooms_of(&story);
    let mut base = Duration::ZERO;
    for kill in kills {
        let fuse = Arc::new(Fuse::new(*kill));
        base = until_it_blows(&story, base, &fuse, async |rooms, _| script(&story, &heard, &rooms).await);
        base += Duration::from_millis(700);
    }
    let fuse = Arc::<Fuse>::default();
    let mut steps = (0, 0);
    until_it_blows(&story, base, &fuse, async |rooms, _| {
        script(&story, &heard, &rooms).await;
        steps = fuse.steps();
        // Whatever is left to be done is done by then.
        tokio::time::sleep(Duration::from_secs(100)).await;
    });
    assert_eq!(rooms_of(&story), before, "none is left");
    let discord = locked(&story.discord);
    let counted =
        |action: AuditAction| discord.machine.world().audit_log().iter().filter(|entry| entry.action == action).count();
    let counts = [AuditAction::ChannelCreate, AuditAction::InviteCreate, AuditAction::ChannelDelete].map(counted);
    assert_eq!(counts, [1, 1, 1], "channels and invites made, channels deleted");
    steps
}

fn every_step((commits, exchanges): (u64, u64)) -> impl Iterator<Item = Kill> {
    let commits = (1..=commits).map(Kill::AfterCommit);
    commits.chain((1..=exchanges).flat_map(|number| [Kill::BeforeExchange(number), Kill::AfterExchange(number)]))
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn a_kill_at_any_step_leaves_one_room_and_then_none() {
    let steps = play(&[]);
    let (mut once, mut twice) = (0, 0);
    for first in every_step(steps) {
        println!("killed at {first:?}");
        let after = play(&[first]);
        once += 1;
        for second in every_step(after) {
            println!("killed at {first:?}, then at {second:?}");
            play(&[first, second]);
            twice += 1;
        }
    }
    println!("{} commits, {} exchanges; killed at {once} steps, and at {twice} of the next life", steps.0, steps.1);
    assert!(steps.0 > 4 && steps.1 >= 4, "the steps are not counted");
}

/// EndRoom had begun, and after the restart Discord does not serve for minutes.
#[test]
fn an_end_that_has_begun_is_finished_however_long_discord_is_down() {
    let story = story(1, Vec::new());
    let before = rooms_of(&story);
    let mut steps = (0, 0);
    let mut room_id = String::new();
    let fuse = Arc::<Fuse>::default();
    let at = until_it_blows(&story, Duration::ZERO, &fuse, async |rooms, _| {
        room_id = create(&rooms).await.room.expect("a room").room_id;
        steps = fuse.steps();
    });
    assert!(steps.1 > 0);
    // The next life begins the end, and is killed before Discord hears of it.
    let fuse = Arc::new(Fuse::new(Kill::BeforeExchange(1)));
    let at = until_it_blows(&story, at, &fuse, async |rooms, _| {
        end(&rooms, &room_id).await;
    });
    assert!(fuse.is_blown());
    let down =
        RestFault::new(RestTrouble::ServerError { status: 503, body: Default::default(), work: Default::default() });
    let down = down.on("DELETE /channels/{channel.id}").lasting(Duration::from_secs(300));
    locked(&story.discord).machine.inject(down, stamp(at));
    until_it_blows(&story, at, &Arc::default(), async |_, _: Time| {
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert_ne!(rooms_of(&story), before, "Discord is down");
        tokio::time::sleep(Duration::from_secs(200)).await;
    });
    assert_eq!(rooms_of(&story), before, "nobody has asked again");
}
