//! From the fields of voice requests to types that cannot be wrong.

use std::{collections::BTreeSet, time::Duration};

use parlor_gateway::UserId;
use parlor_proto::v1;
use parlor_voice::audio::{Channels, SourceFrame, Volume};
use uuid::Uuid;

use crate::{
    services::fields::Fields,
    voice::{Format, Overflow, Speech, Wanted},
};

/// A lease lasts so long where the request does not say, and from and to so long.
const LEASE: (Duration, Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(5), Duration::from_secs(3_600));

/// How long Connect waits where the request does not say, and at most.
const WAIT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));

/// How often a watcher is told of quality where the request does not say, and from and to how often.
const QUALITY: (Duration, Duration, Duration) =
    (Duration::from_secs(5), Duration::from_secs(1), Duration::from_secs(60));

/// A caller names at most so many users.
const MOST_USERS: usize = 100;

impl Fields {
    /// A UUID that has to be there.
    pub(super) fn uuid(&mut self, field: &str, text: &str) -> Option<Uuid> {
        if text.is_empty() {
            self.wrong(field, "is required");
            return None;
        }
        self.optional_uuid(field, text)
    }

    /// A UUID that may be empty.
    pub(super) fn optional_uuid(&mut self, field: &str, text: &str) -> Option<Uuid> {
        if text.is_empty() {
            return None;
        }
        let id = Uuid::try_parse(text).ok();
        if id.is_none() {
            self.wrong(field, "is not a UUID");
        }
        id
    }

    /// The lease's id, or a new one, and how long it lasts.
    pub(super) fn lease(&mut self, request: &v1::ConnectRequest) -> Option<(Uuid, Duration)> {
        let id = match request.lease_id.as_str() {
            "" => Some(Uuid::new_v4()),
            text => self.optional_uuid("lease_id", text),
        };
        let (usual, least, most) = LEASE;
        let duration = self.duration("lease_duration", request.lease_duration, usual, least..=most, "5 s to 1 h");
        Some((id?, duration))
    }

    /// How long Connect waits.
    pub(super) fn wait(&mut self, wait: Option<prost_types::Duration>) -> Duration {
        let (usual, most) = WAIT;
        self.duration("wait", wait, usual, Duration::ZERO..=most, "0 s to 30 s")
    }

    /// How often a watcher is told of quality.
    pub(super) fn quality_interval(&mut self, interval: Option<prost_types::Duration>) -> Duration {
        let (usual, least, most) = QUALITY;
        self.duration("quality_interval", interval, usual, least..=most, "1 s to 60 s")
    }

    fn duration(
        &mut self,
        field: &str,
        asked: Option<prost_types::Duration>,
        usual: Duration,
        range: std::ops::RangeInclusive<Duration>,
        words: &str,
    ) -> Duration {
        match asked.map(Duration::try_from) {
            None => usual,
            Some(Ok(asked)) if range.contains(&asked) => asked,
            Some(_) => {
                self.wrong(field, format!("goes from {words}"));
                usual
            }
        }
    }

    /// What to hear.
    pub(super) fn listen(&mut self, field: &str, listen: &v1::ListenOptions) -> Wanted {
        let format = self.format(field, listen.format.unwrap_or_default());
        if listen.user_ids.len() > MOST_USERS {
            self.wrong(&format!("{field}.user_ids"), format!("names more than {MOST_USERS} users"));
        }
        let mut users = BTreeSet::new();
        for (index, id) in listen.user_ids.iter().enumerate().take(MOST_USERS) {
            users.extend(self.id::<UserId>(&format!("{field}.user_ids[{index}]"), id));
        }
        Wanted { format, users }
    }

    /// How a source speaks, and in which format its frames come.
    pub(super) fn speak(&mut self, field: &str, speak: &v1::SpeakOptions) -> (Speech, Format) {
        let format = self.format(field, speak.format.unwrap_or_default());
        let volume = self.volume(&format!("{field}.volume_percent"), speak.volume_percent);
        let priority = self.priority(&format!("{field}.priority"), Some(speak.priority));
        let overflow = match v1::SourceOverflow::try_from(speak.overflow) {
            Ok(v1::SourceOverflow::Unspecified | v1::SourceOverflow::Wait) => Overflow::Wait,
            Ok(v1::SourceOverflow::Drop) => Overflow::Drop,
            Err(_) => {
                self.wrong(&format!("{field}.overflow"), format!("{} is not a SourceOverflow", speak.overflow));
                Overflow::Wait
            }
        };
        let (volume, priority) = (volume.unwrap_or(Volume::FULL), priority.unwrap_or_default());
        (Speech { volume, priority, overflow }, format)
    }

    /// 0 to 200 percent.
    pub(super) fn volume(&mut self, field: &str, percent: Option<i32>) -> Option<Volume> {
        let percent = percent?;
        let volume = u8::try_from(percent).ok().and_then(Volume::new);
        if volume.is_none() {
            self.wrong(field, format!("is {percent}; it goes from 0 to 200"));
        }
        volume
    }

    /// 0 to 100.
    pub(super) fn priority(&mut self, field: &str, priority: Option<i32>) -> Option<u8> {
        let asked = priority?;
        let priority = u8::try_from(asked).ok().filter(|priority| *priority <= 100);
        if priority.is_none() {
            self.wrong(field, format!("is {asked}; it goes from 0 to 100"));
        }
        priority
    }

    fn format(&mut self, field: &str, format: v1::AudioFormat) -> Format {
        let channels = match format.channels {
            1 => Channels::Mono,
            0 | 2 => Channels::Stereo,
            channels => {
                self.wrong(&format!("{field}.format.channels"), format!("is {channels}; it is 1 or 2"));
                Channels::Stereo
            }
        };
        match v1::AudioEncoding::try_from(format.encoding) {
            Ok(v1::AudioEncoding::Unspecified | v1::AudioEncoding::Opus) => Format::Opus,
            Ok(v1::AudioEncoding::PcmS16le) => Format::Pcm(channels),
            Err(_) => {
                self.wrong(&format!("{field}.format.encoding"), format!("{} is not an AudioEncoding", format.encoding));
                Format::Opus
            }
        }
    }

    /// 20 ms of audio.
    pub(super) fn audio(&mut self, format: Format, audio: &[u8]) -> Option<SourceFrame> {
        let frame = match format {
            Format::Opus => SourceFrame::opus(audio.to_vec()),
            Format::Pcm(channels) => SourceFrame::pcm(channels, audio),
        };
        frame.map_err(|error| self.wrong("frame.audio", error.to_string())).ok()
    }
}
