//! Somebody who listens all the time and knows how everybody sounds: what is heard under a wrong name does not escape.

use std::{collections::BTreeMap, time::Duration};

use parlor_client::{Parlor, v1};
use tokio::{sync::watch, task::JoinHandle};
use tonic::Streaming;
use v1::receive_audio_response::Body;

use super::{pcm, sending, share, tone};
use crate::soon;

/// What is enough to know a tone by: half a second, and what comes of it past a seam.
const ENOUGH: usize = 25;

/// How somebody is to sound, in hertz, by user id.
pub type Tones = BTreeMap<String, f64>;

/// What was heard of a user.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Heard {
    /// Frames that are the user's own tone.
    pub own: usize,
    /// Of those, frames that were sealed end-to-end.
    pub sealed: usize,
    /// Frames that are somebody else's tone.
    pub others: usize,
    /// Frames that are neither: silence, and where tones begin and end.
    pub unclear: usize,
    /// Frames that never came.
    pub lost: u64,
    /// Whether a frame came before its turn, or twice.
    pub unordered: bool,
}

/// Who listens.
#[derive(Debug)]
pub struct Witness {
    heard: watch::Receiver<BTreeMap<String, Heard>>,
    task: JoinHandle<()>,
}

impl Witness {
    /// Begins to listen, and keeps the lease.
    ///
    /// # Panics
    /// It is refused.
    pub async fn open(parlor: &Parlor, answer: &v1::ConnectResponse, tones: Tones) -> Self {
        let session_id = answer.session.as_ref().expect("a session").session_id.clone();
        let lease_id = answer.lease.as_ref().expect("a lease").lease_id.clone();
        let listen = Some(v1::ListenOptions { format: pcm(), ..v1::ListenOptions::default() });
        let request = v1::ReceiveAudioRequest { session_id, lease_id, listen };
        let stream = parlor.voice_sessions().receive_audio(request).await.expect("listens").into_inner();
        let (tell, heard) = watch::channel(BTreeMap::new());
        Self { heard, task: tokio::spawn(listen_to(stream, tones, tell)) }
    }

    /// Waits until these users are heard, from now on, as they are to sound.
    ///
    /// # Panics
    /// They are not.
    pub async fn hears(&mut self, users: &[&str]) {
        let own = |heard: &BTreeMap<String, Heard>, user: &str| heard.get(user).map_or(0, |heard| heard.own);
        let before = self.heard();
        let all =
            |now: &BTreeMap<String, Heard>| users.iter().all(|user| own(now, user) >= own(&before, user) + ENOUGH);
        let found =
            tokio::time::timeout(crate::PATIENCE, self.heard.wait_for(all)).await.is_ok_and(|found| found.is_ok());
        assert!(found, "of {users:?} too little was heard: {before:#?}, {:#?}", self.heard());
    }

    /// What was heard until now.
    pub fn heard(&self) -> BTreeMap<String, Heard> {
        self.heard.borrow().clone()
    }

    /// Stops, and finds that nobody was heard under another's name, or out of turn. Returns what was heard.
    ///
    /// # Panics
    /// Somebody was.
    pub fn finish(self) -> BTreeMap<String, Heard> {
        let heard = self.heard();
        for (user, of) in &heard {
            assert!(of.others == 0 && !of.unordered, "{user}: {heard:#?}");
        }
        heard
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen_to(
    mut stream: Streaming<v1::ReceiveAudioResponse>,
    tones: Tones,
    tell: watch::Sender<BTreeMap<String, Heard>>,
) {
    // The place after the newest frame of each source, which never goes back.
    let mut places = BTreeMap::new();
    while let Ok(Some(message)) = stream.message().await {
        let Some(Body::Frame(frame)) = message.body else { continue };
        let place = places.entry((frame.user_id.clone(), frame.ssrc)).or_insert(frame.sequence);
        let unordered = frame.sequence < *place;
        *place = frame.sequence + 1;
        tell.send_modify(|heard| {
            let of = heard.entry(frame.user_id.clone()).or_default();
            of.lost += u64::from(frame.lost_before);
            of.unordered |= unordered;
            let is = |hertz: &f64| share(&frame.audio, *hertz) > 0.5;
            let own = tones.get(&frame.user_id);
            if own.is_some_and(is) {
                of.own += 1;
                of.sealed += usize::from(frame.sealed);
            } else if tones.values().any(is) {
                of.others += 1;
            } else {
                of.unclear += 1;
            }
        });
    }
}

/// Somebody who speaks all the time.
#[derive(Debug)]
pub struct Speech {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: JoinHandle<Result<v1::SourceReport, tonic::Status>>,
}

impl Speech {
    /// Begins to speak: a tone.
    pub fn begin(parlor: &Parlor, session: &v1::VoiceSession, hertz: f64) -> Self {
        use futures_util::StreamExt as _;
        let speak = v1::SpeakOptions { format: pcm(), ..v1::SpeakOptions::default() };
        let messages = sending(session, speak, (0..).map(move |turn| tone(hertz, turn)));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let stream = futures_util::stream::iter(messages).take_until(stopped);
        let mut client = parlor.voice_sessions();
        let task = tokio::spawn(async move {
            let answer = client.send_audio(stream).await?;
            Ok(answer.into_inner().source.unwrap_or_default())
        });
        Self { stop: Some(stop), task }
    }

    /// Ends, once everything was played.
    ///
    /// # Panics
    /// It was refused.
    pub async fn end(mut self) -> v1::SourceReport {
        // Without it, it is the same.
        drop(self.stop.take());
        soon("the end of a speech", &mut self.task).await.expect("no panic").expect("it was heard to its end")
    }
}

impl Drop for Speech {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until a session's counts are these.
///
/// # Panics
/// They do not come to that.
pub async fn until_counted(
    parlor: &Parlor,
    session: &v1::VoiceSession,
    are: impl Fn(&v1::VoiceQuality) -> bool,
) -> v1::VoiceQuality {
    let mut quality = v1::VoiceQuality::default();
    let counting = async {
        loop {
            quality = counted(parlor, session).await;
            if are(&quality) {
                return;
            }
            // They are shown anew every second.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(crate::PATIENCE, counting).await.is_ok();
    assert!(found, "the counts are not as they should be: {quality:?}");
    quality
}

/// What a session has counted.
///
/// # Panics
/// It is over.
pub async fn counted(parlor: &Parlor, session: &v1::VoiceSession) -> v1::VoiceQuality {
    let request = v1::GetSessionRequest { session_id: session.session_id.clone() };
    let answer = parlor.voice_sessions().get_session(request).await.expect("it is there").into_inner();
    answer.session.and_then(|session| session.quality).expect("it is told")
}
