//! An event stream as a browser without HTTP/2 reads it: gRPC-Web in HTTP/1.1 chunks (RFC 9112, section 7.1).

use anyhow::{Result, bail, ensure};

use super::{Subscriber, grpc::Messages};

/// A connection with one event stream.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    messages: Messages,
}

#[derive(Debug)]
enum State {
    /// The answer's head, as far as it is there.
    Head(Vec<u8>),
    /// The size of the next chunk, so far.
    Size(usize),
    /// Bytes of the chunk that are to come, and then the line's end.
    Chunk(usize),
    /// Bytes of the line's end that are to come.
    End(usize),
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { state: State::Head(Vec::new()), messages: Messages::default() }
    }

    /// Takes bytes in and calls `message` for every message.
    pub(super) fn feed(&mut self, mut bytes: &[u8], message: &mut impl FnMut(usize)) -> Result<()> {
        while let Some((first, others)) = bytes.split_first() {
            match &mut self.state {
                State::Head(head) => {
                    head.push(*first);
                    bytes = others;
                    if head.ends_with(b"\r\n\r\n") {
                        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
                        ensure!(head.starts_with("http/1.1 200") && !head.contains("grpc-status"), "refused: {head}");
                        self.state = State::Size(0);
                    }
                }
                State::Size(size) => {
                    bytes = others;
                    match char::from(*first).to_digit(16) {
                        Some(digit) => *size = *size * 16 + digit as usize,
                        None if *first == b'\r' => {}
                        None if *first == b'\n' && *size == 0 => bail!("the stream ended"),
                        None if *first == b'\n' => self.state = State::Chunk(*size),
                        None => bail!("a chunk's size holds {first}"),
                    }
                }
                State::Chunk(left) => {
                    let taken = bytes.len().min(*left);
                    let (piece, others) = bytes.split_at(taken);
                    bytes = others;
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::End(2);
                    }
                    (0..self.messages.feed(piece)).for_each(|_| message(0));
                }
                State::End(left) => {
                    bytes = others;
                    *left -= 1;
                    if *left == 0 {
                        self.state = State::Size(0);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Opens a connection and its stream.
pub(super) fn hello(subscriber: &Subscriber<'_>) -> Vec<u8> {
    let body = subscriber.body();
    let mut hello = format!(
        "POST {} HTTP/1.1\r\nhost: parlor\r\ncontent-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n\
         authorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        super::PATH,
        subscriber.token,
        body.len(),
    )
    .into_bytes();
    hello.extend(body);
    hello
}
