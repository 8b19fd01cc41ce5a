//! One subscriber: a cursor into the shared log, with a filter. Pure: the state of the hub and the time come in.
//!
//! ```text
//!  open ─ no cursor, or one that cannot be continued ─▶ Snapshot ─ all guilds sent ─▶ Tail
//!       └ a retained cursor, or START_AT_LATEST ──────────────────────────────────────▲ │
//!                                     Snapshot ◀─ the log has forgotten our position ────┘
//! ```

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use parlor_proto::v1::{self, UpstreamState, subscribe_voice_events_response::Body};

use super::{
    State,
    filter::Filter,
    frame::{Frame, encode_shared},
    log::Standing,
    position::{InvalidCursor, Position, Sequence},
    snapshot::Rendering,
};

/// How many entries are looked at in one step, at most, whether they match or not.
const BATCH: usize = 256;

/// No more is made ready in one step once it has so many bytes.
const BATCH_BYTES: usize = 128 * 1024;

/// Room for so many frames is kept while there are none.
const FEW: usize = 4;

/// Where a subscription begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Start {
    /// With a snapshot.
    Snapshot,
    /// With what comes next.
    Latest,
    /// After a cursor.
    Cursor {
        /// The cursor.
        cursor: String,
        /// The filter that it came from, where the client says.
        filter_id: Option<String>,
    },
}

/// What to do where a position cannot be continued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GapPolicy {
    /// Say so and send a snapshot.
    Reset,
    /// End the stream.
    Fail,
}

/// A position cannot be continued and the client asked for an end rather than a reset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gap {
    /// The oldest entry that can be replayed.
    pub oldest: Sequence,
    /// The newest.
    pub head: Sequence,
}

/// A subscription cannot be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OpenError {
    /// The cursor is not one of ours.
    CursorInvalid,
    /// The cursor cannot be continued.
    Gap(Gap),
}

/// What a stream asks for.
#[derive(Clone, Debug)]
pub struct Order {
    /// What to send.
    pub filter: Arc<Filter>,
    /// Where to begin.
    pub start: Start,
    /// What to do about gaps.
    pub gap_policy: GapPolicy,
    /// The longest silence.
    pub heartbeat: Duration,
}

/// A subscriber's state.
#[derive(Debug)]
pub struct Subscription {
    filter: Arc<Filter>,
    gap_policy: GapPolicy,
    heartbeat: Duration,
    phase: Phase,
    /// Frames that are ready, with what the client holds after each.
    ready: VecDeque<(Frame, Holding)>,
    /// The position of the last frame put into `ready` that marks one.
    chained: Sequence,
    /// The position that the client holds: that of the last frame handed out, or of the cursor it came with.
    sent: Option<Sequence>,
    /// The log has been looked at up to here.
    scanned: Sequence,
    /// Whether the log went on after that when it was looked at.
    behind: bool,
    /// What the client was last told of our connection to Discord.
    told: UpstreamState,
    next_beat: Instant,
}

/// What a frame does to the position that the client holds.
#[derive(Clone, Copy, Debug)]
enum Holding {
    /// It stays.
    Kept,
    /// It is this from then on.
    At(Sequence),
    /// It is void: a snapshot takes its place, and counts only when it is whole.
    Void,
}

#[derive(Debug)]
enum Phase {
    /// In a box, because it is short and a stream is long.
    Snapshot {
        at: Sequence,
        rendering: Box<Rendering>,
    },
    Tail,
}

impl Subscription {
    /// Opens a subscription. Its first frame is ready at once.
    pub fn open(order: Order, state: &State, wall: SystemTime, now: Instant) -> Result<Self, OpenError> {
        let log = &state.log;
        let verdict = match &order.start {
            Start::Snapshot => Verdict::Snapshot,
            Start::Latest => Verdict::Tail(log.head()),
            Start::Cursor { cursor, filter_id } => {
                let position = log.key().open(cursor).map_err(|InvalidCursor| OpenError::CursorInvalid)?;
                let same_filter = filter_id.as_ref().is_none_or(|id| *id == order.filter.id());
                judge(position, log.standing(position), same_filter)
            }
        };
        let gap = Gap { oldest: log.oldest(), head: log.head() };
        if matches!(verdict, Verdict::Reset(_)) && order.gap_policy == GapPolicy::Fail {
            return Err(OpenError::Gap(gap));
        }
        let start = match verdict {
            Verdict::Tail(sequence) => sequence,
            Verdict::Snapshot | Verdict::Reset(_) => log.head(),
        };
        let resumed = matches!((&order.start, &verdict), (Start::Cursor { .. }, Verdict::Tail(_)));
        let mut subscription = Self {
            filter: order.filter,
            gap_policy: order.gap_policy,
            heartbeat: order.heartbeat,
            phase: Phase::Tail,
            ready: VecDeque::new(),
            chained: start,
            sent: resumed.then_some(start),
            scanned: start,
            behind: false,
            told: state.upstream(),
            next_beat: now + order.heartbeat,
        };
        let hello = Body::Hello(v1::Hello {
            epoch: log.epoch().to_string(),
            head_sequence: log.head().0,
            oldest_sequence: log.oldest().0,
            filter_id: subscription.filter.id(),
            upstream_state: subscription.told.into(),
            resumed,
            heartbeat: prost_types::Duration::try_from(order.heartbeat).ok(),
        });
        subscription.push(hello, Holding::Kept);
        match verdict {
            Verdict::Snapshot => subscription.begin_snapshot(state),
            Verdict::Reset(reason) => subscription.reset(reason, state),
            Verdict::Tail(_) if resumed => {}
            Verdict::Tail(_) => subscription.bookmark(state, wall),
        }
        Ok(subscription)
    }

    /// A frame that is ready without a look at the hub.
    pub fn ready(&mut self) -> Option<Frame> {
        let (frame, holding) = self.ready.pop_front()?;
        match holding {
            Holding::Kept => {}
            Holding::At(position) => self.sent = Some(position),
            Holding::Void => self.sent = None,
        }
        Some(frame)
    }

    /// Frames that are ready without a look at the hub, as they go over the wire: as many as fit into `most` bytes, and one
    /// at least.
    pub fn ready_piece(&mut self, most: usize) -> Option<Bytes> {
        let mut bytes = 0;
        let fits = self.ready.iter().take_while(|(frame, _)| {
            let before = bytes;
            bytes += frame.wire_len();
            before == 0 || bytes <= most
        });
        let count = fits.count();
        let wire = if count == 1 {
            self.ready()?.to_wire()
        } else {
            let mut wire = Vec::with_capacity(self.ready.iter().take(count).map(|(frame, _)| frame.wire_len()).sum());
            for _ in 0..count {
                self.ready()?.write(&mut wire);
            }
            wire.into()
        };
        if self.ready.is_empty() && self.ready.capacity() > FEW {
            self.ready = VecDeque::new();
        }
        (count > 0).then_some(wire)
    }

    /// Makes frames ready, if there is anything to say: the next part of a snapshot, new entries, or a bookmark that is
    /// due. `chance`, in 0..1, spreads the heartbeats of many streams.
    pub fn advance(&mut self, state: &State, chance: f64, wall: SystemTime, now: Instant) -> Result<(), Gap> {
        if self.ready.is_empty() {
            match &mut self.phase {
                Phase::Snapshot { at, rendering } => {
                    let at = *at;
                    if let Some(frame) = rendering.next_frame(&self.filter) {
                        self.ready.push_back((frame, Holding::Kept));
                    } else {
                        let end = rendering.end();
                        self.phase = Phase::Tail;
                        self.chained = at;
                        self.mark(end, at, state);
                    }
                }
                Phase::Tail => self.scan(state)?,
            }
        }
        let tail = matches!(self.phase, Phase::Tail);
        if tail && self.ready.is_empty() && (now >= self.next_beat || self.told != state.upstream()) {
            self.told = state.upstream();
            self.bookmark(state, wall);
        }
        if !self.ready.is_empty() {
            // Never later than promised; up to a tenth earlier, so that streams do not all beat at once.
            self.next_beat = now + self.heartbeat.mul_f64(0.9 + 0.1 * chance);
        }
        Ok(())
    }

    /// When the next bookmark is due if nothing else happens.
    pub fn next_beat(&self) -> Instant {
        self.next_beat
    }

    /// Whether there is more to look at without anything new in the log: whoever finds nothing ready looks again.
    pub fn has_more(&self) -> bool {
        self.behind || matches!(self.phase, Phase::Snapshot { .. })
    }

    /// Whether there is nothing to make frames of, beside those that are ready, until this state changes or a bookmark is due.
    pub fn is_at_the_end_of(&self, state: &State) -> bool {
        matches!(self.phase, Phase::Tail) && self.scanned == state.log.head() && self.told == state.upstream()
    }

    /// How many frames are ready.
    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// The last frame, after which the stream ends. It repeats the position that the client holds, if it holds one.
    pub fn draining(&self, state: &State, reconnect_after: Duration) -> Frame {
        let body =
            Body::Draining(v1::Draining { reconnect_after: prost_types::Duration::try_from(reconnect_after).ok() });
        match self.sent {
            Some(position) => {
                let shared = encode_shared(state.log.cursor(position), position, body);
                Frame::positioned(shared.into(), position)
            }
            None => Frame::unpositioned(body),
        }
    }

    /// The cursor that the client holds, if it has been given one on this stream.
    pub fn cursor(&self, state: &State) -> Option<String> {
        self.sent.map(|position| state.log.cursor(position))
    }

    fn scan(&mut self, state: &State) -> Result<(), Gap> {
        let Some(entries) = state.log.after(self.scanned) else {
            if self.gap_policy == GapPolicy::Fail {
                return Err(Gap { oldest: state.log.oldest(), head: state.log.head() });
            }
            self.reset(v1::reset::Reason::SlowConsumer, state);
            return Ok(());
        };
        // What the filter leaves out counts too: the writer waits as long as this takes.
        let mut bytes = 0;
        for entry in entries.take(BATCH) {
            if bytes >= BATCH_BYTES {
                break;
            }
            self.scanned = entry.sequence;
            if self.filter.entry(entry) {
                bytes += entry.framed.len();
                let frame = entry.framed.after(self.chained, entry.sequence);
                self.chained = entry.sequence;
                self.ready.push_back((frame, Holding::At(entry.sequence)));
            }
        }
        self.behind = self.scanned < state.log.head();
        if self.behind {
            // Only here: it would cost every delivery more than it tells, and who keeps up is not behind.
            let entries = state.log.head().0 - self.scanned.0;
            metrics::histogram!("parlor_stream_lag_entries").record(entries as f64);
        }
        Ok(())
    }

    fn reset(&mut self, reason: v1::reset::Reason, state: &State) {
        metrics::counter!("parlor_resets_total", "reason" => reason.as_str_name()).increment(1);
        let oldest_sequence = state.log.oldest().0;
        self.push(Body::Reset(v1::Reset { reason: reason.into(), oldest_sequence }), Holding::Void);
        self.begin_snapshot(state);
    }

    fn begin_snapshot(&mut self, state: &State) {
        let at = state.log.head();
        self.push(Body::SnapshotBegin(v1::SnapshotBegin { at_sequence: at.0 }), Holding::Void);
        (self.scanned, self.behind) = (at, false);
        let rendering = Rendering::new(state.snapshot().clone(), &self.filter);
        self.phase = Phase::Snapshot { at, rendering: Box::new(rendering) };
    }

    fn bookmark(&mut self, state: &State, wall: SystemTime) {
        if self.ready.is_empty() {
            // Nothing happens here, and of what is idle there are thousands.
            self.ready = VecDeque::with_capacity(1);
        }
        let body = Body::Bookmark(v1::Bookmark { upstream_state: self.told.into(), as_of: Some(wall.into()) });
        self.mark(body, self.scanned, state);
    }

    /// Makes a frame ready that marks a position.
    fn mark(&mut self, body: Body, position: Sequence, state: &State) {
        let shared = encode_shared(state.log.cursor(position), position, body);
        self.ready.push_back((Frame::positioned(shared.into(), self.chained), Holding::At(position)));
        self.chained = position;
    }

    /// Makes a frame ready that marks none.
    fn push(&mut self, body: Body, holding: Holding) {
        self.ready.push_back((Frame::unpositioned(body), holding));
    }
}

/// How a subscription begins, once its cursor has been looked at.
enum Verdict {
    Snapshot,
    Tail(Sequence),
    Reset(v1::reset::Reason),
}

fn judge(position: Position, standing: Standing, same_filter: bool) -> Verdict {
    match standing {
        Standing::OtherEpoch => Verdict::Reset(v1::reset::Reason::EpochChanged),
        Standing::Ahead => Verdict::Reset(v1::reset::Reason::CursorAhead),
        Standing::Compacted => Verdict::Reset(v1::reset::Reason::Compacted),
        Standing::Retained if !same_filter => Verdict::Reset(v1::reset::Reason::FilterChanged),
        Standing::Retained => Verdict::Tail(position.sequence),
    }
}
