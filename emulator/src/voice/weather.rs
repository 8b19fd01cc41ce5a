//! Faults that last, and what they hold back: messages and packets on their way.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::time::Duration;

use parlor_voice_wire::Ssrc;
use parlor_voice_wire::gateway::ServerMessage;

use super::message::Message;
use super::session::SessionKey;
use crate::faults::VoiceTrouble;
use crate::world::{Timestamp, UserId};

/// Picks a field of one kind of trouble: `part!(Lose.percent)`.
macro_rules! part {
    ($kind:ident . $field:ident) => {
        |trouble| if let $crate::faults::VoiceTrouble::$kind { $field, .. } = trouble { Some($field) } else { None }
    };
}
pub(super) use part;

/// Packets and messages wait no longer than this for the one that is to overtake them.
const OVERTAKING: Duration = Duration::from_millis(100);

/// Which troubles there are, and what waits because of them.
#[derive(Debug)]
pub(super) struct Weather {
    chance: fastrand::Rng,
    standing: Vec<(VoiceTrouble, Option<UserId>)>,
    put_off: u64,
    later: BTreeMap<(Timestamp, u64), Late>,
    /// Packets that wait for the one that follows.
    overtaken: BTreeMap<SessionKey, (SocketAddr, Vec<u8>)>,
    /// Messages that wait for the one that follows.
    behind: BTreeMap<SessionKey, Message>,
    /// When what waits to be overtaken was let go last.
    let_go: Timestamp,
    /// Sources of sessions that ended, the newest last.
    pub freed: Vec<Ssrc>,
}

/// Something that is late.
#[derive(Debug)]
pub(super) enum Late {
    Datagram(SocketAddr, Vec<u8>),
    Message(SessionKey, Message),
}

impl Weather {
    pub(super) fn new(chance: fastrand::Rng) -> Self {
        Self {
            chance,
            standing: Vec::new(),
            put_off: 0,
            later: BTreeMap::new(),
            overtaken: BTreeMap::new(),
            behind: BTreeMap::new(),
            let_go: Timestamp::default(),
            freed: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, trouble: VoiceTrouble, only: Option<UserId>) {
        self.standing.push((trouble, only));
    }

    pub(super) fn clear(&mut self) {
        self.standing.clear();
    }

    /// The first trouble of this user's for which `pick` finds something.
    pub(super) fn find<T>(&self, user: UserId, pick: impl Fn(VoiceTrouble) -> Option<T>) -> Option<T> {
        let strikes = |only: &Option<UserId>| only.is_none_or(|only| only == user);
        self.standing.iter().filter(|(_, only)| strikes(only)).find_map(|(trouble, _)| pick(*trouble))
    }

    /// Whether a trouble that strikes so many in a hundred strikes now.
    pub(super) fn strikes(&mut self, user: UserId, percent: impl Fn(VoiceTrouble) -> Option<u8>) -> bool {
        self.find(user, percent).is_some_and(|percent| self.chance.u8(0..100) < percent)
    }

    /// A place in something of this length.
    pub(super) fn place(&mut self, len: usize) -> usize {
        self.chance.usize(0..len.max(1))
    }

    pub(super) fn put_off(&mut self, due: Timestamp, what: Late) {
        self.put_off += 1;
        self.later.insert((due, self.put_off), what);
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.later.keys().next().map(|(due, _)| *due)
    }

    /// Takes something that is due.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Late> {
        let first = self.later.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// Holds a packet until the next one to this session; gives it back where one is held already.
    pub(super) fn overtake(
        &mut self,
        to: SessionKey,
        address: SocketAddr,
        bytes: Vec<u8>,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        if self.overtaken.contains_key(&to) {
            return Some((address, bytes));
        }
        self.overtaken.insert(to, (address, bytes));
        None
    }

    /// The packet that the one just sent has overtaken.
    pub(super) fn overtaken(&mut self, to: SessionKey) -> Option<(SocketAddr, Vec<u8>)> {
        self.overtaken.remove(&to)
    }

    /// What is to be told now, in order, when this message is due.
    pub(super) fn order(&mut self, to: SessionKey, message: Message) -> Vec<Message> {
        if let Some(held) = self.behind.remove(&to) {
            return vec![message, held];
        }
        let may_wait = matches!(
            message,
            Message::Text(
                ServerMessage::Speaking(_)
                    | ServerMessage::ClientsConnect(_)
                    | ServerMessage::ClientDisconnect(_)
                    | ServerMessage::ClientFlags(_)
                    | ServerMessage::ClientPlatform(_)
            )
        );
        let reorders = part!(ReorderMessages.percent);
        if may_wait && self.strikes(to.user, reorders) {
            self.behind.insert(to, message);
            return Vec::new();
        }
        vec![message]
    }

    /// What nothing follows: it has waited long enough.
    pub(super) fn stragglers(&mut self, now: Timestamp) -> Vec<Late> {
        if now.since(self.let_go) < OVERTAKING {
            return Vec::new();
        }
        self.let_go = now;
        let messages = std::mem::take(&mut self.behind).into_iter().map(|(key, message)| Late::Message(key, message));
        let packets = std::mem::take(&mut self.overtaken).into_values();
        messages.chain(packets.map(|(to, bytes)| Late::Datagram(to, bytes))).collect()
    }
}
