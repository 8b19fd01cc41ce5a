//! What carries requests to Discord and answers back: HTTPS in a server, a function where there are no sockets.

use std::{future::Future, pin::Pin, time::Duration};

use http::{HeaderMap, Request, StatusCode};
use thiserror::Error;

/// Discord's answers are small; a guild's channel list is the largest.
const MAX_ANSWER: usize = 4 << 20;

/// An answer, or why there is none, once it is known.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Answer, Broken>> + Send + 'a>>;

/// Carries one request at a time, as often as it is asked to, and decides nothing.
pub trait Transport: Send + Sync + 'static {
    /// Sends the request, whose URL is absolute, and waits for the whole answer, `within` so long at most. If it is
    /// dropped meanwhile, the request may have been sent or not.
    fn exchange(&self, request: Request<Vec<u8>>, within: Duration) -> Exchange<'_>;
}

/// What Discord answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; `None` where it is larger than any of Discord's.
    pub body: Option<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Broken {
    /// No connection could be made, so nothing was sent.
    #[error("no connection could be made")]
    NotSent,
    /// The connection broke, or time ran out: Discord may have got the request or not.
    #[error("no answer came")]
    NoAnswer,
}

/// HTTP, over connections that are kept.
pub(super) struct Wire(pub(super) reqwest::Client);

impl Transport for Wire {
    fn exchange(&self, request: Request<Vec<u8>>, within: Duration) -> Exchange<'_> {
        let request = reqwest::Request::try_from(request).map_err(|_| Broken::NotSent);
        Box::pin(async move {
            let mut request = request?;
            *request.timeout_mut() = Some(within);
            let answer = self.0.execute(request).await;
            let answer = answer.map_err(|why| if why.is_connect() { Broken::NotSent } else { Broken::NoAnswer })?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok(Answer { status, headers, body: read_limited(answer).await? })
        })
    }
}

/// The body, unless it is too large.
async fn read_limited(mut answer: reqwest::Response) -> Result<Option<Vec<u8>>, Broken> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| Broken::NoAnswer)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
