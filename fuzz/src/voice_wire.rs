//! What comes from a voice server, or from a client to an emulated one.

use parlor_voice_wire::{
    discovery::{Ping, Request, Response},
    frame::Trailer,
    gateway::{ClientMessage, DaveClientMessage, DaveServerMessage, Sequence, ServerMessage, Version},
    opus,
    rtcp::Packet,
    rtp::{ExtensionPreamble, Header, one_byte_elements},
    transport::{Content, Extension, Mode, Opener, Sealer, TransportKey},
};

use crate::{input, keys};

/// A datagram of media: the first byte chooses the mode, the rest is sealed with [`keys::TRANSPORT`].
///
/// A header is written as it was read. What opens is exactly what sealing its content gives. Nothing is longer than what
/// it was cut from, and elements stay inside their extension.
pub fn voice_rtp(data: &[u8]) {
    let [chosen, datagram @ ..] = data else { return };
    if let Ok(header) = Header::read(datagram) {
        let mut written = Vec::new();
        header.write(&mut written);
        assert_eq!(written, datagram[..header.clear_len()]);
        let rest = &datagram[header.clear_len()..];
        let extension = header.extended.then(|| ExtensionPreamble::read(rest)).transpose();
        if let Ok(extension) = extension
            && let Ok(body) = header.split(extension, rest)
        {
            assert!(body.elements.len() + body.payload.len() <= rest.len());
            let elements: usize = one_byte_elements(body.elements).map(|element| 1 + element.value.len()).sum();
            assert!(elements <= body.elements.len());
            let _ = opus::samples(body.payload).map(|samples| assert!((120..=5_760).contains(&samples)));
        }
    }
    let mode = Mode::ALL[usize::from(*chosen) % Mode::ALL.len()];
    let key = TransportKey::new(keys::TRANSPORT);
    let mut opened = datagram.to_vec();
    // How this sealer counts is how it is sealed again; a nonce of 24 bytes it would not make.
    let sealed_alike = !matches!(mode, Mode::XSalsa20Poly1305Suffix);
    if let Ok((header, body)) = Opener::new(mode, &key).open_rtp(&mut opened)
        && sealed_alike
        && !header.padded
    {
        let nonce = datagram.last_chunk().map_or(0, |nonce| u32::from_be_bytes(*nonce));
        let profile = datagram.get(header.clear_len()..).and_then(|rest| ExtensionPreamble::read(rest).ok());
        let profile = profile.map_or(0, |preamble| preamble.profile);
        let extension = header.extended.then_some(Extension { profile, elements: body.elements });
        // Where the preamble is sealed too, its profile cannot be seen here.
        if extension.is_none() || !mode.is_retired() {
            let mut sealed = Vec::new();
            let content = Content { extension, payload: body.payload, padding: 0 };
            Sealer::new(mode, &key, nonce).seal_rtp(&header, content, &mut sealed).expect("has nonces");
            assert_eq!(sealed, datagram);
        }
    }
}

/// Opened RTCP. What is read is read the same after it was written, but for kinds that are not read at all.
pub fn voice_rtcp(data: &[u8]) {
    let Ok(packets) = Packet::read_all(data) else { return };
    let known: Vec<_> = packets.into_iter().filter(|packet| !matches!(packet, Packet::Other(_))).collect();
    let mut written = Vec::new();
    known.iter().for_each(|packet| packet.write(&mut written));
    assert!(written.len() <= data.len());
    assert_eq!(Packet::read_all(&written), Ok(known));
}

/// A text frame of the voice gateway, taken as the server's and as a client's. What is read is read the same after it was
/// written, in both versions but for what only one of them has; and an error repeats nothing of the text.
pub fn voice_gateway_payload(data: &[u8]) {
    let text = &input::text(data);
    match ServerMessage::read(text) {
        Ok(read) => {
            let again = ServerMessage::read(&read.message.write(read.sequence, Version::V8)).expect("its own text");
            assert_eq!(again, read);
            let older = ServerMessage::read(&read.message.write(read.sequence, Version::V4)).expect("its own text");
            assert_eq!((older.message, older.sequence), (read.message, None));
        }
        Err(error) => assert!(error.to_string().len() < 64),
    }
    match ClientMessage::read(text) {
        Ok(message) => assert_eq!(ClientMessage::read(&message.write(Version::V8)), Ok(message)),
        Err(error) => assert!(error.to_string().len() < 64),
    }
}

/// A binary frame of the voice gateway, taken in each version and direction. What is read is written as it was.
pub fn voice_dave_opcode(data: &[u8]) {
    for version in [Version::V4, Version::V8] {
        if let Ok(read) = DaveServerMessage::read(data, version) {
            assert_eq!(read.sequence.is_some(), version == Version::V8);
            let sequence = read.sequence.unwrap_or(Sequence::new(0));
            assert_eq!(read.message.write(sequence, version), data);
        }
    }
    if let Ok(message) = DaveClientMessage::read(data) {
        assert_eq!(message.write(), data);
    }
}

/// A datagram that is not media. It is at most one of request, response, ping and answer; each is read the same after
/// it was written.
pub fn voice_discovery(data: &[u8]) {
    let (request, response) = (Request::read(data), Response::read(data));
    let (ping, answer) = (Ping::read(data), Ping::read_answer(data));
    let kinds = [request.is_ok(), response.is_ok(), ping.is_some(), answer.is_some()];
    assert!(kinds.into_iter().filter(|is| *is).count() <= 1);
    if let Ok(request) = request {
        assert_eq!(Request::read(&request.write()), Ok(request));
    }
    if let Ok(response) = response {
        assert_eq!(Response::read(&response.write()), Ok(response));
    }
    assert!(ping.is_none_or(|ping| ping.write() == data));
    assert!(answer.is_none_or(|answer| answer.write_answer() == data));
}

/// A frame, end-to-end encrypted or plain. A trailer that is written is at most as long as the one that was read, and is
/// read the same; clear ranges stay inside the body and in order.
pub fn voice_frame_trailer(data: &[u8]) {
    let Ok((body, trailer)) = Trailer::read(data) else { return };
    assert_eq!(body, &data[..body.len()]);
    let mut end = 0;
    for range in &trailer.clear {
        assert!(range.offset >= end);
        end = range.offset + range.len;
    }
    assert!(end as usize <= body.len());
    let mut written = body.to_vec();
    trailer.write(&mut written).expect("no longer than before");
    assert!(written.len() <= data.len());
    assert_eq!(Trailer::read(&written), Ok((body, trailer)));
}
