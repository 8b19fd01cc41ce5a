//! A subscriber who believes nothing: it holds every frame against the promises of the stream and against what the log
//! should hold.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use parlor_gateway::{GuildId, RoomId};
use parlor_proto::v1::{self, SubscribeVoiceEventsResponse, reset::Reason, subscribe_voice_events_response::Body};
use parlor_server::hub::{CursorKey, Epoch, Gap, GapPolicy, OpenError, Order, Position, Sequence, Start, Subscription};

use crate::{
    Broken,
    fact::Picture,
    parlor::{Clock, Parlor},
    record::Scene,
    sabotage::Saboteur,
    wish::Wish,
};

const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a client keeps for later.
#[derive(Clone, Debug)]
pub struct Held {
    cursor: String,
    filter_id: String,
    epoch: Epoch,
    position: u64,
    picture: Picture,
    wish: Wish,
}

/// Where a client comes back with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum With {
    /// What it holds, and nothing where it holds nothing whole.
    Held,
    /// What it once put aside.
    Saved,
    /// The same, and it would rather end than start over.
    SavedOrNothing,
    /// Nothing.
    Nothing,
    /// Nothing, and it wants no snapshot.
    Latest,
    /// A cursor that nobody gave it.
    Forged,
    /// A cursor after the end of the log.
    Ahead,
}

/// The subscriber.
#[derive(Debug)]
pub struct Client {
    wish: Wish,
    subscription: Option<Subscription>,
    stage: Stage,
    /// What it holds, once that is whole.
    held: Option<Held>,
    saved: Option<Held>,
    filter_id: String,
    /// What the next frame that marks a position has to follow.
    chained: Option<u64>,
    last_frame: Instant,
}

/// How far a stream has got.
#[derive(Debug)]
enum Stage {
    /// `Hello` comes first; then this.
    Opening(Expect),
    /// `Reset` comes where there is a reason for one, and then `SnapshotBegin`.
    Announced(Option<Reason>),
    /// A snapshot is on its way.
    Snapshot { at: u64, picture: Picture, ended: BTreeSet<RoomId>, guilds: BTreeSet<GuildId>, count: [i32; 3] },
    /// Entries and bookmarks.
    Tail,
}

/// What a stream has to begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expect {
    Snapshot,
    Latest,
    Resumed,
    /// Nobody can tell whether the position is still there.
    ResumedOrCompacted,
    Reset(Reason),
}

impl Client {
    /// Somebody who is not connected yet.
    pub fn new(wish: Wish, clock: Clock) -> Self {
        Self {
            wish,
            subscription: None,
            stage: Stage::Opening(Expect::Snapshot),
            held: None,
            saved: None,
            filter_id: String::new(),
            chained: None,
            last_frame: clock.now,
        }
    }

    /// From now on it wants something else. It has to subscribe anew.
    pub fn wishes(&mut self, wish: Wish) {
        self.wish = wish;
        self.leaves();
    }

    /// Its connection ends.
    pub fn leaves(&mut self) {
        self.subscription = None;
        if matches!(self.stage, Stage::Announced(_) | Stage::Snapshot { .. }) {
            self.held = None;
        }
    }

    /// Puts what it holds aside.
    pub fn saves(&mut self) {
        if matches!(self.stage, Stage::Tail) {
            self.saved.clone_from(&self.held);
        }
    }

    /// Whether it has a stream.
    pub fn is_connected(&self) -> bool {
        self.subscription.is_some()
    }

    /// Subscribes.
    ///
    /// # Errors
    /// Where the answer is another than what was asked for has to get.
    pub fn comes(&mut self, with: With, parlor: &Parlor, clock: Clock, saboteur: &Saboteur) -> Result<(), Broken> {
        self.leaves();
        let seal = |epoch, sequence| {
            CursorKey::seal(&crate::parlor::cursor_key(), Position { epoch, sequence: Sequence(sequence) })
        };
        let held = match with {
            With::Held => self.held.take(),
            With::Saved | With::SavedOrNothing => self.saved.clone(),
            With::Nothing | With::Latest => None,
            With::Forged => self.held.clone().map(|held| Held { cursor: forged(&held.cursor), ..held }),
            With::Ahead => self.held.clone().map(|held| {
                let (epoch, position) = (parlor.chronicle.epoch, parlor.chronicle.head() + 3);
                Held { cursor: seal(epoch, position), epoch, position, ..held }
            }),
        };
        let gap_policy = if with == With::SavedOrNothing { GapPolicy::Fail } else { GapPolicy::Reset };
        let filter = saboteur.filter(&self.wish);
        let start = match &held {
            Some(held) => {
                let cursor = saboteur
                    .cursor(held.epoch, held.position)
                    .map_or(held.cursor.clone(), |(epoch, at)| seal(epoch, at));
                Start::Cursor { cursor, filter_id: Some(saboteur.filter_id(&held.filter_id, &filter)) }
            }
            None if with == With::Latest => Start::Latest,
            None => Start::Snapshot,
        };
        let expect = match &held {
            None if with == With::Latest => Expect::Latest,
            None => Expect::Snapshot,
            Some(held) => self.expected(held, parlor, clock),
        };
        let order = Order { filter: filter.into(), start, gap_policy, heartbeat: HEARTBEAT };
        let opened = Subscription::open(order, &parlor.state, clock.wall, clock.now);
        let forged = with == With::Forged && held.is_some();
        self.subscription = match (opened, expect) {
            (Err(OpenError::CursorInvalid), _) if forged => return Ok(()),
            (Ok(_), _) if forged => return Err(Broken::new("a forged cursor is taken")),
            (Ok(_), Expect::Reset(reason)) if gap_policy == GapPolicy::Fail => {
                return Err(Broken::new(format!("a stream that would rather end goes on after {reason:?}")));
            }
            (Err(OpenError::Gap(_)), Expect::Reset(_) | Expect::ResumedOrCompacted)
                if gap_policy == GapPolicy::Fail =>
            {
                return Ok(());
            }
            (Ok(subscription), _) => Some(subscription),
            (Err(error), _) => return Err(Broken::new(format!("{error:?} where {expect:?} should come"))),
        };
        self.chained = held.as_ref().map(|held| held.position);
        // A position that nobody gave it is not to be kept.
        self.held = held.filter(|_| with != With::Ahead);
        self.stage = Stage::Opening(expect);
        self.last_frame = clock.now;
        Ok(())
    }

    fn expected(&self, held: &Held, parlor: &Parlor, clock: Clock) -> Expect {
        if held.epoch != parlor.chronicle.epoch {
            Expect::Reset(Reason::EpochChanged)
        } else if held.position > parlor.chronicle.visible {
            Expect::Reset(Reason::CursorAhead)
        } else if held.position + 1 < parlor.state.log().oldest().0 && held.position + 1 < parlor.oldest_promised(clock)
        {
            Expect::Reset(Reason::Compacted)
        } else if held.wish != self.wish {
            Expect::Reset(Reason::FilterChanged)
        } else if held.position + 1 >= parlor.oldest_promised(clock) {
            Expect::Resumed
        } else {
            Expect::ResumedOrCompacted
        }
    }

    /// Reads so many frames at most.
    ///
    /// # Errors
    /// Where one of them breaks a promise.
    pub fn reads(
        &mut self,
        frames: usize,
        parlor: &Parlor,
        clock: Clock,
        saboteur: &mut Saboteur,
    ) -> Result<(), Broken> {
        for _ in 0..frames {
            let Some(frame) = self.next(parlor, clock)? else { return Ok(()) };
            for frame in saboteur.frames(frame.decode()) {
                self.takes(&frame, parlor, clock)?;
            }
        }
        Ok(())
    }

    fn next(&mut self, parlor: &Parlor, clock: Clock) -> Result<Option<parlor_server::hub::Frame>, Broken> {
        let Some(subscription) = &mut self.subscription else { return Ok(None) };
        loop {
            if let Some(frame) = subscription.ready() {
                return Ok(Some(frame));
            }
            match subscription.advance(&parlor.state, 0.5, clock.wall, clock.now) {
                Ok(()) => {}
                Err(Gap { oldest, .. }) => {
                    let at = self.chained.unwrap_or_default();
                    self.leaves();
                    return Broken::unless(at + 1 < oldest.0, || {
                        format!("a stream ends for a gap that it has not at {at}")
                    })
                    .map(|()| None);
                }
            }
            if let Some(frame) = subscription.ready() {
                return Ok(Some(frame));
            }
            if !subscription.has_more() {
                let silent = clock.now.duration_since(self.last_frame);
                return Broken::unless(silent < HEARTBEAT, || format!("nothing was said for {silent:?}"))
                    .map(|()| None);
            }
        }
    }

    /// The server says that it goes away.
    ///
    /// # Errors
    /// Where it says so with a position that the client does not hold.
    pub fn is_drained(&mut self, parlor: &Parlor, clock: Clock) -> Result<(), Broken> {
        let Some(subscription) = self.subscription.take() else { return Ok(()) };
        let frame = subscription.draining(&parlor.state, Duration::from_secs(1)).decode();
        if frame.cursor.is_empty() {
            Broken::unless(!matches!(self.stage, Stage::Tail) || self.chained.is_none(), || {
                "a cursor is missing at the end".to_owned()
            })?;
        } else {
            Broken::unless(matches!(self.stage, Stage::Tail | Stage::Opening(_)), || {
                "a stream ends amidst a snapshot with a cursor that says it is whole".to_owned()
            })?;
            self.positioned(&frame, parlor)?;
        }
        self.leaves();
        self.last_frame = clock.now;
        Ok(())
    }

    fn takes(&mut self, frame: &SubscribeVoiceEventsResponse, parlor: &Parlor, clock: Clock) -> Result<(), Broken> {
        self.last_frame = clock.now;
        let stage = std::mem::replace(&mut self.stage, Stage::Announced(None));
        let out_of_turn = |stage: &Stage| Broken::new(format!("{:?} comes out of turn at {stage:?}", frame.body));
        let body = frame.body.as_ref().ok_or_else(|| Broken::new("a frame without a body"))?;
        let marks = matches!(
            body,
            Body::SnapshotEnd(_) | Body::Event(_) | Body::Discontinuity(_) | Body::Bookmark(_) | Body::Draining(_)
        );
        Broken::unless(marks != frame.cursor.is_empty(), || format!("{body:?} with cursor `{}`", frame.cursor))?;
        Broken::unless(marks || (frame.sequence, frame.prev_sequence) == (0, 0), || {
            format!("{body:?} marks a position")
        })?;
        if marks {
            let sealed =
                crate::parlor::cursor_key().open(&frame.cursor).map_err(|_| Broken::new("a cursor of nobody's"))?;
            let is = Position { epoch: parlor.chronicle.epoch, sequence: Sequence(frame.sequence) };
            Broken::unless(sealed == is, || format!("the cursor of {is:?} is {sealed:?}"))?;
            Broken::unless(frame.sequence <= parlor.chronicle.visible, || {
                format!("position {} is shown and not stored", frame.sequence)
            })?;
        }
        self.stage = match (stage, body) {
            (Stage::Opening(expect), Body::Hello(hello)) => self.hello(expect, hello, parlor)?,
            (Stage::Opening(_), _) => return Err(Broken::new("a stream begins without Hello")),
            (Stage::Announced(None), Body::SnapshotBegin(begin)) => {
                self.held = None;
                let (picture, ended, guilds) = (Picture::default(), BTreeSet::new(), BTreeSet::new());
                Stage::Snapshot { at: begin.at_sequence, picture, ended, guilds, count: [0; 3] }
            }
            (Stage::Announced(Some(reason)), Body::Reset(reset)) => {
                Broken::unless(reset.reason() == reason, || format!("{reset:?} where {reason:?} should come"))?;
                Stage::Announced(None)
            }
            (Stage::Snapshot { at, mut picture, mut ended, mut guilds, mut count }, Body::SnapshotItems(items)) => {
                for guild in &items.guilds {
                    let id = guild.guild_id.parse().map_err(|_| Broken::new("not a guild's id"))?;
                    Broken::unless(guilds.insert(id), || format!("guild {id} is in the snapshot twice"))?;
                }
                ended.extend(picture.put(items)?);
                for (count, more) in
                    count.iter_mut().zip([items.guilds.len(), items.rooms.len(), items.participants.len()])
                {
                    *count += i32::try_from(more).expect("few");
                }
                Stage::Snapshot { at, picture, ended, guilds, count }
            }
            (Stage::Snapshot { at, picture, ended, guilds, count }, Body::SnapshotEnd(end)) => {
                Broken::unless([end.guild_count, end.room_count, end.participant_count] == count, || {
                    "miscounted".to_owned()
                })?;
                Broken::unless((frame.sequence, frame.prev_sequence) == (at, at), || {
                    format!("a snapshot of {at} ends at {}", frame.sequence)
                })?;
                Broken::unless(end.digest == digest_of(&picture), || format!("digest {} of {picture}", end.digest))?;
                let like = |scene: &Scene| self.shows(scene, &guilds, &ended);
                Broken::unless(parlor.chronicle.scenes(at).iter().any(like), || {
                    format!(
                        "a snapshot of {at} with guilds {guilds:?} and rooms {ended:?} that have ended, unlike {:?}",
                        parlor.chronicle.scenes(at)
                    )
                })?;
                self.chained = Some(frame.sequence);
                self.hold(frame, picture, parlor);
                // Whatever kinds it wants to hear of: a snapshot shows everything.
                self.looks_right(parlor)?;
                Stage::Tail
            }
            (Stage::Tail, Body::Event(_) | Body::Discontinuity(_) | Body::Bookmark(_)) => {
                self.positioned(frame, parlor)?;
                Stage::Tail
            }
            (Stage::Tail, Body::Reset(reset)) => {
                let oldest = parlor.state.log().oldest().0;
                let overtaken = self.chained.is_some_and(|at| at + 1 < oldest);
                Broken::unless(reset.reason() == Reason::SlowConsumer && overtaken, || {
                    format!("{reset:?} of a stream that has what it needs")
                })?;
                Stage::Announced(None)
            }
            (stage, _) => return Err(out_of_turn(&stage)),
        };
        Ok(())
    }

    /// Whether a scene has these guilds, and these rooms that have ended.
    fn shows(&self, scene: &Scene, guilds: &BTreeSet<GuildId>, ended: &BTreeSet<RoomId>) -> bool {
        let mut wanted = scene.guilds.iter().filter(|(id, _)| self.wish.guild(**id));
        let over = wanted.clone().flat_map(|(_, ended)| ended.iter().filter(|room| self.wish.room(**room)));
        over.eq(ended) && wanted.by_ref().map(|(id, _)| id).eq(guilds)
    }

    fn hello(&mut self, expect: Expect, hello: &v1::Hello, parlor: &Parlor) -> Result<Stage, Broken> {
        self.filter_id.clone_from(&hello.filter_id);
        let (resumed, right) = match expect {
            Expect::Snapshot | Expect::Latest | Expect::Reset(_) => (hello.resumed, !hello.resumed),
            Expect::Resumed => (hello.resumed, hello.resumed),
            Expect::ResumedOrCompacted => (hello.resumed, true),
        };
        Broken::unless(right && hello.epoch == parlor.chronicle.epoch.to_string(), || {
            format!("{hello:?} where {expect:?} should come")
        })?;
        if !resumed && expect != Expect::Latest {
            // What it held is void from here on.
            self.held = None;
        }
        Ok(match expect {
            Expect::Latest => Stage::Tail,
            _ if resumed => Stage::Tail,
            Expect::Reset(reason) => Stage::Announced(Some(reason)),
            Expect::ResumedOrCompacted => Stage::Announced(Some(Reason::Compacted)),
            Expect::Snapshot | Expect::Resumed => Stage::Announced(None),
        })
    }

    /// A frame of the tail: it has to be the next that the client wants to hear of.
    fn positioned(&mut self, frame: &SubscribeVoiceEventsResponse, parlor: &Parlor) -> Result<(), Broken> {
        let at = self.chained.unwrap_or(frame.prev_sequence);
        Broken::unless(frame.prev_sequence == at, || {
            format!("{} follows {}, the client is at {at}", frame.sequence, frame.prev_sequence)
        })?;
        Broken::unless(frame.sequence >= at, || format!("back from {at} to {}", frame.sequence))?;
        let next = parlor.chronicle.next(at, frame.sequence, |fact| self.wish.fact(fact));
        match (&frame.body, next) {
            (Some(Body::Event(_) | Body::Discontinuity(_)), Some((sequence, record))) => {
                Broken::unless(sequence == frame.sequence && record.frame.body == frame.body, || {
                    format!("entry {} comes where {sequence} is next: {:?}", frame.sequence, record.fact)
                })?;
                if let Some(held) = &mut self.held {
                    held.picture.fold(&record.fact, self.wish.hears_of_every_room())?;
                }
            }
            (Some(Body::Bookmark(_) | Body::Draining(_)), None) => {}
            (_, next) => {
                let next = next.map(|(sequence, record)| (sequence, &record.fact));
                return Err(Broken::new(format!("{:?} at {} where {next:?} is next", frame.body, frame.sequence)));
            }
        }
        self.chained = Some(frame.sequence);
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        self.hold(frame, held.picture, parlor);
        if self.wish.hears_every_kind() { self.looks_right(parlor) } else { Ok(()) }
    }

    fn hold(&mut self, frame: &SubscribeVoiceEventsResponse, picture: Picture, parlor: &Parlor) {
        self.held = Some(Held {
            cursor: frame.cursor.clone(),
            filter_id: self.filter_id.clone(),
            epoch: parlor.chronicle.epoch,
            position: frame.sequence,
            picture,
            wish: self.wish.clone(),
        });
    }

    /// Snapshot and tail make the picture of their position.
    fn looks_right(&self, parlor: &Parlor) -> Result<(), Broken> {
        let Some(held) = &self.held else { return Ok(()) };
        let Some(scene) = parlor.chronicle.scenes(held.position).last() else { return Ok(()) };
        let timed = |picture: Picture| if parlor.chronicle.knows_times { picture } else { picture.timeless() };
        let (holds, should) = (timed(self.wish.view(&held.picture)), timed(self.wish.view(&scene.picture)));
        Broken::unless(holds == should, || {
            format!("at {} the client sees\n  {holds}\nand it is\n  {should}", held.position)
        })
    }

    /// What it sees, if it can see the truth, having read everything.
    ///
    /// # Errors
    /// Where it has not come to the log's end.
    pub fn sees(&self, parlor: &Parlor) -> Result<Option<Picture>, Broken> {
        let Some(held) = self.held.as_ref().filter(|_| self.wish.hears_every_kind()) else { return Ok(None) };
        let rest = parlor.chronicle.next(held.position, parlor.chronicle.visible, |fact| self.wish.fact(fact));
        Broken::unless(rest.is_none(), || {
            format!("the client was never told {:?}", rest.map(|(_, record)| &record.fact))
        })?;
        Ok(Some(self.wish.view(&held.picture).timeless()))
    }

    /// What it wants.
    pub fn wish(&self) -> &Wish {
        &self.wish
    }
}

/// Almost the same cursor.
fn forged(cursor: &str) -> String {
    let other = if cursor[20..].starts_with('A') { "B" } else { "A" };
    [&cursor[..20], other, &cursor[21..]].concat()
}

/// The digest of a snapshot as voice_events.proto defines it.
fn digest_of(picture: &Picture) -> String {
    let rooms = picture.rooms.keys().map(|room| format!("room/{room}"));
    let people = picture.people.iter().map(|((_, user), seen)| format!("participant/{}/{user}", seen.room));
    let sum = rooms.chain(people).fold(0_u64, |sum, item| {
        let hash = digest(&SHA256, item.as_bytes());
        sum ^ u64::from_be_bytes(hash.as_ref()[..8].try_into().expect("eight bytes"))
    });
    format!("{sum:016x}")
}
