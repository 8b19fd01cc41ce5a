//! A room and a participant as the directory keeps them, and as the API shows them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use parlor_proto::v1;

use crate::{
    id::{CategoryId, GuildId, RoomId, UserId},
    update::{Ownership, Policy, Profile, RoomFacts, RoomKind, VideoQuality, VoiceFlags, VoiceSessionId},
};

/// A room that is there.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) facts: RoomFacts,
    /// What Parlor notes of it, if Parlor made it.
    pub(super) owned: Option<Arc<Ownership>>,
    /// Why Parlor is deleting it right now, if it is.
    pub(super) ending: Option<v1::room_ended::Reason>,
}

impl Room {
    pub(super) fn to_proto(&self, participants: usize) -> v1::Room {
        let facts = &self.facts;
        let kind = match facts.kind {
            RoomKind::Voice => v1::RoomKind::Voice,
            RoomKind::Stage => v1::RoomKind::Stage,
        };
        v1::Room {
            room_id: facts.room.to_text(),
            guild_id: facts.guild.to_text(),
            display_name: facts.name.clone(),
            kind: kind.into(),
            state: v1::room::State::Active.into(),
            managed: self.owned.is_some(),
            category_id: facts.category.map(CategoryId::to_text).unwrap_or_default(),
            user_limit: i32::try_from(facts.user_limit).unwrap_or(i32::MAX),
            bitrate_bps: i32::try_from(facts.bitrate).unwrap_or(i32::MAX),
            created_at: Some(facts.room.created_at().into()),
            ended_at: None,
            participant_count: i32::try_from(participants).unwrap_or(i32::MAX),
            region: facts.region.clone().unwrap_or_default(),
            video_quality: match facts.video_quality {
                VideoQuality::Auto => v1::VideoQuality::Auto,
                VideoQuality::Full => v1::VideoQuality::Full,
            }
            .into(),
            status: facts.status.clone().unwrap_or_default(),
            labels: self.owned.as_ref().map(|owned| owned.labels.clone()).unwrap_or_default(),
            policy: self.owned.as_ref().and_then(|owned| owned.policy.to_proto()),
            created_by: self.owned.as_ref().map(|owned| owned.creator.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn to_ended(&self, at: SystemTime) -> v1::Room {
        v1::Room { state: v1::room::State::Ended.into(), ended_at: Some(at.into()), ..self.to_proto(0) }
    }
}

impl Ownership {
    /// What was noted of a room, as far as it is shown; `None` of a room that Parlor did not make.
    pub(super) fn shown(room: &v1::Room) -> Option<Self> {
        room.managed.then(|| Self {
            creator: room.created_by.clone(),
            labels: room.labels.clone(),
            policy: room.policy.as_ref().map(Policy::from_proto).unwrap_or_default(),
        })
    }
}

impl Policy {
    /// The policy for the API; `None` where nothing ends the room.
    pub fn to_proto(&self) -> Option<v1::RoomPolicy> {
        let time = |time: Option<Duration>| time.and_then(|time| prost_types::Duration::try_from(time).ok());
        (*self != Self::default()).then(|| v1::RoomPolicy {
            empty_timeout: time(self.empty_timeout),
            departure_timeout: time(self.departure_timeout),
            max_duration: time(self.max_duration),
        })
    }

    /// Reads [`Policy::to_proto`]. Times that are not positive count as not set.
    pub fn from_proto(policy: &v1::RoomPolicy) -> Self {
        let time = |time: Option<prost_types::Duration>| {
            time.and_then(|time| Duration::try_from(time).ok()).filter(|time| !time.is_zero())
        };
        Self {
            empty_timeout: time(policy.empty_timeout),
            departure_timeout: time(policy.departure_timeout),
            max_duration: time(policy.max_duration),
        }
    }
}

/// A room that is gone, as it last was.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) room: v1::Room,
    pub(super) at: SystemTime,
}

/// One stay in voice: what is kept of Discord's id of it, which is part of voice credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stay(pub(super) u64);

impl Stay {
    pub(super) fn of(session: &VoiceSessionId) -> Self {
        let hash = digest(&SHA256, session.0.as_bytes());
        Self(u64::from_be_bytes(hash.as_ref()[..8].try_into().expect("eight bytes")))
    }
}

/// Somebody who is in voice.
#[derive(Clone, Debug)]
pub(super) struct Participant {
    pub(super) room: RoomId,
    pub(super) stay: Stay,
    pub(super) flags: VoiceFlags,
    pub(super) profile: Profile,
    pub(super) is_self: bool,
    pub(super) joined_at: SystemTime,
}

impl Participant {
    /// Whether a subscriber would see no difference. The voice session is not shown.
    pub(super) fn shows_the_same(&self, other: &Self) -> bool {
        self.room == other.room
            && self.flags == other.flags
            && self.profile == other.profile
            && self.is_self == other.is_self
    }

    pub(super) fn to_proto(&self, guild: GuildId, user: UserId, room: RoomId) -> v1::Participant {
        v1::Participant {
            guild_id: guild.to_text(),
            room_id: room.to_text(),
            user_id: user.to_text(),
            display_name: self.profile.display_name.clone(),
            avatar_url: self.profile.avatar_url.clone().unwrap_or_default(),
            is_bot: self.profile.is_bot,
            is_self: self.is_self,
            kind: v1::ParticipantKind::Discord.into(),
            mute: self.flags.mute,
            deaf: self.flags.deaf,
            self_mute: self.flags.self_mute,
            self_deaf: self.flags.self_deaf,
            camera: self.flags.camera,
            stream: self.flags.stream,
            suppress: self.flags.suppress,
            joined_at: Some(self.joined_at.into()),
        }
    }
}
