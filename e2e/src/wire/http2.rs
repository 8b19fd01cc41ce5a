//! HTTP/2 (RFC 9113), overheard. What clients ask is read by the `h2` crate, which is handed a copy of their bytes as if it
//! were their server; of the answers only DATA frames matter, and those are read here.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use h2::{
    RecvStream,
    server::{self, SendResponse},
};
use http::{Request, Response};
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream, copy, duplex, sink, split},
    sync::{Notify, mpsc},
};

use super::stream::{Head, Messages, SUBSCRIBE, Stream};
use crate::Archive;

/// Windows without end: whoever reads along holds nobody up.
const WINDOW: u32 = (1 << 31) - 1;
/// Between the connection and who reads along.
const BUFFER: usize = 64 * 1024;

// Types and flags of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 0x01;
const PADDED: u8 = 0x08;

/// One connection.
pub(super) struct Http2 {
    calls: Arc<Calls>,
    requests: mpsc::UnboundedSender<Vec<u8>>,
    answers: Vec<u8>,
}

/// The calls of a connection by their streams.
#[derive(Default)]
pub(super) struct Calls {
    known: Mutex<HashMap<u32, Call>>,
    /// Rung when a request has been read, or none is read any longer.
    bell: Notify,
    over: AtomicBool,
}

impl Calls {
    /// Waits until every request is read whose answer has begun, so that what is answered is on its tape.
    pub(super) async fn are_known(&self) {
        loop {
            let rung = self.bell.notified();
            let waits = |call: &Call| matches!(call, Call::Unread { answer, .. } if !answer.is_empty());
            if self.over.load(Ordering::Acquire) || !self.lock().values().any(waits) {
                return;
            }
            rung.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Call>> {
        self.known.lock().expect("nothing panics while it holds this lock")
    }

    /// A call turns out to be this. What has been answered already is caught up on.
    fn becomes(&self, number: u32, call: Call) -> Result<(), String> {
        let mut known = self.lock();
        let before = known.insert(number, call);
        let caught_up = match (before, known.get_mut(&number)) {
            (Some(Call::Unread { answer, over }), Some(call)) => call.answered(&answer, over),
            _ => Ok(()),
        };
        drop(known);
        self.bell.notify_waiters();
        caught_up
    }

    /// No request is read any longer.
    fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.bell.notify_waiters();
    }
}

/// What is known of a call.
enum Call {
    /// An answer comes, and the request has not been read yet.
    Unread { answer: Vec<u8>, over: bool },
    /// A subscription.
    Stream(Box<Stream>),
    /// Something else.
    Other,
}

impl Http2 {
    pub(super) fn new(archive: Archive) -> Self {
        let calls = Arc::<Calls>::default();
        let (requests, mut coming) = mpsc::unbounded_channel::<Vec<u8>>();
        let (near, far) = duplex(BUFFER);
        let (mut unheard, mut asked) = split(near);
        tokio::spawn(async move {
            while let Some(bytes) = coming.recv().await {
                if asked.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // Nobody reads any longer.
            let _ = asked.shutdown().await;
        });
        tokio::spawn(async move { copy(&mut unheard, &mut sink()).await });
        let of = Arc::clone(&calls);
        tokio::spawn(async move {
            read_along(far, &of, &archive).await;
            of.end();
        });
        Self { calls, requests, answers: Vec::new() }
    }

    /// Its calls.
    pub(super) fn calls(&self) -> Arc<Calls> {
        Arc::clone(&self.calls)
    }

    /// The client sends this.
    pub(super) fn asked(&self, bytes: &[u8]) {
        // What cannot be read any longer has been said by who read it.
        let _ = self.requests.send(bytes.to_vec());
    }

    /// The server sends this.
    pub(super) fn answered(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.answers.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((head, rest)) = self.answers[at..].split_at_checked(9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(payload) = rest.get(..length) else { break };
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let content = match (kind, flags & PADDED) {
                (DATA, 0) => payload,
                (DATA, _) => unpadded(payload).ok_or("a DATA frame with more padding than it has bytes")?,
                _ => &[],
            };
            let ends = (matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0) || kind == RST_STREAM;
            if matches!(kind, DATA | HEADERS | RST_STREAM) {
                let mut calls = self.calls.lock();
                let call = calls.entry(stream).or_insert_with(|| Call::Unread { answer: Vec::new(), over: false });
                call.answered(content, ends)?;
            }
            at += 9 + length;
        }
        self.answers.drain(..at);
        Ok(())
    }
}

/// What a padded DATA frame holds (RFC 9113, section 6.1).
fn unpadded(payload: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

impl Call {
    fn answered(&mut self, content: &[u8], ends: bool) -> Result<(), String> {
        match self {
            Self::Unread { answer, over } => {
                answer.extend_from_slice(content);
                *over |= ends;
            }
            Self::Stream(stream) => {
                stream.hears(content)?;
                if ends {
                    stream.ends();
                    *self = Self::Other;
                }
            }
            Self::Other => {}
        }
        Ok(())
    }
}

/// Reads a client's requests, to the connection's end.
async fn read_along(io: DuplexStream, calls: &Arc<Calls>, archive: &Archive) {
    let mut builder = server::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let mut connection = match builder.handshake::<_, Bytes>(io).await {
        Ok(connection) => connection,
        Err(error) => return trouble(&error, archive),
    };
    while let Some(call) = connection.accept().await {
        match call {
            Ok((request, answer)) => {
                let (calls, archive) = (Arc::clone(calls), archive.clone());
                tokio::spawn(async move {
                    if let Err(wrong) = read_request(request, answer, &calls, &archive).await {
                        archive.trouble(wrong);
                        calls.end();
                    }
                });
            }
            Err(error) => return trouble(&error, archive),
        }
    }
}

/// A connection that breaks off is none; one that cannot be understood is.
fn trouble(error: &h2::Error, archive: &Archive) {
    let ended_by_client = error.is_go_away() && error.is_remote();
    if !error.is_io() && !ended_by_client {
        archive.trouble(format!("a client's HTTP/2: {error}"));
    }
}

/// Reads one request as far as it matters, and the rest of it so that the connection goes on.
async fn read_request(
    request: Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
    calls: &Calls,
    archive: &Archive,
) -> Result<(), String> {
    let (head, mut body) = request.into_parts();
    let number = u32::from(body.stream_id());
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let subscribes = head.uri.path() == SUBSCRIBE;
    if !subscribes {
        calls.becomes(number, Call::Other)?;
    }
    let mut messages = Messages::default();
    let mut read = !subscribes;
    // A client may give its call up at any time.
    while let Some(Ok(bytes)) = body.data().await {
        let _ = body.flow_control().release_capacity(bytes.len());
        if read {
            continue;
        }
        messages.put(&bytes);
        if let Some((_, message)) = messages.take() {
            let head = Head { authorization: text("authorization"), agent: text("user-agent") };
            let stream = Stream::of(&message, &head, archive.clone())?;
            calls.becomes(number, Call::Stream(Box::new(stream)))?;
            read = true;
        }
    }
    if !read {
        calls.becomes(number, Call::Other)?;
    }
    let _ = answer.send_response(Response::new(()), true);
    Ok(())
}
