//! What is heard, by user.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use opus2::{Channels, Decoder};
use serde_json::json;
use songbird::{
    Event, EventContext, EventHandler,
    events::context_data::{RtpData, VoiceTick},
    id::GuildId,
    packet::Packet as _,
};

use crate::{print, tone};

/// 120 ms, the longest packet of Opus.
const LONGEST: usize = tone::RATE as usize / 1_000 * 120;

/// What all calls of the bot share.
#[derive(Default)]
pub struct Hearing {
    /// Whether somebody listens. Packets are only counted otherwise.
    listens: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    frequencies: Vec<u64>,
    /// Whose each source is.
    users: HashMap<(GuildId, u32), u64>,
    /// What was heard of each source since the last line about it.
    heard: HashMap<(GuildId, u32), (Decoder, Vec<i16>)>,
    packets: BTreeMap<u64, u64>,
}

impl Hearing {
    /// From now on every half second of sound of a user makes a line, with the strongest of these frequencies.
    pub fn listen(&self, frequencies: Vec<u64>) {
        let mut inner = self.inner();
        inner.frequencies = frequencies;
        inner.heard.clear();
        self.listens.store(true, Ordering::Relaxed);
    }

    /// How many packets came, by guild.
    pub fn packets(&self) -> BTreeMap<String, u64> {
        self.inner().packets.iter().map(|(guild, packets)| (guild.to_string(), *packets)).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decodes a packet. Not songbird's own decoder (`VoiceTick::decoded_voice`): it is given a packet of an end-to-end encrypted
    /// call with DAVE's trailer still behind it, and makes noise of the tones. `RtpPacket` says where the Opus ends.
    fn hear(&self, guild: GuildId, data: &RtpData) {
        let rtp = data.rtp();
        let (ssrc, payload) = (rtp.get_ssrc(), rtp.payload());
        let end = payload.len().saturating_sub(data.payload_end_pad);
        let Some(opus) = payload.get(data.payload_offset..end) else { return };
        let mut inner = self.inner();
        let Inner { users, heard, frequencies, .. } = &mut *inner;
        let Some(user) = users.get(&(guild, ssrc)) else { return };
        let (decoder, samples) = heard
            .entry((guild, ssrc))
            .or_insert_with(|| (Decoder::new(tone::RATE, Channels::Mono).expect("libopus knows 48 kHz"), Vec::new()));
        let mut sound = [0; LONGEST];
        match decoder.decode(opus, &mut sound, false) {
            Ok(count) => samples.extend_from_slice(&sound[..count]),
            Err(error) => eprintln!("a packet of {user} cannot be decoded: {error}"),
        }
        if samples.len() >= tone::RATE as usize / 2 {
            let hz = tone::strongest(samples, frequencies);
            samples.clear();
            print(&json!({"event": "heard", "user": user.to_string(), "hz": hz}));
        }
    }

    fn tick(&self, guild: GuildId, tick: &VoiceTick) {
        let packets = tick.speaking.values().filter(|data| data.packet.is_some()).count();
        *self.inner().packets.entry(guild.0.get()).or_default() += packets as u64;
    }
}

/// The ear of one call.
pub struct Ear {
    guild: GuildId,
    hearing: Arc<Hearing>,
}

impl Ear {
    pub fn new(guild: GuildId, hearing: Arc<Hearing>) -> Self {
        Self { guild, hearing }
    }
}

#[async_trait]
impl EventHandler for Ear {
    async fn act(&self, event: &EventContext<'_>) -> Option<Event> {
        let state = |to: &str| print(&json!({"event": "voiceState", "from": "", "to": to}));
        match event {
            EventContext::SpeakingStateUpdate(speaking) => {
                if let Some(user) = speaking.user_id {
                    self.hearing.inner().users.insert((self.guild, speaking.ssrc), user.0);
                }
            }
            EventContext::RtpPacket(data) if self.hearing.listens.load(Ordering::Relaxed) => {
                self.hearing.hear(self.guild, data);
            }
            EventContext::VoiceTick(tick) => self.hearing.tick(self.guild, tick),
            EventContext::DriverConnect(_) => state("connected"),
            EventContext::DriverReconnect(_) => state("reconnected"),
            EventContext::DriverDisconnect(_) => state("disconnected"),
            _ => {}
        }
        None
    }
}

/// Tells why a track is not played.
pub struct Trouble;

#[async_trait]
impl EventHandler for Trouble {
    async fn act(&self, event: &EventContext<'_>) -> Option<Event> {
        if let EventContext::Track(tracks) = event {
            for (state, _) in *tracks {
                print(&json!({"event": "playerError", "message": format!("{:?}", state.playing)}));
            }
        }
        None
    }
}
