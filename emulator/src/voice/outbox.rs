//! The numbered messages of a session, kept so that a Resume can replay them.

use std::collections::VecDeque;

use parlor_voice_wire::gateway::{Sequence, SequenceAck};

use super::message::Message;

/// Numbers messages and keeps the newest.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// How many were numbered, ever. The number on the wire is the lower 16 bits of the place.
    numbered: u64,
    kept: VecDeque<Message>,
    limit: usize,
}

/// What a client misses is not kept any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ReplayLost;

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self { numbered: 0, kept: VecDeque::new(), limit }
    }

    /// Gives a message its number and keeps it.
    pub(crate) fn number(&mut self, message: Message) -> Sequence {
        let sequence = Sequence::new(self.numbered as u16);
        self.numbered += 1;
        self.kept.push_back(message);
        if self.kept.len() > self.limit {
            self.kept.pop_front();
        }
        sequence
    }

    /// The messages after the one that a client saw last, in order. Who does not say what it saw gets none.
    pub(crate) fn after(&self, ack: SequenceAck) -> Result<Vec<(Sequence, Message)>, ReplayLost> {
        let missed = match ack {
            SequenceAck::Absent => 0,
            SequenceAck::None => self.numbered,
            SequenceAck::Seen(seen) => u64::from((self.numbered as u16).wrapping_sub(1).wrapping_sub(seen.get())),
        };
        let missed = usize::try_from(missed).map_err(|_| ReplayLost)?;
        let first = self.kept.len().checked_sub(missed).ok_or(ReplayLost)?;
        let oldest = self.numbered - self.kept.len() as u64;
        let numbered = (oldest..).map(|place| Sequence::new(place as u16)).zip(self.kept.iter().cloned());
        Ok(numbered.skip(first).collect())
    }
}

#[cfg(test)]
mod tests {
    use parlor_voice_wire::gateway::ServerMessage;

    use super::*;

    fn outbox(messages: u32) -> Outbox {
        let mut outbox = Outbox::new(10);
        for _ in 0..messages {
            outbox.number(Message::Text(ServerMessage::Resumed));
        }
        outbox
    }

    fn replayed(outbox: &Outbox, ack: SequenceAck) -> Result<Vec<u16>, ReplayLost> {
        outbox.after(ack).map(|messages| messages.iter().map(|(sequence, _)| sequence.get()).collect())
    }

    fn seen(number: u16) -> SequenceAck {
        SequenceAck::Seen(Sequence::new(number))
    }

    #[test]
    fn what_was_missed_is_replayed_while_it_is_kept() {
        let few = outbox(3);
        assert_eq!(replayed(&few, SequenceAck::None), Ok(vec![0, 1, 2]));
        assert_eq!(replayed(&few, seen(0)), Ok(vec![1, 2]));
        assert_eq!(replayed(&few, seen(2)), Ok(vec![]));
        assert_eq!(replayed(&few, SequenceAck::Absent), Ok(vec![]));
        assert_eq!(replayed(&few, seen(3)), Err(ReplayLost), "never sent");
        let many = outbox(11);
        assert_eq!(replayed(&many, SequenceAck::None), Err(ReplayLost));
        assert_eq!(replayed(&many, seen(0)).map(|all| all.len()), Ok(10));
    }

    #[test]
    fn numbers_wrap() {
        let outbox = outbox(0x1_0003);
        assert_eq!(replayed(&outbox, seen(0xFFFE)), Ok(vec![0xFFFF, 0, 1, 2]));
    }
}
