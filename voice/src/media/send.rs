//! The bot's own voice: packets, their numbers, and how speech begins and ends.

use std::time::{Duration, Instant};

use parlor_voice_wire::{
    Ssrc,
    gateway::{ClientMessage, ClientSpeaking, SpeakingFlags},
    opus,
    rtp::{Header, RtpTimestamp, SequenceNumber},
    transport::{Content, Sealer},
};

use crate::{
    counters::Counters,
    dave::{Dave, E2eeGroup},
};

/// Without a packet for so long, speech ends by itself.
const UNDERRUN: Duration = Duration::from_millis(100);
/// How long a frame of silence is.
const SILENCE_SAMPLES: u32 = 960;
const SILENCE_LENGTH: Duration = opus::duration(SILENCE_SAMPLES);

/// Sends what the bot says.
#[derive(Debug)]
pub(crate) struct Sender {
    ssrc: Ssrc,
    sequence: SequenceNumber,
    timestamp: RtpTimestamp,
    sealer: Sealer,
    speech: Speech,
}

/// ```text
/// Quiet ─packet─▶ Speaking ─finished, or no packet for 100 ms─▶ Ending: five frames of silence ─▶ Quiet
///                    ▲──────────────────────packet───────────────────┘
/// ```
#[derive(Clone, Copy, Debug)]
enum Speech {
    /// Nothing was sent after this time, if ever.
    Quiet {
        since: Option<Instant>,
    },
    Speaking {
        last: Instant,
    },
    Ending {
        left: u8,
        next: Instant,
    },
}

/// What is to be sent.
#[derive(Debug)]
pub(crate) enum Sent {
    Datagram(Vec<u8>),
    Message(ClientMessage),
}

impl Sender {
    pub(crate) fn new(ssrc: Ssrc, sealer: Sealer, random: &mut fastrand::Rng) -> Self {
        Self {
            ssrc,
            sequence: SequenceNumber::new(random.u16(..)),
            timestamp: RtpTimestamp::new(random.u32(..)),
            sealer,
            speech: Speech::Quiet { since: None },
        }
    }

    /// What the gateway is told about the bot's speech. It has to know of the source before media comes, and sends no media
    /// before it does.
    pub(crate) fn announcement(&self) -> ClientMessage {
        let speaking = match self.speech {
            Speech::Quiet { .. } => SpeakingFlags::SILENT,
            Speech::Speaking { .. } | Speech::Ending { .. } => SpeakingFlags::VOICE,
        };
        ClientMessage::Speaking(ClientSpeaking { speaking, delay: 0, ssrc: self.ssrc })
    }

    /// Sends a packet.
    pub(crate) fn send<G: E2eeGroup>(
        &mut self,
        packet: &[u8],
        dave: &mut Dave<G>,
        counters: &mut Counters,
        now: Instant,
    ) -> Vec<Sent> {
        let Ok(samples) = opus::samples(packet) else {
            counters.unsent += 1;
            return Vec::new();
        };
        let mut payload = Vec::new();
        if dave.seal(packet, &mut payload).is_err() {
            counters.unsent += 1;
            return Vec::new();
        }
        let mut sent = Vec::new();
        match self.speech {
            Speech::Quiet { since } => {
                // The clock of the media goes on while nothing is sent.
                let pause = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
                let frames = (pause.as_nanos() / SILENCE_LENGTH.as_nanos()) as u32;
                self.timestamp = self.timestamp.plus(frames.wrapping_mul(SILENCE_SAMPLES));
                self.speech = Speech::Speaking { last: now };
                sent.push(Sent::Message(self.announcement()));
            }
            Speech::Speaking { .. } | Speech::Ending { .. } => self.speech = Speech::Speaking { last: now },
        }
        sent.extend(self.datagram(&payload, samples, counters));
        sent
    }

    /// No more packets for now.
    pub(crate) fn finish(&mut self, now: Instant) {
        if matches!(self.speech, Speech::Speaking { .. }) {
            self.speech = Speech::Ending { left: opus::TRAILING_SILENCE, next: now };
        }
    }

    /// Sends what is due.
    pub(crate) fn run(&mut self, counters: &mut Counters, now: Instant) -> Vec<Sent> {
        let mut sent = Vec::new();
        while self.due().is_some_and(|due| now >= due) {
            match self.speech {
                Speech::Quiet { .. } => break,
                Speech::Speaking { .. } => self.finish(now),
                Speech::Ending { left: 0, next } => {
                    self.speech = Speech::Quiet { since: Some(next) };
                    sent.push(Sent::Message(self.announcement()));
                }
                Speech::Ending { left, next } => {
                    self.speech = Speech::Ending { left: left - 1, next: next + SILENCE_LENGTH };
                    // Never end-to-end encrypted.
                    sent.extend(self.datagram(&opus::SILENCE, SILENCE_SAMPLES, counters));
                }
            }
        }
        sent
    }

    /// When [`run`](Self::run) has to be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.speech {
            Speech::Quiet { .. } => None,
            Speech::Speaking { last } => Some(last + UNDERRUN),
            Speech::Ending { next, .. } => Some(next),
        }
    }

    fn datagram(&mut self, payload: &[u8], samples: u32, counters: &mut Counters) -> Option<Sent> {
        let header = Header::opus(self.sequence, self.timestamp, self.ssrc);
        let mut datagram = Vec::with_capacity(payload.len() + 64);
        if self.sealer.seal_rtp(&header, Content::payload(payload), &mut datagram).is_err() {
            counters.unsent += 1;
            return None;
        }
        self.sequence = self.sequence.plus(1);
        self.timestamp = self.timestamp.plus(samples);
        counters.sent += 1;
        Some(Sent::Datagram(datagram))
    }
}
