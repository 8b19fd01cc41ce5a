//! HTTP/1.1 (RFC 9112), overheard: what browsers speak with a server without TLS. Requests and answers follow each other on
//! a connection, each with a length or in chunks.

use std::collections::VecDeque;

use super::stream::{Head, Messages, SUBSCRIBE, Stream};
use crate::Archive;

/// One connection.
pub(super) struct Http1 {
    archive: Archive,
    requests: Side,
    answers: Side,
    /// What was asked and is not answered to its end.
    asked: VecDeque<Asked>,
    /// The request that is being read.
    head: Option<(Head, Messages)>,
    /// The answer that is being read is to the first of those that were asked.
    answering: bool,
}

/// One request, as far as its answer depends on it.
enum Asked {
    Stream(Box<Stream>),
    Other { has_body: bool },
}

/// One direction.
#[derive(Default)]
struct Side {
    bytes: Vec<u8>,
    part: Part,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Part {
    #[default]
    Head,
    /// So many bytes of a body.
    Body(usize),
    /// The size of a chunk.
    ChunkSize,
    /// So much of a chunk, with the end of its line.
    Chunk(usize),
    /// The lines after the last chunk.
    Trailers,
    /// A body that goes on to the connection's end.
    Rest,
}

/// What was read.
enum Piece {
    Head(Vec<String>),
    Content(Vec<u8>),
    /// The message is over.
    End,
}

impl Side {
    /// The next piece, once it is whole.
    fn take(&mut self) -> Result<Option<Piece>, String> {
        loop {
            match self.part {
                Part::Head => {
                    let Some(end) = find(&self.bytes, b"\r\n\r\n") else { return Ok(None) };
                    let head = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
                    self.bytes.drain(..end + 4);
                    return Ok(Some(Piece::Head(head.split("\r\n").map(str::to_owned).collect())));
                }
                Part::Body(0) => {
                    self.part = Part::Head;
                    return Ok(Some(Piece::End));
                }
                Part::Body(left) => {
                    let content = self.some(left);
                    self.part = Part::Body(left - content.len());
                    return Ok(Some(Piece::Content(content)).filter(has_content));
                }
                Part::ChunkSize => {
                    let Some(end) = find(&self.bytes, b"\r\n") else { return Ok(None) };
                    let line = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
                    self.bytes.drain(..end + 2);
                    let size = line.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(size, 16).map_err(|_| format!("a chunk of size `{line}`"))?;
                    self.part = if size == 0 { Part::Trailers } else { Part::Chunk(size) };
                }
                Part::Chunk(0) => {
                    if self.bytes.len() < 2 {
                        return Ok(None);
                    }
                    self.bytes.drain(..2);
                    self.part = Part::ChunkSize;
                }
                Part::Chunk(left) => {
                    let content = self.some(left);
                    self.part = Part::Chunk(left - content.len());
                    return Ok(Some(Piece::Content(content)).filter(has_content));
                }
                Part::Trailers => {
                    let Some(end) = find(&self.bytes, b"\r\n") else { return Ok(None) };
                    self.bytes.drain(..end + 2);
                    if end == 0 {
                        self.part = Part::Head;
                        return Ok(Some(Piece::End));
                    }
                }
                Part::Rest => {
                    let content = self.some(usize::MAX);
                    return Ok(Some(Piece::Content(content)).filter(has_content));
                }
            }
        }
    }

    /// At most so many of the bytes that are here.
    fn some(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.bytes.len());
        self.bytes.drain(..count).collect()
    }
}

fn has_content(piece: &Piece) -> bool {
    !matches!(piece, Piece::Content(content) if content.is_empty())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// A header's value.
fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    head.iter().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// How a body is delimited (RFC 9112, section 6.3); `otherwise` where the head does not say.
fn body_of(head: &[String], otherwise: Part) -> Result<Part, String> {
    if header(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Ok(Part::ChunkSize);
    }
    let Some(length) = header(head, "content-length") else { return Ok(otherwise) };
    length.parse().map(Part::Body).map_err(|_| format!("content-length: {length}"))
}

impl Http1 {
    pub(super) fn new(archive: Archive) -> Self {
        let (requests, answers) = (Side::default(), Side::default());
        Self { archive, requests, answers, asked: VecDeque::new(), head: None, answering: false }
    }

    /// The client sends this.
    pub(super) fn asked(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.requests.bytes.extend_from_slice(bytes);
        while let Some(piece) = self.requests.take()? {
            match piece {
                Piece::Head(head) => {
                    let mut words = head[0].split(' ');
                    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                    self.requests.part = body_of(&head, Part::Body(0))?;
                    if method == "POST" && path == SUBSCRIBE {
                        let text = |name| header(&head, name).unwrap_or_default().to_owned();
                        if text("content-type").starts_with("application/grpc-web-text") {
                            return Err("a subscription in grpc-web-text, which the tap cannot read".to_owned());
                        }
                        let head = Head { authorization: text("authorization"), agent: text("user-agent") };
                        self.head = Some((head, Messages::default()));
                    } else {
                        self.asked.push_back(Asked::Other { has_body: method != "HEAD" });
                    }
                }
                Piece::Content(content) => {
                    if let Some((_, messages)) = &mut self.head {
                        messages.put(&content);
                    }
                }
                Piece::End => {
                    if let Some((head, mut messages)) = self.head.take() {
                        let (_, message) = messages.take().ok_or("a subscription without a request")?;
                        let stream = Stream::of(&message, &head, self.archive.clone())?;
                        self.asked.push_back(Asked::Stream(Box::new(stream)));
                    }
                }
            }
        }
        Ok(())
    }

    /// The server sends this.
    pub(super) fn answered(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.answers.bytes.extend_from_slice(bytes);
        while let Some(piece) = self.answers.take()? {
            match piece {
                Piece::Head(head) => {
                    let status = head[0].split(' ').nth(1).unwrap_or_default();
                    if status == "100" || status == "103" {
                        continue;
                    }
                    let has_body = match self.asked.front() {
                        Some(Asked::Other { has_body }) => *has_body && !matches!(status, "204" | "304"),
                        Some(Asked::Stream(_)) => true,
                        // What has not been asked to its end can be refused already.
                        None => true,
                    };
                    self.answering = true;
                    self.answers.part = if has_body { body_of(&head, Part::Rest)? } else { Part::Body(0) };
                }
                Piece::Content(content) => {
                    if let Some(Asked::Stream(stream)) = self.asked.front_mut() {
                        stream.hears(&content)?;
                    }
                }
                Piece::End => {
                    if let (true, Some(Asked::Stream(stream))) = (self.answering, self.asked.pop_front()) {
                        stream.ends();
                    }
                    self.answering = false;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parlor_client::v1::{self, subscribe_voice_events_response::Body};
    use prost::Message as _;

    use super::*;
    use crate::validator::Step;

    fn message(flags: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("a short one");
        [&[flags][..], &length.to_be_bytes(), content].concat()
    }

    /// A page, then a subscription over the same connection, whose answer comes in chunks; all of it byte by byte.
    #[test]
    fn a_subscription_in_pieces_is_recorded() {
        let archive = Archive::default();
        let mut http1 = Http1::new(archive.clone());
        let mut say = |asked: &[u8], answered: &[u8]| {
            asked.iter().for_each(|byte| http1.asked(&[*byte]).expect("it is understood"));
            answered.iter().for_each(|byte| http1.answered(&[*byte]).expect("it is understood"));
        };
        say(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\r\n\r\n");
        let request = v1::SubscribeVoiceEventsRequest { guild_ids: vec!["7".to_owned()], ..Default::default() };
        let body = message(0, &request.encode_to_vec());
        let head = format!("POST {SUBSCRIBE} HTTP/1.1\r\nuser-agent: b\r\nContent-Length: {}\r\n\r\n", body.len());
        let hello =
            v1::SubscribeVoiceEventsResponse { body: Some(Body::Hello(v1::Hello::default())), ..Default::default() };
        let hello = message(0, &hello.encode_to_vec());
        let trailers = message(0x80, b"grpc-status:0\r\n");
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        // One message in two chunks, the next one with its end.
        for chunk in [&hello[..3], &[&hello[3..], &hello, &trailers].concat()] {
            answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
            answer.extend(chunk.iter().chain(b"\r\n"));
        }
        answer.extend(b"0\r\n\r\n");
        say(&[head.as_bytes(), &body].concat(), &answer);
        let recordings = archive.recordings();
        let [recording] = recordings.as_slice() else { panic!("{recordings:?}") };
        assert_eq!((recording.name.as_str(), &recording.sight.guilds), ("on the wire, b", &["7".to_owned()].into()));
        let kinds: Vec<&str> = recording
            .steps
            .iter()
            .map(|step| match step {
                Step::Opened { .. } => "opened",
                Step::Frame { .. } => "frame",
                Step::Ended { .. } => "ended",
                Step::Refused { .. } | Step::Settled { .. } => "something else",
            })
            .collect();
        assert_eq!(kinds, ["opened", "frame", "frame", "ended"]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let mut http1 = Http1::new(Archive::default());
        let head = format!("POST {SUBSCRIBE} HTTP/1.1\r\ncontent-type: application/grpc-web-text\r\n\r\n");
        assert!(http1.asked(head.as_bytes()).is_err());
        let mut http1 = Http1::new(Archive::default());
        assert!(http1.answered(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnone\r\n").is_err());
    }
}
