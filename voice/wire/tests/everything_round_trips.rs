//! What is written is read back, and bytes from anywhere make no parser panic.

use std::net::SocketAddr;

use parlor_voice_wire::{
    Ssrc, TransitionId, UserId,
    discovery::{Ping, Request, Response},
    frame::{ClearRange, Trailer},
    gateway::{
        ClientMessage, DaveClientMessage, DaveServerMessage, Sequence, ServerMessage, ServerSpeaking, SpeakingFlags,
        Version,
    },
    opus,
    rtcp::{Packet, ReportBlock},
    rtp::{Header, ONE_BYTE_PROFILE, RtpTimestamp, SequenceNumber, one_byte_elements},
    transport::{Content, Extension, Mode, Opener, Sealer, TransportKey},
};
use proptest::{collection::vec, prelude::*};

fn mode() -> impl Strategy<Value = Mode> {
    proptest::sample::select(Mode::ALL.to_vec())
}

fn header() -> impl Strategy<Value = Header> {
    // 72 to 78 with the marker are RTCP's types.
    let payload_type = (0..128_u8).prop_filter("RTCP", |number| !(72..=78).contains(number));
    let numbers = (any::<bool>(), payload_type, any::<u16>(), any::<u32>(), any::<u32>(), vec(any::<u32>(), 0..=15));
    numbers.prop_map(|(marker, payload_type, sequence, timestamp, ssrc, contributing)| Header {
        marker,
        payload_type,
        contributing: contributing.into_iter().map(Ssrc::new).collect(),
        ..Header::opus(SequenceNumber::new(sequence), RtpTimestamp::new(timestamp), Ssrc::new(ssrc))
    })
}

fn block() -> impl Strategy<Value = ReportBlock> {
    let numbers = (any::<u32>(), any::<u8>(), -(1_i32 << 23)..1 << 23, any::<[u32; 4]>());
    numbers.prop_map(|(ssrc, fraction_lost, lost, words)| ReportBlock {
        ssrc: Ssrc::new(ssrc),
        fraction_lost,
        lost,
        highest_sequence: words[0],
        jitter: words[1],
        last_report: words[2],
        since_last_report: words[3],
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let ssrc = any::<u32>().prop_map(Ssrc::new);
    prop_oneof![
        (ssrc, any::<u64>(), any::<[u32; 3]>(), vec(block(), 0..=31)).prop_map(|(ssrc, ntp_time, words, blocks)| {
            let [rtp_time, packets, bytes] = words;
            Packet::SenderReport { ssrc, ntp_time, rtp_time, packets, bytes, blocks }
        }),
        (any::<u32>(), vec(block(), 0..=31))
            .prop_map(|(ssrc, blocks)| Packet::ReceiverReport { ssrc: Ssrc::new(ssrc), blocks }),
        vec(any::<u32>(), 0..=31).prop_map(|all| Packet::Goodbye(all.into_iter().map(Ssrc::new).collect())),
        (any::<bool>(), 0..32_u8, any::<[u32; 2]>(), vec(any::<[u8; 4]>(), 0..8)).prop_map(
            |(about_payload, format, [ssrc, about], words)| Packet::Feedback {
                about_payload,
                format,
                ssrc: Ssrc::new(ssrc),
                about: Ssrc::new(about),
                control: words.concat(),
            }
        ),
    ]
}

/// Ranges in order, as distances from the end of the one before.
fn trailer() -> impl Strategy<Value = (Vec<u8>, Trailer)> {
    let steps = vec((0..9_u32, 0..9_u32), 0..8);
    (any::<[u8; 8]>(), any::<u32>(), steps, 0..20_usize).prop_map(|(tag, nonce, steps, more)| {
        let mut end = 0;
        let mut clear = Vec::new();
        for (gap, len) in steps {
            clear.push(ClearRange { offset: end + gap, len });
            end += gap + len;
        }
        (vec![0; end as usize + more], Trailer { tag, nonce, clear })
    })
}

proptest! {
    #[test]
    fn rtp_in_every_mode(
        mode in mode(),
        key: [u8; 32],
        nonce: u32,
        header in header(),
        payload in vec(any::<u8>(), 0..300),
        elements in proptest::option::of(vec(any::<[u8; 4]>(), 0..5)),
        padding in 0..20_u8,
    ) {
        let (key, elements) = (TransportKey::new(key), elements.map(|words| words.concat()));
        let extension = elements.as_deref().map(|elements| Extension { profile: ONE_BYTE_PROFILE, elements });
        let mut sealed = vec![0xAA];
        let content = Content { extension, payload: &payload, padding };
        Sealer::new(mode, &key, nonce).seal_rtp(&header, content, &mut sealed).expect("reads or writes");
        let (read, body) = Opener::new(mode, &key).open_rtp(&mut sealed[1..]).expect("reads or writes");
        prop_assert_eq!(body.payload, &payload[..]);
        prop_assert_eq!(body.elements, elements.as_deref().unwrap_or_default());
        prop_assert_eq!(read, Header { padded: padding > 0, extended: extension.is_some(), ..header });
    }

    #[test]
    fn rtcp(packets in vec(packet(), 0..5)) {
        let mut written = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut written));
        prop_assert_eq!(Packet::read_all(&written), Ok(packets));
    }

    #[test]
    fn trailers((mut frame, trailer) in trailer()) {
        let len = frame.len();
        trailer.write(&mut frame).expect("reads or writes");
        let (body, read) = Trailer::read(&frame).expect("reads or writes");
        prop_assert_eq!((body.len(), read), (len, trailer));
    }

    #[test]
    fn discovery(ssrc: u32, address: SocketAddr, number: u32) {
        // Flow label and scope are not part of the text.
        let (ssrc, address) = (Ssrc::new(ssrc), SocketAddr::new(address.ip(), address.port()));
        prop_assert_eq!(Request::read(&Request { ssrc }.write()), Ok(Request { ssrc }));
        prop_assert_eq!(Response::read(&Response { ssrc, address }.write()), Ok(Response { ssrc, address }));
        prop_assert_eq!(Ping::read(&Ping { number }.write()), Some(Ping { number }));
    }

    #[test]
    fn binary_messages(id: u16, sequence: u16, bytes in vec(any::<u8>(), 0..40), v4: bool) {
        let version = if v4 { Version::V4 } else { Version::V8 };
        let transition_id = TransitionId::new(id);
        for message in [
            DaveServerMessage::ExternalSender(&bytes),
            DaveServerMessage::AnnounceCommit { transition_id, commit: &bytes },
            DaveServerMessage::Welcome { transition_id, welcome: &bytes },
        ] {
            let written = message.write(Sequence::new(sequence), version);
            let read = DaveServerMessage::read(&written, version).expect("reads or writes");
            prop_assert_eq!(read.message, message);
            prop_assert_eq!(read.sequence, (!v4).then(|| Sequence::new(sequence)));
        }
    }

    #[test]
    fn text_messages(user: u64, ssrc: u32, bits: u32, sequence: u16) {
        let (user_id, ssrc, speaking) = (UserId::new(user), Ssrc::new(ssrc), SpeakingFlags::new(bits));
        let message = ServerMessage::Speaking(ServerSpeaking { user_id, ssrc, speaking });
        let read = ServerMessage::read(&message.write(Some(Sequence::new(sequence)), Version::V8)).expect("reads or writes");
        prop_assert_eq!((read.message, read.sequence), (message, Some(Sequence::new(sequence))));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200), text in "\\PC{0,80}", mode in mode()) {
        let opener = Opener::new(mode, &TransportKey::new([7; 32]));
        let _ = (Header::read(&bytes), Packet::read_all(&bytes), Trailer::read(&bytes).map(|_| ()));
        let _ = (opener.open_rtp(&mut bytes.clone()).is_ok(), opener.open_rtcp(&mut bytes.clone()).is_ok());
        let _ = (Request::read(&bytes), Response::read(&bytes), Ping::read(&bytes), opus::samples(&bytes));
        let _ = (DaveServerMessage::read(&bytes, Version::V8), DaveClientMessage::read(&bytes));
        let _ = (one_byte_elements(&bytes).count(), ServerMessage::read(&text), ClientMessage::read(&text));
    }
}
