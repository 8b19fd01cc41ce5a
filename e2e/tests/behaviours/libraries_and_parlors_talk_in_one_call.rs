//! @discordjs/voice and discord.py, unmodified, and two Parlors in one call. Each sounds a tone of its own all the time, and
//! each that can hear has to hear every other under its own name, over joins, leaves, moves and broken connections.

use discord_emulator::{Config, DavePolicy, GAMES, LOBBY, PARLOR_DEV, UserId, VoiceConfig, VoiceTrouble};
use parlor_client::Parlor;
use parlor_e2e::{
    House, Neighbour, Process, Setup, soon,
    voice::{Place, Tones, encrypted, moves},
};
use parlor_voice::wire::transport::Mode;
use serde_json::json;
use tempfile::NamedTempFile;

const NEIGHBOUR: &str = "the.neighbours.bot";
const NODE: &str = "voice.node";
const PYTHON: &str = "voice.python";
const TONES: [u32; 4] = [440, 660, 880, 1_100];

/// Who is in the call, by their places in [`TONES`].
const ONE: usize = 0;
const TWO: usize = 1;
const DJS: usize = 2;
const DPY: usize = 3;

struct Call {
    house: House,
    _neighbour: Neighbour,
    parlors: [Parlor; 2],
    places: [Option<Place>; 2],
    djs: Process,
    dpy: Option<Process>,
    tones: Tones,
    users: Vec<UserId>,
    packets: NamedTempFile,
}

impl Call {
    /// Both Parlors and these libraries, in the lobby.
    async fn start(voice: VoiceConfig, libraries: &[usize]) -> Self {
        let with_python = libraries.contains(&DPY);
        let house = Setup { discord: Config { voice, ..Config::default() }, ..Setup::default() }.start().await;
        let python =
            async { if with_python { Some(Process::bot(&house, "python/voice_bot.py", PYTHON).await) } else { None } };
        let (neighbour, djs, dpy) =
            tokio::join!(house.neighbour(NEIGHBOUR), Process::bot(&house, "node/voice_bot.mjs", NODE), python);
        let parlors = [house.parlor().await, neighbour.parlor().await];
        let tokens = [house.bot_token(), NEIGHBOUR, NODE, PYTHON];
        let users: Vec<UserId> = tokens.into_iter().filter_map(|token| house.emulator.bot(token)).collect();
        let tones = users.iter().map(ToString::to_string).zip(TONES.map(f64::from)).collect();
        let packets = NamedTempFile::new().expect("a file");
        let _neighbour = neighbour;
        let mut call = Self { house, _neighbour, parlors, places: [None, None], djs, dpy, tones, users, packets };
        call.djs.ask(json!({"do": "listen", "among": TONES})).await;
        let file = call.packets.path();
        call.djs.ask(json!({"do": "write_tone", "hz": TONES[DPY], "seconds": 1, "file": file})).await;
        let (one, two) = tokio::join!(
            Place::take(&call.parlors[ONE], &LOBBY, TONES[ONE].into(), &call.tones),
            Place::take(&call.parlors[TWO], &LOBBY, TONES[TWO].into(), &call.tones),
        );
        call.places = [Some(one), Some(two)];
        if libraries.contains(&DJS) {
            call.djs_comes().await;
            call.djs.ask(json!({"do": "speak", "hz": TONES[DJS], "seconds": 600})).await;
        }
        if with_python {
            call.dpy_comes().await;
        }
        call
    }

    async fn djs_comes(&mut self) {
        self.djs.ask(json!({"do": "join", "guild": PARLOR_DEV, "channel": LOBBY})).await;
    }

    async fn dpy_comes(&mut self) {
        let dpy = self.dpy.as_mut().expect("it is wanted");
        dpy.ask(json!({"do": "join", "guild": PARLOR_DEV, "channel": LOBBY})).await;
        dpy.ask(json!({"do": "speak", "packets": self.packets.path(), "seconds": 600})).await;
    }

    /// Each of these who can hear hears each other of them, and nobody under another's name.
    async fn hear_each_other(&mut self, who: &[usize]) {
        let names: Vec<String> = self.users.iter().map(ToString::to_string).collect();
        let others = |of: usize| who.iter().filter(move |one| **one != of).map(|one| names[*one].as_str());
        let [one, two] = &mut self.places;
        let djs = &mut self.djs;
        let parlor = async |place: &mut Option<Place>, of: usize| {
            if who.contains(&of) {
                let others: Vec<&str> = others(of).collect();
                place.as_mut().expect("it is in the call").witness.hears(&others).await;
            }
        };
        let node = async {
            if who.contains(&DJS) {
                djs_hears(djs, &others(DJS).collect::<Vec<_>>(), &self.tones).await;
            }
        };
        tokio::join!(parlor(one, ONE), parlor(two, TWO), node);
    }

    async fn finish(mut self) {
        for place in self.places.iter_mut().filter_map(Option::take) {
            let frames = place.leave().await;
            assert_eq!(frames.undecryptable, 0, "{frames:?}");
        }
        let voice = self.house.emulator.stats().voice;
        assert_eq!((voice.invalid_commits, voice.resumes_refused), (0, 0), "{voice:?}");
    }
}

/// Waits until @discordjs/voice hears each of these users, from now on, as they are to sound.
async fn djs_hears(djs: &mut Process, users: &[&str], tones: &Tones) {
    djs.ask(json!({"do": "listen", "among": TONES})).await;
    let mut missing = users.to_vec();
    while !missing.is_empty() {
        let line = soon(&format!("the sound of {missing:?}"), djs.line()).await.expect("it goes on");
        assert!(line["event"] != "voiceError" && line["event"] != "receiveError", "{line}");
        if line["event"] != "heard" {
            continue;
        }
        let (user, hertz) = (line["user"].as_str().expect("an id"), line["hz"].as_f64().expect("a number"));
        // Half a second may begin before its user does.
        assert!(hertz == 0.0 || Some(&hertz) == tones.get(user), "under a wrong name: {line}, {tones:?}");
        missing.retain(|one| *one != user || hertz == 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_heard_under_their_name_whoever_comes_goes_and_breaks_off() {
    let all = [ONE, TWO, DJS, DPY];
    let mut call = Call::start(VoiceConfig::default(), &[DJS, DPY]).await;
    call.hear_each_other(&all).await;

    // They leave and come again, each in turn.
    call.dpy.as_mut().expect("it is there").ask(json!({"do": "leave"})).await;
    call.hear_each_other(&[ONE, TWO, DJS]).await;
    call.dpy_comes().await;
    call.hear_each_other(&all).await;
    let frames = call.places[TWO].take().expect("it is there").leave().await;
    assert_eq!(frames.undecryptable, 0, "{frames:?}");
    call.hear_each_other(&[ONE, DJS, DPY]).await;
    call.places[TWO] = Some(Place::take(&call.parlors[TWO], &LOBBY, TONES[TWO].into(), &call.tones).await);
    call.djs.ask(json!({"do": "leave"})).await;
    call.hear_each_other(&[ONE, TWO, DPY]).await;
    call.djs_comes().await;
    call.hear_each_other(&all).await;

    // Two go to another room and come back.
    for who in [ONE, DJS] {
        moves(&call.house, call.users[who], Some(GAMES));
    }
    call.hear_each_other(&[ONE, DJS]).await;
    call.hear_each_other(&[TWO, DPY]).await;
    for who in [ONE, DJS] {
        moves(&call.house, call.users[who], Some(LOBBY));
    }
    call.hear_each_other(&all).await;

    // Connections break off, and are resumed: all but discord.py's, which knows a new session alone.
    let before = call.house.emulator.stats().voice;
    for who in [ONE, TWO, DJS] {
        let trouble = discord_emulator::Fault::from(VoiceTrouble::DropConnections);
        call.house.emulator.inject(trouble.only(call.users[who]));
    }
    let emulator = &call.house.emulator;
    let after = soon("their resuming", emulator.wait_for(|stats| stats.voice.resumes == before.resumes + 3)).await;
    call.hear_each_other(&all).await;
    assert_eq!((after.voice.identifies, after.voice.sessions_open), (before.identifies, 4), "nobody begins anew");
    call.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_heard_in_a_call_without_end_to_end_encryption() {
    let mut call = Call::start(encrypted(DavePolicy::Off), &[DJS, DPY]).await;
    call.hear_each_other(&[ONE, TWO, DJS, DPY]).await;
    call.finish().await;
}

/// discord.py knows XChaCha20 alone, and @discordjs/voice knows it with another package beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_heard_whichever_transport_encryption_is_offered() {
    for (mode, library) in [(Mode::Aes256GcmRtpsize, DJS), (Mode::XChaCha20Poly1305Rtpsize, DPY)] {
        let mut call = Call::start(VoiceConfig { modes: vec![mode], ..VoiceConfig::default() }, &[library]).await;
        call.hear_each_other(&[ONE, TWO, library]).await;
        call.finish().await;
    }
}
