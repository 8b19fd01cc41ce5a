//! tonic as its tutorial has it: the generated service, which knows its answer.

use anyhow::Result;
use parlor_proto::v1::{
    self,
    room_service_server::{RoomService, RoomServiceServer},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use super::{Announcement, LOOPBACK, obey_async};

struct Canned(v1::CreateRoomResponse);

#[tonic::async_trait]
impl RoomService for Canned {
    async fn create_room(&self, _: Request<v1::CreateRoomRequest>) -> Result<Response<v1::CreateRoomResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn end_room(&self, _: Request<v1::EndRoomRequest>) -> Result<Response<v1::EndRoomResponse>, Status> {
        Ok(Response::new(v1::EndRoomResponse::default()))
    }

    async fn get_room(&self, _: Request<v1::GetRoomRequest>) -> Result<Response<v1::GetRoomResponse>, Status> {
        Err(nothing())
    }

    async fn list_rooms(&self, _: Request<v1::ListRoomsRequest>) -> Result<Response<v1::ListRoomsResponse>, Status> {
        Err(nothing())
    }

    async fn update_room(&self, _: Request<v1::UpdateRoomRequest>) -> Result<Response<v1::UpdateRoomResponse>, Status> {
        Err(nothing())
    }

    async fn batch_create_rooms(
        &self,
        _: Request<v1::BatchCreateRoomsRequest>,
    ) -> Result<Response<v1::BatchCreateRoomsResponse>, Status> {
        Err(nothing())
    }

    async fn batch_end_rooms(
        &self,
        _: Request<v1::BatchEndRoomsRequest>,
    ) -> Result<Response<v1::BatchEndRoomsResponse>, Status> {
        Err(nothing())
    }

    async fn list_guilds(&self, _: Request<v1::ListGuildsRequest>) -> Result<Response<v1::ListGuildsResponse>, Status> {
        Err(nothing())
    }

    async fn list_channels(
        &self,
        _: Request<v1::ListChannelsRequest>,
    ) -> Result<Response<v1::ListChannelsResponse>, Status> {
        Err(nothing())
    }

    async fn send_message(
        &self,
        _: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        Err(nothing())
    }
}

fn nothing() -> Status {
    Status::unimplemented("nobody asks for this here")
}

pub(super) async fn serve() -> Result<()> {
    let (calls, control) = (TcpListener::bind(LOOPBACK).await?, TcpListener::bind(LOOPBACK).await?);
    Announcement { events: calls.local_addr()?.port(), control: control.local_addr()?.port(), token: String::new() }
        .print()?;
    // As long as an answer of Parlor's.
    let room = v1::Room {
        room_id: "1593540383357272328".to_owned(),
        guild_id: "100000000000000001".to_owned(),
        display_name: "a room of the benchmark".to_owned(),
        managed: true,
        ..Default::default()
    };
    let answer = v1::CreateRoomResponse {
        room: Some(room),
        cursor: "A".repeat(44),
        request_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        invite: None,
    };
    let incoming = TcpIncoming::from(calls).with_nodelay(Some(true));
    tokio::spawn(Server::builder().serve_with_incoming(RoomServiceServer::new(Canned(answer)), incoming));
    obey_async(control, async || Ok(())).await
}
