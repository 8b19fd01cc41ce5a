//! Each check passes on what is right and fails on what is wrong.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use discord_emulator::{
    ANN, BOB, ChannelId, GAMES, GuildId, Happening, LOBBY, OTHER_GUILD, OTHER_ROOM, PARLOR_DEV, Presence, Timestamp,
    Transition, UserId,
};
use parlor_client::v1::{self, subscribe_voice_events_response::Body, voice_event::Kind};
use tonic::Code;

use super::*;

const EPOCH: &str = "e1";

fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn unpositioned(body: Body) -> Frame {
    Frame { body: Some(body), ..Frame::default() }
}

fn positioned(sequence: u64, body: Body) -> Frame {
    let prev_sequence = sequence.saturating_sub(1);
    Frame { cursor: format!("{EPOCH}-{sequence}"), sequence, prev_sequence, body: Some(body) }
}

fn hello(resumed: bool) -> Frame {
    let (epoch, filter_id) = (EPOCH.to_owned(), "f".to_owned());
    unpositioned(Body::Hello(v1::Hello {
        epoch,
        filter_id,
        resumed,
        head_sequence: if resumed { 9 } else { 0 },
        upstream_state: v1::UpstreamState::Live.into(),
        oldest_sequence: 1,
        ..v1::Hello::default()
    }))
}

fn room(guild: GuildId, id: ChannelId, name: &str) -> v1::Room {
    let (room_id, guild_id) = (id.to_string(), guild.to_string());
    v1::Room { room_id, guild_id, display_name: name.to_owned(), bitrate_bps: 64_000, state: 2, ..v1::Room::default() }
}

fn somebody(guild: GuildId, user: UserId, room: ChannelId) -> v1::Participant {
    let (guild_id, user_id, room_id) = (guild.to_string(), user.to_string(), room.to_string());
    v1::Participant { guild_id, user_id, room_id, ..v1::Participant::default() }
}

fn event(sequence: u64, guild: GuildId, kind: Kind) -> Frame {
    let event = v1::VoiceEvent { guild_id: guild.to_string(), kind: Some(kind), ..v1::VoiceEvent::default() };
    positioned(sequence, Body::Event(event))
}

/// The same event, found out by comparing.
fn reconciled(mut frame: Frame) -> Frame {
    if let Some(Body::Event(event)) = &mut frame.body {
        event.set_origin(v1::Origin::Reconcile);
    }
    frame
}

fn joined(guild: GuildId, user: UserId, room: ChannelId) -> Kind {
    Kind::ParticipantJoined(v1::ParticipantJoined { participant: Some(somebody(guild, user, room)) })
}

/// Frame 3 of the log: ann goes from the lobby to games.
fn moved() -> Kind {
    let participant = Some(somebody(PARLOR_DEV, ANN, GAMES));
    Kind::ParticipantMoved(v1::ParticipantMoved { participant, from_room_id: LOBBY.to_string() })
}

fn bookmark(sequence: u64) -> Frame {
    Frame { prev_sequence: sequence, ..positioned(sequence, Body::Bookmark(v1::Bookmark::default())) }
}

/// Frame 5 of the log: something may be missing between two times.
fn discontinuity(from: i64, to: i64) -> Frame {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let gap = v1::Discontinuity { guild_id: PARLOR_DEV.to_string(), from: time(from), to: time(to), reason: 1 };
    positioned(5, Body::Discontinuity(gap))
}

/// The snapshot of a position, with ann in the lobby or without.
fn snapshot(position: u64, ann: bool) -> Vec<Frame> {
    let items = v1::SnapshotItems {
        guilds: vec![],
        rooms: vec![
            room(PARLOR_DEV, LOBBY, "Lobby"),
            room(PARLOR_DEV, GAMES, "Games"),
            room(OTHER_GUILD, OTHER_ROOM, "Elsewhere"),
        ],
        participants: if ann { vec![somebody(PARLOR_DEV, ANN, LOBBY)] } else { vec![] },
    };
    let mut fold = Fold::default();
    fold.put_items(&items);
    let end =
        v1::SnapshotEnd { guild_count: 0, room_count: 3, participant_count: i32::from(ann), digest: fold.digest() };
    vec![
        unpositioned(Body::SnapshotBegin(v1::SnapshotBegin { at_sequence: position })),
        unpositioned(Body::SnapshotItems(items)),
        Frame { prev_sequence: position, ..positioned(position, Body::SnapshotEnd(end)) },
    ]
}

fn reset(reason: v1::reset::Reason) -> Frame {
    unpositioned(Body::Reset(v1::Reset { reason: reason.into(), oldest_sequence: 1 }))
}

fn stream(from: From, frames: impl IntoIterator<Item = Frame>) -> Vec<Step> {
    let frames = frames.into_iter().map(|frame| Step::Frame { at: at(5_000), frame: Arc::new(frame) });
    let ended = Step::Ended { at: at(90_000), code: Code::Ok, reason: None };
    [Step::Opened { at: at(5_000), from }].into_iter().chain(frames).chain([ended]).collect()
}

/// Positions 1 to 5, over a resume after 3.
fn full() -> Recording {
    let first = [hello(false)].into_iter().chain(snapshot(0, false)).chain([
        event(1, PARLOR_DEV, joined(PARLOR_DEV, ANN, LOBBY)),
        event(2, OTHER_GUILD, joined(OTHER_GUILD, BOB, OTHER_ROOM)),
        event(3, PARLOR_DEV, moved()),
        bookmark(3),
    ]);
    let left = v1::ParticipantLeft { participant: Some(somebody(PARLOR_DEV, ANN, GAMES)) };
    let second = [hello(true), reconciled(event(4, PARLOR_DEV, Kind::ParticipantLeft(left))), discontinuity(50, 60)];
    let steps = [stream(From::Snapshot, first), stream(From::Cursor(format!("{EPOCH}-3")), second)].concat();
    Recording { steps, ..Recording::new("full", Sight::default()) }
}

/// The same log, of which only one guild is for this client; from position 1 on.
fn narrow() -> Recording {
    let sight = Sight { granted: Some(BTreeSet::from([PARLOR_DEV.to_string()])), ..Sight::default() };
    let mut moved = event(3, PARLOR_DEV, moved());
    moved.prev_sequence = 1;
    let first_mark = bookmark(1);
    let frames = [hello(false), first_mark, moved, bookmark(3)];
    Recording { steps: stream(From::Latest, frames), ..Recording::new("narrow", sight) }
}

fn ground() -> Ground {
    let voice = |seconds: u64, guild, user, now: Option<ChannelId>| {
        let now = now.map(|room| Presence {
            room,
            mute: false,
            deaf: false,
            self_mute: false,
            self_deaf: false,
            self_video: false,
            self_stream: false,
            suppress: false,
        });
        Transition { at: at(seconds * 1_000), guild, what: Happening::Voice { user, now } }
    };
    let journal = vec![
        voice(11, PARLOR_DEV, ANN, Some(LOBBY)),
        voice(12, OTHER_GUILD, BOB, Some(OTHER_ROOM)),
        voice(13, PARLOR_DEV, ANN, Some(GAMES)),
        voice(55, PARLOR_DEV, ANN, Some(LOBBY)),
        voice(56, PARLOR_DEV, ANN, None),
    ];
    let mut fold = Fold::default();
    for (guild, id, name) in
        [(PARLOR_DEV, LOBBY, "Lobby"), (PARLOR_DEV, GAMES, "Games"), (OTHER_GUILD, OTHER_ROOM, "Elsewhere")]
    {
        fold.put_items(&v1::SnapshotItems { rooms: vec![room(guild, id, name)], ..v1::SnapshotItems::default() });
    }
    let bob = vec![somebody(OTHER_GUILD, BOB, OTHER_ROOM)];
    fold.put_items(&v1::SnapshotItems { participants: bob, ..v1::SnapshotItems::default() });
    Ground { journal, settled: Some(fold.faces()), slack: Duration::from_secs(1) }
}

/// The frame at an index of a recording's steps.
fn frame(recording: &mut Recording, index: usize) -> &mut Frame {
    match &mut recording.steps[index] {
        Step::Frame { frame, .. } => Arc::make_mut(frame),
        other @ (Step::Opened { .. } | Step::Refused { .. } | Step::Ended { .. } | Step::Settled { .. }) => {
            panic!("{other:?}")
        }
    }
}

fn judged(recordings: &[Recording], ground: &Ground) -> Report {
    validate(recordings, ground)
}

#[track_caller]
fn is_found(promise: Promise, sabotage: impl FnOnce(&mut Recording, &mut Recording, &mut Ground)) {
    let (mut full, mut narrow, mut ground) = (full(), narrow(), ground());
    sabotage(&mut full, &mut narrow, &mut ground);
    let report = judged(&[full, narrow], &ground);
    assert!(report.count(&[promise]) > 0, "{promise:?} is not found: {report}, {:#?}", report.findings);
}

#[test]
fn what_is_right_is_found_right() {
    let report = judged(&[full(), narrow()], &ground());
    assert_eq!(report.findings, []);
    assert_eq!((report.entries, report.resumes, report.streams, report.transitions), (5, 1, 3, 5));
    assert_eq!(
        report.to_string(),
        "clients=2 streams=3 resumes=1 frames=15 entries=5 resets=0 discontinuities=1 epochs=1 settled=1 transitions=5 findings=0"
    );
}

#[test]
fn an_entry_that_is_dropped() {
    is_found(Promise::GapFree, |full, _, _| drop(full.steps.remove(6)));
    is_found(Promise::GapFree, |_, narrow, _| {
        // The chain is whole, as the server that forgot it would write it, but the others were sent the entry.
        narrow.steps.remove(3);
        frame(narrow, 3).sequence = 4;
        frame(narrow, 3).prev_sequence = 1;
        frame(narrow, 3).body = Some(Body::Discontinuity(v1::Discontinuity::default()));
    });
}

#[test]
fn an_entry_that_comes_twice() {
    is_found(Promise::Unique, |full, _, _| full.steps.insert(6, full.steps[5].clone()));
    is_found(Promise::Unique, |full, _, _| full.steps.insert(12, full.steps[7].clone()));
}

#[test]
fn entries_that_are_swapped() {
    is_found(Promise::Ordered, |full, _, _| full.steps.swap(5, 6));
}

#[test]
fn a_bookmark_that_comes_too_early() {
    is_found(Promise::BookmarkTrue, |_, narrow, _| {
        frame(narrow, 2).sequence = 3;
        frame(narrow, 2).cursor = format!("{EPOCH}-3");
        narrow.steps.insert(3, Step::Frame { at: at(1), frame: Arc::new(bookmark(3)) });
        frame(narrow, 2).sequence = 1;
        frame(narrow, 2).cursor = format!("{EPOCH}-1");
        frame(narrow, 3).prev_sequence = 1;
    });
}

#[test]
fn a_resume_that_is_off_by_one() {
    is_found(Promise::GapFree, |full, _, _| {
        full.steps[10] = Step::Opened { at: at(1), from: From::Cursor(format!("{EPOCH}-2")) }
    });
}

#[test]
fn a_cursor_that_is_kept_and_not_continued() {
    is_found(Promise::Resumable, |full, _, _| {
        let mut first = hello(false);
        let Some(Body::Hello(told)) = &mut first.body else { panic!("hello") };
        told.head_sequence = 9;
        let again = [first, reset(v1::reset::Reason::Compacted)].into_iter().chain(snapshot(0, false));
        full.steps.truncate(10);
        full.steps.extend(stream(From::Cursor(format!("{EPOCH}-3")), again));
    });
}

#[test]
fn a_snapshot_that_nobody_announced() {
    is_found(Promise::NeverSilent, |full, _, _| {
        let again = snapshot(3, false).into_iter().map(|frame| Step::Frame { at: at(1), frame: Arc::new(frame) });
        full.steps.splice(9..9, again);
    });
}

#[test]
fn a_position_of_another_log_that_goes_on() {
    is_found(Promise::NeverSilent, |full, _, _| {
        let Some(Body::Hello(hello)) = &mut frame(full, 11).body else { panic!("hello") };
        hello.epoch = "e2".to_owned();
    });
}

#[test]
fn a_snapshot_that_is_not_what_the_entries_make() {
    is_found(Promise::SnapshotTrue, |_, narrow, _| {
        let late = [hello(false)].into_iter().chain(snapshot(1, false));
        narrow.sight = Sight::default();
        narrow.steps = stream(From::Snapshot, late);
    });
    is_found(Promise::SnapshotTrue, |full, _, _| {
        *frame(full, 7) = event(3, PARLOR_DEV, joined(PARLOR_DEV, ANN, GAMES));
    });
}

#[test]
fn a_digest_or_a_count_that_is_wrong() {
    for part in 0..2 {
        is_found(Promise::DigestTrue, |full, _, _| {
            let Some(Body::SnapshotEnd(end)) = &mut frame(full, 4).body else { panic!("an end") };
            if part == 0 { end.room_count += 1 } else { end.digest = "0".repeat(16) }
        });
    }
}

#[test]
fn something_of_a_foreign_guild() {
    is_found(Promise::Authorized, |full, narrow, _| {
        narrow.steps.insert(3, full.steps[6].clone());
    });
}

#[test]
fn an_entry_that_two_clients_were_told_differently() {
    is_found(Promise::Committed, |_, narrow, _| {
        *frame(narrow, 3) = {
            let other = event(3, PARLOR_DEV, joined(PARLOR_DEV, BOB, GAMES));
            Frame { prev_sequence: 1, ..other }
        }
    });
}

#[test]
fn a_discontinuity_that_is_forgotten_or_that_says_the_wrong_time() {
    is_found(Promise::Honest, |full, _, _| {
        full.steps.remove(13);
    });
    is_found(Promise::Honest, |full, _, _| *frame(full, 13) = discontinuity(70, 80));
}

#[test]
fn a_guild_that_ends_unseen_and_undeclared() {
    let ended = |discontinuity: bool| {
        let mut full = full();
        let room = Some(v1::Room { state: 4, ..room(PARLOR_DEV, GAMES, "Games") });
        let mut gone = v1::RoomEnded { room, ..v1::RoomEnded::default() };
        gone.set_reason(v1::room_ended::Reason::BotRemoved);
        *frame(&mut full, 12) = reconciled(event(4, PARLOR_DEV, Kind::RoomEnded(gone)));
        if !discontinuity {
            *frame(&mut full, 13) = event(5, OTHER_GUILD, joined(OTHER_GUILD, ANN, OTHER_ROOM));
        }
        let report = judged(&[full], &ground());
        report.findings.iter().any(|finding| finding.detail.contains("ended unseen"))
    };
    assert!(ended(false));
    assert!(!ended(true));
}

#[test]
fn something_that_was_told_and_did_not_happen() {
    is_found(Promise::Honest, |_, _, ground| drop(ground.journal.remove(2)));
    is_found(Promise::Honest, |_, _, ground| ground.journal.retain(|each| each.guild == PARLOR_DEV));
}

#[test]
fn somebody_who_ends_up_with_another_state() {
    is_found(Promise::Converged, |full, _, ground| {
        full.steps.truncate(10);
        ground.journal.truncate(3);
    });
}

#[test]
fn somebody_who_holds_another_state_when_everything_has_settled() {
    let settled = |truth: &BTreeMap<Subject, Face>| Step::Settled { truth: Arc::new(truth.clone()) };
    is_found(Promise::Converged, |full, _, ground| {
        // Ann has moved to another room by then.
        let truth = ground.settled.take().expect("it is there");
        full.steps.insert(9, settled(&truth));
    });
    is_found(Promise::Converged, |full, _, ground| {
        // Nothing is held before the snapshot has come.
        let truth = ground.settled.take().expect("it is there");
        full.steps.insert(3, settled(&truth));
    });
}

#[test]
fn somebody_who_holds_nothing_whole() {
    is_found(Promise::Converged, |full, _, _| {
        full.steps.extend(stream(From::Snapshot, [hello(false)].into_iter().chain(snapshot(5, false)).take(3)));
    });
}

#[test]
fn frames_out_of_place() {
    is_found(Promise::Ordered, |full, _, _| drop(full.steps.remove(1)));
    is_found(Promise::Ordered, |full, _, _| full.steps.insert(5, full.steps[1].clone()));
    is_found(Promise::Ordered, |full, _, _| frame(full, 1).cursor = "c".to_owned());
    is_found(Promise::Ordered, |full, _, _| {
        let last = unpositioned(Body::Draining(v1::Draining::default()));
        full.steps.insert(6, Step::Frame { at: at(1), frame: Arc::new(last) });
    });
}

#[test]
fn an_outline_is_checked_as_far_as_it_goes() {
    let outline = |mut recording: Recording| {
        recording.detail = Detail::Outline;
        recording.name = "outline".to_owned();
        recording
    };
    let report = judged(&[full(), outline(full())], &ground());
    assert_eq!(report.findings, []);
    let mut wrong = outline(full());
    *frame(&mut wrong, 5) = event(1, PARLOR_DEV, joined(PARLOR_DEV, ANN, GAMES));
    assert!(judged(&[full(), wrong], &ground()).count(&[Promise::Committed]) > 0);
}
