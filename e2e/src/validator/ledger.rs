//! Everything that anybody was sent, put together: the log as it can be seen from outside.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use discord_emulator::Timestamp;
use parlor_client::v1::{
    self, UpstreamState, VoiceEventKind, subscribe_voice_events_response::Body, voice_event::Kind,
};

use super::{
    finding::{Promise, Report},
    fold::Fold,
    recording::{Detail, Frame, Recording, Sight, Step},
};

/// A place in one of the logs.
pub(super) type Place = (String, u64);

/// One entry of the log.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) frame: Arc<Frame>,
    pub(super) guild: String,
    /// When the server learned of it.
    pub(super) learned: Timestamp,
    /// `None` = every room of the guild, whichever are asked for.
    rooms: Option<[String; 2]>,
    /// `None` for a discontinuity.
    kind: Option<VoiceEventKind>,
}

impl Entry {
    fn of(frame: &Arc<Frame>, learned: Timestamp) -> Option<Self> {
        let (guild, rooms, kind) = outline(frame.body.as_ref()?)?;
        Some(Self { frame: Arc::clone(frame), guild, learned, rooms, kind })
    }

    /// Whether a stream of this sight has to be sent it.
    pub(super) fn concerns(&self, sight: &Sight) -> bool {
        let room = self.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|room| sight.room(room)));
        let kind = self.kind.is_none_or(|kind| sight.kinds.is_empty() || sight.kinds.contains(&i32::from(kind)));
        sight.guild(&self.guild) && room && kind
    }
}

/// When the server learned of what an entry tells, as it says.
fn learned_at(frame: &Frame) -> Option<Timestamp> {
    match frame.body.as_ref()? {
        Body::Event(event) => event.event_time.as_ref().map(time_of),
        Body::Discontinuity(gap) => gap.to.as_ref().map(time_of),
        Body::Hello(_)
        | Body::SnapshotBegin(_)
        | Body::SnapshotItems(_)
        | Body::SnapshotEnd(_)
        | Body::Bookmark(_)
        | Body::Reset(_)
        | Body::Draining(_) => None,
    }
}

/// A time as the contract says it.
pub(super) fn time_of(time: &prost_types::Timestamp) -> Timestamp {
    let millis = time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000);
    Timestamp::from_unix_millis(u64::try_from(millis).unwrap_or(0))
}

type Outline = (String, Option<[String; 2]>, Option<VoiceEventKind>);

/// The guild, the rooms and the kind of an entry.
pub(super) fn outline(body: &Body) -> Option<Outline> {
    let event = match body {
        Body::Event(event) => event,
        Body::Discontinuity(entry) => return Some((entry.guild_id.clone(), None, None)),
        Body::Hello(_)
        | Body::SnapshotBegin(_)
        | Body::SnapshotItems(_)
        | Body::SnapshotEnd(_)
        | Body::Bookmark(_)
        | Body::Reset(_)
        | Body::Draining(_) => return None,
    };
    let room = |room: &Option<v1::Room>| room.as_ref().map(|room| room.room_id.clone()).unwrap_or_default();
    let place = |who: &Option<v1::Participant>| who.as_ref().map(|who| who.room_id.clone()).unwrap_or_default();
    let (room, from, kind) = match event.kind.as_ref()? {
        Kind::GuildUpdated(_) => return Some((event.guild_id.clone(), None, Some(VoiceEventKind::GuildUpdated))),
        Kind::RoomCreated(it) => (room(&it.room), None, VoiceEventKind::RoomCreated),
        Kind::RoomUpdated(it) => (room(&it.room), None, VoiceEventKind::RoomUpdated),
        Kind::RoomEnded(it) => (room(&it.room), None, VoiceEventKind::RoomEnded),
        Kind::ParticipantJoined(it) => (place(&it.participant), None, VoiceEventKind::ParticipantJoined),
        Kind::ParticipantLeft(it) => (place(&it.participant), None, VoiceEventKind::ParticipantLeft),
        Kind::ParticipantUpdated(it) => (place(&it.participant), None, VoiceEventKind::ParticipantUpdated),
        Kind::ParticipantMoved(it) => {
            (place(&it.participant), Some(it.from_room_id.clone()), VoiceEventKind::ParticipantMoved)
        }
    };
    let from = from.unwrap_or_else(|| room.clone());
    Some((event.guild_id.clone(), Some([room, from]), Some(kind)))
}

/// A snapshot that somebody was sent.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) at: u64,
    pub(super) received: Timestamp,
    pub(super) sight: Sight,
    pub(super) client: String,
    pub(super) fold: Fold,
}

/// One log: everything of one epoch.
#[derive(Debug, Default)]
pub(super) struct Chapter {
    pub(super) entries: BTreeMap<u64, Entry>,
    /// By the position that they show.
    pub(super) snapshots: Vec<Snapshot>,
    /// The first position of which it was said that it is live, and when.
    pub(super) live: Option<(u64, Timestamp)>,
    /// When the server learned of the newest entry.
    pub(super) last_learned: Timestamp,
}

impl Chapter {
    fn notes(&mut self, live: bool, position: u64, at: Timestamp) {
        if live {
            let first = self.live.unwrap_or((position, at));
            self.live = Some(first.min((position, at)));
        }
    }
}

/// All logs.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// In the order in which they were first seen.
    pub(super) order: Vec<String>,
    pub(super) chapters: BTreeMap<String, Chapter>,
    pub(super) places: HashMap<String, Place>,
}

impl Ledger {
    /// Puts every recording together. What two clients were told differently is a finding.
    pub(super) fn of(recordings: &[Recording], report: &mut Report) -> Self {
        let mut ledger = Self::default();
        let mut began: BTreeMap<String, Timestamp> = BTreeMap::new();
        for recording in recordings {
            ledger.read(recording, &mut began, report);
        }
        ledger.order = ledger.chapters.keys().cloned().collect();
        ledger.order.sort_by_key(|epoch| began.get(epoch).copied());
        for chapter in ledger.chapters.values_mut() {
            chapter.snapshots.sort_by_key(|snapshot| snapshot.at);
        }
        ledger
    }

    fn read(&mut self, recording: &Recording, began: &mut BTreeMap<String, Timestamp>, report: &mut Report) {
        let mut epoch = String::new();
        let mut snapshot = Fold::default();
        for step in &recording.steps {
            let Step::Frame { at, frame } = step else { continue };
            match &frame.body {
                Some(Body::Hello(hello)) => {
                    epoch.clone_from(&hello.epoch);
                    let first = began.entry(epoch.clone()).or_insert(*at);
                    *first = (*first).min(*at);
                    let live = hello.upstream_state() == UpstreamState::Live;
                    self.chapters.entry(epoch.clone()).or_default().notes(live, hello.head_sequence, *at);
                }
                Some(Body::SnapshotBegin(_)) => snapshot = Fold::default(),
                Some(Body::SnapshotItems(items)) => snapshot.put_items(items),
                Some(Body::SnapshotEnd(_)) if recording.detail == Detail::Whole => {
                    let chapter = self.chapters.entry(epoch.clone()).or_default();
                    chapter.snapshots.push(Snapshot {
                        at: frame.sequence,
                        received: *at,
                        sight: recording.sight.clone(),
                        client: recording.name.clone(),
                        fold: std::mem::take(&mut snapshot),
                    });
                }
                Some(Body::Event(_) | Body::Discontinuity(_)) => {
                    self.entry(&epoch, frame, *at, recording, report);
                }
                Some(Body::Bookmark(mark)) => {
                    let live = mark.upstream_state() == UpstreamState::Live;
                    self.chapters.entry(epoch.clone()).or_default().notes(live, frame.sequence, *at);
                }
                Some(Body::SnapshotEnd(_) | Body::Reset(_) | Body::Draining(_)) | None => {}
            }
            if !frame.cursor.is_empty() {
                let place = (epoch.clone(), frame.sequence);
                let known = self.places.entry(frame.cursor.clone()).or_insert_with(|| place.clone());
                if *known != place {
                    let detail = format!("one cursor stands for {known:?} and for {place:?}");
                    report.find(Promise::Committed, &recording.name, detail);
                }
            }
        }
    }

    fn entry(&mut self, epoch: &str, frame: &Arc<Frame>, at: Timestamp, of: &Recording, report: &mut Report) {
        let chapter = self.chapters.entry(epoch.to_owned()).or_default();
        let learned = learned_at(frame).map_or(at, |learned| learned.min(at));
        chapter.last_learned = chapter.last_learned.max(learned);
        let Some(known) = chapter.entries.get(&frame.sequence) else {
            if let (Detail::Whole, Some(entry)) = (of.detail, Entry::of(frame, learned)) {
                chapter.entries.insert(frame.sequence, entry);
            }
            return;
        };
        let same = match of.detail {
            Detail::Whole => known.frame.body == frame.body && known.frame.cursor == frame.cursor,
            Detail::Outline => {
                let told = |frame: &Frame| frame.body.as_ref().and_then(outline);
                told(&known.frame) == told(frame) && known.frame.cursor == frame.cursor
            }
        };
        if !same {
            let detail = format!("entry {} of {epoch} is not what another client was sent", frame.sequence);
            report.find(Promise::Committed, &of.name, detail);
        }
    }

    /// Numbers of the entries after one position, up to another, that a stream of this sight has to be sent.
    pub(super) fn due(&self, epoch: &str, after: u64, upto: u64, sight: &Sight) -> Vec<u64> {
        let Some(chapter) = self.chapters.get(epoch) else { return Vec::new() };
        if after >= upto {
            return Vec::new();
        }
        let between = chapter.entries.range(after + 1..=upto);
        between.filter(|(_, entry)| entry.concerns(sight)).map(|(sequence, _)| *sequence).collect()
    }
}
