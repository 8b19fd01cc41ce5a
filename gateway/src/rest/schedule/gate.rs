//! What stops everything at once: the global limit, Cloudflare, and a token that Discord does not accept.

use std::time::Instant;

use super::{bucket::Ready, request::Ticket};

/// Why everything waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pause {
    /// The bot's limit over all routes.
    Global,
    /// The edge before the API.
    Cloudflare,
}

/// ```text
/// Open ──global or Cloudflare 429──▶ Paused ──until──▶ Probing ──any other answer──▶ Open
///   │                                   ▲                 │
///   │                                   └──such a 429─────┘
///   └──401──▶ CredentialsRefused (from every state, for good)
/// ```
#[derive(Debug)]
pub(super) enum Gate {
    Open,
    Paused {
        why: Pause,
        until: Instant,
    },
    /// One request finds out whether it is over.
    Probing {
        why: Pause,
        probe: Option<Ticket>,
    },
    CredentialsRefused,
}

impl Gate {
    /// Moves on with time.
    pub(super) fn roll(&mut self, now: Instant) {
        if let Self::Paused { why, until } = *self
            && until <= now
        {
            *self = Self::Probing { why, probe: None };
        }
    }

    /// When a request gets through. Not asked of a gate that is closed for good.
    pub(super) fn ready(&self) -> Ready {
        match self {
            Self::Open | Self::Probing { probe: None, .. } => Ready::Now,
            Self::Paused { until, .. } => Ready::At(*until),
            Self::Probing { probe: Some(_), .. } | Self::CredentialsRefused => Ready::AfterAnAnswer,
        }
    }

    /// Such a 429 came.
    pub(super) fn pause(&mut self, why: Pause, until: Instant) {
        *self = match *self {
            Self::CredentialsRefused => Self::CredentialsRefused,
            Self::Paused { why: before, until: earlier } => {
                let why = if before == Pause::Cloudflare { before } else { why };
                Self::Paused { why, until: until.max(earlier) }
            }
            Self::Open | Self::Probing { .. } => Self::Paused { why, until },
        };
    }

    /// A request is sent.
    pub(super) fn send(&mut self, ticket: Ticket) {
        if let Self::Probing { probe: probe @ None, .. } = self {
            *probe = Some(ticket);
        }
    }

    /// A request has ended; `answered` says whether Discord's API itself spoke.
    pub(super) fn end(&mut self, ticket: Ticket, answered: bool) {
        if let Self::Probing { why, probe: Some(probe) } = *self
            && probe == ticket
        {
            *self = if answered { Self::Open } else { Self::Probing { why, probe: None } };
        }
    }
}
