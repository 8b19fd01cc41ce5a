//! Transport encryption against other implementations.
//!
//! The vectors have the key 00…1f. AES-256-GCM was computed with Python's `cryptography` (OpenSSL), the rest with PyNaCl
//! (libsodium):
//!
//! ```python
//! import nacl.bindings as sodium
//! from cryptography.hazmat.primitives.ciphers.aead import AESGCM
//! AESGCM(key).encrypt(nonce + bytes(8), plain, clear)
//! sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, clear, nonce + bytes(20), key)
//! sodium.crypto_secretbox(plain, nonce + bytes(20), key)      # retired modes; the nonce as the mode says
//! ```

use parlor_voice_wire::{
    Ssrc, rtcp,
    rtp::{Header, ONE_BYTE_PROFILE, RtpTimestamp, SequenceNumber},
    transport::{Content, Extension, Mode, OpenError, Opener, RetiredModes, Sealer, TransportKey},
};

fn key() -> TransportKey {
    TransportKey::new(std::array::from_fn(|at| at as u8))
}

fn hex(text: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    text.bytes().filter(u8::is_ascii_hexdigit).collect::<Vec<_>>().chunks(2).map(pair).collect()
}

fn header() -> Header {
    Header::opus(SequenceNumber::new(0x0102), RtpTimestamp::new(0x0304_0506), Ssrc::new(0x0708_090A))
}

const SILENCE: Content<'static> = Content::payload(&[0xF8, 0xFF, 0xFE]);

/// What real users send: an extension, and padding behind the payload.
const EXTENDED_AND_PADDED: Content<'static> = Content {
    extension: Some(Extension { profile: ONE_BYTE_PROFILE, elements: &[0x10, 0xFF, 0x90, 0x02] }),
    payload: &[0xF8, 0xFF, 0xFE],
    padding: 3,
};

/// Mode, first nonce, content, and the datagram.
fn vectors() -> Vec<(Mode, u32, Content<'static>, Vec<u8>)> {
    let plain = "80780102030405060708090a";
    let extended = "b0780102030405060708090abede0001";
    vec![
        (Mode::Aes256GcmRtpsize, 1, SILENCE, hex(&format!("{plain} bcc933 66230adb18a21518dcc81d22e4a9cb50 00000001"))),
        (
            Mode::XChaCha20Poly1305Rtpsize,
            1,
            SILENCE,
            hex(&format!("{plain} f158af c25503a236d98e15b92ce8fc41529cbf 00000001")),
        ),
        (
            Mode::Aes256GcmRtpsize,
            0x0102_0304,
            EXTENDED_AND_PADDED,
            hex(&format!("{extended} 31aa4d5fef6e8671fbe4 565851de1917fde94387bbab41d43ac0 01020304")),
        ),
        (
            Mode::XChaCha20Poly1305Rtpsize,
            0x0102_0304,
            EXTENDED_AND_PADDED,
            hex(&format!("{extended} 6697804e6695bc1f86e0 e0dfa5a997fe4d97b466ba8caf2ee80c 01020304")),
        ),
        (Mode::XSalsa20Poly1305, 7, SILENCE, hex(&format!("{plain} b88f980045a76177fe70bfe7f7eed72b5ca6ef"))),
        (
            Mode::XSalsa20Poly1305Lite,
            1,
            SILENCE,
            hex(&format!("{plain} 373c50ba1774f0dedb75d5fd7d64251236542b 00000001")),
        ),
        (
            Mode::XSalsa20Poly1305LiteRtpsize,
            0x0102_0304,
            EXTENDED_AND_PADDED,
            hex(&format!("{extended} 75fdb5285c14470639bbbb7fedeec61bdd8cf694dd9b982eceec 01020304")),
        ),
    ]
}

#[test]
fn what_is_sealed_is_what_others_seal() {
    for (mode, nonce, content, datagram) in vectors() {
        let mut sealed = Vec::new();
        Sealer::new(mode, &key(), nonce).seal_rtp(&header(), content, &mut sealed).expect("has nonces");
        assert_eq!(sealed, datagram, "{mode:?}");
    }
}

#[test]
fn what_others_seal_is_opened() {
    for (mode, _, content, mut datagram) in vectors() {
        let (read, body) = Opener::new(mode, &key()).open_rtp(&mut datagram).expect("authentic");
        assert_eq!((read.sequence, read.timestamp, read.ssrc), (header().sequence, header().timestamp, header().ssrc));
        assert_eq!(body.payload, content.payload, "{mode:?}: neither extension nor padding is left");
        assert_eq!(body.elements, content.extension.map_or(&[][..], |extension| extension.elements), "{mode:?}");
    }
}

/// The nonce is 64…7b, which is not how this sealer counts, and the extension's preamble is sealed.
#[test]
fn a_suffix_of_24_bytes_is_opened() {
    let nonce = "6465666768696a6b6c6d6e6f707172737475767778797a7b";
    let sealed = "42f574c062766b464d858d2106c65072bc6799c82a495eeb4802dd943787";
    let mut datagram = hex(&format!("b0780102030405060708090a {sealed} {nonce}"));
    let (_, body) = Opener::new(Mode::XSalsa20Poly1305Suffix, &key()).open_rtp(&mut datagram).expect("authentic");
    assert_eq!((body.elements, body.payload), (&[0x10, 0xFF, 0x90, 0x02][..], &[0xF8, 0xFF, 0xFE][..]));
}

#[test]
fn rtcp_leaves_eight_bytes_clear() {
    let plain: Vec<u8> = hex("81c900070708090a").into_iter().chain(0..24).collect();
    let sealed = [
        (Mode::Aes256GcmRtpsize, "ac7d58cd9605f02953490f87090c505f33009b28d6f4486b e1c3c9e974377f423b3690b715e2815a"),
        (
            Mode::XChaCha20Poly1305Rtpsize,
            "12b63497ad1f97b66821be6cfbe721932c365f1adcb1ed34 7f89bfe23dafd904c6fa7d26d47c5ae7",
        ),
    ];
    for (mode, sealed) in sealed {
        let datagram = hex(&format!("81c900070708090a {sealed} 00000002"));
        let mut written = Vec::new();
        Sealer::new(mode, &key(), 2).seal_rtcp(&plain, &mut written).expect("has nonces");
        assert_eq!(written, datagram, "{mode:?}");
        let opened = Opener::new(mode, &key()).open_rtcp(&mut written).expect("authentic").to_vec();
        assert_eq!(opened, plain);
        assert_eq!(rtcp::Packet::read_all(&opened).map(|packets| packets.len()), Ok(1));
    }
}

/// Everything is authenticated in the live modes; in the retired ones, everything but the header.
#[test]
fn a_changed_bit_is_noticed() {
    for (mode, _, _, datagram) in vectors() {
        let from = if mode.is_retired() { datagram.len() - 20 } else { 1 };
        for at in from..datagram.len() {
            let mut changed = datagram.clone();
            changed[at] ^= 1;
            let opened = Opener::new(mode, &key()).open_rtp(&mut changed).map(|_| ());
            assert_eq!(opened, Err(OpenError::NotAuthentic), "{mode:?}, byte {at}");
        }
        for end in 0..datagram.len() {
            let opened = Opener::new(mode, &key()).open_rtp(&mut datagram[..end].to_vec()).map(|_| ());
            assert!(opened.is_err(), "{mode:?}, {end} bytes");
        }
    }
}

#[test]
fn a_nonce_is_used_once() {
    let mut sealer = Sealer::new(Mode::Aes256GcmRtpsize, &key(), u32::MAX);
    let mut nonce = || {
        let mut sealed = Vec::new();
        sealer.seal_rtp(&header(), SILENCE, &mut sealed).expect("has nonces");
        sealed.split_off(sealed.len() - 4)
    };
    assert_eq!((nonce(), nonce()), (vec![0xFF; 4], vec![0; 4]), "counts on through the wrap");
}

#[test]
fn the_best_mode_that_may_be_used_is_chosen() {
    let live = ["aead_xchacha20_poly1305_rtpsize", "aead_aes256_gcm_rtpsize"];
    assert_eq!(Mode::choose(&live, RetiredModes::Refused), Some(Mode::Aes256GcmRtpsize));
    assert_eq!(Mode::choose(&live[..1], RetiredModes::Refused), Some(Mode::XChaCha20Poly1305Rtpsize));
    let retired = ["xsalsa20_poly1305", "xsalsa20_poly1305_suffix", "something_new"];
    assert_eq!(Mode::choose(&retired, RetiredModes::Refused), None);
    assert_eq!(Mode::choose(&retired, RetiredModes::Accepted), Some(Mode::XSalsa20Poly1305Suffix));
    let mixed = [retired[0], live[0]];
    assert_eq!(Mode::choose(&mixed, RetiredModes::Accepted), Some(Mode::XChaCha20Poly1305Rtpsize));
    for mode in Mode::ALL {
        assert_eq!(Mode::from_name(mode.name()), Some(mode));
    }
}

#[test]
fn keys_do_not_show_themselves() {
    let key = key();
    let shown = format!(
        "{key:?} {:?} {:?}",
        Sealer::new(Mode::XChaCha20Poly1305Rtpsize, &key, 0),
        Opener::new(Mode::XChaCha20Poly1305Rtpsize, &key)
    );
    assert!(!shown.contains("1, 2, 3") && !shown.contains("010203"), "{shown}");
}
