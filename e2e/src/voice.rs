//! Tones: played into voice sessions, and found in what is heard.

mod company;
mod witness;

use std::{
    collections::BTreeMap,
    f64::consts::TAU,
    time::{Duration, Instant},
};

use parlor_client::{Parlor, v1};
use parlor_voice::audio::{Channels, FRAME_SAMPLES, Mixer, SourceFrame, SourceId, Talker, Volume};
use v1::{receive_audio_response::Body, send_audio_request, watch_session_response::Event as Told};

pub use self::{
    company::{Company, Place, encrypted, moves},
    witness::{Heard, Speech, Tones, Witness, counted, until_counted},
};
use crate::{House, Neighbour, Setup, soon};

const RATE: f64 = 48_000.0;

/// Two bots in one room, each brought there by a Parlor of its own.
pub struct Call {
    /// Discord, and the first Parlor.
    pub house: House,
    /// The second Parlor.
    pub neighbour: Neighbour,
    /// The client of each.
    pub clients: [Parlor; 2],
    /// The session of each.
    pub sessions: [v1::VoiceSession; 2],
    /// The lease of each.
    pub leases: [String; 2],
    /// The bots' user ids.
    pub users: [String; 2],
}

impl Call {
    /// Both bots in this room, until audio flows.
    ///
    /// # Panics
    /// It does not.
    pub async fn start(setup: Setup, room: &impl ToString) -> Self {
        Self::of(setup.start().await, room).await
    }

    /// The bot of this house and that of a neighbour in this room, until audio flows.
    ///
    /// # Panics
    /// It does not.
    pub async fn of(house: House, room: &impl ToString) -> Self {
        const NEIGHBOUR: &str = "the.neighbours.bot";
        let neighbour = house.neighbour(NEIGHBOUR).await;
        let clients = [house.parlor().await, neighbour.parlor().await];
        let (one, two) = tokio::join!(connect(&clients[0], room), connect(&clients[1], room));
        let users = [house.bot_token(), NEIGHBOUR];
        let users = users.map(|token| house.emulator.bot(token).expect("it is logged in").to_string());
        let leases = [&one, &two].map(|answer| answer.lease.as_ref().expect("a lease").lease_id.clone());
        let sessions = [one, two].map(|answer| answer.session.expect("a session"));
        // Who was there first is told of the other, and gets keys, in its own time.
        for (client, session) in clients.iter().zip(&sessions) {
            let mut eye = Eye::open(client, session, "").await;
            while !eye.is_in_company() {
                eye.next().await.expect("the session lasts");
            }
        }
        Self { house, neighbour, clients, sessions, leases, users }
    }

    /// Has one of the bots play a tone.
    ///
    /// # Panics
    /// It is refused.
    pub async fn play(&self, who: usize, hertz: f64, time: Duration) -> v1::SourceReport {
        play(&self.clients[who], &self.sessions[who], hertz, time).await
    }

    /// Listens to what one of the bots hears.
    ///
    /// # Panics
    /// It is refused.
    pub async fn ear(&self, who: usize, format: Option<v1::AudioFormat>) -> Ear {
        Ear::open(&self.clients[who], &self.sessions[who], format).await
    }

    /// A session as it is now.
    ///
    /// # Panics
    /// It is over.
    pub async fn session(&self, who: usize) -> v1::VoiceSession {
        let session_id = self.sessions[who].session_id.clone();
        let answer = self.clients[who].voice_sessions().get_session(v1::GetSessionRequest { session_id }).await;
        answer.expect("it is there").into_inner().session.expect("a session")
    }

    /// Watches a session.
    ///
    /// # Panics
    /// It is over.
    pub async fn eye(&self, who: usize) -> Eye {
        Eye::open(&self.clients[who], &self.sessions[who], "").await
    }
}

/// A watcher.
#[derive(Debug)]
pub struct Eye {
    stream: tonic::Streaming<v1::WatchSessionResponse>,
    /// What was told, quality left out.
    pub seen: Vec<Told>,
}

impl Eye {
    /// Watches a session, with this lease.
    ///
    /// # Panics
    /// It is over.
    pub async fn open(parlor: &Parlor, session: &v1::VoiceSession, lease_id: &str) -> Self {
        let session_id = session.session_id.clone();
        let request =
            v1::WatchSessionRequest { session_id, lease_id: lease_id.to_owned(), ..v1::WatchSessionRequest::default() };
        let stream = parlor.voice_sessions().watch_session(request).await.expect("watches").into_inner();
        let mut eye = Self { stream, seen: Vec::new() };
        assert!(matches!(eye.next().await, Some(Told::Session(_))), "the session comes first");
        eye
    }

    /// Whether somebody else is in the room, and can be heard.
    fn is_in_company(&self) -> bool {
        use v1::e2ee_state::Mode;
        let told = |told: &Told| match told {
            Told::Session(session) => {
                (!session.users.is_empty(), session.e2ee.as_ref().is_some_and(|state| is_ready(state.mode())))
            }
            Told::UserJoined(_) => (true, false),
            Told::E2ee(state) => (false, is_ready(state.mode())),
            Told::StateChanged(_)
            | Told::UserLeft(_)
            | Told::UserSpeaking(_)
            | Told::Quality(_)
            | Told::CapabilitiesChanged(_)
            | Told::ConsentChanged(_) => (false, false),
        };
        fn is_ready(mode: Mode) -> bool {
            matches!(mode, Mode::Transport | Mode::EndToEnd)
        }
        let told: Vec<_> = self.seen.iter().map(told).collect();
        told.iter().any(|(joined, _)| *joined) && told.iter().any(|(_, ready)| *ready)
    }

    /// What is told next, quality left out; none at the end.
    ///
    /// # Panics
    /// Nothing comes, or an error.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            let message = soon("news of the session", self.stream.message()).await.expect("the stream goes on")?;
            let told = message.event.expect("it tells something");
            if !matches!(told, Told::Quality(_)) {
                self.seen.push(told.clone());
                return Some(told);
            }
        }
    }

    /// Waits until something is told.
    ///
    /// # Panics
    /// It is not.
    pub async fn until(&mut self, what: &str, is_it: impl Fn(&Told) -> bool) -> Told {
        loop {
            match self.next().await {
                Some(told) if is_it(&told) => return told,
                Some(_) => {}
                None => panic!("{what} was not told: {:?}", self.seen),
            }
        }
    }

    /// Waits until the session has a state.
    ///
    /// # Panics
    /// It does not come to that.
    pub async fn until_state(&mut self, state: v1::VoiceSessionState) -> v1::VoiceStateChanged {
        let is_it = |told: &Told| matches!(told, Told::StateChanged(changed) if changed.state() == state);
        let told = self.until(state.as_str_name(), is_it).await;
        let Told::StateChanged(changed) = told else { panic!("{told:?} is no change of state") };
        changed
    }
}

/// 20 ms of a tone in stereo, signed 16 bits, little endian; `turn` is how many came before.
pub fn tone(hertz: f64, turn: usize) -> Vec<u8> {
    let samples = (turn * FRAME_SAMPLES..(turn + 1) * FRAME_SAMPLES)
        .map(|sample| ((sample as f64 * hertz * TAU / RATE).sin() * 10_000.0) as i16);
    samples.flat_map(|sample| [sample, sample]).flat_map(i16::to_le_bytes).collect()
}

/// The tone as Opus packets.
pub fn packets(hertz: f64, frames: usize) -> Vec<Vec<u8>> {
    let mut mixer = Mixer::new(64_000);
    let packet = |turn| {
        let frame = SourceFrame::pcm(Channels::Stereo, &tone(hertz, turn)).expect("20 ms");
        let talker = Talker { source: SourceId(0), volume: Volume::FULL, priority: 0, frame };
        mixer.mix(vec![talker]).expect("libopus").expect("somebody talks")
    };
    (0..frames).map(packet).collect()
}

/// How much of a sound is this tone, 0 to 1 (Goertzel): stereo, signed 16 bits, little endian.
pub fn share(pcm: &[u8], hertz: f64) -> f64 {
    let left: Vec<f64> = pcm.chunks_exact(4).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))).collect();
    let energy: f64 = left.iter().map(|sample| sample * sample).sum();
    let coefficient = 2.0 * (TAU * hertz / RATE).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in &left {
        (one, two) = (sample + coefficient * one - two, one);
    }
    let power = one * one + two * two - coefficient * one * two;
    if energy > 0.0 { 2.0 * power / (energy * left.len() as f64) } else { 0.0 }
}

/// Stereo PCM.
pub fn pcm() -> Option<v1::AudioFormat> {
    Some(v1::AudioFormat { encoding: v1::AudioEncoding::PcmS16le.into(), channels: 2 })
}

/// Brings Parlor's bot into a room, until audio flows.
///
/// # Panics
/// It does not.
pub async fn connect(parlor: &Parlor, room: &impl ToString) -> v1::ConnectResponse {
    let request = v1::ConnectRequest { room_id: room.to_string(), ..Default::default() };
    let answer = soon("a session", parlor.voice_sessions().connect(request)).await.expect("connects").into_inner();
    let session = answer.session.as_ref().expect("a session");
    assert_eq!(session.state(), v1::VoiceSessionState::Connected, "{session:?}");
    answer
}

/// The messages of a SendAudio call.
pub fn sending<F>(
    session: &v1::VoiceSession,
    speak: v1::SpeakOptions,
    frames: F,
) -> impl Iterator<Item = v1::SendAudioRequest> + Send + use<F>
where
    F: IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>,
{
    let open =
        v1::OpenSource { session_id: session.session_id.clone(), speak: Some(speak), ..v1::OpenSource::default() };
    let frames =
        frames.into_iter().map(|audio| send_audio_request::Body::Frame(v1::SourceFrame { audio: audio.into() }));
    let bodies = std::iter::once(send_audio_request::Body::Open(open)).chain(frames);
    bodies.map(|body| v1::SendAudioRequest { body: Some(body) })
}

/// Plays a tone for so long; returns once it was played.
///
/// # Panics
/// It is refused.
pub async fn play(parlor: &Parlor, session: &v1::VoiceSession, hertz: f64, time: Duration) -> v1::SourceReport {
    let frames = (time.as_millis() / 20) as usize;
    let speak = v1::SpeakOptions { format: pcm(), ..v1::SpeakOptions::default() };
    let messages = sending(session, speak, (0..frames).map(move |turn| tone(hertz, turn)));
    let stream = futures_util::stream::iter(messages);
    let answer = soon("the tone's end", parlor.voice_sessions().send_audio(stream)).await.expect("it is played");
    answer.into_inner().source.expect("a report")
}

/// What a listener has heard.
#[derive(Debug)]
pub struct Ear {
    stream: tonic::Streaming<v1::ReceiveAudioResponse>,
    /// Frames by user, as they came.
    pub frames: BTreeMap<String, Vec<v1::AudioFrame>>,
    /// Why the session ended, if it did.
    pub ended: Option<v1::VoiceSessionEnding>,
    /// The close code that ended it; 0 for none.
    pub close_code: i32,
}

impl Ear {
    /// Begins to listen.
    ///
    /// # Panics
    /// It is refused.
    pub async fn open(parlor: &Parlor, session: &v1::VoiceSession, format: Option<v1::AudioFormat>) -> Self {
        let listen = Some(v1::ListenOptions { format, ..v1::ListenOptions::default() });
        let session_id = session.session_id.clone();
        let request = v1::ReceiveAudioRequest { session_id, listen, ..v1::ReceiveAudioRequest::default() };
        let stream = parlor.voice_sessions().receive_audio(request).await.expect("listens").into_inner();
        let mut ear = Self { stream, frames: BTreeMap::new(), ended: None, close_code: 0 };
        // The first message says that it has begun.
        ear.next().await;
        ear
    }

    /// Takes in one message. False at the end.
    async fn next(&mut self) -> bool {
        let message = soon("a message", self.stream.message()).await.expect("the stream goes on");
        match message.and_then(|message| message.body) {
            Some(Body::Frame(frame)) => self.frames.entry(frame.user_id.clone()).or_default().push(frame),
            Some(Body::Ended(ended)) => {
                self.ended = Some(ended.ending());
                self.close_code = ended.close_code;
            }
            Some(Body::Status(_)) => {}
            None => return false,
        }
        true
    }

    /// Listens until so many frames of a user have come.
    ///
    /// # Panics
    /// They do not come.
    pub async fn hear(&mut self, user: &str, frames: usize) {
        let began = Instant::now();
        while self.frames.get(user).is_none_or(|heard| heard.len() < frames) {
            assert!(began.elapsed() < crate::PATIENCE, "{user} was not heard; others: {:?}", self.heard());
            assert!(self.next().await, "the stream ended: {:?}", self.ended);
        }
    }

    /// Listens until a frame says that some were dropped before it.
    ///
    /// # Panics
    /// None does.
    pub async fn until_told_of_drops(&mut self) {
        while self.frames.values().flatten().all(|frame| frame.dropped_before == 0) {
            assert!(self.next().await, "the stream ended: {:?}", self.ended);
        }
    }

    /// Listens until the stream fails.
    ///
    /// # Panics
    /// It does not.
    pub async fn failed(&mut self) -> tonic::Status {
        loop {
            match soon("a message", self.stream.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended well"),
                Err(status) => return status,
            }
        }
    }

    /// Listens to the end.
    pub async fn finish(&mut self) {
        while self.next().await {}
    }

    /// How many frames have come, by user.
    pub fn heard(&self) -> BTreeMap<&str, usize> {
        self.frames.iter().map(|(user, frames)| (user.as_str(), frames.len())).collect()
    }

    /// The sound of a user, without its first so many frames.
    pub fn sound(&self, user: &str, skip: usize) -> Vec<u8> {
        let frames = self.frames.get(user).into_iter().flatten().skip(skip);
        frames.flat_map(|frame| frame.audio.iter().copied()).collect()
    }
}
