//! Members in voice (Discord docs, resources/guild, "Modify Guild Member"; resources/voice).

use std::time::SystemTime;

use serde::Serialize;
use serde_json::value::RawValue;
use twilight_http::request::{AuditLogReason as _, Method, RequestBuilder};

use super::{channel_id, guild_id, user_id};
use crate::{
    id::{ChannelId, GuildId, RoomId, UserId},
    rest::{
        Caller, Rest, RestError,
        outgoing::Outgoing,
        permission::Permission,
        schedule::{Lane, Resource, Route, Verb},
    },
    translate::wire::RawVoiceState,
    update::VoiceState,
};

const CHANGE: Route = Route::new(Verb::Patch, "/guilds/{guild}/members/{user}");
const OWN_VOICE_STATE: Route = Route::new(Verb::Patch, "/guilds/{guild}/voice-states/@me");
const VOICE_STATE: Route = Route::new(Verb::Get, "/guilds/{guild}/voice-states/{user}");

/// What to change about a member; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MemberChange {
    /// Where to put them. They have to be in voice. Needs Move Members, and Connect in the room.
    pub voice: Option<VoiceMove>,
    /// Whether they are muted for everybody. They have to be in voice. Needs Mute Members.
    pub mute: Option<bool>,
    /// Whether they hear nobody. They have to be in voice. Needs Deafen Members.
    pub deaf: Option<bool>,
}

/// Where to put a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VoiceMove {
    /// Into this room.
    To(RoomId),
    /// Out of voice.
    Out,
}

impl MemberChange {
    fn needs(self) -> &'static [Permission] {
        use Permission::{Connect, DeafenMembers, MoveMembers, MuteMembers};
        match (self.voice.is_some(), self.mute.is_some(), self.deaf.is_some()) {
            (false, false, false) => &[],
            (false, false, true) => &[DeafenMembers],
            (false, true, false) => &[MuteMembers],
            (false, true, true) => &[MuteMembers, DeafenMembers],
            (true, false, false) => &[MoveMembers, Connect],
            (true, false, true) => &[MoveMembers, Connect, DeafenMembers],
            (true, true, false) => &[MoveMembers, Connect, MuteMembers],
            (true, true, true) => &[MoveMembers, Connect, MuteMembers, DeafenMembers],
        }
    }
}

impl Rest {
    /// Moves, mutes or deafens a member, or takes them out of voice. Safe to repeat.
    pub async fn change_member(
        &self,
        guild: GuildId,
        user: UserId,
        change: MemberChange,
        reason: &str,
        caller: &Caller,
    ) -> Result<(), RestError> {
        self.tell(self.change_member_request(guild, user, change, reason, caller)?).await
    }

    pub(super) fn change_member_request(
        &self,
        guild: GuildId,
        user: UserId,
        change: MemberChange,
        reason: &str,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        let mut request = self.builder.update_guild_member(guild_id(guild), user_id(user)).reason(reason);
        let room = match change.voice {
            Some(VoiceMove::To(room)) => Some(ChannelId::from(room)),
            Some(VoiceMove::Out) | None => None,
        };
        if change.voice.is_some() {
            request = request.channel_id(room.map(channel_id));
        }
        if let Some(mute) = change.mute {
            request = request.mute(mute);
        }
        if let Some(deaf) = change.deaf {
            request = request.deaf(deaf);
        }
        Ok(Outgoing::new(CHANGE, Resource::Guild(guild), request, caller)?
            .in_lane(Lane::Member(guild, user))
            .needing(change.needs())
            .about_user(user)
            .about_channel(room))
    }

    /// Where a member is in voice, and how. [`Refusal::UnknownVoiceState`](super::super::Refusal) where they are not.
    /// Safe to repeat.
    pub async fn voice_state(&self, guild: GuildId, user: UserId, caller: &Caller) -> Result<VoiceState, RestError> {
        let request = self.builder.user_voice_state(guild_id(guild), user_id(user));
        let outgoing = Outgoing::new(VOICE_STATE, Resource::Guild(guild), request, caller)?.about_user(user);
        let text: Box<RawValue> = self.ask(outgoing).await?;
        let state: RawVoiceState<'_> = serde_json::from_str(text.get()).map_err(|_| RestError::UnreadableAnswer)?;
        Ok(state.into_state(guild))
    }

    /// Lets the bot speak on the stage that it is in. Needs Mute Members there. Safe to repeat.
    pub async fn speak_on_stage(&self, guild: GuildId, stage: RoomId, caller: &Caller) -> Result<(), RestError> {
        self.tell(Self::speak_on_stage_request(guild, stage, caller)?).await
    }

    pub(super) fn speak_on_stage_request(
        guild: GuildId,
        stage: RoomId,
        caller: &Caller,
    ) -> Result<Outgoing, RestError> {
        // twilight 0.18 can only have the bot suppressed.
        let body = OwnVoiceState { channel_id: stage.into(), suppress: Some(false), request_to_speak_timestamp: None };
        Ok(body.request(guild, caller)?.needing(&[Permission::MuteMembers]))
    }

    /// Raises the bot's hand in the audience of the stage that it is in: a moderator may let it speak then. Needs Request
    /// to Speak there. Safe to repeat.
    pub async fn ask_to_speak(
        &self,
        guild: GuildId,
        stage: RoomId,
        caller: &Caller,
        now: SystemTime,
    ) -> Result<(), RestError> {
        self.tell(Self::ask_to_speak_request(guild, stage, caller, now)?).await
    }

    pub(super) fn ask_to_speak_request(
        guild: GuildId,
        stage: RoomId,
        caller: &Caller,
        now: SystemTime,
    ) -> Result<Outgoing, RestError> {
        let time = prost_types::Timestamp::from(now).to_string();
        let body = OwnVoiceState { channel_id: stage.into(), suppress: None, request_to_speak_timestamp: Some(time) };
        Ok(body.request(guild, caller)?.needing(&[Permission::RequestToSpeak]))
    }
}

/// Discord docs, resources/voice, "Modify Current User Voice State".
#[derive(Serialize)]
struct OwnVoiceState {
    channel_id: ChannelId,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_to_speak_timestamp: Option<String>,
}

impl OwnVoiceState {
    fn request(&self, guild: GuildId, caller: &Caller) -> Result<Outgoing, RestError> {
        let request = RequestBuilder::raw(Method::Patch, format!("guilds/{guild}/voice-states/@me")).json(self);
        let request = request.build().map_err(|wrong| RestError::invalid(wrong.to_string()))?;
        Ok(Outgoing::of(OWN_VOICE_STATE, Resource::Guild(guild), &request, caller).about_channel(Some(self.channel_id)))
    }
}
