//! What one client saw: every stream that it opened, every frame of them, and how each ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use discord_emulator::Timestamp;
use parlor_client::v1::{self, subscribe_voice_events_request as request};
use tonic::Code;

use super::fold::{Face, Subject};

/// One frame as it came.
pub type Frame = v1::SubscribeVoiceEventsResponse;

/// What a client may see and asked to see.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sight {
    /// The guilds that its token covers; `None` = all.
    pub granted: Option<BTreeSet<String>>,
    /// The guilds that it asked for; empty = all.
    pub guilds: BTreeSet<String>,
    /// The rooms that it asked for; empty = all.
    pub rooms: BTreeSet<String>,
    /// The kinds of event that it asked for; empty = all.
    pub kinds: BTreeSet<i32>,
}

impl Sight {
    /// What a request asks for under a token that covers these guilds.
    pub fn of(request: &v1::SubscribeVoiceEventsRequest, granted: Option<BTreeSet<String>>) -> Self {
        Self {
            granted,
            guilds: request.guild_ids.iter().cloned().collect(),
            rooms: request.channel_ids.iter().cloned().collect(),
            kinds: request.kinds.iter().copied().collect(),
        }
    }

    /// Whether everything that happens has to be told.
    pub fn is_full(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the token covers a guild.
    pub fn may_see(&self, guild: &str) -> bool {
        self.granted.as_ref().is_none_or(|granted| granted.contains(guild))
    }

    /// Whether a guild is to be told of.
    pub fn guild(&self, guild: &str) -> bool {
        self.may_see(guild) && (self.guilds.is_empty() || self.guilds.contains(guild))
    }

    /// Whether a room is to be told of.
    pub fn room(&self, room: &str) -> bool {
        self.rooms.is_empty() || self.rooms.contains(room)
    }
}

/// Where a stream was asked to begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum From {
    /// With a snapshot.
    Snapshot,
    /// With what comes next.
    Latest,
    /// After a cursor.
    Cursor(String),
}

impl From {
    /// Where a request asks to begin.
    pub fn of(request: &v1::SubscribeVoiceEventsRequest) -> Self {
        match &request.start {
            Some(request::Start::Cursor(cursor)) if !cursor.is_empty() => Self::Cursor(cursor.clone()),
            Some(request::Start::StartAt(at)) if *at == i32::from(v1::StartAt::Latest) => Self::Latest,
            Some(request::Start::Cursor(_) | request::Start::StartAt(_)) | None => Self::Snapshot,
        }
    }
}

/// One thing that happened to a client, in its order.
#[derive(Clone, Debug)]
pub enum Step {
    /// The server accepted a stream.
    Opened {
        /// When.
        at: Timestamp,
        /// Where it was asked to begin.
        from: From,
    },
    /// The server refused a stream.
    Refused {
        /// When.
        at: Timestamp,
        /// The code.
        code: Code,
        /// `ErrorInfo.reason`.
        reason: Option<String>,
    },
    /// A frame came.
    Frame {
        /// When.
        at: Timestamp,
        /// It.
        frame: Arc<Frame>,
    },
    /// The stream ended.
    Ended {
        /// When.
        at: Timestamp,
        /// The code; OK where the server ended it without an error, or where the client gave it up.
        code: Code,
        /// `ErrorInfo.reason`.
        reason: Option<String>,
    },
    /// Everybody had the time to learn how everything stands.
    Settled {
        /// So it stands.
        truth: Arc<BTreeMap<Subject, Face>>,
    },
}

/// How much of each frame a recording holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Detail {
    /// All of it.
    #[default]
    Whole,
    /// Positions, kinds and ids, as programs in other languages print them.
    Outline,
}

/// Everything that one client saw.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Whose, for findings.
    pub name: String,
    /// What it may see and asked to see.
    pub sight: Sight,
    /// How much of each frame is here.
    pub detail: Detail,
    /// Whether it followed to the end, so that it has to hold what is true then.
    pub stays: bool,
    /// The filter under which it says that its first cursor was given; empty = it does not say.
    pub filter_id: String,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

impl Recording {
    /// An empty recording.
    pub fn new(name: impl Into<String>, sight: Sight) -> Self {
        Self {
            name: name.into(),
            sight,
            detail: Detail::Whole,
            stays: true,
            filter_id: String::new(),
            steps: Vec::new(),
        }
    }
}
