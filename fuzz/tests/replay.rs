//! Replays the corpus, and random changes of it, through every target.
//!
//! The changes are the same in every run, so that a commit is judged the same way each time; `PARLOR_FUZZ_SEED=<number>`
//! tries others. To look for more than that, `make fuzz`.

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use parlor_fuzz::{TARGETS, Target};

/// How many random changes are tried on each target.
const CHANGES: u64 = 2_000;
/// The longest input that a change makes, in bytes.
const LONGEST: usize = 8 * 1024;
/// What parsers tend to treat apart.
const WORDS: [&[u8]; 24] = [
    b"\0",
    b"\xff",
    b"\x80",
    b"\n",
    b"\n\n",
    b"\n%%\n",
    b" ",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[]",
    b".",
    b"..",
    b"%",
    b"=",
    b",",
    b"-1",
    b"0",
    b"1e300",
    b"18446744073709551615",
    b"9223372036854775808",
    b"null",
    b"\xf0\x9f\x8e\xa7",
];

/// One test for each target, so that they run side by side.
macro_rules! replayed {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })+

        const REPLAYED: &[&str] = &[$(stringify!($name)),+];
    };
}

replayed![
    bearer_header,
    config_toml,
    create_room_request,
    cursor,
    discord_answers,
    discord_error_body,
    emulator_control,
    emulator_gateway_payload,
    emulator_rest_request,
    emulator_voice,
    execute_webhook_request,
    gateway_payload,
    grpc_web_body,
    jwks,
    move_participant_request,
    page_token,
    subscribe_request,
    token,
    token_claims,
    update_room_request,
    voice_audio,
    voice_dave_opcode,
    voice_discovery,
    voice_frame_trailer,
    voice_gateway_payload,
    voice_rtcp,
    voice_rtp,
    voice_session,
];

/// A target is a function, a test here, a folder of inputs and a program for libFuzzer: all or none.
#[test]
fn every_target_is_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names, REPLAYED.iter().map(|name| (*name).to_owned()).collect());
    let listed = |folder: &str| -> BTreeSet<String> {
        let stem = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
        files(&root.join(folder)).iter().map(stem).collect()
    };
    assert_eq!(names, listed("corpus"));
    assert_eq!(names, listed("libfuzzer/src/bin"));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("every_target_is_complete");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut corpus = Vec::new();
    for path in files(&folder) {
        let bytes = fs::read(&path).expect("an input is readable");
        run(target, &bytes, || format!("{}", path.display()));
        corpus.push(bytes);
    }
    assert!(!corpus.is_empty(), "{} is empty", folder.display());

    let seed = std::env::var("PARLOR_FUZZ_SEED").map_or(1, |seed| seed.parse().expect("PARLOR_FUZZ_SEED is a number"));
    let mut random = fastrand::Rng::with_seed(seed);
    for change in 0..CHANGES {
        let input = changed(&corpus, &mut random);
        run(target, &input, || format!("change {change} of PARLOR_FUZZ_SEED={seed}: {}", input.escape_ascii()));
    }
}

fn run(target: &Target, input: &[u8], what: impl FnOnce() -> String) {
    // What went wrong has been printed when this returns; here it is said for which input.
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    assert!(outcome.is_ok(), "{} fails for {}", target.name, what());
}

/// One input of the corpus with a few things changed in it.
fn changed(corpus: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = random.choice(corpus).expect("not empty").clone();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(0..=input.len());
        let end = random.usize(at..=input.len().min(at + 32));
        match random.u8(0..8) {
            0 if at < input.len() => input[at] ^= 1 << random.u8(0..8),
            1 if at < input.len() => input[at] = random.u8(..),
            2 => drop(input.drain(at..end)),
            3 => drop(input.splice(at..end, random.choice(WORDS).expect("not empty").iter().copied())),
            4 => {
                let piece = input[at..end].to_vec();
                let to = random.usize(0..=input.len());
                drop(input.splice(to..to, piece));
            }
            5 => {
                let other = random.choice(corpus).expect("not empty");
                let from = random.usize(0..=other.len());
                let to = random.usize(from..=other.len().min(from + 256));
                drop(input.splice(at..end, other[from..to].iter().copied()));
            }
            6 => lines_changed(&mut input, random),
            _ => input.truncate(at.max(1)),
        }
    }
    input.truncate(LONGEST);
    input
}

/// Repeats, drops or swaps whole lines: most inputs of several steps are lines.
fn lines_changed(input: &mut Vec<u8>, random: &mut fastrand::Rng) {
    let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let (one, other) = (random.usize(0..lines.len()), random.usize(0..lines.len()));
    match random.u8(0..3) {
        0 => lines.insert(other, lines[one]),
        1 => drop(lines.remove(one)),
        _ => lines.swap(one, other),
    }
    *input = lines.join(&b'\n');
}
