//! The directory against hand-made histories and random ones.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parlor_proto::v1::{self, UpstreamState, voice_event::Kind};
use proptest::prelude::*;

use super::*;
use crate::update::{News, Profile, RoomKind, VideoQuality, VoiceFlags, VoiceSessionId, VoiceState};

const SHARD: ShardIndex = ShardIndex(0);
const GUILD: GuildId = GuildId::new(100_000_000_000_000_001);
const BOT: UserId = UserId::new(100_000_000_000_000_002);

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second)
}

fn room_id(number: u64) -> RoomId {
    RoomId::new(200_000_000_000_000_000 + number)
}

fn user_id(number: u64) -> UserId {
    UserId::new(300_000_000_000_000_000 + number)
}

fn room(number: u64, name: &str) -> RoomFacts {
    RoomFacts {
        room: room_id(number),
        guild: GUILD,
        name: name.to_owned(),
        kind: RoomKind::Voice,
        category: None,
        user_limit: 0,
        bitrate: 64_000,
        region: None,
        video_quality: VideoQuality::Auto,
        status: None,
    }
}

/// What Discord answered, and an owner for it.
fn made(facts: RoomFacts) -> Option<(RoomFacts, Ownership)> {
    Some((facts, Ownership { creator: "ann".to_owned(), ..Ownership::default() }))
}

fn voice(user: u64, room: Option<u64>, session: u64) -> VoiceState {
    VoiceState {
        guild: GUILD,
        user: user_id(user),
        room: room.map(room_id),
        session: VoiceSessionId(session.to_string()),
        flags: VoiceFlags::default(),
        profile: Some(Profile { display_name: format!("user {user}"), ..Profile::default() }),
    }
}

fn guild(rooms: Vec<RoomFacts>, voice_states: Vec<VoiceState>) -> Update {
    Update::Guild(GuildSnapshot { guild: GUILD, name: "Guild".to_owned(), bitrate_limit: None, rooms, voice_states })
}

fn within(news: News) -> Update {
    Update::Within(GUILD, news)
}

fn started() -> Update {
    Update::SessionStarted { shard: SHARD, self_user: BOT, guilds: vec![GUILD] }
}

fn lost(loss: Loss, last_heard: SystemTime) -> Update {
    Update::ConnectionLost { shard: SHARD, loss, last_heard }
}

/// A directory that is live with two rooms, Lobby (1) with user 1 in it, and Games (2).
fn live() -> Directory {
    let mut directory = Directory::new(1);
    directory.apply(started(), at(0));
    directory.apply(guild(vec![room(1, "Lobby"), room(2, "Games")], vec![voice(1, Some(1), 1)]), at(0));
    directory
}

/// What the changes say of guilds themselves.
fn told_of_guilds(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .filter_map(|change| match &change.body {
            ChangeBody::Event(v1::VoiceEvent { kind: Some(Kind::GuildUpdated(it)), .. }) => {
                assert_eq!(change.rooms, Touched::All);
                let guild = it.guild.as_ref().expect("a guild");
                let how = match (it.left, guild.available) {
                    (true, _) => "left",
                    (false, true) => "available",
                    (false, false) => "not available",
                };
                Some(format!("{:?} {how}", guild.display_name))
            }
            ChangeBody::Event(_) | ChangeBody::Discontinuity(_) => None,
        })
        .collect()
}

/// The changes in short, but for what they say of guilds themselves: `joined 1>1` is user 1 into room 1.
fn told(changes: &[Change]) -> Vec<String> {
    let tail = |id: &str| id.trim_start_matches(['2', '3']).trim_start_matches('0').to_owned();
    let who = |participant: &Option<v1::Participant>| {
        let participant = participant.as_ref().expect("a participant");
        format!("{}>{}", tail(&participant.user_id), tail(&participant.room_id))
    };
    let which = |room: &Option<v1::Room>| room.as_ref().expect("a room").display_name.clone();
    let of_guild = |change: &Change| {
        matches!(&change.body, ChangeBody::Event(v1::VoiceEvent { kind: Some(Kind::GuildUpdated(_)), .. }))
    };
    changes
        .iter()
        .filter(|change| !of_guild(change))
        .map(|change| match &change.body {
            ChangeBody::Discontinuity(entry) => format!("discontinuity {}", entry.reason().as_str_name()),
            ChangeBody::Event(event) => match event.kind.as_ref().expect("a kind") {
                Kind::RoomCreated(it) => {
                    format!("created {} managed={}", which(&it.room), it.room.as_ref().unwrap().managed)
                }
                Kind::RoomUpdated(it) => format!("updated {}", which(&it.room)),
                Kind::RoomEnded(it) => format!("ended {} {}", which(&it.room), it.reason().as_str_name()),
                Kind::ParticipantJoined(it) => format!("joined {}", who(&it.participant)),
                Kind::ParticipantLeft(it) => format!("left {}", who(&it.participant)),
                Kind::ParticipantMoved(it) => format!("moved {} from {}", who(&it.participant), tail(&it.from_room_id)),
                Kind::ParticipantUpdated(it) => format!("changed {}", who(&it.participant)),
                Kind::GuildUpdated(_) => unreachable!("left out above"),
            },
        })
        .collect()
}

#[test]
fn a_move_is_one_event() {
    let mut directory = live();
    assert_eq!(told(&directory.apply(within(News::Voice(voice(1, Some(2), 1))), at(1))), ["moved 1>2 from 1"]);
}

#[test]
fn a_repeated_dispatch_changes_nothing() {
    let mut directory = live();
    let join = within(News::Voice(voice(2, Some(1), 2)));
    assert_eq!(told(&directory.apply(join.clone(), at(1))), ["joined 2>1"]);
    assert!(directory.apply(join, at(2)).is_empty());
    let leave = within(News::Voice(voice(2, None, 2)));
    assert_eq!(told(&directory.apply(leave.clone(), at(3))), ["left 2>1"]);
    assert!(directory.apply(leave, at(4)).is_empty());
}

#[test]
fn who_is_in_a_deleted_room_leaves_before_it_ends() {
    let mut directory = live();
    let gone = within(News::RoomGone(room_id(1)));
    let expected = ["left 1>1", "ended Lobby REASON_EXTERNAL_DELETE"];
    assert_eq!(told(&directory.apply(gone.clone(), at(1))), expected);
    assert!(directory.apply(gone, at(1)).is_empty());
    // Discord's own word of the leaving comes late and is no news.
    assert!(directory.apply(within(News::Voice(voice(1, None, 1))), at(2)).is_empty());
}

#[test]
fn somebody_in_a_room_that_is_not_known_yet_joins_when_it_is() {
    let mut directory = live();
    assert!(directory.apply(within(News::Voice(voice(5, Some(3), 5))), at(1)).is_empty());
    let told_now = told(&directory.apply(within(News::Room(room(3, "Late"))), at(2)));
    assert_eq!(told_now, ["created Late managed=false", "joined 5>3"]);
}

#[test]
fn our_own_room_appears_once_and_as_ours_whichever_word_comes_first() {
    for gateway_first in [true, false] {
        let mut directory = live();
        directory.expect_room(GUILD, "Ours");
        let mut changes = Vec::new();
        if gateway_first {
            changes.extend(directory.apply(within(News::Room(room(7, "Ours"))), at(1)));
            changes.extend(directory.apply(within(News::Voice(voice(9, Some(7), 1))), at(1)));
        }
        changes.extend(directory.settle_room(GUILD, "Ours", made(room(7, "Ours")), at(2)));
        if !gateway_first {
            changes.extend(directory.apply(within(News::Room(room(7, "Ours"))), at(3)));
            changes.extend(directory.apply(within(News::Voice(voice(9, Some(7), 1))), at(3)));
        }
        assert_eq!(told(&changes), ["created Ours managed=true", "joined 9>7"], "gateway first: {gateway_first}");
    }
}

#[test]
fn a_room_of_the_same_name_that_is_not_ours_is_let_go_as_somebody_elses() {
    let mut directory = live();
    directory.expect_room(GUILD, "Same");
    assert!(directory.apply(within(News::Room(room(8, "Same"))), at(1)).is_empty());
    let changes = directory.settle_room(GUILD, "Same", made(room(7, "Same")), at(2));
    assert_eq!(told(&changes), ["created Same managed=true", "created Same managed=false"]);
    directory.expect_room(GUILD, "Same");
    assert!(directory.settle_room(GUILD, "Same", None, at(3)).is_empty());
}

#[test]
fn a_room_that_was_deleted_before_our_answer_came_does_not_rise_again() {
    let mut directory = live();
    directory.expect_room(GUILD, "Brief");
    directory.apply(within(News::Room(room(7, "Brief"))), at(1));
    directory.apply(within(News::RoomGone(room_id(7))), at(1));
    let changes = directory.settle_room(GUILD, "Brief", made(room(7, "Brief")), at(2));
    assert_eq!(told(&changes), ["created Brief managed=true", "ended Brief REASON_EXTERNAL_DELETE"]);
}

#[test]
fn a_deletion_that_we_asked_for_is_ours_whichever_word_comes_first() {
    for gateway_first in [true, false] {
        let mut directory = live();
        directory.begin_end(GUILD, room_id(2), v1::room_ended::Reason::Api);
        let mut changes = Vec::new();
        if gateway_first {
            changes.extend(directory.apply(within(News::RoomGone(room_id(2))), at(1)));
        }
        changes.extend(directory.end_room(GUILD, room_id(2), at(2)));
        assert_eq!(told(&changes), ["ended Games REASON_API"], "gateway first: {gateway_first}");
    }
    let mut directory = live();
    directory.begin_end(GUILD, room_id(2), v1::room_ended::Reason::DepartureTimeout);
    directory.abandon_end(GUILD, room_id(2));
    let changes = directory.apply(within(News::RoomGone(room_id(2))), at(1));
    assert_eq!(told(&changes), ["ended Games REASON_EXTERNAL_DELETE"]);
}

#[test]
fn a_lost_session_is_repaired_by_difference_and_said_to_be() {
    let mut directory = live();
    directory.apply(within(News::Voice(voice(2, Some(2), 2))), at(5));
    directory.apply(lost(Loss::SessionLost, at(10)), at(12));
    assert_eq!(directory.upstream(), UpstreamState::Stale);
    assert!(told(&directory.apply(started(), at(20))).is_empty());
    assert_eq!(directory.upstream(), UpstreamState::Reconciling);

    // Unseen: Games was deleted with user 2 in it, New was made, user 1 left and came back, user 3 joined.
    let now = vec![room(1, "Lobby"), room(3, "New")];
    let changes = directory.apply(guild(now, vec![voice(1, Some(1), 99), voice(3, Some(3), 3)]), at(21));
    let expected = [
        "created New managed=false",
        "left 2>2",
        "left 1>1",
        "joined 1>1",
        "joined 3>3",
        "ended Games REASON_EXTERNAL_DELETE",
        "discontinuity REASON_SESSION_LOST",
    ];
    assert_eq!(told(&changes), expected);
    assert_eq!(directory.upstream(), UpstreamState::Live);
    let Some(Change { body: ChangeBody::Discontinuity(entry), .. }) = changes.last() else { panic!("comes last") };
    assert_eq!((entry.from, entry.to), (Some(at(10).into()), Some(at(21).into())));
    for change in &changes[..changes.len() - 1] {
        let ChangeBody::Event(event) = &change.body else { panic!("an event") };
        assert_eq!(event.origin(), v1::Origin::Reconcile);
    }
}

#[test]
fn a_resumed_session_says_nothing() {
    let mut directory = live();
    directory.apply(lost(Loss::SessionKept, at(10)), at(12));
    assert_eq!(directory.upstream(), UpstreamState::Resuming);
    assert!(directory.apply(Update::SessionResumed(SHARD), at(13)).is_empty());
    assert_eq!(directory.upstream(), UpstreamState::Live);
}

#[test]
fn a_gap_that_took_several_tries_counts_from_its_first_moment() {
    let mut directory = live();
    directory.apply(lost(Loss::SessionKept, at(10)), at(12));
    directory.apply(lost(Loss::SessionLost, at(15)), at(15));
    directory.apply(lost(Loss::SessionLost, at(18)), at(18));
    directory.apply(started(), at(20));
    let changes = directory.apply(guild(vec![room(1, "Lobby"), room(2, "Games")], vec![voice(1, Some(1), 1)]), at(21));
    assert_eq!(told(&changes), ["discontinuity REASON_SESSION_LOST"]);
    assert_eq!(gap(&changes).0, at(10));
}

#[test]
fn a_restart_between_a_new_session_and_its_snapshots_is_repaired_like_any_loss() {
    let mut directory = live();
    directory.apply(lost(Loss::SessionLost, at(5)), at(6));
    directory.apply(started(), at(7));
    let rows = directory.snapshot().rows_since(&Snapshot::default());
    let links = [(SHARD, Remembered { resumable: true, heard_at: at(7) })].into();
    let rows = rows.into_iter().map(|row| (row.key, row.value.expect("nothing is forgotten")));
    let (mut directory, _) = Directory::restore(rows, &links, 1);
    directory.apply(Update::SessionResumed(SHARD), at(8));
    assert_eq!(directory.upstream(), UpstreamState::Reconciling);
    assert!(directory.apply(within(News::Voice(voice(2, Some(2), 2))), at(9)).is_empty(), "it waits for the snapshot");
    assert!(directory.has_news_waiting());
    let changes = directory.apply(guild(vec![room(1, "Lobby"), room(2, "Games")], Vec::new()), at(10));
    assert_eq!(told(&changes), ["left 1>1", "joined 2>2", "discontinuity REASON_SESSION_LOST"]);
    assert!(!directory.has_news_waiting());
}

#[test]
fn much_early_news_is_still_applied_in_order() {
    let mut directory = live();
    directory.apply(lost(Loss::SessionLost, at(1)), at(1));
    directory.apply(started(), at(2));
    assert!(directory.apply(within(News::Voice(voice(2, Some(2), 2))), at(3)).is_empty());
    for number in 0..5_000 {
        assert!(directory.apply(within(News::Voice(voice(1, Some(1 + number % 2), 1))), at(3)).is_empty());
    }
    assert!(directory.apply(within(News::Voice(voice(2, None, 2))), at(3)).is_empty());
    directory.apply(guild(vec![room(1, "Lobby"), room(2, "Games")], Vec::new()), at(4));
    let snapshot = directory.snapshot();
    let inside: Vec<_> = snapshot.guilds[&GUILD].participants().map(|(room, user, _)| (room, user)).collect();
    assert_eq!(inside, [(room_id(2), user_id(1))], "user 2 joined and left before the snapshot");
}

#[test]
fn somebody_in_a_room_that_was_never_known_is_told_of_only_where_they_are() {
    let mut directory = live();
    assert!(directory.apply(within(News::Voice(voice(5, Some(3), 5))), at(1)).is_empty());
    assert!(directory.apply(within(News::Voice(voice(6, Some(3), 6))), at(1)).is_empty());
    let rooms = vec![room(1, "Lobby"), room(2, "Games"), room(3, "Late")];
    let changes = directory.apply(guild(rooms, vec![voice(1, Some(1), 1), voice(6, Some(2), 6)]), at(2));
    assert_eq!(told(&changes), ["created Late managed=false", "joined 6>2"]);
}

#[test]
fn a_snapshot_is_newer_than_what_waits_for_an_answer() {
    let mut directory = live();
    directory.expect_room(GUILD, "Ours");
    assert!(directory.apply(within(News::Room(room(7, "Ours"))), at(1)).is_empty());
    assert!(directory.apply(within(News::Room(room(8, "Ours"))), at(1)).is_empty());
    assert!(directory.apply(within(News::Room(room(9, "Ours"))), at(1)).is_empty());
    directory.apply(lost(Loss::SessionLost, at(2)), at(2));
    directory.apply(started(), at(3));
    // Room 7, which is ours, and room 8 were deleted meanwhile; room 9 has another name.
    let rooms = vec![room(1, "Lobby"), room(2, "Games"), room(9, "Theirs")];
    let changes = directory.apply(guild(rooms, vec![voice(1, Some(1), 1)]), at(4));
    assert_eq!(told(&changes), ["discontinuity REASON_SESSION_LOST"]);
    let changes = directory.settle_room(GUILD, "Ours", made(room(7, "Ours")), at(5));
    let expected = ["created Ours managed=true", "ended Ours REASON_EXTERNAL_DELETE", "created Theirs managed=false"];
    assert_eq!(told(&changes), expected);
}

#[test]
fn an_answer_does_not_take_back_what_the_gateway_has_said_since() {
    let mut directory = live();
    directory.expect_room(GUILD, "Ours");
    let renamed = directory.apply(within(News::Room(room(7, "Renamed"))), at(1));
    assert_eq!(told(&renamed), ["created Renamed managed=false"]);
    let changes = directory.settle_room(GUILD, "Ours", made(room(7, "Ours")), at(2));
    assert_eq!(told(&changes), ["updated Renamed"]);
    assert_eq!(directory.snapshot().guilds[&GUILD].is_managed(room_id(7)), Some(true));
}

#[test]
fn a_clock_that_is_set_back_makes_nobody_forget_what_has_ended() {
    let mut directory = live();
    directory.end_room(GUILD, room_id(1), at(4_000));
    directory.end_room(GUILD, room_id(2), at(10));
    let snapshot = directory.snapshot();
    for number in [1, 2] {
        assert!(snapshot.guilds[&GUILD].room(room_id(number)).is_some(), "room {number}");
    }
}

#[test]
fn a_guild_that_changes_shards_counts_from_when_anybody_was_last_heard() {
    let rows = live().snapshot().rows_since(&Snapshot::default()).into_iter();
    let rows: Vec<_> = rows.map(|row| (row.key, row.value.expect("nothing is forgotten"))).collect();
    let links = [(SHARD, Remembered { resumable: true, heard_at: at(5) })].into();
    let (mut directory, _) = Directory::restore(rows, &links, 1);
    directory.run_shards(4);
    let shard = directory.shard_of(GUILD);
    assert_ne!(shard, SHARD, "the test's guild is on another shard now");
    directory.apply(Update::SessionStarted { shard, self_user: BOT, guilds: vec![GUILD] }, at(100));
    let changes = directory.apply(guild(vec![room(1, "Lobby"), room(2, "Games")], Vec::new()), at(101));
    let Some(Change { body: ChangeBody::Discontinuity(entry), .. }) = changes.last() else { panic!("comes last") };
    assert_eq!(entry.from, Some(at(5).into()));
}

#[test]
fn rows_that_nobody_can_read_are_counted_and_left_out() {
    let rows = [(RowKey::Room(GUILD, room_id(1)), vec![0xff]), (RowKey::Guild(GUILD), vec![0x10, 9])];
    let (directory, unreadable) = Directory::restore(rows, &BTreeMap::new(), 1);
    assert_eq!(unreadable, 2);
    assert!(!directory.snapshot().guilds.get(&GUILD).is_some_and(|guild| guild.has_room(room_id(1))));
    for bytes in [&[][..], &[9], &[1], &[1, 2, 3], &[0, 1]] {
        assert_eq!(RowKey::from_bytes(bytes), None, "{bytes:?}");
    }
}

#[test]
fn an_outage_of_a_guild_makes_nobody_leave() {
    let mut directory = live();
    assert!(told(&directory.apply(Update::GuildUnavailable(GUILD), at(1))).is_empty());
    let snapshot = directory.snapshot();
    assert!(!snapshot.guilds[&GUILD].to_proto().available);
    assert_eq!(snapshot.guilds[&GUILD].participants().count(), 1);
    let changes = directory.apply(guild(vec![room(1, "Lobby"), room(2, "Games")], Vec::new()), at(9));
    assert_eq!(told(&changes), ["left 1>1", "discontinuity REASON_GUILD_OUTAGE"]);
}

#[test]
fn what_comes_between_a_new_session_and_its_snapshot_is_not_undone_by_it() {
    let mut directory = live();
    directory.apply(lost(Loss::SessionLost, at(1)), at(1));
    directory.apply(started(), at(2));
    assert!(directory.apply(within(News::Voice(voice(1, Some(2), 1))), at(3)).is_empty());
    let changes = directory.apply(guild(vec![room(1, "Lobby"), room(2, "Games")], vec![voice(1, Some(1), 1)]), at(4));
    assert_eq!(told(&changes), ["moved 1>2 from 1", "discontinuity REASON_SESSION_LOST"]);
}

#[test]
fn what_a_snapshot_knows_already_is_not_told_as_if_it_happened_again() {
    let mut directory = live();
    directory.apply(lost(Loss::SessionLost, at(1)), at(1));
    directory.apply(started(), at(2));
    for news in [
        News::Room(room(3, "Short")),
        News::Voice(voice(1, Some(3), 1)),
        News::Voice(voice(2, Some(3), 2)),
        News::RoomStatus(room_id(2), Some("chess".to_owned())),
        News::RoomGone(room_id(3)),
        News::Voice(voice(1, Some(2), 1)),
        News::Voice(voice(4, Some(1), 4)),
        News::MemberLeft(user_id(4)),
    ] {
        assert!(directory.apply(within(news), at(3)).is_empty());
    }
    let mut games = room(2, "Games");
    games.status = Some("chess".to_owned());
    let changes = directory.apply(guild(vec![room(1, "Lobby"), games], vec![voice(1, Some(2), 1)]), at(70));
    assert_eq!(told(&changes), ["updated Games", "moved 1>2 from 1", "discontinuity REASON_SESSION_LOST"]);
}

#[test]
fn a_snapshot_that_is_older_than_the_news_is_brought_up_to_it() {
    let mut directory = live();
    directory.apply(lost(Loss::SessionLost, at(1)), at(1));
    directory.apply(started(), at(2));
    for news in [
        News::Voice(voice(2, Some(2), 2)),
        News::RoomGone(room_id(1)),
        News::Room(room(3, "New")),
        News::Voice(voice(2, Some(3), 2)),
    ] {
        assert!(directory.apply(within(news), at(3)).is_empty());
    }
    // User 1 was in the room that is gone.
    let described = guild(vec![room(1, "Lobby"), room(2, "Games")], vec![voice(1, Some(1), 1)]);
    let changes = directory.apply(described, at(4));
    let expected = [
        "created New managed=false",
        "left 1>1",
        "joined 2>3",
        "ended Lobby REASON_EXTERNAL_DELETE",
        "discontinuity REASON_SESSION_LOST",
    ];
    assert_eq!(told(&changes), expected);
}

#[test]
fn nobody_joins_a_room_that_is_gone() {
    let mut directory = live();
    directory.apply(lost(Loss::SessionLost, at(1)), at(1));
    directory.apply(started(), at(2));
    // The second dispatch is late.
    directory.apply(within(News::RoomGone(room_id(2))), at(3));
    directory.apply(within(News::Voice(voice(2, Some(2), 2))), at(3));
    let changes = directory.apply(guild(vec![room(1, "Lobby"), room(2, "Games")], vec![voice(1, Some(1), 1)]), at(4));
    assert_eq!(told(&changes), ["ended Games REASON_EXTERNAL_DELETE", "discontinuity REASON_SESSION_LOST"]);
}

#[test]
fn a_snapshot_that_comes_again_takes_nothing_back() {
    let mut directory = live();
    directory.apply(lost(Loss::SessionLost, at(1)), at(1));
    directory.apply(started(), at(2));
    directory.apply(within(News::Voice(voice(1, Some(2), 1))), at(3));
    let described = guild(vec![room(1, "Lobby"), room(2, "Games")], vec![voice(1, Some(1), 1)]);
    let changes = directory.apply(described.clone(), at(4));
    assert_eq!(told(&changes), ["moved 1>2 from 1", "discontinuity REASON_SESSION_LOST"]);
    assert!(directory.apply(described.clone(), at(5)).is_empty());
    // After other news, a guild is described because something was missed.
    directory.apply(within(News::Voice(voice(2, Some(2), 2))), at(6));
    assert_eq!(told(&directory.apply(described, at(7))), ["left 2>2", "moved 1>1 from 2"]);
}

#[test]
fn a_guild_that_a_new_session_does_not_list_is_gone() {
    let mut directory = live();
    directory.apply(lost(Loss::SessionLost, at(1)), at(1));
    let changes = directory.apply(Update::SessionStarted { shard: SHARD, self_user: BOT, guilds: Vec::new() }, at(2));
    let expected = [
        "left 1>1",
        "ended Lobby REASON_BOT_REMOVED",
        "ended Games REASON_BOT_REMOVED",
        "discontinuity REASON_SESSION_LOST",
    ];
    assert_eq!(told(&changes), expected);
    assert_eq!(gap(&changes), (at(1), at(2)));
    assert_eq!(directory.upstream(), UpstreamState::Live);
}

#[test]
fn a_guild_that_ends_while_it_is_not_seen_ends_with_a_discontinuity() {
    let ended = |reason| ["left 1>1", "ended Lobby REASON_BOT_REMOVED", "ended Games REASON_BOT_REMOVED", reason];

    let mut directory = live();
    directory.apply(Update::GuildUnavailable(GUILD), at(3));
    let changes = directory.apply(Update::GuildLeft(GUILD), at(9));
    assert_eq!(told(&changes), ended("discontinuity REASON_GUILD_OUTAGE"), "left during an outage");
    assert_eq!(gap(&changes), (at(3), at(9)));

    let mut directory = live();
    directory.apply(lost(Loss::SessionLost, at(4)), at(5));
    directory.apply(started(), at(6));
    let changes = directory.apply(Update::GuildLeft(GUILD), at(9));
    assert_eq!(told(&changes), ended("discontinuity REASON_SESSION_LOST"), "left before it was described again");
    assert_eq!(gap(&changes), (at(4), at(9)));

    let mut directory = live();
    directory.apply(Update::GuildUnavailable(GUILD), at(3));
    directory.apply(lost(Loss::SessionLost, at(4)), at(5));
    let changes = directory.apply(Update::SessionStarted { shard: SHARD, self_user: BOT, guilds: Vec::new() }, at(7));
    assert_eq!(told(&changes), ended("discontinuity REASON_GUILD_OUTAGE"), "the outage came first");
    assert_eq!(gap(&changes), (at(3), at(7)));

    let mut directory = live();
    let changes = directory.apply(Update::GuildLeft(GUILD), at(9));
    assert_eq!(told(&changes), ended("")[..3], "seen to the end");
}

/// From when to when the last change says that something may be missing.
fn gap(changes: &[Change]) -> (SystemTime, SystemTime) {
    let Some(Change { body: ChangeBody::Discontinuity(entry), .. }) = changes.last() else { panic!("comes last") };
    let time = |stamp: &Option<prost_types::Timestamp>| SystemTime::try_from(stamp.expect("a time")).expect("a time");
    (time(&entry.from), time(&entry.to))
}

#[test]
fn what_is_shown_of_a_guild_itself_is_told_too() {
    let named = |name: &str| Update::GuildChanged { guild: GUILD, name: name.to_owned(), bitrate_limit: None };
    let mut directory = Directory::new(1);
    assert_eq!(told_of_guilds(&directory.apply(started(), at(0))), ["\"\" not available"]);
    let described = || guild(vec![room(1, "Lobby")], Vec::new());
    assert_eq!(told_of_guilds(&directory.apply(described(), at(1))), ["\"Guild\" available"]);
    assert_eq!(told_of_guilds(&directory.apply(described(), at(1))), [""; 0], "it is so already");

    assert_eq!(told_of_guilds(&directory.apply(named("Renamed"), at(2))), ["\"Renamed\" available"]);
    assert_eq!(told_of_guilds(&directory.apply(named("Renamed"), at(2))), [""; 0]);
    let quality = Update::GuildChanged { guild: GUILD, name: "Renamed".to_owned(), bitrate_limit: Some(128_000) };
    assert_eq!(told_of_guilds(&directory.apply(quality, at(2))), [""; 0], "nobody is shown that");

    let outage = directory.apply(Update::GuildUnavailable(GUILD), at(3));
    assert_eq!(told_of_guilds(&outage), ["\"Renamed\" not available"]);
    let back = directory.apply(described(), at(4));
    assert_eq!(told_of_guilds(&back), ["\"Guild\" available"]);
    assert!(matches!(back.last().expect("a change").body, ChangeBody::Discontinuity(_)), "which comes last");

    directory.apply(lost(Loss::SessionLost, at(5)), at(5));
    assert_eq!(told_of_guilds(&directory.apply(started(), at(6))), ["\"Guild\" not available"]);
    let left = directory.apply(Update::GuildLeft(GUILD), at(7));
    assert_eq!(told_of_guilds(&left), ["\"Guild\" left"]);
    assert_eq!(told(&left), ["ended Lobby REASON_BOT_REMOVED", "discontinuity REASON_SESSION_LOST"]);

    let joined = directory.apply(described(), at(8));
    assert_eq!(told_of_guilds(&joined), ["\"Guild\" available"]);
    assert_eq!(told_of_guilds(&joined[..1]).len(), 1, "a guild comes before its rooms");
    assert!(
        directory
            .apply(Update::GuildChanged { guild: GuildId::new(1), name: "x".into(), bitrate_limit: None }, at(9))
            .is_empty()
    );
}

#[test]
fn a_refusal_is_final_and_shown() {
    let mut directory = live();
    directory.apply(lost(Loss::Refused, at(1)), at(1));
    assert_eq!(directory.upstream(), UpstreamState::Failed);
}

#[test]
fn an_ended_room_is_remembered_for_a_while() {
    let mut directory = live();
    directory.end_room(GUILD, room_id(1), at(1));
    let ended = directory.snapshot().guilds[&GUILD].room(room_id(1)).expect("remembered");
    assert_eq!(ended.state(), v1::room::State::Ended);
    directory.end_room(GUILD, room_id(2), at(2) + TOMBSTONE_AGE);
    assert!(directory.snapshot().guilds[&GUILD].room(room_id(1)).is_none());
}

/// The state of a guild, small enough to compare: rooms by name, and who is where.
type Picture = (BTreeMap<RoomId, String>, BTreeMap<UserId, (RoomId, bool)>);

/// What a subscriber holds who folded every change.
fn fold(picture: &mut Picture, changes: &[Change]) {
    let put = |picture: &mut Picture, participant: &v1::Participant| {
        let room = participant.room_id.parse().expect("a room id");
        assert!(picture.0.contains_key(&room), "somebody is told to be in a room that is not there");
        picture.1.insert(participant.user_id.parse().expect("a user id"), (room, participant.self_mute));
    };
    for change in changes {
        let ChangeBody::Event(event) = &change.body else { continue };
        match event.kind.clone().expect("a kind") {
            Kind::RoomCreated(v1::RoomCreated { room }) => {
                let room = room.expect("a room");
                let before = picture.0.insert(room.room_id.parse().expect("a room id"), room.display_name);
                assert_eq!(before, None, "a room is created twice");
            }
            Kind::RoomUpdated(v1::RoomUpdated { room }) => {
                let room = room.expect("a room");
                let before = picture.0.insert(room.room_id.parse().expect("a room id"), room.display_name);
                assert!(before.is_some(), "a room that is not there changes");
            }
            Kind::RoomEnded(v1::RoomEnded { room, .. }) => {
                let id: RoomId = room.expect("a room").room_id.parse().expect("a room id");
                assert!(picture.0.remove(&id).is_some(), "a room ends twice");
                assert!(picture.1.values().all(|(room, _)| *room != id), "a room ends with somebody in it");
            }
            Kind::ParticipantJoined(v1::ParticipantJoined { participant }) => {
                let participant = participant.expect("a participant");
                let user: UserId = participant.user_id.parse().expect("a user id");
                assert!(!picture.1.contains_key(&user), "somebody joins who is already in a room");
                put(picture, &participant);
            }
            Kind::ParticipantLeft(v1::ParticipantLeft { participant }) => {
                let user: UserId = participant.expect("a participant").user_id.parse().expect("a user id");
                assert!(picture.1.remove(&user).is_some(), "somebody leaves who is in no room");
            }
            Kind::ParticipantMoved(v1::ParticipantMoved { participant, from_room_id }) => {
                let participant = participant.expect("a participant");
                let user: UserId = participant.user_id.parse().expect("a user id");
                let from = picture.1.get(&user).map(|(room, _)| room.to_string());
                assert_eq!(from, Some(from_room_id), "somebody moves from where they are not");
                put(picture, &participant);
            }
            Kind::ParticipantUpdated(v1::ParticipantUpdated { participant }) => {
                let participant = participant.expect("a participant");
                let user: UserId = participant.user_id.parse().expect("a user id");
                assert!(picture.1.contains_key(&user), "somebody changes who is in no room");
                put(picture, &participant);
            }
            Kind::GuildUpdated(_) => {}
        }
    }
}

/// One thing that happens in the world, and how Discord tells of it.
#[derive(Clone, Debug)]
enum Step {
    Room(u64, bool),
    Rename(u64, u8),
    Delete(u64),
    Voice {
        user: u64,
        room: Option<u64>,
        mute: bool,
    },
    /// The dispatch is sent this many times; 0 is a dispatch that is lost.
    Copies(u8),
    NewSession,
    /// The process ends and another goes on from the rows that it has written.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..5_u64, any::<bool>()).prop_map(|(room, stage)| Step::Room(room, stage)),
        1 => (0..5_u64, 0..3_u8).prop_map(|(room, name)| Step::Rename(room, name)),
        1 => (0..5_u64).prop_map(Step::Delete),
        8 => (0..6_u64, proptest::option::weighted(0.8, 0..5_u64), any::<bool>())
            .prop_map(|(user, room, mute)| Step::Voice { user, room, mute }),
        2 => (0..4_u8).prop_map(Step::Copies),
        1 => Just(Step::NewSession),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..80)
}

/// Writes down what is new since the last time.
fn store(stored: &mut BTreeMap<RowKey, Vec<u8>>, before: &Snapshot, directory: &Directory) -> Snapshot {
    let now = directory.snapshot();
    for Row { key, value } in now.rows_since(before) {
        assert_eq!(RowKey::from_bytes(&key.to_bytes()), Some(key));
        match value {
            Some(value) => stored.insert(key, value),
            None => stored.remove(&key),
        };
    }
    now
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is doubled or lost on the way: after the next snapshot every folded picture is the world.
    #[test]
    fn the_fold_of_all_changes_is_the_world(steps in steps()) {
        let mut rooms: BTreeMap<u64, RoomFacts> = BTreeMap::new();
        let mut people: BTreeMap<u64, VoiceState> = BTreeMap::new();
        let mut directory = Directory::new(1);
        let mut stored: BTreeMap<RowKey, Vec<u8>> = BTreeMap::new();
        let mut picture = Picture::default();
        let mut copies = 1;
        let mut lossless = true;
        let mut clock = 0;
        fold(&mut picture, &directory.apply(started(), at(clock)));
        fold(&mut picture, &directory.apply(guild(Vec::new(), Vec::new()), at(clock)));

        let mut before = store(&mut stored, &Snapshot::default(), &directory);
        let finish = steps.into_iter().chain([Step::NewSession]);
        for step in finish {
            clock += 1;
            let mut dispatches = Vec::new();
            match step {
                Step::Room(number, stage) => {
                    rooms.entry(number).or_insert_with(|| {
                        let kind = if stage { RoomKind::Stage } else { RoomKind::Voice };
                        let facts = RoomFacts { kind, ..room(number, "room") };
                        dispatches.push(within(News::Room(facts.clone())));
                        facts
                    });
                }
                Step::Rename(number, name) => {
                    if let Some(facts) = rooms.get_mut(&number) {
                        facts.name = format!("name {name}");
                        dispatches.push(within(News::Room(facts.clone())));
                    }
                }
                Step::Delete(number) => {
                    if rooms.remove(&number).is_some() {
                        people.retain(|_, state| state.room != Some(room_id(number)));
                        dispatches.push(within(News::RoomGone(room_id(number))));
                    }
                }
                Step::Voice { user, room, mute } => {
                    let room = room.filter(|room| rooms.contains_key(room));
                    let mut state = voice(user, room, people.get(&user).map_or(clock, |_| 0));
                    if let Some(known) = people.get(&user) {
                        state.session = known.session.clone();
                    }
                    state.flags.self_mute = mute;
                    if room.is_some() {
                        people.insert(user, state.clone());
                    } else {
                        people.remove(&user);
                    }
                    dispatches.push(within(News::Voice(state)));
                }
                Step::Copies(number) => copies = number,
                Step::NewSession => {
                    fold(&mut picture, &directory.apply(lost(Loss::SessionLost, at(clock)), at(clock)));
                    fold(&mut picture, &directory.apply(started(), at(clock)));
                    let all = guild(rooms.values().cloned().collect(), people.values().cloned().collect());
                    fold(&mut picture, &directory.apply(all, at(clock)));
                    lossless = true;
                }
                Step::Restart => {
                    let links = [(SHARD, Remembered { resumable: true, heard_at: at(clock) })].into();
                    let (restored, unreadable) = Directory::restore(stored.clone(), &links, 1);
                    prop_assert_eq!(unreadable, 0);
                    directory = restored;
                    prop_assert_eq!(directory.upstream(), UpstreamState::Resuming);
                    prop_assert!(directory.apply(Update::SessionResumed(SHARD), at(clock)).is_empty());
                    prop_assert_eq!(directory.upstream(), UpstreamState::Live);
                    before = directory.snapshot();
                }
            }
            for update in dispatches {
                lossless &= copies > 0;
                for _ in 0..copies {
                    fold(&mut picture, &directory.apply(update.clone(), at(clock)));
                }
            }
            before = store(&mut stored, &before, &directory);
            if lossless {
                let world: Picture = (
                    rooms.values().map(|facts| (facts.room, facts.name.clone())).collect(),
                    people.values().map(|state| (state.user, (state.room.unwrap(), state.flags.self_mute))).collect(),
                );
                prop_assert_eq!(&picture, &world);
            }
        }
    }
}
