//! Ways to break what passes between the parts, each of which the proof has to notice: a test that cannot fail shows
//! nothing.

use parlor_gateway::{Delivery, RowKey, SessionPlace, Update};
use parlor_proto::v1::{self, SubscribeVoiceEventsResponse, room::State, subscribe_voice_events_response::Body};
use parlor_server::{
    auth::GuildGrant,
    hub::{Epoch, Filter, Position, Retention, Sequence},
    store::{Batch, Key, ShardRecord},
};

use crate::{known::Command, parlor::cursor_key, wish::Wish};

macro_rules! sabotages {
    ($($(#[doc = $what:literal])* $name:ident,)*) => {
        /// One way to break it.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Sabotage {
            $($(#[doc = $what])* $name,)*
        }

        impl Sabotage {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it does.
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($what),*).trim_ascii(),)*
                }
            }
        }
    };
}

sabotages! {
    /// an event is not sent
    DropFrame,
    /// an event is not sent, and the chain does not show it
    DropFrameAndMendChain,
    /// an event is sent twice
    DoubleFrame,
    /// two events are sent in the wrong order
    SwapFrames,
    /// a bookmark is not sent
    SkipBookmark,
    /// a bookmark comes before what it covers
    BookmarkEarly,
    /// the chain counts what the filter left out
    ChainBeforeFilter,
    /// a snapshot says that it is of the position before
    SnapshotTooEarly,
    /// a snapshot says that it is of the position after
    SnapshotTooLate,
    /// a snapshot leaves somebody out
    SnapshotWithoutSomebody,
    /// a snapshot leaves out what has ended
    ForgetTombstones,
    /// a resume goes on one too late
    ResumeTooLate,
    /// a resume goes on one too early
    ResumeTooEarly,
    /// a resume with another filter goes on
    IgnoreFilterChange,
    /// events of other guilds are sent
    LeakGuilds,
    /// entries are shown that are not stored
    ShowBeforeCommit,
    /// the log forgets one entry too many
    CompactOneTooMany,
    /// the store forgets one entry too many
    StoreForgetsOneTooMany,
    /// an entry is not written
    DropEntry,
    /// an entry is written twice
    DoubleEntry,
    /// two entries are written in the wrong order
    SwapEntries,
    /// a discontinuity is not written
    ForgetDiscontinuity,
    /// a row is not written
    ForgetRow,
    /// a row is not removed
    KeepRow,
    /// the place in Discord's session is lost
    LosePlace,
    /// Discord's session is resumed from too late a place
    PlaceTooLate,
    /// Discord's session is resumed from too early a place
    PlaceTooEarly,
    /// the place is stored although news waits that a resume would skip
    PlaceWhileNewsWaits,
    /// news is not taken in
    DropNews,
    /// two pieces of news are taken in in the wrong order
    SwapNews,
    /// the difference after a lost session is not made
    ForgetDifference,
    /// a new session is taken for the old one
    ForgetNewSession,
    /// an outage is taken for nothing
    ForgetOutage,
    /// after a damage the log goes on under its old name
    KeepEpoch,
}

/// Who does it.
#[derive(Debug, Default)]
pub struct Saboteur {
    does: Option<Sabotage>,
    /// Of what it could have done: it does every second, so that the first may pass.
    chances: u32,
    held_frame: Option<SubscribeVoiceEventsResponse>,
    mended: Option<(u64, u64)>,
    left_out: i32,
    place: Option<SessionPlace>,
}

impl Saboteur {
    /// Somebody who does this, or nothing.
    pub fn new(does: Option<Sabotage>) -> Self {
        Self { does, ..Self::default() }
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.does == Some(sabotage)
    }

    fn strikes(&mut self, sabotage: Sabotage) -> bool {
        if !self.is(sabotage) {
            return false;
        }
        self.chances += 1;
        self.chances.is_multiple_of(2)
    }

    /// What becomes of a command.
    pub(crate) fn command(&mut self, command: Command) -> Option<Command> {
        let Command::Deliver(delivery) = command else { return Some(command) };
        self.place.clone_from(&delivery.session);
        let update = delivery.update.clone();
        let update = match update {
            Some(Update::Within(..)) if self.strikes(Sabotage::DropNews) => None,
            Some(Update::Guild(_)) if self.strikes(Sabotage::ForgetDifference) => None,
            Some(Update::GuildUnavailable(_)) if self.is(Sabotage::ForgetOutage) => None,
            Some(Update::SessionStarted { shard, .. }) if self.strikes(Sabotage::ForgetNewSession) => {
                Some(Update::SessionResumed(shard))
            }
            update => update,
        };
        Some(Command::Deliver(Delivery { update, ..delivery }))
    }

    /// What becomes of the order in which commands come.
    pub(crate) fn order<T>(&mut self, commands: &mut [T]) {
        if commands.len() > 1 && self.strikes(Sabotage::SwapNews) {
            commands.swap(0, 1);
        }
    }

    /// What becomes of a batch.
    pub(crate) fn batch(&mut self, batch: &mut Batch) {
        let entries = &mut batch.entries;
        let gap = entries.iter().position(|entry| entry.kind.is_none());
        if let Some(gap) = gap.filter(|_| self.is(Sabotage::ForgetDiscontinuity)) {
            entries.remove(gap);
        }
        if !entries.is_empty() && self.strikes(Sabotage::DropEntry) {
            entries.remove(0);
        }
        if !entries.is_empty() && self.strikes(Sabotage::DoubleEntry) {
            entries.insert(0, std::sync::Arc::clone(&entries[0]));
        }
        if entries.len() > 1 && self.strikes(Sabotage::SwapEntries) {
            entries.swap(0, 1);
        }
        if self.is(Sabotage::StoreForgetsOneTooMany) {
            batch.forget_before = batch.forget_before.next();
        }
        let is_person = |key: &Key| matches!(key, Key::Directory(RowKey::Participant(..) | RowKey::Room(..)));
        let forgets = self.is(Sabotage::ForgetRow);
        let keeps = self.is(Sabotage::KeepRow);
        batch.rows.retain(|(key, value)| !(is_person(key) && if value.is_some() { forgets } else { keeps }));
        for (key, value) in &mut batch.rows {
            let (Key::Shard(_), Some(bytes)) = (key, value) else { continue };
            let record = ShardRecord::from_bytes(bytes).expect("written a moment ago");
            let session = self.session(record.session);
            *bytes = ShardRecord { session, ..record }.to_bytes();
        }
    }

    fn session(&self, session: Option<SessionPlace>) -> Option<SessionPlace> {
        let moved = |by: i64| {
            session.clone().map(|place| SessionPlace { sequence: place.sequence.saturating_add_signed(by), ..place })
        };
        match self.does {
            Some(Sabotage::LosePlace) => None,
            Some(Sabotage::PlaceTooLate) => moved(1),
            Some(Sabotage::PlaceTooEarly) => moved(-1),
            Some(Sabotage::PlaceWhileNewsWaits) => session.or_else(|| self.place.clone()),
            _ => session,
        }
    }

    /// How much is kept.
    pub(crate) fn retention(&self, retention: Retention) -> Retention {
        if self.is(Sabotage::CompactOneTooMany) {
            Retention { entries: retention.entries.saturating_sub(1), ..retention }
        } else {
            retention
        }
    }

    /// What a subscriber hears who wants this.
    pub(crate) fn filter(&self, wish: &Wish) -> Filter {
        if self.is(Sabotage::LeakGuilds) {
            Filter::new(GuildGrant::All, [].into(), [].into(), [])
        } else {
            wish.filter()
        }
    }

    /// The name of the filter that a cursor came from.
    pub(crate) fn filter_id(&self, held: &str, now: &Filter) -> String {
        if self.is(Sabotage::IgnoreFilterChange) { now.id() } else { held.to_owned() }
    }

    /// Where a cursor points, where that is changed.
    pub(crate) fn cursor(&self, epoch: Epoch, at: u64) -> Option<(Epoch, u64)> {
        match self.does {
            Some(Sabotage::ResumeTooLate) => Some((epoch, at + 1)),
            Some(Sabotage::ResumeTooEarly) => Some((epoch, at.saturating_sub(1))),
            _ => None,
        }
    }

    /// Whether what is not stored is shown.
    pub(crate) fn shows_before_commit(&self) -> bool {
        self.is(Sabotage::ShowBeforeCommit)
    }

    /// Whether a damaged log goes on under its old name.
    pub(crate) fn keeps_the_epoch(&self) -> bool {
        self.is(Sabotage::KeepEpoch)
    }

    /// What becomes of a frame.
    pub(crate) fn frames(&mut self, mut frame: SubscribeVoiceEventsResponse) -> Vec<SubscribeVoiceEventsResponse> {
        let is_event = matches!(frame.body, Some(Body::Event(_)));
        let is_bookmark = matches!(frame.body, Some(Body::Bookmark(_)));
        if let Some((prev, sequence)) = self.mended.take()
            && frame.prev_sequence == sequence
        {
            frame.prev_sequence = prev;
        }
        if let Some(held) = self.held_frame.take() {
            return vec![frame, held];
        }
        if is_event && self.strikes(Sabotage::DropFrame) || is_bookmark && self.strikes(Sabotage::SkipBookmark) {
            return Vec::new();
        }
        if is_event && self.strikes(Sabotage::DropFrameAndMendChain) {
            self.mended = Some((frame.prev_sequence, frame.sequence));
            return Vec::new();
        }
        if is_event && self.strikes(Sabotage::DoubleFrame) {
            return vec![frame.clone(), frame];
        }
        if is_event && self.strikes(Sabotage::SwapFrames) {
            self.held_frame = Some(frame);
            return Vec::new();
        }
        if is_event && self.strikes(Sabotage::BookmarkEarly) {
            let early =
                SubscribeVoiceEventsResponse { body: Some(Body::Bookmark(v1::Bookmark::default())), ..frame.clone() };
            return vec![early, SubscribeVoiceEventsResponse { prev_sequence: frame.sequence, ..frame }];
        }
        if is_event && self.is(Sabotage::ChainBeforeFilter) {
            frame.prev_sequence = frame.sequence - 1;
        }
        self.snapshot(&mut frame);
        vec![frame]
    }

    fn snapshot(&mut self, frame: &mut SubscribeVoiceEventsResponse) {
        let by = match self.does {
            Some(Sabotage::SnapshotTooEarly) => -1,
            Some(Sabotage::SnapshotTooLate) => 1,
            _ => 0,
        };
        match &mut frame.body {
            Some(Body::SnapshotBegin(begin)) => {
                begin.at_sequence = begin.at_sequence.saturating_add_signed(by);
                self.left_out = 0;
            }
            Some(Body::SnapshotItems(items)) if self.is(Sabotage::ForgetTombstones) => {
                let before = items.rooms.len();
                items.rooms.retain(|room| room.state() != State::Ended);
                self.left_out += i32::try_from(before - items.rooms.len()).expect("few");
            }
            Some(Body::SnapshotItems(items)) if self.is(Sabotage::SnapshotWithoutSomebody) => {
                self.left_out += i32::from(items.participants.pop().is_some());
            }
            Some(Body::SnapshotEnd(end)) => {
                let left_out = std::mem::take(&mut self.left_out);
                if self.is(Sabotage::ForgetTombstones) {
                    end.room_count -= left_out;
                } else {
                    end.participant_count -= left_out;
                }
                if by != 0 {
                    let sequence = frame.sequence.saturating_add_signed(by);
                    let position = cursor_key().open(&frame.cursor).expect("ours");
                    frame.cursor = cursor_key().seal(Position { sequence: Sequence(sequence), ..position });
                    (frame.sequence, frame.prev_sequence) = (sequence, sequence);
                }
            }
            _ => {}
        }
    }
}
