//! Faults that strike at once.

use std::collections::BTreeMap;

use parlor_voice_wire::gateway::CloseCode;

use super::session::{Link, SessionKey};
use super::{Surroundings, Voice, VoiceOutput};
use crate::faults::VoiceTrouble;
use crate::world::{ChannelId, Timestamp, UserId};

impl Voice {
    /// A fault, for one user or for all. What it changes in the world takes effect when the world is settled.
    pub(crate) fn strike(
        &mut self,
        trouble: VoiceTrouble,
        only: Option<UserId>,
        around: &mut Surroundings<'_>,
        now: Timestamp,
    ) {
        if let VoiceTrouble::SwapSources = trouble {
            return self.swap_sources();
        }
        if let VoiceTrouble::BeginAnew { times } = trouble {
            for channel in self.deliveries.keys().copied().collect::<Vec<_>>() {
                self.with_call(channel, around, |delivery, _| delivery.storm(times, now));
            }
            return;
        }
        if let VoiceTrouble::MoveServer | VoiceTrouble::RemoveServer = trouble {
            return around.world.change_voice_servers(only, trouble == VoiceTrouble::MoveServer);
        }
        let struck: Vec<SessionKey> =
            self.sessions.keys().copied().filter(|key| only.is_none_or(|user| user == key.user)).collect();
        for key in struck {
            let attached = match self.sessions.get(&key).map(|session| session.link) {
                Some(Link::Attached(id)) => Some(id),
                Some(Link::Detached(_)) | None => None,
            };
            if let VoiceTrouble::DropConnections = trouble
                && let Some(id) = attached
                && self.detach(id, around, now)
            {
                self.outputs.push(VoiceOutput::Drop(id));
            } else if let VoiceTrouble::Close { code } = trouble {
                let code = CloseCode::from_number(code);
                if let Some(id) = attached {
                    self.close(id, code, around, now);
                }
                if !is_resumable(code) {
                    self.end(key, around, now);
                }
            }
        }
    }

    /// Everybody in a call is heard as the next one was, in order of their ids.
    fn swap_sources(&mut self) {
        let mut calls: BTreeMap<ChannelId, Vec<SessionKey>> = BTreeMap::new();
        for (key, session) in &self.sessions {
            calls.entry(session.channel()).or_default().push(*key);
        }
        for members in calls.into_values() {
            let sources: Vec<_> =
                members.iter().filter_map(|key| self.sessions.get(key)).map(|session| session.heard_as).collect();
            let rotated = sources.iter().cycle().skip(1);
            for (key, source) in members.iter().zip(rotated) {
                if let Some(session) = self.sessions.get_mut(key) {
                    session.heard_as = *source;
                }
            }
            for of in &members {
                for to in members.iter().filter(|to| *to != of) {
                    self.tell_source(*to, *of);
                }
            }
        }
    }
}

/// Whether a session lives on after this code (Discord docs, Opcodes and Status Codes, "Voice Close Event Codes").
const fn is_resumable(code: CloseCode) -> bool {
    matches!(code, CloseCode::ServerCrashed | CloseCode::WorkerCrashed | CloseCode::Other(_))
}
