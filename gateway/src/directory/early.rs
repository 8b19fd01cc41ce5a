//! News of a guild that comes before the snapshot which a new session owes us.
//!
//! It is applied after the snapshot: whether that was made before or after it, the end is the truth. Where there is very
//! much of it, only the last word about each subject is kept, so that it needs no more room than the guild itself.

use std::collections::BTreeSet;

use crate::{
    id::{RoomId, UserId},
    update::News,
};

/// How much is kept before anything is left out.
const PATIENCE: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Early {
    news: Vec<News>,
    /// How much there was when it was last gone through, twice.
    limit: usize,
}

/// What a piece of news is the whole truth about.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
enum Subject {
    Room(RoomId),
    Status(RoomId),
    Presence(UserId),
    Profile(UserId),
}

impl Early {
    pub(super) fn is_empty(&self) -> bool {
        self.news.is_empty()
    }

    pub(super) fn push(&mut self, news: News) {
        if self.news.len() >= self.limit.max(PATIENCE) {
            self.keep_last_words();
            self.limit = self.news.len() * 2;
        }
        self.news.push(news);
    }

    fn keep_last_words(&mut self) {
        let mut later = BTreeSet::new();
        let mut kept: Vec<News> = std::mem::take(&mut self.news);
        kept.reverse();
        kept.retain(|news| later.insert(subject(news)));
        kept.reverse();
        self.news = kept;
    }

    /// Everything, in order.
    pub(super) fn into_news(self) -> Vec<News> {
        self.news
    }
}

fn subject(news: &News) -> Subject {
    match news {
        News::Room(facts) => Subject::Room(facts.room),
        News::RoomGone(room) => Subject::Room(*room),
        News::RoomStatus(room, _) => Subject::Status(*room),
        News::Voice(state) => Subject::Presence(state.user),
        News::MemberLeft(user) => Subject::Presence(*user),
        News::Member(user, _) => Subject::Profile(*user),
    }
}
