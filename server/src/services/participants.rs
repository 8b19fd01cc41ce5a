//! ParticipantService: who is in which room, and changing that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_gateway::{
    GuildId, RoomId, Snapshot, UserId,
    rest::{Caller, MemberChange, Tenant, VoiceMove},
};
use parlor_proto::v1::{self, participant_service_server::ParticipantService};
use prost::Message;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    calls::{Call, Journal},
    deadline,
    discord::DiscordMembers,
    fields::Fields,
    pages,
};
use crate::{
    auth::{ChangeParticipants, Clock, Permit, ReadRooms, principal_of},
    hub::Hub,
    rates::Rates,
    rooms::mark_of,
    status::{Failure, Reason},
    store::Key,
    voice::{Consent, Sessions},
};

/// How long a call that asks Discord may take where the caller does not say.
const DISCORD_CALL: Duration = Duration::from_secs(20);

/// How long an answer waits for Discord's word of the change. Discord tells within a fraction of it; where its gateway
/// is not connected, nobody should wait.
const CONFIRMATION: Duration = Duration::from_secs(1);

/// The service.
pub struct Participants {
    shared: Arc<Shared>,
    journal: Journal,
}

/// What a call's own task needs.
struct Shared {
    hub: Arc<Hub>,
    discord: DiscordMembers,
    rates: Arc<Rates>,
    voice: Arc<Sessions>,
    clock: Clock,
}

/// What is to be so of somebody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    /// In this room, and even where it is full.
    Move {
        /// The room.
        room: RoomId,
        /// Whether a full room is no obstacle.
        over_limit: bool,
    },
    /// In none.
    Disconnect,
    /// Muted by the guild, or not.
    Mute(bool),
    /// Deafened by the guild, or not.
    Deafen(bool),
}

impl Wanted {
    /// What brings it about at Discord.
    fn change(self) -> MemberChange {
        let nothing = MemberChange::default();
        match self {
            Self::Move { room, .. } => MemberChange { voice: Some(VoiceMove::To(room)), ..nothing },
            Self::Disconnect => MemberChange { voice: Some(VoiceMove::Out), ..nothing },
            Self::Mute(mute) => MemberChange { mute: Some(mute), ..nothing },
            Self::Deafen(deaf) => MemberChange { deaf: Some(deaf), ..nothing },
        }
    }
}

/// Somebody who is to be changed, and why.
struct Order {
    permit: Permit<ChangeParticipants>,
    user: UserId,
    wanted: Wanted,
    /// For the audit log.
    reason: String,
    caller: Caller,
}

/// What became of an [`Order`].
#[derive(Clone, Debug)]
struct Changed {
    participant: Option<v1::Participant>,
    already_gone: bool,
    confirmed: bool,
    cursor: String,
    request_id: String,
}

/// A request that changes somebody.
trait Change: Message + Default + Clone {
    /// What it is answered with.
    type Answer: Message + Default;

    const METHOD: &'static str;

    /// The common fields: guild, user, request id, reason.
    fn named(&mut self) -> Named<'_>;

    /// What is to be so; nothing where a field is wrong.
    fn wanted(&self, fields: &mut Fields) -> Option<Wanted>;

    fn answer(changed: Changed) -> Self::Answer;
}

/// What the requests that change something have in common.
struct Named<'a> {
    guild_id: &'a str,
    user_id: &'a str,
    request_id: &'a mut String,
    audit_log_reason: &'a str,
}

/// Says of a request what makes it a [`Change`].
macro_rules! change {
    ($method:literal, $request:ident, $answer:ident { $($field:ident),+ }, $wanted:expr) => {
        impl Change for v1::$request {
            type Answer = v1::$answer;

            const METHOD: &'static str = $method;

            fn named(&mut self) -> Named<'_> {
                let Self { guild_id, user_id, request_id, audit_log_reason, .. } = self;
                Named { guild_id, user_id, request_id, audit_log_reason }
            }

            fn wanted(&self, fields: &mut Fields) -> Option<Wanted> {
                let wanted: fn(&Self, &mut Fields) -> Option<Wanted> = $wanted;
                wanted(self, fields)
            }

            fn answer(changed: Changed) -> v1::$answer {
                let Changed { $($field,)+ .. } = changed;
                v1::$answer { $($field),+ }
            }
        }
    };
}

change!(
    "MoveParticipant",
    MoveParticipantRequest,
    MoveParticipantResponse { participant, confirmed, cursor, request_id },
    |request, fields| {
        let room = fields.id("to_room_id", &request.to_room_id)?;
        Some(Wanted::Move { room, over_limit: request.ignore_user_limit })
    }
);
change!(
    "DisconnectParticipant",
    DisconnectParticipantRequest,
    DisconnectParticipantResponse { already_gone, confirmed, cursor, request_id },
    |_, _| Some(Wanted::Disconnect)
);
change!(
    "SetParticipantMute",
    SetParticipantMuteRequest,
    SetParticipantMuteResponse { participant, confirmed, cursor, request_id },
    |request, _| Some(Wanted::Mute(request.mute))
);
change!(
    "SetParticipantDeafen",
    SetParticipantDeafenRequest,
    SetParticipantDeafenResponse { participant, confirmed, cursor, request_id },
    |request, _| Some(Wanted::Deafen(request.deaf))
);

impl Participants {
    /// A service over this hub and this Discord.
    pub fn new(
        hub: Arc<Hub>,
        discord: DiscordMembers,
        journal: Journal,
        rates: Arc<Rates>,
        voice: Arc<Sessions>,
        clock: Clock,
    ) -> Self {
        Self { shared: Arc::new(Shared { hub, discord, rates, voice, clock }), journal }
    }

    /// Has somebody changed as the request says, once.
    async fn change<R: Change>(&self, request: Request<R>) -> Result<Response<R::Answer>, Status> {
        let principal = principal_of(request.extensions())?;
        principal.covered::<ChangeParticipants>()?;
        let deadline = deadline::unary(request.metadata(), DISCORD_CALL, deadline::now());
        let mut request = request.into_inner();
        let mut fields = Fields::default();
        let wanted = request.wanted(&mut fields);
        let named = request.named();
        let guild: Option<GuildId> = fields.id("guild_id", named.guild_id);
        let user: Option<UserId> = fields.id("user_id", named.user_id);
        let id: Uuid = fields.request_id(named.request_id);
        let reason = fields.audit_log_reason(named.audit_log_reason);
        fields.finish()?;
        named.request_id.clear();
        let (guild, user) = guild.zip(user).expect("missing ids are wrong fields");
        let wanted = wanted.expect("a missing room is a wrong field");
        let permit = principal.permit::<ChangeParticipants>(guild)?;
        let call = Call::new(&principal.subject, id, R::METHOD, &request, deadline);
        let reason = format!("{reason} {}", mark_of(id)).trim_start().to_owned();
        let caller = Caller::new(Tenant::new(principal.subject.as_str()), deadline);
        let order = Order { permit, user, wanted, reason, caller };
        let shared = Arc::clone(&self.shared);
        let work = move |_, _| async move { Ok(R::answer(shared.carry_out(order, id).await?)) };
        Ok(Response::new(self.journal.once(call, work).await?))
    }
}

#[tonic::async_trait]
impl ParticipantService for Participants {
    async fn list_participants(
        &self,
        request: Request<v1::ListParticipantsRequest>,
    ) -> Result<Response<v1::ListParticipantsResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let granted = principal.covered::<ReadRooms>()?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let guild: Option<GuildId> = fields.optional_id("guild_id", &request.guild_id);
        let room: Option<RoomId> = fields.optional_id("room_id", &request.room_id);
        let size = fields.page_size(request.page_size);
        let question = ("participants", granted, guild, room);
        let after = pages::open(&question, &request.page_token).unwrap_or_else(|_| {
            fields.wrong("page_token", "is not from an answer to the same request");
            None
        });
        fields.finish()?;
        let snapshot = self.shared.hub.snapshot();
        let mut only = guild;
        if let Some(guild) = guild {
            principal.permit::<ReadRooms>(guild)?;
        }
        if let Some(room) = room {
            let of = guild_of_open(&snapshot, room)?;
            principal.permit::<ReadRooms>(of)?;
            if only.is_some_and(|only| only != of) {
                return Err(unknown_room(room).into());
            }
            only = Some(of);
        }

        let guilds =
            snapshot.guilds.iter().filter(|(id, _)| granted.covers(**id) && only.is_none_or(|only| only == **id));
        let mut listed = guilds
            .flat_map(|(id, guild)| guild.participants().map(move |(at, user, shown)| (*id, at, user, shown)))
            .filter(|(guild, _, user, _)| after.is_none_or(|after| (guild.get(), user.get()) > after))
            .filter(|(_, at, _, _)| room.is_none_or(|room| room == *at));
        let page: Vec<_> = listed.by_ref().take(size).collect();
        let more = listed.next().is_some();
        let last = page.last().filter(|_| more).map(|(guild, _, user, _)| (guild.get(), user.get()));
        Ok(Response::new(v1::ListParticipantsResponse {
            next_page_token: last.map(|last| pages::seal(&question, last)).unwrap_or_default(),
            participants: page.into_iter().map(|(_, _, _, shown)| shown).collect(),
        }))
    }

    async fn move_participant(
        &self,
        request: Request<v1::MoveParticipantRequest>,
    ) -> Result<Response<v1::MoveParticipantResponse>, Status> {
        self.change(request).await
    }

    async fn disconnect_participant(
        &self,
        request: Request<v1::DisconnectParticipantRequest>,
    ) -> Result<Response<v1::DisconnectParticipantResponse>, Status> {
        self.change(request).await
    }

    async fn set_participant_mute(
        &self,
        request: Request<v1::SetParticipantMuteRequest>,
    ) -> Result<Response<v1::SetParticipantMuteResponse>, Status> {
        self.change(request).await
    }

    async fn set_participant_deafen(
        &self,
        request: Request<v1::SetParticipantDeafenRequest>,
    ) -> Result<Response<v1::SetParticipantDeafenResponse>, Status> {
        self.change(request).await
    }

    async fn set_audio_consent(
        &self,
        request: Request<v1::SetAudioConsentRequest>,
    ) -> Result<Response<v1::SetAudioConsentResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        principal.covered::<ChangeParticipants>()?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let guild: Option<GuildId> = fields.id("guild_id", &request.guild_id);
        let user: Option<UserId> = fields.id("user_id", &request.user_id);
        fields.finish()?;
        let (guild, user) = guild.zip(user).expect("missing ids are wrong fields");
        principal.permit::<ChangeParticipants>(guild)?;
        let consent = Arc::clone(&self.shared).note_consent(guild, user, request.opted_out).await?;
        Ok(Response::new(v1::SetAudioConsentResponse { consent: Some(show_consent(guild, user, consent)) }))
    }

    async fn list_audio_consents(
        &self,
        request: Request<v1::ListAudioConsentsRequest>,
    ) -> Result<Response<v1::ListAudioConsentsResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let granted = principal.covered::<ReadRooms>()?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let only: Option<GuildId> = fields.optional_id("guild_id", &request.guild_id);
        let size = fields.page_size(request.page_size);
        let question = ("consents", granted, only);
        let after = pages::open(&question, &request.page_token).unwrap_or_else(|_| {
            fields.wrong("page_token", "is not from an answer to the same request");
            None
        });
        fields.finish()?;
        if let Some(guild) = only {
            principal.permit::<ReadRooms>(guild)?;
        }
        let all = self.shared.voice.consents().all();
        let mut listed = all
            .into_iter()
            .filter(|(guild, ..)| granted.covers(*guild) && only.is_none_or(|only| only == *guild))
            .filter(|(guild, user, _)| after.is_none_or(|after| (guild.get(), user.get()) > after));
        let page: Vec<_> = listed.by_ref().take(size).collect();
        let more = listed.next().is_some();
        let last = page.last().filter(|_| more).map(|(guild, user, _)| (guild.get(), user.get()));
        Ok(Response::new(v1::ListAudioConsentsResponse {
            next_page_token: last.map(|last| pages::seal(&question, last)).unwrap_or_default(),
            consents: page.into_iter().map(|(guild, user, consent)| show_consent(guild, user, Some(consent))).collect(),
        }))
    }
}

fn show_consent(guild: GuildId, user: UserId, consent: Option<Consent>) -> v1::AudioConsent {
    v1::AudioConsent {
        guild_id: guild.to_string(),
        user_id: user.to_string(),
        opted_out: consent.is_some(),
        update_time: consent.map(|consent| consent.noted_at.into()),
    }
}

fn unknown_room(room: RoomId) -> Failure {
    Failure::new(Reason::RoomUnknown, "there is no such room").with("room_id", room.to_string())
}

/// The guild of a room that has not ended.
fn guild_of_open(snapshot: &Snapshot, room: RoomId) -> Result<GuildId, Failure> {
    let found = snapshot.guild_of(room).filter(|(_, guild)| guild.has_room(room)).map(|(id, _)| id);
    found.ok_or_else(|| unknown_room(room))
}

impl Shared {
    async fn carry_out(self: Arc<Self>, order: Order, id: Uuid) -> Result<Changed, Failure> {
        let Order { permit, user, wanted, reason, caller } = order;
        let guild = permit.guild();
        let snapshot = self.hub.snapshot();
        if !snapshot.guilds.contains_key(&guild) {
            let failure = Failure::new(Reason::GuildUnknown, "the bot is not in this guild: invite it first");
            return Err(failure.with("guild_id", guild.to_string()));
        }
        if let Wanted::Move { room, over_limit } = wanted {
            may_be_moved(&snapshot, guild, user, room, over_limit)?;
        }
        self.rates.change_guild(guild, 1)?;
        // From before Discord is asked, so that its word of the change comes after.
        let cursor = self.hub.placed(guild, None).cursor;
        let already_gone = match self.discord.change(&permit, user, wanted.change(), &reason, &caller).await {
            Ok(()) => false,
            // What was wanted is so.
            Err(failure) if wanted == Wanted::Disconnect && failure.reason() == Reason::ParticipantNotInVoice => true,
            Err(failure) => return Err(failure),
        };
        let confirmed = self.confirmed(guild, user, wanted, caller.deadline).await;
        let snapshot = self.hub.snapshot();
        let shown = snapshot.guilds.get(&guild).and_then(|guild| guild.participant(user));
        Ok(Changed {
            participant: shown.map(|(_, participant)| participant),
            already_gone,
            confirmed,
            cursor,
            request_id: id.to_string(),
        })
    }

    /// Notes whether somebody wants to be heard: stored first, and then so in every session.
    async fn note_consent(
        self: Arc<Self>,
        guild: GuildId,
        user: UserId,
        opted_out: bool,
    ) -> Result<Option<Consent>, Failure> {
        if !self.hub.snapshot().guilds.contains_key(&guild) {
            let failure = Failure::new(Reason::GuildUnknown, "the bot is not in this guild: invite it first");
            return Err(failure.with("guild_id", guild.to_string()));
        }
        let not_stored = || {
            let failure = Failure::new(Reason::StoreUnavailable, "what happens cannot be stored at the moment");
            failure.retry_after(Duration::from_secs(1))
        };
        if !self.hub.is_writable() {
            return Err(not_stored());
        }
        let consents = self.voice.consents();
        let before = consents.get(guild, user);
        if before.is_some() == opted_out {
            return Ok(before);
        }
        let wall = (self.clock)();
        let consent = opted_out.then_some(Consent { noted_at: wall });
        let row = consent.map(Consent::to_bytes);
        let stored = self.hub.act(wall, move |draft| draft.keep(Key::Consent(guild, user), row)).await;
        stored.map_err(|_| not_stored())?;
        consents.set(guild, user, consent);
        self.voice.set_opted_out(guild, user, opted_out);
        Ok(consent)
    }

    /// Waits a while for Discord's word of the change.
    async fn confirmed(&self, guild: GuildId, user: UserId, wanted: Wanted, deadline: Instant) -> bool {
        let mut told = self.hub.changes();
        let until = deadline.min(super::deadline::now() + CONFIRMATION);
        let word = async {
            loop {
                told.mark_unchanged();
                if is_so(&self.hub.snapshot(), guild, user, wanted) {
                    return true;
                }
                if told.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout_at(until.into(), word).await.unwrap_or(false)
    }
}

/// Whether the room takes one more, as far as Parlor knows.
fn may_be_moved(
    snapshot: &Snapshot,
    guild: GuildId,
    user: UserId,
    room: RoomId,
    over_limit: bool,
) -> Result<(), Failure> {
    if guild_of_open(snapshot, room)? != guild {
        let message = "the room is of another guild: nobody is moved between guilds";
        return Err(Failure::new(Reason::RoomInOtherGuild, message).with("room_id", room.to_string()));
    }
    let Some(known) = snapshot.guilds.get(&guild) else { return Ok(()) };
    let Some(shown) = known.room(room) else { return Ok(()) };
    let is_inside = known.participant(user).is_some_and(|(at, _)| at == room);
    if !over_limit && !is_inside && shown.user_limit > 0 && shown.participant_count >= shown.user_limit {
        let message = "the room has as many participants as its user limit says";
        let failure = Failure::new(Reason::RoomFull, message).with("room_id", room.to_string());
        return Err(failure.with("user_limit", shown.user_limit.to_string()));
    }
    Ok(())
}

/// Whether somebody is shown as was asked for.
fn is_so(snapshot: &Snapshot, guild: GuildId, user: UserId, wanted: Wanted) -> bool {
    let shown = snapshot.guilds.get(&guild).and_then(|guild| guild.participant(user));
    match (wanted, shown) {
        (Wanted::Move { room, .. }, Some((at, _))) => at == room,
        (Wanted::Mute(mute), Some((_, shown))) => shown.mute == mute,
        (Wanted::Deafen(deaf), Some((_, shown))) => shown.deaf == deaf,
        (Wanted::Disconnect, shown) => shown.is_none(),
        (Wanted::Move { .. } | Wanted::Mute(_) | Wanted::Deafen(_), None) => false,
    }
}
