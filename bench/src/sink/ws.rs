//! The least of the WebSocket protocol that reads a server's messages (RFC 6455).

use anyhow::{Result, bail, ensure};

/// A connection.
#[derive(Debug)]
pub(super) enum Reader {
    /// The answer's head, as far as it is there.
    Head(Vec<u8>),
    /// A frame's head, as far as it is there.
    Frame(Vec<u8>),
    /// Bytes of a frame that are to come.
    Payload(usize),
}

impl Reader {
    pub(super) fn new() -> Self {
        Self::Head(Vec::new())
    }

    /// Takes bytes in and calls `message` for every message.
    pub(super) fn feed(&mut self, mut bytes: &[u8], message: &mut impl FnMut(usize)) -> Result<()> {
        while let Some((first, others)) = bytes.split_first() {
            match self {
                Self::Head(head) => {
                    head.push(*first);
                    bytes = others;
                    if head.ends_with(b"\r\n\r\n") {
                        ensure!(head.starts_with(b"HTTP/1.1 101"), "refused: {}", String::from_utf8_lossy(head));
                        *self = Self::Frame(Vec::new());
                    }
                }
                Self::Frame(head) => {
                    head.push(*first);
                    bytes = others;
                    ensure!(head[0] == 0x81, "frame {:#x} was not expected", head[0]);
                    *self = match head[1..] {
                        [short] if short < 126 => Self::Payload(usize::from(short)),
                        [126, high, low] => Self::Payload(usize::from(u16::from_be_bytes([high, low]))),
                        [127, ..] => bail!("a message of more than 64 KiB"),
                        _ => continue,
                    };
                }
                Self::Payload(left) => {
                    let taken = bytes.len().min(*left);
                    bytes = &bytes[taken..];
                    *left -= taken;
                    if *left == 0 {
                        message(0);
                        *self = Self::Frame(Vec::new());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Opens a connection.
pub(super) fn hello() -> Vec<u8> {
    b"GET / HTTP/1.1\r\nhost: hub\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
      sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec()
}
