//! What `--output json` prints of voice sessions.

use std::time::{Duration, SystemTime};

use parlor_client::{
    prost_types,
    v1::{self, watch_session_response::Event},
};
use serde::Serialize;

use crate::shapes::{lower, unknown};

/// A session with the caller's lease.
#[derive(Serialize)]
pub(super) struct Joined<'a> {
    session: SessionShape<'a>,
    lease: &'a str,
}

impl<'a> Joined<'a> {
    pub(super) fn of(session: &'a v1::VoiceSession, lease: &'a str) -> Self {
        Self { session: session.into(), lease }
    }
}

/// What giving back a lease came to.
#[derive(Serialize)]
pub(super) struct Left {
    already_gone: bool,
    session_ended: bool,
}

impl From<&v1::DisconnectResponse> for Left {
    fn from(answer: &v1::DisconnectResponse) -> Self {
        Self { already_gone: answer.already_gone, session_ended: answer.session_ended }
    }
}

#[derive(Serialize)]
pub(super) struct SessionShape<'a> {
    session: &'a str,
    guild: &'a str,
    room: &'a str,
    state: String,
    e2ee: String,
    users: Vec<UserShape<'a>>,
    leases: i32,
}

#[derive(Serialize)]
struct UserShape<'a> {
    user: &'a str,
    speaking: bool,
    opted_out: bool,
}

impl<'a> From<&'a v1::VoiceSession> for SessionShape<'a> {
    fn from(session: &'a v1::VoiceSession) -> Self {
        let user = |user: &'a v1::VoiceUser| UserShape {
            user: &user.user_id,
            speaking: user.speaking,
            opted_out: user.opted_out,
        };
        Self {
            session: &session.session_id,
            guild: &session.guild_id,
            room: &session.room_id,
            state: state(session.state),
            e2ee: mode(session.e2ee.as_ref()),
            users: session.users.iter().map(user).collect(),
            leases: session.lease_count,
        }
    }
}

/// One event of a watched session.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum EventShape<'a> {
    Session {
        time: f64,
        #[serde(flatten)]
        session: SessionShape<'a>,
    },
    State {
        time: f64,
        state: String,
        ending: String,
        room: &'a str,
        detail: &'a str,
    },
    Joined {
        time: f64,
        user: &'a str,
    },
    Left {
        time: f64,
        user: &'a str,
    },
    Speaking {
        time: f64,
        user: &'a str,
        speaking: bool,
    },
    E2ee {
        time: f64,
        mode: String,
        members: &'a [String],
        privacy_code: &'a str,
    },
    Quality(Box<QualityShape<'a>>),
    Capabilities {
        time: f64,
        send_audio: bool,
        obstacle: String,
    },
    Consent {
        time: f64,
        user: &'a str,
        opted_out: bool,
    },
}

#[derive(Serialize)]
pub(super) struct QualityShape<'a> {
    time: f64,
    round_trip_ms: Option<f64>,
    frames_sent: u64,
    frames_unsent: u64,
    speakers: Vec<SpeakerShape<'a>>,
}

#[derive(Serialize)]
struct SpeakerShape<'a> {
    user: &'a str,
    jitter_ms: f64,
    frames_delivered: u64,
    frames_lost: u64,
}

impl<'a> EventShape<'a> {
    /// The event, `time` in seconds since 1970.
    pub(super) fn of(event: &'a Event, time: f64) -> Self {
        match event {
            Event::Session(session) => Self::Session { time, session: session.into() },
            Event::StateChanged(change) => Self::State {
                time,
                state: state(change.state),
                ending: ending(change.ending()),
                room: &change.room_id,
                detail: &change.detail,
            },
            Event::UserJoined(user) => Self::Joined { time, user: &user.user_id },
            Event::UserLeft(user) => Self::Left { time, user: &user.user_id },
            Event::UserSpeaking(user) => Self::Speaking { time, user: &user.user_id, speaking: user.speaking },
            Event::E2ee(e2ee) => Self::E2ee {
                time,
                mode: mode(Some(e2ee)),
                members: &e2ee.member_user_ids,
                privacy_code: &e2ee.privacy_code,
            },
            Event::Quality(quality) => Self::Quality(Box::new(QualityShape {
                time,
                round_trip_ms: quality.round_trip.map(|time| milliseconds(duration(time))),
                frames_sent: quality.frames_sent,
                frames_unsent: quality.frames_unsent,
                speakers: quality.speakers.iter().map(SpeakerShape::from).collect(),
            })),
            Event::CapabilitiesChanged(now) => {
                Self::Capabilities { time, send_audio: now.send_audio, obstacle: obstacle(now.speech_obstacle()) }
            }
            Event::ConsentChanged(user) => Self::Consent { time, user: &user.user_id, opted_out: user.opted_out },
        }
    }
}

impl<'a> From<&'a v1::SpeakerQuality> for SpeakerShape<'a> {
    fn from(speaker: &'a v1::SpeakerQuality) -> Self {
        Self {
            user: &speaker.user_id,
            jitter_ms: milliseconds(speaker.jitter.map(duration).unwrap_or_default()),
            frames_delivered: speaker.frames_delivered,
            frames_lost: speaker.frames_lost,
        }
    }
}

/// A moment, in seconds since 1970.
pub(super) fn seconds(time: Option<prost_types::Timestamp>) -> f64 {
    let since = time
        .and_then(|time| SystemTime::try_from(time).ok())
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.unwrap_or_default().as_secs_f64()
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn duration(time: prost_types::Duration) -> Duration {
    time.try_into().unwrap_or_default()
}

/// A session's state, as `connected`.
pub(super) fn state(state: i32) -> String {
    v1::VoiceSessionState::try_from(state)
        .map_or_else(|_| unknown(), |state| lower(state.as_str_name(), "VOICE_SESSION_STATE_"))
}

/// Why a session is over, as `kicked`; empty where it is not.
pub(super) fn ending(ending: v1::VoiceSessionEnding) -> String {
    if ending == v1::VoiceSessionEnding::Unspecified {
        return String::new();
    }
    lower(ending.as_str_name(), "VOICE_SESSION_ENDING_")
}

/// What keeps the bot from being heard, as `audience`; empty where nothing does.
fn obstacle(obstacle: v1::SpeechObstacle) -> String {
    if obstacle == v1::SpeechObstacle::Unspecified {
        return String::new();
    }
    lower(obstacle.as_str_name(), "SPEECH_OBSTACLE_")
}

/// What protects a call, as `end_to_end`.
pub(super) fn mode(e2ee: Option<&v1::E2eeState>) -> String {
    let mode = e2ee.map(v1::E2eeState::mode).unwrap_or_default();
    if mode == v1::e2ee_state::Mode::Unspecified {
        return "none".to_owned();
    }
    lower(mode.as_str_name(), "MODE_")
}
