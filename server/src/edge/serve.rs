//! Connections become calls.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use futures_util::StreamExt as _;
use http::{Request, Response, Version};
use hyper::{body::Incoming as Upload, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service as _, ServiceExt as _};
use tracing::debug;

use super::{
    accept::{Connection, Incoming},
    calls::{Calls, Handed},
    limits::http,
    stack::EdgeService,
};
use crate::config::LimitsConfig;

/// Serves connections within the limits.
#[derive(Debug)]
pub struct Server {
    limits: LimitsConfig,
}

/// A server with every limit set.
pub fn server_builder(limits: &LimitsConfig) -> Server {
    Server { limits: limits.clone() }
}

impl Server {
    /// Serves until `signal`; then nothing new is accepted, and it returns when the last call is answered. Whoever does not
    /// wait so long drops it, and with it every connection.
    pub async fn serve_with_incoming_shutdown(
        self,
        service: EdgeService,
        mut incoming: Incoming,
        signal: impl Future<Output = ()>,
    ) {
        let shared = Arc::new(Shared { service, limits: self.limits, stop: CancellationToken::new() });
        let mut connections = JoinSet::new();
        let mut signal = pin!(signal);
        loop {
            tokio::select! {
                () = &mut signal => break,
                Some(_) = connections.join_next() => {}
                Some(Ok(connection)) = incoming.next() => {
                    connections.spawn(serve(connection, Arc::clone(&shared)));
                }
            }
        }
        // The port closes before the last connection does: who comes now should go elsewhere at once.
        drop(incoming);
        shared.stop.cancel();
        while connections.join_next().await.is_some() {}
    }
}

/// The connection that a call came over; in the extensions of every request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CarriedBy {
    /// Where it comes from. No other open connection has the same.
    pub peer: SocketAddr,
    /// What it speaks: the request's own version is that of gRPC further in, whatever a browser spoke.
    pub version: Version,
}

/// What connections share.
struct Shared {
    service: EdgeService,
    limits: LimitsConfig,
    /// Cancelled when connections are to end.
    stop: CancellationToken,
}

async fn serve(connection: Connection, shared: Arc<Shared>) {
    let peer = connection.peer();
    let active = Arc::new(Semaphore::new(shared.limits.active_calls_per_connection as usize));
    let calls = Calls::default();
    let answer = {
        let (shared, calls) = (Arc::clone(&shared), calls.clone());
        service_fn(move |request: Request<Upload>| {
            let (active, service, calls) = (Arc::clone(&active), shared.service.clone(), calls.clone());
            // In a box, so that an open stream does not keep the place that its beginning needed.
            Box::pin(answer(request, service, active, peer, calls)) as Pin<Box<dyn Future<Output = _> + Send>>
        })
    };
    // What is in a box here is not twice in the task, as whatever an async function moves is.
    let builder = http(&shared.limits, calls.clone());
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(connection), answer).into_owned());
    drop(builder);
    // Beside the connection, so that nobody looks at it whenever an event comes.
    let ends = Arc::new(AtomicBool::new(false));
    let end = Box::pin({
        let (ends, calls) = (Arc::clone(&ends), calls.clone());
        async move {
            tokio::select! {
                () = sleep(shared.limits.connection_age) => {}
                () = shared.stop.cancelled() => {}
            }
            ends.store(true, SeqCst);
            calls.ring_for_connection();
        }
    });
    let connection = poll_fn(|context| {
        if ends.swap(false, SeqCst) {
            // Calls that are under way are answered; their clients are told to connect anew for others.
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context)
    });
    let served = calls.run_with(connection, end).await;
    if let Err(error) = served {
        debug!(error = error.as_ref() as &dyn std::error::Error, "a connection failed");
    }
}

/// Answers one call, once it is among those of its connection that may be under way.
async fn answer(
    request: Request<Upload>,
    mut service: EdgeService,
    active: Arc<Semaphore>,
    peer: SocketAddr,
    calls: Calls,
) -> Result<Response<Body>, Infallible> {
    let _place = active.acquire_owned().await.expect("nobody closes it");
    let version = request.version();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(CarriedBy { peer, version });
    let response = service.ready().await?.call(request).await?;
    Ok(response.map(|body| Body::new(Handed::new(body, calls))))
}
