//! RoomService: rooms created, shown and ended.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_gateway::{GuildId, RoomFacts, RoomId};
use parlor_proto::v1::{self, room_service_server::RoomService};
use tonic::{Request, Response, Status};

use super::{
    calls::Calls,
    deadline,
    discord::{Deleted, DiscordRooms, EndPermit, RoomSpec},
    fields::Fields,
    pages,
};
use crate::{
    auth::{Clock, CreateRoom, EndRoom, ForceEndRoom, Permit, ReadRooms, principal_of},
    hub::{Closed, Hub},
    status::{Failure, Reason},
};

/// How long a call that asks Discord may take where the caller does not say.
const DISCORD_CALL: Duration = Duration::from_secs(20);

/// The service.
pub struct Rooms {
    shared: Arc<Shared>,
    creates: Calls<v1::CreateRoomResponse>,
}

/// What a call's own task needs.
struct Shared {
    hub: Arc<Hub>,
    discord: DiscordRooms,
    clock: Clock,
}

impl Rooms {
    /// A service over this hub and this Discord.
    pub fn new(hub: Arc<Hub>, discord: DiscordRooms, clock: Clock) -> Self {
        Self { shared: Arc::new(Shared { hub, discord, clock }), creates: Calls::default() }
    }

    fn find(&self, room: RoomId) -> Result<(GuildId, v1::Room), Failure> {
        let snapshot = self.shared.hub.snapshot();
        let found = snapshot.guild_of(room).and_then(|(id, guild)| Some((id, guild.room(room)?)));
        found.ok_or_else(|| unknown_room(room))
    }
}

fn unknown_room(room: RoomId) -> Failure {
    Failure::new(Reason::RoomUnknown, "there is no such room").with("room_id", room.to_string())
}

#[tonic::async_trait]
impl RoomService for Rooms {
    async fn create_room(
        &self,
        request: Request<v1::CreateRoomRequest>,
    ) -> Result<Response<v1::CreateRoomResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        principal.covered::<CreateRoom>()?;
        let deadline = deadline::unary(request.metadata(), DISCORD_CALL, Instant::now());
        let request = request.into_inner();

        let mut fields = Fields::default();
        let guild: Option<GuildId> = fields.id("guild_id", &request.guild_id);
        let kind = fields.kind(request.kind);
        let spec = RoomSpec {
            name: fields.display_name(&request.display_name),
            kind,
            category: fields.optional_id("category_id", &request.category_id),
            user_limit: fields.user_limit(request.user_limit, kind),
            bitrate: fields.bitrate(request.bitrate_bps, kind),
        };
        let id = fields.request_id(&request.request_id);
        let reason = fields.audit_log_reason(&request.audit_log_reason);
        fields.finish()?;
        let guild = guild.expect("a missing guild is a wrong field");
        let permit = principal.permit::<CreateRoom>(guild)?;
        if !self.shared.hub.snapshot().guilds.contains_key(&guild) {
            let failure = Failure::new(Reason::GuildUnknown, "the bot is not in this guild: invite it first");
            return Err(failure.with("guild_id", guild.to_string()).into());
        }

        self.shared.must_be_writable()?;
        let mark = format!("{reason} [parlor:{id}]");
        let asked = format!("{guild} {spec:?} {reason}");
        let work =
            Arc::clone(&self.shared).create(permit, spec, mark.trim_start().to_owned(), id.to_string(), deadline);
        let answer = self.creates.once(&principal.subject, id, asked, work).await?;
        Ok(Response::new(answer))
    }

    async fn get_room(&self, request: Request<v1::GetRoomRequest>) -> Result<Response<v1::GetRoomResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        principal.covered::<ReadRooms>()?;
        let mut fields = Fields::default();
        let room: Option<RoomId> = fields.id("room_id", &request.get_ref().room_id);
        fields.finish()?;
        let (guild, room) = self.find(room.expect("a missing room is a wrong field"))?;
        principal.permit::<ReadRooms>(guild)?;
        Ok(Response::new(v1::GetRoomResponse { room: Some(room) }))
    }

    async fn list_rooms(
        &self,
        request: Request<v1::ListRoomsRequest>,
    ) -> Result<Response<v1::ListRoomsResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let granted = principal.covered::<ReadRooms>()?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let only: Option<GuildId> = fields.optional_id("guild_id", &request.guild_id);
        let size = fields.page_size(request.page_size);
        let question = ("rooms", granted, only, request.managed_only);
        let after = pages::open(&question, &request.page_token).unwrap_or_else(|_| {
            fields.wrong("page_token", "is not from an answer to the same request");
            None
        });
        fields.finish()?;
        if let Some(guild) = only {
            principal.permit::<ReadRooms>(guild)?;
        }

        let snapshot = self.shared.hub.snapshot();
        let guilds =
            snapshot.guilds.iter().filter(|(id, _)| granted.covers(**id) && only.is_none_or(|only| only == **id));
        let mut listed = guilds
            .flat_map(|(id, guild)| guild.room_ids().map(move |room| (*id, room, guild)))
            .filter(|(guild, room, _)| after.is_none_or(|after| (guild.get(), room.get()) > after))
            .filter(|(_, room, guild)| !request.managed_only || guild.is_managed(*room) == Some(true));
        let page: Vec<_> = listed.by_ref().take(size).collect();
        let more = listed.next().is_some();
        let last = page.last().filter(|_| more).map(|(guild, room, _)| (guild.get(), room.get()));
        Ok(Response::new(v1::ListRoomsResponse {
            next_page_token: last.map(|last| pages::seal(&question, last)).unwrap_or_default(),
            rooms: page.into_iter().filter_map(|(_, room, guild)| guild.room(room)).collect(),
        }))
    }

    async fn end_room(&self, request: Request<v1::EndRoomRequest>) -> Result<Response<v1::EndRoomResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        principal.covered::<EndRoom>()?;
        let deadline = deadline::unary(request.metadata(), DISCORD_CALL, Instant::now());
        let request = request.into_inner();
        if request.force {
            principal.covered::<ForceEndRoom>()?;
        }
        let mut fields = Fields::default();
        let room: Option<RoomId> = fields.id("room_id", &request.room_id);
        let id = fields.request_id(&request.request_id);
        let reason = fields.audit_log_reason(&request.audit_log_reason);
        fields.finish()?;
        let room = room.expect("a missing room is a wrong field");

        let (guild, known) = self.find(room)?;
        let permit = if request.force {
            EndPermit::Forced(principal.permit::<ForceEndRoom>(guild)?)
        } else {
            EndPermit::Managed(principal.permit::<EndRoom>(guild)?)
        };
        if known.state() == v1::room::State::Ended {
            let placed = self.shared.hub.placed(guild, Some(room));
            return Ok(Response::new(v1::EndRoomResponse {
                room: Some(known),
                already_gone: true,
                cursor: placed.cursor,
            }));
        }
        if !known.managed && !request.force {
            let message = "Parlor did not create this room: set force, with scope ops, to end it all the same";
            return Err(Failure::new(Reason::RoomNotManaged, message).with("room_id", room.to_string()).into());
        }

        self.shared.must_be_writable()?;
        let mark = format!("{reason} [parlor:{id}]");
        let work = Arc::clone(&self.shared).end(permit, room, mark.trim_start().to_owned(), deadline);
        // In a task of its own: a caller who hangs up must not leave the room marked as being ended.
        let answer = tokio::spawn(work).await.map_err(|_| Failure::new(Reason::Internal, "the call failed"))??;
        Ok(Response::new(answer))
    }

    async fn list_guilds(
        &self,
        request: Request<v1::ListGuildsRequest>,
    ) -> Result<Response<v1::ListGuildsResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let granted = principal.covered::<ReadRooms>()?;
        let request = request.into_inner();
        let mut fields = Fields::default();
        let size = fields.page_size(request.page_size);
        let question = ("guilds", granted);
        let after = pages::open(&question, &request.page_token).unwrap_or_else(|_| {
            fields.wrong("page_token", "is not from an answer to the same request");
            None
        });
        fields.finish()?;

        let snapshot = self.shared.hub.snapshot();
        let mut listed = snapshot
            .guilds
            .iter()
            .filter(|(id, _)| granted.covers(**id) && after.is_none_or(|after| (id.get(), 0) > after));
        let page: Vec<_> = listed.by_ref().take(size).collect();
        let last = page.last().filter(|_| listed.next().is_some()).map(|(id, _)| (id.get(), 0));
        Ok(Response::new(v1::ListGuildsResponse {
            next_page_token: last.map(|last| pages::seal(&question, last)).unwrap_or_default(),
            guilds: page.into_iter().map(|(_, guild)| guild.to_proto()).collect(),
        }))
    }
}

/// The hub has ended, or takes nothing.
fn not_stored(_: Closed) -> Failure {
    Failure::new(Reason::StoreUnavailable, "what happens cannot be stored at the moment: try again")
        .retry_after(Duration::from_secs(1))
}

impl Shared {
    /// Nothing is begun whose outcome could not be stored.
    fn must_be_writable(&self) -> Result<(), Failure> {
        if self.hub.is_writable() { Ok(()) } else { Err(not_stored(Closed)) }
    }

    async fn create(
        self: Arc<Self>,
        permit: Permit<CreateRoom>,
        spec: RoomSpec,
        mark: String,
        request_id: String,
        deadline: Instant,
    ) -> Result<v1::CreateRoomResponse, Failure> {
        let guild = permit.guild();
        let name = spec.name.clone();
        self.hub.expect_room(guild, name.clone(), (self.clock)()).await.map_err(not_stored)?;
        let outcome = self.discord.create(&permit, spec, &mark, deadline).await;
        let created: Option<RoomFacts> = outcome.as_ref().ok().cloned();
        let placed = self.hub.settle_room(guild, name, created, (self.clock)()).await;
        let facts = outcome?;
        let placed = placed.map_err(not_stored)?;
        // The bot can be removed from the guild between Discord's answer and here.
        let room = placed.room.ok_or_else(|| unknown_room(facts.room))?;
        Ok(v1::CreateRoomResponse { room: Some(room), cursor: placed.cursor, request_id })
    }

    async fn end(
        self: Arc<Self>,
        permit: EndPermit,
        room: RoomId,
        mark: String,
        deadline: Instant,
    ) -> Result<v1::EndRoomResponse, Failure> {
        let guild = permit.guild();
        self.hub.begin_end(guild, room, (self.clock)()).await.map_err(not_stored)?;
        let deleted = match self.discord.end(&permit, room, &mark, deadline).await {
            Ok(deleted) => deleted,
            Err(failure) => {
                // The failure is what the caller has to hear of.
                let _ = self.hub.abandon_end(guild, room, (self.clock)()).await;
                return Err(failure);
            }
        };
        let placed = self.hub.end_room(guild, room, (self.clock)()).await.map_err(not_stored)?;
        Ok(v1::EndRoomResponse { room: placed.room, already_gone: deleted == Deleted::Before, cursor: placed.cursor })
    }
}
