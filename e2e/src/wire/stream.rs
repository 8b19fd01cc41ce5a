//! One call on its way: if it is a subscription, what it is sent goes onto a tape.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use parlor_client::v1;
use prost::Message as _;

use crate::{
    Archive, Tape,
    validator::{Frame, From, Sight},
};

/// The one method whose answers are recorded.
pub(super) const SUBSCRIBE: &str = "/parlor.v1.VoiceEventService/SubscribeVoiceEvents";

/// The flags of a message (gRPC over HTTP2, "Length-Prefixed-Message"; gRPC-Web, "Protocol differences vs gRPC over HTTP2").
const COMPRESSED: u8 = 0x01;
const TRAILERS: u8 = 0x80;

/// What is taken apart into messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
}

impl Messages {
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message with its flags.
    pub(super) fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let (head, rest) = self.bytes.split_at_checked(5)?;
        let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes"));
        let message = rest.get(..usize::try_from(length).ok()?)?.to_vec();
        let flags = head[0];
        self.bytes.drain(..5 + message.len());
        Some((flags, message))
    }
}

/// A subscription. It is open once its first message comes: before that it may still be refused.
#[derive(Debug)]
pub(super) struct Stream {
    request: v1::SubscribeVoiceEventsRequest,
    granted: Option<std::collections::BTreeSet<String>>,
    name: String,
    archive: Archive,
    messages: Messages,
    tape: Option<Tape>,
}

impl Stream {
    /// A subscription as its client asks for it.
    ///
    /// # Errors
    /// The request cannot be read.
    pub(super) fn of(request: &[u8], head: &Head, archive: Archive) -> Result<Self, String> {
        let request = v1::SubscribeVoiceEventsRequest::decode(request)
            .map_err(|error| format!("a subscription that cannot be read: {error}"))?;
        let name = format!("on the wire, {}", head.agent);
        let granted = granted(&head.authorization);
        Ok(Self { request, granted, name, archive, messages: Messages::default(), tape: None })
    }

    /// The server sends this.
    pub(super) fn hears(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.messages.put(bytes);
        while let Some((flags, message)) = self.messages.take() {
            if flags & TRAILERS != 0 {
                continue;
            }
            if flags & COMPRESSED != 0 {
                return Err("a compressed frame, which the tap cannot read".to_owned());
            }
            let frame = Frame::decode(message.as_slice()).map_err(|error| format!("a frame: {error}"))?;
            self.tape().frame(Arc::new(frame));
        }
        Ok(())
    }

    fn tape(&mut self) -> &Tape {
        self.tape.get_or_insert_with(|| {
            let sight = Sight::of(&self.request, self.granted.clone());
            let tape = self.archive.tape(&self.name, sight).of_a_visitor().under(&self.request.filter_id);
            tape.opened(From::of(&self.request));
            tape
        })
    }

    /// The server has ended it.
    pub(super) fn ends(&self) {
        if let Some(tape) = &self.tape {
            tape.ended(None);
        }
    }
}

/// What matters of a request's headers.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) authorization: String,
    pub(super) agent: String,
}

/// The guilds that a bearer token covers; `None` = all. Whether it is a good token is the server's to say.
fn granted(authorization: &str) -> Option<std::collections::BTreeSet<String>> {
    let claims = authorization.split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let guilds = claims["guilds"].as_array()?.iter().filter_map(|guild| guild.as_str().map(str::to_owned));
    let guilds: std::collections::BTreeSet<String> = guilds.collect();
    (!guilds.contains("*")).then_some(guilds)
}
