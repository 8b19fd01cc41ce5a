//! The store against restarts, crashes, and files that somebody has cut or changed.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use parlor_gateway::{GuildId, RoomId, RowKey, SessionPlace, ShardIndex, Touched, UserId};
use parlor_proto::v1::{self, VoiceEventKind, subscribe_voice_events_response::Body, voice_event::Kind};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

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
        shared: Bytes::from(frame.encode_to_vec()),
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
        Key::Directory(_) => value.to_vec(),
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
