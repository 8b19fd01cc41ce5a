//! Calls in which a contender is measured: in each an emulated room with somebody who speaks all the time, and hears.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use discord_emulator::{Config, GatewayLimits, NewChannel};
use futures_util::{StreamExt as _, future::try_join_all, stream};
use parlor_client::{Parlor, v1};
use parlor_e2e::{
    House, Setup,
    voice::{packets, sending},
};
use tokio::time::{sleep, sleep_until, timeout};
use v1::receive_audio_response::Body;

/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a frame lasts.
pub(super) const FRAME: Duration = Duration::from_millis(20);

/// How many frames are sent before they are due.
const AHEAD: u32 = 25;

/// What a client sends at the end of speech.
const SILENCE: [u8; 3] = [0xF8, 0xFF, 0xFE];

/// A second of a tone, which is said again and again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sound {
    OfOthers,
    OfContender,
}

impl Sound {
    pub(super) fn packets(self) -> Vec<Vec<u8>> {
        match self {
            Self::OfOthers => packets(440.0, 50),
            Self::OfContender => packets(660.0, 50),
        }
    }
}

/// A room of a call.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub guild: String,
    pub room: String,
}

/// Frames that came out of sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// By session.
    heard: Arc<Vec<AtomicU64>>,
    /// Frames of other bytes than those that were sent: something has encoded them anew.
    foreign: Arc<AtomicU64>,
}

/// Rooms with somebody in each.
pub(super) struct Stage {
    pub house: House,
    pub places: Vec<Place>,
    /// What the others in the rooms hear, of the contender.
    pub tally: Tally,
}

impl Stage {
    /// So many rooms, in a guild each, because a bot is in one room of a guild. Who is there already is Parlor too, in this
    /// process.
    pub(super) async fn set(count: usize, speaks: bool) -> Result<Self> {
        // Discord lets a connection send 120 payloads a minute: what is measured here is not the way into a room.
        let gateway = GatewayLimits { sends: 100_000, ..GatewayLimits::default() };
        let discord = Config { gateway, ..Config::default() };
        let house = settings()
            .into_iter()
            .fold(Setup { discord, ..Setup::default() }, |setup, (key, value)| setup.set(key, value));
        let house = house.start().await;
        let places = house.emulator.world(|world| {
            let place = |number| {
                let guild = world.create_guild(&format!("guild {number}"));
                let room = world.create_channel(guild, NewChannel::voice("room")).expect("the guild is new");
                Place { guild: guild.to_string(), room: room.to_string() }
            };
            (0..count).map(place).collect::<Vec<_>>()
        });
        let parlor = house.parlor().await;
        let sessions = connect(&parlor, &places).await?;
        let tally = Tally::new(count);
        if speaks {
            hear(&parlor, &sessions, &tally, Sound::OfContender).await?;
            speak(&parlor, &sessions, &Arc::new(Sound::OfOthers.packets()));
        }
        Ok(Self { house, places, tally })
    }

    /// The server in this process ends before its runtime does.
    pub(super) async fn end(mut self) {
        self.house.stop_server().await;
    }

    /// Waits until nobody is in the rooms but those who belong there.
    pub(super) async fn is_empty(&self) -> Result<()> {
        let there = self.places.len() as u64;
        let left = self.house.emulator.wait_for(|stats| stats.voice.sessions_open == there);
        timeout(PATIENCE, left).await.context("the contender does not leave")?;
        Ok(())
    }
}

impl Tally {
    pub(super) fn new(count: usize) -> Self {
        Self { heard: Arc::new((0..count).map(|_| AtomicU64::new(0)).collect()), foreign: Arc::default() }
    }

    /// By session.
    pub(super) fn heard(&self) -> Vec<u64> {
        self.heard.iter().map(|heard| heard.load(Ordering::Relaxed)).collect()
    }

    /// That everything came through as it was.
    pub(super) fn check(&self) -> Result<()> {
        let foreign = self.foreign.load(Ordering::Relaxed);
        ensure!(foreign == 0, "{foreign} frames are not what was sent: they were not passed through");
        Ok(())
    }
}

/// Settings of a Parlor with so many sessions for one caller.
pub(super) fn settings() -> [(&'static str, String); 3] {
    ["voice.sessions", "limits.streams", "limits.streams_per_subject"].map(|key| (key, "10000".to_owned()))
}

/// A session in each room. A room that the server has not heard of yet is asked for again.
pub(super) async fn connect(parlor: &Parlor, places: &[Place]) -> Result<Vec<v1::VoiceSession>> {
    let join = async |place: &Place| -> Result<v1::VoiceSession> {
        let began = Instant::now();
        loop {
            let request = v1::ConnectRequest { room_id: place.room.clone(), ..Default::default() };
            match parlor.voice_sessions().connect(request).await {
                Ok(answer) => {
                    let session = answer.into_inner().session.context("an answer without a session")?;
                    let state = session.state();
                    ensure!(state == v1::VoiceSessionState::Connected, "a session is {}", state.as_str_name());

                    return Ok(session);
                }
                Err(status) if status.code() == tonic::Code::NotFound && began.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(status) => return Err(status.into()),
            }
        }
    };
    try_join_all(places.iter().map(join)).await
}

/// Speaks in each session for as long as the runtime lives: the same second of sound again and again, as Opus.
///
/// At the pace of sound, half a second ahead. Back-pressure would keep the pace too, but what waits would take the window of the
/// connection, which all streams share.
pub(super) fn speak(parlor: &Parlor, sessions: &[v1::VoiceSession], packets: &Arc<Vec<Vec<u8>>>) {
    for session in sessions {
        let mut client = parlor.voice_sessions();
        let packets = Arc::clone(packets);
        let open = stream::iter(sending(session, v1::SpeakOptions::default(), Vec::new()));
        let began = tokio::time::Instant::now();
        let frames = stream::iter(0_u32..).then(move |turn| {
            let audio = packets[turn as usize % packets.len()].clone().into();
            let frame = v1::SourceFrame { audio };
            let request = v1::SendAudioRequest { body: Some(v1::send_audio_request::Body::Frame(frame)) };
            let due = began + FRAME * turn.saturating_sub(AHEAD);
            async move {
                sleep_until(due).await;
                request
            }
        });
        // It ends with the session.
        tokio::spawn(async move { client.send_audio(open.chain(frames)).await });
    }
}

/// Hears each session, as Opus, and counts.
pub(super) async fn hear(parlor: &Parlor, sessions: &[v1::VoiceSession], tally: &Tally, sound: Sound) -> Result<()> {
    let known: Arc<BTreeSet<Vec<u8>>> = Arc::new(sound.packets().into_iter().chain([SILENCE.to_vec()]).collect());
    for (place, session) in sessions.iter().enumerate() {
        let request = v1::ReceiveAudioRequest { session_id: session.session_id.clone(), ..Default::default() };
        let mut frames = parlor.voice_sessions().receive_audio(request).await?.into_inner();
        let (tally, known) = (tally.clone(), Arc::clone(&known));
        tokio::spawn(async move {
            while let Some(Ok(message)) = frames.next().await {
                if let Some(Body::Frame(frame)) = message.body {
                    tally.heard[place].fetch_add(1, Ordering::Relaxed);
                    if !known.contains(&frame.audio[..]) {
                        tally.foreign.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
    }
    Ok(())
}

/// Opus packets as a DCA file of so many seconds, which songbird reads.
pub(super) fn dca(packets: &[Vec<u8>], seconds: usize) -> Result<Vec<u8>> {
    let about = serde_json::json!({
        "dca": {"version": 1, "tool": {"name": "parlor-bench", "version": "1"}},
        "opus": {"mode": "music", "sample_rate": 48_000, "frame_size": 960, "vbr": true, "channels": 2},
    });
    let about = about.to_string();
    let mut file = b"DCA1".to_vec();
    file.extend(i32::try_from(about.len())?.to_le_bytes());
    file.extend(about.as_bytes());
    for packet in packets.iter().cycle().take(seconds * 50) {
        file.extend(i16::try_from(packet.len())?.to_le_bytes());
        file.extend(packet);
    }
    Ok(file)
}
