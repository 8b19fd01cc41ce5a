//! Whether a channel that Discord was asked for is there, where no answer told.
//!
//! The proof is Parlor's mark in the audit log: nobody else writes it. A channel without an entry there is ours if it is
//! the only one that looks as it should and came to be when it should; two of them are nobody's to choose between.

use std::time::Duration;

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
    /// The bot, which wrote the mark; `None` where it is not known.
    pub bot: Option<UserId>,
}

/// What Discord says when it is asked.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Who made channels lately, newest first; `None` where the bot may not know.
    pub log: Option<Vec<AuditEntry>>,
    /// The guild's rooms.
    pub rooms: Vec<RoomFacts>,
}

/// What a look has found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// This is it.
    Made(RoomFacts),
    /// It was made, and somebody has deleted it since.
    MadeAndGone(RoomId),
    /// It is not there.
    Nothing,
    /// One of these may be it.
    Ambiguous(Vec<RoomId>),
}

impl Wanted<'_> {
    /// Looks for the channel in what Discord says. `is_taken`: whether a room is known to be another request's.
    pub fn look(&self, answers: &Answers, is_taken: impl Fn(RoomId) -> bool) -> Finding {
        let mark = mark_of(self.intent.request_id);
        let log = answers.log.as_deref().unwrap_or_default();
        let room_of = |entry: &AuditEntry| RoomId::new(entry.channel.get());
        let by_us = |entry: &AuditEntry| self.bot.is_none() || entry.by.is_none() || entry.by == self.bot;
        let marked =
            log.iter().find(|entry| entry.reason.as_ref().is_some_and(|why| why.contains(&mark)) && by_us(entry));
        if let Some(entry) = marked {
            let room = room_of(entry);
            let there = answers.rooms.iter().find(|facts| facts.room == room);
            return there.map_or(Finding::MadeAndGone(room), |facts| Finding::Made(facts.clone()));
        }
        let somebodys = |room: RoomId| log.iter().any(|entry| room_of(entry) == room);
        let alike: Vec<&RoomFacts> = answers
            .rooms
            .iter()
            .filter(|facts| self.looks_like(facts) && !is_taken(facts.room) && !somebodys(facts.room))
            .collect();
        match alike.as_slice() {
            [] => Finding::Nothing,
            [only] => Finding::Made((*only).clone()),
            several => Finding::Ambiguous(several.iter().map(|facts| facts.room).collect()),
        }
    }

    fn looks_like(&self, facts: &RoomFacts) -> bool {
        let Intent { guild, name, kind, category, user_limit, bitrate, asked_at, .. } = self.intent;
        let earliest = asked_at.checked_sub(CLOCKS_DIFFER).unwrap_or(*asked_at);
        facts.guild == *guild
            && facts.name == *name
            && facts.kind == *kind
            && facts.category == *category
            && facts.user_limit == *user_limit
            && facts.bitrate == *bitrate
            && facts.room.created_at() >= earliest
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

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
        Wanted { intent: &intent, bot: Some(BOT) }.look(&Answers { log, rooms }, |_| false)
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
        assert_eq!(look(Some(Vec::new()), vec![room.clone()]), Finding::Made(room));
    }

    #[test]
    fn without_the_log_one_that_looks_like_it_is_it_and_two_are_nobodys() {
        let (first, second) = (alike(1, 1), alike(2, 2));
        assert_eq!(look(None, vec![first.clone()]), Finding::Made(first.clone()));
        let rooms = vec![first.room, second.room];
        assert_eq!(look(None, vec![first.clone(), second.clone()]), Finding::Ambiguous(rooms));
        let intent = intent();
        let wanted = Wanted { intent: &intent, bot: None };
        let answers = Answers { log: None, rooms: vec![first.clone(), second.clone()] };
        assert_eq!(wanted.look(&answers, |room| room == first.room), Finding::Made(second));
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
        assert!(matches!(look(None, vec![alike(1, -59)]), Finding::Made(_)), "clocks differ");
    }
}
