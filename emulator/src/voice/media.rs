//! Media: from each client to all others of its call, opened with one key and sealed with each receiver's.

use core::net::SocketAddr;
use std::time::Duration;

use parlor_voice_wire::discovery::{PACKET_LEN, PING_LEN, Ping, Request, Response};
use parlor_voice_wire::frame::Trailer;
use parlor_voice_wire::gateway::CloseCode;
use parlor_voice_wire::opus::SILENCE;
use parlor_voice_wire::rtcp::Packet;
use parlor_voice_wire::rtp::{self, Header, ONE_BYTE_PROFILE};
use parlor_voice_wire::transport::{Content, Extension};
use parlor_voice_wire::{ProtocolVersion, Ssrc};

use super::session::{Link, SessionKey};
use super::weather::{Late, part};
use super::{Surroundings, Voice, VoiceOutput};
use crate::faults::VoiceTrouble;
use crate::world::{Timestamp, World};

/// The server's own source, in reports.
const OWN_SOURCE: Ssrc = Ssrc::new(1);
/// How long packets may come before the op 5 that announces them: the two travel on different ways.
const ANNOUNCEMENT_PATIENCE: Duration = Duration::from_secs(1);

impl Voice {
    /// A datagram came in. What it is not possible to understand is dropped, as at Discord.
    pub(crate) fn datagram(
        &mut self,
        from: SocketAddr,
        bytes: &mut [u8],
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        around.stats.voice.datagrams += 1;
        if bytes.len() == PACKET_LEN
            && let Ok(request) = Request::read(bytes)
        {
            return self.discover(from, request, around);
        }
        if bytes.len() == PING_LEN
            && let Some(ping) = Ping::read(bytes)
        {
            around.stats.voice.pings += 1;
            return self.outputs.push(VoiceOutput::Datagram(from, ping.write_answer().to_vec()));
        }
        if bytes.len() < rtp::FIXED_LEN {
            // A keepalive of a client: nobody answers it.
            return;
        }
        if rtp::is_rtcp(bytes) { self.control(from, bytes, around) } else { self.packet(from, bytes, around, now) }
    }

    fn discover(&mut self, from: SocketAddr, request: Request, around: &mut Surroundings<'_>) {
        let session = self.sources.get(&request.ssrc).and_then(|key| self.sessions.get_mut(key));
        let Some(session) = session else { return };
        let Some(key) = self.sources.get(&request.ssrc) else { return };
        let loses = part!(LoseDiscovery.percent);
        if self.weather.strikes(key.user, loses) {
            around.stats.voice.lost += 1;
            return;
        }
        around.stats.voice.discoveries += 1;
        session.note_path(from);
        let answer = Response { ssrc: request.ssrc, address: from };
        self.outputs.push(VoiceOutput::Datagram(from, answer.write().to_vec()));
    }

    /// RTCP. A sender report is answered with a receiver report about the sender's own packets.
    fn control(&mut self, from: SocketAddr, bytes: &mut [u8], around: &mut Surroundings<'_>) {
        let [_, _, _, _, s0, s1, s2, s3, ..] = *bytes else { return };
        let ssrc = Ssrc::new(u32::from_be_bytes([s0, s1, s2, s3]));
        let session = self.sources.get(&ssrc).and_then(|key| self.sessions.get_mut(key));
        let Some(session) = session else { return };
        let Some(media) = &mut session.media else { return };
        let opened = media.opener.open_rtcp(bytes);
        let Some(packets) = opened.ok().and_then(|opened| Packet::read_all(opened).ok()) else {
            around.stats.voice.unopened += 1;
            return;
        };
        around.stats.voice.reports += 1;
        let mut answer = Vec::new();
        for packet in packets {
            if let Packet::SenderReport { ntp_time, .. } = packet
                && let Some(block) = media.reception.report(ssrc, (ntp_time >> 16) as u32)
            {
                Packet::ReceiverReport { ssrc: OWN_SOURCE, blocks: vec![block] }.write(&mut answer);
            }
        }
        let mut sealed = Vec::new();
        let is_sealed = !answer.is_empty() && media.sealer.seal_rtcp(&answer, &mut sealed).is_ok();
        session.note_path(from);
        if let Some(to) = session.reachable_at().filter(|_| is_sealed) {
            self.outputs.push(VoiceOutput::Datagram(to, sealed));
        }
    }

    /// RTP.
    fn packet(&mut self, from: SocketAddr, bytes: &mut [u8], around: &mut Surroundings<'_>, now: Timestamp) {
        let Ok(header) = Header::read(bytes) else { return };
        let Some(key) = self.sources.get(&header.ssrc).copied() else {
            around.stats.voice.unopened += 1;
            return;
        };
        let loses = part!(LoseSent.percent);
        if self.weather.strikes(key.user, loses) {
            around.stats.voice.lost += 1;
            return;
        }
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let Some(media) = &mut session.media else { return };
        let Ok((header, body)) = media.opener.open_rtp(bytes) else {
            around.stats.voice.unopened += 1;
            return;
        };
        let mut payload = body.payload.to_vec();
        media.reception.note(&header, now);
        session.note_path(from);
        around.stats.voice.packets_in += 1;
        *around.stats.voice.heard.entry(key.user).or_default() += 1;
        if session.speaking.is_none() {
            around.stats.voice.unannounced += 1;
            let since = *session.unannounced_since.get_or_insert(now);
            if let Link::Attached(id) = session.link
                && now.since(since) > ANNOUNCEMENT_PATIENCE
            {
                self.close(id, CloseCode::BadRequest, around, now);
            }
            return;
        }
        if !may_speak(key, around.world) {
            around.stats.voice.silenced += 1;
            let fills = |trouble| (trouble == VoiceTrouble::FillSilence).then_some(());
            if self.weather.find(key.user, fills).is_none() {
                return;
            }
            payload = SILENCE.to_vec();
        }
        let header = Header { ssrc: session.heard_as, contributing: Vec::new(), ..header };
        for other in self.others(key) {
            self.forward(other, &header, &payload, around, now);
        }
    }

    fn forward(
        &mut self,
        to: SessionKey,
        header: &Header,
        payload: &[u8],
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        if !may_hear(to, around.world) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&to) else { return };
        if session.speaks_dave == ProtocolVersion::NONE && Trailer::read(payload).is_ok() {
            // It could only play noise.
            around.stats.voice.withheld += 1;
            return;
        }
        let Some(address) = session.reachable_at() else { return };
        let Some(media) = &mut session.media else { return };
        *around.stats.voice.meant_for.entry(to.user).or_default() += 1;
        let weather = &mut self.weather;
        if weather.strikes(to.user, part!(Lose.percent)) {
            around.stats.voice.lost += 1;
            return;
        }
        let (mut header, mut payload) = (header.clone(), payload.to_vec());
        if weather.strikes(to.user, part!(Corrupt.percent)) {
            let place = weather.place(payload.len());
            if let Some(byte) = payload.get_mut(place) {
                *byte ^= 0x55;
                around.stats.voice.corrupted += 1;
            }
        }
        if weather.strikes(to.user, part!(Mix.percent)) {
            header.contributing.push(OWN_SOURCE);
        }
        let extends = weather.strikes(to.user, part!(Extend.percent));
        let pads = part!(Pad.percent);
        let padding = if weather.strikes(to.user, pads) {
            weather.find(to.user, part!(Pad.bytes)).map(|bytes| bytes.max(1))
        } else {
            None
        };
        let extension = extends.then_some(Extension { profile: ONE_BYTE_PROFILE, elements: &ELEMENTS });
        let content = Content { extension, payload: &payload, padding: padding.unwrap_or(0) };
        let mut sealed = Vec::with_capacity(payload.len() + 320);
        if media.sealer.seal_rtp(&header, content, &mut sealed).is_err() {
            return;
        }
        around.stats.voice.packets_out += 1;
        self.deliver(to, address, sealed, around, now);
    }

    /// A sealed packet goes its way.
    fn deliver(
        &mut self,
        to: SessionKey,
        address: SocketAddr,
        sealed: Vec<u8>,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        let weather = &mut self.weather;
        if weather.strikes(to.user, part!(Duplicate.percent)) {
            around.stats.voice.duplicated += 1;
            self.outputs.push(VoiceOutput::Datagram(address, sealed.clone()));
        }
        let delays = part!(Delay.percent);
        if weather.strikes(to.user, delays) {
            let by = weather.find(to.user, part!(Delay.millis));
            around.stats.voice.delayed += 1;
            let due = now + Duration::from_millis(by.unwrap_or(0).into());
            return weather.put_off(due, Late::Datagram(address, sealed));
        }
        let reorders = part!(Reorder.percent);
        if weather.strikes(to.user, reorders) {
            around.stats.voice.reordered += 1;
            let Some((address, sealed)) = weather.overtake(to, address, sealed) else { return };
            self.outputs.push(VoiceOutput::Datagram(address, sealed));
        } else {
            self.outputs.push(VoiceOutput::Datagram(address, sealed));
        }
        if let Some((address, overtaken)) = self.weather.overtaken(to) {
            self.outputs.push(VoiceOutput::Datagram(address, overtaken));
        }
    }
}

/// Audio level 0, with speech (RFC 6464), and Discord's speaking flags: element 9, "voice".
const ELEMENTS: [u8; 4] = [0x10, 0x80, 0x90, 0x02];

/// Whether others may hear a user: neither muted by a moderator nor in the audience of a stage.
fn may_speak(key: SessionKey, world: &World) -> bool {
    let member = world.guild(key.guild).and_then(|guild| guild.members.get(&key.user));
    let suppressed = world.voice_state(key.guild, key.user).is_some_and(|state| state.suppress);
    !suppressed && member.is_some_and(|member| !member.mute)
}

/// Whether a user hears others: deafened by nobody.
fn may_hear(key: SessionKey, world: &World) -> bool {
    let member = world.guild(key.guild).and_then(|guild| guild.members.get(&key.user));
    let deafened_self = world.voice_state(key.guild, key.user).is_some_and(|state| state.switches.self_deaf);
    !deafened_self && member.is_some_and(|member| !member.deaf)
}
