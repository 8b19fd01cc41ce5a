//! The main gateway's part in voice: where the bot asks to be (op 4), and what Discord says to that.
//!
//! It is kept apart from [`Update`]s: voice credentials are nothing to store or to tell, and whoever holds a
//! voice session wants them at once.
//!
//! ```text
//! voice session ─ Line::ask ─▶ Switchboard ─▶ the guild's shard ─▶ Discord
//! voice session ◀─ Line::next ─ Switchboard ◀─ the guild's shard ◀─ VOICE_STATE_UPDATE, VOICE_SERVER_UPDATE
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use secrecy::SecretString;
use tokio::sync::{mpsc, watch};

use crate::{
    id::{GuildId, RoomId, UserId},
    update::{News, Update, VoiceFlags, VoiceSessionId, VoiceState},
};

/// What is asked for in one guild and not sent yet, at most: what was asked for before no longer matters then.
const MOST_WAITING: usize = 4;

/// A voice server that was assigned (Discord docs, events/gateway-events, "Voice Server Update").
#[derive(Clone, Debug)]
pub struct VoiceServer {
    /// The guild.
    pub guild: GuildId,
    /// Host and port. None: the old one is gone and another will follow.
    pub endpoint: Option<String>,
    /// What the voice gateway's Identify needs.
    pub token: SecretString,
}

/// Where the bot asks to be in a guild's voice, and how it is shown there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VoiceWish {
    /// The room; none to leave.
    pub room: Option<RoomId>,
    /// Shown as muted.
    pub self_mute: bool,
    /// Shown as deaf.
    pub self_deaf: bool,
}

/// What Discord says about the bot's voice in a guild.
#[derive(Debug)]
pub enum VoiceNews {
    /// Where the bot is now; none for nowhere.
    State {
        /// The room.
        room: Option<RoomId>,
        /// What the voice gateway's Identify needs.
        session: VoiceSessionId,
        /// Whether it is muted, or in the audience of a stage.
        flags: VoiceFlags,
    },
    /// The voice server that is assigned.
    Server(VoiceServer),
    /// The gateway's session began anew: Discord has forgotten where the bot was, and whoever wants to be there has to ask
    /// again.
    Forgotten,
}

/// Connects voice sessions with the shards of their guilds.
#[derive(Debug)]
pub struct Switchboard {
    lines: Mutex<Lines>,
    /// Rises with each wish.
    asked: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Lines {
    open: BTreeMap<GuildId, Open>,
    waiting: BTreeMap<GuildId, VecDeque<VoiceWish>>,
    /// Names lines, so that one that ends does not close the one that took its place.
    opened: u64,
}

#[derive(Debug)]
struct Open {
    number: u64,
    user: UserId,
    news: mpsc::UnboundedSender<VoiceNews>,
}

/// One guild's voice, for as long as it lives.
#[derive(Debug)]
pub struct Line {
    board: Arc<Switchboard>,
    guild: GuildId,
    number: u64,
    news: mpsc::UnboundedReceiver<VoiceNews>,
}

impl Default for Switchboard {
    fn default() -> Self {
        Self { lines: Mutex::default(), asked: watch::Sender::new(0) }
    }
}

impl Switchboard {
    /// Opens the line of a guild, for the voice of this user, which is the bot's own. An older line of the guild hears nothing
    /// from then on.
    pub fn open(self: &Arc<Self>, guild: GuildId, user: UserId) -> Line {
        let (news, hear) = mpsc::unbounded_channel();
        let mut lines = self.lines();
        lines.opened += 1;
        let number = lines.opened;
        lines.open.insert(guild, Open { number, user, news });
        drop(lines);
        Line { board: Arc::clone(self), guild, number, news: hear }
    }

    /// Tells of every wish from now on.
    pub(crate) fn wishes(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// Takes what is asked for in the guilds of a shard, in the order in which it was.
    pub(crate) fn take(&self, is_ours: impl Fn(GuildId) -> bool) -> Vec<(GuildId, VoiceWish)> {
        let mut lines = self.lines();
        let ours: Vec<GuildId> = lines.waiting.keys().copied().filter(|guild| is_ours(*guild)).collect();
        let taken = ours.into_iter().flat_map(|guild| {
            let wishes = lines.waiting.remove(&guild).unwrap_or_default();
            wishes.into_iter().map(move |wish| (guild, wish))
        });
        taken.collect()
    }

    /// Passes on what an update says about the bot's own voice.
    pub(crate) fn heard(&self, update: &Update, is_ours: impl Fn(GuildId) -> bool) {
        match update {
            Update::Within(guild, News::Voice(VoiceState { user, room, session, flags, .. })) => {
                let lines = self.lines();
                if let Some(open) = lines.open.get(guild).filter(|open| open.user == *user) {
                    // Whoever listens may have ended.
                    let _ = open.news.send(VoiceNews::State { room: *room, session: session.clone(), flags: *flags });
                }
            }
            Update::SessionStarted { .. } => {
                for (_, open) in self.lines().open.iter().filter(|(guild, _)| is_ours(**guild)) {
                    let _ = open.news.send(VoiceNews::Forgotten);
                }
            }
            Update::SessionResumed(_)
            | Update::ConnectionLost { .. }
            | Update::Guild(_)
            | Update::GuildChanged { .. }
            | Update::GuildUnavailable(_)
            | Update::GuildLeft(_)
            | Update::Within(..) => {}
        }
    }

    /// Passes on which voice server is assigned.
    pub(crate) fn assigned(&self, server: VoiceServer) {
        if let Some(open) = self.lines().open.get(&server.guild) {
            let _ = open.news.send(VoiceNews::Server(server));
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Asks for a place in voice. It is sent once the shard is connected, in the order in which it is asked for.
    pub fn ask(&self, wish: VoiceWish) {
        let mut lines = self.board.lines();
        let waiting = lines.waiting.entry(self.guild).or_default();
        if waiting.len() >= MOST_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(wish);
        drop(lines);
        self.board.asked.send_modify(|asked| *asked = asked.wrapping_add(1));
    }

    /// What Discord says next. Never, where another line has taken this one's place.
    pub async fn next(&mut self) -> VoiceNews {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut lines = self.board.lines();
        if lines.open.get(&self.guild).is_some_and(|open| open.number == self.number) {
            lines.open.remove(&self.guild);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: GuildId = GuildId::new(100_000_000_000_000_001);
    const AWAY: GuildId = GuildId::new(100_000_000_000_000_002);
    const BOT: UserId = UserId::new(100_000_000_000_000_009);
    const ROOM: RoomId = RoomId::new(100_000_000_000_000_003);

    fn state(guild: GuildId, user: UserId, room: Option<RoomId>) -> Update {
        let session = VoiceSessionId("session".to_owned());
        let flags = VoiceFlags::default();
        Update::Within(guild, News::Voice(VoiceState { guild, user, room, session, flags, profile: None }))
    }

    fn wish(room: Option<RoomId>) -> VoiceWish {
        VoiceWish { room, self_mute: false, self_deaf: false }
    }

    #[tokio::test]
    async fn a_line_hears_of_the_bots_own_voice_in_its_guild_alone() {
        let board = Arc::new(Switchboard::default());
        let mut line = board.open(HOME, BOT);
        board.heard(&state(AWAY, BOT, Some(ROOM)), |_| true);
        board.heard(&state(HOME, UserId::new(1), Some(ROOM)), |_| true);
        board.heard(&state(HOME, BOT, None), |_| true);
        assert!(matches!(line.next().await, VoiceNews::State { room: None, .. }));
        let mut audience = state(HOME, BOT, Some(ROOM));
        if let Update::Within(_, News::Voice(state)) = &mut audience {
            state.flags.suppress = true;
        }
        board.heard(&audience, |_| true);
        let VoiceNews::State { room: Some(ROOM), flags, .. } = line.next().await else { panic!("it is in the room") };
        assert!(flags.suppress);
    }

    #[test]
    fn wishes_wait_in_their_order_for_the_shard_of_their_guild() {
        let board = Arc::new(Switchboard::default());
        let (home, away) = (board.open(HOME, BOT), board.open(AWAY, BOT));
        home.ask(wish(None));
        away.ask(wish(None));
        home.ask(wish(Some(ROOM)));
        assert_eq!(board.take(|guild| guild == HOME), [(HOME, wish(None)), (HOME, wish(Some(ROOM)))]);
        assert_eq!(board.take(|_| true), [(AWAY, wish(None))]);
    }

    #[test]
    fn wishes_that_nobody_takes_do_not_pile_up() {
        let board = Arc::new(Switchboard::default());
        let line = board.open(HOME, BOT);
        (0..100).for_each(|_| line.ask(wish(None)));
        line.ask(wish(Some(ROOM)));
        let taken = board.take(|_| true);
        assert_eq!((taken.len(), taken.last()), (MOST_WAITING, Some(&(HOME, wish(Some(ROOM))))));
    }

    #[tokio::test]
    async fn a_line_that_ends_late_leaves_the_one_that_took_its_place() {
        let board = Arc::new(Switchboard::default());
        let first = board.open(HOME, BOT);
        let mut second = board.open(HOME, BOT);
        drop(first);
        board.heard(&state(HOME, BOT, Some(ROOM)), |_| true);
        assert!(matches!(second.next().await, VoiceNews::State { room: Some(ROOM), .. }));
    }
}
