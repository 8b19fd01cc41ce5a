//! The event stream, frame by frame.

use parlor_proto::v1::SubscribeVoiceEventsResponse;
use tonic::Streaming;

use crate::CallError;

/// One open subscription.
#[derive(Debug)]
pub struct Frames {
    stream: Streaming<SubscribeVoiceEventsResponse>,
}

impl Frames {
    pub(crate) fn new(stream: Streaming<SubscribeVoiceEventsResponse>) -> Self {
        Self { stream }
    }

    /// The next frame; `None` where the server ended the stream without an error.
    ///
    /// After an error, subscribe again with the last cursor: `CallError::code` says whether that makes sense.
    pub async fn next(&mut self) -> Result<Option<SubscribeVoiceEventsResponse>, CallError> {
        Ok(self.stream.message().await?)
    }
}
