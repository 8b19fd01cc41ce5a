//! The task of one gateway websocket: frames in, orders out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use tokio::sync::mpsc;

use super::compress::Compressor;
use super::{Shared, ToSocket};
use crate::gateway::{CloseReason, ConnectionId};

/// How long a client may take to answer a close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Serves a websocket to its end.
pub(super) async fn run(mut socket: WebSocket, shared: Arc<Shared>, version: Option<u8>, mut compressor: Compressor) {
    let (id, mut orders) = shared.open(version);
    let code = converse(&mut socket, &shared, id, &mut orders, &mut compressor).await;
    shared.closed(id, code);
}

/// Returns the code of the client's close frame, if it sent one.
async fn converse(
    socket: &mut WebSocket,
    shared: &Shared,
    id: ConnectionId,
    orders: &mut mpsc::Receiver<ToSocket>,
    compressor: &mut Compressor,
) -> Option<u16> {
    loop {
        tokio::select! {
            frame = socket.recv() => match frame {
                Some(Ok(Message::Text(text))) => shared.with(|discord, now| discord.receive(id, text.as_str(), now)),
                Some(Ok(Message::Binary(_))) => shared.with(|discord, now| discord.receive_binary(id, now)),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code);
                    // The answer to the close frame goes out while the stream is read to its end.
                    let _ = tokio::time::timeout(CLOSE_PATIENCE, socket.recv()).await;
                    return Some(code);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Err(_)) | None => return None,
            },
            order = orders.recv() => match order {
                Some(ToSocket::Send(text)) => {
                    let Ok(message) = compressor.message(&text) else { return None };
                    if socket.send(message).await.is_err() {
                        return None;
                    }
                }
                Some(ToSocket::Close(reason)) => {
                    close(socket, reason).await;
                    return None;
                }
                Some(ToSocket::Drop) | None => return None,
            },
            () = shared.stop.cancelled() => return None,
        }
    }
}

async fn close(socket: &mut WebSocket, reason: CloseReason) {
    let frame = CloseFrame { code: reason.code(), reason: reason.text().into() };
    if socket.send(Message::Close(Some(frame))).await.is_err() {
        return;
    }
    let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = tokio::time::timeout(CLOSE_PATIENCE, answered).await;
}
