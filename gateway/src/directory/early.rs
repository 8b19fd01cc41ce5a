//! News of a guild that comes before the snapshot which a new session owes us.
//!
//! Whether that snapshot was made before or after the news cannot be seen. So the news is never told by itself, which
//! could send somebody through rooms that they left long ago: its last words go into the snapshot, and what the guild has
//! become by both is told as one difference. Where there is very much news, only the last word about each subject is kept,
//! so that it needs no more room than the guild itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{RoomId, UserId},
    update::{GuildSnapshot, News, RoomFacts, VoiceState},
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

    /// Makes the snapshot as new as the news. Where it was newer already, the last words say the same as it does.
    pub(super) fn fold_into(self, snapshot: &mut GuildSnapshot) {
        if self.is_empty() {
            return;
        }
        let rooms = std::mem::take(&mut snapshot.rooms);
        let mut rooms: BTreeMap<RoomId, RoomFacts> = rooms.into_iter().map(|facts| (facts.room, facts)).collect();
        let states = std::mem::take(&mut snapshot.voice_states);
        let mut states: BTreeMap<UserId, VoiceState> = states.into_iter().map(|state| (state.user, state)).collect();
        for news in self.news {
            match news {
                News::Room(mut facts) => {
                    facts.status = facts.status.or_else(|| rooms.get(&facts.room)?.status.clone());
                    rooms.insert(facts.room, facts);
                }
                News::RoomGone(room) => {
                    rooms.remove(&room);
                    // Discord says of nobody that they left a room by its end.
                    states.retain(|_, state| state.room != Some(room));
                }
                News::RoomStatus(room, status) => {
                    if let Some(facts) = rooms.get_mut(&room) {
                        facts.status = Some(status.unwrap_or_default());
                    }
                }
                News::Voice(mut state) => {
                    state.profile = state.profile.or_else(|| states.get(&state.user)?.profile.clone());
                    states.insert(state.user, state);
                }
                News::Member(user, profile) => {
                    if let Some(state) = states.get_mut(&user) {
                        state.profile = Some(profile);
                    }
                }
                News::MemberLeft(user) => {
                    states.remove(&user);
                }
            }
        }
        snapshot.rooms = rooms.into_values().collect();
        snapshot.voice_states = states.into_values().filter(|state| state.room.is_some()).collect();
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
