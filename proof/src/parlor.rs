//! The real core, driven step by step: the hub's writer, its state and a store, and the reference beside them.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Instant, SystemTime},
};

use parlor_gateway::{Ownership, RoomId, RowKey, SessionPlace};
use parlor_proto::v1::{SubscribeVoiceEventsResponse, room_ended};
use parlor_server::{
    hub::{CursorKey, Entry, Epoch, Log, Retention, Round, State, Writer},
    store::{Key, Recovered, Store as _},
};

use crate::{
    Broken,
    discord::SHARD,
    fact::Fact,
    known::{Command, Known},
    record::{Chronicle, Record, Scene},
    sabotage::Saboteur,
    shelf::{Shelf, Weather},
};

const SECRET: [u8; CursorKey::SECRET_BYTES] = [9; CursorKey::SECRET_BYTES];

/// The key that seals cursors.
pub fn cursor_key() -> CursorKey {
    CursorKey::new(&SECRET)
}

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// By the clock that only goes forward.
    pub now: Instant,
    /// By the one that somebody may set.
    pub wall: SystemTime,
    /// Whether somebody has set it.
    pub was_set: bool,
}

/// What waits until it is stored.
#[derive(Debug)]
struct Waiting {
    round: Round,
    /// How many commits had been stored before.
    stored: u64,
    known: Known,
    records: Vec<Record>,
    /// By sabotage.
    is_shown: bool,
}

/// A process of Parlor's, and what outlives it.
#[derive(Debug)]
pub struct Parlor {
    /// What everybody sees.
    pub state: State,
    /// What the log should hold.
    pub chronicle: Chronicle,
    /// How much of it is kept.
    pub retention: Retention,
    /// What is on the disk.
    pub shelf: Shelf,
    writer: Writer,
    inbox: VecDeque<(Command, SystemTime, Instant)>,
    waiting: Option<Waiting>,
    /// What should be known, all that was stored included.
    known: Known,
    epochs: u8,
    /// Whether the wall clock had been set when this process took over entries of another.
    ages_are_known: bool,
}

impl Parlor {
    /// A first process.
    pub fn new(retention: Retention, clock: Clock, saboteur: &Saboteur) -> Self {
        let epoch = Epoch::new([0; 16]);
        let shelf = Shelf::new(epoch);
        let (writer, state) = start(&shelf.recovered(), retention, clock, saboteur);
        Self {
            writer,
            state,
            chronicle: Chronicle::new(epoch, Scene::default()),
            retention,
            shelf,
            inbox: VecDeque::new(),
            waiting: None,
            known: Known::default(),
            epochs: 0,
            ages_are_known: true,
        }
    }

    /// Puts something before the writer.
    pub fn ask(&mut self, command: Command, clock: Clock) {
        self.inbox.push_back((command, clock.wall, clock.now));
    }

    /// Whether everything that was asked is done.
    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.waiting.is_none()
    }

    /// Takes in so many commands at most and stores what comes of them; or tries once more to store what waits.
    ///
    /// # Errors
    /// Where what comes of them is not what should.
    pub fn commit(&mut self, commands: usize, clock: Clock, saboteur: &mut Saboteur) -> Result<(), Broken> {
        if self.waiting.is_none() {
            self.take_in(commands, clock, saboteur)?;
        }
        let Some(mut waiting) = self.waiting.take() else { return Ok(()) };
        if self.shelf.commit(&waiting.round.batch).is_err() {
            self.state.stall();
            if saboteur.shows_before_commit() && !std::mem::replace(&mut waiting.is_shown, true) {
                self.state.publish(waiting.round.clone(), clock.now);
            }
            self.waiting = Some(waiting);
            return Ok(());
        }
        self.stored(waiting.records, waiting.known)?;
        if waiting.is_shown {
            waiting.round.batch.entries.clear();
        }
        self.state.publish(waiting.round, clock.now);
        self.shown(clock)
    }

    fn take_in(&mut self, commands: usize, clock: Clock, saboteur: &mut Saboteur) -> Result<(), Broken> {
        let mut known = self.known.clone();
        let mut expected = Vec::new();
        let mut times = Vec::new();
        let mut taken: Vec<_> = self.inbox.drain(..commands.min(self.inbox.len())).collect();
        for (command, wall, at) in &taken {
            let groups = known.take(command.clone(), *wall);
            times.extend(std::iter::repeat_n(*at, groups.iter().map(Vec::len).sum()));
            expected.extend(groups);
        }
        known.round_ends();
        saboteur.order(&mut taken);
        for (command, wall, _) in taken {
            if let Some(command) = saboteur.command(command) {
                act(&mut self.writer, command, wall);
            }
        }
        let Some(mut round) = self.writer.round(&self.state) else {
            let unsaid = expected.iter().flatten().next();
            self.known = known;
            return Broken::unless(unsaid.is_none(), || format!("nothing is said of {unsaid:?}"));
        };
        saboteur.batch(&mut round.batch);
        let times = times.into_iter().chain(std::iter::repeat(clock.now));
        let said = round.batch.entries.iter().zip(times).map(|(entry, at)| record(entry, at));
        let said: Vec<Record> = said.collect::<Result<_, _>>()?;
        self.compare(&said, expected)?;
        self.waiting = Some(Waiting { round, stored: self.shelf.stored, known, records: said, is_shown: false });
        Ok(())
    }

    /// Whether what is said is what should be.
    fn compare(&self, said: &[Record], expected: Vec<Vec<Fact>>) -> Result<(), Broken> {
        let mut left = said.iter().map(|record| record.fact.clone().timeless());
        for mut group in expected {
            let mut told: Vec<Fact> = left.by_ref().take(group.len()).collect();
            group.sort();
            told.sort();
            Broken::unless(group == told, || format!("{told:?} is said where it should be {group:?}"))?;
        }
        let more = left.next();
        Broken::unless(more.is_none(), || format!("{more:?} is said and did not happen"))
    }

    fn stored(&mut self, records: Vec<Record>, known: Known) -> Result<(), Broken> {
        records.into_iter().try_for_each(|record| self.chronicle.push(record))?;
        self.known = known;
        let (folded, should) = (self.chronicle.folded().clone().timeless(), self.known.picture());
        Broken::unless(folded == should, || format!("the entries make\n  {folded}\nwhere it should be\n  {should}"))
    }

    fn shown(&mut self, clock: Clock) -> Result<(), Broken> {
        let scene = Scene { picture: self.chronicle.folded().clone(), guilds: self.known.guilds() };
        self.chronicle.show(scene);
        let (upstream, should) = (self.state.upstream(), self.known.upstream());
        Broken::unless(upstream == should, || format!("upstream is {upstream:?}, it should be {should:?}"))?;
        self.check_log(clock)
    }

    /// Whether the log reaches as far as it promises.
    fn check_log(&self, clock: Clock) -> Result<(), Broken> {
        let (oldest, head) = (self.state.log().oldest().0, self.state.log().head().0);
        Broken::unless(head == self.chronicle.visible, || {
            format!("the log ends at {head}, it should at {}", self.chronicle.visible)
        })?;
        let Retention { age, entries, bytes } = self.retention;
        let (kept, kept_bytes) = (head + 1 - oldest, self.chronicle.bytes_from(oldest));
        let too_many = age.is_zero() && kept > u64::try_from(entries).unwrap_or(u64::MAX);
        Broken::unless(kept_bytes <= bytes && !too_many, || format!("{kept} entries, {kept_bytes} bytes are kept"))?;
        let promised = self.oldest_promised(clock);
        Broken::unless(oldest <= promised, || format!("the log begins at {oldest}, {promised} should be there"))
    }

    /// The oldest entry that must still be there.
    pub fn oldest_promised(&self, clock: Clock) -> u64 {
        self.chronicle.oldest_promised(self.retention, self.ages_are_known, clock.now)
    }

    /// The process ends and another goes on. Returns where it would resume.
    ///
    /// # Errors
    /// Where it goes on from another place than it should.
    pub fn restart(
        &mut self,
        ending: End,
        clock: Clock,
        saboteur: &mut Saboteur,
    ) -> Result<Option<SessionPlace>, Broken> {
        if ending == End::Closed {
            self.shelf.weather = Weather::Fine;
            while !self.is_idle() {
                self.commit(usize::MAX, clock, saboteur)?;
            }
        }
        self.inbox.clear();
        if let Some(waiting) = self.waiting.take()
            && self.shelf.stored > waiting.stored
        {
            // Stored, though nobody was told.
            self.stored(waiting.records, waiting.known)?;
        }
        self.shelf.weather = Weather::Fine;
        self.ages_are_known = !clock.was_set;
        let recovered = if let End::Damaged(mask) = ending {
            self.damage(mask, saboteur)
        } else {
            self.known.restart();
            self.shelf.recovered()
        };
        (self.writer, self.state) = start(&recovered, self.retention, clock, saboteur);
        let (place, should) = (self.writer.sessions().remove(&SHARD), self.known.resumable());
        Broken::unless(place == should, || format!("a resume begins at {place:?}, it should at {should:?}"))?;
        self.shown(clock)?;
        Ok(place)
    }

    fn damage(&mut self, mask: u32, saboteur: &Saboteur) -> Recovered {
        self.epochs += 1;
        let epoch = if saboteur.keeps_the_epoch() { self.chronicle.epoch } else { Epoch::new([self.epochs; 16]) };
        let survives = |key: RowKey| {
            let sum = key.to_bytes().iter().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
            mask >> (sum % 32) & 1 == 1
        };
        self.known.damage(survives);
        let recovered = self.shelf.damaged(epoch, |key| match key {
            Key::Directory(key) => survives(key),
            Key::Shard(_) | Key::Call(_) | Key::Life(_) | Key::Consent(..) | Key::Voice(_) => true,
        });
        let scene = Scene { picture: self.known.picture(), guilds: self.known.guilds() };
        self.chronicle = Chronicle::new(epoch, scene);
        self.chronicle.knows_times = false;
        recovered
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// It is told to, and stores what it has taken in.
    Closed,
    /// It is killed.
    Killed,
    /// It is killed and its store is damaged: a row survives where its bit is set.
    Damaged(u32),
}

fn start(recovered: &Recovered, retention: Retention, clock: Clock, saboteur: &Saboteur) -> (Writer, State) {
    let log = Log::new(recovered.epoch, cursor_key(), saboteur.retention(retention));
    let writer = Writer::new(recovered, std::sync::Arc::clone(log.key()), Some(1));
    let log = log.going_on(recovered.head, recovered.entries.iter().cloned(), clock.wall, clock.now);
    let state = writer.state(log);
    (writer, state)
}

fn act(writer: &mut Writer, command: Command, wall: SystemTime) {
    match command {
        Command::Deliver(delivery) => writer.deliver(delivery, wall),
        Command::Expect(guild, name) => writer.act(wall, |draft| draft.directory.expect_room(guild, &name)),
        Command::Settle(guild, name, created) => writer.act(wall, |draft| {
            let changes =
                draft.directory.settle_room(guild, &name, created.map(|facts| (facts, Ownership::default())), wall);
            draft.tell(changes);
        }),
        Command::BeginEnd(guild, room) => {
            writer.act(wall, |draft| draft.directory.begin_end(guild, room, room_ended::Reason::Api));
        }
        Command::AbandonEnd(guild, room) => writer.act(wall, |draft| draft.directory.abandon_end(guild, room)),
        Command::EndRoom(guild, room) => writer.act(wall, |draft| {
            let changes = draft.directory.end_room(guild, room, wall);
            draft.tell(changes);
        }),
    }
}

fn record(entry: &Entry, since: Instant) -> Result<Record, Broken> {
    let frame = decode(&entry.framed.shared())?;
    let fact = Fact::read(frame.body.as_ref())?;
    let rooms: BTreeSet<RoomId> = fact.rooms().into_iter().collect();
    let mut touched = BTreeSet::new();
    entry.rooms.any(|room| {
        touched.insert(room);
        false
    });
    Broken::unless(rooms == touched && entry.guild == fact.guild() && entry.kind == fact.kind(), || {
        format!("{fact:?} is filed under guild {}, rooms {touched:?}, kind {:?}", entry.guild, entry.kind)
    })?;
    Ok(Record { fact, frame, bytes: entry.framed.len(), since })
}

fn decode(bytes: &[u8]) -> Result<SubscribeVoiceEventsResponse, Broken> {
    prost::Message::decode(bytes).map_err(|error| Broken::new(format!("an entry cannot be read: {error}")))
}
