//! What a packet costs a session, in either direction, beside what its encryption alone costs.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use davey::{Codec, DaveSession, MediaType};
use parlor_voice::{Input, Outcome};
use parlor_voice_wire::{
    rtp::{Header, RtpTimestamp, SequenceNumber},
    transport::{Content, Sealer, TransportKey},
};

use super::{
    group::{Proposer, SPEAKER, pair},
    session::{KEY, Listener, MODE, SPEAKER_SSRC, server},
};
use crate::report::{Better, Summary, summary};

/// Packets of a round: the figures are of one.
const PACKETS: usize = 4_000;
/// 64 kbit/s.
const OPUS_BYTES: usize = 160;
const FRAME: Duration = Duration::from_millis(20);
const FRAME_SAMPLES: u32 = 960;
const HEADER: usize = 12;

/// What a packet costs, in nanoseconds.
pub(crate) struct Packets {
    pub received: Pair,
    pub sent: Pair,
}

/// A session's cost and that of bare encryption, with how often the one is the other, round by round.
pub(crate) struct Pair {
    pub session: Summary,
    pub bare: Summary,
    pub ratio: Summary,
}

/// The bare encryption: AES-256-GCM of the transport, and davey.
struct Bare {
    key: LessSafeKey,
    speaker: DaveSession,
    listener: DaveSession,
    nonce: u32,
}

/// The stream of a speaker.
struct Stream {
    sequence: SequenceNumber,
    timestamp: RtpTimestamp,
    sealer: Sealer,
}

pub(crate) fn measure(rounds: usize) -> Result<Packets> {
    let proposer = Proposer::new()?;
    let (mut listener, mut speaker) = Listener::live(&proposer, 1)?;
    let mut bare = Bare::new(&proposer)?;
    let mut stream = Stream {
        sequence: SequenceNumber::new(0),
        timestamp: RtpTimestamp::new(0),
        sealer: Sealer::new(MODE, &TransportKey::new(KEY), 0),
    };
    let packet = packet();
    let mut figures = [const { Vec::new() }; 4];
    // One more than is counted: the first warms up.
    for round in 0..=rounds {
        let datagrams = stream.datagrams(&mut speaker, &packet)?;
        let received = receive(&mut listener, datagrams)?;
        let datagrams = stream.datagrams(&mut bare.speaker, &packet)?;
        let received_bare = bare.receive(datagrams)?;
        let sent = send(&mut listener, &packet)?;
        let sent_bare = bare.send(&packet)?;
        if round > 0 {
            for (figures, figure) in figures.iter_mut().zip([received, received_bare, sent, sent_bare]) {
                figures.push(figure);
            }
        }
    }
    let [received, received_bare, sent, sent_bare] = figures;
    Ok(Packets { received: Pair::of(&received, &received_bare), sent: Pair::of(&sent, &sent_bare) })
}

impl Pair {
    fn of(session: &[f64], bare: &[f64]) -> Self {
        let all = |figures: &[f64]| summary(figures, |nanos| *nanos, Better::Less);
        let (session, bare) = (all(session), all(bare));
        let ratio = Summary { best: session.best / bare.best, median: session.median / bare.median };
        Self { session, bare, ratio }
    }
}

fn packet() -> Vec<u8> {
    // CELT, 20 ms, stereo, one frame; then what no codec would make, but no cipher minds.
    let mut packet = vec![0xFC];
    packet.extend((1..OPUS_BYTES).map(|at| (at * 37) as u8));
    packet
}

impl Stream {
    /// Datagrams of a speaker, sealed twice.
    fn datagrams(&mut self, speaker: &mut DaveSession, packet: &[u8]) -> Result<Vec<Vec<u8>>> {
        let datagram = |_| {
            let sealed = speaker.encrypt_opus(packet)?;
            let header = Header::opus(self.sequence, self.timestamp, SPEAKER_SSRC);
            let mut datagram = Vec::new();
            self.sealer.seal_rtp(&header, Content::payload(&sealed), &mut datagram)?;
            self.sequence = self.sequence.plus(1);
            self.timestamp = self.timestamp.plus(FRAME_SAMPLES);
            Ok(datagram)
        };
        (0..PACKETS).map(datagram).collect()
    }
}

/// A datagram every 20 ms, with every wake-up in between: the frames come out in their turn.
fn receive(listener: &mut Listener, datagrams: Vec<Vec<u8>>) -> Result<f64> {
    let before = (listener.frames, listener.session.counters().frames);
    let start = Instant::now();
    for mut bytes in datagrams {
        listener.input(Input::Datagram { from: server(), bytes: &mut bytes });
        listener.pass(FRAME);
    }
    listener.pass(FRAME * 10);
    let took = start.elapsed();
    let counts = listener.session.counters().frames;
    ensure!(listener.frames - before.0 == PACKETS as u64, "not everything was delivered: {counts:?}");
    ensure!(counts.get(Outcome::Delivered) - before.1.get(Outcome::Delivered) == PACKETS as u64, "{counts:?}");
    Ok(took.as_nanos() as f64 / PACKETS as f64)
}

/// A packet every 20 ms.
fn send(listener: &mut Listener, packet: &[u8]) -> Result<f64> {
    let before = listener.session.counters().sent;
    let start = Instant::now();
    for _ in 0..PACKETS {
        listener.input(Input::Send(black_box(packet)));
        listener.pass(FRAME);
    }
    let took = start.elapsed();
    let counters = listener.session.counters();
    ensure!(counters.sent - before == PACKETS as u64 && counters.unsent == 0, "not everything was sent: {counters:?}");
    // What it says after it has spoken is another cost.
    listener.pass(Duration::from_secs(1));
    Ok(took.as_nanos() as f64 / PACKETS as f64)
}

impl Bare {
    fn new(proposer: &Proposer) -> Result<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY)?);
        let (speaker, listener) = pair(proposer)?;
        Ok(Self { key, speaker, listener, nonce: 0 })
    }

    fn nonce(counter: [u8; 4]) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&counter);
        Nonce::assume_unique_for_key(nonce)
    }

    fn receive(&mut self, datagrams: Vec<Vec<u8>>) -> Result<f64> {
        let start = Instant::now();
        for mut bytes in datagrams {
            let (datagram, counter) = bytes.split_last_chunk_mut().expect("a nonce at the end");
            let (header, body) = datagram.split_at_mut(HEADER);
            let payload = self.key.open_in_place(Self::nonce(*counter), Aad::from(&*header), body)?;
            black_box(self.listener.decrypt(SPEAKER, MediaType::AUDIO, payload)?);
        }
        Ok(start.elapsed().as_nanos() as f64 / PACKETS as f64)
    }

    fn send(&mut self, packet: &[u8]) -> Result<f64> {
        let start = Instant::now();
        for _ in 0..PACKETS {
            self.nonce += 1;
            let header = [0_u8; HEADER];
            let sealed = self.listener.encrypt(MediaType::AUDIO, Codec::OPUS, black_box(packet))?;
            let mut datagram = Vec::with_capacity(HEADER + sealed.len() + 20);
            datagram.extend_from_slice(&header);
            datagram.extend_from_slice(&sealed);
            let (header, body) = datagram.split_at_mut(HEADER);
            let nonce = Self::nonce(self.nonce.to_be_bytes());
            let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&*header), body)?;
            datagram.extend_from_slice(tag.as_ref());
            datagram.extend_from_slice(&self.nonce.to_be_bytes());
            black_box(&datagram);
        }
        Ok(start.elapsed().as_nanos() as f64 / PACKETS as f64)
    }
}
