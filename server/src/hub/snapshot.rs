//! A snapshot on its way to one stream. The stream keeps the picture, which costs little while nothing in it changes, and one
//! frame at a time is made of it: however large a guild is, a stream holds no more than that.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use parlor_gateway::{Guild, GuildId, RoomId, Snapshot, UserId};
use parlor_proto::v1::{self, room::State, subscribe_voice_events_response::Body};

use super::{filter::Filter, frame::Frame};

/// A chunk of a snapshot is closed at so many bytes: well below what any gRPC library takes by default.
const CHUNK_BYTES: usize = 48 * 1024;

/// What is left to send of a snapshot.
#[derive(Debug)]
pub(super) struct Rendering {
    left: VecDeque<(GuildId, Arc<Guild>)>,
    current: Option<Current>,
    guilds: usize,
    rooms: usize,
    participants: usize,
    digest: Digest,
}

/// The guild that is being sent.
#[derive(Debug)]
struct Current {
    guild: Arc<Guild>,
    /// How many are in each room: counted once.
    inside: BTreeMap<RoomId, usize>,
    part: Part,
}

/// How far it has been sent: what comes next, and after which id.
#[derive(Clone, Copy, Debug)]
enum Part {
    Itself,
    Rooms(Option<RoomId>),
    Ended(Option<RoomId>),
    Participants(Option<UserId>),
}

impl Rendering {
    pub(super) fn new(snapshot: Snapshot, filter: &Filter) -> Self {
        let left = snapshot.guilds.into_iter().filter(|(id, _)| filter.guild(*id)).collect();
        Self { left, current: None, guilds: 0, rooms: 0, participants: 0, digest: Digest::default() }
    }

    /// The next frame; `None` when everything is sent. No frame holds parts of two guilds.
    pub(super) fn next_frame(&mut self, filter: &Filter) -> Option<Frame> {
        loop {
            let mut current = match self.current.take() {
                Some(current) => current,
                None => {
                    let (_, guild) = self.left.pop_front()?;
                    Current { inside: guild.head_counts(), guild, part: Part::Itself }
                }
            };
            let mut chunk = Chunk::default();
            if self.fill(&mut chunk, &mut current, filter) == Filled::Full {
                self.current = Some(current);
            }
            if chunk.bytes > 0 {
                return Some(Frame::unpositioned(Body::SnapshotItems(chunk.items)));
            }
        }
    }

    /// Puts in what fits, from where the guild stands on.
    fn fill(&mut self, chunk: &mut Chunk, current: &mut Current, filter: &Filter) -> Filled {
        let Current { guild, inside, part } = current;
        loop {
            match *part {
                Part::Itself => {
                    self.guilds += 1;
                    chunk.put(guild.to_proto(), |items| &mut items.guilds);
                    *part = Part::Rooms(None);
                }
                Part::Rooms(after) => {
                    for (id, room) in guild.rooms_after(after, inside).filter(|(id, _)| filter.room(*id)) {
                        if chunk.is_full() {
                            return Filled::Full;
                        }
                        self.rooms += 1;
                        self.digest.room(id);
                        debug_assert_ne!(room.state(), State::Ended, "those come later");
                        chunk.put(room, |items| &mut items.rooms);
                        *part = Part::Rooms(Some(id));
                    }
                    *part = Part::Ended(None);
                }
                Part::Ended(after) => {
                    for (id, room) in guild.ended_after(after).filter(|(id, _)| filter.room(*id)) {
                        if chunk.is_full() {
                            return Filled::Full;
                        }
                        self.rooms += 1;
                        chunk.put(room, |items| &mut items.rooms);
                        *part = Part::Ended(Some(id));
                    }
                    *part = Part::Participants(None);
                }
                Part::Participants(after) => {
                    let everybody = guild.participants_after(after);
                    for (room, user, participant) in everybody.filter(|(room, ..)| filter.room(*room)) {
                        if chunk.is_full() {
                            return Filled::Full;
                        }
                        self.participants += 1;
                        self.digest.participant(room, user);
                        chunk.put(participant, |items| &mut items.participants);
                        *part = Part::Participants(Some(user));
                    }
                    return Filled::Done;
                }
            }
        }
    }

    /// What closes the snapshot.
    pub(super) fn end(&self) -> Body {
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        Body::SnapshotEnd(v1::SnapshotEnd {
            guild_count: count(self.guilds),
            room_count: count(self.rooms),
            participant_count: count(self.participants),
            digest: self.digest.to_string(),
        })
    }
}

/// The digest of who is in which room, as `SnapshotEnd.digest` defines it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Digest(u64);

impl Digest {
    /// Adds (or takes away) a room.
    pub fn room(&mut self, room: RoomId) {
        self.mix(&format!("room/{room}"));
    }

    /// Adds (or takes away) a participant.
    pub fn participant(&mut self, room: RoomId, user: UserId) {
        self.mix(&format!("participant/{room}/{user}"));
    }

    fn mix(&mut self, item: &str) {
        let hash = digest(&SHA256, item.as_bytes());
        self.0 ^= u64::from_be_bytes(hash.as_ref()[..8].try_into().expect("eight bytes"));
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How far a chunk has brought a guild.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Filled {
    /// There is more of it.
    Full,
    /// It is all sent.
    Done,
}

#[derive(Default)]
struct Chunk {
    items: v1::SnapshotItems,
    bytes: usize,
}

impl Chunk {
    /// Whether it is closed. One item more than that is far from the limit of 64 KiB: Discord's names and status lines are
    /// short.
    fn is_full(&self) -> bool {
        self.bytes >= CHUNK_BYTES
    }

    fn put<T: prost::Message>(&mut self, item: T, list: impl Fn(&mut v1::SnapshotItems) -> &mut Vec<T>) {
        // With the field's tag and the item's length.
        self.bytes += item.encoded_len() + 4;
        list(&mut self.items).push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_what_the_contract_says() {
        // printf 'room/200000000000000001' | sha256sum, and the participant's; XOR of the first 16 digits of both.
        let mut digest = Digest::default();
        digest.room(RoomId::new(200_000_000_000_000_001));
        let room_alone = digest.to_string();
        digest.participant(RoomId::new(200_000_000_000_000_001), UserId::new(300_000_000_000_000_001));
        assert_eq!((room_alone.as_str(), digest.to_string().as_str()), ("abc324e2986ab868", "e6d879d649153632"));
        digest.participant(RoomId::new(200_000_000_000_000_001), UserId::new(300_000_000_000_000_001));
        assert_eq!(digest.to_string(), room_alone, "who leaves is taken away by the same step");
    }
}
