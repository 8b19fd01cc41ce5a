//! The least of HTTP/2 that reads event streams (RFC 9113).

use anyhow::{Result, bail};

use super::{Subscriber, grpc::Messages};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// So large that no window update is needed while anything is measured.
const WINDOW: u32 = (1 << 31) - 1;
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A connection with event streams.
#[derive(Debug)]
pub(super) struct Reader {
    streams: Vec<Messages>,
    /// The beginning of a frame whose end has not come yet.
    rest: Vec<u8>,
}

impl Reader {
    pub(super) fn new(streams: usize) -> Self {
        Self { streams: (0..streams).map(|_| Messages::default()).collect(), rest: Vec::new() }
    }

    /// Takes bytes in; calls `message` with the stream for every message, and writes what has to be answered.
    pub(super) fn feed(&mut self, bytes: &[u8], answer: &mut Vec<u8>, message: &mut impl FnMut(usize)) -> Result<()> {
        if self.rest.is_empty() {
            let used = self.frames(bytes, answer, message)?;
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let used = self.frames(&all, answer, message)?;
            self.rest.extend_from_slice(&all[used..]);
        }
        Ok(())
    }

    /// Reads whole frames and says how many bytes they are.
    fn frames(&mut self, bytes: &[u8], answer: &mut Vec<u8>, message: &mut impl FnMut(usize)) -> Result<usize> {
        let mut at = 0;
        while let Some(head) = bytes.get(at..at + HEAD) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(payload) = bytes.get(at + HEAD..at + HEAD + length) else { break };
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) as usize;
            at += HEAD + length;
            match kind {
                DATA if flags & END_STREAM == 0 => {
                    let index = (stream - 1) / 2;
                    (0..self.streams[index].feed(payload)).for_each(|_| message(index));
                }
                SETTINGS if flags & ACK == 0 => answer.extend(frame(SETTINGS, ACK, 0, &[])),
                PING if flags & ACK == 0 => answer.extend(frame(PING, ACK, 0, payload)),
                HEADERS if flags & END_STREAM == 0 => {}
                SETTINGS | PING | WINDOW_UPDATE => {}
                DATA | HEADERS => bail!("stream {stream} ended: {}", String::from_utf8_lossy(payload)),
                RST_STREAM | GOAWAY => bail!("the server ended stream {stream} with frame {kind}: {payload:?}"),
                _ => bail!("frame {kind} was not expected"),
            }
        }
        Ok(at)
    }
}

/// Opens a connection.
pub(super) fn hello() -> Vec<u8> {
    // INITIAL_WINDOW_SIZE (section 6.5.2).
    let settings = [&[0, 4][..], &WINDOW.to_be_bytes()].concat();
    let mut hello = PREFACE.to_vec();
    hello.extend(frame(SETTINGS, 0, 0, &settings));
    hello.extend(frame(WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes()));
    hello
}

/// Opens a stream, the first with the number 0.
pub(super) fn open(number: usize, subscriber: &Subscriber<'_>) -> Vec<u8> {
    let id = u32::try_from(1 + 2 * number).expect("a few streams");
    let mut open = frame(HEADERS, END_HEADERS, id, &header_block(subscriber));
    open.extend(frame(DATA, END_STREAM, id, &subscriber.body()));
    open
}

/// The request's headers without compression (RFC 7541, sections 6.1 and 6.2.2).
fn header_block(subscriber: &Subscriber<'_>) -> Vec<u8> {
    // `:method POST` and `:scheme http`, whole in the static table.
    let mut block = vec![0x83, 0x86];
    let mut named = |index: u8, value: &str| {
        // A name of the static table: four bits, and beyond 15 the rest in a second byte.
        if index < 15 {
            block.push(index);
        } else {
            block.extend([15, index - 15]);
        }
        text(value, &mut block);
    };
    named(4, super::PATH);
    named(1, "parlor");
    named(31, "application/grpc");
    if !subscriber.token.is_empty() {
        named(23, &format!("Bearer {}", subscriber.token));
    }
    block.push(0);
    text("te", &mut block);
    text("trailers", &mut block);
    block
}

/// A string without Huffman coding (RFC 7541, sections 5.1 and 5.2).
fn text(value: &str, into: &mut Vec<u8>) {
    if value.len() < 127 {
        into.push(u8::try_from(value.len()).expect("less than 127"));
    } else {
        into.push(127);
        let mut rest = value.len() - 127;
        while rest >= 128 {
            into.push(0x80 | u8::try_from(rest % 128).expect("less than 128"));
            rest /= 128;
        }
        into.push(u8::try_from(rest).expect("less than 128"));
    }
    into.extend_from_slice(value.as_bytes());
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
