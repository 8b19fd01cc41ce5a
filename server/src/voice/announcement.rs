//! Whether a room's text has to be told that somebody listens. Pure: time comes in.

use std::time::{Duration, Instant};

use parlor_gateway::RoomId;

/// Between two announcements in one room, where nobody listened in between.
const QUIET: Duration = Duration::from_secs(60);

/// What a room was told.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    /// Where, and when.
    told: Option<(RoomId, Instant)>,
}

impl Announcement {
    /// Whether the room has to be told now, which is then taken as done. `listeners` is how many hear the session already:
    /// none, where the first is about to begin.
    pub(super) fn is_due(&mut self, room: RoomId, listeners: usize, now: Instant) -> bool {
        let due = match self.told {
            Some((told, at)) if told == room => listeners == 0 && now.saturating_duration_since(at) >= QUIET,
            Some(_) | None => true,
        };
        if due {
            self.told = Some((room, now));
        }
        due
    }

    /// What was to be told at this time did not reach the room.
    pub(super) fn failed(&mut self, room: RoomId, at: Instant) {
        self.told.take_if(|told| *told == (room, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOBBY: RoomId = RoomId::new(1);
    const GAMES: RoomId = RoomId::new(2);

    #[test]
    fn a_room_is_told_once_for_each_stretch_of_listening_but_not_every_minute() {
        let (mut announcement, start) = (Announcement::default(), Instant::now());
        assert!(announcement.is_due(LOBBY, 0, start));
        assert!(!announcement.is_due(LOBBY, 1, start + QUIET * 2), "somebody has listened all the time");
        assert!(!announcement.is_due(LOBBY, 0, start + QUIET / 2));
        assert!(announcement.is_due(LOBBY, 0, start + QUIET));
    }

    #[test]
    fn another_room_is_told_at_once() {
        let (mut announcement, start) = (Announcement::default(), Instant::now());
        assert!(announcement.is_due(LOBBY, 3, start), "they began before it was asked for");
        assert!(announcement.is_due(GAMES, 3, start));
        assert!(!announcement.is_due(GAMES, 3, start));
    }

    #[test]
    fn what_did_not_reach_the_room_is_due_again() {
        let (mut announcement, start) = (Announcement::default(), Instant::now());
        assert!(announcement.is_due(LOBBY, 0, start));
        announcement.failed(LOBBY, start);
        let later = start + QUIET / 10;
        assert!(announcement.is_due(LOBBY, 1, later), "also while the others still listen");
        announcement.failed(LOBBY, start);
        assert!(!announcement.is_due(LOBBY, 1, later), "an older failure says nothing about the newer one");
    }
}
