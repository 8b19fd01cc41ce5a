//! Whether a channel that Discord was asked for is there, where no answer told.
//!
//! The proof is Parlor's mark in the audit log, in an entry of the bot's: nobody else writes it. A channel that only looks
//! as it should is never taken for it, because people make channels as well, and what is taken for ours is ended one day.
//! Where the log tells who made such a channel, it is theirs. Where it does not, nobody can say, and nothing is done.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use parlor_gateway::{RoomFacts, RoomId, UserId, rest::AuditEntry};
use uuid::Uuid;

use super::record::Intent;

/// Discord's clock may be so far behind ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// What the audit log's reason carries of a request.
pub fn mark_of(request_id: Uuid) -> String {
    format!("[parlor:{request_id}]")
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The channel.
    pub intent: &'a Intent,
    /// The bot, which wrote the mark.
    pub bot: UserId,
    /// Rooms that were made for it and that Parlor has deleted itself.
    pub unmade: &'a BTreeSet<RoomId>,
}

/// What Discord says when it is asked.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Who made channels lately, whoever it was, newest first; `None` where the bot may not know.
    pub log: Option<Vec<AuditEntry>>,
    /// Whether the log was too long to be read as far back as was wanted.
    pub log_is_cut: bool,
    /// The guild's rooms, as they were before the log was read: so each of them that is in the log is seen there.
    pub rooms: Vec<RoomFacts>,
}

/// What a look has found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// This is it: it carries the request's mark.
    Made(RoomFacts),
    /// It was made, and somebody has deleted it since.
    MadeAndGone(RoomId),
    /// It is not there.
    Nothing,
    /// One of these may be it, and nothing proves that it is or that it is not. None where Discord does not say enough.
    Ambiguous(Vec<RoomId>),
}

impl Wanted<'_> {
    /// Looks for the channel in what Discord says. `is_taken`: whether a room is known to be another request's.
    pub fn look(&self, answers: &Answers, is_taken: impl Fn(RoomId) -> bool) -> Finding {
        let mark = mark_of(self.intent.request_id);
        let log = answers.log.as_deref().unwrap_or_default();
        let room_of = |entry: &AuditEntry| RoomId::new(entry.channel.get());
        let marked = log.iter().find(|entry| {
            let is_marked = entry.reason.as_ref().is_some_and(|why| why.contains(&mark));
            is_marked && entry.by == Some(self.bot) && !self.unmade.contains(&room_of(entry))
        });
        if let Some(entry) = marked {
            let room = room_of(entry);
            let there = answers.rooms.iter().find(|facts| facts.room == room);
            return there.map_or(Finding::MadeAndGone(room), |facts| Finding::Made(facts.clone()));
        }
        let somebodys = |room: RoomId| log.iter().any(|entry| room_of(entry) == room && entry.by.is_some());
        let alike: Vec<RoomId> = answers
            .rooms
            .iter()
            .filter(|facts| self.looks_like(facts) && !is_taken(facts.room) && !somebodys(facts.room))
            .map(|facts| facts.room)
            .collect();
        if alike.is_empty() && !answers.log_is_cut { Finding::Nothing } else { Finding::Ambiguous(alike) }
    }

    /// Since when the channel may be there.
    pub fn earliest(&self) -> SystemTime {
        self.intent.asked_at.checked_sub(CLOCKS_DIFFER).unwrap_or(self.intent.asked_at)
    }

    fn looks_like(&self, facts: &RoomFacts) -> bool {
        let Intent { guild, name, kind, category, user_limit, bitrate, .. } = self.intent;
        facts.guild == *guild
            && facts.name == *name
            && facts.kind == *kind
            && facts.category == *category
            && facts.user_limit == *user_limit
            && facts.bitrate == *bitrate
            && facts.room.created_at() >= self.earliest()
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use parlor_gateway::{AuditEntryId, ChannelId, VideoQuality, id::DISCORD_EPOCH, rest::AuditAction};

    use super::*;
    use crate::rooms::record::tests::intent;

    const BOT: UserId = UserId::new(100_000_000_000_000_002);

    fn room_made_at(time: SystemTime, number: u64) -> RoomId {
        let since = time.duration_since(UNIX_EPOCH + DISCORD_EPOCH).expect("after 2015");
        RoomId::new((u64::try_from(since.as_millis()).expect("fits") << 22) + number)
    }

    /// A room as the intent wants it, made so many seconds after Discord was asked.
    fn alike(number: u64, seconds: i64) -> RoomFacts {
        let intent = intent();
        let at = if seconds < 0 {
            intent.asked_at - Duration::from_secs(seconds.unsigned_abs())
        } else {
            intent.asked_at + Duration::from_secs(seconds.unsigned_abs())
        };
        RoomFacts {
            room: room_made_at(at, number),
            guild: intent.guild,
            name: intent.name,
            kind: intent.kind,
            category: intent.category,
            user_limit: intent.user_limit,
            bitrate: intent.bitrate,
            region: None,
            video_quality: VideoQuality::Auto,
            status: None,
        }
    }

    fn entry(room: RoomId, by: UserId, reason: Option<String>) -> AuditEntry {
        AuditEntry {
            id: AuditEntryId::new(1),
            action: AuditAction::ChannelCreate,
            channel: ChannelId::new(room.get()),
            by: Some(by),
            reason,
        }
    }

    fn look(log: Option<Vec<AuditEntry>>, rooms: Vec<RoomFacts>) -> Finding {
        let intent = intent();
        let answers = Answers { log, log_is_cut: false, rooms };
        Wanted { intent: &intent, bot: BOT, unmade: &BTreeSet::new() }.look(&answers, |_| false)
    }

    fn marked(room: RoomId) -> AuditEntry {
        entry(room, BOT, Some(format!("because {}", mark_of(intent().request_id))))
    }

    #[test]
    fn the_mark_decides_among_rooms_that_look_alike() {
        let (first, second) = (alike(1, 1), alike(2, 2));
        let found = look(Some(vec![marked(second.room)]), vec![first.clone(), second.clone()]);
        assert_eq!(found, Finding::Made(second.clone()));
        // Whatever was changed about it since.
        let renamed = RoomFacts { name: "Other".to_owned(), ..second.clone() };
        assert_eq!(look(Some(vec![marked(second.room)]), vec![renamed.clone()]), Finding::Made(renamed));
        assert_eq!(look(Some(vec![marked(second.room)]), vec![first]), Finding::MadeAndGone(second.room));
    }

    #[test]
    fn what_was_unmade_is_looked_for_as_if_it_had_never_been() {
        let (intent, room) = (intent(), alike(1, 1));
        let unmade = BTreeSet::from([room.room]);
        let wanted = Wanted { intent: &intent, bot: BOT, unmade: &unmade };
        let answers = Answers { log: Some(vec![marked(room.room)]), ..Answers::default() };
        assert_eq!(wanted.look(&answers, |_| false), Finding::Nothing);
    }

    #[test]
    fn a_log_that_is_too_long_to_read_proves_nothing_but_what_is_in_it() {
        let (intent, room) = (intent(), alike(1, 1));
        let wanted = Wanted { intent: &intent, bot: BOT, unmade: &BTreeSet::new() };
        let mut answers = Answers { log: Some(Vec::new()), log_is_cut: true, rooms: vec![room.clone()] };
        assert_eq!(wanted.look(&answers, |_| false), Finding::Ambiguous(vec![room.room]));
        answers.log = Some(vec![marked(room.room)]);
        assert_eq!(wanted.look(&answers, |_| false), Finding::Made(room));
        let nothing = Answers { rooms: Vec::new(), log: Some(Vec::new()), log_is_cut: true };
        assert_eq!(wanted.look(&nothing, |_| false), Finding::Ambiguous(Vec::new()));
    }

    #[test]
    fn somebody_elses_mark_is_none() {
        let room = alike(1, 1);
        let copied = AuditEntry { by: Some(UserId::new(9)), ..marked(room.room) };
        assert_eq!(look(Some(vec![copied]), vec![room]), Finding::Nothing);
    }

    #[test]
    fn a_room_that_the_log_gives_to_somebody_else_is_not_ours() {
        let room = alike(1, 1);
        let theirs = entry(room.room, UserId::new(9), None);
        assert_eq!(look(Some(vec![theirs]), vec![room.clone()]), Finding::Nothing);
        // Of the bot's, for another request or by another program that has its token.
        let another = entry(room.room, BOT, Some(mark_of(Uuid::from_u128(8))));
        assert_eq!(look(Some(vec![another]), vec![room.clone()]), Finding::Nothing);
        let unmarked = entry(room.room, BOT, None);
        assert_eq!(look(Some(vec![unmarked]), vec![room]), Finding::Nothing);
    }

    #[test]
    fn a_room_that_the_log_does_not_speak_of_is_nobodys_to_claim() {
        let (room, other) = (alike(1, 1), alike(2, 2));
        let theirs = entry(other.room, UserId::new(9), None);
        let rooms = vec![room.clone(), other];
        assert_eq!(look(Some(vec![theirs]), rooms), Finding::Ambiguous(vec![room.room]), "its entry may come late");
        let nameless = AuditEntry { by: None, ..marked(room.room) };
        assert_eq!(look(Some(vec![nameless]), vec![room.clone()]), Finding::Ambiguous(vec![room.room]));
    }

    #[test]
    fn without_the_log_nothing_that_looks_like_it_is_taken_for_it() {
        let (first, second) = (alike(1, 1), alike(2, 2));
        assert_eq!(look(None, vec![first.clone()]), Finding::Ambiguous(vec![first.room]));
        let rooms = vec![first.room, second.room];
        assert_eq!(look(None, vec![first.clone(), second.clone()]), Finding::Ambiguous(rooms));
        let intent = intent();
        let wanted = Wanted { intent: &intent, bot: BOT, unmade: &BTreeSet::new() };
        let answers = Answers { log: None, log_is_cut: false, rooms: vec![first.clone()] };
        assert_eq!(wanted.look(&answers, |room| room == first.room), Finding::Nothing, "it is another request's");
    }

    #[test]
    fn every_property_counts_and_so_does_the_time() {
        let differs: [fn(&mut RoomFacts); 5] = [
            |facts| facts.name.push('!'),
            |facts| facts.category = None,
            |facts| facts.kind = parlor_gateway::RoomKind::Stage,
            |facts| facts.user_limit = 6,
            |facts| facts.bitrate = 96_000,
        ];
        for (index, change) in differs.into_iter().enumerate() {
            let mut room = alike(1, 1);
            change(&mut room);
            assert_eq!(look(None, vec![room]), Finding::Nothing, "property {index}");
        }
        assert_eq!(look(None, vec![alike(1, -61)]), Finding::Nothing, "it was there before");
        assert!(matches!(look(None, vec![alike(1, -59)]), Finding::Ambiguous(_)), "clocks differ");
    }
}
