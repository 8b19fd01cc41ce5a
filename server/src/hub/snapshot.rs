//! A snapshot on its way to one stream: rendered guild by guild, so that a stream never holds more than one guild's frames.

use std::{collections::VecDeque, sync::Arc};

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
    guilds: usize,
    rooms: usize,
    participants: usize,
    digest: Digest,
}

impl Rendering {
    pub(super) fn new(snapshot: Snapshot, filter: &Filter) -> Self {
        let left = snapshot.guilds.into_iter().filter(|(id, _)| filter.guild(*id)).collect();
        Self { left, guilds: 0, rooms: 0, participants: 0, digest: Digest::default() }
    }

    /// The frames of the next guild; `None` when all guilds are done.
    pub(super) fn next_guild(&mut self, filter: &Filter) -> Option<Vec<Frame>> {
        let (_, guild) = self.left.pop_front()?;
        let mut chunks = Chunks::default();
        self.guilds += 1;
        chunks.put(guild.to_proto(), |items| &mut items.guilds);
        for (id, room) in guild.rooms().filter(|(id, _)| filter.room(*id)) {
            self.rooms += 1;
            if room.state() != State::Ended {
                self.digest.room(id);
            }
            chunks.put(room, |items| &mut items.rooms);
        }
        for (room, user, participant) in guild.participants().filter(|(room, ..)| filter.room(*room)) {
            self.participants += 1;
            self.digest.participant(room, user);
            chunks.put(participant, |items| &mut items.participants);
        }
        Some(chunks.finish())
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

#[derive(Default)]
struct Chunks {
    items: v1::SnapshotItems,
    bytes: usize,
    done: Vec<Frame>,
}

impl Chunks {
    fn put<T: prost::Message>(&mut self, item: T, list: impl Fn(&mut v1::SnapshotItems) -> &mut Vec<T>) {
        let bytes = item.encoded_len();
        if self.bytes + bytes > CHUNK_BYTES {
            self.close();
        }
        self.bytes += bytes;
        list(&mut self.items).push(item);
    }

    fn close(&mut self) {
        if self.bytes > 0 {
            self.done.push(Frame::unpositioned(Body::SnapshotItems(std::mem::take(&mut self.items))));
            self.bytes = 0;
        }
    }

    fn finish(mut self) -> Vec<Frame> {
        self.close();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_stays_small_and_nothing_is_left_out() {
        let mut chunks = Chunks::default();
        for number in 0..5_000 {
            let user_id = number.to_string();
            let participant = v1::Participant { user_id, display_name: "n".repeat(100), ..Default::default() };
            chunks.put(participant, |items| &mut items.participants);
        }
        let frames = chunks.finish();
        assert!(frames.len() > 5);
        let mut seen = 0;
        for frame in frames {
            assert!(frame.encoded_len() < 64 * 1024);
            let Some(Body::SnapshotItems(items)) = frame.decode().body else { panic!("items") };
            for participant in items.participants {
                assert_eq!(participant.user_id, seen.to_string());
                seen += 1;
            }
        }
        assert_eq!(seen, 5_000);
    }

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
