//! The store against restarts, crashes, and files that somebody has cut or changed.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parlor_gateway::{GuildId, RoomId, RowKey, SessionPlace, ShardIndex, Touched, UserId};
use parlor_proto::v1::{self, VoiceEventKind, subscribe_voice_events_response::Body, voice_event::Kind};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    hub::Framed,
    rooms::{CallRecord, Intent, Progress, RequestHash},
};

const GUILD: GuildId = GuildId::new(100_000_000_000_000_001);
const ANN: UserId = UserId::new(300_000_000_000_000_001);
const BOB: UserId = UserId::new(300_000_000_000_000_002);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn entry(sequence: u64, user: UserId) -> Entry {
    let participant = Some(v1::Participant { user_id: user.to_string(), ..Default::default() });
    let kind = Some(Kind::ParticipantJoined(v1::ParticipantJoined { participant }));
    let body = Some(Body::Event(v1::VoiceEvent { kind, ..Default::default() }));
    let frame = v1::SubscribeVoiceEventsResponse { sequence, body, ..Default::default() };
    let rooms = match sequence % 3 {
        0 => Touched::All,
        1 => Touched::One(RoomId::new(sequence)),
        _ => Touched::Both { from: RoomId::new(1), to: RoomId::new(sequence) },
    };
    Entry {
        sequence: Sequence(sequence),
        guild: GUILD,
        rooms,
        kind: (!sequence.is_multiple_of(5)).then_some(VoiceEventKind::ParticipantJoined),
        framed: Framed::new(&frame.encode_to_vec(), Sequence(sequence)),
        stored_at: now(),
    }
}

fn batch(sequences: std::ops::RangeInclusive<u64>, rows: Vec<(Key, Option<Vec<u8>>)>) -> Batch {
    let entries = sequences.map(|sequence| Arc::new(entry(sequence, if sequence % 2 == 0 { ANN } else { BOB })));
    Batch { entries: entries.collect(), forget_before: Sequence(0), rows }
}

fn shard() -> (Key, Vec<u8>) {
    let session = SessionPlace { session_id: "s".to_owned(), sequence: 7, resume_url: Some("ws://x".to_owned()) };
    let record = ShardRecord { session: Some(session), heard_at: now() };
    assert_eq!(ShardRecord::from_bytes(&record.to_bytes()), Some(record.clone()));
    (Key::Shard(ShardIndex(0)), record.to_bytes())
}

fn participant(user: UserId) -> Key {
    Key::Directory(RowKey::Participant(GUILD, user))
}

/// A store with twenty entries and three rows, whose process has been killed: it was never closed.
fn killed(directory: &Path) -> Recovered {
    let (mut store, recovered) = Disk::open(directory, now()).expect("made");
    assert_eq!((recovered.continuity, recovered.head), (Continuity::Begins, Sequence(0)));
    let (key, value) = shard();
    store.commit(&batch(1..=10, vec![(key, Some(value)), (participant(ANN), Some(vec![1]))])).expect("stored");
    store.commit(&batch(11..=20, vec![(participant(BOB), Some(vec![2]))])).expect("stored");
    let file = directory.join("parlor.redb");
    let as_it_was = fs::read(&file).expect("readable");
    drop(store);
    fs::write(&file, as_it_was).expect("writable");
    Recovered { head: Sequence(20), continuity: Continuity::GoesOn, ..recovered }
}

fn without_sessions(rows: &[(Key, Vec<u8>)]) -> Vec<(Key, Vec<u8>)> {
    let forget = |key: &Key, value: &[u8]| match key {
        Key::Directory(_) | Key::Call(_) | Key::Life(_) | Key::Consent(..) | Key::Voice(_) => value.to_vec(),
        Key::Shard(_) => ShardRecord::from_bytes(value).expect("a record").without_session().to_bytes(),
    };
    rows.iter().map(|(key, value)| (*key, forget(key, value))).collect()
}

fn rows() -> Vec<(Key, Vec<u8>)> {
    vec![(participant(ANN), vec![1]), (participant(BOB), vec![2]), shard()]
}

#[test]
fn everything_that_was_committed_is_there_after_a_kill() {
    let home = tempfile::tempdir().expect("a directory");
    let before = killed(home.path());
    let (mut store, recovered) = Disk::open(home.path(), now()).expect("opens");
    assert_eq!((recovered.epoch, recovered.head), (before.epoch, Sequence(20)));
    assert_eq!(recovered.continuity, Continuity::GoesOn);
    let expected: Vec<Entry> = batch(1..=20, Vec::new()).entries.iter().map(|entry| (**entry).clone()).collect();
    assert_eq!(recovered.entries, expected);
    assert_eq!(recovered.rows, rows());

    let forget = Batch { forget_before: Sequence(15), ..batch(21..=21, vec![(participant(ANN), None)]) };
    store.commit(&forget).expect("stored");
    // A commit whose answer was lost is made again.
    store.commit(&forget).expect("stored");
    drop(store);
    let (_, recovered) = Disk::open(home.path(), now()).expect("opens");
    let sequences: Vec<u64> = recovered.entries.iter().map(|entry| entry.sequence.0).collect();
    assert_eq!(sequences, (15..=21).collect::<Vec<_>>());
    assert_eq!(recovered.rows, rows()[1..]);
}

#[test]
fn a_log_of_which_nothing_is_kept_goes_on_counting() {
    let home = tempfile::tempdir().expect("a directory");
    let before = killed(home.path());
    let (mut store, _) = Disk::open(home.path(), now()).expect("opens");
    store.commit(&Batch { forget_before: Sequence(21), ..Batch::default() }).expect("stored");
    drop(store);
    let (_, recovered) = Disk::open(home.path(), now()).expect("opens");
    assert_eq!((recovered.epoch, recovered.head), (before.epoch, Sequence(20)));
    assert_eq!(recovered.entries, []);
}

#[test]
fn one_process_at_a_time() {
    let home = tempfile::tempdir().expect("a directory");
    let (_store, _) = Disk::open(home.path(), now()).expect("opens");
    assert!(matches!(Disk::open(home.path(), now()), Err(OpenError::InUse(_))));
    assert!(matches!(purge(home.path(), ANN, now()), Err(OpenError::InUse(_))));
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    killed(home.path());
    let file = home.path().join("parlor.redb");
    disk::write_format(&file, FORMAT + 1);
    let before = fs::read(&file).expect("readable");
    let error = Disk::open(home.path(), now()).expect_err("too new");
    assert!(matches!(error, OpenError::Newer { found, .. } if found == FORMAT + 1), "{error}");
    assert!(error.to_string().contains("run the version that wrote it"));
    let rows_of = |bytes: &[u8]| bytes.len();
    assert_eq!(rows_of(&fs::read(&file).expect("readable")), rows_of(&before));
    disk::write_format(&file, FORMAT);
    let (_, recovered) = Disk::open(home.path(), now()).expect("opens");
    assert_eq!(recovered.rows, rows());
}

#[test]
fn a_purge_leaves_no_byte_of_a_person() {
    let home = tempfile::tempdir().expect("a directory");
    let before = killed(home.path());
    fs::write(home.path().join("parlor.redb.damaged-1"), "x").expect("written");
    let names_ann = |directory: &Path| {
        let needle = ANN.to_string();
        let key = ANN.get().to_be_bytes();
        fs::read_dir(directory).expect("readable").any(|file| {
            let bytes = fs::read(file.expect("a file").path()).expect("readable");
            let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            has(needle.as_bytes()) || has(&key)
        })
    };
    assert!(names_ann(home.path()));
    let purged = purge(home.path(), ANN, now()).expect("purged");
    assert_eq!(purged, Purged { rows: 1, entries: 10, damaged_files: 1 });
    assert!(!names_ann(home.path()));
    let (_, recovered) = Disk::open(home.path(), now()).expect("opens");
    assert_ne!(recovered.epoch, before.epoch, "clients start over");
    assert_eq!(recovered.rows, without_sessions(&rows()[1..]), "a resume would never tell that Ann is still there");
}

#[test]
fn an_old_copy_is_not_gone_on_with() {
    let home = tempfile::tempdir().expect("a directory");
    let before = killed(home.path());
    let file = home.path().join("parlor.redb");
    let old = fs::read(&file).expect("readable");
    let (mut store, _) = Disk::open(home.path(), now()).expect("opens");
    store.commit(&batch(21..=30, Vec::new())).expect("stored");
    drop(store);
    fs::write(&file, old).expect("writable");
    let (_, recovered) = Disk::open(home.path(), now()).expect("opens");
    assert_eq!(recovered.continuity, Continuity::Damaged);
    assert_ne!(recovered.epoch, before.epoch);
}

#[test]
fn the_session_of_a_damaged_store_is_not_resumed_by_a_later_process_either() {
    let home = tempfile::tempdir().expect("a directory");
    killed(home.path());
    let file = home.path().join("parlor.redb");
    let old = fs::read(&file).expect("readable");
    let (mut store, _) = Disk::open(home.path(), now()).expect("opens");
    store.commit(&batch(21..=30, Vec::new())).expect("stored");
    drop(store);
    fs::write(&file, old).expect("writable");
    // The first process notices the damage and ends before it has stored anything.
    drop(Disk::open(home.path(), now()).expect("opens"));
    let (_, recovered) = Disk::open(home.path(), now()).expect("opens");
    assert_eq!(recovered.continuity, Continuity::GoesOn);
    assert_eq!(recovered.rows, without_sessions(&rows()));
}

/// A room's row as format 1 had it.
#[derive(Clone, PartialEq, prost::Message)]
struct RoomRowOfFormat1 {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    stage: bool,
    #[prost(fixed64, optional, tag = "3")]
    category: Option<u64>,
    #[prost(uint32, tag = "4")]
    user_limit: u32,
    #[prost(uint32, tag = "5")]
    bitrate: u32,
    #[prost(bool, tag = "6")]
    managed: bool,
}

#[test]
fn a_file_of_format_1_goes_on_with_its_rooms_and_their_owner() {
    let home = tempfile::tempdir().expect("a directory");
    let before = killed(home.path());
    let key = |number: u64| Key::Directory(RowKey::Room(GUILD, RoomId::new(200_000_000_000_000_000 + number)));
    let room = |name: &str, managed| RoomRowOfFormat1 {
        name: name.to_owned(),
        stage: true,
        category: Some(7),
        user_limit: 5,
        bitrate: 64_000,
        managed,
    };
    let old = [(key(1), room("Ours", true)), (key(2), room("Theirs", false))];
    let (mut store, _) = Disk::open(home.path(), now()).expect("opens");
    let rows = old.iter().map(|(key, row)| (*key, Some(row.encode_to_vec()))).collect();
    store.commit(&Batch { rows, ..Batch::default() }).expect("stored");
    drop(store);
    let file = home.path().join("parlor.redb");
    disk::write_format(&file, 1);

    // The second time there is nothing to migrate any more.
    for _ in 0..2 {
        let (_, recovered) = Disk::open(home.path(), now()).expect("opens");
        assert_eq!(
            (recovered.epoch, recovered.head, recovered.continuity),
            (before.epoch, Sequence(20), Continuity::GoesOn)
        );
        let rows = recovered.rows.into_iter().filter_map(|(key, value)| match key {
            Key::Directory(key @ RowKey::Room(..)) => Some((key, value)),
            Key::Directory(_) | Key::Shard(_) | Key::Call(_) | Key::Life(_) | Key::Consent(..) | Key::Voice(_) => None,
        });
        let (directory, unreadable) = parlor_gateway::Directory::restore(rows, &std::collections::BTreeMap::new(), 1);
        assert_eq!(unreadable, 0);
        let guild = directory.guild(GUILD).expect("it has rooms");
        let shown: Vec<_> = guild
            .rooms()
            .map(|(_, room)| (room.display_name, room.managed, room.user_limit, room.bitrate_bps))
            .collect();
        assert_eq!(shown, [("Ours".to_owned(), true, 5, 64_000), ("Theirs".to_owned(), false, 5, 64_000)]);
    }
}

/// What is new since is not in it; an older version would take that for damage, so the number keeps it away from there.
#[test]
fn a_file_of_format_2_or_3_goes_on_as_it_is() {
    for format in [2, 3] {
        let home = tempfile::tempdir().expect("a directory");
        killed(home.path());
        let (_, before) = Disk::open(home.path(), now()).expect("opens");
        assert!(!before.entries.is_empty() && !before.rows.is_empty());
        let file = home.path().join("parlor.redb");
        disk::write_format(&file, format);
        for _ in 0..2 {
            let (_, recovered) = Disk::open(home.path(), now()).expect("opens");
            assert_eq!(
                (recovered.epoch, recovered.head, recovered.continuity),
                (before.epoch, before.head, Continuity::GoesOn)
            );
            assert_eq!((&recovered.entries, &recovered.rows), (&before.entries, &before.rows));
        }
        assert_eq!(disk::read_format(&file), Some(FORMAT), "it is of this version now");
    }
}

#[test]
fn a_purge_reaches_rooms_and_calls() {
    let home = tempfile::tempdir().expect("a directory");
    let (mut store, _) = Disk::open(home.path(), now()).expect("made");
    let mut directory = parlor_gateway::Directory::new(1);
    let started = parlor_gateway::Update::SessionStarted { shard: ShardIndex(0), self_user: BOB, guilds: vec![GUILD] };
    directory.apply(started, now());
    let ownership = parlor_gateway::Ownership {
        creator: ANN.to_string(),
        labels: [("for", ANN.to_string()), ("team", "blue".to_owned())]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
        ..Default::default()
    };
    let facts = |number: u64, name: &str| parlor_gateway::RoomFacts {
        room: RoomId::new(200_000_000_000_000_000 + number),
        guild: GUILD,
        name: name.to_owned(),
        kind: parlor_gateway::RoomKind::Voice,
        category: None,
        user_limit: 0,
        bitrate: 64_000,
        region: None,
        video_quality: parlor_gateway::VideoQuality::Auto,
        status: None,
    };
    directory.change_room(GUILD, facts(1, "There"), Some(ownership.clone()), now());
    directory.change_room(GUILD, facts(2, "Gone"), Some(ownership.clone()), now());
    directory.end_room(GUILD, facts(2, "Gone").room, now());
    let rows = directory.snapshot().rows_since(&parlor_gateway::Snapshot::default());
    let mut rows: Vec<_> = rows.into_iter().map(|row| (Key::Directory(row.key), row.value)).collect();
    let record = CallRecord {
        request: RequestHash::of("CreateRoom", &String::new()),
        at: now(),
        progress: Progress::Creating(Intent { ownership, ..crate::rooms::sample_intent() }),
    };
    rows.push((Key::Call(CallKey::new([1; 32])), Some(record.to_bytes())));
    rows.push((Key::Life(RoomId::new(1)), Some(vec![1])));
    store.commit(&Batch { rows, ..Batch::default() }).expect("stored");
    drop(store);
    let holds = || {
        let bytes = fs::read(home.path().join("parlor.redb")).expect("readable");
        let needle = ANN.to_string();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    assert!(holds());
    let purged = purge(home.path(), ANN, now()).expect("purged");
    assert_eq!(purged.rows, 3, "two rooms and a call");
    assert!(!holds());
    let (_, recovered) = Disk::open(home.path(), now()).expect("opens");
    let kept =
        recovered.rows.iter().filter(|(key, _)| matches!(key, Key::Directory(RowKey::Room(..) | RowKey::Ended(..))));
    assert_eq!(kept.count(), 2, "the rooms themselves stay");
    assert_eq!(recovered.calls().count(), 0);
    assert_eq!(recovered.lives().count(), 1);
}

proptest! {
    // Each case checks a whole file.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is cut off or changed: what opens is what was stored, or a log that begins anew and says so.
    #[test]
    fn a_damaged_file_is_never_taken_for_a_whole_one(
        cut in proptest::option::weighted(0.3, 0.0..1.0_f64),
        flips in proptest::collection::vec((0.0..1.0_f64, 0..8_u8), 0..4),
    ) {
        let home = tempfile::tempdir().expect("a directory");
        let before = killed(home.path());
        let file = home.path().join("parlor.redb");
        let mut bytes = fs::read(&file).expect("readable");
        let place = |part: f64, length: usize| (part * length as f64) as usize;
        bytes.truncate(cut.map_or(bytes.len(), |cut| place(cut, bytes.len())));
        if !bytes.is_empty() {
            for (at, bit) in flips {
                // Most of a file is unused: aim at its beginning, where there is something.
                let at = place(at * at * at, bytes.len());
                bytes[at] ^= 1 << bit;
            }
        }
        fs::write(&file, bytes).expect("writable");
        let (mut store, recovered) = match Disk::open(home.path(), now()) {
            Ok(opened) => opened,
            // A format that looks newer is not ours to touch.
            Err(OpenError::Newer { .. }) => return Ok(()),
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        };
        if recovered.continuity == Continuity::GoesOn {
            prop_assert_eq!((recovered.epoch, recovered.head), (before.epoch, before.head));
            prop_assert_eq!(recovered.entries.len(), 20);
            prop_assert_eq!(recovered.rows, rows());
        } else {
            prop_assert_eq!(recovered.continuity, Continuity::Damaged);
            prop_assert_ne!(recovered.epoch, before.epoch);
            prop_assert_eq!(recovered.entries.len(), 0);
            let whole = without_sessions(&rows());
            prop_assert!(recovered.rows.iter().all(|row| whole.contains(row)));
        }
        let head = recovered.head.0;
        store.commit(&batch(head + 1..=head + 1, Vec::new())).expect("it goes on either way");
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = record::open(&bytes);
        let _ = Key::from_bytes(&bytes);
        let _ = ShardRecord::from_bytes(&bytes);
        let _ = record::entry_from_bytes(Sequence(1), &bytes);
        let sealed = record::seal(bytes.clone());
        prop_assert_eq!(record::open(&sealed), Some(bytes.as_slice()));
    }
}
