//! Subscriptions against the hub, on hand-made and random histories, without a clock.

use std::{
    cell::{Ref, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parlor_gateway::{
    Delivery, GuildId, GuildSnapshot, Loss, News, RoomFacts, RoomId, RoomKind, ShardIndex, Update, UserId,
    VideoQuality, VoiceFlags, VoiceSessionId, VoiceState,
};
use parlor_proto::v1::{
    self, UpstreamState, VoiceEventKind, reset::Reason, subscribe_voice_events_response::Body, voice_event::Kind,
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    auth::GuildGrant,
    store::{Continuity, Key, ShardRecord},
};

const SHARD: ShardIndex = ShardIndex(0);
const WALL: SystemTime = UNIX_EPOCH;

fn guild_id(number: u64) -> GuildId {
    GuildId::new(100_000_000_000_000_000 + number)
}

/// Room 1 of guild 3 is `room_id(31)`.
fn room_id(number: u64) -> RoomId {
    RoomId::new(200_000_000_000_000_000 + number)
}

fn voice(guild: u64, user: u64, room: Option<u64>) -> Update {
    let state = VoiceState {
        guild: guild_id(guild),
        user: UserId::new(300_000_000_000_000_000 + user),
        room: room.map(|room| room_id(guild * 10 + room)),
        session: VoiceSessionId("s".to_owned()),
        flags: VoiceFlags::default(),
        profile: None,
    };
    Update::Within(guild_id(guild), News::Voice(state))
}

fn snapshot(guild: u64) -> Update {
    let rooms = (1..=3).map(|room| RoomFacts {
        room: room_id(guild * 10 + room),
        guild: guild_id(guild),
        name: format!("room {room}"),
        kind: RoomKind::Voice,
        category: None,
        user_limit: 0,
        bitrate: 64_000,
        region: None,
        video_quality: VideoQuality::Auto,
        status: None,
    });
    Update::Guild(GuildSnapshot {
        guild: guild_id(guild),
        name: format!("guild {guild}"),
        bitrate_limit: None,
        rooms: rooms.collect(),
        voice_states: Vec::new(),
    })
}

/// A hub with two guilds of three rooms each, whose log keeps the newest so many entries.
struct Stage {
    writer: RefCell<Writer>,
    state: RefCell<State>,
    now: Instant,
}

impl Stage {
    fn new(entries: usize) -> Self {
        let retention = Retention { age: Duration::ZERO, entries, bytes: usize::MAX };
        let recovered = Recovered { epoch: Epoch::new([7; 16]), ..Recovered::nothing() };
        let log = Log::new(recovered.epoch, CursorKey::new(&[1; 32]), retention);
        let writer = Writer::new(&recovered, Arc::clone(log.key()), Some(1));
        let state = writer.state(log);
        let stage = Self { writer: RefCell::new(writer), state: RefCell::new(state), now: Instant::now() };
        let guilds = vec![guild_id(1), guild_id(2)];
        stage.apply(Update::SessionStarted { shard: SHARD, self_user: UserId::new(1), guilds });
        stage.apply(snapshot(1));
        stage.apply(snapshot(2));
        stage
    }

    fn apply(&self, update: Update) {
        let delivery = Delivery { shard: SHARD, update: Some(update), session: None, heard_at: WALL };
        let (mut writer, mut state) = (self.writer.borrow_mut(), self.state.borrow_mut());
        writer.deliver(delivery, WALL);
        if let Some(round) = writer.round(&state) {
            state.publish(round, self.now);
        }
    }

    fn state(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    fn subscribe(&self, order: Order) -> Result<Subscription, OpenError> {
        Subscription::open(order, &self.state(), WALL, self.now)
    }

    fn open(&self, order: Order) -> Client {
        Client::new(self.subscribe(order).expect("opens"))
    }

    fn head(&self) -> u64 {
        self.state().log.head().0
    }
}

fn order(start: Start) -> Order {
    let filter = Filter::new(GuildGrant::All, BTreeSet::new(), BTreeSet::new(), []);
    Order { filter: Arc::new(filter), start, gap_policy: GapPolicy::Reset, heartbeat: Duration::from_secs(15) }
}

fn after(cursor: &str) -> Start {
    Start::Cursor { cursor: cursor.to_owned(), filter_id: None }
}

/// Who is in which room, as a client knows it.
type Picture = (BTreeSet<String>, BTreeMap<(String, String), String>);

/// A client: it folds what it is sent and checks the promises of the stream on the way.
struct Client {
    subscription: Subscription,
    picture: Picture,
    position: Option<u64>,
    cursor: String,
    seen: Vec<u64>,
    frames: Vec<&'static str>,
}

impl Client {
    fn new(subscription: Subscription) -> Self {
        let picture = Picture::default();
        Self { subscription, picture, position: None, cursor: String::new(), seen: Vec::new(), frames: Vec::new() }
    }

    /// A client that comes back with what it holds.
    fn resumed(mut self, stage: &Stage) -> Self {
        self.subscription = stage.subscribe(order(after(&self.cursor))).expect("opens");
        self.frames.clear();
        self
    }

    /// Reads until there is nothing to read.
    fn drain(&mut self, stage: &Stage) {
        while self.read(stage, stage.now) {}
    }

    /// Reads one frame, if there is one.
    fn read(&mut self, stage: &Stage, now: Instant) -> bool {
        for _ in 0..10 {
            if let Some(frame) = self.subscription.ready() {
                self.take(frame.decode());
                return true;
            }
            self.subscription.advance(&stage.state(), 1.0, WALL, now).expect("no gap policy");
        }
        false
    }

    fn take(&mut self, frame: v1::SubscribeVoiceEventsResponse) {
        let (sequence, prev) = (frame.sequence, frame.prev_sequence);
        let is_entry = matches!(frame.body, Some(Body::Event(_) | Body::Discontinuity(_)));
        if frame.cursor.is_empty() {
            assert_eq!((sequence, prev), (0, 0), "only a frame with a cursor marks a position");
        } else {
            match self.position {
                Some(position) if !matches!(frame.body, Some(Body::SnapshotEnd(_))) => {
                    assert_eq!(prev, position, "the chain is whole");
                }
                _ => assert!(prev == sequence || is_entry || sequence == 0 || self.position.is_none()),
            }
            self.position = Some(sequence);
            self.cursor = frame.cursor.clone();
        }
        if is_entry {
            assert!(self.seen.last().is_none_or(|last| *last < sequence), "sequences rise");
            self.seen.push(sequence);
        }
        let name = match frame.body.expect("a body") {
            Body::Hello(_) => "hello",
            Body::SnapshotBegin(_) => {
                self.picture = Picture::default();
                "begin"
            }
            Body::SnapshotItems(items) => {
                let live = items.rooms.into_iter().filter(|room| room.state() == v1::room::State::Active);
                self.picture.0.extend(live.map(|room| room.room_id));
                items.participants.into_iter().for_each(|participant| self.put(participant));
                "items"
            }
            Body::SnapshotEnd(end) => {
                assert_eq!(end.digest, digest_of(&self.picture), "the snapshot is what its digest says");
                "end"
            }
            Body::Event(event) => {
                self.fold(event.kind.expect("a kind"));
                "event"
            }
            Body::Discontinuity(_) => "discontinuity",
            Body::Bookmark(_) => "bookmark",
            Body::Reset(_) => "reset",
            Body::Draining(_) => "draining",
        };
        self.frames.push(name);
    }

    fn put(&mut self, participant: v1::Participant) {
        self.picture.1.insert((participant.guild_id, participant.user_id), participant.room_id);
    }

    fn fold(&mut self, kind: Kind) {
        match kind {
            Kind::RoomCreated(v1::RoomCreated { room }) | Kind::RoomUpdated(v1::RoomUpdated { room }) => {
                self.picture.0.insert(room.expect("a room").room_id);
            }
            Kind::RoomEnded(v1::RoomEnded { room, .. }) => {
                self.picture.0.remove(&room.expect("a room").room_id);
            }
            Kind::ParticipantJoined(v1::ParticipantJoined { participant })
            | Kind::ParticipantMoved(v1::ParticipantMoved { participant, .. })
            | Kind::ParticipantUpdated(v1::ParticipantUpdated { participant }) => {
                self.put(participant.expect("a participant"));
            }
            Kind::ParticipantLeft(v1::ParticipantLeft { participant }) => {
                let participant = participant.expect("a participant");
                self.picture.1.remove(&(participant.guild_id, participant.user_id));
            }
            Kind::GuildUpdated(_) => {}
        }
    }
}

fn digest_of(picture: &Picture) -> String {
    let mut digest = Digest::default();
    picture.0.iter().for_each(|room| digest.room(room.parse().expect("a room id")));
    for ((_, user), room) in &picture.1 {
        digest.participant(room.parse().expect("a room id"), user.parse().expect("a user id"));
    }
    digest.to_string()
}

/// What a client would see who subscribed only now.
fn truth(stage: &Stage) -> Picture {
    let mut client = stage.open(order(Start::Snapshot));
    client.drain(stage);
    client.picture
}

#[test]
fn a_stream_is_hello_snapshot_and_what_comes_after() {
    let stage = Stage::new(1_000);
    stage.apply(voice(1, 1, Some(1)));
    let mut client = stage.open(order(Start::Snapshot));
    client.drain(&stage);
    assert_eq!(client.frames, ["hello", "begin", "items", "items", "end"]);
    stage.apply(voice(1, 1, Some(2)));
    stage.apply(voice(2, 5, Some(3)));
    client.drain(&stage);
    assert_eq!(client.frames[5..], ["event", "event"]);
    assert_eq!(client.picture, truth(&stage));
    assert_eq!(client.position, Some(stage.head()));
}

#[test]
fn events_that_pour_in_during_a_snapshot_come_after_it() {
    let stage = Stage::new(1_000);
    let mut client = stage.open(order(Start::Snapshot));
    let mut user = 0;
    while !client.frames.contains(&"end") {
        assert!(client.read(&stage, stage.now));
        user += 1;
        stage.apply(voice(1 + user % 2, user, Some(1)));
    }
    client.drain(&stage);
    assert_eq!(client.picture, truth(&stage));
}

/// A guild of 500 rooms with 5,000 people in them, the first of whom has this name.
fn crowded(name: &str) -> Update {
    let Update::Guild(mut guild) = snapshot(1) else { panic!("a guild") };
    let model = guild.rooms[0].clone();
    guild.rooms = (0..500).map(|room| RoomFacts { room: room_id(10_000 + room), ..model.clone() }).collect();
    let everybody = (0..5_000).map(|user| VoiceState {
        guild: guild_id(1),
        user: UserId::new(300_000_000_000_000_000 + user),
        room: Some(room_id(10_000 + user % 500)),
        session: VoiceSessionId("s".to_owned()),
        flags: VoiceFlags::default(),
        profile: Some(parlor_gateway::Profile {
            display_name: if user == 0 { name.to_owned() } else { "somebody with a name of usual length".to_owned() },
            ..Default::default()
        }),
    });
    guild.voice_states = everybody.collect();
    Update::Guild(guild)
}

#[test]
fn however_large_a_guild_is_little_of_it_is_made_ready_ahead() {
    let stage = Stage::new(100_000);
    stage.apply(crowded("as it was"));
    let mut subscription = stage.subscribe(order(Start::Snapshot)).expect("opens");
    let (mut frames, mut bytes, mut ahead) = (Vec::new(), 0, 0);
    loop {
        let ready: Vec<_> = std::iter::from_fn(|| subscription.ready()).collect();
        let size: usize = ready.iter().map(Frame::encoded_len).sum();
        (bytes, ahead) = (bytes + size, ahead.max(size));
        frames.extend(ready.iter().map(Frame::decode));
        if matches!(frames.last().expect("Hello").body, Some(Body::SnapshotEnd(_))) {
            break;
        }
        // What happens meanwhile is not in it: a snapshot is of one position.
        stage.apply(crowded(&format!("after frame {}", frames.len())));
        subscription.advance(&stage.state(), 1.0, WALL, stage.now).expect("no gap");
    }
    assert!(bytes > 500_000, "{bytes} bytes are no large guild");
    assert!(ahead <= 64 * 1024, "{ahead} bytes are ready at once");
    let mut picture = (BTreeSet::new(), BTreeMap::new());
    for frame in &frames {
        let Some(Body::SnapshotItems(items)) = &frame.body else { continue };
        for room in &items.rooms {
            let live = room.state() == v1::room::State::Active;
            assert!(!live || picture.0.insert(room.room_id.clone()), "a room comes twice");
        }
        for somebody in &items.participants {
            let key = (somebody.guild_id.clone(), somebody.user_id.clone());
            assert_eq!(picture.1.insert(key, somebody.room_id.clone()), None, "somebody comes twice");
            assert!(picture.0.contains(&somebody.room_id), "rooms come before who is in them");
            assert!(!somebody.display_name.starts_with("after"), "of another position: {somebody:?}");
        }
    }
    let Some(Body::SnapshotEnd(end)) = &frames.last().expect("some").body else { panic!("an end") };
    assert_eq!((end.guild_count, end.participant_count), (2, 5_000));
    assert_eq!(end.digest, digest_of(&picture));
}

#[test]
fn however_large_the_entries_are_few_are_made_ready_ahead() {
    let stage = Stage::new(100_000);
    let cursor = stage.state().log.cursor(Sequence(0));
    let Update::Guild(guild) = snapshot(1) else { panic!("a guild") };
    for number in 0..250 {
        let name = format!("{number} {}", "n".repeat(4_000));
        stage.apply(Update::Within(guild_id(1), News::Room(RoomFacts { name, ..guild.rooms[0].clone() })));
    }
    let mut subscription = stage.subscribe(order(after(&cursor))).expect("opens");
    let mut entries = 0;
    loop {
        let ready: Vec<_> = std::iter::from_fn(|| subscription.ready()).collect();
        let size: usize = ready.iter().map(Frame::encoded_len).sum();
        assert!(size <= 256 * 1024, "{size} bytes are ready at once");
        entries += ready.iter().filter(|frame| frame.decode().sequence != 0).count();
        subscription.advance(&stage.state(), 1.0, WALL, stage.now).expect("no gap");
        if ready.is_empty() && !subscription.has_more() {
            break;
        }
    }
    assert_eq!(entries as u64, stage.head(), "each of them comes");
}

#[test]
fn a_filter_that_nothing_matches_walks_the_log_in_steps() {
    let stage = Stage::new(100_000);
    let foreign = Filter::new(GuildGrant::All, [guild_id(9)].into(), BTreeSet::new(), []);
    let cursor = stage.state().log.cursor(Sequence(0));
    let mut subscription = stage.subscribe(Order { filter: foreign.into(), ..order(after(&cursor)) }).expect("opens");
    assert!(subscription.ready().is_some(), "Hello");
    for number in 0..2_000 {
        stage.apply(voice(1, number % 7, Some(1 + number / 7 % 2)));
    }
    let head = stage.head();
    assert!(head > 1_000, "{head} entries are too few");
    let mut steps = 0;
    loop {
        subscription.advance(&stage.state(), 1.0, WALL, stage.now).expect("no gap");
        assert!(subscription.ready().is_none(), "nothing matches");
        steps += 1;
        if !subscription.has_more() {
            break;
        }
    }
    assert_eq!(steps, head.div_ceil(256), "each step looks at 256 entries and no more");
    // It is at the end now: a bookmark that is due covers everything.
    let late = stage.now + Duration::from_secs(16);
    subscription.advance(&stage.state(), 1.0, WALL, late).expect("no gap");
    let bookmark = subscription.ready().expect("it is due").decode();
    assert_eq!((bookmark.sequence, bookmark.prev_sequence), (head, 0));
    // And what matches is found on the way, however much does not.
    let mixed = Filter::new(GuildGrant::All, [guild_id(2)].into(), BTreeSet::new(), []);
    let mut client =
        Client::new(stage.subscribe(Order { filter: mixed.into(), ..order(after(&cursor)) }).expect("opens"));
    stage.apply(voice(2, 5, Some(1)));
    while client.seen.last() != Some(&stage.head()) {
        assert!(client.read(&stage, stage.now) || client.subscription.has_more(), "it would wait for ever");
    }
}

#[test]
fn every_retained_cursor_continues_and_every_other_is_a_reset() {
    let stage = Stage::new(5);
    let mut cursors = vec![stage.state().log.cursor(Sequence(0))];
    let mut all = stage.open(order(Start::Latest));
    all.drain(&stage);
    for user in 0..10 {
        stage.apply(voice(1, user, Some(1)));
        all.drain(&stage);
        cursors.push(all.cursor.clone());
    }
    let (oldest, head) = (stage.state().log.oldest().0, stage.head());
    for cursor in &cursors {
        let mut client = stage.open(order(after(cursor)));
        let sequence = stage.state().log.key().open(cursor).expect("ours").sequence.0;
        client.drain(&stage);
        if sequence + 1 >= oldest {
            assert_eq!(client.seen, (sequence + 1..=head).collect::<Vec<_>>(), "after {sequence}");
            assert!(!client.frames.contains(&"reset"));
        } else {
            assert_eq!(client.frames[..3], ["hello", "reset", "begin"], "after {sequence}");
            assert_eq!(client.picture, truth(&stage));
        }
    }
}

fn reset_of(stage: &Stage, order: Order) -> Option<Reason> {
    let mut subscription = stage.subscribe(order).expect("opens");
    std::iter::from_fn(|| subscription.ready()).find_map(|frame| match frame.decode().body {
        Some(Body::Reset(reset)) => Some(reset.reason()),
        _ => None,
    })
}

#[test]
fn a_cursor_of_another_log_or_of_the_future_or_of_another_filter_is_a_reset() {
    let stage = Stage::new(100);
    let seal = |epoch, sequence| {
        let position = Position { epoch: Epoch::new([epoch; 16]), sequence: Sequence(sequence) };
        CursorKey::new(&[1; 32]).seal(position)
    };
    let reset = |cursor: String| reset_of(&stage, order(after(&cursor)));
    assert_eq!(reset(seal(7, stage.head())), None);
    assert_eq!(reset(seal(8, 1)), Some(Reason::EpochChanged));
    assert_eq!(reset(seal(7, stage.head() + 1)), Some(Reason::CursorAhead));

    let with_filter = |filter_id: &str| {
        let cursor = seal(7, stage.head());
        reset_of(&stage, order(Start::Cursor { cursor, filter_id: Some(filter_id.to_owned()) }))
    };
    assert_eq!(with_filter(&order(Start::Latest).filter.id()), None);
    assert_eq!(with_filter("another"), Some(Reason::FilterChanged));
}

#[test]
fn who_asks_for_an_end_instead_of_a_reset_gets_one() {
    let stage = Stage::new(1);
    let old = stage.state().log.cursor(Sequence(1));
    let refused = stage.subscribe(Order { gap_policy: GapPolicy::Fail, ..order(after(&old)) });
    assert!(matches!(refused, Err(OpenError::Gap(_))));
    let forged = stage.subscribe(order(after("AAAA")));
    assert!(matches!(forged, Err(OpenError::CursorInvalid)));
}

#[test]
fn a_reader_that_the_log_has_overtaken_starts_over() {
    let stage = Stage::new(3);
    let mut client = stage.open(order(Start::Snapshot));
    client.drain(&stage);
    for user in 0..50 {
        stage.apply(voice(1, user, Some(1)));
    }
    client.drain(&stage);
    assert_eq!(client.frames[5..8], ["reset", "begin", "items"]);
    assert_eq!(client.picture, truth(&stage));
}

#[test]
fn a_quiet_stream_gets_bookmarks_that_cover_what_it_did_not_want() {
    let stage = Stage::new(1_000);
    let only_two = Filter::new(GuildGrant::All, [guild_id(2)].into(), BTreeSet::new(), []);
    let mut client = stage.open(Order { filter: only_two.into(), ..order(Start::Snapshot) });
    client.drain(&stage);
    let before = client.position.expect("a position");
    stage.apply(voice(1, 1, Some(1)));
    client.drain(&stage);
    assert_eq!(client.position, Some(before), "nothing to say yet");
    let later = stage.now + Duration::from_secs(15);
    assert!(client.read(&stage, later));
    assert_eq!(client.frames.last(), Some(&"bookmark"));
    assert_eq!(client.position, Some(stage.head()));
    assert!(!client.read(&stage, later), "one is enough");
}

#[test]
fn a_change_of_our_own_connection_is_told_at_once() {
    let stage = Stage::new(1_000);
    let mut client = stage.open(order(Start::Latest));
    client.drain(&stage);
    stage.apply(Update::ConnectionLost { shard: SHARD, loss: Loss::SessionKept, last_heard: WALL });
    assert_eq!(stage.state().upstream(), UpstreamState::Resuming);
    client.drain(&stage);
    assert_eq!(client.frames.last(), Some(&"bookmark"));
}

#[test]
fn a_stream_that_is_drained_amidst_a_snapshot_names_no_position() {
    let stage = Stage::new(3);
    let mut client = stage.open(order(Start::Snapshot));
    client.drain(&stage);
    for user in 0..50 {
        stage.apply(voice(1, user, Some(1)));
    }
    while client.frames.last() != Some(&"begin") {
        assert!(client.read(&stage, stage.now));
    }
    let draining = client.subscription.draining(&stage.state(), Duration::from_secs(1)).decode();
    assert_eq!(draining.cursor, "", "what the client holds is void since the reset");
}

/// The record of the only shard that a round stores.
fn stored_shard(round: &Round) -> Option<ShardRecord> {
    let rows = round.batch.rows.iter();
    rows.filter(|(key, _)| *key == Key::Shard(SHARD)).find_map(|(_, value)| ShardRecord::from_bytes(value.as_ref()?))
}

#[test]
fn while_news_waits_there_is_nothing_to_resume_and_it_counts_as_not_heard() {
    let stage = Stage::new(100);
    let heard = |second| WALL + Duration::from_secs(second);
    let deliver = |update, second| {
        let session = Some(SessionPlace { session_id: "s".to_owned(), sequence: second, resume_url: None });
        stage.writer.borrow_mut().deliver(Delivery { shard: SHARD, update, session, heard_at: heard(second) }, WALL);
        stage.writer.borrow_mut().round(&stage.state()).as_ref().and_then(stored_shard)
    };
    let live = deliver(None, 10).expect("stored");
    assert_eq!((live.session.map(|place| place.sequence), live.heard_at), (Some(10), heard(10)));
    stage.writer.borrow_mut().act(WALL, |draft| draft.directory.expect_room(guild_id(1), "room 9"));
    let Update::Guild(GuildSnapshot { mut rooms, .. }) = snapshot(1) else { panic!("a guild") };
    let room = RoomFacts { room: room_id(19), name: "room 9".to_owned(), ..rooms.remove(0) };
    let waiting = deliver(Some(Update::Within(guild_id(1), News::Room(room))), 20).expect("stored");
    assert_eq!((waiting.session, waiting.heard_at), (None, heard(10)));
    assert_eq!(deliver(None, 30), None, "and so it stays");
}

#[test]
fn sessions_that_are_not_resumed_are_forgotten_by_the_store_too() {
    let session = Some(SessionPlace { session_id: "s".to_owned(), sequence: 7, resume_url: None });
    let record = ShardRecord { session, heard_at: WALL };
    let rows = vec![(Key::Shard(SHARD), record.to_bytes())];
    let recovered = Recovered { rows, continuity: Continuity::GoesOn, ..Recovered::nothing() };
    let log =
        Log::new(recovered.epoch, CursorKey::new(&[1; 32]), Retention { age: Duration::ZERO, entries: 9, bytes: 99 });
    // The session is of one shard of one, and now there are two.
    let mut writer = Writer::new(&recovered, Arc::clone(log.key()), Some(2));
    assert!(writer.sessions().is_empty());
    let state = writer.state(log);
    writer.act(WALL, |draft| draft.directory.run_shards(2));
    let round = writer.round(&state).expect("something to store");
    assert_eq!(stored_shard(&round), Some(record.without_session()));
}

#[test]
fn a_filter_on_rooms_follows_people_in_and_out() {
    let stage = Stage::new(1_000);
    let rooms = [room_id(11)].into();
    let filter = Filter::new(GuildGrant::All, BTreeSet::new(), rooms, [VoiceEventKind::ParticipantMoved]);
    let mut client = stage.open(Order { filter: filter.into(), ..order(Start::Snapshot) });
    client.drain(&stage);
    assert_eq!(client.picture.0.len(), 1);
    stage.apply(voice(1, 1, Some(1)));
    stage.apply(voice(1, 1, Some(2)));
    stage.apply(voice(1, 1, Some(3)));
    stage.apply(voice(1, 1, Some(1)));
    client.drain(&stage);
    let moves = client.frames.iter().filter(|frame| **frame == "event").count();
    assert_eq!(moves, 2, "out of the room and back in; not the join, not the move between others");
}

#[test]
fn draining_repeats_the_position_that_the_client_holds() {
    let stage = Stage::new(1_000);
    let mut client = stage.open(order(Start::Snapshot));
    assert!(client.read(&stage, stage.now));
    let early = client.subscription.draining(&stage.state(), Duration::from_secs(1)).decode();
    assert_eq!(early.cursor, "", "no cursor before the snapshot is whole");
    client.drain(&stage);
    stage.apply(voice(1, 1, Some(1)));
    let late = client.subscription.draining(&stage.state(), Duration::from_secs(1)).decode();
    assert_eq!(Some(late.sequence), client.position);
    assert_eq!(late.cursor, client.cursor);
}

#[test]
fn what_is_ready_goes_out_in_pieces_of_whole_frames() {
    let stage = Stage::new(1_000);
    let mut client = stage.open(order(Start::Latest));
    client.drain(&stage);
    for user in 0..20 {
        stage.apply(voice(1, user, Some(1)));
    }
    let mut subscription = client.subscription;
    subscription.advance(&stage.state(), 1.0, WALL, stage.now).expect("no gap policy");
    let mut sequences = Vec::new();
    while let Some(piece) = subscription.ready_piece(1_000) {
        assert!(piece.len() <= 1_000);
        let mut rest = &piece[..];
        let before = sequences.len();
        while let [0, length @ ..] = rest {
            let (length, message) = length.split_at(4);
            let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
            let message = v1::SubscribeVoiceEventsResponse::decode(&message[..length]).expect("a message");
            sequences.push(message.sequence);
            rest = &rest[5 + length..];
        }
        assert!(sequences.len() > before + 1 || sequences.len() == 20, "more than one event to a piece");
    }
    let head = stage.head();
    assert_eq!(sequences, (head - 19..=head).collect::<Vec<_>>());

    stage.apply(voice(1, 99, Some(1)));
    subscription.advance(&stage.state(), 1.0, WALL, stage.now).expect("no gap policy");
    let alone = subscription.ready_piece(1).expect("one frame, however long");
    assert!(alone.len() > 1);
    assert_eq!(subscription.ready_piece(1), None);
}

/// What happens in a random history.
#[derive(Clone, Debug)]
enum Step {
    Voice {
        guild: u64,
        user: u64,
        room: Option<u64>,
    },
    Lost,
    /// The client reads at most so many frames.
    Read(usize),
    /// The client's connection breaks, and it comes back with its cursor.
    Reconnect,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// However slowly it reads and however often it has to come back: a client that has read everything holds the truth,
    /// saw nothing twice and missed nothing unsaid.
    #[test]
    fn every_client_ends_at_the_truth(
        entries in 1..40_usize,
        steps in proptest::collection::vec(
            prop_oneof![
                8 => (1..=2_u64, 0..6_u64, proptest::option::of(1..=3_u64))
                    .prop_map(|(guild, user, room)| Step::Voice { guild, user, room }),
                1 => Just(Step::Lost),
                4 => (0..6_usize).prop_map(Step::Read),
                1 => Just(Step::Reconnect),
            ],
            1..120,
        ),
    ) {
        let stage = Stage::new(entries);
        let mut client = stage.open(order(Start::Snapshot));
        for step in steps {
            match step {
                Step::Voice { guild, user, room } => stage.apply(voice(guild, user, room)),
                Step::Lost => {
                    let lost = Update::ConnectionLost { shard: SHARD, loss: Loss::SessionLost, last_heard: WALL };
                    stage.apply(lost);
                    let guilds = vec![guild_id(1), guild_id(2)];
                    stage.apply(Update::SessionStarted { shard: SHARD, self_user: UserId::new(1), guilds });
                    stage.apply(snapshot(1));
                    stage.apply(snapshot(2));
                }
                Step::Read(frames) => {
                    for _ in 0..frames {
                        client.read(&stage, stage.now);
                    }
                }
                Step::Reconnect if !client.cursor.is_empty() => client = client.resumed(&stage),
                Step::Reconnect => client = stage.open(order(Start::Snapshot)),
            }
        }
        client.drain(&stage);
        prop_assert_eq!(&client.picture, &truth(&stage));
        prop_assert_eq!(client.position, Some(stage.head()));
    }
}
