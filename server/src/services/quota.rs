//! How many open rooms there are that one subject has had created.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use parlor_gateway::{RoomId, Snapshot};

use crate::{
    status::{Failure, Reason},
    telemetry::names,
};

/// Counts rooms against a limit. Which rooms a subject has is the directory's to say, over restarts too; only rooms that
/// are being made are counted here.
#[derive(Clone, Debug)]
pub struct RoomQuota {
    most: usize,
    begun: Arc<Mutex<Begun>>,
}

/// Rooms that are being made, by subject and place.
#[derive(Debug, Default)]
struct Begun {
    next: u64,
    places: BTreeMap<(String, u64), Option<RoomId>>,
}

impl RoomQuota {
    /// At most so many rooms of each subject.
    pub fn new(most: usize) -> Self {
        Self { most, begun: Arc::default() }
    }

    /// A place for one more room of this subject, to be held until the directory shows the room or it was not made.
    ///
    /// `now` is asked for once the places are held fast, so that a room which gets its id meanwhile is seen here or there.
    pub(super) fn reserve(&self, subject: &str, now: impl FnOnce() -> Snapshot) -> Result<Place, Failure> {
        let mut begun = self.begun();
        let open = open_rooms(subject, &now());
        // A room that the directory shows already and whose place is still held counts once.
        let count = open.len() + begun.of(subject).filter(|room| room.is_none_or(|room| !open.contains(&room))).count();
        if count >= self.most {
            metrics::counter!(names::RATE_LIMITED, "rule" => "rooms_per_subject").increment(1);
            let message = format!("{count} rooms of this subject are open, and {} may be: end some first", self.most);
            let limit = format!("{} open rooms", self.most);
            return Err(Failure::new(Reason::RoomQuota, message).quota("subject", limit));
        }
        Ok(self.place(&mut begun, subject))
    }

    /// A place for a room whose making was begun before and has to be found out about, whether there is one or not.
    pub(super) fn resume(&self, subject: &str) -> Place {
        self.place(&mut self.begun(), subject)
    }

    fn place(&self, begun: &mut Begun, subject: &str) -> Place {
        let key = (subject.to_owned(), begun.next);
        begun.next += 1;
        begun.places.insert(key.clone(), None);
        Place { quota: self.clone(), key }
    }

    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    fn of(&self, subject: &str) -> impl Iterator<Item = Option<RoomId>> {
        let (first, last) = ((subject.to_owned(), 0), (subject.to_owned(), u64::MAX));
        self.places.range(first..=last).map(|(_, room)| *room)
    }
}

fn open_rooms(subject: &str, now: &Snapshot) -> BTreeSet<RoomId> {
    let rooms = now.guilds.values().flat_map(|guild| guild.room_ids().map(move |room| (room, guild.ownership(room))));
    rooms.filter(|(_, owned)| owned.is_some_and(|owned| owned.creator == subject)).map(|(room, _)| room).collect()
}

/// Room for one more room.
#[derive(Debug)]
pub(super) struct Place {
    quota: RoomQuota,
    key: (String, u64),
}

impl Place {
    /// This room has come of it: from when the directory shows it, it is counted there. To be said before it does.
    pub(super) fn made(&self, room: RoomId) {
        if let Some(place) = self.quota.begun().places.get_mut(&self.key) {
            *place = Some(room);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.quota.begun().places.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use parlor_gateway::{
        Directory, GuildId, GuildSnapshot, News, Ownership, RoomFacts, RoomId, RoomKind, Update, VideoQuality,
    };

    use super::*;

    const ROOM: RoomId = RoomId::new(100_000_000_000_000_002);
    const GUILD: GuildId = GuildId::new(100_000_000_000_000_001);

    /// A guild with a room of nobody's.
    fn one_room() -> (Directory, RoomFacts) {
        let mut directory = Directory::new(1);
        let facts = RoomFacts {
            room: ROOM,
            guild: GUILD,
            name: "One".to_owned(),
            kind: RoomKind::Voice,
            category: None,
            user_limit: 0,
            bitrate: 64_000,
            region: None,
            video_quality: VideoQuality::Auto,
            status: None,
        };
        let guild = GuildSnapshot {
            guild: GUILD,
            name: "Guild".to_owned(),
            bitrate_limit: None,
            rooms: vec![facts.clone()],
            voice_states: Vec::new(),
        };
        directory.apply(Update::Guild(guild), UNIX_EPOCH);
        (directory, facts)
    }

    #[test]
    fn a_place_is_free_again_when_the_room_has_ended_or_was_never_made() {
        let (mut directory, facts) = one_room();
        let quota = RoomQuota::new(1);

        let place = quota.reserve("ann", || directory.snapshot()).expect("the first");
        let refused = quota.reserve("ann", || directory.snapshot()).expect_err("one is begun");
        assert_eq!(refused.reason(), Reason::RoomQuota);
        let his = quota.reserve("bob", || directory.snapshot()).expect("his own");
        drop(place);
        drop(quota.reserve("ann", || directory.snapshot()).expect("it was never made"));
        let hers = Ownership { creator: "ann".to_owned(), ..Ownership::default() };
        directory.change_room(GUILD, facts, Some(hers), UNIX_EPOCH);
        assert!(quota.reserve("ann", || directory.snapshot()).is_err(), "it is open");
        directory.apply(Update::Within(GUILD, News::RoomGone(ROOM)), UNIX_EPOCH);
        drop(quota.reserve("ann", || directory.snapshot()).expect("it has ended"));
        drop(his);
        assert!(quota.begun().places.is_empty(), "nothing is remembered of anybody");
    }

    #[test]
    fn a_room_that_is_shown_before_its_place_is_given_back_counts_once() {
        let (mut directory, facts) = one_room();
        let quota = RoomQuota::new(2);
        let first = quota.reserve("ann", || directory.snapshot()).expect("the first");
        first.made(ROOM);
        drop(quota.reserve("ann", || directory.snapshot()).expect("it is not shown yet, and counts as one"));
        let hers = Ownership { creator: "ann".to_owned(), ..Ownership::default() };
        directory.change_room(GUILD, facts, Some(hers), UNIX_EPOCH);
        let second = quota.reserve("ann", || directory.snapshot()).expect("it is shown, and counts as one");
        quota.reserve("ann", || directory.snapshot()).expect_err("two of two");
        drop(first);
        quota.reserve("ann", || directory.snapshot()).expect_err("two of two");
        drop(second);
        // Begun before a restart: it is there, whatever the limit says, and counts.
        let (one, two) = (quota.resume("ann"), quota.resume("ann"));
        quota.reserve("ann", || directory.snapshot()).expect_err("three of two");
        drop((one, two));
        drop(quota.reserve("ann", || directory.snapshot()).expect("one of two"));
    }
}
