//! The same events for every server: somebody moves from one room to the other and back.

use std::time::SystemTime;

use parlor_gateway::{
    ChangeBody, Directory, GuildId, GuildSnapshot, News, Profile, RoomFacts, RoomId, RoomKind, ShardIndex, Update,
    UserId, VideoQuality, VoiceFlags, VoiceSessionId, VoiceState,
};
use parlor_proto::v1::{self, subscribe_voice_events_response::Body};
use parlor_server::hub::{CursorKey, Epoch, Position, Sequence};

/// The guild of everything here.
pub(crate) const GUILD: GuildId = GuildId::new(100_000_000_000_000_001);
/// So many people take turns.
const PEOPLE: u64 = 100;

fn room(number: u64) -> RoomId {
    RoomId::new(200_000_000_000_000_011 + number % 2)
}

/// What Discord says before anything happens: one guild with two rooms, and everybody in the first.
pub(crate) fn opening() -> Vec<Update> {
    let shard = ShardIndex(0);
    let rooms = (0..2).map(|number| RoomFacts {
        room: room(number),
        guild: GUILD,
        name: format!("Room {number}"),
        kind: RoomKind::Voice,
        category: None,
        user_limit: 0,
        bitrate: 64_000,
        region: None,
        video_quality: VideoQuality::Auto,
        status: None,
    });
    let voice_states = (0..PEOPLE).map(|person| somewhere(person, 0)).collect();
    vec![
        Update::SessionStarted { shard, self_user: UserId::new(1), guilds: vec![GUILD] },
        Update::Guild(GuildSnapshot {
            guild: GUILD,
            name: "A guild".to_owned(),
            bitrate_limit: None,
            rooms: rooms.collect(),
            voice_states,
        }),
    ]
}

/// The move with this number. It always changes something.
pub(crate) fn update(number: u64) -> Update {
    Update::Within(GUILD, News::Voice(somewhere(number % PEOPLE, 1 + number / PEOPLE)))
}

fn somewhere(person: u64, lap: u64) -> VoiceState {
    let user = 300_000_000_000_000_000 + person;
    VoiceState {
        guild: GUILD,
        user: UserId::new(user),
        room: Some(room(lap)),
        session: VoiceSessionId(format!("{person:032x}")),
        flags: VoiceFlags::default(),
        profile: Some(Profile {
            display_name: "Somebody".to_owned(),
            avatar_url: Some(format!("https://cdn.discordapp.com/avatars/{user}/{person:032x}.png")),
            is_bot: false,
        }),
    }
}

/// The moves as messages of the contract, for the rivals.
pub(crate) struct Messages {
    directory: Directory,
    key: CursorKey,
    sequence: u64,
}

impl Messages {
    /// From the opening on.
    pub(crate) fn new() -> Self {
        let mut directory = Directory::new(1);
        for update in opening() {
            directory.apply(update, SystemTime::now());
        }
        Self { directory, key: CursorKey::new(&[7; 32]), sequence: 0 }
    }

    /// The next move.
    pub(crate) fn next(&mut self) -> v1::SubscribeVoiceEventsResponse {
        let changes = self.directory.apply(update(self.sequence), SystemTime::now());
        let prev_sequence = self.sequence;
        self.sequence += 1;
        let change = changes.into_iter().next().expect("every update of the feed is a change");
        let body = match change.body {
            ChangeBody::Event(event) => Body::Event(event),
            ChangeBody::Discontinuity(entry) => Body::Discontinuity(entry),
        };
        let position = Position { epoch: Epoch::new([7; 16]), sequence: Sequence(self.sequence) };
        let cursor = self.key.seal(position);
        v1::SubscribeVoiceEventsResponse { cursor, sequence: self.sequence, prev_sequence, body: Some(body) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_update_is_one_move() {
        let mut messages = Messages::new();
        for sequence in 1..=3 * PEOPLE {
            let message = messages.next();
            assert_eq!((message.sequence, message.prev_sequence), (sequence, sequence - 1));
            let Some(Body::Event(event)) = message.body else { panic!("an event") };
            assert!(matches!(event.kind, Some(v1::voice_event::Kind::ParticipantMoved(_))), "{event:?}");
        }
    }
}
