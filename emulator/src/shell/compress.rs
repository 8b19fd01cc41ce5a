//! Transport compression: one context for the life of a socket, flushed after every payload.

use std::io::{self, Write};

use axum::extract::ws::Message;
use flate2::Compression;
use flate2::write::ZlibEncoder;

/// How payloads go over one socket.
pub(super) enum Compressor {
    /// As text frames.
    None,
    /// `compress=zlib-stream`: each message ends with the sync marker 00 00 FF FF.
    Zlib(ZlibEncoder<Vec<u8>>),
    /// `compress=zstd-stream`.
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    /// From the `compress` of the URL's query. `None` = a compression that does not exist.
    pub(super) fn named(name: Option<&str>) -> Option<io::Result<Self>> {
        match name {
            None | Some("") => Some(Ok(Self::None)),
            Some("zlib-stream") => Some(Ok(Self::Zlib(ZlibEncoder::new(Vec::new(), Compression::default())))),
            Some("zstd-stream") => {
                Some(zstd::stream::write::Encoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL).map(Self::Zstd))
            }
            Some(_) => None,
        }
    }

    /// One payload as a websocket message.
    pub(super) fn message(&mut self, text: &str) -> io::Result<Message> {
        match self {
            Self::None => Ok(Message::text(text)),
            Self::Zlib(encoder) => {
                encoder.write_all(text.as_bytes())?;
                encoder.flush()?;
                Ok(Message::binary(std::mem::take(encoder.get_mut())))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(text.as_bytes())?;
                encoder.flush()?;
                Ok(Message::binary(std::mem::take(encoder.get_mut())))
            }
        }
    }
}
