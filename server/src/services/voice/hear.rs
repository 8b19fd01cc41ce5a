//! Hearing a session.

use std::{sync::Arc, time::Duration};

use parlor_proto::v1::{self, receive_audio_response::Body};
use tokio::time::Interval;
use tonic::Status;

use super::{
    Answers,
    stream::{Guard, STATUS, every, until_an_error},
};
use crate::voice::{Heard, Hearing, LeaseHold, Session};

/// A listener's stream.
pub(super) struct Receiving {
    session: Arc<Session>,
    hearing: Hearing,
    guard: Guard,
    _hold: Option<LeaseHold>,
    status: Interval,
    stage: Stage,
}

enum Stage {
    /// Nothing was said yet.
    Beginning,
    Hearing,
    /// The last message was sent.
    Over,
}

impl Receiving {
    pub(super) fn new(session: Arc<Session>, hearing: Hearing, guard: Guard, hold: Option<LeaseHold>) -> Self {
        Self { session, hearing, guard, _hold: hold, status: every(STATUS), stage: Stage::Beginning }
    }

    pub(super) fn into_stream(self) -> Answers<v1::ReceiveAudioResponse> {
        let next = async |receiving: &mut Self| {
            let body = match receiving.next().await? {
                Ok(body) => body,
                Err(status) => return Some(Err(status)),
            };
            Some(Ok(v1::ReceiveAudioResponse { body: Some(body) }))
        };
        Box::pin(until_an_error(self, next))
    }

    async fn next(&mut self) -> Option<Result<Body, Status>> {
        match self.stage {
            Stage::Beginning => {
                self.stage = Stage::Hearing;
                return Some(Ok(Body::Status(status(&self.hearing))));
            }
            Stage::Over => return None,
            Stage::Hearing => {}
        }
        let body = tokio::select! {
            status = self.guard.over() => return Some(Err(status)),
            heard = self.hearing.next() => match heard {
                Some(heard) => Body::Frame(frame(&heard)),
                None => {
                    self.stage = Stage::Over;
                    Body::Ended(ended(&self.session))
                }
            },
            _ = self.status.tick() => Body::Status(status(&self.hearing)),
        };
        Some(self.guard.check().map(|()| body))
    }
}

/// How a listener's stream stands.
pub(super) fn status(hearing: &Hearing) -> v1::StreamStatus {
    let (frames_delivered, frames_dropped) = hearing.counts();
    v1::StreamStatus { frames_delivered, frames_dropped }
}

/// Why the session is over.
pub(super) fn ended(session: &Session) -> v1::StreamEnded {
    let Some(ended) = session.ended() else { return v1::StreamEnded::default() };
    v1::StreamEnded { ending: ended.ending.into(), close_code: ended.close_code(), detail: ended.detail }
}

/// A frame for the wire.
pub(super) fn frame(heard: &Heard) -> v1::AudioFrame {
    v1::AudioFrame {
        user_id: heard.user().to_string(),
        ssrc: heard.ssrc(),
        sequence: heard.position(),
        media_time: on_the_wire(heard.media_time()),
        receive_time: Some(heard.received().into()),
        lost_before: heard.lost_before,
        dropped_before: heard.dropped_before,
        sealed: heard.is_sealed(),
        concealed: heard.is_concealed(),
        audio: heard.audio(),
    }
}

fn on_the_wire(time: Duration) -> Option<prost_types::Duration> {
    time.try_into().ok()
}
