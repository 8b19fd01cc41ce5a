//! Discord's gateway: a session, what it has sent, and what is on its way. And the shard of ours at the other end,
//! which passes on what arrives and knows where a resume would begin.

use std::{
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use parlor_gateway::{Delivery, Loss, SessionPlace, ShardIndex, Update, UserId};

use crate::world::{World, guild_id, guild_number};

/// The only shard.
pub const SHARD: ShardIndex = ShardIndex(0);

/// Our own user, who is never in voice here.
const BOT: UserId = UserId::new(100_000_000_000_000_999);

/// What becomes of a dispatch: Discord promises each "never, exactly once, or up to N times".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is sent.
    Once,
    /// It is sent twice.
    Twice,
    /// It is never sent.
    Lost,
    /// It is sent after others that happened later.
    Late,
}

/// The gateway and our shard.
#[derive(Debug, Default)]
pub struct Discord {
    session: Option<Session>,
    sessions: u64,
    /// The numbers of the dispatches that are on their way.
    wire: VecDeque<usize>,
    late: Vec<Update>,
    /// Guilds that the session has listed and not described, with how they were when it listed them.
    owed: BTreeMap<u8, Option<Update>>,
    /// Whether what Parlor knows of a guild may differ from the world until the guild is described again.
    drift: BTreeMap<u8, bool>,
    /// Where a resume would begin.
    resume: Option<SessionPlace>,
    connected: bool,
    /// How often each guild has been described, or a session begun.
    descriptions: BTreeMap<u8, u32>,
    heard_at: Option<SystemTime>,
}

#[derive(Debug)]
struct Session {
    id: String,
    /// Number 1 is the first.
    sent: Vec<Update>,
}

impl Discord {
    /// Whether the shard is connected.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether Parlor may know of a guild what is not so, and cannot know better.
    pub fn is_adrift(&self, guild: u8) -> bool {
        self.drift.get(&guild).copied().unwrap_or_default()
    }

    /// How often a guild has been described.
    pub fn descriptions(&self, guild: u8) -> u32 {
        self.descriptions.get(&guild).copied().unwrap_or_default()
    }

    /// Parlor believes an answer that is older than what the gateway has said: a guild is described, and then comes the
    /// answer to a call from before, of a room that is no more.
    pub fn is_misled(&mut self, guild: u8) {
        self.drifts(guild);
    }

    /// Tells what happens in a guild.
    pub fn tell(&mut self, updates: Vec<Update>, guild: u8, fate: Fate) {
        for (place, update) in updates.into_iter().enumerate() {
            match if place == 0 { fate } else { Fate::Once } {
                Fate::Once => self.send(update),
                Fate::Twice => {
                    self.send(update.clone());
                    self.send(update);
                }
                Fate::Lost => self.drifts(guild),
                Fate::Late => {
                    self.drifts(guild);
                    self.late.push(update);
                }
            }
        }
    }

    /// A guild is described to the session: now it is known again what is so.
    pub fn describe(&mut self, guild: u8, described: Update, fate: Fate) {
        self.owed.remove(&guild);
        *self.descriptions.entry(guild).or_default() += 1;
        if matches!(fate, Fate::Once | Fate::Twice) {
            self.drift.insert(guild, false);
        }
        self.tell(vec![described], guild, if fate == Fate::Late { Fate::Lost } else { fate });
    }

    /// Describes the first guild that the session still owes, as it is or as it was when the session began.
    pub fn describe_next(&mut self, world: &World, as_it_was: bool, fate: Fate) {
        let Some((guild, was)) = self.owed.first_key_value().map(|(guild, was)| (*guild, was.clone())) else { return };
        // What was said of the guild since READY is taken for newer than its description. Where what revoked it is never
        // said, that cannot be known to be wrong.
        let is_shaky = was.is_none();
        let described = was.filter(|_| as_it_was).unwrap_or_else(|| world.described(guild));
        self.describe(guild, described, fate);
        if is_shaky {
            self.drift.insert(guild, true);
        }
    }

    /// Whether the session has yet to describe a guild that it listed.
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Something happened to a guild as a whole: it is described when that is over, or not at all.
    pub fn no_longer_owes(&mut self, guild: u8) {
        self.owed.remove(&guild);
    }

    /// What was late arrives.
    pub fn late_arrives(&mut self) {
        for update in std::mem::take(&mut self.late) {
            if let Update::Within(guild, _) | Update::GuildChanged { guild, .. } = &update {
                self.drifts(guild_number(*guild));
            }
            self.send(update);
        }
    }

    /// A guild takes another name while a description may be on its way that has the old one: only a newer one tells.
    pub fn describes_anew(&mut self, guild: u8) {
        if self.owed.contains_key(&guild) {
            self.drifts(guild);
        }
    }

    fn drifts(&mut self, guild: u8) {
        self.drift.insert(guild, true);
        // What is not told has to be in the description, so that one has to be newer.
        if let Some(was) = self.owed.get_mut(&guild) {
            *was = None;
        }
    }

    fn send(&mut self, update: Update) {
        let Some(session) = &mut self.session else { return };
        session.sent.push(update);
        if self.connected {
            self.wire.push_back(session.sent.len());
        }
    }

    /// Discord forgets the session: it cannot be resumed.
    pub fn forget(&mut self) {
        if !self.connected {
            self.session = None;
        }
    }

    /// The connection breaks. What was on its way is gone.
    pub fn cut(&mut self, wall: SystemTime) -> Option<Delivery> {
        if !std::mem::take(&mut self.connected) {
            return None;
        }
        self.wire.clear();
        let loss = if self.resume.is_some() { Loss::SessionKept } else { Loss::SessionLost };
        let last_heard = self.heard_at.unwrap_or(wall);
        Some(self.delivery(Some(Update::ConnectionLost { shard: SHARD, loss, last_heard }), wall))
    }

    /// The process that the shard was in has ended, and another goes on from this place.
    pub fn restart(&mut self, resume: Option<SessionPlace>) {
        self.connected = false;
        self.wire.clear();
        self.resume = resume;
        self.heard_at = None;
    }

    /// The shard connects: it resumes, or is told that it cannot and begins a new session.
    pub fn connect(&mut self, world: &World, wall: SystemTime) -> Option<Delivery> {
        if self.connected {
            return None;
        }
        self.connected = true;
        let place = self.resume.clone();
        let kept = self.session.as_ref().zip(place.as_ref()).filter(|(session, place)| session.id == place.session_id);
        if let Some((session, place)) = kept {
            let seen = usize::try_from(place.sequence).expect("no more than were sent");
            self.wire = (seen + 1..=session.sent.len()).collect();
            self.send(Update::SessionResumed(SHARD));
            return None;
        }
        self.begin(world);
        // Op 9 is told before the new session.
        self.resume.take().map(|_| {
            let last_heard = self.heard_at.unwrap_or(wall);
            let lost = Update::ConnectionLost { shard: SHARD, loss: Loss::SessionLost, last_heard };
            self.delivery(Some(lost), wall)
        })
    }

    fn begin(&mut self, world: &World) {
        self.sessions += 1;
        self.session = Some(Session { id: format!("session {}", self.sessions), sent: Vec::new() });
        self.wire.clear();
        self.late.clear();
        let listed: Vec<u8> = (0..).zip(&world.guilds).filter(|(_, it)| it.member).map(|(guild, _)| guild).collect();
        let guilds = listed.iter().map(|guild| guild_id(*guild)).collect();
        self.owed = listed.iter().map(|guild| (*guild, Some(world.described(*guild)))).collect();
        self.drift = listed.iter().map(|guild| (*guild, true)).collect();
        self.send(Update::SessionStarted { shard: SHARD, self_user: BOT, guilds });
    }

    /// A dispatch arrives at the shard, which passes it on with the place after it.
    pub fn receive(&mut self, wall: SystemTime) -> Option<Delivery> {
        let number = self.wire.pop_front()?;
        let session = self.session.as_ref().expect("what is on its way was sent in a session");
        let update = session.sent[number - 1].clone();
        let sequence = u64::try_from(number).expect("a small number");
        self.resume = Some(SessionPlace { session_id: session.id.clone(), sequence, resume_url: None });
        self.heard_at = Some(wall);
        Some(self.delivery(Some(update), wall))
    }

    /// The shard says that it hears Discord, though there is no news.
    pub fn sign_of_life(&mut self, wall: SystemTime) -> Option<Delivery> {
        if !self.connected || self.resume.is_none() {
            return None;
        }
        self.heard_at = Some(wall);
        Some(self.delivery(None, wall))
    }

    fn delivery(&self, update: Option<Update>, wall: SystemTime) -> Delivery {
        Delivery { shard: SHARD, update, session: self.resume.clone(), heard_at: self.heard_at.unwrap_or(wall) }
    }
}
