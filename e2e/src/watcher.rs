//! A Rust subscriber that folds what it is sent, keeps it, and checks the stream's promises.

use std::collections::{BTreeMap, BTreeSet};

use parlor_client::{CallError, Frames, Parlor, Picture, v1};
use v1::subscribe_voice_events_response::Body;

use crate::{
    House, PATIENCE, Tape, soon,
    validator::{self, Fold, Sight, seen},
};

/// A subscriber.
pub struct Watcher {
    frames: Frames,
    picture: Picture,
    seen: Vec<v1::SubscribeVoiceEventsResponse>,
    /// What is held, folded by the judge's own hand.
    fold: Fold,
    sight: Sight,
    tape: Tape,
}

impl Watcher {
    /// Subscribes; the house judges what it is sent. `granted`: the guilds that its token covers, `None` = all.
    pub async fn subscribe(
        house: &House,
        parlor: &Parlor,
        request: v1::SubscribeVoiceEventsRequest,
        granted: Option<BTreeSet<String>>,
    ) -> Self {
        let sight = Sight::of(&request, granted);
        let tape = house.archive().tape("a Rust subscriber", sight.clone());
        let from = validator::From::of(&request);
        let frames = parlor.subscribe(request).await.expect("the subscription opens");
        tape.opened(from);
        Self { frames, picture: Picture::default(), seen: Vec::new(), fold: Fold::default(), sight, tape }
    }

    /// Subscribes again with what is held, as a client does whose stream has ended.
    pub async fn resume(&mut self, parlor: &Parlor) {
        let start = v1::subscribe_voice_events_request::Start::Cursor(self.picture.cursor().to_owned());
        let request = v1::SubscribeVoiceEventsRequest { start: Some(start), ..Default::default() };
        self.tape.ended(None);
        let from = validator::From::of(&request);
        self.frames = parlor.subscribe(request).await.expect("the subscription opens");
        self.tape.opened(from);
    }

    /// What is held.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Every frame so far.
    pub fn seen(&self) -> &[v1::SubscribeVoiceEventsResponse] {
        &self.seen
    }

    /// The next frame; an error or the end is given back.
    pub async fn next(&mut self) -> Result<Option<v1::SubscribeVoiceEventsResponse>, CallError> {
        let frame =
            soon("another frame", self.frames.next()).await.inspect_err(|error| self.tape.ended(Some(error)))?;
        if let Some(frame) = &frame {
            self.tape.frame(frame.clone());
            self.picture.fold(frame).expect("nothing is missing");
            self.fold.take(frame);
            self.seen.push(frame.clone());
        }
        Ok(frame)
    }

    /// Reads until what is held satisfies a condition.
    pub async fn until(&mut self, condition: impl Fn(&Picture) -> bool) {
        let reading = async {
            while !condition(&self.picture) {
                self.next().await.expect("the stream goes on").expect("the stream goes on");
            }
        };
        in_the_end("what was read for", reading).await;
    }

    /// Reads until a frame satisfies a condition, and returns it.
    pub async fn until_frame(&mut self, condition: impl Fn(&Body) -> bool) -> v1::SubscribeVoiceEventsResponse {
        let reading = async {
            loop {
                let frame = self.next().await.expect("the stream goes on").expect("the stream goes on");
                if frame.body.as_ref().is_some_and(&condition) {
                    return frame;
                }
            }
        };
        in_the_end("the frame that was read for", reading).await
    }

    /// Reads until what is held is what the emulated Discord's world is: everybody in each room, then every switch and every
    /// name. The judge will compare the same.
    pub async fn until_it_sees_the_truth(&mut self, house: &House) {
        self.until(|picture| who_is_where(picture) == house.truth()).await;
        if !self.sight.kinds.is_empty() {
            return;
        }
        let reading = async {
            loop {
                let world = house.world();
                let is_whole = !self.picture.is_partial();
                if is_whole && self.fold.seen_by(&self.sight).faces() == seen(&world, &self.sight) {
                    return self.tape.settled(world);
                }
                self.next().await.expect("the stream goes on").expect("the stream goes on");
            }
        };
        in_the_end("every switch and name to be the world's", reading).await;
    }

    /// Reads until the stream ends, and returns what it ended with.
    pub async fn until_the_end(&mut self) -> Result<(), CallError> {
        let reading = async {
            while self.next().await?.is_some() {}
            Ok(())
        };
        in_the_end("the stream's end", reading).await
    }
}

/// Bounds a whole reading: bookmarks keep a stream alive that never says what is waited for. Longer than the longest pause
/// between two gateway connections, a minute.
async fn in_the_end<T>(what: &str, reading: impl Future<Output = T>) -> T {
    match tokio::time::timeout(3 * PATIENCE, reading).await {
        Ok(read) => read,
        Err(_) => panic!("{what} did not come within {:?}", 3 * PATIENCE),
    }
}

/// Everybody in each room, empty rooms included.
fn who_is_where(picture: &Picture) -> BTreeMap<String, BTreeSet<String>> {
    let inside = |room: &str| picture.participants(room).map(|participant| participant.user_id.clone()).collect();
    picture.rooms().map(|room| (room.room_id.clone(), inside(&room.room_id))).collect()
}

/// Checks what the stream promises of its entries, over everything that one client saw, resumes included: they rise, none
/// comes twice, and each follows what was before it.
pub fn check_promises(frames: &[v1::SubscribeVoiceEventsResponse]) {
    let mut entries = BTreeSet::new();
    let mut position: Option<u64> = None;
    for frame in frames {
        match frame.body.as_ref().expect("a body") {
            Body::Event(_) | Body::Discontinuity(_) => {
                assert!(entries.insert(frame.sequence), "entry {} came twice", frame.sequence);
                assert!(position.is_none_or(|position| frame.sequence > position), "entries rise");
                assert!(position.is_none_or(|position| frame.prev_sequence == position), "the chain is whole");
                position = Some(frame.sequence);
            }
            Body::SnapshotEnd(_) | Body::Bookmark(_) => {
                assert!(position.is_none_or(|position| frame.sequence >= position), "positions do not fall");
                position = Some(frame.sequence);
            }
            // Another log may follow: its numbers begin anew.
            Body::Reset(_) => {
                entries.clear();
                position = None;
            }
            Body::Hello(_) | Body::SnapshotBegin(_) | Body::SnapshotItems(_) | Body::Draining(_) => {}
        }
    }
}
