//! Streams that break, on virtual time.

use std::time::{Duration, Instant};

use parlor_proto::v1::{
    self, UpstreamState, reset, subscribe_voice_events_request::Start as Asked, subscribe_voice_events_response::Body,
};
use tonic::{Code, Status};

use super::{Follower, OPENING, Step, Verdict};
use crate::{Event, Lost, Position, Start, Watch};

/// A follower and its time.
struct Line {
    follower: Follower,
    now: Instant,
}

impl Line {
    fn new(watch: Watch) -> Self {
        let now = Instant::now();
        Self { follower: Follower::new(watch, now), now }
    }

    fn open(&mut self) {
        assert!(matches!(self.step(), Step::Open { .. }), "{:?}", self.step());
        self.follower.opened(self.now);
    }

    fn step(&self) -> Step {
        self.follower.step(self.now)
    }

    fn tell(&mut self, frame: &v1::SubscribeVoiceEventsResponse) -> Option<Event> {
        self.follower.frame(frame, 0.0, self.now)
    }

    fn lose(&mut self, code: Code) -> Verdict {
        self.follower.lost(Lost::Failed(Status::new(code, "gone").into()), 0.0, self.now)
    }

    /// Passes the time that the follower wants to wait, and says how long it was.
    fn wait(&mut self) -> Duration {
        let Step::Wait(until) = self.step() else { return Duration::ZERO };
        let waited = until - self.now;
        self.now = until;
        waited
    }

    fn asked_cursor(&self) -> Option<String> {
        match self.follower.request().start {
            Some(Asked::Cursor(cursor)) => Some(cursor),
            Some(Asked::StartAt(_)) | None => None,
        }
    }
}

fn plain(body: Body) -> v1::SubscribeVoiceEventsResponse {
    v1::SubscribeVoiceEventsResponse { body: Some(body), ..Default::default() }
}

fn at(prev_sequence: u64, sequence: u64, body: Body) -> v1::SubscribeVoiceEventsResponse {
    v1::SubscribeVoiceEventsResponse { cursor: format!("c{sequence}"), sequence, prev_sequence, body: Some(body) }
}

fn hello(resumed: bool) -> v1::SubscribeVoiceEventsResponse {
    let heartbeat = Duration::from_secs(5).try_into().ok();
    let mut hello = v1::Hello { filter_id: "filter".into(), resumed, heartbeat, ..Default::default() };
    hello.set_upstream_state(UpstreamState::Live);
    plain(Body::Hello(hello))
}

fn bookmark(prev: u64, sequence: u64) -> v1::SubscribeVoiceEventsResponse {
    at(prev, sequence, Body::Bookmark(v1::Bookmark::default()))
}

fn change(prev: u64, sequence: u64) -> v1::SubscribeVoiceEventsResponse {
    at(prev, sequence, Body::Event(v1::VoiceEvent::default()))
}

fn snapshot(line: &mut Line, sequence: u64) -> Event {
    let room = v1::Room { room_id: "lobby".into(), ..Default::default() };
    assert!(line.tell(&plain(Body::SnapshotBegin(v1::SnapshotBegin { at_sequence: sequence }))).is_none());
    let items = v1::SnapshotItems { rooms: vec![room], ..Default::default() };
    assert!(line.tell(&plain(Body::SnapshotItems(items))).is_none());
    line.tell(&at(sequence, sequence, Body::SnapshotEnd(v1::SnapshotEnd::default()))).expect("a snapshot")
}

#[test]
fn a_snapshot_is_told_when_it_is_whole_and_changes_follow_it() {
    let mut line = Line::new(Watch::default());
    line.open();
    assert!(matches!(
        line.tell(&hello(false)),
        Some(Event::Connected { resumed: false, upstream: UpstreamState::Live })
    ));
    assert!(line.follower.picture().is_none() && line.follower.position().is_none());
    let Event::Snapshot(told) = snapshot(&mut line, 7) else { panic!("it is whole") };
    assert_eq!(told.rooms.len(), 1);
    assert_eq!(line.follower.picture().expect("whole").rooms().count(), 1);
    assert!(matches!(line.tell(&change(7, 9)), Some(Event::Changed(_))));
    let held = Position { cursor: "c9".into(), filter_id: Some("filter".into()), sequence: Some(9) };
    assert_eq!(line.follower.position(), Some(&held));
}

#[test]
fn a_stream_that_breaks_is_continued_from_the_last_position() {
    let mut line = Line::new(Watch::default());
    line.open();
    line.tell(&hello(false));
    snapshot(&mut line, 7);
    line.tell(&change(7, 8));
    let Verdict::Again(Event::Disconnected { retry_in, .. }) = line.lose(Code::Unavailable) else {
        panic!("it passes")
    };
    assert_eq!(line.wait(), retry_in);
    assert_eq!(line.asked_cursor(), Some("c8".into()));
    assert_eq!(line.follower.request().filter_id, "filter");
    line.open();
    assert!(matches!(line.tell(&hello(true)), Some(Event::Connected { resumed: true, .. })));
    assert!(matches!(line.tell(&change(8, 9)), Some(Event::Changed(_))));
    assert!(line.follower.picture().is_some(), "the picture goes on");
}

#[test]
fn pauses_grow_until_a_stream_lasts() {
    let mut line = Line::new(Watch::default());
    let mut pauses = Vec::new();
    for _ in 0..4 {
        line.lose(Code::Unavailable);
        pauses.push(line.wait().as_millis());
    }
    // A stream that is accepted and broken at once is no better than none.
    line.open();
    line.tell(&hello(false));
    line.lose(Code::Unknown);
    pauses.push(line.wait().as_millis());
    line.open();
    line.tell(&hello(false));
    line.now += Duration::from_secs(10);
    line.lose(Code::Unavailable);
    pauses.push(line.wait().as_millis());
    assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 250]);
}

#[test]
fn what_repeating_cannot_mend_ends_it() {
    for code in [Code::Unauthenticated, Code::PermissionDenied, Code::InvalidArgument, Code::OutOfRange] {
        let mut line = Line::new(Watch::default());
        line.open();
        let Verdict::Over(error) = line.lose(code) else { panic!("{code:?} is final") };
        assert_eq!((error.code, line.step()), (code, Step::Stop));
    }
    for code in [Code::Unavailable, Code::Unknown, Code::Internal, Code::Cancelled, Code::ResourceExhausted] {
        let mut line = Line::new(Watch::default());
        line.open();
        assert!(matches!(line.lose(code), Verdict::Again(_)), "{code:?} passes");
    }
}

#[test]
fn three_heartbeats_of_silence_are_a_loss() {
    let mut line = Line::new(Watch::default());
    line.open();
    assert_eq!(line.step(), Step::Read(line.now + Duration::from_secs(45)), "the contract's default until it is told");
    line.tell(&hello(false));
    line.now += Duration::from_secs(14);
    line.tell(&bookmark(3, 3));
    let limit = line.now + Duration::from_secs(15);
    assert_eq!(line.step(), Step::Read(limit), "each frame counts");
    line.now = limit;
    let silence = line.follower.silence(line.now);
    assert_eq!(silence, Duration::from_secs(15));
    line.follower.lost(Lost::Silent(silence), 0.0, line.now);
    line.wait();
    assert_eq!(line.step(), Step::Open { by: line.now + OPENING, anew: true }, "the connection may be dead too");
}

#[test]
fn who_is_told_to_wait_waits() {
    let mut line = Line::new(Watch::default());
    line.open();
    line.tell(&hello(false));
    snapshot(&mut line, 4);
    let reconnect_after = Duration::from_secs(3).try_into().ok();
    let draining = at(4, 4, Body::Draining(v1::Draining { reconnect_after }));
    let Some(Event::Disconnected { why: Lost::Draining, retry_in }) = line.tell(&draining) else { panic!("it drains") };
    assert_eq!((retry_in, line.wait()), (Duration::from_secs(3), Duration::from_secs(3)));
    assert_eq!(line.asked_cursor(), Some("c4".into()));

    let mut error = crate::CallError::from(Status::resource_exhausted("too many streams"));
    error.retry_after = Some(Duration::from_secs(8));
    line.follower.lost(Lost::Failed(error.clone()), 0.0, line.now);
    assert_eq!(line.wait(), Duration::from_secs(8));
    error.retry_after = Some(Duration::MAX);
    line.follower.lost(Lost::Failed(error), 1.0, line.now);
    assert_eq!(line.wait(), Duration::from_secs(720), "nobody is sent away for ever");
}

#[test]
fn a_gap_is_asked_for_again_and_then_filled_with_a_snapshot() {
    let mut line = Line::new(Watch::default());
    line.open();
    line.tell(&hello(false));
    snapshot(&mut line, 4);
    let gap = line.tell(&change(6, 7));
    assert!(matches!(gap, Some(Event::Disconnected { why: Lost::Gap(_), .. })), "{gap:?}");
    assert!(line.wait() > Duration::ZERO, "not at once, or a server's mistake becomes a storm");
    assert_eq!(line.asked_cursor(), Some("c4".into()));
    line.open();
    line.tell(&hello(true));
    line.tell(&change(6, 7));
    line.wait();
    assert_eq!(line.asked_cursor(), None);
    line.open();
    line.tell(&hello(false));
    assert!(matches!(snapshot(&mut line, 9), Event::Snapshot(_)));
}

#[test]
fn a_stored_position_is_checked_from_the_first_frame_on() {
    let stored = Position { cursor: "c5".into(), filter_id: Some("filter".into()), sequence: Some(5) };
    let mut line = Line::new(Watch { start: Start::After(stored.clone()), ..Watch::default() });
    assert_eq!((line.asked_cursor(), line.follower.request().filter_id), (Some("c5".into()), "filter".into()));
    assert_eq!(line.follower.position(), Some(&stored));
    line.open();
    line.tell(&hello(true));
    assert!(matches!(line.tell(&change(6, 7)), Some(Event::Disconnected { why: Lost::Gap(_), .. })));
    assert!(line.follower.picture().is_none(), "without a snapshot nobody knows who is where");
}

/// A reset makes the stored position worthless at the moment the snapshot begins, not before and not after.
#[test]
fn a_snapshot_that_breaks_off_is_asked_for_again() {
    for start in [Start::Latest, Start::After(Position::after("old"))] {
        let mut line = Line::new(Watch { start, ..Watch::default() });
        line.open();
        line.tell(&hello(false));
        let reset =
            line.tell(&plain(Body::Reset(v1::Reset { reason: reset::Reason::Compacted.into(), ..Default::default() })));
        assert!(matches!(reset, Some(Event::Reset(reset::Reason::Compacted))));
        line.tell(&plain(Body::SnapshotBegin(v1::SnapshotBegin::default())));
        line.lose(Code::Unavailable);
        line.wait();
        assert_eq!(line.follower.request().start, Some(Asked::StartAt(v1::StartAt::Snapshot.into())));
        line.open();
        line.tell(&hello(false));
        let Event::Snapshot(told) = snapshot(&mut line, 3) else { panic!("it is whole") };
        assert_eq!(told.rooms.len(), 1, "nothing of the broken one is left");
    }
}

#[test]
fn what_is_not_understood_is_passed_over() {
    let mut line = Line::new(Watch::default());
    line.open();
    line.tell(&hello(false));
    snapshot(&mut line, 4);
    assert!(line.tell(&v1::SubscribeVoiceEventsResponse { body: None, ..change(4, 5) }).is_none());
    assert!(matches!(line.tell(&change(5, 6)), Some(Event::Changed(_))));
}
