//! The files of a recording.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use parlor_client::{prost_types::Timestamp, v1};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    failure::{Exit, Failure},
    voice::{
        board::{bar, decibels, level},
        opus,
        scene::{Scene, clock},
        timeline::{Heard, samples_in},
        track::{Kind, Track, TrackError},
    },
};

/// How late a frame may come: whoever is silent for longer has silence in their file.
const LATE: Duration = Duration::from_secs(3);

/// How much of a level is left at the next look, where nothing is heard.
const FALLING: f32 = 0.5;

/// What is printed for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Recording { session: &'a str, directory: &'a Path },
    Track { user: &'a str, file: &'a str },
    Progress { seconds: f64, tracks: Vec<TrackShape> },
    Recorded { ending: String, tracks: Vec<TrackShape> },
}

/// How a track stands.
#[derive(Clone, Debug, Serialize)]
pub(super) struct TrackShape {
    user: String,
    file: String,
    /// How long the file is.
    seconds: f64,
    frames: u64,
    lost: u64,
    /// Decibels below the loudest; none where nobody measures.
    level_db: Option<f32>,
    /// Frames, of whomever, that did not come because this program was too slow.
    dropped: u64,
}

impl TrackShape {
    pub(super) fn row(&self, scene: &Scene) -> Vec<String> {
        vec![
            self.file.clone(),
            scene.name(&self.user).into_owned(),
            clock(Duration::from_secs_f64(self.seconds)),
            self.frames.to_string(),
            self.lost.to_string(),
            self.dropped.to_string(),
        ]
    }
}

/// Everybody's tracks. All begin at the same moment.
pub(super) struct Tape {
    directory: PathBuf,
    kind: Kind,
    /// The beginning on the server's clock, and on this machine's.
    began: (SystemTime, Instant),
    speakers: BTreeMap<String, Speaker>,
    dropped: u64,
}

struct Speaker {
    track: Track,
    file: String,
    frames: u64,
    lost: u64,
    level: Option<f32>,
}

impl Tape {
    /// Begins at a moment of the server's that is now.
    pub(super) fn begin(directory: &Path, kind: Kind, at: Option<Timestamp>, now: Instant) -> Self {
        let at = at.and_then(|at| SystemTime::try_from(at).ok()).unwrap_or(SystemTime::UNIX_EPOCH);
        Self { directory: directory.to_owned(), kind, began: (at, now), speakers: BTreeMap::new(), dropped: 0 }
    }

    /// How long it lasts.
    pub(super) fn time(&self, now: Instant) -> Duration {
        now.duration_since(self.began.1)
    }

    /// Lays a frame into its speaker's file. Names the file where it is a new one.
    pub(super) fn lay(&mut self, frame: &v1::AudioFrame, now: Instant) -> Result<Option<String>, Failure> {
        let received = frame.receive_time.and_then(|time| SystemTime::try_from(time).ok());
        let received = received.and_then(|time| time.duration_since(self.began.0).ok()).unwrap_or_default();
        let samples = match self.kind {
            Kind::Ogg => opus::samples(&frame.audio),
            Kind::Wav => Some(frame.audio.len() as u64 / 4),
        };
        self.dropped += u64::from(frame.dropped_before);
        // What is no packet is nothing to keep.
        let Some(samples) = samples else { return Ok(None) };
        let (speaker, is_new) = self.speaker(&frame.user_id)?;
        speaker.frames += u64::from(!frame.concealed);
        speaker.lost += u64::from(frame.lost_before) + u64::from(frame.concealed);
        let heard = Heard {
            ssrc: frame.ssrc,
            media_time: frame.media_time.and_then(|time| time.try_into().ok()).unwrap_or_default(),
            received,
            samples,
            lost_before: frame.lost_before,
        };
        let path = speaker.file.clone();
        let time = now.duration_since(self.began.1);
        let speaker = self.speakers.get_mut(&frame.user_id).expect("it was just there");
        speaker.track.lay(&frame.audio, &heard, time).map_err(|error| self.unwritable(&path, &error))?;
        if self.kind == Kind::Wav {
            self.measure(&frame.user_id, &frame.audio);
        }
        Ok(is_new.then_some(path))
    }

    /// Takes in how loud somebody is.
    pub(super) fn measure(&mut self, user: &str, pcm: &[u8]) {
        if let Some(speaker) = self.speakers.get_mut(user) {
            speaker.level = Some(speaker.level.unwrap_or_default().max(level(pcm)));
        }
    }

    /// Has everybody's file follow the clock, so that nothing waits in memory while its speaker is silent.
    pub(super) fn keep_up(&mut self, now: Instant) -> Result<(), Failure> {
        let until = samples_in(self.time(now).saturating_sub(LATE));
        for speaker in self.speakers.values_mut() {
            if let Err(error) = speaker.track.keep_up(until) {
                return Err(unwritable(&self.directory, &speaker.file, &error));
            }
        }
        Ok(())
    }

    fn speaker(&mut self, user: &str) -> Result<(&mut Speaker, bool), Failure> {
        let is_new = !self.speakers.contains_key(user);
        if is_new {
            // The name of a file comes from outside: digits, and nothing else.
            let name: String = user.chars().filter(char::is_ascii_digit).collect();
            let file = format!("{name}.{}", if self.kind == Kind::Wav { "wav" } else { "opus" });
            let track = Track::create(&self.directory.join(&file), self.kind, user)
                .map_err(|error| self.unwritable(&file, &error))?;
            self.speakers.insert(user.to_owned(), Speaker { track, file, frames: 0, lost: 0, level: None });
        }
        Ok((self.speakers.get_mut(user).expect("it is there by now"), is_new))
    }

    /// How everybody's track stands.
    pub(super) fn tracks(&mut self) -> Vec<TrackShape> {
        let dropped = self.dropped;
        let shape = |(user, speaker): (&String, &mut Speaker)| {
            let level_db = speaker.level.map(decibels);
            speaker.level = speaker.level.map(|level| level * FALLING);
            TrackShape {
                user: user.clone(),
                file: speaker.file.clone(),
                seconds: speaker.track.end() as f64 / opus::RATE as f64,
                frames: speaker.frames,
                lost: speaker.lost,
                level_db,
                dropped,
            }
        };
        self.speakers.iter_mut().map(shape).collect()
    }

    /// A line for each track.
    pub(super) fn lines(&mut self, scene: &Scene) -> Vec<String> {
        let line = |(user, speaker): (&String, &mut Speaker)| {
            let level = speaker.level.map(|level| format!("{} {:4.0} dB  ", bar(level), decibels(level)));
            speaker.level = speaker.level.map(|level| level * FALLING);
            let (name, all) = (scene.name(user), speaker.frames + speaker.lost);
            format!("{name:24} {}lost {} of {all}", level.unwrap_or_default(), speaker.lost)
        };
        let mut lines: Vec<String> = self.speakers.iter_mut().map(line).collect();
        if self.dropped > 0 {
            lines.push(format!("{} frames did not come: this program or its network is too slow", self.dropped));
        }
        lines
    }

    /// Ends every file at the same moment.
    pub(super) fn finish(mut self, now: Instant) -> Result<Vec<TrackShape>, Failure> {
        let ends = self.speakers.values().map(|speaker| speaker.track.end());
        let end = ends.chain([samples_in(self.time(now))]).max().unwrap_or_default();
        let mut shapes = self.tracks();
        let (mut failed, directory) = (None, self.directory.clone());
        for (shape, (_, speaker)) in shapes.iter_mut().zip(std::mem::take(&mut self.speakers)) {
            shape.seconds = end as f64 / opus::RATE as f64;
            if let Err(error) = speaker.track.finish(end) {
                failed.get_or_insert((speaker.file, error));
            }
        }
        match failed {
            Some((file, error)) => Err(unwritable(&directory, &file, &error)),
            None => Ok(shapes),
        }
    }

    fn unwritable(&self, file: &str, error: &TrackError) -> Failure {
        unwritable(&self.directory, file, error)
    }
}

fn unwritable(directory: &Path, file: &str, error: &TrackError) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("cannot write {}", directory.join(file).display())).because(error);
    match error {
        TrackError::Full => failure.next("begin another recording; without --wav there is no such end"),
        TrackError::Io(_) => failure.next("what was recorded so far can be played; is the disk full?"),
    }
}
