//! tonic as its tutorial has it: the generated service, a broadcast channel of messages, and a stream that tonic encodes
//! anew for each subscriber.

use std::pin::Pin;

use anyhow::Result;
use futures_util::{Stream, StreamExt as _, stream};
use parlor_proto::v1::{
    self,
    voice_event_service_server::{VoiceEventService, VoiceEventServiceServer},
};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_stream::wrappers::BroadcastStream;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use super::{Announcement, LOOPBACK, obey_async};
use crate::feed::Messages;

struct Events(broadcast::Sender<v1::SubscribeVoiceEventsResponse>);

#[tonic::async_trait]
impl VoiceEventService for Events {
    type SubscribeVoiceEventsStream =
        Pin<Box<dyn Stream<Item = Result<v1::SubscribeVoiceEventsResponse, Status>> + Send>>;

    async fn subscribe_voice_events(
        &self,
        _: Request<v1::SubscribeVoiceEventsRequest>,
    ) -> Result<Response<Self::SubscribeVoiceEventsStream>, Status> {
        let events = BroadcastStream::new(self.0.subscribe())
            .map(|event| event.map_err(|lagged| Status::data_loss(lagged.to_string())));
        let greeting = stream::iter([Ok(v1::SubscribeVoiceEventsResponse::default())]);
        Ok(Response::new(Box::pin(greeting.chain(events))))
    }
}

pub(super) async fn serve() -> Result<()> {
    let (events, control) = (TcpListener::bind(LOOPBACK).await?, TcpListener::bind(LOOPBACK).await?);
    Announcement { events: events.local_addr()?.port(), control: control.local_addr()?.port(), token: String::new() }
        .print()?;
    let sender = broadcast::Sender::new(1_024);
    let service = VoiceEventServiceServer::new(Events(sender.clone()));
    let incoming = TcpIncoming::from(events).with_nodelay(Some(true));
    tokio::spawn(Server::builder().serve_with_incoming(service, incoming));
    let mut messages = Messages::new();
    obey_async(control, async || {
        // Nobody listens yet: then there is nobody to tell.
        sender.send(messages.next()).ok();
        Ok(())
    })
    .await
}
