//! VoiceSessionService: being in rooms, hearing and speaking.

mod fields;
mod hear;
mod speak;
mod stream;

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::Stream;
use parlor_gateway::{
    GuildId, RoomId, UserId,
    rest::{Caller, Tenant},
};
use parlor_proto::v1::{self, VoiceSessionEnding, voice_session_service_server::VoiceSessionService};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use self::{hear::Receiving, stream::Guard};
use super::{deadline, discord::DiscordVoice, fields::Fields, pages, streams::StreamLimits};
use crate::{
    auth::{Clock, Denied, ForceDisconnect, Listen, Principal, Speak, principal_of},
    hub::Hub,
    rates::Rates,
    status::{Failure, Reason},
    voice::{LeaseHold, LeaseTerms, NotConnected, Order, Session, Sessions, Wanted, Watching},
};

/// How long a call may take where the caller does not say.
const CALL: Duration = Duration::from_secs(20);

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the service stands on.
pub struct VoiceParts {
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// Rooms and guilds.
    pub hub: Arc<Hub>,
    /// Discord's REST API.
    pub discord: DiscordVoice,
    /// How often callers may call.
    pub rates: Arc<Rates>,
    /// How many streams may be open.
    pub limits: StreamLimits,
    /// Cancelled when the server begins to end its streams.
    pub draining: tokio_util::sync::CancellationToken,
    /// The time of day.
    pub clock: Clock,
}

/// The service.
pub struct VoiceSessions {
    parts: Arc<VoiceParts>,
}

impl VoiceSessions {
    /// A service over these sessions.
    pub fn new(parts: VoiceParts) -> Self {
        Self { parts: Arc::new(parts) }
    }
}

/// That the caller may hear or speak in some guild.
fn may_do_either(principal: &Principal) -> Result<(), Denied> {
    principal.covered::<Listen>().or_else(|denied| principal.covered::<Speak>().map_err(|_| denied)).map(|_| ())
}

/// That the caller may hear or speak in this guild.
fn may_do_either_in(principal: &Principal, guild: GuildId) -> Result<(), Denied> {
    let speak = |denied| principal.permit::<Speak>(guild).map(|_| ()).map_err(|_| denied);
    principal.permit::<Listen>(guild).map(|_| ()).or_else(speak)
}

impl VoiceParts {
    /// The session of this id, if it is not over.
    fn session(&self, id: Option<Uuid>) -> Result<Arc<Session>, Failure> {
        let unknown = || Failure::new(Reason::VoiceSessionUnknown, "there is no such voice session, or it is over");
        id.and_then(|id| self.sessions.get(id)).ok_or_else(unknown)
    }

    /// Keeps a caller's lease for as long as its stream is open, where it names one.
    fn hold(
        &self,
        session: &Arc<Session>,
        lease: Option<Uuid>,
        principal: &Principal,
    ) -> Result<Option<LeaseHold>, Failure> {
        let Some(id) = lease else { return Ok(None) };
        let hold = LeaseHold::new(session, id, &principal.subject);
        let unknown =
            || Failure::bad_request([("lease_id".to_owned(), "is not a lease of yours that lasts".to_owned())]);
        hold.map(Some).ok_or_else(unknown)
    }

    fn guard(&self, principal: Arc<Principal>) -> Result<Guard, Status> {
        Guard::enter(self, principal)
    }

    async fn connect(&self, request: Request<v1::ConnectRequest>) -> Result<v1::ConnectResponse, Status> {
        let principal = principal_of(request.extensions())?;
        may_do_either(&principal)?;
        let now = Instant::now();
        let deadline = deadline::unary(request.metadata(), CALL, now);
        let request = request.into_inner();
        let mut fields = Fields::default();
        let room: Option<RoomId> = fields.id("room_id", &request.room_id);
        let lease = fields.lease(&request);
        let wait = fields.wait(request.wait);
        fields.finish()?;
        let room = room.expect("a missing room is a wrong field");
        let (id, duration) = lease.expect("a wrong lease is a wrong field");
        let snapshot = self.hub.snapshot();
        let unknown = || Failure::new(Reason::RoomUnknown, "there is no such room").with("room_id", room.to_string());
        let (guild_id, guild) = snapshot.guild_of(room).ok_or_else(unknown)?;
        may_do_either_in(&principal, guild_id)?;
        let Some(facts) = guild.facts(room) else {
            let ended = Failure::new(Reason::RoomEnded, "the room has ended");
            return Err(ended.with("room_id", room.to_string()).into());
        };
        let caller = Caller::new(Tenant::new(principal.subject.as_str()), deadline);
        let bot = match snapshot.self_user() {
            Some(bot) => bot,
            None => self.discord.bot(&caller).await?,
        };
        if !self.sessions.all().iter().any(|session| session.guild() == guild_id) {
            self.rates.change_guild(guild_id, 1)?;
        }
        let order = Order {
            guild: guild_id,
            room,
            bot,
            bitrate: facts.bitrate,
            lease: LeaseTerms { id, subject: principal.subject.clone(), duration },
            announces: request.announce_listening,
            rejoins: request.rejoin,
        };
        let connected = self.sessions.connect(order).await.map_err(|error| not_connected(&error))?;
        let until = deadline.min(now + wait);
        // Where it takes longer, the answer says how far it is.
        let _ = tokio::time::timeout_at(until.into(), connected.session.settled()).await;
        if let Some(ended) = connected.session.ended() {
            let refused = Failure::new(
                Reason::VoiceRefused,
                "the session is over: Discord did not let the bot in, or took it out",
            );
            let refused = refused.with("ending", ended.ending.as_str_name()).with("room_id", room.to_string());
            let refused = match ended.close_code {
                Some(code) => refused.with("close_code", code.to_string()),
                None => refused,
            };
            let is_told = !ended.detail.is_empty();
            return Err(if is_told { refused.with("detail", ended.detail) } else { refused }.into());
        }
        let left = connected.until.saturating_duration_since(Instant::now());
        Ok(v1::ConnectResponse {
            session: Some(connected.session.show()),
            lease: Some(v1::VoiceLease { lease_id: id.to_string(), expire_time: Some(((self.clock)() + left).into()) }),
            created: connected.created,
        })
    }

    async fn disconnect(&self, request: &Request<v1::DisconnectRequest>) -> Result<v1::DisconnectResponse, Status> {
        let principal = principal_of(request.extensions())?;
        may_do_either(&principal)?;
        let request = request.get_ref();
        if request.force {
            principal.covered::<ForceDisconnect>()?;
        }
        let mut fields = Fields::default();
        let id = fields.uuid("session_id", &request.session_id);
        let lease = if request.force && request.lease_id.is_empty() {
            None
        } else {
            fields.uuid("lease_id", &request.lease_id)
        };
        fields.finish()?;
        let gone = v1::DisconnectResponse { already_gone: true, session_ended: true };
        let Some(session) = id.and_then(|id| self.sessions.get(id)) else { return Ok(gone) };
        may_do_either_in(&principal, session.guild())?;
        if request.force {
            principal.permit::<ForceDisconnect>(session.guild())?;
            session.end(VoiceSessionEnding::Forced);
            return Ok(v1::DisconnectResponse { already_gone: false, session_ended: true });
        }
        let given = lease.is_some_and(|lease| session.give_back(lease, &principal.subject));
        let session_ended = session.show().lease_count == 0;
        if given && !session_ended {
            self.sessions.keep(&session).await;
        }
        Ok(v1::DisconnectResponse { already_gone: !given, session_ended })
    }

    fn list(&self, request: &Request<v1::ListSessionsRequest>) -> Result<v1::ListSessionsResponse, Status> {
        let principal = principal_of(request.extensions())?;
        may_do_either(&principal)?;
        let request = request.get_ref();
        let mut fields = Fields::default();
        let only: Option<GuildId> = fields.optional_id("guild_id", &request.guild_id);
        let size = fields.page_size(request.page_size);
        let question = ("sessions", &principal.guilds, only);
        let after = pages::open(&question, &request.page_token).unwrap_or_else(|_| {
            fields.wrong("page_token", "is not from an answer to the same request");
            None
        });
        fields.finish()?;
        if let Some(guild) = only {
            may_do_either_in(&principal, guild)?;
        }
        let all = self.sessions.all();
        let mut listed = all
            .iter()
            .filter(|session| principal.guilds.covers(session.guild()))
            .filter(|session| only.is_none_or(|only| only == session.guild()))
            .filter(|session| after.is_none_or(|(guild, _)| session.guild().get() > guild));
        let page: Vec<_> = listed.by_ref().take(size).collect();
        let more = listed.next().is_some();
        let last = page.last().filter(|_| more).map(|session| (session.guild().get(), 0));
        Ok(v1::ListSessionsResponse {
            next_page_token: last.map(|last| pages::seal(&question, last)).unwrap_or_default(),
            sessions: page.into_iter().map(|session| session.show()).collect(),
        })
    }

    async fn e2ee(&self, request: &Request<v1::GetE2eeStateRequest>) -> Result<v1::GetE2eeStateResponse, Status> {
        let principal = principal_of(request.extensions())?;
        may_do_either(&principal)?;
        let mut fields = Fields::default();
        let id = fields.uuid("session_id", &request.get_ref().session_id);
        let user: Option<UserId> = fields.optional_id("verify_user_id", &request.get_ref().verify_user_id);
        fields.finish()?;
        let session = self.session(id)?;
        may_do_either_in(&principal, session.guild())?;
        let verification_code = match user {
            None => String::new(),
            Some(user) => {
                let verification = session.verification(user).await.ok_or_else(|| {
                    let unknown = Failure::new(Reason::ParticipantUnknown, "the user has no key in this call");
                    unknown.with("user_id", user.to_string())
                })?;
                // It takes 180 ms of CPU.
                let code = tokio::task::spawn_blocking(move || verification.code()).await;
                let failed = || Failure::new(Reason::Internal, "the code could not be computed");
                code.ok().and_then(Result::ok).ok_or_else(failed)?
            }
        };
        Ok(v1::GetE2eeStateResponse { state: Some(session.e2ee()), verification_code })
    }

    /// Lets a caller hear a session.
    fn hear(
        &self,
        session: &Arc<Session>,
        wanted: Wanted,
        principal: &Principal,
    ) -> Result<crate::voice::Hearing, Denied> {
        principal.permit::<Listen>(session.guild())?;
        self.sessions.announce(session, Instant::now());
        Ok(crate::voice::Hearing::begin(session, wanted))
    }
}

fn not_connected(error: &NotConnected) -> Failure {
    match error {
        NotConnected::Elsewhere(session) => {
            let message = "the bot is in another room of this guild, and can be in one at a time";
            let failure = Failure::new(Reason::VoiceSessionElsewhere, message);
            failure.with("room_id", session.room().to_string()).with("session_id", session.id().to_string())
        }
        NotConnected::LeaseOfAnother => {
            Failure::bad_request([("lease_id".to_owned(), "is the lease of somebody else".to_owned())])
        }
        NotConnected::TooMany => {
            Failure::new(Reason::VoiceSessionQuota, "the server carries as many voice sessions as it may")
        }
        NotConnected::Draining => stream::draining(),
    }
}

#[tonic::async_trait]
impl VoiceSessionService for VoiceSessions {
    type WatchSessionStream = Answers<v1::WatchSessionResponse>;
    type StreamAudioStream = Answers<v1::StreamAudioResponse>;
    type ReceiveAudioStream = Answers<v1::ReceiveAudioResponse>;

    async fn connect(&self, request: Request<v1::ConnectRequest>) -> Result<Response<v1::ConnectResponse>, Status> {
        self.parts.connect(request).await.map(Response::new)
    }

    async fn disconnect(
        &self,
        request: Request<v1::DisconnectRequest>,
    ) -> Result<Response<v1::DisconnectResponse>, Status> {
        self.parts.disconnect(&request).await.map(Response::new)
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::GetSessionResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        may_do_either(&principal)?;
        let mut fields = Fields::default();
        let id = fields.uuid("session_id", &request.get_ref().session_id);
        fields.finish()?;
        let session = self.parts.session(id)?;
        may_do_either_in(&principal, session.guild())?;
        Ok(Response::new(v1::GetSessionResponse { session: Some(session.show()) }))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        self.parts.list(&request).map(Response::new)
    }

    async fn watch_session(
        &self,
        request: Request<v1::WatchSessionRequest>,
    ) -> Result<Response<Self::WatchSessionStream>, Status> {
        let principal = principal_of(request.extensions())?;
        may_do_either(&principal)?;
        let mut fields = Fields::default();
        let id = fields.uuid("session_id", &request.get_ref().session_id);
        let lease = fields.optional_uuid("lease_id", &request.get_ref().lease_id);
        let interval = fields.quality_interval(request.get_ref().quality_interval);
        fields.finish()?;
        let session = self.parts.session(id)?;
        may_do_either_in(&principal, session.guild())?;
        let hold = self.parts.hold(&session, lease, &principal)?;
        let guard = self.parts.guard(principal)?;
        let watching = Watching::begin(&session);
        Ok(Response::new(stream::watch(session, watching, interval, guard, hold)))
    }

    async fn stream_audio(
        &self,
        request: Request<Streaming<v1::StreamAudioRequest>>,
    ) -> Result<Response<Self::StreamAudioStream>, Status> {
        speak::stream(&self.parts, request).await.map(Response::new)
    }

    async fn send_audio(
        &self,
        request: Request<Streaming<v1::SendAudioRequest>>,
    ) -> Result<Response<v1::SendAudioResponse>, Status> {
        speak::send(&self.parts, request).await.map(Response::new)
    }

    async fn receive_audio(
        &self,
        request: Request<v1::ReceiveAudioRequest>,
    ) -> Result<Response<Self::ReceiveAudioStream>, Status> {
        let principal = principal_of(request.extensions())?;
        principal.covered::<Listen>()?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let id = fields.uuid("session_id", &request.session_id);
        let lease = fields.optional_uuid("lease_id", &request.lease_id);
        let wanted = fields.listen("listen", &request.listen.unwrap_or_default());
        fields.finish()?;
        let session = self.parts.session(id)?;
        principal.permit::<Listen>(session.guild())?;
        let hold = self.parts.hold(&session, lease, &principal)?;
        let guard = self.parts.guard(Arc::clone(&principal))?;
        let hearing = self.parts.hear(&session, wanted, &principal)?;
        Ok(Response::new(Receiving::new(session, hearing, guard, hold).into_stream()))
    }

    async fn get_e2ee_state(
        &self,
        request: Request<v1::GetE2eeStateRequest>,
    ) -> Result<Response<v1::GetE2eeStateResponse>, Status> {
        self.parts.e2ee(&request).await.map(Response::new)
    }
}
