//! How many open rooms there are that one subject has had created.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use parlor_gateway::Snapshot;

use crate::{
    status::{Failure, Reason},
    telemetry::names,
};

/// Counts rooms against a limit. Which rooms a subject has is the directory's to say, over restarts too; only rooms that
/// are being made are counted here.
#[derive(Clone, Debug)]
pub struct RoomQuota {
    most: usize,
    begun: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl RoomQuota {
    /// At most so many rooms of each subject.
    pub fn new(most: usize) -> Self {
        Self { most, begun: Arc::default() }
    }

    /// A place for one more room of this subject, to be held until the directory shows the room or it was not made.
    pub(super) fn reserve(&self, subject: &str, now: &Snapshot) -> Result<Place, Failure> {
        let mut begun = self.begun();
        let count = open_rooms(subject, now) + begun.get(subject).copied().unwrap_or_default();
        if count >= self.most {
            metrics::counter!(names::RATE_LIMITED, "rule" => "rooms_per_subject").increment(1);
            let message = format!("{count} rooms of this subject are open, and {} may be: end some first", self.most);
            let limit = format!("{} open rooms", self.most);
            return Err(Failure::new(Reason::RoomQuota, message).quota("subject", limit));
        }
        *begun.entry(subject.to_owned()).or_default() += 1;
        Ok(Place { quota: self.clone(), subject: subject.to_owned() })
    }

    fn begun(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_rooms(subject: &str, now: &Snapshot) -> usize {
    let rooms = now.guilds.values().flat_map(|guild| guild.room_ids().filter_map(|room| guild.ownership(room)));
    rooms.filter(|owned| owned.creator == subject).count()
}

/// Room for one more room.
#[derive(Debug)]
pub(super) struct Place {
    quota: RoomQuota,
    subject: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut begun = self.quota.begun();
        if let Some(mine) = begun.get_mut(&self.subject) {
            *mine -= 1;
            if *mine == 0 {
                begun.remove(&self.subject);
            }
        }
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

    #[test]
    fn a_place_is_free_again_when_the_room_has_ended_or_was_never_made() {
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
        let quota = RoomQuota::new(1);

        let place = quota.reserve("ann", &directory.snapshot()).expect("the first");
        let refused = quota.reserve("ann", &directory.snapshot()).expect_err("one is begun");
        assert_eq!(refused.reason(), Reason::RoomQuota);
        let _his = quota.reserve("bob", &directory.snapshot()).expect("his own");
        drop(place);
        drop(quota.reserve("ann", &directory.snapshot()).expect("it was never made"));
        let hers = Ownership { creator: "ann".to_owned(), ..Ownership::default() };
        directory.change_room(GUILD, facts, Some(hers), UNIX_EPOCH);
        assert!(quota.reserve("ann", &directory.snapshot()).is_err(), "it is open");
        directory.apply(Update::Within(GUILD, News::RoomGone(ROOM)), UNIX_EPOCH);
        drop(quota.reserve("ann", &directory.snapshot()).expect("it has ended"));
        assert!(!quota.begun().contains_key("ann"), "nothing is remembered of her");
    }
}
