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

/// One `SubscribeVoiceEventsResponse`, ready to be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// Everything but `prev_sequence`.
    shared: Bytes,
    /// The position that this stream's frame before ended at; `None` on frames that mark no position.
    prev: Option<Sequence>,
}

impl Frame {
    /// A frame that marks no position.
    pub fn unpositioned(body: v1::subscribe_voice_events_response::Body) -> Self {
        let message = v1::SubscribeVoiceEventsResponse { body: Some(body), ..Default::default() };
        Self { shared: message.encode_to_vec().into(), prev: None }
    }

    /// A frame whose bytes hold a position, after another one.
    pub fn positioned(shared: Bytes, prev: Sequence) -> Self {
        Self { shared, prev: Some(prev) }
    }

    /// Bytes on the wire, without gRPC's prefix.
    pub fn encoded_len(&self) -> usize {
        let prev = self.prev.filter(|prev| prev.0 != 0);
        self.shared.len() + prev.map_or(0, |prev| prost::encoding::uint64::encoded_len(PREV_SEQUENCE, &prev.0))
    }

    /// The frame as a message, for tests and tools.
    pub fn decode(&self) -> v1::SubscribeVoiceEventsResponse {
        let mut bytes = self.shared.to_vec();
        self.encode_prev(&mut bytes);
        v1::SubscribeVoiceEventsResponse::decode(bytes.as_slice()).expect("we encoded it ourselves")
    }

    /// Bytes on the wire.
    pub(super) fn wire_len(&self) -> usize {
        PREFIX + self.encoded_len()
    }

    /// The frame as it goes over the wire.
    pub fn to_wire(&self) -> Bytes {
        let mut wire = Vec::with_capacity(self.wire_len());
        self.write(&mut wire);
        wire.into()
    }

    pub(super) fn write(&self, wire: &mut Vec<u8>) {
        let length = u32::try_from(self.encoded_len()).expect("a frame is far below 4 GiB");
        wire.push(0);
        wire.extend_from_slice(&length.to_be_bytes());
        wire.extend_from_slice(&self.shared);
        self.encode_prev(wire);
    }

    fn encode_prev(&self, into: &mut impl bytes::BufMut) {
        if let Some(prev) = self.prev.filter(|prev| prev.0 != 0) {
            prost::encoding::uint64::encode(PREV_SEQUENCE, &prev.0, into);
        }
    }
}

/// Encodes what all streams share of a frame that marks a position.
pub(super) fn encode_shared(
    cursor: String,
    sequence: Sequence,
    body: v1::subscribe_voice_events_response::Body,
) -> Bytes {
    v1::SubscribeVoiceEventsResponse { cursor, sequence: sequence.0, prev_sequence: 0, body: Some(body) }
        .encode_to_vec()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_bytes_and_the_streams_own_field_read_as_one_message() {
        let body = v1::subscribe_voice_events_response::Body::Bookmark(v1::Bookmark::default());
        let shared = encode_shared("cursor".to_owned(), Sequence(300), body.clone());
        for prev in [0, 1, 299] {
            let frame = Frame::positioned(shared.clone(), Sequence(prev));
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
        }
    }
}
