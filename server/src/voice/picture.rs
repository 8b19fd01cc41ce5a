//! What a session looks like from outside. Pure: the core's events make it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use parlor_gateway::{RoomId, UserId};
use parlor_proto::v1::{
    self, SpeechObstacle as Obstacle, VoiceSessionEnding as Ending, VoiceSessionState as State, e2ee_state::Mode,
    watch_session_response::Event as Told,
};
use parlor_voice::{Counters, Disconnect, Encryption, Event, Outcome, wire::gateway::CloseCode};

/// A session is over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// Why.
    pub ending: Ending,
    /// The voice gateway's close code, where that brought it about.
    pub close_code: Option<CloseCode>,
    /// What brought it about, for people; may be empty.
    pub detail: String,
}

impl From<Ending> for Ended {
    fn from(ending: Ending) -> Self {
        Self { ending, close_code: None, detail: String::new() }
    }
}

impl Ended {
    /// What the core says, and why media did not flow last.
    pub(super) fn by_the_core(ending: parlor_voice::Ending, trouble: Option<Disconnect>) -> Self {
        use parlor_voice::Ending as Core;
        match ending {
            Core::Left => Ending::Released.into(),
            Core::Kicked => Ending::Kicked.into(),
            Core::NotAssigned => Ending::NotAssigned.into(),
            Core::Refused(code) => Self { ending: Ending::Refused, close_code: Some(code), detail: closed_with(code) },
            Core::NoMode => {
                let detail = "the voice server offers no encryption that may be used".to_owned();
                Self { ending: Ending::Refused, close_code: None, detail }
            }
            Core::GaveUp => Self {
                ending: Ending::GaveUp,
                close_code: if let Some(Disconnect::Closed(code)) = trouble { code } else { None },
                detail: trouble.map(disconnect).unwrap_or_default(),
            },
        }
    }

    /// The close code as the contract has it: 0 for none.
    pub fn close_code(&self) -> i32 {
        self.close_code.map_or(0, |code| code.number().into())
    }
}

/// How far a session is, who is in the room, and how well it goes.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) room: RoomId,
    bot: UserId,
    opted_out: BTreeSet<UserId>,
    state: State,
    ended: Option<Ended>,
    /// What keeps the bot from being heard.
    obstacle: Obstacle,
    connected_at: Option<SystemTime>,
    users: BTreeMap<UserId, User>,
    encryption: Option<Encryption>,
    counters: Counters,
    speakers: BTreeMap<UserId, Speaker>,
}

#[derive(Clone, Copy, Debug, Default)]
struct User {
    speaking: bool,
}

/// How well somebody is heard.
#[derive(Clone, Copy, Debug, Default)]
struct Speaker {
    delivered: u64,
    lost: u64,
    /// See [`Self::arrived`].
    jitter: Duration,
    last: Option<(u32, Instant, Duration)>,
}

impl Speaker {
    /// Takes note of a frame: how much its way differs from that of the one before (RFC 3550, section 6.4.1).
    fn arrived(&mut self, ssrc: u32, received: Instant, media_time: Duration) {
        self.delivered += 1;
        if let Some((source, before, time)) = self.last
            && source == ssrc
        {
            let between = received.saturating_duration_since(before);
            let difference = between.abs_diff(media_time.saturating_sub(time));
            // Some clients stop their clock while they are silent; a pause is not jitter.
            if between < Duration::from_secs(1) {
                self.jitter = (self.jitter * 15 + difference) / 16;
            }
        }
        self.last = Some((ssrc, received, media_time));
    }
}

impl Picture {
    /// A session of this bot, which hears none of these.
    pub(super) fn new(room: RoomId, bot: UserId, opted_out: BTreeSet<UserId>) -> Self {
        Self {
            room,
            bot,
            opted_out,
            state: State::Connecting,
            ended: None,
            obstacle: Obstacle::Unspecified,
            connected_at: None,
            users: BTreeMap::new(),
            encryption: None,
            counters: Counters::default(),
            speakers: BTreeMap::new(),
        }
    }

    /// The bot.
    pub(super) fn bot(&self) -> UserId {
        self.bot
    }

    /// Whether the session is over.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Why the session is over, if it is.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.clone()
    }

    /// Whether audio can flow: where others are in the call, not before there are keys.
    pub(super) fn is_audible(&self) -> bool {
        let connected = matches!(self.state, State::Connected | State::Interrupted);
        connected && (self.users.is_empty() || self.encryption != Some(Encryption::Negotiating))
    }

    /// The counters as they are now; returns them as they were.
    pub(super) fn count(&mut self, counters: &Counters) -> Counters {
        std::mem::replace(&mut self.counters, *counters)
    }

    /// Takes in what the core tells, and says what watchers are told.
    pub(super) fn take_in(&mut self, event: &Event, wall: SystemTime) -> Vec<Told> {
        match event {
            Event::Connected { channel, .. } => {
                self.room = RoomId::new(channel.get());
                self.connected_at.get_or_insert(wall);
                vec![self.become_(State::Connected, String::new())]
            }
            Event::Interrupted(code) => {
                let detail = code.map_or_else(|| "the voice gateway broke off".to_owned(), closed_with);
                vec![self.become_(State::Interrupted, detail)]
            }
            Event::Resumed => vec![self.become_(State::Connected, "resumed".to_owned())],
            Event::Disconnected(why) => {
                let mut told = self.everybody_left();
                self.encryption = None;
                told.push(self.become_(State::Reconnecting, disconnect(*why)));
                told
            }
            // Why a session is over is more than what the core knows: its driver says so.
            Event::Ended(_) => Vec::new(),
            Event::UsersJoined(users) => {
                let joined = users.iter().map(|user| UserId::new(user.get()));
                joined.filter_map(|user| self.joined(user)).collect()
            }
            Event::UserLeft(user) => {
                let user = UserId::new(user.get());
                self.speakers.remove(&user);
                let left = v1::VoiceUserLeft { user_id: user.to_string() };
                self.users.remove(&user).map(|_| Told::UserLeft(left)).into_iter().collect()
            }
            Event::Speaking { user, speaking } => {
                let user = UserId::new(user.get());
                let Some(known) = self.users.get_mut(&user) else { return Vec::new() };
                known.speaking = *speaking;
                vec![Told::UserSpeaking(v1::VoiceUserSpeaking { user_id: user.to_string(), speaking: *speaking })]
            }
            Event::Frame(frame) => {
                let speaker = self.speakers.entry(UserId::new(frame.user.get())).or_default();
                speaker.arrived(frame.ssrc.get(), frame.received, frame.media_time);
                Vec::new()
            }
            Event::Gap { user, frames, .. } => {
                self.speakers.entry(UserId::new(user.get())).or_default().lost += u64::from(*frames);
                Vec::new()
            }
            Event::Encryption(encryption) => {
                self.encryption = Some(encryption.clone());
                vec![Told::E2ee(self.e2ee())]
            }
            Event::Source { .. } => Vec::new(),
        }
    }

    /// Somebody does not want to be heard, or does again.
    pub(super) fn opted_out(&mut self, user: UserId, opted_out: bool) -> Told {
        if opted_out {
            self.opted_out.insert(user);
        } else {
            self.opted_out.remove(&user);
        }
        Told::ConsentChanged(v1::AudioConsentChanged { user_id: user.to_string(), opted_out })
    }

    /// Something keeps the bot from being heard, or nothing does any more.
    pub(super) fn meets(&mut self, obstacle: Obstacle) -> Option<Told> {
        let before = std::mem::replace(&mut self.obstacle, obstacle);
        (before != obstacle).then(|| Told::CapabilitiesChanged(self.capabilities()))
    }

    /// Whether it is known whether the bot is heard.
    pub(super) fn knows_whether_it_is_heard(&self) -> bool {
        self.obstacle != Obstacle::AudienceAsking
    }

    fn capabilities(&self) -> v1::Capabilities {
        let is_over = self.is_over();
        v1::Capabilities {
            receive_audio: !is_over,
            send_audio: !is_over && self.obstacle == Obstacle::Unspecified,
            receive_video: false,
            send_video: false,
            speech_obstacle: self.obstacle.into(),
        }
    }

    /// The session is over.
    pub(super) fn end(&mut self, ended: Ended) -> Told {
        let detail = ended.detail.clone();
        self.ended = Some(ended);
        self.become_(State::Ended, detail)
    }

    fn ending(&self) -> Ending {
        self.ended.as_ref().map(|ended| ended.ending).unwrap_or_default()
    }

    fn become_(&mut self, state: State, detail: String) -> Told {
        self.state = state;
        Told::StateChanged(v1::VoiceStateChanged {
            state: state.into(),
            ending: self.ending().into(),
            room_id: self.room.to_string(),
            detail,
            close_code: self.ended.as_ref().map_or(0, Ended::close_code),
        })
    }

    fn joined(&mut self, user: UserId) -> Option<Told> {
        let is_new = user != self.bot && !self.users.contains_key(&user);
        if is_new {
            self.users.insert(user, User::default());
        }
        is_new.then(|| Told::UserJoined(v1::VoiceUserJoined { user_id: user.to_string() }))
    }

    fn everybody_left(&mut self) -> Vec<Told> {
        let users = std::mem::take(&mut self.users);
        users.into_keys().map(|user| Told::UserLeft(v1::VoiceUserLeft { user_id: user.to_string() })).collect()
    }

    /// What protects the call.
    pub(super) fn e2ee(&self) -> v1::E2eeState {
        let mode = |mode: Mode| v1::E2eeState { mode: mode.into(), ..v1::E2eeState::default() };
        match &self.encryption {
            None => mode(Mode::Unspecified),
            Some(Encryption::Transport) => mode(Mode::Transport),
            Some(Encryption::Negotiating) => mode(Mode::Negotiating),
            Some(Encryption::EndToEnd { members, privacy_code }) => v1::E2eeState {
                member_user_ids: members.iter().map(ToString::to_string).collect(),
                privacy_code: privacy_code.clone().unwrap_or_default(),
                ..mode(Mode::EndToEnd)
            },
        }
    }

    /// How good the connection is.
    pub(super) fn quality(&self) -> v1::VoiceQuality {
        let frames = |outcome| self.counters.frames.get(outcome);
        v1::VoiceQuality {
            round_trip: self.counters.round_trip.and_then(|time| time.try_into().ok()),
            frames: Some(v1::FrameCounts {
                delivered: frames(Outcome::Delivered),
                passthrough: frames(Outcome::Passthrough),
                held: frames(Outcome::Held),
                late: frames(Outcome::Late),
                lost: frames(Outcome::Lost),
                undecryptable: frames(Outcome::Undecryptable),
                opted_out: frames(Outcome::OptedOut),
            }),
            frames_sent: self.counters.sent,
            frames_unsent: self.counters.unsent,
            datagrams_rejected: self.counters.rejected,
            speakers: self.speakers.iter().map(|(user, speaker)| speaker.show(*user)).collect(),
        }
    }

    /// Everything that is known here of the session.
    pub(super) fn show(&self) -> v1::VoiceSession {
        v1::VoiceSession {
            room_id: self.room.to_string(),
            state: self.state.into(),
            ending: self.ending().into(),
            discord_leg: if self.is_over() { v1::DiscordLeg::None } else { v1::DiscordLeg::Bot }.into(),
            capabilities: Some(self.capabilities()),
            connected_at: self.connected_at.map(Into::into),
            users: self.users.iter().map(|(user, known)| self.show_user(*user, *known)).collect(),
            e2ee: Some(self.e2ee()),
            quality: Some(self.quality()),
            ..v1::VoiceSession::default()
        }
    }

    fn show_user(&self, user: UserId, known: User) -> v1::VoiceUser {
        let opted_out = self.opted_out.contains(&user);
        v1::VoiceUser { user_id: user.to_string(), speaking: known.speaking, opted_out }
    }
}

impl Speaker {
    fn show(self, user: UserId) -> v1::SpeakerQuality {
        v1::SpeakerQuality {
            user_id: user.to_string(),
            jitter: self.jitter.try_into().ok(),
            frames_delivered: self.delivered,
            frames_lost: self.lost,
        }
    }
}

fn closed_with(code: CloseCode) -> String {
    let meaning = match code {
        CloseCode::UnknownProtocol => ": it does not know the protocol",
        CloseCode::UnknownEncryptionMode => ": it does not know the encryption mode",
        CloseCode::E2eeRequired => ": the call is end-to-end encrypted, and it takes the bot for one that cannot be",
        CloseCode::RateLimited => ": it was asked too often",
        CloseCode::UnknownOpcode
        | CloseCode::DecodeFailed
        | CloseCode::NotAuthenticated
        | CloseCode::AuthenticationFailed
        | CloseCode::AlreadyAuthenticated
        | CloseCode::SessionNoLongerValid
        | CloseCode::SessionTimeout
        | CloseCode::ServerNotFound
        | CloseCode::WorkerCrashed
        | CloseCode::Disconnected
        | CloseCode::ServerCrashed
        | CloseCode::BadRequest
        | CloseCode::CallTerminated
        | CloseCode::Other(_) => "",
    };
    format!("the voice gateway closed with {code}{meaning}")
}

fn disconnect(why: Disconnect) -> String {
    match why {
        Disconnect::Closed(None) => "the voice gateway broke off".to_owned(),
        Disconnect::Closed(Some(code)) => closed_with(code),
        Disconnect::ServerChanged => "another voice server was assigned".to_owned(),
        Disconnect::Moved => "the bot was moved to another room".to_owned(),
        Disconnect::NoAnswer => "the voice server did not answer".to_owned(),
        Disconnect::NoMode => "the voice server chose another encryption than was asked for".to_owned(),
    }
}
