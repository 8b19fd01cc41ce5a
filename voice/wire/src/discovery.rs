//! What is sent over UDP before and beside media: IP discovery and the native client's ping.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::id::Ssrc;

/// A discovery packet is so long, in both directions (Discord docs, Voice Connections, "IP Discovery").
pub const PACKET_LEN: usize = 74;

const REQUEST: u16 = 1;
const RESPONSE: u16 = 2;
/// What the length field says: everything but type and length.
const CONTENT_LEN: u16 = 70;
const ADDRESS: std::ops::Range<usize> = 8..72;

/// Bytes are not the answer to a discovery request.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DiscoveryError {
    /// Not [`PACKET_LEN`] bytes, or a length field that says otherwise.
    #[error("an IP discovery packet has 74 bytes")]
    Length,
    /// A type that is not asked for here.
    #[error("not the type of IP discovery packet that was expected")]
    Type,
    /// The address does not end, or is none.
    #[error("the IP discovery packet has no address")]
    Address,
}

/// "From where do you see this source?"
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Request {
    /// The source that the voice server gave to this session in Ready.
    pub ssrc: Ssrc,
}

/// "From here."
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Response {
    /// The source that was asked about.
    pub ssrc: Ssrc,
    /// Where the request came from, seen from the voice server.
    pub address: SocketAddr,
}

impl Request {
    /// The bytes of the request.
    pub fn write(self) -> [u8; PACKET_LEN] {
        header(REQUEST, self.ssrc)
    }

    /// Reads a request, as a voice server does. What stands in place of the address is not looked at.
    ///
    /// # Errors
    ///
    /// If the bytes are not a request.
    pub fn read(bytes: &[u8]) -> Result<Self, DiscoveryError> {
        let (ssrc, _) = content(bytes, REQUEST)?;
        Ok(Self { ssrc })
    }
}

impl Response {
    /// The bytes of the response.
    pub fn write(self) -> [u8; PACKET_LEN] {
        let mut bytes = header(RESPONSE, self.ssrc);
        let address = self.address.ip().to_string();
        bytes[ADDRESS][..address.len()].copy_from_slice(address.as_bytes());
        bytes[ADDRESS.end..].copy_from_slice(&self.address.port().to_be_bytes());
        bytes
    }

    /// Reads a response, as a client does.
    ///
    /// # Errors
    ///
    /// If the bytes are not a response, or hold no address.
    pub fn read(bytes: &[u8]) -> Result<Self, DiscoveryError> {
        let (ssrc, bytes) = content(bytes, RESPONSE)?;
        let text = &bytes[ADDRESS];
        let end = text.iter().position(|byte| *byte == 0).ok_or(DiscoveryError::Address)?;
        let ip: IpAddr =
            std::str::from_utf8(&text[..end]).ok().and_then(|text| text.parse().ok()).ok_or(DiscoveryError::Address)?;
        let port = u16::from_be_bytes([bytes[ADDRESS.end], bytes[ADDRESS.end + 1]]);
        Ok(Self { ssrc, address: SocketAddr::new(ip, port) })
    }
}

fn header(kind: u16, ssrc: Ssrc) -> [u8; PACKET_LEN] {
    let mut bytes = [0; PACKET_LEN];
    bytes[..2].copy_from_slice(&kind.to_be_bytes());
    bytes[2..4].copy_from_slice(&CONTENT_LEN.to_be_bytes());
    bytes[4..8].copy_from_slice(&ssrc.get().to_be_bytes());
    bytes
}

fn content(bytes: &[u8], kind: u16) -> Result<(Ssrc, &[u8; PACKET_LEN]), DiscoveryError> {
    let bytes: &[u8; PACKET_LEN] = bytes.try_into().map_err(|_| DiscoveryError::Length)?;
    let [k0, k1, l0, l1, s0, s1, s2, s3, ..] = *bytes;
    if u16::from_be_bytes([k0, k1]) != kind {
        return Err(DiscoveryError::Type);
    }
    if u16::from_be_bytes([l0, l1]) != CONTENT_LEN {
        return Err(DiscoveryError::Length);
    }
    Ok((Ssrc::new(u32::from_be_bytes([s0, s1, s2, s3])), bytes))
}

/// A ping keeps the path open and measures it: eight bytes, of which the answer repeats the last four. Not in Discord's
/// documentation; the native client sends one every five seconds (discord.js issue 9195).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ping {
    /// Rises by one with every ping.
    pub number: u32,
}

/// The length of a ping and of its answer.
pub const PING_LEN: usize = 8;
const PING: u32 = 0x1337_CAFE;
const PONG: u32 = 0x1337_F00D;

impl Ping {
    /// The bytes of the ping.
    pub fn write(self) -> [u8; PING_LEN] {
        marked(PING, self.number)
    }

    /// The bytes of the answer.
    pub fn write_answer(self) -> [u8; PING_LEN] {
        marked(PONG, self.number)
    }

    /// Reads a ping, as a voice server does.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        number(PING, bytes)
    }

    /// Reads an answer, as a client does.
    pub fn read_answer(bytes: &[u8]) -> Option<Self> {
        number(PONG, bytes)
    }
}

fn marked(mark: u32, number: u32) -> [u8; PING_LEN] {
    (u64::from(mark) << 32 | u64::from(number)).to_be_bytes()
}

fn number(mark: u32, bytes: &[u8]) -> Option<Ping> {
    let both = u64::from_be_bytes(bytes.try_into().ok()?);
    (both >> 32 == u64::from(mark)).then_some(Ping { number: both as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Laid out by hand from the table of Discord docs, Voice Connections, "IP Discovery".
    #[test]
    fn the_layout_is_the_documented_one() {
        let mut request = vec![0x00, 0x01, 0x00, 0x46, 0x07, 0x08, 0x09, 0x0A];
        request.resize(74, 0);
        let ssrc = Ssrc::new(0x0708_090A);
        assert_eq!(Request { ssrc }.write().as_slice(), request);
        assert_eq!(Request::read(&request), Ok(Request { ssrc }));

        let mut response = vec![0x00, 0x02, 0x00, 0x46, 0x07, 0x08, 0x09, 0x0A];
        response.extend(b"203.0.113.9");
        response.resize(72, 0);
        response.extend([0xC3, 0x50]);
        let told = Response { ssrc, address: "203.0.113.9:50000".parse().expect("an address") };
        assert_eq!(told.write().as_slice(), response);
        assert_eq!(Response::read(&response), Ok(told));
    }

    #[test]
    fn what_is_not_an_answer_is_refused() {
        let told = Response { ssrc: Ssrc::new(1), address: "203.0.113.9:50000".parse().expect("an address") };
        let sound = told.write();
        assert_eq!(Response::read(&sound[..70]), Err(DiscoveryError::Length));
        assert_eq!(Response::read(&Request { ssrc: Ssrc::new(1) }.write()), Err(DiscoveryError::Type));
        let changed = |at: usize, byte: u8| {
            let mut bytes = sound;
            bytes[at] = byte;
            Response::read(&bytes)
        };
        assert_eq!(changed(3, 74), Err(DiscoveryError::Length));
        assert_eq!(changed(8, b'x'), Err(DiscoveryError::Address));
        let mut endless = sound;
        endless[ADDRESS].fill(b'1');
        assert_eq!(Response::read(&endless), Err(DiscoveryError::Address));
    }

    #[test]
    fn a_ping_is_answered_with_its_number() {
        let ping = Ping { number: 7 };
        assert_eq!(ping.write(), [0x13, 0x37, 0xCA, 0xFE, 0, 0, 0, 7]);
        assert_eq!(ping.write_answer(), [0x13, 0x37, 0xF0, 0x0D, 0, 0, 0, 7]);
        assert_eq!((Ping::read(&ping.write()), Ping::read(&ping.write_answer())), (Some(ping), None));
        assert_eq!((Ping::read_answer(&ping.write_answer()), Ping::read_answer(&[0; 7])), (Some(ping), None));
    }
}
