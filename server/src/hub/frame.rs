//! Frames of the event stream as bytes: encoded once, shared by every stream.
//!
//! A protobuf message's fields may stand in any order (protobuf encoding guide, "Field Order"), and fields of two
//! encodings that are put one after the other read as one message. So a log entry is encoded once with its cursor and
//! sequence, and a stream only appends `prev_sequence`, which is its own.

use bytes::Bytes;
use parlor_proto::v1;
use prost::Message as _;

use super::position::Sequence;

/// The number of `SubscribeVoiceEventsResponse.prev_sequence`.
const PREV_SEQUENCE: u32 = 3;

/// Bytes before each message: it is not compressed, and so long (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// What a log entry says, as it goes over the wire to whoever was sent the entry before it. Most streams were, and they are
/// sent the same bytes without a copy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Framed {
    wire: Bytes,
    /// Where `prev_sequence` begins in it.
    prev_at: usize,
}

impl Framed {
    /// Frames what is shared of an entry's message: everything but `prev_sequence`.
    pub fn new(shared: &[u8], sequence: Sequence) -> Self {
        let prev = Prev(sequence.before());
        let mut wire = Vec::with_capacity(PREFIX + shared.len() + prev.encoded_len());
        prefix(shared.len() + prev.encoded_len(), &mut wire);
        wire.extend_from_slice(shared);
        let prev_at = wire.len();
        prev.encode(&mut wire);
        Self { wire: wire.into(), prev_at }
    }

    /// Everything but `prev_sequence`.
    pub fn shared(&self) -> Bytes {
        self.wire.slice(PREFIX..self.prev_at)
    }

    /// Bytes that it takes, on the wire and in memory.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.wire.len()
    }

    /// The frame for a stream that was last sent this position; `sequence` is the entry's own.
    pub(super) fn after(&self, prev: Sequence, sequence: Sequence) -> Frame {
        if prev == sequence.before() {
            Frame { bytes: self.wire.clone(), missing: Missing::Nothing }
        } else {
            Frame::positioned(self.shared(), prev)
        }
    }
}

/// One `SubscribeVoiceEventsResponse`, ready to be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    bytes: Bytes,
    missing: Missing,
}

/// What a frame's bytes lack.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Missing {
    Nothing,
    /// gRPC's prefix, and the position that this stream's frame before ended at: 0 on frames that mark no position.
    PrefixAnd(Prev),
}

impl Frame {
    /// A frame that marks no position.
    pub fn unpositioned(body: v1::subscribe_voice_events_response::Body) -> Self {
        let message = v1::SubscribeVoiceEventsResponse { body: Some(body), ..Default::default() };
        Self::positioned(message.encode_to_vec().into(), Sequence(0))
    }

    /// A frame whose bytes hold a position, after another one.
    pub fn positioned(shared: Bytes, prev: Sequence) -> Self {
        Self { bytes: shared, missing: Missing::PrefixAnd(Prev(prev)) }
    }

    /// Bytes on the wire, without gRPC's prefix.
    pub fn encoded_len(&self) -> usize {
        self.wire_len() - PREFIX
    }

    /// The frame as a message, for tests and tools.
    pub fn decode(&self) -> v1::SubscribeVoiceEventsResponse {
        v1::SubscribeVoiceEventsResponse::decode(&self.to_wire()[PREFIX..]).expect("we encoded it ourselves")
    }

    /// Bytes on the wire.
    pub(super) fn wire_len(&self) -> usize {
        match &self.missing {
            Missing::Nothing => self.bytes.len(),
            Missing::PrefixAnd(prev) => PREFIX + self.bytes.len() + prev.encoded_len(),
        }
    }

    /// The frame as it goes over the wire.
    pub fn to_wire(&self) -> Bytes {
        if self.missing == Missing::Nothing {
            return self.bytes.clone();
        }
        let mut wire = Vec::with_capacity(self.wire_len());
        self.write(&mut wire);
        wire.into()
    }

    pub(super) fn write(&self, wire: &mut Vec<u8>) {
        match &self.missing {
            Missing::Nothing => wire.extend_from_slice(&self.bytes),
            Missing::PrefixAnd(prev) => {
                prefix(self.encoded_len(), wire);
                wire.extend_from_slice(&self.bytes);
                prev.encode(wire);
            }
        }
    }
}

/// A stream's `prev_sequence`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Prev(Sequence);

impl Prev {
    // 0 is what a message says that does not say it.
    fn encoded_len(self) -> usize {
        if self.0.0 == 0 { 0 } else { prost::encoding::uint64::encoded_len(PREV_SEQUENCE, &self.0.0) }
    }

    fn encode(self, into: &mut Vec<u8>) {
        if self.0.0 != 0 {
            prost::encoding::uint64::encode(PREV_SEQUENCE, &self.0.0, into);
        }
    }
}

/// What stands before a message of so many bytes.
fn prefix(message: usize, into: &mut Vec<u8>) {
    let length = u32::try_from(message).expect("a frame is far below 4 GiB");
    into.push(0);
    into.extend_from_slice(&length.to_be_bytes());
}

/// Encodes what all streams share of a frame that marks a position.
pub(super) fn encode_shared(
    cursor: String,
    sequence: Sequence,
    body: v1::subscribe_voice_events_response::Body,
) -> Vec<u8> {
    v1::SubscribeVoiceEventsResponse { cursor, sequence: sequence.0, prev_sequence: 0, body: Some(body) }
        .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_bytes_and_the_streams_own_field_read_as_one_message() {
        let body = v1::subscribe_voice_events_response::Body::Bookmark(v1::Bookmark::default());
        let framed = Framed::new(&encode_shared("cursor".to_owned(), Sequence(300), body.clone()), Sequence(300));
        for prev in [0, 1, 298, 299] {
            let frame = framed.after(Sequence(prev), Sequence(300));
            let expected = v1::SubscribeVoiceEventsResponse {
                cursor: "cursor".to_owned(),
                sequence: 300,
                prev_sequence: prev,
                body: Some(body.clone()),
            };
            assert_eq!(frame.decode(), expected);
            let wire = frame.to_wire();
            assert_eq!(wire.len(), frame.wire_len());
            assert_eq!(wire[..PREFIX], [&[0][..], &u32::to_be_bytes(expected.encoded_len() as u32)].concat());
            assert_eq!(v1::SubscribeVoiceEventsResponse::decode(&wire[PREFIX..]), Ok(expected));
            assert_eq!(
                wire.as_ptr() == framed.wire.as_ptr(),
                prev == 299,
                "who was sent the one before gets the log's bytes"
            );
        }
    }
}
