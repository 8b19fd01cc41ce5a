//! Encryption between a client and the voice server (Discord docs, Voice Connections, "Transport Encryption and Sending
//! Voice").
//!
//! ```text
//! header, 12 bytes and 4 per contributing source │ preamble of the extension │ elements ‖ payload ‖ padding │ tag │ nonce
//! ◀──────────────── clear and authenticated ─────────────────▶◀─────────── sealed ───────────────▶◀─ 16 ─▶◀── 4 ──▶
//! ```
//! That is the layout of the two live modes. The nonce that is sent is the front of the cipher's, the rest of which is zero.
//! Its byte order is the sender's own affair. RTCP is the same with the first 8 bytes in the clear.
//!
//! The retired modes are NaCl's secretbox: the tag stands in front and nothing clear is authenticated.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20::{R20, hchacha};
use crypto_secretbox::{AeadInPlace, KeyInit, XSalsa20Poly1305};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    rtcp,
    rtp::{self, Body, EXTENSION_PREAMBLE_LEN, ExtensionPreamble, Header, RtpError},
};

/// The length of an authentication tag, in every mode.
pub const TAG_LEN: usize = 16;

/// How datagrams are encrypted between a client and the voice server.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Mode {
    /// `aead_aes256_gcm_rtpsize`: preferred, offered where the server's hardware has AES.
    Aes256GcmRtpsize,
    /// `aead_xchacha20_poly1305_rtpsize`: always offered.
    XChaCha20Poly1305Rtpsize,
    /// `xsalsa20_poly1305_lite_rtpsize`: the header as in the live modes, a nonce of 4 bytes at the end. Retired.
    XSalsa20Poly1305LiteRtpsize,
    /// `xsalsa20_poly1305_lite`: a nonce of 4 bytes at the end. Retired.
    XSalsa20Poly1305Lite,
    /// `xsalsa20_poly1305_suffix`: a nonce of 24 bytes at the end. Retired.
    XSalsa20Poly1305Suffix,
    /// `xsalsa20_poly1305`: the RTP header is the nonce. Retired.
    XSalsa20Poly1305,
}

/// Whether the modes that Discord refuses since 2024-11-18 may be used, with voice servers of others that offer nothing
/// newer. They authenticate no header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RetiredModes {
    /// They may not.
    #[default]
    Refused,
    /// They may, after all live modes.
    Accepted,
}

impl Mode {
    /// Every mode, best first.
    pub const ALL: [Self; 6] = [
        Self::Aes256GcmRtpsize,
        Self::XChaCha20Poly1305Rtpsize,
        Self::XSalsa20Poly1305LiteRtpsize,
        Self::XSalsa20Poly1305Lite,
        Self::XSalsa20Poly1305Suffix,
        Self::XSalsa20Poly1305,
    ];

    /// The mode's name in Ready, Select Protocol and Session Description.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256GcmRtpsize => "aead_aes256_gcm_rtpsize",
            Self::XChaCha20Poly1305Rtpsize => "aead_xchacha20_poly1305_rtpsize",
            Self::XSalsa20Poly1305LiteRtpsize => "xsalsa20_poly1305_lite_rtpsize",
            Self::XSalsa20Poly1305Lite => "xsalsa20_poly1305_lite",
            Self::XSalsa20Poly1305Suffix => "xsalsa20_poly1305_suffix",
            Self::XSalsa20Poly1305 => "xsalsa20_poly1305",
        }
    }

    /// The mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether Discord refuses it since 2024-11-18.
    pub const fn is_retired(self) -> bool {
        !matches!(self, Self::Aes256GcmRtpsize | Self::XChaCha20Poly1305Rtpsize)
    }

    /// The best mode that a server offers and that may be used.
    pub fn choose<S: AsRef<str>>(offered: &[S], retired: RetiredModes) -> Option<Self> {
        Self::ALL
            .into_iter()
            .filter(|mode| retired == RetiredModes::Accepted || !mode.is_retired())
            .find(|mode| offered.iter().any(|name| name.as_ref() == mode.name()))
    }

    /// How many bytes at the end are the nonce.
    const fn nonce_len(self) -> usize {
        match self {
            Self::XSalsa20Poly1305 => 0,
            Self::XSalsa20Poly1305Suffix => 24,
            Self::Aes256GcmRtpsize
            | Self::XChaCha20Poly1305Rtpsize
            | Self::XSalsa20Poly1305LiteRtpsize
            | Self::XSalsa20Poly1305Lite => 4,
        }
    }

    /// Whether an extension's preamble stands in the clear.
    const fn is_rtpsize(self) -> bool {
        matches!(self, Self::Aes256GcmRtpsize | Self::XChaCha20Poly1305Rtpsize | Self::XSalsa20Poly1305LiteRtpsize)
    }
}

/// The key that Session Description brings. It does not show itself.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TransportKey([u8; 32]);

impl TransportKey {
    /// The key with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransportKey(…)")
    }
}

/// A datagram cannot be opened.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum OpenError {
    /// It is not shaped as one.
    #[error(transparent)]
    Rtp(#[from] RtpError),
    /// It is too short for header, tag and nonce.
    #[error("the datagram is too short to be encrypted")]
    TooShort,
    /// It was made with another key, or changed on the way.
    #[error("the datagram is not authentic")]
    NotAuthentic,
    /// RTCP in a retired mode, for which no layout is documented.
    #[error("no RTCP in retired modes")]
    NoRtcp,
}

/// A key has sealed as many datagrams as it has nonces. At 50 a second that takes 2.7 years.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the transport key has no nonces left")]
pub struct KeyExhausted;

enum Cipher {
    Aes(LessSafeKey),
    XChaCha([u8; 32]),
    XSalsa(Box<XSalsa20Poly1305>),
}

impl Cipher {
    fn new(mode: Mode, key: &TransportKey) -> Self {
        match mode {
            Mode::Aes256GcmRtpsize => {
                let key = UnboundKey::new(&AES_256_GCM, &key.0).expect("an AES-256 key has 32 bytes");
                Self::Aes(LessSafeKey::new(key))
            }
            Mode::XChaCha20Poly1305Rtpsize => Self::XChaCha(key.0),
            Mode::XSalsa20Poly1305LiteRtpsize
            | Mode::XSalsa20Poly1305Lite
            | Mode::XSalsa20Poly1305Suffix
            | Mode::XSalsa20Poly1305 => Self::XSalsa(Box::new(XSalsa20Poly1305::new(&key.0.into()))),
        }
    }
}

/// The key and nonce with which aws-lc-rs does the rest of XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, section 2.3).
fn xchacha(key: &[u8; 32], nonce: &[u8; 24]) -> (LessSafeKey, Nonce) {
    let (input, end) = nonce.split_at(16);
    let input: [u8; 16] = input.try_into().expect("split at 16");
    let subkey = hchacha::<R20>(&(*key).into(), &input.into());
    let mut short = [0; 12];
    short[4..].copy_from_slice(end);
    let key = UnboundKey::new(&CHACHA20_POLY1305, &subkey).expect("a ChaCha20 key has 32 bytes");
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(short))
}

/// The front of a nonce, and zeros behind it.
fn padded<const N: usize>(front: &[u8]) -> [u8; N] {
    let mut nonce = [0; N];
    nonce[..front.len()].copy_from_slice(front);
    nonce
}

/// Encrypts what one side of a connection sends. A nonce is never used twice.
pub struct Sealer {
    mode: Mode,
    cipher: Cipher,
    next_nonce: u32,
    left: u64,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("mode", &self.mode).field("left", &self.left).finish_non_exhaustive()
    }
}

/// An extension of a header, whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Extension<'a> {
    /// How the elements are laid out.
    pub profile: u16,
    /// The elements, padded to a whole number of words of four bytes.
    pub elements: &'a [u8],
}

/// What a datagram carries behind its header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Content<'a> {
    /// An extension of the header.
    pub extension: Option<Extension<'a>>,
    /// The payload.
    pub payload: &'a [u8],
    /// How many bytes of padding follow; 0 is none.
    pub padding: u8,
}

impl<'a> Content<'a> {
    /// A payload and nothing else.
    pub const fn payload(payload: &'a [u8]) -> Self {
        Self { extension: None, payload, padding: 0 }
    }
}

impl Sealer {
    /// Seals with this key; nonces count up from `first_nonce`.
    pub fn new(mode: Mode, key: &TransportKey, first_nonce: u32) -> Self {
        Self { mode, cipher: Cipher::new(mode, key), next_nonce: first_nonce, left: 1 << 32 }
    }

    /// Appends a sealed RTP packet. Whether it is padded or extended is the content's to say, not the header's. Elements
    /// beyond a whole number of words are left out.
    ///
    /// # Errors
    ///
    /// If the key has no nonces left; nothing is appended.
    pub fn seal_rtp(&mut self, header: &Header, content: Content<'_>, out: &mut Vec<u8>) -> Result<(), KeyExhausted> {
        let nonce = self.take_nonce()?;
        let begin = out.len();
        let header = Header { padded: content.padding > 0, extended: content.extension.is_some(), ..header.clone() };
        header.write(out);
        let mut clear = out.len();
        if let Some(Extension { profile, elements }) = content.extension {
            let words = (elements.len() / 4) as u16;
            out.extend(ExtensionPreamble { profile, words }.write());
            if self.mode.is_rtpsize() {
                clear = out.len();
            }
            out.extend(&elements[..usize::from(words) * 4]);
        }
        out.extend(content.payload);
        if content.padding > 0 {
            out.resize(out.len() + usize::from(content.padding) - 1, 0);
            out.push(content.padding);
        }
        self.seal(begin, clear, nonce, out);
        Ok(())
    }

    /// Appends a sealed RTCP datagram. In retired modes there is no RTCP, and nothing is appended.
    ///
    /// # Errors
    ///
    /// If the key has no nonces left; nothing is appended.
    pub fn seal_rtcp(&mut self, packets: &[u8], out: &mut Vec<u8>) -> Result<(), KeyExhausted> {
        if self.mode.is_retired() || packets.len() < rtcp::CLEAR_LEN {
            return Ok(());
        }
        let nonce = self.take_nonce()?;
        let begin = out.len();
        out.extend(packets);
        self.seal(begin, begin + rtcp::CLEAR_LEN, nonce, out);
        Ok(())
    }

    fn take_nonce(&mut self) -> Result<u32, KeyExhausted> {
        self.left = self.left.checked_sub(1).ok_or(KeyExhausted)?;
        let nonce = self.next_nonce;
        self.next_nonce = nonce.wrapping_add(1);
        Ok(nonce)
    }

    /// Seals `out` from `clear` on; the datagram begins at `begin`.
    fn seal(&self, begin: usize, clear: usize, nonce: u32, out: &mut Vec<u8>) {
        // The limits of both ciphers are far above the length of a datagram.
        const FITS: &str = "a datagram is not too long to seal";
        let counter = nonce.to_be_bytes();
        let (front, sealed) = out.split_at_mut(clear);
        let aad = Aad::from(&front[begin..]);
        match &self.cipher {
            Cipher::Aes(key) => {
                let nonce = Nonce::assume_unique_for_key(padded(&counter));
                let tag = key.seal_in_place_separate_tag(nonce, aad, sealed).expect(FITS);
                out.extend(tag.as_ref());
                out.extend(counter);
            }
            Cipher::XChaCha(key) => {
                let (key, nonce) = xchacha(key, &padded(&counter));
                let tag = key.seal_in_place_separate_tag(nonce, aad, sealed).expect(FITS);
                out.extend(tag.as_ref());
                out.extend(counter);
            }
            Cipher::XSalsa(cipher) => {
                let nonce = if self.mode == Mode::XSalsa20Poly1305 {
                    padded(&front[begin..begin + rtp::FIXED_LEN])
                } else {
                    padded::<24>(&counter)
                };
                let tag = cipher.encrypt_in_place_detached(&nonce.into(), &[], sealed).expect(FITS);
                out.splice(clear..clear, tag);
                out.extend(&nonce[..self.mode.nonce_len()]);
            }
        }
    }
}

/// Decrypts what the other side of a connection sends.
pub struct Opener {
    mode: Mode,
    cipher: Cipher,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Opener {
    /// Opens with this key.
    pub fn new(mode: Mode, key: &TransportKey) -> Self {
        Self { mode, cipher: Cipher::new(mode, key) }
    }

    /// Opens an RTP datagram in place.
    ///
    /// # Errors
    ///
    /// If it is not RTP, not authentic, or not laid out as its header says. What is in `datagram` then is undefined.
    pub fn open_rtp<'a>(&self, datagram: &'a mut [u8]) -> Result<(Header, Body<'a>), OpenError> {
        let header = Header::read(datagram)?;
        let mut clear = header.clear_len();
        if header.extended && self.mode.is_rtpsize() {
            ExtensionPreamble::read(&datagram[clear..])?;
            clear += EXTENSION_PREAMBLE_LEN;
        }
        let end = self.open(clear, datagram)?;
        let mut rest = &datagram[header.clear_len()..end];
        let extension = header.extended.then(|| ExtensionPreamble::read(rest)).transpose()?;
        if extension.is_some() {
            rest = &rest[EXTENSION_PREAMBLE_LEN..];
        }
        let body = header.split(extension, rest)?;
        Ok((header, body))
    }

    /// Opens an RTCP datagram in place and returns its packets, for [`rtcp::Packet::read_all`].
    ///
    /// # Errors
    ///
    /// If it is not authentic, or the mode is a retired one.
    pub fn open_rtcp<'a>(&self, datagram: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
        if self.mode.is_retired() {
            return Err(OpenError::NoRtcp);
        }
        let end = self.open(rtcp::CLEAR_LEN, datagram)?;
        Ok(&datagram[..end])
    }

    /// Opens a datagram from `clear` on, so that its plain bytes follow the clear ones; returns where they end.
    fn open(&self, clear: usize, datagram: &mut [u8]) -> Result<usize, OpenError> {
        let nonce_at = datagram.len().checked_sub(self.mode.nonce_len()).ok_or(OpenError::TooShort)?;
        let end = nonce_at.checked_sub(TAG_LEN).filter(|end| clear <= *end).ok_or(OpenError::TooShort)?;
        let (rest, sent_nonce) = datagram.split_at_mut(nonce_at);
        let (front, sealed) = rest.split_at_mut(clear);
        match &self.cipher {
            Cipher::Aes(key) => {
                let nonce = Nonce::assume_unique_for_key(padded(sent_nonce));
                key.open_in_place(nonce, Aad::from(front), sealed).map_err(|_| OpenError::NotAuthentic)?;
            }
            Cipher::XChaCha(key) => {
                let (key, nonce) = xchacha(key, &padded(sent_nonce));
                key.open_in_place(nonce, Aad::from(front), sealed).map_err(|_| OpenError::NotAuthentic)?;
            }
            Cipher::XSalsa(cipher) => {
                let nonce = if self.mode == Mode::XSalsa20Poly1305 {
                    padded::<24>(&front[..rtp::FIXED_LEN])
                } else {
                    padded(sent_nonce)
                };
                let (tag, text) = sealed.split_at_mut(TAG_LEN);
                let tag: [u8; TAG_LEN] = (&*tag).try_into().expect("split at its length");
                cipher
                    .decrypt_in_place_detached(&nonce.into(), &[], text, &tag.into())
                    .map_err(|_| OpenError::NotAuthentic)?;
                sealed.copy_within(TAG_LEN.., 0);
            }
        }
        Ok(end)
    }
}
