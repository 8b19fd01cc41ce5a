//! The HTTP side of the one port: REST below `/api`, the gateway at `/`, the control API below `/control`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode, Uri};
use tokio::net::TcpListener;

use super::compress::Compressor;
use super::door::{Cut, Door};
use super::{Shared, socket};
use crate::control::{self, ControlAnswer, ControlRequest};
use crate::discord::Handshake;
use crate::rest::{Answer, Request};
use crate::text::query_value;

/// Serves the port until the emulator stops.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new()
        .route("/", get(gateway))
        .route("/api/{*rest}", any(rest))
        .route("/control", any(control))
        .route("/control/{*rest}", any(control))
        .fallback(not_found)
        .with_state(shared.clone());
    let stop = shared.stop.clone();
    let door = Door { listener, shared };
    let served = axum::serve(door, router.into_make_service_with_connect_info::<Cut>())
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the emulator's port is closed");
    }
}

/// A websocket handshake, or a person with a browser.
async fn gateway(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let text = format!(
            "This is discord-emulator. Bots: REST at http://{0}/api/v10, gateway at ws://{0}.\nPeople: curl http://{0}/control\n",
            shared.addr
        );
        return text.into_response();
    };
    let query = query.unwrap_or_default();
    if let Some(encoding) = query_value(&query, "encoding").filter(|encoding| encoding != "json") {
        let text = format!("encoding={encoding} is not spoken here: connect with encoding=json\n");
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let compression = query_value(&query, "compress");
    let compressor = match Compressor::named(compression.as_deref()) {
        Some(Ok(compressor)) => compressor,
        Some(Err(error)) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        None => {
            let text = "compress must be zlib-stream or zstd-stream, or be left out\n";
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    if shared.with(|discord, _| discord.handshake()) == Handshake::Refused {
        return (StatusCode::SERVICE_UNAVAILABLE, "a fault refuses gateway connections\n").into_response();
    }
    // A version that is no small number gets the answer of a version that does not exist.
    let version = query_value(&query, "v").map(|version| version.parse().unwrap_or(0));
    upgrade.on_upgrade(move |websocket| socket::run(websocket, shared, version, compressor))
}

/// A REST request.
async fn rest(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let _held = wait_while_held(&shared).await;
    let request =
        Request { method: &method, path: uri.path(), query: uri.query().unwrap_or(""), headers: &headers, body: &body };
    match shared.with(|discord, now| discord.rest(&request, now)) {
        Answer::Reply(response) => response.map(Body::from),
        Answer::Late(response, by) => {
            shared.pass(by).await;
            response.map(Body::from)
        }
        Answer::HangUp => {
            cut.now();
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

/// A person with curl.
async fn control(State(shared): State<Arc<Shared>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let addr = shared.addr.to_string();
    let request = ControlRequest {
        method: &method,
        path: uri.path(),
        query: uri.query().unwrap_or(""),
        body: &body,
        addr: &addr,
    };
    match shared.with(|discord, now| control::answer(discord, &request, now)) {
        ControlAnswer::Text(text) => text.into_response(),
        ControlAnswer::Json(value) => ([(CONTENT_TYPE, "application/json")], format!("{value:#}\n")).into_response(),
        ControlAnswer::Refused(error) => {
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
            let body = serde_json::json!({"error": error.to_string()});
            (status, [(CONTENT_TYPE, "application/json")], format!("{body:#}\n")).into_response()
        }
    }
}

/// While [`Fault::HoldRest`](crate::Fault::HoldRest) stands, requests wait here and are counted.
async fn wait_while_held(shared: &Arc<Shared>) {
    struct Held<'a>(&'a Shared);
    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.with(|discord, _| discord.stats_mut().rest_held -= 1);
        }
    }
    if !shared.look(|discord| discord.faults().holds_rest()) {
        return;
    }
    shared.with(|discord, _| discord.stats_mut().rest_held += 1);
    let _held = Held(shared);
    let released = shared.wait(|discord| (!discord.faults().holds_rest()).then_some(()));
    shared.stop.run_until_cancelled(released).await;
}

async fn not_found(uri: Uri) -> Response {
    let text =
        format!("nothing is at {}: REST is below /api, the gateway at /, people start at /control\n", uri.path());
    (StatusCode::NOT_FOUND, text).into_response()
}
