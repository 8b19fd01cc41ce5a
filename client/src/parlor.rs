//! A connection to Parlor, and its calls.

use std::time::Duration;

use parlor_proto::v1::{
    self, room_service_client::RoomServiceClient, voice_event_service_client::VoiceEventServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::{CallError, ConnectError, Frames};

/// A connection to Parlor with a token. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Parlor {
    channel: Channel,
    bearer: Bearer,
}

impl Parlor {
    /// Connects to `http://host:port` or `https://host:port`.
    pub async fn connect(address: &str, token: &str) -> Result<Self, ConnectError> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|_| ConnectError::Address(address.to_owned()))?
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(30));
        let channel = endpoint
            .connect()
            .await
            .map_err(|source| ConnectError::Unreachable { address: address.to_owned(), source })?;
        Self::over(channel, token)
    }

    /// Uses a channel that the caller has set up, with a private CA for example.
    pub fn over(channel: Channel, token: &str) -> Result<Self, ConnectError> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| ConnectError::Token)?;
        value.set_sensitive(true);
        Ok(Self { channel, bearer: Bearer(value) })
    }

    /// RoomService as generated from the contract, for what has no method here.
    pub fn rooms(&self) -> RoomServiceClient<InterceptedService<Channel, Bearer>> {
        RoomServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Makes a room.
    pub async fn create_room(&self, request: v1::CreateRoomRequest) -> Result<v1::Room, CallError> {
        let answer = self.rooms().create_room(request).await?.into_inner();
        answer.room.ok_or_else(|| incomplete("a room"))
    }

    /// Shows a room.
    pub async fn get_room(&self, room_id: impl Into<String>) -> Result<v1::Room, CallError> {
        let answer = self.rooms().get_room(v1::GetRoomRequest { room_id: room_id.into() }).await?.into_inner();
        answer.room.ok_or_else(|| incomplete("a room"))
    }

    /// Ends a room. `already_gone` says whether it had ended before.
    pub async fn end_room(&self, request: v1::EndRoomRequest) -> Result<v1::EndRoomResponse, CallError> {
        Ok(self.rooms().end_room(request).await?.into_inner())
    }

    /// Every room that the token covers, page after page.
    pub async fn list_rooms(&self, mut request: v1::ListRoomsRequest) -> Result<Vec<v1::Room>, CallError> {
        let mut rooms = Vec::new();
        loop {
            let page = self.rooms().list_rooms(request.clone()).await?.into_inner();
            rooms.extend(page.rooms);
            if page.next_page_token.is_empty() {
                return Ok(rooms);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Every guild that the token covers, page after page.
    pub async fn list_guilds(&self) -> Result<Vec<v1::Guild>, CallError> {
        let mut guilds = Vec::new();
        let mut request = v1::ListGuildsRequest::default();
        loop {
            let page = self.rooms().list_guilds(request.clone()).await?.into_inner();
            guilds.extend(page.guilds);
            if page.next_page_token.is_empty() {
                return Ok(guilds);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Hears of who is in which room.
    pub async fn subscribe(&self, request: v1::SubscribeVoiceEventsRequest) -> Result<Frames, CallError> {
        let mut client = VoiceEventServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone());
        Ok(Frames::new(client.subscribe_voice_events(request).await?.into_inner()))
    }
}

fn incomplete(what: &str) -> CallError {
    Status::internal(format!("the server's answer lacks {what}")).into()
}

/// Puts the token into every call.
#[derive(Clone, Debug)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}
