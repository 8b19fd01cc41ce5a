//! How a WebSocket comes to carry a session: Identify and Resume.

use std::collections::BTreeSet;

use parlor_voice_wire::gateway::{CloseCode, Credential, Identify, Ready, Resume, ServerMessage};
use parlor_voice_wire::transport::Mode;
use parlor_voice_wire::{self as wire, ProtocolVersion, Ssrc};

use super::outbox::Outbox;
use super::session::{Link, Session, SessionKey};
use super::{DavePolicy, Stage, Surroundings, Voice, VoiceConnectionId, VoiceOutput, is_stage};
use crate::faults::VoiceTrouble;
use crate::world::{ChannelId, GuildId, UserId, VoiceCredentials, World};

impl Voice {
    /// Op 0.
    pub(super) fn identify(
        &mut self,
        id: VoiceConnectionId,
        identify: &Identify,
        around: &mut Surroundings<'_>,
    ) -> Result<(), CloseCode> {
        around.stats.voice.identifies += 1;
        let guild = world_guild(identify.server_id).ok_or(CloseCode::ServerNotFound)?;
        let user = UserId::new(identify.user_id.get());
        let refusal = |trouble| {
            if let VoiceTrouble::RefuseIdentifies { code } = trouble {
                Some(CloseCode::from_number(code))
            } else {
                None
            }
        };
        if let Some(code) = self.weather.find(user, refusal) {
            return Err(code);
        }
        let key = SessionKey { guild, user };
        let credentials = prove(key, &identify.session_id, &identify.token, around.world)?;
        if self.sessions.contains_key(&key) {
            // A session is taken up with Resume or not at all.
            return Err(CloseCode::SessionNoLongerValid);
        }
        if self.must_encrypt(credentials.channel_id, around.world)
            && identify.max_dave_protocol_version < ProtocolVersion::V1
        {
            return Err(CloseCode::E2eeRequired);
        }
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        connection.stage = Stage::Attached(key);
        let version = connection.version;
        let ssrc = self.free_source(user);
        let session = Session {
            credentials,
            version,
            speaks_dave: identify.max_dave_protocol_version,
            link: Link::Attached(id),
            ssrc,
            heard_as: ssrc,
            speaking: None,
            unannounced_since: None,
            media: None,
            paths: BTreeSet::new(),
            outbox: Outbox::new(self.config.replay_messages),
        };
        self.sessions.insert(key, session);
        self.sources.insert(ssrc, key);
        around.world.note_voice_client(guild, user, true);
        let modes = self.config.modes.iter().copied().map(Mode::name).map(str::to_owned).collect();
        let ready = Ready { ssrc, ip: (*self.media.ip()).into(), port: self.media.port(), modes };
        self.say(id, &ServerMessage::Ready(ready));
        self.introduce(key);
        Ok(())
    }

    /// Tells a newcomer who is there, and them of the newcomer.
    fn introduce(&mut self, newcomer: SessionKey) {
        let others = self.others(newcomer);
        let present: Vec<UserId> = others.iter().map(|other| other.user).collect();
        self.tell_presence(newcomer, &present);
        for other in others {
            self.tell_source(newcomer, other);
            self.tell_presence(other, &[newcomer.user]);
        }
    }

    /// Op 7. Resumed comes before what is replayed: discord.js looks at no binary frame until then.
    pub(super) fn resume(
        &mut self,
        id: VoiceConnectionId,
        resume: &Resume,
        around: &mut Surroundings<'_>,
    ) -> Result<(), CloseCode> {
        around.stats.voice.resumes += 1;
        let guild = world_guild(resume.server_id).ok_or(CloseCode::ServerNotFound)?;
        let found = self
            .sessions
            .iter()
            .find(|(key, session)| key.guild == guild && session.credentials.session_id == resume.session_id.expose());
        let (key, session) = found.ok_or(CloseCode::SessionNoLongerValid)?;
        if session.credentials.token != resume.token.expose() {
            return Err(CloseCode::AuthenticationFailed);
        }
        let refuses = |trouble| (trouble == VoiceTrouble::RefuseResumes).then_some(());
        if self.weather.find(key.user, refuses).is_some() {
            return Err(CloseCode::SessionNoLongerValid);
        }
        let missed = session.outbox.after(resume.seq_ack).map_err(|_| CloseCode::SessionNoLongerValid)?;
        let (key, before) = (*key, session.link);
        if let Link::Attached(old) = before {
            // The client knows better than the server that its old connection is gone.
            self.connections.remove(&old);
            self.outputs.push(VoiceOutput::Drop(old));
        }
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        connection.stage = Stage::Attached(key);
        let version = connection.version;
        if let Some(session) = self.sessions.get_mut(&key) {
            session.link = Link::Attached(id);
            session.version = version;
        }
        around.world.note_voice_client(key.guild, key.user, true);
        around.stats.voice.replayed += missed.len() as u64;
        self.say(id, &ServerMessage::Resumed);
        for (sequence, message) in missed {
            self.outputs.push(VoiceOutput::Send(id, message.write(sequence, version)));
        }
        Ok(())
    }

    /// Whether clients that cannot encrypt end to end are refused in this channel.
    fn must_encrypt(&self, channel: ChannelId, world: &World) -> bool {
        self.config.dave == DavePolicy::Required && !is_stage(channel, world)
    }

    fn free_source(&mut self, user: UserId) -> Ssrc {
        let reuses = |trouble| (trouble == VoiceTrouble::ReuseSources).then_some(());
        if self.weather.find(user, reuses).is_some()
            && let Some(freed) = self.weather.freed.pop()
        {
            return freed;
        }
        loop {
            let ssrc = Ssrc::new(self.chance.u32(1..));
            if !self.sources.contains_key(&ssrc) {
                return ssrc;
            }
        }
    }
}

/// Compares what a client shows with what the main gateway told it.
fn prove(
    key: SessionKey,
    session_id: &Credential,
    token: &Credential,
    world: &World,
) -> Result<VoiceCredentials, CloseCode> {
    world.guild(key.guild).ok_or(CloseCode::ServerNotFound)?;
    let current = world.voice_credentials(key.guild, key.user).ok_or(CloseCode::SessionNoLongerValid)?;
    if current.session_id != session_id.expose() {
        return Err(CloseCode::SessionNoLongerValid);
    }
    if current.token != token.expose() {
        return Err(CloseCode::AuthenticationFailed);
    }
    Ok(current)
}

fn world_guild(id: wire::GuildId) -> Option<GuildId> {
    (id.get() > 0).then(|| GuildId::new(id.get()))
}
