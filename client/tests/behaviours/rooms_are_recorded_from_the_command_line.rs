//! `parlor voice record`: everybody has a file of their own, and all files are in time with each other.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use discord_emulator::LOBBY;
use parlor_e2e::{
    House, Setup,
    sound_file::{caller, onsets, piece, read_opus, read_wav},
    voice::{Call, Ear, pcm, share},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, parlor, path, run};

/// How far tracks may be apart: a frame, and what an encoder holds back.
const APART: Duration = Duration::from_millis(35);

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn of(&self, user: &str, kind: &str) -> std::path::PathBuf {
        self.0.path().join("tape").join(format!("{user}.{kind}"))
    }

    fn tape(&self) -> String {
        path(&self.0.path().join("tape")).to_owned()
    }
}

fn record(house: &House, folder: &Folder, arguments: &[&str]) -> Running {
    let (room, tape) = (LOBBY.to_string(), folder.tape());
    let all = [&["voice", "record", &room, &tape, "-o", "json"], arguments].concat();
    Running::start(parlor(house, &all))
}

fn received(ear: &Ear, user: &str, frame: usize) -> SystemTime {
    ear.frames[user][frame].receive_time.unwrap().try_into().unwrap()
}

/// Where a listener's frames begin after half a second or more without any.
fn begun(ear: &Ear, user: &str) -> Vec<SystemTime> {
    let times: Vec<_> = (0..ear.frames[user].len()).map(|frame| received(ear, user, frame)).collect();
    let pauses = times
        .windows(2)
        .filter(|pair| pair[1].duration_since(pair[0]).unwrap_or_default() > Duration::from_millis(500));
    [times[0]].into_iter().chain(pauses.map(|pair| pair[1])).collect()
}

fn sounds_like(sound: &[u8], hertz: f64, file: &Path) {
    let part = share(sound, hertz);
    assert!(part > 0.9, "{hertz} Hz is {part} of {}", file.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_speakers_have_two_files_in_time_with_each_other() {
    let call = Call::start(Setup::default(), &LOBBY).await;
    let house = &call.house;
    let folder = Folder::new();
    let mut recording = record(house, &folder, &[]);
    recording.frames_until(|line| line["event"] == "recording").await;
    let mut ear = call.ear(0, pcm()).await;

    // One speaks twice, the other once, and then everybody is silent.
    let neighbour = &call.users[1];
    call.play(1, 440.0, Duration::from_secs(1)).await;
    let mut other = caller(house, "Lobby", &["--tone", "1000", "--seconds", "1"]).await;
    let called = house.emulator.bot("caller.caller").unwrap().to_string();
    other.wait().await.unwrap();
    call.play(1, 440.0, Duration::from_secs(1)).await;
    ear.hear(&called, 40).await;
    ear.hear(neighbour, 95).await;
    recording
        .frames_until(|line| {
            let frames = |user: &str| {
                let tracks = line["tracks"].as_array().into_iter().flatten();
                tracks.filter(|track| track["user"] == user).filter_map(|track| track["frames"].as_u64()).sum::<u64>()
            };
            frames(neighbour) >= 95 && frames(&called) >= 40
        })
        .await;
    recording.signal("INT").await;
    let lines = recording.frames_until(|line| line["event"] == "recorded").await;
    assert_eq!(recording.end().await, Some(0));
    let last = lines.last().unwrap();
    assert_eq!((&last["ending"], last["tracks"].as_array().unwrap().len()), (&Value::from(""), 2), "{last}");

    let files = [(neighbour, 440.0, 2), (&called, 1_000.0, 1)].map(|(user, hertz, times)| {
        let file = folder.of(user, "opus");
        let recorded = read_opus(&file);
        assert!(recorded.is_finished && recorded.pcm.len() as u64 == recorded.position * 4, "{}", recorded.position);
        let begun = onsets(&recorded.pcm);
        assert_eq!(begun.len(), times, "{begun:?} in {}", file.display());
        for from in &begun {
            let middle = piece(&recorded.pcm, *from + Duration::from_millis(100), Duration::from_millis(600));
            sounds_like(middle, hertz, &file);
        }
        (recorded, begun)
    });
    let [(one, first), (two, second)] = &files;
    assert!(one.position.abs_diff(two.position) < 960, "both end at one moment: {} {}", one.position, two.position);
    // What a listener at the same server says of when frames came is true of the files.
    let (heard, heard_too) = (begun(&ear, neighbour), begun(&ear, &called));
    let apart =
        |one: Duration, two: Duration| assert!(one.abs_diff(two) < APART, "{one:?} in the files, {two:?} heard");
    apart(second[0] - first[0], heard_too[0].duration_since(heard[0]).unwrap());
    apart(first[1] - first[0], heard[1].duration_since(heard[0]).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_killed_can_be_played() {
    let house = House::start().await;
    let folder = Folder::new();
    let mut recording = record(&house, &folder, &[]);
    recording.frames_until(|line| line["event"] == "recording").await;
    let _speaking = caller(&house, "Lobby", &["--tone", "600"]).await;
    recording.frames_until(|line| line["tracks"][0]["frames"].as_u64().is_some_and(|frames| frames >= 150)).await;
    recording.signal("KILL").await;
    recording.end().await;
    let file = folder.of(&house.emulator.bot("caller.caller").unwrap().to_string(), "opus");
    let recorded = read_opus(&file);
    let from = onsets(&recorded.pcm)[0] + Duration::from_millis(100);
    // At most the last second is missing of three.
    sounds_like(piece(&recorded.pcm, from, Duration::from_millis(1_600)), 600.0, &file);
}

#[tokio::test(flavor = "multi_thread")]
async fn wav_files_hold_the_same_and_show_levels() {
    let house = House::start().await;
    let folder = Folder::new();
    let mut recording = record(&house, &folder, &["--wav"]);
    recording.frames_until(|line| line["event"] == "recording").await;
    let _speaking = caller(&house, "Lobby", &["--tone", "800"]).await;
    let lines =
        recording.frames_until(|line| line["tracks"][0]["frames"].as_u64().is_some_and(|frames| frames >= 60)).await;
    let level = lines.last().unwrap()["tracks"][0]["level_db"].as_f64().unwrap();
    assert!((-20.0..-6.0).contains(&level), "{level}: the caller is at -12 dB");
    recording.signal("INT").await;
    assert_eq!(recording.end().await, Some(0));
    let file = folder.of(&house.emulator.bot("caller.caller").unwrap().to_string(), "wav");
    let sound = read_wav(&file);
    let from = onsets(&sound)[0] + Duration::from_millis(100);
    sounds_like(piece(&sound, from, Duration::from_millis(900)), 800.0, &file);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_goes_over_no_other_one() {
    let house = House::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1.opus"), "kept").unwrap();
    let refused = run(parlor(&house, &["voice", "record", &LOBBY.to_string(), path(folder.path())])).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("is not empty"), "{refused:?}");
    // And who hears nobody says so; the time is over by itself.
    let new = folder.path().join("new");
    let ran = run(parlor(&house, &["voice", "record", &LOBBY.to_string(), path(&new), "--time", "100ms"])).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.stderr.contains("nobody spoke"), "{ran:?}");
}
