//! Every session of this server: at most one in a guild.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use parlor_gateway::{GuildId, RoomId, UserId, rest::Rest, voice::Switchboard};
use parlor_proto::v1::VoiceSessionEnding as Ending;
use parlor_voice::wire::{self, transport::RetiredModes};
use rustls::ClientConfig;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    consents::Consents,
    driver::Driver,
    errands::Errands,
    leases::{LeaseTerms, NotLeased},
    picture::Picture,
    rejoin::SessionRecord,
    session::{Command, Session},
    threads::Threads,
};
use crate::{auth::Clock, hub::Hub, store::Key};

/// Bits per second of what is mixed, whatever the room allows.
const BITRATES: RangeInclusive<u32> = 16_000..=128_000;

/// What sessions are made with.
pub struct Settings {
    /// Where Discord is asked, and heard.
    pub switchboard: Arc<Switchboard>,
    /// How voice servers are trusted.
    pub tls: Arc<ClientConfig>,
    /// Who does not want to be heard.
    pub consents: Arc<Consents>,
    /// Who knows of rooms, and stores.
    pub hub: Arc<Hub>,
    /// The time of day.
    pub clock: Clock,
    /// How many sessions there may be.
    pub most: usize,
    /// Where they run.
    pub threads: Threads,
    /// Discord's REST API.
    pub rest: Arc<Rest>,
    /// What a room's text is told when somebody begins to listen.
    pub announcement: String,
    /// Whether encryption modes that Discord refuses may be used with other voice servers.
    pub retired_modes: RetiredModes,
}

/// What somebody asks for who wants to be in a room.
#[derive(Clone, Debug)]
pub struct Order {
    /// The guild.
    pub guild: GuildId,
    /// The room.
    pub room: RoomId,
    /// The bot.
    pub bot: UserId,
    /// The room's, in bits per second.
    pub bitrate: u32,
    /// The lease.
    pub lease: LeaseTerms,
    /// Have the room's text told when somebody begins to listen.
    pub announces: bool,
    /// Take the session up again after a restart.
    pub rejoins: bool,
}

/// A session, and the lease of it.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The session.
    pub session: Arc<Session>,
    /// Whether it was made.
    pub created: bool,
    /// When the lease ends.
    pub until: Instant,
}

/// Why there is no session.
#[derive(Clone, Debug)]
pub enum NotConnected {
    /// The bot is in another room of the guild.
    Elsewhere(Arc<Session>),
    /// The lease that is to be renewed is another subject's.
    LeaseOfAnother,
    /// There are as many as there may be.
    TooMany,
    /// The server is going away.
    Draining,
}

/// Every session.
pub struct Sessions {
    settings: Settings,
    errands: Arc<Errands>,
    sessions: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    by_guild: BTreeMap<GuildId, Arc<Session>>,
    draining: bool,
}

impl Sessions {
    /// None yet. What they ask of Discord is asked on the runtime that this is called in.
    pub fn new(settings: Settings) -> Arc<Self> {
        let errands = Errands::new(Arc::clone(&settings.rest), settings.announcement.clone());
        Arc::new(Self { settings, errands: Arc::new(errands), sessions: Mutex::default() })
    }

    /// Somebody is about to listen: the room is told, where the session says so.
    pub fn announce(&self, session: &Arc<Session>, now: Instant) {
        self.errands.announce(session, now);
    }

    /// A lease of the session in a room, which is made where there is none.
    ///
    /// # Errors
    /// See [`NotConnected`].
    pub async fn connect(self: &Arc<Self>, order: Order) -> Result<Connected, NotConnected> {
        loop {
            let ending = match self.try_connect(&order)? {
                Ok(connected) => {
                    self.keep(&connected.session).await;
                    return Ok(connected);
                }
                Err(ending) => ending,
            };
            // It is over in a moment, and then there is room for another.
            ending.over().await;
            self.forget(&ending);
        }
    }

    /// As [`Self::connect`]; an inner error is a session of the guild that is about to end.
    fn try_connect(self: &Arc<Self>, order: &Order) -> Result<Result<Connected, Arc<Session>>, NotConnected> {
        let mut open = self.open();
        if open.draining {
            return Err(NotConnected::Draining);
        }
        let now = Instant::now();
        if let Some(session) = open.by_guild.get(&order.guild) {
            let mut shared = session.shared();
            if shared.picture.is_over() {
                drop(shared);
                return Ok(Err(Arc::clone(session)));
            }
            if shared.picture.room != order.room {
                drop(shared);
                return Err(NotConnected::Elsewhere(Arc::clone(session)));
            }
            let until = match shared.leases.take(order.lease.clone(), now) {
                Ok(until) => until,
                Err(NotLeased::OfAnother) => return Err(NotConnected::LeaseOfAnother),
                Err(NotLeased::TooLate) => {
                    drop(shared);
                    return Ok(Err(Arc::clone(session)));
                }
            };
            shared.marks.announces |= order.announces;
            shared.marks.rejoins |= order.rejoins;
            drop(shared);
            session.wake();
            // Those who listen already were not told of, if nobody had asked for it.
            self.errands.announce_where_heard(session, now);
            return Ok(Ok(Connected { session: Arc::clone(session), created: false, until }));
        }
        if open.by_guild.len() >= self.settings.most {
            return Err(NotConnected::TooMany);
        }
        let (session, until) = self.start(Uuid::new_v4(), order, now);
        open.by_guild.insert(order.guild, Arc::clone(&session));
        Ok(Ok(Connected { session, created: true, until }))
    }

    /// Takes up a session of the process before, with its id and its leases.
    pub(super) fn take_up(self: &Arc<Self>, record: &SessionRecord, bitrate: u32) {
        let [first, others @ ..] = record.leases.as_slice() else { return };
        let mut open = self.open();
        if open.draining || open.by_guild.contains_key(&record.guild) {
            return;
        }
        let SessionRecord { id, guild, room, bot, announces, .. } = *record;
        let order = Order { guild, room, bot, bitrate, lease: first.clone(), announces, rejoins: true };
        let now = Instant::now();
        let (session, _) = self.start(id, &order, now);
        for lease in others {
            // A session that begins takes leases.
            let _ = session.shared().leases.take(lease.clone(), now);
        }
        open.by_guild.insert(guild, session);
    }

    /// Stores what it takes to take a session up again, where that was asked for.
    pub async fn keep(&self, session: &Session) {
        let record = SessionRecord::of(session);
        if let Some(record) = record {
            self.store(session.guild(), Some(record.to_bytes())).await;
        }
    }

    pub(super) async fn store(&self, guild: GuildId, row: Option<Vec<u8>>) {
        let wall = (self.settings.clock)();
        let stored = self.settings.hub.act(wall, move |draft| draft.keep(Key::Voice(guild), row)).await;
        if stored.is_err() {
            warn!("a voice session will not be taken up again: nothing more is stored");
        }
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.settings.hub
    }

    fn start(self: &Arc<Self>, id: Uuid, order: &Order, now: Instant) -> (Arc<Session>, Instant) {
        let Settings { switchboard, tls, consents, hub, clock, threads, retired_modes, .. } = &self.settings;
        let Order { guild, room, bot, bitrate, lease, announces, rejoins } = order.clone();
        let opted_out = consents.of_guild(guild);
        let picture = Picture::new(room, bot, opted_out.iter().copied().collect());
        let (session, ends) = Session::new(id, guild, picture, Arc::clone(clock));
        let mut config = parlor_voice::Config::new(
            wire::GuildId::new(guild.get()),
            wire::ChannelId::new(room.get()),
            wire::UserId::new(bot.get()),
        );
        config.retired_modes = *retired_modes;
        config.opted_out = opted_out.into_iter().map(|user| wire::UserId::new(user.get())).collect();
        let mut shared = session.shared();
        let until = shared.leases.take(lease, now).expect("a session that begins takes leases");
        (shared.marks.announces, shared.marks.rejoins) = (announces, rejoins);
        drop(shared);
        let driver = Driver {
            session: Arc::clone(&session),
            ends,
            core: parlor_voice::Session::new(config, fastrand::u64(..), now),
            line: switchboard.open(guild, bot),
            tls: Arc::clone(tls),
            bitrate: bitrate.clamp(*BITRATES.start(), *BITRATES.end()),
            hub: Arc::clone(hub),
            errands: Arc::clone(&self.errands),
        };
        info!(session = %session.id(), "voice session begins");
        let (all, mine) = (Arc::downgrade(self), Arc::clone(&session));
        threads.handle().spawn(async move {
            driver.run().await;
            let Some(all) = all.upgrade() else { return };
            // A server that goes away takes its sessions up again when it is back.
            let comes_back = mine.ended().is_some_and(|ended| ended.ending == Ending::Draining);
            if SessionRecord::of(&mine).is_some() && !comes_back {
                all.store(mine.guild(), None).await;
            }
            all.forget(&mine);
        });
        (session, until)
    }

    /// A session that is not over.
    pub fn get(&self, id: Uuid) -> Option<Arc<Session>> {
        let open = self.open();
        let found = open.by_guild.values().find(|session| session.id() == id)?;
        (!found.is_over()).then(|| Arc::clone(found))
    }

    /// Every session that is not over, by guild.
    pub fn all(&self) -> Vec<Arc<Session>> {
        let open = self.open();
        open.by_guild.values().filter(|session| !session.is_over()).cloned().collect()
    }

    /// Somebody does not want to be heard, or is heard again.
    pub fn set_opted_out(&self, guild: GuildId, user: UserId, opted_out: bool) {
        if let Some(session) = self.open().by_guild.get(&guild) {
            session.tell(Command::SetOptedOut(user, opted_out));
        }
    }

    /// Who does not want to be heard.
    pub fn consents(&self) -> &Arc<Consents> {
        &self.settings.consents
    }

    /// Ends every session, and begins no more. Returns when the bot has left every room, or nearly.
    pub async fn drain(&self) {
        let all: Vec<_> = {
            let mut open = self.open();
            open.draining = true;
            open.by_guild.values().cloned().collect()
        };
        all.iter().for_each(|session| session.end(Ending::Draining));
        for session in all {
            session.over().await;
        }
    }

    fn forget(&self, session: &Arc<Session>) {
        let mut open = self.open();
        if open.by_guild.get(&session.guild()).is_some_and(|known| Arc::ptr_eq(known, session)) {
            open.by_guild.remove(&session.guild());
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
