//! Faults as data: what can go wrong at Discord, on demand.

mod rest;
mod voice;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::world::{Timestamp, UserId};

use rest::StandingTroubles;
pub use rest::{ErrorBody, RateLimit, RestFault, RestTrouble, Work};
pub use voice::VoiceTrouble;

/// Something that goes wrong. In JSON: `{"fault": "close", "code": 4000}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    // ---- once, to the connections and sessions of this moment ----
    /// Every gateway connection breaks off without a close frame (clients see 1006). Sessions live on.
    DropConnections,
    /// Op 7: the client should reconnect and resume.
    RequestReconnect,
    /// Op 9.
    InvalidateSession {
        /// `d`: whether the session may be resumed, on this or another connection; `false` ends it here.
        resumable: bool,
    },
    /// A close frame with this code.
    Close {
        /// 1000 to 4999. Codes that Discord never resumes after end the session too.
        code: u16,
    },
    /// Sessions go on, but the next RESUME of each is refused with op 9 `d: false`.
    KillSessions,
    /// Op 1 from the server: the client should send a heartbeat at once.
    RequestHeartbeat,
    /// This text as a payload, whatever it is: what clients do not understand they should survive.
    SendPayload {
        /// The payload.
        text: String,
    },

    // ---- until cleared ----
    /// Gateway handshakes are answered with HTTP 503. REST goes on.
    RefuseConnections,
    /// New TCP connections are dropped at once, REST and gateway alike. Open ones stay.
    RefuseTcp,
    /// Gateway connections get Hello and then end.
    AcceptThenClose {
        /// The code of the close frame; none = the connection breaks off.
        #[serde(default)]
        code: Option<u16>,
    },
    /// New gateway connections get this text before Hello.
    GreetWith {
        /// The payload.
        text: String,
    },
    /// READY names this URL to resume at.
    NameResumeUrl {
        /// The URL, without a trailing slash.
        url: String,
    },
    /// New sessions get READY, but the GUILD_CREATEs that it promises only when the fault is cleared.
    HoldGuildCreates,
    /// What one change gives rise to is dispatched in reverse order, the effect before its cause.
    ReverseDispatches,
    /// Heartbeats are not acknowledged.
    HoldHeartbeatAcks,
    /// REST requests wait for their answer until the fault is cleared. They are carried out then.
    HoldRest,

    // ---- for the next n ----
    /// Dispatches that are never delivered, also not by a resume.
    SwallowDispatches {
        /// How many deliveries.
        next: u32,
        /// Only this type, e.g. `VOICE_STATE_UPDATE`.
        #[serde(default)]
        event: Option<String>,
    },
    /// Dispatches that are delivered twice, each time with its own sequence number.
    DuplicateDispatches {
        /// How many deliveries.
        next: u32,
        /// Only this type.
        #[serde(default)]
        event: Option<String>,
    },
    /// Dispatches that are delivered so many times, each time with its own sequence number.
    RepeatDispatches {
        /// How many deliveries.
        next: u32,
        /// How often each one arrives.
        times: u32,
    },
    /// IDENTIFYs that are answered with op 9 `d: false`.
    RefuseIdentifies {
        /// How many.
        next: u32,
    },
    /// REST answers that are replaced by another.
    NextRest {
        /// How many; default 1.
        #[serde(default = "once")]
        times: u32,
        /// Only this route, e.g. `POST /guilds/{guild.id}/channels`.
        #[serde(default)]
        route: Option<String>,
        /// What the client gets instead.
        answer: RestAnswer,
        /// Whether the request is carried out all the same: an answer that was lost on the way.
        #[serde(default)]
        carried_out: bool,
    },

    // ---- as often and as long as it says ----
    /// REST requests run into a trouble.
    Rest(RestFault),
    /// The voice server has a trouble.
    Voice {
        /// Which.
        trouble: VoiceTrouble,
    },
}

/// An answer that a fault gives in place of the true one.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RestAnswer {
    /// The HTTP status; 0 = no answer at all, the connection breaks off.
    pub status: u16,
    /// Header names and values.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: String,
}

const fn once() -> u32 {
    1
}

/// A fault and whom it strikes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Injection {
    /// What goes wrong.
    #[serde(flatten)]
    pub fault: Fault,
    /// Only for this bot, or in voice this person; none = for all.
    #[serde(default)]
    pub bot: Option<UserId>,
}

impl Fault {
    /// The same fault for one bot alone; in voice, for one person or bot.
    pub const fn only(self, bot: UserId) -> Injection {
        Injection { fault: self, bot: Some(bot) }
    }

    /// One REST answer with this status and an empty body, without carrying the request out.
    pub const fn next_rest(status: u16) -> Self {
        let answer = RestAnswer { status, headers: BTreeMap::new(), body: String::new() };
        Self::NextRest { times: 1, route: None, answer, carried_out: false }
    }
}

impl From<VoiceTrouble> for Fault {
    fn from(trouble: VoiceTrouble) -> Self {
        Self::Voice { trouble }
    }
}

impl From<VoiceTrouble> for Injection {
    fn from(trouble: VoiceTrouble) -> Self {
        Fault::from(trouble).into()
    }
}

impl From<Fault> for Injection {
    fn from(fault: Fault) -> Self {
        Self { fault, bot: None }
    }
}

/// Faults that last: those until cleared, and those with deliveries left.
#[derive(Debug, Default)]
pub(crate) struct StandingFaults {
    injections: Vec<Injection>,
    rest: StandingTroubles,
}

/// What a fault makes of one REST request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Twist {
    /// This answer takes the place of the true one.
    Scripted(RestAnswer, Work),
    /// It runs into this.
    Trouble(RestTrouble),
}

impl Twist {
    /// Whether the request is carried out.
    pub(crate) const fn work(&self) -> Work {
        match self {
            Self::Scripted(_, work) => *work,
            Self::Trouble(trouble) => trouble.work(),
        }
    }
}

/// What becomes of one delivery of a dispatch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delivery {
    /// It arrives so many times.
    Arrives(u32),
    /// It never arrives.
    Never,
}

impl StandingFaults {
    pub(crate) fn add(&mut self, injection: Injection) {
        self.injections.push(injection);
    }

    /// Lets REST requests of a bot (none = of all) run into a trouble from now on.
    pub(crate) fn trouble(&mut self, fault: RestFault, bot: Option<UserId>, now: Timestamp) {
        self.rest.add(fault, bot, now);
    }

    /// Ends every lasting fault.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What still stands.
    pub(crate) fn all(&self) -> Vec<Injection> {
        self.injections.iter().cloned().chain(self.rest.all()).collect()
    }

    pub(crate) fn refuses_handshakes(&self) -> bool {
        self.injections.iter().any(|injection| injection.fault == Fault::RefuseConnections)
    }

    pub(crate) fn refuses_tcp(&self) -> bool {
        self.injections.iter().any(|injection| injection.fault == Fault::RefuseTcp)
    }

    pub(crate) fn holds_rest(&self) -> bool {
        self.injections.iter().any(|injection| injection.fault == Fault::HoldRest)
    }

    /// Whether new gateway connections end after Hello: `Some(None)` = without a close frame.
    pub(crate) fn ends_after_hello(&self) -> Option<Option<u16>> {
        self.injections
            .iter()
            .find_map(|injection| if let Fault::AcceptThenClose { code } = injection.fault { Some(code) } else { None })
    }

    pub(crate) fn holds_guild_creates(&self) -> bool {
        self.injections.iter().any(|injection| injection.fault == Fault::HoldGuildCreates)
    }

    pub(crate) fn reverses_dispatches(&self) -> bool {
        self.injections.iter().any(|injection| injection.fault == Fault::ReverseDispatches)
    }

    /// What new connections hear before Hello.
    pub(crate) fn greeting(&self) -> Option<&str> {
        self.injections.iter().find_map(|injection| {
            if let Fault::GreetWith { text } = &injection.fault { Some(text.as_str()) } else { None }
        })
    }

    /// Where READY says that sessions are resumed, if a fault says it.
    pub(crate) fn resume_url(&self) -> Option<&str> {
        self.injections.iter().find_map(|injection| {
            if let Fault::NameResumeUrl { url } = &injection.fault { Some(url.as_str()) } else { None }
        })
    }

    /// Uses up one refusal of an IDENTIFY.
    pub(crate) fn refuses_identify(&mut self, of: UserId) -> bool {
        let mut standing = self.injections.iter_mut().filter(|each| each.strikes(Some(of)));
        let left = standing.find_map(|each| {
            if let Fault::RefuseIdentifies { next } = &mut each.fault {
                Some(next).filter(|next| **next > 0)
            } else {
                None
            }
        });
        let Some(left) = left else { return false };
        *left -= 1;
        self.drop_spent();
        true
    }

    pub(crate) fn holds_acks(&self, bot: Option<UserId>) -> bool {
        self.injections.iter().any(|each| each.fault == Fault::HoldHeartbeatAcks && each.strikes(bot))
    }

    /// Uses up one delivery of the first fault that fits.
    pub(crate) fn delivery(&mut self, of: UserId, event_name: &str) -> Delivery {
        let mut outcome = Delivery::Arrives(1);
        for injection in &mut self.injections {
            if injection.bot.is_some_and(|bot| bot != of) {
                continue;
            }
            let fate = if matches!(injection.fault, Fault::SwallowDispatches { .. }) {
                Delivery::Never
            } else {
                Delivery::Arrives(2)
            };
            if let Fault::RepeatDispatches { next, times } = &mut injection.fault
                && *next > 0
            {
                *next -= 1;
                outcome = Delivery::Arrives(*times);
                break;
            }
            if let Fault::SwallowDispatches { next, event } | Fault::DuplicateDispatches { next, event } =
                &mut injection.fault
                && *next > 0
                && event.as_ref().is_none_or(|only| only == event_name)
            {
                *next -= 1;
                outcome = fate;
                break;
            }
        }
        self.drop_spent();
        outcome
    }

    /// What becomes of one REST request: the first fault that fits and strikes decides, scripted answers before others.
    pub(crate) fn twist(&mut self, bot: Option<UserId>, route: &str, now: Timestamp) -> Option<Twist> {
        self.scripted_answer(bot, route).or_else(|| self.rest.strike(bot, route, now).map(Twist::Trouble))
    }

    fn scripted_answer(&mut self, bot: Option<UserId>, route: &str) -> Option<Twist> {
        let mut found = None;
        for injection in &mut self.injections {
            if injection.bot.is_some() && injection.bot != bot {
                continue;
            }
            if let Fault::NextRest { times, route: only, answer, carried_out } = &mut injection.fault
                && *times > 0
                && only.as_ref().is_none_or(|only| only == route)
            {
                *times -= 1;
                let work = if *carried_out { Work::Done } else { Work::Skipped };
                found = Some(Twist::Scripted(answer.clone(), work));
                break;
            }
        }
        self.drop_spent();
        found
    }

    fn drop_spent(&mut self) {
        self.injections.retain(|injection| {
            !matches!(
                injection.fault,
                Fault::SwallowDispatches { next: 0, .. }
                    | Fault::DuplicateDispatches { next: 0, .. }
                    | Fault::RepeatDispatches { next: 0, .. }
                    | Fault::RefuseIdentifies { next: 0 }
                    | Fault::NextRest { times: 0, .. }
            )
        });
    }
}

impl Injection {
    fn strikes(&self, bot: Option<UserId>) -> bool {
        self.bot.is_none() || self.bot == bot
    }
}
