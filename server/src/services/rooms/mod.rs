//! RoomService: rooms created, shown, changed and ended.

mod batch;
mod channels;
mod create;
mod keeper;
mod permissions;
mod spec;
mod strays;
mod update;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use parlor_gateway::{
    GuildId, RoomId, RoomKind, Snapshot,
    rest::{Caller, Tenant},
};
use parlor_proto::v1::{self, room_service_server::RoomService};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use uuid::Uuid;

pub(super) use self::spec::{Access, RoomSpec};
use self::{
    create::Creation,
    keeper::{Keeper, audited, unknown_room},
    spec::CreateOrder,
    update::{Change, UpdateOrder},
};
use super::{
    calls::{Call, Journal},
    deadline,
    discord::{CreatePermit, DiscordRooms, EndPermit, UpdatePermit},
    fields::Fields,
    pages,
    quota::RoomQuota,
};
use crate::{
    auth::{Clock, CreateRoom, EndRoom, ForceEndRoom, ForceUpdateRoom, Principal, ReadRooms, UpdateRoom, principal_of},
    hub::Hub,
    rates::{Patience, Rates},
    rooms::mark_of,
    status::{Failure, Reason},
};

/// How long a call that asks Discord may take where the caller does not say.
const DISCORD_CALL: Duration = Duration::from_secs(20);

/// The service.
pub struct Rooms {
    keeper: Arc<Keeper>,
    journal: Journal,
}

impl Rooms {
    /// A service over this hub and this Discord.
    pub fn new(
        hub: Arc<Hub>,
        discord: DiscordRooms,
        journal: Journal,
        rates: Arc<Rates>,
        quota: RoomQuota,
        clock: Clock,
    ) -> Self {
        Self { keeper: Arc::new(Keeper { hub, discord, rates, quota, clock }), journal }
    }

    /// Takes up what the last process left half done, and ends rooms as their policies say, until it is stopped. Returns
    /// once the gateway may be connected to.
    pub async fn keep(&self, stop: &CancellationToken) {
        // Where this fails the process is ending.
        let _ = self.keeper.expect_all(&self.journal.broken_off()).await;
        let keeper = || Arc::clone(&self.keeper);
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeper().keep_policies()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeper().keep_healing(self.journal.clone())));
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeper().finish_ends()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(keeper().report_strays()));
    }

    fn find(&self, room: RoomId) -> Result<(GuildId, v1::Room), Failure> {
        let snapshot = self.keeper.hub.snapshot();
        let found = snapshot.guild_of(room).and_then(|(id, guild)| Some((id, guild.room(room)?)));
        found.ok_or_else(|| unknown_room(room))
    }

    async fn create_one(
        &self,
        principal: &Principal,
        request: v1::CreateRoomRequest,
        deadline: Instant,
        patience: Patience,
    ) -> Result<v1::CreateRoomResponse, Failure> {
        principal.covered::<CreateRoom>()?;
        let snapshot = self.keeper.hub.snapshot();
        let limit = |guild| snapshot.guilds.get(&guild).and_then(|guild| guild.bitrate_limit());
        let order = CreateOrder::read(&request, principal.subject.as_str(), limit)?;
        let permit = CreatePermit::Asked(principal.permit::<CreateRoom>(order.guild)?);
        must_be_served(&snapshot, order.guild)?;
        self.keeper.must_be_writable()?;
        let asked = v1::CreateRoomRequest { request_id: String::new(), ..request };
        let call = Call::new(&principal.subject, order.request_id, "CreateRoom", &asked, deadline);
        let creation = Creation { order, permit, tenant: tenant(principal), deadline, patience };
        let keeper = Arc::clone(&self.keeper);
        let work = |ticket, before| keeper.create(creation, ticket, before);
        self.journal.once(call, work).await
    }

    async fn update_one(
        &self,
        principal: &Principal,
        request: v1::UpdateRoomRequest,
        deadline: Instant,
    ) -> Result<v1::UpdateRoomResponse, Failure> {
        principal.covered::<UpdateRoom>()?;
        if request.force {
            principal.covered::<ForceUpdateRoom>()?;
        }
        let mut fields = Fields::default();
        let room: Option<RoomId> = fields.id("room_id", &request.room_id);
        let request_id = fields.request_id(&request.request_id);
        let reason = fields.audit_log_reason(&request.audit_log_reason);
        let snapshot = self.keeper.hub.snapshot();
        let found = room.and_then(|room| snapshot.guild_of(room));
        let kind = room.and_then(|room| Some(found?.1.facts(room)?.kind)).unwrap_or(RoomKind::Voice);
        let order = UpdateOrder::read(&request, kind, found.and_then(|(_, guild)| guild.bitrate_limit()), &mut fields);
        fields.finish()?;
        let room = room.expect("a missing room is a wrong field");
        let (guild, known) = self.find(room)?;
        let permit = if request.force {
            UpdatePermit::Forced(principal.permit::<ForceUpdateRoom>(guild)?)
        } else {
            UpdatePermit::Managed(principal.permit::<UpdateRoom>(guild)?)
        };
        self.keeper.must_be_writable()?;
        let asked = v1::UpdateRoomRequest { request_id: String::new(), ..request };
        let call = Call::new(&principal.subject, request_id, "UpdateRoom", &asked, deadline);
        let caller = Caller::new(tenant(principal), deadline);
        let change = Change { order, permit, room, request_id, reason, caller };
        let (keeper, force) = (Arc::clone(&self.keeper), asked.force);
        // Only where the call was not answered before: then the room may have changed since.
        let work = move |ticket, _| async move {
            if known.state() == v1::room::State::Ended {
                let message = "the room has ended: nothing about it can be changed";
                return Err(Failure::new(Reason::RoomEnded, message).with("room_id", room.to_string()));
            }
            if !known.managed && (!force || change.order.is_about_ownership()) {
                let message = "Parlor did not create this room: it has no labels and no policy, and force, with scope ops, changes the rest";
                return Err(Failure::new(Reason::RoomNotManaged, message).with("room_id", room.to_string()));
            }
            keeper.rates.change_guild(guild, 1)?;
            keeper.update(change, ticket).await
        };
        self.journal.once(call, work).await
    }

    async fn end_one(
        &self,
        principal: &Principal,
        request: v1::EndRoomRequest,
        deadline: Instant,
        patience: Patience,
    ) -> Result<v1::EndRoomResponse, Failure> {
        principal.covered::<EndRoom>()?;
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
        let asked = v1::EndRoomRequest { request_id: String::new(), ..request };
        let call = Call::new(&principal.subject, id, "EndRoom", &asked, deadline);
        let caller = Caller::new(tenant(principal), deadline);
        let (keeper, force) = (Arc::clone(&self.keeper), asked.force);
        let work = move |ticket: super::calls::Ticket, _| async move {
            // One of ours may seem to have ended because Discord described the guild just before it was made: whether it is
            // there only Discord can say.
            if known.state() == v1::room::State::Ended && !known.managed {
                let cursor = keeper.hub.placed(guild, Some(room)).cursor;
                let (room, request_id) = (Some(known), id.to_string());
                return Ok(v1::EndRoomResponse { room, already_gone: true, cursor, request_id });
            }
            if !known.managed && !force {
                let message = "Parlor did not create this room: set force, with scope ops, to end it all the same";
                return Err(Failure::new(Reason::RoomNotManaged, message).with("room_id", room.to_string()));
            }
            keeper.must_be_writable()?;
            keeper.rates.turn_in_guild(guild, patience).await?;
            let keep = move |draft: &mut crate::hub::Draft<'_>, answer: &v1::EndRoomResponse| {
                ticket.answer(draft, &v1::EndRoomResponse { request_id: id.to_string(), ..answer.clone() });
            };
            let answer = keeper.delete(&permit, room, &audited(&reason, &mark_of(id)), &caller, keep).await?;
            Ok(v1::EndRoomResponse { request_id: id.to_string(), ..answer })
        };
        self.journal.once(call, work).await
    }
}

fn must_be_served(snapshot: &Snapshot, guild: GuildId) -> Result<(), Failure> {
    if snapshot.guilds.contains_key(&guild) {
        return Ok(());
    }
    let failure = Failure::new(Reason::GuildUnknown, "the bot is not in this guild: invite it first");
    Err(failure.with("guild_id", guild.to_string()))
}

/// Callers take turns by who they are.
fn tenant(principal: &Principal) -> Tenant {
    Tenant::new(principal.subject.as_str())
}

/// The id of a batch's item: its own, or one that is derived from the batch's and its place.
fn item_id(own: &str, batch: Uuid, index: usize) -> String {
    if !own.is_empty() {
        return own.to_owned();
    }
    let place = u64::try_from(index).expect("a place fits 64 bits").to_be_bytes();
    let hash = digest(&SHA256, &[batch.as_bytes().as_slice(), &place].concat());
    let bytes = hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
    uuid::Builder::from_custom_bytes(*bytes).into_uuid().to_string()
}

#[tonic::async_trait]
impl RoomService for Rooms {
    async fn create_room(
        &self,
        request: Request<v1::CreateRoomRequest>,
    ) -> Result<Response<v1::CreateRoomResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let deadline = deadline::unary(request.metadata(), DISCORD_CALL, deadline::now());
        Ok(Response::new(self.create_one(&principal, request.into_inner(), deadline, Patience::None).await?))
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
        let labels = fields.labels("labels", &request.labels);
        let question = ("rooms", granted, only, request.managed_only, &labels);
        let after = pages::open(&question, &request.page_token).unwrap_or_else(|_| {
            fields.wrong("page_token", "is not from an answer to the same request");
            None
        });
        fields.finish()?;
        if let Some(guild) = only {
            principal.permit::<ReadRooms>(guild)?;
        }

        let snapshot = self.keeper.hub.snapshot();
        let guilds =
            snapshot.guilds.iter().filter(|(id, _)| granted.covers(**id) && only.is_none_or(|only| only == **id));
        let mut listed = guilds
            .flat_map(|(id, guild)| guild.room_ids().map(move |room| (*id, room, guild)))
            .filter(|(guild, room, _)| after.is_none_or(|after| (guild.get(), room.get()) > after))
            .filter(|(_, room, guild)| !request.managed_only || guild.is_managed(*room) == Some(true))
            .filter(|(_, room, guild)| {
                let has = |owned: &parlor_gateway::Ownership| {
                    labels.iter().all(|(key, value)| owned.labels.get(key) == Some(value))
                };
                labels.is_empty() || guild.ownership(*room).is_some_and(has)
            });
        let page: Vec<_> = listed.by_ref().take(size).collect();
        let more = listed.next().is_some();
        let last = page.last().filter(|_| more).map(|(guild, room, _)| (guild.get(), room.get()));
        Ok(Response::new(v1::ListRoomsResponse {
            next_page_token: last.map(|last| pages::seal(&question, last)).unwrap_or_default(),
            rooms: page.into_iter().filter_map(|(_, room, guild)| guild.room(room)).collect(),
        }))
    }

    async fn update_room(
        &self,
        request: Request<v1::UpdateRoomRequest>,
    ) -> Result<Response<v1::UpdateRoomResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let deadline = deadline::unary(request.metadata(), DISCORD_CALL, deadline::now());
        Ok(Response::new(self.update_one(&principal, request.into_inner(), deadline).await?))
    }

    async fn end_room(&self, request: Request<v1::EndRoomRequest>) -> Result<Response<v1::EndRoomResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let deadline = deadline::unary(request.metadata(), DISCORD_CALL, deadline::now());
        Ok(Response::new(self.end_one(&principal, request.into_inner(), deadline, Patience::None).await?))
    }

    async fn batch_create_rooms(
        &self,
        request: Request<v1::BatchCreateRoomsRequest>,
    ) -> Result<Response<v1::BatchCreateRoomsResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let deadline = deadline::unary(request.metadata(), batch::CALL, deadline::now());
        Ok(Response::new(self.create_batch(&principal, request.into_inner(), deadline).await?))
    }

    async fn batch_end_rooms(
        &self,
        request: Request<v1::BatchEndRoomsRequest>,
    ) -> Result<Response<v1::BatchEndRoomsResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let deadline = deadline::unary(request.metadata(), batch::CALL, deadline::now());
        Ok(Response::new(self.end_batch(&principal, request.into_inner(), deadline).await?))
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

        let snapshot = self.keeper.hub.snapshot();
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

    async fn list_channels(
        &self,
        request: Request<v1::ListChannelsRequest>,
    ) -> Result<Response<v1::ListChannelsResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let deadline = deadline::unary(request.metadata(), DISCORD_CALL, deadline::now());
        Ok(Response::new(self.channels(&principal, request.into_inner(), deadline).await?))
    }

    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let principal = principal_of(request.extensions())?;
        let deadline = deadline::unary(request.metadata(), DISCORD_CALL, deadline::now());
        Ok(Response::new(self.send(&principal, request.into_inner(), deadline).await?))
    }
}
